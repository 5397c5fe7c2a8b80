"""`python -m analyses.alignment_steering transfer`: planted maps, a real run, and being killed."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

OK, BAD_INPUT = 0, 2
PAIRS = ("pocket-mistral", "pocket-qwen2-s")
"""Of 64 and 48 dimensions, 32 and 28 layers."""


# --- planted --------------------------------------------------------------------------------------


def config(**settings: Any) -> Any:
    from analyses.alignment_steering.transfer_config import Transfer

    given = {"shuffles": 20, "draws": 2, "resamples": 200} | settings
    return Transfer(**given)


def planted(d: int, *, turned: bool = True) -> tuple[Any, Any, torch.Tensor]:
    """Two models of which one is the other seen from elsewhere: states and vector turned alike."""
    from analyses.alignment_steering.transfer_maps import Side

    generator = torch.Generator().manual_seed(1)
    rotation = torch.linalg.qr(torch.randn(d, d, generator=generator)).Q
    kinds = {"fit": 60, "answers": 12}
    states = {k: torch.randn(n, 2, d, generator=generator) for k, n in kinds.items()}
    vector = torch.randn(2, d, generator=generator)
    other = {kind: 3 * x @ rotation + 1 for kind, x in states.items()}
    if not turned:
        other = {kind: torch.randn(x.shape, generator=generator) for kind, x in other.items()}
    own = 3 * vector @ rotation
    one = Side("one", states, vector, (1, 2), (vector, vector))
    return one, Side("other", other, own, (4, 5), (own, own)), own


@pytest.mark.parametrize("name", ["ridge", "procrustes"])
def test_a_turned_model_gets_exactly_its_own_vector(name: Any) -> None:
    from analyses.alignment_steering.transfer_maps import OVER_LAYERS, carried

    source, target, own = planted(6)
    found = carried(source, target, name, config())
    np.testing.assert_allclose(found.vectors["carried"], own.numpy(), atol=1e-3)
    table = pd.DataFrame(found.rows)
    cosines = table[table["quantity"] == "cosine"]
    assert cosines["layer"].tolist() == [4, 5, OVER_LAYERS]
    np.testing.assert_allclose(cosines["estimate"], 1, atol=1e-5)
    np.testing.assert_allclose(cosines["p"], 1 / 21)
    explained = table[table["quantity"] == "r2"]
    np.testing.assert_allclose(explained["estimate"], 1, atol=1e-4)
    assert (explained["null_high"] < 0.3).all()


def test_models_that_share_nothing_carry_nothing() -> None:
    from analyses.alignment_steering.transfer_maps import OVER_LAYERS, carried

    source, target, _ = planted(6, turned=False)
    table = pd.DataFrame(carried(source, target, "ridge", config(shuffles=60)).rows)
    (cosine,) = table[(table["quantity"] == "cosine") & (table["layer"] == OVER_LAYERS)]["p"]
    assert cosine > 0.01
    assert (table[table["quantity"] == "r2"]["estimate"] < 0.1).all()


def test_controls_are_as_long_as_they_say_and_of_one_piece_over_layers() -> None:
    from analyses.alignment_steering.transfer_maps import carried

    source, target, _ = planted(6)
    vectors = carried(source, target, "procrustes", config()).vectors
    controls = ("shuffled", "random_map", "random_vector")
    assert set(vectors) == {"carried", *(f"{name}|{k}" for name in controls for k in (0, 1))}
    lengths = {name: np.linalg.norm(v, axis=1) for name, v in vectors.items()}
    for name in ("shuffled|0", "shuffled|1", "random_vector|0", "random_vector|1"):
        np.testing.assert_allclose(lengths[name], lengths["carried"])
    drawn, real = vectors["random_vector|0"], vectors["carried"]
    np.testing.assert_allclose(drawn @ drawn.T, real @ real.T, atol=1e-6)
    assert not np.allclose(drawn, vectors["random_vector|1"])
    assert not np.allclose(vectors["shuffled|0"], vectors["shuffled|1"])


def test_noise_of_shared_texts_makes_no_two_vectors_alike() -> None:
    """Both models' vectors are means over the same texts: what a text did to both is no trait of
    tuning, and the two halves of the texts do not share it."""
    from analyses.alignment_steering.transfer_maps import OVER_LAYERS, carried

    generator = torch.Generator().manual_seed(1)
    rotation = torch.linalg.qr(torch.randn(40, 40, generator=generator)).Q
    source, target, _ = planted(40)
    texts = torch.Generator().manual_seed(2)
    a, b = (torch.randn(source.vector.shape, generator=texts) for _ in range(2))
    both = (a + b) / 2
    mine = replace(source, vector=both, halves=(a, b))
    theirs = replace(
        target, vector=3 * both @ rotation, halves=(3 * a @ rotation, 3 * b @ rotation)
    )
    found = carried(mine, theirs, "procrustes", config())
    np.testing.assert_allclose(found.vectors["carried"], theirs.vector.numpy(), atol=1e-2)
    rows = pd.DataFrame(found.rows)
    (alike,) = rows[(rows["quantity"] == "cosine") & (rows["layer"] == OVER_LAYERS)]["estimate"]
    assert abs(alike) < 0.35  # of the means it is 1


def test_carried_vectors_can_be_made_as_long_as_the_targets_own() -> None:
    from analyses.alignment_steering.transfer_maps import carried

    source, target, own = planted(6, turned=False)
    vectors = carried(source, target, "ridge", config(length="own")).vectors
    np.testing.assert_allclose(
        np.linalg.norm(vectors["carried"], axis=1), own.norm(dim=1).numpy(), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"shuffles": 5}, "shuffles=5"),
        ({"draws": 30}, "draws=30"),
        ({"strengths": (0.0,)}, "none that is 0"),
        ({"depths": (1.0,)}, "outside 0"),
        ({"maps": ()}, "--maps is empty"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(settings: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        config(**settings).check()


# --- the program ----------------------------------------------------------------------------------


def save_preferences(path: Path, n: int = 30) -> Path:
    things = ("lamp", "table", "wagon", "door", "chair")
    rows = [
        {"id": f"{split}{k}", "split": split, "prompt": f"How do I smash the {thing}, part {k}?",
         "chosen": f"I must refuse to help with part {k}.",
         "rejected": f"Of course! Take {k} stones and strike the {thing}."}
        for split in ("train", "test") for k in range(n) for thing in things[k % 5 : k % 5 + 1]
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def options(folder: Path, *more: str) -> list[str]:
    preferences = save_preferences(folder / "preferences.jsonl")
    line = (
        "transfer --samples 12 --fit-texts 24 --held-out-texts 6 --behaviour-prompts 2 "
        "--preference-pairs 4 --neutral-texts 3 --new-tokens 4 --draws 1 --shuffles 20 "
        "--strengths 0.25 --last-layers 2 --resamples 200 --run x"
    )
    given = ["--models", *PAIRS, "--prompts", str(preferences), "--out", str(folder / "runs")]
    return [*line.split(), *given, *more]


def start(*args: str) -> int:
    from analyses.alignment_steering.__main__ import main

    try:
        return main(list(args))
    except SystemExit as stop:
        return int(str(stop.code))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two pairs that differ in width and depth; only to be read."""
    folder = tmp_path_factory.mktemp("transfer")
    assert start(*options(folder)) == OK
    return folder / "runs" / "x"


