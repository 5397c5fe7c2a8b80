"""What other steps found, layer by layer: how well vectors of the base model steer the instruct
model, and how much tuning changed the weights. What was not run is missing, with the reason."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analyses.model_diff.config import Diff
from analyses.model_diff.plan import ANALYSIS, OF_THE_RUN, has_rule, set_of
from analyses.model_diff.similarity_plan import SimilarityPlan
from analyses.model_diff.steer_plan import make_steer_plan
from analyses.model_diff.steps import STEPS
from analyses.model_diff.weights_plan import make_weights_plan
from analyses.model_diff.weights_summary import by_layer
from figures.rows import records, select
from figures.run_folder import read_tables
from tl_geometry.runs import run_folder, state
from tl_geometry.runs.folders import SPEC, read_json

NATURAL, NONE = "natural", "none"
Row = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """A finished run, or why there is none."""

    folder: Path | None
    reason: str = ""

    @cached_property
    def origin(self) -> Mapping[str, str]:
        """The run's name, its key, and (of `steer`) the fingerprint of the judge whose ratings its
        tables hold."""
        if self.folder is None:
            return {"run": "", "run_key": "", "judge": ""}
        summary = read_json(self.folder / "summary.json")
        told = {"run_key": summary.get("key", ""), "judge": summary.get("judge", "")}
        return {"run": self.folder.name, **told}


def named_runs(plan: SimilarityPlan) -> dict[str, Path]:
    """Trait → the `steer` run that --steered names for it.

    ValueError for a name that is no finished run of `steer`, of other models, of a trait that is
    not asked about here, or of one that another name has already.
    """
    found: dict[str, Path] = {}
    for name in plan.config.steered:
        folder = run_folder(ANALYSIS, name, plan.config.out)
        spec = read_json(folder / SPEC).get("spec", {}) if state(folder) == "finished" else {}
        if spec.get("step") != "steer" or spec.get("model") != plan.pair.instruct.identity:
            raise ValueError(
                f"--steered {name}: {folder} holds no finished run of `steer` with "
                f"{plan.pair.instruct.name}"
            )
        trait = _trait_of(plan, spec)
        if trait is None or trait in found:
            asked = ", ".join(plan.config.traits)
            raise ValueError(f"--steered {name}: name one run for each of the traits {asked}")
        found[trait] = folder
    return found


def _trait_of(plan: SimilarityPlan, spec: Mapping[str, Any]) -> str | None:
    """Which trait's questions a run asked, by the hash of its set."""
    for trait in plan.config.traits:
        config = replace(plan.config, trait=trait)
        for source in ("instruction", NATURAL):
            if set_of(config, plan.pair, source).digest == spec.get("prompts_hash"):
                return trait
    return None


def transfer_table(plan: SimilarityPlan, named: Mapping[str, Path]) -> pd.DataFrame:
    """One row a trait and layer, or one a trait that was not steered."""
    rows: list[Row] = []
    for trait in plan.config.traits:
        found = Found(named[trait]) if trait in named else _steered(plan, trait)
        about = {"trait": trait, **found.origin}
        if found.folder is None:
            rows.append({**about, "status": "missing", "reason": found.reason})
            continue
        searched = read_tables(found.folder / "tables")["doses"]
        curve = list(transfer_curve(searched, plan.config.coherence))
        rows += [{**about, **row} for row in curve]
    columns = [
        "trait",
        "run",
        "run_key",
        "judge",
        "layer",
        "delta",
        "set",
        "dose",
        "coherence",
        "unsteered",
    ]
    return pd.DataFrame(rows).reindex(columns=[*columns, "status", "reason"])


