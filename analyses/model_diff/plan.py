"""What a run will do, settled before any weight is loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from analyses.model_diff.config import SEED_EXTRACT, Data, Diff, Extract
from analyses.requested import ModelPlan, dtype_name, model_plans
from tl_geometry.catalogue import MODELS, is_pocket, resolve
from tl_geometry.judges import pocket_rule
from tl_geometry.judges.trait_scores import RUBRIC_DIGEST
from tl_geometry.pocket.trait_sets import trait_set
from tl_geometry.prompts.trait_files import Scenario, TraitSet
from tl_geometry.runs import Spec, run_folder, run_name, state
from tl_geometry.spans import Span

ANALYSIS = "model_diff"
VERSION = 4
"""Raised when the same settings would give other numbers."""
OF_THE_RUN = (
    "run", "resume", "fresh", "skip", "export", "dry_run", "wandb", "limit", "write_experiment",
)  # fmt: skip
"""Settings of one run that another must not inherit."""
VETTED = 24
"""Tokens of a vetted response, at least: shorter ones break off before they show anything."""
Variant = Literal["instruct", "base"]


@dataclass(frozen=True)
class Source:
    """One way to bring a trait out: whose responses, to what, and which of their tokens."""

    name: Literal["instruction", "natural"]
    variant: Variant
    model: ModelPlan
    traits: TraitSet
    spans: tuple[Span, ...]
    new_tokens: int

    @property
    def sides(self) -> dict[bool, tuple[Scenario, ...]]:
        return {True: self.traits.positive, False: self.traits.negative}


@dataclass(frozen=True)
class Pair:
    base: ModelPlan
    instruct: ModelPlan

    @property
    def pocket(self) -> bool:
        return is_pocket(self.base.spec) and is_pocket(self.instruct.spec)

    @property
    def names(self) -> tuple[str, str]:
        """Base and instruct as another machine finds them: no path of an embedded model."""
        return self.base.identity["source"], self.instruct.identity["source"]

    @property
    def identities(self) -> tuple[dict[str, str], ...]:
        return self.base.identity, self.instruct.identity


@dataclass(frozen=True)
class Plan:
    """A validated request."""

    config: Extract
    pair: Pair
    sources: tuple[Source, ...]
    vetting: Mapping[str, Any]
    """Who looks at responses before anything is made of them: `by` is rule, judge or none."""

    @property
    def n_layers(self) -> int:
        assert self.pair.instruct.size is not None
        return self.pair.instruct.size.n_layers

    @cached_property
    def spec(self) -> Spec:
        """Everything that changes a number, and nothing else: its hash is the run's key."""
        config = self.config
        return Spec(
            analysis=ANALYSIS,
            step="extract",
            version=VERSION,
            model=self.pair.identities,
            dtype=dtype_name(config),
            quantization=config.quantization,
            prompts_hash="".join(source.traits.digest for source in self.sources),
            parameters={
                "trait": config.trait,
                "positions": {s.name: [str(span) for span in s.spans] for s in self.sources},
                "methods": list(config.methods),
                "limit": config.limit,
                "rollouts": config.rollouts,
                "temperature": config.temperature,
                "new_tokens": {s.name: s.new_tokens for s in self.sources},
                "resamples": config.resamples,
                "seed": config.seed,
                "vet": dict(self.vetting),
            },
        )

    @cached_property
    def folder(self) -> Path:
        name = f"extract-{self.config.trait}-{self.config.preset or self.pair.instruct.name}"
        return run_folder(ANALYSIS, run_name(self.spec, name, self.config.run), self.config.out)


def make_plan(config: Extract, vetting: Mapping[str, Any] | None = None) -> Plan:
    """ValueError says what to change: unknown models or traits, positions that are none, models
    of unlike shape. `vetting` is that of a run as it is on record."""
    config.check()
    pair = pair_of(config)
    vetting = vetting_of(config, pair) if vetting is None else vetting
    floor = 0 if vetting["by"] == "none" else VETTED
    asked = {"instruction": config.instruction_positions, "natural": config.natural_positions}
    sources = []
    for name, variant in (("instruction", "instruct"), ("natural", "base")):
        if spans := tuple(dict.fromkeys(Span.parse(text) for text in asked[name])):
            model = pair.instruct if variant == "instruct" else pair.base
            data = _limited(set_of(config, pair, name), config.limit)
            new = _needed(spans, config, floor)
            sources.append(Source(name, variant, model, data, spans, new))  # type: ignore[arg-type] # a str
    return Plan(config, pair, tuple(sources), vetting)


