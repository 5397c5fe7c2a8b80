"""Hidden states of a pair's texts, and their cache: a file that says what it is of."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from analyses.alignment_steering.texts import Text
from analyses.work import halved
from tl_geometry.models import Model
from tl_geometry.pooling import pooled_states
from tl_geometry.runs.atomic import atomic_write
from tl_geometry.runs.canonical import canonical_json, digest
from tl_geometry.tokens import Ids

log = logging.getLogger(__name__)
BATCH = 64
KIND = "hidden states at the last token of every block's output"


@dataclass(frozen=True, eq=False)
class States:
    """What one model's blocks hand on at the last token of each answer."""

    chosen: Float[Tensor, "text layer d"]
    rejected: Float[Tensor, "text layer d"]


def read(model: Model, texts: Sequence[Text], batch_size: int | None, title: str) -> States:
    """One pass a text, each at its last real token."""
    ids = [[*t.prompt, *t.chosen] for t in texts] + [[*t.prompt, *t.rejected] for t in texts]
    both = last_states(model, ids, range(model.cfg.n_layers), batch_size, title)
    return States(both[: len(texts)], both[len(texts) :])


def last_states(
    model: Model, ids: Sequence[Ids], layers: Sequence[int], batch_size: int | None, title: str
) -> Float[Tensor, "text layer d"]:
    """Of the last token of each text; the batch is halved where memory runs out."""

    def act(size: int) -> Tensor:
        return pooled_states(model, ids, layers, ("last",), batch_size=size, title=title)["last"]

    return halved(act, batch_size or BATCH)


def fingerprint(
    identity: Mapping[str, str], texts: Sequence[Text], about: Mapping[str, Any]
) -> str:
    """Of everything that the states depend on: 100 texts can never pass for 1000, nor one
    revision for another."""
    read = [[t.id, list(t.prompt), list(t.chosen), list(t.rejected)] for t in texts]
    return digest({"model": dict(identity), "texts": read, "kind": KIND, **about})


def keep(path: Path, states: States, mark: str, about: Mapping[str, Any]) -> None:
    header = {"fingerprint": mark, "about": canonical_json({**about, "kind": KIND})}
    tensors = {
        "chosen": states.chosen.contiguous(),
        "rejected": states.rejected.contiguous(),
    }
    content = safetensors.torch.save(tensors, metadata=header)
    with atomic_write(path) as partial:
        partial.write_bytes(content)


def kept(path: Path, mark: str) -> States | None:
    """The states in a cache; None, and a warning, where it is of something else."""
    if not path.exists():
        return None
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            if header.get("fingerprint") == mark:
                return States(file.get_tensor("chosen"), file.get_tensor("rejected"))
            about = header.get("about")
    except (SafetensorError, OSError) as error:
        log.warning("%s cannot be read (%s): its states are measured anew", path, error)
        return None
    log.warning(
        "%s holds states of something else (%s): they are not used, but measured anew",
        path,
        "unknown" if about is None else json.loads(about),
    )
    return None


def double(states: Float[Tensor, "text layer d"], layer: int) -> Any:
    """One layer as float64 numpy, [text, d]."""
    return states[:, layer].to(torch.float64).numpy()
