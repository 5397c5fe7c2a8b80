"""The plan's result files and W&B runs hold what was measured, under the plan's keys and names."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from refusal_runs import OK, SHARED, Program, begun, cut_within, everything, options_of
from small_runs import frame, rows

from analyses.results import Results
from figures.rows import records, select

CONDITION = {
    "layer_pct": float,
    "layer_idx": int,
    "multiplier": float,
    "refusal_rate": float,
    "coherent_refusal_rate": float,
    "garbled_refusal_rate": float,
    "refusals": int,
    "n_samples": int,
    "direction_norm": float,
    "output_quality": {"coherent", "garbled", "mixed"},
    "samples": list,
}
RESULT = {
    "phase": {"0", "1", "2", "3"},
    "model": str,
    "model_id": str,
    "family": str,
    "method": {"dim", "cosmic"},
    "quantization": {"fp16", "int8", "int4"},
    "conditions": list,
    "timestamp": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"),
    "gpu": str,
    "runtime_seconds": float,
}
SAMPLE = {"prompt": str, "response": str, "quality": {"coherent", "garbled", "normal"}}
LOGGED = {"model_id", "method", "layer_idx", "layer_pct", "multiplier", "quantization"}
LOGGED |= {"refusal_rate", "coherent_refusal_rate", "garbled_refusal_rate", "direction_norm"}
LOGGED |= {"n_samples", "sample_outputs", "output_quality"}


def allowed(value: Any, rule: Any) -> bool:
    if isinstance(rule, set):
        return value in rule
    if isinstance(rule, re.Pattern):
        return bool(rule.fullmatch(value))
    return isinstance(value, rule) and not isinstance(value, bool)


def assert_schema(found: Any, schema: dict[str, Any]) -> None:
    """These keys in this order, and nothing else; every value as the plan has it."""
    assert list(found) == list(schema)
    wrong = {key: found[key] for key, rule in schema.items() if not allowed(found[key], rule)}
    assert wrong == {}


def exports(run: Path) -> dict[str, list[dict[str, Any]]]:
    """File name without its time → its objects, each of which keeps the schema."""
    found = {}
    for path in sorted((run / "export" / "results").iterdir()):
        name, _, stamp = path.stem.rpartition("_")
        found[name] = json.loads(path.read_text(encoding="utf-8"))
        for one in found[name]:
            assert_schema(one, RESULT)
            assert re.sub("[-:]", "", one["timestamp"]) == stamp
            for condition in one["conditions"]:
                assert_schema(condition, CONDITION)
                for sample in condition["samples"]:
                    assert_schema(sample, SAMPLE)
    return found


# --- files ----------------------------------------------------------------------------------------


def test_a_run_leaves_the_plan_s_file_with_one_object_a_model_and_method(whole: Path) -> None:
    ((name, objects),) = exports(whole).items()
    assert name == "v3_phase1_family_sweep"
    cells = [(one["model"], one["method"]) for one in objects]
    assert cells == [(m, method) for m in ("tiny", "other") for method in ("dim", "cosmic")]
    assert {(one["phase"], one["quantization"], one["gpu"]) for one in objects} == {
        ("1", "fp16", "cpu")
    }
    assert all(one["runtime_seconds"] > 0 for one in objects)


def test_the_file_holds_what_was_said_in_every_tested_condition(whole: Path) -> None:
    """By another route: from the rows on record instead of the tables."""
    (objects,) = exports(whole).values()
    for one in objects:
        measured = [
            row
            for row in rows(whole, one["model"])
            if row["key"].startswith("test|") and row["source"] == one["method"]
        ]
        assert len(one["conditions"]) == len(measured) >= 3  # two depths and the other sign
        for condition, row in zip(one["conditions"], measured, strict=True):
            said = row["answers"]
            assert condition["n_samples"] == len(said) == 4
            assert condition["refusals"] == sum(answer["seed"] for answer in said)
            assert condition["refusal_rate"] == condition["refusals"] / 4
            for ours, theirs in (("coherent", "coherent"), ("garbled", "garbled")):
                share = sum(answer["quality"] == ours for answer in said) / 4
                assert condition[f"{theirs}_refusal_rate"] == share
            assert [s["quality"] for s in condition["samples"]] == [a["quality"] for a in said]
            texts = [unbroken(sample["response"]) for sample in condition["samples"]]
            assert texts == [unbroken(answer["text"]) for answer in said]
            assert (condition["layer_idx"], condition["multiplier"]) == (
                row["layer"],
                row["dose_unit"],
            )
            if row["depth"] != "free":
                assert condition["layer_pct"] == float(row["depth"])


def unbroken(text: str) -> str:
    """Whatever tables do to a carriage return."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def test_the_norm_is_that_of_the_direction_which_was_added(whole: Path) -> None:
    (objects,) = exports(whole).values()
    for one in objects:
        for condition, row in zip(
            one["conditions"],
            records(
                select(
                    frame(whole, "conditions"),
                    model=one["model"],
                    phase="test",
                    source=one["method"],
                )
            ),
            strict=True,
        ):
            # The unit vector times the multiplier is the raw difference times the raw dose.
            assert condition["direction_norm"] * row["dose_raw"] == pytest.approx(
                condition["multiplier"]
            )


