"""The plan's result files hold what was measured, under the plan's keys and names."""

import re
from pathlib import Path

import pytest
from refusal_exports import exports, made
from refusal_runs import OK, SHARED, Program, begun, cut_within, everything, options_of
from small_runs import frame, rows

from figures.rows import records, select

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
