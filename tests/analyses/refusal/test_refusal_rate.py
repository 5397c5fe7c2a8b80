"""`python -m analyses.refusal rate`: people's ratings against the judge's labels."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from refusal_runs import BAD_INPUT, OK, Program, begun, everything
from sklearn.metrics import cohen_kappa_score
from small_runs import frame, tables

from figures.rows import records, select

LABELS = ("coherent", "garbled", "normal")


@pytest.fixture
def finished(program: Program, whole: Path) -> Path:
    """A finished run, to be rated."""
    run = begun(whole, program.path(), everything)
    program("--skip-verification")
    return run


def ids(run: Path) -> list[str]:
    from figures.refusal.answers import sample_ids

    return sample_ids(frame(run, "samples"))


def sheet(path: Path, rows: Sequence[tuple[str, str]], header: str = "sample,rating") -> Path:
    """As a spreadsheet saves it: a byte-order mark, CRLF, other columns between."""
    lines = [header, *(f"{sample},{rating}" for sample, rating in rows)]
    path.write_bytes(("\ufeff" + "\r\n".join(lines) + "\r\n").encode())
    return path


def rate(program: Program, ratings: Path, *options: object) -> Any:
    given = ("--run", "x", "--out", program.folder, "--ratings", ratings)
    return program.plain("rate", *given, *options)


# --- from a sheet to tables -----------------------------------------------------------------------


def test_ratings_are_taken_into_the_run_with_the_judge_s_labels(
    program: Program, finished: Path, tmp_path: Path
) -> None:
    before, samples = tables(finished), frame(finished, "samples")
    test = select(samples, phase="test", source="dim").index.tolist()
    names = ids(finished)
    # Every third answer is called by another name than the judge's.
    human = {
        names[i]: LABELS[(LABELS.index(samples["quality"][i]) + (k % 3 == 0)) % 3]
        for k, i in enumerate(test)
    }
    start = rate(program, sheet(tmp_path / "r.csv", [*human.items(), (names[-1], "")]))
    assert start.status == OK, start.log
    assert start.loaded == ()
    found = frame(finished, "ratings")
    assert dict(zip(found["sample"], found["human"], strict=True)) == human
    by_name = dict(zip(names, records(samples), strict=True))
    for row in records(found):
        mine = by_name[row["sample"]]
        assert row["judge"] == mine["quality"] and row["model"] == mine["model"]
        assert row["prompt"] == mine["prompt"]
    now = tables(finished)
    assert {name: now[name] for name in before} == before
    assert set(now) - set(before) == {"ratings.csv", "rating_agreement.csv", "rating_confusion.csv"}

    agreed = frame(finished, "rating_agreement")
    (all_of_them,) = records(select(agreed, what="all"))
    n_same = sum(human[names[i]] == samples["quality"][i] for i in test)
    assert all_of_them["n"] == len(test) and all_of_them["agree"] == n_same / len(test)
    conditions = select(agreed, what="condition")
    assert sum(conditions["n"]) == len(test)
    place = ["model", "source", "depth", "dose"]
    assert len(conditions) == len({tuple(row) for row in samples.loc[test, place].to_numpy()})
    counts = frame(finished, "rating_confusion")
    assert sum(counts["n"]) == len(test)
    for row in records(counts):
        assert (
            row["n"] == ((found["human"] == row["human"]) & (found["judge"] == row["judge"])).sum()
        )
    assert f"agree on {n_same / len(test):.0%}" in start.out
    assert f"report: {finished / 'report.html'}" in start.out


def test_ratings_are_replaced_by_a_later_sheet_and_survive_a_further_start(
    program: Program, finished: Path, tmp_path: Path
) -> None:
    names = ids(finished)
    assert rate(program, sheet(tmp_path / "a.csv", [(names[0], "normal")])).status == OK
    later = sheet(tmp_path / "b.csv", [(names[1], " Garbled ")])
    assert rate(program, later).status == OK
    found = frame(finished, "ratings")
    assert found[["sample", "human"]].to_numpy().tolist() == [[names[1], "garbled"]]
    assert program("--skip-verification").status == OK
    assert frame(finished, "ratings").equals(found)


def test_a_sheet_with_semicolons_is_read(tmp_path: Path) -> None:
    from analyses.refusal.rated import read_sheet

    path = tmp_path / "r.csv"
    path.write_text('sample;prompt;rating\ns1;"a; b, c";normal\ns2;d;\n', encoding="utf-8")
    assert read_sheet(path) == {"s1": "normal"}


def test_the_report_is_drawn_again_with_the_ratings(
    program: Program, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from figures.run_folder import draw_run

    monkeypatch.setattr("figures.redraw", draw_run)
    labels = [(name, LABELS[k % 3]) for k, name in enumerate(ids(finished)[:12])]
    assert rate(program, sheet(tmp_path / "r.csv", labels)).status == OK
    assert (finished / "figures" / "ratings.json").is_file()
    assert "Person and judge agree on" in (finished / "report.html").read_text()


# --- sheets and runs that cannot be taken ---------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "header", "sentence"),
    [
        ([("s0", "normal")], "sample,rating", "no answer of this run is 's0': is it the sheet of"),
        ([("{0}", "good"), ("{1}", "ok")], "sample,rating", "has ratings 'good', 'ok': a rating"),
        ([("{0}", "normal"), ("{0}", "normal")], "sample,rating", "rates a sample twice: '"),
        ([("{0}", "")], "sample,rating", "holds no rating: fill its column `rating` with coherent"),
        ([("{0}", "normal")], "id,rating", "has no column sample"),
        ([("{0}", "normal")], "id,label", "has no column sample and no column rating"),
        ([("s1", "normal"), ("s2", "normal"), ("s3", "normal"), ("s4", "normal")],
         "sample,rating", "is 's1', 's2', 's3' and 1 more"),
    ],
)  # fmt: skip
def test_a_sheet_that_cannot_be_taken_is_refused_in_one_sentence(
    rows: Any, header: str, sentence: str, program: Program, finished: Path, tmp_path: Path
) -> None:
    before, names = tables(finished), ids(finished)
    filled = [(sample.format(*names), label) for sample, label in rows]
    start = rate(program, sheet(tmp_path / "r.csv", filled, header))
    assert start.status == BAD_INPUT and start.out == ""
    assert len([line for line in start.log.splitlines() if sentence in line]) == 1
    assert "Traceback" not in start.log and tables(finished) == before


def test_a_run_that_is_not_there_and_a_file_that_is_none_are_refused(
    program: Program, tmp_path: Path
) -> None:
    start = rate(program, tmp_path / "r.csv")
    assert start.status == BAD_INPUT and "holds no finished run (absent)" in start.log

    from analyses.refusal.rated import read_sheet

    with pytest.raises(ValueError, match="cannot be read .No such file"):
        read_sheet(tmp_path / "r.csv")
    (tmp_path / "r.csv").write_bytes(b"sample,rating\n\xff\xfe,normal\n")
    with pytest.raises(ValueError, match="not text in UTF-8"):
        read_sheet(tmp_path / "r.csv")


# --- samples --------------------------------------------------------------------------------------


def test_every_answer_has_a_name_of_its_own_that_no_spreadsheet_changes(whole: Path) -> None:
    names = ids(whole)
    assert len(set(names)) == len(names) > 100
    assert all(name[0] == "s" and len(name) == 13 for name in names)


def test_names_do_not_depend_on_how_a_table_was_read() -> None:
    from figures.refusal.answers import sample_ids

    row: dict[str, Any] = {"model": "m", "phase": "test", "source": "dim", "layer": 3, "dose": 0.1}
    texts = {"prompt": "p", "response": "r"}
    written = pd.DataFrame([{**row, "depth": "0.4", **texts}])
    read = pd.DataFrame([{**row, "layer": 3.0, "depth": 0.4, **texts}])
    assert sample_ids(written) == sample_ids(read)
    other = written.assign(dose=0.2)
    assert sample_ids(other) != sample_ids(written)
    assert sample_ids(written.assign(quality="normal")) == sample_ids(written)


# --- agreement ------------------------------------------------------------------------------------


def drawn(n: int, same: float, seed: int) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(seed)
    judge = rng.choice(LABELS, n).tolist()
    human = [label if rng.random() < same else str(rng.choice(LABELS)) for label in judge]
    return judge, human


@pytest.mark.parametrize("same", [0.0, 0.5, 0.9])
def test_kappa_is_that_of_another_implementation(same: float) -> None:
    from analyses.refusal.kappa import kappa

    judge, human = drawn(80, same, seed=1)
    found = kappa(judge, human, [str(k) for k in range(80)])
    assert found.estimate == pytest.approx(cohen_kappa_score(judge, human))
    assert found.low < found.estimate < found.high
    assert found.low < same < found.high  # the truth by which they were drawn


def test_kappa_by_hand() -> None:
    from analyses.refusal.kappa import kappa

    # Agreement 3/4; chance 1/2 · 3/4 + 1/2 · 1/4 = 1/2: (3/4 − 1/2) / (1 − 1/2).
    judge, human = ["coherent"] * 2 + ["normal"] * 2, ["coherent"] * 3 + ["normal"]
    assert kappa(judge, human, list("abcd")).estimate == pytest.approx(0.5)


def test_answers_to_one_prompt_are_drawn_together() -> None:
    from analyses.refusal.kappa import kappa

    judge, human = drawn(40, 0.6, seed=2)
    alone = kappa(judge, human, [str(k) for k in range(40)])
    thrice = kappa(judge * 3, human * 3, [str(k) for k in range(40)] * 3)
    assert (thrice.low, thrice.high, thrice.n) == pytest.approx((alone.low, alone.high, 40))


def test_where_kappa_says_nothing_the_reason_is_given() -> None:
    from analyses.refusal.kappa import agreement

    found = agreement(["normal"] * 10, ["normal"] * 10, [str(k) for k in range(10)])
    assert found["agree"] == 1 and found["agree_low"] < 0.8
    assert np.isnan(found["kappa"]) and "could not disagree" in found["reason"]
    found = agreement(list(LABELS), list(LABELS), list("abc"))
    assert found["kappa"] == 1 and np.isnan(found["kappa_low"]) and found["reason"]


def test_the_sheet_of_the_report_can_be_read_back(tmp_path: Path) -> None:
    """Quotes, line breaks and commas in answers, as the page writes them."""
    from analyses.refusal.rated import read_sheet

    path = tmp_path / "rating.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["sample", "model", "response", "rating"])
        writer.writerow(["s1", "m", 'a "b",\nc\r\nd', "garbled"])
        writer.writerow(["s2", "m", "plain", "normal"])
    assert read_sheet(path) == {"s1": "garbled", "s2": "normal"}
