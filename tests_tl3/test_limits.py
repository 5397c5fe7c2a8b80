"""Where transformer-lens 3.9 itself stops, or goes wrong without a word: no fault of ours."""

from pathlib import Path
from typing import Any

import pytest
import torch
from test_hooked import hooked, opened  # type: ignore[import-not-found] # beside this file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, Phi3Config

from tl_geometry.catalogue import resolve

SIZE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "max_position_embeddings": 128,
    "pad_token_id": 2,
}
LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}
LONG = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
    "short_factor": [1.5] * 6,
    "long_factor": [2.0] * 6,
}


@torch.no_grad()
def _off(config: Any, folder: Path) -> float:
    """How far a `HookedTransformer` is from Hugging Face's logits, on random weights."""
    torch.manual_seed(0)
    plain: Any = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    for parameter in plain.parameters():
        parameter += 0.1 * torch.randn(parameter.shape)
    plain.save_pretrained(folder / "checkpoint")
    AutoTokenizer.from_pretrained(resolve("pocket-mistral").source).save_pretrained(
        folder / "checkpoint"
    )
    ids = torch.arange(20, 80)[None]
    expected = plain(ids).logits
    return float((opened(folder / "checkpoint")(ids) - expected).abs().max() / expected.abs().max())


def test_unscaled_positions_are_right(tmp_path: Path) -> None:
    # A family's name in a test's would be in its path, and tell version 3 something.
    assert _off(LlamaConfig(**SIZE), tmp_path) <= 1e-4


@pytest.mark.parametrize(
    "config",
    [
        LlamaConfig(**SIZE, rope_parameters=LINEAR),
        Phi3Config(**SIZE, rope_parameters=LONG, original_max_position_embeddings=32),
    ],
    ids=["Llama with linear rope scaling", "Phi-3.5"],
)
def test_scaled_positions_are_wrong_without_a_word(config: Any, tmp_path: Path) -> None:
    assert _off(config, tmp_path) > 0.1


def test_falcon_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="Falcon"):
        hooked("pocket-falcon", tmp_path)
