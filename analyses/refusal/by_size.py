"""One size of a family: its own layer first, then every dose there."""

from analyses.refusal.measuring import Measuring
from analyses.refusal.saying import Cell
from analyses.refusal.searched import Searched
from analyses.refusal.sources import at_depths, controls, random_like

VALIDATES = "dim"
"""The method with which the layer is chosen, as in the plan."""


def by_size(job: Measuring) -> Searched:
    """Layer and doses are chosen on validation prompts; then every dose at that layer is measured
    on test prompts, so that size and dose are not confounded."""
    config = job.task.config
    known = validated(job)
    source = known.best(VALIDATES).source
    assert source is not None
    depth = float(source.depth)
    scores = {method: job.scores(method, [depth]) for method in config.methods}
    found = at_depths(job.subject, [depth], scores)
    searched = job.tried([*found, *controls(job.subject, found)], config.doses, known)
    best = [searched.best(source.name) for source in found]
    cells = [Cell(None), *(Cell(source, dose) for source in found for dose in config.doses)]
    for cell in best:
        assert cell.source is not None
        like = random_like(job.subject, cell.source, f"as {cell.source.key}")
        cells += [Cell(cell.source, -cell.dose), *(Cell(source, cell.dose) for source in like)]
    cells += [searched.best(name) for name in searched.names if name not in config.methods]
    job.say("test", {f"test|{cell.key}": cell for cell in cells}, "test")
    job.effects(best)
    return searched


def validated(job: Measuring) -> Searched:
    """DIM's direction at every depth, tried on validation prompts beside the controls there: a
    depth is preferred by what it adds over them."""
    config = job.task.config
    depths = config.depths_of(job.task.model.name)
    found = at_depths(job.subject, depths, {VALIDATES: job.scores(VALIDATES, depths)})
    return job.tried([*found, *controls(job.subject, found)], config.doses)
