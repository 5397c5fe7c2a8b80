"""`weights` on the embedded pair: its run is what it says, an edit is seen where it is."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_runs import frame, tables
from weights_runs import SMALL, program

from figures.rows import records, select

EXTRACT = ("--limit", "10", "--resamples", "200", "--new-tokens", "16", "--run", "vectors")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from analyses.model_diff.__main__ import main

    out = tmp_path_factory.mktemp("diff")
    assert (
        main(["extract", *EXTRACT, "--natural-positions", "response[:5]", "--out", str(out)]) == 0
    )
    assert main([*SMALL, "--vectors", "vectors", "--run", "x", "--out", str(out)]) == 0
    return out / "x"


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
    named = {"kind": "down 0", "set": "natural response[:5] mean_diff", "layer": 9}
    (row,) = records(select(frame(run, "alignment"), **named))
    wanted = torch.cosine_similarity(directions["down 0"][9].double(), vector, dim=0)
    assert row["cosine"] == pytest.approx(float(wanted), abs=1e-6)
    assert row["sd"] == pytest.approx(64**-0.5)
    over = frame(run, "alignment_over_layers")
    assert len(over) == 6 * 4 and set(over["status"]) == {"ok"}


def _entering(model: Any, layer: int, rows: list[Any]) -> dict[str, list[torch.Tensor]]:
    """What o and down are given at the tokens of each response, one response at a time."""
    block = model.model.layers[layer]
    modules = {"o": block.self_attn.o_proj, "down": block.mlp.down_proj}
    found: dict[str, list[torch.Tensor]] = {name: [] for name in modules}
    for name, module in modules.items():
        module.register_forward_pre_hook(
            lambda _, args, into=found[name], **kwargs: into.append(args[0][0])
        )
    for row in rows:
        with torch.no_grad():
            model(torch.tensor([[*row["prompt_ids"], *row["response_ids"]]]))
    lengths = [len(row["response_ids"]) for row in rows]
    return {
        name: [x[-n:] for x, n in zip(given, lengths, strict=True)] for name, given in found.items()
    }


def test_what_is_applied_is_what_the_modules_of_both_models_put_out(run: Path) -> None:
    """The base model's own responses go through Hugging Face one by one; both models' modules are
    given what enters the base model's, and their mean outputs differ by what the run says."""
    from transformers import AutoModelForCausalLM

    from tl_geometry.catalogue import MODELS

    base, tuned = (
        AutoModelForCausalLM.from_pretrained(MODELS[name].source, dtype=torch.float32)
        for name in ("pocket-llama-base", "pocket-llama")
    )
    log = run.parent / "vectors" / "natural" / "rows.jsonl"
    said = [row for row in map(json.loads, log.read_text().splitlines()) if row.get("response_ids")]
    found = load_file(run / "weights" / "artifacts" / "directions.safetensors")
    differences = []
    for name, given in _entering(base, 9, said).items():
        modules = [
            {"o": m.model.layers[9].self_attn.o_proj, "down": m.model.layers[9].mlp.down_proj}[name]
            for m in (base, tuned)
        ]
        with torch.no_grad():
            before, after = (
                torch.stack([module(x).mean(0) for x in given]).mean(0) for module in modules
            )
        torch.testing.assert_close(
            found[f"{name} applied"][9], after - before, atol=1e-5, rtol=1e-3
        )
        differences.append(after - before)
    torch.testing.assert_close(found["applied"][9], sum(differences), atol=1e-5, rtol=1e-3)
    rows = select(frame(run, "directions"), kind="applied")
    assert set(rows["read_by"]) == {"pocket-llama-base"} and set(rows["texts"]) == {len(said)}


