"""How refusals begin, in planted worlds; and which candidate a score alone prefers."""

from collections.abc import Mapping
from math import nan
from typing import Any

import pytest
import torch
from tiny import tiny
from torch import Tensor

from analyses.refusal.openings import Opening, opening
from tl_geometry.models import Model
from tl_geometry.selection import NoDirectionError, by_score
from tl_geometry.tokens import TokenBatch

HARM, CALM, TURN = 70, 71, 5
"""Markers of harmful and harmless requests, and the token that ends a request."""
HARMFUL = [[0, 90, HARM, TURN], [0, HARM, TURN], [0, 91, 92, HARM, TURN]]
HARMLESS = [[0, CALM, TURN], [0, 90, 93, CALM, TURN]]
World = Mapping[tuple[bool, tuple[int, ...]], Mapping[int, float]]
"""(harmful?, what is answered so far) → probabilities of the next token."""


def found(world: World, monkeypatch: pytest.MonkeyPatch) -> Opening:
    """The opening of a model that goes on as the world says; what is left goes to token 299."""

    def logits(_: Model, batch: TokenBatch) -> Tensor:
        rows = []
        for ids, mask in zip(batch.ids, batch.mask, strict=True):
            tokens = ids[mask.bool()].tolist()
            said = tuple(tokens[tokens.index(TURN) + 1 :])
            given = world[HARM in tokens, said]
            p = torch.full((300,), 1e-9)
            p[299] += 1 - sum(given.values())
            p[list(given)] = torch.tensor(list(given.values()))
            rows.append(p.log())
        return torch.stack(rows)

    monkeypatch.setattr("analyses.refusal.openings.last_logits", logits)
    return opening(tiny("mistral").bridge, HARMFUL, HARMLESS)


def test_nothing_is_read_over_where_the_first_token_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    world: World = {
        (True, ()): {10: 0.5, 11: 0.25, 20: 0.2},
        (False, ()): {10: 0.05, 20: 0.6, 21: 0.3},
    }
    known = found(world, monkeypatch)  # nothing behind the first token is ever asked for
    assert (known.shared, known.refusal) == ((), (10, 11))
    assert known.separation == pytest.approx(0.45 + 0.25, abs=1e-5)
    assert known.after([[1, 2]]) == [[1, 2]]


