"""Settings of `combine`."""

from dataclasses import dataclass

from analyses.model_diff.steer_config import GRID, Steer


@dataclass(frozen=True, kw_only=True)
class Combine(Steer):
    """Do vectors of both sources together bring the trait out better than the best of one?

    All settings of `steer` say which run of it is read; doses and bisections are used again.
    """

    singles: str | None = None
    """Name of the `steer` run in the same folder. Default: the one that these settings make,
    run first where it is not there."""
    shares: tuple[float, ...] = (0.25, 0.35, 0.5, 0.71, 1.0)
    """Of each vector's own best dose in the ensemble; the plan's half strength is 0.5."""

    def idle(self) -> list[str]:
        return [name for name in super().idle() if name not in GRID]

    def check(self) -> None:
        super().check()
        if not self.shares or min(self.shares) <= 0:
            raise ValueError(f"shares={self.shares}: give some, all above 0")
