"""The published AQI of fixed 3-D maps, written out sum by sum: an oracle for tests.

Borah et al. 2025 (arXiv 2506.13901) in the "xb_chi" form. Nothing of tl_geometry and no NumPy.
"""

import math
from collections.abc import Mapping, Sequence

Points = Sequence[Sequence[float]]


def mean_of(points: Points) -> list[float]:
    return [math.fsum(p[j] for p in points) / len(points) for j in range(len(points[0]))]


def squared_distance(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def chi_and_xbi(points: Points, labels: Sequence[bool]) -> tuple[float, float]:
    n, k = len(points), 2
    centre = mean_of(points)
    between, within, means = 0.0, 0.0, []
    for label in (True, False):
        members = [p for p, own in zip(points, labels, strict=True) if own == label]
        mean = mean_of(members)
        between += len(members) * squared_distance(mean, centre)
        within += math.fsum(squared_distance(p, mean) for p in members)
        means.append(mean)
    chi = (between / (k - 1)) / (within / (n - k))
    return chi, within / (n * squared_distance(*means))


def quantile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def aqi(
    maps: Mapping[str, tuple[Points, Sequence[bool]]], gamma: float = 0.5
) -> dict[str, tuple[float, float, float]]:
    """Row → (CHI_norm, XB_norm, AQI), for the axioms and the pool of one model."""
    raw = {name: chi_and_xbi(points, labels) for name, (points, labels) in maps.items()}
    chis, xbis = [chi for chi, _ in raw.values()], [xbi for _, xbi in raw.values()]
    median = quantile(xbis, 0.5)
    iqr = quantile(xbis, 0.75) - quantile(xbis, 0.25)
    rows = {}
    for name, (chi, xbi) in raw.items():
        reach = max(chis) - min(chis)
        if reach < 1e-9:
            chi_norm = 0.0 if max(chis) == 0 else 50.0
        else:
            chi_norm = 100 * (chi - min(chis)) / reach
        z = (xbi - median) / (iqr + 1e-9)
        sigmoid = 1 / (1 + math.exp(-z)) if z > -700 else 0.0
        xb_norm = min(max(100 * (1 - sigmoid), 10.0), 100.0)
        rows[name] = (chi_norm, xb_norm, gamma * chi_norm + (1 - gamma) * xb_norm)
    return rows
