"""Candidates under intervention, against the literal algorithm."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from cosmic_cases import N_POS, N_TRAIN, N_VAL, REFUSAL, Case, Low
from cosmic_cases import case_of as _case
from cosmic_cases import chosen_by as _chosen
from cosmic_cases import counted as _counted
from cosmic_cases import models_of as _models
from cosmic_cases import ours_of as _ours
from cosmic_cases import prompts_of as _prompts
from literal_cosmic import IN_FRONT_OF_POST_NORMS, Literal, Scores, choose_arditi, choose_cosmic
from tiny import FAMILIES

from tl_geometry.candidates import Kind, Scorer
from tl_geometry.directions import class_means
from tl_geometry.prefixes import Prefixes
from tl_geometry.selection import arditi, cosmic, deepest

CASES: list[tuple[str, int, Kind, Low]] = [
    ("qwen2", 12, "linear", None),
    ("qwen2", 12, "affine", None),
    ("gemma2", 20, "linear", None),  # two evaluation layers
    ("gemma2", 12, "affine", None),
    ("falcon", 12, "linear", None),
    ("falcon", 12, "affine", None),
    # Given evaluation layers: in the middle, and the last, behind the final norm.
    ("qwen2", 12, "linear", (6,)),
    ("falcon", 12, "affine", (6,)),
    ("falcon", 12, "linear", (11,)),
    ("qwen2", 12, "affine", (11,)),
]
NAMES = ("comply", "refuse", "bypass", "induce")


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[2]}-{case[3] or 'found'}")
def case(request: pytest.FixtureRequest) -> Case:
    return _case(*request.param)


# --- the literal algorithm ------------------------------------------------------------------------


def test_class_means_are_those_of_the_literal_algorithm(case: Case) -> None:
    for ours, theirs in (
        (case.means.positive, case.literal.positive),
        (case.means.negative, case.literal.negative),
    ):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(ours[: case.n_layers], theirs, atol=1e-5 * scale, rtol=0)


def test_evaluation_layers_are_those_of_the_literal_algorithm(case: Case) -> None:
    assert list(case.scorer.low) == case.literal.low
    assert len(case.scorer.low) == max(1, case.n_layers // 10)


def test_baselines_are_those_of_the_literal_algorithm(case: Case) -> None:
    for harmful, vector, logits in (
        (True, case.literal.b_plus, case.literal.harmful_logits),
        (False, case.literal.b_minus, case.literal.harmless_logits),
    ):
        ours = case.scorer.baselines[harmful]
        mean = ours.mean[0] / ours.mean[0].norm()
        torch.testing.assert_close(mean, vector, atol=1e-5, rtol=0)
        log_odds = float(case.literal.log_odds(logits).mean())
        assert float(ours.refusal[0]) == pytest.approx(log_odds, abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_candidate_scores_as_in_the_literal_algorithm(case: Case, name: str) -> None:
    needed = [case.both] + [case.alone] * (name in ("comply", "refuse"))
    compared = 0
    for (position, layer), theirs in case.found.items():
        for one in needed:
            if layer in one.scores:
                ours = one.scores[layer][name][position]
                assert ours == pytest.approx(getattr(theirs, name), abs=1e-5, nan_ok=True)
                compared += not math.isnan(ours)
    assert compared >= len(needed) * N_POS * (deepest(case.n_layers) - 1)


def test_behind_the_user_s_words_layer_0_points_nowhere(case: Case) -> None:
    assert np.isnan(case.scores[0]["comply"]).all()
    assert all(math.isnan(case.found[position, 0].comply) for position in case.means.positions)


def test_kl_is_that_of_the_literal_algorithm(case: Case) -> None:
    for layer, position in ((1, -3), (5, -1), (deepest(case.n_layers) - 1, -2)):
        theirs = case.found[position, layer].kl
        for one in (case.both, case.alone):
            assert one.scorer.kl(layer, position) == pytest.approx(theirs, abs=1e-5)
        assert theirs > 1e-4


def test_the_same_candidate_is_chosen(case: Case) -> None:
    n, found = case.n_layers, dict(case.found)
    for one in (case.both, case.alone):
        assert one.chosen == choose_cosmic(found, n, peaks_below=int(0.8 * n)) is not None
        # Here it makes no difference that the reference code looks for peaks in all layers.
        assert one.chosen == choose_cosmic(found, n, peaks_below=n)
    assert _chosen(arditi, case.scores, n, case.scorer.kl) == choose_arditi(found, n)


@pytest.mark.parametrize("family", ["qwen2", "falcon", "gemma2"])
def test_the_last_block_s_output_is_read_behind_the_final_norm(family: str) -> None:
    """As in Hugging Face's hidden states: untouched, in baselines and under an edit."""
    case = _case(family, 12, "affine")
    literal, last = copy.copy(case.literal), case.n_layers - 1
    harmful, harmless = literal.validation
    states, _ = literal.full_pass(harmless)
    untouched = Prefixes(case.scorer.model, harmless, 1).untouched
    for n in range(case.n_layers):
        ours = torch.cat([one.outputs[n] for one in untouched])
        theirs = states[n, sorted(range(N_VAL), key=lambda k: len(harmless[k]))]
        torch.testing.assert_close(ours, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=0)
    for ours, prompts in zip(case.means.outputs, literal.train, strict=True):
        theirs = literal.full_pass(prompts)[0].double().mean(1)
        torch.testing.assert_close(ours, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=0)
    literal.low = [last, 2]
    (literal.b_plus, _), (literal.b_minus, _) = literal.look(harmful), literal.look(harmless)
    old = case.scorer
    scorer = Scorer(old.model, old.means, harmful, harmless, (last, 2), "affine", REFUSAL)
    ours, theirs = scorer.scores(5), literal.scores(-2, 5)
    assert ours["comply"][-2] == pytest.approx(theirs.comply, abs=1e-5)
    assert ours["refuse"][-2] == pytest.approx(theirs.refuse, abs=1e-5)


