"""Responses of the instruct model, what it holds of them, and what the base model holds of the same
token ids: one model at a time, a batch at a time, each batch on record when it is done."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from safetensors import safe_open
from torch import Tensor

from analyses.model_diff.plan import Variant
from analyses.model_diff.similarity_plan import Prompt, SimilarityPlan
from analyses.work import work_off
from tl_geometry.generation import decode, generate, without_ends
from tl_geometry.model_delta import row_cosines
from tl_geometry.models import Model
from tl_geometry.response_states import ResponseStates, covered, response_states
from tl_geometry.runs import Run
from tl_geometry.span_means import Said
from tl_geometry.tokens import encode, encode_requests, pad

Arm = Literal["raw", "templated"]
ARMS: tuple[Arm, ...] = ("raw", "templated")
"""What stands before the response in the base model: the prompt as plain text, as in the plan, or
the very ids that the instruct model read."""
COMBINED = "steering_combined"
"""The plan's name of the prompt set."""
ROWS = 20
"""Prompts a pass."""
Row = dict[str, Any]
Measure = Callable[[Sequence[Prompt]], list[Row]]


@dataclass(eq=False)
class Replay:
    """The record of a run, and what is read off it."""

    plan: SimilarityPlan
    record: Run

    @cached_property
    def responses(self) -> dict[int, Row]:
        """Prompt → its row with the ids, of prompts that were answered with a token at least."""
        rows = self.rows("instruct")
        found = {p.id: rows[f"response|{p.key}"] for p in self.plan.prompts}
        return {i: row for i, row in found.items() if row["response_ids"]}

    def rows(self, log: Variant) -> dict[str, Row]:
        return {row["key"]: row for row in self.record.log(log).rows()}

    @property
    def answered(self) -> list[Prompt]:
        """ValueError where no prompt was answered."""
        prompts = [p for p in self.plan.prompts if p.id in self.responses]
        if not prompts:
            raise ValueError("the instruct model ended every answer before its first token")
        return prompts

    @property
    def n_positions(self) -> int:
        lengths = [len(self.responses[p.id]["response_ids"]) for p in self.answered]
        return covered(lengths, self.plan.config.coverage)

    def complete(self, variant: Variant) -> bool:
        """Whether everything of a model is on record."""
        done = self.record.log(variant).done
        if variant == "instruct":
            return all(f"response|{p.key}" in done for p in self.plan.prompts) and all(
                f"states|{p.key}" in done for p in self.answered
            )
        return all(f"{arm}|{p.key}" in done for arm in ARMS for p in self.answered)

    def other(self, prompt: Prompt) -> Prompt | None:
        """The next prompt of the same trait about something else: whose response the control
        compares with. None where there is none."""
        mine = [p for p in self.answered if p.trait == prompt.trait]
        at = mine.index(prompt)
        around = [*mine[at + 1 :], *mine[:at]]
        return next((p for p in around if p.subject != prompt.subject), None)

    def said(self, arm: Arm, prompts: Sequence[Prompt]) -> list[Said]:
        """What was read under an arm; the instruct model reads what `templated` does."""
        rows = [self.responses[p.id] for p in prompts]
        before = [row["prompt_ids"] for row in rows]
        if arm == "raw":
            found = self.rows("base")
            before = [found[f"raw|{prompt.key}"]["prompt_ids"] for prompt in prompts]
        return [Said(b, row["response_ids"]) for b, row in zip(before, rows, strict=True)]

    def respond(self, model: Model) -> None:
        """Greedy, under the chat template. RuntimeError where generation failed."""

        def measure(batch: Sequence[Prompt]) -> list[Row]:
            asked = encode_requests(model, [prompt.text for prompt in batch])
            most = self.plan.config.new_tokens
            new = generate(model, pad(model, asked), max_new_tokens=most)
            return list(_responses(model, asked, new))

        self._work(model, "instruct", "response", self.plan.prompts, measure)

    def read_instruct(self, model: Model) -> None:
        def measure(batch: Sequence[Prompt]) -> list[Row]:
            found = self._states(model, self.said("templated", batch))
            return self._saved("instruct", "states", batch, {"means": found.means, "at": found.at})

        self._work(model, "instruct", "states", self.answered, measure)

    def read_base(self, model: Model, arm: Arm) -> None:
        """The same response ids behind one arm's prompt."""

        def measure(batch: Sequence[Prompt]) -> list[Row]:
            before = [self.responses[p.id]["prompt_ids"] for p in batch]
            if arm == "raw":
                before = encode(model, [prompt.text for prompt in batch])
            ids = [self.responses[p.id]["response_ids"] for p in batch]
            texts = [Said(b, i) for b, i in zip(before, ids, strict=True)]
            found = self._states(model, texts)
            rows = self._saved("base", arm, batch, {"means": found.means})
            for row, text, prompt, states in zip(rows, texts, batch, found.at, strict=True):
                row |= {"prompt_ids": list(text.prompt), "response_ids": list(text.response)}
                row |= {"own": self._compared(states, text, prompt)}
                row |= {"other": self._compared(states, text, self.other(prompt))}
            return rows

        self._work(model, "base", arm, self.answered, measure)

    def means(self, log: Variant, phase: str) -> np.ndarray:
        """[prompt, layer, d] of the answered prompts, in their order."""
        rows = self.rows(log)
        mine = [rows[f"{phase}|{p.key}"] for p in self.answered]
        return torch.stack([self._array(log, row, "means") for row in mine]).double().numpy()

    def _work(
        self, model: Model, log: Variant, phase: str, prompts: Sequence[Prompt], measure: Measure
    ) -> None:
        size = self.plan.config.batch_size or ROWS
        items = {f"{phase}|{prompt.key}": prompt for prompt in prompts}
        rows = work_off(
            self.record, self.record.log(log), f"{log} {phase}", items, size, measure,
            unit="prompt", title=f"{self.plan.model(log).name} {phase}",
        )  # fmt: skip
        if bad := [row["reason"] for row in rows if row["status"] != "ok"]:
            raise RuntimeError(f"{len(bad)} of {len(rows)} prompts failed ({phase}): {bad[0]}")

    def _states(self, model: Model, texts: Sequence[Said]) -> ResponseStates:
        return response_states(model, texts, self.plan.kept, self.n_positions)

    def _saved(
        self, log: Variant, phase: str, batch: Sequence[Prompt], arrays: Mapping[str, Tensor]
    ) -> list[Row]:
        """The file is there before the rows that name it."""
        name = f"{phase}-{batch[0].key}-{batch[-1].key}"
        self.record.save_arrays(log, name, arrays)
        return [{"status": "ok", "reason": "", "file": name, "row": k} for k, _ in enumerate(batch)]

    def _array(self, log: Variant, row: Mapping[str, Any], name: str) -> Tensor:
        """One prompt's slice; the rest of the file is not read."""
        path = self.record.model_folder(log) / "artifacts" / f"{row['file']}.safetensors"
        with safe_open(path, "pt") as file:
            return file.get_slice(name)[row["row"]]

    def _compared(
        self, base: Tensor, text: Said, prompt: Prompt | None
    ) -> list[list[float]] | None:
        """Kept layer → position → cosine with what the instruct model holds of a prompt's response
        there, as far as both responses and the covered positions reach."""
        if prompt is None:
            return None
        instruct = self._array("instruct", self.rows("instruct")[f"states|{prompt.key}"], "at")
        theirs = len(self.responses[prompt.id]["response_ids"])
        end = min(len(text.response), theirs, self.n_positions)
        sides = [side[:end].transpose(0, 1).double().numpy() for side in (base, instruct)]
        return [row_cosines(a, b).tolist() for a, b in zip(*sides, strict=True)]


def _responses(
    model: Model, asked: Sequence[Sequence[int]], new: Int[Tensor, "row token"]
) -> Iterator[Row]:
    for prompt, said in zip(asked, without_ends(model, new), strict=True):
        yield {
            "status": "ok",
            "reason": "",
            "prompt_ids": list(prompt),
            "response_ids": said,
            "text": decode(model, [said])[0] if said else "",
            "tokens": model.tokenizer.convert_ids_to_tokens(said),
        }


def of_arm(arm: Arm) -> str:
    """The base model's folder in the exported tree; the plan's own arm has the plan's name."""
    return "base" if arm == "raw" else f"base_{arm}"


def activation_file(record: Run, variant: str, prompt: Prompt) -> Path:
    return inference(record, variant, "raw/residual") / f"{prompt.id}.safetensors"


def inference(record: Run, variant: str, what: str) -> Path:
    """The plan's folder of one model's responses or states."""
    return record.folder / "export" / "inference" / variant / what / "model_diff" / COMBINED
