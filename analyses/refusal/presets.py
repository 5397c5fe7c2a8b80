"""The plan's own settings, one preset a step. No torch here, so that `--help` is quick."""

from dataclasses import replace
from typing import Any

from analyses.refusal.config import Families, Quantization, Sizes, Verify

PLAN: Any = {"dose_unit": "unit", "span": "to_end", "tokens": "all"}
"""How the plan adds a direction: so many times the unit vector, from the layer on, everywhere."""
SEED = Families(
    models=("gemma-2-9b", "phi-3.5-mini", "llama-3-8b", "mistral-7b-v0.3"),
    dim_prompts=5,
    cosmic_prompts=50,
    positions=1,
    **PLAN,
    doses=(15.0,),
    extra_doses=(10.0, 20.0, 25.0),
    fallback_doses=(5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0),
    preset="seed",
)
SIZES_SEED = replace(
    Sizes(),
    models=("qwen2.5-3b", "qwen2.5-7b", "qwen2.5-14b", "qwen2.5-32b"),
    dim_prompts=5,
    cosmic_prompts=50,
    positions=1,
    **PLAN,
    doses=(10.0, 15.0, 20.0, 25.0),
    preset="seed",
)
QUANTIZATION_SEED = replace(
    Quantization(),
    models=("qwen2.5-3b", "qwen2.5-7b", "qwen2.5-32b"),
    dim_prompts=5,
    positions=1,
    **PLAN,
    doses=(15.0,),
    preset="seed",
)
VERIFY_SEED = replace(
    Verify(), models=("qwen2.5-7b",), depths=(0.6,), **PLAN, doses=(15.0,), preset="seed"
)

PRESETS = {
    "verify": {"seed": VERIFY_SEED},
    "families": {"seed": SEED},
    "sizes": {"seed": SIZES_SEED},
    "quantization": {"seed": QUANTIZATION_SEED},
}
