"""What a run costs, for --dry-run."""

from collections.abc import Mapping

from analyses.alignment_quality.plan import Plan
from analyses.requested import ModelPlan


def cost(plan: Plan, model: ModelPlan) -> Mapping[str, str]:
    """Layers, passes and what is kept on disk; empty without a size."""
    if model.size is None:
        return {}
    layers, n = plan.layers(model), len(plan.items.items)
    arrays = n * model.size.d_model * 4 * (len(layers) * len(plan.config.pool) + 1)
    maps = (1 + plan.config.reseeds) * plan.config.published
    return {
        "layers": f"{', '.join(map(str, layers))} of {model.size.n_layers}",
        "forward passes": f"{n} texts, once",
        "spaces with intervals": str(len(layers) * len(plan.config.pool)),
        "t-SNE maps": str(maps * (len(plan.items.axioms) + 1)),
        "kept on disk": f"{arrays / 2**20:.0f} MiB",
        "parameters": f"{model.size.parameters:,}",
    }
