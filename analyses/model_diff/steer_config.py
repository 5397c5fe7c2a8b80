"""Settings of `steer`."""

from dataclasses import dataclass, fields
from typing import Literal

from analyses.model_diff.config import Diff, Method
from analyses.model_diff.steer_search import Positions

Search = Literal["grid", "walk"]
GRID = ("doses", "bisections")
WALK = ("start_mult", "up_mult", "down_mult", "momentum", "search_steps")


@dataclass(frozen=True, kw_only=True)
class Steer(Diff):
    """Which vector, at which layer and dose, brings the trait out while answers stay coherent?"""

    vectors: str | None = None
    """Name of the `extract` run in the same folder. Default: the one that these settings make,
    extracted first where it is not there."""
    vector_from_trait: str | None = None
    """Vectors of another trait's extraction: TRAIT, CATEGORY/TRAIT or EXPERIMENT/CATEGORY/TRAIT.
    A category (pv_instruction, pocket_natural, …) picks the source."""
    extraction_variant: Literal["base", "instruct"] | None = None
    """Only vectors of this model's own responses."""
    position: tuple[str, ...] = ()
    """Only vectors of these positions. Default: all that were extracted."""
    method: tuple[Method, ...] = ()
    """Only vectors of these methods. Default: all that were extracted."""
    layers: tuple[int, ...] = ()
    """Blocks at whose output vectors are added. Default: every other one of 30 to 60 % of depth."""
    steered: tuple[Positions, ...] = ("all", "prompt")
    """Tokens that a vector is added to: of prompt and answer, of the prompt alone, or of the answer
    alone (`generated`). Several: searched like layers."""
    search: Search = "grid"
    """`grid`: all --doses, then bisections of the edge of coherence; `walk`: the plan's own."""
    doses: tuple[float, ...] = (0.4, 0.63, 1.0, 1.6)
    """Length of what is added in shares of the residual stream's length there: a geometric grid,
    climbed until answers fall apart."""
    bisections: int = 2
    """Halvings (in log dose) of the gap between the last coherent and the first incoherent dose."""
    start_mult: float = 0.7
    """First dose of a walk."""
    up_mult: float = 1.3
    """What a coherent step of a walk multiplies the dose by."""
    down_mult: float = 0.85
    """What an incoherent step of a walk multiplies the dose by."""
    momentum: float = 0.1
    """Share of the last step's multiplier in the next one's."""
    search_steps: int = 5
    """Doses that a walk tries at each layer."""
    coefficients: tuple[float, ...] = ()
    """Lengths of what is added, as they are, at every layer: the plan's finer grid. No search."""
    coherence: float = 70.0
    """The least mean coherence at which a dose may be chosen."""
    margin: float = 10.0
    """Points of the trait rating within which two vectors count as equivalent."""
    randoms: int = 3
    """Random vectors that a chosen one is compared with, at its layer and dose."""
    new_tokens: int = 48
    """Tokens of an answer."""
    subset: int = 0
    """So many validation and test questions; 0: all."""

    @property
    def questions(self) -> int | None:
        """So many of each half, or None for all."""
        return self.subset or self.limit or None

    def check(self) -> None:
        super().check()
        self._check_search()
        if idle := self.idle():
            options = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
            used = "--coefficients" if self.coefficients else f"--search {self.search}"
            raise ValueError(f"{options} would do nothing with {used}: leave one of the two out")
        if self.new_tokens < 1 or self.randoms < 1:
            raise ValueError("answers have at least 1 token, and comparisons 1 random vector")
        if not 0 <= self.coherence <= 100:
            raise ValueError(f"coherence={self.coherence} is a rating from 0 to 100")
        if not 0 < self.margin < 100:
            raise ValueError(f"margin={self.margin} must lie between 0 and 100 points")
        if self.subset < 0 or (self.questions is not None and self.questions < 3):
            raise ValueError(f"subset={self.questions}: an interval needs at least 3; 0 means all")

    def idle(self) -> list[str]:
        """Settings that were given and do nothing: those of the other search."""
        unused = GRID if self.search == "walk" else WALK
        unused = (*GRID, *WALK) if self.coefficients else unused
        default = {f.name: f.default for f in fields(Steer)}
        return [name for name in unused if getattr(self, name) != default[name]]

    def _check_search(self) -> None:
        if not self.doses or min(self.doses) <= 0:
            raise ValueError(f"doses={self.doses}: give some, all above 0")
        if any(c <= 0 for c in self.coefficients):
            raise ValueError(f"coefficients={self.coefficients} must be above 0")
        if self.coefficients and self.search == "walk":
            raise ValueError("--coefficients are tried as they are: leave --search walk out")
        if not self.steered:
            raise ValueError("steered names no tokens: give all, prompt or generated")
        if self.bisections < 0 or self.search_steps < 1:
            raise ValueError("bisections are 0 or more, and a walk has at least 1 step")
        if self.start_mult <= 0 or not 0 < self.down_mult < 1 < self.up_mult:
            raise ValueError(
                f"a walk starts above 0 and goes up by more than 1, down by less: start_mult="
                f"{self.start_mult}, up_mult={self.up_mult}, down_mult={self.down_mult}"
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum={self.momentum} is a share from 0 to below 1")
