"""Differences of checkpoints, and adapters: by hand, by another route, in little memory."""

import json
import math
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from changed_weights import DOWN, PLANTED, Tensors, random, row, weights, written
from safetensors.torch import save_file
from small_runs import N_LAYERS, save_checkpoint
from tiny import FAMILIES, tiny

from tl_geometry import weight_directions as directions
from tl_geometry.adapters import read_adapter
from tl_geometry.checkpoints import Checkpoint, read_checkpoint
from tl_geometry.weight_delta import Pair, changes, length, norms


@pytest.fixture
def base(tmp_path: Path) -> Checkpoint:
    return read_checkpoint(save_checkpoint(tmp_path / "base"))


def test_norms_are_those_of_hand(base: Checkpoint) -> None:
    tensors = weights(base)
    tensors["model.layers.2.self_attn.q_proj.weight"][0, :2] += torch.tensor([3.0, 4.0])
    rows = norms(Pair(base, written(base, tensors, "tuned")))
    changed = row(rows, 2, "q")
    assert changed.norm == pytest.approx(5.0, rel=1e-5)
    before = weights(base)["model.layers.2.self_attn.q_proj.weight"].double().square().sum()
    assert changed.base_norm == pytest.approx(math.sqrt(before))
    assert changed.relative == pytest.approx(5.0 / math.sqrt(before), rel=1e-5)
    assert changed.n == 64 * 48 and changed.rounding == 0
    assert sum(one.norm > 0 for one in rows) == 1
    assert len(rows) == len(base.parts)  # embeddings and norms too


def test_the_norm_of_a_large_matrix_is_exact() -> None:
    matrix = random(2048, 4096)
    assert length(matrix) == pytest.approx(float(matrix.double().norm()), rel=1e-6)
    assert length(matrix[0]) == pytest.approx(float(matrix[0].double().norm()))
    assert length(torch.tensor(3.0)) == 3.0


def test_a_zero_tensor_has_no_relative_change_and_says_why(base: Checkpoint) -> None:
    tensors = weights(base)
    zero = written(base, tensors | {DOWN: torch.zeros_like(tensors[DOWN])}, "zero")
    undefined = row(norms(Pair(zero, base)), PLANTED, "down")
    assert math.isnan(undefined.relative) and undefined.reason == "the base tensor is zero"
    assert undefined.norm > 0


def test_what_rounding_alone_does_is_told(base: Checkpoint) -> None:
    halved = {name: tensor.bfloat16() for name, tensor in weights(base).items()}
    for pair in (Pair(base, other := written(base, halved, "half")), Pair(other, base)):
        for one in norms(pair):
            assert 0 < one.norm == pytest.approx(one.rounding)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_norm_of_a_stored_tensor_is_that_of_its_parts(family: str, tmp_path: Path) -> None:
    tiny(family).plain.save_pretrained(tmp_path / "base")
    base = read_checkpoint(tmp_path / "base")
    shaken = {n: t + random(*t.shape, seed=i) for i, (n, t) in enumerate(weights(base).items())}
    tuned = written(base, shaken, "tuned")
    squares: dict[str, float] = {}
    for one in norms(Pair(base, tuned)):
        squares[one.tensor] = squares.get(one.tensor, 0.0) + one.norm**2
    for name, square in squares.items():
        whole = (tuned.tensor(name) - base.tensor(name)).double().norm()
        assert math.sqrt(square) == pytest.approx(float(whole))


def test_a_part_of_the_change_is_the_change_of_the_part(tmp_path: Path) -> None:
    """Δq x is what q changes by, in a family that stores queries, keys and values in one."""
    tiny("pythia").plain.save_pretrained(tmp_path / "base")
    base = read_checkpoint(tmp_path / "base")
    fused = "gpt_neox.layers.1.attention.query_key_value.weight"
    tensors = weights(base)
    edited = tensors | {fused: tensors[fused] + random(144, 48)}
    x = random(3, 48, seed=1)

    def queries(weight: torch.Tensor) -> torch.Tensor:  # GPTNeoXAttention.forward
        return (x @ weight.T).view(3, -1, 3 * 12).chunk(3, dim=-1)[0].flatten(1)

    pair = Pair(base, written(base, edited, "tuned"))
    (change,) = (one for one in changes(pair, ["q"]) if one.part.layer == 1)
    expected = queries(edited[fused]) - queries(tensors[fused])
    torch.testing.assert_close(x @ change.delta.T, expected)


