"""Faults that a careless measure would not see: NaN, near-ties in 16 bit, one token very large."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import tiny, tokenizer
from torch import Tensor

from tl_geometry import sites
from tl_geometry.conformance.reading import logits, rows_alone, scales, shapes
from tl_geometry.conformance.subject import Subject, activations, gap, subject
from tl_geometry.conformance.writing import generation, other_values
from tl_geometry.generation import generate
from tl_geometry.models import wrap

pytestmark = pytest.mark.filterwarnings("ignore:A forward hook edited")  # a fault that is planted


def _fresh(dtype: torch.dtype = torch.float32) -> Subject:
    """A model of its own, to be broken."""
    plain = copy.deepcopy(tiny("mistral").plain).to(dtype)
    return subject(wrap(plain, tokenizer(), source="tiny/mistral", device="cpu"))


def _hooked(under_test: Subject, name: str, change: Callable[[Tensor], Tensor]) -> None:
    bridge: Any = under_test.bridge
    bridge.hook_dict[name].add_hook(lambda x, hook: change(x))


# --- NaN ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_agrees_with_nothing(bad: float) -> None:
    good, broken = torch.ones(2, 3), torch.ones(2, 3)
    broken[1, 1] = bad
    for got, expected in ((good, broken), (broken, good), (broken, broken)):
        assert gap(got, expected) == gap(got, expected, per=1) == math.inf
    assert gap(good, good) == gap(good, good, per=1) == 0.0


def _nan_at_one_place(x: Tensor) -> Tensor:
    new = x.clone()
    new[-1, -1, ..., 0] = math.nan
    return new


@pytest.mark.parametrize("check", [logits, rows_alone, shapes, other_values])
def test_a_nan_at_one_site_is_found(check: Callable[[Subject], Any]) -> None:
    under_test = _fresh()
    assert check(under_test).status == "ok"
    _hooked(under_test, sites.mlp_out(4), _nan_at_one_place)
    assert check(under_test).status == "failed"


def test_a_nan_in_a_scale_or_a_pattern_is_found() -> None:
    under_test = _fresh()
    _hooked(under_test, sites.FINAL_SCALE, _nan_at_one_place)
    assert scales(under_test).status == "failed"
    under_test = _fresh()
    _hooked(under_test, sites.pattern(4), _nan_at_one_place)
    assert shapes(under_test).status == rows_alone(under_test).status == "failed"


# --- near-ties in 16 bit --------------------------------------------------------------------------


def _tied(dtype: torch.dtype) -> tuple[Subject, int]:
    """Two tokens with the same logit, one of which the steered answer begins with."""
    under_test = _fresh(dtype)
    first = _steered(under_test)[0][0]
    head = under_test.plain.lm_head.weight
    with torch.no_grad():
        head[first + 1] = head[first]
    return under_test, first + 1


def _steered(under_test: Subject) -> list[list[int]]:
    """As the check of generation steers."""
    said: list[list[list[int]]] = []

    def heard(*args: Any, **options: Any) -> Tensor:
        out = generate(*args, **options)
        if options.get("edits"):
            said.append(out.tolist())
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tl_geometry.conformance.writing.generate", heard)
        generation(under_test)
    return said[0]


def _twin_prefers(under_test: Subject, token: int) -> None:
    def prefer(module: Any, given: Any, out: Tensor) -> Tensor:
        new = out.clone()
        new[..., token] += 0.01 * out.abs().amax(-1)
        return new

    under_test.plain.lm_head.register_forward_hook(prefer)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_tie_decided_otherwise_is_a_limit_of_16_bit(dtype: torch.dtype) -> None:
    under_test, second = _tied(dtype)
    _twin_prefers(under_test, second)
    result = generation(under_test)
    assert result.status == "limit" and "near-ties only" in result.detail


def test_a_tie_decided_otherwise_is_a_failure_of_32_bit() -> None:
    under_test, second = _tied(torch.float32)
    _twin_prefers(under_test, second)
    assert generation(under_test).status == "failed"


def _flipped(out: Tensor) -> Tensor:
    return out.flip(-1)


def _second_best(out: Tensor) -> Tensor:
    """The likeliest token is never said: a mild fault, as far as logits go."""
    return out.scatter(-1, out.argmax(-1, keepdim=True), float(out.min()))


@pytest.mark.parametrize("fault", [_flipped, _second_best])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_wrong_twin_is_no_near_tie(dtype: torch.dtype, fault: Callable[[Tensor], Tensor]) -> None:
    under_test = _fresh(dtype)
    assert generation(under_test).status in ("ok", "limit")
    under_test.plain.lm_head.register_forward_hook(lambda module, given, out: fault(out))
    assert generation(under_test).status == "failed"


# --- one very large token -------------------------------------------------------------------------


def _massive(under_test: Subject, layer: int) -> None:
    """The first token of every row becomes ten thousand times as large as the others."""

    def enlarge(x: Tensor) -> Tensor:
        new = x.clone()
        if len(new) == len(under_test.batch):
            first = under_test.batch.mask.argmax(-1)
            new[torch.arange(len(new)), first] *= 1e4
        else:
            new[:, 0] *= 1e4
        return new

    _hooked(under_test, sites.resid_post(layer), enlarge)


def _late_positions(change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.cat([x[:, :-2], change(x[:, -2:])], 1)


def test_a_massive_token_does_not_hide_a_wrong_scale_elsewhere() -> None:
    under_test = _fresh()
    _massive(under_test, 1)
    assert scales(under_test).status == "ok"
    seen, _ = activations(
        under_test.bridge, under_test.batch, [name := sites.block(2, "ln1.hook_scale")]
    )
    assert seen[name].max() > 1e3 * seen[name][:, -2:].max()
    _hooked(under_test, name, _late_positions(lambda x: 1.1 * x))
    assert scales(under_test).status == "failed"


def test_a_massive_token_does_not_hide_a_leak_between_rows() -> None:
    under_test = _fresh()
    _massive(under_test, 1)
    assert rows_alone(under_test).status == "ok"
    leak = _late_positions(lambda x: x + 0.01 * x[:1])
    _hooked(under_test, sites.resid_post(4), leak)
    assert rows_alone(under_test).status == "failed"
