"""A direction that was planted in a tiny model is found, and without the plant it is not."""

from collections.abc import Callable
from typing import Any

import pytest
from tiny import tokenizer

from analyses.refusal import planted
from tl_geometry.candidates import Kind


@pytest.mark.parametrize("layer", [3, 6])
@pytest.mark.parametrize(("kind", "rule"), planted.RULES)
def test_a_planted_direction_is_found(kind: Kind, rule: Callable[..., Any], layer: int) -> None:
    found = planted.found(layer, 3.0, kind, rule, tokenizer())
    assert found is not None
    # What block `layer` writes is there in the state that enters the next.
    assert abs(found[0] - (layer + 1)) <= 1 and found[1] > 0.95, found


@pytest.mark.parametrize(("kind", "rule"), planted.RULES)
def test_without_the_plant_it_is_not_found(kind: Kind, rule: Callable[..., Any]) -> None:
    found = planted.found(6, 0.0, kind, rule, tokenizer())
    assert found is None or abs(found[1]) < 0.5, found
