"""Throughput of `generate`, steered and not, against Hugging Face's own on the same weights.

python -m benchmarks generation
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.timing import Claim, seconds
from tl_geometry.generation import generate
from tl_geometry.models import Model, load_model, wrap
from tl_geometry.tokens import TokenBatch, pad
from tl_geometry.twins import shared_copy

SEED = 0


def run(rounds: int) -> list[Claim]:
    """The two claims of docs/performance.md: a random Llama, and the default embedded model."""
    return [*_claims("random Llama, 254 M", *_large(), 24, 0.9, rounds), *_pocket(rounds)]


def random_llama() -> Any:
    """254 M parameters: 16 layers, 1024 wide, 16 heads, 8 of them with keys and values."""
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        vocab_size=32_000,
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=16,
        num_attention_heads=16,
        num_key_value_heads=8,
    )
    torch.manual_seed(SEED)
    return AutoModelForCausalLM.from_config(config).eval()


def _large() -> tuple[Model, Any, TokenBatch]:
    from transformers import AutoTokenizer

    from tl_geometry.catalogue import resolve

    plain = random_llama()
    tokenizer = AutoTokenizer.from_pretrained(resolve("pocket-mistral").source)
    model = wrap(shared_copy(plain), tokenizer, source="random/llama", device="cpu")
    ids = torch.randint(3, 32_000, (8, 64), generator=torch.Generator().manual_seed(SEED))
    return model, plain, pad(model, ids.tolist())


def _pocket(rounds: int) -> list[Claim]:
    from transformers import AutoModelForCausalLM

    from tl_geometry.catalogue import resolve

    model = load_model("pocket-mistral", device="cpu")
    plain = AutoModelForCausalLM.from_pretrained(
        resolve("pocket-mistral").source, dtype=torch.float32
    ).eval()
    ids = torch.randint(300, 1700, (32, 40), generator=torch.Generator().manual_seed(SEED))
    return _claims("pocket-mistral", model, plain, pad(model, ids.tolist()), 50, 0.8, rounds)


def _claims(
    name: str, model: Model, plain: Any, batch: TokenBatch, new: int, aim: float, rounds: int
) -> list[Claim]:
    """All three generate the same number of tokens: no end of sequence is honoured."""
    layer = model.cfg.n_layers // 2
    push = torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(SEED))

    def steer(activation: Tensor) -> Tensor:
        return activation + 0.1 * push

    never = {"eos_token_id": None, "pad_token_id": 0, "do_sample": False, "max_new_tokens": new}

    def theirs() -> Tensor:
        with torch.inference_mode():
            return plain.generate(batch.ids, attention_mask=batch.mask, **never)

    def ours() -> Tensor:
        return generate(model, batch, max_new_tokens=new, ends=())

    def steered() -> Tensor:
        return generate(model, batch, max_new_tokens=new, ends=(), edits={layer: steer})

    routes: dict[str, Callable[[], Any]] = {"theirs": theirs, "ours": ours, "steered": steered}
    assert torch.equal(theirs()[:, batch.ids.shape[1] :], ours())
    times = seconds(routes, rounds)
    shape = f"{len(batch)} rows, {batch.ids.shape[1]} + {new} tokens"
    ratios = {
        f"{name}, generate": times["theirs"] / times["ours"],
        f"{name}, steered generate": times["theirs"] / times["steered"],
    }
    return [
        Claim(what, "plain Hugging Face, throughput", ratio, f"≥ {aim}", ratio >= aim, shape)
        for what, ratio in ratios.items()
    ]
