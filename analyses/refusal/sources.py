"""Which direction stands for a method at a depth, and the random ones beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from analyses.refusal.config import FREE
from analyses.refusal.subject import Subject
from tl_geometry.candidates import Scorer
from tl_geometry.directions import Direction
from tl_geometry.selection import (
    Choice,
    NoDirectionError,
    Scores,
    arditi,
    by_score,
    cosmic,
    deepest,
)
from tl_geometry.sites import layer_at

Rows = Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True, eq=False)
class Source:
    """A direction, and the block at whose output steering with it sets in."""

    name: str
    depth: str
    layer: int
    direction: Direction
    note: str = ""

    @property
    def key(self) -> str:
        return f"{self.name}|{self.depth}"


def states(depths: Sequence[float], n_layers: int) -> list[int]:
    """States of the residual stream whose candidates are scored, ascending.

    Not what enters the first block: there the last tokens of all prompts are the same.
    """
    given = {layer_at(depth, n_layers) + 1 for depth in depths}
    return sorted(given | set(range(1, deepest(n_layers))))


def at_depths(
    subject: Subject, depths: Sequence[float], scores: Mapping[str, Scores]
) -> list[Source]:
    """Each method's direction at each depth.

    Steering "at layer l" begins at the output of block l, and its direction is measured there:
    state l + 1, which the papers call the input of block l + 1.
    """
    n_layers = subject.model.cfg.n_layers
    return [
        _at_depth(m, f"{d:g}", layer_at(d, n_layers), subject.scorer(m), given)
        for m, given in scores.items()
        for d in depths
    ]


def own_choices(
    subject: Subject, scores: Mapping[str, Scores]
) -> tuple[list[Source], dict[str, str]]:
    """What each method's rule takes among all layers; why, where it takes none."""
    found: list[Source] = []
    missing: dict[str, str] = {}
    for method, given in scores.items():
        scorer = subject.scorer(method)
        try:
            choice = _rule(method)(given, subject.model.cfg.n_layers, scorer.kl)
            found.append(_source(method, FREE, scorer, choice))
        except NoDirectionError as error:
            missing[f"{method}|{FREE}"] = str(error)
    return found, missing


def _rule(method: str) -> Any:
    return cosmic if method == "cosmic" else arditi


def _at_depth(method: str, depth: str, layer: int, scorer: Scorer, scores: Scores) -> Source:
    """The best position of that layer by the method's own score; else the last token, as the plan
    takes it, with the reason."""
    rule = "cosmic" if method == "cosmic" else "arditi"
    try:
        return _source(
            method, depth, scorer, by_score(rule, {layer + 1: scores[layer + 1]}, scorer.kl)
        )
    except NoDirectionError as error:
        direction = scorer.means.direction(layer + 1, -1, method)
        return Source(method, depth, layer, direction, f"last token: {error}")


def _source(method: str, depth: str, scorer: Scorer, choice: Choice) -> Source:
    about = {"score": choice.score, "kl": choice.kl, "rule": choice.rule}
    direction = scorer.means.direction(choice.layer, choice.position, method, **about)
    return Source(method, depth, choice.layer - 1, direction)


def controls(subject: Subject, found: Sequence[Source]) -> list[Source]:
    """At the depths of the first method: random directions as long as its own, and the difference
    of classes whose labels were shuffled."""
    own = [source for source in found if source.name == found[0].name and source.depth != FREE]
    made = []
    for source in own:
        state, position = source.layer + 1, source.direction.position
        shuffled = subject.means["shuffled"].direction(state, position, "shuffled")
        made.append(Source("shuffled", source.depth, source.layer, shuffled))
    by_depth = [random_like(subject, source, source.depth) for source in own]
    return made + [source for k in zip(*by_depth, strict=True) for source in k]


def random_like(subject: Subject, source: Source, depth: str) -> list[Source]:
    """Random directions at the same place and exactly as long: the same ones at every place."""
    given = source.direction
    about = {"residual_norm": given.provenance["residual_norm"]}
    made = []
    for k in range(subject.config.random_directions):
        unit = torch.randn(subject.model.cfg.d_model, generator=subject.generator(1 + k))
        vector = unit / unit.norm() * given.norm
        direction = Direction(vector, given.layer, given.position, "random", given.reference, about)
        made.append(Source(f"random {k}", depth, source.layer, direction))
    return made


def as_scores(rows: Rows) -> Scores:
    """Scores from a log: JSON has no NaN, which stands where a candidate is no direction."""
    return {
        layer: {
            name: [np.nan if x is None else float(x) for x in row[name]]
            for name in ("comply", "refuse", "bypass", "induce")
        }
        for layer, row in rows.items()
    }
