"""A real `HookedTransformer` (transformer-lens 3.9) gives the bridge's numbers."""

import importlib.metadata
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from numbers_of import MODELS, numbers  # type: ignore[import-not-found] # beside this file
from safetensors.torch import load_file
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens import loading_from_pretrained as loading
from transformers import AutoModelForCausalLM, AutoTokenizer

from tl_geometry.catalogue import resolve
from tl_geometry.models import Model
from tl_geometry.tokens import TokenBatch

REFERENCE = Path(os.environ.get("TL3_REFERENCE", "build/tl3"))


def hooked(name: str, folder: Path) -> Any:
    """The shipped weights as a `HookedTransformer`, nothing folded or centred."""
    # Version 3 branches on "llama" and "gemma" in the path: a neutral one tells it nothing.
    neutral = folder / "checkpoint"
    shutil.copytree(resolve(name).source, neutral)
    return opened(neutral)


def opened(neutral: Path) -> Any:
    """A folder as a `HookedTransformer`."""
    plain = AutoModelForCausalLM.from_pretrained(neutral, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(neutral, padding_side="left")
    if plain.config.model_type == "gemma2":
        cfg: Any = HookedTransformerConfig.from_dict(gemma_config(plain.config))
        state = loading.convert_gemma_weights(plain, cfg)
    else:
        cfg = loading.get_pretrained_model_config(str(neutral))
        state = loading.get_pretrained_state_dict(str(neutral), cfg, plain)
    model = HookedTransformer(cfg, tokenizer, move_to_device=False)
    model.load_and_process_state_dict(
        state,
        fold_ln=False,
        center_writing_weights=False,
        center_unembed=False,
        fold_value_biases=False,  # Qwen2 has them: folded, `hook_v` shows other values
    )
    return model.eval()


def gemma_config(config: Any) -> dict[str, Any]:
    """By hand: version 3 knows Gemma 2 by its official names only."""
    n = config.num_hidden_layers
    return {
        "d_model": config.hidden_size,
        "d_head": config.head_dim,
        "n_heads": config.num_attention_heads,
        "n_key_value_heads": config.num_key_value_heads,
        "d_mlp": config.intermediate_size,
        "n_layers": n,
        "n_ctx": config.max_position_embeddings,
        "d_vocab": config.vocab_size,
        "eps": config.rms_norm_eps,
        "act_fn": "gelu_pytorch_tanh",
        "normalization_type": "RMS",
        "positional_embedding_type": "rotary",
        "rotary_dim": config.head_dim,
        "rotary_base": 10_000,
        "final_rms": True,
        "gated_mlp": True,
        "use_attn_scale": True,
        "attn_scale": config.query_pre_attn_scalar**0.5,
        "attn_scores_soft_cap": config.attn_logit_softcapping,
        "output_logits_soft_cap": config.final_logit_softcapping,
        "use_normalization_before_and_after": True,
        "use_local_attn": True,
        "window_size": config.sliding_window,
        "attn_types": ["local", "global"] * (n // 2),
        "original_architecture": "Gemma2ForCausalLM",
        "dtype": torch.float32,
    }


def test_this_is_the_old_class() -> None:
    assert importlib.metadata.version("transformer-lens").startswith("3.9.")


@pytest.mark.parametrize("name", MODELS)
def test_a_hooked_transformer_gives_the_bridge_s_numbers(name: str, tmp_path: Path) -> None:
    expected = load_file(REFERENCE / f"{name}.safetensors")
    ids, mask = expected.pop("ids"), expected.pop("mask")
    model = hooked(name, tmp_path)
    assert isinstance(model, HookedTransformer) and isinstance(model, Model)
    has_bos = (ids[mask.cumsum(-1) == 1] == model.tokenizer.bos_token_id).long()
    got = numbers(model, TokenBatch(ids, mask, mask.sum(-1), has_bos))
    assert set(got) == set(expected)
    for key, value in expected.items():
        scale = float(value.abs().max())
        off = float((got[key] - value).abs().max())
        assert off <= 1e-4 * scale, f"{key} is off by {off / scale:.1e}"


def test_the_numbers_notice_a_wrong_weight(tmp_path: Path) -> None:
    expected = load_file(REFERENCE / "pocket-mistral.safetensors")
    model = hooked("pocket-mistral", tmp_path)
    with torch.no_grad():
        model.blocks[10].mlp.W_out.mul_(1.05)
    ids, mask = expected["ids"], expected["mask"]
    got = numbers(model, TokenBatch(ids, mask, mask.sum(-1), torch.ones(len(ids)).long()))
    assert float((got["logits"] - expected["logits"]).abs().max()) > 1e-3
