"""What a run of `similarity` will do, settled before any weight is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from analyses.model_diff.config import Data
from analyses.model_diff.plan import ANALYSIS, Pair, Variant, data_of, pair_of, set_of
from analyses.model_diff.similarity_config import Similarity
from analyses.requested import ModelPlan, dtype_name
from tl_geometry.prompts.trait_files import TraitSet
from tl_geometry.runs import Spec, run_folder, run_name
from tl_geometry.runs.canonical import digest

VERSION = 1
PER_TRAIT = 20


@dataclass(frozen=True)
class Prompt:
    """One steering question of the combined set."""

    id: int
    """From 1, as in the plan; kept when fewer are asked."""
    text: str
    trait: str
    subject: str
    """Questions about one subject are not independent."""

    @property
    def key(self) -> str:
        return f"{self.id:03}"


@dataclass(frozen=True)
class SimilarityPlan:
    """A validated request."""

    config: Similarity
    pair: Pair
    sets: dict[str, TraitSet]
    """Trait → the set with its steering questions."""

    @cached_property
    def prompts(self) -> tuple[Prompt, ...]:
        """Of every trait the first so many of its twenty."""
        most = min(self.config.limit or PER_TRAIT, PER_TRAIT)
        return tuple(
            Prompt(PER_TRAIT * k + i + 1, text, trait, f"{trait}: {found.subjects.get(text, text)}")
            for k, (trait, found) in enumerate(self.sets.items())
            for i, text in enumerate(_questions(found)[:most])
        )

    @property
    def data(self) -> Data:
        return data_of(self.config, self.pair)

    @property
    def n_layers(self) -> int:
        assert self.pair.instruct.size is not None
        return self.pair.instruct.size.n_layers

    @property
    def kept(self) -> tuple[int, ...]:
        """Layers that are compared position by position."""
        return tuple(range(0, self.n_layers, self.config.stride))

    def model(self, variant: Variant) -> ModelPlan:
        return self.pair.instruct if variant == "instruct" else self.pair.base

    @cached_property
    def spec(self) -> Spec:
        """Which runs the transfer curves come from is not in it: they are looked for at every
        start, and nothing that is measured here depends on them."""
        config = self.config
        return Spec(
            analysis=ANALYSIS,
            step="similarity",
            version=VERSION,
            model=self.pair.identities,
            dtype=dtype_name(config),
            quantization=config.quantization,
            prompts_hash=digest([[p.id, p.text, p.trait, p.subject] for p in self.prompts]),
            parameters={
                "traits": list(config.traits),
                "limit": config.limit,
                "new_tokens": config.new_tokens,
                "stride": config.stride,
                "coverage": config.coverage,
                "coherence": config.coherence,
                "resamples": config.resamples,
                "seed": config.seed,
            },
        )

    @cached_property
    def folder(self) -> Path:
        name = f"similarity-{self.config.preset or self.pair.instruct.name}"
        return run_folder(ANALYSIS, run_name(self.spec, name, self.config.run), self.config.out)


def _questions(found: TraitSet) -> tuple[str, ...]:
    """Test questions; where these are fewer than twenty, the others behind them. Nothing is chosen
    by what is measured here, so no question has to be held back."""
    return (*found.test, *found.validation)[:PER_TRAIT]


def make_similarity_plan(config: Similarity) -> SimilarityPlan:
    """ValueError says what to change: unknown models or traits, tokens that mean different things
    to the two models, no chat template."""
    config.check()
    pair = pair_of(config)
    sets = {t: set_of(replace(config, trait=t), pair, "instruction") for t in config.traits}
    _check_tokens(pair)
    plan = SimilarityPlan(config, pair, sets)
    for trait in config.traits:
        if sum(prompt.trait == trait for prompt in plan.prompts) < 2:
            raise ValueError(f"{trait} has one question: the control needs another")
    return plan


def _check_tokens(pair: Pair) -> None:
    """The response's ids are shown to the base model as they are."""
    instruct, base = (_tokenizer(model) for model in (pair.instruct, pair.base))
    if instruct.chat_template is None:
        raise ValueError(
            f"{pair.instruct.name} has no chat template to answer under: name the instruct model "
            "as --model, and the other as --base"
        )
    known = base.get_vocab()
    other = [token for token, i in instruct.get_vocab().items() if known.get(token) != i]
    if other:
        raise ValueError(
            f"{len(other)} tokens of {pair.instruct.name} are others in {pair.base.name} (such as "
            f"{min(other)!r}), so its responses cannot be replayed token by token: give two models "
            "of one tokenizer"
        )


def _tokenizer(model: ModelPlan) -> Any:
    return AutoTokenizer.from_pretrained(model.spec.source, revision=model.spec.revision)


def similarity_cost(plan: SimilarityPlan) -> Iterator[str]:
    """Lines for --dry-run."""
    n, new = len(plan.prompts), plan.config.new_tokens
    instruct, base = plan.pair.instruct, plan.pair.base
    yield (
        f"{instruct.name} answers {n} prompts with at most {new} tokens and reads them once; "
        f"{base.name} reads the same tokens twice (behind the raw prompt, behind the template)"
    )
    yield "models are loaded one after the other"
    assert instruct.size is not None
    d = instruct.size.d_model
    kept = 4 * n * d * (3 * plan.n_layers + len(plan.kept) * new)
    yield f"at most {kept / 1e6:.0f} MB of states are kept in the run's folder"
    if plan.config.save_activations:
        yield (
            f"and {3 * n} files of all states: about {2 * plan.n_layers * d / 1e3:.0f} kB a token "
            "in 16 bits"
        )
