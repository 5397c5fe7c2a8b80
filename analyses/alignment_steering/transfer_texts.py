"""The texts of a transfer as token ids: the same texts for every pair, each in its own words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analyses.alignment_steering.extracting import longest, wording_of
from analyses.alignment_steering.plan import Pair, tokenizer_of
from analyses.alignment_steering.preferences import PreferencePair
from analyses.alignment_steering.texts import Text, Wording, encoded, why_foreign
from analyses.alignment_steering.transfer_plan import TransferPlan
from tl_geometry.prompts import Request
from tl_geometry.tokens import Ids

SETS: Mapping[str, str] = {
    "answers": "preferred answers to test prompts",
    "requests": "validation requests, before the answer",
    "neutral": "plain texts",
}
"""Held-out texts, by kind: the last token of each."""


@dataclass(frozen=True)
class Given:
    """What one pair's models read, by tokenizer and format of the instruct model."""

    fit: Sequence[Ids]
    held_out: Mapping[str, Sequence[Ids]]
    preference: Sequence[Text]
    requests: Sequence[tuple[Request, Ids]]
    calm: Sequence[Ids]
    """Validation requests, whose answers say what a model finds likely."""
    neutral: Sequence[Ids]


def fit_kinds(n: int) -> list[int]:
    """What is read of each preference pair: the preferred answer, the rejected one, no answer."""
    return [k % 3 for k in range(n)]


def all_given(plan: TransferPlan) -> tuple[dict[str, Given], dict[str, str]]:
    """Pair → its texts, in the same order for all; and why a pair has none.

    A preference pair that one model cannot read is left out for all of them.
    """
    words, read, failed = plan.wordings, dict[str, list[dict[str, Text]]](), dict[str, str]()
    kinds = (words.fit, words.held_out_pairs, words.preference)
    wording: dict[str, Wording] = {}
    for pair in plan.measurable:
        try:
            wording[pair.name] = wording_of(plan.config, pair)
            read[pair.name] = [_read(plan, pair, wording[pair.name], kind) for kind in kinds]
        except ValueError as error:
            failed[pair.name] = str(error)
    common = [
        [p.id for p in kind if all(p.id in found[k] for found in read.values())]
        for k, kind in enumerate(kinds)
    ]
    given = {name: _given(plan, wording[name], found, common) for name, found in read.items()}
    return given, failed


def _read(
    plan: TransferPlan, pair: Pair, wording: Wording, kind: Sequence[PreferencePair]
) -> dict[str, Text]:
    assert pair.base is not None and pair.base.size is not None
    texts = encoded(wording, kind, longest(plan.config, pair)).texts
    if len(texts) < 3:
        raise ValueError(f"{len(texts)} of {len(kind)} preference pairs can be read")
    base = tokenizer_of(pair.base.spec)
    if why := why_foreign(base, wording.tokenizer, texts, pair.base.size.vocabulary):
        raise ValueError(why)
    return {text.id: text for text in texts}


def _given(
    plan: TransferPlan,
    wording: Wording,
    found: Sequence[Mapping[str, Text]],
    common: Sequence[Sequence[str]],
) -> Given:
    words = plan.wordings
    fit, held_out, preference = (
        [texts[i] for i in ids] for texts, ids in zip(found, common, strict=True)
    )

    def plain(text: str) -> Ids:
        return list(wording.tokenizer(text, add_special_tokens=True)["input_ids"])

    return Given(
        # Of a pair, one text: with several, leaving out one would leave its twins in the fit. Some
        # end before the answer, where it is decided, others at its end, where vectors are made.
        fit=[
            [*t.prompt, *(t.chosen, t.rejected, ())[kind]]
            for t, kind in zip(fit, fit_kinds(len(fit)), strict=True)
        ],
        held_out={
            "answers": [[*t.prompt, *t.chosen] for t in held_out],
            "requests": [wording.request(r.text) for r in words.held_out_requests],
            "neutral": [plain(t.text) for t in words.held_out_neutral],
        },
        preference=preference,
        requests=[(r, wording.request(r.text)) for r in words.requests],
        calm=[wording.request(r.text) for r in words.calm],
        neutral=[plain(t.text) for t in words.neutral],
    )
