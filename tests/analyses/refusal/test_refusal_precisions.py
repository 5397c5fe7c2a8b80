"""`quantization`: what it measures at which precision, and how a killed one goes on."""

import json
import shutil
from math import isnan
from pathlib import Path
from typing import Any

import pytest
import torch
from refusal_runs import BAD_INPUT, OK, SHARED, Program, best_of, killed_before, of, options_of, ran
from small_runs import frame, tables
from transformers import MistralConfig, MistralForCausalLM

from analyses.refusal.by_precision import CARRIED, OWN, kept
from analyses.refusal.paired import coherent_by_prompt, mcnemar_p
from figures.rows import records
from tl_geometry.directions import Direction

DEPTHS = f"{SHARED} --depths 0.4 0.6 --random-directions 1 --skip-verification"
PRECISIONS = f"{DEPTHS} --precisions none nf4"
Row = dict[str, Any]
# What bitsandbytes says about CPUs and about its own deprecated calls.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("opinion")]


@pytest.fixture(scope="module")
def wide(checkpoints: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that can be quantised: nf4 wants blocks of 64 weights."""
    folder = tmp_path_factory.mktemp("wide") / "tiny"
    shutil.copytree(checkpoints[0], folder)
    sizes: Any = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 5}
    config = MistralConfig.from_pretrained(folder, **sizes)
    generator = torch.random.manual_seed(0)
    model: Any = MistralForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def quantised(opinion: None, wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Full precision and nf4; only to be read."""
    out = tmp_path_factory.mktemp("precisions")
    assert ran("quantization", out, (wide,), PRECISIONS) == OK
    return out / "x"


def coherent(row: Row) -> int:
    return sum(answer["quality"] == "coherent" for answer in row["answers"])


def test_every_precision_is_measured_at_the_place_chosen_at_full_precision(
    quantised: Path,
) -> None:
    best = best_of(quantised, "dim")
    noted = {row["precision"]: row for row in precisions(quantised)}
    assert list(noted) == ["none", "nf4"]
    for row in noted.values():
        place = ("depth", "layer", "position", "dose")
        assert [row[name] for name in place] == [best[name] for name in place]
    tested = [(r["quantization"], r["source"], r["dose"]) for r in of(quantised, "test")]
    assert tested == [
        ("none", "none", 0.0),
        ("none", OWN, best["dose"]),
        ("nf4", "none", 0.0),
        ("nf4", OWN, best["dose"]),
        ("nf4", CARRIED, best["dose"]),
    ]


def precisions(run: Path) -> list[Row]:
    """The row of each precision, which is named after the bar of its key."""
    found = of(run, "precision")
    return [{**row, "precision": row["key"].partition("|")[2]} for row in found]


def test_at_full_precision_the_own_direction_is_the_one_that_was_searched_with(
    quantised: Path,
) -> None:
    """What is carried is what is saved, and steers as the search's direction did."""
    best, (full, nf4) = best_of(quantised, "dim"), precisions(quantised)
    saved = Direction.load(kept(quantised / "tiny", "none"))
    assert (saved.layer, saved.position) == (best["layer"] + 1, best["position"])
    assert saved.norm == full["norm"]
    tested = {(r["quantization"], r["source"]): r for r in of(quantised, "test")}
    own, carried = tested["none", OWN], tested["nf4", CARRIED]
    for name in ("dose_unit", "dose_raw", "dose_residual"):
        assert own[name] == carried[name] == best[name]
    quantized = Direction.load(kept(quantised / "tiny", "nf4"))
    assert full["cosines"] == {"none": pytest.approx(1.0)}
    cosine = float(saved.unit @ quantized.unit)
    assert nf4["cosines"] == {"none": pytest.approx(cosine), "nf4": pytest.approx(1.0)}
    # Quantising did something to what is extracted, and left it recognisable.
    assert 0.5 < cosine < 0.99999 and not torch.equal(saved.vector, quantized.vector)


def test_precisions_are_compared_on_the_same_prompts(quantised: Path) -> None:
    table = frame(quantised, "precision")
    tested = {(r["quantization"], r["source"]): r for r in of(quantised, "test")}
    assert [(r["quantization"], r["direction"]) for r in records(table)] == [
        ("none", OWN),
        ("nf4", OWN),
        ("nf4", CARRIED),
    ]
    first, *_ = records(table)
    assert isnan(first["mcnemar_p"]) and first["cosine_to_full"] == pytest.approx(1)
    full = tested["none", OWN]
    for row in records(table):
        mine = tested[row["quantization"], row["direction"]]
        assert row["coherent"] == coherent(mine) / 4
        assert row["unsteered"] == coherent(tested[row["quantization"], "none"]) / 4
        if row["quantization"] != "none":
            p = mcnemar_p(coherent_by_prompt(mine), coherent_by_prompt(full))
            assert row["mcnemar_p"] == p
    cosines = records(frame(quantised, "precision_cosines"))
    assert [(row["first"], row["second"]) for row in cosines] == [("none", "nf4")]
    assert cosines[0]["cosine"] == table["cosine_to_full"][1]
    assert set(frame(quantised, "samples")["quantization"]) == {"none", "nf4"}
    assert set(frame(quantised, "decisions")["point"]) == {"5.4", "R3"}
    (file,) = (quantised / "export" / "results").iterdir()
    objects = json.loads(file.read_text())
    assert [one["quantization"] for one in objects] == ["fp16", "int4"]


def timeless(run: Path) -> dict[str, Any]:
    """How long an extraction took is not the same twice."""
    found: dict[str, Any] = {k: v for k, v in tables(run).items() if k != "precision.csv"}
    table = frame(run, "precision").drop(columns="extraction_seconds")
    return found | {"precision": table.to_csv()}


@pytest.mark.parametrize("key", ["test|nf4|own|", "precision|none"])
def test_a_killed_comparison_goes_on_with_the_same_numbers(
    key: str, quantised: Path, wide: Path, program: Program
) -> None:
    run = program.path()
    killed_before(quantised, run, key)
    options = options_of([wide], program.folder, PRECISIONS)
    assert program.plain("quantization", *options).status == OK
    assert timeless(run) == timeless(quantised)


def test_a_precision_that_cannot_be_loaded_is_a_reason_and_the_others_go_on(
    program: Program, quantised: Path, wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analyses.refusal import by_precision

    right = by_precision._at

    def at(task: Any, precision: str) -> Any:
        if precision == "int8":
            raise ImportError("no kernels for int8\nat all")
        return right(task, precision)

    monkeypatch.setattr(by_precision, "_at", at)
    three = f"{DEPTHS} --precisions none int8 nf4"
    options = options_of([wide], program.folder, three)
    start = program.plain("quantization", *options)
    assert start.status == OK, start.log
    run = program.path()
    missing = frame(run, "missing").to_numpy().tolist()
    assert missing == [["tiny", "int8", "ImportError: no kernels for int8"]]
    assert timeless(run)["precision"] == timeless(quantised)["precision"]
    assert "tiny at int8: ImportError" in start.log
    assert json.loads((run / "summary.json").read_text())["counts"]["missing"] == 0


# --- requests and what comes after ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--precisions nf4 none", "--precisions begins with none"),
        ("--precisions none", "--precisions begins with none"),
        ("--precisions none nf4 --quantization int8", "use --precisions"),
        ("--depths 0.4 1.0", "depths [1.0] are outside 0"),
    ],
)
def test_precisions_that_cannot_be_compared_are_refused(
    options: str, sentence: str, program: Program
) -> None:
    given = options_of(program.checkpoints[:1], program.folder, f"{SHARED} --skip-verification")
    start = program.plain("quantization", *given, *options.split())
    assert start.status == BAD_INPUT and sentence in start.log and not program.folder.exists()


def test_decisions_of_a_comparison_are_gathered(
    quantised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analyses.refusal.config import Decide
    from analyses.refusal.decide import decide

    monkeypatch.setattr("analyses.refusal.decide.redraw", lambda *_: [])
    shutil.copytree(quantised, tmp_path / "q")
    decide(Decide(out=tmp_path))
    table = frame(tmp_path / "decisions", "decisions")
    assert set(table["run"]) == {"verify", "q"}
    assert set(table["point"]) == {"R0", "5.4", "R3"}
