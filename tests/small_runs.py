"""A tiny random checkpoint as a folder, a bank of short texts, and runs of the homeostasis command
line on them: all that is needed to see what the program does, quickly."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import transformers
from tiny import CONFIGS, tokenizer

N_LAYERS = 8  # patched at 6, early layer 1
N_PAIRS = 12


def save_checkpoint(folder: Path) -> Path:
    """A random Mistral: a folder such as `save_pretrained` makes."""
    options = CONFIGS["mistral"][1] | {"num_hidden_layers": N_LAYERS}
    generator = torch.random.manual_seed(0)
    model: Any = transformers.MistralForCausalLM(transformers.MistralConfig(**options))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def save_bank(path: Path, spare: int = 0) -> Path:
    """One self-observing and one plain text of about 35 letters, and so tokens, for each pair, and
    so many further plain ones."""
    texts = [
        ("r", "L3_deeper", "Notice how you read sentence {} now{}"),
        ("p", "factual", "The harbour opened in year {} again{}"),
    ]
    rows = [
        {"id": f"{name}{i}", "group": group, "text": text.format(10 + i, "." * (i % 4))}
        for i in range(N_PAIRS + spare)
        for name, group, text in texts[i >= N_PAIRS :]
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def tables(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((run / "tables").glob("*.csv"))}


def frame(run: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(run / "tables" / f"{name}.csv", keep_default_na=False, na_values=[""])


def rows(run: Path, model: str = "tiny") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / model / "rows.jsonl").read_text().splitlines()]
