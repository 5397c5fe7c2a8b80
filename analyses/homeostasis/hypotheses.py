"""The plan's four hypotheses, each with an effect, an interval and a verdict.

The rule, stated before the data (docs/homeostasis.md): at the last layer, with p adjusted over
the four (Benjamini–Hochberg),

    undecided            fewer than 20 pairs, or at most 0.1 of the change left without it
    equivalent to none   the effect lies within ± 0.1 of recovery (two one-sided tests)
    supported            effect > 0, also of the signed change, and the component itself changes
                         as hypothesised
    opposite             effect < 0, also of the signed change, or the component changes the
                         other way
    undecided            anything else
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analyses.homeostasis.mechanisms import SIDES
from analyses.homeostasis.recovery import cells, changes, complete, difference, why_undefined
from analyses.homeostasis.resampler import Resampler
from analyses.homeostasis.sample import Sample
from tl_geometry.bootstrap import BootstrapResult
from tl_geometry.resampling import mean_of
from tl_geometry.statistics import benjamini_hochberg

MARGIN = 0.1
"""Recovery that is too small to matter, chosen before any data."""
ALPHA = 0.05
READOUT_NAMES = {"r_v": "R_V", "residual_pr": "the residual stream's PR"}
MIN_PAIRS = 20
"""Below this, resampling has too few distinct samples for its p-values to mean what they say."""


@dataclass(frozen=True)
class Hypothesis:
    statement: str
    readout: str
    effect: tuple[str, str]
    """Two conditions: the effect is the difference of their recoveries."""
    released: tuple[str, str] | None = None
    """The same contribution from the other side, where there is one."""
    rises: str | None = None
    """The quantity that should rise behind the patch, if a direction is hypothesised."""
    first: int = 0
    """First block, counted from the patched one, whose component can answer the patch."""


HYPOTHESES: Mapping[str, Hypothesis] = {
    "mlp_compensation": Hypothesis(
        "MLP outputs expand and bring R_V back",
        "r_v",
        SIDES["mlp", "frozen"],
        SIDES["mlp", "released"],
        "mlp_expansion",
    ),
    "attention_compensation": Hypothesis(
        "Attention widens (entropy rises) and brings R_V back",
        "r_v",
        SIDES["pattern", "frozen"],
        None,
        "attention_entropy",
        1,
    ),
    "norm_compensation": Hypothesis(
        "The scales of the norms adjust and bring R_V back", "r_v", SIDES["norm", "frozen"]
    ),
    "residual_balancing": Hypothesis(
        "The residual stream's PR comes back beyond passive",
        "residual_pr",
        ("patched", "passive"),
    ),
}


def hypothesis_table(sample: Sample, resampler: Resampler) -> pd.DataFrame:
    """One row a hypothesis."""
    last = len(sample.layers) - 1
    rows = []
    for name, hypothesis in HYPOTHESES.items():
        result = difference(
            sample, hypothesis.readout, *hypothesis.effect, column=last, resampler=resampler
        )
        row: dict[str, object] = {
            "hypothesis": name,
            "statement": hypothesis.statement,
            "effect": "recovery({}) − recovery({})".format(*hypothesis.effect)
            + f" of {READOUT_NAMES[hypothesis.readout]}",
            "readout": hypothesis.readout,
            "layer": sample.layers[-1],
        }
        row |= cells(result, resampler.n) | _tests(result)
        row["left_without"] = _left(sample, hypothesis, last, resampler)
        row |= _prefixed("signed_", _signed(sample, hypothesis, last, resampler))
        row |= _prefixed("released_", _released(sample, hypothesis, last, resampler))
        row |= _prefixed("rise_", _rise(sample, hypothesis, resampler))
        rows.append(row)
    table = pd.DataFrame(rows)
    for p in ("p", "equivalence_p", "signed_p", "rise_p"):
        table[f"{p}_adjusted"] = benjamini_hochberg(table[p].to_numpy(float))
    table["verdict"], table["note"] = zip(*map(_verdict, table.to_dict("records")), strict=True)
    first = ["hypothesis", "verdict", "note"]
    return table.reindex(columns=[*first, *(c for c in table.columns if c not in first)])


def _tests(result: BootstrapResult | str) -> dict[str, float]:
    if isinstance(result, str):
        return {"p": np.nan, "equivalence_p": np.nan}
    return {"p": result.p_two_sided(), "equivalence_p": result.equivalence_p(MARGIN)}


def _left(sample: Sample, hypothesis: Hypothesis, column: int, resampler: Resampler) -> float:
    """The share of the change that is left in the comparison: no effect can be larger."""
    condition = hypothesis.effect[1]
    if condition not in sample.conditions or why_undefined(
        sample, hypothesis.readout, condition, resampler
    ):
        return float("nan")
    change = changes(sample, hypothesis.readout, condition)
    return float(change.size[:, column].sum() / np.abs(change.patch).sum())


def _signed(
    sample: Sample, hypothesis: Hypothesis, column: int, resampler: Resampler
) -> dict[str, object]:
    """The same effect on signed recovery: is the patch's own change taken back, or is there only
    more or less scatter around it?"""
    result = difference(
        sample, hypothesis.readout, *hypothesis.effect, column, resampler, signed=True
    )
    p = result.p_two_sided() if isinstance(result, BootstrapResult) else float("nan")
    return cells(result, resampler.n) | {"p": p}


def _released(
    sample: Sample, hypothesis: Hypothesis, column: int, resampler: Resampler
) -> dict[str, object]:
    if hypothesis.released is None:
        return cells("this component has no released side", resampler.n)
    first, second = hypothesis.released
    return cells(difference(sample, "r_v", first, second, column, resampler), resampler.n)


def _rise(sample: Sample, hypothesis: Hypothesis, resampler: Resampler) -> dict[str, object]:
    """Mean change of the hypothesised quantity, in the blocks that answer the patch and lie before
    the values of the last layer."""
    if hypothesis.rises is None:
        return cells("no direction is hypothesised", resampler.n) | {"p": np.nan}
    answering = sample.change(hypothesis.rises, "patched")[:, hypothesis.first : -1]
    if not answering.shape[1]:
        return cells("no block lies between the patch and the last layer", resampler.n) | {
            "p": np.nan
        }
    change = answering.mean(axis=1)
    if not complete(change).all():
        return cells("undefined in some pairs", resampler.n) | {"p": np.nan}
    result = resampler.bca(mean_of(change))
    return cells(result) | {"p": result.p_two_sided()}


def _prefixed(prefix: str, row: Mapping[str, object]) -> dict[str, object]:
    return {f"{prefix}{key}": value for key, value in row.items()}


def _verdict(row: Mapping[str, Any]) -> tuple[str, str]:
    if row["status"] != "ok":
        return "undecided", str(row["reason"])
    if row["n"] < MIN_PAIRS:
        return "undecided", f"{row['n']} pairs; a verdict needs at least {MIN_PAIRS}"
    if row["left_without"] <= MARGIN:
        gone = f"in the comparison {1 - row['left_without']:.0%} of the change is gone already"
        return "undecided", f"not testable here: {gone}, no effect could exceed {MARGIN}"
    if row["equivalence_p_adjusted"] < ALPHA:
        differs = ", though different from zero" if row["p_adjusted"] < ALPHA else ""
        return "equivalent to none", f"too small to matter: within ±{MARGIN} of recovery{differs}"
    if not row["p_adjusted"] < ALPHA:
        return "undecided", "after adjustment neither different from none nor within the margin"
    systematic = row["signed_p_adjusted"] < ALPHA
    if not systematic or row["signed_estimate"] * row["estimate"] < 0:
        return (
            "undecided",
            "the total |change| differs from the comparison, the signed change does not",
        )
    if row["estimate"] < 0:
        return "opposite", "less of the change is gone than without it"
    if HYPOTHESES[row["hypothesis"]].rises is None:
        return "supported", ""
    if row["rise_status"] != "ok":
        return "undecided", f"it contributes, but its own change is unknown: {row['rise_reason']}"
    if not row["rise_p_adjusted"] < ALPHA:
        return "undecided", "it contributes, but its own change has no clear sign"
    if row["rise_estimate"] < 0:
        return "opposite", "it brings R_V back while changing the other way than hypothesised"
    return "supported", ""
