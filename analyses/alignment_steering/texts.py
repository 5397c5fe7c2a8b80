"""Preference pairs as token ids: the same ids for both models of a pair."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analyses.alignment_steering.config import Format
from analyses.alignment_steering.preferences import PreferencePair, Turns
from tl_geometry.pocket.base_text import question_and_answer
from tl_geometry.tokens import templated


@dataclass(frozen=True)
class Text:
    """One pair as ids: the prompt, and the two answers that follow it."""

    id: str
    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]


@dataclass(frozen=True)
class Encoded:
    texts: tuple[Text, ...]
    dropped: Mapping[str, int]
    """Reason → how many pairs."""


class Wording:
    """How one tokenizer's model is asked. ValueError for `chat` without a chat template."""

    def __init__(self, tokenizer: Any, form: Format, *, pocket: bool) -> None:
        if form == "chat" and tokenizer.chat_template is None:
            raise ValueError("its tokenizer has no chat template: use --format plain")
        self.tokenizer, self.form, self.pocket = tokenizer, form, pocket

    def prompt(self, turns: Turns) -> list[int]:
        """A conversation, ready for the answer."""
        if self.form == "chat":
            return self._ids(templated(self.tokenizer, turns), special=False)
        return self._ids(self._document(turns), special=True)

    def request(self, text: str) -> list[int]:
        return self.prompt(({"role": "user", "content": text},))

    def answer(self, turns: Turns, text: str) -> list[int]:
        """What follows the prompt, without the end of the turn: its last token is the answer's.

        Tokenised apart, because that is how a prompt is tokenised when the model is asked.
        """
        if self.form == "plain":
            return self._ids(f" {text.strip()}", special=False)
        before = templated(self.tokenizer, turns)
        reply = {"role": "assistant", "content": text}
        whole = templated(self.tokenizer, [*turns, reply], ready=False)
        # Templates that write answers of earlier turns in another way do not begin alike.
        behind = whole[len(before) :] if whole.startswith(before) else text
        said = text.strip()
        end = behind.find(said)
        return self._ids(behind[: end + len(said)] if end >= 0 else said, special=False)

    def _document(self, turns: Turns) -> str:
        if self.pocket:
            told = [turn["content"] for turn in turns[:-1]]
            return "\n".join([*told, question_and_answer(turns[-1]["content"], "").rstrip()])
        names = {"user": "Human", "assistant": "Assistant", "system": "System"}
        lines = [f"{names[turn['role']]}: {turn['content']}" for turn in turns]
        return "\n".join([*lines, "Assistant:"])

    def _ids(self, text: str, *, special: bool) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])


def encoded(wording: Wording, pairs: Sequence[PreferencePair], most: int) -> Encoded:
    """Every pair of which both texts have at most `most` tokens."""
    texts: list[Text] = []
    dropped: Counter[str] = Counter()
    for pair in pairs:
        prompt = wording.prompt(pair.turns)
        sides = [wording.answer(pair.turns, text) for text in (pair.chosen, pair.rejected)]
        if not all(sides):
            dropped["an answer has no token"] += 1
        elif len(prompt) + max(map(len, sides)) > most:
            dropped[f"longer than {most} tokens"] += 1
        else:
            texts.append(Text(pair.id, tuple(prompt), *map(tuple, sides)))
    return Encoded(tuple(texts), dict(dropped))


def why_foreign(base: Any, instruct: Any, texts: Sequence[Text], embeddings: int) -> str:
    """Why the base model cannot read these ids as the instruct model does; empty if it can.

    Tokens that no text uses may differ: many instruct models have further ones.
    """
    used = sorted({i for t in texts for i in (*t.prompt, *t.chosen, *t.rejected)})
    if used and used[-1] >= embeddings:
        return f"token {used[-1]} of the instruct model has no embedding in the base model"
    ours, theirs = (model.convert_ids_to_tokens(used) for model in (base, instruct))
    for i, mine, other in zip(used, ours, theirs, strict=True):
        if mine != other:
            return f"the vocabularies differ: token {i} is {mine!r} in the base model and {other!r}"
    return ""
