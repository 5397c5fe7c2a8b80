"""`python -m analyses.homeostasis` on good days: what it says, writes and leaves alone."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import wandb
from small_runs import frame, rows, tables

NEVER = "analyses.homeostasis.recording.measure"


def files(folder: Path) -> dict[str, bytes]:
    kept = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".lock"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept}


def test_a_run_leaves_record_tables_figures_and_report(whole: Path):
    names = ("hypotheses", "recovery", "mechanisms", "timing", "pairs", "layers", "profile")
    assert {f"tables/{name}.csv" for name in names} < files(whole).keys()
    assert {"spec.json", "summary.json", "report.html", "log.txt"} < files(whole).keys()
    assert [row["status"] for row in rows(whole)] == ["ok"] * 12
    assert len(frame(whole, "pairs")) == 12 and frame(whole, "missing").empty
    log = (whole / "log.txt").read_text()
    assert "new run x" in log


def test_the_same_command_again_measures_nothing_and_writes_the_same_tables(
    quick, begun: Callable[[int], Path], whole: Path, monkeypatch: pytest.MonkeyPatch
):
    run = begun(12)
    monkeypatch.setattr(NEVER, None)  # calling it would fail the pairs
    start = quick()
    assert start.status == 0 and "going on with the run x" in start.log
    assert start.out.endswith(f"report: {run / 'report.html'}\n")
    assert tables(run) == tables(whole)


def test_a_run_goes_on_from_the_middle_of_a_batch(quick, begun: Callable[[int], Path], whole: Path):
    run = begun(5)
    assert quick("--resume").status == 0
    assert tables(run) == tables(whole) and rows(run) == rows(whole)


def test_fresh_moves_the_old_run_aside(quick, begun: Callable[[int], Path], whole: Path):
    run = begun(12)
    (run / "tables" / "pairs.csv").write_text("mine\n")
    old = files(run)
    assert quick("--fresh").status == 0
    (aside,) = (path for path in run.parent.iterdir() if path.name.startswith("x.old-"))
    assert files(aside) == old
    assert tables(run) == tables(whole)


@pytest.mark.parametrize("n", [5, 12])
def test_skip_leaves_a_run_that_has_begun_as_it_is(
    n: int, program, begun: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("analyses.requested.load_model", None)
    run = begun(n)
    before = files(run)
    start = program("--skip")
    state = "finished" if n == 12 else "partial"
    assert (start.status, start.log.strip()) == (0, f"{run} is left as it is ({state})")
    assert files(run) == before


def test_skip_measures_a_run_that_has_not_begun(quick, whole: Path):
    assert quick("--skip").status == 0
    assert tables(quick.path()) == tables(whole)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, typed: str) -> Terminal:
    shown = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stderr", shown)
    return shown


@pytest.mark.parametrize(("typed", "moved"), [("f\n", 1), ("r\n", 0)])
def test_on_a_terminal_a_run_that_has_begun_may_be_resumed_or_started_over(
    typed: str,
    moved: int,
    quick,
    begun: Callable[[int], Path],
    whole: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    run = begun(5)
    shown = at_a_terminal(monkeypatch, typed)
    assert quick().status == 0
    assert f"{run} holds a partial run of tiny." in shown.getvalue()
    assert len(list(run.parent.glob("x.old-*"))) == moved
    assert tables(run) == tables(whole)


def test_nothing_is_asked_about_a_new_run_or_where_the_answer_was_given(
    quick, monkeypatch: pytest.MonkeyPatch
):
    shown = at_a_terminal(monkeypatch, "")
    assert quick("--pairs", 2, "--conditions", "patched").status == 0
    for policy in ("--resume", "--skip", "--fresh"):
        assert quick("--pairs", 2, "--conditions", "patched", policy).status == 0
    assert "[R]" not in shown.getvalue()


def test_a_real_terminal_shows_the_question_and_takes_the_answer(
    program, begun: Callable[[int], Path]
):
    run = begun(12)
    before = files(run)
    command = [sys.executable, "-m", "analyses.homeostasis", "--model", str(program.checkpoint)]
    command += ["--prompts", str(program.bank), "--pairs", "12"]
    command += ["--out", str(run.parent), "--run", "x"]
    ours, theirs = os.openpty()
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = ""
        while "Select option: " not in shown:
            shown += os.read(ours, 1024).decode()  # OSError once the process has ended
        os.write(ours, b"s\n")
        assert process.wait() == 0
    os.close(ours)
    assert f"{run} holds a finished run of tiny." in shown
    assert "[R] Resume" in shown and "[F] Fresh" in shown and "[S] Skip" in shown
    assert files(run) == before


def test_a_dry_run_says_what_it_would_cost_and_reads_no_weights(
    program, monkeypatch: pytest.MonkeyPatch
):
    for place in ("requested.load_model", "homeostasis.experiment.open_run"):
        monkeypatch.setattr(f"analyses.{place}", None)
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", None)
    start = program("--dry-run", "--conditions", "patched,passive,freeze_mlp")
    first, *lines, conditions = start.out.splitlines()
    assert start.status == 0
    assert first == f"tiny: patch layer 6, early layer 1 of 8; folder {program.path()}"
    assert conditions.strip() == "patched, self, passive, freeze_mlp"
    said = dict(line.strip().rsplit(": ", 1) for line in lines)
    assert {k: said[k] for k in ("model loads", "conditions", "pairs", "pairs a batch")} == {
        "model loads": "1",
        "conditions": "4",
        "pairs": "12",
        "pairs a batch": "2",
    }
    # 24 texts through 6 blocks; then, a pair, 2 unpatched texts and 4 conditions through 2.
    assert said["forward passes (texts × blocks)"] == str(24 * 6 + 12 * 6 * 2)
    assert said["the plain way would need"] == str(12 * 6 * 8)
    n_parameters = sum(p.numel() for p in _parameters(program.checkpoint))
    assert said["weights, MiB"] == str(round(4 * n_parameters / 2**20))
    assert any(line.strip().startswith("activations of a batch, MiB") for line in lines)
    assert not program.folder.exists()


def _parameters(checkpoint: Path) -> list[Any]:
    from safetensors.torch import load_file

    return list(load_file(checkpoint / "model.safetensors").values())


def test_a_limit_takes_the_first_pairs_of_the_full_run_and_an_explicit_number_beats_it(program):
    default = program.plain("--model", program.checkpoint, "--prompts", "bank", "--dry-run")
    limited = program.plain(
        "--model", program.checkpoint, "--prompts", "bank", "--dry-run", "--limit", 5
    )
    assert "  pairs: 151\n" in default.out and "  pairs: 5\n" in limited.out
    both = program("--limit", 5, "--pairs", 3, "--dry-run")
    assert "  pairs: 3\n" in both.out
    assert "--pairs is given, so --limit 5 does not count" in both.log


def test_a_preset_gives_way_to_flags_and_names_the_run(program):
    options = ["--preset", "seed", "--model", program.checkpoint, "--prompts", "bank"]
    start = program.plain(*options, "--limit", 4, "--dry-run")
    assert start.status == 0 and "  pairs: 4\n" in start.out
    assert (
        start.out.startswith("tiny: ") and f"folder {Path('runs/homeostasis/seed-')}" in start.out
    )


def test_models_in_a_comma_list_are_run_one_by_one(program, checkpoint: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.symlink_to(checkpoint)
    start = program.plain(
        "--models", f"{checkpoint},{other}", "--prompts", "bank", "--limit", 3, "--dry-run"
    )
    lines = [line for line in start.out.splitlines() if "patch layer" in line]
    assert start.status == 0 and [line.split(":")[0] for line in lines] == ["tiny", "tiny"]


def test_tables_can_also_go_to_weights_and_biases(
    quick, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    wandb.teardown()  # it keeps the folder of the first run of a process
    start = quick("--wandb", "tests", "--pairs", 3)
    assert start.status == 0, start.log
    (sent,) = (tmp_path / "wandb").glob("offline-run-*")
    names = {path.name.split("_")[0] for path in sent.rglob("*.table.json")}
    assert {"hypotheses", "recovery", "pairs", "layers"} <= names


def test_without_the_package_nothing_is_measured_for_weights_and_biases(
    quick, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("analyses.sinks.find_spec", lambda _: None)
    start = quick("--wandb", "tests")
    assert start.status == 2 and "tl-geometry[wandb]" in start.log
    assert not quick.folder.exists()


def test_figures_can_be_exported_for_paper(program, begun: Callable[[int], Path]):
    run = begun(12)
    assert program("--export", "svg").status == 0
    drawn = {path.stem for path in (run / "figures").glob("*.json")}
    pictures = {path.stem: path.read_text() for path in (run / "figures").glob("*.svg")}
    assert drawn and pictures.keys() == drawn
    assert all(text.lstrip().startswith("<svg") for text in pictures.values())


@pytest.fixture(scope="session")
def pocket_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from analyses.homeostasis.__main__ import main

    out = tmp_path_factory.mktemp("pocket")
    assert main(f"--limit 6 --resamples 200 --out {out} --run pilot".split()) == 0
    return out / "pilot"


def test_without_a_model_the_embedded_one_is_patched_at_layer_27_of_32(pocket_run: Path):
    summary = json.loads((pocket_run / "summary.json").read_text())
    assert summary["model"]["name"] == "pocket-mistral" and summary["model"]["pocket"]
    assert summary["layers"] == {"patch": 27, "early": 5, "n_layers": 32}
    assert summary["counts"] == {
        "attempted": 6,
        "measured": 6,
        "missing": 0,
        "prompts_left_out": 0,
    }
    assert summary["software_checks"]["self_max_abs_change"] == 0
    assert "not evidence" in summary["banner"] or "nothing here is evidence" in summary["banner"]
    assert summary["banner"] in (pocket_run / "report.html").read_text()


def test_the_tables_of_the_embedded_model_have_every_layer_behind_the_patch(pocket_run: Path):
    layers = frame(pocket_run, "layers")
    assert sorted(set(layers["layer"])) == [27, 28, 29, 30, 31]
    assert set(layers["status"]) == {"ok"} and not any(layers["r_v"].isna())
    assert {f"r_v_patched_L{layer}" for layer in range(27, 32)} <= set(frame(pocket_run, "pairs"))
    assert len(frame(pocket_run, "hypotheses")) == 4
    at_patch: Any = layers[layers["definitional"] & (layers["condition"] == "patched")]
    closed_form: Any = frame(pocket_run, "pairs")["r_v_patched_closed_form_L27"]
    pd.testing.assert_series_equal(
        at_patch["r_v"].reset_index(drop=True), closed_form, check_names=False, rtol=1e-9
    )
