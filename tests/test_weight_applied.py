"""What a change of weights adds to activations: by hand, by the modules themselves, planted."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny

from tl_geometry.checkpoints import open_checkpoint, read_checkpoint
from tl_geometry.models import load_model
from tl_geometry.sites import write_inputs
from tl_geometry.span_means import Said, means_at
from tl_geometry.spans import Span
from tl_geometry.tokens import encode
from tl_geometry.weight_applied import applied, applied_by_layer, bias_changes
from tl_geometry.weight_delta import Pair
from tl_geometry.weight_directions import has_post_norms, writers

PLANTED = 20


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_change_of_a_mean_is_the_mean_of_the_changes() -> None:
    delta, x, bias = random(48, 96), random(200, 96, seed=1), random(48, seed=2)
    expected = (x @ delta.T + bias).mean(0)
    torch.testing.assert_close(applied(delta, x.mean(0), bias), expected)
    with pytest.raises(ValueError, match="mean input is zero"):
        applied(torch.zeros(48, 96), torch.ones(96))


def test_a_layer_adds_what_its_matrices_add_and_nothing_unknown_is_left_out() -> None:
    written = {"o": random(48, 64), "down": torch.zeros(48, 96)}
    means = {"o": random(64, seed=1), "down": random(96, seed=2)}
    whole = applied_by_layer(written, means, {"down": torch.ones(48)})
    torch.testing.assert_close(whole, written["o"] @ means["o"] + 1)
    with pytest.raises(ValueError, match="what enters expert 0 down is not known"):
        applied_by_layer(written | {"expert 0 down": random(48, 96)}, means, {})
    with pytest.raises(ValueError, match="zero or not finite"):
        applied_by_layer({"down": written["down"]}, means, {})


@pytest.mark.parametrize(
    ("family", "o", "down"),
    [
        ("llama", "self_attn.o_proj", "mlp.down_proj"),
        ("gpt2", "attn.c_proj", "mlp.c_proj"),
        ("opt", "self_attn.out_proj", "fc2"),
        ("pythia", "attention.dense", "mlp.dense_4h_to_h"),
    ],
)
def test_what_is_added_is_what_the_modules_put_out_more(
    family: str, o: str, down: str, tmp_path: Path
) -> None:
    """By modules of both models, given the same inputs: biases and stored orientation too."""
    plain = tiny(family).plain
    plain.save_pretrained(tmp_path / "base")
    tensors = load_file(tmp_path / "base" / "model.safetensors")
    (tmp_path / "tuned").mkdir()
    shaken = {n: t + 0.1 * random(*t.shape, seed=i) for i, (n, t) in enumerate(tensors.items())}
    config = (tmp_path / "base" / "config.json").read_text()
    (tmp_path / "tuned" / "config.json").write_text(config)
    save_file(shaken, tmp_path / "tuned" / "model.safetensors", metadata={"format": "pt"})
    tuned: Any = type(plain).from_pretrained(tmp_path / "tuned")
    pair = Pair(*(read_checkpoint(tmp_path / name) for name in ("base", "tuned")))
    biases = bias_changes(pair)
    assert set(biases) == ({(k, c) for k in range(5) for c in ("o", "down")} if family != "llama"
                           else set())  # fmt: skip
    _, written = next(iter(writers(pair)))
    for component, name in (("o", o), ("down", down)):
        modules = [
            next(m for n, m in model.named_modules() if n.endswith(f".0.{name}"))
            for model in (plain, tuned)
        ]
        x = random(30, written[component].shape[1])
        with torch.no_grad():
            before, after = (module(x).mean(0) for module in modules)
        added = applied(written[component], x.mean(0), biases.get((0, component)))
        torch.testing.assert_close(added, after - before, atol=1e-5, rtol=1e-4)


@pytest.fixture(scope="module")
def said() -> tuple[Any, list[Said]]:
    model = load_model("pocket-llama-base")
    texts = ["The old lamp by the well", "A baker told the child that", "At night the hen"]
    return model, [Said(tuple(ids[:3]), tuple(ids[3:])) for ids in encode(model, texts)]


@pytest.mark.parametrize(
    ("component", "stem"), [("o", "self_attn.o_proj"), ("down", "mlp.down_proj")]
)
def test_a_planted_rank_one_edit_points_where_it_was_planted(
    component: str, stem: str, said: tuple[Any, list[Said]], tmp_path: Path
) -> None:
    """Amid noise on every weight, a hundredth of what the matrix has itself."""
    model, texts = said
    base = open_checkpoint("pocket-llama-base")
    tensors = load_file(base.folder / "model.safetensors")
    name = f"model.layers.{PLANTED}.{stem}.weight"
    shaken = {
        n: t.float() + 0.01 * t.float().std() * random(*t.shape, seed=i)
        for i, (n, t) in enumerate(tensors.items())
    }
    u, v = (random(n, seed=k) for k, n in enumerate(tensors[name].shape))
    shaken[name] = shaken[name] + torch.outer(u / u.norm(), v / v.norm())
    (tmp_path / "config.json").write_text((base.folder / "config.json").read_text())
    save_file(shaken, tmp_path / "model.safetensors", metadata={"format": "pt"})
    names = {
        f"{layer}|{which}": hook
        for layer in range(model.cfg.n_layers)
        for which, hook in write_inputs(model, layer).items()
    }
    means = means_at(model, texts, Span("response"), names)
    cosines = {
        (layer, which): abs(
            float(torch.cosine_similarity(applied(delta, means[f"{layer}|{which}"]), u, dim=0))
        )
        for layer, written in writers(Pair(base, read_checkpoint(tmp_path)))
        for which, delta in written.items()
    }
    assert cosines.pop((PLANTED, component)) >= 0.9
    assert len(cosines) == 2 * model.cfg.n_layers - 1 and max(cosines.values()) < 0.6


def test_families_that_normalise_what_they_write_are_told(tmp_path: Path) -> None:
    for family, there in (("gemma2", True), ("llama", False)):
        tiny(family).plain.save_pretrained(tmp_path / family)
        assert has_post_norms(read_checkpoint(tmp_path / family), 0) == there
