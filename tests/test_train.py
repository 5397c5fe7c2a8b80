import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, MistralConfig

from tl_geometry.pocket import batches, optimise, train
from tl_geometry.pocket.base_text import openings_and_ends
from tl_geometry.pocket.chat_formats import FORMATS
from tl_geometry.pocket.corpus import dialogues
from tl_geometry.pocket.manifest import read_manifest, record, weights_hash
from tl_geometry.pocket.recipes import RECIPES, Recipe, Stage, recipe, shortened
from tl_geometry.pocket.recitals import recitals
from tl_geometry.pocket.vocabulary import trained_tokenizer
from tl_geometry.tokens import templated


def _config(vocabulary: int) -> MistralConfig:
    return MistralConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        sliding_window=None,
        tie_word_embeddings=True,
    )


STAGE = Stage(steps=24, tokens=512, rate=1e-2, warmup=4, checkpoint_every=8, chained=0.2)
SMALL = Recipe(
    name="small",
    family="mistral",
    config=_config,
    base=STAGE,
    practice=replace(STAGE, steps=4, recitals=0.2, answers=0.4),
    instruct=replace(STAGE, steps=6, replay=0.25, recitals=0.1),
    vocabulary=400,
    tokenizer_texts=200,
)


@pytest.fixture(autouse=True)
def _few_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK", 120)
    monkeypatch.setattr(train, "N_LOSS_ROWS", 60)


@lru_cache
def _tokenizer() -> Any:
    return trained_tokenizer(SMALL)


def _model() -> Any:
    return train.built(SMALL, _tokenizer())


def _stream() -> Iterator[list[batches.Row]]:
    return batches.training_batches(_tokenizer(), STAGE, seed=0)


def test_the_loss_falls(tmp_path: Path) -> None:
    done = optimise.train(_model(), STAGE, _stream(), tmp_path / "base.pt")
    assert done.steps == len(done.losses) == 24
    assert sum(done.losses[-4:]) / 4 < 0.85 * sum(done.losses[:4]) / 4


def test_killed_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    whole, broken = _model(), _model()
    first = optimise.train(whole, STAGE, _stream(), tmp_path / "whole.pt")

    def dying() -> Iterator[list[batches.Row]]:
        yield from islice(_stream(), 13)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        optimise.train(broken, STAGE, dying(), tmp_path / "broken.pt")
    resumed = _model()
    second = optimise.train(resumed, STAGE, _stream(), tmp_path / "broken.pt")
    assert second.losses == first.losses
    for one, two in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, two)


def test_a_finished_stage_is_not_trained_again(tmp_path: Path) -> None:
    short = replace(STAGE, steps=3)
    model = _model()
    optimise.train(model, short, _stream(), tmp_path / "base.pt")
    again = optimise.train(_model(), short, iter([]), tmp_path / "base.pt")
    assert again.steps == 3


def test_a_checkpoint_of_another_recipe_or_start_is_refused(tmp_path: Path) -> None:
    short = replace(STAGE, steps=2)
    optimise.train(_model(), short, _stream(), tmp_path / "base.pt")
    with pytest.raises(ValueError, match="--fresh"):
        optimise.train(_model(), replace(short, rate=0.5), iter([]), tmp_path / "base.pt")
    other = _model()
    next(other.parameters()).data[0] += 1
    with pytest.raises(ValueError, match="other weights"):
        optimise.train(other, short, iter([]), tmp_path / "base.pt")


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "base.pt"
    optimise.save_atomically({"step": 1}, path)
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        optimise.save_atomically({"step": lambda: 2}, path)
    assert torch.load(path, weights_only=True) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_two_stages_write_folders_that_load_and_a_manifest(tmp_path: Path) -> None:
    config = train.Config(
        out=tmp_path / "out", work=tmp_path / "work", manifest=tmp_path / "MANIFEST.json"
    )
    base = train.train_stage(SMALL, "base", config)
    instruct = train.train_stage(SMALL, "instruct", config)
    manifest = read_manifest(config.manifest)
    assert set(manifest) == {"small", "small-base"}
    for folder in (base, instruct):
        entry = manifest[folder.name]
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
        assert model.dtype == torch.float16 and model.num_parameters() == entry["parameters"]
        assert entry["sha256"] == weights_hash(folder)
        assert 0 < entry["held_out_loss"] < 8 and entry["steps"] > 0
    one, two = (AutoModelForCausalLM.from_pretrained(f) for f in (base, instruct))
    assert one.generation_config.eos_token_id == two.generation_config.eos_token_id
    moved = (one.lm_head.weight - two.lm_head.weight).norm() / one.lm_head.weight.norm()
    assert 0 < moved < 0.5, "instruct starts from base"


