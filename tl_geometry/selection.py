"""Choosing one direction of many: Arditi's rule and COSMIC, from scores under intervention.

Both rules see validation prompts only. What they choose is reported on prompts that no rule saw.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

MAX_DEPTH = 0.8
"""Directions from the last fifth of the layers write output tokens rather than meaning."""
MAX_KL = 0.1
"""A direction whose removal changes harmless answers by more (nats) is no refusal direction."""

Place = tuple[int, int]
"""(layer, position): position −1 is the last token of the prompt."""
KL = Callable[[int, int], float]
Scores = Mapping[int, Mapping[str, Sequence[float]]]
"""Layer → score → one number a position, last token last (`Scorer.scores`)."""


@dataclass(frozen=True)
class Choice:
    """The chosen place, and why the better ones were not chosen."""

    rule: Literal["arditi", "cosmic"]
    layer: int
    position: int
    score: float
    """Sum of both cosines (COSMIC, at best 2); mean refusal log-odds when removed (Arditi)."""
    kl: float
    discarded: Mapping[Place, str] = field(default_factory=dict)
    """Candidates that scored better, or were never in question, with the reason."""


class NoDirectionError(ValueError):
    """No candidate passes the rule's filters: an answer, and not a fault of the program."""


def deepest(n_layers: int) -> int:
    """Layers below int(0.8 · L) are candidates."""
    return max(1, int(MAX_DEPTH * n_layers))


def table(scores: Scores, name: str) -> Float[np.ndarray, "layer pos"]:
    """One score of all candidates, layers ascending."""
    return np.array([scores[layer][name] for layer in sorted(scores)], float)


def cosmic(scores: Scores, n_layers: int, kl: KL, layers: Sequence[int] | None = None) -> Choice:
    """argmax of S_comply + S_refuse over what passes the filters (Siu et al. 2025, §3.3).

    Ties go to the earliest position, then to the lowest layer. `kl` is asked for as few candidates
    as possible, best first: the choice is the same. With `layers`, the best of these only
    ("at depth x"). NoDirectionError if nothing passes.
    """
    discarded = {**_too_deep(scores, n_layers), **_late_last_tokens(scores, n_layers)}
    total = _similarity(scores)
    places = _places(scores, layers)
    discarded |= _undefined(total, places)
    order = _ordered(places, lambda at: -_at(total, at))
    return _first_that_passes("cosmic", order, total, discarded, kl)


def arditi(scores: Scores, n_layers: int, kl: KL, layers: Sequence[int] | None = None) -> Choice:
    """The least refusal with the direction removed (`bypass`), among those that induce refusal
    (`induce` > 0), keep KL < 0.1 and lie below 0.8 L: Arditi et al. 2024, appendix C.

    Ties, `kl`, `layers` and NoDirectionError as for `cosmic`.
    """
    bypass = {layer: np.array(row["bypass"], float) for layer, row in scores.items()}
    places = _places(scores, layers)
    discarded = _too_deep(scores, n_layers)
    for layer, position in places:
        induce = scores[layer]["induce"][position]
        if not induce > 0:
            discarded.setdefault((layer, position), f"induces no refusal ({induce:.2f})")
    discarded |= _undefined(bypass, places)
    order = _ordered(places, lambda at: _at(bypass, at))
    return _first_that_passes("arditi", order, bypass, discarded, kl)


def by_score(rule: Literal["arditi", "cosmic"], scores: Scores, kl: KL) -> Choice:
    """The best place by a score alone, whatever the rule's filters say: for a layer that is given
    ("at depth x"). COSMIC: the sum of its cosines. Arditi: `induce`, since what is asked of a
    direction there is to induce refusal; `bypass` asks what its removal does. `kl` tells what the
    filter would have said. Ties as for `cosmic`; NoDirectionError where no score is defined."""
    best = _similarity(scores) if rule == "cosmic" else _induced(scores)
    places = _places(scores, None)
    undefined = _undefined(best, places)
    order = [at for at in _ordered(places, lambda at: -_at(best, at)) if at not in undefined]
    if not order:
        raise NoDirectionError(f"no candidate of {len(places)} has a score for the rule of {rule}")
    return Choice(rule, *order[0], float(_at(best, order[0])), kl(*order[0]))


