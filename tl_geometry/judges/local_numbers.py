"""A loaded chat model as a judge that rates from 0 to 100; no server and no sampling.

One pass over each prompt, and where numbers are spelled digit by digit a second one over the few
beginnings of a number, all of them on the prompt's own cache.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry.catalogue import Identity, identity, resolve
from tl_geometry.judges.number_scores import Rating, expected
from tl_geometry.judges.number_tokens import NumberTokens, number_tokens
from tl_geometry.models import Model, load_model
from tl_geometry.tokens import Conversation, TokenBatch, encode_chat, pad
from tl_geometry.twins import faithful_twin


@dataclass(frozen=True, kw_only=True)
class LocalNumberJudge:
    """Rates conversations that end by asking for a number of 0 to 100.

    Works with any tokenizer: `numbers.whole` says whether single tokens are read or spellings.
    The model may be the very one that is judged, as long as nothing steers it meanwhile; a judge
    likes its own words, so name it in every table.
    """

    model: Model
    checkpoint: Identity | None = None
    """Which weights these are (`catalogue.identity`), for the fingerprint of the scores."""
    quantization: str | None = None
    """How the weights were loaded (`load_model`), for the fingerprint as well."""
    batch_size: int = 8

    @cached_property
    def numbers(self) -> NumberTokens:
        """How its tokenizer spells 0 to 100. ValueError as in `number_tokens`."""
        return number_tokens(self.model)

    def identity(self) -> Mapping[str, Any]:
        """What its numbers depend on. ValueError if nobody said which checkpoint it is."""
        if self.checkpoint is None:
            raise ValueError(
                "scores are kept under the judge's checkpoint, which is not known: make the judge "
                "by `local_number_judge(name)`, or pass checkpoint=identity(resolve(name))"
            )
        return {
            "kind": "local",
            "model": self.checkpoint.source,
            "revision": self.checkpoint.revision,
            "dtype": str(self.model.cfg.dtype),
            "quantization": self.quantization or "none",
            "chat_template": self.model.tokenizer.chat_template,
            "read": "single tokens" if self.numbers.whole else "spellings",
        }

    def ratings(self, conversations: Sequence[Conversation]) -> list[Rating]:
        """One rating a conversation, in their order; independent of the batch size but for
        rounding."""
        lead = list(self.numbers.lead)
        ids = [row + lead for row in encode_chat(self.model, conversations)]
        order = sorted(range(len(ids)), key=lambda k: len(ids[k]))
        found: dict[int, Rating] = {}
        for start in range(0, len(order), self.batch_size):
            some = order[start : start + self.batch_size]
            log_probs = self._log_probs(pad(self.model, [ids[k] for k in some]))
            rows = self.numbers.probabilities(log_probs).tolist()
            found |= {k: expected(dict(enumerate(p))) for k, p in zip(some, rows, strict=True)}
        return [found[k] for k in range(len(ids))]

    @torch.inference_mode()
    def _log_probs(self, batch: TokenBatch) -> Float[Tensor, "batch beginning vocab"]:
        """Of the next token behind each beginning of a number."""
        plain: Any = faithful_twin(self.model)
        plain = self.model.original_model if plain is None else plain  # pyright: ignore[reportAttributeAccessIssue] # a Module
        paths = self.numbers.paths
        if paths and plain._is_stateful:
            raise ValueError(
                "a recurrent model whose tokenizer splits numbers cannot judge: its state cannot "
                "go on from one prompt to several beginnings; use a model with attention"
            )
        options = _positions(plain, batch.position_ids)
        read = plain(
            batch.ids, attention_mask=batch.mask, logits_to_keep=1, use_cache=bool(paths), **options
        )
        root = read.logits[:, -1:].float().log_softmax(-1).double()
        if not paths:
            return root
        behind = self._behind(plain, batch, read.past_key_values).float().log_softmax(-1).double()
        return torch.cat([root, behind], 1)

    def _behind(
        self, plain: Any, batch: TokenBatch, cache: Any
    ) -> Float[Tensor, "batch beginning vocab"]:
        """Logits behind every beginning but the empty one, going on from the prompts' cache."""
        paths, width = self.numbers.paths, max(map(len, self.numbers.paths))
        # What fills short paths stands to their right, where no token of theirs looks.
        filled = [[*path, *[path[0]] * (width - len(path))] for path in paths]
        ids = torch.tensor(filled, device=batch.ids.device).repeat(len(batch), 1)
        cache.batch_repeat_interleave(len(paths))
        mask = batch.mask.repeat_interleave(len(paths), 0)
        positions = batch.lengths[:, None] + torch.arange(width, device=batch.ids.device)
        logits = plain(
            ids,
            attention_mask=torch.cat([mask, torch.ones_like(ids)], 1),
            past_key_values=cache,
            use_cache=True,
            **_positions(plain, positions.repeat_interleave(len(paths), 0)),
        ).logits.unflatten(0, (len(batch), len(paths)))
        inner = self.numbers.beginnings[1:]
        rows = [next(k for k, path in enumerate(paths) if path[: len(b)] == b) for b in inner]
        return logits[:, rows, [len(b) - 1 for b in inner]]


def _positions(plain: Any, positions: Tensor) -> dict[str, Tensor]:
    """Some families (BLOOM) count positions by the mask alone."""
    takes = "position_ids" in inspect.signature(plain.forward).parameters
    return {"position_ids": positions} if takes else {}


def local_number_judge(name: str, *, batch_size: int = 8, **options: Any) -> LocalNumberJudge:
    """Load a judge by short name, hub id or folder; `options` and errors as of `load_model`.

    ValueError at once if its tokenizer or template cannot say numbers.
    """
    spec = resolve(name, options.get("revision"))
    judge = LocalNumberJudge(
        model=load_model(name, **options),
        checkpoint=identity(spec),
        quantization=options.get("quantization"),
        batch_size=batch_size,
    )
    _ = judge.numbers
    return judge
