"""What is measured, against plain Hugging Face hooks, closed forms and planted compensation."""

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from tiny import FAMILIES, Tiny, tiny

from analyses.homeostasis.conditions import CONDITIONS, SAME_AS, PairTokens, held, row_plan
from analyses.homeostasis.measure import Setup, measure
from analyses.homeostasis.patches import held_sites, patched
from analyses.homeostasis.resampler import other_target
from tl_geometry import sites
from tl_geometry.capture import last_logits, observed, residual_before
from tl_geometry.geometry import participation_ratio
from tl_geometry.interventions import edited, frozen, is_writable, replaced
from tl_geometry.tokens import pad

PATCH, EARLY, WINDOW, LAST = 2, 1, 16, 4


def some_pairs(n: int = 4) -> list[PairTokens]:
    generator = torch.Generator().manual_seed(7)

    def text(length: int) -> tuple[int, ...]:
        return (0, *torch.randint(3, 259, (length,), generator=generator).tolist())

    targets = [text(20 + 3 * i) for i in range(n)]
    donors = [text(27 - 2 * i) for i in range(n)]
    others = [targets[other_target(i, n)] for i in range(n)]
    return [
        PairTokens(t, d, o, f"t{i}", f"d{i}")
        for i, (t, d, o) in enumerate(zip(targets, donors, others, strict=True))
    ]


def setup_for(bridge: Any, *conditions: str, patch: int = PATCH) -> Setup:
    chosen = conditions or CONDITIONS
    if not is_writable(bridge, sites.pattern(LAST)):
        chosen = tuple(c for c in chosen if c != "freeze_pattern")
    return Setup(patch_layer=patch, early_layer=EARLY, window=WINDOW, seed=3, conditions=chosen)


def pr(record: dict[str, Any], condition: str, metric: str = "pr_value") -> list[float]:
    return record["metrics"][metric][condition]


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> Tiny:
    return tiny(request.param)


def test_rows_know_their_text_their_twin_and_their_donor() -> None:
    pairs = some_pairs(2)
    plan = row_plan(pairs, ["patched", "reverse", "self", "other_plain", "freeze_mlp"])
    # Two targets and two donors; each target is the other's "other plain", so no fifth text.
    assert plan.texts == (pairs[0].target, pairs[0].donor, pairs[1].target, pairs[1].donor)
    assert plan.twin.tolist() == [0, 1, 2, 3, 0, 2, 1, 3, 0, 2, 0, 2, 0, 2]
    assert plan.donor.tolist() == [0, 1, 2, 3, 1, 3, 0, 2, 0, 2, 2, 0, 1, 3]
    assert plan.rows("patched").tolist() == [4, 5]
    assert held(plan, "mlp").tolist() == [*range(12), 0, 2]
    assert held(plan, "norm").tolist() == list(range(14))


def test_writing_own_values_back_changes_exactly_nothing(model: Tiny) -> None:
    for record in measure(model.bridge, some_pairs(), setup_for(model.bridge)):
        for metric, rows in record["metrics"].items():
            assert rows["self"] == rows["unpatched"], metric
        assert pr(record, "self", "residual_change") == [0.0] * 3
        assert pr(record, "self", "next_token_kl") == [0.0]


def test_at_the_patch_layer_the_read_out_is_the_closed_form(model: Tiny) -> None:
    for record in measure(model.bridge, some_pairs(), setup_for(model.bridge)):
        donor = pr(record, "unpatched_donor")[0]
        for same in ("patched", "shuffled_rows", "passive", "freeze_mlp", "freeze_norm"):
            assert pr(record, same)[0] == pytest.approx(donor, rel=1e-9)
        assert pr(record, "reverse")[0] == pytest.approx(pr(record, "unpatched")[0], rel=1e-9)
        assert pr(record, "random_residual")[0] == pr(record, "unpatched")[0]
        assert pr(record, "gaussian")[0] != pytest.approx(donor, rel=1e-3)


