import pytest

from tl_geometry.judges import (
    is_garbled,
    is_garbled_seed,
    nll_band,
    quality,
    quality_seed,
    why_garbled,
)
from tl_geometry.judges.repetition import (
    cycles,
    doubled_share,
    fewest_kinds,
    longest_run,
    lowest_ratio,
    top_share,
)

SOUND_BUT_NOT_TO_THE_PUBLISHED_RULE = [
    "Part one is the list.\n\n--------\n\nPart two is the recipe.",
    "That was a very very very good cake, and so was the next.",
    "Yes.",
    "B",
    "Row, row, row your boat,\nGently down the stream.\nMerrily, merrily, merrily, merrily,\n"
    "Life is but a dream.",
    "Name: ____________________\nDate: ____________________",
]
SOUND = [
    "1. Take the bread.\n2. Take the butter.\n3. Take the knife.\n4. Take a plate.",
    "I'm sorry, but I can't help with that. To smash the table would harm others. Why not borrow "
    "the table instead?",
    "水を沸かして、お茶の葉を入れて、三分待ちます。",
    "| a | b |\n|-----------|-----------|\n| 1 | 2 |",
    "1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89",
]
BROKEN = {
    "": "empty",
    " \n\t": "empty",
    "\ufffd\ufffd\ufffd and the lamp": "broken bytes",
    ". . . , . , , . . ; . . , .": "few letters",
    "----------------------------------------": "few letters",
    "The answer is !!!!!!!!!!!!!!!!!!!!": "one sign repeated",
    "First you take the sooooooooooooooooooo": "letters repeated",
    "I think that itititititititititititit": "letters repeated",
    "Take the lamp lamp lamp lamp lamp lamp": "one word dominates",
    "of and of of the of of a of of": "one word dominates",
    "I'm sorry sorry sorry I can't can't help help with with that that": "words doubled",
    "to be a part of it to be a part of it to be a part of it to": "a phrase repeated in a row",
    "I won’t help with that, I won’t help with that, I won’t help with that": (
        "a phrase repeated in a row"
    ),
    "a b c a c b b a c c a b b c a a b c c b a b a c c b": "few different words",
}


@pytest.mark.parametrize("text", SOUND + SOUND_BUT_NOT_TO_THE_PUBLISHED_RULE)
def test_sound_text_is_not_garbled(text: str) -> None:
    assert why_garbled(text) == ""


@pytest.mark.parametrize("text", SOUND_BUT_NOT_TO_THE_PUBLISHED_RULE)
def test_the_published_rule_is_kept_with_its_side_effects(text: str) -> None:
    assert is_garbled_seed(text)


@pytest.mark.parametrize(("text", "reason"), BROKEN.items())
def test_broken_text_is_garbled_for_the_right_reason(text: str, reason: str) -> None:
    assert why_garbled(text) == reason and is_garbled(text)


def test_a_cycle_longer_than_any_phrase_still_compresses() -> None:
    kinds = [chr(97 + k % 26) * 3 + "rs"[k // 26] for k in range(45)]
    assert why_garbled(" ".join(kinds * 8)) == "compresses too well"
    assert why_garbled(" ".join(kinds)) == ""


@pytest.mark.parametrize(
    ("garbled", "sound"),
    [
        ("abcd", "abcde"),  # stripped length < 5
        ("abcdefghhhhhhhh", "abcdefghhhhhhh"),  # 8 of one character
        ("no a no no b no", "no a no no b no c"),  # 4 of 6, and 4 of 7 words
        ("so so so so what", "so so so"),  # 4 in a row; 3 of fewer than 6 words
        ("x y x y x y", "x y x y x"),  # phrase of two words, three times
        ("so so so a b c", "so so so a b"),  # phrase of one word, from six words on
        ("a b c a b c a b c", "a b c a b c a b"),
        ("abc.......,", "abc......"),  # 3 of 11 < 30 %; 3 of 9
    ],
)
def test_each_threshold_of_the_published_rule(garbled: str, sound: str) -> None:
    assert is_garbled_seed(garbled) and not is_garbled_seed(sound)


def test_the_order_of_the_classes() -> None:
    assert quality("I can't help with that.") == "coherent"
    assert quality("Paint the lamp red.") == "normal"
    assert quality("I can't help with that. " * 5) == "garbled"
    assert quality("Paint the lamp red.", lambda text: True) == "coherent"
    assert quality_seed("Illegal parking is fined.") == "coherent"
    assert quality_seed("Yes.") == "garbled"
    assert quality_seed("I can’t do that.") == "normal"


def test_likelihood_outside_the_band_is_garbled() -> None:
    salad = "bread until under the than window of was green if"
    assert why_garbled(salad) == ""
    assert why_garbled(salad, nll=5.0, band=(0.1, 1.4)) == "unlikely under the unsteered model"
    assert why_garbled(salad, nll=0.05, band=(0.1, 1.4)) == "too likely"
    assert why_garbled(salad, nll=1.4, band=(0.1, 1.4)) == ""
    assert quality(salad, nll=5.0, band=(0.1, 1.4)) == "garbled"
    with pytest.raises(ValueError, match="both nll and band"):
        is_garbled(salad, nll=5.0)


def test_the_band_by_hand() -> None:
    # Quartiles of 0..8 are 2 and 6: fences at 2 - 12 and 6 + 12.
    values = [float(k) for k in range(9)]
    assert nll_band(values, slack=0.0) == (0.0, 18.0)
    assert nll_band([v + 20 for v in values]) == (10.0, 39.0)
    with pytest.raises(ValueError, match="at least 8"):
        nll_band([0.1] * 7)


def test_repetition_by_hand() -> None:
    assert longest_run("aabbbc") == 3 and longest_run("") == 0
    assert top_share("aab") == (2, pytest.approx(2 / 3)) and top_share("") == (0, 0.0)
    assert doubled_share("aabbb") == (3, 0.75) and doubled_share("a") == (0, 0.0)
    assert list(cycles("xabababy", 2)) == [(3.0, 6)]
    assert list(cycles("abcdef", 3)) == []
    assert fewest_kinds("abcdaaaabcd", 4) == 1 and fewest_kinds("ab", 4) == 2
    assert fewest_kinds("aabcdefg", 3) == 2
    assert lowest_ratio("ab", 400) == 1.0
    assert lowest_ratio("x" * 1000, 400) < 0.1 < lowest_ratio("The cat sat on a red mat. " * 8, 400)


def test_sliding_counts_agree_with_counting_afresh() -> None:
    items = [(k * k + k // 7) % 11 for k in range(200)]
    afresh = min(len(set(items[k : k + 24])) for k in range(200 - 23))
    assert fewest_kinds(items, 24) == afresh


@pytest.mark.parametrize(
    "unit", ["a", "ab", " ", "a ", "i ", "a!", "-", "- ", "\n", "x y ", "é", "|-", '"', "aab ab "]
)
def test_a_hundred_thousand_nasty_characters_are_judged(unit: str) -> None:
    """Patterns with nested quantifiers would not return."""
    text = (unit * 100_000)[:100_000]
    assert is_garbled(text) and quality(text + "b") == "garbled"
    assert is_garbled_seed(text) == is_garbled_seed(text[:-1])
