"""Differences of weights: by hand, planted, by another route, against chance, in little memory."""

import json
import math
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy import stats
from small_runs import N_LAYERS, save_checkpoint
from tiny import FAMILIES, tiny

from tl_geometry import weight_directions as directions
from tl_geometry import weight_statistics as chance
from tl_geometry.adapters import read_adapter
from tl_geometry.checkpoints import Checkpoint, open_checkpoint, read_checkpoint
from tl_geometry.directions import Direction
from tl_geometry.weight_delta import Norm, Pair, changes, length, norms
from tl_geometry.weight_lens import chance_peaks, logit_lens, read_readout

D = 48
PLANTED = 5
DOWN = "model.layers.5.mlp.down_proj.weight"
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def base(tmp_path: Path) -> Checkpoint:
    return read_checkpoint(save_checkpoint(tmp_path / "base"))


def weights(checkpoint: Checkpoint) -> Tensors:
    return load_file(checkpoint.folder / "model.safetensors")


def written(checkpoint: Checkpoint, tensors: Mapping[str, torch.Tensor], name: str) -> Checkpoint:
    """A copy of the checkpoint with other tensors."""
    folder = checkpoint.folder.parent / name
    folder.mkdir()
    (folder / "config.json").write_text((checkpoint.folder / "config.json").read_text())
    save_file(dict(tensors), folder / "model.safetensors")
    return read_checkpoint(folder)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def row(rows: list[Norm], layer: int | None, component: str) -> Norm:
    (found,) = (one for one in rows if (one.layer, one.component) == (layer, component))
    return found


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


@pytest.mark.parametrize("noise", [0.0, 0.002])
@pytest.mark.parametrize(
    ("component", "name"), [("down", DOWN), ("o", "model.layers.5.self_attn.o_proj.weight")]
)
def test_a_planted_edit_is_found_where_it_is(
    base: Checkpoint, component: str, name: str, noise: float
) -> None:
    tensors = weights(base)
    u, v = random(D), random(tensors[name].shape[1], seed=1)
    u, v = u / u.norm(), v / v.norm()
    shaken = {n: t + noise * random(*t.shape, seed=i) for i, (n, t) in enumerate(tensors.items())}
    tuned = written(base, shaken | {name: shaken[name] + torch.outer(u, v)}, "tuned")
    cosines = {}
    for layer, changed in directions.writers(Pair(base, tuned)):
        for which, delta in changed.items():
            if delta.any():
                top = directions.top_directions(delta, 1)
                cosines[layer, which] = abs(float(top.vectors[0] @ u))
                stands_out = float(top.energy[0]) > 2 * top.noise
                assert stands_out == ((layer, which) == (PLANTED, component))
                along = chance.energy_along(delta.numpy(), u.numpy(), rng=np.random.default_rng(0))
                assert (along.share > 0.5) == stands_out
    assert cosines.pop((PLANTED, component)) >= 0.9
    assert len(cosines) == (2 * N_LAYERS - 1 if noise else 0)
    assert max(cosines.values(), default=0.0) < 0.6


def test_an_edit_of_an_embedded_model_is_found_in_16_bit(tmp_path: Path) -> None:
    base = open_checkpoint("pocket-llama")
    name = "model.layers.20.mlp.down_proj.weight"
    tensors = load_file(base.folder / "model.safetensors")
    u, v = random(64), random(128, seed=1)
    edit = 0.5 * torch.outer(u / u.norm(), v / v.norm())
    (tmp_path / "config.json").write_text((base.folder / "config.json").read_text())
    edited = tensors | {name: (tensors[name].float() + edit).half()}
    save_file(edited, tmp_path / "model.safetensors")
    pair = Pair(base, read_checkpoint(tmp_path))
    assert row(norms(pair), 20, "down").norm == pytest.approx(0.5, rel=1e-3)
    top = directions.top_directions(dict(directions.writers(pair))[20]["down"], 1)
    assert abs(float(top.vectors[0] @ u) / u.norm()) > 0.999


def test_identical_checkpoints_differ_in_nothing_and_have_no_direction(base: Checkpoint) -> None:
    pair = Pair(base, base)
    assert {one.norm for one in norms(pair)} == {0.0}
    for _, changed in directions.writers(pair):
        with pytest.raises(ValueError, match="mean column of a difference is zero"):
            directions.mean_column(changed)
        with pytest.raises(ValueError, match="zero or not finite, so it has no direction"):
            directions.top_directions(changed["o"])
    with pytest.raises(ValueError, match="no component changed"):
        chance.middle_share(np.zeros((7, 8)), rng=np.random.default_rng(0))


def test_the_mean_column_is_the_change_applied_to_ones(base: Checkpoint) -> None:
    tensors = {n: t + random(*t.shape, seed=i) for i, (n, t) in enumerate(weights(base).items())}
    _, changed = next(iter(directions.writers(Pair(base, written(base, tensors, "tuned")))))
    ones = [delta @ torch.ones(delta.shape[1]) / delta.shape[1] for delta in changed.values()]
    assert set(changed) == {"o", "down"}
    torch.testing.assert_close(directions.mean_column(changed), sum(ones) / 2)


