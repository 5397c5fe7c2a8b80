"""Which self-observing text is patched into which plain one: disjoint pairs of equal length."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from tl_geometry.prompts.banks import Prompt, check_unique

_STREAM = 0x7061_6972
"""Keeps the draws of this module apart from others made from the same seed."""


@dataclass(frozen=True)
class Pair:
    """`donor`'s values replace those of `target`."""

    target: Prompt
    donor: Prompt


@dataclass(frozen=True)
class Pairing:
    """Pairs in random order (so that the first few are a fair sample), and what was left out."""

    pairs: tuple[Pair, ...]
    excluded: tuple[tuple[Prompt, str], ...]
    """Recursive and plain prompts that could not be used, each with the reason."""


def pairs(
    bank: Sequence[Prompt],
    n: int,
    seed: int,
    lengths: Mapping[str, int],
    *,
    min_length: int = 1,
) -> Pairing:
    """`n` pairs of a plain target and a recursive donor; every prompt stands in one pair at most.

    `lengths` gives each prompt's tokens by id, as the model at hand counts them. Every group of
    either kind gives the same number of prompts (± 1, unless it runs out); under that condition
    the summed |length difference| is the smallest there is, and ties are broken by `seed`. Same
    prompts in any order, same lengths, same seed: same pairs.

    Prompts below `min_length` are listed in `excluded`. ValueError where `n` is more than the
    bank supports, or where an id is repeated or has no length.
    """
    check_unique(bank)
    sides = [sorted((p for p in bank if p.kind == k), key=_id) for k in ("recursive", "plain")]
    if unknown := [p.id for side in sides for p in side if p.id not in lengths]:
        raise ValueError(
            f"no length is given for {len(unknown)} prompts, the first of them {unknown[0]!r}; "
            "give `lengths` for every recursive and plain prompt"
        )
    donors, targets = ([p for p in side if lengths[p.id] >= min_length] for side in sides)
    excluded = tuple(
        (p, f"{lengths[p.id]} tokens, at least {min_length} needed")
        for side in sides
        for p in side
        if lengths[p.id] < min_length
    )
    _check_enough(n, len(donors), len(targets), len(excluded), min_length)

    rng = np.random.default_rng([seed, _STREAM])
    chosen = _matched(donors, targets, n, lengths, rng)
    order = rng.permutation(len(chosen))
    return Pairing(
        tuple(Pair(targets[chosen[i][1]], donors[chosen[i][0]]) for i in order), excluded
    )


def _id(prompt: Prompt) -> str:
    return prompt.id


def _check_enough(n: int, donors: int, targets: int, excluded: int, min_length: int) -> None:
    most = min(donors, targets)
    if 1 <= n <= most:
        return
    raise ValueError(
        f"{n} pairs are asked for, and the bank supports {f'1 to {most}' if most else 'none'}: "
        f"{donors} recursive and {targets} plain prompts of at least {min_length} tokens "
        f"({excluded} are shorter); "
        "ask for fewer pairs or add prompts"
    )


def _matched(
    donors: Sequence[Prompt],
    targets: Sequence[Prompt],
    n: int,
    lengths: Mapping[str, int],
    rng: np.random.Generator,
) -> list[tuple[int, int]]:
    """(donor, target) indices of the cheapest assignment in which every group keeps its quota.

    A group that must leave s prompts out gets s stand-ins on the other side, which only its
    own prompts may take, at no cost. Stand-ins never meet, so exactly n real pairs remain.
    """
    # Imported here because it takes longer to load than a command line may take for its help.
    from scipy.optimize import linear_sum_assignment

    rows = _stand_ins(targets, n, rng)
    columns = _stand_ins(donors, n, rng)
    cost = np.full((len(donors) + len(rows), len(targets) + len(columns)), np.inf)
    cost[: len(donors), : len(targets)] = _distances(donors, targets, lengths, rng)
    for donor, prompt in enumerate(donors):
        free = np.array([group == prompt.group for group in columns], bool)
        cost[donor, len(targets) :][free] = 0
    for target, prompt in enumerate(targets):
        free = np.array([group == prompt.group for group in rows], bool)
        cost[len(donors) :, target][free] = 0
    assigned = zip(*(index.tolist() for index in linear_sum_assignment(cost)), strict=True)
    return [(d, t) for d, t in assigned if d < len(donors) and t < len(targets)]


def _distances(
    donors: Sequence[Prompt],
    targets: Sequence[Prompt],
    lengths: Mapping[str, int],
    rng: np.random.Generator,
) -> Float[np.ndarray, "donor target"]:
    """|length difference|, plus noise that sums to less than one token and so only breaks ties."""
    donor, target = (np.array([lengths[p.id] for p in side], float) for side in (donors, targets))
    noise = rng.random((len(donors), len(targets))) / (len(donors) + len(targets))
    return np.abs(donor[:, None] - target[None, :]) + noise


def _stand_ins(side: Sequence[Prompt], n: int, rng: np.random.Generator) -> list[str]:
    """For each group, its name as often as it must leave a prompt out for `n` to remain."""
    sizes = Counter(p.group for p in side)
    kept = Counter[str]()
    groups = rng.permutation(sorted(sizes)).tolist()
    while kept.total() < n:
        open_groups = [group for group in groups if kept[group] < sizes[group]]
        kept.update(open_groups[: n - kept.total()])
    return list((sizes - kept).elements())
