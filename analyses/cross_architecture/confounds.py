"""Is it the kind of text, or how long, how repetitive, how improbable, how worded it is?

All on the measuring half; whatever has to be fitted is fitted on the choosing half.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata

from analyses.cross_architecture.critical import choosing, log_pr, measuring, recursive
from analyses.cross_architecture.gaps import gap_at, safe
from analyses.cross_architecture.recording import Record
from tl_geometry.bootstrap import Interval, bca, missing_interval
from tl_geometry.prompts import Prompt
from tl_geometry.resampling import Statistic, simple_weights
from tl_geometry.statistics import hedges_g

Rows = Sequence[Mapping[str, Any]]
Array = Float[np.ndarray, " text"]
COVARIATES = {
    "tokens": "number of tokens",
    "distinct_tokens": "share of distinct tokens in the window",
    "nll": "log perplexity under the model",
}
CALIPERS = {"tokens": 3.0, "distinct_tokens": 2 / 16, "nll": 0.15}
"""How far two matched texts may differ: tokens, share, nats a token. Fixed before the data."""
KEYWORDS = 10


def outcome(rows: Rows, record: Record) -> Array:
    """log R_V at the model's critical layer."""
    values = log_pr(rows)
    return values[:, record.roles["gap"]] - values[:, record.depths.early]


def adjusted_table(record: Record, resamples: int, seed: int) -> pd.DataFrame:
    """The gap as it is, freed of each covariate and of all, and in matched texts.

    In units of the spread within a kind of text, so that all rows compare with g.
    """
    rows = measuring(list(record.texts))
    y, first = outcome(rows, record), recursive(rows)
    rng = np.random.default_rng([seed, 6])
    layers = record.roles["gap"], record.depths.early
    as_it_is = safe(lambda: gap_at(rows, *layers, resamples, seed).interval(), len(rows))
    found = {"as it is": as_it_is}
    for name in COVARIATES:
        found[f"given {name}"] = safe(lambda n=name: _given(rows, y, first, (n,)), len(rows), "HC3")
    everything = tuple(COVARIATES)
    found["given all three"] = safe(lambda: _given(rows, y, first, everything), len(rows), "HC3")
    kept = _matched(rows, first)
    found["matched texts"] = safe(lambda: _g(y[kept], first[kept], rng, resamples), len(kept))
    balance = [
        {"comparison": f"{name} of the two kinds", "about": "balance", **asdict(interval)}
        for name, interval in _balance(rows, first, rng, resamples).items()
    ]
    table = [{"comparison": k, "about": "gap", **asdict(v)} for k, v in found.items()]
    return pd.DataFrame([{"model": record.name, **row} for row in [*table, *balance]])


def _g(values: Array, first: Any, rng: np.random.Generator, resamples: int) -> Interval:
    return hedges_g(values[first], values[~first], rng=rng, n_resamples=resamples)


def _balance(
    rows: Rows, first: Any, rng: np.random.Generator, resamples: int
) -> dict[str, Interval]:
    columns = {name: np.array([row[name] for row in rows], float) for name in COVARIATES}
    return {
        name: safe(lambda v=values: _g(v, first, rng, resamples), len(rows))
        for name, values in columns.items()
    }


def _given(rows: Rows, y: Array, first: Any, names: Sequence[str]) -> Interval:
    """Coefficient of the kind in a regression on it and the covariates, with HC3 errors."""
    from statsmodels.api import OLS

    columns = [np.array([row[name] for row in rows], float) for name in names]
    if constant := [n for n, c in zip(names, columns, strict=True) if np.ptp(c) == 0]:
        raise ValueError(f"{constant[0]} is the same in all texts")
    design = np.column_stack([np.ones(len(y)), first, *((c - c.mean()) / c.std() for c in columns)])
    spread = np.sqrt(np.mean([y[first].var(ddof=1), y[~first].var(ddof=1)]))
    fit = OLS(y / spread, design).fit(cov_type="HC3")
    low, high = fit.conf_int()[1]
    return Interval(float(fit.params[1]), float(low), float(high), 0.95, len(y), "HC3")


