"""Peak memory while a model is loaded and run once, against the size of its weights.

python -m benchmarks loading
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.generation import random_llama
from benchmarks.timing import Claim, peak_mebibytes


def run(rounds: int) -> list[Claim]:
    """One claim: the weights are in memory once, bridge and twin included."""
    with tempfile.TemporaryDirectory() as folder:
        weights = _save(Path(folder))
        peak = peak_mebibytes(partial(prepared, folder))
    ratio = peak / weights
    detail = f"{peak:.0f} of {weights:.0f} MiB, float32, one pass of 8 tokens included"
    met = ratio <= 1.3
    return [Claim("peak memory of load_model", "weights", ratio, "≤ 1.3", met, detail)]


def _save(folder: Path) -> float:
    """Write the random model; the size of its weights in MiB."""
    from transformers import AutoTokenizer

    from tl_geometry.catalogue import resolve

    model: Any = random_llama()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(resolve("pocket-mistral").source).save_pretrained(folder)
    return sum(p.numel() * p.element_size() for p in model.parameters()) / 2**20


def prepared(folder: str) -> Callable[[], object]:
    """Imports are paid for before; loading and one pass are measured."""
    import transformer_lens.model_bridge  # noqa: F401 # so that importing is not timed
    import transformers.models.llama.modeling_llama  # noqa: F401 # so that importing is not timed

    from tl_geometry.models import load_model

    def work() -> object:
        model = load_model(folder, device="cpu", dtype="float32")
        with torch.inference_mode():
            ids = torch.arange(8)[None]
            return model(ids, attention_mask=torch.ones_like(ids))

    return work
