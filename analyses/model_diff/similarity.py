"""The step `similarity`: base and instruct on the same response tokens, and what carries over."""

import gc
import time

from accelerate.utils.memory import clear_device_cache

from analyses.model_diff.plan import Variant
from analyses.model_diff.similarity_config import Similarity
from analyses.model_diff.similarity_exported import export_similarity
from analyses.model_diff.similarity_plan import make_similarity_plan
from analyses.model_diff.similarity_states import (
    ARMS,
    Arm,
    Replay,
    activation_file,
    of_arm,
)
from analyses.model_diff.similarity_summary import summarize
from analyses.model_diff.similarity_tables import similarity_tables
from analyses.model_diff.similarity_transfer import (
    named_runs,
    transfer_table,
    weight_change,
    weights_run,
)
from analyses.requested import load
from analyses.results import Results
from tl_geometry.models import Model
from tl_geometry.response_states import whole_states
from tl_geometry.runs import atomic, open_run


def run_similarity(config: Similarity) -> Results:
    """Answer, replay, compare, draw; what the run's folder holds is not done again.

    ValueError for a request that cannot be carried out, before any weight is loaded; RuntimeError
    where a prompt could not be answered or read, or --skip was given and something is left to do.
    """
    from figures import redraw

    began, plan = time.monotonic(), make_similarity_plan(config)
    # First, so that a name that is no run is said before anything is loaded.
    transfer, weights = transfer_table(plan, named_runs(plan)), weights_run(plan)
    with open_run(plan.folder, plan.spec, policy=config.policy) as record:
        replay = Replay(plan, record)
        for variant in ("instruct", "base"):
            _measure(replay, variant)
        tables = similarity_tables(replay, transfer, weight_change(weights))
        for name, table in tables.items():
            record.write_table(name, table)
        summary = summarize(plan, tables, record, weights, seconds=time.monotonic() - began)
        export_similarity(replay, tables)
        record.write_json("summary.json", summary)
        redraw(record.folder, config.export)
    return Results(record.folder, tables, summary)


def _measure(replay: Replay, variant: Variant) -> None:
    """One model in memory at a time."""
    if replay.complete(variant) and not _unwritten(replay, variant):
        return
    if not replay.record.measuring:
        raise RuntimeError(f"the {variant} model is not measured yet, and --skip was given")
    model = load(replay.plan.config, replay.plan.model(variant).spec)
    if variant == "instruct":
        replay.respond(model)
        replay.read_instruct(model)
    else:
        for arm in ARMS:
            replay.read_base(model, arm)
    _write(replay, variant, model)
    del model
    gc.collect()
    clear_device_cache(garbage_collection=True)


def _folders(variant: Variant) -> dict[str, Arm]:
    """Name in the exported tree → what stands before the response."""
    return (
        {"instruct": "templated"} if variant == "instruct" else {of_arm(arm): arm for arm in ARMS}
    )


def _unwritten(replay: Replay, variant: Variant) -> bool:
    """Whether files of states were asked for and are not there."""
    return replay.plan.config.save_activations and any(
        not activation_file(replay.record, folder, prompt).exists()
        for folder in _folders(variant)
        for prompt in replay.answered
    )


def _write(replay: Replay, variant: Variant, model: Model) -> None:
    """One file a prompt, in a pass of its own: a batch of whole states would not fit."""
    if not replay.plan.config.save_activations:
        return
    for folder, arm in _folders(variant).items():
        for prompt, said in zip(replay.answered, replay.said(arm, replay.answered), strict=True):
            path = activation_file(replay.record, folder, prompt)
            if not path.exists():
                states = whole_states(model, said)
                n = len(said.prompt)
                atomic.save_arrays(path, {"prompt": states[:, :n], "response": states[:, n:]})