def test_each_pair_gives_the_numbers_that_it_gives_alone(model: Tiny) -> None:
    pairs, setup = some_pairs(), setup_for(model.bridge)
    together = measure(model.bridge, pairs, setup)
    for record, pair in zip(together, pairs, strict=True):
        (alone,) = measure(model.bridge, [pair], setup)
        for metric, rows in record["metrics"].items():
            for condition, values in rows.items():
                expected = alone["metrics"][metric][condition]
                assert values == pytest.approx(expected, rel=2e-3, abs=2e-4), (metric, condition)


@pytest.mark.parametrize("family", ["mistral", "gemma2"])
def test_patched_r_v_equals_plain_hooks_and_singular_values(family: str) -> None:
    model, (pair, *_) = tiny(family), some_pairs()
    (record,) = measure(model.bridge, [pair], setup_for(model.bridge))
    donor = plain_values(model.plain, pair.donor, None)
    patched = plain_values(model.plain, pair.target, donor[PATCH])
    target = plain_values(model.plain, pair.target, None)
    for name, route in (("unpatched", target), ("patched", patched), ("unpatched_donor", donor)):
        expected = [by_svd(route[layer]) for layer in range(PATCH, LAST + 1)]
        assert pr(record, name) == pytest.approx(expected, rel=1e-4)
    assert record["pr_early"]["target"] == pytest.approx(by_svd(target[EARLY]), rel=1e-5)
    assert record["profile_pr_value"]["donor"] == pytest.approx(
        [by_svd(donor[layer]) for layer in range(LAST + 1)], rel=1e-4
    )


def plain_values(
    plain: Any, text: tuple[int, ...], donor: torch.Tensor | None
) -> dict[int, torch.Tensor]:
    """V of every layer from the untouched model, by hooks on `v_proj`; patched if a donor is
    given. The independent route: no bridge, no batch, no resuming, no Gram matrix."""
    kept: dict[int, torch.Tensor] = {}

    def hook(layer: int) -> Callable[..., torch.Tensor]:
        def act(module: Any, args: Any, values: torch.Tensor) -> torch.Tensor:
            if donor is not None and layer == PATCH:
                values = torch.cat([values[:, :-WINDOW], donor[None]], dim=1)
            kept[layer] = values[0, -WINDOW:]
            return values

        return act

    handles = [
        block.self_attn.v_proj.register_forward_hook(hook(n))
        for n, block in enumerate(plain.model.layers)
    ]
    try:
        with torch.inference_mode():
            plain(torch.tensor([text]))
    finally:
        for handle in handles:
            handle.remove()
    return kept


def by_svd(values: torch.Tensor) -> float:
    energy = torch.linalg.svdvals(values.double()).square()
    return float(energy.sum() ** 2 / energy.square().sum())


@pytest.mark.parametrize("component", ["mlp", "attention", "pattern", "norm"])
def test_a_freeze_in_the_batch_equals_recording_first_and_writing_after(component: str) -> None:
    model, (pair, *_) = tiny("gemma2"), some_pairs()
    bridge = model.bridge
    (record,) = measure(bridge, [pair], setup_for(bridge))
    names = held_sites(bridge, component, PATCH)
    target, donor = pad(bridge, [pair.target]), pad(bridge, [pair.donor])
    kept = read(bridge, target, *names)
    (values,) = read(bridge, donor, sites.value(PATCH)).values()
    late = {sites.value(n): n for n in range(PATCH, LAST + 1)}
    with (
        replaced(bridge, sites.value(PATCH), values[:, -WINDOW:]),
        edited(bridge, {name: lambda _, name=name: kept[name].clone() for name in names}),
    ):
        got = read(bridge, target, *late)
    expected = [participation_ratio(got[n][:, -WINDOW:].flatten(2)).item() for n in late]
    assert pr(record, f"freeze_{component}") == pytest.approx(expected, rel=1e-4)


def read(bridge: Any, batch: Any, *names: str) -> dict[str, torch.Tensor]:
    got: dict[str, torch.Tensor] = {}
    with observed(bridge, {n: (lambda x, n=n: got.__setitem__(n, x.clone())) for n in names}):
        last_logits(bridge, batch)
    return {name: got[name] for name in names}


