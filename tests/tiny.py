"""Tiny random checkpoints of many families, each as a bridge and as an untouched HF twin.

Only for what a random model can show: that numbers agree, that rows do not leak, that hooks
reach what they name. Behaviour is tested on the trained pocket models.
"""

import copy
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

VOCAB = 300
SMALL: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 48,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
GROUPED = SMALL | {"num_key_value_heads": 2, "intermediate_size": 96, "head_dim": 16}

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "mistral": ("MistralConfig", GROUPED | {"sliding_window": None}),
    "llama": ("LlamaConfig", GROUPED),
    "qwen2": ("Qwen2Config", GROUPED),
    "gemma2": ("Gemma2Config", GROUPED | {"query_pre_attn_scalar": 16, "sliding_window": 64}),
    "phi3": ("Phi3Config", GROUPED),
    "mixtral": ("MixtralConfig", GROUPED | {"num_local_experts": 4}),
    "falcon": ("FalconConfig", SMALL | {"multi_query": True, "parallel_attn": True}),
    "pythia": ("GPTNeoXConfig", SMALL | {"intermediate_size": 96}),
    "opt": ("OPTConfig", SMALL | {"ffn_dim": 96, "word_embed_proj_dim": 48}),
    "gpt2": ("GPT2Config", SMALL),
}
FAMILIES = tuple(CONFIGS)
LINEAR_ROPE = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0}
GEMMA3 = {"query_pre_attn_scalar": 16, "sliding_window": 64, "tie_word_embeddings": False}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3": ("Qwen3Config", GROUPED),
    "gemma3": ("Gemma3TextConfig", GROUPED | GEMMA3),
    "llama-linear-rope": ("LlamaConfig", GROUPED | {"rope_parameters": LINEAR_ROPE}),
    "mistral-short-window": ("MistralConfig", GROUPED | {"sliding_window": 8}),
}
"""Further families, and settings in which implementations are known to go wrong."""
ALL = CONFIGS | VARIANTS


@dataclass(frozen=True)
class Tiny:
    bridge: Any
    plain: Any
    """The same weights in a separate, untouched Hugging Face model: an independent route."""


@lru_cache
def tokenizer() -> Any:
    """One token a byte, `<s>` in front, `</s>` and `<pad>`."""
    special = ["<s>", "</s>", "<pad>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(special + alphabet)}
    core = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    # Through a folder: the bridge reads its own copy from where the tokenizer came from.
    folder = tempfile.mkdtemp()
    fast.save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@lru_cache
def tiny(family: str) -> Tiny:
    """Seeded; norm weights and biases are shaken, because their defaults hide mistakes."""
    from tl_geometry.models import wrap

    class_name, options = ALL[family]
    generator = torch.random.manual_seed(0)
    config = getattr(transformers, class_name)(**options)
    plain: Any = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    config.architectures = [type(plain).__name__]
    bridge = wrap(copy.deepcopy(plain), tokenizer(), source=f"tiny/{family}", device="cpu")
    return Tiny(bridge, plain)
