"""Tidy tables of a transfer, made from its record."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.alignment_steering.transfer_maps import CONTROLS, OVER_LAYERS
from analyses.alignment_steering.transfer_plan import TransferPlan
from analyses.alignment_steering.transfer_readouts import READOUTS
from analyses.alignment_steering.transferred import BASE, INSTRUCT, OWN, source_key
from figures.rows import select
from tl_geometry.bootstrap import BootstrapResult, Interval, bca, missing_interval
from tl_geometry.meta import fieller
from tl_geometry.resampling import mean_of, shared_weights
from tl_geometry.runs import Run
from tl_geometry.sites import depth_percent
from tl_geometry.statistics import benjamini_hochberg, wilson

Tables = dict[str, pd.DataFrame]
Row = dict[str, Any]
Values = Float[np.ndarray, " item"]
RATES = ("refusal_harmful", "refusal_words", "compliance_harmless", "garbled")
NONE = "none"
"""Stands for the map and strength of what is not carried."""


@dataclass(frozen=True)
class Condition:
    """One way of adding a vector to a target; several draws of a control are one condition."""

    source: str
    target: str
    map: str
    strength: float
    vector: str
    """carried, own, instruct (the tuned model itself), or a control."""

    @property
    def about(self) -> Row:
        return dict(vars(self))


@dataclass(frozen=True)
class Read:
    """Readout → [draw, item]; draws that were not asked for it are not there."""

    condition: Condition
    values: Mapping[str, Float[np.ndarray, "draw item"]]
    answers: Sequence[str]


def transfer_tables(plan: TransferPlan, record: Run, failed: Mapping[str, str]) -> Tables:
    found = {pair.name: record.log(pair.name).rows() for pair in plan.pairs}
    missing = [("pair of models", name, reason) for name, reason in failed.items()]
    effects, over, maps, said = list[Row](), list[Row](), list[Row](), list[Row]()
    for target, rows in found.items():
        good = {row["key"]: row for row in rows if row["status"] == "ok"}
        missing += [
            ("target and source", f"{target}: {row['key']}", row["reason"])
            for row in rows
            if row["status"] != "ok"
        ]
        if BASE not in good:
            continue
        base = _values(good[BASE]["conditions"]["untouched"]["values"])
        reads = list(_reads(plan, target, good))
        effects += [row for read in reads for row in _effects(plan, read, base)]
        over += [row for row in _excesses(plan, reads, base)]
        said += [row for read in reads for row in _said(read)]
        maps += list(_map_rows(plan, target, good))
    table = pd.DataFrame(maps)
    return {
        "transfer": pd.DataFrame(effects),
        "transfer_over_controls": _adjusted(pd.DataFrame(over)),
        "transfer_cosines": _adjusted(_part(table, "cosine")),
        "transfer_maps": _part(table, "r2"),
        "transfer_answers": pd.DataFrame(said),
        "missing": pd.DataFrame(missing, columns=np.array(["what", "id", "reason"])),
    }


def _part(table: pd.DataFrame, quantity: str) -> pd.DataFrame:
    if table.empty:
        return table
    rows = select(table, quantity=quantity)
    return rows.dropna(axis=1, how="all").reset_index(drop=True)


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """Over all rows of a readout: every source, target, map and strength was looked at."""
    if table.empty:
        return table
    by = table["readout"] if "readout" in table else table["quantity"]
    adjusted = table["p"].groupby(by).transform(lambda p: benjamini_hochberg(p.to_numpy(float)))
    return table.assign(p_adjusted=adjusted)


def _values(recorded: Mapping[str, Sequence[float | None]]) -> dict[str, Values]:
    return {name: np.array(values, dtype=float) for name, values in recorded.items()}


def _reads(plan: TransferPlan, target: str, good: Mapping[str, Row]) -> Iterator[Read]:
    """Everything that was read of one target, its draws put together."""
    for key, row in good.items():
        if key == BASE:
            continue
        grouped: dict[Condition, list[Row]] = {}
        for name, read in row["conditions"].items():
            grouped.setdefault(_condition(key, target, name), []).append(read)
        for condition, draws in grouped.items():
            values = {
                readout: np.array(
                    [d["values"][readout] for d in draws if readout in d["values"]], dtype=float
                )
                for readout in READOUTS
                if readout in draws[0]["values"]
            }
            yield Read(condition, values, draws[0]["answers"])


def _condition(key: str, target: str, name: str) -> Condition:
    """`0.25|ridge|shuffled|0` of a source; `1|own` and `untouched` of the target itself."""
    if key == INSTRUCT:
        return Condition(target, target, NONE, float("nan"), INSTRUCT)
    strength, *rest = name.split("|")
    if key == OWN:
        return Condition(target, target, NONE, float(strength), rest[0])
    source = key.removeprefix(source_key(""))
    return Condition(source, target, rest[0], float(strength), rest[1])


def _effects(plan: TransferPlan, read: Read, base: Mapping[str, Values]) -> Iterator[Row]:
    """Of every readout: its level, and its change from the untouched base model."""
    for readout, draws in read.values.items():
        level, before = draws.mean(axis=0), base[readout]
        change = _boot(plan, level - before).interval()
        each = (draws - before).mean(axis=1)
        yield {
            **read.condition.about,
            "readout": readout,
            "level": float(level.mean()),
            **_level_ends(readout, draws),
            "base": float(before.mean()),
            **_ends(change),
            "draws": len(draws),
            "least_draw": float(each.min()),
            "greatest_draw": float(each.max()),
        }


def _level_ends(readout: str, draws: Float[np.ndarray, "draw item"]) -> Row:
    """Wilson's interval of a rate; of several draws none, whose answers are not independent."""
    if readout not in RATES or len(draws) > 1:
        return {"level_low": np.nan, "level_high": np.nan}
    found = wilson(int(draws.sum()), draws.size)
    return {"level_low": found.low, "level_high": found.high}


