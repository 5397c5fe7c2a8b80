"""What a run costs, for --dry-run."""

from collections.abc import Iterator

from analyses.model_diff.plan import Plan


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
    yield "models are loaded one after the other"
