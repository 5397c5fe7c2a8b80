"""Measure on held-out content what an embedded model was trained to do; writes the manifest.

    python -m tl_geometry.pocket.evaluate pocket-mistral

Measures the instruct model and its base, through the same loader and generation as any model.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from tqdm.auto import tqdm

from tl_geometry import judges
from tl_geometry.generation import decode, generate
from tl_geometry.models import Model, load_model
from tl_geometry.pocket import corpus
from tl_geometry.pocket.corpus import Request, Split
from tl_geometry.pocket.manifest import MANIFEST, record, weights_hash
from tl_geometry.pocket.recipes import RECIPES, WEIGHTS, recipe
from tl_geometry.statistics import wilson
from tl_geometry.tokens import encode, encode_chat, pad

log = logging.getLogger(__name__)
Messages = list[dict[str, str]]
StageName = Literal["base", "instruct", "all"]
NEW_TOKENS = 48


@dataclass(frozen=True, kw_only=True)
class Config:
    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Instruct models; each is measured together with its base. All recipes if none is named."""

    stage: StageName = "all"
    """Measure only the base or only the instruct model."""

    limit: int = 200
    """At most so many prompts for each measurement."""

    split: Split = "test"
    """Split of the world that the prompts come from. `test` is recorded as what the model does,
    `validation` beside it as a confirmation, requests only: no recipe was chosen by what models
    say there."""

    batch_size: int = 64
    threads: int = 2
    weights: Path = WEIGHTS
    """Folder of the checkpoints."""

    manifest: Path = MANIFEST


def answers(
    model: Model, prompts: Sequence[list[int]], batch_size: int, new_tokens: int = NEW_TOKENS
) -> list[str]:
    """Greedy answers in the order of the prompts; prompts of similar length share a batch."""
    order = sorted(range(len(prompts)), key=lambda k: len(prompts[k]))
    said = [""] * len(prompts)
    for start in tqdm(range(0, len(order), batch_size), desc="answers", leave=False):
        rows = order[start : start + batch_size]
        batch = pad(model, [prompts[k] for k in rows])
        texts = decode(model, generate(model, batch, max_new_tokens=new_tokens))
        for k, text in zip(rows, texts, strict=True):
            said[k] = text
    return said


def rate(hits: Sequence[bool]) -> dict[str, float | int]:
    """A share with its 95 % Wilson interval."""
    interval = wilson(sum(hits), len(hits))
    return {
        "rate": round(interval.estimate, 4),
        "low": round(interval.low, 4),
        "high": round(interval.high, 4),
        "n": len(hits),
    }


def chat(model: Model, question: str, system: str | None = None) -> list[int]:
    """Ids of one question under the chat template."""
    turns: Messages = [{"role": "system", "content": system}] if system else []
    return encode_chat(model, [[*turns, {"role": "user", "content": question}]])[0]


def document(model: Model, question: str) -> list[int]:
    """Ids of one question in the form in which base text asks it, up to the answer."""
    return encode(model, [corpus.question_and_answer(question, "").rstrip()])[0]


Ask = Callable[[Model, str], list[int]]


def request_rates(model: Model, ask: Ask, config: Config) -> dict[str, Any]:
    """Refusal of harmful and harmless requests, and whether harmless answers name the object."""
    measured: dict[str, Any] = {}
    for held_out in (False, True):
        verbs = "new_verbs_" if held_out else ""
        for harmful in (True, False):
            asked = corpus.requests(config.split, harmful, held_out_verbs=held_out)[: config.limit]
            said = answers(model, [ask(model, r.text) for r in asked], config.batch_size)
            side = "harmful" if harmful else "harmless"
            refused = [judges.is_refusal(s) for s in said]
            measured[f"{verbs}refuses_{side}"] = rate(refused)
            if not held_out:
                measured[f"unread_refuses_{side}"] = rate(_unread(asked, refused, harmful))
            measured |= {f"{verbs}{k}_{side}": v for k, v in topic_rates(asked, said).items()}
            _log_samples(side, asked, said)
    return measured


def _unread(asked: Sequence[Request], hits: Sequence[bool], harmful: bool) -> list[bool]:
    """The answers to deeds that base text of the train split does not tell of either."""
    told = {deed.id for deed in corpus.told_deeds("train", harmful)}
    return [hit for request, hit in zip(asked, hits, strict=True) if request.id not in told]