def test_arditi_s_rule_chooses_something_somewhere() -> None:
    case = _case("qwen2", 12, "linear")
    assert _chosen(arditi, case.scores, 12, case.scorer.kl) is not None


def test_with_post_norms_we_ablate_what_reaches_the_stream() -> None:
    """The reference code ablates in front of Gemma-2's post-norms, which write it back."""
    case = _case("gemma2", 20, "linear")
    old = case.literal
    other = Literal(old.model, old.train, old.validation, N_POS, parts=IN_FRONT_OF_POST_NORMS)
    other.positive, other.negative, other.low = old.positive, old.negative, old.low
    r = (old.positive - old.negative)[5, -1].float()
    left = []
    for literal in (old, other):
        states, _ = literal.full_pass(old.validation[0], literal.removal(r, r, 5))
        left.append(float((states[:-1] @ (r / r.norm())).abs().max()))
    assert left[0] < 1e-4 < 1e-1 < left[1]


# --- what it costs --------------------------------------------------------------------------------


def _literal_blocks(n_layers: int, n_pos: int, n_train: int, n_val: int) -> int:
    """n prompts a class: means and evaluation layers, baselines, three passes a candidate."""
    return n_layers * (4 * n_train + 2 * n_val + 3 * n_val * n_pos * n_layers)


def _our_blocks(
    n_layers: int, n_pos: int, n_train: int, n_val: int, kind: Kind, stop: int, first: int = 1
) -> int:
    """The same up to all scores, without KL. No block from `stop` on runs, and no candidate of a
    layer below `first`, where nothing points anywhere."""
    layers = range(first, deepest(n_layers))
    run_up = min(layers[-1], stop - 1)
    local = n_val * (n_pos * sum(max(0, stop - layer) for layer in layers) + run_up)
    removal = local if kind == "affine" else n_val * n_pos * stop * len(layers)
    return n_layers * (2 * n_train + 2 * n_val) + local + removal


def test_blocks_run_are_those_of_the_closed_form(case: Case) -> None:
    sizes = (case.n_layers, N_POS, N_TRAIN, N_VAL)
    assert case.literally == _literal_blocks(*sizes)
    assert case.both.scoring == _our_blocks(*sizes, case.kind, case.n_layers)
    assert case.alone.scoring == _our_blocks(*sizes, case.kind, max(case.scorer.low) + 1)


def test_fewer_blocks_are_run_than_by_the_literal_algorithm(case: Case) -> None:
    """KL of the choice included; wherever the evaluation layers lie, at the very end too."""
    least = {"linear": 2.35, "affine": 3.1}[case.kind]
    for blocks in (case.both.in_all, case.alone.in_all):
        ratio = case.literally / blocks
        assert ratio >= least, f"{case.kind}: {ratio:.2f} times fewer blocks than literally"


@pytest.mark.parametrize(
    ("family", "kind", "least"), [("qwen2", "linear", 4.6), ("falcon", "affine", 6.9)]
)
def test_cosmic_alone_ends_behind_its_evaluation_layers(
    family: str, kind: Kind, least: float
) -> None:
    case = _case(family, 12, kind, (6,))
    assert case.literally / case.alone.in_all >= least


