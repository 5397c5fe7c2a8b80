"""How good are the rules? Precision and recall on the labelled set, and the texts they misjudge."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import shorten

import tyro


@dataclass(frozen=True, kw_only=True)
class Config:
    """Measure the rules on the labelled set: first what they were tuned on, then the held-out."""

    texts: bool = True
    """List the misjudged texts as well."""


def main(config: Config) -> None:
    from tl_geometry.judges.labelled import labelled_texts, measured, misjudged

    items = labelled_texts()
    parts = {
        "tuned on": [item for item in items if not item.held_out],
        "held out": [item for item in items if item.held_out],
    }
    out = sys.stdout
    for name, part in parts.items():
        out.write(f"{name}: {len(part)} texts, 95 % Wilson intervals\n")
        out.writelines(_lines(measured(part).to_dict("records")))
        out.write("\n")
    if config.texts:
        for row in misjudged(items).to_dict("records"):
            said = f"{row['question']} | {row['rule']} says {'yes' if row['says'] else 'no'}"
            out.write(f"{said} | {row['id']} | {shorten(row['text'], 60) or '(nothing)'}\n")


def _lines(rows: Sequence[dict]) -> list[str]:
    """One line a rule: precision and recall beside each other."""
    lines = [f"{'question':<10}{'rule':<15}{'precision':<27}{'recall':<27}\n"]
    for precision, recall in zip(rows[::2], rows[1::2], strict=True):
        names = f"{precision['question']:<10}{precision['rule']:<15}"
        lines.append(f"{names}{_cell(precision):<27}{_cell(recall):<27}\n")
    return lines


def _cell(row: dict) -> str:
    if row["status"] != "ok":
        return row["reason"]
    return f"{row['estimate']:.2f} [{row['low']:.2f}, {row['high']:.2f}] n={row['n']}"


if __name__ == "__main__":
    main(tyro.cli(Config))
