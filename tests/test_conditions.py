"""The answers are those of each condition alone; what is shared is shared, and nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny import ALL, tiny
from torch import Tensor

from tl_geometry.conditions import Condition, answers, shared_until_steered, to_their_ends
from tl_geometry.generation import generate, stop_ids
from tl_geometry.layered_steering import LayeredSteering
from tl_geometry.models import load_model
from tl_geometry.steering import Steering
from tl_geometry.tokens import TokenBatch, encode, encode_chat, pad
from tl_geometry.twins import decoder_blocks, twin_of

NEW = 6


def _conditions(model: Any, dose: float) -> list[Condition]:
    """Every span, every kind of positions, several depths, and the baseline."""
    n, d = model.cfg.n_layers, model.cfg.d_model
    vectors = dose * torch.randn(4, d, generator=torch.Generator().manual_seed(0))
    return [
        Condition(vectors[0], n // 2),
        Condition(),
        Condition(vectors[1], n // 4, "layer"),
        Condition(vectors[2], n - 1, "everywhere"),
        Condition(vectors[1], n // 4, positions="prompt"),
        Condition(vectors[3], n // 2, positions="generated"),
        Condition(vectors[3], n - 1),
    ]


def _alone(model: Any, prompts: Sequence[list[int]], condition: Condition) -> list[list[int]]:
    """One condition by `generate`, its answers cut by hand."""
    batch = pad(model, prompts)
    row = condition.row(model.cfg.n_layers, model.cfg.d_model)
    edits = Steering.stack([row] * len(prompts)).edits(batch)
    said = generate(model, batch, max_new_tokens=NEW, edits=edits).tolist()
    ends = stop_ids(model)
    return [ids[: min([k + 1 for k, i in enumerate(ids) if i in ends] or [NEW])] for ids in said]


@pytest.mark.parametrize(
    ("name", "repeats"), [("pocket-mistral", 1), ("pocket-gemma2", 8), ("pocket-falcon", 1)]
)
def test_answers_are_those_of_each_condition_alone(name: str, repeats: int) -> None:
    model: Any = load_model(name)
    long = "What is the colour of the sky, and where is the sea? " * repeats
    texts = ["Name a colour.", long, "Tell me how to bake some bread."]
    prompts = encode_chat(model, [[{"role": "user", "content": text}] for text in texts])
    assert (len(prompts[1]) > 128) == (name == "pocket-gemma2")  # whose window is 128
    conditions = _conditions(model, 0.5)
    expected = [_alone(model, prompts, condition) for condition in conditions]
    assert len({str(said) for said in expected}) > 4
    for size in (1, 3, 64):
        said = answers(model, prompts, conditions, max_new_tokens=NEW, batch_size=size)
        assert said == expected


def _rows(model: Any, conditions: Sequence[Condition]) -> tuple[list[int], TokenBatch, Steering]:
    ids = encode(model, ["a longer prompt of bytes", "short"])
    which = [prompt for _ in conditions for prompt in range(2)]
    steered = [c.row(model.cfg.n_layers, model.cfg.d_model) for c in conditions for _ in range(2)]
    return which, pad(model, [ids[prompt] for prompt in which]), Steering.stack(steered)


def _by_kind(model: Any, kind: str) -> list[Condition]:
    return [replace(c, positions=kind) for c in _conditions(model, 1.0)]


@pytest.mark.parametrize("kind", ["all", "prompt", "generated"])
@pytest.mark.parametrize("family", ALL)
def test_logits_of_prompt_and_next_token_are_those_of_every_row_for_itself(
    family: str, kind: str
) -> None:
    """Through generation: the second token's logits have read the whole cache."""
    model = tiny(family).bridge
    which, batch, steered = _rows(model, _by_kind(model, kind))
    twin: Any = twin_of(model)
    seen: list[Tensor] = []
    handle = twin.get_output_embeddings().register_forward_hook(lambda *c: seen.append(c[2]))
    try:
        generate(model, batch, max_new_tokens=2, ends=(), edits=steered.edits(batch))
        with shared_until_steered(model, which, steered):
            generate(model, batch, max_new_tokens=2, ends=(), edits=steered.edits(batch))
    finally:
        handle.remove()
    assert [one.shape[1] for one in seen] == [1] * 4
    torch.testing.assert_close(seen[2:], seen[:2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "computed"),
    # Two prompts; of the seven conditions, one sets in at block 0, two at 1, two at 2, one at 4.
    [("all", [2, 4, 8, 12, 12]), ("generated", [2, 2, 2, 2, 2])],
)
def test_a_block_computes_only_rows_that_differ_by_then(kind: str, computed: list[int]) -> None:
    model = tiny("mistral").bridge
    which, batch, steered = _rows(model, _by_kind(model, kind))
    twin: Any = twin_of(model)
    counts: list[tuple[int, ...]] = []
    blocks: Any = decoder_blocks(twin)
    handles = [
        block.mlp.register_forward_pre_hook(lambda _, given: counts.append(given[0].shape[:2]))
        for block in blocks
    ]
    with shared_until_steered(model, which, steered):
        generate(model, batch, max_new_tokens=2, ends=(), edits=steered.edits(batch))
    for handle in handles:
        handle.remove()
    width = batch.ids.shape[1]
    assert counts[:5] == [(rows, width) for rows in computed]
    assert counts[5:] == [(14, 1)] * 5


