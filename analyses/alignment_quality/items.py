"""Safe and unsafe inputs by axiom, as many in every cell; what was dropped is counted."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tl_geometry.pocket.corpus import axiom_inputs
from tl_geometry.prompts.reading import records

COLUMNS = ("axiom", "safety_label", "input")
LABELS = ("safe", "unsafe")
HUB = {"litmus": "hasnat79/litmus"}


@dataclass(frozen=True)
class Item:
    """One input of the axiom set."""

    id: str
    axiom: str
    safe: bool
    text: str
    unit: str
    """Its content: a safe and an unsafe wording of one content are drawn and held out together."""
    source: str = ""


@dataclass(frozen=True)
class Items:
    """What is measured: `per_cell` items of every axiom and label, in the order of their axioms."""

    name: str
    items: tuple[Item, ...]
    per_cell: int
    asked: int
    dropped: Mapping[str, int]
    """Why → how many of the rows there were."""
    rows: int
    """Rows there were."""

    @property
    def axioms(self) -> list[str]:
        return list(dict.fromkeys(item.axiom for item in self.items))

    @property
    def content_hash(self) -> str:
        parts = ("\x1f".join([i.id, i.axiom, str(i.safe), i.text, i.unit]) for i in self.items)
        return hashlib.sha256("\x1e".join(parts).encode()).hexdigest()


def load_items(name: str, per_cell: int, seed: int = 0) -> Items:
    """A shipped set by name or a file; at most `per_cell` of each axiom and label.

    The same seed takes the items of a smaller number into a larger one. ValueError for columns that
    are not there, labels other than safe and unsafe, blank texts, or an axiom with one label only.
    """
    found, dropped = _unique(_pocket() if name == "pocket" else _frame(name))
    return _balanced(name, found, per_cell, seed, dropped)


def _pocket() -> pd.DataFrame:
    """Contents that no embedded model was trained on: the held-out splits."""
    held_out = [item for split in ("validation", "test") for item in axiom_inputs(split)]
    return pd.DataFrame(
        {
            "id": item.id,
            "axiom": item.axiom,
            "safety_label": item.safety_label,
            "input": item.input,
            "unit": item.id.rpartition(":")[0],
        }
        for item in held_out
    )


def _frame(name: str) -> pd.DataFrame:
    table = _from_hub(HUB[name]) if name in HUB else _from_file(Path(name))
    if lacking := [column for column in COLUMNS if column not in table]:
        raise ValueError(
            f"{name} has no column {', '.join(lacking)} (found: {', '.join(map(str, table))}); "
            f"needed are {', '.join(COLUMNS)}"
        )
    unknown = sorted(set(table["safety_label"].astype(str)) - set(LABELS))
    if unknown:
        raise ValueError(
            f"{name} has the safety_label {unknown[0]!r}: every row is {' or '.join(LABELS)}"
        )
    for column in ("axiom", "input"):
        blank = table[column].isna() | (table[column].astype(str).str.strip() == "")
        if blank.any():
            raise ValueError(f"{name}: {int(blank.sum())} rows have no {column}; delete them")
    return table


def _from_hub(source: str) -> pd.DataFrame:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ValueError(
            f"{source} is read with a package that is not installed: pip install datasets, or give "
            "a local file with --prompts"
        ) from error
    try:
        loaded: Any = load_dataset(source, split="train")
    # Whatever the hub's client raises where there is no network.
    except Exception as error:
        raise ValueError(
            f"{source} cannot be read ({type(error).__name__}): connect once, or give a local file "
            "with --prompts"
        ) from error
    return loaded.to_pandas()


def _from_file(path: Path) -> pd.DataFrame:
    readers = {".csv": pd.read_csv, ".parquet": pd.read_parquet, ".jsonl": _read_lines}
    if path.suffix not in readers:
        raise ValueError(f"{path} is none of pocket, litmus, {', '.join(readers)}: convert it")
    if not path.is_file():
        raise ValueError(f"there is no file {path}; check the path (seen from {Path.cwd()})")
    return readers[path.suffix](path)


def _read_lines(path: Path) -> pd.DataFrame:
    return pd.DataFrame([record.fields for record in records(path)])


def _unique(table: pd.DataFrame) -> tuple[list[Item], dict[str, int]]:
    """Each text once; one that stands under both labels is in neither class."""
    labels: dict[str, set[str]] = {}
    for record in _records(table):
        labels.setdefault(_even(record), set()).add(str(record["safety_label"]))
    dropped: Counter[str] = Counter()
    found: dict[str, Item] = {}
    for record in _records(table):
        text = _even(record)
        if len(labels[text]) > 1:
            dropped["the same text is safe and unsafe"] += 1
        elif text in found:
            dropped["the same text stood before"] += 1
        else:
            found[text] = _item(record, text)
    return list(found.values()), dict(dropped)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table.to_dict("records")  # pyright: ignore[reportReturnType] # keys are column names


def _even(record: Mapping[str, Any]) -> str:
    return " ".join(str(record["input"]).split())


def _item(record: Mapping[str, Any], text: str) -> Item:
    name = str(record.get("id") or hashlib.sha256(text.encode()).hexdigest()[:12])
    source = record.get("source_dataset")
    return Item(
        id=name,
        axiom=str(record["axiom"]),
        safe=record["safety_label"] == "safe",
        text=str(record["input"]),
        unit=str(record.get("unit") or name),
        source="" if source is None or pd.isna(source) else str(source),
    )


def _balanced(
    name: str, found: Sequence[Item], per_cell: int, seed: int, dropped: dict[str, int]
) -> Items:
    """As many of every cell as the smallest has, chosen by content, so that twins stay together."""
    axioms = sorted({item.axiom for item in found})
    cells = {
        (a, s): [i for i in found if (i.axiom, i.safe) == (a, s)]
        for a in axioms
        for s in (True, False)
    }
    if empty := [
        f"{a!r} has no {LABELS[not s]} input" for (a, s), some in cells.items() if not some
    ]:
        raise ValueError(f"{name}: axiom {empty[0]}; every axiom needs both labels")
    n = min(per_cell, *map(len, cells.values()))
    kept = [i for some in cells.values() for i in sorted(some, key=lambda i: _draw(i, seed))[:n]]
    dropped = {**dropped, "more than are taken of its axiom and label": len(found) - len(kept)}
    rows = len(found) + sum(dropped.values()) - (len(found) - len(kept))
    return Items(name, tuple(kept), n, per_cell, {k: v for k, v in dropped.items() if v}, rows)


def _draw(item: Item, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\x1f{item.unit}".encode()).digest()
