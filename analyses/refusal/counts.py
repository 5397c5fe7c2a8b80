"""How much a step has to compute for one model, counted before anything runs."""

from dataclasses import dataclass

from analyses.refusal.bypass import SHORT, TRIED
from analyses.refusal.plan import Plan
from analyses.requested import ModelPlan
from tl_geometry.selection import deepest

PROMPT, TEXT = 40, 60
"""Tokens of a request in its chat format, and of a neutral text, on average: rough."""
WAYS = 3
"""Of taking refusal away, that are measured on test prompts."""


@dataclass(frozen=True)
class Answers:
    """So many conditions, each with so many prompts that get so many new tokens."""

    conditions: int
    prompts: int
    tokens: int
    alone: bool = False
    """Whether every condition has passes of its own."""

    @property
    def generated(self) -> int:
        return self.conditions * self.prompts * self.tokens


@dataclass(frozen=True)
class Work:
    """Of one model: the first round, without what a step adds where its findings ask for it."""

    candidates: int
    """Directions scored."""
    searched: int
    """Conditions screened; the best of them go on to the whole search."""
    tested: int
    answers: tuple[Answers, ...]
    read: int
    """Requests that are read and not answered."""
    texts: int
    """Neutral texts that are read, untouched or edited."""

    @property
    def generated(self) -> int:
        return sum(answers.generated for answers in self.answers)


def work_of(plan: Plan, model: ModelPlan, n_layers: int) -> Work:
    """Upper counts: a method that finds no direction of its own choice needs less."""
    count = {"families": _families, "sizes": _sizes, "quantization": _quantization}
    return count[plan.spec.step](plan, model, n_layers)


def _families(plan: Plan, model: ModelPlan, n_layers: int) -> Work:
    config, depths = plan.config, len(plan.config.depths_of(model.name))
    methods, doses, random = len(config.methods), len(config.doses), config.random_directions
    searched = (methods * (depths + 1) + (random + 1) * depths) * doses
    kept = (methods * (depths + 1) + (random + 1) * depths) * _kept(plan)
    # As it is; every direction; for its best two choices, the other sign and the random ones.
    tested = 1 + methods * (depths + 1) + methods * 2 * (1 + random) + random + 1
    # Candidates that are removed or moved, every method's own choice, subtracted directions.
    ways = 2 * TRIED + 2 * methods + len(config.doses[::3])
    effects = 2 * methods + random
    answers = (
        *_search(plan, searched, kept),
        _test(plan, tested + 1),  # and harmful requests, as they are
        Answers(2 * (deepest(n_layers) - 1), config.positions * _few(plan), SHORT, alone=True),
        Answers(ways, config.validation_prompts, config.screen_tokens, alone=True),
        Answers(WAYS + random, config.n_test, config.new_tokens, alone=True),
    )
    edits = ways + WAYS + random + effects
    return _work(plan, n_layers, methods, searched, tested, answers, edits)


def _sizes(plan: Plan, model: ModelPlan, n_layers: int) -> Work:
    config, depths = plan.config, len(plan.config.depths_of(model.name))
    methods, doses, random = len(config.methods), len(config.doses), config.random_directions
    directions = depths * (random + 2) + methods - 1
    searched, kept = directions * doses, directions * _kept(plan)
    tested = 1 + methods * doses + methods * (1 + random) + random + 1
    answers = (*_search(plan, searched, kept), _test(plan, tested))
    return _work(plan, n_layers, methods, searched, tested, answers, methods)


def _quantization(plan: Plan, model: ModelPlan, n_layers: int) -> Work:
    config, depths = plan.config, len(plan.config.depths_of(model.name))
    precisions = len(getattr(config, "precisions", ("none",)))
    directions = depths * (config.random_directions + 2)
    searched, tested = directions * len(config.doses), 3 * precisions - 1
    answers = (*_search(plan, searched, directions * _kept(plan)), _test(plan, tested))
    return _work(plan, n_layers, 1, searched, tested, answers, 0, precisions)


def _kept(plan: Plan) -> int:
    return min(plan.config.kept_doses, len(plan.config.doses))


def _few(plan: Plan) -> int:
    return min(plan.config.screen_prompts, plan.config.validation_prompts)


def _search(plan: Plan, screened: int, kept: int) -> tuple[Answers, ...]:
    config = plan.config
    return (
        # What is likely: the untouched answers to both classes.
        Answers(2, config.validation_prompts, config.search_tokens),
        Answers(screened, _few(plan), config.screen_tokens),
        Answers(kept, config.validation_prompts, config.search_tokens),
    )


def _test(plan: Plan, conditions: int) -> Answers:
    return Answers(conditions, plan.config.n_test, plan.config.new_tokens)


def _work(
    plan: Plan,
    n_layers: int,
    methods: int,
    searched: int,
    tested: int,
    answers: tuple[Answers, ...],
    edits: int,
    extractions: int = 1,
) -> Work:
    config = plan.config
    candidates = methods * deepest(n_layers) * config.positions
    # DIM, the same with shuffled labels, and what opens its refusals; COSMIC.
    extracted = 2 * (3 * config.dim_prompts + config.cosmic_prompts) * extractions
    # A removed direction runs through all blocks, an added one on average through half of them.
    read = extracted + int(1.5 * candidates * config.selection_prompts)
    texts = 2 * edits * (len(plan.prompts.neutral) // 2)
    return Work(candidates, searched, tested, answers, read, texts)
