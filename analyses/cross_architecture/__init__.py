"""Is there a critical layer, and is it at the same depth in every model?

from analyses.cross_architecture import Config, run
results = run(Config(models=("pocket-mistral", "pocket-llama"), limit=10))
results.figures()["forest"]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analyses.cross_architecture.config import Config
    from analyses.cross_architecture.experiment import Results, run
    from analyses.cross_architecture.universal import UniversalActivationPatching

_HOME = {
    "Config": "config",
    "Results": "experiment",
    "UniversalActivationPatching": "universal",
    "run": "experiment",
}
__all__ = ["Config", "Results", "UniversalActivationPatching", "run"]


def __getattr__(name: str) -> Any:
    # Late, so that `--help` and tab completion do not wait for torch.
    if name not in _HOME:
        raise AttributeError(f"{__name__} has no {name}; it exports {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
