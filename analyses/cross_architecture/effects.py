"""What patches do at their site and behind it, and how much of the natural gap they carry over."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import stats

from analyses.cross_architecture.gaps import d_z, safe
from analyses.cross_architecture.measure import CHECKS, CONDITIONS
from analyses.cross_architecture.recording import Record
from tl_geometry.bootstrap import bca, missing_interval
from tl_geometry.meta import fieller
from tl_geometry.resampling import mean_of, shared_weights
from tl_geometry.sites import depth_percent
from tl_geometry.statistics import sign_flip_p

Rows = Sequence[Mapping[str, Any]]
OUTCOMES = {
    "log_r_v": "change of log R_V",
    "residual_log_pr": "change of log PR of the residual stream",
    "next_token_kl": "KL of the next token's distribution",
    "continuation": "change of log P(self-observing continuation) − log P(plain one)",
}
STORED = {"log_r_v": "pr_value", "residual_log_pr": "residual_pr"}
EXCESS = "patched − other_plain"
"""What the kind of text adds to a foreign text of whatever kind."""
DIFFERENCES = (EXCESS, "patched − shuffled_words", "patched − wrong_layer")
NO_LATER = "the patched layer is the last: there is no layer behind it"


def twin(condition: str) -> str:
    return "unpatched_donor" if condition == "reverse" else "unpatched"


def change(rows: Rows, outcome: str, condition: str, at: int = -1) -> Float[np.ndarray, " pair"]:
    """Condition minus its unpatched twin; `at` is the place in the list of layers read.

    KeyError for a condition that was not measured.
    """
    if condition in DIFFERENCES:
        one, other = (change(rows, outcome, c, at) for c in condition.split(" − "))
        return one - other
    if outcome == "next_token_kl":
        return np.array([row[outcome][condition][0] for row in rows])
    if outcome == "continuation":
        return np.array([row[outcome][condition] - row[outcome][twin(condition)] for row in rows])
    values = [[row[STORED[outcome]][c][at] for c in (condition, twin(condition))] for row in rows]
    return np.log(np.array(values)) @ np.array([1.0, -1.0])


def natural_gap(rows: Rows, outcome: str, early: Mapping[str, float], at: int = -1) -> Any:
    """The donor's own value minus the target's, nothing patched; log R_V with its early layers."""
    if outcome == "continuation":
        return np.array(
            [row[outcome]["unpatched_donor"] - row[outcome]["unpatched"] for row in rows]
        )
    stored = STORED[outcome]
    values = [[row[stored][c][at] for c in ("unpatched_donor", "unpatched")] for row in rows]
    gap = np.log(np.array(values)) @ np.array([1.0, -1.0])
    if outcome == "residual_log_pr":
        return gap
    sides = [row["key"].split("|")[2:4] for row in rows]
    return gap - np.array([early[donor] - early[target] for target, donor in sides])


def early_log_pr(record: Record) -> dict[str, float]:
    """Log PR at the early layer, by text."""
    return {row["id"]: float(np.log(row["pr_value"][record.depths.early])) for row in record.texts}


def effect_table(record: Record, resamples: int, seed: int) -> pd.DataFrame:
    """One row a patched layer, condition, outcome and layer read: mean and d_z with intervals.

    `primary` rows (the last layer, the continuation) are tested, and corrected over all models
    and layers *of their condition*; the others are for the figures.
    """
    rows = [
        _effect(record, layer, condition, outcome, at, resamples, seed)
        for layer, pairs in record.patches.items()
        for condition, outcome, at in _cells(pairs, layer, record.depths.n_layers)
    ]
    return pd.DataFrame(rows)


def _cells(rows: Rows, layer: int, n_layers: int) -> Iterator[tuple[str, str, int]]:
    measured = [c for c in (*CONDITIONS, *DIFFERENCES) if _has(rows, c)]
    for condition in measured:
        for outcome in OUTCOMES:
            if outcome in STORED:
                yield from ((condition, outcome, at) for at in range(n_layers - layer))
            elif outcome == "next_token_kl" or _has(rows, condition, outcome):
                yield condition, outcome, n_layers - layer - 1


def _has(rows: Rows, condition: str, metric: str = "pr_value") -> bool:
    return all(c in rows[0].get(metric, {}) for c in condition.split(" − "))


def _effect(
    record: Record, layer: int, condition: str, outcome: str, at: int, resamples: int, seed: int
) -> dict[str, Any]:
    rows, n_layers = record.patches[layer], record.depths.n_layers
    read = layer + at
    site = outcome == "log_r_v" and at == 0 and condition != "wrong_layer"
    values = change(rows, outcome, condition, at)
    weights = shared_weights(len(values), resamples, seed, 4)
    mean = safe(lambda: bca(mean_of(values), weights).interval(), len(values))
    standard = safe(lambda: d_z(values, resamples, seed).interval(), len(values))
    tested = condition not in CHECKS and not site and outcome != "next_token_kl"
    primary = tested and (outcome == "continuation" or (at > 0 and read == n_layers - 1))
    return {
        "model": record.name,
        "patch_layer": layer,
        "roles": ", ".join(role for role, n in record.roles.items() if n == layer),
        "condition": condition,
        "outcome": outcome,
        "layer": read,
        "depth_percent": depth_percent(read, n_layers),
        "definitional": site,
        "primary": primary,
        **asdict(mean),
        **{f"d_z_{k}": v for k, v in asdict(standard).items() if k in ("estimate", "low", "high")},
        "d_z_reason": standard.reason,
        "p": sign_flip_p(values, np.random.default_rng([seed, 5]), resamples)
        if primary
        else np.nan,
    }


def transfer_table(record: Record) -> pd.DataFrame:
    """Change / natural gap as a ratio of means with Fieller's interval, for each patched layer.

    At the site it is an identity up to the early layer, and marked so; behind it, it is a finding.
    """
    early, rows = early_log_pr(record), []
    for layer, pairs in record.patches.items():
        last = record.depths.n_layers - 1
        for outcome, at in _readouts(pairs, layer, last):
            values = change(pairs, outcome, "patched", at)
            gap = natural_gap(pairs, outcome, early, at)
            found = (
                missing_interval(NO_LATER, n=len(pairs), method="Fieller")
                if layer == last and at > 0
                else safe(lambda v=values, g=gap: fieller(v, g), len(pairs), "Fieller")
            )
            rows.append(
                {
                    "model": record.name,
                    "patch_layer": layer,
                    "roles": ", ".join(r for r, n in record.roles.items() if n == layer),
                    "outcome": outcome,
                    "layer": layer + at,
                    "definitional": outcome == "log_r_v" and at == 0,
                    **_mean("change", values),
                    **_mean("natural_gap", gap),
                    **asdict(found),
                }
            )
    return pd.DataFrame(rows)


def _mean(name: str, values: Float[np.ndarray, " pair"]) -> dict[str, float]:
    """With its 95 % t interval, whose theory Fieller's interval shares."""
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    mean = float(values.mean())
    return {name: mean, f"{name}_low": mean - half, f"{name}_high": mean + half}


