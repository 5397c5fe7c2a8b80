"""`steer` on an embedded pair: searched and chosen on validation questions, reported on others."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_runs import frame, tables
from started import Start, started

from figures.rows import records, select

EXTRACT = ("extract", "--limit", "20", "--resamples", "200", "--new-tokens", "24",
           "--natural-positions", "response[:5]", "--methods", "mean_diff")  # fmt: skip
STEER = ("steer", "--vectors", "v", "--layers", "12", "16", "--doses", "0.4", "1.0",
         "--bisections", "1", "--questions", "4", "--resamples", "200",
         "--new-tokens", "24", "--run", "x")  # fmt: skip


def program(*options: object, out: Path, caplog: Any, capsys: Any) -> Start:
    from analyses.model_diff.__main__ import main

    return started(main, [*STEER, *options, "--out", out], caplog, capsys)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from analyses.model_diff.__main__ import main

    out = tmp_path_factory.mktemp("diff")
    assert main([*EXTRACT, "--run", "v", "--out", str(out)]) == 0
    assert main([*STEER, "--out", str(out)]) in (0, 3)
    return out / "x"


def test_the_choice_is_of_validation_questions_and_the_report_of_others(run: Path) -> None:
    from tl_geometry.pocket.trait_sets import trait_set

    traits = trait_set("pocket_instruction/sycophancy")
    said = frame(run, "steered_answers")
    assert set(said["question"]) == set(traits.test[:4])
    assert not set(said["question"]) & set(traits.validation)
    doses = frame(run, "doses")
    for row in records(frame(run, "effects")):
        tried = select(doses, set=row["set"], layer=row["layer"])
        (mine,) = records(tried[np.isclose(tried["dose"], row["dose"])])
        assert mine["coherence"] >= row["threshold"] and mine["trait"] == row["validation_trait"]
        good = doses[(doses["set"] == row["set"]) & (doses["coherence"] >= row["threshold"])]
        assert mine["trait"] == good["trait"].max()


def test_controls_get_the_same_search(run: Path) -> None:
    doses = frame(run, "doses")
    grid = doses[doses["dose"].isin([0.4, 1.0])]
    tried = grid.groupby("set").size()
    assert set(tried) == {4} and len(tried) == 2 * 3  # two sources; mean_diff, random, shuffled
    assert set(frame(run, "effects")["quantity"]) >= {"change", "over_random"}


def test_what_is_added_is_the_stated_share_of_the_stream(run: Path, pocket: Any) -> None:
    """Every answer under a condition is what generation alone gives with that vector."""
    import torch
    from safetensors.torch import load_file

    from tl_geometry.conditions import Condition, answers
    from tl_geometry.generation import decode
    from tl_geometry.models import load_model
    from tl_geometry.span_means import Said, span_means
    from tl_geometry.spans import Span
    from tl_geometry.tokens import encode_requests

    model = load_model("pocket-llama")
    from tl_geometry.pocket.trait_sets import trait_set

    traits = trait_set("pocket_instruction/sycophancy")
    ids = encode_requests(model, traits.validation[:4])
    plain = answers(model, ids, [Condition()], max_new_tokens=24)[0]
    ends = model.tokenizer.eos_token_id
    said = [Said(i, [t for t in a if t != ends]) for i, a in zip(ids, plain, strict=True)]
    span = Span("response")
    norm = float(span_means(model, said, [span])[span].norms.mean(0)[12])
    vectors = load_file(run.parent / "v" / "natural" / "artifacts" / "vectors.safetensors")
    unit = vectors["response__5|mean_diff"][12]
    unit = unit / unit.norm()
    steered = Condition(unit * norm * 0.4, 12, "layer", "all")
    alone = answers(model, ids[:1], [steered], max_new_tokens=24)[0][0]
    rows = [json.loads(line) for line in (run / "answers" / "rows.jsonl").read_text().splitlines()]
    key = "validation|natural response[:5] mean_diff|12|0.4"
    (row,) = [r for r in rows if r["key"] == key]
    assert row["answers"][0]["text"] == decode(model, [[t for t in alone if t != ends]])[0]
    del torch, pocket


def test_a_killed_search_goes_the_same_way(
    run: Path, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    shutil.copytree(run.parent, tmp_path / "runs")
    again = tmp_path / "runs" / "x"
    log = again / "answers" / "rows.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[: len(lines) // 2])[:-9])  # in the middle, with a torn line
    (again / "summary.json").unlink()
    start = program(out=tmp_path / "runs", caplog=caplog, capsys=capsys)
    assert start.status in (0, 3)
    assert tables(again) == tables(run)
    assert "Checkpoint: after phase 1" in start.out


def test_another_judge_reads_the_same_answers(
    run: Path, tmp_path: Path, caplog: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is generated again but what the other judge's own search asks for, and no score of
    the first one is used."""
    from analyses.model_diff import steer
    from tl_geometry.judges.number_scores import Rating

    class Generous:
        fingerprint = "f" * 64

        def trait(self, trait: str, definition: str, questions: Any, answers: Any) -> list[Rating]:
            return [Rating(50.0, 1.0, None) for _ in answers]

        def coherence(self, questions: Any, answers: Any) -> list[Rating]:
            return [Rating(99.0, 1.0, None) for _ in answers]

    shutil.copytree(run.parent, tmp_path / "runs")
    again = tmp_path / "runs" / "x"
    (again / "summary.json").unlink()
    before = (again / "answers" / "rows.jsonl").read_text().splitlines()
    monkeypatch.setattr(steer, "judge_of", lambda *_: Generous())
    start = program(out=tmp_path / "runs", caplog=caplog, capsys=capsys)
    assert start.status == 0
    after = (again / "answers" / "rows.jsonl").read_text().splitlines()
    assert after[: len(before)] == before
    added = [json.loads(line)["key"] for line in after[len(before) :]]
    assert all(key.startswith("test|") for key in added)  # no edge, so no bisection
    assert set(frame(again, "doses")["trait"]) == {50.0}
    assert json.loads((again / "summary.json").read_text())["judge"] == "f" * 64


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--layers", "40"), "0 to 31"),
        (("--doses", "-1"), "above 0"),
        (("--judge-url", "http://localhost:1/v1"), "--judge-model NAME"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    run: Path, options: tuple[str, ...], sentence: str, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    shutil.copytree(run.parent / "v", tmp_path / "v")
    start = program(*options, out=tmp_path, caplog=caplog, capsys=capsys)
    assert start.status == 2 and sentence in start.log and not (tmp_path / "x").exists()


def test_figures_show_the_tables(run: Path) -> None:
    from figures.model_diff import figures
    from figures.run_folder import read_tables

    found = read_tables(run / "tables")
    drawn = figures(found)
    assert list(drawn) == ["trait_and_coherence", "effects"]
    marks = sum(len(t.x) for t in drawn["trait_and_coherence"].data)
    assert marks == len(pd.DataFrame(found["doses"])) - 1  # all but the unsteered model