def _matched(rows: Rows, first: Any) -> Any:
    """Indices of texts that have a partner of the other kind within all calipers."""
    a, b = np.flatnonzero(first), np.flatnonzero(~first)
    apart = np.zeros((len(a), len(b)))
    for name, caliper in CALIPERS.items():
        values = np.array([row[name] for row in rows], float)
        share = np.abs(values[a][:, None] - values[b]) / caliper
        apart = np.maximum(apart, share)
    within = apart <= 1 + 1e-9
    cost = np.where(within, apart, 1e3)
    pairs = [(i, j) for i, j in zip(*linear_sum_assignment(cost), strict=True) if within[i, j]]
    if len(pairs) < 2:
        return np.array([], int)
    return np.array([k for i, j in pairs for k in (a[i], b[j])])


def baseline_table(
    record: Record, bank: Sequence[Prompt], resamples: int, seed: int
) -> pd.DataFrame:
    """How well one number tells the kinds of text apart (AUROC): R_V, and what needs no model.

    The sign of every score is chosen on the choosing half, the area measured on the other.
    """
    train, test = choosing(list(record.texts)), measuring(list(record.texts))
    texts = {p.id: p.text for p in bank}
    scores = {
        "R_V at the critical layer": (outcome(train, record), outcome(test, record)),
        **{
            name: tuple(np.array([row[column] for row in half], float) for half in (train, test))
            for column, name in COVARIATES.items()
        },
        **_word_scores(train, test, texts),
    }
    weights = _weights(recursive(test), resamples, seed)
    rows = []
    for name, (seen, fresh) in scores.items():
        direction = 1 if auroc(seen, recursive(train)) >= 0.5 else -1
        area = safe(
            lambda s=direction * fresh: _area_interval(s, recursive(test), weights), len(test)
        )
        rows.append({"model": record.name, "score": name, **asdict(area)})
    return pd.DataFrame(rows)


def _word_scores(train: Rows, test: Rows, texts: Mapping[str, str]) -> dict[str, Any]:
    """A linear classifier on TF-IDF words, and a count of the ten most telling words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.feature_selection import chi2
    from sklearn.linear_model import LogisticRegression

    seen, fresh = ([texts[row["id"]] for row in half] for half in (train, test))
    vectors = TfidfVectorizer(token_pattern=r"[A-Za-z']+").fit(seen)
    a: Any = vectors.transform(seen)
    b: Any = vectors.transform(fresh)
    fit = LogisticRegression(max_iter=1000).fit(a, recursive(train))
    more = np.asarray(a[recursive(train)].mean(0) - a[~recursive(train)].mean(0)).ravel()
    telling = np.argsort(-np.where(more > 0, chi2(a, recursive(train))[0], 0))[:KEYWORDS]
    counts = [np.asarray((x[:, telling] > 0).sum(1), float).ravel() for x in (a, b)]
    return {
        "words (TF-IDF, logistic)": (fit.decision_function(a), fit.decision_function(b)),
        "ten keywords": (counts[0], counts[1]),
    }


def auroc(scores: Array, first: Any) -> float:
    """Share of (self-observing, plain) pairs in the right order; ties count half."""
    ranks, n, m = rankdata(scores), int(first.sum()), int((~first).sum())
    return float((ranks[first].sum() - n * (n + 1) / 2) / (n * m))


def _weights(first: Any, resamples: int, seed: int) -> Float[np.ndarray, "resample text"]:
    rng = np.random.default_rng([seed, 7])
    drawn = np.zeros((resamples, len(first)))
    for side in (first, ~first):
        drawn[:, side] = simple_weights(int(side.sum()), resamples, rng)
    return drawn


def _area_interval(scores: Array, first: Any, weights: Any) -> Interval:
    area = auroc(scores, first)
    if area in (0.0, 1.0):
        reason = "the kinds are told apart without error: resampling shows no spread"
        return missing_interval(reason, n=len(scores), method="BCa", estimate=area)
    one_less = 1 - np.eye(len(scores))
    sides = (one_less[first], one_less[~first])
    return bca(_area(scores, first), weights, len(scores), jackknife=sides).interval()


def _area(scores: Array, first: Any) -> Statistic:
    a, b = scores[first], scores[~first]
    order = (a[:, None] > b) + 0.5 * (a[:, None] == b)

    def area(weights: Float[np.ndarray, "resample text"]) -> Float[np.ndarray, " resample"]:
        w, v = weights[:, first], weights[:, ~first]
        return ((w @ order) * v).sum(1) / (w.sum(1) * v.sum(1))

    return area