def test_singular_directions_of_a_known_matrix() -> None:
    u, _ = torch.linalg.qr(random(D, 3))
    v, _ = torch.linalg.qr(random(96, 3, seed=1))
    delta = u @ torch.diag(torch.tensor([3.0, 2.0, 1.0])) @ v.T
    top = directions.top_directions(delta, 5)
    assert len(top.vectors) == 3  # its rank
    torch.testing.assert_close(top.energy, torch.tensor([9.0, 4.0, 1.0]) / 14)
    torch.testing.assert_close((top.vectors @ u).abs(), torch.eye(3), atol=1e-5, rtol=0)
    assert all(vector[vector.abs().argmax()] > 0 for vector in top.vectors)
    torch.testing.assert_close(directions.top_directions(-delta, 5).vectors, top.vectors)


def test_large_matrices_are_decomposed_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    delta = random(D, 96) + 3 * torch.outer(random(D, seed=1), random(96, seed=2)) / 10
    exact = directions.top_directions(delta, 3)
    monkeypatch.setattr(directions, "EXACT_UP_TO", 10)
    before = torch.get_rng_state()
    approximate = directions.top_directions(delta, 3)
    torch.testing.assert_close(approximate.energy, exact.energy, atol=1e-4, rtol=1e-2)
    assert float(approximate.vectors[0] @ exact.vectors[0]) == pytest.approx(1.0, abs=1e-3)
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_has_the_first_share_that_is_told() -> None:
    top = directions.top_directions(random(200, 500), 1)
    assert float(top.energy[0]) == pytest.approx(top.noise, rel=0.05)


def test_post_norms_are_in_the_direction(tmp_path: Path) -> None:
    tiny("gemma2").plain.save_pretrained(tmp_path / "base")
    base = read_checkpoint(tmp_path / "base")
    name = "model.layers.1.mlp.down_proj.weight"
    tensors = weights(base)
    tuned = written(base, tensors | {name: tensors[name] + 1.0}, "tuned")
    changed = dict(directions.writers(Pair(base, tuned)))[1]["down"]
    gain = 1 + tensors["model.layers.1.post_feedforward_layernorm.weight"]
    torch.testing.assert_close(changed[:, 0], gain)


def test_experts_write_too(tmp_path: Path) -> None:
    tiny("mixtral").plain.save_pretrained(tmp_path / "base")
    base = read_checkpoint(tmp_path / "base")
    _, changed = next(iter(directions.writers(Pair(base, base))))
    assert set(changed) == {"o", *(f"expert {i} down" for i in range(4))}


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


# Words


def test_the_lens_reads_the_output_matrix_behind_the_norm(pocket: Any) -> None:
    readout = read_readout(open_checkpoint("pocket-mistral"))
    direction = pocket.unembed.W_U[:, 77].detach() / readout.gain
    lens = logit_lens(direction, readout)
    assert int(lens.toward[0]) == 77 and len(lens.away) == 20
    assert lens.toward_logits[0] >= lens.toward_logits[-1] > lens.away_logits[-1]
    assert lens.away_logits[0] <= lens.away_logits[-1]
    opposite = logit_lens(-direction, readout)
    assert torch.equal(opposite.away[:1], lens.toward[:1])
    peaks = chance_peaks(readout, torch.Generator().manual_seed(0), 50)
    assert len(peaks) == 50 and lens.peak > float(peaks.max()) - 2
    with pytest.raises(ValueError, match="zero, not finite"):
        logit_lens(torch.zeros(64), readout)


@pytest.mark.parametrize("family", ["gemma2", "gpt2", "pythia", "llama"])
def test_the_lens_agrees_with_the_final_norm_of_the_model(family: str, tmp_path: Path) -> None:
    plain = tiny(family).plain
    plain.save_pretrained(tmp_path)
    readout = read_readout(read_checkpoint(tmp_path))
    direction = random(D)
    norm = tiny(family).bridge.ln_final.original_component
    bias = getattr(norm, "bias", None)
    through = norm(1e4 * direction) - (0 if bias is None else bias)
    expected = plain.get_output_embeddings()(through.detach())
    ours = readout.logits(direction)
    assert float(torch.corrcoef(torch.stack([ours, expected.detach()]))[0, 1]) > 0.99999
    if readout.centred:
        with pytest.raises(ValueError, match="taken off by the final norm"):
            readout.logits(torch.full((D,), 0.3))


# Chance


