"""`python -m analyses.cross_architecture`: what it writes, what it survives, what it refuses."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scipy import stats
from small_runs import frame, rows, save_bank, tables
from started import Start, started

BAD_INPUT, SOME_FAILED, INTERRUPTED = 2, 3, 130
HOME = "analyses.cross_architecture"
COLUMNS = {
    "verdict": {"verdict", "why", "models", "gap_shown", "depth_excluded", "behind_shown"},
    "comparison": {"model", "family", "critical_layer", "g", "g_low", "transfer_estimate"}
    | {"attempted_pairs", "valid_pairs", "attention", "status", "reason"},
    "critical_layers": {"model", "definition", "range", "layer", "depth_low", "share_of_resamples"},
    "meta": {"effect", "without", "quantity", "estimate", "low", "high", "i2", "tau2"},
    "meta_inputs": {"effect", "model", "estimate", "low", "high"},
    "layers": {"model", "layer", "gap_log_r_v", "low", "high", "p_all_layers", "p_seed_range"},
    "effects": {"model", "patch_layer", "condition", "outcome", "layer", "definitional", "primary"}
    | {"estimate", "d_z_estimate", "p", "p_adjusted"},
    "transfer": {"model", "patch_layer", "outcome", "definitional", "change", "natural_gap"},
    "confounds": {"model", "comparison", "about", "estimate", "low", "high", "reason"},
    "baselines": {"model", "score", "estimate", "low", "high"},
    "pairs": {"model", "target_id", "donor_id", "natural_gap_site", "transfer_last"},
    "depths": {"model", "definition", "range", "layer", "share"},
    "concordance": {"definition", "mean_distance", "by_chance", "p_nearer_than_chance"},
    "patterns": {"fact", "kind", "models", "names", "g_mean"},
    "missing": {"what", "id", "reason"},
}


@dataclass(frozen=True)
class Program:
    """The program in this process, on two tiny checkpoints."""

    folder: Path
    checkpoints: tuple[Path, ...]
    bank: Path
    caplog: pytest.LogCaptureFixture
    capsys: pytest.CaptureFixture[str]
    loads: list[str]

    def __call__(self, *options: object, models: Sequence[object] = (), run: str = "x") -> Start:
        from analyses.cross_architecture.__main__ import main

        given = options_of(models or self.checkpoints, self.bank, self.folder, run)
        return started(main, [*given, *options], self.caplog, self.capsys, self.loads)

    def path(self, run: str = "x") -> Path:
        return self.folder / run


def options_of(models: Sequence[object], bank: Path, out: Path, run: str) -> list[str]:
    line = f"--prompts {bank} --pairs 4 --search-pairs 4 --batch-size 4 --resamples 200"
    return [*line.split(), "--out", str(out), "--run", run, "--models", *map(str, models)]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bank(tmp_path_factory.mktemp("texts") / "more.jsonl", spare=12)


@pytest.fixture(scope="module")
def checkpoints(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    from safetensors.torch import load_file, save_file

    other = tmp_path_factory.mktemp("models") / "other"
    shutil.copytree(checkpoint, other)
    weights = load_file(other / "model.safetensors")
    weights["model.embed_tokens.weight"] *= 1.5
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    return checkpoint, other


@pytest.fixture
def program(
    tmp_path: Path,
    checkpoints: tuple[Path, ...],
    bank: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Program:
    from tl_geometry.models import load_model, random_model

    loads: list[str] = []

    def noted(load: Callable[..., Any], what: str) -> Callable[..., Any]:
        def act(name: str, **options: Any) -> Any:
            loads.append(Path(name).name + what)
            return load(name, **options)

        return act

    monkeypatch.setattr("analyses.requested.load_model", noted(load_model, ""))
    monkeypatch.setattr("analyses.requested.random_model", noted(random_model, "--untrained"))
    monkeypatch.setattr("figures.redraw", lambda *_, **__: [])
    return Program(tmp_path / "runs", checkpoints, bank, caplog, capsys, loads)


@pytest.fixture(scope="module")
def whole(
    checkpoints: tuple[Path, ...], bank: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An uninterrupted run with its report; only to be read."""
    from analyses.cross_architecture.__main__ import main

    out = tmp_path_factory.mktemp("whole")
    assert main(options_of(checkpoints, bank, out, "x")) == 0
    return out / "x"


def test_a_run_leaves_tables_with_their_columns_a_summary_and_a_report(whole: Path) -> None:
    assert tables(whole).keys() == {f"{name}.csv" for name in COLUMNS}
    for name, columns in COLUMNS.items():
        assert columns <= set(frame(whole, name)), name
    assert (whole / "report.html").stat().st_size > 1000
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["counts"]["models measured"] == 2 and summary["counts"]["missing"] == 0
    assert all(checks["self"] == 0 for checks in summary["software_checks"].values())
    assert all(max(checks.values()) < 1e-9 for checks in summary["software_checks"].values())
    assert frame(whole, "verdict")["verdict"].tolist() == ["undecided"]
    assert set(frame(whole, "effects")["model"]) == {
        f"{name}{twin}" for name in ("tiny", "other") for twin in ("", "--untrained")
    }


