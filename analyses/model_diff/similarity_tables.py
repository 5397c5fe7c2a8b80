"""Tidy tables of a replay, made from the record: cosines by layer and by position, beside those
with another response."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from analyses.model_diff.similarity_correlations import ALL, correlations
from analyses.model_diff.similarity_plan import Prompt, SimilarityPlan
from analyses.model_diff.similarity_states import ARMS, Replay
from figures.rows import records, select
from tl_geometry.bootstrap import bca
from tl_geometry.model_delta import row_cosines
from tl_geometry.resampling import left_out, level_codes, mean_of, simple_weights

GAP, OVER = "templated − raw", "own − other"
OTHER = "_other"
"""Ending of a measure's control: the response to another question."""
Row = dict[str, Any]
PerPrompt = Float[np.ndarray, "prompt layer"]


def similarity_tables(
    replay: Replay, transfer: pd.DataFrame, weights: tuple[Mapping[int, float], str]
) -> dict[str, pd.DataFrame]:
    arms = {arm: measures_of(replay, arm) for arm in ARMS}
    similarity = pd.DataFrame(list(_layers(replay, arms)))
    positions = {arm: _positions_of(replay, arm) for arm in ARMS}
    return {
        "similarity": similarity,
        "contrasts": pd.DataFrame(list(_contrasts(replay, arms))),
        "positions": pd.DataFrame(list(_by_position(replay, positions))),
        "early": pd.DataFrame(list(_early(replay, positions))),
        "transfer": transfer,
        "correlations": correlations(replay.plan, similarity, transfer, weights),
        "per_prompt": pd.DataFrame(list(_per_prompt(replay, arms))),
        "replayed": pd.DataFrame(list(_replayed(replay))),
        "missing": _missing(replay, transfer, weights[1]),
    }  # fmt: skip


def measures_of(replay: Replay, arm: str) -> dict[str, PerPrompt]:
    """Measure → [prompt, layer]; NaN where there is no other prompt to compare with."""
    base, instruct = replay.means("base", arm), replay.means("instruct", "states")
    prompts = replay.answered
    others = [replay.other(prompt) for prompt in prompts]
    index = [None if other is None else prompts.index(other) for other in others]
    found = {}
    # A few dimensions and a mean that all responses share make any two states alike; what tells
    # responses apart is left when each model's own mean over prompts is taken off.
    sides = {"cosine": (base, instruct),
             "centred": (base - base.mean(0), instruct - instruct.mean(0))}  # fmt: skip
    for name, (a, b) in sides.items():
        found[name] = np.stack([row_cosines(x, y) for x, y in zip(a, b, strict=True)])
        apart = [
            np.full(a.shape[1], np.nan) if j is None else row_cosines(x, b[j])
            for x, j in zip(a, index, strict=True)
        ]
        found[name + OTHER] = np.stack(apart)
    return found


def interval(
    plan: SimilarityPlan, prompts: Sequence[Prompt], values: Float[np.ndarray, " n"]
) -> Row:
    """Mean over prompts; resampled are the questions' subjects, of which there are fewer."""
    known = np.isfinite(values)
    subjects = tuple(p.subject for p, there in zip(prompts, known, strict=True) if there)
    about = {"n": len(subjects), "subjects": len(set(subjects))}
    if not subjects:
        return {**about, "status": "missing", "reason": "no prompt has a value here"}
    drawn = _drawn(subjects, plan.config.resamples, plan.config.seed)
    numbers, n = values[known], about["subjects"]
    found = bca(mean_of(numbers), drawn, n, jackknife=[left_out(subjects)]).interval()
    std = float(numbers.std(ddof=1)) if len(numbers) > 1 else float("nan")
    return {"estimate": found.estimate, "std": std, "low": found.low, "high": found.high,
            **about, "status": found.status, "reason": found.reason}  # fmt: skip


@lru_cache(maxsize=32)
def _drawn(subjects: tuple[str, ...], resamples: int, seed: int) -> Float[np.ndarray, "draw n"]:
    """One set of draws for all numbers of the same prompts."""
    codes, n = level_codes(subjects)
    return simple_weights(n, resamples, np.random.default_rng(seed))[:, codes]


def _layers(replay: Replay, arms: Mapping[str, Mapping[str, PerPrompt]]) -> Iterator[Row]:
    """All prompts; of each trait without the control."""
    plan = replay.plan
    for scope in (ALL, *plan.config.traits):
        rows = [i for i, p in enumerate(replay.answered) if scope in (ALL, p.trait)]
        prompts = [replay.answered[i] for i in rows]
        for arm, measures in arms.items():
            for measure, values in measures.items():
                if scope != ALL and measure.endswith(OTHER):
                    continue
                about = {"scope": scope, "arm": arm, "measure": measure}
                for layer in range(plan.n_layers):
                    found = interval(plan, prompts, values[rows, layer])
                    yield {**about, **_at(plan, layer), **found}