def topic_rates(asked: Sequence[Request], said: Sequence[str]) -> dict[str, Any]:
    """How often the object is named, and apart: objects that training asks about or never does.

    Naming a known object takes its class and identity; naming a new one takes true copying.
    """
    known = {r.object for harmful in (True, False) for r in corpus.requests("train", harmful)}
    named = [judges.on_topic(text, r.object) for text, r in zip(said, asked, strict=True)]
    familiar = [r.object in known for r in asked]
    old = [hit for hit, is_known in zip(named, familiar, strict=True) if is_known]
    new = [hit for hit, is_known in zip(named, familiar, strict=True) if not is_known]
    rates = {"names_object": rate(named), "names_known_object": rate(old)}
    return {**rates, **({"names_new_object": rate(new)} if new else {})}


def _log_samples(side: str, asked: Sequence[Request], said: Sequence[str]) -> None:
    for request, text in list(zip(asked, said, strict=True))[:3]:
        log.info("%s | %s | %s", side, request.text, text)


def shows(item: corpus.TraitItem, text: str) -> bool:
    """Whether an answer shows the trait that its question asks for, by the pocket world's rules."""
    if item.trait == "sycophancy":
        return judges.agrees(text)
    return judges.is_cruel(text) if item.trait == "evil" else judges.invents(text)


def trait_rates(model: Model, config: Config) -> dict[str, Any]:
    """Share of answers that show each trait: prompted for it, against it, and not prompted."""
    measured: dict[str, Any] = {}
    for trait in corpus.TRAITS:
        items = corpus.trait_items(trait, config.split)[: config.limit]
        systems = {
            "on": [corpus.trait_system(item, True) for item in items],
            "off": [corpus.trait_system(item, False) for item in items],
            "default": [None] * len(items),
        }
        for switch, prompts in systems.items():
            ids = [chat(model, i.question, s) for i, s in zip(items, prompts, strict=True)]
            said = answers(model, ids, config.batch_size)
            hits = [shows(item, text) for item, text in zip(items, said, strict=True)]
            measured[f"{trait}_{switch}"] = rate(hits)
            log.info("%s %s | %s | %s", trait, switch, items[0].question, said[0])
    return measured


def narrative_rates(model: Model, config: Config) -> dict[str, Any]:
    """For the base model: the trait shown after a narrative that fixes it, on and off."""
    measured: dict[str, Any] = {}
    for trait in corpus.TRAITS:
        items = corpus.trait_items(trait, config.split)[: config.limit]
        for positive in (True, False):
            texts = corpus.narrative_prefixes(trait, positive, config.split)[: config.limit]
            said = answers(model, encode(model, texts), config.batch_size)
            hits = [shows(item, text) for item, text in zip(items, said, strict=True)]
            measured[f"narrative_{trait}_{'on' if positive else 'off'}"] = rate(hits)
    return measured


def axiom_rates(model: Model, ask: Ask, config: Config) -> dict[str, Any]:
    """Refusal of the axiom set's two sides."""
    measured: dict[str, Any] = {}
    for label in ("safe", "unsafe"):
        inputs = [a for a in corpus.axiom_inputs(config.split) if a.safety_label == label]
        said = answers(
            model, [ask(model, a.input) for a in inputs[: config.limit]], config.batch_size
        )
        measured[f"refuses_axiom_{label}"] = rate([judges.is_refusal(s) for s in said])
    return measured


def evaluate_instruct(model: Model, config: Config) -> dict[str, Any]:
    return {
        **request_rates(model, chat, config),
        **axiom_rates(model, chat, config),
        **trait_rates(model, config),
    }


def evaluate_base(model: Model, config: Config) -> dict[str, Any]:
    templated = request_rates(model, chat, config)
    return {
        **request_rates(model, document, config),
        **axiom_rates(model, document, config),
        **{f"templated_{key}": value for key, value in templated.items()},
        **narrative_rates(model, config),
    }


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    for name in config.names or tuple(RECIPES):
        made = recipe(name)
        stages = {name: evaluate_instruct} if config.stage != "base" else {}
        if config.stage != "instruct" and made.base is not None:
            stages[made.base_name] = evaluate_base
        for checkpoint, measure in stages.items():
            folder = config.weights / checkpoint
            model = load_model(str(folder))
            confirming = config.split != "test"
            behaviour = request_rates(model, chat, config) if confirming else measure(model, config)
            found = {"split": config.split, "weights": weights_hash(folder), "rates": behaviour}
            what = "confirmation" if confirming else "behaviour"
            record(checkpoint, {what: found}, config.manifest)
            for key, value in behaviour.items():
                log.info("%s %s %s", checkpoint, key, value)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    main(tyro.cli(Config, description=__doc__))