def test_no_prompt_is_chosen_with_and_measured_on(whole: Path, bank: Path) -> None:
    from tl_geometry.prompts import halves, load_bank

    choosing, measuring = ({p.id for p in half} for half in halves(load_bank(bank)))
    for what, half in (("search", choosing), ("patch", measuring)):
        keys = [row["key"].split("|") for row in rows(whole) if row["key"].startswith(what)]
        assert keys and {name for key in keys for name in key[2:]} <= half
    pairs = [key[2:] for key in keys if key[1] == keys[0][1]]
    assert len({name for pair in pairs for name in pair}) == 2 * len(pairs) == 8


def test_the_other_plain_text_neither_chose_the_layer_nor_is_a_target(
    checkpoints: tuple[Path, ...], bank: Path
) -> None:
    from analyses.cross_architecture import Config
    from analyses.cross_architecture.inputs import inputs
    from analyses.cross_architecture.plan import make_plan
    from tl_geometry.models import load_model
    from tl_geometry.prompts import halves
    from tl_geometry.tokens import encode

    sizes: Any = {"pairs": 4, "search_pairs": 4}
    plan = make_plan(Config(models=(str(checkpoints[0]),), prompts=str(bank), **sizes))
    model = load_model(str(checkpoints[0]))
    found = inputs(plan, model).measured
    _, measuring = halves(plan.bank)
    plain = [p for p in measuring if p.kind == "plain"]
    spoken = {tuple(encode(model, [p.text])[0]): p.id for p in plain}
    others = [spoken[tuple(pair.other)] for pair in found.values()]
    assert len(set(others)) == 4
    assert not set(others) & {name.split("|")[0] for name in found}


def test_models_of_one_architecture_have_random_twins_of_their_own(whole: Path) -> None:
    tiny, other = (
        [row["pr_value"] for row in rows(whole, f"{name}--untrained") if "pr_value" in row][0]
        for name in ("tiny", "other")
    )
    assert tiny != other


def test_corrections_stay_within_their_condition_and_sort_of_model(whole: Path) -> None:
    table = frame(whole, "effects")
    for condition in ("patched", "patched − other_plain"):
        for twin in (False, True):
            mine = table["model"].str.endswith("--untrained") == twin
            tested: Any = table[mine & (table["condition"] == condition) & table["p"].notna()]
            by_hand = stats.false_discovery_control(tested["p"])
            assert tested["p_adjusted"].to_numpy() == pytest.approx(by_hand)


Keep = Callable[[str, dict[str, Any]], bool]


def begun(whole: Path, run: Path, keep: Keep = lambda *_: True) -> Path:
    """The uninterrupted run as it was when only some rows were on record."""
    shutil.copytree(whole, run)
    shutil.rmtree(run / "tables")
    (run / "summary.json").unlink()
    for log in run.glob("*/rows.jsonl"):
        lines = log.read_text().splitlines(keepends=True)
        log.write_text("".join(x for x in lines if keep(log.parent.name, json.loads(x))))
    return run


def test_a_finished_run_is_not_loaded_or_measured_again(program: Program, whole: Path) -> None:
    begun(whole, program.path())
    start = program()
    assert start.status == 0 and start.loaded == ()
    assert tables(program.path()) == tables(whole)


def patches_failing_at(call: int, error: BaseException) -> Callable[..., Any]:
    """`patches`, whose nth call raises."""
    from analyses.cross_architecture.measure import patches

    calls = iter(range(1, 100))

    def act(*args: Any, **options: Any) -> Any:
        if next(calls) == call:
            raise error
        return patches(*args, **options)

    return act


