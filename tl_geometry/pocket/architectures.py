"""The shape of each embedded model: a miniature of its family, with as many layers as the original.

About 64 wide, at most 1.3 million parameters (Qwen2's large one: twice that), so that a depth
means what it means in the model that a miniature stands for.
"""

from typing import Any

from transformers import (
    FalconConfig,
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    PretrainedConfig,
    Qwen2Config,
)

CONTEXT = 512
GROUPED: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": CONTEXT,
    "tie_word_embeddings": True,
}


def mistral(vocabulary: int) -> PretrainedConfig:
    return MistralConfig(
        vocab_size=vocabulary, num_hidden_layers=32, sliding_window=None, **GROUPED
    )


def llama(vocabulary: int) -> PretrainedConfig:
    """Llama 3.1's rotary scaling, with wavelengths between a 1/4 and all of the context slowed."""
    rope: dict[str, Any] = {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    }
    return LlamaConfig(vocab_size=vocabulary, num_hidden_layers=32, rope_parameters=rope, **GROUPED)


def qwen2(vocabulary: int) -> PretrainedConfig:
    return Qwen2Config(vocab_size=vocabulary, num_hidden_layers=28, **GROUPED)


def qwen2_small(vocabulary: int) -> PretrainedConfig:
    narrow: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 96, "head_dim": 12}
    return Qwen2Config(vocab_size=vocabulary, num_hidden_layers=28, **{**GROUPED, **narrow})


def qwen2_large(vocabulary: int) -> PretrainedConfig:
    wide: dict[str, Any] = {"hidden_size": 96, "intermediate_size": 192, "num_attention_heads": 6}
    return Qwen2Config(vocab_size=vocabulary, num_hidden_layers=28, **{**GROUPED, **wide})


def gemma2(vocabulary: int) -> PretrainedConfig:
    """Soft-capped logits and every second layer with a sliding window, as in Gemma 2."""
    return Gemma2Config(
        vocab_size=vocabulary,
        num_hidden_layers=42,
        sliding_window=128,
        query_pre_attn_scalar=16,
        **{**GROUPED, "intermediate_size": 80},
    )


def falcon(vocabulary: int) -> PretrainedConfig:
    """Falcon 7B's block: one key-value head, attention and MLP side by side, one norm."""
    return FalconConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        num_hidden_layers=32,
        num_attention_heads=4,
        ffn_hidden_size=192,
        multi_query=True,
        parallel_attn=True,
        new_decoder_architecture=False,
        bias=False,
        alibi=False,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        architectures=["FalconForCausalLM"],
    )


def phi3(vocabulary: int) -> PretrainedConfig:
    """Fused query-key-value and gate-up matrices; every head has its own keys and values."""
    own_heads: dict[str, Any] = {"intermediate_size": 96, "num_key_value_heads": 4}
    shape = {key: value for key, value in GROUPED.items() if key != "head_dim"} | own_heads
    return Phi3Config(
        vocab_size=vocabulary,
        num_hidden_layers=32,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        **shape,
    )
