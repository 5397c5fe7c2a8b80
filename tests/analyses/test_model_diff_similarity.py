"""`similarity` on an embedded pair: the same ids in both models, and what is made of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from scipy import stats
from similarity_runs import SMALL, N, opened, program, steered
from small_runs import frame, rows, tables

from figures.rows import records, select


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from analyses.model_diff.__main__ import main

    out = tmp_path_factory.mktemp("diff")
    line = [*SMALL, "--batch-size", "4", "--save-activations", "--run", "x", "--out", str(out)]
    assert main(line) == 0  # curves that nobody asked for are no failures
    return out / "x"


@pytest.fixture(scope="module")
def model() -> Any:
    from tl_geometry.models import load_model

    return load_model("pocket-llama")


@pytest.fixture
def copied(run: Path, tmp_path: Path) -> Path:
    """A copy to go on with."""
    shutil.copytree(run.parent, tmp_path / "runs")
    return tmp_path / "runs" / "x"


def by_key(run: Path, variant: str) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in rows(run, variant)}


def hidden(name: str, prompt: list[int], response: list[int]) -> torch.Tensor:
    """[layer, token, d] of the response by plain Hugging Face."""
    from transformers import AutoModelForCausalLM

    from tl_geometry.catalogue import MODELS

    model: Any = AutoModelForCausalLM.from_pretrained(MODELS[name].source, dtype=torch.float32)
    with torch.no_grad():
        out = model(torch.tensor([[*prompt, *response]]), output_hidden_states=True)
    return torch.stack([h[0, len(prompt) :] for h in out.hidden_states[1:-1]]).double()


def test_both_models_read_the_same_response_ids(run: Path) -> None:
    from transformers import AutoTokenizer

    from tl_geometry.catalogue import MODELS

    instruct, base = by_key(run, "instruct"), by_key(run, "base")
    listed = json.loads((run / "export" / "steering_combined.json").read_text())["prompts"]
    assert [p["note"] for p in listed] == ["sycophancy"] * 3 + ["evil"] * 3
    assert [p["id"] for p in listed] == [1, 2, 3, 21, 22, 23]
    tokenizer = AutoTokenizer.from_pretrained(MODELS["pocket-llama-base"].source)
    for prompt in listed:
        said = instruct[f"response|{prompt['id']:03}"]
        raw, templated = (base[f"{arm}|{prompt['id']:03}"] for arm in ("raw", "templated"))
        assert raw["response_ids"] == templated["response_ids"] == said["response_ids"]
        assert templated["prompt_ids"] == said["prompt_ids"] != raw["prompt_ids"]
        assert raw["prompt_ids"] == tokenizer(prompt["text"])["input_ids"]
        assert raw["prompt_ids"].count(tokenizer.bos_token_id) == 1
        ends = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|eot_id|>")}
        assert said["response_ids"] and not ends & set(said["response_ids"])


@pytest.mark.parametrize("arm", ["raw", "templated"])
def test_hugging_face_has_the_same_cosines(run: Path, arm: str) -> None:
    said, replayed = by_key(run, "instruct")["response|021"], by_key(run, "base")[f"{arm}|021"]
    one = hidden("pocket-llama", said["prompt_ids"], said["response_ids"])
    other = hidden("pocket-llama-base", replayed["prompt_ids"], replayed["response_ids"])
    wanted = torch.cosine_similarity(one.mean(1), other.mean(1), dim=-1).tolist()
    found = select(frame(run, "per_prompt"), id=21, arm=arm)["cosine"].tolist()
    assert found[:-1] == pytest.approx(wanted, abs=1e-5)
    for k, layer in enumerate((0, 12, 24)):
        at = torch.cosine_similarity(one[layer], other[layer], dim=-1).tolist()
        mine = replayed["own"][k]
        assert mine == pytest.approx(at[: len(mine)], abs=1e-5)


def test_the_control_is_another_response_of_the_same_trait(run: Path) -> None:
    """And `centred` is what is left when each model's mean over the prompts is taken off."""
    files = sorted((run / "base" / "artifacts").glob("raw-*"))
    assert len(files) == 2  # two batches
    base = torch.cat([load_file(file)["means"] for file in files]).double()
    files = sorted((run / "instruct" / "artifacts").glob("states-*"))
    instruct = torch.cat([load_file(file)["means"] for file in files]).double()
    around = [1, 2, 0, 4, 5, 3]
    wanted = torch.cosine_similarity(base, instruct[around], dim=-1)
    table = select(frame(run, "per_prompt"), arm="raw")
    found = table["cosine_other"].to_numpy().reshape(N, 32)
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    centred = torch.cosine_similarity(base - base.mean(0), instruct - instruct.mean(0), dim=-1)
    found = table["centred"].to_numpy().reshape(N, 32)
    np.testing.assert_allclose(found, centred, atol=1e-9)
    same = select(frame(run, "similarity"), scope="all", arm="raw", measure="centred")
    np.testing.assert_allclose(same["estimate"], found.mean(0), atol=1e-12)
    np.testing.assert_allclose(same["std"], found.std(0, ddof=1), atol=1e-12)
    evil = select(frame(run, "similarity"), scope="evil", arm="raw", measure="centred")
    np.testing.assert_allclose(evil["estimate"], found[3:].mean(0), atol=1e-12)


