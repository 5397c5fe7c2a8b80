"""Measure every source and target; what the record already holds is not measured again."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from analyses.alignment_steering.exported import vectors_of
from analyses.alignment_steering.extracting import Loading, measure_all
from analyses.alignment_steering.plan import Pair
from analyses.alignment_steering.readouts import Steered
from analyses.alignment_steering.states import last_states
from analyses.alignment_steering.transfer_maps import Side, carried, random_pushes, tensor
from analyses.alignment_steering.transfer_plan import TransferPlan
from analyses.alignment_steering.transfer_readouts import Readings, read_out
from analyses.alignment_steering.transfer_texts import Given, all_given
from analyses.requested import ModelPlan
from analyses.work import why, without_nan
from tl_geometry.judges import Band, nll_band
from tl_geometry.layered_steering import LayeredSteering
from tl_geometry.runs import RowLog, Run, open_run
from tl_geometry.transfer import matched_layers

log = logging.getLogger(__name__)
BASE, INSTRUCT, OWN = "base", "instruct", "own"
"""Keys of a target's rows that need no source."""
Vectors = Mapping[str, Float[Tensor, "layer d"]]


def source_key(name: str) -> str:
    return f"from|{name}"


def measure_transfers(plan: TransferPlan, record: Run) -> dict[str, str]:
    """Every pair of source and target that is not on record; why pairs of models have none."""
    failed = {pair.name: pair.reason for pair in plan.pairs if pair.reason}
    if not any(_open_keys(plan, record, pair, failed) for pair in plan.measurable):
        return failed
    if not record.measuring:
        raise RuntimeError("this run is not finished, and --skip was given: nothing is measured")
    vectors, lost = _vectors(plan)
    given, unread = all_given(plan)
    failed |= lost | unread
    for name, reason in failed.items():
        log.error("%s: %s", name, reason)
    able = [pair for pair in plan.measurable if pair.name not in failed]
    if len(able) < 2:
        raise RuntimeError("no two pairs of models can be compared: " + "; ".join(failed.values()))
    work = _Work(plan, record, able, vectors, given)
    for pair in able:
        try:
            work.states(pair)
        # Whatever loading or a model's own code raises: the others can still be measured.
        except Exception as error:
            failed[pair.name] = why(error)
            log.error("%s: %s", pair.name, why(error), exc_info=True)
    work.pairs = [pair for pair in able if pair.name not in failed]
    for pair in work.pairs:
        work.target(pair, _open_keys(plan, record, pair, failed))
    return failed


def _open_keys(
    plan: TransferPlan, record: Run, target: Pair, failed: Mapping[str, str]
) -> list[str]:
    sources = [p.name for p in plan.measurable if p.name not in failed and p.name != target.name]
    keys = [INSTRUCT, BASE, OWN, *map(source_key, sources)]
    done = record.log(target.name).done
    return [key for key in keys if key not in done] if target.name not in failed else []


def _vectors(plan: TransferPlan) -> tuple[dict[str, Vectors], dict[str, str]]:
    """From the run of `extract`, which is begun or finished where none was named."""
    failed: dict[str, str] = {}
    if making := plan.vectors.making:
        with open_run(making.folder, making.spec) as record:
            failed = measure_all(making, record)
    found: dict[str, Vectors] = {}
    for pair in plan.measurable:
        if pair.name not in failed:
            try:
                found[pair.name] = vectors_of(plan.vectors.folder, pair.name)
            except ValueError as error:
                failed[pair.name] = str(error)
    return found, {name: reason for name, reason in failed.items() if name not in found}