def test_a_further_start_replaces_the_file_and_keeps_its_time(
    program: Program, whole: Path
) -> None:
    run = begun(whole, program.path(), everything)
    (first,) = (run / "export" / "results").iterdir()
    content = first.read_bytes()
    renamed = first.with_name("v3_phase1_family_sweep_20200102T030405Z.json")
    first.rename(renamed)
    (run / "export" / "results" / "FINDINGS_LOG.md").write_text("kept")
    assert program("--skip-verification").status == OK
    names = {path.name for path in (run / "export" / "results").iterdir()}
    assert names == {renamed.name, "FINDINGS_LOG.md"}
    again = renamed.read_bytes()
    assert b'"timestamp": "2020-01-02T03:04:05Z"' in again
    stamp = rb'"timestamp": "[^"]*"'
    assert re.sub(stamp, b"", again) == re.sub(stamp, b"", content)


def test_the_seconds_of_all_starts_are_added_up(program: Program, whole: Path) -> None:
    run = begun(whole, program.path(), cut_within("test|"))
    for model in ("tiny", "other"):
        (run / model / "effort.json").write_text('{"seconds": 1000.0, "gpu": "H100"}')
    assert program("--skip-verification").status == OK
    (objects,) = exports(run).values()
    took = {one["model"]: (one["runtime_seconds"], one["gpu"]) for one in objects}
    assert took["other"] == (1000.0, "H100")  # was measured already
    assert 1000 < took["tiny"][0] < 1600 and took["tiny"][1] == "cpu"


