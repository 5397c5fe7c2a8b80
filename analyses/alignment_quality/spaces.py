"""Where a model puts the texts: pooled states of every layer, kept as arrays."""

import logging
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils.memory import find_executable_batch_size
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from analyses.alignment_quality.config import Pooling
from analyses.alignment_quality.items import Item
from tl_geometry import sites
from tl_geometry.models import Model
from tl_geometry.pooling import Place, Pool, pooled_at
from tl_geometry.runs import Run
from tl_geometry.tokens import encode

log = logging.getLogger(__name__)
STATES = "states"
BATCH = 64
"""Texts a pass; halved when memory runs out."""


@dataclass(frozen=True)
class Spaces:
    """One model's pooled states of the same items, in their order."""

    pools: Mapping[str, Float[np.ndarray, "item layer d"]]
    layers: Sequence[int]
    final: Float[np.ndarray, "item d"]
    """Behind the final norm, mean with the beginning-of-sequence token: what was published."""
    lengths: Float[np.ndarray, " item"]
    """Tokens of each text."""

    def at(self, pool: Pooling, layer: int) -> Float[np.ndarray, "item d"]:
        return self.pools[pool][:, list(self.layers).index(layer)].astype(float)


def kept_spaces(
    record: Run,
    name: str,
    origin: Mapping[str, str],
    load: Callable[[], Model],
    items: Sequence[Item],
    layers: Sequence[int],
    pools: Sequence[Pooling],
    max_length: int,
    batch_size: int | None,
) -> Spaces:
    """From the run's folder, or measured now. `origin` says whose states they are (the run's key,
    the model's revision, the items); it is written into the file, and a file that says otherwise,
    or nothing, is measured again with a warning."""
    path = record.model_folder(name) / "artifacts" / f"{STATES}.safetensors"
    if not _of_origin(path, origin):
        arrays = measured_spaces(load(), items, layers, pools, max_length, batch_size)
        tensors = {k: torch.from_numpy(v) for k, v in arrays.items()}
        record.save_arrays(name, STATES, tensors, origin)
    return _read(path, layers, pools)


def _of_origin(path: Path, origin: Mapping[str, str]) -> bool:
    if not path.exists():
        return False
    try:
        with safe_open(path, "np") as file:
            said = file.metadata() or {}
    except SafetensorError as error:
        log.warning("%s cannot be read (%s): measured again", path.name, error)
        return False
    other = [key for key, value in origin.items() if said.get(key) != value]
    if other:
        names = f"{path.parent.parent.name}/artifacts/{path.name}"
        log.warning("%s is not of this request (%s): measured again", names, ", ".join(other))
    return not other


def measured_spaces(
    model: Model,
    items: Sequence[Item],
    layers: Sequence[int],
    pools: Sequence[Pooling],
    max_length: int = 2048,
    batch_size: int | None = None,
) -> dict[str, np.ndarray]:
    """Every pooling and layer in one pass a text; inputs are plain text, as published."""
    whole = encode(model, [item.text for item in items])
    prompts = [ids[:max_length] for ids in whole]
    if cut := sum(map(len, whole)) - sum(map(len, prompts)):
        log.warning("%d tokens behind the first %d of a text were cut off", cut, max_length)
    places: list[Place] = [(sites.resid_post(layer), pool) for pool in pools for layer in layers]
    published: Pool = "mean_with_bos"
    places.append((sites.hidden_state(model, model.cfg.n_layers - 1), published))
    started, used = time.monotonic(), [batch_size or BATCH]

    @find_executable_batch_size(starting_batch_size=batch_size or BATCH)
    def run(batch_size: int) -> list[torch.Tensor]:
        used.append(batch_size)
        return pooled_at(model, prompts, places, batch_size=batch_size, title="texts")

    *states, final = run()  # pyright: ignore[reportCallIssue] # the decorator gives the size
    n = len(layers)
    found = {p: torch.stack(states[k * n : (k + 1) * n], 1).numpy() for k, p in enumerate(pools)}
    effort = [used[-1], time.monotonic() - started, peak_gib(model)]
    return {
        **found,
        "final": final.numpy(),
        "lengths": np.array([len(ids) for ids in prompts], dtype=np.float64),
        "effort": np.array(effort),
    }


def peak_gib(model: Model) -> float:
    """The GPU's largest allocation so far, or the process's on a CPU: over all models of a run, so
    that it can only rise from one to the next."""
    device = torch.device(model.cfg.device or "cpu")
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def effort(record: Run, name: str) -> dict[str, Any]:
    """Batch size and seconds of the pass, the process's peak so far; of the machine, so in no
    table."""
    path = record.model_folder(name) / "artifacts" / f"{STATES}.safetensors"
    size, seconds, peak = load_file(path)["effort"].tolist()
    return {
        "batch_size": int(size),
        "seconds": round(seconds, 1),
        "process_peak_so_far_gib": round(peak, 2),
    }


def _read(path: Path, layers: Sequence[int], pools: Sequence[Pooling]) -> Spaces:
    arrays = load_file(path)
    return Spaces({p: arrays[p] for p in pools}, layers, arrays["final"], arrays["lengths"])