def test_a_run_that_was_killed_in_its_second_model_goes_on_from_there(
    program: Program, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(whole, program.path(), lambda model, _: not model.startswith("other"))
    with monkeypatch.context() as patch:
        stop = patches_failing_at(5, KeyboardInterrupt())
        patch.setattr(f"{HOME}.recording.patches", stop)
        start = program()
    assert start.status == INTERRUPTED and "the same command goes on from there" in start.log
    assert start.loaded == ("other",) and not (run / "summary.json").exists()
    before = rows(run, "other")
    assert {row["key"].split("|")[0] for row in before} == {"text", "search", "patch"}

    start = program()
    assert start.status == 0 and start.loaded == ("other", "other--untrained")
    assert tables(run) == tables(whole)
    after = rows(run, "other")
    assert after == rows(whole, "other") and after[: len(before)] == before


@pytest.mark.parametrize("what", ["search", "patch"])
def test_what_failed_is_missing_with_its_reason_and_measured_at_the_next_start(
    what: str, program: Program, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = (f"{what}|6|", "model")  # layer 6 is the fixed depth, and is searched too
    run = begun(
        whole, program.path(), lambda model, row: model != "tiny" or not row["key"].startswith(lost)
    )
    with monkeypatch.context() as patch:
        fail = patches_failing_at(1, RuntimeError("no such kernel"))
        patch.setattr(f"{HOME}.recording.patches", fail)
        start = program()
    missing = frame(run, "missing")
    if what == "search":
        assert missing["reason"].tolist() == ["RuntimeError: no such kernel"] * 4
        assert all(name.startswith(lost) for name in missing["id"])
    else:  # without a patch at that layer there is nothing to compare the model by
        said = "RuntimeError: no pair could be patched at layer 6: RuntimeError: no such kernel"
        assert start.status == SOME_FAILED and missing["reason"].tolist() == [said]
        table = frame(run, "comparison").set_index("model")
        assert table.loc["tiny", "reason"] == said and table.loc["other", "status"] == "ok"
    start = program()
    assert start.status == 0 and start.loaded == ("tiny",)
    assert tables(run) == tables(whole)


def test_a_model_that_cannot_be_loaded_is_a_row_and_the_other_is_measured(
    program: Program, checkpoint: Path, tmp_path: Path
) -> None:
    torn, odd = tmp_path / "torn", tmp_path / "odd"
    for folder in (torn, odd):
        shutil.copytree(checkpoint, folder)
    os.truncate(torn / "model.safetensors", 5000)
    (odd / "config.json").write_text('{"model_type": ')
    start = program("--no-random-init", models=(torn, checkpoint, odd))
    assert start.status == SOME_FAILED and start.loaded == ("torn", "tiny")
    table = frame(program.path(), "comparison").set_index("model")
    assert table["status"].to_dict() == {"torn": "failed", "tiny": "ok", "odd": "failed"}
    assert "cannot load torn" in table.loc["torn", "reason"]
    assert "cannot read the configuration" in table.loc["odd", "reason"]
    missing = frame(program.path(), "missing")
    assert dict(zip(missing["id"], missing["reason"], strict=True)) == {
        name: table.loc[name, "reason"] for name in ("torn", "odd")
    }
    assert "cannot load torn" in start.out  # in the headline


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--models pocket-mistal", "unknown model 'pocket-mistal'; nearest names: pocket-mistral"),
        ("--pairs 1", "1 pairs and 4 search pairs are too few: give at least 2 and 4"),
        ("--search-pairs 3", "4 pairs and 3 search pairs are too few: give at least 2 and 4"),
        ("--window 1", "window=1: a participation ratio needs at least 2 tokens"),
        ("--resamples 20", "resamples=20: intervals need at least 100"),
        ("--search-depths 0.9 0.5", "search_depths=0.9 0.5 must rise, within 0 and below 1"),
        ("--patch-depth 0.1", "with 8 layers, patch layer 0 must lie behind the early layer 1"),
        ("--pairs 20", "20 pairs are asked for, and this bank supports 5"),
        ("--preset sed", "unknown preset 'sed'; there is: seed, sizes, bases"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_refused_in_one_sentence(
    options: str, sentence: str, program: Program
) -> None:
    start = program(*options.split())
    assert start.status == BAD_INPUT and start.out == "" and start.loaded == ()
    assert len([line for line in start.log.splitlines() if sentence in line]) == 1
    assert "Traceback" not in start.log and not program.folder.exists()


def test_where_no_model_can_be_measured_every_reason_is_said(program: Program) -> None:
    start = program("--window", 90)
    assert start.status == SOME_FAILED and start.out == ""
    assert "no model could be measured: ValueError: 4 pairs are asked for" in start.log
    assert not (program.path() / "summary.json").exists()


def test_a_dry_run_says_what_would_be_done_and_reads_no_weights(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", None)
    start = program("--dry-run")
    first, *lines = start.out.splitlines()
    assert start.status == 0 and start.loaded == ()
    assert first == f"folder {program.path()}" and not program.folder.exists()
    assert "tiny: can be read" in lines and "other: can be read" in lines
    assert lines.count("  layers: 8; early 1, fixed 6, patches searched 4–6") == 2


def test_embedded_models_of_two_families_are_compared(tmp_path: Path) -> None:
    from analyses.cross_architecture.__main__ import main
    from tl_geometry import prompts

    lines = Path(prompts.__file__).with_name("pocket.jsonl").read_text().splitlines(keepends=True)
    bank = tmp_path / "some.jsonl"
    bank.write_text("".join(lines[::12]))
    line = "--models pocket-mistral pocket-falcon --limit 4 --search-pairs 4 --resamples 200 "
    line += f"--search-depths 0.7 0.9 --no-random-init --prompts {bank} --out {tmp_path} --run p"
    assert main(line.split()) == 0
    table = frame(tmp_path / "p", "comparison").set_index("model")
    assert table["attention"].to_dict() == {"pocket-mistral": "GQA", "pocket-falcon": "MQA"}
    assert table["blocks"].to_dict() == {
        "pocket-mistral": "sequential",
        "pocket-falcon": "parallel",
    }
    assert set(table["n_layers"]) == {32} and set(table["valid_pairs"]) == {4}
    summary = json.loads((tmp_path / "p" / "summary.json").read_text())
    assert summary["layers"]["pocket-mistral"]["fixed"] == 27
    assert "nothing here is evidence" in summary["banner"]
    assert "nothing here is evidence" in (tmp_path / "p" / "report.html").read_text()