def test_models_that_do_not_fit_are_told_apart(base: Checkpoint) -> None:
    tensors = weights(base)
    short = written(base, tensors | {DOWN: torch.zeros(48, 95)}, "short")
    with pytest.raises(ValueError, match=r"layers.5.mlp.down_proj.weight is \(48, 96\) in base"):
        Pair(base, short)
    fewer = written(base, {n: t for n, t in tensors.items() if n != DOWN}, "fewer")
    for pair in ((base, fewer), (fewer, base)):
        with pytest.raises(ValueError, match="layers.5.mlp.down_proj.weight is in base only"):
            Pair(*pair)


def test_a_larger_vocabulary_and_tied_outputs_are_left_out_with_a_reason(base: Checkpoint) -> None:
    tensors = weights(base)
    output = tensors.pop("lm_head.weight")
    embedding = torch.cat([tensors["model.embed_tokens.weight"], torch.zeros(2, 48)])
    tuned = written(base, tensors | {"model.embed_tokens.weight": embedding}, "tuned")
    pair = Pair(base, tuned)
    assert pair.left_out == {
        "embed_tokens.weight": f"is (300, 48) in base and {tuple(embedding.shape)} in tuned",
        "lm_head.weight": "is in base only",
    }
    assert len(norms(pair)) == len(base.parts) - 2 and len(output)


def test_a_component_that_is_not_there_is_named(base: Checkpoint) -> None:
    with pytest.raises(ValueError, match=r"no component \['gat'\]: this model has .*gate"):
        next(changes(Pair(base, base), ["gat", "up"]))


# Adapters


def adapter(folder: Path, tensors: Tensors, **config: Any) -> Path:
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8} | config
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def low_rank(module: str, n_out: int, n_in: int, rank: int = 4) -> Tensors:
    prefix = f"base_model.model.{module}"
    return {
        f"{prefix}.lora_A.weight": random(rank, n_in),
        f"{prefix}.lora_B.weight": random(n_out, rank, seed=1),
    }


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({}, 2.0),
        ({"use_rslora": True}, 4.0),
        ({"alpha_pattern": {"down_proj": 12}}, 3.0),
    ],
)
def test_an_adapter_is_the_difference_to_its_merged_model(
    base: Checkpoint, tmp_path: Path, config: dict[str, Any], scale: float
) -> None:
    tensors = low_rank("model.layers.5.mlp.down_proj", 48, 96)
    lora = read_adapter(adapter(tmp_path / "lora", tensors, **config), base)
    a, b = tensors.values()
    merged = weights(base)
    merged[DOWN] = merged[DOWN] + scale * b @ a
    pair = Pair(base, written(base, merged, "merged"))
    for ours, theirs in zip(norms(lora), norms(pair), strict=True):
        assert (ours.layer, ours.component) == (theirs.layer, theirs.component)
        assert ours.norm == pytest.approx(theirs.norm, rel=1e-5)
    ours, theirs = (dict(directions.writers(one))[5]["down"] for one in (lora, pair))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert len(directions.top_directions(ours, 10).vectors) == 4


@pytest.mark.parametrize(
    ("family", "module", "rows"),
    [
        ("gpt2", "transformer.h.1.attn.c_attn", 144),
        ("phi3", "model.layers.1.self_attn.qkv_proj", 128),
    ],
)
def test_an_adapter_of_a_fused_matrix_is_cut_like_it(
    family: str, module: str, rows: int, tmp_path: Path
) -> None:
    tiny(family).plain.save_pretrained(tmp_path / "base")
    base = read_checkpoint(tmp_path / "base")
    tensors = low_rank(module, rows, 48)
    lora = read_adapter(adapter(tmp_path / "lora", tensors), base)
    a, b = tensors.values()
    cut = [one.delta for one in changes(lora, ["q", "k", "v"]) if one.part.layer == 1]
    torch.testing.assert_close(torch.cat(cut), 2 * b @ a)


