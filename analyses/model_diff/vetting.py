"""Pairs of responses of which one does not show what its side stands for are left out.

As in github.com/ewernn/trait-interp (response vetting: a judge's rating of 60 or more on the
trait's side, of 40 or less on the opposite one), but pair by pair, as in Chen et al. 2025
(Persona Vectors, arXiv 2507.21509): both sides keep the same situations.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from analyses.model_diff.plan import Plan, Source
from analyses.work import work_off
from tl_geometry.judges.number_scores import Rating
from tl_geometry.judges.pocket_rule import PocketRule
from tl_geometry.judges.rubric_judge import rubric_judge
from tl_geometry.judges.trait_scores import RubricJudge, TraitJudge
from tl_geometry.pocket.splits import digest
from tl_geometry.runs import Run

SHOWS, SHOWS_NOT = 60.0, 40.0
"""Ratings: at least on the trait's side, at most on the opposite one."""
BATCH = 16
Row = Mapping[str, Any]


def log_name(source: Source) -> str:
    return f"vetting {source.name}"


def vetted(plan: Plan, record: Run, source: Source, rows: Sequence[Row]) -> list[Row]:
    """The responses of pairs whose both sides hold; all of them without vetting.

    Raises what loading or reaching the judge raises. A response that it left unrated does not hold.
    """
    if plan.vet == "none":
        return list(rows)
    judge = PocketRule() if plan.vet == "rule" else _judge(plan)
    prompts = {(p, s.id): s.prompt for p, side in source.sides.items() for s in side}

    def measure(batch: Sequence[Row]) -> list[Row]:
        asked = [prompts[row["positive"], row["id"]] for row in batch]
        texts = [row["text"] for row in batch]
        definition = source.traits.definition
        rated = judge.trait(plan.config.trait, definition, asked, texts)
        return [_verdict(row, rating) for row, rating in zip(batch, rated, strict=True)]

    items = {row["key"]: row for row in rows}
    told = work_off(
        record, record.log(log_name(source)), f"{log_name(source)} {digest(*items):016x}", items,
        BATCH, measure, unit="response", title=log_name(source),
    )  # fmt: skip
    if silent := [verdict["reason"] for verdict in told if verdict["status"] == "failed"]:
        raise RuntimeError(f"{len(silent)} of {len(told)} responses were not rated: {silent[0]}")
    bad = {_pair(source, row) for row, verdict in zip(rows, told, strict=True) if not verdict["ok"]}
    return [row for row in rows if _pair(source, row) not in bad]


def left_out(record: Run, source: Source, positive: bool) -> int:
    """How many responses of a side do not show what it stands for; their pairs go with them."""
    rows = record.log(log_name(source)).rows()
    return sum(row["positive"] == positive and not row["ok"] for row in rows)


def _pair(source: Source, row: Row) -> tuple[int, int]:
    """Scenario i of both sides is a pair, in each rollout."""
    ids = [scenario.id for scenario in source.sides[row["positive"]]]
    return ids.index(row["id"]), row["rollout"]


def _judge(plan: Plan) -> TraitJudge | RubricJudge:
    config = plan.config
    assert config.judge_model is not None
    return rubric_judge(config.judge_model, config.judge_url, device=config.device)


def _verdict(row: Row, rating: Rating) -> Row:
    """`failed`, and asked again at the next start, where nothing came back of the judge."""
    value, positive = rating.value, row["positive"]
    holds = value is not None and (value >= SHOWS if positive else value <= SHOWS_NOT)
    status = "failed" if value is None and not rating.coverage else "ok"
    told = {"positive": positive, "trait": value, "ok": holds}
    return {"status": status, "reason": rating.reason, **told}