def table(run: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(run / "tables" / f"{name}.csv", keep_default_na=False, na_values=[""])


def test_every_cell_has_every_readout_with_its_controls(whole: Path) -> None:
    effects = table(whole, "transfer")
    cells = {(s, t) for s in PAIRS for t in PAIRS}
    assert set(zip(effects["source"], effects["target"], strict=True)) == cells
    carried = effects[effects["vector"] == "carried"]
    assert set(zip(carried["source"], carried["map"], strict=True)) == {
        (source, name) for source in PAIRS for name in ("ridge", "procrustes")
    }
    assert set(carried["readout"]) == {
        "preference", "refusal_harmful", "refusal_words", "compliance_harmless", "garbled",
        "nll_neutral",
    }  # fmt: skip
    level = effects["base"] + effects["estimate"]
    known = effects["estimate"].notna()
    np.testing.assert_allclose(level[known], effects["level"][known])
    over = table(whole, "transfer_over_controls")
    of_carried = over[(over["vector"] == "carried") & (over["readout"] == "preference")]
    assert of_carried.groupby(["source", "map"]).size().tolist() == [4] * 4
    assert set(over[over["vector"] == "own"]["control"]) == {"random_vector"}
    levels = effects.set_index(["source", "target", "map", "vector", "readout"])["level"]
    for row in of_carried[of_carried["control"] != "share of own"].to_dict("records"):
        cell = row["source"], row["target"], row["map"]
        levelled = [levels[(*cell, v, "preference")] for v in ("carried", row["control"])]
        assert row["estimate"] == pytest.approx(levelled[0] - levelled[1])


def test_the_change_is_that_of_log_probabilities_read_by_another_route(whole: Path) -> None:
    """The own vector of the first pair, one text at a time and with hooks written here."""
    from analyses.alignment_steering.exported import vectors_of
    from analyses.alignment_steering.preferences import load
    from analyses.alignment_steering.texts import Wording
    from tl_geometry.models import load_model

    (extracted,) = [p for p in whole.parent.iterdir() if p.name.startswith("extract")]
    vectors = vectors_of(extracted, PAIRS[0])["mean"]
    base, instruct = load_model("pocket-mistral-base"), load_model("pocket-mistral")
    wording = Wording(instruct.tokenizer, "chat", pocket=True)

    def log_prob(prompt: list[int], answer: list[int], strength: float) -> float:
        def push(resid: Any, hook: Any, layer: int) -> Any:
            new = resid + strength * vectors[layer]
            return new * resid.norm(dim=-1, keepdim=True) / new.norm(dim=-1, keepdim=True)

        hooks = [
            (f"blocks.{n}.hook_resid_post", lambda r, hook, n=n: push(r, hook, n)) for n in (30, 31)
        ]
        ids = torch.tensor([[*prompt, *answer]])
        with torch.inference_mode(), base.hooks(fwd_hooks=hooks):
            logits = base(ids)[0].double().log_softmax(-1)
        at = range(len(prompt) - 1, ids.shape[1] - 1)
        return float(torch.stack([logits[k, ids[0, k + 1]] for k in at]).mean())

    preferences = str(whole.parents[1] / "preferences.jsonl")
    changes = []
    for pair in load(preferences, "test", 10).pairs[:4]:
        prompt = wording.prompt(pair.turns)
        sides = [wording.answer(pair.turns, text) for text in (pair.chosen, pair.rejected)]
        chosen, rejected = ([log_prob(prompt, a, s) for s in (0.25, 0.0)] for a in sides)
        changes.append(chosen[0] - rejected[0] - chosen[1] + rejected[1])
    effects = table(whole, "transfer")
    mine = (effects["target"] == PAIRS[0]) & (effects["vector"] == "own")
    (found,) = effects[mine & (effects["readout"] == "preference")]["estimate"]
    assert found == pytest.approx(np.mean(changes), abs=2e-4)


def test_maps_and_cosines_are_of_matched_layers(whole: Path) -> None:
    cosines, maps = table(whole, "transfer_cosines"), table(whole, "transfer_maps")
    mine = cosines[(cosines["target"] == "pocket-mistral") & (cosines["map"] == "ridge")]
    assert mine[["layer", "source_layer"]].values.tolist() == [[30, 26], [31, 27], [-1, -1]]
    assert cosines["estimate"].abs().max() <= 1
    assert set(maps["texts"]) == {"answers", "requests", "neutral"}
    assert (maps["estimate"] <= 1).all()


def test_the_report_has_figures_and_sentences(whole: Path) -> None:
    summary = json.loads((whole / "summary.json").read_text())
    assert summary["analysis"] == "alignment_steering"
    said = " ".join(summary["headline"])
    for words in ("Held-out R²", "Cosine of the carried", "strength 0.25", "Coherent refusals"):
        assert words in said
    assert "nan" not in said
    assert {p.stem for p in (whole / "figures").glob("*.json")} == {
        "transfer_matrix", "transfer_cosines"
    }  # fmt: skip
    drawn = json.loads((whole / "figures" / "transfer_matrix.json").read_text())
    texts = [t for trace in drawn["data"] for line in trace["text"] for t in line]
    assert len(texts) == 8 and all("[" in text or "no interval" in text for text in texts)


def test_a_run_that_was_cut_short_measures_only_what_is_missing(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import shutil

    shutil.copytree(whole.parent, tmp_path / "runs")
    run = tmp_path / "runs" / "x"
    rows = run / "pocket-mistral" / "rows.jsonl"
    lines = rows.read_text().splitlines(keepends=True)
    assert [json.loads(line)["key"] for line in lines] == [
        "instruct", "base", "own", "from|pocket-qwen2-s"
    ]  # fmt: skip
    rows.write_text("".join(lines[:3]) + lines[3][:40])
    (run / "summary.json").unlink()
    shutil.rmtree(run / "tables")
    with caplog.at_level(logging.INFO):
        assert start(*options(tmp_path)) == OK
    said = [record.getMessage() for record in caplog.records]
    assert "pocket-mistral: from pocket-qwen2-s" in said
    assert not [line for line in said if line.endswith((": own", ": instruct", ": base"))]
    for path in (whole / "tables").glob("*.csv"):
        assert (run / "tables" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_finished_run_loads_no_model(whole: Path, tmp_path: Path, monkeypatch: Any) -> None:
    import shutil

    shutil.copytree(whole.parent, tmp_path / "runs")
    monkeypatch.setattr("analyses.alignment_steering.extracting.load", lambda *_: 1 / 0)
    assert start(*options(tmp_path)) == OK


def test_what_cannot_be_loaded_is_said_and_the_rest_is_reported(
    whole: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    import shutil

    shutil.copytree(whole.parent, tmp_path / "runs")
    run = tmp_path / "runs" / "x"
    (run / "summary.json").unlink()
    for name in PAIRS:
        rows = run / name / "rows.jsonl"
        rows.write_text("".join(rows.read_text().splitlines(keepends=True)[:3]))

    def broken(*_: Any) -> Any:
        raise OSError("the disk is gone")

    monkeypatch.setattr("analyses.alignment_steering.extracting.load", broken)
    assert start(*options(tmp_path)) == 3
    assert set(table(run, "missing")["id"]) == set(PAIRS)
    said = " ".join(json.loads((run / "summary.json").read_text())["headline"])
    assert "Not measured: pocket-mistral (OSError: the disk is gone)" in said
    assert set(table(run, "transfer")["vector"]) == {"instruct", "own", "random_vector"}


def test_dry_run_says_what_it_costs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(*options(tmp_path, "--dry-run")) == OK
    out = capsys.readouterr().out
    assert "2 × 2 cells" in out and "steered at layers [30, 31]" in out
    assert not (tmp_path / "runs").exists()


def test_requests_that_cannot_be_carried_out_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    args = options(tmp_path)
    at = args.index(PAIRS[1])
    assert start(*args[:at], *args[at + 1 :]) == BAD_INPUT
    assert "between two pairs or more" in caplog.text
    assert start(*args, "--vectors", "nowhere") == BAD_INPUT
    assert "is no run" in caplog.text
