"""Pairs of responses of which one does not show what its side stands for are left out.

As in github.com/ewernn/trait-interp (response vetting: a judge's rating of 60 or more on the
trait's side, of 40 or less on the opposite one), but pair by pair, as in Chen et al. 2025
(Persona Vectors, arXiv 2507.21509): both sides keep the same situations. Only the trait is asked
for: a response that is no language holds on the opposite side.
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
Judge = TraitJudge | RubricJudge


def vetting_judge(plan: Plan) -> Judge | None:
    """None where nothing is vetted. Raises what loading or reaching the judge raises."""
    config, by = plan.config, plan.vetting["by"]
    if by == "none":
        return None
    if by == "rule":
        return PocketRule()  # pyright: ignore[reportReturnType] # its fingerprint is cached
    assert config.judge_model is not None
    return rubric_judge(config.judge_model, config.judge_url, device=config.device)


def vetted(
    record: Run, source: Source, rows: Sequence[Row], trait: str, judge: Judge | None
) -> list[Row]:
    """The responses of pairs whose both sides hold; all of them without a judge.

    A response that the judge could not rate does not hold; RuntimeError where a call failed.
    """
    if judge is None:
        return list(rows)
    told = _verdicts(record, source, rows, trait, judge)
    if silent := [verdict["reason"] for verdict in told if verdict["status"] == "failed"]:
        raise RuntimeError(f"{len(silent)} of {len(told)} responses were not rated: {silent[0]}")
    bad = _bad(source, told)
    return [row for row in rows if _pair(source, row) not in bad]


def vetted_counts(
    plan: Plan, record: Run, source: Source, positive: bool, n: int
) -> dict[str, int]:
    """How many of a side's n responses do not show what it stands for, and how many are left
    without them and their pairs."""
    if plan.vetting["by"] == "none":
        return {"does_not_hold": 0, "kept": n}
    told = record.log(_log_name(source)).rows()
    gone = sum(row["positive"] == positive and not row["ok"] for row in told)
    return {"does_not_hold": gone, "kept": n - len(_bad(source, told))}


def _log_name(source: Source) -> str:
    return f"vetting {source.name}"


def _verdicts(
    record: Run, source: Source, rows: Sequence[Row], trait: str, judge: Judge
) -> list[dict[str, Any]]:
    prompts = {(p, s.id): s.prompt for p, side in source.sides.items() for s in side}

    def measure(batch: Sequence[Row]) -> list[Row]:
        asked = [prompts[row["positive"], row["id"]] for row in batch]
        texts = [row["text"] for row in batch]
        rated = judge.trait(trait, source.traits.definition, asked, texts)
        return [_verdict(row, rating) for row, rating in zip(batch, rated, strict=True)]

    name, items = _log_name(source), {row["key"]: row for row in rows}
    return work_off(
        record, record.log(name), f"{name} {digest(*items):016x}", items, BATCH, measure,
        unit="response", title=name,
    )  # fmt: skip


def _verdict(row: Row, rating: Rating) -> Row:
    """`failed`, and asked again at the next start, where nothing came back of the judge."""
    value, positive = rating.value, row["positive"]
    holds = value is not None and (value >= SHOWS if positive else value <= SHOWS_NOT)
    status = "failed" if value is None and not rating.coverage else "ok"
    which = {name: row[name] for name in ("positive", "id", "rollout")}
    return {"status": status, "reason": rating.reason, **which, "trait": value, "ok": holds}


def _bad(source: Source, told: Sequence[Row]) -> set[tuple[int, int]]:
    return {_pair(source, verdict) for verdict in told if not verdict["ok"]}


def _pair(source: Source, row: Row) -> tuple[int, int]:
    """Scenario i of both sides is a pair, in each rollout."""
    ids = [scenario.id for scenario in source.sides[row["positive"]]]
    return ids.index(row["id"]), row["rollout"]
