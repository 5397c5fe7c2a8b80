"""`python -m analyses.alignment_steering extract`: its numbers, its files, and what it survives."""
# ruff: noqa: F811 - fixtures that are imported, and asked for by name

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_runs import frame, rows, tables
from steering_runs import (  # noqa: F401 - fixtures are used by name
    BAD_INPUT,
    N_LAYERS,
    OK,
    SOME_FAILED,
    D,
    Program,
    few_preferences,
    program,
    steering_models,
)

from figures.rows import select

TREE = {
    "phase2_summary.json",
    "phase2_steering_checkpoint.json",
    "instruct/steering_vector.pth",
    "instruct/steering_vector_rejected.pth",
    "instruct/steering_vector_svd3.pth",
    "instruct/metadata.json",
}
IMAGES = ("cosine_similarity_comparison", "steering_norms_comparison", "model_dimensions")


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def saved(run: Path, name: str, model: str = "instruct") -> torch.Tensor:
    return torch.load(run / "export" / model / name, weights_only=True)


def states(model: Any, run: Program) -> torch.Tensor:
    """Last-token outputs of every block, one text at a time, by another route."""
    from analyses.alignment_steering.preferences import load
    from analyses.alignment_steering.texts import Wording

    wording = Wording(model.tokenizer, "plain", pocket=False)
    found = []
    for pair in load(str(run.preferences), "train", 12).pairs:
        ids = [*wording.prompt(pair.turns), *wording.answer(pair.turns, pair.chosen)]
        hooks = [f"blocks.{k}.hook_resid_post" for k in range(N_LAYERS)]
        _, cache = model.run_with_cache(torch.tensor([ids]), names_filter=hooks)
        found.append(torch.stack([cache[name][0, -1] for name in hooks]))
    return torch.stack(found)


# --- a whole run ----------------------------------------------------------------------------------


def test_vectors_are_those_of_texts_read_one_by_one(program: Program) -> None:
    from tl_geometry.models import load_model

    assert program("--batch-size", 5).status == OK
    base, instruct = (
        states(load_model(str(program.models / name)), program) for name in ("base", "instruct")
    )
    deltas = (instruct - base).double()
    mean = saved(program.path(), "steering_vector.pth")
    assert mean.shape == (N_LAYERS, D)
    torch.testing.assert_close(mean, deltas.mean(0).float(), atol=2e-5, rtol=1e-4)
    svd = saved(program.path(), "steering_vector_svd3.pth")
    torch.testing.assert_close(svd.norm(dim=1), mean.norm(dim=1))
    assert ((svd * mean).sum(1) >= -1e-6).all()
    for layer in (0, N_LAYERS - 1):
        rows = (deltas[:, layer] - deltas[:, layer].mean(0)).numpy()
        expected = np.linalg.svd(rows, full_matrices=False)[2][3]
        cosine = abs(svd[layer].double().numpy() @ expected) / svd[layer].norm().item()
        assert cosine == pytest.approx(1.0, abs=1e-3)
    cosine = torch.nn.functional.cosine_similarity(base.double().mean(0), instruct.double().mean(0))
    table = frame(program.path(), "layers")
    mine = select(table, quantity="cosine_of_means", data="chosen")
    np.testing.assert_allclose(mine["estimate"], cosine.numpy(), atol=1e-5)


