"""What a run costs, for --dry-run."""

from collections.abc import Iterator

from analyses.model_diff.plan import Plan
from analyses.model_diff.steer_plan import SteerPlan
from analyses.model_diff.weights_plan import WeightsPlan


def cost(plan: Plan) -> Iterator[str]:
    config = plan.config
    for source in plan.sources:
        n = 2 * len(source.traits.positive) * config.rollouts
        positions = ", ".join(map(str, source.spans))
        yield (
            f"{source.name}: {source.model.name} answers {n} scenarios of {source.traits.name} "
            f"with at most {source.new_tokens} tokens, and reads them once more for {positions}"
        )
        if source.model.size is not None:
            yield f"  {source.model.size.parameters / 1e6:.1f} M parameters"
    yield f"responses are vetted by {_vetting(plan)}"
    yield "models are loaded one after the other"


def _vetting(plan: Plan) -> str:
    if plan.vetting["by"] == "none":
        return "nobody"
    if plan.vetting["by"] == "rule":
        return "the embedded world's rule"
    n = sum(2 * len(s.traits.positive) for s in plan.sources) * plan.config.rollouts
    where = "on its server" if plan.config.judge_url else "loaded beside the model that responds"
    return f"{plan.vetting['judge']['name']}, {where}: {n} ratings"


def steer_cost(plan: SteerPlan) -> Iterator[str]:
    config = plan.config
    sets = len(plan.sets) + 2 * len(plan.spans)  # two controls a position
    places = sets * len(plan.layers) * len(set(config.steered))
    if config.coefficients:
        tries = len(set(config.coefficients))
    elif config.search == "walk":
        tries = config.search_steps
    else:
        tries = len(config.doses) + config.bisections
    yield (
        f"{sets} sets of vectors (controls among them) at layers {plan.layers}, added to "
        f"{' and to '.join(dict.fromkeys(config.steered))} tokens: at most "
        f"{places * tries} conditions of {len(plan.validation)} validation questions, answers of "
        f"{config.new_tokens} tokens; the chosen ones, each with {config.randoms} random vectors, "
        f"on {len(plan.test)} test questions"
    )


def weights_cost(plan: WeightsPlan) -> Iterator[str]:
    names = " and ".join(model.name for model in plan.models)
    yield f"reads {names} tensor by tensor; builds neither"
    if plan.extraction is not None:
        base = plan.models[0].name
        yield f"but for one pass of {base} over its own responses, for what enters its matrices"
