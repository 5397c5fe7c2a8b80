"""One model of a sweep, wholly measured: what its record already holds is not measured again."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from analyses.budget import or_spent
from analyses.refusal.by_family import by_family
from analyses.refusal.by_precision import by_precision
from analyses.refusal.by_size import by_size
from analyses.refusal.config import Families, Quantization, Sizes, Steered
from analyses.refusal.effort import timed
from analyses.refusal.measuring import Measuring, Task, loaded, smoke
from analyses.refusal.searched import Searched
from analyses.refusal.sources import Source
from analyses.work import why, without_nan
from tl_geometry.runs import open_model_record

log = logging.getLogger(__name__)
DONE = "model"
SWEEPS: Mapping[type[Steered], Callable[[Measuring], Searched]] = {
    Families: by_family,
    Sizes: by_size,
    Quantization: by_precision,
}


@or_spent
def measure_model(task: Task) -> str:
    """Measure, or go on; the reason where the model is not wholly measured, else empty."""
    done = f"{DONE}|fallback" if task.fallback else DONE
    with (
        open_model_record(task.folder, task.model.name) as record,
        timed(record, task.config.device),
    ):
        if done in record.rows.done:
            return ""
        task.deadline.check()  # before a model is loaded
        try:
            subject = loaded(task)
            smoke(subject)
        # Whatever loading or a model's own code raises: a row, and the others go on.
        except Exception as error:
            log.error("%s: %s", task.model.name, why(error), exc_info=True)
            return why(error)
        job = Measuring(task, record, subject)
        searched = SWEEPS[type(task.config)](job)
        record.rows.append([{"key": done, **_about(job, searched)}])
    return ""


def _about(job: Measuring, searched: Searched) -> dict[str, Any]:
    subject = job.subject
    words = subject.model.tokenizer.decode
    return {
        "status": "ok",
        "reason": "",
        "n_layers": subject.model.cfg.n_layers,
        "n_positions": subject.n_positions,
        "shared_opening": words(list(subject.opening.shared)),
        "refusal_tokens": [words([i]) for i in subject.opening.refusal],
        "cosines": without_nan(_cosines(job)),
        "missing": dict(searched.missing),
        "sources": [without_nan(_source(source)) for source in searched.sources],
    }


def _cosines(job: Measuring) -> list[float]:
    """Of the DIM and COSMIC differences at the last token, state by state."""
    if set(job.task.config.methods) < {"dim", "cosmic"}:
        return []
    both = (job.subject.means[m].difference[:, -1] for m in ("dim", "cosmic"))
    return [float(a @ b / (a.norm() * b.norm())) for a, b in zip(*both, strict=True)]


def _source(source: Source) -> dict[str, Any]:
    direction = source.direction
    return {
        "source": source.name,
        "depth": source.depth,
        "layer": source.layer,
        "position": direction.position,
        "norm": direction.norm,
        "residual_norm": direction.provenance["residual_norm"],
        "score": direction.provenance.get("score"),
        "kl": direction.provenance.get("kl"),
        "note": source.note,
    }
