"""What a run costs, for --dry-run."""

from collections.abc import Mapping

from analyses.cross_architecture.measure import CONDITIONS, SAID
from analyses.cross_architecture.plan import Plan, depths
from analyses.requested import ModelPlan

LAYERS = 4
"""At most so many layers are patched: the fixed depth and three definitions of the critical one."""


def cost(plan: Plan, model: ModelPlan) -> Mapping[str, str]:
    """Layers, and passes in units of one text through one block; empty without a size."""
    if model.size is None:
        return {}
    where, config = depths(model.size.n_layers, plan.config), plan.config
    n = where.n_layers
    texts = len(plan.bank) * n
    search = sum(config.search_pairs * (2 * layer + 3 * (n - layer)) for layer in where.search)
    # The fixed depth stands for all patched layers: the others are known only when measured.
    rows = len(CONDITIONS) + 4 + 2 * (len(SAID) + 4)
    patch = LAYERS * plan.n_pairs * (12 * where.fixed + rows * (n - where.fixed))
    twice = " (and about half of it again with random weights)" if config.random_init else ""
    return {
        "layers": f"{n}; early {where.early}, fixed {where.fixed}, patches searched "
        f"{where.search[0]}–{where.search[-1]}",
        "texts × blocks": f"about {texts + search + patch:,}{twice}",
        "parameters": f"{model.size.parameters:,}",
    }
