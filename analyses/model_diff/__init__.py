"""Trait vectors from a base model and the one tuned from it.

from analyses.model_diff import Extract, Whole, run, run_whole
results = run(Extract(trait="sycophancy", limit=20))    # one phase
results.tables["vectors"]
run_whole(Whole(trait="evil"))                          # all of them
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analyses.model_diff.calibrate import run_calibrate
    from analyses.model_diff.calibrate_config import Calibrate
    from analyses.model_diff.combine import run_combine
    from analyses.model_diff.combine_config import Combine
    from analyses.model_diff.config import Extract
    from analyses.model_diff.experiment import Results, run
    from analyses.model_diff.similarity import run_similarity
    from analyses.model_diff.similarity_config import Similarity
    from analyses.model_diff.steer import run_steer
    from analyses.model_diff.steer_config import Steer
    from analyses.model_diff.weights import run_weights
    from analyses.model_diff.weights_config import Weights
    from analyses.model_diff.whole import run_whole
    from analyses.model_diff.whole_config import Whole

_HOME = {
    "Calibrate": "calibrate_config",
    "Combine": "combine_config",
    "Extract": "config",
    "Results": "experiment",
    "Similarity": "similarity_config",
    "Steer": "steer_config",
    "Weights": "weights_config",
    "Whole": "whole_config",
    "run": "experiment",
    "run_calibrate": "calibrate",
    "run_combine": "combine",
    "run_similarity": "similarity",
    "run_steer": "steer",
    "run_weights": "weights",
    "run_whole": "whole",
}
__all__ = [
    "Calibrate",
    "Combine",
    "Extract",
    "Results",
    "Similarity",
    "Steer",
    "Weights",
    "Whole",
    "run",
    "run_calibrate",
    "run_combine",
    "run_similarity",
    "run_steer",
    "run_weights",
    "run_whole",
]


def __getattr__(name: str) -> Any:
    # Late, so that `--help` and tab completion do not wait for torch.
    if name not in _HOME:
        raise AttributeError(f"{__name__} has no {name}; it exports {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
