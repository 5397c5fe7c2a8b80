"""How separated are safe and unsafe inputs inside each model?

from analyses.alignment_quality import Config, run
results = run(Config(models=("pocket-llama", "pocket-llama-base"), limit=20))
results.tables["models"]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analyses.alignment_quality.config import Config
    from analyses.alignment_quality.experiment import Results, run

_HOME = {"Config": "config", "Results": "experiment", "run": "experiment"}
__all__ = ["Config", "Results", "run"]


def __getattr__(name: str) -> Any:
    # Late, so that `--help` and tab completion do not wait for torch.
    if name not in _HOME:
        raise AttributeError(f"{__name__} has no {name}; it exports {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
