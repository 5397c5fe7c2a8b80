"""What the groups of a bank have in common, as a table.

from tl_geometry.prompts.summary import summary_table
summary_table(load_bank("bank"))
"""

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import mean, stdev

import pandas as pd

from tl_geometry.prompts.banks import Prompt
from tl_geometry.prompts.wording import (
    ENDINGS,
    commands,
    ending,
    overlap,
    sentences,
    tail_variety,
)


def summary_table(prompts: Sequence[Prompt]) -> pd.DataFrame:
    """One row a group, in the order of the bank.

    `n` prompts; mean, standard deviation, least and most words; mean words of the last sentence;
    mean type/token ratio of the last 16 words; shares (0–1) of the three endings, and of prompts
    with a command anywhere; the largest word-trigram Jaccard index between two of the group.
    """
    groups = dict.fromkeys((p.kind, p.group) for p in prompts)
    return pd.DataFrame(
        {"kind": kind, "group": group}
        | _measures([p.text for p in prompts if (p.kind, p.group) == (kind, group)])
        for kind, group in groups
    )


def _measures(texts: Sequence[str]) -> dict[str, float]:
    counts = [len(text.split()) for text in texts]
    last = [len(sentences(text)[-1].split()) for text in texts]
    forms = [ending(text) for text in texts]
    return {
        "n": len(texts),
        "words": mean(counts),
        "words_sd": stdev(counts) if len(texts) > 1 else math.nan,
        "fewest": min(counts),
        "most": max(counts),
        "last_sentence_words": mean(last),
        "tail_variety": mean(map(tail_variety, texts)),
        **{form: forms.count(form) / len(texts) for form in ENDINGS},
        "commands": mean(map(commands, texts)),
        "largest_overlap": max((overlap(a, b) for a, b in combinations(texts, 2)), default=0.0),
    }
