"""Where base and instruct are alike, in sentences; the plan's four questions behind phase 4."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analyses.model_diff.similarity_correlations import ALL, WEIGHTS
from analyses.model_diff.similarity_plan import SimilarityPlan
from analyses.model_diff.similarity_tables import GAP, OVER
from analyses.model_diff.similarity_transfer import Found, read_from
from analyses.sentences import interval, pocket_banner
from analyses.summaries import summary_of
from figures.rows import absent, records, select, values_of
from figures.style import decimal
from tl_geometry.runs import Run

Tables = Mapping[str, pd.DataFrame]
FEW_LAYERS = "exploratory: layers are few, and neighbours are alike"
CANNOT_SAY = (
    "Two states of one model have a high cosine whatever they are states of: all share a mean, "
    "and a few dimensions that are large everywhere. `other` is the cosine with the response to "
    "another question of the same trait, `centred` what is left when each model's own mean over "
    "the prompts is taken off. Only above `other` is a cosine about the response.",
    "In the arm `raw` base and instruct differ in the prompt's form as well as in their weights: "
    "this asymmetry is the plan's. The arm `templated` holds the ids equal, but a template is text "
    "that the base model has hardly seen.",
    "Responses are the instruct model's: of what the base model would say itself nothing is "
    "measured.",
    "A similar state does not say that a vector acts alike, nor does a correlation over layers: "
    "depth changes both. " + FEW_LAYERS.capitalize() + ". Fisher's intervals and p suppose "
    "independent layers and are too sure; cyclic shifts are not, and need twenty layers to say "
    "anything. Two curves that run with depth correlate, and survive every shift, whatever they "
    "are of: `at equal depth` each is freed of its straight line.",
    "A transfer curve is the best of several vectors and doses on validation questions: too high "
    "by being chosen, at every layer alike.",
    "Intervals are over subjects of questions, at fixed weights; those of `centred` at a fixed "
    "mean. In the control one response occurs in two pairs, which they leave out of account.",
)


def summarize(
    plan: SimilarityPlan, tables: Tables, record: Run, weights: Found, *, seconds: float
) -> dict[str, Any]:
    """JSON-ready; nothing in it depends on the machine except versions and seconds."""
    missing = tables["missing"]
    unanswered = select(missing, what="response") if len(missing) else missing
    return summary_of(
        plan.spec,
        record.folder.name,
        read_from=read_from(tables["transfer"], weights),
        banner=pocket_banner(m.spec for m in (plan.pair.base, plan.pair.instruct)),
        headline=headline(plan, tables),
        counts={
            "prompts": len(tables["replayed"]),
            "positions": len(values_of(tables["positions"], "position")),
            # Curves of steps that were not run are named in `missing`; nothing failed there.
            "curves of other steps not there": len(missing) - len(unanswered),
            "missing": len(unanswered),
        },
        cannot_say=CANNOT_SAY,
        seconds=seconds,
    )


def headline(plan: SimilarityPlan, tables: Tables) -> Iterator[str]:
    said = tables["replayed"]["tokens"]
    traits = ", ".join(plan.config.traits)
    yield (
        f"{plan.pair.instruct.name} answered {len(said)} prompts of {traits} "
        f"with {said.min()} to {said.max()} tokens, which {plan.pair.base.name} read again."
    )
    for arm in ("raw", "templated"):
        yield _profile(tables["similarity"], tables["contrasts"], arm)
    yield _form(tables["contrasts"])
    yield from _transfer(plan, tables)
    yield _positions(tables["early"])
    yield _weights(tables["correlations"])


def _profile(similarity: pd.DataFrame, contrasts: pd.DataFrame, arm: str) -> str:
    """The plan expects about 0.95 at early layers, and less at later ones."""
    rows = {m: _curve(similarity, arm, m) for m in values_of(similarity, "measure")}
    mine = rows["cosine"]
    first, last = records(mine)[0], records(mine)[-1]
    trend = "neither falls nor rises clearly from the first layer to the last"
    if first["low"] > last["high"]:
        trend = "falls from the first layer to the last"
    elif first["high"] < last["low"]:
        trend = "rises from the first layer to the last"
    above, _ = _signs(select(contrasts, quantity=OVER, arm=arm, measure="cosine"))
    return (
        f"Profile, arm {arm}: mean cosine {interval(first)} at layer 0, {interval(last)} at layer "
        f"{last['layer']}, {_span(mine)} over all layers; it {trend}. With the response to "
        f"another question {_span(rows['cosine_other'])}; its own is clearly above it at {above} "
        f"of {len(mine)} layers. Centred: {_span(rows['centred'])} (another's "
        f"{_span(rows['centred_other'])})."
    )


def _curve(similarity: pd.DataFrame, arm: str, measure: str) -> pd.DataFrame:
    return select(similarity, scope=ALL, arm=arm, measure=measure).sort_values("layer")


def _span(rows: pd.DataFrame) -> str:
    values = rows["estimate"].to_numpy(float)
    values = values[np.isfinite(values)]
    if not values.size:
        return "undefined"
    return f"{decimal(values.min(), 2)} to {decimal(values.max(), 2)}"


def _form(contrasts: pd.DataFrame) -> str:
    rows = select(contrasts, quantity=GAP, measure="cosine")
    up, down = _signs(rows)
    return (
        f"The prompt's form alone: under the template the base model is closer to the instruct "
        f"model at {up} of {len(rows)} layers and further at {down}; the difference of cosines is "
        f"{_span(rows)}."
    )


def _signs(rows: pd.DataFrame) -> tuple[int, int]:
    """Layers whose interval is above 0, and below."""
    return int((rows["low"].to_numpy(float) > 0).sum()), int(
        (rows["high"].to_numpy(float) < 0).sum()
    )


def _transfer(plan: SimilarityPlan, tables: Tables) -> Iterator[str]:
    table = tables["correlations"]
    for trait in plan.config.traits:
        name = f"transfer {trait}"
        yield f"Does similarity go with transfer, {trait}? {_correlation(table, name)}"
    yield from _judges(tables["transfer"])


def _judges(transfer: pd.DataFrame) -> Iterator[str]:
    """Curves of two judges are on two scales, and no reader would see it."""
    told = {row["trait"]: row["judge"] for row in records(transfer) if row["run"]}
    if len(set(told.values())) > 1:
        named = ", ".join(f"{trait} {judge[:8] or 'unknown'}" for trait, judge in told.items())
        yield (
            f"Transfer curves of the traits were rated by different judges ({named}): compare "
            "layers within a trait, and not heights between traits. The embedded world's rule is "
            "another one for each trait, with the likelihoods of answers to its own questions."
        )


def _correlation(table: pd.DataFrame, name: str) -> str:
    rows = records(select(table, **{"with": name, "arm": "raw"}))
    if all(row["status"] != "ok" for row in rows):
        return f"Not known: {rows[0]['reason']}."
    said = "; ".join(f"{row['measure']} {_r(row)}" for row in rows)
    return f"Pearson r over {rows[0]['n']} layers, arm raw: {said} ({FEW_LAYERS})."


def _r(row: Mapping[str, Any]) -> str:
    if row["status"] != "ok":
        return f"undefined ({row['reason']})"
    r, low, high = (decimal(row[f"pearson_{end}"], 2) for end in ("r", "low", "high"))
    shifted = row["p_shifted"]
    p = f"no p by shifts: {row['reason']}" if absent(shifted) else f"p by shifts {shifted:.2f}"
    level = row["equal_depth_r"]
    depth = "undefined" if absent(level) else decimal(level, 2)
    return f"{r} [{low}, {high}], rank {decimal(row['spearman_r'], 2)}, at equal depth {depth}, {p}"


def _positions(early: pd.DataFrame) -> str:
    """The plan asks whether early tokens are less alike, as an effect of the context."""
    first = records(early)[0]["first"]
    parts = []
    for arm in ("raw", "templated"):
        rows = select(early, arm=arm)
        up, down = _signs(rows)
        parts.append(
            f"arm {arm}: less alike at {down}, more at {up} of {len(rows)} layers ({_span(rows)})"
        )
    up, down = _signs(select(early, arm=GAP))
    verdict = "not shown"
    if up > down:
        verdict = f"the template brings early tokens closer than later ones at {up} layers"
    elif down > up:
        verdict = f"the template brings later tokens closer than early ones at {down} layers"
    return (
        f"Are early tokens less alike? The first {first} against the rest of the same response: "
        f"{'; '.join(parts)}. That this is the prompt's form: {verdict}."
    )


def _weights(table: pd.DataFrame) -> str:
    return f"And the weights? Similarity against ‖Δθ‖ by layer: {_correlation(table, WEIGHTS)}"


def checkpoint(tables: Tables) -> Iterator[str]:
    """The plan's report behind phase 4, layer by layer."""
    yield "Checkpoint: after phase 4"
    names = f"{'raw':<8} {'other':<8} {'centred':<9} {'templated':<11} {'centred':<9}"
    yield f"  {'Layer':<7} {names} Δ of traits"
    table, transfer = tables["similarity"], tables["transfer"]
    shown = [("raw", "cosine", 8), ("raw", "cosine_other", 8), ("raw", "centred", 9),
             ("templated", "cosine", 11), ("templated", "centred", 9)]  # fmt: skip
    columns = [(_curve(table, arm, measure)["estimate"].tolist(), w) for arm, measure, w in shown]
    for k, layer in enumerate(_curve(table, "raw", "cosine")["layer"].tolist()):
        cells = " ".join(f"{_cell(column[k]):<{width}}" for column, width in columns)
        deltas = records(select(transfer, layer=layer, status="ok"))
        said = ", ".join(f"{row['trait']} {row['delta']:+.0f}" for row in deltas)
        yield f"  {layer:<7} {cells} {said or '–'}"


def _cell(value: float) -> str:
    return "–" if absent(value) else decimal(value, 2)
