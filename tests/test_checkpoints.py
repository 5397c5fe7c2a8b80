"""Weights read from files are those of the model, component by component, in every family."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from small_runs import N_LAYERS, save_checkpoint
from tiny import FAMILIES, GROUPED, SMALL, tiny
from transformers import AutoModelForCausalLM

from tl_geometry import checkpoints
from tl_geometry.checkpoints import Checkpoint, open_checkpoint, read_checkpoint

LAYER = 2


def saved(folder: Path, model: Any) -> Checkpoint:
    model.save_pretrained(folder)
    return read_checkpoint(folder)


def matrix(checkpoint: Checkpoint, component: str, layer: int = LAYER) -> torch.Tensor:
    (part,) = (p for p in checkpoint.parts if (p.layer, p.component) == (layer, component))
    return part.of(checkpoint.tensor(part.name))


def made(class_name: str, options: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, class_name)(**options)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_known_whole(family: str, tmp_path: Path) -> None:
    checkpoint = saved(tmp_path, tiny(family).plain)
    assert checkpoint.n_layers == SMALL["num_hidden_layers"]
    assert "other" not in {part.component for part in checkpoint.parts}
    inside = {part.component for part in checkpoint.parts if part.layer == LAYER}
    assert {"q", "k", "v", "o"} <= inside
    assert inside & {"down", "expert 3 down"}
    assert {part.name for part in checkpoint.parts} == set(checkpoint.names)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_cut_as_the_bridge_cuts_it(family: str, tmp_path: Path) -> None:
    checkpoint, attention = saved(tmp_path, tiny(family).plain), tiny(family).bridge.blocks[LAYER]
    for component in "qkv":
        by_head = getattr(attention.attn, f"W_{component.upper()}")  # head d d_head
        expected = by_head.transpose(1, 2).flatten(0, 1)
        torch.testing.assert_close(matrix(checkpoint, component), expected.detach())
    expected = attention.attn.W_O.flatten(0, 1).T
    torch.testing.assert_close(matrix(checkpoint, "o"), expected.detach())


@pytest.mark.parametrize(
    "options",
    [
        {"multi_query": True},
        {"multi_query": False},
        {"new_decoder_architecture": True, "num_kv_heads": 2},
    ],
    ids=["one key", "interleaved", "grouped"],
)
def test_falcon_is_cut_as_its_own_code_does_it(options: dict[str, Any], tmp_path: Path) -> None:
    model = made("FalconConfig", SMALL | options)
    checkpoint = saved(tmp_path, model)
    attention = model.transformer.h[LAYER].self_attention
    x = torch.randn(1, 3, SMALL["hidden_size"])
    queries, keys, values = attention._split_heads(attention.query_key_value(x))
    for component, expected in (("q", queries), ("k", keys), ("v", values)):
        ours = (x @ matrix(checkpoint, component).T).unflatten(-1, (-1, 12))
        # The new architecture repeats keys and values for each query of their group.
        repeated = ours.repeat_interleave(expected.shape[2] // ours.shape[2], dim=2)
        torch.testing.assert_close(repeated, expected.detach())


def test_gate_and_up_are_cut_as_the_model_does_it(tmp_path: Path) -> None:
    model = made("Phi3Config", GROUPED)
    checkpoint, mlp = saved(tmp_path, model), model.model.layers[LAYER].mlp
    x = torch.randn(4, GROUPED["hidden_size"])
    gate, up = (x @ matrix(checkpoint, name).T for name in ("gate", "up"))
    ours = (up * mlp.activation_fn(gate)) @ matrix(checkpoint, "down").T
    torch.testing.assert_close(ours, mlp(x).detach())


def test_gpt2_is_turned_round(tmp_path: Path) -> None:
    model = made("GPT2Config", SMALL)
    checkpoint, mlp = saved(tmp_path, model), model.transformer.h[LAYER].mlp
    x = torch.randn(4, SMALL["hidden_size"])
    ours = x @ matrix(checkpoint, "up").T + matrix(checkpoint, "up bias")
    torch.testing.assert_close(ours, mlp.c_fc(x).detach())
    assert matrix(checkpoint, "down").shape == (48, 192)


def test_experts_are_components_of_their_own(tmp_path: Path) -> None:
    model = made("MixtralConfig", GROUPED | {"num_local_experts": 4})
    checkpoint = saved(tmp_path, model)
    experts = model.model.layers[LAYER].mlp.experts
    gate, up = experts.gate_up_proj[3].detach().chunk(2)
    torch.testing.assert_close(matrix(checkpoint, "expert 3 gate"), gate)
    torch.testing.assert_close(matrix(checkpoint, "expert 3 up"), up)
    torch.testing.assert_close(matrix(checkpoint, "expert 3 down"), experts.down_proj[3].detach())
    assert matrix(checkpoint, "router").shape == (4, 48)


def test_shards_are_one_checkpoint(tmp_path: Path) -> None:
    whole = saved(tmp_path / "whole", tiny("llama").plain)
    tiny("llama").plain.save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    shards = read_checkpoint(tmp_path / "shards")
    assert set(shards.names) == set(whole.names)
    assert [part.layer for part in shards.parts] == [part.layer for part in whole.parts]
    for name in whole.names:
        assert torch.equal(shards.tensor(name), whole.tensor(name))
    next((tmp_path / "shards").glob("*.safetensors")).unlink()
    with pytest.raises(ValueError, match="lacks model-.*complete the download"):
        read_checkpoint(tmp_path / "shards")


def test_an_embedded_model_is_read_by_its_short_name(pocket: Any) -> None:
    checkpoint = open_checkpoint("pocket-mistral")
    assert checkpoint.name == "pocket-mistral" and checkpoint.n_layers == 32
    weight = matrix(checkpoint, "o", 7)
    assert weight.dtype == torch.float32 and checkpoint.stored["norm.weight"].dtype == "F16"
    torch.testing.assert_close(weight, pocket.blocks[7].attn.W_O.flatten(0, 1).T.detach())


def test_a_hub_id_fetches_weights_and_configuration_of_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = save_checkpoint(tmp_path), []

    def fetched(source: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((source, revision, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    checkpoint = open_checkpoint("owner/name", revision="step1000")
    assert checkpoint.name == "name@step1000" and checkpoint.n_layers == N_LAYERS
    assert asked == [("owner/name", "step1000", list(checkpoints.PATTERNS))]
    with pytest.raises(ValueError, match="is a folder, which has no revision 'step1000'"):
        open_checkpoint(str(folder), revision="step1000")


def test_what_is_not_known_is_listed(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path)
    extra = {
        "model.layers.1.memory.weight": torch.ones(2),
        "vision.layers.0.q.weight": torch.ones(2),
    }
    save_file(load_file(folder / "model.safetensors") | extra, folder / "model.safetensors")
    others = [part for part in read_checkpoint(folder).parts if part.component == "other"]
    assert [(part.name, part.layer) for part in others] == [
        ("layers.1.memory.weight", 1),
        ("vision.layers.0.q.weight", None),
    ]


def test_folders_that_hold_no_weights_say_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no readable config.json"):
        read_checkpoint(tmp_path)
    folder = save_checkpoint(tmp_path)
    (folder / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="lacks model.safetensors"):
        read_checkpoint(folder)


def test_whole_numbers_and_contradictions_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, tiny("phi3").plain).folder
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"] = torch.ones(3, dtype=torch.uint8)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ValueError, match="stored as U8"):
        read_checkpoint(folder).tensor("lm_head.weight")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_key_value_heads": 1}))
    with pytest.raises(ValueError, match="qkv_proj.weight has 128 rows"):
        _ = read_checkpoint(folder).parts
    save_file(tensors | {"norm.weight": torch.ones(48)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match="norm.weight twice"):
        read_checkpoint(folder)
