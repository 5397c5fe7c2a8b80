"""Does the value geometry come back behind a patch, and what brings it back?

from analyses.homeostasis import Config, run
results = run(Config(models=("pocket-mistral",), limit=20))
results.figures()["recovery"]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analyses.homeostasis.config import Config
    from analyses.homeostasis.experiment import Results, run
    from analyses.homeostasis.measurer import HomeostasisMeasurer, analyze_mechanisms

_HOME = {
    "Config": "config",
    "HomeostasisMeasurer": "measurer",
    "Results": "experiment",
    "analyze_mechanisms": "measurer",
    "run": "experiment",
}
__all__ = ["Config", "HomeostasisMeasurer", "Results", "analyze_mechanisms", "run"]


def __getattr__(name: str) -> Any:
    # Late, so that `--help` and tab completion do not wait for torch.
    if name not in _HOME:
        raise AttributeError(f"{__name__} has no {name}; it exports {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
