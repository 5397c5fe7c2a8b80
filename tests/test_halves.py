"""The two halves of a bank: fixed by each prompt's own id, and disjoint."""

from tl_geometry.prompts import Prompt, chooses, halves, load_bank


def test_every_prompt_is_in_one_half_whatever_the_order() -> None:
    bank = load_bank("pocket")
    choosing, measuring = halves(bank)
    assert {p.id for p in choosing} | {p.id for p in measuring} == {p.id for p in bank}
    assert not {p.id for p in choosing} & {p.id for p in measuring}
    backwards = halves(bank[::-1])
    assert set(backwards[0]) == set(choosing) and set(backwards[1]) == set(measuring)


def test_a_further_prompt_moves_no_other() -> None:
    bank = load_bank("pocket")
    more = (*bank, Prompt("new", "factual", "plain", None, "A new text."))
    assert [chooses(p) for p in more][: len(bank)] == [chooses(p) for p in bank]


def test_both_halves_support_the_default_pairs_in_both_banks() -> None:
    for name in ("bank", "pocket"):
        for half in halves(load_bank(name)):
            for kind in ("recursive", "plain"):
                assert sum(p.kind == kind for p in half) >= 75


def test_the_split_is_that_of_the_hash() -> None:
    # By sha256sum, "half\x1fa" begins with 91, then 44, 4f and 96: even bytes choose.
    found = [chooses(Prompt(name, "factual", "plain", None, "x")) for name in "abcd"]
    assert found == [False, True, False, True]
