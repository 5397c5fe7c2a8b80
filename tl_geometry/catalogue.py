"""Which models there are: short names, hub ids and folders, told apart by commit or weight hash.

Nothing here loads a weight. Layer counts and sizes are read from a model's own configuration.
"""

import difflib
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from tl_geometry.model_table import POCKET_BASE, POCKET_FAMILIES, ROWS

for _noisy in ("torchao", "torch.utils._pytree"):
    # Where torchao is installed, it tells at import what this machine has no kernels for.
    logging.getLogger(_noisy).setLevel(logging.ERROR)

POCKET = Path(__file__).parent / "pocket" / "weights"


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """Where a model comes from. Layer counts are read from the model, never written here."""

    name: str
    source: str
    """Hub id or folder."""
    family: str = "unknown"
    base: str | None = None
    """Short name of the model that this one was tuned from."""
    instruct: str | None = None
    """Short name of the model tuned from this one."""
    revision: str | None = None
    """Commit to load; the hub's newest if None."""
    billions: float | None = None
    """Parameters, in 10⁹."""
    dtype: str | None = None
    """As published."""
    notes: str = ""

    @property
    def local(self) -> bool:
        return Path(self.source).is_dir()


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What tells two checkpoints apart: the hub's commit, or the hash of a folder's weights."""

    name: str
    source: str
    revision: str


def _hub(row: str) -> ModelSpec:
    name, source, family, base, billions, dtype, notes = row.split("|")
    return ModelSpec(
        name=name,
        source=source,
        family=family,
        base=base or None,
        billions=float(billions),
        dtype=dtype,
        notes=notes,
    )


def _pocket(name: str, family: str) -> list[ModelSpec]:
    base = POCKET_BASE.get(name, f"{name}-base")
    shipped: dict[str, Any] = {
        "dtype": "float16",
        "notes": "embedded: trained by us, says nothing of large models",
    }
    tuned = ModelSpec(name=name, source=str(POCKET / name), family=family, base=base, **shipped)
    if name in POCKET_BASE:
        return [tuned]
    return [tuned, ModelSpec(name=base, source=str(POCKET / base), family=family, **shipped)]


def _table() -> dict[str, ModelSpec]:
    specs = [spec for name, family in POCKET_FAMILIES.items() for spec in _pocket(name, family)]
    specs += [_hub(row) for row in ROWS.strip().splitlines()]
    tuned: dict[str, str] = {}
    for spec in specs:
        if spec.base:
            tuned.setdefault(spec.base, spec.name)  # the family's own fine-tune comes first
    return {spec.name: replace(spec, instruct=tuned.get(spec.name)) for spec in specs}


MODELS: Mapping[str, ModelSpec] = _table()


def resolve(name_or_path: str, revision: str | None = None) -> ModelSpec:
    """A row of `MODELS`, a folder with a config.json, or any `owner/name` hub id.

    ValueError if it is none of the three, with the nearest short names.
    """
    if name_or_path in MODELS:
        known = MODELS[name_or_path]
        if POCKET in Path(known.source).parents and not known.local:
            raise ValueError(f"the weights of {known.name} are not there; make them: make pocket")
        return replace(known, revision=revision or known.revision)
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ValueError(f"{folder} has no config.json: pass a folder made by save_pretrained")
        return ModelSpec(name=folder.resolve().name, source=str(folder))
    if name_or_path.count("/") == 1 and not name_or_path.startswith((".", "/", "~")):
        short = name_or_path.split("/")[1].lower()
        return ModelSpec(name=short, source=name_or_path, revision=revision)
    near = difflib.get_close_matches(name_or_path, MODELS, n=3, cutoff=0.4) or list(MODELS)
    raise ValueError(
        f"unknown model {name_or_path!r}; nearest names: {', '.join(near)}. "
        "A hub id (owner/name) or a folder with config.json works too."
    )


def is_pocket(spec: ModelSpec) -> bool:
    """Whether this is one of the embedded miniatures, which say nothing about large models."""
    return POCKET in Path(spec.source).parents


def identity(spec: ModelSpec) -> Identity:
    """The checkpoint's identity, found without building the model.

    ValueError if a hub id can be neither reached nor found in the local cache.
    """
    if spec.local:
        revision = f"sha256:{_weights_hash(spec.source)}"
    else:
        revision = _config(spec)._commit_hash or spec.revision
    if not revision:
        raise ValueError(f"cannot tell which commit of {spec.source} this is: pass --revision")
    # A shipped model is the same model wherever the package is installed.
    source = spec.name if spec.local else spec.source
    return Identity(name=spec.name, source=source, revision=revision)


@dataclass(frozen=True, kw_only=True)
class ModelSize:
    """The shape of a model, read from its configuration without loading a weight."""

    n_layers: int
    d_model: int
    d_mlp: int
    n_heads: int
    d_kv: int
    """Width of the keys (and of the values) of all heads of a layer, as they are cached."""
    vocabulary: int
    parameters: int
    dtype: str
    """As stored."""


def empty_model(spec: ModelSpec, *, trust_remote_code: bool = False) -> Any:
    """The model's modules without their weights. ValueError if its configuration is unreadable."""
    from transformers import AutoModelForCausalLM

    config = _config(spec, trust_remote_code=trust_remote_code)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)


@lru_cache
def size_of(spec: ModelSpec, *, trust_remote_code: bool = False) -> ModelSize:
    """ValueError where the configuration cannot be read. Read once a process: a plan asks often."""
    empty = empty_model(spec, trust_remote_code=trust_remote_code)
    config = empty.config
    text = config.get_text_config()
    return ModelSize(
        n_layers=text.num_hidden_layers,
        d_model=text.hidden_size,
        # GPT-2 and Falcon leave the usual factor of four unsaid.
        d_mlp=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        n_heads=text.num_attention_heads,
        d_kv=_d_kv(text),
        vocabulary=text.vocab_size,
        parameters=sum(parameter.numel() for parameter in empty.parameters()),
        dtype=str(getattr(config, "dtype", None) or "float32").removeprefix("torch."),
    )


def _d_kv(text: Any) -> int:
    """Falcon says in words of its own that all its heads share one key."""
    shared = getattr(text, "multi_query", False) and not text.new_decoder_architecture
    named = getattr(text, "num_key_value_heads", None) or getattr(text, "num_kv_heads", None)
    heads = 1 if shared else named or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return heads * width


@lru_cache
def _weights_hash(folder: str) -> str:
    files = sorted(f for f in Path(folder).iterdir() if f.suffix in (".safetensors", ".bin"))
    if not files:
        raise ValueError(f"{folder} has no *.safetensors weights: pass a complete checkpoint")
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def _config(spec: ModelSpec, *, trust_remote_code: bool = False) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(
            spec.source, revision=spec.revision, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError) as error:
        raise ValueError(
            f"cannot read the configuration of {spec.source}: {str(error).splitlines()[0]} "
            "Check the name, your connection and (gated models) `hf auth login`, or give a folder."
        ) from error
