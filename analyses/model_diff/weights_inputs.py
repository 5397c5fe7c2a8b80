"""What enters the matrices that write to the residual stream, while the base model reads its own
responses: the one thing in `weights` for which a model is built, once and alone in memory."""

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accelerate.utils.memory import clear_device_cache
from safetensors.torch import load_file
from torch import Tensor

from analyses.model_diff.extracted import recorded, responses_of
from analyses.model_diff.plan import Source
from analyses.model_diff.weights_plan import WEIGHTS, WeightsPlan
from analyses.requested import load
from analyses.work import halved
from tl_geometry.runs import RowLog, Run
from tl_geometry.sites import write_inputs
from tl_geometry.span_means import Said, means_at
from tl_geometry.spans import Span
from tl_geometry.weight_applied import bias_changes
from tl_geometry.weight_delta import Difference
from tl_geometry.weight_directions import has_post_norms

BATCH = 50
INPUTS, READ = "inputs", "mean inputs"
"""File of the means, and key of the row that says whose they are."""


@dataclass(frozen=True, eq=False)
class Inputs:
    """Means over the responses of a model."""

    means: Mapping[str, Tensor]
    """`<layer>|<component>` → [n_in]."""
    biases: Mapping[tuple[int, str], Tensor]
    """What the change of a bias adds."""
    about: Mapping[str, Any]
    """Who read what, for every row that is made of them."""

    def of(self, layer: int) -> dict[str, Tensor]:
        named = {name: self.means.get(f"{layer}|{name}") for name in ("o", "down")}
        return {name: mean for name, mean in named.items() if mean is not None}

    def biases_of(self, layer: int) -> dict[str, Tensor]:
        return {name: added for (at, name), added in self.biases.items() if at == layer}


def mean_inputs(
    plan: WeightsPlan, record: Run, rows: RowLog, difference: Difference
) -> Inputs | None:
    """From the run's folder, or read now. None where no trait vectors are compared (nothing says
    which texts count), or where a row says why there are none."""
    if plan.extraction is None:
        return None
    if READ not in rows.done:
        try:
            source = _own_responses(plan, difference)
        except ValueError as error:
            rows.append([{"key": READ, "status": "missing", "reason": str(error)}])
            return None
        said = _said(plan, source)
        record.save_arrays(WEIGHTS, INPUTS, _read(plan, source, said))
        gc.collect()  # a bridge is a cycle, and the model is to be gone before weights are read
        clear_device_cache(garbage_collection=True)
        about = {"read_by": source.model.name, "responses": source.name, "texts": len(said)}
        rows.append([{"key": READ, "status": "ok", "reason": "", **about}])
    (row,) = (row for row in rows.rows() if row["key"] == READ)
    if row["status"] != "ok":
        return None
    means = load_file(record.model_folder(WEIGHTS) / "artifacts" / f"{INPUTS}.safetensors")
    about = {name: row[name] for name in ("read_by", "responses", "texts")}
    return Inputs(means, bias_changes(difference), about)


def _own_responses(plan: WeightsPlan, difference: Difference) -> Source:
    """What the model said that the change starts from. ValueError says why there is nothing."""
    assert plan.extraction is not None
    base = plan.models[0]
    if plan.config.revisions:
        raise ValueError("of two revisions neither has read the responses")
    if has_post_norms(difference.base, 0):
        raise ValueError(
            f"{difference.base.model_type} normalises what a block writes: what a change adds is "
            "not linear in it"
        )
    made_by = recorded(plan.extraction)["spec"]["model"]
    for source in plan.extraction.sources:
        if made_by[source.variant == "instruct"] == base.identity:
            return source
    raise ValueError(
        f"{plan.extraction.folder.name} holds no responses of {base.name}, from which the change "
        "starts: extract with positions of its source"
    )


def _said(plan: WeightsPlan, source: Source) -> list[Said]:
    assert plan.extraction is not None
    rows = responses_of(plan.extraction, source)
    return [Said(tuple(row["prompt_ids"]), tuple(row["response_ids"])) for row in rows]


def _read(plan: WeightsPlan, source: Source, said: list[Said]) -> dict[str, Tensor]:
    """One pass over the responses."""
    model: Any = load(plan.config, source.model.spec)
    names = {
        f"{layer}|{component}": name
        for layer in range(model.cfg.n_layers)
        for component, name in write_inputs(model, layer).items()
    }
    means = halved(
        lambda size: means_at(
            model, said, Span("response"), names, batch_size=size, title=source.model.name
        ),
        plan.config.batch_size or BATCH,
    )
    return {key: mean.float() for key, mean in means.items()}
