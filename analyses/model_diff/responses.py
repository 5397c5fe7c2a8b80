"""What models answer to the scenarios: token ids, kept, and never text that is tokenised again."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from analyses.model_diff.config import Extract
from analyses.model_diff.plan import Source
from analyses.work import Result, work_off
from tl_geometry.generation import decode, generate, without_ends
from tl_geometry.models import Model
from tl_geometry.pocket.splits import digest
from tl_geometry.prompts.trait_files import Scenario
from tl_geometry.runs import Run
from tl_geometry.tokens import encode, encode_chat, pad

ROWS = 100
"""Scenarios a pass."""


@dataclass(frozen=True)
class Asked:
    """One scenario of one side, asked for the k-th time."""

    scenario: Scenario
    positive: bool
    rollout: int

    @property
    def key(self) -> str:
        return f"response|{'pos' if self.positive else 'neg'}|{self.scenario.id}|{self.rollout}"


def asked(source: Source, rollouts: int) -> list[Asked]:
    return [
        Asked(scenario, positive, k)
        for k in range(rollouts)
        for positive, side in source.sides.items()
        for scenario in side
    ]


def encoded(model: Model, source: Source, scenarios: Sequence[Scenario]) -> list[list[int]]:
    """Scenarios of the instruct model as chat turns, of the base model as the text they are.

    ValueError where a base model would get a system prompt: without a template nothing would say
    that one was ignored.
    """
    if source.name == "instruction":
        turns = [
            [
                *([{"role": "system", "content": s.system}] if s.system else []),
                {"role": "user", "content": s.prompt},
            ]
            for s in scenarios
        ]
        return encode_chat(model, turns)
    if any(scenario.system for scenario in scenarios):
        raise ValueError(
            f"{source.traits.name} has system prompts, which a text to be gone on with cannot hold"
        )
    return encode(model, [scenario.prompt for scenario in scenarios])


def respond(model: Model, record: Run, source: Source, config: Extract) -> list[dict[str, Any]]:
    """One row a scenario, side and rollout: what is on record is not generated again."""
    items = {one.key: one for one in asked(source, config.rollouts)}

    def measure(batch: Sequence[Asked]) -> list[Result]:
        return list(_answers(model, source, config, batch))

    return work_off(
        record, record.log(source.name), f"responses {source.name}", items,
        config.batch_size or ROWS, measure, unit="response",
        title=f"{source.model.name} {source.traits.name}",
    )  # fmt: skip


def _answers(
    model: Model, source: Source, config: Extract, batch: Sequence[Asked]
) -> Iterator[Mapping[str, Any]]:
    prompts = encoded(model, source, [one.scenario for one in batch])
    generator = None
    if config.temperature > 0:
        # The batch is in the record's plan, so a resumed run draws the same.
        seed = digest("model diff", config.seed, *[one.key for one in batch]) % 2**31
        generator = torch.Generator().manual_seed(seed)
    new = generate(
        model,
        pad(model, prompts),
        max_new_tokens=source.new_tokens,
        temperature=config.temperature,
        generator=generator,
    )
    for one, prompt, said in zip(batch, prompts, without_ends(model, new), strict=True):
        yield {
            "status": "ok",
            "reason": "",
            "positive": one.positive,
            "id": one.scenario.id,
            "group": one.scenario.group,
            "rollout": one.rollout,
            "prompt_ids": prompt,
            "response_ids": said,
            "text": decode(model, [said])[0] if said else "",
        }
