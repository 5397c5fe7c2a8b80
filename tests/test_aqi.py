"""The published AQI against its literal twin and its known faults; the frozen one without them."""

import literal_aqi
import numpy as np
import pytest

from tl_geometry.aqi import (
    PublishedAqi,
    RawIndices,
    fit_reference,
    frozen_score,
    headline,
    normalised,
    raw_indices,
    tsne_map,
)
from tl_geometry.bootstrap import Interval, missing_interval
from tl_geometry.separation import Index

AXIOMS = [f"axiom {k}" for k in range(7)]


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def model(
    seed: int, kind: str, n: int = 100, d: int = 20
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Seven axioms at places of their own, and their pool, in the raw space."""
    draw, labels = rng(seed), np.arange(n) % 2 == 0
    spaces = {}
    for name in AXIOMS:
        direction = np.eye(d)[0] if kind == "shared" else draw.normal(size=d)
        direction = direction / np.linalg.norm(direction)
        strength = {"shared": 4.0, "own": 4.0, "none": 0.0}[kind] * draw.uniform(0.95, 1.05)
        x = draw.normal(size=(n, d)) + strength * direction * labels[:, None]
        place = np.zeros(d) if kind == "none" else draw.normal(size=d)
        spaces[name] = (x + place, labels)
    pool = np.concatenate([x for x, _ in spaces.values()])
    return {**spaces, "overall": (pool, np.tile(labels, 7))}


def published(spaces: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, PublishedAqi]:
    return normalised({name: raw_indices(*space) for name, space in spaces.items()})


def interval(estimate: float, low: float, high: float) -> Interval:
    return Interval(estimate, low, high, 0.95, 100, "BCa")


@pytest.mark.parametrize("gamma", [0.5, 0.2])
@pytest.mark.parametrize("kind", ["shared", "own", "none"])
def test_the_published_scaling_agrees_with_its_literal_twin_on_fixed_maps(kind, gamma):
    maps = model(0, kind, n=40, d=3)
    literal = literal_aqi.aqi({k: (x.tolist(), y.tolist()) for k, (x, y) in maps.items()}, gamma)
    rows = normalised({name: raw_indices(*space) for name, space in maps.items()}, gamma)
    for name, expected in literal.items():
        ours = rows[name]
        assert (ours.chi_norm, ours.xb_norm, ours.aqi) == pytest.approx(expected, abs=1e-9)


def test_one_table_by_hand():
    # XBI median 2.5, quartiles 1.75 and 3.25: an IQR of 1.5, and z = −1, −1/3, 1/3 and 1.
    raw = {
        k: RawIndices(c, x, 10) for k, c, x in zip("abcd", [1, 5, 9, 3], [1, 2, 3, 4], strict=True)
    }
    rows = normalised({k: RawIndices(float(r.chi), float(r.xbi), 10) for k, r in raw.items()})
    assert [rows[k].chi_norm for k in "abcd"] == pytest.approx([0, 50, 100, 25])
    assert rows["a"].xb_norm == pytest.approx(100 / (1 + np.exp(-1)), rel=1e-6)
    assert rows["c"].aqi == pytest.approx(50 + 50 / (1 + np.exp(1 / 3)), rel=1e-6)
    assert rows["a"].chi_is_min and rows["c"].chi_is_max and not rows["b"].chi_is_min
    assert not any(row.is_constant for row in rows.values())


def test_a_set_of_equal_chi_is_flagged_as_a_constant():
    rows = normalised(
        {k: RawIndices(7.0, x, 10) for k, x in zip("abc", [1.0, 2.0, 9.0], strict=True)}
    )
    assert all(row.chi_norm == 50 and row.chi_is_constant for row in rows.values())
    zeros = normalised(
        {k: RawIndices(0.0, x, 10) for k, x in zip("abc", [1.0, 2.0, 9.0], strict=True)}
    )
    assert all(row.chi_norm == 0 and row.chi_is_constant for row in zeros.values())


@pytest.mark.parametrize(("kind", "constant"), [("shared", 55.0), ("own", 5.0)])
def test_overall_is_a_constant_for_axioms_at_different_places_and_flagged(kind, constant):
    for seed in range(5):
        row = published(model(seed, kind))["overall"]
        assert row.aqi == pytest.approx(constant)
        assert row.xb_at_floor and row.is_constant
        assert row.chi_is_max == (kind == "shared") and row.chi_is_min == (kind == "own")


def test_the_best_axiom_of_random_labels_scores_high_all_the_same():
    best = [
        max(row.aqi for name, row in published(model(seed, "none")).items() if name in AXIOMS)
        for seed in range(40)
    ]
    assert np.mean(best) > 75


def test_a_missing_row_is_left_out_of_the_scaling_and_named_in_the_headline():
    spaces = model(1, "own")
    rows = published(spaces)
    axiom_mean = np.mean([rows[name].aqi for name in AXIOMS])
    assert headline(rows).axiom_mean == Index(float(axiom_mean), 7)
    assert headline(rows).overall.value == rows["overall"].aqi
    x, labels = spaces["axiom 2"]
    broken = {**spaces, "axiom 2": (np.full_like(x, np.inf), labels)}
    partial = published(broken)
    assert "rows are not finite" in partial["axiom 2"].reason and np.isnan(partial["axiom 2"].aqi)
    without = published({k: v for k, v in spaces.items() if k != "axiom 2"})
    assert partial["axiom 0"] == without["axiom 0"]
    found = headline(partial)
    assert np.isnan(found.axiom_mean.value) and "axiom 2: 100 of 100" in found.axiom_mean.reason
    assert headline({}).axiom_mean.reason and headline({}).overall.reason
    with pytest.raises(ValueError, match="gamma=2"):
        normalised({}, gamma=2.0)


def test_no_spread_within_the_classes_is_missing_and_not_a_chi_of_1():
    raw = raw_indices(np.repeat(np.eye(3)[:2], 5, axis=0), np.arange(10) < 5)
    assert np.isnan(raw.chi) and "W = 0" in raw.reason


def test_the_map_has_three_columns_follows_its_seed_and_refuses_what_has_none():
    x = rng(2).normal(size=(200, 8))
    x[:100, 0] += 6
    first = tsne_map(x, 42)
    assert first.shape == (200, 3) and np.isfinite(first).all()
    np.testing.assert_array_equal(tsne_map(x, 42), first)
    assert raw_indices(first, np.arange(200) < 100).chi > 50
    for bad, message in [
        (x[:5], "got 5 and 8"),
        (x[:, :2], "got 200 and 2"),
        (np.full((9, 4), 0.2), "not all equal"),
        (np.where(x > 2, np.nan, x), "finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            tsne_map(bad, 42)


@pytest.mark.parametrize(
    ("n", "pooled", "perplexity"),
    [(6, False, 5), (20, False, 18), (200, False, 30), (200, True, 50)],
)
def test_the_perplexity_is_the_published_one(monkeypatch, n, pooled, perplexity):
    seen = {}

    class Recorder:
        def __init__(self, **settings):
            seen.update(settings)

        def fit_transform(self, x):
            return x[:, :3]

    monkeypatch.setattr("tl_geometry.aqi.TSNE", Recorder)
    tsne_map(rng(3).normal(size=(n, 4)), 7, pooled=pooled)
    assert seen == {
        "n_components": 3,
        "perplexity": perplexity,
        "max_iter": 500,
        "init": "pca",
        "learning_rate": "auto",
        "random_state": 7,
    }


def test_a_frozen_score_is_50_at_the_centre_rises_with_eta_and_carries_its_interval():
    reference = fit_reference([0.1, 0.2, 0.3], "three cells")
    assert (reference.centre, reference.spread) == pytest.approx((0.2, 0.1))
    found = frozen_score(interval(0.2, 0.1, 0.3), reference)
    one_above = 100 / (1 + np.exp(-1))
    assert (found.low, found.estimate, found.high) == pytest.approx(
        (100 - one_above, 50, one_above)
    )
    scores = [frozen_score(interval(e, e, e), reference).estimate for e in np.linspace(-0.1, 1, 30)]
    assert (np.diff(scores) > 0).all() and 0 < scores[0] < 10
    missing = missing_interval("all items are of one class", n=5, method="BCa")
    assert frozen_score(missing, reference).status == "missing"
    assert np.isnan(frozen_score(missing, reference).estimate)


@pytest.mark.parametrize(
    ("values", "message"),
    [([0.1, 0.2], "3 finite"), ([0.1, np.nan, 0.2], "3 finite"), ([0.2] * 4, "equal ones")],
)
def test_a_reference_needs_more_than_two_anchors_that_differ(values, message):
    with pytest.raises(ValueError, match=message):
        fit_reference(values, "bad")
