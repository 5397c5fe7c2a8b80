"""What a run will do, settled before any weight is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from analyses.homeostasis.conditions import CONDITIONS, FREEZES, SAME_AS, PairTokens
from analyses.homeostasis.config import Config
from analyses.homeostasis.measure import Setup
from analyses.homeostasis.recovery import other_target
from tl_geometry import sites
from tl_geometry.interventions import is_writable
from tl_geometry.models import (
    Model,
    ModelSize,
    ModelSpec,
    chosen_device,
    identity,
    is_pocket,
    resolve,
    size_of,
    torch_dtype,
)
from tl_geometry.prompts import Pair, Prompt, content_hash, load_bank, load_pairs, pairs
from tl_geometry.runs import Spec, run_folder, run_name
from tl_geometry.sites import layer_at
from tl_geometry.tokens import encode

VERSION = 1
"""Raised when the same settings would give other numbers."""

NEEDED = ("patched", "passive", "self")
MAX_BATCH = 16
CPU_BUDGET = 256 * 2**20
"""Bytes of activations that a batch may hold on a CPU; on a GPU, a quarter of its free memory."""


@dataclass(frozen=True)
class Plan:
    """A validated request for one model."""

    config: Config
    model: ModelSpec
    size: ModelSize
    bank: tuple[Prompt, ...]
    listed: tuple[Pair, ...] | None
    """The user's own pairs, if a file names them."""

    @cached_property
    def setup(self) -> Setup:
        n_layers = self.size.n_layers
        return Setup(
            patch_layer=layer_at(self.config.patch_depth, n_layers),
            early_layer=layer_at(self.config.early_depth, n_layers),
            window=self.config.window,
            seed=self.config.seed,
            conditions=_conditions(self.config, self.n_pairs),
        )

    @property
    def n_pairs(self) -> int:
        available = self.config.pairs if self.listed is None else len(self.listed)
        return available if self.config.limit is None else min(available, self.config.limit)

    @cached_property
    def spec(self) -> Spec:
        """Everything that changes a number, and nothing else: its hash is the run's key."""
        config, who = self.config, identity(self.model)
        device = chosen_device(config.device)
        prompts = (
            self.bank if self.listed is None else [p for pair in self.listed for p in _both(pair)]
        )
        return Spec(
            analysis="homeostasis",
            step="measure",
            version=VERSION,
            model={"name": who.name, "source": who.source, "revision": who.revision},
            dtype=str(torch_dtype(config.dtype, device)).removeprefix("torch."),
            quantization=config.quantization,
            prompts_hash=content_hash(prompts),
            parameters={
                "pairs": config.pairs if self.listed is None else "listed",
                "n_pairs": self.n_pairs,
                "window": config.window,
                "patch_layer": self.setup.patch_layer,
                "early_layer": self.setup.early_layer,
                "conditions": list(self.setup.conditions),
                "seed": config.seed,
                "resamples": config.resamples,
            },
        )


def make_plan(config: Config) -> Plan:
    """Check the request against the model's own configuration; ValueError says what to change."""
    config.check()
    if len(config.models) != 1:
        raise ValueError(f"one model a run, got {len(config.models)}: run them one by one")
    if config.pairs_file is not None and config.pairs != Config.pairs:
        raise ValueError(
            f"pairs={config.pairs} and a file of pairs ({config.pairs_file}): leave out --pairs; "
            "--limit takes the first of the file"
        )
    model = resolve(config.models[0], config.revision)
    size = size_of(model)
    bank = load_bank(config.prompts or ("pocket" if is_pocket(model) else "bank"))
    listed = None if config.pairs_file is None else load_pairs(config.pairs_file, bank)
    plan = Plan(config, model, size, bank, listed)
    _check(plan)
    return plan


def _check(plan: Plan) -> None:
    setup, n_layers, config = plan.setup, plan.size.n_layers, plan.config
    if plan.n_pairs < 1:
        raise ValueError(f"{plan.n_pairs} pairs leave nothing to measure: ask for at least 1")
    if config.window < 2:
        raise ValueError(f"window={config.window}: a participation ratio needs at least 2 tokens")
    if setup.patch_layer <= setup.early_layer:
        raise ValueError(
            f"patch layer {setup.patch_layer} (depth {config.patch_depth:g}) does not lie behind "
            f"the early layer {setup.early_layer} (depth {config.early_depth:g}): a patch there "
            "would change R_V's denominator. Raise --patch-depth or lower --early-depth"
        )
    if setup.patch_layer >= n_layers - 1:
        raise ValueError(
            f"patch layer {setup.patch_layer} leaves nothing downstream to measure: "
            f"{plan.model.name} has layers 0 to {n_layers - 1}, so use --patch-depth below "
            f"{(n_layers - 1) / n_layers:.3f}"
        )
    if config.resamples < 100:
        raise ValueError(f"resamples={config.resamples}: intervals need at least 100")


