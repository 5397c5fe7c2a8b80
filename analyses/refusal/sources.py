"""Which direction stands for a method at a depth, and the random ones beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from analyses.refusal.config import FREE, Families
from analyses.refusal.subject import Subject
from tl_geometry.candidates import Scorer
from tl_geometry.directions import Direction
from tl_geometry.selection import Choice, NoDirectionError, Scores, arditi, cosmic, deepest
from tl_geometry.sites import layer_at

Rows = Mapping[int, Mapping[str, Any]]
ANYWHERE = 10**6
"""As many layers that none is too deep: at a given depth the depth is not the rule's to refuse."""


@dataclass(frozen=True, eq=False)
class Source:
    """A direction, and the block at whose output steering with it sets in."""

    name: str
    depth: str
    layer: int
    direction: Direction
    note: str = ""

    @property
    def key(self) -> str:
        return f"{self.name}|{self.depth}"


def states(config: Families, depths: tuple[float, ...], n_layers: int) -> list[int]:
    """States of the residual stream whose candidates are scored, ascending.

    Not what enters the first block: there the last tokens of all prompts are the same.
    """
    given = {layer_at(depth, n_layers) + 1 for depth in depths}
    return sorted(given | set(range(1, deepest(n_layers))))


def chosen(
    subject: Subject, depths: tuple[float, ...], scores: Mapping[str, Scores]
) -> tuple[list[Source], dict[str, str]]:
    """(directions by method and depth, then the controls; reasons where there is none).

    Steering "at layer l" begins at the output of block l, and its direction is measured there:
    state l + 1, which the papers call the input of block l + 1.
    """
    n_layers = subject.model.cfg.n_layers
    found: list[Source] = []
    missing: dict[str, str] = {}
    for method in subject.config.methods:
        scorer = subject.scorer(method)
        for depth in depths:
            layer = layer_at(depth, n_layers)
            found.append(_at_depth(method, f"{depth:g}", layer, scorer, scores[method]))
        try:
            choice = _rule(method)(scores[method], n_layers, scorer.kl)
            found.append(_source(method, FREE, scorer, choice))
        except NoDirectionError as error:
            missing[f"{method}|{FREE}"] = str(error)
    return [*found, *_controls(subject, found)], missing


def _rule(method: str) -> Any:
    return cosmic if method == "cosmic" else arditi


def _at_depth(method: str, depth: str, layer: int, scorer: Scorer, scores: Scores) -> Source:
    """The best position of that layer by the method's own rule; else the last token, as the plan
    takes it, with the reason."""
    here = {layer + 1: scores[layer + 1]}
    try:
        return _source(method, depth, scorer, _rule(method)(here, ANYWHERE, scorer.kl))
    except NoDirectionError as error:
        direction = scorer.means.direction(layer + 1, -1, method)
        return Source(method, depth, layer, direction, f"last token: {error}")


def _source(method: str, depth: str, scorer: Scorer, choice: Choice) -> Source:
    about = {"score": choice.score, "kl": choice.kl, "rule": choice.rule}
    direction = scorer.means.direction(choice.layer, choice.position, method, **about)
    return Source(method, depth, choice.layer - 1, direction)


def _controls(subject: Subject, found: list[Source]) -> list[Source]:
    """At the depths of the first method: random directions as long as its own, and the difference
    of classes whose labels were shuffled."""
    own = [source for source in found if source.name == found[0].name and source.depth != FREE]
    controls = []
    for source in own:
        state, position = source.layer + 1, source.direction.position
        shuffled = subject.means["shuffled"].direction(state, position, "shuffled")
        controls.append(Source("shuffled", source.depth, source.layer, shuffled))
    for k in range(subject.config.random_directions):
        unit = torch.randn(subject.model.cfg.d_model, generator=subject.generator(1 + k))
        unit = unit / unit.norm()
        controls += [_random(source, unit, k) for source in own]
    return controls


def _random(source: Source, unit: torch.Tensor, k: int) -> Source:
    """The same random direction at every depth, as long as the method's there."""
    given = source.direction
    about = {"residual_norm": given.provenance["residual_norm"]}
    made = Direction(
        unit * given.norm, given.layer, given.position, "random", given.reference, about
    )
    return Source(f"random {k}", source.depth, source.layer, made)


def as_scores(rows: Rows) -> Scores:
    """Scores from a log: JSON has no NaN, which stands where a candidate is no direction."""
    return {
        layer: {
            name: [np.nan if x is None else float(x) for x in row[name]]
            for name in ("comply", "refuse", "bypass", "induce")
        }
        for layer, row in rows.items()
    }
