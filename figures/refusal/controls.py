"""What a direction that means nothing does beside each method: marks, keys and words."""

from collections.abc import Mapping

import pandas as pd

from figures.refusal.lines import LAST, LOWER, LOWEST, Lines, marks
from figures.refusal.looks import percent, rate
from figures.rows import absent
from figures.style import BLACK, GREY, Look
from figures.words import Cell

SAME, OWN = "random_same_dose", "random"
"""Random directions exactly as long at the same place; and at their own best after the same
search. Columns `_highest` and `_mean` of each."""
RANDOM: Mapping[str, Look] = {
    SAME: Look("random, same place", "#444444", symbol="diamond-tall-open"),
    OWN: Look("random, own best", GREY, symbol="x-thin-open"),
}
_SINGLE: Mapping[str, Look] = {
    "unsteered": Look("unsteered", BLACK, symbol="line-ns-open"),
    "shuffled": Look("shuffled labels", GREY, symbol="triangle-down-open"),
}
_HEIGHT = {"unsteered": 0.0, SAME: LOWER, OWN: LOWEST, "shuffled": LAST}
"""Below the method's own mark; the model as it is stands on its line, where the method begins."""


def add_controls(place: Lines, table: pd.DataFrame, hover: list[str]) -> None:
    """Below each method's marks; of random directions the best, with a line to their mean."""
    for name, look in _SINGLE.items():
        if rate(table, name).notna().any():
            y = place.of(table, "method", _HEIGHT[name])
            marks(place, rate(table, name), y, look, hover, size=9)
    for name, look in RANDOM.items():
        highest = rate(table, f"{name}_highest")
        if highest.notna().any():
            y = place.of(table, "method", _HEIGHT[name])
            to_mean = (highest - rate(table, f"{name}_mean")).tolist()
            marks(place, highest, y, look, hover, size=9, error_x=back(to_mean, look.colour))


def back(lengths: list[float], colour: str) -> dict[str, object]:
    """A line from the highest to the mean; none where the mean is not known."""
    known = [0.0 if absent(length) else length for length in lengths]
    look = {"color": colour, "thickness": 1.4, "width": 0}
    return {
        "type": "data",
        "symmetric": False,
        "array": [0.0] * len(known),
        "arrayminus": known,
    } | (look)


def matched(row: Cell) -> bool:
    """Whether a control lies inside or above the interval of a method that does anything."""
    low = row["coherent"] if absent(row.get("coherent_low")) else row["coherent_low"]
    controls = [row.get(name) for name in (*(f"{name}_highest" for name in RANDOM), "shuffled")]
    return row["coherent"] > 0 and any(not absent(rate) and rate >= low for rate in controls)


def told(row: Cell) -> str:
    """For the hover."""
    same, own = (
        f"{percent(row.get(f'{name}_highest'))} (mean {percent(row.get(f'{name}_mean'))})"
        for name in RANDOM
    )
    return (
        f"unsteered {percent(row.get('unsteered'))}, shuffled labels {percent(row.get('shuffled'))}"
        f"<br>best random direction: as long at the same place {same}, at its own best {own}"
    )


def most(table: pd.DataFrame) -> str:
    """The most that random directions reach; empty where none was tried."""
    words = {SAME: "as long at the same place", OWN: "at their own best"}
    ends = {name: rate(table, f"{name}_highest").max() for name in RANDOM}
    parts = [f"{words[name]} at most {end:.0f} %" for name, end in ends.items() if not absent(end)]
    return f"random directions: {', '.join(parts)}" if parts else ""


def unknown(table: pd.DataFrame) -> list[str]:
    """Controls that were not measured."""
    columns = {**{f"{name}_highest": look for name, look in RANDOM.items()}, **_SINGLE}
    lacking = [look.label for name, look in columns.items() if rate(table, name).isna().any()]
    return [f"not measured in every model: {', '.join(lacking)}"] * bool(lacking)
