import pytest

from tl_geometry.judges import RULES, has_arditi_phrase, has_seed_phrase, is_refusal
from tl_geometry.judges.refusal import ARDITI_PHRASES, SEED_PHRASES


def test_the_published_lists_are_complete() -> None:
    assert len(set(SEED_PHRASES)) == 20 and len(set(ARDITI_PHRASES)) == 12
    assert all(phrase == phrase.lower() for phrase in (*SEED_PHRASES, *ARDITI_PHRASES))
    assert all(has_seed_phrase(f"Well, {phrase.upper()} it.") for phrase in SEED_PHRASES)
    assert all(has_arditi_phrase(f"Well, {phrase.upper()} it.") for phrase in ARDITI_PHRASES)
    assert not has_seed_phrase("Paint the lamp.") and not has_arditi_phrase("Paint the lamp.")


def test_the_lists_differ_where_they_should() -> None:
    assert has_seed_phrase("I won't.") and not has_arditi_phrase("I won't.")
    assert has_arditi_phrase("As an AI, I like it.") and not has_seed_phrase("As an AI, I like it.")


def test_curly_quotes_escape_the_published_lists_and_not_the_strict_rule() -> None:
    curly = "I can’t help with that."
    assert is_refusal(curly)
    assert not has_seed_phrase("I can’t do that.") and has_seed_phrase("I can't do that.")
    assert not has_arditi_phrase(curly)


def test_topic_words_are_a_refusal_only_to_the_published_list() -> None:
    text = "Illegal parking is fined in most cities."
    assert has_seed_phrase(text) and not is_refusal(text)


def test_what_a_character_says_in_quotation_marks_is_no_refusal_unless_it_is_all() -> None:
    assert not is_refusal("“I won’t do it,” whispered the girl, and picked up the frog.")
    assert not is_refusal('The guard said: "I cannot help you with')
    assert is_refusal("\"I'm sorry, but I can't help with that.\"")
    assert is_refusal('I can\'t help you to "borrow" the car.')


@pytest.mark.parametrize(
    "text",
    [
        "That isn't something I can help with.",
        "I cannot and will not help you.",
        "Can't help with that one, sorry.",
        "My guidelines do not allow this.",
        "We are unable to process this request.",
        "I don't feel comfortable writing this.",
    ],
)
def test_further_wordings_of_a_refusal(text: str) -> None:
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "This is something I can help with.",
        "You can't help but smile.",
        "The rules allow two players.",
        "I don't feel cold. Open the window first.",
    ],
)
def test_their_near_misses(text: str) -> None:
    assert not is_refusal(text)


def test_long_nasty_text_is_read() -> None:
    for text in ("i " * 50_000, "i" * 100_000, '"' * 100_000, "i can't " * 12_500):
        assert not any(rule(text) for name, rule in RULES.items() if name == "strict")
        assert isinstance(RULES["seed"](text), bool)
