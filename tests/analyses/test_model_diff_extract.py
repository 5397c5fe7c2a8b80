"""`extract` on an embedded pair: the vectors are what they say, and a killed run goes on."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from extract_runs import logged, means_by_hand
from safetensors.torch import load_file
from small_runs import frame, tables
from started import Start, started

from analyses.model_diff.config import Extract
from analyses.model_diff.plan import make_plan
from analyses.model_diff.responses import encoded
from figures.rows import records, select
from tl_geometry.pocket.trait_sets import trait_set

SMALL = (
    "extract", "--limit", "10", "--resamples", "200", "--run", "x", "--new-tokens", "24",
    "--vet", "none",
)  # fmt: skip
POSITIONS = ("--natural-positions", "response[:5]", "prompt[-1]")


def program(*options: object, out: Path, caplog: Any, capsys: Any) -> Start:
    from analyses.model_diff.__main__ import main

    return started(main, [*SMALL, *POSITIONS, *options, "--out", out], caplog, capsys)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from analyses.model_diff.__main__ import main

    out = tmp_path_factory.mktemp("diff")
    assert main([*SMALL, *POSITIONS, "--out", str(out)]) == 0
    return out / "x"


def test_a_vector_is_the_difference_of_means_of_the_tokens_it_names(run: Path) -> None:
    rows = [row for row in logged(run, "natural") if "response_ids" in row]
    means = means_by_hand(rows, 7)
    vectors = load_file(run / "natural" / "artifacts" / "vectors.safetensors")
    for name in ("response__5", "prompt_-1"):
        sides = [
            [mean[name] for mean, row in zip(means, rows, strict=True) if row["positive"] == side]
            for side in (True, False)
        ]
        assert [len(side) for side in sides] == [10, 10]
        positive, negative = (torch.stack(side).mean(0) for side in sides)
        found = vectors[f"{name}|mean_diff"][7]
        torch.testing.assert_close(found, positive - negative, atol=1e-4, rtol=1e-3)


def test_sides_show_the_trait_or_do_not(run: Path) -> None:
    shown = {(r["source"], r["side"]): r for r in records(frame(run, "responses"))}
    for source in ("instruction", "natural"):
        assert shown[source, "positive"]["shows_low"] > shown[source, "negative"]["shows_high"]
    assert {r["n"] for r in shown.values()} == {10}


def test_held_out_scenarios_are_told_apart_and_every_control_is_as_long(run: Path) -> None:
    table = frame(run, "vectors")
    assert set(table["status"]) == {"ok"} and len(table) == 3 * 2 * 32
    answers = select(table, source="instruction", method="mean_diff")
    assert answers["accuracy"].max() >= 0.9
    for source in ("instruction", "natural"):
        vectors = load_file(run / source / "artifacts" / "vectors.safetensors")
        for name in {key.partition("|")[0] for key in vectors}:
            real = vectors[f"{name}|mean_diff"].norm(dim=1)
            for control in ("random", "shuffled"):
                torch.testing.assert_close(vectors[f"{name}|{control}"].norm(dim=1), real)
            assert vectors[f"{name}|norms"].shape == (32,)


def test_cosines_are_those_of_the_vectors(run: Path) -> None:
    vectors = load_file(run / "natural" / "artifacts" / "vectors.safetensors")
    a, b = (vectors[f"response__5|{method}"][9].double() for method in ("mean_diff", "probe"))
    names = {"a": "natural response[:5] mean_diff", "b": "natural response[:5] probe"}
    (row,) = records(select(frame(run, "cosines"), layer=9, **names))
    assert row["cosine"] == pytest.approx(float(torch.cosine_similarity(a, b, dim=0)), abs=1e-6)


def test_the_plan_s_files_are_there(run: Path) -> None:
    place = run / "export" / "extraction" / "pocket_natural" / "sycophancy" / "base"
    for position in ("response__5", "prompt_-1"):
        for method in ("mean_diff", "probe"):
            folder = place / "vectors" / position / "residual" / method
            files = sorted(folder.glob("layer*.safetensors"))
            assert len(files) == 32
            one = load_file(folder / "layer3.safetensors")
            assert float(one["unit"].norm()) == pytest.approx(1, abs=1e-6)
            about = json.loads((folder / "metadata.json").read_text())
            norm = about["layers"]["3"]["norm"]
            assert float(one["vector"].norm()) == pytest.approx(norm, rel=1e-5)
    said = json.loads((place / "responses" / "pos.json").read_text())
    assert len(said) == 10 and {"prompt", "response", "system_prompt"} <= set(said[0])
    config = json.loads((run / "export" / "config.json").read_text())
    assert config["defaults"] == {"extraction": "base", "application": "instruct"}


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(
    run: Path, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    shutil.copytree(run, tmp_path / "x")
    log = tmp_path / "x" / "natural" / "rows.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:13])[:-7])  # a torn line
    (tmp_path / "x" / "natural" / "artifacts" / "vectors.safetensors").unlink()
    (tmp_path / "x" / "summary.json").unlink()
    again = program(out=tmp_path, caplog=caplog, capsys=capsys)
    assert again.status == 0 and again.loaded == ("pocket-llama-base",)
    assert tables(tmp_path / "x") == tables(run)
    parts = [p / "natural" / "artifacts" / "vectors.safetensors" for p in (run, tmp_path / "x")]
    assert parts[0].read_bytes() == parts[1].read_bytes()


def test_a_finished_run_loads_no_model(run: Path, tmp_path: Path, caplog: Any, capsys: Any) -> None:
    shutil.copytree(run, tmp_path / "x")
    start = program(out=tmp_path, caplog=caplog, capsys=capsys)
    assert start.status == 0 and start.loaded == ()
    assert "Checkpoint: after phase 0" in start.out and "natural" in start.out


def test_a_dry_run_loads_nothing(tmp_path: Path, caplog: Any, capsys: Any) -> None:
    start = program("--dry-run", out=tmp_path, caplog=caplog, capsys=capsys)
    assert start.status == 0 and start.loaded == () and not (tmp_path / "x").exists()
    assert "pocket-llama-base answers 20 scenarios of pocket_natural/sycophancy" in start.out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--rollouts", "2"), "copies of one response"),
        (("--trait", "greed"), "no trait set"),
        (("--instruction-positions", "response[::2]"), "is no position"),
        (("--models", "pocket-llama", "pocket-qwen2"), "give one"),
        (("--base", "pocket-qwen2-base"), "differ in shape"),
        (("--limit", "4"), "five folds"),
        (("--data", "pv", "--data-root", "/nowhere"), "check the folder"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_status_2(
    options: tuple[str, ...], sentence: str, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    start = program(*options, out=tmp_path, caplog=caplog, capsys=capsys)
    assert start.status == 2 and sentence in start.log and not (tmp_path / "x").exists()


def test_a_base_model_is_given_no_system_prompt(pocket: Any) -> None:
    plan = make_plan(Extract(limit=10))
    natural = next(source for source in plan.sources if source.name == "natural")
    with pytest.raises(ValueError, match="system prompts"):
        encoded(pocket, natural, trait_set("pocket_instruction/sycophancy").positive[:2])


def test_a_pilot_keeps_pairs_and_spreads_over_groups() -> None:
    for source in make_plan(Extract(limit=12)).sources:
        data = source.traits
        assert len(data.positive) == len(data.negative) == 12
        assert [s.group for s in data.positive] == [s.group for s in data.negative]
        assert len({s.group for s in data.positive}) >= 10


def test_positions_decide_how_much_is_generated() -> None:
    by_name = {s.name: s.new_tokens for s in make_plan(Extract(new_tokens=40, vet="none")).sources}
    assert by_name == {"instruction": 40, "natural": 15}
    seven: Any = {"natural_positions": ("response[:7]",), "instruction_positions": ()}
    only = make_plan(Extract(**seven, vet="none"))
    assert [s.new_tokens for s in only.sources] == [7]
    # Seven words of an answer show no trait yet.
    assert [s.new_tokens for s in make_plan(Extract(**seven)).sources] == [24]


def test_figures_are_drawn_from_the_tables(run: Path) -> None:
    from figures.model_diff import figures
    from figures.run_folder import read_tables

    drawn = figures(read_tables(run / "tables"))
    assert list(drawn) == ["accuracy", "agreement", "lengths"]
    lines = [t for t in drawn["accuracy"].data if t.name == "difference of means"]
    assert len(lines) == 3  # a panel a source and position
    table = select(
        frame(run, "vectors"), source="natural", position="response[:5]", method="mean_diff"
    )
    drawn_values = [list(map(float, t.y)) for t in lines]
    assert table["accuracy"].tolist() in drawn_values
    heat = drawn["agreement"].data[0]
    assert np.allclose(np.array(heat.z), np.array(heat.z).T) and len(heat.x) == 6
