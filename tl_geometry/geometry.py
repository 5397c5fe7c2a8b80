"""The geometry of a window of activations: pure functions, shapes in, numbers out.

Statistics are float64 whatever the model's dtype. Undefined is an error here; analyses turn it
into a missing row with its reason.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def gram(
    x: Float[Tensor, "*batch w d"], *, centered: bool = False, row_normalized: bool = False
) -> Float[Tensor, "*batch k k"]:
    """The smaller of X Xᵀ and Xᵀ X in float64: both have the same non-zero eigenvalues, σ².

    `centered` takes the mean row away first; `row_normalized` scales every row to length one
    (after centring), so that single large tokens do not decide the result.
    """
    x = x.double()
    if centered:
        x = x - x.mean(-2, keepdim=True)
    if row_normalized:
        x = x / x.norm(dim=-1, keepdim=True)
    w, d = x.shape[-2:]
    return x @ x.mT if w <= d else x.mT @ x


def is_degenerate(g: Float[Tensor, "*batch k k"]) -> Bool[Tensor, "*batch"]:
    """Whether a Gram matrix has no participation ratio: no energy at all, or NaN or infinity."""
    energy = g.diagonal(dim1=-2, dim2=-1).sum(-1)
    return ~(torch.isfinite(energy) & (energy > 0))


def spectral_participation(g: Float[Tensor, "*batch k k"]) -> Float[Tensor, "*batch"]:
    """(Σλ)² / Σλ² of a symmetric matrix, NaN where it is degenerate. Nothing is diagonalised.

    Σλ is the trace and Σλ² the squared Frobenius norm. Normalised first, so that neither very
    large nor very small activations over- or underflow.
    """
    trace = g.diagonal(dim1=-2, dim2=-1).sum(-1)
    unit = g / trace[..., None, None]
    ratio = 1 / unit.square().sum((-2, -1))
    return torch.where(is_degenerate(g), torch.nan, ratio)


def participation_ratio(
    x: Float[Tensor, "*batch w d"], *, centered: bool = False, row_normalized: bool = False
) -> Float[Tensor, "*batch"]:
    """Effective number of directions of the w rows: (Σσ²)² / Σσ⁴, between 1 and min(w, d).

    1 for rows on one line, w for orthonormal rows, w·d / (w + d + 1) on average for Gaussian
    ones. Unchanged by scale, sign, rotation, the order of rows and repeated columns (so by the
    repetition of grouped value heads). *Not* unchanged by a shared mean, by unequal row lengths
    or by w: compare equal windows only. Gao et al. 2017, "A theory of multineuronal
    dimensionality", eq. 4, here without centring unless asked.

    ValueError where a window has no energy or is not finite.
    """
    g = gram(x, centered=centered, row_normalized=row_normalized)
    if is_degenerate(g).any():
        raise ValueError(
            "participation ratio is undefined: a window is constant zero (after centring, if "
            "asked) or holds NaN or infinity; drop such windows first, with a reason"
        )
    return spectral_participation(g)


def log_r_v(
    late: Float[Tensor, "*batch w d"], early: Float[Tensor, "*batch w d"]
) -> Float[Tensor, "*batch"]:
    """log R_V: the difference of the logs of two participation ratios. Additive and symmetric."""
    return participation_ratio(late).log() - participation_ratio(early).log()


def r_v(
    late: Float[Tensor, "*batch w d"], early: Float[Tensor, "*batch w d"]
) -> Float[Tensor, "*batch"]:
    """R_V = PR(values at a late layer) / PR(values at an early layer), same prompt and window.

    Below one: the late values use fewer directions. Always keep both ratios beside it: a change
    of R_V may come from either.
    """
    return log_r_v(late, early).exp()


def expansion(
    output: Float[Tensor, "*batch w d"], input_: Float[Tensor, "*batch w d"]
) -> Float[Tensor, "*batch"]:
    """PR(output) / PR(input) of a component, e.g. an MLP: above one, it adds directions."""
    return participation_ratio(output) / participation_ratio(input_)


def attention_entropy(
    pattern: Float[Tensor, "*batch query key"],
) -> Float[Tensor, "*batch query"]:
    """−Σ p log p over keys, in nats: 0 for one key, log n for n keys attended to equally.

    Keys of probability zero (padding, the future) add nothing.
    """
    return torch.special.entr(pattern.double()).sum(-1)


def relative_change(
    changed: Float[Tensor, "*batch w d"], reference: Float[Tensor, "*batch w d"]
) -> Float[Tensor, "*batch"]:
    """‖changed − reference‖ / ‖reference‖ over the whole window (Frobenius)."""
    difference = (changed.double() - reference.double()).norm(dim=(-2, -1))
    return difference / reference.double().norm(dim=(-2, -1))


def next_token_kl(
    reference: Float[Tensor, "*batch vocab"], changed: Float[Tensor, "*batch vocab"]
) -> Float[Tensor, "*batch"]:
    """KL(reference ‖ changed) of two next-token distributions given as logits, in nats."""
    p, q = (logits.double().log_softmax(-1) for logits in (reference, changed))
    return (p.exp() * (p - q)).sum(-1).clamp(min=0)
