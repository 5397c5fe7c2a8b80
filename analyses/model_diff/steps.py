"""The steps of the model diff: what each is asked, and where it is done."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from analyses.model_diff.calibrate_config import Calibrate
from analyses.model_diff.combine_config import Combine
from analyses.model_diff.config import SEED, SEED_EXTRACT, Diff, Extract
from analyses.model_diff.similarity_config import Similarity
from analyses.model_diff.steer_config import Steer
from analyses.model_diff.weights_config import Weights
from analyses.model_diff.whole_config import Whole


@dataclass(frozen=True)
class Step:
    """Functions are named `module:function`, so that `--help` does not wait for torch."""

    settings: type[Diff]
    question: str
    plan: str
    """Settings → what will be done, with the folder that it goes into."""
    cost: str
    """Plan → lines for --dry-run."""
    run: str
    """Settings → results."""
    checkpoint: str
    """Tables → the plan's table behind this phase."""
    presets: Mapping[str, Any]

    def act(self, what: str) -> Any:
        module, _, name = getattr(self, what).partition(":")
        return getattr(import_module(f"analyses.model_diff.{module}"), name)


def _seed(settings: Diff, **changes: Any) -> dict[str, Diff]:
    return {"seed": replace(settings, **SEED, **changes)}


SEED_STEER: dict[str, Any] = {
    "new_tokens": 128,
    "search": "walk",
    "steered": ("all",),
    "layers": tuple(range(9, 20)),
}
"""What the plan says of steering: layers are all those of 30 to 60 % of 32."""
STEPS: Mapping[str, Step] = {
    "extract": Step(
        Extract,
        "Which directions tell a trait from its opposite, by source and place?",
        plan="plan:make_plan",
        cost="cost:cost",
        run="experiment:run",
        checkpoint="summary:checkpoint",
        presets=_seed(Extract(), **SEED_EXTRACT),
    ),
    "steer": Step(
        Steer,
        "Which vector, layer and dose bring the trait out, and how coherently?",
        plan="steer_plan:make_steer_plan",
        cost="cost:steer_cost",
        run="steer:run_steer",
        checkpoint="steer_summary:checkpoint",
        presets=_seed(Steer(), **SEED_STEER),
    ),
    "combine": Step(
        Combine,
        "Do vectors of both sources together do better than the best of one?",
        plan="combine_plan:make_combine_plan",
        cost="combine_plan:combine_cost",
        run="combine:run_combine",
        checkpoint="combine_summary:checkpoint",
        presets=_seed(Combine(), **SEED_STEER),
    ),
    "weights": Step(
        Weights,
        "What did tuning change in the weights, and does it point along a trait?",
        plan="weights_plan:make_weights_plan",
        cost="cost:weights_cost",
        run="weights:run_weights",
        checkpoint="weights_summary:checkpoint",
        presets=_seed(Weights()),
    ),
    "similarity": Step(
        Similarity,
        "Where are base and instruct alike on the same response, and do vectors carry over there?",
        plan="similarity_plan:make_similarity_plan",
        cost="similarity_plan:similarity_cost",
        run="similarity:run_similarity",
        checkpoint="similarity_summary:checkpoint",
        presets=_seed(Similarity(), new_tokens=128),
    ),
    "calibrate": Step(
        Calibrate,
        "How well does a judge agree with the embedded world's rule?",
        plan="calibrate_plan:make_calibrate_plan",
        cost="calibrate_plan:calibrate_cost",
        run="calibrate:run_calibrate",
        checkpoint="calibrate_summary:checkpoint",
        presets={},
    ),
    "run": Step(
        Whole,
        "All phases of one trait, and the four hypotheses one by one",
        plan="whole:make_whole_plan",
        cost="whole:whole_cost",
        run="whole:run_whole",
        checkpoint="whole:checkpoint",
        presets=_seed(Whole()),
    ),
}