def test_an_adapter_of_something_else_is_left_out_or_refused(
    base: Checkpoint, tmp_path: Path
) -> None:
    tensors = low_rank("model.layers.5.mlp.down_proj", 48, 96)
    more = {
        "base_model.model.lm_head.weight": torch.ones(300, 48),
        "base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(4, 300),
    }
    lora = read_adapter(adapter(tmp_path / "more", tensors | more), base)
    assert set(lora.left_out) == {"lm_head.weight", "embed_tokens.weight"}
    assert {one.component for one in norms(lora) if one.layer is None} == {"norm"}
    with pytest.raises(ValueError, match="holds no matrices lora_A and lora_B"):
        read_adapter(adapter(tmp_path / "none", more), base)
    with pytest.raises(ValueError, match="a DoRA adapter: merge it"):
        read_adapter(adapter(tmp_path / "dora", tensors, use_dora=True), base)
    with pytest.raises(ValueError, match="holds a IA3 adapter"):
        read_adapter(adapter(tmp_path / "ia3", tensors, peft_type="IA3"), base)
    with pytest.raises(ValueError, match="layers.9.mlp.down_proj.weight, which base does not have"):
        far = low_rank("model.layers.9.mlp.down_proj", 48, 96)
        read_adapter(adapter(tmp_path / "far", far), base)
    with pytest.raises(ValueError, match=r"is \(48, 95\), and base has \(48, 96\)"):
        wide = low_rank("model.layers.5.mlp.down_proj", 48, 95)
        read_adapter(adapter(tmp_path / "wide", wide), base)


# Memory


class Alive:
    """Bytes of the tensors that have been read and are still referred to, at their most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.most, self.reads = 0, 0, 0
        read = Checkpoint.tensor

        def counted(checkpoint: Checkpoint, name: str) -> torch.Tensor:
            tensor = read(checkpoint, name)
            self.reads += 1
            self.now += tensor.nbytes
            self.most = max(self.most, self.now)
            weakref.finalize(tensor, self.forget, tensor.nbytes)
            return tensor

        monkeypatch.setattr(Checkpoint, "tensor", counted)

    def forget(self, size: int) -> None:
        self.now -= size


def test_no_more_than_a_layer_is_in_memory(
    base: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = Alive(monkeypatch)
    sizes: dict[int | None, int] = {}
    for part in base.parts:
        size = 4 * math.prod(base.stored[part.name].shape)
        sizes[part.layer] = sizes.get(part.layer, 0) + size
    pair = Pair(base, base)
    assert alive.reads == 0  # names and shapes are known without reading
    matrices = {"q", "k", "v", "o", "gate", "up", "down"}
    largest = max(4 * math.prod(base.stored[p.name].shape) for p in base.parts if p.layer == 0)
    for change in changes(pair, matrices):
        assert change.delta.shape == change.base.shape
    assert alive.reads == 2 * 7 * N_LAYERS
    assert alive.most <= 4 * largest <= sizes[0]  # the last tensor and the next, of both models

    alive.most = 0
    for _, changed in directions.writers(pair):
        assert set(changed) == {"o", "down"}
        del changed
    assert alive.most <= sizes[0]
    del change
    assert alive.now == 0
    kept = list(changes(pair, matrices))  # the count sees what is kept
    assert alive.most > N_LAYERS * sizes[0] and len(kept) == 7 * N_LAYERS


def test_a_fused_tensor_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny("phi3").plain.save_pretrained(tmp_path)
    base = read_checkpoint(tmp_path)
    alive = Alive(monkeypatch)
    assert len(norms(Pair(base, base))) == len(base.parts) > len(base.names)
    assert alive.reads == 2 * len(base.names)
