"""`weights`: a planted change is found where it is, and the embedded pair's run is what it says."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_runs import frame, save_checkpoint, tables
from started import Start, started

from figures.rows import records, select

EXTRACT = ("--limit", "10", "--resamples", "200", "--new-tokens", "16", "--run", "vectors")
SMALL = ("weights", "--resamples", "200", "--permutations", "200")


def program(*options: object, out: Path, caplog: Any, capsys: Any) -> Start:
    from analyses.model_diff.__main__ import main

    return started(main, [*SMALL, *options, "--out", out], caplog, capsys)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from analyses.model_diff.__main__ import main

    out = tmp_path_factory.mktemp("diff")
    assert (
        main(["extract", *EXTRACT, "--natural-positions", "response[:5]", "--out", str(out)]) == 0
    )
    assert main([*SMALL, "--vectors", "vectors", "--run", "x", "--out", str(out)]) == 0
    return out / "x"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    """A tiny model, and itself with noise everywhere and one rank-one edit of layer 5's down."""
    base = save_checkpoint(tmp_path_factory.mktemp("planted") / "base")
    tuned = base.with_name("tuned")
    shutil.copytree(base, tuned)
    weights = load_file(base / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    for name, tensor in weights.items():
        weights[name] = tensor + 1e-4 * torch.randn(tensor.shape, generator=generator)
    name = "model.layers.5.mlp.down_proj.weight"
    out, inside = (torch.randn(n, generator=generator) for n in weights[name].shape)
    weights[name] = weights[name] + 0.05 * torch.outer(out, inside)
    save_file(weights, tuned / "model.safetensors", metadata={"format": "pt"})
    return base, out


def test_a_planted_rank_one_edit_is_found_at_its_layer(
    planted: tuple[Path, torch.Tensor], tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    base, out = planted
    start = program(
        "--model", base.with_name("tuned"), "--base", base, "--step", "logit_lens", "--run", "p",
        out=tmp_path, caplog=caplog, capsys=capsys,
    )  # fmt: skip
    assert start.status == 0
    found = load_file(tmp_path / "p" / "weights" / "artifacts" / "directions.safetensors")
    cosines = torch.cosine_similarity(found["down 0"], out[None]).abs()
    assert cosines.argmax() == 5 and cosines[5] >= 0.9
    assert cosines[[0, 1, 2, 3, 4, 6, 7]].max() < 0.7
    norms = select(frame(tmp_path / "p", "norms"), component="down")
    assert norms.set_index("layer")["norm"].idxmax() == 5
    energy = select(frame(tmp_path / "p", "directions"), kind="down 0").set_index("layer")
    out_of_noise = energy["energy"] > 1.5 * energy["noise"]
    assert out_of_noise[out_of_noise].index.tolist() == [5]
    assert "5 (" in json.loads((tmp_path / "p" / "summary.json").read_text())["headline"][0]


def test_a_model_and_itself_have_no_direction_and_say_so(
    planted: tuple[Path, torch.Tensor], tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    base, _ = planted
    same = base.with_name("same")
    if not same.exists():
        shutil.copytree(base, same)
    start = program(
        "--model", same, "--base", base, "--step", "logit_lens", "--run", "same",
        out=tmp_path, caplog=caplog, capsys=capsys,
    )  # fmt: skip
    assert start.status == 3  # what is missing is missing
    assert set(frame(tmp_path / "same", "norms")["norm"]) == {0.0}
    missing = frame(tmp_path / "same", "missing")
    assert len(missing) == 8 * 3 and missing["reason"].str.contains("zero").all()
    assert "no component changed" in start.out


def test_norms_are_those_of_the_tensors(run: Path) -> None:
    from tl_geometry.catalogue import MODELS

    sides = [
        load_file(Path(MODELS[name].source) / "model.safetensors")
        for name in ("pocket-llama-base", "pocket-llama")
    ]
    table = frame(run, "norms")
    for row in records(select(table, layer=7)):
        (name,) = [n for n in sides[0] if n.endswith(row["tensor"])]
        base, tuned = (side[name].double() for side in sides)
        assert row["norm"] == pytest.approx(float((tuned - base).norm()), rel=1e-5)
        assert row["relative"] == pytest.approx(row["norm"] / float(base.norm()), rel=1e-5)


def test_cosines_are_with_the_vectors_of_the_same_layer(run: Path) -> None:
    directions = load_file(run / "weights" / "artifacts" / "directions.safetensors")
    source = run.parent / "vectors" / "natural" / "artifacts" / "vectors.safetensors"
    vector = load_file(source)["response__5|mean_diff"][9].double()
    named = {"kind": "down 0", "set": "natural response__5 mean_diff", "layer": 9}
    (row,) = records(select(frame(run, "alignment"), **named))
    wanted = torch.cosine_similarity(directions["down 0"][9].double(), vector, dim=0)
    assert row["cosine"] == pytest.approx(float(wanted), abs=1e-6)
    assert row["sd"] == pytest.approx(64**-0.5)
    over = frame(run, "alignment_over_layers")
    assert len(over) == 3 * 4 and set(over["status"]) == {"ok"}


def test_the_middle_third_is_of_matrices_only(run: Path) -> None:
    (row,) = records(frame(run, "middle"))
    assert set(row["components"].split()) == {"q", "k", "v", "o", "gate", "up", "down"}
    table = frame(run, "norms")
    mine = table[table["component"].isin(row["components"].split())]
    squared = (mine["norm"] ** 2).groupby(mine["layer"]).sum()
    inside = squared[(squared.index >= row["first_layer"]) & (squared.index < row["end_layer"])]
    assert row["estimate"] == pytest.approx(inside.sum() / squared.sum())


def test_the_plan_s_files_are_there(run: Path) -> None:
    place = run / "export" / "weight_analysis"
    norms = json.loads((place / "norms.json").read_text())
    assert set(norms["3"]) >= {"q", "k", "v", "o", "gate", "up", "down"}
    lens = json.loads((place / "logit_lens.json").read_text())
    assert len(lens["3"]["mean_column"]["toward"]) == len(lens["3"]["down 0"]["away"]) == 20
    aligned = json.loads((place / "trait_alignment.json").read_text())["cosines"]
    assert len(aligned) == 3 * 4 * 32


def test_a_killed_run_ends_in_the_same_tables(
    run: Path, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    shutil.copytree(run.parent, tmp_path / "runs")
    again = tmp_path / "runs" / "x"
    log = again / "weights" / "rows.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:330]))
    (again / "summary.json").unlink()
    start = program(
        "--vectors", "vectors", "--run", "x", out=tmp_path / "runs", caplog=caplog, capsys=capsys
    )
    assert start.status == 0 and start.loaded == ()
    assert tables(again) == tables(run)
    assert "Checkpoint: after phase 3" in start.out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--vectors", "nowhere"), "no finished run"),
        (("--revisions", "a"), "names two"),
        (("--adapter", "/nowhere", "--step", "norms"), "adapter_config"),
        (("--tokens", "0"), "at least 1"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    options: tuple[str, ...], sentence: str, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    start = program(*options, out=tmp_path, caplog=caplog, capsys=capsys)
    assert start.status == 2 and sentence in start.log


def test_figures_show_the_tables(run: Path) -> None:
    from figures.model_diff import figures
    from figures.run_folder import read_tables

    drawn = figures(read_tables(run / "tables"))
    assert list(drawn) == ["norms", "lens", "alignment"]
    heat = drawn["norms"].data[0]
    row = select(frame(run, "norms"), component="down", layer=4)["relative"].tolist()[0]
    at = list(heat.y).index("down"), list(heat.x).index(4)
    assert np.array(heat.z)[at] == pytest.approx(100 * row)
    lines = [t for t in drawn["alignment"].data if t.showlegend]
    assert len(lines) == 4 and all(len(t.x) == 32 for t in lines)
