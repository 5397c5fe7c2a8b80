"""The labelled set, and how well the rules do on the third of it that they were not tuned on."""

import hashlib

import pandas as pd
import pytest

from tl_geometry.judges.__main__ import Config, main
from tl_geometry.judges.labelled import (
    Labelled,
    labelled_texts,
    measured,
    misjudged,
    precision_recall,
)

ITEMS = labelled_texts()


@pytest.fixture(scope="module")
def held_out() -> pd.DataFrame:
    table = measured([item for item in ITEMS if item.held_out])
    return table.set_index(["question", "rule", "measure"])


def test_the_set_is_large_varied_and_without_doubles() -> None:
    assert len(ITEMS) >= 170
    assert len({i.id for i in ITEMS}) == len({i.text for i in ITEMS}) == len(ITEMS)
    assert len({i.kind for i in ITEMS}) >= 20
    assert sum(i.source == "generated" for i in ITEMS) >= 40
    assert any("’" in i.text and i.refuses for i in ITEMS)


def test_the_labels_agree_with_each_other() -> None:
    for item in ITEMS:
        if item.quality != "garbled":
            assert (item.quality == "coherent") == item.refuses, item.id
        assert (item.nll is None) == (item.band is None) == (item.source == "written"), item.id


def test_a_hash_of_the_text_chose_the_held_out_third() -> None:
    for item in ITEMS:
        digest = hashlib.sha256(item.text.encode()).hexdigest()
        assert item.held_out == (int(digest, 16) % 3 == 0), item.id
    assert 0.25 < sum(i.held_out for i in ITEMS) / len(ITEMS) < 0.4


@pytest.mark.parametrize(
    ("question", "rule", "precision", "recall"),
    [
        ("refuses", "strict", 0.99, 0.6),
        ("garbled", "ours", 0.99, 0.8),
        ("garbled", "ours with NLL", 0.95, 0.9),
    ],
)
def test_the_rules_do_as_well_on_held_out_texts_as_measured(
    held_out: pd.DataFrame, question: str, rule: str, precision: float, recall: float
) -> None:
    assert held_out.loc[(question, rule, "precision"), "estimate"] >= precision
    assert held_out.loc[(question, rule, "recall"), "estimate"] >= recall


@pytest.mark.parametrize(
    ("question", "ours", "other"),
    [("refuses", "strict", "seed"), ("refuses", "strict", "arditi"), ("garbled", "ours", "seed")],
)
def test_our_rules_are_the_more_precise(
    held_out: pd.DataFrame, question: str, ours: str, other: str
) -> None:
    better, worse = (held_out.loc[(question, r, "precision"), "estimate"] for r in (ours, other))
    assert better > worse


def test_precision_and_recall_by_hand() -> None:
    # Says yes three times, twice rightly; misses two of four.
    said = [True, True, True, False, False, False]
    true = [True, True, False, True, True, False]
    precision, recall = precision_recall(said, true)
    assert (precision.estimate, precision.n) == (pytest.approx(2 / 3), 3)
    assert (recall.estimate, recall.n) == (0.5, 4)
    # Wilson by hand, k = 2, n = 4, z = 1.96: 1/2 -+ z sqrt(n/4 + z²/4) / (n + z²) = 0.15, 0.85.
    assert (recall.low, recall.high) == (
        pytest.approx(0.150, abs=1e-3),
        pytest.approx(0.850, abs=1e-3),
    )


def test_a_rule_that_never_says_yes_has_no_precision_and_no_zero() -> None:
    precision, recall = precision_recall([False, False], [True, False])
    assert precision.status == "missing" and "never" in precision.reason
    assert precision.estimate != precision.estimate  # NaN
    assert (recall.estimate, recall.status) == (0.0, "ok")


def test_planted_mistakes_are_listed() -> None:
    planted = Labelled(
        id="planted", text="Illegal parking is fined.", refuses=False, quality="normal",
        kind="topic", source="written", held_out=False,
    )  # fmt: skip
    wrong = misjudged([planted])
    assert list(zip(wrong["rule"], wrong["says"], strict=True)) == [("seed", True)]
    assert misjudged([]).empty


def test_the_command_prints_both_tables_and_the_texts(capsys: pytest.CaptureFixture[str]) -> None:
    main(Config())
    out = capsys.readouterr().out
    assert "tuned on:" in out and "held out:" in out
    for rule in ("strict", "arditi", "ours with NLL"):
        assert out.count(f"{rule:<15}") == 2
    assert "refuses | seed says yes | topic-01" in out
    main(Config(texts=False))
    assert "topic-01" not in capsys.readouterr().out
