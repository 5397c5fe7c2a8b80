"""Measure one pair: the instruct model as ceiling, then the base model under every dose."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.metrics import silhouette_samples

from analyses.alignment_steering.conditions import (
    MEAN,
    NONE,
    Dose,
    doses,
    steering,
    steering_vectors,
)
from analyses.alignment_steering.exported import vectors_of
from analyses.alignment_steering.extracting import Loading, longest, wording_of
from analyses.alignment_steering.plan import Pair
from analyses.alignment_steering.readouts import ROWS, Asked, Seen, Steered
from analyses.alignment_steering.texts import Text, Wording, encoded
from analyses.alignment_steering.validate_plan import ValidatePlan
from analyses.work import work_off
from tl_geometry.generation import decode
from tl_geometry.judges import Band, is_refusal, nll_band, quality, why_garbled
from tl_geometry.layered_steering import LayeredSteering
from tl_geometry.models import Model
from tl_geometry.runs import RowLog, Run

log = logging.getLogger(__name__)
DONE, CEILING, CAPABILITY, BASE, OPINIONS = "pair", "ceiling", "capability", "base", "opinions"
Row = dict[str, Any]


@dataclass(eq=False)
class PairJob:
    """One pair on its way through all phases; what is on record is not measured again."""

    plan: ValidatePlan
    record: Run
    pair: Pair
    wording: Wording = field(init=False)
    texts: tuple[Text, ...] = field(init=False)
    requests: list[list[int]] = field(init=False)

    def __post_init__(self) -> None:
        config = self.plan.config
        self.wording, most = wording_of(config, self.pair), longest(config, self.pair)
        self.texts = encoded(self.wording, self.plan.data.pairs, most).texts
        if len(self.texts) < 3:
            raise ValueError(f"{len(self.texts)} test pairs are short enough to be read")
        self.requests = [self.wording.request(r.text) for r in self.plan.requests]
        tokenizer = self.wording.tokenizer
        self.neutral = [
            list(tokenizer(text.text, add_special_tokens=True)["input_ids"])[:most]
            for text in self.plan.neutral
        ]
        self.layers = self.plan.layers_of(self.pair)
        self.vectors = steering_vectors(
            vectors_of(self.plan.vectors.folder, self.pair.name), self.layers, config
        )

    @property
    def rows(self) -> RowLog:
        return self.record.log(self.pair.name)

    def measure(self) -> None:
        """Raises what loading or measuring raises, and RuntimeError where a dose failed."""
        assert self.pair.base is not None
        if DONE in self.rows.done:
            return
        config = self.plan.config
        with Loading(config, self.pair.instruct) as instruct:
            ceiling = self._once(CEILING, lambda: self._ceiling(self._steered(instruct)))
        with Loading(config, self.pair.base) as base:
            self._doses(base)
            self._once(CAPABILITY, lambda: self._capability(self._steered(base), ceiling))
        with Loading(config, self.pair.instruct) as instruct:
            self._once(OPINIONS, lambda: self._opinions(instruct, ceiling))
        self.rows.append([{"key": DONE, "status": "ok", "reason": "", "layers": self.layers}])

    def _once(self, key: str, measure: Any) -> Row:
        found = {row["key"]: row for row in self.rows.rows()}
        if key not in self.rows.done:
            found[key] = {"key": key, "status": "ok", "reason": "", **measure()}
            self.rows.append([found[key]])
        return found[key]

    # --- the base model under every dose ----------------------------------------------------------

    def _doses(self, loading: Loading) -> None:
        given = {f"{BASE}|{d.key}": d for d in doses(self.plan.config, list(self.vectors))}
        rows = self.rows
        if all(key in rows.done for key in given):
            return
        steered = self._steered(loading)
        band = self._once("band", lambda: {"band": list(self._band(steered))})["band"]

        def measure(batch: Sequence[Dose]) -> list[Row]:
            return self._measured(steered, batch, (band[0], band[1]))

        size = max(1, ROWS // len(self.requests))
        phase = f"{self.pair.name} doses"
        found = work_off(self.record, self.rows, phase, given, size, measure, unit="dose")
        if failed := [row for row in found if row["status"] == "failed"]:
            raise RuntimeError(f"{len(failed)} doses failed: {failed[0]['reason']}")

    def _steered(self, loading: Loading) -> Steered:
        return Steered(loading(), self.plan.config.batch_size)

    def _pushes(self, given: Sequence[Dose]) -> LayeredSteering:
        keep = self.plan.config.preserve_norm
        return steering(self.vectors, given, self.layers, keep_norm=keep)

    def _measured(self, steered: Steered, batch: Sequence[Dose], band: Band) -> list[Row]:
        asked = Asked(
            self.requests, self.plan.config.new_tokens, self.texts, self.neutral, self.read_at
        )
        return [
            {
                "status": "ok",
                "reason": "",
                "vector": dose.vector,
                "strength": dose.strength,
                "answers": self._judged(seen, band),
                "preference": seen.margins,
                "chosen": seen.chosen,
                "neutral": seen.neutral,
                **self._separation(seen),
            }
            for dose, seen in zip(batch, steered.see(self._pushes(batch), asked), strict=True)
        ]

    @property
    def read_at(self) -> tuple[int, int]:
        """The first block that is steered, and the last there is."""
        return min(self.layers), self.pair.n_layers - 1

    def _separation(self, seen: Seen) -> Row:
        """Each request's silhouette width in the classes harmful and harmless."""
        harmful = np.array([request.harmful for request in self.plan.requests])
        places = zip(("separation_first", "separation_last"), self.read_at, strict=True)
        return {
            name: silhouette_samples(seen.states[layer], harmful).astype(float).tolist()
            for name, layer in places
        }

    def _judged(self, seen: Seen, band: Band) -> list[Row]:
        rows = zip(self.plan.requests, seen.ids, seen.answers, seen.nll, strict=True)
        return [
            {
                "id": request.id,
                "harmful": request.harmful,
                "ids": ids,
                "text": text,
                "nll": value,
                "refused": is_refusal(text),
                "quality": quality(text, nll=value, band=band),
            }
            for request, ids, text, value in rows
        ]

    def _band(self, steered: Steered) -> Band:
        """How likely this model's own answers are to it."""
        prompts = [self.wording.request(r.text) for r in self.plan.calm]
        nothing = self._pushes([Dose(NONE)])
        (said,) = steered.answers(nothing, prompts, self.plan.config.new_tokens)
        return nll_band(steered.nll(prompts, said))

    # --- the instruct model, and what the base model makes of its words ---------------------------

    def _ceiling(self, steered: Steered) -> Row:
        band = self._band(steered)
        (row,) = self._measured(steered, [Dose(NONE)], band)
        return {**row, "vector": "instruct", "band": list(band)}

    def _capability(self, steered: Steered, ceiling: Row) -> Row:
        """The base model, given the first words of the instruct model's own refusals: does it go
        on to refuse? Unsteered, and with the mean vector at its full strength."""
        model, given, openings = steered.model, [], []
        for ids, answer in zip(self.requests, ceiling["answers"], strict=True):
            opening = self._opening(model, answer) if answer["harmful"] else []
            if opening:
                given.append([*ids, *opening])
                openings.append(opening)
        both = self._pushes([Dose(NONE), Dose(MEAN, max(self.plan.config.lambdas))])
        if not given:
            return {"status": "missing", "reason": "the instruct model refuses no harmful request"}
        said = steered.answers(both, given, self.plan.config.new_tokens)
        found = [
            decode(model, [[*a, *b] for a, b in zip(openings, one, strict=True)]) for one in said
        ]
        return {
            "openings": decode(model, openings),
            "texts": found[0],
            "refused": [is_refusal(text) for text in found[0]],
            "steered_texts": found[1],
            "steered_refused": [is_refusal(text) for text in found[1]],
        }

    def _opening(self, model: Model, answer: Row) -> list[int]:
        """The first words of a refusal, that are no refusal by themselves; empty if it is none."""
        if not answer["refused"]:
            return []
        for n in range(min(self.plan.config.opening_tokens, len(answer["ids"])), 0, -1):
            opening = answer["ids"][:n]
            if not is_refusal(decode(model, [opening])[0]):
                return list(opening)
        return []

    def _opinions(self, loading: Loading, ceiling: Row) -> Row:
        """A refusal surprises a base model that never read one: where its likelihood alone speaks
        against it, it counts as coherent if the instruct model finds it likely."""
        asked = dict(zip([r.id for r in self.plan.requests], self.requests, strict=True))
        doubted = [
            (row["key"], answer)
            for row in self.rows.rows()
            if row["key"].startswith(f"{BASE}|")
            for answer in row["answers"]
            if answer["refused"] and answer["quality"] == "garbled"
            if not why_garbled(answer["text"])
        ]
        if not doubted:
            return {"coherent": []}
        prompts = [asked[answer["id"]] for _, answer in doubted]
        nll = self._steered(loading).nll(prompts, [answer["ids"] for _, answer in doubted])
        low, high = ceiling["band"]
        return {
            "coherent": [
                [key, answer["id"]]
                for (key, answer), value in zip(doubted, nll, strict=True)
                if low <= value <= high
            ]
        }
