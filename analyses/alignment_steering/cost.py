"""What a run costs, for --dry-run."""

from collections.abc import Iterator

from analyses.alignment_steering.conditions import MEAN, RANDOM, SVD, doses
from analyses.alignment_steering.plan import Pair, Plan
from analyses.alignment_steering.validate_plan import ValidatePlan
from analyses.requested import ModelPlan

WORDS = 60
"""Tokens of a text, where nobody has counted them: of dialogues like hh-rlhf more."""


def cost(plan: Plan) -> Iterator[str]:
    config, n = plan.config, plan.config.n_samples
    yield f"data: {n} preference pairs of {plan.source}, asked as {config.format}"
    for pair in plan.pairs:
        yield f"{pair.name}: {pair.reason or 'can be read'}"
        if not pair.reason:
            yield from _lines(plan, pair)
    good = [pair for pair in plan.pairs if not pair.reason]
    loads = len({p.base.name for p in good if p.base}) + len(good)
    yield f"{loads} loads of models, one at a time; {4 * n * len(good):,} texts read"


def _lines(plan: Plan, pair: Pair) -> Iterator[str]:
    n = plan.config.n_samples
    for model in pair.members:
        assert model.size is not None
        gib = bytes_of(plan, model) / 2**30
        yield f"  {model.name}: {model.size.parameters:,} parameters, weights {gib:.2f} GiB"
    size = pair.instruct.size
    assert size is not None
    states = 2 * n * size.n_layers * size.d_model * 4 / 2**20
    yield f"  forward passes: {4 * n:,} texts ({2 * n:,} a model)"
    yield f"  hidden states of a model: {states:,.0f} MiB" + (
        ", kept on the disk" if plan.config.cache else ", not kept"
    )
    flops = sum(2 * m.size.parameters * 2 * n * WORDS for m in pair.members if m.size)
    yield f"  about {flops / 1e12:,.2f} teraFLOP at {WORDS} tokens a text, rough"


def validate_cost(plan: ValidatePlan) -> Iterator[str]:
    config = plan.config
    named = [MEAN, *([SVD] if config.svd else ())]
    n = len(doses(config, [*named, *(f"{RANDOM} {k}" for k in range(config.random_vectors))]))
    yield f"vectors: {plan.vectors.folder}"
    for pair in plan.pairs:
        yield f"{pair.name}: {pair.reason or f'layers {plan.layers_of(pair)}'}"
    asked = 2 * config.requests
    yield f"{n} doses a pair and the instruct model: each {asked} answers of at most "
    yield f"  {config.new_tokens} tokens, {2 * config.test_pairs} answers read, "
    yield f"  {config.neutral_texts} neutral texts read; models are loaded up to 3 times a pair"


def bytes_of(plan: Plan, model: ModelPlan) -> float:
    """Of the weights in memory."""
    assert model.size is not None
    by_name = {"int8": 1.0, "int8-torchao": 1.0, "nf4": 0.5}
    dtype = plan.spec.dtype if plan.spec.dtype != "auto" else model.size.dtype
    width = by_name.get(plan.config.quantization, 4.0 if dtype == "float32" else 2.0)
    return model.size.parameters * width
