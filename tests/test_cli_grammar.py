"""The command-line grammar that all analyses share."""

import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from analyses.cli import BAD_INPUT, Common, Models, ask_policy, parse


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    models: Models = ("own",)
    rows: int = 100
    conditions: tuple[str, ...] = ()
    preset: str | None = None


PRESETS = {"seed": Config(models=("large",), rows=200, limit=50, preset="seed")}


def parsed(line: str) -> Config:
    return parse(Config, "What?", line.split(), PRESETS, sizes=("--rows",))


def refused(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        parsed(line)
    assert stop.value.code == BAD_INPUT
    return capsys.readouterr().err


def test_a_list_is_separated_by_spaces_or_commas():
    for line in ("--models a b c", "--models a,b,c", "--model a,b, c", "--models=a,b,c"):
        assert parsed(line).models == ("a", "b", "c"), line
    assert parsed("--conditions x,y --export svg,pdf").export == ("svg", "pdf")
    assert parsed("--conditions x,y --export svg,pdf").conditions == ("x", "y")


def test_only_lists_are_taken_apart_at_commas(tmp_path: Path):
    assert parsed("--models a --prompts b,c.csv").prompts == "b,c.csv"
    folder = tmp_path / "seed,1"
    assert parsed(f"--model {folder}").models == (str(tmp_path / "seed"), "1")
    folder.mkdir()
    assert parsed(f"--model {folder}").models == (str(folder),)


def test_an_explicit_flag_beats_the_limit_the_limit_beats_the_preset_and_that_the_default(
    capsys: pytest.CaptureFixture[str],
):
    default, preset = parsed(""), parsed("--preset seed")
    assert (default.models, default.rows, default.limit) == (("own",), 100, None)
    assert (preset.models, preset.rows, preset.limit) == (("large",), 200, 50)
    assert parsed("--preset seed --limit 7").limit == 7
    assert parsed("--preset=seed --model small").models == ("small",)
    assert parsed("--model small --preset seed").rows == 200
    assert capsys.readouterr().err == ""

    explicit = parsed("--preset seed --limit 7 --rows 30")
    assert (explicit.rows, explicit.limit) == (30, None)
    assert capsys.readouterr().err == "--rows is given, so --limit 7 does not count\n"


def test_an_unknown_preset_names_those_that_there_are(capsys: pytest.CaptureFixture[str]):
    expected = "unknown preset 'sed'; there is: seed\n"
    assert refused("--preset sed", capsys) == expected
    assert refused("--preset=sed", capsys) == expected


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--resume --fresh", "--resume and --fresh exclude each other: choose one"),
        ("--skip --fresh", "--fresh and --skip exclude each other: choose one"),
        ("--models", "no model is named: give one, e.g. --model pocket-mistral"),
        ("--models a b --run x", "--run x names one run, and 2 models make as many"),
        ("--batch-size 0", "batch_size=0: a pass holds at least 1"),
        ("--seed -1", "seed=-1: a seed is 0 or more"),
    ],
)
def test_what_no_model_could_make_right_is_refused_in_one_sentence(
    line: str, sentence: str, capsys: pytest.CaptureFixture[str]
):
    said = refused(line, capsys)
    assert said.startswith(sentence) and said.count("\n") == 1


def test_an_unknown_option_names_the_nearest(capsys: pytest.CaptureFixture[str]):
    said = refused("--row 3", capsys)
    assert "--row" in said and "--rows" in said


def test_the_policy_is_resume_unless_another_is_given():
    assert parsed("").policy == parsed("--resume").policy == "resume"
    assert parsed("--fresh").policy == "fresh"
    assert parsed("--skip").policy == "skip"


class Stream(io.StringIO):
    def __init__(self, typed: str = "", *, terminal: bool) -> None:
        super().__init__(typed)
        self.isatty = lambda: terminal


def asked(monkeypatch: pytest.MonkeyPatch, typed: str, stdin: bool, stderr: bool) -> str:
    """What is shown; the policy comes first."""
    shown = Stream(terminal=stderr)
    monkeypatch.setattr(sys, "stdin", Stream(typed, terminal=stdin))
    monkeypatch.setattr(sys, "stderr", shown)
    return f"{ask_policy('runs/x holds a finished run.')}: {shown.getvalue()}"


@pytest.mark.parametrize(
    ("typed", "policy"),
    [("f\n", "fresh"), ("S\n", "skip"), ("r\n", "resume"), ("\n", "resume"), ("what?\n", "resume")],
)
def test_on_a_terminal_the_user_chooses_by_a_letter(
    typed: str, policy: str, monkeypatch: pytest.MonkeyPatch
):
    shown = asked(monkeypatch, typed, stdin=True, stderr=True)
    assert shown.startswith(f"{policy}: runs/x holds a finished run.\n")
    assert all(f"[{letter}]" in shown for letter in "RFS") and "moved aside" in shown


@pytest.mark.parametrize(("stdin", "stderr"), [(False, False), (False, True), (True, False)])
def test_where_nobody_can_answer_nothing_is_asked(
    stdin: bool, stderr: bool, monkeypatch: pytest.MonkeyPatch
):
    assert asked(monkeypatch, "f\n", stdin, stderr) == "resume: "


HEAVY = ("torch", "transformers", "transformer_lens", "pandas", "scipy", "plotly", "tl_geometry")


@pytest.mark.parametrize("module", ["analyses", "analyses.homeostasis"])
def test_help_is_given_before_anything_heavy_is_imported(module: str):
    program = (
        "import json, runpy, sys\n"
        f"sys.argv = [{module!r}, '--help']\n"
        "try:\n"
        f"    runpy.run_module({module!r}, run_name='__main__', alter_sys=True)\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "sys.stderr.write(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"python -m {module}" in done.stdout
    assert not set(HEAVY).intersection(json.loads(done.stderr))


def test_an_analysis_named_without_its_dot_is_not_silently_ignored():
    done = subprocess.run(
        [sys.executable, "-m", "analyses", "homeostasis", "--limit", "3"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == BAD_INPUT
    assert "python -m analyses.homeostasis" in done.stderr