def _excesses(
    plan: TransferPlan, reads: Sequence[Read], base: Mapping[str, Values]
) -> Iterator[Row]:
    """Carried and own vectors over each control, item by item; and carried as a share of own."""
    by_condition = {read.condition: read for read in reads}
    for read in reads:
        one = read.condition
        if one.vector not in ("carried", OWN):
            continue
        for control in CONTROLS:
            other = by_condition.get(replace(one, vector=control))
            if other is not None:
                yield from _over(plan, read, other)
        own = by_condition.get(Condition(one.target, one.target, NONE, one.strength, OWN))
        if one.vector == "carried" and own is not None:
            yield from _share(read, own, base)


def _over(plan: TransferPlan, read: Read, control: Read) -> Iterator[Row]:
    for readout in read.values:
        # Rates of a later draw are not there: as many draws as were read.
        gap = read.values[readout].mean(axis=0) - control.values[readout].mean(axis=0)
        result = _boot(plan, gap)
        each = control.values[readout].mean(axis=1)
        yield {
            **read.condition.about,
            "readout": readout,
            "control": control.condition.vector,
            **_ends(result.interval()),
            "p": result.p_two_sided(),
            "draws": len(each),
            "draws_below": int((each < read.values[readout].mean()).sum()),
        }


def _share(read: Read, own: Read, base: Mapping[str, Values]) -> Iterator[Row]:
    for readout in read.values:
        changes = [r.values[readout].mean(axis=0) - base[readout] for r in (read, own)]
        try:
            found = fieller(*changes)
        except ValueError as error:
            found = missing_interval(str(error), n=len(changes[0]), method="Fieller")
        about = {**read.condition.about, "readout": readout, "control": "share of own"}
        yield about | _ends(found) | {"p": np.nan, "draws": 1, "draws_below": 0}


def _boot(plan: TransferPlan, values: Values) -> BootstrapResult:
    """Of the mean, over items; the same weights wherever the items are the same."""
    config = plan.config
    n = len(values)
    if not np.isfinite(values).all():
        why = "a log-probability is not finite under this vector"
        return BootstrapResult(np.nan, np.full(1, np.nan), np.nan, np.nan, n, why)
    return bca(mean_of(values), shared_weights(n, config.resamples, config.seed, 6))


def _ends(found: Interval) -> Row:
    return {
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "status": found.status,
        "reason": found.reason,
    }


def _said(read: Read) -> Iterator[Row]:
    """A few answers, to look at."""
    if read.condition.vector in ("carried", OWN, INSTRUCT):
        for k, answer in enumerate(read.answers[:3]):
            yield {**read.condition.about, "number": k, "answer": answer}


def _map_rows(plan: TransferPlan, target: str, good: Mapping[str, Row]) -> Iterator[Row]:
    n_layers = next(pair.n_layers for pair in plan.measurable if pair.name == target)
    for key, row in good.items():
        for one in row.get("maps", ()):
            depth = np.nan if one["layer"] == OVER_LAYERS else depth_percent(one["layer"], n_layers)
            source = key.removeprefix(source_key(""))
            yield {"source": source, "target": target, "depth_percent": depth, **one}
