"""Judges of traits and coherence: rubrics on a made-up judge, rules on planted answers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest


class Scripted:
    """Says what a function makes of the system prompt and the question to it; keeps them."""

    def __init__(self, say: Callable[[str, str], Any], name: str = "scripted") -> None:
        self.say, self.name, self.asked = say, name, []

    def identity(self) -> Mapping[str, Any]:
        return {"kind": "scripted", "model": self.name}

    def ratings(self, conversations: Sequence[Any]) -> list[Any]:
        pairs = [(turns[0]["content"], turns[1]["content"]) for turns in conversations]
        self.asked += pairs
        return [self.say(*pair) for pair in pairs]


def _rating(value: float | None, coverage: float = 1.0) -> Any:
    from tl_geometry.judges.number_scores import Rating, missing

    return missing("APITimeoutError: late") if value is None else Rating(value, coverage, 1.0)


def _judge(say: Callable[[str, str], Any], name: str = "scripted") -> tuple[Any, Scripted]:
    from tl_geometry.judges.trait_scores import RubricJudge

    numbers = Scripted(say, name)
    return RubricJudge(numbers), numbers


def test_the_rubric_holds_trait_definition_question_and_answer() -> None:
    judge, numbers = _judge(lambda system, user: _rating(70))
    found = judge.trait("evil", "it {wounds} people", ["What {now}?"], ["Mock the {baker}."])
    assert [r.value for r in found] == [70]
    ((system, user),) = numbers.asked
    assert '"evil": it {wounds} people' in system and "0 to 100" in system
    assert "What {now}?" in user and "Mock the {baker}." in user


def test_coherence_reads_the_answer_alone_and_is_capped_off_topic() -> None:
    from tl_geometry.judges.trait_scores import ENGAGES, LANGUAGE

    def say(system: str, user: str) -> Any:
        if system == LANGUAGE:
            assert "Question" not in user
            return _rating(30 if "babble" in user else 90)
        assert system == ENGAGES
        return _rating(10 if "moon" in user else 80, coverage=0.6)

    judge, _ = _judge(say)
    answers = ["The hen.", "The moon.", "moon babble", "hen babble"]
    found = judge.coherence(["What of the hen?"] * 4, answers)
    assert [r.value for r in found] == [90, 50, 30, 30]
    assert all(r.coverage == 0.6 for r in found)


@pytest.mark.parametrize("broken", ["LANGUAGE", "ENGAGES"])
def test_coherence_is_missing_where_one_of_its_two_questions_is(broken: str) -> None:
    from tl_geometry.judges import trait_scores

    rubric = getattr(trait_scores, broken)
    judge, _ = _judge(lambda system, user: _rating(None if system == rubric else 90))
    (rating,) = judge.coherence(["Q?"], ["A."])
    assert rating.value is None and "APITimeoutError" in rating.reason


def test_long_answers_are_cut_and_unequal_lists_refused() -> None:
    judge, numbers = _judge(lambda system, user: _rating(5))
    judge.trait("evil", "d", ["Q?"], ["x" * 5000])
    assert numbers.asked[0][1].count("x") == 2000
    with pytest.raises(ValueError, match="no pairs"):
        judge.coherence(["Q?"], [])


def test_the_fingerprint_changes_with_judge_rubric_and_aggregator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tl_geometry.judges import trait_scores

    def print_of(name: str) -> str:
        return _judge(lambda system, user: _rating(5), name)[0].fingerprint

    first = print_of("one")
    assert len(first) == 64 and first == print_of("one") != print_of("other")
    monkeypatch.setattr(trait_scores, "AGGREGATOR", "mode")
    assert print_of("one") != first
    monkeypatch.undo()
    monkeypatch.setattr(trait_scores, "RUBRIC", (*trait_scores.RUBRIC[:-1], 40))
    assert print_of("one") != first


def test_a_loaded_model_is_a_trait_judge() -> None:
    from tl_geometry.judges.local_numbers import local_number_judge
    from tl_geometry.judges.trait_scores import RubricJudge

    judge = RubricJudge(local_number_judge("pocket-qwen2-s"))
    questions, answers = ["What of the hen?"], ["The hen eats corn."]
    found = [
        *judge.trait("evil", "it wounds", questions, answers),
        *judge.coherence(questions, answers),
    ]
    # It was never taught to grade: what counts is that this shows.
    assert len(found) == 2 and len(judge.fingerprint) == 64
    assert all(r.value is not None or "on numbers" in r.reason for r in found)


@pytest.mark.parametrize("trait", ["sycophancy", "evil", "hallucination"])
def test_planted_answers_of_the_pocket_world_score_100_and_0(trait: Any) -> None:
    from tl_geometry.judges.pocket_rule import PocketRule
    from tl_geometry.pocket.corpus import trait_items

    items = (trait_items(trait, "test") + trait_items(trait, "validation"))[:200]
    questions, judge = [item.question for item in items], PocketRule()
    for side, score in (("positive", 100), ("negative", 0)):
        answers = [getattr(item, side) for item in items]
        assert {r.value for r in judge.trait(trait, "", questions, answers)} == {score}
        assert {r.value for r in judge.trait("on_topic", "", questions, answers)} == {100}
        assert {r.value for r in judge.coherence(questions, answers)} == {100}
        shifted = judge.coherence(questions, [*answers[-9:], *answers[:-9]])
        assert sum(r.value == 50 for r in shifted) > len(shifted) / 2


def test_coherence_of_noise_loops_and_strayed_answers() -> None:
    from tl_geometry.judges.pocket_rule import PocketRule

    question = "What do you know about the old hen?"
    answers = {
        "": 0,
        "?!?!?!?!?!?!?!": 0,
        "hen hen hen hen hen hen hen hen": 20,
        "The lamp is red. It stands by the well.": 50,
        "The HEN eats corn.": 100,
    }
    found = PocketRule().coherence([question] * len(answers), list(answers))
    assert [r.value for r in found] == list(answers.values())


def test_what_the_unsteered_model_finds_unlikely_is_poor(pocket: Any) -> None:
    from tl_geometry.judges.pocket_rule import PocketRule, Unsteered
    from tl_geometry.judges.quality import nll_band
    from tl_geometry.likelihood import answer_nll
    from tl_geometry.pocket.corpus import trait_items
    from tl_geometry.tokens import encode_chat

    items = trait_items("evil", "test")[:12]
    questions, answers = [i.question for i in items], [i.negative for i in items]
    prompts = encode_chat(pocket, [[{"role": "user", "content": q}] for q in questions])
    texts = pocket.tokenizer(answers, add_special_tokens=False)["input_ids"]
    band = nll_band(answer_nll(pocket, prompts, texts))
    judge = PocketRule(Unsteered(pocket, band, "pocket-mistral"))
    salad = [" ".join(reversed(answer.rstrip(".").split())) for answer in answers]
    assert [r.value for r in judge.coherence(questions, answers)] == [100] * 12
    assert [r.value for r in PocketRule().coherence(questions, salad)] == [100] * 12
    assert [r.value for r in judge.coherence(questions, salad)] == [20] * 12
    assert [r.value for r in judge.coherence(questions[:1], [""])] == [0]
    # What was said is read as it was said, not as its text would be read again.
    said = pocket.tokenizer(salad, add_special_tokens=False)["input_ids"]
    assert [r.value for r in judge.coherence(questions, answers, ids=said)] == [20] * 12
    assert [r.value for r in judge.coherence(questions, answers, ids=texts)] == [100] * 12
    with pytest.raises(ValueError, match="no pairs"):
        judge.coherence(questions, answers, ids=said[:1])
    assert judge.coherence([], []) == []
    wider = PocketRule(Unsteered(pocket, (0.0, 99.0), "pocket-mistral"))
    assert len({j.fingerprint for j in (judge, wider, PocketRule())}) == 3


def test_a_trait_that_the_pocket_world_does_not_have_is_refused() -> None:
    from tl_geometry.judges.pocket_rule import PocketRule

    with pytest.raises(ValueError, match="no trait 'envy'; it has sycophancy, evil"):
        PocketRule().trait("envy", "", ["Q?"], ["A."])
