"""Answers under every vector, layer and dose, and what a judge makes of them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analyses.model_diff.steer_plan import SteerPlan
from analyses.model_diff.steer_search import Condition, Place, Score, bisected, grid
from analyses.model_diff.tables import vectors_of
from analyses.model_diff.vectors import RANDOM, SHUFFLED
from analyses.work import work_off
from tl_geometry.conditions import Condition as Steered
from tl_geometry.conditions import answers
from tl_geometry.generation import decode, stop_ids
from tl_geometry.judges.number_scores import Rating
from tl_geometry.judges.trait_scores import TraitJudge
from tl_geometry.models import Model
from tl_geometry.pocket.splits import digest
from tl_geometry.runs import Run
from tl_geometry.spans import Span
from tl_geometry.tokens import encode_requests

log = logging.getLogger(__name__)
ROWS = 320
"""Rows a pass: conditions times questions."""
ANSWERS, NONE = "answers", "none"
UNSTEERED = Condition(Place(NONE, 0), 0.0)


@dataclass(eq=False)
class Steering:
    """One run of the steered model, its vectors and its judge."""

    plan: SteerPlan
    record: Run
    model: Model
    judge: TraitJudge

    @cached_property
    def vectors(self) -> dict[str, Tensor]:
        """`<source> <position> <method>` → unit vectors, [layer, d]."""
        extraction = self.plan.extraction
        found = {}
        for source in extraction.sources:
            for name, stack in vectors_of(extraction.folder, source.name).items():
                position, _, method = name.partition("|")
                if method in (*extraction.config.methods, RANDOM, SHUFFLED):
                    place = f"{source.name} {Span.from_folder(position)} {method}"
                    found[place] = stack / stack.norm(dim=-1, keepdim=True)
        return found

    @cached_property
    def norms(self) -> Tensor:
        """Mean length of the steered model's own states at the tokens of its unsteered answers to
        validation questions, by layer: what a dose is a share of."""
        from tl_geometry.span_means import Said, span_means

        rows = self.answered([UNSTEERED], "validation")[0]
        ids = encode_requests(self.model, self.plan.validation)
        said = [Said(i, tuple(a["ids"])) for i, a in zip(ids, rows["answers"], strict=True)]
        span = Span("response")
        states = span_means(self.model, [s for s in said if s.response], [span])[span]
        return states.norms.mean(0)

    @property
    def places(self) -> list[Place]:
        return [Place(name, layer) for name in self.vectors for layer in self.plan.layers]

    def searched(self) -> dict[Condition, Score]:
        """The grid, then bisections, on validation questions."""
        config = self.plan.config
        found = self.scored([UNSTEERED], "validation")
        found |= self.scored(grid(self.places, config.doses), "validation", "grid")
        for k in range(config.bisections):
            asked = bisected(self.places, found, config.coherence)
            found |= self.scored(asked, "validation", f"bisection {k + 1}")
        return found

    def scored(
        self, conditions: Sequence[Condition], part: str, title: str = ""
    ) -> dict[Condition, Score]:
        """RuntimeError where a rating is missing: no mean hides one."""
        rows = self.rated(conditions, part, title)
        return {
            c: Score(_mean(row, "trait"), _mean(row, "coherence"))
            for c, row in zip(conditions, rows, strict=True)
        }

    def rated(
        self, conditions: Sequence[Condition], part: str, title: str = ""
    ) -> list[dict[str, Any]]:
        """One row a condition: what the judge said of each answer. Kept under the judge's own
        fingerprint, so that another one reads the same answers anew."""
        said = self.answered(conditions, part, title)
        log_of = self.record.log(f"judge {self.judge.fingerprint[:8]}")
        items = {f"{part}|{c.key}": row for c, row in zip(conditions, said, strict=True)}
        questions = self._questions(part)

        def measure(batch: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
            return [self._judged(questions, row) for row in batch]

        phase = _phase(self.judge.fingerprint[:8], items)
        return work_off(
            self.record, log_of, phase, items, 8, measure, unit="condition", title=f"judge {title}"
        )

    def _judged(self, questions: Sequence[str], row: Mapping[str, Any]) -> Mapping[str, Any]:
        texts = [answer["text"] for answer in row["answers"]]
        traits = self.plan.traits
        trait = self.judge.trait(self.plan.config.trait, traits.definition, questions, texts)
        sound = self.judge.coherence(questions, texts)
        return {"status": "ok", "reason": "", "trait": _said(trait), "coherence": _said(sound)}

    def answered(
        self, conditions: Sequence[Condition], part: str, title: str = ""
    ) -> list[dict[str, Any]]:
        questions = self._questions(part)
        ids = encode_requests(self.model, questions)

        def measure(batch: Sequence[Condition]) -> list[dict[str, Any]]:
            said = answers(
                self.model, ids, [self._steered(c) for c in batch],
                max_new_tokens=self.plan.config.new_tokens, batch_size=ROWS,
            )  # fmt: skip
            return [self._answers(rows) for rows in said]

        items = {f"{part}|{c.key}": c for c in conditions}
        size = max(1, (self.plan.config.batch_size or ROWS) // len(questions))
        rows = work_off(
            self.record, self.record.log(ANSWERS), _phase(title, items), items, size,
            measure, unit="condition", title=f"{part} {title}",
        )  # fmt: skip
        if bad := [row["reason"] for row in rows if row["status"] != "ok"]:
            raise RuntimeError(f"{len(bad)} of {len(rows)} conditions failed: {bad[0]}")
        return rows

    def _answers(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        ends = stop_ids(self.model)
        cut = [list(ids[:-1]) if ids and ids[-1] in ends else list(ids) for ids in rows]
        texts = decode(self.model, cut)
        found = [{"ids": ids, "text": text} for ids, text in zip(cut, texts, strict=True)]
        return {"status": "ok", "reason": "", "answers": found}

    def _steered(self, condition: Condition) -> Steered:
        if condition == UNSTEERED:
            return Steered()
        layer = condition.place.layer
        unit = self.vectors[condition.place.set][layer]
        length = condition.dose * float(self.norms[layer])
        return Steered(unit * length, layer, "layer", "all")

    def _questions(self, part: str) -> tuple[str, ...]:
        return self.plan.validation if part == "validation" else self.plan.test


def _phase(title: str, items: Mapping[str, Any]) -> str:
    """A cut into batches is kept by its phase's name; another judge chooses other conditions."""
    return f"{title} {digest(*items):016x}"


