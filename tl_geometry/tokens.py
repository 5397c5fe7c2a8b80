"""Token ids, made once and kept; padding and the beginning-of-sequence token live only here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from jaxtyping import Bool, Int
from jinja2 import TemplateError
from torch import Tensor

from tl_geometry.models import Model

Ids = Sequence[int]
"""Token ids of one prompt."""


@dataclass(frozen=True)
class TokenBatch:
    """Unequal prompts in one rectangle, padded on the left.

    So the last tokens of all rows share their columns: the window of the last w tokens is
    `[-w:]` in every row.
    """

    ids: Int[Tensor, "batch pos"]
    mask: Int[Tensor, "batch pos"]
    """1 for real tokens, 0 for padding."""
    lengths: Int[Tensor, " batch"]
    """Real tokens of each row, the beginning-of-sequence token included."""
    n_bos: Int[Tensor, " batch"]
    """1 where the row begins with a beginning-of-sequence token, else 0."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def position_ids(self) -> Int[Tensor, "batch pos"]:
        """Positions counted from each row's first real token; padding gets 0."""
        return (self.mask.cumsum(-1) - 1).clamp(min=0)

    def has_window(self, window: int) -> Bool[Tensor, " batch"]:
        """Whether a row has `window` real tokens besides the beginning-of-sequence token."""
        return self.lengths - self.n_bos >= window

    def rows(self, index: Int[Tensor, " row"]) -> "TokenBatch":
        """The named rows, in the named order; a row may be taken several times."""
        return TokenBatch(self.ids[index], self.mask[index], self.lengths[index], self.n_bos[index])

    def to(self, device: torch.device | str) -> "TokenBatch":
        return TokenBatch(
            self.ids.to(device),
            self.mask.to(device),
            self.lengths.to(device),
            self.n_bos.to(device),
        )


def encode(model: Model, texts: Sequence[str]) -> list[list[int]]:
    """Ids of plain texts, with one beginning-of-sequence token where the tokenizer adds one."""
    if not texts:
        return []
    return [list(ids) for ids in model.tokenizer(list(texts), add_special_tokens=True)["input_ids"]]


Conversation = Sequence[Mapping[str, str]]


def templated(tokenizer: Any, turns: Conversation, *, ready: bool = True) -> str:
    """A conversation as text in the chat format of a tokenizer, `ready` for the answer.

    The text holds its special tokens: tokenise it with `add_special_tokens=False`. Where the
    format has no system role (Gemma), the system prompt opens the first user turn. ValueError if
    there is no chat template, or if the template refuses the conversation.
    """
    if tokenizer.chat_template is None:
        raise ValueError(
            "this tokenizer has no chat template: use `encode` for plain text, or set "
            "tokenizer.chat_template"
        )
    options = {"tokenize": False, "add_generation_prompt": ready}
    try:
        return tokenizer.apply_chat_template(list(turns), **options)
    except TemplateError as error:
        folded = _without_system(turns)
        if folded == list(turns):
            raise ValueError(f"the chat template refuses this conversation: {error}") from error
        return tokenizer.apply_chat_template(folded, **options)


def _without_system(turns: Conversation) -> list[Mapping[str, str]]:
    """The same conversation with its system prompt in the first user turn."""
    if len(turns) < 2 or turns[0]["role"] != "system":
        return list(turns)
    text = f"{turns[0]['content']}\n\n{turns[1]['content']}"
    return [{**turns[1], "content": text}, *turns[2:]]


def encode_chat(model: Model, conversations: Sequence[Conversation]) -> list[list[int]]:
    """Ids of conversations (`role`, `content`) under the model's chat template, ready to answer.

    The template writes the special tokens itself; tokenising its text again with special tokens
    on is what gives the two-BOS error. ValueError as in `templated`.
    """
    if not conversations:
        return []
    texts = [templated(model.tokenizer, turns) for turns in conversations]
    ids = model.tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [list(row) for row in ids]


def encode_requests(model: Model, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text as a user's only turn, ready to answer; as plain text where the tokenizer
    has no chat template."""
    if model.tokenizer.chat_template is None:
        return encode(model, texts)
    return encode_chat(model, [[{"role": "user", "content": text}] for text in texts])


def pad(model: Model, ids: Sequence[Sequence[int]]) -> TokenBatch:
    """Left-pad token lists into one batch on the model's device.

    ValueError for no rows or an empty row.
    """
    if not ids or not all(ids):
        raise ValueError("a batch needs at least one row and every row at least one token")
    tokenizer = model.tokenizer
    filler = tokenizer.pad_token_id
    if filler is None:
        filler = tokenizer.eos_token_id or 0
    width = max(map(len, ids))
    device = model.cfg.device
    lengths = torch.tensor([len(row) for row in ids])
    padded = torch.tensor([[filler] * (width - len(row)) + list(row) for row in ids])
    mask = (torch.arange(width) >= width - lengths[:, None]).long()
    n_bos = torch.tensor([int(row[0] == tokenizer.bos_token_id) for row in ids])
    return TokenBatch(padded, mask, lengths, n_bos).to(device or "cpu")


def n_post_instruction(model: Model) -> int:
    """How many tokens the chat template puts behind the user's words, the same for every prompt.

    At least 1: without a chat template, the last token of the text itself. ValueError as in
    `templated`, but for the missing template.
    """
    if model.tokenizer.chat_template is None:
        return 1
    # Two texts that share no last letter share the tokens behind them.
    one, other = encode_chat(
        model, [[{"role": "user", "content": text}] for text in ("Name a colour.", "Is it far")]
    )
    same = (a == b for a, b in zip(reversed(one), reversed(other), strict=False))
    return max(1, len(list(takewhile(bool, same))))


def batches(model: Model, prompts: Sequence[Ids], size: int) -> Iterator[TokenBatch]:
    """Left-padded batches of prompts of similar length."""
    ordered = sorted(prompts, key=len)
    for start in range(0, len(ordered), size):
        yield pad(model, ordered[start : start + size])
