"""What a model holds of given responses: a mean each layer, and single positions of some layers.

Responses are token ids, so that two models can be shown exactly the same ones: position t of one is
position t of the other, whatever prompt stands before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tl_geometry import sites
from tl_geometry.capture import Reader, observed, run_until
from tl_geometry.models import Model
from tl_geometry.span_means import Said
from tl_geometry.tokens import pad


@dataclass(frozen=True, eq=False)
class ResponseStates:
    """Block outputs (`hook_resid_post`) at the tokens of responses; prompts are left out."""

    means: Float[Tensor, "text layer d"]
    """Mean over all tokens of the response, float32."""
    at: Float[Tensor, "text position kept d"]
    """The first positions at the kept layers, float32; NaN behind a response's end."""


def response_states(
    model: Model, texts: Sequence[Said], layers: Sequence[int], n_positions: int
) -> ResponseStates:
    """One batch in one pass, reduced inside the hook in float64.

    ValueError before the model runs for no texts, an empty response, or layers that are not there.
    """
    if not texts or not all(text.response for text in texts):
        raise ValueError("states are those of a response: every text needs a token of one")
    sites.check_layers(layers, model.cfg.n_layers)
    found = ResponseStates(
        torch.empty(len(texts), model.cfg.n_layers, model.cfg.d_model),
        torch.empty(len(texts), n_positions, len(layers), model.cfg.d_model),
    )
    batch = pad(model, [[*text.prompt, *text.response] for text in texts])
    said = torch.tensor([len(text.response) for text in texts], device=batch.ids.device)
    readers = {
        sites.resid_post(layer): _reader(found, layer, list(layers), said)
        for layer in range(model.cfg.n_layers)
    }
    with torch.inference_mode(), observed(model, readers):
        run_until(model, batch, model.cfg.n_layers)
    return found


def _reader(
    found: ResponseStates, layer: int, kept: list[int], said: Int[Tensor, " text"]
) -> Reader:
    def read(resid: Float[Tensor, "text pos d"]) -> None:
        states, width = resid.double(), resid.shape[1]
        # Padding is on the left: a row's response is its last tokens.
        inside = torch.arange(width, device=said.device) >= width - said[:, None]
        total = torch.where(inside[..., None], states, 0.0).sum(1)
        found.means[:, layer] = (total / said[:, None]).float().cpu()
        if layer in kept:
            found.at[:, :, kept.index(layer)] = _first(states, said, found.at.shape[1])

    return read


def _first(
    states: Float[Tensor, "text pos d"], said: Int[Tensor, " text"], n: int
) -> Float[Tensor, "text n d"]:
    """Positions 0 to n − 1 of each response."""
    position = torch.arange(n, device=said.device).expand(len(said), n)
    column = (states.shape[1] - said[:, None] + position).clamp(max=states.shape[1] - 1)
    rows = torch.arange(len(said), device=said.device)[:, None]
    known = position < said[:, None]
    return torch.where(known[..., None], states[rows, column], torch.nan).float().cpu()


def whole_states(model: Model, text: Said) -> Float[Tensor, "layer token d"]:
    """Every block's output at every token of prompt and response, in the model's own type.

    For files that somebody asked for: nothing in the library needs a whole cache.
    """
    layers: list[Tensor] = []
    readers = {
        sites.resid_post(layer): lambda resid: layers.append(resid[0].cpu().clone())
        for layer in range(model.cfg.n_layers)
    }
    with torch.inference_mode(), observed(model, readers):
        run_until(model, pad(model, [[*text.prompt, *text.response]]), model.cfg.n_layers)
    return torch.stack(layers)


def covered(lengths: Sequence[int], share: float) -> int:
    """How many first positions at least this share of the responses has.

    ValueError for no responses, or a share that is none.
    """
    if not lengths or not 0 < share <= 1:
        raise ValueError(f"{share=} of {len(lengths)} responses: give some, and a share up to 1")
    # Ranked, not counted with floats: 0.8 of 5 is 4, and 0.8 · 5 must not round to above it.
    longest = sorted(lengths, reverse=True)
    least = next(k for k in range(1, len(lengths) + 1) if k / len(lengths) >= share)
    return longest[least - 1]
