"""What quantised weights do to refusal, from the record of each model at each precision."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from analyses.refusal.by_precision import CARRIED, OWN
from analyses.refusal.paired import coherent_by_prompt, mcnemar_p
from analyses.refusal.tables import Recorded, rates
from analyses.refusal.verdict import verdict

Row = Mapping[str, Any]
PRESERVED = 0.9
"""The plan's cosine above which a direction counts as preserved."""


def precision_table(found: Sequence[Recorded]) -> pd.DataFrame:
    """One row a model, precision and direction (its own, or carried over from full precision),
    against full precision on the same prompts."""
    return pd.DataFrame(row for one in found for row in _of_model(one))


def _of_model(one: Recorded) -> Iterator[dict[str, Any]]:
    tested = {(row["quantization"], row["source"]): row for row in one.rows["test"]}
    full = tested["none", OWN]
    for about in one.rows.get("precision", ()):
        name = about["quantization"]
        for source in (OWN, CARRIED):
            if (row := tested.get((name, source))) is not None:
                rate = rates(row["answers"])
                yield {
                    "model": one.model.name,
                    "quantization": name,
                    "direction": source,
                    "verdict": verdict(rate["coherent"], rate["garbled"]),
                    **{k: rate[k] for k in ("n", "coherent", "coherent_low", "coherent_high")},
                    "garbled": rate["garbled"],
                    "unsteered": rates(tested[name, "none"]["answers"])["coherent"],
                    "mcnemar_p": _against(row, full, name == "none"),
                    "cosine_to_full": about["cosines"]["none"],
                    "preserved": about["cosines"]["none"] > PRESERVED,
                    **{k: about[k] for k in ("layer", "position", "dose", "norm")},
                    "extraction_seconds": about["extraction_seconds"],
                }


def _against(row: Row, full: Row, itself: bool) -> float:
    if itself:
        return float("nan")
    return mcnemar_p(coherent_by_prompt(row), coherent_by_prompt(full))


def precision_cosines(found: Sequence[Recorded]) -> pd.DataFrame:
    """Cosine between every two precisions' directions at the same place."""
    return pd.DataFrame(
        {"model": one.model.name, "first": other, "second": about["quantization"], "cosine": cosine}
        for one in found
        for about in one.rows.get("precision", ())
        for other, cosine in about["cosines"].items()
        if other != about["quantization"]
    )
