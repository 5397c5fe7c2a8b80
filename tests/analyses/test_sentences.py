"""What all summaries say alike."""

from typing import Any

import numpy as np
import pytest

from analyses.sentences import interval, pocket_banner
from tl_geometry.catalogue import resolve


def test_the_banner_names_every_embedded_model_once() -> None:
    names = ("pocket-llama", "gpt2", "pocket-mistral", "pocket-llama")
    several = pocket_banner(resolve(name) for name in names)
    assert several is not None and several.startswith("pocket-llama, pocket-mistral: embedded")
    one = pocket_banner([resolve("pocket-llama")])
    assert one is not None and one.startswith("pocket-llama is an embedded miniature")
    assert all("nothing here is evidence about large models" in said for said in (one, several))
    assert pocket_banner([resolve("gpt2")]) is None


@pytest.mark.parametrize(
    ("value", "low", "said"),
    [
        (0.1234, -0.0004, "0.123 [0.000, 0.200]"),
        (-0.5, -0.7, "−0.500 [−0.700, 0.200]"),
        (0.1234, np.nan, "0.123 (no interval: no spread)"),
        (np.nan, np.nan, "undefined (no spread)"),
    ],
)
def test_a_number_is_said_with_its_interval_or_why_it_has_none(
    value: float, low: float, said: str
) -> None:
    row: dict[str, Any] = {"eta": value, "eta_low": low, "eta_high": 0.2}
    assert interval(row | {"eta_reason": "no spread"}, "eta_", 3, "eta") == said