def _at(plan: SimilarityPlan, layer: int) -> Row:
    return {"layer": layer, "depth_percent": 100 * layer / plan.n_layers}


def _contrasts(replay: Replay, arms: Mapping[str, Mapping[str, PerPrompt]]) -> Iterator[Row]:
    """Paired over prompts: what the prompt in the instruct model's own form changes, and how much
    more alike a response is to itself than to another."""
    for measure in ("cosine", "centred"):
        gaps = {(GAP, GAP): arms["templated"][measure] - arms["raw"][measure]}
        for arm in ARMS:
            gaps[OVER, arm] = arms[arm][measure] - arms[arm][measure + OTHER]
        for (quantity, arm), gap in gaps.items():
            about = {"quantity": quantity, "arm": arm, "measure": measure}
            for layer in range(replay.plan.n_layers):
                found = interval(replay.plan, replay.answered, gap[:, layer])
                yield {**about, **_at(replay.plan, layer), **found}


def _positions_of(replay: Replay, arm: str) -> dict[str, Float[np.ndarray, "prompt kept pos"]]:
    """Cosines with the response's own states and with another's; NaN behind an end."""
    rows = replay.rows("base")
    shape = (len(replay.answered), len(replay.plan.kept), replay.n_positions)
    found = {name: np.full(shape, np.nan) for name in ("own", "other")}
    for i, prompt in enumerate(replay.answered):
        for name, grid in found.items():
            if (known := rows[f"{arm}|{prompt.key}"][name]) is not None:
                values = np.array(known)
                grid[i, :, : values.shape[1]] = values
    return found


def _by_position(replay: Replay, arms: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[Row]:
    for arm, grids in arms.items():
        for name, grid in grids.items():
            measure = "cosine" if name == "own" else "cosine" + OTHER
            for k, layer in enumerate(replay.plan.kept):
                for position in range(replay.n_positions):
                    found = interval(replay.plan, replay.answered, grid[:, k, position])
                    about = {"arm": arm, "measure": measure, **_at(replay.plan, layer)}
                    yield {**about, "position": position, **found}


def _early(replay: Replay, arms: Mapping[str, Mapping[str, np.ndarray]]) -> Iterator[Row]:
    """The first quarter of the positions over the rest, within each response; and how much of the
    difference is the prompt's form, which is all that the two arms differ in."""
    first = max(1, replay.n_positions // 4)
    gaps = {}
    for arm in ARMS:
        grid = arms[arm]["own"]
        late = grid[:, :, first:]
        n = np.isfinite(late).sum(2)
        # A response that ends in the first quarter has no rest to be compared with.
        rest = np.where(n > 0, np.nansum(late, axis=2) / np.maximum(n, 1), np.nan)
        gaps[arm] = np.where(n > 0, np.nanmean(grid[:, :, :first], axis=2) - rest, np.nan)
    gaps[GAP] = gaps["templated"] - gaps["raw"]
    for arm, gap in gaps.items():
        for k, layer in enumerate(replay.plan.kept):
            found = interval(replay.plan, replay.answered, gap[:, k])
            yield {"arm": arm, "first": first, **_at(replay.plan, layer), **found}


def _per_prompt(replay: Replay, arms: Mapping[str, Mapping[str, PerPrompt]]) -> Iterator[Row]:
    for arm, measures in arms.items():
        for i, prompt in enumerate(replay.answered):
            for layer in range(replay.plan.n_layers):
                numbers = {name: values[i, layer] for name, values in measures.items()}
                yield {
                    "id": prompt.id,
                    "trait": prompt.trait,
                    "arm": arm,
                    "layer": layer,
                    **numbers,
                }


def _replayed(replay: Replay) -> Iterator[Row]:
    for prompt in replay.answered:
        row = replay.responses[prompt.id]
        yield {"id": prompt.id, "trait": prompt.trait, "subject": prompt.subject,
               "prompt": prompt.text, "response": row["text"],
               "tokens": len(row["response_ids"])}  # fmt: skip


def _missing(replay: Replay, transfer: pd.DataFrame, no_weights: str) -> pd.DataFrame:
    """What was not answered, and what no other step's run is there for."""
    answered = {prompt.id for prompt in replay.answered}
    gone = [p for p in replay.plan.prompts if p.id not in answered]
    rows = [("response", f"prompt {p.id}", "the answer ended before its first token") for p in gone]
    for row in records(select(transfer, status="missing")):
        layer = "" if pd.isna(row["layer"]) else f" layer {row['layer']:.0f}"
        rows.append(("transfer curve", f"{row['trait']}{layer}", row["reason"]))
    if no_weights:
        rows.append(("weight change", "by layer", no_weights))
    return pd.DataFrame(rows, columns=np.array(["what", "id", "reason"]))
