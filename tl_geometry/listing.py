"""The models that have a short name, as a table for people: `python -m tl_geometry.models`."""

from pathlib import Path
from typing import Any

import pandas as pd

from tl_geometry.catalogue import MODELS, ModelSpec, is_pocket, size_of

GB_PER_BILLION = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
HEADER = (
    "Models with a short name; any hub id (owner/name) or folder with config.json works as well.\n"
    "GB: memory for the weights as published (int8 about half of 16 bit, nf4 about a third).\n\n"
)


def cached(spec: ModelSpec) -> bool:
    """Whether the weights are on this machine, in the folder or in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    if spec.local or is_pocket(spec):
        return _has_weights(Path(spec.source))
    config = try_to_load_from_cache(spec.source, "config.json", revision=spec.revision)
    return isinstance(config, str) and _has_weights(Path(config).parent)


def _has_weights(folder: Path) -> bool:
    return folder.is_dir() and any(
        file.suffix in (".safetensors", ".bin") for file in folder.iterdir()
    )


def _row(spec: ModelSpec) -> dict[str, Any]:
    embedded = is_pocket(spec)
    present = cached(spec)
    if embedded:
        size = f"{size_of(spec).parameters / 1e6:.1f}M" if present else ""
        memory = "0.01"
    else:
        size = f"{spec.billions:g}B"
        memory = f"{(spec.billions or 0) * GB_PER_BILLION[spec.dtype or 'bfloat16']:.3g}"
    return {
        "name": spec.name,
        "hub id": "(in the package)" if embedded else spec.source,
        "family": spec.family,
        "size": size,
        "base": spec.base or "",
        "here": "yes" if present else "no",
        "GB": memory,
        "dtype": spec.dtype,
        "notes": spec.notes,
    }


def listing() -> pd.DataFrame:
    """One row a model; `here` says whether its weights are on this machine."""
    return pd.DataFrame([_row(spec) for spec in MODELS.values()])


def text() -> str:
    """The listing with its columns aligned."""
    table = listing()
    left = {column: f"<{table[column].astype(str).str.len().max()}" for column in table}
    body = table.to_string(
        index=False, justify="left", formatters={c: f"{{:{w}}}".format for c, w in left.items()}
    )
    return HEADER + "\n".join(line.rstrip() for line in body.splitlines()) + "\n"