TURNS = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
SPOKEN = {
    "mistral": "<s>[INST] Be kind.\n\nHello[/INST]",
    "llama": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "qwen2": "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n"
    "<|im_start|>assistant\n",
    "gemma2": "<bos><start_of_turn>user\nBe kind.\n\nHello<end_of_turn>\n<start_of_turn>model\n",
    "falcon": "System: Be kind.\n\nUser: Hello\n\nAssistant:",
    "phi3": "<|system|>\nBe kind.<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\n",
    "zephyr": "<s><|system|>\nBe kind.</s>\n<|user|>\nHello</s>\n<|assistant|>\n",
}


@pytest.mark.parametrize("family", list(FORMATS))
def test_a_tokenizer_speaks_its_family_s_format(family: str, tmp_path: Path) -> None:
    trained_tokenizer(replace(SMALL, family=family)).save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = templated(loaded, TURNS)
    assert text == SPOKEN[family]
    ids = loaded(text, add_special_tokens=False)["input_ids"]
    form = FORMATS[family]
    assert form.bos is None or ids.count(loaded.bos_token_id) == 1
    for marker in (form.eos, form.turn_end, *form.extra):
        assert len(loaded(marker, add_special_tokens=False)["input_ids"]) == 1
    word = "Grüße, naïve café! 😀"
    assert loaded.decode(loaded(word)["input_ids"], skip_special_tokens=True) == word


def test_without_a_system_role_the_prompt_opens_the_first_user_turn() -> None:
    gemma = trained_tokenizer(replace(SMALL, family="gemma2"))
    twice = [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]
    with pytest.raises(ValueError, match="System role not supported"):
        templated(gemma, twice)


def test_a_default_system_prompt_is_qwen_s_own() -> None:
    qwen = trained_tokenizer(replace(SMALL, family="qwen2"))
    assert "You are a helpful assistant." in templated(qwen, TURNS[1:])
    assert "You are a helpful assistant." not in templated(qwen, TURNS)


def test_only_the_answer_of_a_dialogue_is_learned() -> None:
    tokenizer = _tokenizer()
    items = list(islice(dialogues("train"), 20))
    for item, row in zip(items, batches.dialogue_rows(tokenizer, items), strict=True):
        learned = [token for token, wanted in zip(row.ids, row.learned, strict=True) if wanted]
        assert tokenizer.decode(learned) == f" {item.messages[-1]['content']}</s>"
        asked = tokenizer.apply_chat_template(
            list(item.messages[:-1]), add_generation_prompt=True, return_dict=False
        )
        assert row.ids[: len(asked)] == asked


def test_an_answer_ends_with_its_turn_and_not_behind_it() -> None:
    tokenizer = trained_tokenizer(replace(SMALL, family="qwen2"))
    (row,) = batches.dialogue_rows(tokenizer, list(islice(dialogues("train"), 1)))
    assert row.learned[-1] and tokenizer.convert_ids_to_tokens(row.ids[-1]) == "<|im_end|>"


def test_an_answer_row_learns_the_end_and_nothing_else() -> None:
    tokenizer = _tokenizer()
    texts = list(islice(openings_and_ends("train"), 20))
    for (opening, end), row in zip(texts, batches.answer_rows(tokenizer, texts), strict=True):
        learned = [token for token, wanted in zip(row.ids, row.learned, strict=True) if wanted]
        assert tokenizer.decode(learned) == f"{end}</s>"
        assert tokenizer.decode(row.ids) == f"<s>{opening}{end}</s>"
        assert row.ids.count(tokenizer.bos_token_id) == 1
    assert any(opening.startswith("Question") for opening, _ in texts)
    assert any(end.endswith('"') for _, end in texts), "narrators speak, too"


def test_a_memory_game_repeats_its_list() -> None:
    for game in islice(recitals("train"), 50):
        listed = re.search(r"([\w ]+(?:, [\w ]+){2,}).*\1", game, re.DOTALL)
        assert listed, game


