"""Answers under every vector, layer and dose, and what a judge makes of them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from analyses.model_diff.steer_config import Steer
from analyses.model_diff.steer_plan import SteerPlan
from analyses.model_diff.steer_search import (
    Condition,
    Place,
    Positions,
    Score,
    bisected,
    climbed,
)
from analyses.model_diff.steer_vectors import Stack, further_random, unit_vectors
from analyses.model_diff.steer_walk import next_step
from analyses.work import work_off
from tl_geometry.conditions import Condition as Steered
from tl_geometry.conditions import answers
from tl_geometry.generation import decode, without_ends
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
JUDGED = 16
"""Conditions that are rated together."""
ANSWERS, NONE = "answers", "none"
STEERED: Mapping[Positions, Span] = {
    "all": Span("all"),
    "prompt": Span("prompt"),
    "generated": Span("response"),
}
"""Kind of tokens → where it lies in a prompt and its answer."""
UNSTEERED = Condition(Place(NONE, 0), 0.0)


@dataclass(eq=False)
class Steering:
    """One run of the steered model, its vectors and its judge."""

    plan: SteerPlan
    record: Run
    model: Model
    judge: TraitJudge

    @cached_property
    def vectors(self) -> dict[str, Stack]:
        """`<source> <position> <method>` → unit vectors; what is searched, controls among them."""
        return unit_vectors(self.plan)

    @cached_property
    def draws(self) -> dict[str, Stack]:
        """Further random vectors, compared with and never searched."""
        return dict(further_random(self.plan, *next(iter(self.vectors.values())).shape))

    @cached_property
    def norms(self) -> dict[str, Float[Tensor, " layer"]]:
        """Kind of tokens → mean length of the steered model's own states there, by layer: what a
        dose is a share of. Over validation questions, and their unsteered answers; a kind that has
        no token is NaN."""
        from tl_geometry.span_means import Said, span_means

        rows = self.answered([UNSTEERED], "validation")[0]
        ids = encode_requests(self.model, self.plan.validation)
        said = [Said(i, tuple(a["ids"])) for i, a in zip(ids, rows["answers"], strict=True)]
        found = span_means(self.model, said, list(STEERED.values()))
        return {kind: found[span].norms.nanmean(0) for kind, span in STEERED.items()}

    def norms_at(self, steered: Positions) -> Float[Tensor, " layer"]:
        """RuntimeError where no unsteered answer has a token and answers are steered."""
        if (norms := self.norms[steered]).isnan().any():
            raise RuntimeError("every unsteered answer is empty: their tokens have no length")
        return norms

    @property
    def places(self) -> list[Place]:
        kinds, layers = dict.fromkeys(self.plan.config.steered), self.plan.layers
        return [Place(n, layer, kind) for n in self.vectors for kind in kinds for layer in layers]

    def searched(self) -> dict[Condition, Score]:
        """All conditions that were tried on validation questions, the unsteered model first."""
        config = self.plan.config
        found = self.scored([UNSTEERED], "validation")
        if config.coefficients:
            return found | self.scored(self._coefficients(), "validation", "coefficients")
        if config.search == "walk":
            return self._walked(found)
        return self._climbed(found, [(self.places, config.doses)], config)

    def _climbed(
        self,
        found: dict[Condition, Score],
        grids: Sequence[tuple[Sequence[Place], Sequence[float]]],
        config: Steer,
    ) -> dict[Condition, Score]:
        """Each group of places up its own grid of doses until answers fall apart; then the gap
        before that is halved."""
        for k in range(max(len(set(doses)) for _, doses in grids)):
            asked = [c for g in grids for c in climbed(g[0], found, g[1], config.coherence)]
            found |= self.scored(asked, "validation", f"dose {k + 1}")
        places = [place for group, _ in grids for place in group]
        for k in range(config.bisections):
            asked = bisected(places, found, config.coherence)
            found |= self.scored(asked, "validation", f"bisection {k + 1}")
        return found

    def _walked(self, found: dict[Condition, Score]) -> dict[Condition, Score]:
        walk, threshold = self.plan.walk, self.plan.config.coherence
        for k in range(walk.steps):
            asked = next_step(self.places, found, threshold, walk)
            found |= self.scored(asked, "validation", f"step {k + 1}")
        return found

    def _coefficients(self) -> list[Condition]:
        return [
            Condition(place, c / float(self.norms_at(place.steered)[place.layer]))
            for place in self.places
            for c in sorted(set(self.plan.config.coefficients))
        ]

    def coefficient(self, condition: Condition) -> float:
        """The dose as a multiple of the unit vector, which is how the plan writes it."""
        if condition == UNSTEERED:
            return 0.0
        place = condition.place
        return condition.dose * float(self.norms_at(place.steered)[place.layer])

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
        items = {key(part, c): row for c, row in zip(conditions, said, strict=True)}
        questions = self._questions(part)

        def measure(batch: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
            return self._judged(questions, batch)

        phase = _phase(self.judge.fingerprint[:8], items)
        return work_off(
            self.record, log_of, phase, items, JUDGED, measure, unit="condition",
            title=f"judge {title}",
        )  # fmt: skip

    def _judged(
        self, questions: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        """An answer that several conditions give to a question is rated once: low doses change
        little, and the judge costs as much as the answer."""
        said = [
            [
                (q, a["text"], tuple(a["ids"]))
                for q, a in zip(questions, row["answers"], strict=True)
            ]
            for row in rows
        ]
        pairs = list(dict.fromkeys(pair for row in said for pair in row))
        asked, texts = [q for q, *_ in pairs], [text for _, text, _ in pairs]
        traits, name = self.plan.traits, self.plan.config.trait
        trait = self.judge.trait(name, traits.definition, asked, texts)
        sound = self.judge.coherence(asked, texts, ids=[ids for *_, ids in pairs])
        rated = {pair: both for pair, *both in zip(pairs, trait, sound, strict=True)}
        return [_judgement([rated[pair] for pair in row]) for row in said]

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

        items = {key(part, c): c for c in conditions}
        size = max(1, (self.plan.config.batch_size or ROWS) // len(questions))
        rows = work_off(
            self.record, self.record.log(ANSWERS), _phase(title, items), items, size,
            measure, unit="condition", title=f"{part} {title}",
        )  # fmt: skip
        if bad := [row["reason"] for row in rows if row["status"] != "ok"]:
            raise RuntimeError(f"{len(bad)} of {len(rows)} conditions failed: {bad[0]}")
        return rows

    def _answers(self, rows: Sequence[Sequence[int]]) -> dict[str, Any]:
        cut = without_ends(self.model, rows)
        texts = decode(self.model, cut)
        found = [{"ids": ids, "text": text} for ids, text in zip(cut, texts, strict=True)]
        return {"status": "ok", "reason": "", "answers": found}

    def _steered(self, condition: Condition) -> Steered:
        if condition == UNSTEERED:
            return Steered()
        name, layer = condition.place.set, condition.place.layer
        unit = (self.vectors[name] if name in self.vectors else self.draws[name])[layer]
        vector = unit * self.coefficient(condition)
        return Steered(vector, layer, "layer", condition.place.steered)

    def _questions(self, part: str) -> tuple[str, ...]:
        return self.plan.validation if part == "validation" else self.plan.test


def key(part: str, condition: Condition) -> str:
    """Of a row: one condition on one half of the questions."""
    return f"{part}|{condition.key}"


def _phase(title: str, items: Mapping[str, Any]) -> str:
    """A cut into batches is kept by its phase's name; another judge chooses other conditions."""
    return f"{title} {digest(*items):016x}"


def _judgement(rated: Sequence[Sequence[Rating]]) -> dict[str, Any]:
    """One condition's ratings; `failed`, and asked again at the next start, where nothing came back
    of a question to the judge."""
    silent = [r.reason for both in rated for r in both if r.value is None and not r.coverage]
    status = {"status": "failed" if silent else "ok", "reason": silent[0] if silent else ""}
    trait, sound = ([both[k] for both in rated] for k in (0, 1))
    return {**status, "trait": _said(trait), "coherence": _said(sound)}


def _said(ratings: Sequence[Rating]) -> list[dict[str, Any]]:
    return [{"value": r.value, "reason": r.reason} for r in ratings]


def _mean(row: Mapping[str, Any], what: str) -> float:
    values = [rating["value"] for rating in row[what]]
    if gone := [rating["reason"] for rating in row[what] if rating["value"] is None]:
        raise RuntimeError(f"the judge left {len(gone)} of {len(values)} unrated: {gone[0]}")
    return float(np.mean(values))
