"""COSMIC and Arditi's selection written out as slowly as they are stated: an oracle for tests.

Plain Hugging Face modules and torch hooks, full passes, one candidate after the other, every
layer and every position, and only then the filters. Nothing of tl_geometry is used.

COSMIC: Siu et al. 2025 (arXiv 2506.00085); Arditi et al. 2024 (arXiv 2406.11717); affine edits:
Marshall et al. 2024 (arXiv 2411.09003). docs/cosmic.md maps its steps to the library's.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

PARTS: dict[str, tuple[str, str, str, str]] = {
    "LlamaForCausalLM": ("model.layers", "self_attn", "self_attn", "mlp"),
    "MistralForCausalLM": ("model.layers", "self_attn", "self_attn", "mlp"),
    "Qwen2ForCausalLM": ("model.layers", "self_attn", "self_attn", "mlp"),
    "FalconForCausalLM": ("transformer.h", "self_attention", "self_attention", "mlp"),
    "Gemma2ForCausalLM": (
        "model.layers",
        "self_attn",
        "post_attention_layernorm",
        "post_feedforward_layernorm",
    ),
}
"""Class → list of blocks, attention module, and what hands attention and MLP to the stream."""
IN_FRONT_OF_POST_NORMS = ("model.layers", "self_attn", "self_attn", "mlp")
"""Where the reference code ablates Gemma-2."""

Hook = tuple[Any, Callable[[Tensor], Tensor], bool]
"""(module, edit, whether its input is edited: otherwise its output)."""


@dataclass(frozen=True)
class Scores:
    comply: float
    refuse: float
    bypass: float
    induce: float
    kl: float


@dataclass(repr=False)
class Literal:
    model: Any
    train: tuple[list[list[int]], list[list[int]]]
    """Harmful and harmless prompts (token ids) that the directions are made of."""
    validation: tuple[list[list[int]], list[list[int]]]
    n_positions: int
    affine: bool = False
    refusal_ids: Sequence[int] = ()
    pad_id: int = 2
    parts: tuple[str, str, str, str] | None = None
    executed: int = field(default=0, init=False)
    """Times that a block's attention ran, each row of a batch counted."""

    def __post_init__(self) -> None:
        self.parts = self.parts or PARTS[type(self.model).__name__]
        self.blocks = list(self.model.get_submodule(self.parts[0]))

    # --- passes ---------------------------------------------------------------------------------

    def padded(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        width = max(len(row) for row in prompts)
        ids = [[self.pad_id] * (width - len(row)) + list(row) for row in prompts]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in prompts]
        return torch.tensor(ids), torch.tensor(mask)

    @torch.no_grad()
    def full_pass(
        self, prompts: Sequence[Sequence[int]], hooks: Sequence[Hook] = ()
    ) -> tuple[Tensor, Tensor]:
        """(last-token hidden_states[1:], [layer row d]; last-token logits, [row vocab])."""
        ids, mask = self.padded(prompts)
        with self.counted(), hooked(hooks):
            out = self.model(
                ids,
                attention_mask=mask,
                position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
                output_hidden_states=True,
                use_cache=False,
            )
        return torch.stack([state[:, -1] for state in out.hidden_states[1:]]), out.logits[:, -1]

    @contextmanager
    def counted(self) -> Iterator[None]:
        def count(module: Any, given: Any, output: Any) -> None:
            self.executed += len(output[0] if isinstance(output, tuple) else output)

        assert self.parts is not None
        attention = [block.get_submodule(self.parts[1]) for block in self.blocks]
        handles = [module.register_forward_hook(count) for module in attention]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    # --- step 1: candidates ---------------------------------------------------------------------

    def class_mean(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Mean block inputs, float64, [layer pos d]."""
        seen: dict[int, Tensor] = {}

        def reader(layer: int) -> Callable[[Tensor], Tensor]:
            def read(x: Tensor) -> Tensor:
                seen[layer] = x[:, -self.n_positions :].double().mean(0)
                return x

            return read

        self.full_pass(prompts, [(b, reader(n), True) for n, b in enumerate(self.blocks)])
        return torch.stack([seen[n] for n in range(len(self.blocks))])

    # --- step 2: evaluation layers --------------------------------------------------------------

    def low_layers(self) -> list[int]:
        means = [self.full_pass(prompts)[0].mean(1) for prompts in self.train]
        cosines = [float(torch.cosine_similarity(a, b, dim=0)) for a, b in zip(*means, strict=True)]
        ascending = sorted(range(len(cosines)), key=lambda n: cosines[n])
        return ascending[: max(1, int(0.10 * len(cosines)))]

    # --- step 3: baselines ----------------------------------------------------------------------

    def look(self, prompts: Sequence[Sequence[int]], hooks: Sequence[Hook] = ()) -> tuple[Any, Any]:
        """(one vector: mean over prompts and evaluation layers, unit; last logits)."""
        states, logits = self.full_pass(prompts, hooks)
        mean = states[self.low].mean(dim=(0, 1))
        return mean / mean.norm(), logits

    # --- step 4: interventions ------------------------------------------------------------------

    def removal(self, r: Tensor, reference: Tensor, layer: int) -> list[Hook]:
        unit = r / r.norm()
        if self.affine:
            return [(self.blocks[layer], lambda x: affine(x, r, reference, 0.0), True)]

        def ablate(x: Tensor) -> Tensor:
            return x - (x @ unit)[..., None] * unit

        assert self.parts is not None
        hooks: list[Hook] = []
        for block in self.blocks:
            hooks.append((block, ablate, True))
            hooks += [(block.get_submodule(name), ablate, False) for name in self.parts[2:]]
        return hooks

    def addition(self, r: Tensor, reference: Tensor, layer: int) -> list[Hook]:
        if self.affine:
            return [(self.blocks[layer], lambda x: affine(x, r, reference, 1.0), True)]
        return [(self.blocks[layer], lambda x: x + 1.0 * r, True)]

    # --- steps 1 to 5 ---------------------------------------------------------------------------

    def run(self) -> dict[tuple[int, int], Scores]:
        """(position, layer) → scores, of all candidates."""
        self.positive, self.negative = (self.class_mean(prompts) for prompts in self.train)
        self.low = self.low_layers()
        harmful, harmless = self.validation
        self.b_plus, self.harmful_logits = self.look(harmful)
        self.b_minus, self.harmless_logits = self.look(harmless)
        found = {}
        for position in range(-self.n_positions, 0):
            for layer in range(len(self.blocks)):
                found[position, layer] = self.scores(position, layer)
        return found

    def scores(self, position: int, layer: int) -> Scores:
        r = (self.positive - self.negative)[layer, position].float()
        reference = self.negative[layer, position].float()
        harmful, harmless = self.validation
        removed, bypass = self.look(harmful, self.removal(r, reference, layer))
        _, changed = self.look(harmless, self.removal(r, reference, layer))
        added, induce = self.look(harmless, self.addition(r, reference, layer))
        return Scores(
            comply=float(removed @ self.b_minus),
            refuse=float(added @ self.b_plus),
            bypass=float(self.log_odds(bypass).mean()),
            induce=float(self.log_odds(induce).mean()),
            kl=float(divergence(self.harmless_logits, changed).mean()),
        )

    def log_odds(self, logits: Tensor) -> Tensor:
        p = logits.double().softmax(-1)[:, list(self.refusal_ids)].sum(-1)
        return torch.log(p + 1e-8) - torch.log(1 - p + 1e-8)


def affine(x: Tensor, r: Tensor, reference: Tensor, amount: float) -> Tensor:
    unit = r / r.norm()

    def projection(v: Tensor) -> Tensor:
        return (v @ unit)[..., None] * unit

    return x - projection(x) + projection(reference) + amount * r


def divergence(base: Tensor, changed: Tensor) -> Tensor:
    p, q = base.double().softmax(-1), changed.double().softmax(-1)
    return (p * (torch.log(p + 1e-6) - torch.log(q + 1e-6))).sum(-1)


@contextmanager
def hooked(hooks: Sequence[Hook]) -> Iterator[None]:
    """Plain torch hooks, never in place."""

    def in_front(edit: Callable[[Tensor], Tensor]) -> Any:
        def act(module: Any, given: Any, options: Any) -> Any:
            if given:
                return (edit(given[0]), *given[1:]), options
            return given, {**options, "hidden_states": edit(options["hidden_states"])}

        return act

    def behind(edit: Callable[[Tensor], Tensor]) -> Any:
        def act(module: Any, given: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (edit(output[0]), *output[1:])
            return edit(output)

        return act

    handles = [
        module.register_forward_pre_hook(in_front(edit), with_kwargs=True)
        if is_input
        else module.register_forward_hook(behind(edit))
        for module, edit, is_input in hooks
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


# --- step 6: filters, step 7: ties --------------------------------------------------------------


def choose_cosmic(
    found: dict[tuple[int, int], Scores], n_layers: int, peaks_below: int
) -> tuple[int, int] | None:
    """(position, layer), or None if nothing passes.

    Peaks of the median-peak rule are looked for in layers below `peaks_below`.
    """
    limits = [median_peak(found, name, peaks_below) for name in ("comply", "refuse")]
    kept = []
    for (position, layer), s in found.items():  # positions, then layers, ascending
        if layer >= int(0.8 * n_layers) or s.kl > 0.1:
            continue
        if any(math.isnan(value) for value in (s.comply, s.refuse, s.kl)):
            continue
        if position == -1 and all(limit is not None and layer > limit for limit in limits):
            continue
        kept.append((s.comply + s.refuse, position, layer))
    kept.sort(key=lambda one: one[0], reverse=True)  # stable: ties stay in order
    return kept[0][1:] if kept else None


def median_peak(found: dict[tuple[int, int], Scores], name: str, peaks_below: int) -> float | None:
    """The lower middle one for an even number of positions."""
    peaks = []
    for position in sorted({position for position, _ in found} - {-1}):
        best, best_layer = -math.inf, 0
        for layer in range(peaks_below):
            value = getattr(found[position, layer], name)
            if value > best:  # never true of NaN
                best, best_layer = value, layer
        peaks.append(best_layer)
    peaks.sort()
    return peaks[(len(peaks) - 1) // 2] if peaks else None


def choose_arditi(found: dict[tuple[int, int], Scores], n_layers: int) -> tuple[int, int] | None:
    """(position, layer) of the least bypass with induce > 0, KL < 0.1 and layer < 0.8 L."""
    best, chosen = math.inf, None
    for place, s in found.items():
        if s.induce > 0 and s.kl < 0.1 and place[1] < int(0.8 * n_layers) and s.bypass < best:
            best, chosen = s.bypass, place
    return chosen
