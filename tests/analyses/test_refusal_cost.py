"""Estimates for --dry-run: the formula by hand, published shapes, the plan's own GPUs."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from analyses.refusal import cost as module
from analyses.refusal.config import Families
from analyses.refusal.cost import cost, share_of
from analyses.refusal.counts import PROMPT, Answers, Work, work_of
from analyses.refusal.estimate import CPU, GPUS, Device, Load, rows_that_fit, seconds
from analyses.refusal.plan import Plan, make_plan
from analyses.refusal.presets import PRESETS
from analyses.refusal.shapes import PUBLISHED, Shape, shape_of
from analyses.requested import ModelPlan
from tl_geometry.catalogue import MODELS, empty_model, resolve, size_of

SHAPE = Shape(10, 100, 300, 20, 1000, 1e6, "float16")
ONE = Device("one", 1e9, 1e9, 1e9, 1e-3, 2.0)
PUBLISHED_NAMES = [row.split("|")[0].strip() for row in PUBLISHED.strip().splitlines()]


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def unread(name: str) -> ModelPlan:
    return ModelPlan(name, MODELS[name], None, "unresolved", f"cannot read {name}")


def plan_of(*models: ModelPlan, **options: Any) -> Plan:
    plan = make_plan(Families(models=("pocket-mistral",)))
    config = Families(models=tuple(model.name for model in models), **options)
    return replace(plan, config=config, models=models)


# --- the formula ----------------------------------------------------------------------------------


def test_time_is_arithmetic_reading_and_starting_blocks() -> None:
    load = Load(SHAPE, "float16")
    nothing = Work(0, 0, 0, (), 0, 0)
    loading = seconds(nothing, load, ONE, 8)
    assert loading == pytest.approx(2e6 / 0.5e9)
    answers = Answers(conditions=4, prompts=3, tokens=5)  # 12 rows: two passes of 8
    work = replace(nothing, answers=(answers,))
    arithmetic = 2 * 1e6 * 12 * (PROMPT + 5) / 1e9
    steps = 2 * (1 + 5)
    cached = 2 * 10 * 20 * 2
    reading = (steps * 2e6 + 12 * 5 * (PROMPT + 2.5) * cached) / 1e9
    assert seconds(work, load, ONE, 8) - loading == pytest.approx(
        arithmetic + reading + steps * 10 * 1e-3
    )
    alone = replace(nothing, answers=(replace(answers, alone=True),))  # four passes of 3
    more = seconds(alone, load, ONE, 8) - seconds(work, load, ONE, 8)
    assert more == pytest.approx(2 * (1 + 5) * (2e6 / 1e9 + 10 * 1e-3))


def test_what_is_only_read_has_one_step_a_pass() -> None:
    load, nothing = Load(SHAPE, "float16"), Work(0, 0, 0, (), 0, 0)
    more = seconds(replace(nothing, read=20), load, ONE, 8) - seconds(nothing, load, ONE, 8)
    assert more == pytest.approx(2e6 * 20 * PROMPT / 1e9 + 3 * (2e6 / 1e9 + 10 * 1e-3))


@pytest.mark.parametrize(
    ("dtype", "quantization", "per_parameter"),
    [
        ("float32", "none", 4),
        ("bfloat16", "none", 2),
        ("bfloat16", "int8", 1.1),
        ("bfloat16", "nf4", 0.65),
    ],
)
def test_memory_of_the_weights(dtype: str, quantization: str, per_parameter: float) -> None:
    assert Load(SHAPE, dtype, quantization).weights == pytest.approx(1e6 * per_parameter)


def test_as_many_rows_fit_as_memory_has_room_for() -> None:
    load = Load(SHAPE, "float16")
    for memory in (4e6, 2e7, 1e8):
        device = replace(ONE, memory=memory)
        rows = rows_that_fit(load, device, 100, 10_000)
        assert load.memory(rows, 100) <= 0.9 * memory < load.memory(rows + 1, 100)
    assert rows_that_fit(load, replace(ONE, memory=2e6), 100, 320) == 0
    assert rows_that_fit(load, replace(ONE, memory=1e12), 100, 320) == 320
    assert rows_that_fit(load, CPU, 100, 320) == 320


# --- shapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED_NAMES)
def test_a_published_shape_has_the_published_number_of_parameters(name: str) -> None:
    shape = shape_of(unread(name))
    assert shape is not None
    block = 2 * shape.d_model**2 + 2 * shape.d_model * shape.d_kv + 3 * shape.d_model * shape.d_mlp
    embedding = shape.vocabulary * shape.d_model
    counts = [shape.n_layers * block + k * embedding for k in (1, 2)]  # tied, or not
    assert min(abs(count / shape.parameters - 1) for count in counts) < 0.06


@pytest.mark.parametrize(
    "name", ["pocket-mistral", "pocket-falcon", "pocket-gemma2", "pocket-phi3", "pocket-qwen2"]
)
def test_the_width_of_cached_keys_is_that_of_the_cache(name: str) -> None:
    size, empty = size_of(resolve(name)), empty_model(resolve(name))
    ids = torch.zeros(1, 3, dtype=torch.long, device="meta")
    keys = empty(ids, use_cache=True).past_key_values.layers[0].keys
    assert size.d_kv == keys.shape[1] * keys.shape[3]
    assert size.vocabulary == empty.get_input_embeddings().num_embeddings


# --- the plan's models ----------------------------------------------------------------------------

PLANNED = {  # §1.1 and §2.2: GPU, GB in 16 bit
    "gemma-2-9b": ("A10G", 18),
    "phi-3.5-mini": ("A10G", 7.5),
    "llama-3-8b": ("A10G", 16),
    "mistral-7b-v0.3": ("A10G", 14),
    "qwen2.5-3b": ("A10G", 6),
    "qwen2.5-7b": ("A10G", 14),
    "qwen2.5-14b": ("A100", 28),
    "qwen2.5-32b": ("A100", 64),
    "gemma-2-27b": ("A100", 54),
    "llama-3.2-3b": ("A10G", 6),
    "mistral-small-24b": ("A100", 48),
    "phi-3-medium": ("A100", 28),
}


@pytest.mark.parametrize("name", PLANNED)
def test_models_go_to_the_gpu_that_the_plan_gives_them(name: str) -> None:
    gpu, gigabytes = PLANNED[name]
    model = unread(name)
    shape = shape_of(model)
    assert shape is not None
    share = share_of(plan_of(model), model, shape)
    assert share.device is not None and share.device.name.startswith(gpu)
    assert share.load.weights / 1e9 == pytest.approx(gigabytes, rel=0.11)
    assert share.usd == pytest.approx(share.seconds / 3600 * {"A10G": 1.10, "A100": 3.73}[gpu])


def test_quantised_weights_fit_where_16_bit_do_not() -> None:
    model = unread("qwen2.5-14b")
    shape = shape_of(model)
    assert shape is not None
    plans = [plan_of(model), plan_of(model, quantization="nf4")]
    full, quantised = (share_of(plan, model, shape).device for plan in plans)
    assert (full, quantised) == (GPUS[1], GPUS[0])


# --- what is said ---------------------------------------------------------------------------------


def test_the_seed_s_preset_is_estimated_without_a_network() -> None:
    seed = PRESETS["families"]["seed"]
    plan = replace(plan_of(*map(unread, seed.models)), config=seed)
    said = list(cost(plan))
    assert sum("estimated from its published shape" in line for line in said) == 4
    assert sum(" on A10G 24 GB, $" in line for line in said) == 4
    assert any(line.startswith("all models, one after the other, rough: ") for line in said)


def test_a_model_of_unknown_shape_is_said_not_to_be_estimated() -> None:
    strange = ModelPlan("x", replace(MODELS["gpt2"], name="x"), None, "unresolved", "cannot read x")
    said = list(cost(plan_of(strange, unread("phi-3.5-mini"))))
    assert said[:2] == [
        "x: cannot read x",
        "  no estimate: its shape is not in the table of published ones either",
    ]
    assert "(without 1 that cannot be estimated)" in "\n".join(said)
    assert len(list(cost(plan_of(strange)))) == 2


def test_embedded_models_are_for_a_cpu_which_has_no_price() -> None:
    plan = make_plan(Families(models=("pocket-mistral",)))
    text = "\n".join(cost(plan))
    assert "on one CPU core, no price known: give --hourly-rate" in text and "$" not in text
    priced = "\n".join(cost(replace(plan, config=replace(plan.config, hourly_rate=0.5))))
    assert "at $0.50 an hour" in priced


@pytest.mark.parametrize(("allowed", "word"), [(1000.0, "within"), (0.01, "ABOVE")])
def test_the_estimate_is_held_against_the_budget(allowed: float, word: str, tmp_path: Any) -> None:
    model = unread("gemma-2-9b")
    options: dict[str, Any] = {"out": tmp_path, "hourly_rate": 2.0, "max_cost": allowed}
    lines = list(cost(plan_of(model, **options, max_hours=500.0, max_total_cost=2000.0)))
    budget = [line for line in lines if "the budget" in line]
    assert [line.rpartition("(")[2] for line in budget] == [
        "--max-hours), rough", "--max-cost), rough", "--max-total-cost), rough"
    ]  # fmt: skip
    assert budget[1].startswith(f"  {word} the budget: $")
    (price,) = (line for line in lines if line.startswith("all models"))
    assert price.rpartition("$")[2] == budget[1].split("$")[1].split(" ")[0]


def test_more_work_takes_more_time() -> None:
    model = unread("llama-3-8b")
    shape = shape_of(model)
    assert shape is not None
    plans = [
        plan_of(model, **options)
        for options in ({"limit": 10}, {}, {"random_directions": 20}, {"doses": (0.1,)})
    ]
    few, usual, random, one_dose = (share_of(plan, model, shape).seconds for plan in plans)
    assert few < usual < random and one_dose < usual


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_the_gpu_that_is_here_counts(gpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    about = type("About", (), {"name": f"NVIDIA {gpu.name}", "total_memory": 10**12})
    monkeypatch.setattr(module.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(module.torch.cuda, "get_device_properties", lambda _: about)
    model = unread("qwen2.5-32b")
    shape = shape_of(model)
    assert shape is not None
    share = share_of(plan_of(model), model, shape)
    assert share.device is not None and share.device.bandwidth == gpu.bandwidth
    on_cpu = share_of(plan_of(model, device="cpu"), model, shape)
    assert on_cpu.device is CPU


def test_work_counts_no_more_than_what_is_asked_for() -> None:
    plan = make_plan(Families(models=("pocket-mistral",), random_directions=0, doses=(0.1,)))
    work = work_of(plan, plan.models[0], 32)
    methods, depths = 2, 5
    assert work.candidates == methods * 25 * 5
    assert work.searched == methods * (depths + 1) + depths
