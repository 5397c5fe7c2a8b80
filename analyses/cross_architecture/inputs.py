"""What a loaded model adds to the plan: token lengths, usable texts, and pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analyses.cross_architecture.measure import PairIds
from analyses.cross_architecture.plan import Plan
from tl_geometry.models import Model
from tl_geometry.patching import Ids
from tl_geometry.prompts import Pair, Prompt, halves, pairs
from tl_geometry.tokens import encode

SAID_TOKENS = 12
"""Length of the scored continuations."""

Missing = tuple[str, str, str]
"""(what, id, reason) of something that was left out."""


@dataclass(frozen=True)
class Inputs:
    """Texts and pairs of one model."""

    texts: Mapping[str, tuple[Prompt, Ids]]
    """Every text that is long enough, by id."""
    search: Mapping[str, PairIds]
    """Pairs of the choosing half, by `target|donor`."""
    measured: Mapping[str, PairIds]
    """Pairs of the measuring half."""
    missing: tuple[Missing, ...]


def inputs(plan: Plan, model: Model) -> Inputs:
    """ValueError where the bank does not have enough texts of the window's length."""
    window, seed = plan.config.window, plan.config.seed
    ids = dict(
        zip((p.id for p in plan.bank), _ids(model, [p.text for p in plan.bank]), strict=True)
    )
    mixed = _ids(model, [_mixed(p, seed) for p in plan.bank])
    shuffled = dict(zip((p.id for p in plan.bank), mixed, strict=True))
    with_bos = n_bos(model)
    lengths = {key: min(len(ids[key]), len(shuffled[key])) - with_bos for key in ids}
    usable = [p for p in plan.bank if lengths[p.id] >= window]
    missing = tuple(
        ("prompt", p.id, f"{lengths[p.id]} tokens, the window is {window}")
        for p in plan.bank
        if lengths[p.id] < window
    )
    choosing, measuring = halves(usable)
    search = pairs(choosing, plan.config.search_pairs, seed, lengths, min_length=window).pairs
    measured = pairs(measuring, plan.n_pairs, seed, lengths, min_length=window).pairs
    targets = {pair.target.id for pair in measured}
    spare = [p for p in measuring if p.kind == "plain" and p.id not in targets]
    foreign = _matched(measured, spare, lengths)
    said = _continuations(choosing, ids, with_bos, max(len(measured), len(search)))
    own = {p.donor.id: p.target for p in search}

    def pair_ids(pair: Pair, other: Prompt, k: int) -> PairIds:
        target, donor = ids[pair.target.id], ids[pair.donor.id]
        return PairIds(target, donor, ids[other.id], shuffled[pair.donor.id], said[k])

    return Inputs(
        texts={p.id: (p, ids[p.id]) for p in usable},
        search={
            # Patches from other plain texts are not searched, so any text will do here.
            name(p): pair_ids(p, own[p.donor.id], k)
            for k, p in enumerate(search)
        },
        measured={
            name(p): pair_ids(p, other, k)
            for k, (p, other) in enumerate(zip(measured, foreign, strict=True))
        },
        missing=missing,
    )


def name(pair: Pair) -> str:
    return f"{pair.target.id}|{pair.donor.id}"


def _ids(model: Model, texts: Sequence[str]) -> list[Ids]:
    return [tuple(row) for row in encode(model, texts)]


def n_bos(model: Model) -> int:
    """1 where the tokenizer puts a beginning-of-sequence token before plain text."""
    return int(encode(model, ["a"])[0][0] == model.tokenizer.bos_token_id)


def _mixed(prompt: Prompt, seed: int) -> str:
    """The same words in a random order that belongs to the prompt."""
    rng = np.random.default_rng([seed, *prompt.id.encode()])
    return " ".join(rng.permutation(prompt.text.split()).tolist())


def _matched(
    chosen: Sequence[Pair], plain: Sequence[Prompt], lengths: Mapping[str, int]
) -> list[Prompt]:
    """For each pair a plain text that is nobody's target, as long as the donor; each is used once.

    Not of the choosing half: its plain texts made the chosen layer stand out.
    """
    from scipy.optimize import linear_sum_assignment

    if len(plain) < len(chosen):
        raise ValueError(
            f"{len(chosen)} pairs need as many further plain texts of the measuring half for the "
            f"control `other_plain`, and {len(plain)} are left: ask for fewer --pairs"
        )
    donors = np.array([lengths[pair.donor.id] for pair in chosen])
    cost = np.abs(donors[:, None] - np.array([lengths[p.id] for p in plain]))
    return [plain[k] for k in linear_sum_assignment(cost)[1]]


def _continuations(
    choosing: Sequence[Prompt], ids: Mapping[str, Ids], skip: int, n: int
) -> list[tuple[Ids, Ids]]:
    """Openings of a self-observing and a plain text, which no measured pair has."""
    openings = {
        kind: [
            ids[p.id][skip : skip + SAID_TOKENS]
            for p in sorted(choosing, key=lambda p: p.id)
            if p.kind == kind and len(ids[p.id]) >= skip + SAID_TOKENS
        ]
        for kind in ("recursive", "plain")
    }
    rng = np.random.default_rng(0)
    sides = [[found[i] for i in rng.permutation(len(found))] for found in openings.values()]
    return [(sides[0][k % len(sides[0])], sides[1][k % len(sides[1])]) for k in range(n)]
