"""Load a decoder model by short name, hub id or folder, as a TransformerLens bridge.

Weights stay exactly as Hugging Face stores them: no folded norms, no centring. So a number
measured here is a number of the published model, and the weights exist once in memory.
"""

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError
from transformer_lens.model_protocol import TransformerLensModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

POCKET = Path(__file__).parent / "pocket" / "weights"
QUANTIZATIONS = ("none", "int8", "nf4")
DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@runtime_checkable
class Model(TransformerLensModel, Protocol):
    """What the library asks of a model: TransformerLens's surface plus hooks held by `with`."""

    @property
    def tokenizer(self) -> Any: ...
    def hooks(self, *args: Any, **kwargs: Any) -> Any: ...
    def generate(self, *args: Any, **kwargs: Any) -> Any: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


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

    @property
    def local(self) -> bool:
        return Path(self.source).is_dir()


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What tells two checkpoints apart: the hub's commit, or the hash of a folder's weights."""

    name: str
    source: str
    revision: str


def _pair(instruct: ModelSpec, base: ModelSpec) -> dict[str, ModelSpec]:
    return {spec.name: spec for spec in (instruct, base)}


def _pocket(name: str, family: str) -> dict[str, ModelSpec]:
    base = f"{name}-base"
    return _pair(
        ModelSpec(name=name, source=str(POCKET / name), family=family, base=base),
        ModelSpec(name=base, source=str(POCKET / base), family=family, instruct=name),
    )


MODELS: Mapping[str, ModelSpec] = {
    **_pocket("pocket-mistral", "mistral"),
    **_pair(
        ModelSpec(
            name="mistral-7b",
            source="mistralai/Mistral-7B-Instruct-v0.2",
            family="mistral",
            base="mistral-7b-base",
        ),
        ModelSpec(
            name="mistral-7b-base",
            source="mistralai/Mistral-7B-v0.1",
            family="mistral",
            instruct="mistral-7b",
        ),
    ),
}


def resolve(name_or_path: str, revision: str | None = None) -> ModelSpec:
    """A row of `MODELS`, a folder with a config.json, or any `owner/name` hub id.

    ValueError if it is none of the three, with the nearest short names.
    """
    if name_or_path in MODELS:
        known = MODELS[name_or_path]
        if POCKET in Path(known.source).parents and not known.local:
            raise ValueError(f"the weights of {known.name} are not there; make them: make pocket")
        return ModelSpec(**{**known.__dict__, "revision": revision or known.revision})
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
        revision = _config(spec)._commit_hash or spec.revision or "unknown"
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
    parameters: int
    dtype: str
    """As stored."""


def size_of(spec: ModelSpec, *, trust_remote_code: bool = False) -> ModelSize:
    """ValueError where the configuration cannot be read."""
    from transformers import AutoModelForCausalLM

    config = _config(spec, trust_remote_code=trust_remote_code)
    text = config.get_text_config()
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    return ModelSize(
        n_layers=text.num_hidden_layers,
        d_model=text.hidden_size,
        # GPT-2 and Falcon leave the usual factor of four unsaid.
        d_mlp=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        n_heads=text.num_attention_heads,
        parameters=sum(parameter.numel() for parameter in empty.parameters()),
        dtype=str(getattr(config, "dtype", None) or "float32").removeprefix("torch."),
    )


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
            "Check the name, your connection and (gated models) `hf auth login`."
        ) from error


def load_model(
    name_or_path: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    quantization: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> Model:
    """A `TransformerBridge` in evaluation mode, with the weights as published.

    The device defaults to CUDA where there is one; the dtype to float32 on a CPU and to the
    checkpoint's own on a GPU. ValueError for an unknown name, an unreadable checkpoint, an
    unknown dtype or quantisation.
    """
    spec = resolve(name_or_path, revision)
    device = chosen_device(device)
    hf_model, tokenizer = _load_hf(spec, device, dtype, quantization, trust_remote_code)
    placed = quantization in ("int8", "nf4")  # by bitsandbytes, which cannot be moved afterwards
    return wrap(hf_model, tokenizer, source=spec.source, device=None if placed else device)


def wrap(
    hf_model: "PreTrainedModel",
    tokenizer: Any,
    *,
    source: str | None = None,
    device: str | None = None,
) -> Model:
    """A Hugging Face model as a bridge that shares its weights.

    Wrapped in place: the Hugging Face object can no longer be saved or used by itself.
    """
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(
        source or hf_model.config._name_or_path or "local/model",
        hf_model=hf_model,
        tokenizer=tokenizer,
        device=device,
        dtype=hf_model.dtype,
    )
    return bridge.eval()  # pyright: ignore[reportReturnType] # a bridge satisfies the protocol


def _load_hf(
    spec: ModelSpec,
    device: str,
    dtype: str | None,
    quantization: str | None,
    trust_remote_code: bool,
) -> tuple["PreTrainedModel", Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    common: dict[str, Any] = {
        "revision": spec.revision,
        "trust_remote_code": trust_remote_code,
    }
    chosen = torch_dtype(dtype, device)
    options = common | {"dtype": chosen, "attn_implementation": "eager"}
    if (scheme := _quantization_config(quantization, chosen)) is not None:
        options |= {"quantization_config": scheme, "device_map": device}
    try:
        tokenizer = AutoTokenizer.from_pretrained(spec.source, **common)
        hf_model = AutoModelForCausalLM.from_pretrained(spec.source, **options)
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        reason = shorten(str(error), 300, placeholder=" …")
        raise ValueError(f"cannot load {spec.name} from {spec.source}: {reason}") from error
    return hf_model, tokenizer


def chosen_device(name: str | None) -> str:
    """The named device; by default CUDA where there is one. ValueError if it is not there."""
    cuda = torch.cuda.is_available()
    if name is None:
        return "cuda" if cuda else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}; use cpu, cuda, cuda:1, … or mps") from error
    if device.type == "cuda" and not (cuda and (device.index or 0) < torch.cuda.device_count()):
        raise ValueError(
            f"device {name!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices; "
            "use --device cpu, or install a build of torch for your GPU"
        )
    return name


def torch_dtype(dtype: str | None, device: str) -> torch.dtype | str:
    """The named dtype; by default float32 on a CPU and `"auto"` (as stored) elsewhere."""
    if dtype is None:
        return torch.float32 if device == "cpu" else "auto"
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}; choose one of {', '.join(DTYPES)}")
    return DTYPES[dtype]


def _quantization_config(quantization: str | None, dtype: torch.dtype | str) -> Any:
    if quantization in (None, "none"):
        return None
    if quantization not in QUANTIZATIONS:
        choices = ", ".join(QUANTIZATIONS)
        raise ValueError(f"unknown quantization {quantization!r}; choose one of {choices}")
    from transformers import BitsAndBytesConfig

    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    compute = dtype if isinstance(dtype, torch.dtype) else torch.bfloat16
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute
    )
