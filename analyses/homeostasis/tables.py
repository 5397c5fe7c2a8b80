"""The measured numbers as tables: `layers.csv` (tidy) and `pairs.csv` (one row a pair)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analyses.homeostasis.conditions import UNPATCHED, UNPATCHED_DONOR
from analyses.homeostasis.sample import LOGGED, Sample
from tl_geometry.sites import depth_percent

STORED = (
    "pr_value",
    "pr_value_centered",
    "pr_value_row_normalized",
    "pr_mlp_in",
    "pr_mlp_out",
    "attention_entropy",
    "attention_entropy_share",
    "residual_norm",
    "residual_pr",
    "residual_change",
    "ln1_scale",
    "ln1_post_scale",
    "ln2_scale",
    "ln2_post_scale",
    "ln_final_scale",
    "next_token_kl",
)
DERIVED = ("r_v", "mlp_expansion")
CHANGES = ("r_v", "residual_pr", "mlp_expansion", "attention_entropy", "residual_norm", "ln1_scale")
WIDE = ("r_v", "residual_norm", "residual_pr", "mlp_expansion", "attention_entropy")


def layer_table(sample: Sample) -> pd.DataFrame:
    """One row a pair, condition and layer, from the patch layer on.

    `delta_log_…` and `delta_attention_entropy` are changes against the unpatched twin. What a
    family does not have is an empty cell; `status` tells whether R_V is defined.
    """
    conditions = [UNPATCHED, UNPATCHED_DONOR, *sample.conditions]
    return pd.concat([_condition(sample, c) for c in conditions], ignore_index=True).sort_values(
        ["pair_index", "condition", "layer"], ignore_index=True
    )


def _condition(sample: Sample, condition: str) -> pd.DataFrame:
    n_layers = len(sample.layers)
    table = pd.DataFrame(
        {
            key: np.repeat([record[key] for record in sample.records], n_layers)
            for key in ("pair_index", "target_id", "donor_id")
        }
    )
    table["condition"] = condition
    table["layer"] = np.tile(sample.layers, len(sample.records))
    table["depth_percent"] = depth_percent(1, sample.n_layers) * table["layer"]
    table["definitional"] = table["layer"] == sample.patch_layer
    table["pr_early"] = np.repeat(sample.early(condition), n_layers)
    for name in (*DERIVED, *STORED):
        table[name] = sample.quantity(name, condition).ravel()
    for name in CHANGES:
        column = f"delta_log_{name}" if name in LOGGED else f"delta_{name}"
        table[column] = sample.change(name, condition).ravel()
    defined = table["r_v"].notna()
    table["status"] = np.where(defined, "ok", "missing")
    table["reason"] = np.where(defined, "", "values are zero or not finite in the window")
    return table


def pair_table(sample: Sample) -> pd.DataFrame:
    """One row a pair: texts, lengths, components of R_V, and per-layer columns of `patched`.

    `recovery_L31` is the pair's own 1 − |Δ(31)| / |Δ(p)|: stored to be looked at, never averaged
    (the mean of ratios is dominated by pairs that hardly changed).
    """
    last, p = sample.layers[-1], sample.patch_layer
    table = pd.DataFrame(
        [{k: v for k, v in r.items() if not isinstance(v, dict)} for r in sample.records]
    ).drop(columns=["key"], errors="ignore")
    columns: dict[str, np.ndarray] = {
        "pr_early_target": sample.early("patched"),
        "pr_early_donor": sample.early("reverse"),
    }
    for side, condition in (("target", UNPATCHED), ("donor", UNPATCHED_DONOR)):
        columns |= _by_layer(sample, f"r_v_{side}", sample.quantity("r_v", condition))
    for name in WIDE:
        columns |= _by_layer(sample, f"{name}_patched", sample.quantity(name, "patched"))
    change = sample.change("r_v", "patched")
    columns |= _by_layer(sample, "delta_log_r_v", change)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 1 - np.abs(change) / np.abs(change[:, :1])
    columns |= _by_layer(sample, "recovery", np.where(np.isfinite(ratio), ratio, np.nan))
    # With equal windows the value at the patch layer needs no forward pass: it is this ratio.
    donor_pr = sample.metric("pr_value", UNPATCHED_DONOR)[:, 0]
    columns[f"r_v_patched_closed_form_L{p}"] = donor_pr / sample.early("patched")
    r_v = sample.quantity("r_v", "patched")
    columns["seed_recovery"] = r_v[:, -1] - r_v[:, 0]
    columns[f"next_token_kl_patched_L{last}"] = sample.metric("next_token_kl", "patched")[:, -1]
    return pd.concat([table, pd.DataFrame(columns)], axis=1)


def _by_layer(sample: Sample, name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{name}_L{layer}": values[:, i] for i, layer in enumerate(sample.layers)}


def profile_table(sample: Sample) -> pd.DataFrame:
    """PR of the values of both unpatched texts at *every* layer, and R_V against the early one."""
    rows = []
    for record in sample.records:
        for side, kind in (("target", "plain"), ("donor", "recursive")):
            early = record["pr_early"][side]
            for layer, pr in enumerate(record["profile_pr_value"][side]):
                rows.append(
                    {
                        "pair_index": record["pair_index"],
                        "prompt_id": record[f"{side}_id"],
                        "kind": kind,
                        "layer": layer,
                        "depth_percent": depth_percent(layer, sample.n_layers),
                        "pr_value": pr,
                        "r_v": pr / early if pr is not None and early else np.nan,
                    }
                )
    return pd.DataFrame(rows)


def missing_table(missing: Sequence[tuple[str, str, str]]) -> pd.DataFrame:
    """What could not be measured: (what, id, reason). Empty with its header if nothing is."""
    return pd.DataFrame(missing, columns=["what", "id", "reason"])
