"""What a run costs, for --dry-run."""

from collections.abc import Iterator

from analyses.refusal.plan import Plan
from analyses.requested import ModelPlan
from tl_geometry.selection import deepest


def cost(plan: Plan) -> Iterator[str]:
    """One line a model and number: parameters, passes, generated tokens."""
    for model in plan.models:
        yield f"{model.name}: {model.reason or 'can be read'}"
        if model.size is not None:
            yield from (f"  {what}: {amount}" for what, amount in _amounts(plan, model).items())


def _amounts(plan: Plan, model: ModelPlan) -> dict[str, str]:
    config, size = plan.config, model.size
    assert size is not None
    methods, depths = len(config.methods), len(config.depths_of(model.name))
    candidates = deepest(size.n_layers) * config.positions
    passes = 2 * methods * candidates * config.selection_prompts
    controls = config.random_directions + 1
    searched = (methods * (depths + 1) + controls * depths) * len(config.doses)
    tested = 1 + methods * (depths + 2) + controls
    tokens = searched * config.validation_prompts * config.search_tokens
    tokens += tested * config.n_test * config.new_tokens
    return {
        "parameters": f"{size.parameters:,}",
        "memory of the weights in 16 bit": f"{2 * size.parameters / 2**30:.1f} GiB",
        "candidates scored": f"{methods} × {candidates} (about {passes:,} prompt passes)",
        "conditions searched, then tested": f"{searched}, {tested}",
        "tokens generated, at most": f"{tokens:,}",
    }
