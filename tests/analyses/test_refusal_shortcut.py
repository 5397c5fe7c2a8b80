"""The slow second scoring finds out a wrong shortcut: on random layers, no trained model."""

from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
import torch
from refusal_sizes import SIZES
from tiny import tiny

from analyses.refusal.config import Families
from analyses.refusal.openings import Opening
from analyses.refusal.plan import make_plan
from analyses.refusal.subject import Subject
from analyses.refusal.verify import TOLERANCE, recomputed
from tl_geometry.candidates import Edit as Candidate
from tl_geometry.candidates import Scorer
from tl_geometry.prefixes import Prefixes

# --- verification ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> Subject:
    """Five random layers: what a shortcut gets wrong does not need a trained model."""
    sizes: dict[str, Any] = SIZES | {"dim_prompts": 4, "cosmic_prompts": 4, "selection_prompts": 3}
    config = Families(models=("pocket-mistral",), **sizes)
    made = Subject(tiny("mistral").bridge, config, make_plan(config).prompts)
    made.__dict__["opening"] = Opening((), (70, 80))
    return made


@pytest.mark.parametrize("kind", ["linear", "affine"])
def test_the_slow_scores_are_those_of_the_shortcut(kind: Any, small: Subject) -> None:
    assert 0 < recomputed(small, kind) < TOLERANCE


def wrong_stream(patch: pytest.MonkeyPatch) -> None:
    right = Prefixes.streams
    patch.setattr(Prefixes, "streams", lambda self, layer: right(self, layer - 1))


def wrong_edit(patch: pytest.MonkeyPatch) -> None:
    right = Scorer._edit

    def edit(self: Scorer, *args: Any) -> Candidate:
        made = right(self, *args)
        return replace(made, vectors=1.05 * made.vectors) if type(self) is Scorer else made

    patch.setattr(Scorer, "_edit", edit)


def wrong_rows(patch: pytest.MonkeyPatch) -> None:
    """Every candidate's prompts are the first prompt."""
    right = Scorer._pass

    def act(self: Scorer, prefixes: Any, k: int, rows: Any, index: Any, edit: Any) -> Any:
        index = torch.zeros_like(index) if type(self) is Scorer else index
        return right(self, prefixes, k, rows, index, edit)

    patch.setattr(Scorer, "_pass", act)


def undefined_score(patch: pytest.MonkeyPatch) -> None:
    right = Scorer.scores

    def scores(self: Scorer, layer: int) -> dict[str, list[float]]:
        found = right(self, layer)
        return {**found, "comply": [nan] * len(found["comply"])} if type(self) is Scorer else found

    patch.setattr(Scorer, "scores", scores)


def undefined_kl(patch: pytest.MonkeyPatch) -> None:
    right = Scorer.kl

    def kl(self: Scorer, layer: int, position: int) -> float:
        return nan if type(self) is Scorer else right(self, layer, position)

    patch.setattr(Scorer, "kl", kl)


@pytest.mark.parametrize("wrong", [wrong_stream, wrong_edit, wrong_rows])
def test_a_wrong_shortcut_is_found_out(
    wrong: Any, small: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong(monkeypatch)
    assert recomputed(small, "linear") > TOLERANCE


@pytest.mark.parametrize("wrong", [undefined_score, undefined_kl])
def test_a_score_that_is_undefined_on_one_way_only_is_found_out(
    wrong: Any, small: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong(monkeypatch)
    assert recomputed(small, "linear") == inf


def test_without_an_opening_a_score_is_undefined_on_both_ways_and_that_is_no_difference(
    small: Subject,
) -> None:
    without = Subject(small.model, small.config, small.prompts)
    without.__dict__.update(means=small.means, opening=Opening((), ()))
    assert 0 < recomputed(without, "linear") < TOLERANCE