def transfer_curve(searched: pd.DataFrame, threshold: float) -> Iterator[Row]:
    """Layer by layer, the highest mean rating that a vector of the base model's own responses
    brought at a coherence of the threshold or more, over the unsteered model's.

    Of validation questions: the highest of many is too high by being chosen, at every layer alike.
    """
    unsteered = select(searched, set=NONE)["trait"].tolist()
    control = searched["control"].astype(str).str.lower() == "true"
    natural = searched["set"].astype(str).str.startswith(f"{NATURAL} ")
    tried = pd.DataFrame(searched[natural & ~control])
    if not unsteered or tried.empty:
        reason = "the run tried no vector of the source natural, or not the unsteered model"
        yield {"status": "missing", "reason": reason}
        return
    for layer in sorted({int(layer) for layer in tried["layer"]}):
        mine = [r for r in records(select(tried, layer=layer)) if r["coherence"] >= threshold]
        if not mine:
            reason = f"no dose leaves answers at a coherence of {threshold:g}"
            yield {"layer": layer, "status": "missing", "reason": reason}
            continue
        best = max(mine, key=lambda row: row["trait"])
        kept = {name: best[name] for name in ("set", "dose", "coherence")}
        delta = best["trait"] - unsteered[0]
        yield {"layer": layer, "delta": delta, **kept, "unsteered": unsteered[0],
               "status": "ok", "reason": ""}  # fmt: skip


def read_from(transfer: pd.DataFrame, weights: Found) -> dict[str, Any]:
    """Runs of other steps that curves and correlations are made of. They are looked for at every
    start and in no key: two summaries with other names here are no repetition of each other."""
    steered = {
        row["trait"]: {name: row[name] for name in ("run", "run_key", "judge")}
        for row in records(transfer)
        if row["run"]
    }
    return {"steer": steered, "weights": {k: v for k, v in weights.origin.items() if k != "judge"}}


def weights_run(plan: SimilarityPlan) -> Found:
    """ValueError where --weights names a run that is not there."""
    name = plan.config.weights
    if name is not None:
        folder = run_folder(ANALYSIS, name, plan.config.out)
        if state(folder) != "finished" or not (folder / "tables" / "norms.csv").exists():
            raise ValueError(f"--weights {name}: {folder} holds no finished run of `weights`")
        return Found(folder)
    return _finished(plan, "weights", make_weights_plan, {"trait": plan.config.trait})


def weight_change(found: Found) -> tuple[Mapping[int, float], str]:
    """Layer → size of what tuning changed there; empty, with the reason, where it is not known."""
    if found.folder is None:
        return {}, found.reason
    return by_layer(read_tables(found.folder / "tables")["norms"]), ""


def _steered(plan: SimilarityPlan, trait: str) -> Found:
    # No judge is in a run's key; a plan for models outside the embedded world wants one named.
    own: dict[str, Any] = {"trait": trait}
    if plan.config.judge_model is None and not has_rule(replace(plan.config, **own), plan.pair):
        own["judge_model"] = plan.pair.instruct.name
    return _finished(plan, "steer", make_steer_plan, own)


def _finished(plan: SimilarityPlan, step: str, make: Any, own: Mapping[str, Any]) -> Found:
    """The run of another step that the same settings make."""
    config = plan.config
    shared = {f.name for f in fields(Diff)} - {*OF_THE_RUN, *own}
    values = {name: getattr(config, name) for name in shared}
    begin = STEPS[step].presets.get(config.preset or "", STEPS[step].settings())
    try:
        folder = make(replace(begin, **values, **own)).folder
    except ValueError as error:
        return Found(None, f"`{step}` cannot be looked for: {error}")
    if state(folder) != "finished":
        what = f"{own['trait']} was not steered" if step == "steer" else "weights were not compared"
        other = "--steered" if step == "steer" else "--weights"
        why = f"{what} with these settings (no finished run {folder.name}; {other} names another)"
        return Found(None, why)
    return Found(folder)


def curve_of(table: pd.DataFrame, trait: str) -> tuple[Sequence[int], Sequence[float], str]:
    """Layers and changes that are known, or why none is."""
    rows = select(table, trait=trait, status="ok")
    reasons = [str(r["reason"]) for r in records(select(table, trait=trait, status="missing"))]
    layers = [int(layer) for layer in rows["layer"].tolist()]
    return layers, rows["delta"].tolist(), "" if layers else (reasons or ["no layer was tried"])[0]