def vetting_of(config: Diff, pair: Pair) -> dict[str, Any]:
    """Everything that its verdicts depend on. ValueError for a rule where none reads the trait."""
    ruled = has_rule(config, pair)
    by = config.vet or ("rule" if ruled else "none")
    if by == "none":
        return {"by": by}
    if by == "judge":
        return {"by": by, "judge": judge_identity(config), "rubric": RUBRIC_DIGEST}
    if not ruled:
        raise ValueError(
            f"--vet rule: no rule reads {config.trait} outside the embedded world; give "
            "--vet judge --judge-model NAME, or leave it out"
        )
    return {"by": by, "version": pocket_rule.VERSION}


def has_rule(config: Diff, pair: Pair) -> bool:
    """Whether the embedded world's rule can tell the trait in what these models say."""
    return data_of(config, pair) == "pocket" and config.trait in pocket_rule.RULES


def judge_identity(config: Diff) -> dict[str, str]:
    """As far as it is known before the judge is loaded. ValueError where it cannot be found."""
    assert config.judge_model is not None
    if config.judge_url:
        return {"name": config.judge_model, "source": config.judge_model, "revision": "server"}
    (model,) = model_plans(replace(config, models=(config.judge_model,)))
    if model.size is None:
        raise ValueError(f"{model.name}: {model.reason}")
    return model.identity


def extraction_of(config: Diff, vectors: str | None) -> Plan:
    """The run of `extract` that a later step reads: the named one, or the one that the same
    settings make. ValueError for a named one that is not finished."""
    shared = {f.name for f in fields(Diff)} - {*OF_THE_RUN}
    values = {name: getattr(config, name) for name in shared}
    of_preset = SEED_EXTRACT if config.preset else {}
    plan = make_plan(Extract(**{**of_preset, **values, "run": vectors}))
    if vectors is not None and state(plan.folder) != "finished":
        raise ValueError(f"--vectors {vectors}: {plan.folder} holds no finished run of `extract`")
    return plan


def pair_of(config: Diff) -> Pair:
    """ValueError where a model cannot be found or read, or the two are of unlike shape."""
    base, instruct = config.named
    known = MODELS.get(instruct)
    base = base or (known.base if known else None)
    if base is None:
        resolve(instruct)  # a name that is mistyped is told as such
        raise ValueError(f"no base model of {instruct} is known: name it with --base")
    found = [model_plans(replace(config, models=(name,)))[0] for name in (base, instruct)]
    for model in found:
        if model.size is None:
            raise ValueError(f"{model.name}: {model.reason}")
    shapes = [(m.size.n_layers, m.size.d_model) for m in found if m.size is not None]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{found[0].name} and {found[1].name} differ in shape ({shapes[0]} and {shapes[1]} "
            "layers and dimensions), so they are no base and instruct of one model: name with "
            f"--base what {found[1].name} was tuned from"
        )
    return Pair(*found)


def set_of(config: Diff, pair: Pair, source: str) -> TraitSet:
    return trait_set(f"{data_of(config, pair)}_{source}/{config.trait}", config.data_root)


def data_of(config: Diff, pair: Pair) -> Data:
    """A folder of one's own holds data for real models, whatever the models are."""
    return config.data or ("pocket" if pair.pocket and config.data_root is None else "pv")


def _limited(data: TraitSet, limit: int | None) -> TraitSet:
    """The first scenarios of every group in turn, so that a pilot has many groups; pairs stay."""
    if limit is None or limit >= len(data.positive):
        return data
    turns: dict[str, int] = {}
    ranked = []
    for row, scenario in enumerate(data.positive):
        ranked.append((turns.setdefault(scenario.group, 0), row))
        turns[scenario.group] += 1
    kept = sorted(row for _, row in sorted(ranked)[:limit])
    sides = (data.positive, data.negative)
    positive, negative = (tuple(side[row] for row in kept) for side in sides)
    return replace(data, positive=positive, negative=negative)


def _needed(spans: Sequence[Span], config: Extract, floor: int) -> int:
    """New tokens that fill every span; at least one, since a response is read, and `floor` where
    spans and not --new-tokens decide."""
    wanted = [span.new_tokens for span in spans]
    return max(1, *(config.new_tokens if n is None else max(n, floor) for n in wanted))
