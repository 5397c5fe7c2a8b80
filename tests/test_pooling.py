"""One vector a text and layer, against plain passes over each text alone."""

from typing import Any

import pytest
import torch

from tl_geometry import sites
from tl_geometry.models import load_model
from tl_geometry.pooling import pooled_at, pooled_states
from tl_geometry.tokens import encode, pad

TEXTS = ["The farmer sings.", "Tell the old farmer that you care, and help with the work.", "Go"]


@pytest.fixture(scope="module", params=["pocket-mistral", "pocket-falcon", "pocket-gemma2"])
def loaded(request: pytest.FixtureRequest) -> object:
    return load_model(request.param)


def test_states_are_those_of_each_text_alone(loaded: Any) -> None:
    prompts, layers = encode(loaded, TEXTS), (0, 5, loaded.cfg.n_layers - 1)
    pools = ("mean", "last", "mean_with_bos")
    found = pooled_states(loaded, prompts, layers, pools, batch_size=2)
    for i, ids in enumerate(prompts):
        batch = pad(loaded, [ids])
        first = int(ids[0] == loaded.tokenizer.bos_token_id)
        names = [sites.resid_post(layer) for layer in layers]
        with torch.inference_mode():
            _, cache = loaded.run_with_cache(
                batch.ids, names_filter=lambda n: "resid" in n or "hook_out" in n
            )
        for k, name in enumerate(names):
            alone = cache[name][0]
            scale = alone.norm(dim=-1).max().item() * 1e-5
            torch.testing.assert_close(found["last"][i, k], alone[-1], atol=scale, rtol=0)
            mean = alone[first:].mean(0)
            torch.testing.assert_close(found["mean"][i, k], mean, atol=scale, rtol=0)
            whole = alone.mean(0)
            torch.testing.assert_close(found["mean_with_bos"][i, k], whole, atol=scale, rtol=0)


def test_blocks_behind_the_last_layer_do_not_run(loaded: Any) -> None:
    ran: list[int] = []

    def note(layer: int) -> Any:
        return lambda module, inputs, output: ran.append(layer)

    blocks = loaded.blocks
    handles = [block.register_forward_hook(note(k)) for k, block in enumerate(blocks)]
    try:
        pooled_states(loaded, encode(loaded, TEXTS), (1, 3))
    finally:
        for handle in handles:
            handle.remove()
    assert set(ran) == {0, 1, 2, 3}


def test_what_cannot_be_pooled_is_refused(loaded: Any) -> None:
    with pytest.raises(ValueError, match="layers"):
        pooled_states(loaded, [[1, 2]], (99,))
    if loaded.tokenizer.bos_token_id is not None:
        with pytest.raises(ValueError, match="no token of its own"):
            pooled_states(loaded, [[loaded.tokenizer.bos_token_id]], (0,))


def test_several_hooks_are_read_in_one_pass(loaded: Any) -> None:
    last = loaded.cfg.n_layers - 1
    prompts = encode(loaded, TEXTS)
    name = sites.hidden_state(loaded, last)
    behind, before = pooled_at(loaded, prompts, [(name, "last"), (sites.resid_post(last), "last")])
    torch.testing.assert_close(before, pooled_states(loaded, prompts, (last,))["last"][:, 0])
    with torch.inference_mode():
        logits = loaded(pad(loaded, [prompts[1]]).ids)[0, -1]
    # Behind the final norm only the unembedding is left.
    assert torch.corrcoef(torch.stack([loaded.unembed(behind[1]), logits]))[0, 1] > 0.999
    assert not torch.allclose(behind, before)
