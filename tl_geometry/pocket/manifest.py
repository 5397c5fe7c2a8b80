"""MANIFEST.json: what every shipped checkpoint is and what it was measured to do."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MANIFEST = Path(__file__).parent / "MANIFEST.json"


def read_manifest(path: Path = MANIFEST) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def record(name: str, entry: Mapping[str, Any], path: Path = MANIFEST) -> None:
    """Merge into one model's entry, keeping what others have written."""
    manifest = read_manifest(path)
    manifest[name] = {**manifest.get(name, {}), **entry}
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(draft, path)


def weights_hash(folder: Path) -> str:
    """sha256 of the weights file of a checkpoint folder."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
