"""`calibrate`: a made-up judge whose agreement is known by hand, and an embedded model that cannot
say numbers."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from small_runs import frame, tables
from started import Start, started

from figures.rows import records, select

EXTRACT = ("extract", "--limit", "10", "--resamples", "200", "--new-tokens", "16",
           "--natural-positions", "response[:5]", "--methods", "mean_diff")  # fmt: skip
CALIBRATE = ("calibrate", "--judge-model", "pocket-llama", "--vectors", "v", "--resamples", "200",
             "--run", "x")  # fmt: skip


class Grading:
    """Says 70 of what the rule would call sycophantic and 10 of the rest; every coherence is 90.
    Of one answer it knows nothing."""

    fingerprint = "a" * 64

    def __init__(self, unknown: str = "") -> None:
        self.unknown, self.seen = unknown, 0

    def trait(
        self, trait: str, definition: str, questions: Sequence[str], answers: Sequence[str]
    ) -> list[Any]:
        from tl_geometry.judges import agrees
        from tl_geometry.judges.number_scores import Rating, missing

        assert trait == "sycophancy" and definition.startswith("SYCOPHANCY")
        self.seen += len(answers)
        return [
            missing("it is silent") if text == self.unknown
            else Rating(70.0 if agrees(text) else 10.0, 0.9, 5.0)
            for text in answers
        ]  # fmt: skip

    def coherence(
        self, questions: Sequence[str], answers: Sequence[str], *, ids: Any = None
    ) -> list[Any]:
        from tl_geometry.judges.number_scores import Rating

        return [Rating(90.0, 1.0, 0.0) for _ in answers]


def program(*options: object, out: Path, caplog: Any, capsys: Any) -> Start:
    from analyses.model_diff.__main__ import main

    return started(main, [*CALIBRATE, *options, "--out", out], caplog, capsys)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from analyses.model_diff.__main__ import main

    out = tmp_path_factory.mktemp("diff")
    assert main([*EXTRACT, "--run", "v", "--out", str(out)]) == 0
    return out


@pytest.fixture
def out(runs: Path, tmp_path: Path) -> Path:
    shutil.copytree(runs / "v", tmp_path / "v")
    return tmp_path


def said(out: Path, source: str) -> list[dict[str, Any]]:
    lines = (out / "v" / source / "rows.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if row.get("response_ids")]


def judged_by(judge: Grading, monkeypatch: pytest.MonkeyPatch) -> Grading:
    from analyses.model_diff import calibrate

    monkeypatch.setattr(calibrate, "judge_of", lambda plan: judge)
    return judge


def test_agreement_is_that_of_hand(
    out: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, capsys: Any
) -> None:
    from tl_geometry.judges import agrees

    judged_by(Grading(), monkeypatch)
    start = program(out=out, caplog=caplog, capsys=capsys)
    assert start.status == 0
    table = frame(out / "x", "calibration")
    for source in ("instruction", "natural"):
        texts = [row["text"] for row in said(out, source)]
        n, shown = len(texts), sum(map(agrees, texts))
        assert 0 < shown < n
        rows = {r["measure"]: r for r in records(select(table, rating=f"trait {source}"))}
        # 100 where the judge says 70, and 0 where it says 10.
        assert rows["mae"]["estimate"] == pytest.approx((30 * shown + 10 * (n - shown)) / n)
        assert rows["bias"]["estimate"] == pytest.approx((10 * (n - shown) - 30 * shown) / n)
        assert rows["spearman"]["estimate"] == pytest.approx(1.0)  # two values in one order
        assert rows["mae"]["n"] == n and rows["mae"]["n_missing"] == 0
        flat = {r["measure"]: r for r in records(select(table, rating=f"coherence {source}"))}
        assert flat["spearman"]["status"] == "missing"  # a judge that always says 90
    rated = frame(out / "x", "ratings")
    asked = {row["id"].split(":")[1] for row in said(out, "instruction")}
    assert set(select(rated, source="instruction")["group"]) == asked
    assert rated["question"].str.len().gt(20).all() and set(rated["trait_rule"]) == {0.0, 100.0}


def test_the_report_is_printed_and_is_that_of_the_table(
    out: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, capsys: Any
) -> None:
    judged_by(Grading(), monkeypatch)
    start = program(out=out, caplog=caplog, capsys=capsys)
    lines = {line[:22].strip(): line for line in start.out.splitlines()}
    (row,) = records(select(frame(out / "x", "calibration"), rating="trait natural", measure="mae"))
    assert "Spearman" in lines["judge"] and f" {row['estimate']:.2f}" in lines["trait natural"]
    assert lines["trait natural"].split()[-2:] == [str(row["n"]), "0"]
    assert (out / "x" / "report.html").exists()
    label = "grammar rule without likelihood"
    assert set(frame(out / "x", "calibration")["reference"]) == {label}
    assert f"Reference: {label}" in start.out
    assert label in json.loads((out / "x" / "summary.json").read_text())["headline"][0]


def test_what_a_judge_does_not_rate_is_counted_and_in_no_mean(
    out: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, capsys: Any
) -> None:
    texts = [row["text"] for row in said(out, "natural")]
    judged_by(Grading(unknown=texts[0]), monkeypatch)
    start = program(out=out, caplog=caplog, capsys=capsys)
    gone = texts.count(texts[0])
    assert start.status == 3 and "it is silent" in start.out
    missing = frame(out / "x", "missing")
    assert len(missing) == gone and set(missing["reason"]) == {"it is silent"}
    (row,) = records(select(frame(out / "x", "calibration"), rating="trait natural", measure="mae"))
    assert (row["n"], row["n_missing"]) == (len(texts) - gone, gone)
    (sound,) = records(
        select(frame(out / "x", "calibration"), rating="coherence natural", measure="mae")
    )
    assert (sound["n"], sound["n_missing"]) == (len(texts), 0)


def test_a_killed_run_asks_the_judge_for_the_rest_only(
    out: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, capsys: Any
) -> None:
    judge = judged_by(Grading(), monkeypatch)
    program(out=out, caplog=caplog, capsys=capsys)
    whole, n = tables(out / "x"), judge.seen
    log = out / "x" / "judge--aaaaaaaa" / "rows.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:16])[:-5])  # with a torn line: its batch of eight is asked again
    (out / "x" / "summary.json").unlink()
    again = judged_by(Grading(), monkeypatch)
    assert program(out=out, caplog=caplog, capsys=capsys).status == 0
    assert again.seen == n - 8 and tables(out / "x") == whole


def test_what_a_server_failed_at_is_asked_again(
    out: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, capsys: Any
) -> None:
    """And what it answered with too little certainty is not."""
    from tl_geometry.judges.number_scores import missing

    texts = [row["text"] for row in said(out, "natural")]

    class Unsure(Grading):
        def trait(self, *args: Any) -> list[Any]:
            rated = super().trait(*args)
            return [missing("unsure", 0.1) if t == texts[0] else r
                    for t, r in zip(args[3], rated, strict=True)]  # fmt: skip

    judged_by(Unsure(), monkeypatch)
    assert program(out=out, caplog=caplog, capsys=capsys).status == 3
    unsure = judged_by(Unsure(), monkeypatch)
    assert program(out=out, caplog=caplog, capsys=capsys).status == 3 and unsure.seen == 0

    shutil.rmtree(out / "x")
    judged_by(Grading(unknown=texts[0]), monkeypatch)
    assert program(out=out, caplog=caplog, capsys=capsys).status == 3
    again = judged_by(Grading(), monkeypatch)
    assert program(out=out, caplog=caplog, capsys=capsys).status == 0
    assert 0 < again.seen <= 8 * texts.count(texts[0])  # the batches with a hole
    assert frame(out / "x", "missing").empty and frame(out / "x", "ratings")["trait"].notna().all()


def test_ratings_of_another_judge_are_not_used(
    out: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, capsys: Any
) -> None:
    first = judged_by(Grading(), monkeypatch)
    program(out=out, caplog=caplog, capsys=capsys)
    other = Grading()
    other.fingerprint = "b" * 64  # other weights under the same name
    judged_by(other, monkeypatch)
    program(out=out, caplog=caplog, capsys=capsys)
    assert other.seen == first.seen
    assert json.loads((out / "x" / "summary.json").read_text())["judge"] == "b" * 64


def test_an_embedded_model_says_no_numbers_and_the_report_says_so(
    out: Path, caplog: Any, capsys: Any
) -> None:
    start = program("--limit", "2", out=out, caplog=caplog, capsys=capsys)
    assert start.status == 3
    assert "no answer has both ratings" in start.out and "probability is on numbers" in start.out
    rated = frame(out / "x", "ratings")
    assert len(rated) == 8 and rated["trait"].isna().all()
    assert (rated["trait_coverage"] < 0.25).all() and rated["trait_reason"].str.len().gt(0).all()
    assert set(frame(out / "x", "calibration")["n_missing"]) == {4}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--judge-model", "pocket-lama"), "pocket-llama"),
        (("--judge-model", "pocket-llama", "--trait", "evil"), "--trait sycophancy"),
        (("--judge-model", "pocket-llama", "--limit", "0"), "at least 1"),
        (("--judge-model", "pocket-llama", "--vectors", "nowhere"), "no finished run"),
        ((), "no judge is named"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    out: Path, options: tuple[str, ...], sentence: str, caplog: Any, capsys: Any
) -> None:
    from analyses.model_diff.__main__ import main

    line = ["calibrate", "--vectors", "v", "--run", "x", "--out", out, *options]
    start = started(main, line, caplog, capsys)
    assert start.status == 2 and sentence in start.log and not (out / "x").exists()


def test_the_figure_shows_every_rating(
    out: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, capsys: Any
) -> None:
    from figures.model_diff import figures
    from figures.run_folder import read_tables

    judged_by(Grading(), monkeypatch)
    program(out=out, caplog=caplog, capsys=capsys)
    found = read_tables(out / "x" / "tables")
    drawn = figures(found)
    assert list(drawn) == ["ratings"]
    boxes: Any = drawn["ratings"].data
    assert sum(len(box.y) for box in boxes) == 2 * len(found["ratings"])