def test_a_shared_first_token_is_read_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "I'm sorry" and "I like": the first token tells a little, the second all."""
    world: World = {
        (True, ()): {10: 0.8, 11: 0.15},
        (False, ()): {10: 0.9},
        (True, (10,)): {20: 0.7, 21: 0.2},
        (False, (10,)): {20: 0.1, 21: 0.8},
    }
    known = found(world, monkeypatch)
    assert (known.shared, known.refusal) == ((10,), (20,))
    assert known.separation == pytest.approx(0.6, abs=1e-5)
    assert known.after([[1, 2], [3]]) == [[1, 2, 10], [3, 10]]


def test_two_shared_tokens_are_read_over_and_no_third(monkeypatch: pytest.MonkeyPatch) -> None:
    alike: World = {
        (harmful, said): {next_token: 1.0 - 1e-6}
        for harmful in (True, False)
        for said, next_token in (((), 10), ((10,), 20), ((10, 20), 30))
    }
    parting: World = {
        **alike,
        (True, (10, 20)): {40: 0.9},
        (False, (10, 20)): {41: 0.9},
    }
    known = found(parting, monkeypatch)
    assert (known.shared, known.refusal) == ((10, 20), (40,))
    # They part only behind the third: nobody looks there.
    assert found(alike, monkeypatch) == Opening((), (), 0.0)


def test_where_nothing_tells_well_the_place_that_tells_best_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world: World = {
        (True, ()): {10: 0.8, 11: 0.1},
        (False, ()): {10: 0.8},
        (True, (10,)): {20: 0.6, 21: 0.3},
        (False, (10,)): {20: 0.6},
        (True, (10, 20)): {30: 0.6, 31: 0.2},
        (False, (10, 20)): {30: 0.6},
    }
    known = found(world, monkeypatch)
    assert (known.shared, known.refusal) == ((10,), (21,))
    assert known.separation == pytest.approx(0.3, abs=1e-5)


@pytest.mark.parametrize(
    ("refusing", "answering", "opens"),
    [
        (0.5, 0.2, False),  # more, but not four times as likely
        (0.5, 0.12, True),
        (0.021, 0.002, False),  # ten times as likely, but by less than 0.02
        (0.024, 0.002, True),
        (0.2, 0.4, False),  # opens answers
    ],
)
def test_a_token_opens_refusals_if_it_is_likelier_there_by_ratio_and_difference(
    refusing: float, answering: float, opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first: World = {(True, ()): {10: refusing}, (False, ()): {10: answering}}
    alike: World = {(h, said): {} for h in (True, False) for said in ((299,), (299, 299))}
    said = (10,) if refusing >= 0.5 else (299,)
    alike = alike | {(h, (*said, *more)): {} for h in (True, False) for more in ((), (299,))}
    known = found(first | alike, monkeypatch)
    assert known.shared == () and known.refusal == ((10,) if opens else ())


# --- a score alone --------------------------------------------------------------------------------

SCORES: dict[int, dict[str, list[float]]] = {
    2: {
        "comply": [0.1, 0.9, 0.5],
        "refuse": [0.2, -0.5, 0.5],
        "bypass": [9.0, -9.0, 0.0],
        "induce": [3.0, -1.0, 2.0],
    },
    3: {
        "comply": [0.3, nan, 0.5],
        "refuse": [0.3, 2.0, 0.25],
        "bypass": [-99.0, nan, 1.0],
        "induce": [nan, 4.0, nan],
    },
}


def kl(layer: int, position: int) -> float:
    return layer + position / 10


def test_cosmic_goes_by_the_sum_of_cosines_and_arditi_by_what_induces_refusal() -> None:
    chosen = by_score("cosmic", SCORES, kl)
    assert (chosen.layer, chosen.position, chosen.score) == (2, -1, 1.0)
    assert chosen.rule == "cosmic" and chosen.kl == pytest.approx(1.9)
    chosen = by_score("arditi", SCORES, kl)
    assert (chosen.layer, chosen.position, chosen.score, chosen.rule) == (3, -2, 4.0, "arditi")
    assert not chosen.discarded


def test_no_filter_is_asked() -> None:
    """Too deep, the last token, any KL, refusal made less likely: it is taken all the same."""
    deep: Any = {99: {"comply": [-1.0], "refuse": [-0.5], "bypass": [5.0], "induce": [-7.0]}}
    for rule, score in (("cosmic", -1.5), ("arditi", -7.0)):
        chosen = by_score(rule, deep, lambda *_: 50.0)  # pyright: ignore[reportArgumentType] # rule is a str
        assert (chosen.layer, chosen.position, chosen.score, chosen.kl) == (99, -1, score, 50.0)


def test_what_is_undefined_never_wins() -> None:
    layer: Any = {4: {**SCORES[3], "induce": [nan, nan, -50.0]}}
    assert by_score("arditi", layer, kl).position == -1
    assert by_score("cosmic", {3: SCORES[3]}, kl).position == -1
    nowhere: Any = {4: dict.fromkeys(("comply", "refuse", "bypass", "induce"), [nan, nan])}
    for rule in ("arditi", "cosmic"):
        with pytest.raises(NoDirectionError, match=f"no candidate of 2 has a score .* {rule}"):
            by_score(rule, nowhere, kl)  # pyright: ignore[reportArgumentType] # rule is a str


def test_ties_go_to_the_earliest_position_and_then_to_the_lowest_layer() -> None:
    same: Any = dict.fromkeys(("comply", "refuse", "bypass", "induce"), [0.5, 0.5])
    layers: Any = {7: same, 6: same}
    for rule in ("arditi", "cosmic"):
        chosen = by_score(rule, layers, kl)  # pyright: ignore[reportArgumentType] # rule is a str
        assert (chosen.layer, chosen.position) == (6, -2)
        # An earlier position goes before a lower layer.
        late = {name: [0.1, 0.5] for name in same}
        early = {name: [0.5, 0.1] for name in same}
        crossed: Any = {7: early, 6: late}
        chosen = by_score(rule, crossed, kl)  # pyright: ignore[reportArgumentType] # rule is a str
        assert (chosen.layer, chosen.position) == (7, -2)
