import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from tl_geometry.catalogue import MODELS, ModelSpec, identity, is_pocket, resolve
from tl_geometry.listing import cached
from tl_geometry.models import Model, load_model, random_model, torch_dtype


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="pocket-mistral"):
        resolve("pocket-mistrl")


def test_a_folder_needs_a_config(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no config.json"):
        resolve(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    spec = resolve(str(tmp_path))
    assert spec.local and spec.name == tmp_path.name


def test_a_hub_id_needs_no_row() -> None:
    spec = resolve("some-owner/Some-Model-7B", revision="abc")
    assert (spec.source, spec.revision, spec.local) == ("some-owner/Some-Model-7B", "abc", False)


def test_an_unreachable_hub_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="cannot read the configuration of nobody/no-such-model"):
        load_model("nobody/no-such-model")
    with pytest.raises(ValueError, match="cannot read the configuration"):
        identity(resolve("nobody/no-such-model"))


def test_a_broken_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{not json")
    with pytest.raises(ValueError, match="cannot read the configuration"):
        load_model(str(tmp_path))
    with pytest.raises(ValueError, match="no .*safetensors"):
        identity(resolve(str(tmp_path)))


def test_base_and_instruct_name_each_other() -> None:
    for name, spec in MODELS.items():
        assert spec.name == name
        if spec.instruct:
            assert MODELS[spec.instruct].base == name
        if spec.base:  # of several fine-tunes of one base, the base names its own family's
            chosen = MODELS[spec.base].instruct
            assert chosen is not None and MODELS[chosen].base == spec.base
    assert MODELS["pocket-mistral-base"].instruct == "pocket-mistral"
    assert MODELS["pocket-zephyr"].base == "pocket-mistral-base"


def test_the_table_holds_the_models_of_the_plans_and_no_layer_count() -> None:
    sources = {spec.source for spec in MODELS.values()}
    for needed in (
        "mistralai/Mistral-7B-Instruct-v0.3", "mistralai/Mistral-Small-24B-Instruct-2501",
        "HuggingFaceH4/zephyr-7b-beta", "meta-llama/Llama-3.1-8B", "Qwen/Qwen1.5-7B-Chat",
        "Qwen/Qwen-7B-Chat", "Qwen/Qwen2.5-32B-Instruct", "google/gemma-2-27b-it",
        "tiiuae/falcon-7b-instruct", "microsoft/Phi-3-medium-128k-instruct",
    ):  # fmt: skip
        assert needed in sources
    assert not any("layer" in field for field in ModelSpec.__dataclass_fields__)


def test_the_listing_says_what_is_here_and_what_is_needed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import runpy

    from huggingface_hub import constants

    # Whoever runs this may have any of the models: here the cache holds none.
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.warns(RuntimeWarning):  # the module is imported already
        runpy.run_module("tl_geometry.models", run_name="__main__")
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert set(MODELS) <= set(lines)
    assert " yes " in lines["pocket-mistral"] and "1.3M" in lines["pocket-mistral"]
    assert " no " in lines["gemma-2-9b"] and "gated" in lines["gemma-2-9b"]
    assert "18.5" in lines["gemma-2-9b"], "GB of 9.24 billion parameters in 16 bit"


def test_weights_of_the_hub_s_cache_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    snapshot = tmp_path / "models--openai-community--gpt2" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    refs = tmp_path / "models--openai-community--gpt2" / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert not cached(MODELS["gpt2"]), "a configuration alone is no model"
    (snapshot / "model.safetensors").write_text("")
    assert cached(MODELS["gpt2"])


def test_the_dtype_follows_the_device_unless_named() -> None:
    assert torch_dtype(None, "cpu") is torch.float32
    assert torch_dtype(None, "cuda") == "auto"
    assert torch_dtype("bfloat16", "cpu") is torch.bfloat16
    with pytest.raises(ValueError, match="float32, bfloat16, float16"):
        torch_dtype("float8", "cpu")


def test_an_unknown_quantization_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(ValueError, match="none, int8, nf4"):
        load_model("pocket-mistral", quantization="int3")


def test_the_pocket_model_is_a_model_with_shared_untouched_weights(pocket: Any) -> None:
    from transformers import AutoModelForCausalLM

    assert isinstance(pocket, Model)
    spec = resolve("pocket-mistral")
    assert is_pocket(spec) and not is_pocket(resolve("mistral-7b"))
    plain = AutoModelForCausalLM.from_pretrained(spec.source, dtype=torch.float32)
    ids = torch.tensor([[1, 20, 30, 40, 50, 60]])
    with torch.inference_mode():
        expected, got = plain(ids).logits, pocket(ids, attention_mask=torch.ones_like(ids))
    torch.testing.assert_close(got, expected, atol=1e-4 * float(expected.abs().max()), rtol=0)
    assert pocket.cfg.n_layers == 32


def test_the_bridge_s_copy_of_the_tokenizer_gives_the_same_ids(pocket: Any) -> None:
    from transformers import AutoTokenizer

    from tl_geometry.tokens import encode

    text = "A man baked some bread and gave it to the child."
    original = AutoTokenizer.from_pretrained(resolve("pocket-mistral").source)
    assert encode(pocket, [text])[0] == original(text)["input_ids"]


def test_the_identity_of_a_folder_is_the_hash_of_its_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    expected = "sha256:" + hashlib.sha256(b"weights").hexdigest()
    assert identity(resolve(str(tmp_path))).revision == expected


def test_a_random_model_has_the_shape_but_not_the_weights(pocket: Model) -> None:
    one, again, other = (random_model("pocket-mistral", seed=seed) for seed in (0, 0, 1))
    assert one.cfg.n_layers == pocket.cfg.n_layers and one.cfg.d_model == pocket.cfg.d_model
    ids = torch.arange(3, 20)[None]
    logits = [model(ids) for model in (one, again, other, pocket)]
    assert torch.equal(logits[0], logits[1])
    assert not torch.allclose(logits[0], logits[2], atol=1e-2)
    assert logits[0].std() < 0.5 * logits[3].std()  # nothing is learned: nearly flat


def test_making_a_random_model_leaves_the_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    random_model("pocket-falcon")
    assert torch.equal(torch.rand(3), expected)
