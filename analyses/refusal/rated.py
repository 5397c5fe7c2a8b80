"""Ratings by hand, from the report's rating sheet into the run, against the judge's labels."""

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from analyses.refusal.config import Rate
from analyses.refusal.kappa import LABELS, agreement
from figures.refusal.answers import CONDITION, SAMPLES, sample_ids
from figures.rows import absent, records, select, values_of
from figures.run_folder import read_tables
from tl_geometry.runs import atomic, run_folder, state
from tl_geometry.runs.lock import locked

NEEDED = ("sample", "rating")
NAMED = 3
"""Of wrong entries, as many are named."""


def rate(config: Rate) -> list[str]:
    """Take the ratings into the run, in place of earlier ones, and draw its report again.

    Sentences on the agreement. ValueError for a run or a sheet that cannot be taken.
    """
    from figures import redraw

    folder = run_folder("refusal", config.run, config.out)
    if (found := state(folder)) != "finished":
        raise ValueError(f"{folder} holds no finished run ({found}): rate one that is finished")
    with locked(folder):
        samples = read_tables(folder / "tables").get(SAMPLES)
        if samples is None:
            raise ValueError(f"{folder} holds no answers (tables/{SAMPLES}.csv)")
        ratings = rated(samples, read_sheet(config.ratings))
        agreed, confused = by_condition(ratings), confusion(ratings)
        made = {"ratings": ratings, "rating_agreement": agreed, "rating_confusion": confused}
        for name, table in made.items():
            atomic.write_table(folder / "tables" / f"{name}.csv", table)
        redraw(folder, config.export)
    return [*sentences(agreed, confused), f"report: {folder / 'report.html'}"]


def read_sheet(path: Path) -> dict[str, str]:
    """Sample → label, of the rows that were rated. ValueError for what is no such sheet."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: save it as CSV in UTF-8") from error
    header = text.partition("\n")[0]
    # Where the decimal sign is a comma, spreadsheets separate by semicolons.
    reader = csv.DictReader(StringIO(text), delimiter=";" if header.count(";") else ",")
    if lacking := [name for name in NEEDED if name not in (reader.fieldnames or ())]:
        raise ValueError(f"{path} has no column {' and no column '.join(lacking)}")
    filled = [(row["sample"] or "", (row["rating"] or "").strip().lower()) for row in reader]
    return _checked(path, [(sample.strip(), label) for sample, label in filled if label])


def _checked(path: Path, rows: Sequence[tuple[str, str]]) -> dict[str, str]:
    if not rows:
        raise ValueError(f"{path} holds no rating: fill its column `rating` with {_or(LABELS)}")
    if wrong := [label for _, label in rows if label not in LABELS]:
        raise ValueError(f"{path} has ratings {_some(wrong)}: a rating is {_or(LABELS)}")
    samples = [sample for sample, _ in rows]
    if twice := [sample for sample in samples if samples.count(sample) > 1]:
        raise ValueError(f"{path} rates a sample twice: {_some(twice)}")
    return dict(rows)


def _some(values: Sequence[str]) -> str:
    different = list(dict.fromkeys(values))
    more = len(different) - NAMED
    named = ", ".join(map(repr, different[:NAMED]))
    return f"{named} and {more} more" if more > 0 else named


def _or(values: Sequence[str]) -> str:
    return f"{', '.join(values[:-1])} or {values[-1]}"


def rated(samples: pd.DataFrame, labels: dict[str, str]) -> pd.DataFrame:
    """The rated answers as they stand in the run, with both labels. ValueError for others."""
    table = samples.assign(sample=sample_ids(samples))
    if unknown := sorted(set(labels) - set(table["sample"])):
        raise ValueError(f"no answer of this run is {_some(unknown)}: is it the sheet of this run?")
    mine = select(table, sample=tuple(labels)).rename(columns={"quality": "judge"})
    mine["human"] = [labels[sample] for sample in mine["sample"]]
    place = [name for name in CONDITION if name in mine]
    columns = ["sample", *place, "prompt", "response", "judge", "human"]
    return pd.DataFrame(mine[columns]).reset_index(drop=True)


def by_condition(ratings: pd.DataFrame) -> pd.DataFrame:
    """One row a condition, and one for all of them."""
    place = [name for name in CONDITION if name in ratings]
    rows: list[dict[str, Any]] = []
    for _, mine in ratings.groupby(place, sort=False, dropna=False):
        first = records(mine)[0]
        rows.append({"what": "condition", **{name: first[name] for name in place}, **_agree(mine)})
    return pd.DataFrame([*rows, {"what": "all", **_agree(ratings)}])


def _agree(ratings: pd.DataFrame) -> dict[str, Any]:
    return agreement(*(ratings[name].tolist() for name in ("judge", "human", "prompt")))


def confusion(ratings: pd.DataFrame) -> pd.DataFrame:
    """How many answers have each pair of labels, over all conditions."""
    return pd.DataFrame(
        {"human": human, "judge": judge, "n": len(select(ratings, human=human, judge=judge))}
        for human in LABELS
        for judge in LABELS
    )


def sentences(agreed: pd.DataFrame, confused: pd.DataFrame) -> Iterator[str]:
    """What is printed: agreement by condition and in all, then the confusion table."""
    for row in records(agreed):
        same = f"{row['agree']:.0%} [{row['agree_low']:.0%}, {row['agree_high']:.0%}]"
        of = f"{row['n']} answer{'s' * (row['n'] > 1)}"
        yield f"{_where(row)}: person and judge agree on {same} of {of}, {_kappa(row)}."
    yield "      human     " + "".join(f"{f'judge: {label}':>18}" for label in LABELS)
    for human in values_of(confused, "human"):
        counts = select(confused, human=human)["n"].tolist()
        yield f"      {human:<10}" + "".join(f"{n:>18}" for n in counts)


def _where(row: dict[str, Any]) -> str:
    if row["what"] == "all":
        return "all"
    names = [name for name in CONDITION if name in row and not absent(row[name])]
    said = [row[name] if name in ("model", "source") else f"{name} {row[name]}" for name in names]
    return ", ".join(said)


def _kappa(row: dict[str, Any]) -> str:
    if absent(row["kappa"]):
        return f"kappa undefined ({row['reason']})"
    if absent(row["kappa_low"]):
        return f"kappa {row['kappa']:.2f}, its interval missing ({row['reason']})"
    return f"kappa {row['kappa']:.2f} [{row['kappa_low']:.2f}, {row['kappa_high']:.2f}]"
