"""Who rates the answers of a run of `steer`."""

import torch

from analyses.model_diff.steer_plan import SteerPlan
from tl_geometry.conditions import Condition, answers
from tl_geometry.generation import without_ends
from tl_geometry.judges.trait_scores import TraitJudge
from tl_geometry.models import Model
from tl_geometry.tokens import encode_requests


def judge_of(plan: SteerPlan, model: Model) -> TraitJudge:
    """The embedded world's rules with this model's own likelihoods, or the judge that is named.

    Raises what loading or reaching that judge raises.
    """
    config = plan.config
    if config.judge_model is None:
        return _pocket_rule(plan, model)
    from tl_geometry.judges.rubric_judge import rubric_judge

    return rubric_judge(config.judge_model, config.judge_url, device=config.device)  # pyright: ignore[reportReturnType] # its fingerprint is cached


def _pocket_rule(plan: SteerPlan, model: Model) -> TraitJudge:
    """The band is of what is judged: answers without the token that ended them."""
    from tl_geometry.judges.pocket_rule import PocketRule, Unsteered
    from tl_geometry.judges.quality import nll_band
    from tl_geometry.likelihood import answer_nll

    with torch.inference_mode():
        ids = encode_requests(model, plan.traits.validation)
        said = answers(model, ids, [Condition()], max_new_tokens=plan.config.new_tokens)[0]
    told = {k: s for k, s in enumerate(without_ends(model, said)) if s}
    band = nll_band(answer_nll(model, [ids[k] for k in told], list(told.values())))
    name = plan.extraction.pair.instruct.revision
    return PocketRule(Unsteered(model, (round(band[0], 6), round(band[1], 6)), name))  # pyright: ignore[reportReturnType] # its fingerprint is cached