def test_positions_end_where_fewer_than_the_share_reach(run: Path) -> None:
    lengths = frame(run, "replayed")["tokens"].to_numpy()
    table = select(frame(run, "positions"), arm="raw", measure="cosine", layer=12)
    assert len(set(lengths)) > 1
    assert table["n"].tolist() == [int((lengths > t).sum()) for t in table["position"]]
    last = table["position"].max()
    assert (lengths > last).mean() >= 0.8 > (lengths > last + 1).mean()
    replayed = [by_key(run, "base")[f"raw|{i:03}"]["own"][1] for i in (1, 2, 3, 21, 22, 23)]
    first = [values[0] for values in replayed]
    assert table["estimate"].tolist()[0] == pytest.approx(np.mean(first))


def test_a_model_and_itself_are_alike_behind_the_same_prompt(model: Any, tmp_path: Path) -> None:
    from analyses.model_diff.similarity_states import Replay
    from analyses.model_diff.similarity_tables import measures_of
    from tl_geometry.runs import open_run

    plan = opened(tmp_path / "same", base="pocket-llama")
    with open_run(plan.folder, plan.spec) as record:
        replay = Replay(plan, record)
        replay.respond(model)
        replay.read_instruct(model)
        for arm in ("raw", "templated"):
            replay.read_base(model, arm)
        found = {arm: measures_of(replay, arm) for arm in ("raw", "templated")}
        rows = replay.rows("base")
    for measure in ("cosine", "centred"):
        np.testing.assert_allclose(found["templated"][measure], 1.0, atol=1e-12)
        # So what is below 1 behind the plain prompt is the prompt's form, and a null is below it.
        assert found["raw"][measure].max() < 1 - 1e-6
        assert found["templated"][f"{measure}_other"].max() < 0.999
    at = [v for k, row in rows.items() if k.startswith("templated") for v in sum(row["own"], [])]
    np.testing.assert_allclose(at, 1.0, atol=1e-12)


def test_what_was_not_run_is_named_and_no_failure(run: Path) -> None:
    missing = frame(run, "missing")
    assert missing["what"].tolist() == ["transfer curve", "transfer curve", "weight change"]
    assert missing["id"].tolist()[:2] == ["sycophancy", "evil"]
    assert missing["reason"].str.contains("not steered with|not compared with").all()
    headline = "\n".join(json.loads((run / "summary.json").read_text())["headline"])
    assert "Does similarity go with transfer, evil? Not known: evil was not steered" in headline


def test_a_killed_run_goes_on_with_the_same_bytes(copied: Path, caplog: Any, capsys: Any) -> None:
    before, sums = tables(copied), (copied / "export/activation_similarity/results.json")
    results = sums.read_bytes()
    log = copied / "base" / "rows.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:2])[:-9])  # in the middle of the first batch, a torn line
    (copied / "base" / "artifacts" / "templated-001-021.safetensors").unlink()
    (copied / "summary.json").unlink()
    start = program("--run", "x", out=copied.parent, caplog=caplog, capsys=capsys)
    assert start.status == 0 and start.loaded == ("pocket-llama-base",)
    assert tables(copied) == before and sums.read_bytes() == results
    assert "Checkpoint: after phase 4" in start.out


def test_a_run_that_was_killed_while_answering(copied: Path, model: Any) -> None:
    from analyses.model_diff.similarity_states import Replay
    from tl_geometry.runs import open_run

    log, place = copied / "instruct" / "rows.jsonl", copied / "instruct" / "artifacts"
    wanted = log.read_bytes(), {file.name: file.read_bytes() for file in place.iterdir()}
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:5]))
    shutil.rmtree(place)
    plan = opened(copied)
    with open_run(plan.folder, plan.spec) as record:
        replay = Replay(plan, record)
        assert not replay.complete("instruct")
        replay.respond(model)
        replay.read_instruct(model)
        assert replay.complete("instruct") and replay.complete("base")
    assert (log.read_bytes(), {file.name: file.read_bytes() for file in place.iterdir()}) == wanted


