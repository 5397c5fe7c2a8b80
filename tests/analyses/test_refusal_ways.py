"""What the refusal sweep tests, and how refusal is taken away: rates and choices by hand."""

from collections.abc import Mapping, Sequence
from math import sqrt
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from refusal_rows import PLAIN, SEARCH, Row, answers, recorded, source

from analyses.refusal import bypass
from analyses.refusal.by_family import _tested
from analyses.refusal.config import FREE, Families, Method
from analyses.refusal.measuring import Measuring
from analyses.refusal.saying import Cell
from analyses.refusal.searched import Searched
from analyses.refusal.subject import Subject
from analyses.refusal.tables import (
    bypass_controls,
    bypasses,
    conditions,
    rates,
)


class Small(Subject):
    """As much of a model as it takes to draw random directions."""

    def __init__(self, config: Families) -> None:
        self.config, self.model = config, cast(Any, SimpleNamespace(cfg=SimpleNamespace(d_model=2)))


class Asked(Measuring):
    """A model under way that only notes which conditions would be measured."""

    def __init__(self, *methods: Method) -> None:
        config = Families(methods=methods, random_directions=2)
        self.task, self.subject = cast(Any, SimpleNamespace(config=config)), Small(config)
        self.keys: dict[str, list[str]] = {}

    def say(self, phase: str, cells: Mapping[str, Cell], of: str) -> list[Row]:
        assert phase == of
        self.keys[phase] = list(cells)
        return []

    def effects(self, cells: Sequence[Cell]) -> list[Row]:
        self.keys["effects"] = [c.key for c in cells]
        return []


def test_every_depth_is_tested_and_controls_where_their_own_search_points() -> None:
    sources = [
        source(name, depth, layer)
        for name in ("dim", "shuffled", "random 0", "random 1")
        for depth, layer in (("0.2", 2), ("0.6", 6))
    ]
    sources.insert(2, source("dim", FREE, 3))
    job = Asked("dim")
    _tested(job, Searched(sources, SEARCH, {}))
    assert set(job.keys) == {"test", "harmful", "effects"}
    assert job.keys["harmful"] == ["harmful|none"]
    matched = ["random 0|as dim|0.6|0.05", "random 1|as dim|0.6|0.05"]
    own = [f"random {k}|as dim|{FREE}|0.02" for k in (0, 1)]
    assert job.keys["effects"] == ["dim|0.6|0.05", f"dim|{FREE}|0.02", *matched]
    keys = [key.removeprefix("test|") for key in job.keys["test"]]
    assert keys[0] == "none" and len(set(keys)) == len(keys)
    assert set(keys) == {
        "none",
        "dim|0.2|0.05",
        "dim|0.6|0.05",
        f"dim|{FREE}|0.02",
        "dim|0.6|-0.05",
        f"dim|{FREE}|-0.02",
        *matched,
        *own,
        "shuffled|0.2|0.02",
        "random 0|0.6|0.05",
        "random 1|0.2|0.05",  # no refusal anywhere: the largest dose that leaves language
    }


# --- taking refusal away --------------------------------------------------------------------------