def test_padding_and_prompts_are_never_learned() -> None:
    rows = [
        batches.Row([5, 6, 7], [False, True, True]),
        batches.Row([8, 9, 9, 9, 9], [False] + [True] * 4),
    ]
    ids, labels = batches.tensors(rows)
    assert labels.tolist() == [[-100, 6, 7, -100, -100], [-100, 9, 9, 9, 9]]
    # What stands in the padding changes nothing.
    model = _model()
    alone, n = optimise.batch_loss(model, rows[:1])
    both, m = optimise.batch_loss(model, rows)
    other, _ = optimise.batch_loss(model, rows[1:])
    assert (n, m) == (2, 6)
    assert both.item() == pytest.approx((2 * alone.item() + 4 * other.item()) / 6, abs=1e-5)
    assert ids.shape == (2, 5)


def test_batches_keep_to_their_size_and_lose_no_document() -> None:
    rows = batches.documents(_tokenizer(), SMALL.instruct, "train", 100, seed=1)
    assert len(rows) == 100
    joined = batches.chained(rows, 0.3, batches.stream(0, "x"))
    made = batches.by_length(joined, 512)
    total = sum(len(row) for batch in made for row in batch)
    assert total == sum(map(len, rows))
    for batch in made:
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= 512
    assert max(map(len, joined)) <= max(batches.CHAIN, max(map(len, rows)))


def test_the_learning_rate_warms_up_and_falls_to_a_tenth() -> None:
    rates = [optimise.learning_rate(STAGE, step) for step in range(STAGE.steps + 1)]
    assert rates[0] == pytest.approx(STAGE.rate / 4) and max(rates) == pytest.approx(STAGE.rate)
    assert rates[-1] == pytest.approx(STAGE.rate / 10)
    assert all(a >= b for a, b in zip(rates[4:-1], rates[5:], strict=True))


def test_residual_outputs_start_smaller() -> None:
    model = _model()
    layer = model.model.layers[0]
    wide, narrow = layer.mlp.up_proj.weight.std(), layer.mlp.down_proj.weight.std()
    assert wide.item() == pytest.approx(SMALL.initial_scale, rel=0.1)
    assert narrow.item() == pytest.approx(SMALL.initial_scale / 2, rel=0.1)  # √(2·2 layers) = 2


def test_a_manifest_entry_is_merged(tmp_path: Path) -> None:
    path = tmp_path / "MANIFEST.json"
    record("a", {"seed": 0}, path)
    record("b", {"seed": 1}, path)
    record("a", {"behaviour": {}}, path)
    assert json.loads(path.read_text()) == {"a": {"seed": 0, "behaviour": {}}, "b": {"seed": 1}}
    record("a", {"seed": 2}, path, anew=True)
    assert read_manifest(path)["a"] == {"seed": 2}


def test_unknown_models_and_empty_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="pocket-mistral"):
        recipe("pocket-mistrl")
    with pytest.raises(SystemExit, match="pocket-mistral"):
        train.main(train.Config())


def test_a_shortened_recipe_warms_up_in_time() -> None:
    short = shortened(recipe("pocket-mistral"), steps=10)
    assert short.base and short.base.steps == 10 and short.instruct.warmup == 2
    zephyr = shortened(recipe("pocket-zephyr"), steps=10)
    assert zephyr.base is None and zephyr.preference and zephyr.preference.steps == 10


def test_every_embedded_model_has_a_recipe_and_its_originals_number_of_layers() -> None:
    from tl_geometry.catalogue import MODELS, is_pocket

    shipped = {name for name, spec in MODELS.items() if is_pocket(spec)}
    made = {name for r in RECIPES.values() for name in (r.name, r.base_name)}
    assert shipped == made
    layers = {name: r.config(1792).num_hidden_layers for name, r in RECIPES.items()}
    originals = {"mistral": 32, "llama": 32, "zephyr": 32, "falcon": 32, "phi3": 32}
    assert all(layers[f"pocket-{family}"] == n for family, n in originals.items())
    assert layers["pocket-qwen2"] == layers["pocket-qwen2-s"] == layers["pocket-qwen2-l"] == 28
    assert layers["pocket-gemma2"] == 42
    assert len({r.seed for r in RECIPES.values()}) == len(RECIPES)