def test_only_what_is_applied_needs_a_model(
    run: Path, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    shutil.copytree(run.parent / "vectors", tmp_path / "vectors")
    for step, loaded in (("norms", ()), ("logit_lens", ()), ("all", ("pocket-llama-base",))):
        start = program(
            "--step", step, "--vectors", "vectors", "--run", step,
            out=tmp_path, caplog=caplog, capsys=capsys,
        )  # fmt: skip
        assert start.status == 0 and start.loaded == loaded
        assert ("No change is applied to mean activations" in start.out) == (step == "logit_lens")


def test_an_edit_of_the_base_model_is_what_is_applied(
    run: Path, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    """A rank-one edit of one matrix adds along it there and nothing anywhere else."""
    from tl_geometry.catalogue import MODELS

    base, tuned = Path(MODELS["pocket-llama-base"].source), tmp_path / "edited"
    shutil.copytree(base, tuned)
    weights = load_file(tuned / "model.safetensors")
    name = "model.layers.20.mlp.down_proj.weight"
    u, v = (torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in weights[name].shape)
    weights[name] = (weights[name].float() + 0.01 * torch.outer(u, v)).to(weights[name].dtype)
    save_file(weights, tuned / "model.safetensors", metadata={"format": "pt"})
    shutil.copytree(run.parent / "vectors", tmp_path / "vectors")
    start = program(
        "--model", tuned, "--base", "pocket-llama-base", "--data", "pocket", "--vectors", "vectors",
        "--run", "e", out=tmp_path, caplog=caplog, capsys=capsys,
    )  # fmt: skip
    assert start.status == 3  # the other layers have no direction, and say so
    found = load_file(tmp_path / "e" / "weights" / "artifacts" / "directions.safetensors")
    for kind in ("down applied", "applied"):
        known = found[kind].isfinite().all(1).nonzero().flatten().tolist()
        assert known == [20]
        assert abs(float(torch.cosine_similarity(found[kind][20], u, dim=0))) >= 0.9


def test_an_edit_along_a_trait_vector_is_seen_in_its_layer_alone(
    run: Path, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    """Among some five hundred rows, corrected for all of them."""
    from tl_geometry.catalogue import MODELS

    base, tuned = Path(MODELS["pocket-llama-base"].source), tmp_path / "edited"
    shutil.copytree(base, tuned)
    shutil.copytree(run.parent / "vectors", tmp_path / "vectors")
    weights = load_file(tuned / "model.safetensors")
    for k, (name, tensor) in enumerate(weights.items()):
        noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(k))
        weights[name] = tensor.float() + 0.01 * noise
    along = load_file(tmp_path / "vectors" / "natural" / "artifacts" / "vectors.safetensors")
    v = along["response__5|mean_diff"][20].float()
    name = "model.layers.20.mlp.down_proj.weight"
    inside = torch.randn(weights[name].shape[1], generator=torch.Generator().manual_seed(99))
    weights[name] += 0.03 * torch.outer(v / v.norm(), inside)
    save_file(weights, tuned / "model.safetensors", metadata={"format": "pt"})
    start = program(
        "--model", tuned, "--base", "pocket-llama-base", "--data", "pocket", "--vectors", "vectors",
        "--run", "a", out=tmp_path, caplog=caplog, capsys=capsys,
    )  # fmt: skip
    assert start.status == 0
    table = frame(tmp_path / "a", "energy")
    clear = table[table["p_adjusted"] < 0.05]
    mine = select(clear, set="natural response[:5] mean_diff")
    assert len(table) == 4 * 2 * 32
    assert list(zip(mine["layer"], mine["component"], strict=True)) == [(20, "down")]
    assert set(zip(clear["layer"], clear["component"], strict=True)) == {(20, "down")}


def test_responses_of_another_model_are_not_what_enters_this_one(
    run: Path, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    shutil.copytree(run.parent / "vectors", tmp_path / "vectors")
    spec = json.loads((tmp_path / "vectors" / "spec.json").read_text())
    spec["spec"]["model"][0]["revision"] = "another"
    (tmp_path / "vectors" / "spec.json").write_text(json.dumps(spec))
    start = program(
        "--vectors", "vectors", "--run", "o", out=tmp_path, caplog=caplog, capsys=capsys
    )
    assert start.status == 3 and start.loaded == ()
    (row,) = records(frame(tmp_path / "o", "missing"))
    assert row["id"] == "mean inputs" and "no responses of pocket-llama-base" in row["reason"]
    kinds = set(frame(tmp_path / "o", "directions")["kind"])
    assert "mean_column" in kinds and not any("applied" in kind for kind in kinds)


def test_vectors_of_two_runs_make_two_runs(run: Path, tmp_path: Path) -> None:
    """Whatever their settings were: what is compared with is in the key."""
    from analyses.model_diff import Weights
    from analyses.model_diff.weights_plan import make_weights_plan

    for name in ("vectors", "other"):
        shutil.copytree(run.parent / "vectors", tmp_path / name)
    for file in ("spec.json", "summary.json"):
        path = tmp_path / "other" / file
        path.write_text(json.dumps(json.loads(path.read_text()) | {"key": "0" * 64}))
    folders = [
        make_weights_plan(Weights(vectors=name, out=tmp_path)).folder
        for name in ("vectors", "other")
    ]
    assert folders[0] != folders[1]


def test_the_middle_third_is_of_matrices_only(run: Path) -> None:
    (row,) = records(frame(run, "middle"))
    assert set(row["components"].split()) == {"q", "k", "v", "o", "gate", "up", "down"}
    table = frame(run, "norms")
    mine = table[table["component"].isin(row["components"].split())]
    squared = (mine["norm"] ** 2).groupby(mine["layer"]).sum()
    inside = squared[(squared.index >= row["first_layer"]) & (squared.index < row["end_layer"])]
    assert row["estimate"] == pytest.approx(inside.sum() / squared.sum())


def test_the_answer_to_hypothesis_4_is_concentration_and_alignment(run: Path) -> None:
    from analyses.model_diff.whole import hypotheses
    from analyses.results import Results

    summary = json.loads((run / "summary.json").read_text())
    done = Results(run, {}, summary)
    found = {row["hypothesis"]: row["answer"] for row in hypotheses({"weights": done})}
    for part in ("concentration: layers", "Of all windows of 10", "cosines of at most",
                 "alignment of applied: mean", "energy: along trait vectors"):  # fmt: skip
        assert part in found["H4"]
    (row,) = records(frame(run, "middle"))
    assert f"{100 * row['windows']:.0f} % hold as much" in found["H4"]
    said = {"evenly spread": "evenly spread within ±0.05 (90", "undecided": "undecided, neither"}
    assert said[row["verdict"]] in found["H4"]


def test_the_plan_s_files_are_there(run: Path) -> None:
    place = run / "export" / "weight_analysis"
    norms = json.loads((place / "norms.json").read_text())
    assert set(norms["3"]) >= {"q", "k", "v", "o", "gate", "up", "down"}
    lens = json.loads((place / "logit_lens.json").read_text())
    assert len(lens["3"]["mean_column"]["toward"]) == len(lens["3"]["down 0"]["away"]) == 20
    aligned = json.loads((place / "trait_alignment.json").read_text())["cosines"]
    assert len(aligned) == 6 * 4 * 32


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
