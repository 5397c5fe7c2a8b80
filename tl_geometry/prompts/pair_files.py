"""A user's own pairs: CSV with `base_id,rec_id`, or with `base_text,rec_text`.

base is the plain target, rec the self-observing donor.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from tl_geometry.prompts.banks import Kind, Prompt, check_unique
from tl_geometry.prompts.pairing import Pair
from tl_geometry.prompts.reading import Record, first_seen, records

_SIDES: tuple[tuple[str, Kind, Kind], ...] = (
    ("base", "plain", "recursive"),
    ("rec", "recursive", "plain"),
)
"""Column, the kind of its prompts, and the kind that tells of swapped columns."""


def load_pairs(path: str | Path, bank: Sequence[Prompt]) -> tuple[Pair, ...]:
    """The file's pairs in its order, ids looked up in `bank`.

    A text that is in the bank becomes that prompt; any other becomes one of group `user_file`,
    with an id made of its hash. Controls may stand on either side. ValueError with the line
    number for missing columns, empty cells, ids not in the bank, swapped columns, and prompts
    (and so pairs) used twice.
    """
    check_unique(bank)
    seen: dict[str, int] = {}
    found = []
    for record in records(_csv(Path(path))):
        target, donor = (_prompt(record, side, own, other, bank) for side, own, other in _SIDES)
        for prompt in (target, donor):
            first_seen(seen, prompt.id, record, f"the prompt {prompt.id!r}")
        found.append(Pair(target, donor))
    if not found:
        raise ValueError(f"{path} has a header and no pairs; write one pair a line")
    return tuple(found)


def _csv(path: Path) -> Path:
    if path.suffix.lower() == ".csv":
        return path
    raise ValueError(f"{path}: pairs are read from a .csv file; convert or rename it")


def _prompt(record: Record, side: str, own: Kind, other: Kind, bank: Sequence[Prompt]) -> Prompt:
    by_id = _has_columns(record, "id")
    if by_id == _has_columns(record, "text"):
        raise record.problem(
            f"columns base_id,rec_id or base_text,rec_text are wanted (one of the two), found "
            f"{', '.join(record.fields)}; name the columns in the first line so"
        )
    column = f"{side}_{'id' if by_id else 'text'}"
    value = record.text(column).strip() if by_id else record.text(column)
    prompt = _by_id(record, value, bank) if by_id else _by_text(value, own, bank)
    if prompt.kind == other:
        raise record.problem(
            f"{column} names {prompt.id!r}, which is {other}; base is the plain side, rec the "
            "recursive one: swap the two columns"
        )
    return prompt


def _has_columns(record: Record, what: str) -> bool:
    return {f"base_{what}", f"rec_{what}"} <= record.fields.keys()


def _by_id(record: Record, value: str, bank: Sequence[Prompt]) -> Prompt:
    from difflib import get_close_matches

    for prompt in bank:
        if prompt.id == value:
            return prompt
    near = get_close_matches(value, [prompt.id for prompt in bank], n=3, cutoff=0.7)
    hint = f"did you mean {' or '.join(near)}?" if near else "check it against the bank in use"
    raise record.problem(f"the bank of {len(bank)} prompts has no id {value!r}; {hint}")


def _by_text(value: str, kind: Kind, bank: Sequence[Prompt]) -> Prompt:
    plain_spaced = " ".join(value.split())
    for prompt in bank:
        if " ".join(prompt.text.split()) == plain_spaced:
            return prompt
    digest = hashlib.sha256(plain_spaced.encode()).hexdigest()[:12]
    return Prompt(f"user-{digest}", "user_file", kind, None, value)
