"""The change that a LoRA adapter makes (a PEFT folder), without building the model it belongs to.

ΔW = (α / r) · B · A for each adapted matrix (Hu et al. 2021, arXiv 2106.09685), or (α / √r) · B · A
if rank-stabilised (Kalajdzievski 2023, arXiv 2312.03732). It has rank r at most.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor

from tl_geometry.checkpoints import Checkpoint
from tl_geometry.components import Part, plain_name
from tl_geometry.weight_delta import TensorChange

ADAPTED = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


@dataclass(frozen=True, eq=False)
class Adapter:
    """A LoRA adapter as a difference to its base model; what it leaves alone changes by zero."""

    base: Checkpoint
    file: Path
    scales: Mapping[str, float]
    """Adapted tensor of the base → the factor of B · A."""
    keys: Mapping[str, tuple[str, str]]
    """Adapted tensor of the base → where A and B are in the file."""
    left_out: Mapping[str, str]

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for part in self.base.parts if part.name not in self.left_out)

    def change(self, name: str) -> TensorChange:
        base = self.base.tensor(name)
        if name not in self.scales:
            return TensorChange(base, torch.zeros_like(base))
        delta = self._product(name)
        # B · A is [out, in] whatever the layer; GPT-2 stores [in, out].
        return TensorChange(base, delta.mT if self._transposed(name) else delta)

    def _product(self, name: str) -> Float[Tensor, "out in"]:
        with safe_open(self.file, framework="pt") as file:
            a, b = (file.get_tensor(key).to("cpu", torch.float32) for key in self.keys[name])
        return self.scales[name] * (b @ a)

    def _transposed(self, name: str) -> bool:
        return any(part.transposed for part in self.base.parts if part.name == name)


def read_adapter(folder: Path, base: Checkpoint) -> Adapter:
    """The adapter in a folder as `save_pretrained` of PEFT makes it, for that base model.

    ValueError for another kind of adapter, for DoRA (its change is no sum), and where an adapted
    matrix is not one of the base's or of another shape. What else is in the file (embeddings,
    biases, whole modules saved beside the adapter) is left out with a reason.
    """
    config = _config(folder)
    found: dict[str, dict[str, str]] = {}
    left_out: dict[str, str] = {}
    file = _file(folder)
    with safe_open(file, framework="pt") as opened:
        keys_of_file = list(opened.keys())
        shapes = {key: tuple(opened.get_slice(key).get_shape()) for key in keys_of_file}
    for key in shapes:
        if match := ADAPTED.fullmatch(key):
            found.setdefault(match[1], {})[match[2]] = key
        else:
            left_out[_touched(key)] = "is changed by the adapter in another way than by B · A"
    if not found:
        raise ValueError(f"{file} holds no matrices lora_A and lora_B that PEFT would have saved")
    scales, keys = {}, {}
    for module, pair in found.items():
        name = plain_name(module + ".weight")
        _check(name, pair, shapes, base)
        scales[name] = _scale(module, shapes[pair["A"]][0], config)
        keys[name] = (pair["A"], pair["B"])
    return Adapter(base, file, scales, keys, left_out)


def adapter_digest(folder: Path) -> str:
    """SHA-256 of an adapter's settings and weights, wherever its folder is and whatever its name.

    ValueError where the folder holds no LoRA adapter.
    """
    _config(folder)
    digest = hashlib.sha256()
    for file in (folder / "adapter_config.json", _file(folder)):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _file(folder: Path) -> Path:
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        raise ValueError(f"{folder} has no adapter_model.safetensors: save it with PEFT anew")
    return file


def _config(folder: Path) -> Mapping[str, Any]:
    try:
        config = json.loads((folder / "adapter_config.json").read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} has no readable adapter_config.json: {error}") from error
    if (kind := config.get("peft_type")) != "LORA":
        raise ValueError(f"{folder} holds a {kind} adapter; only LORA can be read as a difference")
    if config.get("use_dora"):
        raise ValueError(f"{folder} is a DoRA adapter: merge it, and give the merged checkpoint")
    return config


def _touched(key: str) -> str:
    """The base's tensor that a key of another kind speaks of (`lm_head.weight`, say)."""
    name = plain_name(key.removeprefix("base_model.model."))
    module, adapted, _ = name.partition(".lora_")
    kind = "bias" if name.endswith(".bias") else "weight"
    return f"{module}.{kind}" if adapted else name


def _scale(module: str, rank: int, config: Mapping[str, Any]) -> float:
    """α over r or √r, with the module's own α if it has one; r is what is stored."""
    patterns: Mapping[str, float] = config.get("alpha_pattern") or {}
    own = (one for one in patterns if re.match(rf"(.*\.)?({one})$", module))
    pattern = next(own, None)
    alpha = config["lora_alpha"] if pattern is None else patterns[pattern]
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _check(
    name: str,
    pair: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    base: Checkpoint,
) -> None:
    if name not in base.stored:
        raise ValueError(f"the adapter changes {name}, which {base.name} does not have")
    if missing := {"A", "B"} - set(pair):
        raise ValueError(f"the adapter of {name} lacks its matrix {missing.pop()}")
    (_, n_in), (n_out, _) = shapes[pair["A"]], shapes[pair["B"]]
    if sorted((n_out, n_in)) != sorted(base.stored[name].shape):
        raise ValueError(
            f"the adapter's change of {name} is {(n_out, n_in)}, and {base.name} has "
            f"{base.stored[name].shape}"
        )