def test_a_random_cosine_has_a_uniform_p() -> None:
    rng = np.random.default_rng(0)
    d = 20
    fixed = rng.standard_normal(d)
    drawn = [chance.chance_cosine(rng.standard_normal(d), fixed) for _ in range(2_000)]
    assert stats.kstest([one.p for one in drawn], "uniform").pvalue > 0.05
    assert np.std([one.cosine for one in drawn]) == pytest.approx(drawn[0].sd, rel=0.05)
    assert drawn[0].sd == pytest.approx(1 / math.sqrt(d))
    assert chance.chance_cosine(fixed, -2 * fixed).p == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match="row 0 is zero"):
        chance.chance_cosine(np.zeros(d), fixed)


def test_the_largest_published_cosine_is_four_standard_deviations() -> None:
    """|cos| = 0.066 at d = 4096: its p is that of a normal variable at 4.2 SD."""
    a, b = np.zeros(4096), np.zeros(4096)
    a[0], b[:2] = 1.0, (0.066, math.sqrt(1 - 0.066**2))
    found = chance.chance_cosine(a, b)
    assert found.sd == pytest.approx(0.015625)
    assert found.p == pytest.approx(2 * stats.norm.sf(0.066 / found.sd), rel=0.1)


def test_alignment_of_layers_is_told_from_what_all_layers_share() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((12, 64))
    own = chance.layer_alignment(vectors + rng.standard_normal((12, 64)), vectors, rng=rng)
    assert own.p < 0.001 and own.p_shifted == pytest.approx(1 / 12)
    assert own.matched > 0.6 > 0.2 > own.shuffled
    shared = np.zeros(64)
    shared[3] = 40.0
    common = chance.layer_alignment(
        rng.standard_normal((12, 64)) + shared, vectors + shared, rng=rng
    )
    assert common.matched > 0.9 and common.shuffled > 0.9 and common.p > 0.01
    assert common.cosines.shape == (12,)
    drawn = rng.standard_normal((20_000, 2, 64))
    sizes = [abs(np.dot(*pair)) / math.prod(np.linalg.norm(pair, axis=1)) for pair in drawn]
    assert common.random == pytest.approx(np.mean(sizes), rel=0.02)
    with pytest.raises(ValueError, match="row 4 is zero"):
        vectors[4] = 0
        chance.layer_alignment(vectors, vectors, rng=rng)


def test_unrelated_layers_have_a_uniform_p() -> None:
    rng = np.random.default_rng(1)
    drawn = [rng.standard_normal((2, 8, 16)) for _ in range(300)]
    ps = [chance.layer_alignment(a, b, rng=rng, n_permutations=400).p for a, b in drawn]
    assert stats.kstest(ps, "uniform").pvalue > 0.05


def test_energy_along_a_random_direction_is_one_in_d() -> None:
    rng = np.random.default_rng(0)
    delta = rng.standard_normal((32, 80)) * np.linspace(0.1, 3, 32)[:, None]
    drawn = [
        chance.energy_along(delta, rng.standard_normal(32), rng=rng, draws=200) for _ in range(300)
    ]
    assert np.mean([one.share for one in drawn]) == pytest.approx(1 / 32, rel=0.05)
    assert drawn[0].expected == 1 / 32
    assert stats.kstest([one.p for one in drawn], "uniform").pvalue > 0.05
    assert chance.energy_along(delta, np.eye(32)[31], rng=rng).p < 0.01


def test_the_share_of_the_middle_third_by_hand() -> None:
    rng = np.random.default_rng(0)
    table = np.ones((7, 9)) + 0.01 * rng.standard_normal((7, 9))
    even = chance.middle_share(table, rng=rng)
    assert even.layers == (3, 6) and even.uniform == pytest.approx(1 / 3)
    assert even.share.low < 1 / 3 < even.share.high and even.share.n == 7
    table[:, 3:6] *= 3  # squared: 27 of 33
    peaked = chance.middle_share(table, rng=rng)
    assert peaked.share.estimate == pytest.approx(27 / 33, abs=0.01)
    assert peaked.share.low > 1 / 3 and peaked.windows == pytest.approx(1 / 7)
    assert chance.middle_share(np.ones((7, 32)), rng=rng).layers == (11, 21)
    exact = chance.middle_share(np.ones((7, 9)), rng=rng).share
    assert exact.status == "missing" and exact.reason
    assert chance.middle_share(table[:2], rng=rng).share.status == "missing"
    with pytest.raises(ValueError, match="2 layers have no middle third"):
        chance.middle_share(table[:, :2], rng=rng)


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


def test_a_direction_of_weights_is_a_direction(base: Checkpoint) -> None:
    """Block l writes to state l + 1, which is where vectors of activations are to be compared."""
    tensors = weights(base)
    tensors[DOWN] += random(48, 96)
    changed = dict(directions.writers(Pair(base, written(base, tensors, "tuned"))))[PLANTED]
    vector = directions.top_directions(changed["down"], 1).vectors[0]
    assert Direction(vector, PLANTED + 1, -1, "weights").norm == pytest.approx(1.0)
