"""MANIFEST.json: what every shipped checkpoint is and what it was measured to do.

python -m tl_geometry.pocket.manifest      # as tables, for docs/pocket.md
"""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = Path(__file__).parent / "MANIFEST.json"


def read_manifest(path: Path = MANIFEST) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def record(
    name: str, entry: Mapping[str, Any], path: Path = MANIFEST, *, anew: bool = False
) -> None:
    """Merge into one model's entry, keeping what others have written; or write it `anew`."""
    manifest = read_manifest(path)
    manifest[name] = {**({} if anew else manifest.get(name, {})), **entry}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(draft, path)


def weights_hash(folder: Path) -> str:
    """sha256 of the weights file of a checkpoint folder."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


INSTRUCT_COLUMNS = {
    "harmful": ("refuses_harmful",),
    "harmless": ("refuses_harmless",),
    "unread deeds": ("unread_refuses_harmful", "unread_refuses_harmless"),
    "new verbs": ("new_verbs_refuses_harmful", "new_verbs_refuses_harmless"),
    "axiom inputs": ("refuses_axiom_unsafe", "refuses_axiom_safe"),
    "on topic, new nouns": ("names_new_object_harmless",),
    **{
        trait: tuple(f"{trait}_{switch}" for switch in ("on", "off", "default"))
        for trait in ("sycophancy", "evil", "hallucination")
    },
}
BASE_COLUMNS = {
    "harmful": ("refuses_harmful", "templated_refuses_harmful"),
    "harmless": ("refuses_harmless", "templated_refuses_harmless"),
    "on topic": ("names_object_harmless",),
    **{
        trait: tuple(f"narrative_{trait}_{switch}" for switch in ("on", "off"))
        for trait in ("sycophancy", "evil", "hallucination")
    },
}
SIZES = {
    "parameters": "parameters",
    "steps": "steps",
    "minutes": "minutes",
    "training loss": "train_loss",
    "held-out loss": "held_out_loss",
}


def markdown(rows: list[dict[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def sizes_table(manifest: Mapping[str, Any]) -> str:
    """What each checkpoint is and what its training took, in markdown."""
    rows = []
    for name, entry in manifest.items():
        values = {title: f"{entry[key]:,}".replace(",", " ") for title, key in SIZES.items()}
        rows.append({"model": name, **values})
    return markdown(rows)


def behaviour_table(manifest: Mapping[str, Any], stage: str) -> str:
    """Shares of answers on the test split, in markdown; `stage` is base or instruct."""
    columns = INSTRUCT_COLUMNS if stage == "instruct" else BASE_COLUMNS
    rows = []
    for name, entry in manifest.items():
        if entry["stage"] == stage:
            rates = {
                title: " / ".join(f"{entry['behaviour']['rates'][key]['rate']:.2f}" for key in keys)
                for title, keys in columns.items()
            }
            rows.append({"model": name, **rates})
    return markdown(rows)


def confirmation_table(manifest: Mapping[str, Any]) -> str:
    """The two rates that matter most, on test and on the split by which nothing was chosen."""
    rows = []
    for name, entry in manifest.items():
        if entry["stage"] == "instruct":
            cells = {
                f"{side}, {what}": _with_interval(entry[key]["rates"][f"refuses_{side}"])
                for side in ("harmful", "harmless")
                for what, key in (("test", "behaviour"), ("validation", "confirmation"))
            }
            rows.append({"model": name, **cells})
    return markdown(rows)


def _with_interval(rate: Mapping[str, float]) -> str:
    return f"{rate['rate']:.3f} [{rate['low']:.3f}, {rate['high']:.3f}]"


if __name__ == "__main__":
    shipped = read_manifest()
    parts = (sizes_table(shipped), *(behaviour_table(shipped, s) for s in ("instruct", "base")))
    sys.stdout.write("\n".join((*parts, confirmation_table(shipped))))
