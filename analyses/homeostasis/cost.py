"""What a run costs: how many pairs fit into a batch, and the figures of --dry-run."""

from collections.abc import Mapping
from typing import Any

import torch

from analyses.homeostasis.plan import Plan
from tl_geometry.models import Model, chosen_device

MAX_BATCH = 16
CPU_BUDGET = 256 * 2**20
"""Bytes of activations that a batch may hold on a CPU; on a GPU, a quarter of its free memory."""


def batch_size_for(model: Model, n_tokens: int, n_conditions: int) -> int:
    """Pairs a batch whose activations stay within the budget, at most `MAX_BATCH`."""
    cfg: Any = model.cfg
    per_pair = (n_conditions + 2) * row_bytes(
        cfg.d_model, cfg.d_mlp or 4 * cfg.d_model, cfg.n_heads, n_tokens
    )
    return _fitting(per_pair, torch.device(cfg.device or "cpu"))


def _fitting(per_pair: int, device: torch.device) -> int:
    budget = torch.cuda.mem_get_info(device)[0] // 4 if device.type == "cuda" else CPU_BUDGET
    return max(1, min(MAX_BATCH, budget // per_pair))


def row_bytes(d_model: int, d_mlp: int, n_heads: int, n_tokens: int) -> int:
    """Rough bytes (float32) that one row holds at its widest point in a block."""
    return 4 * n_tokens * (6 * d_model + 3 * d_mlp + 2 * n_heads * n_tokens)


def cost(plan: Plan, n_tokens: int = 48) -> Mapping[str, Any]:
    """For --dry-run: passes in units of one text through one block, and memory."""
    setup, size, config = plan.setup, plan.size, plan.config
    rows = (len(setup.conditions) + 2) * plan.n_pairs
    behind = size.n_layers - setup.patch_layer
    per_pair = (len(setup.conditions) + 2) * row_bytes(
        size.d_model, size.d_mlp, size.n_heads, n_tokens
    )
    device = torch.device(chosen_device(config.device))
    batch = min(plan.n_pairs, config.batch_size or _fitting(per_pair, device))
    return {
        "model loads": 1,
        "conditions": len(setup.conditions),
        "pairs": plan.n_pairs,
        "forward passes (texts × blocks)": 2 * plan.n_pairs * setup.patch_layer + rows * behind,
        "the plain way would need": rows * size.n_layers,
        "pairs a batch": batch,
        "weights, MiB": round(_weight_bytes(plan) * size.parameters / 2**20),
        f"activations of a batch, MiB (texts of {n_tokens} tokens)": round(
            batch * per_pair / 2**20
        ),
    }


def _weight_bytes(plan: Plan) -> float:
    """Of one parameter, as it will be loaded."""
    if plan.config.quantization != "none":
        return {"int8": 1, "int8-torchao": 1, "nf4": 0.5}[plan.config.quantization]
    dtype = plan.size.dtype if plan.spec.dtype == "auto" else plan.spec.dtype
    return 2 if dtype in ("bfloat16", "float16") else 4
