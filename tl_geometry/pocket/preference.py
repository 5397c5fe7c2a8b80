"""Direct preference optimisation: learn from which of two answers people prefer.

Rafailov et al. 2023 (arXiv 2305.18290), equation 7: the loss of a pair is
-log σ(β · [log π(w)/π₀(w) - log π(l)/π₀(l)]) for the preferred answer w and the rejected l, with
the model π and the frozen model π₀ that it started from. The preferred answers' own loss is added
with a small weight (Pang et al. 2024, arXiv 2404.19733): without it both answers may become less
likely, and a very small model then says something else altogether.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tl_geometry.pocket.batches import IGNORED, Row, spoken_rows, tensors
from tl_geometry.pocket.corpus import Preference, preferences
from tl_geometry.pocket.dialogues import Message
from tl_geometry.pocket.recipes import PreferenceStage
from tl_geometry.pocket.splits import stream

Pair = tuple[Row, Row]
"""The preferred answer and the rejected one, each behind the same prompt."""


def answer_log_probs(model: PreTrainedModel, rows: Sequence[Row]) -> Float[Tensor, " row"]:
    """Log-probability of each row's learned tokens, summed, in nats."""
    ids, labels = tensors(rows)
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    lost = functional.cross_entropy(
        logits.transpose(1, 2), labels[:, 1:], ignore_index=IGNORED, reduction="none"
    )
    return -lost.sum(-1)


def preference_loss(
    chosen: Float[Tensor, " pair"],
    rejected: Float[Tensor, " pair"],
    chosen_before: Float[Tensor, " pair"],
    rejected_before: Float[Tensor, " pair"],
    *,
    beta: float,
) -> Float[Tensor, ""]:
    """Equation 7, mean over pairs; arguments are log-probabilities now and before, in nats."""
    margin = (chosen - chosen_before) - (rejected - rejected_before)
    return -functional.logsigmoid(beta * margin).mean()


def pair_loss(
    origin: PreTrainedModel, stage: PreferenceStage
) -> Callable[[PreTrainedModel, list[Pair]], Tensor]:
    """The loss of a batch of pairs against the model that training starts from."""

    def loss(model: PreTrainedModel, pairs: list[Pair]) -> Tensor:
        rows = [row for side in zip(*pairs, strict=True) for row in side]
        chosen, rejected = answer_log_probs(model, rows).chunk(2)
        with torch.no_grad():
            before = answer_log_probs(origin, rows).chunk(2)
        learned = sum(sum(row.learned) for row, _ in pairs)
        imitation = -chosen.sum() / learned
        return (
            preference_loss(chosen, rejected, *before, beta=stage.beta)
            + stage.imitation * imitation
        )

    return loss


def pairs_of(tokenizer: PreTrainedTokenizerBase, found: Sequence[Preference]) -> list[Pair]:
    """Preferences in the family's chat format."""

    def rows(answers: Sequence[str]) -> list[Row]:
        turns = [
            (_asked(p), {"role": "assistant", "content": said})
            for p, said in zip(found, answers, strict=True)
        ]
        return spoken_rows(tokenizer, turns)

    return list(
        zip(rows([p.chosen for p in found]), rows([p.rejected for p in found]), strict=True)
    )


def _asked(item: Preference) -> list[Message]:
    system = [{"role": "system", "content": item.system}] if item.system else []
    return [*system, {"role": "user", "content": item.prompt}]


def preference_batches(
    tokenizer: PreTrainedTokenizerBase, stage: PreferenceStage, seed: int
) -> Iterator[list[Pair]]:
    """An endless, reproducible stream of batches; every epoch words its requests anew."""
    epoch = 0
    while True:
        pairs = pairs_of(tokenizer, preferences("train", seed=seed * 1000 + epoch))
        order = stream(seed, "preference batches", epoch).permutation(len(pairs))
        for start in range(0, len(order) - stage.pairs + 1, stage.pairs):
            yield [pairs[k] for k in order[start : start + stage.pairs]]
        epoch += 1
