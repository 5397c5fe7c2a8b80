"""Pairs: disjoint, balanced, as close in length as can be, and the same every time."""

from collections import Counter
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_geometry.prompts import LEVELS, PLAIN, Pairing, Prompt, load_bank, pairs
from tl_geometry.prompts.banks import Kind


@pytest.fixture(scope="module")
def bank() -> tuple[Prompt, ...]:
    return load_bank("bank")


@pytest.fixture(scope="module")
def lengths(bank: tuple[Prompt, ...]) -> dict[str, int]:
    """Stand-in for a tokenizer: about one token for four characters."""
    return {prompt.id: len(prompt.text) // 4 + 2 for prompt in bank}


def differences(pairing: Pairing, lengths: dict[str, int]) -> list[int]:
    return [abs(lengths[p.target.id] - lengths[p.donor.id]) for p in pairing.pairs]


def prompt(name: str, group: str, kind: Kind) -> Prompt:
    return Prompt(name, group, kind, None, f"text of {name}")


@pytest.mark.parametrize("n", [1, 7, 10, 151, 200])
def test_pairs_are_disjoint_and_balanced(
    bank: tuple[Prompt, ...], lengths: dict[str, int], n: int
) -> None:
    found = pairs(bank, n, 0, lengths).pairs
    assert len({p.id for pair in found for p in (pair.target, pair.donor)}) == 2 * n
    assert {pair.target.kind for pair in found} == {"plain"}
    assert {pair.donor.kind for pair in found} == {"recursive"}
    for side, groups in (("target", PLAIN), ("donor", tuple(LEVELS))):
        counts = Counter(getattr(pair, side).group for pair in found)
        assert max(counts[g] for g in groups) - min(counts[g] for g in groups) <= 1


def test_pairs_do_not_depend_on_the_order_of_the_bank(
    bank: tuple[Prompt, ...], lengths: dict[str, int]
) -> None:
    assert pairs(bank, 151, 3, lengths) == pairs(bank[::-1], 151, 3, lengths)


def test_another_seed_gives_other_pairs(bank: tuple[Prompt, ...], lengths: dict[str, int]) -> None:
    first, second = (pairs(bank, 20, seed, lengths) for seed in (0, 1))
    assert set(first.pairs) != set(second.pairs)
    assert {p.target for p in first.pairs} != {p.target for p in second.pairs}


def test_first_pairs_are_a_mixed_sample(bank: tuple[Prompt, ...], lengths: dict[str, int]) -> None:
    # Sorted by group, the first 30 of 151 would all come from one group of either side.
    first = pairs(bank, 151, 0, lengths).pairs[:30]
    assert len({pair.target.group for pair in first}) == len(PLAIN)
    assert len({pair.donor.group for pair in first}) == len(LEVELS)


def test_matched_lengths_are_much_closer_than_random(
    bank: tuple[Prompt, ...], lengths: dict[str, int]
) -> None:
    matched = np.mean(differences(pairs(bank, 151, 0, lengths), lengths))
    sides = [[lengths[p.id] for p in bank if p.kind == k] for k in ("plain", "recursive")]
    random = np.mean(np.abs(np.subtract.outer(*map(np.array, sides))))
    assert matched < 0.5
    assert matched < random / 8


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=8, max_size=8),
    st.sampled_from([2, 4]),
    st.integers(0, 99),
)
def test_total_difference_is_the_smallest_that_the_quotas_allow(
    drawn: list[int], n: int, seed: int
) -> None:
    donors = [prompt(f"d{i}", f"level {i % 2}", "recursive") for i in range(4)]
    targets = [prompt(f"t{i}", f"kind {i % 2}", "plain") for i in range(4)]
    lengths = {p.id: length for p, length in zip(donors + targets, drawn, strict=True)}

    def choices(side: list[Prompt]) -> list[tuple[Prompt, ...]]:
        balanced = [c for c in permutations(side, n) if len({p.group for p in c}) == 2]
        return [c for c in balanced if Counter(p.group for p in c).most_common(1)[0][1] == n // 2]

    best = min(
        sum(abs(lengths[a.id] - lengths[b.id]) for a, b in zip(c, d, strict=True))
        for c, d in product(choices(donors), choices(targets))
    )
    found = pairs([*donors, *targets], n, seed, lengths)
    assert sum(differences(found, lengths)) == best


def test_a_small_group_gives_what_it_has_and_the_others_the_rest() -> None:
    donors = [prompt(f"d{i}", "small" if i == 0 else "large", "recursive") for i in range(6)]
    targets = [prompt(f"t{i}", "only", "plain") for i in range(6)]
    found = pairs([*donors, *targets], 4, 0, {p.id: 20 for p in (*donors, *targets)})
    assert Counter(pair.donor.group for pair in found.pairs) == {"small": 1, "large": 3}


def test_short_prompts_are_returned_with_the_reason(
    bank: tuple[Prompt, ...], lengths: dict[str, int]
) -> None:
    short = {"L3_deeper_01": 9, "narrative_02": 16, "meditation_01": 3}
    found = pairs(bank, 151, 0, lengths | short, min_length=17)
    assert {p.id: reason for p, reason in found.excluded} == {
        "L3_deeper_01": "9 tokens, at least 17 needed",
        "narrative_02": "16 tokens, at least 17 needed",
    }
    used = {p.id for pair in found.pairs for p in (pair.target, pair.donor)}
    assert used.isdisjoint(short)


@pytest.mark.parametrize("n", [201, 0, -1])
def test_more_pairs_than_the_bank_supports_are_refused(
    bank: tuple[Prompt, ...], lengths: dict[str, int], n: int
) -> None:
    with pytest.raises(ValueError, match=f"{n} pairs are asked for.*supports 1 to 200: 200 rec"):
        pairs(bank, n, 0, lengths)


def test_excluded_prompts_count_against_what_is_supported(
    bank: tuple[Prompt, ...], lengths: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match=r"1 to 199: 200 recursive and 199 plain.*1 are shorter"):
        pairs(bank, 200, 0, lengths | {"factual_03": 1}, min_length=17)


def test_a_bank_of_one_kind_supports_no_pairs(
    bank: tuple[Prompt, ...], lengths: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match="200 recursive and 0 plain"):
        pairs([p for p in bank if p.kind != "plain"], 5, 0, lengths)


def test_a_prompt_without_length_is_named(
    bank: tuple[Prompt, ...], lengths: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match="1 prompts, the first of them 'factual_03'"):
        pairs(bank, 5, 0, {k: v for k, v in lengths.items() if k != "factual_03"})


def test_two_banks_with_the_same_ids_are_refused(
    bank: tuple[Prompt, ...], lengths: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match="more than once: L1_hint_01;"):
        pairs([*bank, bank[0]], 5, 0, lengths)
