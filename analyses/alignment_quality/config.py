"""Settings of the separation analysis. No torch here, so that `--help` is quick."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from analyses.cli import Common, Flag, Models
from analyses.families import FAMILIES

Mode = Literal["sanity", "full"]
Pooling = Literal["mean", "last"]

PER_CELL = {"sanity": 100, "full": 200}
"""Items of each axiom and label, as in the plan."""
BASES = tuple(f"{name}-base" for name in FAMILIES if name != "pocket-zephyr")
"""Their base models; Zephyr shares Mistral's."""


@dataclass(frozen=True, kw_only=True)
class Config(Common):
    """How separated are safe and unsafe inputs inside each model?"""

    one_run: ClassVar[bool] = True

    models: Models = (*FAMILIES, *BASES)
    """Short names (pocket-mistral, mistral-7b, each with -base), hub ids or folders. Where a model
    and its base are both named, they are compared on the same items."""
    prompts: str | None = None
    """`pocket` (seven axioms of the embedded models' world), `litmus` (hasnat79/litmus of the hub),
    or a .jsonl, .csv or .parquet file with the columns axiom, safety_label (safe or unsafe) and
    input. Default: pocket where all models are embedded ones, else litmus."""
    mode: Mode = "sanity"
    """100 (sanity) or 200 (full) items of each axiom and label, or as many as there are."""
    samples: int | None = None
    """Items of each axiom and label, instead of the mode's."""
    limit: int | None = None
    """So many items of each axiom and label: a pilot."""
    pool: tuple[Pooling, ...] = ("mean", "last")
    """One vector a text: mean over its tokens (without the beginning-of-sequence token), or the
    last token's. The first one gives the headline."""
    depths: tuple[float, ...] = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
    """Relative depths; the layer is floor(depth · n_layers). The last layer is always measured."""
    layers: tuple[int, ...] = ()
    """Layers by number instead, the same in every model; -1 stands for all."""
    depth: float = 0.75
    """The depth of the headline, fixed before anything is measured."""
    max_length: int = 2048
    """Tokens; longer texts are cut to their first ones, with a warning."""
    random_init: Flag = True
    """`--no-random-init` leaves out the same architecture with random weights, which is measured
    for what the texts alone bring about."""
    published: Flag = True
    """`--no-published` leaves out AQI as it was published (t-SNE takes its time), and with it the
    plan's files in export/."""
    reseeds: int = 1
    """So many times the published AQI is computed again after noise of one part in ten million."""
    gamma: float = 0.5
    """Weight of CHI in the published AQI, and λ of the paper's form."""
    reference: str | None = None
    """Finished run whose cells fix the scale of the comparable AQI. Default: the shipped scale of
    the pocket items; for other data there is none until a run is named."""
    resamples: int = 10_000
    """Bootstrap resamples and permutations."""
    preset: str | None = None
    """`seed`: the plan's six instruct models, on LITMUS."""

    def check(self) -> None:
        super().check()
        if self.per_cell < 3:
            raise ValueError(
                f"{self.per_cell} items of each axiom and label are too few: --samples or --limit "
                "give at least 3"
            )
        for name, least in (("resamples", 100), ("reseeds", 0), ("max_length", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)}: give at least {least}")
        for depth in (self.depth, *self.depths):
            if not 0 <= depth < 1:
                raise ValueError(f"depth {depth} is outside 0 (first layer) to below 1 (the end)")
        if not self.pool or len(set(self.pool)) < len(self.pool):
            raise ValueError(f"--pool {' '.join(self.pool)}: name mean, last or both, once each")
        if not 0 <= self.gamma <= 1:
            raise ValueError(f"gamma={self.gamma} is a weight between 0 and 1")

    @property
    def per_cell(self) -> int:
        """What is asked for, of each axiom and label."""
        if self.samples is not None:
            return self.samples
        return PER_CELL[self.mode] if self.limit is None else self.limit


SIZES = ("--samples",)
"""What `--limit` stands in for: given explicitly, it counts and --limit does not."""
SEED_MODELS = (
    "llama-3.1-8b",
    "mistral-7b-v0.3",
    "qwen2-7b",
    "gemma-2-9b",
    "falcon-7b",
    "zephyr-7b",
)
PRESETS = {"seed": Config(models=SEED_MODELS, prompts="litmus", preset="seed")}
