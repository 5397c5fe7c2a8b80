"""Directions: means against plain loops over Hugging Face's hidden states, and what is refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny import FAMILIES, tiny
from torch import Tensor, nn

from tl_geometry.directions import ClassMeans, Direction, class_means
from tl_geometry.models import load_model
from tl_geometry.tokens import encode_chat, n_post_instruction

N_POS = 3


def _prompts(n: int, seed: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(N_POS, 15, (n,), generator=generator).tolist()
    return [[0, *torch.randint(3, 259, (m,), generator=generator).tolist()] for m in lengths]


POSITIVE, NEGATIVE = _prompts(7, 1), _prompts(5, 2)


@torch.no_grad()
def _states(plain: Any, prompt: Sequence[int]) -> Tensor:
    """Residual stream of one prompt alone, [state pos d].

    Hugging Face's last hidden state lies behind the final norm, so the last block is asked itself.
    """
    last = next(m for m in plain.modules() if isinstance(m, nn.ModuleList) and len(m) == 5)[-1]
    seen: list[Tensor] = []

    def look(module: Any, given: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    handle = last.register_forward_hook(look)
    try:
        out = plain(torch.tensor([list(prompt)]), output_hidden_states=True, use_cache=False)
    finally:
        handle.remove()
    return torch.stack([*(state[0] for state in out.hidden_states[:-1]), seen[0][0]])


def _mean(plain: Any, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """(sum / n, summed lengths), one prompt after the other in float64."""
    total, lengths = torch.zeros(6, N_POS, 48).double(), torch.zeros(6, N_POS).double()
    for prompt in prompts:
        states = _states(plain, prompt)[:, -N_POS:].double()
        total += states
        lengths += states.square().sum(-1).sqrt()
    return total / len(prompts), lengths


@pytest.mark.parametrize("family", FAMILIES)
def test_means_are_those_of_a_plain_loop(family: str) -> None:
    model = tiny(family)
    means = class_means(model.bridge, POSITIVE, NEGATIVE, n_positions=N_POS, batch_size=4)
    assert means.positive.dtype == torch.float64 and means.n == (7, 5)
    lengths = torch.zeros(6, N_POS).double()
    for ours, prompts in ((means.positive, POSITIVE), (means.negative, NEGATIVE)):
        theirs, summed = _mean(model.plain, prompts)
        lengths += summed
        for state in range(6):
            scale = float(theirs[state].abs().max())
            torch.testing.assert_close(ours[state], theirs[state], atol=1e-5 * scale, rtol=0)
    torch.testing.assert_close(means.norms, lengths / 12, rtol=1e-5, atol=0)


def test_means_do_not_depend_on_the_batch_size() -> None:
    bridge = tiny("gemma2").bridge
    one, other = (
        class_means(bridge, POSITIVE, NEGATIVE, n_positions=N_POS, batch_size=size)
        for size in (1, 64)
    )
    torch.testing.assert_close(one.positive, other.positive, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one.norms, other.norms, atol=1e-5, rtol=1e-5)


def test_every_prompt_passes_once() -> None:
    bridge = tiny("llama").bridge
    calls: list[int] = []

    def count(module: Any, given: Any, output: Any) -> None:
        calls.append(len(output[0]))

    handles = [block.attn.register_forward_hook(count) for block in bridge.blocks]
    try:
        class_means(bridge, POSITIVE, NEGATIVE, n_positions=N_POS, batch_size=4)
    finally:
        for handle in handles:
            handle.remove()
    assert len(calls) == 5 * (2 + 2)  # blocks times batches
    assert sum(calls) == 5 * (7 + 5)


def _made() -> ClassMeans:
    positive = torch.arange(24).double().reshape(3, 2, 4)
    last = torch.tensor([[9.0] * 4, [8.0] * 4]).double()
    return ClassMeans(positive, positive / 2, positive.norm(dim=-1), (2, 3), last)


def test_a_direction_is_the_difference_with_its_length() -> None:
    means = _made()
    assert means.n_positions == 2 and list(means.positions) == [-2, -1]
    assert means.difference.tolist() == (means.positive / 2).tolist()
    # Outputs of two blocks: the state behind the first, and the last behind the final norm.
    assert means.outputs[0].tolist() == [[12, 13, 14, 15], [9] * 4]
    assert means.outputs[1].tolist() == [[6, 6.5, 7, 7.5], [8] * 4]
    found = means.direction(1, -2, method="cosmic", score=1.5)
    assert found.vector.tolist() == [4.0, 4.5, 5.0, 5.5]
    assert found.reference is not None and found.reference.tolist() == [4.0, 4.5, 5.0, 5.5]
    assert (found.layer, found.position, found.method) == (1, -2, "cosmic")
    assert found.norm == pytest.approx((16 + 20.25 + 25 + 30.25) ** 0.5)
    assert found.unit.norm().item() == pytest.approx(1)
    torch.testing.assert_close(found.unit * found.norm, found.vector)
    about = dict(found.provenance)
    # Of the last token, wherever the direction comes from.
    assert about.pop("residual_norm") == pytest.approx((144 + 169 + 196 + 225) ** 0.5)
    assert about == {"n": [2, 3], "score": 1.5}


@pytest.mark.parametrize("reference", [None, torch.tensor([0.5, 0.0])])
def test_what_is_saved_comes_back(tmp_path: Path, reference: Tensor | None) -> None:
    about = {"model": "a – b", "residual_norm": 12.5, "n": [3, 4]}
    kept = Direction(torch.tensor([0.1, -2.0]), 3, -2, "dim", reference, about)
    kept.save(tmp_path / "direction.safetensors")
    again = Direction.load(tmp_path / "direction.safetensors")
    assert torch.equal(again.vector, kept.vector)
    assert (again.layer, again.position, again.method) == (3, -2, "dim")
    assert dict(again.provenance) == about
    if reference is None:
        assert again.reference is None
    else:
        assert again.reference is not None and torch.equal(again.reference, reference)


def test_a_direction_of_means_can_be_saved(tmp_path: Path) -> None:
    """Its vectors are views into the means: only they are written."""
    means = _made()
    kept = means.direction(2, -1)
    kept.save(tmp_path / "direction.safetensors")
    assert torch.equal(Direction.load(tmp_path / "direction.safetensors").vector, kept.vector)
    assert (tmp_path / "direction.safetensors").stat().st_size < 1000


def test_a_file_that_holds_no_direction_is_refused(tmp_path: Path) -> None:
    save_file({"vector": torch.ones(2)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match="no direction"):
        Direction.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_vector_that_points_nowhere_is_refused(value: float) -> None:
    vector = torch.zeros(4)
    vector[2] = value
    with pytest.raises(ValueError, match="layer 2, position -1.*points nowhere"):
        Direction(vector, 2, -1, "dim")


def test_tokens_that_do_not_differ_give_no_direction_at_layer_0() -> None:
    """Exactly zero in float64, however many prompts: not a random rounding error."""
    same = [[*row, 9] for row in POSITIVE], [[*row, 9] for row in NEGATIVE]
    means = class_means(tiny("llama").bridge, same[0], same[1], batch_size=3)
    with pytest.raises(ValueError, match="points nowhere"):
        means.direction(0, -1)
    assert means.direction(1, -1).norm > 0


@pytest.mark.parametrize("sides", [([], NEGATIVE), (POSITIVE, [])])
def test_a_class_without_prompts_is_refused(sides: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match="both classes"):
        class_means(tiny("llama").bridge, sides[0], sides[1])


@pytest.mark.parametrize("sides", [([[0, 5]], NEGATIVE), (POSITIVE, [[0, 5, 6], [0, 5]])])
def test_too_short_prompts_are_refused_before_the_model_runs(sides: tuple[Any, Any]) -> None:
    bridge = tiny("llama").bridge
    calls: list[int] = []
    handle = bridge.blocks[0].attn.register_forward_hook(lambda *_: calls.append(1))
    try:
        with pytest.raises(ValueError, match="2 tokens, and the last 3 positions"):
            class_means(bridge, sides[0], sides[1], n_positions=3)
    finally:
        handle.remove()
    assert calls == []


# --- post-instruction tokens ----------------------------------------------------------------------

BEHIND = {
    "pocket-mistral": ["[/INST]"],
    "pocket-gemma2": ["<end_of_turn>", "Ċ", "<start_of_turn>", "m", "od", "el", "Ċ"],
}


@pytest.mark.parametrize("name", BEHIND)
def test_post_instruction_tokens_are_those_behind_the_user_s_words(name: str) -> None:
    model = load_model(name)
    assert n_post_instruction(model) == len(BEHIND[name])
    texts = ["Can you hurt the lamb?", "Tell me of the lamb.", "lamb", "a: b\n"]
    chats = encode_chat(model, [[{"role": "user", "content": text}] for text in texts])
    tokenizer = model.tokenizer
    for ids in chats:
        tokens = tokenizer.convert_ids_to_tokens(ids)
        assert tokens[-len(BEHIND[name]) :] == BEHIND[name]
        assert ids[0] == tokenizer.bos_token_id and ids.count(tokenizer.bos_token_id) == 1
    assert len({ids[-len(BEHIND[name]) - 1] for ids in chats}) > 1


def test_without_a_chat_template_it_is_the_last_token() -> None:
    assert n_post_instruction(tiny("llama").bridge) == 1
