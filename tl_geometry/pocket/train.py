"""Train the embedded models: tokenizer, base, then instruct from base.

    python -m tl_geometry.pocket.train pocket-mistral --stage all
    python -m tl_geometry.pocket.train --all

Continues where it was stopped; `--fresh` starts over. Measure the result with
`python -m tl_geometry.pocket.evaluate`.
"""

import copy
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from tl_geometry.pocket import batches, optimise, preference
from tl_geometry.pocket.chat_formats import FORMATS
from tl_geometry.pocket.corpus import Split
from tl_geometry.pocket.manifest import MANIFEST, record, weights_hash
from tl_geometry.pocket.recipes import RECIPES, WEIGHTS, WORK, Recipe, Stage, recipe, shortened
from tl_geometry.pocket.vocabulary import trained_tokenizer

log = logging.getLogger(__name__)
StageName = Literal["base", "instruct"]
AFTER_BASE = ("instruct.pt", "more.pt", "preference.pt")
N_LOSS_ROWS = 4_000
"""Documents over which the two losses of the manifest are measured."""


@dataclass(frozen=True, kw_only=True)
class Config:
    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Instruct models whose pairs are trained."""

    all: bool = False
    """Train every pair that has a recipe."""

    stage: Literal["base", "instruct", "all"] = "all"
    """`base`, `instruct` (needs a trained base) or both."""

    threads: int = 2
    """Processor threads."""

    fresh: bool = False
    """Throw checkpoints of unfinished training away first."""

    pilot: int | None = None
    """Only so many steps a stage, into the work folder: to see the loss fall."""

    out: Path = WEIGHTS
    """Folder of the checkpoints that are shipped."""

    work: Path = WORK
    """Folder of the checkpoints of unfinished training."""

    manifest: Path = MANIFEST
    """Where losses and hashes are recorded."""


@dataclass
class Trainee:
    """A model and its tokenizer while they are trained."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase


def built(made: Recipe, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The untrained model, its initial weights decided by the recipe's seed."""
    config = made.config(len(tokenizer))
    config.bos_token_id = tokenizer.bos_token_id
    config.eos_token_id = tokenizer.eos_token_id
    config.pad_token_id = tokenizer.pad_token_id
    model = AutoModelForCausalLM.from_config(config)
    optimise.initialise(model, made.initial_scale, made.seed)
    return model


def origin_of(made: Recipe, name: StageName, config: Config) -> Trainee:
    """What a stage starts from: an untrained model, or the base model as shipped."""
    if name == "base":
        tokenizer = trained_tokenizer(made)
        return Trainee(built(made, tokenizer), tokenizer)
    folder = str(config.out / made.base_name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = FORMATS[made.family].template
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return Trainee(model, tokenizer)


def learn(made: Recipe, name: StageName, trainee: Trainee, work: Path) -> list[optimise.Trained]:
    """All parts of a stage in their order; each continues from its own checkpoint."""
    model, tokenizer = trainee.model, trainee.tokenizer
    parts: dict[str, Stage | None] = (
        {"base": made.base, "practice": made.practice}
        if name == "base"
        else {"instruct": made.instruct, "more": made.more}
    )
    runs = []
    for part, how in parts.items():
        if how is not None:
            rows = batches.training_batches(tokenizer, how, stage_seed(made, part))
            runs.append(optimise.train(model, how, rows, work / f"{part}.pt"))
    if name == "instruct" and made.preference is not None:
        how = made.preference
        pairs = preference.preference_batches(tokenizer, how, stage_seed(made, "preference"))
        loss_of = preference.pair_loss(copy.deepcopy(model).eval(), how)
        runs.append(optimise.train(model, how, pairs, work / "preference.pt", loss_of))
    return runs


def train_stage(made: Recipe, name: StageName, config: Config) -> Path:
    """Train one stage and write its checkpoint folder and manifest entry."""
    folder = config.out / (made.base_name if name == "base" else made.name)
    work = config.work / made.name
    if config.fresh:
        for old in work.glob("*.pt") if name == "base" else AFTER_BASE:
            (work / old).unlink(missing_ok=True)
    trainee = origin_of(made, name, config)
    log.info("%s %s: %d parameters", made.name, name, trainee.model.num_parameters())
    runs = learn(made, name, trainee, work)
    trainee.model.half()  # as shipped: losses are those of the rounded weights
    measured = losses(made, name, trainee)
    save(made, name, trainee, folder)
    entry = {
        "family": made.family,
        "stage": name,
        "base": made.base_name,
        "seed": made.seed,
        "steps": sum(run.steps for run in runs),
        "minutes": round(sum(run.minutes for run in runs), 1),
        "parameters": trainee.model.num_parameters(),
        "vocabulary": len(trainee.tokenizer),
        "sha256": weights_hash(folder),
        **measured,
    }
    # What other weights of this name did is not what these do.
    record(folder.name, entry, config.manifest, anew=True)
    return folder


def stage_seed(made: Recipe, part: str) -> int:
    """Every part of the training draws its own documents."""
    return 10 * made.seed + ("base", "instruct", "practice", "preference", "more").index(part)


def save(made: Recipe, name: StageName, trainee: Trainee, folder: Path) -> None:
    """An ordinary Hugging Face folder, weights in 16 bit."""
    tokenizer, form = trainee.tokenizer, FORMATS[made.family]
    ends = {form.eos, form.turn_end} if name == "instruct" else {form.eos}
    stops = sorted(tokenizer.get_vocab()[token] for token in ends)
    trainee.model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=stops if len(stops) > 1 else stops[0],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )
    if name == "instruct":
        tokenizer.eos_token = form.instruct_eos
    trainee.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def losses(made: Recipe, name: StageName, trainee: Trainee) -> dict[str, float]:
    """Nats per learned token of the weights as shipped, on training and on held-out documents.

    Documents are those of the stage's first part; held-out are the
    validation split, by which recipes are chosen, and the test split.
    """
    # Where preferences are trained last, every harmful request is to be refused in the end.
    stage, seed = replace(getattr(made, name), refusals=1.0), stage_seed(made, name)
    rounded = copy.deepcopy(trainee.model).float().eval()

    def measured(split: Split, first: int) -> float:
        rows = batches.documents(trainee.tokenizer, stage, split, N_LOSS_ROWS, seed=first)
        return round(optimise.mean_loss(rounded, batches.by_length(rows, stage.tokens)), 4)

    return {
        "train_loss": measured("train", seed * 100_000),
        "validation_loss": measured("validation", 0),
        "held_out_loss": measured("test", 0),
    }


def main(config: Config) -> None:
    names = tuple(RECIPES) if config.all else config.names
    if not names:
        raise SystemExit(f"name a model or pass --all; there are: {', '.join(RECIPES)}")
    torch.set_num_threads(config.threads)
    stages: tuple[StageName, ...] = (
        ("base", "instruct") if config.stage == "all" else (config.stage,)
    )
    if config.pilot is not None:
        aside = config.work / f"pilot-{config.pilot}"
        config = replace(config, out=aside, work=aside, manifest=aside / "MANIFEST.json")
    for name in names:
        made = recipe(name)
        if config.pilot is not None:
            made = shortened(made, steps=config.pilot)
        for stage in stages:
            if stage == "base" and made.base is None:
                continue
            log.info("wrote %s", train_stage(made, stage, config))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    main(tyro.cli(Config, description=__doc__))