def test_a_run_leaves_the_plans_tree_tables_and_words(program: Program) -> None:
    start = program(names=("instruct", "other"))
    run = program.path()
    assert start.status == OK
    assert files(run / "export") == TREE | {
        f.replace("instruct", "other") for f in TREE if "/" in f
    }
    assert start.loaded == ("base", "instruct", "other")  # the shared base once
    names = {"pairs", "ranking", "layers", "variance", "dropped", "missing"}
    assert tables(run).keys() == {f"{name}.csv" for name in names}
    assert (run / "report.html").exists() and files(run / "figures") == {
        f"{name}.json" for name in ("cosines", "norms", "variance", "ranking", "dimensions")
    }
    for line in ("Phase 2: Extract Steering Vectors (D_STEER)", "Samples: 12", "CosSim(C)",
                 "PHASE 2 RESULTS"):  # fmt: skip
        assert line in start.out
    summary = json.loads((run / "summary.json").read_text())
    assert summary["counts"]["pairs measured"] == 2 and summary["banner"] is None
    assert "undecided" in " ".join(summary["headline"])
    about = json.loads((run / "export" / "instruct" / "metadata.json").read_text())
    assert (about["num_samples"], about["num_layers"], about["hidden_dim"]) == (12, N_LAYERS, D)
    checkpoint = json.loads((run / "export" / "phase2_steering_checkpoint.json").read_text())
    assert checkpoint["_complete"] and checkpoint["completed_models"] == ["instruct", "other"]


def test_without_svd_and_cache_neither_is_there(program: Program) -> None:
    assert program("--no-svd", "--no-cache").status == OK
    assert not [name for name in files(program.path()) if "svd" in name or "hidden" in name]
    assert not set(frame(program.path(), "layers")["quantity"]) & {"svd_cosine", "svd_share"}


def test_the_pocket_pair_has_its_banner_and_its_default_data(
    program: Program, few_preferences: None
) -> None:
    out = program.folder
    line = f"extract --models pocket-mistral --limit 8 --resamples 200 --out {out} --run p"
    start = program.plain(*line.split())
    assert start.status == OK and start.loaded == ("pocket-mistral-base", "pocket-mistral")
    summary = json.loads((out / "p" / "summary.json").read_text())
    assert "pocket-mistral-base, pocket-mistral" in summary["banner"]
    assert summary["counts"]["data"] == "pocket" and summary["counts"]["preference pairs"] == 8
    assert saved(out / "p", "steering_vector_svd3.pth", "pocket-mistral").shape == (32, 64)


# --- resuming -------------------------------------------------------------------------------------


def test_a_killed_run_ends_with_the_same_bytes(program: Program, tmp_path: Path) -> None:
    program(names=("instruct", "other"))
    whole = program.path().rename(tmp_path / "whole")
    half = program.path()
    shutil.copytree(whole, half)
    # Killed while the second pair's rows were being written: half a line is left.
    lines = (half / "other" / "rows.jsonl").read_text().splitlines(keepends=True)
    (half / "other" / "rows.jsonl").write_text("".join(lines[:40]) + lines[40][:17])
    for name in ("summary.json", "other/artifacts/hidden_states_instruct.safetensors"):
        (half / name).unlink()
    start = program(names=("instruct", "other"))
    assert start.loaded == ("other",)  # the base model's states are in their cache
    assert tables(half) == tables(whole)
    for name in ("instruct", "other"):
        path = f"{name}/artifacts/vectors.safetensors"
        assert (half / path).read_bytes() == (whole / path).read_bytes()


def test_a_finished_run_loads_nothing_and_changes_nothing(program: Program) -> None:
    program()
    before = tables(program.path())
    start = program("--resume")
    assert start.status == OK and start.loaded == () and tables(program.path()) == before


def test_a_cache_of_something_else_is_not_used(program: Program) -> None:
    program("--samples", 8, run="few")
    program()
    expected = tables(program.path())
    foreign = program.path("few") / "instruct" / "artifacts"
    # A user copies a cache of eight pairs into a run of twelve.
    program("--fresh", "--no-cache")
    for file in foreign.glob("hidden_states_*"):
        shutil.copy(file, program.path() / "instruct" / "artifacts")
    (program.path() / "instruct" / "rows.jsonl").unlink()
    start = program()
    assert start.log.count("holds states of something else") == 2
    assert start.loaded == ("base", "instruct")
    assert tables(program.path()) == expected


def test_another_request_does_not_go_on_with_this_run(program: Program) -> None:
    program()
    start = program("--svd-component", 2)
    assert start.status == BAD_INPUT and "other settings" in start.log


