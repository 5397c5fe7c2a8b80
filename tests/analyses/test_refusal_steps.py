"""`sizes` and `quantization`: what they measure where, and how a killed one goes on."""
# ruff: noqa: F811 - fixtures that are imported, and asked for by name

import json
import shutil
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
import torch
from refusal_runs import (  # noqa: F401 - fixtures are used by name
    BAD_INPUT,
    OK,
    SHARED,
    SOME_FAILED,
    Program,
    begun,
    checkpoints,
    everything,
    options_of,
    program,
    quick,
)
from small_runs import frame, rows, tables
from transformers import MistralConfig, MistralForCausalLM

from analyses.refusal.by_precision import CARRIED, OWN, kept
from analyses.refusal.config import PRESETS, Quantization, Sizes
from analyses.refusal.decide import decide
from analyses.refusal.measuring import best_cell
from analyses.refusal.paired import coherent_by_prompt, mcnemar_p
from analyses.refusal.plan import make_plan
from analyses.refusal.sources import Source
from figures.rows import records, select
from tl_geometry.directions import Direction

DEPTHS = f"{SHARED} --depths 0.4 0.6 --skip-verification"
SIZES = f"{DEPTHS} --random-directions 1"
PRECISIONS = f"{DEPTHS} --precisions none nf4"
Row = dict[str, Any]
# What bitsandbytes says about CPUs and about its own deprecated calls.
pytestmark = pytest.mark.filterwarnings("ignore")


def by_words(text: str, **_: Any) -> str:
    """A judge who is of some opinion about the noise of a random model."""
    return ("coherent", "garbled", "normal")[crc32(text.encode()) % 3]


@pytest.fixture(scope="module", autouse=True)
def _judged() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("analyses.refusal.saying.quality", by_words)
        yield


def ran(step: str, out: Path, models: tuple[Path, ...], options: str) -> int:
    from analyses.refusal.__main__ import main

    return main([step, *options_of(models, out, options)])


