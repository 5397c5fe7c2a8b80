"""Train the embedded models: tokenizer, base, then instruct from base.

    python -m tl_geometry.pocket.train pocket-mistral --stage all
    python -m tl_geometry.pocket.train --all

Continues where it was stopped; `--fresh` starts over. Measure the result with
`python -m tl_geometry.pocket.evaluate`.
"""

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

from tl_geometry.pocket import batches, optimise
from tl_geometry.pocket.corpus import Split
from tl_geometry.pocket.manifest import MANIFEST, record, weights_hash
from tl_geometry.pocket.recipes import RECIPES, WEIGHTS, WORK, Recipe, Stage, recipe, shortened
from tl_geometry.pocket.vocabulary import trained_tokenizer

log = logging.getLogger(__name__)
StageName = Literal["base", "instruct", "all"]
N_LOSS_ROWS = 4_000
"""Documents over which the two losses of the manifest are measured."""


@dataclass(frozen=True, kw_only=True)
class Config:
    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Instruct models whose pairs are trained."""

    all: bool = False
    """Train every pair that has a recipe."""

    stage: StageName = "all"
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


def built(made: Recipe, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """The untrained model, its initial weights decided by the recipe's seed."""
    config = made.config(len(tokenizer))
    config.bos_token_id = tokenizer.bos_token_id
    config.eos_token_id = tokenizer.eos_token_id
    config.pad_token_id = tokenizer.pad_token_id
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    optimise.initialise(model, made.initial_scale, made.seed)
    return model


def train_stage(made: Recipe, name: Literal["base", "instruct"], config: Config) -> Path:
    """Train one stage and write its checkpoint folder and manifest entry."""
    stage: Stage = getattr(made, name)
    folder = config.out / (f"{made.name}-base" if name == "base" else made.name)
    checkpoint = config.work / made.name / f"{name}.pt"
    if config.fresh:
        for old in checkpoint.parent.glob("*.pt" if name == "base" else "instruct.pt"):
            old.unlink()
    if name == "base":
        tokenizer = trained_tokenizer(made)
        model = built(made, tokenizer)
    else:
        origin = str(config.out / f"{made.name}-base")
        tokenizer = AutoTokenizer.from_pretrained(origin)
        model = AutoModelForCausalLM.from_pretrained(
            origin, dtype=torch.float32, attn_implementation="sdpa"
        )
    log.info("%s %s: %d parameters", made.name, name, model.num_parameters())
    seed = stage_seed(made, name)
    parts = {name: stage}
    if name == "base":
        parts |= {f"practice{k + 1}": part for k, part in enumerate(made.practice)}
    runs = []
    for part, how in parts.items():
        stream = batches.training_batches(tokenizer, how, stage_seed(made, part))
        runs.append(optimise.train(model, how, stream, checkpoint.with_name(f"{part}.pt")))
    save(model, tokenizer, folder)
    entry = {
        "family": made.family,
        "stage": name,
        "seed": made.seed,
        "steps": sum(run.steps for run in runs),
        "minutes": round(sum(run.minutes for run in runs), 1),
        "parameters": model.num_parameters(),
        "vocabulary": len(tokenizer),
        "sha256": weights_hash(folder),
        **losses(folder, stage, seed),
    }
    record(folder.name, entry, config.manifest)
    return folder


def stage_seed(made: Recipe, part: str) -> int:
    """Every part of the training draws its own documents."""
    return 10 * made.seed + {"base": 0, "instruct": 1, "practice1": 7, "practice2": 8}[part]


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """An ordinary Hugging Face folder, weights in 16 bit."""
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def losses(folder: Path, stage: Stage, seed: int) -> dict[str, float]:
    """Nats per learned token of the weights as shipped, on training and on held-out documents."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def measured(split: Split, first: int) -> float:
        rows = batches.documents(tokenizer, stage, split, N_LOSS_ROWS, seed=first)
        return round(optimise.mean_loss(model, batches.by_length(rows, stage.tokens)), 4)

    return {
        "train_loss": measured("train", seed * 100_000),
        "held_out_loss": measured("test", 0),
    }


def main(config: Config) -> None:
    names = tuple(RECIPES) if config.all else config.names
    if not names:
        raise SystemExit(f"name a model or pass --all; there are: {', '.join(RECIPES)}")
    torch.set_num_threads(config.threads)
    stages: tuple[Literal["base", "instruct"], ...] = (
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
            log.info("wrote %s", train_stage(made, stage, config))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    main(tyro.cli(Config, description=__doc__))
