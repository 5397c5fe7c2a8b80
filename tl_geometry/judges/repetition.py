"""How repetitive is a sequence? Pure measures, each linear in the length of the sequence."""

import zlib
from collections import Counter, deque
from collections.abc import Hashable, Iterator, Sequence
from itertools import groupby, islice


def longest_run(items: Sequence[Hashable]) -> int:
    """Length of the longest run of one item; 0 for nothing."""
    return max((sum(1 for _ in run) for _, run in groupby(items)), default=0)


def top_share(items: Sequence[Hashable]) -> tuple[int, float]:
    """Count of the most common item, and its share; (0, 0.0) for nothing."""
    if not items:
        return 0, 0.0
    ((_, count),) = Counter(items).most_common(1)
    return count, count / len(items)


def doubled_share(items: Sequence[Hashable]) -> tuple[int, float]:
    """How many items equal the one before them, and their share of all neighbours."""
    if len(items) < 2:
        return 0, 0.0
    doubled = sum(a == b for a, b in zip(items, islice(items, 1, None), strict=False))
    return doubled, doubled / (len(items) - 1)


def cycles(items: Sequence[Hashable], longest: int) -> Iterator[tuple[float, int]]:
    """For each period up to `longest`: how often the stretch that holds it goes round, its length.

    "a b a b a" holds period 2 over 5 items and goes round 2.5 times.
    """
    for period in range(1, min(longest, len(items) - 1) + 1):
        later = islice(items, period, None)
        same = (a == b for a, b in zip(items, later, strict=False))
        kept = max((sum(1 for _ in run) for equal, run in groupby(same) if equal), default=0)
        if kept:
            yield (kept + period) / period, kept + period


def fewest_kinds(items: Sequence[Hashable], window: int) -> int:
    """The smallest number of different items in any `window` in a row; all items if fewer."""
    if len(items) <= window:
        return len(set(items))
    inside, counts, fewest = deque(items[:window]), Counter(items[:window]), window
    fewest = len(counts)
    for item in islice(items, window, None):
        gone = inside.popleft()
        counts[gone] -= 1
        if not counts[gone]:
            del counts[gone]
        inside.append(item)
        counts[item] += 1
        fewest = min(fewest, len(counts))
    return fewest


def lowest_ratio(text: str, window: int) -> float:
    """The smallest compressed size over size (zlib) of any half-overlapping `window` of the text.

    1.0 for a text shorter than half a window, where the format's own bytes decide.
    """
    starts = range(0, max(len(text) - window // 2, 0), window // 2)
    pieces = (text[start : start + window].encode() for start in starts)
    return min((len(zlib.compress(piece)) / len(piece) for piece in pieces), default=1.0)
