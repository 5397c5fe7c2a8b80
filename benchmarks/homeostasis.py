"""What the homeostasis analysis costs, on a random Llama of 254 M parameters.

    python -m benchmarks homeostasis

(a) against bare passes of the same rows through the same number of blocks,
(b) against the plain way: one full Hugging Face pass a condition, forward hooks, an SVD a layer,
(c) in memory, against `run_with_cache` of everything on the same rows,
(d) the participation ratio from Gram matrices against `torch.linalg.svdvals`.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from analyses.homeostasis.conditions import CONDITIONS, PairTokens, row_plan
from analyses.homeostasis.cost import batch_size_for
from analyses.homeostasis.measure import Setup, measure
from analyses.homeostasis.resampler import other_target
from benchmarks.timing import Claim, peak_mebibytes, seconds
from tl_geometry.geometry import participation_ratio
from tl_geometry.models import Model
from tl_geometry.sites import EARLY_DEPTH, LATE_DEPTH, layer_at
from tl_geometry.tokens import pad

N_LAYERS, WINDOW, N_TOKENS = 16, 16, 64
PATCH = layer_at(LATE_DEPTH, N_LAYERS)
SETUP = Setup(
    patch_layer=PATCH,
    early_layer=layer_at(EARLY_DEPTH, N_LAYERS),
    window=WINDOW,
    seed=0,
    conditions=CONDITIONS,
)


def run(rounds: int) -> list[Claim]:
    """All four claims, in the order of the module's docstring."""
    bridge, plain = models()
    pairs = some_pairs(batch_size_for(bridge, N_TOKENS, len(CONDITIONS)))
    times = seconds(
        {
            "ours": lambda: measure(bridge, pairs, SETUP),
            "bare": lambda: bare_passes(plain, pairs),
            "plain": lambda: plain_way(plain, pairs[0]),
        },
        rounds,
    )
    shape = f"{len(pairs)} pairs a batch, {len(row_plan(pairs, CONDITIONS).twin)} rows"
    bare = times["ours"] / times["bare"]
    faster = len(pairs) * times["plain"] / times["ours"]  # pair after pair: it adds up
    return [
        Claim("analysis", "bare passes", bare, "≤ 1.15", bare <= 1.15, shape),
        Claim("plain way", "analysis", faster, "≥ 3", faster >= 3, shape),
        memory_claim(),
        gram_claim(rounds),
    ]


def models() -> tuple[Model, Any]:
    """The same random weights as a bridge and as a plain Hugging Face model (shared tensors)."""
    from transformer_lens.model_bridge import TransformerBridge

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=1024,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=16,
        num_key_value_heads=8,
        intermediate_size=2816,
        vocab_size=32_000,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    config.architectures = ["LlamaForCausalLM"]
    plain = LlamaForCausalLM._from_config(config, attn_implementation="eager").eval()
    twin = LlamaForCausalLM._from_config(config, attn_implementation="eager").eval()
    twin.load_state_dict(plain.state_dict(), assign=True)
    bridge = TransformerBridge.boot_transformers(
        "random/llama", hf_model=twin, tokenizer=_tokenizer(), device="cpu"
    )
    return bridge, plain  # type: ignore[return-value]  # a bridge satisfies the protocol


def _tokenizer() -> Any:
    """Any tokenizer will do: the benchmark makes its ids itself."""
    from transformers import AutoTokenizer

    from tl_geometry.catalogue import resolve

    return AutoTokenizer.from_pretrained(resolve("pocket-mistral").source)


def some_pairs(n: int) -> list[PairTokens]:
    generator = torch.Generator().manual_seed(1)

    def text() -> tuple[int, ...]:
        return tuple(torch.randint(3, 32_000, (N_TOKENS,), generator=generator).tolist())

    targets, donors = [text() for _ in range(n)], [text() for _ in range(n)]
    return [
        PairTokens(targets[i], donors[i], targets[other_target(i, n)], f"t{i}", f"d{i}")
        for i in range(n)
    ]


