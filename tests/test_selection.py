"""Choosing among scored candidates: both rules on tables by hand."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tl_geometry.candidates import evaluation_layers
from tl_geometry.selection import NoDirectionError, arditi, cosmic

# --- both rules by hand ---------------------------------------------------------------------------


def _table(n_layers: int, n_pos: int, **peaks: Any) -> dict[int, Any]:
    """All alike, but for `name={(layer, position): value}`."""
    base = {"comply": 0.1, "refuse": 0.1, "bypass": 0.0, "induce": 1.0}
    rows: dict[int, Any] = {
        n: {name: [value] * n_pos for name, value in base.items()} for n in range(n_layers)
    }
    for name, values in peaks.items():
        for (layer, position), value in values.items():
            rows[layer][name][position] = value
    return rows


def _small(layer: int, position: int) -> float:
    return 0.01


def _large(layer: int, position: int) -> float:
    return 0.5


def _place(choice: Any) -> tuple[int, int]:
    return choice.layer, choice.position


def test_the_largest_sum_wins() -> None:
    scores = _table(10, 3, comply={(2, -2): 0.9, (4, -3): 0.8}, refuse={(4, -3): 0.7})
    choice = cosmic(scores, 10, _small)
    assert _place(choice) == (4, -3) and choice.rule == "cosmic"
    assert choice.score == pytest.approx(1.5) and choice.kl == 0.01


def test_the_least_bypass_wins() -> None:
    choice = arditi(_table(10, 3, bypass={(2, -2): -3.0, (4, -3): -2.0}), 10, _small)
    assert _place(choice) == (2, -2) and choice.rule == "arditi"
    assert choice.score == pytest.approx(-3)


@pytest.mark.parametrize(
    ("rule", "name", "value"), [(cosmic, "comply", 0.9), (arditi, "bypass", -1.0)]
)
def test_ties_go_to_the_earliest_position_then_the_lowest_layer(
    rule: Callable[..., Any], name: str, value: float
) -> None:
    tied = {(2, -1): value, (3, -2): value, (5, -2): value}
    assert _place(rule(_table(10, 3, **{name: tied}), 10, _small)) == (3, -2)


@pytest.mark.parametrize(("rule", "name"), [(cosmic, "refuse"), (arditi, "bypass")])
def test_undefined_scores_are_never_chosen_and_disturb_no_order(
    rule: Callable[..., Any], name: str
) -> None:
    nan, sign = float("nan"), 1 if rule is cosmic else -1
    better = {(n, -2): sign * (0.2 + 0.05 * n) for n in range(8)}
    scores = _table(10, 2, **{name: better | {(n, -1): nan for n in range(0, 10, 2)}})
    choice = rule(scores, 10, _small)
    assert _place(choice) == (7, -2)
    assert choice.discarded[0, -1] in ("score undefined", "last token, behind the peaks")
    everything = {(n, p): nan for n in range(10) for p in (-1, -2)}
    with pytest.raises(NoDirectionError, match="undefined"):
        rule(_table(10, 2, **{name: everything}), 10, _small)


@pytest.mark.parametrize(
    ("n_layers", "last"), [(10, 7), (5, 3), (12, 8), (32, 24), (42, 32), (3, 1), (1, 0)]
)
def test_the_last_fifth_is_never_chosen(n_layers: int, last: int) -> None:
    rising = {(n, -1): 0.5 + 0.01 * n for n in range(n_layers)}
    falling = {(n, -1): -float(n) for n in range(n_layers)}
    choice = cosmic(_table(n_layers, 1, comply=rising), n_layers, _small)
    assert choice.layer == last
    assert set(choice.discarded) == {(n, -1) for n in range(last + 1, n_layers)}
    assert arditi(_table(n_layers, 1, bypass=falling), n_layers, _small).layer == last


MEDIANS = {
    "comply": {(2, -4): 0.5, (3, -3): 0.5, (6, -2): 0.5},  # median 3
    "refuse": {(1, -4): 0.5, (4, -3): 0.5, (5, -2): 0.5},  # median 4
}


@pytest.mark.parametrize(("layer", "kept"), [(3, True), (4, True), (5, False), (7, False)])
def test_the_last_token_is_dropped_behind_both_medians(layer: int, kept: bool) -> None:
    peaks = {name: dict(values) for name, values in MEDIANS.items()}
    peaks["comply"][layer, -1] = 0.95
    choice = cosmic(_table(10, 4, **peaks), 10, _small)
    assert (_place(choice) == (layer, -1)) is kept
    assert ((layer, -1) in choice.discarded) is not kept


def test_of_two_middle_peaks_the_lower_counts() -> None:
    peaks = {name: {(2, -3): 0.5, (5, -2): 0.5} for name in ("comply", "refuse")}
    for layer, kept in ((2, True), (3, False)):
        changed = {**peaks, "comply": peaks["comply"] | {(layer, -1): 0.95}}
        choice = cosmic(_table(10, 3, **changed), 10, _small)
        assert (_place(choice) == (layer, -1)) is kept


def test_peaks_of_the_last_fifth_do_not_count() -> None:
    """The reference code lets them: our candidates end below, and the rest is never scored."""
    late = {(9, -2): 0.9, (4, -2): 0.5}
    scores = _table(10, 2, comply=late | {(6, -1): 0.95}, refuse=late)
    assert _place(cosmic(scores, 10, _small)) == (4, -2)
    fewer = {n: scores[n] for n in range(8)}
    assert _place(cosmic(fewer, 10, _small)) == (4, -2)


def test_undefined_scores_are_no_peaks() -> None:
    peaks = {name: {(0, -2): float("nan"), (5, -2): 0.5} for name in ("comply", "refuse")}
    peaks["comply"][5, -1] = 0.95
    assert _place(cosmic(_table(10, 2, **peaks), 10, _small)) == (5, -1)


def test_with_one_position_only_there_are_no_peaks_to_compare_with() -> None:
    assert _place(cosmic(_table(10, 1, comply={(7, -1): 0.9}), 10, _small)) == (7, -1)


def test_arditi_s_rule_knows_no_median() -> None:
    assert _place(arditi(_table(10, 4, **MEDIANS, bypass={(7, -1): -1.0}), 10, _small)) == (7, -1)


@pytest.mark.parametrize("induce", [0.0, -0.1, float("nan")])
def test_arditi_s_directions_induce_refusal(induce: float) -> None:
    scores = _table(10, 2, bypass={(3, -1): -2.0, (2, -1): -1.0}, induce={(3, -1): induce})
    choice = arditi(scores, 10, _small)
    assert _place(choice) == (2, -1)
    assert "induces no refusal" in choice.discarded[3, -1]


@pytest.mark.parametrize(
    ("kl", "by_cosmic", "by_arditi"),
    [
        (0.1 - 1e-9, True, True),
        (0.1, True, False),
        (0.1 + 1e-9, False, False),
        (math.nan, False, False),
    ],
)
def test_kl_at_its_limit(kl: float, by_cosmic: bool, by_arditi: bool) -> None:
    scores = _table(10, 2, comply={(3, -2): 0.9}, bypass={(3, -2): -1.0})

    def asked(layer: int, position: int) -> float:
        return kl if (layer, position) == (3, -2) else 0.0

    assert (_place(cosmic(scores, 10, asked)) == (3, -2)) is by_cosmic
    assert (_place(arditi(scores, 10, asked)) == (3, -2)) is by_arditi


def test_kl_is_asked_for_best_first_and_no_more_than_needed() -> None:
    scores = _table(10, 2, comply={(3, -2): 0.9, (4, -2): 0.8, (5, -2): 0.7})
    asked = []

    def kl(layer: int, position: int) -> float:
        asked.append((layer, position))
        return 0.5 if layer == 3 else 0.05

    choice = cosmic(scores, 10, kl)
    assert asked == [(3, -2), (4, -2)] and _place(choice) == (4, -2)
    assert choice.discarded[3, -2] == "changes harmless answers (KL 0.500)"


def test_nothing_that_passes_is_an_error_with_reasons() -> None:
    with pytest.raises(NoDirectionError, match="of 20 passes the rule of cosmic.*KL 0.500"):
        cosmic(_table(10, 2), 10, _large)
    with pytest.raises(NoDirectionError, match="arditi.*induces no refusal"):
        arditi(_table(10, 1, induce={(n, -1): -1.0 for n in range(10)}), 10, _small)


def test_a_choice_at_named_layers_only() -> None:
    scores = _table(
        10, 2, comply={(3, -2): 0.9, (5, -2): 0.7}, bypass={(3, -2): -2.0, (5, -2): -1.0}
    )
    for rule in (cosmic, arditi):
        assert _place(rule(scores, 10, _small, layers=[5, 6])) == (5, -2)
        with pytest.raises(NoDirectionError, match="not below layer 8"):
            rule(scores, 10, _small, layers=[8, 9])
        with pytest.raises(ValueError, match=r"layers \[12\] were not scored"):
            rule(scores, 10, _small, layers=[12])


def test_the_medians_are_those_of_all_layers_even_at_named_ones() -> None:
    peaks = {name: dict(values) for name, values in MEDIANS.items()}
    peaks["comply"][7, -1] = 0.95
    assert _place(cosmic(_table(10, 4, **peaks), 10, _small, layers=[7]))[1] != -1


@pytest.mark.parametrize(("n_layers", "n"), [(1, 1), (5, 1), (9, 1), (10, 1), (19, 1), (20, 2)])
def test_the_evaluation_layers_are_a_tenth_but_at_least_one(n_layers: int, n: int) -> None:
    angle = torch.linspace(0.1, 1.0, n_layers).flip(0)
    positive = torch.tensor([1.0, 0.0]).expand(n_layers, -1)
    negative = torch.stack([angle.cos(), angle.sin()], 1)
    assert evaluation_layers(positive, negative) == tuple(range(n))


def test_evaluation_layers_come_least_cosine_first_and_ties_lowest_first() -> None:
    cosines = torch.tensor([0.9] * 20)
    cosines[[4, 12, 17]] = torch.tensor([0.5, 0.2, 0.2])
    positive = torch.tensor([1.0, 0.0]).expand(20, -1)
    negative = torch.stack([cosines, (1 - cosines**2).sqrt()], 1)
    assert evaluation_layers(positive, negative) == (12, 17)
    assert evaluation_layers(positive, 3 * negative) == (12, 17)
