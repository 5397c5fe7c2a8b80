"""What a checkpoint asks for of its own accord changes nothing, on the twin and on the bridge."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from tiny import tiny
from transformers import WatermarkingConfig

from tl_geometry import sites
from tl_geometry.generation import NEUTRAL, generate
from tl_geometry.interventions import edited
from tl_geometry.tokens import TokenBatch, encode, pad
from tl_geometry.twins import faithful_twin

NEW, OFTEN = 12, 108
"""`OFTEN` is the second row, to which the tiny model answers with it again and again."""
HABITS: dict[str, Any] = {
    "repetition_penalty": 5.0,
    "encoder_repetition_penalty": 5.0,
    "no_repeat_ngram_size": 1,
    "encoder_no_repeat_ngram_size": 1,
    "bad_words_ids": [[OFTEN]],
    "suppress_tokens": [OFTEN],
    "begin_suppress_tokens": [OFTEN],
    "sequence_bias": [[[OFTEN], -100.0]],
    "exponential_decay_length_penalty": (1, 9.0),
    "forced_eos_token_id": 5,
    "guidance_scale": 3.0,
    "watermarking_config": WatermarkingConfig(bias=20.0),
    "num_beams": 3,
    "do_sample": True,
    "max_time": 1e-9,
}


@pytest.fixture
def batch() -> TokenBatch:
    bridge = tiny("mistral").bridge
    a, b = encode(bridge, ["a", "a longer prompt of bytes"])
    return pad(bridge, [a, [bridge.tokenizer.bos_token_id, OFTEN, OFTEN], b])


@pytest.fixture
def config() -> Iterator[Any]:
    """The generation config of bridge and twin, as it was when the test ends."""
    config = tiny("mistral").bridge.original_model.generation_config
    before = config.to_dict()
    yield config
    for name, value in before.items():
        setattr(config, name, value)


def _said(batch: TokenBatch, route: str, **options: Any) -> list[list[int]]:
    bridge = tiny("mistral").bridge
    # A hook that is held sends generation to the bridge, even if it changes nothing.
    held = edited(bridge, {sites.resid_post(0): torch.clone}) if route == "bridge" else None
    with held or nullcontext():
        assert (faithful_twin(bridge) is None) == (route == "bridge")
        return generate(bridge, batch, max_new_tokens=NEW, **options).tolist()


def _by_habit(batch: TokenBatch) -> list[list[int]]:
    """What Hugging Face says if it is told nothing."""
    twin: Any = faithful_twin(tiny("mistral").bridge)
    torch.manual_seed(0)
    out = twin.generate(batch.ids, attention_mask=batch.mask, max_new_tokens=NEW)
    return out[:, batch.ids.shape[1] :].tolist()


@pytest.mark.parametrize("route", ["twin", "bridge"])
@pytest.mark.parametrize("habit", HABITS)
def test_a_checkpoint_s_habit_is_switched_off(
    batch: TokenBatch, config: Any, habit: str, route: str
) -> None:
    plain = _said(batch, "twin")
    assert plain == _by_habit(batch)
    setattr(config, habit, HABITS[habit])
    assert _by_habit(batch) != plain, "the habit would act"
    assert _said(batch, route) == plain


@pytest.mark.parametrize("route", ["twin", "bridge"])
def test_drawing_knows_no_habit_either(batch: TokenBatch, config: Any, route: str) -> None:
    def drawn() -> list[list[int]]:
        generator = torch.Generator().manual_seed(1)
        return _said(batch, route, temperature=2.0, generator=generator)

    plain = drawn()
    config.top_k, config.top_p, config.min_p, config.typical_p, config.top_h = 1, 0.1, 0.9, 0.1, 0.1
    config.epsilon_cutoff, config.eta_cutoff, config.temperature = 0.5, 0.5, 0.1
    assert drawn() == plain


@pytest.mark.parametrize("route", ["twin", "bridge"])
def test_without_ends_nothing_stops_early(batch: TokenBatch, config: Any, route: str) -> None:
    config.eos_token_id = OFTEN
    stopped = _said(batch, route)
    assert stopped[1] == [OFTEN] + [tiny("mistral").bridge.tokenizer.pad_token_id] * (NEW - 1)
    config.stop_strings = ["a"]  # nor is a string of the checkpoint's an end
    free = _said(batch, route, ends=())
    assert free[1] == [OFTEN] * NEW and free == _said(batch, "twin", ends=())


def test_a_checkpoint_s_shortest_answer_is_not_kept(batch: TokenBatch, config: Any) -> None:
    config.eos_token_id = OFTEN
    plain = _said(batch, "twin")
    config.min_new_tokens = NEW
    assert _by_habit(batch) != plain == _said(batch, "twin") == _said(batch, "bridge")


def test_every_neutral_setting_is_one_that_hugging_face_has(config: Any) -> None:
    assert set(NEUTRAL) <= set(config.to_dict())