def _conditions(config: Config, n_pairs: int) -> tuple[str, ...]:
    known = (*CONDITIONS, *SAME_AS)
    if unknown := [c for c in config.conditions if c not in known]:
        raise ValueError(f"unknown conditions {unknown}; choose from {', '.join(known)}")
    asked = {SAME_AS.get(c, c) for c in config.conditions} or set(CONDITIONS)
    if n_pairs < 2:
        asked.discard("other_plain")  # there is no other text
    return tuple(c for c in CONDITIONS if c in asked.union(NEEDED))


def writable_conditions(
    model: Model, conditions: Sequence[str]
) -> tuple[tuple[str, ...], list[tuple[str, str, str]]]:
    """The conditions that this family allows, and (what, id, reason) of those that it does not.

    Some families show a component without letting it be written (OPT's attention pattern).
    """
    last = model.cfg.n_layers - 1
    probes = {
        "mlp": sites.mlp_out(last),
        "attention": sites.attn_out(last),
        "pattern": sites.pattern(last),
        "norm": sites.block(last, "ln1.hook_scale"),
    }
    fixed = {c for c, probe in probes.items() if not is_writable(model, probe)}
    allowed = tuple(c for c in conditions if not fixed.intersection(FREEZES.get(c, ())))
    reason = "this family shows {} but does not let it be written"
    missing = [
        ("condition", c, reason.format(" and ".join(sorted(fixed.intersection(FREEZES[c])))))
        for c in conditions
        if c not in allowed
    ]
    return allowed, missing


def _both(pair: Pair) -> tuple[Prompt, Prompt]:
    return pair.target, pair.donor


def chosen_pairs(plan: Plan, model: Model) -> tuple[tuple[Pair, ...], list[tuple[str, str, str]]]:
    """The pairs to measure, and (what, id, reason) of every prompt or pair left out.

    Lengths are the model's own tokens, the beginning-of-sequence token not counted.
    """
    window = plan.config.window
    texts = plan.bank if plan.listed is None else [p for pair in plan.listed for p in _both(pair)]
    ids = encode(model, [prompt.text for prompt in texts])
    bos = model.tokenizer.bos_token_id
    lengths = {p.id: len(row) - (row[0] == bos) for p, row in zip(texts, ids, strict=True)}
    if (longest := max(lengths.values())) < window:
        raise ValueError(
            f"window={window} is longer than every prompt (at most {longest} tokens here): use a "
            f"--window of up to {longest}, or longer prompts"
        )
    if plan.listed is None:
        pairing = pairs(plan.bank, plan.config.pairs, plan.config.seed, lengths, min_length=window)
        missing = [("prompt", prompt.id, reason) for prompt, reason in pairing.excluded]
        return pairing.pairs[: plan.n_pairs], missing
    missing, usable = [], []
    for pair in plan.listed[: plan.n_pairs]:
        shortest = min(lengths[pair.target.id], lengths[pair.donor.id])
        if shortest < window:
            name = f"{pair.target.id} / {pair.donor.id}"
            missing.append(("pair", name, f"{shortest} tokens, the window is {window}"))
        else:
            usable.append(pair)
    if not usable:
        raise ValueError(
            f"window={window} is longer than a text of every pair; "
            "use a smaller --window or longer texts"
        )
    return tuple(usable), missing


def tokenized(plan: Plan, model: Model, chosen: Sequence[Pair]) -> list[PairTokens]:
    """Ids of each pair, and of the plain text that stands in for its donor in `other_plain`."""
    targets = [tuple(ids) for ids in encode(model, [pair.target.text for pair in chosen])]
    donors = [tuple(ids) for ids in encode(model, [pair.donor.text for pair in chosen])]
    return [
        PairTokens(
            targets[i],
            donors[i],
            targets[other_target(i, len(chosen))] if len(chosen) > 1 else None,
            pair.target.id,
            pair.donor.id,
        )
        for i, pair in enumerate(chosen)
    ]


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
        return {"int8": 1, "nf4": 0.5}[plan.config.quantization]
    dtype = plan.size.dtype if plan.spec.dtype == "auto" else plan.spec.dtype
    return 2 if dtype in ("bfloat16", "float16") else 4


def folder_of(plan: Plan) -> Path:
    config = plan.config
    name = run_name(plan.spec, config.preset or plan.model.name, config.run)
    return run_folder("homeostasis", name, config.out)
