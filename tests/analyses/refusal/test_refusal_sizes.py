"""`sizes`: what it measures where, and how a killed one goes on; decisions of all steps."""

from pathlib import Path
from typing import Any

import pytest
from refusal_runs import OK, SHARED, Program, best_of, killed_before, of, options_of, ran
from small_runs import frame, rows, tables

from analyses.refusal.config import Quantization, Sizes
from analyses.refusal.plan import make_plan
from analyses.refusal.presets import PRESETS
from figures.rows import records, select

SIZES = f"{SHARED} --depths 0.4 0.6 --random-directions 1 --skip-verification"
pytestmark = pytest.mark.usefixtures("opinion")
Row = dict[str, Any]


@pytest.fixture(scope="module")
def sized(
    opinion: None, checkpoints: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Two sizes; only to be read."""
    out = tmp_path_factory.mktemp("sizes")
    assert ran("sizes", out, checkpoints, SIZES) == OK
    return out / "x"


@pytest.mark.parametrize("model", ["tiny", "other"])
def test_every_dose_is_measured_at_the_layer_that_dim_does_best_at(model: str, sized: Path) -> None:
    searched = of(sized, "search", model)
    depth = best_of(sized, "dim", model)["depth"]
    for name, depths in (("dim", {"0.4", "0.6"}), ("cosmic", {depth})):
        assert {row["depth"] for row in searched if row["source"] == name} == depths
    tested = of(sized, "test", model)
    for method in ("dim", "cosmic"):
        mine = [row for row in tested if row["source"] == method]
        assert {row["depth"] for row in mine} == {depth}
        doses = sorted(row["dose"] for row in mine)
        assert doses[-2:] == [0.05, 0.1] and len(doses) == 3 and doses[0] < 0  # other sign
        (like,) = (row for row in tested if row["depth"] == f"as {method}|{depth}")
        best = best_of(sized, method, model)
        assert like["source"] == "random 0" and like["dose"] == best["dose"]
        assert like["dose_unit"] == pytest.approx(best["dose_unit"])
    for control in ("shuffled", "random 0"):
        (own,) = (r for r in tested if r["source"] == control and not r["depth"].startswith("as "))
        best = best_of(sized, control, model)
        assert (own["depth"], own["dose"]) == (best["depth"], best["dose"])


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
    killed_before(sized, run, key)
    start = program.plain("sizes", *options_of(program.checkpoints, program.folder, SIZES))
    assert start.status == OK and start.loaded == ("tiny",), start.log
    assert tables(run) == tables(sized) and rows(run) == rows(sized)


# --- requests and what comes after ----------------------------------------------------------------


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
