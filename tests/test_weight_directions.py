"""Directions of weight differences, their words, and chance: planted, by hand, by another route."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from changed_weights import DOWN, PLANTED, random, row, weights, written
from safetensors.torch import load_file, save_file
from scipy import stats
from small_runs import N_LAYERS, save_checkpoint
from tiny import tiny

from tl_geometry import weight_directions as directions
from tl_geometry import weight_statistics as chance
from tl_geometry.checkpoints import Checkpoint, open_checkpoint, read_checkpoint
from tl_geometry.directions import Direction
from tl_geometry.weight_delta import Pair, norms
from tl_geometry.weight_energy import energy_along
from tl_geometry.weight_lens import chance_peaks, logit_lens, read_readout

D = 48


@pytest.fixture
def base(tmp_path: Path) -> Checkpoint:
    return read_checkpoint(save_checkpoint(tmp_path / "base"))


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
                (along,) = energy_along(delta.double().numpy(), u[None].double().numpy())
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


def test_the_share_of_the_middle_third_by_hand() -> None:
    rng = np.random.default_rng(0)
    table = np.ones((7, 9)) + 0.01 * rng.standard_normal((7, 9))
    even = chance.middle_share(table, rng=rng)
    assert even.layers == (3, 6) and even.uniform == pytest.approx(1 / 3)
    assert even.share.low < 1 / 3 < even.share.high and even.share.n == 7
    assert even.inner.level == pytest.approx(0.9)
    assert even.share.low <= even.inner.low < even.inner.high <= even.share.high
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


def test_a_direction_of_weights_is_a_direction(base: Checkpoint) -> None:
    """Block l writes to state l + 1, which is where vectors of activations are to be compared."""
    tensors = weights(base)
    tensors[DOWN] += random(48, 96)
    changed = dict(directions.writers(Pair(base, written(base, tensors, "tuned"))))[PLANTED]
    vector = directions.top_directions(changed["down"], 1).vectors[0]
    assert Direction(vector, PLANTED + 1, -1, "weights").norm == pytest.approx(1.0)
