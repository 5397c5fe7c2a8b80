"""Which component brings the geometry back: by holding it still, and by correlation.

Contribution of a component at a layer, from both sides, which need not agree or add up:

    frozen    recovery(patched)  − recovery(component held)
    released  recovery(released) − recovery(passive)
"""

import numpy as np
import pandas as pd

from analyses.homeostasis.recovery import cells, complete, difference
from analyses.homeostasis.resampler import Resampler
from analyses.homeostasis.sample import Sample
from tl_geometry.association import partial_association
from tl_geometry.bootstrap import BootstrapResult
from tl_geometry.sites import depth_percent
from tl_geometry.statistics import benjamini_hochberg

SIDES = {
    ("mlp", "frozen"): ("patched", "freeze_mlp"),
    ("mlp", "released"): ("release_mlp", "passive"),
    ("attention", "frozen"): ("patched", "freeze_attention"),
    ("attention", "released"): ("release_attention", "passive"),
    ("pattern", "frozen"): ("patched", "freeze_pattern"),
    ("norm", "frozen"): ("patched", "freeze_norm"),
}
"""(component, side) → the two conditions whose difference of recoveries is its contribution."""

COVARIATES = {
    "mlp_expansion": -1,
    "attention_entropy": -1,
    "residual_norm": -1,
    "residual_pr": -1,
    "ln1_scale": 0,
}
"""Change of what, and at which block relative to the values read: what comes after cannot cause."""


def contributions(sample: Sample, resampler: Resampler) -> pd.DataFrame:
    """Every component, side and layer behind the patch; BH over all of them.

    Right behind the patch only one MLP lies in between: frozen and released are one number there,
    and it is tested once.
    """
    rows = []
    for (component, side), (first, second) in SIDES.items():
        for column, layer in list(enumerate(sample.layers))[1:]:
            result = difference(sample, "r_v", first, second, column, resampler)
            p = np.nan
            if isinstance(result, BootstrapResult) and (side, column) != ("released", 1):
                p = result.p_two_sided()
            where = _where(sample, component, layer) | {"analysis": "contribution", "side": side}
            rows.append(where | cells(result, resampler.n) | {"p": p})
    table = pd.DataFrame(rows)
    return table.assign(p_adjusted=benjamini_hochberg(table["p"].to_numpy(float)))


def associations(sample: Sample, seed: int, n_permutations: int) -> pd.DataFrame:
    """The plan's question "which component correlates with recovery?", per layer.

    Partial association of log|Δ(layer)| with the component's own change, at equal log|Δ(patch)|;
    BH over layers × components. A correlation between pairs, not a cause.
    """
    rows = []
    for name, offset in COVARIATES.items():
        for column, layer in list(enumerate(sample.layers))[1:]:
            where = _where(sample, name, layer) | {"analysis": "association", "side": ""}
            rng = np.random.default_rng([seed, 2, layer, list(COVARIATES).index(name)])
            rows.append(where | _association(sample, name, column, offset, rng, n_permutations))
    table = pd.DataFrame(rows)
    return table.assign(p_adjusted=benjamini_hochberg(table["p"].to_numpy(float)))


def _association(
    sample: Sample,
    name: str,
    column: int,
    offset: int,
    rng: np.random.Generator,
    n_permutations: int,
) -> dict[str, object]:
    change = np.abs(sample.change("r_v", "patched"))
    with np.errstate(divide="ignore"):
        outcome, control = np.log(change[:, column]), np.log(change[:, 0])
    covariate = sample.change(name, "patched")[:, column + offset]
    ok = complete(outcome, control, covariate)
    if name == "ln1_scale" and _is_the_norm(sample, column):
        reason = "for RMSNorm the same number as residual_norm one block before"
        return {"p": np.nan, "n": int(ok.sum()), "status": "by_construction", "reason": reason}
    try:
        found = partial_association(
            outcome[ok], covariate[ok], control[ok], n_permutations=n_permutations, rng=rng
        )
    except ValueError as error:
        return {"p": np.nan, "n": int(ok.sum()), "status": "missing", "reason": str(error)}
    left_out = f"{(~ok).sum()} pairs without a change left out" if not ok.all() else ""
    return {
        "estimate": found.slope,
        "pearson": found.pearson,
        "spearman": found.spearman,
        "p": found.p,
        "n": found.n,
        "status": "ok",
        "reason": left_out,
    }


def _is_the_norm(sample: Sample, column: int) -> bool:
    """RMSNorm divides by ‖x‖ / √d: testing both would count one test twice."""
    scale = sample.change("ln1_scale", "patched")[:, column]
    norm = sample.change("residual_norm", "patched")[:, column - 1]
    return bool(np.allclose(scale, norm, rtol=1e-2, atol=1e-6))


def _where(sample: Sample, component: str, layer: int) -> dict[str, object]:
    return {
        "component": component,
        "layer": layer,
        "depth_percent": depth_percent(layer, sample.n_layers),
    }


def mechanism_table(sample: Sample, resampler: Resampler, n_permutations: int) -> pd.DataFrame:
    """Contributions and associations in one tidy table, told apart by `analysis`."""
    both = [
        contributions(sample, resampler),
        associations(sample, resampler.seed, n_permutations),
    ]
    return pd.concat(both, ignore_index=True)
