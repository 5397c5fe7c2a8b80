"""W&B runs hold what was measured, under the plan's keys and names."""

from pathlib import Path
from typing import Any

import pytest
from refusal_exports import exports, made
from refusal_runs import OK, Program, begun, everything

from analyses.results import Results

LOGGED = {"model_id", "method", "layer_idx", "layer_pct", "multiplier", "quantization"}
LOGGED |= {"refusal_rate", "coherent_refusal_rate", "garbled_refusal_rate", "direction_norm"}
LOGGED |= {"n_samples", "sample_outputs", "output_quality"}


@pytest.fixture
def sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """(project, run's name) → what was logged, step by step; it is also really written, offline."""
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    wandb.teardown()  # it keeps the folder of the first run of a process
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    init = wandb.init

    def noted(**about: Any) -> Any:
        run: Any = init(**about)
        log, steps = run.log, found.setdefault((about["project"], about["name"]), [])
        run.log = lambda row: (steps.append(row), log(row))
        return run

    monkeypatch.setattr(wandb, "init", noted)
    return found


def test_each_model_and_method_is_a_run_under_the_plan_s_names(
    program: Program, whole: Path, sent: Any, tmp_path: Path
) -> None:
    begun(whole, program.path(), everything)
    start = program("--skip-verification", "--wandb", "plan")
    assert start.status == OK, start.log
    (objects,) = exports(program.path()).values()
    names = {f"{one['model']}-{one['method']}-layer-sweep": one for one in objects}
    assert set(sent) == {("v3-family-sweep", name) for name in names}
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == len(names) == 4
    for (_, name), steps in sent.items():
        assert len(steps) == len(names[name]["conditions"])
        for row, condition in zip(steps, names[name]["conditions"], strict=True):
            assert set(row) == LOGGED
            assert row["model_id"] == names[name]["model_id"]
            assert row["coherent_refusal_rate"] == condition["coherent_refusal_rate"]
            said = [line[1] for line in row["sample_outputs"].data]
            assert said == [sample["response"] for sample in condition["samples"]]


@pytest.mark.parametrize(
    ("file", "model", "methods", "quantization", "name"),
    [
        ("v3_phase1_family_sweep", "gemma-2-9b", 2, "fp16", "gemma-9b-dim-layer-sweep"),
        ("v3_phase1_family_sweep", "phi-3.5-mini", 1, "fp16", "phi-35-dim-layer-sweep"),
        ("v3_phase2_layer_validation_qwen", "qwen2.5-3b", 1, "fp16", "qwen-3b-layer-validation"),
        ("v3_phase2_layer_validation_q", "qwen2.5-3b", 2, "fp16", "qwen-3b-dim-layer-validation"),
        ("v3_phase2_size_sweep_qwen", "qwen2.5-3b", 1, "fp16", "qwen-3b-dim"),
        ("v3_phase3_quant_sweep", "qwen2.5-3b", 1, "int8", "qwen-3b-int8"),
        ("v3_phase3_quant_sweep", "qwen2.5-3b", 2, "int4", "qwen-3b-dim-int4"),
        ("v3_cosmic_verification", "pocket-qwen2", 2, "fp16", "pocket-qwen2-dim"),
    ],
)  # fmt: skip
def test_runs_are_named_as_in_the_plan(
    file: str, model: str, methods: int, quantization: str, name: str
) -> None:
    from analyses.refusal.tracked import run_name

    one = {"model": model, "method": "dim", "quantization": quantization}
    beside = [one, {**one, "method": "cosmic"}][:methods]
    assert run_name(file, one, beside) == name


def test_a_project_of_one_s_own_is_taken_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from analyses.refusal import tracked

    asked = []
    monkeypatch.setattr(tracked, "_send", lambda project, name, _: asked.append((project, name)))
    family, precisions = (
        Results(tmp_path, *made([("qwen2.5-3b", "qwen2")], ["none"], step))
        for step in ("families", "quantization")
    )
    tracked.send("mine", precisions)
    tracked.send("plan", precisions)
    tracked.send("plan", family, "verify")
    assert asked == [
        ("mine", "qwen-3b-fp16"),
        ("v3-quantization-sweep", "qwen-3b-fp16"),
        ("v3-cosmic-verification", "qwen-3b-dim"),
    ]


def test_every_model_with_a_name_of_the_plan_is_in_the_table_of_models() -> None:
    from analyses.refusal.tracked import NAMES
    from tl_geometry.catalogue import resolve

    assert len(set(NAMES.values())) == len(NAMES)
    for name in NAMES:
        assert resolve(name).name == name
