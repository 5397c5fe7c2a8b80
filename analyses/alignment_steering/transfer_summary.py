"""What a transfer found, in sentences and numbers: the source of `summary.json`."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analyses.alignment_steering.transfer_maps import CONTROLS, OVER_LAYERS
from analyses.alignment_steering.transfer_plan import TransferPlan
from analyses.alignment_steering.transfer_readouts import READOUTS
from analyses.alignment_steering.transfer_tables import RATES
from analyses.alignment_steering.transfer_texts import SETS
from analyses.alignment_steering.transferred import INSTRUCT, OWN
from analyses.sentences import pocket_banner
from analyses.summaries import summary_of
from figures.rows import absent, records, select, values_of
from figures.style import decimal
from tl_geometry.runs import Run

CANNOT_SAY = (
    "A map is fitted on last tokens of some hundred texts. It says nothing of directions that "
    "these texts do not move along, nor of other tokens, at which vectors are added all the same.",
    "Held-out R² is summed over dimensions: a few wide ones can carry it. A high R² says that two "
    "models see texts alike, not that what tuning added lies where texts differ.",
    "Texts are shuffled inside their kind (preferred answer, rejected answer, no answer yet), so "
    "shuffled maps know the kinds; what is above them is known of single texts.",
    "Of the controls, some vectors and pairings were drawn; intervals are over prompts, not over "
    "draws. How many of the draws lie below is in the table.",
    "A vector that leaves the model no language (see nll_neutral and garbled) can move preferences "
    "either way, as random ones of its length do: only the excess over controls counts.",
    "A base model that never refuses, not even under its own vector, cannot show whether refusal "
    "was carried. The tuned model stands beside it as what there is to gain.",
    "Layers meet at floor(depth · layers): the last layer of one model does not always meet the "
    "last of the other.",
    "One checkpoint a model says nothing about other seeds of the same recipe.",
)


def summarize_transfer(
    plan: TransferPlan, tables: Mapping[str, pd.DataFrame], record: Run, *, seconds: float
) -> dict[str, Any]:
    """JSON-ready; nothing in it depends on the machine except versions and seconds."""
    return summary_of(
        plan.spec,
        record.folder.name,
        banner=pocket_banner(m.spec for pair in plan.pairs for m in pair.members),
        headline=transfer_headline(tables),
        counts={
            "pairs attempted": len(plan.pairs),
            "cells": len(plan.measurable) ** 2,
            "missing": len(tables["missing"]),
        },
        transferred_from=plan.vectors.folder.name,
        transferred_key=plan.vectors.key,
        readouts=dict(READOUTS),
        controls=dict(CONTROLS),
        held_out_texts=dict(SETS),
        cannot_say=CANNOT_SAY,
        seconds=seconds,
    )


def transfer_headline(tables: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """Maps, directions, effects, behaviour."""
    effects = tables["transfer"]
    if not tables["transfer_maps"].empty:
        yield _maps(tables["transfer_maps"])
        yield _cosines(tables["transfer_cosines"])
    for strength in values_of(select(effects, vector="carried"), "strength"):
        yield _preference(tables, strength)
    yield _behaviour(effects)
    for row in records(tables["missing"]):
        yield f"Not measured: {row['id']} ({row['reason']})."


def _maps(maps: pd.DataFrame) -> str:
    parts = []
    for name in values_of(maps, "map"):
        sets = [_one_set(select(maps, map=name, texts=kind), kind) for kind in SETS]
        parts.append(f"{name}: {', '.join(part for part in sets if part)}")
    return (
        "Held-out R² of the maps at the steered layers, mean over cells and layers and how many "
        f"have an interval above 0: {'; '.join(parts)}."
    )


def _one_set(rows: pd.DataFrame, kind: str) -> str:
    if rows.empty:
        return ""
    mean, null = (decimal(float(_column(rows, c).mean()), 2) for c in ("estimate", "null_mean"))
    clear = int((_column(rows, "low") > 0).sum())
    return f"{kind} {mean} (shuffled pairing {null}; {clear} of {len(rows)})"


def _cosines(cosines: pd.DataFrame) -> str:
    rows = select(cosines, layer=OVER_LAYERS)
    clear = int((_column(rows, "p_adjusted") < 0.05).sum())
    parts = [
        f"{row['source']} → {row['target']} by {row['map']} {decimal(row['estimate'], 2)} "
        f"[{decimal(row['null_low'], 2)}, {decimal(row['null_high'], 2)}]"
        for row in records(rows)
    ]
    return (
        "Cosine of the carried vector and the target's own, mean over steered layers, with 95 % of "
        f"the pairings shuffled inside kinds of text: {'; '.join(parts)}. Above chance (p < 0.05, "
        f"Benjamini–Hochberg over cells, maps and layers) in {clear} of {len(rows)}."
    )


def _preference(tables: Mapping[str, pd.DataFrame], strength: float) -> str:
    here = {"readout": "preference", "strength": strength}
    effects, over = select(tables["transfer"], **here), tables["transfer_over_controls"]
    over = select(over, **here)
    carried, own = (select(effects, vector=vector) for vector in ("carried", OWN))
    tuned = select(tables["transfer"], readout="preference", vector=INSTRUCT)
    parts = [f"the tuned model itself {_range(tuned)}", f"own vector {_range(own)}"]
    parts += [f"carried by {m} {_range(select(carried, map=m))}" for m in values_of(carried, "map")]
    clear = _beats_all(select(over, vector="carried"))
    cost = select(tables["transfer"], **here | {"readout": "nll_neutral"}, vector="carried")
    return (
        f"At strength {strength:g}, change of the preference for the preferred answer (nats a "
        f"token, over cells): {'; '.join(parts)}. The carried vector's excess has an interval "
        f"above 0 over every control in {clear} of {len(carried)} cells and maps, the own "
        f"vector's over random ones in {_beats_all(select(over, vector=OWN))} of {len(own)}; "
        f"plain texts cost {_range(cost)} nats a token more under the carried vectors."
    )


def _range(rows: pd.DataFrame) -> str:
    known = _column(rows, "estimate")
    known = known[np.isfinite(known)]
    if not len(known):
        return "undefined"
    return f"{decimal(float(known.min()), 2)} to {decimal(float(known.max()), 2)}"


def _column(rows: pd.DataFrame, name: str) -> np.ndarray:
    return rows[name].to_numpy(float)


def _most(shares: np.ndarray) -> str:
    return f"{100 * shares.max():.0f} %" if len(shares) else "undefined"


def _beats_all(over: pd.DataFrame) -> int:
    """Cells in which every control is beaten."""
    controls = select(over, control=tuple(CONTROLS))
    if controls.empty:
        return 0
    cells: dict[tuple[str, ...], list[bool]] = {}
    for row in records(controls):
        cell = tuple(str(row[name]) for name in ("source", "target", "map"))
        cells.setdefault(cell, []).append(not absent(row["low"]) and row["low"] > 0)
    return sum(map(all, cells.values()))


def _behaviour(effects: pd.DataFrame) -> str:
    rows = select(effects, readout=RATES[0])
    best = {}
    for vector in ("carried", OWN, INSTRUCT):
        best[vector] = _most(_column(select(rows, vector=vector), "level"))
    untouched = _most(_column(rows, "base"))
    by_words = select(effects, readout="refusal_words", vector=("carried", OWN))
    return (
        f"Coherent refusals of harmful requests, most in any cell: base as it is {untouched}, "
        f"carried vectors {best['carried']}, own vectors {best[OWN]}, tuned models "
        f"{best[INSTRUCT]}. By words alone, however unlikely the base model finds them: carried "
        f"and own vectors {_most(_column(by_words, 'level'))}."
    )