@pytest.mark.parametrize(
    ("kind", "n_layers", "least", "in_the_middle"),
    [
        ("linear", 32, 2.4, 5.6),
        ("linear", 80, 2.35, 5.6),
        ("affine", 32, 3.15, 11.0),
        ("affine", 80, 3.1, 11.0),
    ],
)
def test_fewer_at_published_size(
    kind: Kind, n_layers: int, least: float, in_the_middle: float
) -> None:
    sizes = (n_layers, 5, 180, 100)
    for stop, wanted in ((n_layers, least), (n_layers // 2, in_the_middle)):
        ratio = _literal_blocks(*sizes) / _our_blocks(*sizes, kind, stop)
        assert ratio >= wanted, f"{kind}, {n_layers} layers: {ratio:.2f} times fewer"


def test_shapes_in_which_affine_edits_stay_below_three_times_fewer() -> None:
    """docs/cosmic.md states them: one position, and embeddings that hold positions."""
    shapes = [(12, 1, 1, 2.67), (32, 1, 1, 2.89), (12, 5, 0, 2.83), (32, 5, 0, 2.99)]
    for n_layers, n_pos, first, ratio in shapes:
        sizes = (n_layers, n_pos, 180, 100)
        ours = _our_blocks(*sizes, "affine", n_layers, first)
        assert _literal_blocks(*sizes) / ours == pytest.approx(ratio, abs=0.01)


def test_where_embeddings_hold_positions_layer_0_is_scored() -> None:
    bridge = _models("gpt2", 5)[1]
    train = (_prompts(N_TRAIN, 1, True), _prompts(N_TRAIN, 2, False))
    held_out = (_prompts(N_VAL, 3, True), _prompts(N_VAL, 4, False))
    ours = _ours(bridge, train, held_out, "affine", None, REFUSAL)
    assert ours.scoring == _our_blocks(5, N_POS, N_TRAIN, N_VAL, "affine", 5, first=0)
    assert np.isfinite(ours.scores[0]["comply"]).all()


def test_results_do_not_depend_on_the_batch_size() -> None:
    case = _case("qwen2", 12, "affine")
    old = case.scorer
    sides = (old.harmful, old.harmless)
    for size in (1, 256):
        other = Scorer(old.model, old.means, *sides, old.low, old.kind, REFUSAL, batch_size=size)
        for layer in (4, 2, 5):  # not in ascending order: the run-up is made anew
            for name, values in other.scores(layer).items():
                assert values == pytest.approx(case.scores[layer][name], abs=1e-5)


@pytest.mark.parametrize("kind", ["linear", "affine"])
@pytest.mark.parametrize("family", FAMILIES)
def test_without_refusal_tokens_no_block_behind_the_evaluation_layers_runs(
    family: str, kind: Kind
) -> None:
    """And the scores are the same, in every family."""
    bridge = _models(family, 5)[1]
    train = (_prompts(N_TRAIN, 1, True), _prompts(N_TRAIN, 2, False))
    means = class_means(bridge, train[0], train[1], n_positions=N_POS)
    given = (bridge, means, _prompts(2, 3, True), _prompts(2, 4, False), (2, 1), kind)
    seeing, blind = Scorer(*given, REFUSAL), Scorer(*given)
    _ = blind.baselines
    for layer in (1, 2, 3):
        wanted = seeing.scores(layer)
        with _counted(bridge, first=3) as rows:
            found = blind.scores(layer)
        assert not rows
        assert np.isnan(found["bypass"]).all() and np.isnan(found["induce"]).all()
        for name in ("comply", "refuse"):
            assert found[name] == pytest.approx(wanted[name], abs=1e-5)
            assert np.isfinite(found[name]).all()


# --- the choice -----------------------------------------------------------------------------------


def test_random_tables_are_decided_as_literally() -> None:
    """Coarse values, so that ties are common; some undefined."""
    rng, decided = np.random.default_rng(0), 0
    for _ in range(300):
        n_layers, n_pos = int(rng.integers(5, 15)), int(rng.integers(1, 6))
        values = rng.integers(-3, 4, size=(n_layers, n_pos, 5)) / 10
        values[..., 4] = 0.04 + 0.4 * np.abs(values[..., 4])
        values[..., :4][rng.random((n_layers, n_pos, 4)) < 0.05] = np.nan
        columns = range(-n_pos, 0)
        found = {(p, n): Scores(*values[n, p].tolist()) for p in columns for n in range(n_layers)}
        scores = {
            n: {name: values[n, :, k].tolist() for k, name in enumerate(NAMES)}
            for n in range(n_layers)
        }

        def kl(layer: int, position: int, values: Any = values) -> float:
            return float(values[layer, position, 4])

        literally = choose_cosmic(found, n_layers, peaks_below=int(0.8 * n_layers))
        assert _chosen(cosmic, scores, n_layers, kl) == literally
        assert _chosen(arditi, scores, n_layers, kl) == choose_arditi(found, n_layers)
        decided += literally is not None
    assert decided > 250
