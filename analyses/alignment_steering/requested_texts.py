"""Which requests a step asks: hashed, so that the order of a bank decides nothing."""

from collections.abc import Sequence

from tl_geometry.pocket.splits import digest
from tl_geometry.prompts import NeutralText, Request

BAND = 24
"""Validation requests whose answers say how likely a model finds its own words."""


def chosen_requests(bank: Sequence[Request], split: str, n: int, seed: int) -> tuple[Request, ...]:
    """`n` harmful ones and then `n` harmless ones. ValueError where the split has fewer."""
    there = sorted((r for r in bank if r.split == split), key=lambda r: digest(seed, r.id))
    sides = [[r for r in there if r.harmful == harmful][:n] for harmful in (True, False)]
    if min(map(len, sides)) < n:
        raise ValueError(
            f"{n} {split} requests a side are asked for, and there are "
            f"{len([r for r in there if r.harmful])} harmful and "
            f"{len([r for r in there if not r.harmful])} harmless ones: ask for fewer"
        )
    return (*sides[0], *sides[1])


def calm_requests(bank: Sequence[Request], seed: int) -> tuple[Request, ...]:
    """Requests to find the band of likelihood with: nothing that is reported is among them."""
    return chosen_requests(bank, "validation", BAND // 2, seed)


def chosen_neutral(bank: Sequence[NeutralText], n: int, seed: int) -> tuple[NeutralText, ...]:
    return tuple(sorted(bank, key=lambda text: digest(seed, text.id))[:n])
