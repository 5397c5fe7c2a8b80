"""Values as JSON in exactly one way, so that equal values have equal text and equal hashes."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(value: Any, where: str = "value", *, nan_as_null: bool = False) -> Any:
    """The same value made of dict, list, str, int, float, bool and None only; numbers stay exact.

    ValueError, naming the place, for infinities, for keys that are not text, and for what JSON
    does not know. NaN is refused too, or becomes None where a reason stands beside it.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isnan(value) and nan_as_null:
            return None
        if not math.isfinite(value):
            raise ValueError(
                f"{where} is {value}: only finite numbers can be recorded. Where one is missing, "
                "record None with a status and a reason beside it"
            )
        return float(value)
    if isinstance(value, list | tuple):
        return [plain(v, f"{where}[{i}]", nan_as_null=nan_as_null) for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise ValueError(f"{where} has the key {odd[0]!r}: keys must be text, e.g. '{odd[0]}'")
        return {k: plain(v, f"{where}.{k}", nan_as_null=nan_as_null) for k, v in value.items()}
    raise ValueError(
        f"{where} is a {type(value).__name__}, which JSON does not know: "
        "give text, numbers, booleans, None, or lists and mappings of them"
    )


def canonical_json(value: Any) -> str:
    """Keys sorted, no white space, no NaN, ASCII: one text per value, on every machine."""
    return json.dumps(plain(value), sort_keys=True, allow_nan=False, separators=(",", ":"))


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """One line a place where two plain values differ, as `parameters.window: 16 → 24`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = sorted({*old, *new})
        pairs = [(name, old.get(name, ABSENT), new.get(name, ABSENT)) for name in names]
        found = [differences(a, b, f"{where}.{name}".lstrip(".")) for name, a, b in pairs]
        return [line for lines in found for line in lines]
    if old is not ABSENT and new is not ABSENT and canonical_json(old) == canonical_json(new):
        return []
    return [f"{where}: {_short(old)} → {_short(new)}"]


ABSENT = object()


def _short(value: Any, limit: int = 60) -> str:
    if value is ABSENT:
        return "(absent)"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= limit else text[: limit - 1] + "…"
