"""The headline of each step, in sentences."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from analyses.refusal.config import Families, Quantization, Sizes, Steered
from analyses.refusal.decisions import BEST, OWN_RULE
from analyses.refusal.plan import Plan
from figures.rows import records, select
from tl_geometry.selection import MAX_KL

Row = Mapping[str, Any]
Tables = Mapping[str, pd.DataFrame]
COUNTS = (
    "A refusal counts where it is coherent: the speaker declines, and the text is neither broken "
    "nor unlikely under the unsteered model. "
    "Depth and dose are chosen on validation prompts, rates are those of test prompts."
)


def headline(tables: Tables, plan: Plan) -> list[str]:
    """Verdicts, controls and decisions."""
    decided = [f"{r['point']}: {r['about']}: {r['action']}." for r in records(tables["decisions"])]
    return [COUNTS, *OF_STEP[type(plan.config)](tables, plan), *decided]


def _families(tables: Tables, plan: Plan) -> Iterator[str]:
    verdicts = tables["verdicts"]
    for method in plan.config.methods:
        yield _method(method, records(select(verdicts, choice=BEST, method=method)), plan)
        yield _own_rule(method, records(select(verdicts, choice=OWN_RULE, method=method)), plan)
    yield from map(_model, records(select(verdicts, choice=BEST)))
    yield from _bypassed(tables)


def _method(method: str, rows: list[dict[str, Any]], plan: Plan) -> str:
    """Of all models that were asked for: one that was not measured does not work."""
    works = [row for row in rows if row["verdict"] == "works"]
    sure = [row for row in works if not row["uncertain"]]
    said = (
        f"{method.upper()}, at the depth and dose that do best on validation prompts, makes "
        f"{len(works)} of {len(plan.models)} models refuse 60 % or more of {plan.config.n_test} "
        f"benign requests ({len(sure)} of them surely, by the interval)"
    )
    if not plan.config.random_directions:
        return f"{said}."
    same, own = (
        max((row[f"{name}_highest"] for row in rows), default=float("nan"))
        for name in ("random_same_dose", "random")
    )
    return (
        f"{said}. Random directions just as long at the same place: at most {same:.0%} in any "
        f"model; at their own best after the same search: at most {own:.0%}."
    )


def _own_rule(method: str, rows: list[dict[str, Any]], plan: Plan) -> str:
    works = sum(row["verdict"] == "works" for row in rows)
    return (
        f"{method.upper()}, at the layer that its own rule takes: {works} of {len(plan.models)} "
        f"({len(plan.models) - len(rows)} without any candidate that passes the rule)."
    )


def _model(row: Row) -> str:
    sure = " (uncertain)" if row["uncertain"] else ""
    return (
        f"{row['model']}, {row['method'].upper()}: {row['verdict']}{sure}. {place(row)}: "
        f"{row['coherent']:.0%} [{row['coherent_low']:.0%}, {row['coherent_high']:.0%}] coherent "
        f"refusals, {row['garbled']:.0%} garbled; unsteered {row['unsteered']:.0%}"
        f"{_random(row)}{_as_good(row)}; KL on neutral text {row['kl']:.2f} nats a token; over the "
        f"depths: {row['layer_pattern']}."
    )


def place(row: Row) -> str:
    return (
        f"Block {row['layer']:.0f} ({row['depth_percent']:.0f} %), dose {row['dose_residual']:.3f} "
        f"of the residual norm (unit vector × {row['dose_unit']:.3g})"
    )


def _random(row: Row) -> str:
    if pd.isna(row["random_highest"]):
        return f", shuffled labels {row['shuffled']:.0%}"
    return (
        f", random directions at this place and length {row['random_same_dose_mean']:.0%} on "
        f"average and {row['random_same_dose_highest']:.0%} at most "
        f"({row['random_same_dose_garbled']:.0%} garbled), at their own best "
        f"{row['random_highest']:.0%}, shuffled labels {row['shuffled']:.0%}"
    )


def _as_good(row: Row) -> str:
    """Said where a control does as well: then the method found nothing of its own."""
    controls = {"a random direction": row["random_highest"], "shuffled labels": row["shuffled"]}
    equals = [name for name, rate in controls.items() if rate >= row["coherent_low"]]
    do = "do" if len(equals) > 1 else "does"
    return f" — {' and '.join(equals)} {do} as well after the same search" if equals else ""


def _bypassed(tables: Tables) -> Iterator[str]:
    """The one way of each model that was chosen on validation prompts, beside its null."""
    for row in records(select(tables["bypass"], chosen=True)):
        null = records(select(tables["bypass_controls"], model=row["model"]))
        taken = [o["fewer_refusals"] for o in null if not pd.isna(o["fewer_refusals"])]
        beside = f"; random directions removed alike: at most {max(taken):.0%}" if taken else ""
        gentle = "" if row["kl"] < MAX_KL else ", too much"
        yield (
            f"{row['model']}, harmful requests with refusal taken away ({row['kind']}, "
            f"{row['source'].upper()}, block {row['layer']:.0f}): {row['refusal_before']:.0%} → "
            f"{row['refusal_after']:.0%} refused, {row['normal']:.0%} answered, "
            f"{row['garbled']:.0%} garbled{beside}; KL on neutral text {row['kl']:.3f} nats a "
            f"token{gentle}."
        )


def _sizes(tables: Tables, plan: Plan) -> Iterator[str]:
    for row in records(tables["curve"]):
        yield (
            f"{row['method'].upper()}, each size at its own layer and dose: {row['shape']} over "
            f"{row['sizes']}. One checkpoint a size says nothing about other seeds."
        )
    yield from map(_model, records(select(tables["verdicts"], choice=BEST)))


def _precisions(tables: Tables, plan: Plan) -> Iterator[str]:
    for row in records(tables["precision"]):
        if row["quantization"] == "none":
            yield f"{row['model']}, full precision: {_rate(row)}."
            continue
        kept = "preserved" if row["preserved"] else "not preserved"
        yield (
            f"{row['model']}, {row['quantization']}, {row['direction']} direction: {_rate(row)}; "
            f"McNemar p = {row['mcnemar_p']:.2g} against full precision; the direction is {kept} "
            f"(cosine {row['cosine_to_full']:.3f})."
        )


def _rate(row: Row) -> str:
    return (
        f"{row['coherent']:.0%} [{row['coherent_low']:.0%}, {row['coherent_high']:.0%}] coherent, "
        f"{row['garbled']:.0%} garbled"
    )


OF_STEP: Mapping[type[Steered], Callable[[Tables, Plan], Iterator[str]]] = {
    Families: _families,
    Sizes: _sizes,
    Quantization: _precisions,
}
