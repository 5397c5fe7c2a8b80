"""`run`: all phases with shared settings, the hypotheses one by one; experiments from a file."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from started import started

from analyses.model_diff.config import Extract
from analyses.model_diff.experiment_file import experiment, read_experiment, write_experiment
from analyses.model_diff.whole_config import Whole
from analyses.results import Results

PHASES = ("extract", "steer", "combine", "weights", "similarity")


def results(phase: str, *headline: str, missing: int = 0) -> Results:
    rows = [("vector", "x", "too short")] * missing
    table = pd.DataFrame(rows, columns=["what", "id", "reason"])  # type: ignore[arg-type] # a stub
    summary = {"run": f"{phase}-1", "seconds": 1.5, "headline": [*headline, "more"],
               "counts": {"missing": missing}, "analysis": "model_diff"}  # fmt: skip
    return Results(Path(f"/runs/{phase}-1"), {"missing": table}, summary)


@pytest.fixture
def acted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Phases that only note what they were asked, and answer one hypothesis each."""
    from analyses.model_diff.steps import Step

    real, seen = Step.act, list[tuple[str, Any]]()

    def act(step: Step, what: str) -> Any:
        name = step.settings.__name__.lower()
        if what != "run" or name == "whole":
            return real(step, what)

        def run(config: Any) -> Results:
            seen.append((name, config))
            said = {"steer": ("Hypothesis 1, yes", "H2, no"), "combine": ("H3, undecided",),
                    "weights": ("H4, no",)}.get(name, ("something",))  # fmt: skip
            return results(name, *said, missing=int(name == "weights"))

        return run

    monkeypatch.setattr(Step, "act", act)
    return seen


def test_phases_go_in_order_with_the_settings_that_are_shared(
    acted: list[tuple[str, Any]], tmp_path: Path
) -> None:
    from analyses.model_diff.whole import run_whole

    found = run_whole(Whole(out=tmp_path, trait="evil", seed=3, resamples=200))
    assert [name for name, _ in acted] == list(PHASES)
    assert {(c.trait, c.seed, c.resamples, c.out) for n, c in acted if n != "similarity"} == {
        ("evil", 3, 200, tmp_path)
    }
    table = found.tables["hypotheses"]
    assert table["hypothesis"].tolist() == ["H1", "H2", "H3", "H4"]
    assert table["answer"].tolist() == ["Hypothesis 1, yes", "H2, no", "H3, undecided", "H4, no"]
    assert found.summary["headline"][:4] == table["answer"].tolist()
    assert found.tables["missing"]["id"].tolist() == ["weights: x"]
    assert found.summary["counts"] == {"phases": 5, "missing": 1}
    assert (found.folder / "report.html").exists()


def test_a_phase_that_is_left_out_leaves_its_hypotheses_open(
    acted: list[tuple[str, Any]], tmp_path: Path
) -> None:
    from analyses.model_diff.whole import run_whole

    found = run_whole(Whole(out=tmp_path, phases=("extract", "weights")))
    assert [name for name, _ in acted] == ["extract", "weights"]
    answers = found.tables["hypotheses"]["answer"].tolist()
    assert answers[0] == answers[1] == "not asked: the phase steer was left out"
    assert answers[3] == "H4, no"


def test_every_phase_reads_what_the_one_before_wrote() -> None:
    from analyses.model_diff.whole import make_whole_plan

    plan = make_whole_plan(Whole(trait="evil"))
    extract, steer, combine = (plan.plans[name] for name in ("extract", "steer", "combine"))
    assert steer.extraction.folder == extract.folder
    assert combine.steer.folder == steer.folder
    assert plan.plans["weights"].extraction.folder == extract.folder