def test_a_verification_leaves_a_file_of_phase_0(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analyses.refusal.saying.quality", lambda *_, **__: "coherent")
    sizes = options_of(program.checkpoints[:1], program.folder, SHARED)
    small = "--doses 0.05 --positions 1 --new-tokens 2 --search-tokens 2"
    assert program.plain("verify", *sizes, *small.split()).status == OK
    ((name, objects),) = exports(program.path()).items()
    assert name == "v3_cosmic_verification"
    assert [(one["phase"], one["method"]) for one in objects] == [("0", "dim"), ("0", "cosmic")]
    qualities = {c["output_quality"] for one in objects for c in one["conditions"]}
    assert qualities == {"coherent"}


# --- the other phases, from made tables -----------------------------------------------------------


def made(
    models: Sequence[tuple[str, str]], precisions: Sequence[str], step: str
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """One depth that was searched at two doses and tested at one, beside a control."""
    conditions, samples, directions, norms = [], [], [], []
    swept = step == "quantization"
    for (model, family), precision in ((m, q) for m in models for q in precisions):
        place = {"model": model, "source": "dim", "depth": "0.6", "layer": 6}
        directions.append({**place, "norm": 1.0})
        about = {"model": model, "quantization": precision}
        norms += [{**about, "direction": "own", "norm": 2.0 + precisions.index(precision)}]
        norms += [{**about, "direction": "carried", "norm": 2.0}]
        rates = {"coherent": 0.5, "garbled": 0.2, "refusal_seed": 0.6, "n": 10}
        rates |= {"depth_percent": 60.0, "dose_unit": 15.0, "family": family}
        place |= {"quantization": precision} if swept else {}
        for phase, dose in (("search", 0.1), ("search", 0.2), ("test", 0.2)):
            source = "own" if swept and phase == "test" else "dim"
            row = {**place, "source": source, "phase": phase, "dose": dose, **rates}
            conditions += [row, {**row, "source": "carried" if swept else "random 0"}]
        said = {**conditions[-2], "prompt": "p", "quality": "coherent"}
        samples += [{**said, "response": f"{model} {precision} {k}"} for k in range(10)]
    tables = {"conditions": conditions, "samples": samples, "directions": directions}
    tables |= {"precision": norms} if swept else {}
    names = [{"name": model, "source": f"hub/{model}"} for model, _ in models]
    spec = {"step": step, "model": names, "quantization": "none"}
    spec |= {"parameters": {"methods": ["dim", "cosmic"]}}
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}, {"spec": spec}


def test_sizes_leave_two_files_a_family(tmp_path: Path) -> None:
    from analyses.refusal.exported import export

    models = (("qwen2.5-3b", "qwen2"), ("qwen2.5-7b", "qwen2"), ("gemma-2-2b", "gemma2"))
    export(tmp_path, *made(models, ["none"], "sizes"))
    for path in (tmp_path / "export" / "results").iterdir():  # nobody measured the time
        path.write_text(
            path.read_text().replace('"runtime_seconds": null', '"runtime_seconds": 1.0')
        )
    found = exports(tmp_path)
    assert set(found) == {
        f"v3_phase2_{name}_{family}"
        for name in ("layer_validation", "size_sweep")
        for family in ("qwen", "gemma")
    }
    sweep, validation = found["v3_phase2_size_sweep_qwen"], found["v3_phase2_layer_validation_qwen"]
    assert [one["model_id"] for one in sweep] == ["hub/qwen2.5-3b", "hub/qwen2.5-7b"]
    assert [len(one["conditions"]) for one in sweep] == [1, 1]
    assert [len(one["conditions"]) for one in validation] == [2, 2]  # every dose searched
    assert {one["phase"] for one in sweep} == {"2"}
    (condition,) = sweep[1]["conditions"]
    said = [sample["response"] for sample in condition["samples"]]
    assert said == [f"qwen2.5-7b none {k}" for k in range(10)]
    assert condition["output_quality"] == "mixed" and condition["refusals"] == 6


def test_each_precision_is_an_object_with_its_own_direction(tmp_path: Path) -> None:
    from analyses.refusal.exported import objects_by_file

    tables, summary = made([("qwen2.5-3b", "qwen2")], ["none", "int8", "nf4"], "quantization")
    ((name, objects),) = objects_by_file(tmp_path, tables, summary).items()
    assert name == "v3_phase3_quant_sweep"
    assert [one["quantization"] for one in objects] == ["fp16", "int8", "int4"]
    for one, said, norm in zip(objects, ("none", "int8", "nf4"), (2.0, 3.0, 4.0), strict=True):
        (condition,) = one["conditions"]
        assert condition["samples"][3]["response"] == f"qwen2.5-3b {said} 3"
        assert condition["direction_norm"] == norm


def test_a_run_at_one_precision_says_which(tmp_path: Path) -> None:
    from analyses.refusal.exported import objects_by_file

    tables, summary = made([("qwen2.5-3b", "qwen2")], ["none"], "families")
    summary["spec"]["quantization"] = "nf4"
    (objects,) = objects_by_file(tmp_path, tables, summary).values()
    assert [(one["quantization"], one["method"]) for one in objects] == [("int4", "dim")]
    assert len(objects[0]["conditions"][0]["samples"]) == 10


@pytest.mark.parametrize(
    ("garbled", "quality"), [(0.0, "coherent"), (0.1, "coherent"), (0.12, "mixed")]
    + [(0.5, "mixed"), (0.52, "garbled"), (1.0, "garbled")],
)  # fmt: skip
def test_output_quality_is_by_the_stated_rule(garbled: float, quality: str) -> None:
    from analyses.refusal.exported import output_quality

    assert output_quality(garbled) == quality


# --- Weights & Biases -----------------------------------------------------------------------------


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