@dataclass(eq=False)
class _Work:
    plan: TransferPlan
    record: Run
    pairs: Sequence[Pair]
    vectors: Mapping[str, Vectors]
    given: Mapping[str, Given]

    def __post_init__(self) -> None:
        self.found: dict[str, dict[str, Float[Tensor, "text layer d"]]] = {}

    def needed(self, pair: Pair) -> list[int]:
        """Layers of its base model that meet a steered layer of any target."""
        layers = set(self.plan.steered(pair))
        for target in self.pairs:
            steered = self.plan.steered(target)
            layers |= set(matched_layers(steered, target.n_layers, pair.n_layers))
        return sorted(layers)

    def states(self, pair: Pair) -> None:
        """The base model's last-token states of all texts that maps see."""
        given, layers = self.given[pair.name], self.needed(pair)
        kinds = {"fit": given.fit, **given.held_out}
        assert pair.base is not None
        with Loading(self.plan.config, pair.base) as loading:
            model = loading()
            for kind, texts in kinds.items():
                size, title = self.plan.config.batch_size, f"{pair.name} {kind}"
                states = last_states(model, texts, layers, size, title)
                self.found.setdefault(pair.name, {})[kind] = states

    def side(self, pair: Pair, layers: Sequence[int]) -> Side:
        at = [self.needed(pair).index(layer) for layer in layers]
        states = {kind: found[:, at] for kind, found in self.found[pair.name].items()}
        mine = {n: self.vectors[pair.name][n][list(layers)] for n in ("mean", "half_a", "half_b")}
        return Side(pair.name, states, mine["mean"], layers, (mine["half_a"], mine["half_b"]))

    def target(self, pair: Pair, keys: Sequence[str]) -> None:
        """Rows of one target: its models as they are, its own vector, then every source.

        In functions of their own, so that one model is gone before the next one comes.
        """
        for of_base in (False, True):
            mine = [key for key in keys if (key != INSTRUCT) == of_base]
            if mine:
                self._rows(pair, pair.base if of_base else pair.instruct, mine)

    def _rows(self, pair: Pair, entry: ModelPlan | None, keys: Sequence[str]) -> None:
        rows, config = self.record.log(pair.name), self.plan.config
        sources = {source_key(source.name): source for source in self.pairs}
        assert entry is not None
        with Loading(config, entry) as loading:
            steered = Steered(loading(), config.batch_size)
            for key in keys:
                log.info("%s: %s", pair.name, key.replace("|", " "))
                _attempt(rows, key, lambda key=key: self._row(pair, steered, key, sources, rows))

    def _row(
        self, pair: Pair, steered: Steered, key: str, sources: Mapping[str, Pair], rows: RowLog
    ) -> dict[str, Any]:
        if key in (BASE, INSTRUCT):
            return self._untouched(pair, steered)
        if key == OWN:
            return self._own(pair, steered, _band(rows))
        return self._from(sources[key], pair, steered, _band(rows))

    def _untouched(self, pair: Pair, steered: Steered) -> dict[str, Any]:
        """The model as it is, judged as all others are: by how likely it finds its own words, in
        answers to requests that nothing is reported of."""
        nothing = LayeredSteering(torch.zeros(1, 0, steered.model.cfg.d_model), ())
        given, new_tokens = self.given[pair.name], self.plan.config.new_tokens
        (said,) = steered.answers(nothing, given.calm, new_tokens)
        band = nll_band(steered.nll(given.calm, said))
        (read,) = read_out(steered, given, nothing, new_tokens, band)
        return {"conditions": {"untouched": _recorded(read)}, "band": list(band)}

    def _own(self, pair: Pair, steered: Steered, band: Band) -> dict[str, Any]:
        side = self.side(pair, self.plan.steered(pair))
        own = side.vector.double().numpy()
        found = {"own": own, **random_pushes(own, self.plan.config, pair.name)}
        return {"conditions": self._read(pair, steered, found, band)}

    def _from(self, source: Pair, pair: Pair, steered: Steered, band: Band) -> dict[str, Any]:
        layers = self.plan.steered(pair)
        there = matched_layers(layers, pair.n_layers, source.n_layers)
        sides = self.side(source, there), self.side(pair, layers)
        config, found, rows = self.plan.config, {}, []
        for name in config.maps:
            one = carried(*sides, name, config)
            found |= {f"{name}|{key}": vector for key, vector in one.vectors.items()}
            rows += one.rows
        return {"conditions": self._read(pair, steered, found, band), "maps": rows}

    def _read(
        self, pair: Pair, steered: Steered, found: Mapping[str, Any], band: Band
    ) -> dict[str, Any]:
        """Strength and name → what was read; later draws of a control are not asked for answers."""
        config, given = self.plan.config, self.given[pair.name]
        strong = {f"{s:g}|{name}": s * v for s in config.strengths for name, v in found.items()}
        read: dict[str, Any] = {}
        for asked in (True, False):
            some = {name: v for name, v in strong.items() if _is_asked(name) == asked}
            if not some:
                continue
            layers = tuple(self.plan.steered(pair))
            pushes = LayeredSteering(tensor(some), layers, config.preserve_norm)
            words = given if asked else replace(given, requests=())
            each = read_out(steered, words, pushes, config.new_tokens, band)
            read |= {name: _recorded(one) for name, one in zip(some, each, strict=True)}
        return {name: read[name] for name in strong}


def _is_asked(name: str) -> bool:
    return name.rpartition("|")[2] in ("carried", "own", "0")


def _recorded(read: Readings) -> dict[str, Any]:
    return {"values": read.values, "answers": read.answers, "nll": read.nll}


def _band(rows: RowLog) -> Band:
    """Of the base model: what lies far outside is no language of its own, whatever it begins with.
    RuntimeError where the base model could not be read."""
    for row in rows.rows():
        if row["key"] == BASE and row["status"] == "ok":
            low, high = row["band"]
            return low, high
    raise RuntimeError("the untouched base model could not be read, so nothing can be judged")


def _attempt(rows: RowLog, key: str, measure: Callable[[], Mapping[str, Any]]) -> None:
    try:
        found = {"status": "ok", "reason": "", **without_nan(measure())}
    # Whatever a map or a model's own code raises: the other sources can still be measured.
    except Exception as error:
        log.error("%s: %s", key, why(error), exc_info=True)
        found = {"status": "failed", "reason": why(error)}
    rows.append([{"key": key, **found}])
