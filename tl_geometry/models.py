"""Load a decoder model by short name, hub id or folder, as a TransformerLens bridge.

Weights stay exactly as Hugging Face stores them: no folded norms, no centring. So a number
measured here is a number of the published model, and the weights exist once in memory.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from safetensors import SafetensorError

from tl_geometry import twins
from tl_geometry.catalogue import ModelSpec, empty_model, resolve

if TYPE_CHECKING:
    from transformers import PreTrainedModel

QUANTIZATIONS = ("none", "int8", "nf4", "int8-torchao")
EXTRA = {"int8": "bitsandbytes", "nf4": "bitsandbytes", "int8-torchao": "torchao"}
"""The package that does each kind of quantisation."""
COMPUTE = {"int8": "float16", "nf4": "bfloat16", "int8-torchao": "bfloat16"}
"""What quantised layers compute in on a CPU; float32 around them would gain nothing."""
FUSED = ("qkv_proj", "query_key_value", "c_attn")
"""Names of matrices that make queries, keys and values at once."""
DTYPES: Mapping[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@runtime_checkable
class Model(Protocol):
    """What the library asks of a model.

    TransformerLens's own `TransformerLensModel` (written out, because version 3 has none and its
    `HookedTransformer` works as well), with hooks held by `with`, generation and a tokenizer.
    """

    @property
    def cfg(self) -> Any: ...
    @property
    def tokenizer(self) -> Any: ...
    def run_with_cache(self, *args: Any, **kwargs: Any) -> Any: ...
    def run_with_hooks(self, *args: Any, **kwargs: Any) -> Any: ...
    def to_tokens(self, *args: Any, **kwargs: Any) -> Any: ...
    def hooks(self, *args: Any, **kwargs: Any) -> Any: ...
    def generate(self, *args: Any, **kwargs: Any) -> Any: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


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
    checkpoint's own on a GPU; quantised models compute in 16 bit. ValueError for an unknown
    name, an unreadable checkpoint, an unknown dtype or quantisation, and for architectures that
    are known to go wrong (`check_loadable`).
    """
    spec = resolve(name_or_path, revision)
    device = chosen_device(device)
    scheme = None if quantization == "none" else quantization
    check_loadable(spec, scheme, trust_remote_code=trust_remote_code)
    hf_model, tokenizer = _load_hf(spec, device, dtype, scheme, trust_remote_code)
    placed = scheme is not None or device == "auto"  # where it is, it has to stay
    return wrap(hf_model, tokenizer, source=spec.source, device=None if placed else device)


def random_model(
    name_or_path: str,
    *,
    seed: int = 0,
    device: str | None = None,
    dtype: str | None = None,
    revision: str | None = None,
) -> Model:
    """The same architecture and tokenizer with untrained weights, as Hugging Face initialises them.

    The control for what architecture and texts bring about by themselves. float32 by default.
    Raises as `load_model`.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec, device = resolve(name_or_path, revision), chosen_device(device)
    tokenizer = AutoTokenizer.from_pretrained(spec.source, revision=spec.revision)
    # Reading the configuration and wrapping draw random numbers too: all of it inside.
    with torch.random.fork_rng(devices=[]):
        check_loadable(spec, None)
        config = empty_model(spec).config
        config._attn_implementation = "eager"
        torch.manual_seed(seed)
        made = AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype or "float32"])
        return wrap(made.eval(), tokenizer, source=spec.source, device=device)


def check_loadable(
    spec: ModelSpec, quantization: str | None, *, trust_remote_code: bool = False
) -> None:
    """ValueError, before a weight is read, for what is known to crash or to be silently wrong."""
    if quantization is not None and quantization not in QUANTIZATIONS:
        choices = ", ".join(QUANTIZATIONS)
        raise ValueError(f"unknown quantization {quantization!r}; choose one of {choices}")
    if quantization is not None and find_spec(EXTRA[quantization]) is None:
        raise ValueError(
            f"quantization {quantization} needs {EXTRA[quantization]}: "
            "pip install 'tl-geometry[quantization]'"
        )
    empty = empty_model(spec, trust_remote_code=trust_remote_code)
    if getattr(empty.config, "new_decoder_architecture", False):
        raise ValueError(
            f"{spec.name} has Falcon's new decoder architecture (11B, 40B, 180B), which "
            "TransformerLens 4.3 splits wrongly: it crashes, or its numbers are silently wrong. "
            "Use Falcon 7B or another family."
        )
    fused = {name.split(".")[-1] for name, _ in empty.named_modules()} & set(FUSED)
    if quantization is not None and fused:
        raise ValueError(
            f"{spec.name} makes queries, keys and values in one matrix ({fused.pop()}), which "
            f"TransformerLens splits at load; a quantised matrix cannot be split. Load it without "
            "--quantization, in --dtype bfloat16 if memory is short."
        )


def wrap(
    hf_model: "PreTrainedModel",
    tokenizer: Any,
    *,
    source: str | None = None,
    device: str | None = None,
) -> Model:
    """A Hugging Face model as a bridge that shares its weights.

    Wrapped in place: the Hugging Face object can no longer be saved or used by itself. A plain
    twin over the same tensors is kept for generation (`tl_geometry.twins`).
    """
    from transformer_lens.model_bridge import TransformerBridge

    shareable = not any(parameter.is_meta for parameter in hf_model.parameters())
    twin = twins.shared_copy(hf_model) if shareable else None
    bridge = TransformerBridge.boot_transformers(
        source or hf_model.config._name_or_path or "local/model",
        hf_model=hf_model,
        tokenizer=tokenizer,
        device=device,
        dtype=hf_model.dtype,
    )
    if twin is not None:
        twins.remember(bridge, twin)
    return bridge.eval()  # pyright: ignore[reportReturnType] # a bridge satisfies the protocol


def loading_options(device: str, dtype: str | None, quantization: str | None) -> dict[str, Any]:
    """What `from_pretrained` is told about precision and place."""
    if dtype is None and quantization is not None and device == "cpu":
        dtype = COMPUTE[quantization]
    chosen = torch_dtype(dtype, device)
    options: dict[str, Any] = {"dtype": chosen, "attn_implementation": "eager"}
    if quantization is not None:
        options["quantization_config"] = _quantization_config(quantization, chosen)
    if quantization is not None or device == "auto":
        options["device_map"] = device
    return options


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
    options = common | loading_options(device, dtype, quantization)
    try:
        tokenizer = AutoTokenizer.from_pretrained(spec.source, **common)
        hf_model = AutoModelForCausalLM.from_pretrained(spec.source, **options)
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        reason = shorten(str(error), 300, placeholder=" …")
        raise ValueError(f"cannot load {spec.name} from {spec.source}: {reason}") from error
    return hf_model, tokenizer


def chosen_device(name: str | None) -> str:
    """The named device; by default CUDA where there is one. ValueError if it is not there.

    `auto` spreads a model over all GPUs, and over memory where they do not suffice.
    """
    cuda = torch.cuda.is_available()
    if name == "auto":
        return name
    if name is None:
        return "cuda" if cuda else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:1 or mps") from error
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


def _quantization_config(quantization: str, dtype: torch.dtype | str) -> Any:
    from transformers import BitsAndBytesConfig, TorchAoConfig

    if quantization == "int8-torchao":
        from torchao.quantization import Int8WeightOnlyConfig

        return TorchAoConfig(quant_type=Int8WeightOnlyConfig())
    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    compute = dtype if isinstance(dtype, torch.dtype) else torch.bfloat16
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute
    )


if __name__ == "__main__":
    import sys

    from tl_geometry import listing

    sys.stdout.write(listing.text())
