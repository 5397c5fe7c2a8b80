"""Which layer, method and dose make a model refuse, across families?

from analyses.refusal import Families, run
results = run(Families(models=("pocket-mistral",), limit=10))
results.tables["verdicts"]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analyses.refusal.config import Families, Verify
    from analyses.refusal.experiment import Results, run
    from analyses.refusal.verify import run_verify

_HOME = {
    "Families": "config",
    "Results": "experiment",
    "Verify": "config",
    "run": "experiment",
    "run_verify": "verify",
}
__all__ = ["Families", "Results", "Verify", "run", "run_verify"]


def __getattr__(name: str) -> Any:
    # Late, so that `--help` and tab completion do not wait for torch.
    if name not in _HOME:
        raise AttributeError(f"{__name__} has no {name}; it exports {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
