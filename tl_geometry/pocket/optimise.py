"""One training stage: resumable from atomic checkpoints, reproducible from its seed."""

import hashlib
import logging
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from tl_geometry.pocket.batches import IGNORED, Row, tensors
from tl_geometry.pocket.recipes import Schedule

log = logging.getLogger(__name__)
B = TypeVar("B")
RESIDUAL_OUTPUTS = ("o_proj.weight", "down_proj.weight", "dense.weight", "dense_4h_to_h.weight")


@dataclass(frozen=True)
class Trained:
    """What a stage cost and how its loss fell."""

    steps: int
    minutes: float
    losses: tuple[float, ...]
    """Mean training loss of every step, in nats per learned token."""


def initialise(model: PreTrainedModel, scale: float, seed: int) -> None:
    """Normal weights; what writes into the residual stream is scaled by 1/√(2·layers).

    Without that, the stream of a deep and narrow model grows with its depth from the start.
    """
    generator = torch.Generator().manual_seed(seed)
    n_layers = model.config.get_text_config().num_hidden_layers
    after_branch = _norms_behind_branches(model)
    for name, weight in model.named_parameters():
        if name.endswith(after_branch):
            # Gemma's norm multiplies by 1 + weight, and undoes whatever scale the branch has.
            torch.nn.init.constant_(weight, 1 / math.sqrt(2 * n_layers) - 1)
        if weight.ndim < 2:
            continue
        narrow = name.endswith(RESIDUAL_OUTPUTS)
        with torch.no_grad():
            weight.normal_(0, scale / math.sqrt(2 * n_layers if narrow else 1), generator=generator)


def _norms_behind_branches(model: PreTrainedModel) -> tuple[str, ...]:
    """Names of the norms through which branches write into the stream, where a family has them."""
    ends = ("post_attention_layernorm.weight", "post_feedforward_layernorm.weight")
    # Without the second, the first is an ordinary norm before the MLP, as in Llama.
    return ends if any(name.endswith(ends[1]) for name, _ in model.named_parameters()) else ()


def learning_rate(stage: Schedule, step: int) -> float:
    """The rate at a step, counted from 0."""
    if step < stage.warmup:
        return stage.rate * (step + 1) / stage.warmup
    progress = (step - stage.warmup) / max(1, stage.steps - stage.warmup)
    return stage.rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def optimiser(model: PreTrainedModel, stage: Schedule) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": stage.decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=stage.rate, betas=(0.9, 0.95), fused=True)


def batch_loss(model: PreTrainedModel, rows: list[Row]) -> tuple[Tensor, int]:
    """Mean loss over the learned tokens of a batch, and how many these are."""
    ids, labels = tensors(rows)
    wanted = labels[:, 1:] != IGNORED
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    return functional.cross_entropy(logits[wanted], labels[:, 1:][wanted]), int(wanted.sum())


def row_loss(model: PreTrainedModel, rows: list[Row]) -> Tensor:
    """Mean loss over the learned tokens of a batch."""
    return batch_loss(model, rows)[0]


def save_atomically(state: object, path: Path) -> None:
    """Write beside the target, then rename: a kill leaves the old checkpoint or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def train(
    model: PreTrainedModel,
    stage: Schedule,
    batches: Iterator[B],
    checkpoint: Path,
    loss_of: Callable[[PreTrainedModel, B], Tensor] = row_loss,
) -> Trained:
    """Train in place; continues from the checkpoint if there is one.

    ValueError for a checkpoint of another recipe, or of other weights to start from.
    """
    optimise, origin = optimiser(model, stage), fingerprint(model, stage)
    losses: list[float] = []
    spent = 0.0
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        if state.get("origin") != origin:
            raise ValueError(
                f"{checkpoint} was begun with another recipe or other weights: start over with "
                "--fresh"
            )
        model.load_state_dict(state["model"])
        optimise.load_state_dict(state["optimiser"])
        losses, spent = state["losses"], state["seconds"]
        log.info("continuing %s at step %d", checkpoint.name, len(losses))
        if len(losses) >= stage.steps:
            return Trained(len(losses), spent / 60, tuple(losses))
    model.train()
    begun = time.monotonic()
    ahead = islice(batches, len(losses), stage.steps)
    bar = tqdm(ahead, total=stage.steps, initial=len(losses), desc=checkpoint.stem, mininterval=5)
    for batch in bar:
        set_rate(optimise, learning_rate(stage, len(losses)))
        losses.append(_step(model, optimise, stage, loss_of(model, batch)))
        bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
        if len(losses) % stage.checkpoint_every == 0 or len(losses) == stage.steps:
            seconds = spent + time.monotonic() - begun
            recent = losses[-100:]
            log.info(
                "%s step %d loss %.4f %.1f min",
                checkpoint.stem, len(losses), sum(recent) / len(recent), seconds / 60,
            )  # fmt: skip
            state = {
                "origin": origin,
                "model": model.state_dict(),
                "optimiser": optimise.state_dict(),
                "losses": losses,
                "seconds": seconds,
            }
            save_atomically(state, checkpoint)
    model.eval()
    return Trained(len(losses), (spent + time.monotonic() - begun) / 60, tuple(losses))


def fingerprint(model: PreTrainedModel, stage: Schedule) -> str:
    """What a training run comes from: its schedule and the weights that it starts with."""
    made_of = hashlib.sha256(repr(stage).encode())
    for parameter in model.parameters():
        made_of.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return made_of.hexdigest()


def set_rate(optimise: torch.optim.AdamW, rate: float) -> None:
    for group in optimise.param_groups:
        group["lr"] = rate


def _step(
    model: PreTrainedModel, optimise: torch.optim.AdamW, stage: Schedule, loss: Tensor
) -> float:
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), stage.clip)
    optimise.step()
    optimise.zero_grad(set_to_none=True)
    return loss.item()


@torch.inference_mode()
def mean_loss(model: PreTrainedModel, batches: Iterator[list[Row]] | list[list[Row]]) -> float:
    """Loss per learned token over many batches, every token with the same weight."""
    total, n = 0.0, 0
    for rows in batches:
        loss, learned = batch_loss(model, rows)
        total, n = total + loss.item() * learned, n + learned
    return total / n
