"""Verification of COSMIC, the blocker before any sweep; writes COSMIC_VERIFICATION.md."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from math import inf, isnan
from pathlib import Path
from typing import Any

import numpy as np

from analyses import budget
from analyses.ledger import enter
from analyses.refusal.config import Families, Steered, Verify
from analyses.refusal.exported import export
from analyses.refusal.measuring import Task, loaded
from analyses.refusal.plan import make_plan
from analyses.refusal.planted import recovered
from analyses.refusal.sources import states
from analyses.refusal.subject import Subject
from analyses.refusal.verdict import WORKS
from analyses.results import Results
from figures.rows import records, select
from tl_geometry.candidates import Scorer
from tl_geometry.edits import Edit, Kind
from tl_geometry.runs import atomic, run_folder
from tl_geometry.runs.folders import read_json

log = logging.getLogger(__name__)
PARTS = (
    "capture", "sites", "tokens", "resume", "twins", "interventions", "directions", "steering",
    "edits", "prefixes", "candidates", "selection", "conditions", "generation", "likelihood",
    "judges.quality", "judges.refusal", "judges.repetition",
)  # fmt: skip
OURS = tuple(
    f"analyses.refusal.{part}"
    for part in ("subject", "openings", "sources", "saying", "measuring", "by_family", "verdict")
)
REPORT = "COSMIC_VERIFICATION.md"
TOLERANCE = 1e-4
"""Cosines and nats in float32 may differ by this much between batch shapes."""
SAMPLED, PROMPTS = 4, 8
"""Layers, and prompts of each class, that are scored again the slow way."""
STEPS = (
    ("candidates: differences of class means, raw length, float64", "directions.class_means"),
    ("evaluation layers: least cosine, last token, int(0.1 L)", "candidates.evaluation_layers"),
    ("baselines: mean over validation prompts and those layers", "candidates.Scorer.baselines"),
    ("linear: removal everywhere, addition at one block's input", "edits.Edit.held"),
    ("affine (ACE): amount 0 and 1 at one block's input", "steering.affine"),
    ("scores: cosine to the other class's baseline", "candidates.Scorer.scores"),
    ("filters: depth 0.8, KL 0.1, late last tokens, NaN", "selection.cosmic"),
    ("ties: earliest position, then lowest layer", "selection.cosmic"),
)


@dataclass(frozen=True)
class Found:
    """What a verification showed."""

    passed: bool
    text: str
    report: Path
    results: Results


def code_version() -> str:
    """Hash of the files that extraction, selection, steering and judging consist of."""
    digest = hashlib.sha256()
    for name in (*(f"tl_geometry.{part}" for part in PARTS), *OURS):
        spec = find_spec(name)
        assert spec is not None and spec.origin is not None
        digest.update(Path(spec.origin).read_bytes())
    return digest.hexdigest()[:16]


def check_verified(config: Steered) -> None:
    """ValueError unless `verify` passed with this very code, or it was waived."""
    path = _record(config)
    known = read_json(path) if path.is_file() else {}
    if config.skip_verification or (known.get("passed") and known.get("code") == code_version()):
        return
    why = "has not passed" if known.get("code") == code_version() else "was not run with this code"
    raise ValueError(
        f"the verification of COSMIC {why}: run `python -m analyses.refusal verify` first, or add "
        "--skip-verification (the report will say so)"
    )


def _record(config: Steered) -> Path:
    return run_folder("refusal", "verified.json", config.out)


def run_verify(config: Verify) -> Found:
    """Score some candidates again without any shortcut, then steer at the named depth.

    The step-by-step mapping is docs/cosmic.md; tests compare every intermediate with a second
    implementation on plain modules. ValueError and RuntimeError as `run`.
    """
    from analyses.refusal.experiment import run

    families = as_families(config)
    plan = make_plan(families)
    model, *others = plan.models
    if others:
        raise ValueError(f"one model is verified, not {len(plan.models)}: --models {model.name}")
    if model.size is None:
        raise ValueError(model.reason)
    began = budget.now()
    subject = loaded(Task(plan.folder, families, model, plan.prompts))
    apart = {kind: recomputed(subject, kind) for kind in ("linear", "affine")}
    planted = recovered(subject.model.tokenizer)
    checked = budget.now() - began
    results = run(families, subject)
    enter(results.folder, "verify", began, checked, config.hourly_rate)
    rows = records(select(results.tables["verdicts"], choice="best depth on validation"))
    same = all(value <= TOLERANCE for value in apart.values()) and all(planted.values())
    coherent = {row["method"]: row["coherent"] for row in rows}
    passed = same and coherent["cosmic"] >= WORKS
    text = _text(config, apart, planted, rows, passed=passed)
    report = results.folder / REPORT
    atomic.write_text(report, text)
    atomic.write_json(_record(config), {"passed": passed, "code": code_version()})
    export(results.folder, results.tables, results.summary, "verify")
    return Found(passed, text, report, results)


def as_families(config: Verify) -> Families:
    """The sweep of one model and one depth that a verification runs."""
    shared = {field.name for field in fields(Steered)}
    given = {name: value for name, value in vars(config).items() if name in shared}
    given |= {"skip_verification": True, "executor": "serial"}
    return Families(**given, low_depths=config.depths, one_round=True)


def recomputed(subject: Subject, kind: Kind) -> float:
    """Largest difference between the scores and the same from full passes, prompt by prompt."""
    n_layers = subject.model.cfg.n_layers
    layers = states((), n_layers)
    rng = np.random.default_rng(subject.config.seed)
    some = rng.choice(layers, size=min(SAMPLED, len(layers)), replace=False).tolist()
    whole = subject.scorer("cosmic", kind)
    few = {"harmful": whole.harmful[:PROMPTS], "harmless": whole.harmless[:PROMPTS]}
    fast = replace(whole, **few)
    slow = OneByOne(**{f.name: getattr(fast, f.name) for f in fields(Scorer)})
    slow.batch_size = 1
    worst = 0.0
    for layer in sorted(some):
        a, b = fast.scores(layer), slow.scores(layer)
        pairs = list(zip(_flat(a), _flat(b), strict=True))
        position = fast.means.positions[0]
        pairs.append((fast.kl(layer, position), slow.kl(layer, position)))
        worst = max([worst, *(_apart(x, y) for x, y in pairs)])
    return worst


def _apart(x: float, y: float) -> float:
    """Both may be undefined, but not one alone: NaN would be lost in a maximum."""
    if isnan(x) and isnan(y):
        return 0.0
    return inf if isnan(x) or isnan(y) else abs(x - y)


def _flat(scores: dict[str, list[float]]) -> list[float]:
    return [value for name in sorted(scores) for value in scores[name]]


class OneByOne(Scorer):
    """The same scores without shared prefixes: every pass begins at the tokens, a prompt alone."""

    def _first(self, edit: Edit | None) -> int:
        return 0

    @property
    def _stop(self) -> int:
        return self.model.cfg.n_layers


def _text(
    config: Verify,
    apart: Mapping[str, float],
    planted: Mapping[str, bool],
    rows: Sequence[dict[str, Any]],
    *,
    passed: bool,
) -> str:
    lines = ["# COSMIC verification", "", f"**{'PASSED' if passed else 'NOT PASSED'}**", ""]
    lines += [f"Model: {', '.join(config.models)}. Code version {code_version()}.", ""]
    lines += ["## Steps of the paper and where they are", "", "| step | code |", "|---|---|"]
    lines += [f"| {step} | `tl_geometry.{place}` |" for step, place in STEPS]
    lines += [
        "",
        "Deviations and readings of what the paper leaves open: docs/cosmic.md. A second, literal "
        "implementation on plain Hugging Face modules is compared in tests/test_cosmic.py.",
        "",
        "## The same scores without shortcuts",
        "",
        f"{SAMPLED} layers drawn by the seed, all positions, {PROMPTS} prompts of each class, full "
        f"passes of one prompt at a time; largest difference (tolerated: {TOLERANCE:g}):",
        "",
        *[f"* {kind}: {value:.2g}" for kind, value in apart.items()],
        "",
        "## A planted direction",
        "",
        "A made model in which the attention of one block writes the one direction that the "
        "answer is read from: each rule has to take that block and that direction (cosine above "
        "0.95), and must not where nothing is planted.",
        "",
        *[f"* {rule}: {'found' if right else 'NOT FOUND'}" for rule, right in planted.items()],
        "",
        "## Reproduction: steering induces coherent refusal",
        "",
        *[_reproduced(row) for row in rows],
        "",
    ]
    return "\n".join(lines)


def _reproduced(row: dict[str, Any]) -> str:
    return (
        f"* {row['method'].upper()} at block {row['layer']:.0f} ({row['depth_percent']:.0f} %), "
        f"dose {row['dose_residual']:.3f} of the residual norm: {row['coherent']:.0%} "
        f"[{row['coherent_low']:.0%}, {row['coherent_high']:.0%}] of {row['n']} benign test "
        f"requests refused coherently, {row['garbled']:.0%} garbled ({row['verdict']})."
    )
