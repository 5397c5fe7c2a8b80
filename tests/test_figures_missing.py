"""Figures say what they cannot show: missing values, absent tables, what lies beyond an axis."""

import math
from typing import Any

import pandas as pd
import pytest
from homeostasis_tables import (
    cells,
    drawn_tables,
    every_table,
    hypothesis_table,
    notes,
    recovery_table,
    traces,
)


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return every_table()


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    return drawn_tables()


def test_a_change_of_zero_is_named_and_does_not_stretch_the_log_axis() -> None:
    from figures.homeostasis import figures

    table = recovery_table()
    checks = table[table["condition"] == "patched"].assign(condition="self", estimate=1e-9)
    checks[["low", "high"]] = math.nan
    figure: Any = figures({"recovery": pd.concat([table, checks])})["change"]
    assert not traces(figure, "self:")
    assert "too small for the axis (1e−09 at most): self (layer 5–7)" in notes(figure)
    smallest = table[table["quantity"] == "mean_absolute_change"][["estimate", "low"]].min().min()
    low, high = figure.layout.yaxis.range
    assert math.log10(smallest) - 0.2 < low < math.log10(smallest)
    assert 0 < high - math.log10(0.93) < 0.2


def test_a_missing_interval_is_not_drawn_as_zero_but_named(drawn: Any) -> None:
    trace = traces(drawn["recovery"], "freeze_norm:")[0]
    assert list(trace.error_y.array)[0] is None and list(trace.error_y.arrayminus)[0] is None
    assert trace.marker.symbol[0].endswith("-open-dot")
    assert not trace.marker.symbol[1].endswith("-open-dot")
    assert "no interval: freeze_norm (layer 6): no spread" in notes(drawn["recovery"])
    assert "no interval: no spread" in trace.hovertext[0]


def test_a_missing_estimate_is_not_drawn_at_all() -> None:
    from figures.homeostasis import figures

    table = recovery_table()
    gone = (table["condition"] == "passive") & (table["layer"] == 6)
    table.loc[gone, ["estimate", "low", "high"]] = math.nan
    table.loc[gone, ["status", "reason"]] = ["missing", "denominator at its floor"]
    figure: Any = figures({"recovery": table})["recovery"]
    assert list(traces(figure, "passive:")[0].y) == [None, pytest.approx(0.59)]
    left = [t for t in figure.data if "passive" in t.name and t.xaxis == "x"]
    bands = [t for t in left if t.fill == "toself"]
    assert [list(band.x) for band in bands] == [[7, 7]], "the band has a gap, not a dip to zero"
    assert "no recovery: passive (layer 6): denominator at its floor" in notes(figure)


def test_associations_leave_missing_cells_grey_with_their_reason(drawn: Any) -> None:
    missing, found = drawn["associations"].data
    assert [list(row) for row in found.z] == [[-0.7, -0.7], [None, None]]
    assert [list(row) for row in missing.z] == [[None, None], [0.0, 0.0]]
    assert "covariate is constant" in missing.hovertext[1][0]
    written = [a.text for a in drawn["associations"].layout.annotations if a.name != "notes"]
    assert written == ["<b>−0.70*</b>"] * 2 + ["missing"] * 2


def test_text_of_a_table_never_becomes_markup(drawn: Any) -> None:
    points = drawn["pairs"].data[1]
    assert "<script>" not in points.hovertext[0]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&lt;b&gt;" in points.hovertext[0]


@pytest.mark.parametrize("absent", ["recovery", "mechanisms", "layers", "profile", "everything"])
def test_absent_or_empty_tables_are_named_in_place_of_the_figure(absent: str, tables: Any) -> None:
    from figures.homeostasis import FIGURES, figures

    lacking = set(tables) if absent == "everything" else {absent}
    for kept in ({}, {name: tables[name].iloc[:0] for name in lacking}):
        found: dict[str, Any] = figures(
            {k: v for k, v in tables.items() if k not in lacking} | kept
        )
        assert list(found) == list(FIGURES)
        for name, (_, needed) in FIGURES.items():
            said = " ".join(str(a.text) for a in found[name].layout.annotations)
            assert ("is absent or has no rows" in said) == bool(lacking & set(needed))


def test_forty_layers_have_no_more_ticks_than_fit(tables: Any) -> None:
    from figures.homeostasis import figures

    rows = [
        {"readout": "r_v", "condition": c, "layer": layer, "depth_percent": layer / 0.8}
        | {"definitional": layer == 40, "quantity": quantity}
        | cells(0.5, 0.1)
        for c in ("patched", "passive")
        for layer in range(40, 80)
        for quantity in ("recovery", "mean_absolute_change")
    ]
    figure: Any = figures({"recovery": pd.DataFrame(rows)})["recovery"]
    assert figure.layout.xaxis.tickvals[-1] == 79
    assert len(figure.layout.xaxis.tickvals) <= 6
    assert figure.layout.xaxis.ticktext[-1] == "79<br>99 %"


def test_one_endless_interval_does_not_flatten_the_axis() -> None:
    from figures.marks import padded_range

    table = pd.DataFrame([cells(0.4, 0.1), cells(0.2, 500.0)])
    low, high = padded_range(table, 0, 1, within=2)
    assert -0.2 < low < 0 and 1 < high < 1.2


def test_an_interval_that_runs_beyond_the_axis_is_named() -> None:
    from figures.homeostasis import figures

    table = hypothesis_table()
    table.loc[table["hypothesis"] == "residual_balancing", "low"] = -400.0
    figure: Any = figures({"hypotheses": table})["hypotheses"]
    assert figure.layout.xaxis.range[0] > -1
    assert "runs beyond the axis (its ends are at the right): residual_balancing" in notes(figure)
