"""`python -m analyses.refusal`: what it is asked, what it refuses, what it remembers."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from refusal_runs import BAD_INPUT, OK, SHARED, SOME_FAILED, SWEEP, Program, options_of


def test_the_code_version_is_of_the_files_that_make_a_direction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.util import find_spec

    from analyses.refusal import verify

    def moved(name: str) -> Any:
        """Each file from a copy, in which one of them may be changed."""
        spec: Any = find_spec(name)
        copy = tmp_path / f"{name}.py"
        if not copy.exists():
            shutil.copy(spec.origin, copy)
        spec.origin = str(copy)
        return spec

    before = verify.code_version()
    monkeypatch.setattr("analyses.refusal.verify.find_spec", moved)
    assert verify.code_version() == before
    files = sorted(tmp_path.glob("*.py"))
    assert {"tl_geometry.directions.py", "tl_geometry.candidates.py"} <= {f.name for f in files}
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content + b"\n")
        assert verify.code_version() != before, file.name
        file.write_bytes(content)


@pytest.mark.parametrize(
    ("refuses", "apart", "planted", "passes"),
    [
        (True, None, None, True),
        (False, 0.0, True, False),
        (True, 0.01, True, False),
        (True, 0.0, False, False),
    ],
)
def test_a_verification_is_remembered_and_written_down(
    refuses: bool,
    apart: float | None,
    planted: bool | None,
    passes: bool,
    program: Program,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if refuses:
        monkeypatch.setattr("analyses.refusal.saying.quality", lambda *_, **__: "coherent")
    if apart is not None:
        monkeypatch.setattr("analyses.refusal.verify.recomputed", lambda *_: apart)
    if planted is not None:
        rules = {"COSMIC": True, "Arditi": planted}
        monkeypatch.setattr("analyses.refusal.verify.recovered", lambda _: rules)
    sizes = options_of(program.checkpoints[:1], program.folder, SHARED)
    small = "--doses 0.05 --positions 1 --new-tokens 2 --search-tokens 2"
    start = program.plain("verify", *sizes, *small.split())
    assert start.status == (OK if passes else SOME_FAILED)
    text = (program.path() / "COSMIC_VERIFICATION.md").read_text()
    assert text in start.out
    assert ("**PASSED**" in text) is passes and ("**NOT PASSED**" in text) is not passes
    for kind in ("linear", "affine"):
        (line,) = (line for line in text.splitlines() if line.startswith(f"* {kind}: "))
        found = float(line.rpartition(" ")[2])
        assert found == apart if apart is not None else 0 < found < 1e-4
    assert ("NOT FOUND" in text) is (planted is False) and ": found" in text
    known = json.loads((program.folder / "verified.json").read_text())
    assert known["passed"] is passes
    start = program("--prompts", "nowhere.jsonl", "--run", "y")
    assert start.status == BAD_INPUT and "nowhere.jsonl" in start.log
    start = program("--run", "x")  # the verification's own folder: a sweep is another run
    assert start.status == BAD_INPUT and ("has not passed" in start.log) is not passes
    assert ("holds a run with other settings" in start.log) is passes


# --- requests that cannot be carried out ----------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--models pocket-mistal", "unknown model 'pocket-mistal'; nearest names: pocket-mistral"),
        ("--depths 0.2 1.2", "depths [1.2] are outside 0 (first layer) to below 1 (the end)"),
        ("--depths -0.2", "depths [-0.2] are outside 0"),
        ("--doses 0.1 -0.1", "doses [-0.1]: a dose is above 0"),
        ("--depths", "--depths is empty: give at least one"),
        ("--doses", "--doses is empty: give at least one"),
        ("--dim-prompts 5000", "5000 harmful requests of the train split are needed"),
        ("--test-prompts 1", "test_prompts=1: a mean needs at least 2 prompts"),
        ("--new-tokens 0", "new_tokens=0: give at least 1"),
        ("--preset sed", "unknown preset 'sed'; there is: seed"),
        ("--resume --fresh", "--resume and --fresh exclude each other: choose one"),
        ("--run a/b", "a run cannot be named 'a/b'"),
        ("--prompts nowhere.jsonl", "nowhere.jsonl"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_refused_in_one_sentence(
    options: str, sentence: str, program: Program
) -> None:
    start = program("--skip-verification", *options.split())
    assert start.status == BAD_INPUT and start.out == "" and start.loaded == ()
    assert len([line for line in start.log.splitlines() if sentence in line]) == 1
    assert "Traceback" not in start.log and not program.folder.exists()


def test_a_test_size_counts_before_the_limit(program: Program) -> None:
    given = [option for option in SWEEP.split() if option not in ("--test-prompts",)]
    del given[given.index("--new-tokens") - 1]  # its value
    line = [*given, "--out", program.folder, "--models", program.checkpoints[0], "--dry-run"]
    both = program.plain("families", *line, "--limit", 3, "--test-prompts", 5)
    assert "--limit 3 does not count" in both.log
    alone = program.plain("families", *line, "--limit", 3)
    assert both.status == alone.status == OK and both.out != alone.out


def test_verifying_takes_one_model(program: Program) -> None:
    start = program.plain("verify", *options_of(program.checkpoints, program.folder, SHARED))
    assert start.status == BAD_INPUT and start.loaded == ()
    assert "one model is verified, not 2: --models tiny" in start.log


@pytest.mark.parametrize("step", ["families", "verify"])
def test_a_dry_run_says_what_would_be_done_and_reads_no_weights(
    step: str, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", None)
    models = program.checkpoints if step == "families" else program.checkpoints[:1]
    sizes = SWEEP if step == "families" else SHARED
    start = program.plain(step, *options_of(models, program.folder, sizes), "--dry-run")
    first, *lines = start.out.splitlines()
    assert start.status == OK and start.loaded == ()
    assert first == f"folder {program.path()}" and not program.folder.exists()
    assert lines.count("tiny: can be read") == 1
    assert lines.count("other: can be read") == (step == "families")
    assert sum("tokens generated, at most" in line for line in lines) == len(models)


def test_the_steps_are_listed_and_others_refused(program: Program) -> None:
    for options in ((), ("--help",), ("-h",)):
        start = program.plain(*options)
        assert start.status == OK
        for step in ("verify", "families", "sizes", "quantization", "rate", "decide"):
            assert f"\n{step} " in start.out
    start = program.plain("sweep")
    assert start.status == BAD_INPUT and start.out == ""
    assert start.log.strip() == (
        "unknown step 'sweep'; there is: verify, families, sizes, quantization, rate, decide"
    )


def test_help_of_a_step_names_its_options_and_imports_no_torch() -> None:
    code = (
        "import sys\nfrom analyses.refusal.__main__ import main\n"
        "try:\n    main(['families', '--help'])\n"
        "finally:\n    assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for option in ("--depths", "--doses", "--skip-verification", "--executor"):
        assert option in done.stdout