# --- what cannot be measured ----------------------------------------------------------------------


def test_a_pair_of_one_model_with_itself_has_missing_numbers_not_zeros(program: Program) -> None:
    same = f"{program.models / 'base'}:{program.models / 'base'}"
    options = program.options()[1:]
    start = program.plain("extract", "--pairs", same, *options, "--samples", 8)
    table = frame(program.path(), "layers")
    undefined = select(table, quantity=("halves_cosine", "coherence", "first_share"))
    assert start.status == OK and set(undefined["status"]) == {"missing"}
    assert undefined["estimate"].isna().all() and undefined["reason"].notna().all()
    assert len(frame(program.path(), "missing")) >= len(undefined)


def test_one_pair_that_cannot_be_read_leaves_the_others(program: Program) -> None:
    broken = program.folder.parent / "broken"
    shutil.copytree(program.models / "other", broken)
    (broken / "model.safetensors").write_bytes(b"nothing")
    pair = f"{program.models / 'base'}:{broken}"
    options = program.options("instruct")
    start = program.plain("extract", *options[:2], pair, *options[2:], "--samples", 8)
    assert start.status == SOME_FAILED
    assert frame(program.path(), "missing")["id"].tolist() == ["broken"]
    assert rows(program.path(), "broken")[-1]["status"] == "failed"
    checkpoint = json.loads(
        (program.path() / "export" / "phase2_steering_checkpoint.json").read_text()
    )
    assert not checkpoint["_complete"]


def test_a_model_without_a_base_is_named_missing(program: Program) -> None:
    options = program.options()[1:]
    start = program.plain(
        "extract", "--models", "phi-3.5-mini", *options, "--dry-run", "--limit", 4
    )
    assert start.status == BAD_INPUT and "--pairs BASE:INSTRUCT" in start.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--pairs one", "name two models with a colon"),
        ("--samples 3", "two halves need at least 2 pairs each"),
        ("--revision abc", "a pair has two"),
        ("--svd-component -1", "components count from 0"),
        ("--models nonsense --limit 4", "unknown model 'nonsense'"),
    ],
)
def test_a_wrong_request_is_refused_in_one_sentence(
    program: Program, options: str, said: str
) -> None:
    start = program.plain("extract", *options.split())
    assert start.status == BAD_INPUT and said in start.log


def test_sizes_follow_samples_then_limit_then_mode() -> None:
    from analyses.alignment_steering.__main__ import read
    from analyses.families import FAMILIES

    assert read(["extract"]).n_samples == 100
    assert read(["extract", "--mode", "full"]).n_samples == 1000
    assert read(["extract", "--mode", "full", "--limit", "9"]).n_samples == 9
    assert read(["extract", "--samples", "7", "--limit", "9"]).n_samples == 7
    assert read(["extract"]).instruct_names == FAMILIES
    seed = read(["extract", "--preset", "seed"])
    assert len(seed.instruct_names) == 6 and seed.prompts == "hh-rlhf"


def test_a_dry_run_measures_nothing_and_names_the_cost(program: Program) -> None:
    start = program("--dry-run")
    assert start.status == OK and start.loaded == () and not program.path().exists()
    assert "2 loads of models, one at a time; 48 texts read" in start.out


def test_a_folder_that_is_called_like_a_known_model_is_read_itself(
    steering_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analyses.alignment_steering.config import Extract
    from analyses.alignment_steering.extracting import Loading
    from analyses.alignment_steering.plan import pairs

    mine = tmp_path / "pocket-llama"
    shutil.copytree(steering_models / "instruct", mine)

    def asked(name: str, **_: Any) -> None:
        raise OSError(f"asked for {name}")

    monkeypatch.setattr("analyses.requested.load_model", asked)
    config = Extract(pairs=(f"{steering_models / 'base'}:{mine}",))
    (pair,) = pairs(config)
    assert pair.name == "pocket-llama"
    with pytest.raises(OSError, match=str(mine)), Loading(config, pair.instruct) as loading:
        loading()
