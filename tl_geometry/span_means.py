"""One vector a response, layer and span: the mean of block outputs over the tokens that are meant.
And of any other hook the mean over all responses.

Prompt and response are the token ids that were read and said, never text that is tokenised again:
decoding and re-encoding moves the borders of tokens, and with them what "the first five" are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import tqdm

from tl_geometry import sites
from tl_geometry.capture import Reader, observed, run_until
from tl_geometry.models import Model
from tl_geometry.spans import Span
from tl_geometry.tokens import Ids, TokenBatch, pad


@dataclass(frozen=True)
class Said:
    """One prompt and what was answered, as token ids."""

    prompt: Ids
    response: Ids

    def __len__(self) -> int:
        return len(self.prompt) + len(self.response)


@dataclass(frozen=True, eq=False)
class SpanMeans:
    """What one span holds of every response."""

    states: Float[Tensor, "text layer d"]
    """Mean over the span of every block's output (`hook_resid_post`), float32; NaN where empty."""
    norms: Float[Tensor, "text layer"]
    """Mean length of the single tokens' states there: what doses are measured against."""

    @property
    def empty(self) -> list[int]:
        """Rows whose response is too short to hold a token of the span."""
        return self.states[:, 0].isnan().any(-1).nonzero().flatten().tolist()


def span_means(
    model: Model,
    texts: Sequence[Said],
    spans: Sequence[Span],
    *,
    batch_size: int = 64,
    title: str = "responses",
) -> dict[Span, SpanMeans]:
    """All spans and layers in one pass a text, reduced inside the hook in float64.

    ValueError for no texts, or a text without a token.
    """
    _check(texts)
    n_layers, d = model.cfg.n_layers, model.cfg.d_model
    found = {
        span: SpanMeans(torch.empty(len(texts), n_layers, d), torch.empty(len(texts), n_layers))
        for span in spans
    }
    for rows, batch in _batches(model, texts, batch_size, title):
        chosen = {span: _chosen(batch, [texts[i] for i in rows], span) for span in spans}
        readers = {
            sites.resid_post(layer): _reader(layer, torch.tensor(rows), chosen, found)
            for layer in range(n_layers)
        }
        with torch.inference_mode(), observed(model, readers):
            run_until(model, batch, n_layers)
    return found


def means_at(
    model: Model,
    texts: Sequence[Said],
    span: Span,
    names: Mapping[str, str],
    *,
    batch_size: int = 64,
    title: str = "responses",
) -> dict[str, Float[Tensor, " d"]]:
    """Key → the mean of what is at its hook: over the span's tokens, then over texts, in float64.

    Every text weighs alike; what stands on several axes behind the position (heads) is put side by
    side. Texts without a token of the span are left out. ValueError where none has one.
    """
    _check(texts)
    kept = [text for text in texts if span.bounds(len(text.prompt), len(text))]
    if not kept:
        raise ValueError(f"none of {len(texts)} texts has a token of {span}")
    found: dict[str, Tensor] = {}
    for rows, batch in _batches(model, kept, batch_size, title):
        where = _chosen(batch, [kept[i] for i in rows], span)
        readers = {name: _adding(key, where, found) for key, name in names.items()}
        with torch.inference_mode(), observed(model, readers):
            run_until(model, batch, model.cfg.n_layers)
    return {key: total / len(kept) for key, total in found.items()}


def _check(texts: Sequence[Said]) -> None:
    if not texts or not all(len(text) for text in texts):
        raise ValueError("means are taken over texts, and each needs a token at least")


def _batches(
    model: Model, texts: Sequence[Said], size: int, title: str
) -> Iterator[tuple[list[int], TokenBatch]]:
    """Which texts, and their tokens: those of like length together."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in tqdm(range(0, len(order), size), desc=title, unit="batch", leave=False):
        rows = order[start : start + size]
        yield rows, pad(model, [[*texts[i].prompt, *texts[i].response] for i in rows])


def _adding(key: str, where: Tensor, found: dict[str, Tensor]) -> Reader:
    def read(activation: Float[Tensor, "batch pos *rest"]) -> None:
        states = activation.flatten(2).double()
        # Not a product with the mask: padding may hold anything, also what is not finite.
        total = torch.where(where[..., None], states, 0.0).sum(1) / where.sum(1)[:, None]
        found[key] = found.get(key, 0.0) + total.sum(0).cpu()

    return read


def _chosen(batch: TokenBatch, texts: Sequence[Said], span: Span) -> Tensor:
    """Which positions of a padded batch belong to the span of each row."""
    where = torch.zeros(batch.ids.shape, dtype=torch.bool)
    for row, text in enumerate(texts):
        inside = span.bounds(len(text.prompt), len(text))
        padding = batch.ids.shape[1] - len(text)  # on the left
        where[row, padding + inside.start : padding + inside.stop] = True
    return where.to(batch.ids.device)


def _reader(
    layer: int, rows: Tensor, chosen: Mapping[Span, Tensor], found: Mapping[Span, SpanMeans]
) -> Reader:
    def read(resid: Float[Tensor, "batch pos d"]) -> None:
        states = resid.double()
        lengths = states.norm(dim=-1)
        for span, where in chosen.items():
            n = where.sum(1)  # 0 / 0 is NaN: an empty span has no mean
            # Not a product with the mask: padding may hold anything, also what is not finite.
            total = torch.where(where[..., None], states, 0.0).sum(1)
            found[span].states[rows, layer] = (total / n[:, None]).float().cpu()
            length = torch.where(where, lengths, 0.0).sum(1) / n
            found[span].norms[rows, layer] = length.float().cpu()

    return read
