"""Write the bridge's numbers, under the package's own TransformerLens, for `test_hooked.py`."""

import sys
from pathlib import Path

from numbers_of import MODELS, numbers  # type: ignore[import-not-found] # beside this file
from safetensors.torch import save_file

from tl_geometry.models import load_model
from tl_geometry.prompts import load_bank
from tl_geometry.tokens import encode, pad

out = Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
CUTS = (30, 24, 140, 41, 35)
"""Unequal, and one longer than the window of Gemma-2's local layers."""
texts = [" ".join([prompt.text] * 4) for prompt in load_bank("pocket")[::120]]
for name in MODELS:
    model = load_model(name)
    encoded = encode(model, texts[: len(CUTS)])
    batch = pad(model, [ids[:cut] for ids, cut in zip(encoded, CUTS, strict=True)])
    assert batch.lengths.tolist() == list(CUTS)
    arrays = {key: value.contiguous() for key, value in numbers(model, batch).items()}
    save_file({"ids": batch.ids, "mask": batch.mask, **arrays}, out / f"{name}.safetensors")
