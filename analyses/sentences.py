"""What all summaries say alike: whether a model is an embedded one, and numbers with intervals."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from figures.style import decimal
from tl_geometry.catalogue import ModelSpec, is_pocket

POCKET_BANNER = (
    "{names}: embedded miniatures, trained on one synthetic world. They are test subjects for the "
    "method; nothing here is evidence about large models."
)
ONE_POCKET_BANNER = (
    "{names} is an embedded miniature, trained on a synthetic world. It is a test subject for "
    "the method; nothing here is evidence about large models."
)


def pocket_banner(models: Iterable[ModelSpec]) -> str | None:
    """What has to be read first, where embedded miniatures are among the models."""
    names = list(dict.fromkeys(model.name for model in models if is_pocket(model)))
    if not names:
        return None
    return (POCKET_BANNER if len(names) > 1 else ONE_POCKET_BANNER).format(names=", ".join(names))


def interval(
    row: Mapping[str, Any], prefix: str = "", digits: int = 2, estimate: str = "estimate"
) -> str:
    """`0.12 [0.05, 0.20]`, or why there is none; ends and reason are `prefix` low, high, reason."""
    value, ends = row[estimate], [row[f"{prefix}low"], row[f"{prefix}high"]]
    if pd.isna(value):
        return f"undefined ({row[f'{prefix}reason']})"
    if any(pd.isna(end) for end in ends):
        return f"{decimal(value, digits)} (no interval: {row[f'{prefix}reason']})"
    return f"{decimal(value, digits)} [{', '.join(decimal(end, digits) for end in ends)}]"
