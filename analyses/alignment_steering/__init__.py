"""Can what tuning did to a model be carried as a vector?

from analyses.alignment_steering import Extract, run
results = run(Extract(models=("pocket-mistral",), samples=20))
results.tables["ranking"]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analyses.alignment_steering.config import Extract, Validate
    from analyses.alignment_steering.experiment import Results, run
    from analyses.alignment_steering.transfer_config import Transfer
    from analyses.alignment_steering.transfer_experiment import run_transfer
    from analyses.alignment_steering.validate import run_validate

_HOME = {
    "Extract": "config",
    "Results": "experiment",
    "Transfer": "transfer_config",
    "Validate": "config",
    "run": "experiment",
    "run_transfer": "transfer_experiment",
    "run_validate": "validate",
}
__all__ = ["Extract", "Results", "Transfer", "Validate", "run", "run_transfer", "run_validate"]


def __getattr__(name: str) -> Any:
    # Late, so that `--help` and tab completion do not wait for torch.
    if name not in _HOME:
        raise AttributeError(f"{__name__} has no {name}; it exports {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