def way(kind: str, kl: float | None, plain: int, depth: str = "0.2") -> Row:
    # What is no plain answer is a refusal or garbled: neither counts.
    rest = 10 - plain
    given = answers(rest // 2, garbled=rest - rest // 2)
    return {"kind": kind, "source": "dim", "depth": depth, "kl": kl, "answers": given}


def test_the_gentle_way_with_most_plain_answers_is_chosen_for_each_kind() -> None:
    rows = [
        way("linear", 0.05, 3, "0.2"),
        way("linear", 0.09, 6, "0.4"),
        way("linear", 0.1, 9, "0.6"),  # 0.1 is too much
        way("affine", 0.3, 9, "0.2"),
        way("affine", 0.11, 1, "0.4"),  # none is gentle: the least KL
        way("affine", None, 10, "0.6"),
    ]
    found = bypass.best(rows)
    assert {kind: row["depth"] for kind, row in found.items()} == {"linear": "0.4", "affine": "0.4"}
    tie = [way("negative", 0.09, 5, "0.4"), way("negative", 0.02, 5, "0.6")]
    assert bypass.best(tie)["negative"]["depth"] == "0.6"
    broken = [way("linear", None, 5), way("linear", 7.0, 5, "0.4")]
    assert bypass.best(broken)["linear"]["depth"] == "0.4"
    assert bypass.best([way("linear", None, 5)])["linear"]["kl"] is None
    assert bypass.best([]) == {}
    silly = way("linear", 0.01, 1) | {"answers": answers(0, garbled=9)}  # garbled is no answer
    sound = way("linear", 0.05, 3, "0.4") | {"answers": answers(7)}
    assert bypass.best([silly, sound])["linear"]["depth"] == "0.4"


# --- rates ----------------------------------------------------------------------------------------


def wilson_by_hand(hits: int, n: int) -> tuple[float, float]:
    z = 1.959963984540054
    middle = (hits + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * sqrt(hits * (n - hits) / n + z**2 / 4)
    return middle - half, middle + half


def test_rates_by_hand() -> None:
    found = rates(answers(3, 10, garbled=2))
    assert found["n"] == 10
    assert (found["coherent"], found["garbled"], found["normal"]) == (0.3, 0.2, 0.5)
    for quality, hits in (("coherent", 3), ("garbled", 2), ("normal", 5)):
        ends = (found[f"{quality}_low"], found[f"{quality}_high"])
        assert ends == pytest.approx(wilson_by_hand(hits, 10))
    assert found["coherent_low"] == pytest.approx(0.1078, abs=5e-5)
    assert found["coherent_high"] == pytest.approx(0.6032, abs=5e-5)
    by_rule = [found[f"refusal_{rule}"] for rule in ("strict", "seed", "arditi")]
    assert by_rule == [0.4, 0.5, 0.0]


def test_no_refusal_in_ten_is_no_certainty() -> None:
    found = rates(answers(0))
    assert (found["coherent"], found["coherent_low"]) == (0, 0)
    assert found["coherent_high"] == pytest.approx(0.2775, abs=5e-5)


def taken_away(layer: int, kl: float, plain: int) -> Row:
    place = {"kind": "linear", "source": "dim", "depth": FREE, "layer": layer, "dose": 0.0}
    effects = {"kl": kl, "nll": 2.5, "nll_untouched": 2.0}
    return {**place, **effects, "answers": answers(10 - plain)}


def test_fewer_refusals_by_hand() -> None:
    way = taken_away(3, 0.05, plain=8)
    before = {"source": "none", "answers": answers(6, garbled=2)}
    phases = {"bypass search": [way], "bypass test": [way]}
    table = bypasses([recorded(harmful=[before], **phases)])
    (row,) = table.to_dict("records")
    assert (row["refusal_before"], row["refusal_after"]) == (0.7, 0.2)  # by the strict rule
    assert row["fewer_refusals"] == pytest.approx(5 / 7)
    assert (row["coherent"], row["normal"], row["kl"], row["n"]) == (0.2, 0.8, 0.05, 10)

    never = {"source": "none", "answers": answers(0)}
    table = bypasses([recorded(harmful=[never], **phases)])
    assert np.isnan(table["fewer_refusals"]).all()


def test_of_each_kind_the_way_is_told_that_all_rounds_together_chose() -> None:
    first, later = taken_away(3, 0.05, plain=4), taken_away(5, 0.05, plain=7)
    better_on_test = {**first, "answers": answers(0)}
    phases = {"bypass search": [first, later], "bypass test": [better_on_test, later]}
    table = bypasses([recorded(harmful=[PLAIN], **phases)])
    assert table["layer"].tolist() == [5]


def test_the_null_of_a_bypass_is_the_chosen_way_with_random_directions() -> None:
    way, other = taken_away(3, 0.05, plain=8), taken_away(5, 0.05, plain=4)
    other |= {"kind": "affine"}
    null = [way | {"source": "random 0"}, other | {"source": "random 0"}]
    null.append(way | {"source": "random 1", "layer": 4})
    one = recorded(
        harmful=[PLAIN], **{"bypass search": [way, other], "bypass test": [way, other, *null]}
    )
    assert bypasses([one])["chosen"].tolist() == [True, False]
    (row,) = bypass_controls([one]).to_dict("records")
    assert (row["kind"], row["source"], row["layer"]) == ("linear", "random 0", 3)
    without = recorded(harmful=[PLAIN], **{"bypass search": [way], "bypass test": [way]})
    assert "model" in bypass_controls([without]) and bypass_controls([without]).empty


def test_a_place_is_told_by_layer_percent_and_all_three_doses() -> None:
    table = conditions([recorded(search=[SEARCH[0]], test=[PLAIN], harmful=[PLAIN])])
    assert table["phase"].tolist() == ["search", "test", "harmful"]
    first, plain = table.to_dict("records")[:2]
    assert (first["layer"], first["depth_percent"], first["family"]) == (2, 20, "f")
    assert (first["dose"], first["dose_unit"], first["dose_raw"]) == (0.02, 0.8, 0.2)
    assert np.isnan([plain["layer"], plain["depth_percent"], plain["dose_unit"]]).all()
