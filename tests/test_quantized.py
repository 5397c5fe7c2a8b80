"""Quantised models on a CPU: really quantised, close to the original, and usable throughout."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tokenizer
from transformers import FalconConfig, Phi3Config

from tl_geometry import models, sites
from tl_geometry.catalogue import resolve
from tl_geometry.conformance.checks import CHECKS, run_check
from tl_geometry.conformance.reading import rows_alone
from tl_geometry.conformance.subject import subject
from tl_geometry.interventions import edited
from tl_geometry.models import check_loadable, load_model

SCHEMES = ("int8", "nf4", "int8-torchao")
NAME = "pocket-mistral"
# What bitsandbytes and torchao say about CPUs and about their own deprecated calls.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", params=SCHEMES)
def quantized(request: pytest.FixtureRequest) -> Any:
    model: Any = load_model(NAME, quantization=request.param)
    model.scheme = request.param
    return model


def _weight(model: Any) -> Any:
    return model.original_model.get_parameter(
        next(n for n, _ in model.original_model.named_parameters() if "v_proj" in n)
    )


def test_the_weights_are_really_quantised(quantized: Any) -> None:
    weight = _weight(quantized)
    if quantized.scheme == "int8-torchao":
        assert "Int8" in type(weight.data).__name__ or "Int8" in type(weight).__name__
    else:
        assert weight.dtype in (torch.int8, torch.uint8)


def test_logits_are_close_to_those_of_full_precision_and_not_equal(
    quantized: Any, pocket: Any
) -> None:
    ids = torch.arange(300, 340)[None]
    with torch.inference_mode():
        exact = pocket(ids, attention_mask=torch.ones_like(ids)).float()
        got = quantized(ids, attention_mask=torch.ones_like(ids)).float()
    cosine = torch.cosine_similarity(got, exact, dim=-1)
    assert 0.9 < float(cosine.mean()) < 1 - 1e-7


def test_a_quantised_model_conforms_within_16_bit(quantized: Any) -> None:
    results = [run_check(check, subject(quantized)) for check in CHECKS]
    assert not [result for result in results if result.status == "failed"]
    # Only LLM.int8 may mix rows; where its limit is reached depends on the machine.
    if quantized.scheme != "int8":
        assert "rows alone" not in {result.check for result in results if result.status == "limit"}


def test_rows_that_leak_are_found_in_a_quantised_model(quantized: Any) -> None:
    with edited(quantized, {sites.resid_post(31): lambda x: x + 0.5 * x[:1]}):
        assert rows_alone(subject(quantized)).status == "failed"


def test_the_first_analysis_runs_on_it(quantized: Any, tmp_path: Path) -> None:
    from analyses.homeostasis.config import Config
    from analyses.homeostasis.experiment import run

    scheme = quantized.scheme
    config = Config(models=(NAME,), limit=4, resamples=100, out=tmp_path, quantization=scheme)
    done = run(config, quantized)
    layers = (done.folder / "tables" / "layers.csv").read_text()
    assert "patched" in layers and scheme in (done.folder / "spec.json").read_text()


def _folder(tmp_path: Path, config: Any) -> str:
    config.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    return str(tmp_path)


SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 300}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_fused_matrices_cannot_be_quantised_and_the_reason_is_given(
    tmp_path: Path, scheme: str
) -> None:
    config = Phi3Config(**SHAPE, pad_token_id=0, intermediate_size=32)
    spec = resolve(_folder(tmp_path, config))
    with pytest.raises(ValueError, match="qkv_proj.*cannot be split"):
        check_loadable(spec, scheme)
    check_loadable(spec, None)


def test_falcon_s_new_architecture_is_refused_by_name_of_the_reason(tmp_path: Path) -> None:
    config = FalconConfig(**SHAPE, new_decoder_architecture=True, num_kv_heads=2)
    config.architectures = ["FalconForCausalLM"]
    folder = _folder(tmp_path, config)
    with pytest.raises(ValueError, match="new decoder architecture.*silently wrong"):
        load_model(folder)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "find_spec", lambda name: None)
    for scheme in SCHEMES:
        with pytest.raises(ValueError, match=r"pip install 'tl-geometry\[quantization\]'"):
            load_model(NAME, quantization=scheme)


def test_several_gpus_are_left_to_accelerate() -> None:
    options = models.loading_options("auto", "bfloat16", None)
    assert options["device_map"] == "auto" and options["dtype"] is torch.bfloat16
    assert "device_map" not in models.loading_options("cpu", None, None)
    assert models.loading_options("cuda", None, "nf4")["device_map"] == "cuda"
    assert models.chosen_device("auto") == "auto"
    spread = load_model(NAME, device="auto")
    assert spread.cfg.n_layers == 32
