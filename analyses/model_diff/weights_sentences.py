"""Directions of weight differences in sentences: what stands out, and what chance would do."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from analyses.model_diff.weights_tables import APPLIED
from figures.rows import count, records, select, values_of

SIGN = 0.05


def directions(table: pd.DataFrame) -> Iterator[str]:
    for kind in values_of(table, "kind"):
        if not str(kind).endswith(" 0"):
            continue
        rows = select(table, kind=kind, status="ok")
        if rows.empty:
            continue
        energy, noise = rows["energy"].to_numpy(float), rows["noise"].to_numpy(float)
        out = int((energy > 1.1 * noise).sum())
        yield (
            f"First singular direction of Δ{str(kind).split()[0]}: {energy.min():.3f} to "
            f"{energy.max():.3f} of the energy, a tenth or more above independent noise in {out} "
            f"of {len(rows)} layers; {_loud(rows)}."
        )


def applied(table: pd.DataFrame) -> Iterator[str]:
    """What a layer's change adds to the mean output of the base model."""
    rows = select(table, kind=APPLIED, status="ok")
    if rows.empty:
        return
    norm, first = rows["norm"].to_numpy(float), records(rows)[0]
    yield (
        f"Applied to what enters o and down on average over {first['texts']:.0f} responses of "
        f"{first['read_by']}, the change of a layer adds a vector of length {norm.min():.3g} to "
        f"{norm.max():.3g}; {_loud(rows)}."
    )


def _loud(rows: pd.DataFrame) -> str:
    loud = count(rows["p_peak"] < SIGN)
    return (
        f"in {loud} of {len(rows)} layers its words peak above 95 % of random directions "
        f"(about {SIGN * len(rows):.0f} by chance)"
    )


def aligned(table: pd.DataFrame) -> str:
    clear = count(table["p_adjusted"] < SIGN)
    worst = table.loc[table["cosine"].abs().idxmax()]
    return (
        f"H4, alignment: trait vectors and directions of the change have cosines of at most "
        f"{abs(float(worst['cosine'])):.2f} in size ({worst['kind']}, {worst['set']}, layer "
        f"{int(worst['layer'])}; a random direction's SD is {float(worst['sd']):.3f}); "
        f"{clear} of {len(table)} differ from random directions (Benjamini–Hochberg over all)."
    )


def over(table: pd.DataFrame) -> Iterator[str]:
    good = select(table, status="ok")
    for kind in values_of(good, "kind"):
        rows = select(good, kind=kind)
        above = count(rows["p_shifted"] < SIGN)
        yield (
            f"H4, alignment of {kind}: mean |cosine| with the trait vector of the same layer "
            f"{rows['matched'].min():.3f} to {rows['matched'].max():.3f} (other layers "
            f"{rows['shuffled'].min():.3f} to {rows['shuffled'].max():.3f}, random "
            f"{rows['random'].mean():.3f}); an alignment of layers (cyclic shifts, p < {SIGN}, not "
            f"corrected) in {above} of {len(rows)} sets."
        )


def energy(table: pd.DataFrame) -> str:
    clear = count(table["p_adjusted"] < SIGN)
    ratio = table["share"].to_numpy(float) / table["expected"].to_numpy(float)
    return (
        f"H4, energy: along trait vectors the changes write {np.median(ratio):.2f} times a random "
        f"direction's share (median; {ratio.min():.2f} to {ratio.max():.2f}); {clear} of "
        f"{len(table)} are above random directions (Benjamini–Hochberg)."
    )
