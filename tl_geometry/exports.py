"""Directions for other tools: steering-vectors, control vectors of repeng and llama.cpp, lm-eval.

These tools number blocks from 0 and edit a block's *output*; a direction names a state, and state
l is the output of block l − 1. State 0, the embeddings, is no block's output: it is refused.

The vector is written as measured, in float32. A tool's multiplier is therefore a dose in the unit
`raw`: `stated(direction, dose, unit)["dose_raw"]`. No format has a place for the unit of a dose,
the positions to edit, the position and method of measurement, the reference or the provenance;
whoever needs those keeps the file of `Direction.save`. A span of several blocks is several
directions: `dataclasses.replace(direction, layer=...)` for each.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tl_geometry.directions import Direction

Directions = Direction | Sequence[Direction]
"""One, or several of different states."""

_ARCHITECTURE = "controlvector"


def to_steering_vectors(directions: Directions) -> Any:
    """A `steering_vectors.SteeringVector` of the layer type `decoder_block`.

    What it cannot carry is given to its `apply`: the dose (`multiplier`, unit `raw`) and the
    positions (all, padding too, by default). ValueError for state 0, or one state twice.
    """
    layers = {block: _float32(one.vector) for block, one in _by_block(directions).items()}
    return _steering_vectors().SteeringVector(layers, "decoder_block")


def from_steering_vectors(vector: Any, *, position: int = -1) -> list[Direction]:
    """A direction a layer. `position` is where it was measured, which the object does not say:
    the package reads the last token unless told otherwise.

    ValueError for a vector of another layer type: attention, MLP and norms are no residual stream.
    """
    if vector.layer_type != "decoder_block":
        raise ValueError(
            f"a vector of layer type {vector.layer_type!r} is no direction of the residual stream: "
            "only 'decoder_block' is"
        )
    return _directions(vector.layer_activations, position, "steering_vectors", {})


def save_gguf(directions: Directions, path: str | Path, model_type: str) -> None:
    """A control vector for llama.cpp (`--control-vector-scaled FILE:DOSE`) and repeng.

    `direction.{k}` is added to the output of block k; `model_type` is the hint that repeng calls
    `model.config.model_type`. What the file cannot carry is chosen when it is used: the dose (unit
    `raw`), and in llama.cpp a range of layers; positions cannot be, all tokens are edited.
    ValueError for state 0; for state 1, because llama.cpp refuses files with `direction.0`; for
    one state twice; for an empty model type.
    """
    layers = _by_block(directions)
    if 0 in layers:
        raise ValueError(
            "state 1 is the output of block 0, which llama.cpp cannot steer (it refuses a file "
            "with direction.0): leave that direction out"
        )
    if not model_type:
        raise ValueError("repeng refuses a file without model type: pass e.g. 'mistral'")
    writer = _gguf().GGUFWriter(str(path), _ARCHITECTURE)
    writer.add_string(f"{_ARCHITECTURE}.model_hint", model_type)
    writer.add_uint32(f"{_ARCHITECTURE}.layer_count", len(layers))
    for block, one in layers.items():
        writer.add_tensor(f"direction.{block}", _float32(one.vector).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def load_gguf(path: str | Path, *, position: int = -1) -> list[Direction]:
    """A direction a layer; `provenance["model_hint"]` is the file's. `position` is where it was
    measured, which the file does not say: repeng reads the last token.

    What repeng calls the last layer it measures behind the final norm, and adds before it.
    ValueError for a file that is no control vector in float32.
    """
    gguf = _gguf()
    reader = gguf.GGUFReader(str(path))
    if (architecture := _text(reader, "general.architecture")) != _ARCHITECTURE:
        raise ValueError(f"{path} is a file of architecture {architecture!r}, no control vector")
    tensors = [one for one in reader.tensors if one.name.startswith("direction.")]
    if strange := [one.name for one in tensors if one.tensor_type.name != "F32"]:
        raise ValueError(f"{path} holds {strange} in another type than float32, which is the rule")
    layers = {
        # The reader's arrays are windows on the file: what is kept is copied.
        int(one.name.removeprefix("direction.")): torch.from_numpy(np.array(one.data, np.float32))
        for one in tensors
    }
    hint = _text(reader, f"{_ARCHITECTURE}.model_hint")
    return _directions(layers, position, "control_vector", {"model_hint": hint})


def save_lm_eval(
    directions: Directions,
    path: str | Path,
    coefficient: float,
    action: Literal["add", "clamp"] = "add",
    *,
    blocks: str = "layers",
) -> None:
    """A `steer_path` for `lm_eval --model steered` (lm-evaluation-harness), ending in .pt.

    `add` adds coefficient · vector (a dose in the unit `raw`). `clamp` moves what lies along the
    direction to `coefficient`, in the stream's own units and counted from the reference if there
    is one: `steering.affine` with the amount coefficient / norm. Both act at all positions of
    prompt, answer and padding; the file cannot carry others, nor another dose for one row.

    `blocks` is where the blocks are, as seen from `model.base_model`: "layers" (Llama, Mistral,
    Qwen, Gemma, Phi, Pythia), "h" (GPT-2, Falcon), "decoder.layers" (OPT); the harness refuses
    names that it does not find. ValueError for state 0, one state twice, or an unknown action.
    """
    if action not in ("add", "clamp"):
        raise ValueError(f"action {action!r} is unknown: choose add or clamp")
    if Path(path).suffix not in (".pt", ".pth"):
        raise ValueError(f"{path} would not be read: the harness wants a name that ends in .pt")
    hooks = {}
    for block, one in _by_block(directions).items():
        around = one.reference if action == "clamp" else None
        hooks[f"{blocks}.{block}"] = {
            "steering_vector": _float32(one.vector),
            "steering_coefficient": float(coefficient),
            "action": action,
            "bias": None if around is None else _float32(around),
            "head_index": None,
        }
    torch.save(hooks, path)


def _by_block(directions: Directions) -> dict[int, Direction]:
    """Block whose output is edited → direction, from the first block on."""
    several = [directions] if isinstance(directions, Direction) else list(directions)
    if not several:
        raise ValueError("no directions were given")
    states = [one.layer for one in several]
    if min(states) < 1:
        raise ValueError(
            f"state {min(states)} is not the output of a block (state 0 is the embeddings, before "
            "all blocks), and these tools edit nothing but outputs of blocks"
        )
    if len(set(states)) < len(states):
        raise ValueError(f"one direction a state can be written, and states {states} were given")
    if len(sizes := {len(one.vector) for one in several}) > 1:
        raise ValueError(f"directions of one model are equally wide, and these are {sorted(sizes)}")
    return {one.layer - 1: one for one in sorted(several, key=lambda one: one.layer)}


def _directions(
    layers: Mapping[int, Float[Tensor, " _d"]],
    position: int,
    method: str,
    provenance: Mapping[str, Any],
) -> list[Direction]:
    if strange := [block for block in layers if block < 0]:
        raise ValueError(f"blocks {strange} are counted from the end: count them from 0")
    return [
        Direction(_float32(layers[block]), block + 1, position, method, provenance=provenance)
        for block in sorted(layers)
    ]


def _float32(vector: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """A copy: nothing that was exported changes with the original, or holds on to more of it."""
    return vector.detach().to("cpu", torch.float32, copy=True)


def _text(reader: Any, name: str) -> str | None:
    field = reader.get_field(name)
    return None if field is None else bytes(field.parts[-1]).decode()


def _gguf() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise ImportError("control vectors need: pip install 'tl-geometry[interop]'") from error
    return gguf


def _steering_vectors() -> Any:
    try:
        import steering_vectors  # type: ignore[import-not-found] # optional
    except ImportError as error:
        # Its metadata ask for transformers 4, though it runs with 5: pip has to be told.
        raise ImportError(
            "this export needs: pip install --no-deps 'steering-vectors>=0.12'"
        ) from error
    return steering_vectors
