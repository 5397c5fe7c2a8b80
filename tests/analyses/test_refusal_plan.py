"""What a sweep will do, before any weight is loaded: prompts, settings, the run's key."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from analyses.refusal.config import LOW_PRIORITY, Families, Verify
from analyses.refusal.experiment import executor_of
from analyses.refusal.plan import Plan, Prompts, make_plan, prompts
from analyses.refusal.presets import PRESETS, SEED
from analyses.refusal.verify import as_families
from tl_geometry.catalogue import identity, resolve, size_of
from tl_geometry.prompts import NeutralText, Request, load_neutral, load_requests

MODEL = "pocket-mistral"
BANKS = [("pocket_requests", "pocket_neutral"), ("requests", "neutral")]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(Families(models=(MODEL,)))


def key(**changes: Any) -> str:
    return make_plan(Families(**{"models": (MODEL,), **changes})).spec.key


# --- prompts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bank", "texts"), BANKS)
@pytest.mark.parametrize("config", [Families(), SEED], ids=["default", "seed"])
def test_prompts_of_different_purposes_are_disjoint(
    config: Families, bank: str, texts: str
) -> None:
    found = prompts(config, load_requests(bank), load_neutral(texts))
    apart = {"cosmic": found.cosmic, "selection": found.selection}
    apart |= {"search": found.search, "test": found.test}
    ids = [request.id for sides in apart.values() for side in sides for request in side]
    words = [request.text.lower() for sides in apart.values() for side in sides for request in side]
    assert len(set(ids)) == len(ids) == len(found.all) and len(set(words)) == len(words)
    for side in (0, 1):
        assert set(found.dim[side]) <= set(found.cosmic[side])
    texts_read = [text.text for text in found.neutral]
    assert not set(texts_read) & {request.text for request in found.all}
    assert len(set(texts_read)) == len(texts_read) > 1


@pytest.mark.parametrize(("bank", "texts"), BANKS)
def test_prompts_are_of_their_split_and_class_and_as_many_as_asked_for(
    bank: str, texts: str
) -> None:
    config = Families(limit=10, validation_prompts=13)
    found = prompts(config, load_requests(bank), load_neutral(texts))
    for group, split, n in (
        (found.dim, "train", 128),
        (found.cosmic, "train", 180),
        (found.selection, "validation", 32),
        (found.search, "validation", 13),
        (found.test, "test", 10),
    ):
        harmful, harmless = group
        assert len(harmful) == len(harmless) == n
        assert {r.split for r in (*harmful, *harmless)} == {split}
        assert all(r.harmful for r in harmful) and not any(r.harmful for r in harmless)


def small_bank(n: int) -> tuple[Request, ...]:
    return tuple(
        Request(f"{split}{side}{i}", f"{split} {side} {i}", side == "harmful", split)
        for split in ("train", "validation", "test")
        for side in ("harmful", "harmless")
        for i in range(n)
    )


SMALL = Families(
    dim_prompts=6, cosmic_prompts=4, selection_prompts=3, validation_prompts=3, test_prompts=6
)


def test_a_bank_that_is_just_large_enough_is_used_whole() -> None:
    found = prompts(SMALL, small_bank(6), (NeutralText("n", "a text"),))
    assert len(found.all) == 2 * 3 * 6
    assert set(found.cosmic[0]) < set(found.dim[0])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dim_prompts": 7}, "7 harmful requests of the train split are needed, .* has 6"),
        ({"cosmic_prompts": 7}, "7 harmful requests of the train split are needed, .* has 6"),
        ({"selection_prompts": 4}, "7 harmful requests of the validation split are needed"),
        ({"validation_prompts": 4}, "7 harmful requests of the validation split are needed"),
        ({"test_prompts": 7}, "7 harmful requests of the test split are needed, .* ask for fewer"),
    ],
)
def test_too_few_prompts_are_one_sentence(change: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        prompts(replace(SMALL, **change), small_bank(6), ())
    assert "\n" not in str(caught.value)


def test_a_class_that_is_short_is_named() -> None:
    bank = tuple(r for r in small_bank(6) if r.harmful or r.split != "test")
    with pytest.raises(ValueError, match="6 harmless requests of the test split .* has 0"):
        prompts(SMALL, bank, ())


def test_a_new_prompt_at_the_end_of_the_bank_moves_no_other() -> None:
    first = prompts(SMALL, small_bank(6), ())
    more = (*small_bank(6), Request("new", "one more", True, "validation"))
    assert prompts(SMALL, more, ()) == first


def test_embedded_models_have_requests_of_their_own_world(plan: Plan, checkpoint: Path) -> None:
    own, real = load_requests("pocket_requests"), load_requests("requests")
    assert set(plan.prompts.all) <= set(own)
    mixed = make_plan(Families(models=(MODEL, str(checkpoint))))
    assert set(mixed.prompts.all) <= set(real)
    assert set(mixed.prompts.neutral) == set(load_neutral("neutral"))
    given = make_plan(Families(models=(MODEL,), prompts="requests"))
    assert set(given.prompts.all) <= set(real)


# --- the key --------------------------------------------------------------------------------------

CHANGES: list[dict[str, Any]] = [
    {"models": ("pocket-llama",)},
    {"models": (MODEL, "pocket-llama")},
    {"methods": ("dim",)},
    {"depths": (0.2, 0.4)},
    {"low_depths": (0.5,)},
    {"doses": (0.02,)},
    {"dose_unit": "raw"},
    {"span": "everywhere"},
    {"tokens": "generated"},
    {"positions": 1},
    {"dim_prompts": 127},
    {"cosmic_prompts": 179},
    {"selection_prompts": 31},
    {"validation_prompts": 13},
    {"test_prompts": 49},
    {"limit": 10},
    {"new_tokens": 99},
    {"search_tokens": 39},
    {"screen_prompts": 3},
    {"screen_tokens": 17},
    {"kept_doses": 7},
    {"extra_depths": (0.35,)},
    {"extra_doses": (0.0374,)},
    {"fallback_depths": (0.1, 0.9)},
    {"fallback_doses": (0.01,)},
    {"one_round": True},
    {"random_directions": 4},
    {"seed": 1},
    {"dtype": "bfloat16"},
    {"quantization": "int8"},
    {"prompts": "requests"},
]
SAME: list[dict[str, Any]] = [
    {"device": "cpu"},
    {"dtype": "float32"},
    {"batch_size": 3},
    {"executor": "processes"},
    {"workers": 7},
    {"out": Path("elsewhere")},
    {"run": "mine"},
    {"skip_verification": True},
    {"fresh": True},
    {"export": ("svg",)},
    {"limit": 50},
    {"models": (MODEL, MODEL)},
    {"wandb": "project"},
    {"max_cost": 5.0, "hourly_rate": 1.1},
    {"max_total_cost": 5.0, "hourly_rate": 1.1},
    {"max_hours": 2.0},
]


@pytest.fixture(scope="module")
def plain() -> str:
    return key()


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: "-".join(change))
def test_every_setting_that_changes_a_number_changes_the_key(
    change: dict[str, Any], plain: str
) -> None:
    assert key(**change) != plain


@pytest.mark.parametrize("change", SAME, ids=lambda change: "-".join(change))
def test_what_changes_no_number_changes_no_key(change: dict[str, Any], plain: str) -> None:
    assert key(**change) == plain


def test_every_setting_was_asked_about() -> None:
    asked = {name for change in (*CHANGES, *SAME) for name in change}
    left = {field.name for field in fields(Families)} - asked
    assert left == {"revision", "resume", "skip", "dry_run", "preset"}


def test_a_word_of_a_request_and_the_weights_change_the_key(plain: str, plan: Plan) -> None:
    def with_prompts(act: Callable[[Prompts], Prompts]) -> str:
        return replace(plan, prompts=act(plan.prompts)).spec.key

    harmful, harmless = plan.prompts.test
    other = replace(harmless[0], text=harmless[0].text + " now")
    first, *rest = plan.prompts.neutral
    assert with_prompts(lambda p: p) == plain
    assert with_prompts(lambda p: replace(p, test=(harmful, (other, *harmless[1:])))) != plain
    changed = (replace(first, text="Another text."), *rest)
    assert with_prompts(lambda p: replace(p, neutral=changed)) != plain
    (model,) = plan.models
    assert replace(plan, models=(replace(model, revision="0" * 40),)).spec.key != plain


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"depths": (0.2, 1.0)}, r"depths \[1.0\] are outside 0"),
        ({"depths": (-0.1,)}, r"depths \[-0.1\] are outside 0"),
        ({"low_depths": (0.5, 1.5)}, r"depths \[1.5\] are outside 0"),
        ({"depths": (float("nan"),)}, r"depths \[nan\] are outside 0"),
        ({"depths": ()}, "--depths is empty: give at least one"),
        ({"low_depths": ()}, "--low-depths is empty"),
        ({"doses": ()}, "--doses is empty: give at least one"),
        ({"methods": ()}, "--methods is empty"),
        ({"doses": (0.1, -0.1)}, r"doses \[-0.1\]: a dose is above 0"),
        ({"doses": (0.0,)}, r"doses \[0.0\]: a dose is above 0"),
        ({"doses": (float("inf"),)}, r"doses \[inf\]: a dose is above 0"),
        ({"doses": (float("nan"),)}, r"doses \[nan\]: a dose is above 0"),
        ({"dim_prompts": 1}, "dim_prompts=1: a mean needs at least 2"),
        ({"cosmic_prompts": 1}, "cosmic_prompts=1"),
        ({"selection_prompts": 1}, "selection_prompts=1"),
        ({"test_prompts": 1}, "test_prompts=1"),
        ({"limit": 0}, "limit=0: at least 1 test prompt"),
        ({"limit": -3}, "limit=-3: at least 1 test prompt"),
        ({"validation_prompts": 0}, "validation_prompts=0: give at least 1"),
        ({"positions": 0}, "positions=0: give at least 1"),
        ({"new_tokens": 0}, "new_tokens=0"),
        ({"search_tokens": 0}, "search_tokens=0"),
        ({"screen_prompts": 0}, "screen_prompts=0: give at least 1"),
        ({"screen_tokens": 0}, "screen_tokens=0"),
        ({"kept_doses": 0}, "kept_doses=0"),
        ({"extra_depths": (0.3, 1.0)}, r"depths \[1.0\] are outside 0"),
        ({"fallback_depths": (-0.5,)}, r"depths \[-0.5\] are outside 0"),
        ({"extra_doses": (0.0,)}, r"doses \[0.0\]: a dose is above 0"),
        ({"fallback_doses": (-1.0,)}, r"doses \[-1.0\]: a dose is above 0"),
        ({"workers": 0}, "workers=0"),
        ({"random_directions": -1}, "random_directions=-1: give 0 or more"),
        ({"seed": -1}, "seed=-1"),
        ({"models": ()}, "no model is named"),
    ],
    ids=str,
)
def test_settings_that_no_model_makes_right_are_refused(
    change: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        make_plan(Families(**{"models": (MODEL,), **change}))
    assert "\n" not in str(caught.value)


def test_depths_at_both_ends_and_one_prompt_are_allowed() -> None:
    made = make_plan(Families(models=(MODEL,), depths=(0.0, 0.999), limit=1))
    assert made.models[0].reason == "" and len(made.prompts.test[1]) == 1


def test_depths_that_share_a_layer_leave_the_model_out_with_its_reason(checkpoint: Path) -> None:
    made = make_plan(Families(models=(MODEL, str(checkpoint)), depths=(0.5, 0.55)))
    deep, shallow = made.models  # 32 layers, and 8
    assert deep.size is not None and deep.reason == ""
    assert shallow.size is None and "with 8 layers, depths (0.5, 0.55) share" in shallow.reason


# --- the plan's models ----------------------------------------------------------------------------


def test_models_of_low_priority_get_the_low_depths(monkeypatch: pytest.MonkeyPatch) -> None:
    known = resolve(MODEL)
    size, named = size_of(known), identity(known)
    monkeypatch.setattr("analyses.requested.size_of", lambda _: size)
    monkeypatch.setattr("analyses.requested.identity", lambda _: named)
    made = make_plan(replace(SEED, models=(*SEED.models, MODEL)))
    depths = {model.name: made.config.depths_of(model.name) for model in made.models}
    assert all(model.size is not None for model in made.models)
    low = {name for name, given in depths.items() if given == (0.5, 0.6, 0.7)}
    assert low == set(LOW_PRIORITY) == {"llama-3-8b", "mistral-7b-v0.3"}
    assert {depths[name] for name in depths.keys() - low} == {(0.2, 0.4, 0.5, 0.6, 0.8)}


def test_the_seed_s_preset_has_the_plan_s_values() -> None:
    seed = PRESETS["families"]["seed"]
    assert seed.models == ("gemma-2-9b", "phi-3.5-mini", "llama-3-8b", "mistral-7b-v0.3")
    assert (seed.dim_prompts, seed.cosmic_prompts, seed.positions) == (5, 50, 1)
    assert (seed.dose_unit, seed.doses, seed.span) == ("unit", (15.0,), "to_end")
    assert seed.tokens == "all"
    assert (seed.new_tokens, seed.n_test) == (100, 50)
    assert (seed.methods, seed.depths) == (("dim", "cosmic"), (0.2, 0.4, 0.5, 0.6, 0.8))
    seed.check()


def test_the_seed_s_verification_is_of_qwen_at_depth_0_6() -> None:
    seed = PRESETS["verify"]["seed"]
    assert (seed.models, seed.depths) == (("qwen2.5-7b",), (0.6,))
    assert (seed.dose_unit, seed.doses, seed.span) == ("unit", (15.0,), "to_end")
    assert seed.tokens == "all"
    assert (seed.new_tokens, seed.n_test) == (100, 50)


def test_a_verification_is_the_sweep_at_one_depth() -> None:
    given = as_families(
        Verify(
            models=(MODEL,), depths=(0.3,), random_directions=3, doses=(0.1,), dim_prompts=9, seed=4
        )
    )
    assert (given.depths, given.low_depths, given.doses) == ((0.3,), (0.3,), (0.1,))
    assert (given.models, given.dim_prompts, given.seed) == ((MODEL,), 9, 4)
    assert given.random_directions == 3
    assert given.skip_verification and given.one_round
    with pytest.raises(ValueError, match="verification steers at one depth"):
        Verify(depths=(0.3, 0.4)).check()
    with pytest.raises(ValueError, match="COSMIC is what is verified"):
        Verify(methods=("dim",)).check()


def test_lists_take_commas_and_spaces() -> None:
    from analyses.refusal.__main__ import read

    commas = ["--depths", "0.4,0.6", "--methods", "dim,cosmic", "--doses=0.1,0.2"]
    spaces = ["--depths", "0.4", "0.6", "--methods", "dim", "cosmic", "--doses", "0.1", "0.2"]
    one, other = (read(["families", *given]) for given in (commas, spaces))
    assert one == other and isinstance(one, Families)
    assert (one.depths, one.doses) == ((0.4, 0.6), (0.1, 0.2))


# --- side by side ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "models", "executor"),
    [
        ({}, 7, "processes"),
        ({}, 3, "serial"),
        ({"workers": 1}, 7, "serial"),
        ({"device": "cuda"}, 7, "serial"),
        ({"executor": "serial"}, 7, "serial"),
        ({"executor": "ray"}, 1, "ray"),
    ],
)
def test_many_models_go_side_by_side_where_there_is_no_gpu(
    settings: dict[str, Any], models: int, executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = "analyses.refusal.experiment.chosen_device"
    monkeypatch.setattr(chosen, lambda device: device or "cpu")
    assert executor_of(Families(**settings), models) == executor
