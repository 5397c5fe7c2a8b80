"""Every family, shipped or tiny and random, passes every check; and the checks can fail."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny import ALL, tiny

from tl_geometry import sites, twins
from tl_geometry.catalogue import MODELS, is_pocket
from tl_geometry.conformance.checks import CHECKS, run_check
from tl_geometry.conformance.reading import logits, one_bos, rows_alone, scales, shapes
from tl_geometry.conformance.results import Result
from tl_geometry.conformance.subject import Subject, subject
from tl_geometry.conformance.writing import (
    exception,
    generation,
    other_values,
    own_values,
    resuming,
    writable,
)
from tl_geometry.models import load_model

POCKET = [name for name, spec in MODELS.items() if is_pocket(spec) and spec.local]
LIMITS = {
    "one BOS": {f"tiny {family}" for family in ALL},
    "pattern writable": {"tiny opt"},
    "logits": {f"pocket-{family}" for family in ("falcon", "falcon-base", "phi3", "phi3-base")},
}
"""Every known limit, by name: tiny models have no chat template, OPT's patterns are read-only, and
TransformerLens takes padding for the beginning in lists of strings where a family has none."""


@pytest.fixture(scope="module", params=[*POCKET, *(f"tiny {family}" for family in ALL)])
def candidate(request: pytest.FixtureRequest) -> tuple[str, Subject]:
    name: str = request.param
    tiny_one = name.startswith("tiny ")
    model = tiny(name.removeprefix("tiny ")).bridge if tiny_one else load_model(name)
    return name, subject(model)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_family_conforms(
    candidate: tuple[str, Subject], check: Callable[[Subject], Result]
) -> None:
    name, under_test = candidate
    result = run_check(check, under_test)
    known = name in LIMITS.get(result.check, ())
    assert result.status == ("limit" if known else "ok"), result


@pytest.fixture
def fresh() -> Subject:
    """A model of its own, to be broken."""
    tiny.cache_clear()
    made = subject(tiny("mistral").bridge)
    tiny.cache_clear()
    return made


def _hooked(bridge: Any, name: str, change: Callable[[Any], Any]) -> None:
    """A permanent fault in the bridge alone: its plain twin knows nothing of it."""
    bridge.hook_dict[name].add_hook(lambda x, hook: change(x))


def _first_row_leaks(x: torch.Tensor) -> torch.Tensor:
    return x + 0.1 * x[:1]


def test_a_bridge_that_computes_something_else_is_found(fresh: Subject) -> None:
    _hooked(fresh.bridge, sites.mlp_out(3), lambda x: 1.01 * x)
    assert logits(fresh).status == other_values(fresh).status == "failed"


def test_rows_that_leak_are_found(fresh: Subject) -> None:
    _hooked(fresh.bridge, sites.mlp_out(1), _first_row_leaks)
    assert rows_alone(fresh).status == "failed"


@pytest.mark.filterwarnings("ignore:A forward hook edited")  # which is the fault that is planted
def test_a_wrong_scale_and_a_leaking_pattern_are_found(fresh: Subject) -> None:
    _hooked(fresh.bridge, sites.block(2, "ln1.hook_scale"), lambda x: 1.1 * x)
    assert scales(fresh).status == "failed"
    _hooked(fresh.bridge, sites.pattern(2), lambda x: x + 0.01)
    assert shapes(fresh).status == "failed"


def test_state_that_survives_a_pass_is_found(fresh: Subject) -> None:
    drift = [0.0]

    def drifting(x: torch.Tensor) -> torch.Tensor:
        drift[0] += 0.01
        return x + drift[0]

    _hooked(fresh.bridge, sites.mlp_out(3), drifting)
    for check in (own_values, exception, resuming):
        assert check(fresh).status == "failed"


def test_a_twin_that_says_something_else_is_found(fresh: Subject) -> None:
    fresh.plain.lm_head.register_forward_hook(lambda m, given, out: out.flip(-1))
    assert generation(fresh).status == "failed"


def test_a_pattern_that_is_only_shown_is_a_limit_and_no_failure() -> None:
    result = writable(subject(tiny("opt").bridge))
    assert result.status == "limit" and "freeze_pattern" in result.detail


def test_two_beginnings_are_found(pocket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    template = pocket.tokenizer.chat_template
    monkeypatch.setattr(pocket.tokenizer, "chat_template", "{{ bos_token }}" + template)
    assert one_bos(subject(pocket)).status == "failed"


def test_whatever_a_model_raises_is_an_answer(fresh: Subject) -> None:
    def broken(_: Subject) -> Result:
        raise KeyError("no such hook\nmore")

    result = run_check(broken, fresh)
    assert result.status == "failed" and "KeyError" in result.detail


def test_a_model_without_a_twin_is_refused(fresh: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twins, "_twins", {})
    with pytest.raises(ValueError, match="load_model"):
        subject(fresh.bridge)


def test_the_command_prints_a_table_and_says_whether_the_model_can_be_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from tl_geometry.conformance.__main__ import Config, main

    assert main(Config(model="pocket-mistral")) == 0
    said = capsys.readouterr().out
    assert "this model can be used" in said and said.count(" ok ") == len(CHECKS)
    assert main(Config(model="pocket-mistrl")) == 2
    assert "nearest names" in capsys.readouterr().err
