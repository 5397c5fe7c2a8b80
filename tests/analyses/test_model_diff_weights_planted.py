"""`weights` on what was made by hand: a planted change, no change, adapters, a spread."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_runs import frame, save_checkpoint
from weights_runs import program

from figures.rows import select


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    """A tiny model, and itself with noise everywhere and one rank-one edit of layer 5's down."""
    base = save_checkpoint(tmp_path_factory.mktemp("planted") / "base")
    tuned = base.with_name("tuned")
    shutil.copytree(base, tuned)
    weights = load_file(base / "model.safetensors")
    generator = torch.Generator().manual_seed(0)
    for name, tensor in weights.items():
        weights[name] = tensor + 1e-4 * torch.randn(tensor.shape, generator=generator)
    name = "model.layers.5.mlp.down_proj.weight"
    out, inside = (torch.randn(n, generator=generator) for n in weights[name].shape)
    weights[name] = weights[name] + 0.05 * torch.outer(out, inside)
    save_file(weights, tuned / "model.safetensors", metadata={"format": "pt"})
    return base, out


def test_a_planted_rank_one_edit_is_found_at_its_layer(
    planted: tuple[Path, torch.Tensor], tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    base, out = planted
    start = program(
        "--model", base.with_name("tuned"), "--base", base, "--step", "logit_lens", "--run", "p",
        out=tmp_path, caplog=caplog, capsys=capsys,
    )  # fmt: skip
    assert start.status == 0
    found = load_file(tmp_path / "p" / "weights" / "artifacts" / "directions.safetensors")
    cosines = torch.cosine_similarity(found["down 0"], out[None]).abs()
    assert cosines.argmax() == 5 and cosines[5] >= 0.9
    assert cosines[[0, 1, 2, 3, 4, 6, 7]].max() < 0.7
    norms = select(frame(tmp_path / "p", "norms"), component="down")
    assert norms.set_index("layer")["norm"].idxmax() == 5
    energy = select(frame(tmp_path / "p", "directions"), kind="down 0").set_index("layer")
    out_of_noise = energy["energy"] > 1.5 * energy["noise"]
    assert out_of_noise[out_of_noise].index.tolist() == [5]
    assert "5 (" in json.loads((tmp_path / "p" / "summary.json").read_text())["headline"][0]


def test_a_model_and_itself_have_no_direction_and_say_so(
    planted: tuple[Path, torch.Tensor], tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    base, _ = planted
    same = base.with_name("same")
    if not same.exists():
        shutil.copytree(base, same)
    start = program(
        "--model", same, "--base", base, "--step", "logit_lens", "--run", "same",
        out=tmp_path, caplog=caplog, capsys=capsys,
    )  # fmt: skip
    assert start.status == 3  # what is missing is missing
    assert set(frame(tmp_path / "same", "norms")["norm"]) == {0.0}
    missing = frame(tmp_path / "same", "missing")
    assert len(missing) == 8 * 3 and missing["reason"].str.contains("zero").all()
    assert "no component changed" in start.out


def test_adapters_in_folders_of_one_name_make_two_runs(tmp_path: Path) -> None:
    """And one adapter is one run, wherever its folder is."""
    from analyses.model_diff import Weights
    from analyses.model_diff.weights_plan import make_weights_plan

    def keyed(place: str, alpha: int, value: float) -> str:
        folder = tmp_path / place / "lora"
        folder.mkdir(parents=True)
        config = {"peft_type": "LORA", "r": 1, "lora_alpha": alpha}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        save_file({"a": torch.full((1, 4), value)}, folder / "adapter_model.safetensors")
        plan = make_weights_plan(Weights(adapter=str(folder), step="norms", out=tmp_path))
        assert plan.spec.key[:8] in plan.folder.name
        return plan.spec.key

    keys = [keyed("one", 8, 1.0), keyed("weights", 8, 2.0), keyed("settings", 9, 1.0)]
    assert len(set(keys)) == 3 and keyed("moved", 8, 1.0) == keys[0]


@pytest.mark.parametrize(
    ("wide", "inner", "verdict"),
    [
        ((0.20, 0.46), (0.22, 0.44), "undecided"),  # not seen to differ, and not seen not to
        ((0.30, 0.37), (0.31, 0.36), "evenly spread"),
        ((0.34, 0.38), (0.345, 0.375), "evenly spread"),  # above the uniform share, by little
        ((0.34, 0.50), (0.35, 0.48), "concentrated"),
        ((0.20, 0.31), (0.21, 0.30), "less"),
        ((float("nan"),) * 2, (float("nan"),) * 2, "undecided"),
    ],
)
def test_no_concentration_seen_is_not_yet_an_even_spread(
    wide: tuple[float, float], inner: tuple[float, float], verdict: str
) -> None:
    from analyses.model_diff.weights_tables import MARGIN, spread
    from tl_geometry.bootstrap import Interval
    from tl_geometry.weight_statistics import MiddleShare

    ends = [Interval(0.33, *e, level, 7, "BCa") for e, level in ((wide, 0.95), (inner, 0.9))]
    found = MiddleShare(ends[0], ends[1], 1 / 3, (11, 21), 0.5)
    assert spread(found, MARGIN) == verdict
