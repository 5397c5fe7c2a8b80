"""The embedded model as the subject of a small refusal sweep."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

from refusal_sizes import SIZES

from analyses.refusal.config import Families
from analyses.refusal.plan import make_plan
from analyses.refusal.sources import Source
from analyses.refusal.subject import Subject
from tl_geometry import sites
from tl_geometry.tokens import TokenBatch
from tl_geometry.twins import Edit


@lru_cache
def subject_of(model: Any) -> Subject:
    """One for each model, because its means are found once."""
    config = Families(models=("pocket-mistral",), **SIZES)
    return Subject(model, config, make_plan(config).prompts)


def source_of(subject: Subject) -> Source:
    layer = sites.layer_at(0.6, subject.model.cfg.n_layers)
    return Source("dim", "0.6", layer, subject.means["dim"].direction(layer + 1, -1))


def nothing(_: TokenBatch) -> tuple[Mapping[int, Edit], AbstractContextManager[None]]:
    return {}, nullcontext()
