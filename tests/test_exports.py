"""Exported directions against plain hooks on an untouched Hugging Face model.

The hooks do what each tool does with its file: where a block is one off, logits differ.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from exported_directions import N_LAYERS, D, direction, steering_vectors_or_skip
from tiny import FAMILIES, Tiny, tiny
from torch import Tensor

from tl_geometry import sites
from tl_geometry.capture import last_logits
from tl_geometry.directions import Direction
from tl_geometry.exports import save_gguf, save_lm_eval, to_steering_vectors
from tl_geometry.generation import generate
from tl_geometry.interventions import edited
from tl_geometry.steering import affine, on_real_tokens, steering
from tl_geometry.tokens import TokenBatch, pad

DOSE = 3.0
BLOCKS = {"falcon": "h", "gpt2": "h", "opt": "decoder.layers"}
"""Where `base_model` keeps its blocks; "layers" elsewhere."""
Act = Callable[[Tensor], Tensor]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def steering_vectors() -> Any:
    return steering_vectors_or_skip()


def unequal(bridge: Any) -> TokenBatch:
    generator = torch.Generator().manual_seed(4)
    rows = [[0, *torch.randint(3, 259, (n,), generator=generator).tolist()] for n in (9, 21, 14)]
    return pad(bridge, rows)


def steered(bridge: Any, batch: TokenBatch, *directions: Direction) -> Tensor:
    """Next-token logits where this library steers at the state that each direction names."""
    edits = {}
    for one in directions:
        rows = steering(DOSE * one.vector, len(batch), one.layer - 1, N_LAYERS, span="layer")
        edits |= {sites.resid_post(at): edit for at, edit in rows.edits(batch).items()}
    with edited(bridge, edits):
        return last_logits(bridge, batch)


@contextmanager
def hooked(root: torch.nn.Module, acts: Mapping[str, Act]) -> Iterator[None]:
    """The outputs of the named modules, acted on: what every one of these tools does."""

    def hook(act: Act) -> Callable[..., Any]:
        def new(module: Any, given: Any, output: Any) -> Any:
            return (act(output[0]), *output[1:]) if isinstance(output, tuple) else act(output)

        return new

    modules = dict(root.named_modules())
    handles = [modules[name].register_forward_hook(hook(act)) for name, act in acts.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def plain_logits(plain: Any, batch: TokenBatch) -> Tensor:
    where = {"attention_mask": batch.mask, "position_ids": batch.position_ids}
    return plain(batch.ids, **where).logits[:, -1]


def assert_same_logits(theirs: Tensor, ours: Tensor) -> None:
    torch.testing.assert_close(theirs, ours, atol=float(1e-4 * ours.abs().max()), rtol=0)


def assert_other_logits(one: Tensor, other: Tensor) -> None:
    assert (one - other).abs().max() > 1e-2 * one.abs().max()


def acts_of_the_harness(path: Path) -> dict[str, Act]:
    """What lm-eval 0.4.13 makes of a steer file: module under `base_model` → change of output."""
    acts: dict[str, Act] = {}
    for name, entry in torch.load(path, weights_only=True).items():
        vector, coefficient = entry["steering_vector"], float(entry["steering_coefficient"])
        assert entry["head_index"] is None
        if entry["action"] == "add":
            assert entry["bias"] is None
            acts[name] = lambda x, push=coefficient * vector: x + push
        else:
            zero = 0.0 if entry["bias"] is None else entry["bias"]
            unit = vector / vector.norm()

            def clamp(x: Tensor, zero: Any = zero, unit: Tensor = unit, to: float = coefficient):
                return x + (to - (x - zero) @ unit)[..., None] * unit

            acts[name] = clamp
    return acts


def tensors(path: Path) -> dict[str, Any]:
    import gguf

    return {one.name: one.data.copy() for one in gguf.GGUFReader(path).tensors}


@pytest.mark.parametrize("state", [1, 3, N_LAYERS])
def test_a_harness_file_steers_where_this_library_does(
    family: str, state: int, tmp_path: Path
) -> None:
    model, one = tiny(family), direction(state)
    batch = unequal(model.bridge)
    path = tmp_path / "steer.pt"
    save_lm_eval(one, path, DOSE, blocks=BLOCKS.get(family, "layers"))
    with hooked(model.plain.base_model, acts_of_the_harness(path)):
        theirs = plain_logits(model.plain, batch)
    assert_same_logits(theirs, steered(model.bridge, batch, one))
    beside = replace(one, layer=state - 1 if state > 1 else 2)
    assert_other_logits(theirs, steered(model.bridge, batch, beside))
    assert_other_logits(theirs, plain_logits(model.plain, batch))


def test_the_exported_block_is_the_state_that_enters_the_next(tmp_path: Path) -> None:
    """Without `steering`: an addition at the input of block l, which is what state l means."""
    model, one = tiny("mistral"), direction(3)
    batch = unequal(model.bridge)
    save_lm_eval(one, tmp_path / "steer.pt", DOSE)
    with hooked(model.plain.base_model, acts_of_the_harness(tmp_path / "steer.pt")):
        theirs = plain_logits(model.plain, batch)
    with edited(model.bridge, {sites.resid_pre(3): lambda x: x + DOSE * one.vector}):
        assert_same_logits(theirs, last_logits(model.bridge, batch))


@pytest.mark.parametrize("family", ["mistral", "gpt2"])
def test_a_control_vector_steers_where_this_library_does(family: str, tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="an extra: interop")
    model, several = tiny(family), [direction(4), direction(2)]
    batch = unequal(model.bridge)
    save_gguf(several, tmp_path / "vector.gguf", family)
    # Read as repeng does, and added as it does: direction.{k} to the output of block k.
    raw = {name: torch.tensor(data) for name, data in tensors(tmp_path / "vector.gguf").items()}
    blocks = BLOCKS.get(family, "layers")
    acts = {
        name.replace("direction", blocks): lambda x, push=DOSE * vector: x + push
        for name, vector in raw.items()
    }
    with hooked(model.plain.base_model, acts):
        theirs = plain_logits(model.plain, batch)
    assert_same_logits(theirs, steered(model.bridge, batch, *several))


def test_a_steering_vector_steers_where_this_library_does(
    family: str, steering_vectors: Any
) -> None:
    model, several = tiny(family), [direction(5), direction(2)]
    batch = unequal(model.bridge)
    with torch.no_grad(), to_steering_vectors(several).apply(model.plain, multiplier=DOSE):
        theirs = plain_logits(model.plain, batch)
    assert_same_logits(theirs, steered(model.bridge, batch, *several))


def test_a_harness_file_generates_what_this_library_generates(tmp_path: Path) -> None:
    model, one = tiny("mistral"), direction(3)
    batch = unequal(model.bridge)
    rows = steering(DOSE * one.vector, len(batch), 2, N_LAYERS, span="layer")
    ours = generate(model.bridge, batch, max_new_tokens=8, edits=rows.edits(batch), ends=())
    save_lm_eval(one, tmp_path / "steer.pt", DOSE)
    with hooked(model.plain.base_model, acts_of_the_harness(tmp_path / "steer.pt")):
        theirs = by_hand(model, batch, 8)
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, by_hand(model, batch, 8))


def by_hand(model: Tiny, batch: TokenBatch, n: int) -> Tensor:
    """Greedy, without a cache: every position is steered anew at each step."""
    rows = [row[mask > 0].tolist() for row, mask in zip(batch.ids, batch.mask, strict=True)]
    new: list[list[int]] = [[] for _ in rows]
    for _ in range(n):
        longer = pad(model.bridge, [a + b for a, b in zip(rows, new, strict=True)])
        for row, best in zip(new, plain_logits(model.plain, longer).argmax(-1), strict=True):
            row.append(int(best))
    return torch.tensor(new)


@pytest.mark.parametrize("with_reference", [True, False])
def test_clamping_is_the_affine_edit(with_reference: bool, tmp_path: Path) -> None:
    model, reference = tiny("mistral"), direction(9).vector
    one = direction(3, reference=reference if with_reference else None)
    batch = unequal(model.bridge)
    save_lm_eval(one, tmp_path / "steer.pt", 0.7 * one.norm, "clamp")
    with hooked(model.plain.base_model, acts_of_the_harness(tmp_path / "steer.pt")):
        theirs = plain_logits(model.plain, batch)
    zero = reference if with_reference else torch.zeros(D)
    edit = affine(one.vector[None], zero[None], torch.tensor([0.7]))
    with edited(model.bridge, {sites.resid_post(2): on_real_tokens(edit, batch.mask)}):
        assert_same_logits(theirs, last_logits(model.bridge, batch))
