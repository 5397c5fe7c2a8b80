"""A model's weights, read one tensor at a time from its safetensors files; no model is built.

A checkpoint is a folder as `save_pretrained` makes it: `config.json` with `model.safetensors`, or
with shards and their index. Names come without the family's prefix (`model.`, `transformer.`),
in which files of one and the same model differ.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from textwrap import shorten

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from tl_geometry.catalogue import resolve
from tl_geometry.components import FUSED, Layout, Part, fused_layout, parts_of, plain_name

INDEX = "model.safetensors.index.json"
PATTERNS = ("config.json", "model*.safetensors", INDEX)
"""What is fetched from the hub; some repositories hold the same weights in other formats too."""
FLOATS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}


@dataclass(frozen=True)
class Stored:
    """Where a tensor is, and what is known of it without reading it."""

    file: Path
    name: str
    """In the file."""
    shape: tuple[int, ...]
    dtype: str
    """As safetensors calls it: F16, BF16, U8 …"""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The tensors of a folder. Nothing is kept open or in memory between two reads."""

    name: str
    folder: Path
    model_type: str
    stored: Mapping[str, Stored]
    """Plain name → the tensor in its file."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.stored)

    @cached_property
    def layout(self) -> Layout:
        """How fused tensors are cut. ValueError for a configuration that cannot be read."""
        if self.model_type not in FUSED:
            return {}
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(self.folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ValueError(f"{self.folder}/config.json is not understood: {error}") from error
        return fused_layout(self.model_type, config.get_text_config())

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """All components, layer by layer, those outside of the blocks last; in a layer the parts of
        one tensor stand together. ValueError for fused tensors that the configuration contradicts.
        """
        parts = [
            part
            for name, stored in self.stored.items()
            for part in parts_of(name, stored.shape, self.model_type, self.layout)
        ]
        # Stable: a layer's tensors keep the order of their names.
        return tuple(sorted(parts, key=lambda part: (part.layer is None, part.layer or 0)))

    @property
    def n_layers(self) -> int:
        return 1 + max((part.layer for part in self.parts if part.layer is not None), default=-1)

    def tensor(self, name: str) -> Float[Tensor, "..."]:
        """A tensor in float32 on the CPU, as it is stored: a copy, owned by the caller.

        KeyError for a name that is not there, ValueError for one stored as integers: the numbers
        of a quantised matrix are not its weights.
        """
        stored = self.stored[name]
        if stored.dtype not in FLOATS:
            raise ValueError(
                f"{name} of {self.name} is stored as {stored.dtype}: such numbers are no weights, "
                "so take the checkpoint that is not quantised"
            )
        with safe_open(stored.file, framework="pt") as file:
            return file.get_tensor(stored.name).to("cpu", torch.float32, copy=True)


def open_checkpoint(name_or_path: str, revision: str | None = None) -> Checkpoint:
    """A short name, hub id (with a commit or branch, if wished) or folder.

    Safetensors files and the configuration are fetched from the hub once, and nothing else.
    ValueError as `resolve`, for a folder with a revision, and where there are no such weights.
    """
    spec = resolve(name_or_path, revision)
    if spec.local:
        if revision is not None:
            raise ValueError(f"{name_or_path} is a folder, which has no revision {revision!r}")
        return read_checkpoint(Path(spec.source), spec.name)
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            spec.source, revision=spec.revision, allow_patterns=list(PATTERNS)
        )
    except (OSError, ValueError) as error:
        reason = shorten(str(error), 300, placeholder=" …")
        raise ValueError(f"cannot get the weights of {spec.source}: {reason}") from error
    at = f"@{spec.revision}" if spec.revision else ""
    return read_checkpoint(Path(folder), spec.name + at)


def read_checkpoint(folder: Path, name: str | None = None) -> Checkpoint:
    """The checkpoint in a folder; its tensors' names, shapes and types are read, nothing else.

    ValueError where files are missing, damaged, or name a tensor twice.
    """
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} has no readable config.json: {error}") from error
    text = config.get("text_config", config)
    model_type = text.get("model_type") or config.get("model_type") or "unknown"
    stored: dict[str, Stored] = {}
    for file in _files(folder):
        for one in _contents(file):
            if (plain := plain_name(one.name)) in stored:
                raise ValueError(f"{folder} holds {plain} twice: {one.name} meets another")
            stored[plain] = one
    return Checkpoint(name or folder.resolve().name, folder, model_type, stored)


def _files(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        weight_map = json.loads((folder / INDEX).read_text())["weight_map"]
        files = [folder / name for name in sorted(set(weight_map.values()))]
    else:
        files = [folder / "model.safetensors"]
    if missing := [file.name for file in files if not file.is_file()]:
        raise ValueError(
            f"{folder} lacks {', '.join(missing[:3])}: complete the download, or save the model "
            "with `save_pretrained`, which writes safetensors"
        )
    return files


def _contents(file: Path) -> list[Stored]:
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 # no dict
            return [
                Stored(file, name, tuple(one.get_shape()), one.get_dtype())
                for name, one in slices.items()
            ]
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged: {error}") from error
