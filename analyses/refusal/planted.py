"""A model in which one known direction decides, and whether each rule finds it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tl_geometry.candidates import Scorer, evaluation_layers
from tl_geometry.directions import class_means
from tl_geometry.edits import Kind
from tl_geometry.models import wrap
from tl_geometry.selection import Choice, NoDirectionError, arditi, cosmic, deepest

Rule = Callable[..., Choice]
HARM, CALM = 70, 71
"""Markers of the two classes of prompts."""
SAID = tuple(range(140))
"""The model's refusal tokens."""
N_LAYERS, WIDTH, N_POSITIONS = 12, 48, 3
RULES: tuple[tuple[Kind, Rule], ...] = (("linear", cosmic), ("affine", cosmic), ("linear", arditi))
STRENGTH, AT, COSINE = 3.0, 6, 0.95
"""How loud the marker is, which block writes the direction, and from which cosine it is found."""


def planted(layer: int, strength: float) -> tuple[Any, Tensor]:
    """A model in which the output of attention in one block decides, and the vector it writes.

    One marker's embedding has `strength` times a direction that nobody reads but the attention of
    `layer`, which moves it to later tokens as a second direction; nobody else writes that one, and
    the unembedding of refusal tokens reads it. Later blocks are loud: they add noise.
    """
    generator = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    model = _blank()
    marked, moved = torch.linalg.qr(noise(WIDTH, 2))[0].T
    with torch.no_grad():
        _embed(model.model.embed_tokens.weight, noise, marked, moved, strength)
        for n, block in enumerate(model.model.layers):
            _block(block, 0.2 if n > layer else 0.03, noise, marked, moved)
        chosen = model.model.layers[layer].self_attn
        chosen.v_proj.weight[0] = 4 * marked
        chosen.o_proj.weight[:, 0] = 4 * moved
        model.lm_head.weight.copy_(0.1 * noise(*model.lm_head.weight.shape))
        model.lm_head.weight[: len(SAID)] += 2 * moved
    return model, moved


def _blank() -> Any:
    from transformers import AutoModelForCausalLM, LlamaConfig

    config = LlamaConfig(
        vocab_size=300,
        hidden_size=WIDTH,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=96,
        head_dim=16,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    config.architectures = ["LlamaForCausalLM"]
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def _embed(weight: Tensor, noise: Any, marked: Tensor, moved: Tensor, strength: float) -> None:
    weight.copy_(0.5 * noise(*weight.shape))
    for r in (marked, moved):
        weight.sub_((weight @ r)[:, None] * r)
    weight[HARM] = weight[CALM] + strength * marked


def _block(block: Any, loud: float, noise: Any, marked: Tensor, moved: Tensor) -> None:
    """Noise that reads nothing of the marker, and writes nothing of either direction."""
    attn, mlp = block.self_attn, block.mlp
    readers = (attn.q_proj, attn.k_proj, attn.v_proj, mlp.gate_proj, mlp.up_proj)
    writers = (attn.o_proj, mlp.down_proj)
    for linear in (*readers, *writers):
        linear.weight.copy_(loud * noise(*linear.weight.shape))
    for linear in readers:
        linear.weight.sub_((linear.weight @ marked)[:, None] * marked)
    for linear in writers:
        for r in (marked, moved):
            linear.weight.sub_(r[:, None] * (r @ linear.weight))


def marked_prompts(n: int, seed: int, marker: int) -> list[list[int]]:
    """Noise of unequal lengths with the marker in it; the same last tokens end all."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(4, 8, (n,), generator=generator).tolist()
    words = [torch.randint(150, 259, (m,), generator=generator).tolist() for m in lengths]
    end = range(142, 142 + N_POSITIONS)
    return [[0, *row[:2], marker, *row[2:], *end] for row in words]


def found(
    layer: int, strength: float, kind: Kind, rule: Rule, tokenizer: Any
) -> tuple[int, float] | None:
    """(chosen layer, cosine with the planted vector); None where the rule takes nothing.

    `tokenizer` says nothing here, but a model has one.
    """
    model, vector = planted(layer, strength)
    bridge = wrap(model, tokenizer, source="planted/model", device="cpu")
    train = [marked_prompts(12, seed, m) for seed, m in ((1, HARM), (2, CALM))]
    held_out = [marked_prompts(8, seed, m) for seed, m in ((3, HARM), (4, CALM))]
    means = class_means(bridge, train[0], train[1], n_positions=N_POSITIONS)
    low = evaluation_layers(*means.outputs)
    scorer = Scorer(bridge, means, held_out[0], held_out[1], low, kind, SAID)
    scores = {n: scorer.scores(n) for n in range(deepest(N_LAYERS))}
    try:
        choice = rule(scores, N_LAYERS, scorer.kl)
    except NoDirectionError:
        return None
    return choice.layer, float(means.direction(choice.layer, choice.position).unit @ vector)


def recovered(tokenizer: Any) -> dict[str, bool]:
    """By rule: is the planted direction found where it is planted, and not where nothing is?"""
    results = {}
    for kind, rule in RULES:
        there, nowhere = (found(AT, s, kind, rule, tokenizer) for s in (STRENGTH, 0.0))
        # What block `AT` writes is there in the state that enters the next.
        right = there is not None and abs(there[0] - (AT + 1)) <= 1 and there[1] > COSINE
        results[f"{rule.__name__}, {kind}"] = right and (nowhere is None or abs(nowhere[1]) < 0.5)
    return results