@torch.inference_mode()
def bare_passes(plain: Any, pairs: list[PairTokens]) -> None:
    """Nothing but the blocks: texts up to the patch layer, all rows from there to the end."""
    plan = row_plan(pairs, CONDITIONS)
    ids = torch.tensor(plan.texts)
    layers = plain.model.layers
    for part, rows in ((layers[:PATCH], ids), (layers[PATCH:], ids[plan.twin])):
        plain.model.layers = part
        plain.config.num_hidden_layers = len(part)
        try:
            plain(rows, attention_mask=torch.ones_like(rows), use_cache=False, logits_to_keep=1)
        finally:
            plain.model.layers = layers
            plain.config.num_hidden_layers = N_LAYERS


@torch.inference_mode()
def plain_way(plain: Any, pair: PairTokens) -> None:
    """One full pass for each text and condition of a pair, hooks on modules, an SVD a layer."""
    target, donor = (torch.tensor([ids]) for ids in (pair.target, pair.donor))
    kept: dict[int, Tensor] = {}
    with _forward_hooks(plain, partial(_keep, kept)):
        plain(donor, use_cache=False)
    for _ in (*CONDITIONS, "unpatched"):
        with _forward_hooks(plain, partial(_patch_and_svd, kept[PATCH])):
            plain(target, use_cache=False)


@contextlib.contextmanager
def _forward_hooks(plain: Any, act: Callable[[int, Tensor], Tensor | None]) -> Iterator[None]:
    handles = [
        layer.self_attn.v_proj.register_forward_hook(lambda m, a, out, n=n: act(n, out))
        for n, layer in enumerate(plain.model.layers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _keep(kept: dict[int, Tensor], layer: int, values: Tensor) -> None:
    kept[layer] = values


def _patch_and_svd(donor: Tensor, layer: int, values: Tensor) -> Tensor | None:
    new = None
    if layer == PATCH:
        values = new = torch.cat([values[:, :-WINDOW], donor[:, -WINDOW:]], dim=1)
    if layer >= PATCH:
        energy = torch.linalg.svdvals(values[0, -WINDOW:].double()).square()
        (energy.sum().square() / energy.square().sum()).item()
    return new


def memory_claim() -> Claim:
    ours, cached = (peak_mebibytes(prepare) for prepare in (_prepare_ours, _prepare_cache))
    ratio = ours / cached
    detail = f"{ours:.0f} against {cached:.0f} MiB above the loaded model"
    return Claim("peak memory", "run_with_cache", ratio, "≤ 0.1", ratio <= 0.1, detail)


def _prepare_ours() -> Callable[[], object]:
    bridge, _ = models()
    pairs = some_pairs(batch_size_for(bridge, N_TOKENS, len(CONDITIONS)))
    measure(bridge, pairs[:2], SETUP)  # what a first pass allocates once is not the batch's
    return lambda: measure(bridge, pairs, SETUP)


def _prepare_cache() -> Callable[[], object]:
    bridge, _ = models()
    pairs = some_pairs(batch_size_for(bridge, N_TOKENS, len(CONDITIONS)))
    measure(bridge, pairs[:2], SETUP)
    plan = row_plan(pairs, CONDITIONS)
    batch = pad(bridge, plan.texts).rows(plan.twin)

    @torch.inference_mode()
    def work() -> object:
        return bridge.run_with_cache(batch.ids, attention_mask=batch.mask)

    return work


def gram_claim(rounds: int) -> Claim:
    x = torch.randn(320, 16, 1024, generator=torch.Generator().manual_seed(0)).double()
    times = seconds(
        {"gram": lambda: participation_ratio(x), "svd": lambda: torch.linalg.svdvals(x)}, rounds
    )
    ratio = times["svd"] / times["gram"]
    detail = f"{1000 * times['svd']:.1f} against {1000 * times['gram']:.1f} ms"
    return Claim("svdvals", "Gram participation ratio", ratio, "≥ 4", ratio >= 4, detail)
