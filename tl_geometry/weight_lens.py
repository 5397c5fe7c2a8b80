"""The words that a direction of the residual stream stands for: a logit lens without a model.

Final norm and output matrix are read from a checkpoint, so that directions made of weights can be
read while no model is built.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tl_geometry.checkpoints import Checkpoint
from tl_geometry.components import FINAL_NORMS, SHIFTED_GAINS

ROUNDING = 1e-6
"""What is left of a constant vector when its mean has been taken off."""


@dataclass(frozen=True, eq=False)
class Readout:
    """What turns a vector of the residual stream into logits."""

    unembed: Float[Tensor, "vocabulary d"]
    gain: Float[Tensor, " d"]
    """Of the final norm."""
    centred: bool
    """Whether that norm takes off the mean (LayerNorm)."""

    def logits(self, direction: Float[Tensor, " d"]) -> Float[Tensor, " vocabulary"]:
        """Of a direction at unit length, as a norm leaves nothing of its scale.

        ValueError for a direction that is zero, or that the norm takes off whole.
        """
        left = direction - direction.mean() if self.centred else direction
        if not torch.isfinite(direction).all() or left.norm() <= ROUNDING * direction.norm():
            raise ValueError("the direction is zero, not finite, or taken off by the final norm")
        return self.unembed @ (self.gain * (left / left.norm()).to(self.gain))


def read_readout(checkpoint: Checkpoint) -> Readout:
    """The final norm's gain and the output matrix (tied or not). ValueError where not found."""
    outside = {part.component: part.name for part in checkpoint.parts if part.layer is None}
    unembed = outside.get("unembed", outside.get("embed"))
    norms = [f"{stem}.weight" for stem in FINAL_NORMS if f"{stem}.weight" in checkpoint.stored]
    if unembed is None or not norms:
        raise ValueError(f"{checkpoint.name} has no output matrix or final norm that is known")
    gain = checkpoint.tensor(norms[0]) + (checkpoint.model_type in SHIFTED_GAINS)
    centred = norms[0].replace(".weight", ".bias") in checkpoint.stored
    return Readout(checkpoint.tensor(unembed), gain, centred)


@dataclass(frozen=True, eq=False)
class Lens:
    """The tokens that a direction speaks for and against, strongest first."""

    toward: Int[Tensor, " k"]
    toward_logits: Float[Tensor, " k"]
    away: Int[Tensor, " k"]
    away_logits: Float[Tensor, " k"]
    peak: float
    """Largest |logit| in standard deviations over the vocabulary; every direction has a top 20, and
    only a peak that random directions do not reach says that this one means something."""


def logit_lens(direction: Float[Tensor, " d"], readout: Readout, k: int = 20) -> Lens:
    """The direction through final norm and output matrix; the norm acts by its gain only.

    ValueError for more tokens than there are, or a direction that is nothing behind the norm.
    """
    logits = readout.logits(direction)
    if not 1 <= k <= len(logits):
        raise ValueError(f"k={k} tokens cannot be listed: the vocabulary has {len(logits)}")
    ordered = logits.sort(descending=True, stable=True)
    return Lens(
        ordered.indices[:k],
        ordered.values[:k],
        ordered.indices[-k:].flip(0),
        ordered.values[-k:].flip(0),
        _peak(logits),
    )


def chance_peaks(
    readout: Readout, generator: torch.Generator, draws: int = 200
) -> Float[Tensor, " draws"]:
    """The `peak` of random directions. Some tokens' rows are longer than others, so that even these
    peak higher than as many normal numbers would."""
    directions = torch.randn(draws, len(readout.gain), generator=generator)
    return torch.tensor([_peak(readout.logits(one)) for one in directions])


def _peak(logits: Float[Tensor, " vocabulary"]) -> float:
    return float((logits - logits.mean()).abs().max() / logits.std())