def test_released_is_the_other_component_held() -> None:
    # Stated in conditions.SAME_AS and so never measured twice: shown once, the long way.
    bridge, pairs = tiny("mistral").bridge, some_pairs(1)
    held = {"mlp", "attention"}
    for released, same in SAME_AS.items():
        (still_held,) = held - {released.removeprefix("release_")}
        assert same == f"freeze_{still_held}"
    (record,) = measure(bridge, pairs, setup_for(bridge))
    assert pr(record, "passive") != pr(record, "freeze_mlp") != pr(record, "freeze_attention")


def test_what_is_pushed_at_random_is_as_large_as_the_patch(model: Tiny) -> None:
    bridge, (pair, *_) = model.bridge, some_pairs()
    setup = setup_for(bridge, "patched", "passive", "random_residual")
    plan = row_plan([pair], setup.conditions)
    got: dict[str, torch.Tensor] = {}
    texts = pad(bridge, plan.texts)
    batch = texts.rows(plan.twin)
    with (
        patched(bridge, plan, [pair], PATCH, WINDOW, 3),
        observed(bridge, {sites.attn_out(PATCH): lambda x: got.__setitem__("out", x.clone())}),
    ):
        last_logits(bridge, batch)
    change = (got["out"] - got["out"][plan.twin])[:, -WINDOW:].norm(dim=-1)
    pushed, reference = (change[plan.rows(c)] for c in ("random_residual", "patched"))
    torch.testing.assert_close(pushed, reference, rtol=1e-3, atol=1e-5)
    assert (reference > 0).all()