def test_the_preset_s_extraction_is_the_one_that_its_other_steps_read() -> None:
    from dataclasses import replace

    from analyses.model_diff.steps import STEPS

    small = {"models": ("pocket-llama",)}
    plans = {
        name: STEPS[name].act("plan")(replace(STEPS[name].presets["seed"], **small))
        for name in ("extract", "steer", "weights")
    }
    assert plans["extract"].config.new_tokens == 256
    for name in ("steer", "weights"):
        assert plans[name].extraction.spec.key == plans["extract"].spec.key
        assert plans[name].extraction.folder == plans["extract"].folder


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"limit": 10}, "another thing in every phase"),
        ({"run": "x"}, "name every phase alike"),
        ({"phases": ("steer", "steer")}, "each once"),
        ({"experiment": "e", "base": "b"}, "leave --models and --base out"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Whole(**settings).check()


# --- experiments/<name>/config.json ---------------------------------------------------------------


def test_an_experiment_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write_experiment(str(tmp_path / "mine"), "some/base", "some/tuned")
    assert path == tmp_path / "mine" / "config.json"
    assert read_experiment(str(tmp_path / "mine")) == ("some/base", "some/tuned")
    assert Extract(experiment=str(path)).named == ("some/base", "some/tuned")
    write_experiment(str(tmp_path / "mine"), "some/base", "some/tuned")  # the same again
    with pytest.raises(ValueError, match="names other models"):
        write_experiment(str(tmp_path / "mine"), "another/base", "some/tuned")
    assert read_experiment(str(path)) == ("some/base", "some/tuned")


def test_the_plans_own_file_is_understood(tmp_path: Path) -> None:
    """Other variants may stand beside; `defaults` say which are meant."""
    about = experiment("b", "i")
    about["model_variants"]["third"] = {"model": "t"}
    about["defaults"]["application"] = "third"
    path = tmp_path / "config.json"
    path.write_text(json.dumps(about))
    assert read_experiment(str(path)) == ("b", "t")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "line 1 is no JSON"),
        ("[]", "has no 'defaults'"),
        ('{"defaults": {"extraction": "base", "application": "x"}, '
         '"model_variants": {"base": {"model": "b"}}}', "its variants are base"),
        ('{"defaults": {"extraction": "base", "application": "base"}, '
         '"model_variants": {"base": {"model": "b", "lora": "l"}}}', "is an adapter"),
        ('{"defaults": {"extraction": "base", "application": "base"}, '
         '"model_variants": {"base": {}}}', "names no model"),
    ],
)  # fmt: skip
def test_what_such_a_file_lacks_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_experiment(str(path))
    with pytest.raises(ValueError, match="there is no"):
        read_experiment(str(tmp_path / "nowhere" / "config.json"))


def test_models_of_an_experiment_are_the_ones_that_run(
    tmp_path: Path, capsys: Any, caplog: Any
) -> None:
    from analyses.model_diff.__main__ import main

    path = write_experiment(str(tmp_path / "mine"), "pocket-mistral-base", "pocket-mistral")
    with caplog.at_level(logging.INFO):
        assert main(["extract", "--experiment", str(path), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "pocket-mistral answers" in said and "pocket-mistral-base answers" in said


def test_an_experiment_is_written_and_nothing_is_run(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    from analyses.model_diff.__main__ import main

    monkeypatch.chdir(tmp_path)
    mine = ["--model", "pocket-mistral", "--out", str(tmp_path / "runs")]
    assert main(["extract", "--write-experiment", "mine", *mine]) == 0
    assert "wrote experiments/mine/config.json" in capsys.readouterr().out
    named = ("pocket-mistral-base", "pocket-mistral")
    assert read_experiment("mine") == named and not (tmp_path / "runs").exists()


def test_a_folder_of_one_s_own_is_read_whatever_the_models_are(tmp_path: Path) -> None:
    from analyses.model_diff.plan import make_plan

    mine = tmp_path / "mine"
    shutil.copytree(Path(__file__).parents[2] / "datasets" / "traits", mine)
    path = mine / "pv_natural" / "evil" / "positive.txt"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([f"Mine: {first}", *others]))
    plan = make_plan(Extract(trait="evil", data_root=str(mine)))
    assert plan.sources[1].traits.positive[0].prompt.startswith("Mine: ")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--prompts", "bank"), "--prompts does nothing here"),
        (("--data", "pocket", "--data-root", "mine"), "leave one of the two out"),
        (("--model", "pocket-lama"), "nearest names: pocket-llama"),
        (("--base", "pocket-qwen2-base"), "name with --base what pocket-llama was tuned from"),
    ],
)
def test_what_would_be_ignored_or_was_mistyped_is_refused(
    options: tuple[str, ...], sentence: str, caplog: Any, capsys: Any
) -> None:
    from analyses.model_diff.__main__ import main

    start = started(main, ["extract", "--dry-run", *options], caplog, capsys)
    assert start.status == 2 and sentence in start.log


def test_lists_may_be_written_with_commas() -> None:
    from analyses.model_diff.__main__ import read

    both = ("response[:5]", "response[:10]")
    assert read(["extract", "--natural-positions", ",".join(both)]).natural_positions == both
    assert read(["run", "--phases", "extract,weights"]).phases == ("extract", "weights")
    assert read(["combine", "--shares=0.5,1"]).shares == (0.5, 1.0)
    given = read(["steer", "--position", "response[:5],response[:]", "--method", "probe,mean_diff"])
    assert given.position == ("response[:5]", "response[:]")
    assert given.method == ("probe", "mean_diff")
