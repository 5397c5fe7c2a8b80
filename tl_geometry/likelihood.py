"""How likely a model itself finds what it was made to say."""

from collections.abc import Sequence

import torch

from tl_geometry.capture import continuation_log_prob, tail_logits
from tl_geometry.models import Model
from tl_geometry.tokens import Ids, pad


@torch.inference_mode()
def answer_nll(
    model: Model, prompts: Sequence[Ids], answers: Sequence[Ids], *, batch_size: int = 32
) -> list[float]:
    """Mean negative log-likelihood of each answer behind its prompt, nats a token.

    Of the model as it is now: hold no hooks for the unsteered one. ValueError for another number
    of answers than prompts, or an answer without a token.
    """
    if len(prompts) != len(answers) or not all(map(len, answers)):
        raise ValueError("every prompt needs an answer of at least one token")
    order = sorted(range(len(answers)), key=lambda i: len(answers[i]))
    found: dict[int, float] = {}
    for start in range(0, len(order), batch_size):
        some = order[start : start + batch_size]
        batch = pad(model, [[*prompts[i], *answers[i]] for i in some])
        logits = tail_logits(model, batch, len(answers[some[-1]]) + 1)
        log_probs = continuation_log_prob(logits, batch.ids)
        for row, i in zip(log_probs, some, strict=True):
            found[i] = -float(row[-len(answers[i]) :].mean())
    return [found[i] for i in range(len(answers))]