def _said(ratings: Sequence[Rating]) -> list[dict[str, Any]]:
    return [{"value": r.value, "reason": r.reason} for r in ratings]


def _mean(row: Mapping[str, Any], what: str) -> float:
    values = [rating["value"] for rating in row[what]]
    if gone := [rating["reason"] for rating in row[what] if rating["value"] is None]:
        raise RuntimeError(f"the judge left {len(gone)} of {len(values)} unrated: {gone[0]}")
    return float(np.mean(values))


def judge_of(plan: SteerPlan, model: Model) -> TraitJudge:
    """The embedded world's rules with this model's own likelihoods, or the judge that is named.

    Raises what loading or reaching that judge raises.
    """
    config = plan.config
    if config.judge_model is None:
        return _pocket_rule(plan, model)
    from tl_geometry.judges.local_numbers import local_number_judge
    from tl_geometry.judges.server_numbers import server_number_judge
    from tl_geometry.judges.trait_scores import RubricJudge

    if config.judge_url:
        return RubricJudge(server_number_judge(config.judge_model, config.judge_url))  # pyright: ignore[reportReturnType] # its fingerprint is cached
    return RubricJudge(local_number_judge(config.judge_model))  # pyright: ignore[reportReturnType] # its fingerprint is cached


def _pocket_rule(plan: SteerPlan, model: Model) -> TraitJudge:
    from tl_geometry.judges.pocket_rule import PocketRule, Unsteered
    from tl_geometry.judges.quality import nll_band
    from tl_geometry.likelihood import answer_nll

    with torch.inference_mode():
        ids = encode_requests(model, plan.traits.validation)
        said = answers(model, ids, [Steered()], max_new_tokens=plan.config.new_tokens)[0]
    band = nll_band(answer_nll(model, ids, said))
    name = plan.extraction.pair.instruct.revision
    return PocketRule(Unsteered(model, (round(band[0], 6), round(band[1], 6)), name))  # pyright: ignore[reportReturnType] # its fingerprint is cached
