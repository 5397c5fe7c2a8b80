"""Trait vectors from a base model and the one tuned from it.

from analyses.model_diff import Extract, run
results = run(Extract(trait="sycophancy", limit=20))
results.tables["vectors"]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analyses.model_diff.config import Extract
    from analyses.model_diff.experiment import Results, run
    from analyses.model_diff.similarity import run_similarity
    from analyses.model_diff.similarity_config import Similarity
    from analyses.model_diff.steer import run_steer
    from analyses.model_diff.steer_config import Steer
    from analyses.model_diff.weights import run_weights
    from analyses.model_diff.weights_config import Weights

_HOME = {
    "Extract": "config",
    "Results": "experiment",
    "Similarity": "similarity_config",
    "Steer": "steer_config",
    "Weights": "weights_config",
    "run": "experiment",
    "run_similarity": "similarity",
    "run_steer": "steer",
    "run_weights": "weights",
}
__all__ = [
    "Extract",
    "Results",
    "Similarity",
    "Steer",
    "Weights",
    "run",
    "run_similarity",
    "run_steer",
    "run_weights",
]


def __getattr__(name: str) -> Any:
    # Late, so that `--help` and tab completion do not wait for torch.
    if name not in _HOME:
        raise AttributeError(f"{__name__} has no {name}; it exports {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
