"""Weights & Biases as the plan organises it (its section 4.2): a run a model and method."""

from typing import Any

from analyses.refusal.exported import Object, objects_by_file
from analyses.results import Results
from analyses.sinks import wandb_run

PLAN = "plan"
"""Stands for the plan's own project of each step."""
PROJECTS = {
    "verify": "v3-cosmic-verification",
    "families": "v3-family-sweep",
    "sizes": "v3-size-sweep",
    "quantization": "v3-quantization-sweep",
}
NAMES = {
    "gemma-2-2b": "gemma-2b",
    "gemma-2-9b": "gemma-9b",
    "gemma-2-27b": "gemma-27b",
    "llama-3-8b": "llama-8b",
    "llama-3.2-3b": "llama-3b",
    "mistral-7b-v0.3": "mistral-7b",
    "mistral-small-24b": "mistral-24b",
    "phi-3.5-mini": "phi-35",
    "phi-3-medium": "phi-3-medium",
    "qwen2.5-3b": "qwen-3b",
    "qwen2.5-7b": "qwen-7b",
    "qwen2.5-14b": "qwen-14b",
    "qwen2.5-32b": "qwen-32b",
}
"""The plan's names of its models. Others keep ours: cut short, two could be the same."""
PARTS = {"v3_phase1": "layer-sweep", "v3_phase2_layer": "layer-validation"}
"""What the plan adds to the names of runs that go over layers, by the start of the file's name."""


def send(wanted: str, results: Results, step: str | None = None) -> None:
    """Each object of the plan's result files as a run, a condition after the other.

    `wanted` is a project, or `plan`. RuntimeError as `wandb_run`.
    """
    step = step or str(results.summary["spec"]["step"])
    project = PROJECTS[step] if wanted == PLAN else wanted
    found = objects_by_file(results.folder, results.tables, results.summary, step)
    for file, objects in found.items():
        for one in objects:
            _send(project, run_name(file, one, objects), one)


def run_name(file: str, one: Object, beside: list[Object]) -> str:
    """`gemma-9b-dim-layer-sweep`, `qwen-3b-dim`; `qwen-3b-int8` where one method was measured."""
    parts = [NAMES.get(one["model"], one["model"])]
    precisions = "quant" in file
    many = len({other["method"] for other in beside}) > 1
    last = next((words for start, words in PARTS.items() if file.startswith(start)), "")
    if many or not (precisions or last == "layer-validation"):
        parts.append(one["method"])
    parts.append(one["quantization"] if precisions else last)
    return "-".join(filter(None, parts))


def _send(project: str, name: str, one: Object) -> None:
    import wandb

    about = {key: value for key, value in one.items() if key not in ("conditions", "timestamp")}
    with wandb_run(project, name, about) as run:
        for condition in one["conditions"]:
            run.log(_fields(one, condition, wandb.Table))


def _fields(one: Object, condition: Object, table: Any) -> Object:
    """What the plan wants of each condition."""
    said = ("prompt", "response", "quality")
    rows = [[sample[name] for name in said] for sample in condition["samples"]]
    numbers = {k: v for k, v in condition.items() if k not in ("samples", "refusals")}
    names = {name: one[name] for name in ("model_id", "method", "quantization")}
    return {**names, **numbers, "sample_outputs": table(columns=list(said), data=rows)}
