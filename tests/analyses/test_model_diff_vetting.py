"""Pairs of responses are left out where one side does not show what it stands for."""

from pathlib import Path
from typing import Any

import pytest
import torch
from extract_runs import logged, means_by_hand
from safetensors.torch import load_file
from small_runs import frame
from started import started

from analyses.model_diff.config import Extract
from analyses.model_diff.plan import Plan, Source, make_plan
from figures.rows import records, select
from tl_geometry.judges.number_scores import Rating

EVIL = (
    "extract", "--trait", "evil", "--limit", "24", "--resamples", "200", "--run", "x",
    "--instruction-positions", "response[:5]", "--natural-positions", "response[:5]",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from analyses.model_diff.__main__ import main

    out = tmp_path_factory.mktemp("vetted")
    assert main([*EVIL, "--out", str(out)]) == 0
    return out / "x"


def test_a_vector_is_made_of_the_pairs_that_hold_on_both_sides(run: Path) -> None:
    """Kept by hand, and the means by plain Hugging Face."""
    from tl_geometry.judges import is_cruel

    rows = [row for row in logged(run, "natural") if "response_ids" in row]
    sides = [[row for row in rows if row["positive"] == side] for side in (True, False)]
    holds = [is_cruel(a["text"]) and not is_cruel(b["text"]) for a, b in zip(*sides, strict=True)]
    assert 0 < sum(holds) < len(holds) == 24
    kept = [[row for row, good in zip(side, holds, strict=True) if good] for side in sides]
    means = [
        torch.stack([mean["response__5"] for mean in means_by_hand(side, 7)]).mean(0)
        for side in kept
    ]
    vectors = load_file(run / "natural" / "artifacts" / "vectors.safetensors")
    found = vectors["response__5|mean_diff"][7]
    torch.testing.assert_close(found, means[0] - means[1], atol=1e-4, rtol=1e-3)
    table = select(frame(run, "vectors"), source="natural")
    assert set(table["n"]) == {2 * sum(holds)}


def test_what_was_left_out_is_counted_and_said(run: Path) -> None:
    shown = {(r["source"], r["side"]): r for r in records(frame(run, "responses"))}
    bad = shown["natural", "negative"]
    assert bad["does_not_hold"] == round(bad["shows"] * bad["n"]) > 0
    pairs = shown["natural", "positive"]
    assert pairs["does_not_hold"] == 0  # what goes of this side goes for its pair's sake
    assert pairs["kept"] == bad["kept"] == 24 - bad["does_not_hold"]
    assert shown["instruction", "positive"]["kept"] == 24
    page = (run / "report.html").read_text()
    assert f"{bad['does_not_hold']} do not show what the side stands for" in page


def rows_of(source: Source, rollouts: int) -> list[dict[str, Any]]:
    return [
        {"key": f"{positive}{s.id}{k}", "positive": positive, "id": s.id, "rollout": k,
         "text": f"{positive} {row} {k}"}
        for k in range(rollouts)
        for positive, side in source.sides.items()
        for row, s in enumerate(side)
    ]  # fmt: skip


def kept(plan: Plan, rated: dict[str, Rating], folder: Path, monkeypatch: Any) -> set[str]:
    """Texts of the responses that a judge of this opinion leaves; it likes all others."""
    from analyses.model_diff import vetting
    from tl_geometry.runs import open_run

    class Judge:
        fingerprint = "an opinion"

        def coherence(self, *_: Any) -> list[Rating]:
            raise AssertionError("coherence was not asked for")

        def trait(self, *asked: Any) -> list[Rating]:
            good = {"True": Rating(100.0, 1.0, 0.0), "False": Rating(0.0, 1.0, 0.0)}
            return [rated.get(text, good[text.split()[0]]) for text in asked[-1]]

    monkeypatch.setattr(vetting, "rubric_judge", lambda *_, **__: Judge())
    source = plan.sources[0]
    with open_run(folder, plan.spec) as record:
        judge = vetting.vetting_judge(plan)
        left = vetting.vetted(record, source, rows_of(source, 2), plan.config.trait, judge)
    return {row["text"] for row in left}


def judged() -> Plan:
    config = Extract(
        limit=10, vet="judge", judge_model="pocket-mistral", rollouts=2, temperature=1.0
    )
    return make_plan(config)


def test_a_pair_stands_or_falls_together_in_its_own_rollout(
    tmp_path: Path, monkeypatch: Any
) -> None:
    plan = judged()
    rated = {
        "True 0 0": Rating(60.0, 1.0, 0.0),  # enough
        "True 1 0": Rating(59.9, 1.0, 0.0),
        "False 2 1": Rating(40.0, 1.0, 0.0),  # enough
        "False 3 1": Rating(40.1, 1.0, 0.0),
        "True 4 1": Rating(None, 0.01, None, "no number was likely"),
    }
    left = kept(plan, rated, tmp_path / "r", monkeypatch)
    every = {row["text"] for row in rows_of(plan.sources[0], 2)}
    assert every - left == {
        "True 1 0", "False 1 0", "True 3 1", "False 3 1", "True 4 1", "False 4 1"
    }  # fmt: skip


def test_a_judge_that_does_not_answer_ends_the_run_and_is_asked_again(
    tmp_path: Path, monkeypatch: Any
) -> None:
    plan = judged()
    silent = {"True 0 0": Rating(None, 0.0, None, "the server is down")}
    with pytest.raises(RuntimeError, match="1 of 40 responses were not rated: the server is down"):
        kept(plan, silent, tmp_path / "r", monkeypatch)
    assert len(kept(plan, {}, tmp_path / "r", monkeypatch)) == 40


def test_who_vets_is_the_rule_where_there_is_one_and_it_is_in_the_key() -> None:
    assert make_plan(Extract(limit=10)).vetting["by"] == "rule"
    assert make_plan(Extract(limit=10, data="pv")).vetting == {"by": "none"}
    ways: list[Any] = ["rule", "none"]
    assert len({make_plan(Extract(limit=10, vet=way)).spec.key for way in ways}) == 2
    asked = judged().spec.parameters["vet"]
    assert asked["by"] == "judge" and asked["judge"]["name"] == "pocket-mistral"


def test_vectors_are_steered_with_as_they_were_vetted(tmp_path: Path, capsys: Any) -> None:
    """By the run's name, whatever the default is, and by the same option."""
    from analyses.model_diff.__main__ import main

    given = [*EVIL[1:], "--vet", "none", "--out", str(tmp_path)]
    assert main(["extract", *given]) == 0
    named = ["steer", "--trait", "evil", "--vectors", "x", "--out", str(tmp_path), "--dry-run"]
    assert main(named) == 0
    folders = set()
    for way in ("none", "rule"):
        alike = ["steer", "--trait", "evil", "--vet", way, "--out", str(tmp_path), "--dry-run"]
        assert main(alike) == 0
        folders.add(capsys.readouterr().out.splitlines()[0])
    assert len(folders) == 2


def test_a_judge_is_reached_before_anything_is_generated(
    tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    from analyses.model_diff.__main__ import main

    asked = ("--vet", "judge", "--judge-model", "x", "--judge-url", "http://localhost:9/v1")
    start = started(main, [*EVIL, *asked, "--out", tmp_path], caplog, capsys)
    assert start.status == 2 and "no answer from a server" in start.log and start.loaded == ()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--vet", "judge"), "--vet judge needs the name of a judge"),
        (("--vet", "rule", "--data", "pv"), "no rule reads evil outside the embedded world"),
        (("--judge-url", "http://localhost:1"), "needs the name of a model there"),
    ],
)
def test_vetting_that_cannot_be_done_is_refused(
    options: tuple[str, ...], sentence: str, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    from analyses.model_diff.__main__ import main

    start = started(main, [*EVIL, *options, "--out", tmp_path], caplog, capsys)
    assert start.status == 2 and sentence in start.log and not (tmp_path / "x").exists()