def _similarity(scores: Scores) -> dict[int, np.ndarray]:
    return {layer: np.add(row["comply"], row["refuse"]) for layer, row in scores.items()}


def _induced(scores: Scores) -> dict[int, np.ndarray]:
    return {layer: np.array(row["induce"], float) for layer, row in scores.items()}


def _first_that_passes(
    rule: Literal["arditi", "cosmic"],
    order: Sequence[Place],
    score: Mapping[int, np.ndarray],
    discarded: dict[Place, str],
    kl: KL,
) -> Choice:
    for place in order:
        if place in discarded:
            continue
        changed = kl(*place)
        # COSMIC drops what exceeds 0.1, Arditi keeps what is below: they differ at 0.1 exactly.
        if changed < MAX_KL or (rule == "cosmic" and changed == MAX_KL):
            return Choice(rule, *place, float(_at(score, place)), changed, discarded)
        discarded[place] = f"changes harmless answers (KL {changed:.3f})"
    reasons = "; ".join(sorted(set(discarded.values()))[:3])
    raise NoDirectionError(f"no candidate of {len(order)} passes the rule of {rule}: {reasons}")


def _places(scores: Scores, layers: Sequence[int] | None) -> list[Place]:
    chosen = sorted(scores) if layers is None else sorted(set(layers) & set(scores))
    if not chosen:
        raise ValueError(f"layers {list(layers or ())} were not scored; scored: {sorted(scores)}")
    n = len(next(iter(scores.values()))["comply"])
    return [(layer, position) for layer in chosen for position in range(-n, 0)]


def _ordered(places: Sequence[Place], key: Callable[[Place], float]) -> list[Place]:
    """Least first, undefined last: compared with NaN, everything would come out of order."""
    return sorted(places, key=lambda at: (np.isnan(key(at)), key(at), at[1], at[0]))


def _undefined(score: Mapping[int, np.ndarray], places: Sequence[Place]) -> dict[Place, str]:
    """Where the classes do not differ at all (layer 0 behind the user's words) nothing points."""
    return {place: "score undefined" for place in places if np.isnan(_at(score, place))}


def _at(values: Mapping[int, np.ndarray], place: Place) -> float:
    return values[place[0]][place[1]]


def _too_deep(scores: Scores, n_layers: int) -> dict[Place, str]:
    last = deepest(n_layers)
    return {at: f"not below layer {last}" for at in _places(scores, None) if at[0] >= last}


def _late_last_tokens(scores: Scores, n_layers: int) -> dict[Place, str]:
    """The last token scores spuriously high in late layers: it is dropped behind both medians.

    Of each other position, take the layer of its peak, then the median over positions (the lower
    one of two, as in the reference code); once for each score. Peaks are looked for among the
    layers that are candidates at all.
    """
    layers = np.array([layer for layer in sorted(scores) if layer < deepest(n_layers)])
    n = len(next(iter(scores.values()))["comply"])
    if n < 2 or not len(layers):
        return {}
    latest = max(_median_peak(scores, layers, name) for name in ("comply", "refuse"))
    return {
        (int(layer), -1): "last token, behind the peaks of the others"
        for layer in sorted(scores)
        if layer > latest
    }


def _median_peak(scores: Scores, layers: np.ndarray, name: str) -> float:
    values = np.array([scores[layer][name][:-1] for layer in layers.tolist()], float)
    peaks = np.where(np.isnan(values), -np.inf, values).argmax(axis=0)
    return float(np.quantile(layers[peaks], 0.5, method="lower"))
