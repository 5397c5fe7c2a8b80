"""Can I use my model? Runs the conformance checks and prints a table."""

import sys
from dataclasses import dataclass
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True, kw_only=True)
class Config:
    """Compare a model under TransformerLens with Hugging Face's own code, check by check."""

    model: Annotated[str, tyro.conf.Positional]
    """Short name (python -m tl_geometry.models), hub id, or folder with config.json."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Default: float32 on a CPU, the checkpoint's own on a GPU."""
    device: str | None = None
    """Default: CUDA where there is one."""
    quantization: Literal["none", "int8", "nf4", "int8-torchao"] = "none"
    """How the weights are loaded."""
    revision: str | None = None
    """Commit of a hub model."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""


def main(config: Config) -> int:
    """0 if every check holds (known limits count as holding), 3 if one fails, 2 for bad input."""
    from tl_geometry.conformance.checks import CHECKS, run_check
    from tl_geometry.conformance.subject import subject
    from tl_geometry.models import load_model

    try:
        model = load_model(
            config.model,
            device=config.device,
            dtype=config.dtype,
            quantization=config.quantization,
            revision=config.revision,
            trust_remote_code=config.trust_remote_code,
        )
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    cfg, out = model.cfg, sys.stdout
    out.write(f"{config.model}: {cfg.n_layers} layers, {cfg.d_model} wide, {cfg.n_heads} heads\n\n")
    out.write(f"{'check':<18}{'answer':<8}{'worst':<10}\n")
    results = []
    for check in CHECKS:
        results.append(result := run_check(check, subject(model)))
        worst = "" if result.worst is None else f"{result.worst:.1e}"
        out.write(f"{result.check:<18}{result.status:<8}{worst:<10}{result.detail}\n")
        out.flush()
    failed = [result.check for result in results if result.status == "failed"]
    verdict = f"failed: {', '.join(failed)}" if failed else "this model can be used"
    out.write(f"\n{verdict}\n")
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config)))