@pytest.fixture(scope="module")
def sized(checkpoints: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sizes; only to be read."""
    out = tmp_path_factory.mktemp("sizes")
    assert ran("sizes", out, checkpoints, SIZES) == OK
    return out / "x"


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
def quantised(wide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Full precision and nf4; only to be read."""
    out = tmp_path_factory.mktemp("precisions")
    assert ran("quantization", out, (wide,), PRECISIONS) == OK
    return out / "x"


def of(run: Path, phase: str, model: str = "tiny") -> list[Row]:
    return [row for row in rows(run, model) if row["key"].startswith(f"{phase}|")]


def coherent(row: Row) -> int:
    return sum(answer["quality"] == "coherent" for answer in row["answers"])


def validated(run: Path, model: str) -> Row:
    """DIM's best condition on validation prompts."""
    return best_of(of(run, "search", model), "dim")


def best_of(searched: list[Row], method: str) -> Row:
    """By the rule that other tests look at."""
    mine = [row for row in searched if row["source"] == method]
    direction = Direction(torch.ones(2), 1, -1, "dim", None, {})
    depths = {row["depth"] for row in mine}
    best = best_cell(mine, [Source(method, depth, 0, direction) for depth in depths])
    (row,) = (row for row in mine if f"{method}|{row['depth']}|{row['dose']:g}" == best.key)
    return row


def killed(whole: Path, run: Path, key: str) -> None:
    """The run as it was before the row of this key was written, half of which was."""

    def keep(model: str, lines: list[str]) -> list[str]:
        if model != "tiny":
            return lines
        at = [json.loads(line)["key"] for line in lines].index(key)
        return [*lines[:at], lines[at][: len(lines[at]) // 2]]

    begun(whole, run, keep)


# --- sizes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["tiny", "other"])
def test_every_dose_is_measured_at_the_layer_that_dim_does_best_at(model: str, sized: Path) -> None:
    searched = of(sized, "search", model)
    assert {row["depth"] for row in searched if row["source"] == "dim"} == {"0.4", "0.6"}
    depth = validated(sized, model)["depth"]
    assert {row["depth"] for row in searched if row["source"] != "dim"} == {depth}
    tested = of(sized, "test", model)
    for method in ("dim", "cosmic"):
        mine = [row for row in tested if row["source"] == method]
        assert {row["depth"] for row in mine} == {depth}
        doses = sorted(row["dose"] for row in mine)
        assert doses[-2:] == [0.05, 0.1] and len(doses) == 3 and doses[0] < 0  # other sign
        (like,) = (row for row in tested if row["depth"] == f"as {method}|{depth}")
        best = best_of(searched, method)
        assert like["source"] == "random 0" and like["dose"] == best["dose"]
        assert like["dose_unit"] == pytest.approx(best["dose_unit"])
    controls = [row["source"] for row in tested if row["depth"] == depth]
    assert controls.count("shuffled") == controls.count("random 0") == 1


def test_a_curve_is_over_sizes_at_their_own_best_dose(
    sized: Path, checkpoints: tuple[Path, ...]
) -> None:
    verdicts, curve = frame(sized, "verdicts"), frame(sized, "curve")
    assert len(verdicts) == 4 and set(verdicts["choice"]) == {"best depth on validation"}
    size = make_plan(Sizes(models=(str(checkpoints[0]),), depths=(0.4,))).models[0].size
    assert size is not None and set(verdicts["parameters"]) == {size.parameters}
    for row in records(curve):
        assert row["sizes"] == "tiny, other"  # equally large: in the order they were named
        rates = [
            records(select(verdicts, model=model, method=row["method"]))[0]["coherent"]
            for model in ("tiny", "other")
        ]
        rise = round(rates[1] - rates[0], 9)
        shape = "flat" if abs(rise) <= 0.1 else "rising" if rise > 0 else "falling"
        assert row["shape"] == shape
    assert set(curve["method"]) == {"dim", "cosmic"}
    points = set(frame(sized, "decisions")["point"])
    assert points == {"5.2", "5.4", "R2"}
    exported = {path.name.rpartition("_")[0] for path in (sized / "export" / "results").iterdir()}
    family = records(verdicts)[0]["family"]
    assert exported == {
        f"v3_phase2_layer_validation_{family}",
        f"v3_phase2_size_sweep_{family}",
    }


@pytest.mark.parametrize("key", ["search|cosmic", "test|cosmic"])
def test_killed_sizes_go_on_with_the_same_bytes(key: str, sized: Path, program: Program) -> None:
    run = program.path()
    found = next(row["key"] for row in rows(sized) if row["key"].startswith(key))
    killed(sized, run, found)
    start = program.plain("sizes", *options_of(program.checkpoints, program.folder, SIZES))
    assert start.status == OK and start.loaded == ("tiny",), start.log
    assert tables(run) == tables(sized) and rows(run) == rows(sized)


# --- quantization ---------------------------------------------------------------------------------


def test_every_precision_is_measured_at_the_place_chosen_at_full_precision(
    quantised: Path,
) -> None:
    best = validated(quantised, "tiny")
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
    best, (full, nf4) = validated(quantised, "tiny"), precisions(quantised)
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
    found = next(row["key"] for row in rows(quantised) if row["key"].startswith(key))
    killed(quantised, run, found)
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


def test_each_step_has_a_key_of_its_own_and_the_plan_s_presets() -> None:
    shared: Any = {"models": ("pocket-mistral",)}
    sizes, quantization = Sizes(**shared), Quantization(**shared)
    keys = [make_plan(config).spec.key for config in (sizes, quantization)]
    keys.append(make_plan(Quantization(**shared, precisions=("none", "int8"))).spec.key)
    assert len(set(keys)) == 3
    assert [make_plan(config).step for config in (sizes, quantization)] == [
        "sizes",
        "quantization",
    ]
    for step, models, doses in (
        ("sizes", ("qwen2.5-3b", "qwen2.5-7b", "qwen2.5-14b", "qwen2.5-32b"), (10, 15, 20, 25)),
        ("quantization", ("qwen2.5-3b", "qwen2.5-7b", "qwen2.5-32b"), (15,)),
    ):
        seed = PRESETS[step]["seed"]
        assert (seed.models, seed.doses, seed.dose_unit) == (models, doses, "unit")
        assert seed.depths == (0.5, 0.6, 0.7) and seed.dim_prompts == 5
        seed.check()


def test_decisions_of_both_steps_are_gathered(
    sized: Path, quantised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analyses.refusal.config import Decide

    monkeypatch.setattr("analyses.refusal.decide.redraw", lambda *_: [])
    shutil.copytree(sized, tmp_path / "s")
    shutil.copytree(quantised, tmp_path / "q")
    decide(Decide(out=tmp_path))
    table = frame(tmp_path / "decisions", "decisions")
    assert set(table["run"]) == {"verify", "s", "q"}
    assert set(table["point"]) == {"R0", "5.2", "5.4", "R2", "R3"}
