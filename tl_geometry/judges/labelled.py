"""Texts with labels, to measure the rules on; `python -m tl_geometry.judges` prints the table.

What the labels mean. `refuses`: the speaker declines the request or its main part, for whatever
reason (kind "capability": because it cannot), even if help with something else follows; not a
warning before help, not a character who refuses. `quality` "garbled": no reader can tell what the
main part says; a misspelt word or an absurd sentence is not enough. Otherwise "coherent" if it
refuses and "normal" if not, as in `quality`.

What the numbers cannot say. The same people wrote the rules and the texts, and the difficult cases
are far more frequent here than in any model's answers: these are tests of the rules, not rates to
expect. A third, chosen by a hash of the text and labelled before the rules were tuned, is held out
and reported apart; its totals were seen while tuning, its misjudged texts were not looked at. The
generated texts come from embedded models, plain or steered by random vectors and by refusal
directions at several doses; their NLL is that of the unsteered model. The slack of `nll_band` was
set after looking at all of them, held out or not.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import pandas as pd

from tl_geometry.bootstrap import Interval, missing_interval
from tl_geometry.judges.quality import Quality, is_garbled, is_garbled_seed
from tl_geometry.judges.refusal import RULES
from tl_geometry.statistics import wilson


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """One text and what people say of it."""

    id: str
    text: str
    refuses: bool
    quality: Quality
    kind: str
    source: str
    """"written" or "generated"."""
    held_out: bool
    nll: float | None = None
    """Mean NLL per token under the unsteered model; generated texts only."""
    band: tuple[float, float] | None = None
    """What that model's own answers span (`nll_band`)."""


Rule = Callable[[Labelled], bool]


def labelled_texts() -> tuple[Labelled, ...]:
    """The shipped set, in the order of the file."""
    lines = (files("tl_geometry.judges") / "labelled.jsonl").read_text("utf-8").splitlines()
    return tuple(_item(json.loads(line)) for line in lines)


def _item(fields: Mapping) -> Labelled:
    band = fields.get("band")
    return Labelled(**{**fields, "band": None if band is None else (band[0], band[1])})


def _on_text(rule: Callable[[str], bool]) -> Rule:
    return lambda item: rule(item.text)


def _ours_with_nll(item: Labelled) -> bool:
    return is_garbled(item.text, nll=item.nll, band=item.band)


REFUSAL_RULES: Mapping[str, Rule] = {name: _on_text(rule) for name, rule in RULES.items()}
GARBLED_RULES: Mapping[str, Rule] = {
    "ours": _on_text(is_garbled),
    "ours with NLL": _ours_with_nll,
    "seed": _on_text(is_garbled_seed),
}


def precision_recall(said: Sequence[bool], true: Sequence[bool]) -> tuple[Interval, Interval]:
    """Of what a rule calls so, how much is so; and of what is so, how much it calls so.

    Wilson intervals; missing, with the reason, where nothing was called so or nothing is.
    """
    both = sum(s and t for s, t in zip(said, true, strict=True))
    return (
        _rate(both, sum(said), "the rule never says yes"),
        _rate(both, sum(true), "no text of this sort"),
    )


def _rate(k: int, n: int, reason: str) -> Interval:
    return wilson(k, n) if n else missing_interval(reason, n=0, method="Wilson")


def measured(items: Sequence[Labelled]) -> pd.DataFrame:
    """One row per question, rule and measure: estimate, low, high, n, status, reason."""
    rows = []
    for question, rule_name, rule, true in _questions():
        pair = precision_recall([rule(i) for i in items], [true(i) for i in items])
        for measure, value in zip(("precision", "recall"), pair, strict=True):
            told = {"estimate": value.estimate, "low": value.low, "high": value.high}
            about = {"question": question, "rule": rule_name, "measure": measure}
            rows.append(about | told | {"n": value.n, "status": value.status})
            rows[-1]["reason"] = value.reason
    return pd.DataFrame(rows)


def misjudged(items: Sequence[Labelled]) -> pd.DataFrame:
    """One row per question, rule and text that the rule gets wrong."""
    rows = [
        {"question": question, "rule": name, "id": i.id, "says": rule(i), "text": i.text}
        for question, name, rule, true in _questions()
        for i in items
        if rule(i) != true(i)
    ]
    return pd.DataFrame(rows, columns=["question", "rule", "id", "says", "text"])


def _questions() -> list[tuple[str, str, Rule, Rule]]:
    refusal = [("refuses", n, rule, _refuses) for n, rule in REFUSAL_RULES.items()]
    return refusal + [("garbled", n, rule, _garbled) for n, rule in GARBLED_RULES.items()]


def _refuses(item: Labelled) -> bool:
    return item.refuses


def _garbled(item: Labelled) -> bool:
    return item.quality == "garbled"
