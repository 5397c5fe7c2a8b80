"""The edits of one batch: what is written into values, attention output and frozen sites."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformer_lens.utilities.statistics import derive_generator

from analyses.homeostasis.conditions import PairTokens, held
from tl_geometry import sites
from tl_geometry.interventions import Edit, edited, frozen
from tl_geometry.models import Model
from tl_geometry.patching import RowPlan


@contextmanager
def patched(
    model: Model, plan: RowPlan, pairs: Sequence[PairTokens], layer: int, window: int, seed: int
) -> Iterator[None]:
    """Hold every intervention of the plan open: patches at `layer`, freezes behind it."""
    with ExitStack() as stack:
        edits = {sites.value(layer): value_patches(plan, pairs, window, seed)}
        if len(plan.rows("random_residual")):
            edits[sites.attn_out(layer)] = random_push(plan, pairs, window, seed)
        stack.enter_context(edited(model, edits))
        for component in ("mlp", "attention", "pattern", "norm"):
            source = held(plan, component)
            if not torch.equal(source, torch.arange(len(source))):
                stack.enter_context(frozen(model, held_sites(model, component, layer), source))
        yield


def held_sites(model: Model, component: str, layer: int) -> list[str]:
    """The hooks of a component that respond to a value patch at `layer`.

    Attention of the patched block carries the patch and does not respond. Its MLP does, unless
    the block is parallel, where the MLP reads what came before the patch.
    """
    behind = range(layer + 1, model.cfg.n_layers)
    if component == "mlp":
        first = layer + 1 if sites.is_parallel(model, layer) else layer
        return [sites.mlp_out(n) for n in range(first, model.cfg.n_layers)]
    if component == "attention":
        return [sites.attn_out(n) for n in behind]
    if component == "pattern":
        return [sites.pattern(n) for n in behind]
    here = {} if sites.is_parallel(model, layer) else sites.scales(model, layer)
    at_patch = [name for norm, name in here.items() if norm != "ln1"]
    return [
        *at_patch,
        *(name for n in behind for name in sites.scales(model, n).values()),
        sites.FINAL_SCALE,
    ]


def value_patches(plan: RowPlan, pairs: Sequence[PairTokens], window: int, seed: int) -> Edit:
    """Each row's last `window` value vectors, as its condition wants them."""
    copied = plan.donor.clone()
    copied[plan.rows("gaussian", "mean_only", "shuffled_rows")] = 0  # written below
    gaussian, mean_only = plan.rows("gaussian"), plan.rows("mean_only")
    shuffled = plan.rows("shuffled_rows")
    orders = torch.stack([_order(pair, window, seed) for pair in pairs])

    def edit(values: Float[Tensor, "row pos n_kv d_head"]) -> Tensor:
        last = values[:, -window:]
        new = last[copied]
        new[gaussian] = _gaussian_like(last[plan.donor[gaussian]], pairs, seed)
        own, donor = last[plan.twin[mean_only]], last[plan.donor[mean_only]]
        new[mean_only] = own + (donor.mean(1, keepdim=True) - own.mean(1, keepdim=True))
        new[shuffled] = last[plan.donor[shuffled][:, None], orders[: len(shuffled)]]
        return torch.cat([values[:, :-window], new], dim=1)

    return edit


def random_push(plan: RowPlan, pairs: Sequence[PairTokens], window: int, seed: int) -> Edit:
    """Random directions, as long at each position as the patch's change of attention's output."""
    pushed, reference = plan.rows("random_residual"), plan.rows("patched")

    def edit(output: Float[Tensor, "row pos d"]) -> Tensor:
        last = output[:, -window:]
        size = (last[reference] - last[plan.twin[reference]]).norm(dim=-1, keepdim=True)
        noise = _noise(last[pushed], pairs, seed, "random_residual")
        new = output.clone()
        new[pushed, -window:] = last[plan.twin[pushed]] + size * _unit(noise, 1)
        return new

    return edit


def _gaussian_like(
    values: Float[Tensor, "pair w n_kv d_head"], pairs: Sequence[PairTokens], seed: int
) -> Tensor:
    if not len(values):
        return values
    norms = values.flatten(2).norm(dim=-1)[..., None, None]
    return norms * _unit(_noise(values, pairs, seed, "gaussian"), 2)


def _unit(x: Tensor, n_dims: int) -> Tensor:
    return x / x.flatten(-n_dims).norm(dim=-1)[(..., *[None] * n_dims)]


def _noise(like: Tensor, pairs: Sequence[PairTokens], seed: int, label: str) -> Tensor:
    """Drawn pair by pair on the CPU: the same on every device and for every batch size."""
    draws = [torch.randn(like.shape[1:], generator=_generator(pair, seed, label)) for pair in pairs]
    return torch.stack(draws).to(like)


def _order(pair: PairTokens, window: int, seed: int) -> Int[Tensor, " w"]:
    return torch.randperm(window, generator=_generator(pair, seed, "shuffled_rows"))


def _generator(pair: PairTokens, seed: int, label: str) -> torch.Generator:
    return derive_generator(seed, label, pair.target_id, pair.donor_id)
