"""Correlations of curves over layers: by hand, and what few or uneven layers cannot say."""

from math import atanh, tanh

import numpy as np
import pytest

from tl_geometry.layer_curves import curve_correlation


def test_four_layers_by_hand() -> None:
    # Deviations (-1.5, -0.5, 0.5, 1.5) and (-1.5, 0.5, -0.5, 1.5): 4 / 5.
    found = curve_correlation(np.arange(4), np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4]))
    assert found.n == 4 and found.pearson.r == pytest.approx(0.8)
    assert found.spearman.r == pytest.approx(0.8)
    # Fisher's z has the standard deviation 1/√(n − 3) = 1.
    assert found.pearson.low == pytest.approx(tanh(atanh(0.8) - 1.959964), abs=1e-6)
    assert found.pearson.high == pytest.approx(tanh(atanh(0.8) + 1.959964), abs=1e-6)
    assert np.isnan(found.p_shifted) and "below 0.25" in found.p_reason


def test_ranks_do_not_care_for_the_scale() -> None:
    rising = np.array([1.0, 2, 3, 4, 5])
    found = curve_correlation(np.arange(5), rising, np.exp(3 * rising))
    assert found.spearman.r == pytest.approx(1.0) and found.pearson.r < 0.9


def test_of_all_shifts_only_the_true_one_matches_a_single_peak() -> None:
    a, b = np.zeros(25), np.zeros(25)
    a[7], b[7] = 1.0, 3.0
    assert curve_correlation(np.arange(25), a, b).p_shifted == pytest.approx(1 / 25)
    # One shift further the match is another shift's: every curve is its own shift's equal there.
    assert curve_correlation(np.arange(25), np.roll(a, 1), b).p_shifted == pytest.approx(1.0)


def test_a_slow_wave_is_not_what_a_textbook_takes_it_for() -> None:
    layers = np.arange(40)
    a, b = np.sin(2 * np.pi * layers / 40), np.sin(2 * np.pi * (layers + 3) / 40)
    found = curve_correlation(layers, a, b)
    assert found.pearson.p < 1e-9 and found.p_shifted > 0.2


def test_uneven_layers_cannot_be_shifted() -> None:
    layers = np.array([*range(24), 30])
    found = curve_correlation(layers, np.sqrt(layers), layers.astype(float))
    assert np.isnan(found.p_shifted) and "uneven" in found.p_reason


@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        ([1.0, 2, 3], [1.0, 2, 3], "3 layers"),
        ([1.0, 1, 1, 1], [1.0, 2, 3, 4], "first curve is the same"),
        ([1.0, 2, 3, 4], [0.0, 0, 0, 0], "second curve is the same"),
        ([1.0, 2, 3, np.nan], [1.0, 2, 3, 4], "not finite"),
    ],
)
def test_where_there_is_no_correlation_it_says_why(
    a: list[float], b: list[float], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        curve_correlation(np.arange(len(a)), np.array(a), np.array(b))
