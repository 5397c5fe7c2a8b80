"""Checkpoints whose weights were changed by hand."""

from collections.abc import Mapping

import torch
from safetensors.torch import load_file, save_file

from tl_geometry.checkpoints import Checkpoint, read_checkpoint
from tl_geometry.weight_delta import Norm

PLANTED = 5
DOWN = "model.layers.5.mlp.down_proj.weight"
Tensors = dict[str, torch.Tensor]


def weights(checkpoint: Checkpoint) -> Tensors:
    return load_file(checkpoint.folder / "model.safetensors")


def written(checkpoint: Checkpoint, tensors: Mapping[str, torch.Tensor], name: str) -> Checkpoint:
    """A copy of the checkpoint with other tensors."""
    folder = checkpoint.folder.parent / name
    folder.mkdir()
    (folder / "config.json").write_text((checkpoint.folder / "config.json").read_text())
    save_file(dict(tensors), folder / "model.safetensors")
    return read_checkpoint(folder)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def row(rows: list[Norm], layer: int | None, component: str) -> Norm:
    (found,) = (one for one in rows if (one.layer, one.component) == (layer, component))
    return found
