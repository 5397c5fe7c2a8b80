"""The notebook interface: one patching object for any model."""

from typing import Any

import numpy as np
import pytest

from analyses.cross_architecture import UniversalActivationPatching
from analyses.cross_architecture.measure import sweep
from tl_geometry.prompts import load_bank

EARLY = 5


@pytest.fixture(scope="module")
def patcher(pocket: Any) -> UniversalActivationPatching:
    return UniversalActivationPatching("pocket-mistral", pocket)


@pytest.fixture(scope="module")
def pairs() -> list[tuple[str, str]]:
    bank = load_bank("pocket")
    plain, recursive = (
        [p.text for p in bank if p.kind == kind][::30] for kind in ("plain", "recursive")
    )
    return list(zip(plain, recursive, strict=True))


def log_r_v(pocket: Any, text: str) -> np.ndarray:
    (row,) = sweep(pocket, [tuple(pocket.tokenizer(text)["input_ids"])], 16)
    values = np.log(row["pr_value"])
    return values - values[EARLY]


def test_layers_are_those_of_the_model(patcher: UniversalActivationPatching) -> None:
    assert (patcher.num_layers, patcher.early_layer) == (32, EARLY)


def test_the_critical_layer_is_where_welch_s_t_is_largest(
    patcher: UniversalActivationPatching, pocket: Any, pairs: list[tuple[str, str]]
) -> None:
    from scipy.stats import ttest_ind

    plain, recursive = (
        np.array([log_r_v(pocket, pair[side])[EARLY + 1 :] for pair in pairs]) for side in (0, 1)
    )
    tested: Any = ttest_ind(recursive, plain, equal_var=False)
    t = np.abs(tested.statistic)
    assert patcher.find_critical_layer(pairs) == EARLY + 1 + t.argmax()
    # First and last are both searched; the early layer, 0 in every text, never wins.
    assert patcher.find_critical_layer(pairs, (20, 30)) == 20 + t[20 - EARLY - 1 :][:11].argmax()
    assert patcher.find_critical_layer(pairs, (5, 6)) == 6
    assert patcher.find_critical_layer(pairs, (9, 9)) == 9


def test_a_patch_moves_log_r_v_at_its_layer_to_the_donor_s_late_pr(
    patcher: UniversalActivationPatching, pocket: Any, pairs: list[tuple[str, str]]
) -> None:
    base, rec = pairs[0]
    patched, before = patcher.patch_v_at_layer(base, rec, 27), patcher.baseline(base)
    assert list(before["r_v"]) == list(range(32)) and before["r_v"][EARLY] == 1
    assert np.log(list(before["r_v"].values())) == pytest.approx(log_r_v(pocket, base), abs=1e-6)
    delta = patcher.measure_rv_delta(patched, before)
    assert list(delta) == [27, 28, 29, 30, 31] and patched["definitional"] == (27,)
    # The identity: the donor's PR at the site over the target's at the early layer.
    raw = [sweep(pocket, [tuple(pocket.tokenizer(t)["input_ids"])], 16)[0] for t in (base, rec)]
    late = [np.log(row["pr_value"][27]) for row in raw]
    assert delta[27] == pytest.approx(late[1] - late[0], abs=1e-5)
    assert all(delta.values()) and patched["next_token_kl"] > 0
    assert list(patched["residual_pr"]) == list(delta)


def test_own_values_change_nothing(
    patcher: UniversalActivationPatching, pairs: list[tuple[str, str]]
) -> None:
    text = pairs[0][0]
    patched = patcher.patch_v_at_layer(text, text, 20)
    delta = patcher.measure_rv_delta(patched, patcher.baseline(text))
    assert list(delta.values()) == pytest.approx([0] * 12, abs=1e-6)
    assert patched["next_token_kl"] == 0


def test_what_cannot_be_measured_is_refused_with_what_to_change(
    patcher: UniversalActivationPatching, pairs: list[tuple[str, str]]
) -> None:
    base, rec = pairs[0]
    for short in ((base, "Too short"), ("Too short", rec)):
        with pytest.raises(ValueError, match=r"'Too short' has \d tokens, the window is 16"):
            patcher.patch_v_at_layer(*short, 27)
        with pytest.raises(ValueError, match=r"'Too short' has \d tokens, the window is 16"):
            patcher.find_critical_layer([*pairs[:2], short])
    with pytest.raises(ValueError, match="two prompts or more in each"):
        patcher.find_critical_layer(pairs[:1])
    for layers in ((20, 32), (-1, 20)):
        with pytest.raises(ValueError, match="this model has layers 0 to 31"):
            patcher.find_critical_layer(pairs, layers)
    for layer in (3, EARLY):
        with pytest.raises(ValueError, match="does not lie behind the early layer 5"):
            patcher.patch_v_at_layer(base, rec, layer)
    with pytest.raises(ValueError, match="this model has layers 0 to 31"):
        patcher.patch_v_at_layer(base, rec, 32)


def test_a_hugging_face_model_needs_its_tokenizer_and_then_is_the_same(
    patcher: UniversalActivationPatching, pairs: list[tuple[str, str]]
) -> None:
    from plain import Checkpoint

    checkpoint = Checkpoint("pocket-mistral")
    with pytest.raises(ValueError, match="needs its tokenizer"):
        UniversalActivationPatching("mine", checkpoint.plain)
    mine = UniversalActivationPatching("mine", checkpoint.plain, checkpoint.tokenizer)
    assert mine.baseline(pairs[0][1]) == patcher.baseline(pairs[0][1])
