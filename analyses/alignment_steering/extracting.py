"""Read every pair's states, one model in memory at a time, and put its vectors on record."""

import gc
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from accelerate.utils.memory import clear_device_cache

from analyses.alignment_steering.analysed import analyse
from analyses.alignment_steering.config import Paired
from analyses.alignment_steering.plan import Pair, Plan, tokenizer_of
from analyses.alignment_steering.states import States, fingerprint, keep, kept, read
from analyses.alignment_steering.texts import Encoded, Wording, encoded, why_foreign
from analyses.requested import ModelPlan, dtype_name, load
from analyses.work import why
from tl_geometry.catalogue import is_pocket
from tl_geometry.models import Model
from tl_geometry.runs import Run

log = logging.getLogger(__name__)
DONE = "pair"
"""Key of the row that a pair gets last."""
VECTORS = "vectors"
"""Name of the file of vectors among a pair's artifacts."""


def measure_all(plan: Plan, record: Run) -> dict[str, str]:
    """Every pair whose last row is not there yet; the reasons of those that failed.

    Pairs that share a base model share its loading.
    """
    failed = {pair.name: pair.reason for pair in plan.pairs if pair.reason}
    for name, reason in failed.items():
        log.error("%s: %s", name, reason)
    open_pairs = [p for p in plan.pairs if not p.reason and DONE not in record.log(p.name).done]
    if not record.measuring:
        return failed | {pair.name: "not measured yet, and --skip was given" for pair in open_pairs}
    jobs = [_Job(plan, record, pair) for pair in open_pairs]
    jobs.sort(key=lambda job: job.base.name)
    for _, group in groupby(jobs, key=lambda job: job.base.name):
        failed |= _measure_group(list(group))
    return failed


def _measure_group(jobs: Sequence["_Job"]) -> dict[str, str]:
    """The base model for all of them, then each instruct model."""
    failed: dict[str, str] = {}

    def attempt(job: "_Job", step: Any) -> None:
        if job.pair.name in failed:
            return
        try:
            step(job)
        # Whatever loading or a model's own code raises: other pairs can still be measured.
        except Exception as error:
            failed[job.pair.name] = why(error)
            log.error("%s: %s", job.pair.name, why(error), exc_info=True)
            row = {"key": DONE, "status": "failed", "reason": why(error)}
            job.record.log(job.pair.name).append([row])

    for job in jobs:
        attempt(job, _Job.encode)
    with Loading(jobs[0].plan.config, jobs[0].base) as base:
        for job in jobs:
            attempt(job, lambda job: job.read_base(base))
    for job in jobs:
        with Loading(job.plan.config, job.pair.instruct) as instruct:
            attempt(job, lambda job, instruct=instruct: job.finish(instruct))
        job.base_states = None
    return failed


class Loading:
    """A model that is loaded when it is first needed, and given back at the end of the block."""

    def __init__(self, config: Paired, entry: ModelPlan) -> None:
        self.config, self.entry = config, entry
        self._model: Model | None = None

    def __enter__(self) -> "Loading":
        return self

    def __call__(self) -> Model:
        if self._model is None:
            self._model = load(self.config, self.entry.spec)
        return self._model

    def __exit__(self, *_: object) -> None:
        self._model = None
        gc.collect()
        clear_device_cache(garbage_collection=True)


@dataclass(eq=False)
class _Job:
    """One pair on its way: its texts, and its base model's states once they are read."""

    plan: Plan
    record: Run
    pair: Pair
    given: Encoded = field(default_factory=lambda: Encoded((), {}))
    base_states: States | None = None

    @property
    def base(self) -> ModelPlan:
        assert self.pair.base is not None
        return self.pair.base

    def encode(self) -> None:
        self.given = texts_of(self.plan, self.pair)

    def read_base(self, loading: Loading) -> None:
        self.base_states = self._states(self.base, loading, "base")

    def finish(self, loading: Loading) -> None:
        """The instruct model's states, and with them all rows, the pair's own as the last."""
        assert self.base_states is not None
        instruct = self._states(self.pair.instruct, loading, "instruct")
        ids = [text.id for text in self.given.texts]
        found = analyse(self.base_states, instruct, ids, self.plan.config)
        name = self.pair.name
        self.record.save_arrays(name, VECTORS, found.vectors)
        rows = [{"key": f"{r['quantity']}|{r['data']}|{r['layer']}", **r} for r in found.layers]
        rows += [
            {"key": f"variance|{r['layer']}|{r['component']}", "status": "ok", **r}
            for r in found.variance
        ]
        last = {"key": DONE, "status": "ok", "reason": "", **self._facts()}
        self.record.log(name).append([*rows, last])

    def _facts(self) -> dict[str, Any]:
        size = self.pair.instruct.size
        assert size is not None
        shape = {"n_layers": size.n_layers, "d_model": size.d_model}
        return {**shape, "n": len(self.given.texts), "dropped": dict(self.given.dropped)}

    def _states(self, entry: ModelPlan, loading: Loading, role: str) -> States:
        config = self.plan.config
        about = {
            "n": len(self.given.texts),
            "format": config.format,
            "dtype": dtype_name(config),
            "quantization": config.quantization,
        }
        mark = fingerprint(entry.identity, self.given.texts, about)
        path = cache_path(self.record.model_folder(self.pair.name), role)
        states = kept(path, mark)
        if states is None:
            title = f"{self.pair.name} {role}"
            states = read(loading(), self.given.texts, config.batch_size, title)
            if config.cache:
                keep(path, states, mark, {**about, **entry.identity})
        return states


def cache_path(folder: Path, role: str) -> Path:
    return folder / "artifacts" / f"hidden_states_{role}.safetensors"


def wording_of(config: Paired, pair: Pair) -> Wording:
    """How this pair is asked. ValueError for `chat` without a chat template."""
    pocket = is_pocket(pair.instruct.spec)
    return Wording(tokenizer_of(pair.instruct.spec), config.format, pocket=pocket)


def texts_of(plan: Plan, pair: Pair) -> Encoded:
    """The pair's texts as ids of the instruct model's tokenizer.

    ValueError where the base model cannot read them as they are, or hardly any is left.
    """
    assert pair.base is not None and pair.base.size is not None
    wording = wording_of(plan.config, pair)
    given = encoded(wording, plan.data.pairs, longest(plan.config, pair))
    if len(given.texts) < 4:
        raise ValueError(f"{len(given.texts)} texts are left ({_counted(given.dropped)})")
    base = tokenizer_of(pair.base.spec)
    foreign = why_foreign(base, wording.tokenizer, given.texts, pair.base.size.vocabulary)
    if foreign:
        raise ValueError(foreign)
    return given


def longest(config: Paired, pair: Pair) -> int:
    """Tokens of the longest text: as asked for, or what both models can read."""
    from tl_geometry.catalogue import empty_model

    contexts = [
        getattr(empty_model(m.spec).config.get_text_config(), "max_position_embeddings", None)
        for m in pair.members
    ]
    return min(config.max_tokens, *(n for n in contexts if n))


def _counted(dropped: Mapping[str, int]) -> str:
    return ", ".join(_parts(dropped)) or "nothing dropped"


def _parts(dropped: Mapping[str, int]) -> Iterator[str]:
    for reason, count in dropped.items():
        yield f"{count} {reason}"