def test_curves_of_other_steps_are_held_against_it(copied: Path, caplog: Any, capsys: Any) -> None:
    from analyses.model_diff.__main__ import main

    out = copied.parent
    norms = ["weights", "--step", "norms", "--resamples", "200", "--run", "w", "--out", str(out)]
    assert main(norms) == 0
    steered(out, "evil", None)
    start = program("--run", "x", "--weights", "w", out=out, caplog=caplog, capsys=capsys)
    assert start.status == 0 and start.loaded == ()
    told = json.loads((copied / "summary.json").read_text())
    (entry,) = told["read_from"]["steer"].items()
    on_record = {run: json.loads((out / run / "summary.json").read_text())
                 for run in ("w", entry[1]["run"])}  # fmt: skip
    assert entry[0] == "evil" and entry[1]["judge"] == "a" * 64
    assert entry[1]["run_key"] == on_record[entry[1]["run"]]["key"]
    assert told["read_from"]["weights"] == {"run": "w", "run_key": on_record["w"]["key"]}
    assert "different judges" not in "".join(told["headline"])
    table = frame(out / "w", "norms")
    inside: Any = table[table["layer"].notna()]
    change = (inside["norm"] ** 2).groupby(inside["layer"]).sum() ** 0.5
    alike = select(frame(copied, "similarity"), scope="all", arm="raw", measure="cosine")
    alike = alike.set_index("layer")["estimate"]
    found = select(frame(copied, "correlations"), arm="raw", measure="cosine", status="ok")
    steer, weights = (select(found, **{"with": w}) for w in ("transfer evil", "weight change"))
    (row,) = records(weights)
    assert row["n"] == 32 and 0 < row["p_shifted"] <= 1
    assert row["pearson_r"] == pytest.approx(np.corrcoef(change, alike)[0, 1])
    depth = np.arange(32)
    left = [curve - np.polyval(np.polyfit(depth, curve, 1), depth) for curve in (change, alike)]
    assert row["equal_depth_r"] == pytest.approx(np.corrcoef(np.array(left))[0, 1])
    (row,) = records(steer)
    wanted: Any = stats.pearsonr(alike.loc[[9, 12, 15, 18]], [20.0, 35.0, 30.0, 10.0])
    assert row["pearson_r"] == pytest.approx(wanted.statistic) and row["n"] == 4
    assert pd.isna(row["p_shifted"]) and "4 shifts" in row["reason"]
    results = json.loads((copied / "export/activation_similarity/results.json").read_text())
    entry = results["correlations"]["pocket_natural/evil"]
    assert entry["pearson_r"] == pytest.approx(wanted.statistic)
    assert entry["p_value"] == pytest.approx(wanted.pvalue)
    assert results["transfer_curves"]["pocket_natural/evil"]["layers"] == [9, 12, 15, 18]
    assert "not steered" in results["transfer_curves"]["pocket_natural/sycophancy"]["reason"]


def test_the_plan_s_results_are_there(run: Path) -> None:
    results = json.loads((run / "export/activation_similarity/results.json").read_text())
    for part in (results, results["templated"]):
        assert part["n_prompts"] == N
        layers, positions = part["per_layer_similarity"], part["per_position_similarity"]
        assert len(layers["mean"]) == len(layers["std"]) == 32
        assert np.array(layers["per_prompt"]).shape == (N, 32)
        np.testing.assert_allclose(layers["mean"], np.mean(layers["per_prompt"], 0), atol=1e-12)
        assert list(positions["by_layer"]) == ["0", "12", "24"]
        for entry in positions["by_layer"].values():
            sizes = {len(entry["mean"]), len(entry["std"]), len(positions["positions"])}
            assert sizes == {len(positions["n_prompts_at_position"])}
        assert set(part["transfer_curves"]) == {"pocket_natural/sycophancy", "pocket_natural/evil"}
        assert "pearson_r" in part["correlations"]["pocket_natural/evil"]
    raw, templated = (p["per_layer_similarity"] for p in (results, results["templated"]))
    assert raw["mean"] != templated["mean"]


@pytest.mark.parametrize("variant", ["instruct", "base", "base_templated"])
def test_whole_states_are_one_file_a_prompt(run: Path, variant: str) -> None:
    place = run / "export" / "inference" / variant
    said = json.loads((place / "responses/model_diff/steering_combined/22.json").read_text())
    found = load_file(place / "raw/residual/model_diff/steering_combined/22.safetensors")
    assert len(list((place / "raw/residual/model_diff/steering_combined").iterdir())) == N
    assert found["prompt"].shape == (32, len(said["prompt"]["ids"]), 64)
    assert found["response"].shape == (32, len(said["response"]["ids"]), 64)
    log, phase = {"instruct": ("instruct", "states"), "base": ("base", "raw")}.get(
        variant, ("base", "templated")
    )
    row = by_key(run, log)[f"{phase}|022"]
    means = load_file(run / log / "artifacts" / f"{row['file']}.safetensors")["means"][row["row"]]
    torch.testing.assert_close(found["response"].mean(1), means, atol=1e-5, rtol=1e-4)


def test_figures_show_the_tables(run: Path) -> None:
    from figures.model_diff import figures
    from figures.run_folder import read_tables

    found = read_tables(run / "tables")
    drawn: Any = figures(found)
    assert list(drawn) == ["layers", "positions", "transfer"]
    lines = {t.name: t for t in drawn["layers"].data if t.showlegend}
    table = select(found["similarity"], scope="all", arm="templated", measure="cosine")
    assert list(lines["templated prompt"].y) == table["estimate"].tolist()
    assert len(lines) == 4
    one = next(t for t in drawn["positions"].data if t.name == "layer 12")
    rows = select(found["positions"], arm="raw", measure="cosine", layer=12)
    assert list(one.y) == rows["estimate"].tolist()
    assert "not steered" in drawn["transfer"].layout.annotations[0].text