def test_each_patch_writes_what_its_condition_says(model: Tiny) -> None:
    bridge, pairs = model.bridge, some_pairs(2)
    conditions = ("patched", "other_plain", "reverse", "gaussian", "mean_only", "shuffled_rows")
    plan = row_plan(pairs, conditions)
    got: dict[str, torch.Tensor] = {}
    with (
        patched(bridge, plan, pairs, PATCH, WINDOW, 3),
        observed(bridge, {sites.value(PATCH): lambda x: got.__setitem__("v", x.clone())}),
    ):
        last_logits(bridge, pad(bridge, plan.texts).rows(plan.twin))
    v = got["v"][:, -WINDOW:].flatten(2).double()
    index = {text: row for row, text in enumerate(plan.texts)}
    for i, pair in enumerate(pairs):
        own, donor, other = (v[index[text]] for text in (pair.target, pair.donor, pair.other or ()))
        new = {c: v[plan.rows(c)[i]] for c in conditions}
        assert torch.equal(new["patched"], donor)
        assert torch.equal(new["other_plain"], other) and not torch.equal(other, own)
        assert torch.equal(new["reverse"], own)
        torch.testing.assert_close(
            new["gaussian"].norm(dim=1), donor.norm(dim=1), rtol=1e-5, atol=0
        )
        assert not torch.allclose(new["gaussian"], donor)
        moved = new["mean_only"]
        torch.testing.assert_close(moved.mean(0), donor.mean(0), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(moved - moved.mean(0), own - own.mean(0), rtol=1e-4, atol=1e-5)
        assert not torch.equal(new["shuffled_rows"], donor)
        order = new["shuffled_rows"][:, 0].argsort(), donor[:, 0].argsort()
        assert torch.equal(new["shuffled_rows"][order[0]], donor[order[1]])


def test_random_draws_do_not_depend_on_the_batch_and_do_on_the_seed() -> None:
    bridge, pairs = tiny("mistral").bridge, some_pairs()
    setup = setup_for(bridge, "patched", "gaussian")
    first, second = measure(bridge, pairs, setup)[2], measure(bridge, pairs[2:3], setup)[0]
    assert pr(first, "gaussian")[0] == pytest.approx(pr(second, "gaussian")[0], rel=1e-6)
    other = Setup(**{**setup.__dict__, "seed": 4})
    third = measure(bridge, pairs[2:3], other)[0]
    assert pr(third, "gaussian")[0] != pytest.approx(pr(second, "gaussian")[0], rel=1e-6)


def test_parallel_blocks_do_not_answer_in_the_patched_block() -> None:
    falcon = tiny("falcon").bridge
    assert held_sites(falcon, "mlp", 3) == [sites.mlp_out(4)]
    assert held_sites(falcon, "norm", 3) == ["blocks.4.ln1.hook_scale", sites.FINAL_SCALE]
    mistral = tiny("mistral").bridge
    assert held_sites(mistral, "mlp", 3) == [sites.mlp_out(3), sites.mlp_out(4)]
    assert "blocks.3.ln2.hook_scale" in held_sites(mistral, "norm", 3)
    assert "blocks.3.ln1.hook_scale" not in held_sites(mistral, "norm", 3)


def test_entropy_counts_real_keys_only_and_its_share_reaches_one_when_uniform() -> None:
    bridge, (pair, *_) = tiny("mistral").bridge, some_pairs()

    def uniform(pattern: torch.Tensor) -> torch.Tensor:
        return (pattern > 0) / (pattern > 0).sum(-1, keepdim=True)

    with edited(bridge, {sites.pattern(3): uniform}):
        (record,) = measure(bridge, [pair], setup_for(bridge, "patched", "self"))
    n = len(pair.target)
    expected = sum(math.log(n - k) for k in range(WINDOW)) / WINDOW
    assert pr(record, "unpatched", "attention_entropy")[1] == pytest.approx(expected, rel=1e-5)
    assert pr(record, "unpatched", "attention_entropy_share")[1] == pytest.approx(1, rel=1e-5)


@contextmanager
def compensating_mlp(bridge: Any, pairs: list[PairTokens], conditions: Any) -> Iterator[None]:
    """Plant what the analysis looks for: an MLP that takes the patch's change back out."""
    twin = row_plan(pairs, conditions).twin
    change: list[torch.Tensor] = []

    def remember(attn: torch.Tensor) -> torch.Tensor:
        if len(attn) == len(twin):
            change[:] = [attn - attn[twin]]
        return attn

    def cancel(mlp: torch.Tensor) -> torch.Tensor:
        return mlp[twin] - change[0] if len(mlp) == len(twin) else mlp

    with edited(bridge, {sites.attn_out(PATCH): remember, sites.mlp_out(PATCH): cancel}):
        yield


def test_planted_compensation_by_the_mlp_is_seen_and_gone_when_the_mlp_is_held() -> None:
    bridge, pairs = tiny("mistral").bridge, some_pairs()
    setup = setup_for(bridge)
    with compensating_mlp(bridge, pairs, setup.conditions):
        records = measure(bridge, pairs, setup)
    for record in records:
        before = pr(record, "unpatched")[1:]
        assert pr(record, "patched")[1:] == pytest.approx(before, rel=1e-4)
        assert pr(record, "patched", "residual_change")[0] == pytest.approx(0, abs=1e-5)
        assert pr(record, "freeze_mlp")[1:] != pytest.approx(before, rel=1e-2)


def test_nothing_is_left_behind_in_the_model() -> None:
    bridge = tiny("mistral").bridge
    batch = pad(bridge, [some_pairs()[0].target])
    before = last_logits(bridge, batch)
    measure(bridge, some_pairs(), setup_for(bridge))
    assert torch.equal(last_logits(bridge, batch), before)
    assert residual_before(bridge, batch, 1).shape == (1, batch.ids.shape[1], 48)


def test_frozen_and_plain_rows_share_a_batch_without_touching_each_other() -> None:
    bridge, pairs = tiny("mistral").bridge, some_pairs(1)
    alone = measure(bridge, pairs, setup_for(bridge, "patched", "self"))[0]
    crowded = measure(bridge, pairs, setup_for(bridge))[0]
    assert pr(crowded, "patched") == pytest.approx(pr(alone, "patched"), rel=1e-5)
    with frozen(bridge, [sites.mlp_out(0)], torch.arange(1)):
        assert last_logits(bridge, pad(bridge, [pairs[0].target])).isfinite().all()


def test_no_activation_outlives_its_batch() -> None:
    bridge, pairs = tiny("mistral").bridge, some_pairs()
    setup = setup_for(bridge)

    def live() -> int:
        gc.collect()
        return sum(o.numel() for o in gc.get_objects() if type(o) is torch.Tensor)

    kept = [measure(bridge, pairs[:2], setup)]
    before = live()
    kept += [measure(bridge, pairs[2:], setup), measure(bridge, pairs, setup)]
    assert live() == before and len(kept) == 3