def _readouts(rows: Rows, layer: int, last: int) -> Iterator[tuple[str, int]]:
    yield "log_r_v", 0
    if layer < last:
        yield "log_r_v", last - layer
        yield "residual_log_pr", last - layer
    if _has(rows, "patched", "continuation"):
        yield "continuation", last - layer


def pair_table(record: Record) -> pd.DataFrame:
    """One row a pair and patched layer: the donor patch, in the pair's own numbers.

    `transfer` is the pair's own ratio: to be looked at, never averaged.
    """
    early, found = early_log_pr(record), []
    for layer, rows in record.patches.items():
        site, last = (change(rows, "log_r_v", "patched", at) for at in (0, -1))
        gap_site, gap = (natural_gap(rows, "log_r_v", early, at) for at in (0, -1))
        closed = np.array([_closed_form(row, early) for row in rows])
        for i, row in enumerate(rows):
            target, donor = row["key"].split("|")[2:4]
            found.append(
                {
                    "model": record.name,
                    "patch_layer": layer,
                    "target_id": target,
                    "donor_id": donor,
                    "log_r_v_target": np.log(row["pr_value"]["unpatched"][0]) - early[target],
                    "log_r_v_donor": np.log(row["pr_value"]["unpatched_donor"][0]) - early[donor],
                    "log_r_v_patched_site": site[i]
                    + np.log(row["pr_value"]["unpatched"][0])
                    - early[target],
                    "log_r_v_patched_closed_form": closed[i],
                    "delta_log_r_v_site": site[i],
                    "delta_log_r_v_last": last[i],
                    "natural_gap_site": gap_site[i],
                    "natural_gap_last": gap[i],
                    "transfer_last": last[i] / gap[i] if gap[i] else np.nan,
                    "delta_residual_log_pr_last": change([row], "residual_log_pr", "patched")[0],
                    "next_token_kl": row["next_token_kl"]["patched"][0],
                    "delta_continuation": change([row], "continuation", "patched")[0]
                    if "continuation" in row
                    else np.nan,
                }
            )
    return pd.DataFrame(found)


def _closed_form(row: Mapping[str, Any], early: Mapping[str, float]) -> float:
    """log R_V at the site needs no patched pass: donor's PR there over the target's early PR."""
    target = row["key"].split("|")[2]
    return float(np.log(row["pr_value"]["unpatched_donor"][0])) - early[target]


def software_checks(record: Record) -> dict[str, float]:
    """All must be zero: the first exactly, the others up to rounding.

    `self` writes a text's own values back; rows in another order and values of the other sign
    cannot change the participation ratio at the site, nor can the closed form differ from it.
    """
    worst = {"self": 0.0, "shuffled_rows": 0.0, "sign": 0.0, "closed_form": 0.0}
    for rows in record.patches.values():
        for row in rows:
            pr = row["pr_value"]
            if "self" in pr:
                moved = np.abs(np.array(pr["self"]) - np.array(pr["unpatched"])).max()
                worst["self"] = max(worst["self"], float(moved))
            for check in CHECKS[1:]:
                if check in pr:
                    worst[check] = max(worst[check], abs(pr[check][0] - pr["patched"][0]))
            worst["closed_form"] = max(
                worst["closed_form"], abs(pr["patched"][0] - pr["unpatched_donor"][0])
            )
    return worst
