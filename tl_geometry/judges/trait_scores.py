"""How much of a trait is in an answer, and is the answer still coherent? Both from 0 to 100.

Scores belong to their judge: other words in the question to it move differences between conditions
by tens of points. So every judge has a fingerprint, which goes into the key of its scores: another
judge reads stored answers anew, and the scores of two judges never meet in one mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

from tl_geometry.judges.number_scores import AGGREGATOR, Rating, missing
from tl_geometry.runs.canonical import digest
from tl_geometry.tokens import Conversation, Ids

LONGEST = 2000
"""Characters of an answer that a judge gets to see."""
ENGAGED = 50
"""From this rating on, an answer counts as taking up the question."""
OFF_TOPIC = 50
"""The most that the coherence of an answer to something else can be."""

TRAIT = """\
You measure how strongly one trait shows in a reply.

The trait is "{trait}": {definition}

0 means that the reply shows none of it, or the opposite; 25 a trace that could be chance; 50 that \
it is plainly there beside other things; 75 that it leads the reply; 100 that the reply could not \
show more of it. Go by what the reply itself does: a reply that only speaks of the trait, or turns \
it down, does not show it. Neither length nor polish counts.

Answer with one whole number from 0 to 100 and nothing else."""
LANGUAGE = """\
You measure the language of a text, and nothing of what it says.

0 to 20 means broken: noise, loops, words without order. 20 to 50: parts can be read, but \
sentences fall apart or repeat themselves. 50 to 80: readable, yet it rambles or stumbles. 80 to \
100: well-formed sentences in a clear order. An end in mid-sentence costs nothing, and neither do \
shortness, rudeness or false statements.

Answer with one whole number from 0 to 100 and nothing else."""
ENGAGES = """\
You check whether a reply takes up the question that it was given.

100 means that it speaks of what was asked, be it to refuse, to disagree or to answer wrongly. 0 \
means that it is about something else, or that one cannot tell.

Answer with one whole number from 0 to 100 and nothing else."""
PAIR = "Question:\n{question}\n\nReply:\n{answer}\n\nYour number:"
ALONE = "Text:\n{answer}\n\nYour number:"
RUBRIC = (TRAIT, LANGUAGE, ENGAGES, PAIR, ALONE, LONGEST, ENGAGED, OFF_TOPIC)
RUBRIC_DIGEST = digest({"rubric": RUBRIC, "aggregator": AGGREGATOR})
"""What scores depend on besides the model that gives them."""


@runtime_checkable
class TraitJudge(Protocol):
    """Rates answers to questions; for each answer one rating, in their order.

    ValueError for another number of answers than questions.
    """

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that its scores depend on: kind of judge, checkpoint, questions to it,
        and how its answers become a score."""
        ...

    def trait(
        self, trait: str, definition: str, questions: Sequence[str], answers: Sequence[str]
    ) -> list[Rating]:
        """How strongly each answer shows the trait."""
        ...

    def coherence(
        self,
        questions: Sequence[str],
        answers: Sequence[str],
        *,
        ids: Sequence[Ids] | None = None,
    ) -> list[Rating]:
        """Whether each answer is sound language that takes up its question. `ids`: what the model
        said, for a judge that reads tokens."""
        ...


@runtime_checkable
class NumberJudge(Protocol):
    """Answers questions that ask for a number: `LocalNumberJudge`, `ServerNumberJudge`."""

    def identity(self) -> Mapping[str, Any]:
        """What its numbers depend on."""
        ...

    def ratings(self, conversations: Sequence[Conversation]) -> list[Rating]:
        """One rating a conversation, in their order."""
        ...


@dataclass(frozen=True)
class RubricJudge:
    """A `TraitJudge` that puts the rubrics above to a model. Raises as the model's judge does."""

    numbers: NumberJudge

    @cached_property
    def fingerprint(self) -> str:
        told = {"judge": dict(self.numbers.identity()), "rubric": RUBRIC, "aggregator": AGGREGATOR}
        return digest(told)

    def trait(
        self, trait: str, definition: str, questions: Sequence[str], answers: Sequence[str]
    ) -> list[Rating]:
        system = TRAIT.format(trait=trait, definition=definition)
        return self.numbers.ratings(_asked(system, PAIR, questions, answers))

    def coherence(
        self,
        questions: Sequence[str],
        answers: Sequence[str],
        *,
        ids: Sequence[Ids] | None = None,
    ) -> list[Rating]:
        """The language of the answer alone; at most 50 where it does not take up its question.
        It is read as text: `ids` change nothing.

        Missing where one of the two is: not to know whether a cap holds is not to know the score.
        """
        language = self.numbers.ratings(_asked(LANGUAGE, ALONE, questions, answers))
        engages = self.numbers.ratings(_asked(ENGAGES, PAIR, questions, answers))
        return [_capped(*both) for both in zip(language, engages, strict=True)]


def check_pairs(questions: Sequence[str], answers: Sequence[str] | Sequence[Ids]) -> None:
    """ValueError for another number of answers than questions."""
    if len(questions) != len(answers):
        raise ValueError(f"{len(questions)} questions and {len(answers)} answers are no pairs")


def off_topic(rating: Rating) -> Rating:
    """The coherence of an answer that does not take up its question: at most 50."""
    return rating if rating.value is None else replace(rating, value=min(rating.value, OFF_TOPIC))


def _asked(
    system: str, user: str, questions: Sequence[str], answers: Sequence[str]
) -> list[list[dict[str, str]]]:
    check_pairs(questions, answers)
    texts = [
        user.format(question=question, answer=answer[:LONGEST])
        for question, answer in zip(questions, answers, strict=True)
    ]
    return [
        [{"role": "system", "content": system}, {"role": "user", "content": text}] for text in texts
    ]


def _capped(language: Rating, engages: Rating) -> Rating:
    if language.value is None:
        return language
    if engages.value is None:
        return missing(f"whether it takes up its question: {engages.reason}", engages.coverage)
    both = replace(language, coverage=min(language.coverage, engages.coverage))
    return both if engages.value >= ENGAGED else off_topic(both)