def test_held_hooks_act_and_nothing_is_shared() -> None:
    model = tiny("mistral").bridge
    prompts, conditions = encode(model, ["one", "the other"]), _conditions(model, 1.0)
    free = answers(model, prompts, conditions, max_new_tokens=NEW)
    with model.hooks(fwd_hooks=[("blocks.0.hook_resid_post", lambda value, hook: value)]):
        assert answers(model, prompts, conditions, max_new_tokens=NEW) == free
    with model.hooks(fwd_hooks=[("blocks.4.hook_resid_post", lambda value, hook: 0 * value)]):
        assert answers(model, prompts, conditions, max_new_tokens=NEW) != free


def test_an_answer_keeps_the_token_that_ended_it() -> None:
    model = tiny("mistral").bridge
    prompts = encode(model, ["one"])
    [[said]] = answers(model, prompts, [Condition()], max_new_tokens=NEW, ends=())
    assert len(said) == NEW
    [[cut]] = answers(model, prompts, [Condition()], max_new_tokens=NEW, ends=[said[2]])
    assert cut == said[: said.index(said[2]) + 1]
    assert answers(model, [], [Condition()], max_new_tokens=NEW) == [[]]


def test_a_run_that_fails_leaves_no_hook() -> None:
    model = tiny("mistral").bridge
    which, batch, steered = _rows(model, _by_kind(model, "all"))
    free = generate(model, batch, max_new_tokens=3)
    with pytest.raises(ZeroDivisionError), shared_until_steered(model, which, steered):
        raise ZeroDivisionError
    assert torch.equal(free, generate(model, batch, max_new_tokens=3))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"prompts": [[5], []]}, "needs a token"),
        ({"conditions": [Condition(torch.ones(1))]}, "width 48"),
        ({"conditions": [Condition(torch.full((48,), float("nan")))]}, "finite"),
        ({"conditions": [Condition(), Condition(torch.ones(48), 5)]}, "0 to 4"),
    ],
)
def test_bad_requests_are_refused(change: dict[str, Any], message: str) -> None:
    given = {"prompts": [[5]], "conditions": [Condition()], "max_new_tokens": 2} | change
    with pytest.raises(ValueError, match=message):
        answers(tiny("mistral").bridge, **given)


def test_an_ensemble_is_both_vectors_each_at_its_layer() -> None:
    """Independent route: vectors of their own at every layer, all rows computed from the start."""
    model: Any = load_model("pocket-mistral")
    prompts = encode_chat(model, [[{"role": "user", "content": "Name a colour."}]])
    a, b = (8 * v for v in torch.randn(2, model.cfg.d_model, generator=torch.Generator()))
    both = Condition(a, 2, "layer", also=Condition(b, 5, "layer"))
    same = Condition(a, 3, "layer", also=Condition(b, 3, "layer"))
    asked = [both, Condition(), same, replace(both, also=None), Condition(a + b, 3, "layer")]
    said = answers(model, prompts, asked, max_new_tokens=20)
    for k, layers in ((0, (2, 5)), (2, (3,)), (3, (2,))):
        stack = {0: [a, b], 2: [a + b], 3: [a]}[k]
        pushed = LayeredSteering(torch.stack(stack)[None], layers, keep_norm=False)
        batch = pad(model, prompts)
        new = generate(model, batch, max_new_tokens=20, edits=pushed.edits(batch))
        assert said[k] == to_their_ends(model, new)
    assert said[2] == said[4]
    assert len({str(said[k]) for k in (0, 1, 2, 3)}) == 4


@pytest.mark.parametrize(
    "kinds", [("all", "prompt"), ("prompt", "generated"), ("generated", "all")]
)
def test_each_vector_of_an_ensemble_has_tokens_of_its_own(kinds: Any) -> None:
    """By hand: one edit a layer that knows whether it stands in the prompt."""
    model: Any = load_model("pocket-mistral")
    prompts = encode_chat(model, [[{"role": "user", "content": "Name a colour."}]])
    a, b = (8 * v for v in torch.randn(2, model.cfg.d_model, generator=torch.Generator()))
    both = Condition(a, 2, "layer", kinds[0], also=Condition(b, 5, "layer", kinds[1]))
    asked = [Condition(), both, Condition(a, 2, "layer", kinds[0])]
    said = answers(model, prompts, asked, max_new_tokens=20)
    batch = pad(model, prompts)

    def by_hand(vector: Tensor, kind: str) -> Any:
        def edit(x: Tensor) -> Tensor:
            in_prompt = x.shape[1] > 1
            meant = kind == "all" or (kind == "prompt") == in_prompt
            return x + vector if meant else x

        return edit

    edits = {2: by_hand(a, kinds[0]), 5: by_hand(b, kinds[1])}
    new = generate(model, batch, max_new_tokens=20, edits=edits)
    assert said[1] == to_their_ends(model, new)
    assert said[1] != said[0] and said[1] != said[2]


def test_a_condition_adds_two_vectors_at_most() -> None:
    model: Any = load_model("pocket-mistral")
    one = Condition(torch.ones(model.cfg.d_model), 1, "layer")
    with pytest.raises(ValueError, match="two vectors at most"):
        answers(model, [[1]], [replace(one, also=replace(one, also=one))], max_new_tokens=1)
