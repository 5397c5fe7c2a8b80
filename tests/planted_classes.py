"""Two classes of points with a planted distance."""

import numpy as np


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def planted(
    seed: int, n: int = 60, d: int = 5, shift: float = 1.0, share: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Unit normal classes whose means differ by `shift` in every coordinate."""
    labels = np.arange(n) < round(share * n)
    return rng(seed).normal(size=(n, d)) + shift * labels[:, None], labels
