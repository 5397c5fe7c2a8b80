"""What a run says that its budget has stopped: what was spent, how to go on, what to cut."""

from collections.abc import Iterator, Mapping

import pandas as pd

from analyses.budget import SPENT
from analyses.ledger import Account
from analyses.refusal.config import LOW_PRIORITY
from analyses.refusal.plan import Plan
from analyses.requested import ModelPlan, address
from figures.rows import records

FAILS = ("fails", "breakdown")
FEWER = 30
"""Test prompts that the plan falls back to."""


def stopped(
    plan: Plan, failed: Mapping[str, str], account: Account, verdicts: pd.DataFrame | None = None
) -> str:
    """One sentence, with the plan's order of cuts (its section 6.3) for this run."""
    waiting = [name for name, reason in failed.items() if reason == SPENT]
    cuts = [f"({k}) {cut}" for k, cut in enumerate(_cuts(plan, waiting, verdicts), start=1)]
    less = (
        f" To spend less: {'; '.join(cuts)}. Other settings or models make another run, which "
        "measures anew."
        if cuts
        else ""
    )
    return (
        f"the budget is spent, {account.stated()}: {', '.join(waiting)} of {len(plan.models)} "
        f"models {'is' if len(waiting) == 1 else 'are'} not wholly measured; all that was measured "
        f"is kept, and the same command with a larger budget goes on from there.{less}"
    )


def _cuts(plan: Plan, waiting: list[str], verdicts: pd.DataFrame | None) -> Iterator[str]:
    names = [model.name for model in plan.models]
    low = [name for name in names if name in LOW_PRIORITY]
    if gone := [name for name in low if name in _failing(verdicts)]:
        yield f"leave {', '.join(gone)} out of all further steps (low priority, and fails)"
    elif low := [name for name in low if name in waiting]:
        yield f"leave out {', '.join(low)} (low priority)"
    if plan.config.n_test > FEWER:
        yield f"{FEWER} instead of {plan.config.n_test} test prompts: --limit {FEWER}"
    ordered = _smallest_first(plan)
    if ordered != [model for model in plan.models if model.size]:
        given = (address(plan.config, model.spec) for model in ordered)
        yield f"the largest models last: --models {' '.join(given)}"
    elif len(waiting) > 1:
        yield f"leave out the largest, {ordered[-1].name}"


def _failing(verdicts: pd.DataFrame | None) -> set[str]:
    """Models that no method makes refuse; one that only breaks down fails, too."""
    rows = [] if verdicts is None else records(verdicts)
    seen = {row["model"] for row in rows}
    return seen - {row["model"] for row in rows if row["verdict"] not in FAILS}


def _smallest_first(plan: Plan) -> list[ModelPlan]:
    sized = [model for model in plan.models if model.size]
    return sorted(sized, key=lambda model: model.size.parameters if model.size else 0)
