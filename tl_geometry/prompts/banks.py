"""Banks of prompts: self-observing ("recursive") texts, plain ones of the same length, controls.

load_bank("bank")         # for real models
load_bank("pocket")       # for the embedded models, in their own small world
load_bank("mine.csv")     # a file with at least the columns id, group, text
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, Protocol, cast, get_args, runtime_checkable

from tl_geometry.prompts.reading import FORMATS, Record, first_seen, records

Kind = Literal["recursive", "plain", "control"]
KINDS: tuple[Kind, ...] = get_args(Kind)

LEVELS = {"L1_hint": 1, "L2_simple": 2, "L3_deeper": 3, "L4_full": 4, "L5_refined": 5}
"""Recursive groups: from an ordinary question with a nudge to notice, to the fixed point."""
PLAIN = ("instructional", "narrative", "factual", "descriptive", "argumentative")
CONTROLS = (
    "long_control",
    "pseudo_recursive",
    "repetitive_control",
    "third_person_introspection",
    "meditation",
)
KIND_OF: dict[str, Kind] = {
    **{group: "recursive" for group in LEVELS},
    **{group: "plain" for group in PLAIN},
    **{group: "control" for group in CONTROLS},
}
"""What the groups of the shipped banks are, for files that give a group only."""

SHIPPED = ("bank", "pocket")


@dataclass(frozen=True)
class Prompt:
    """One text of a bank."""

    id: str
    group: str
    """Stratum within its kind, e.g. `L3_deeper` or `narrative`."""
    kind: Kind
    level: int | None
    """How far the text observes itself, 1–5; None where that has no meaning."""
    text: str


@runtime_checkable
class Worded(Protocol):
    """A text of any shipped or own file: a frozen dataclass with at least these fields."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...


def load_bank(name_or_path: str | Path) -> tuple[Prompt, ...]:
    """A shipped bank by name, or a user's `.jsonl` or `.csv` file, in the order of the file.

    Fields: `id`, `group`, `text`; `kind` and `level` may be left out where `group` is one of the
    shipped groups; other fields are ignored. ValueError with the line number for what is
    malformed, missing, blank or there twice (texts are compared with their blanks evened out).
    """
    prompts, ids, texts = [], {}, {}
    for record in records(shipped_or_file(name_or_path)):
        prompt = _prompt(record)
        first_seen(ids, prompt.id, record, f"the id {prompt.id!r}")
        first_seen(texts, " ".join(prompt.text.split()), record, f"the text of {prompt.id!r}")
        prompts.append(prompt)
    if not prompts:
        raise ValueError(f"{name_or_path} has a header and no prompts; add one prompt a line")
    return tuple(prompts)


def content_hash(prompts: Sequence[Worded]) -> str:
    """sha256 (hex) of every field of every prompt, request or text; their order does not matter.

    Any edit of a text, id or other field gives another hash, so rows measured on one version of
    a bank are never taken for rows of another.
    """
    rows = sorted([0 if field is None else field for field in vars(p).values()] for p in prompts)
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def check_unique(prompts: Sequence[Prompt]) -> None:
    """ValueError naming ids that occur twice, as when two banks are joined."""
    seen: set[str] = set()
    if twice := {p.id for p in prompts if p.id in seen or seen.add(p.id)}:
        names = ", ".join(sorted(twice))
        raise ValueError(f"ids occur more than once: {names}; give each prompt its own id")


def shipped_or_file(
    name_or_path: str | Path, shipped: Sequence[str] = SHIPPED, what: str = "bank"
) -> Path:
    """The path of a shipped file by its name, or of a user's own; ValueError for other names."""
    if name_or_path in shipped:
        return Path(__file__).with_name(f"{name_or_path}.jsonl")
    path = Path(name_or_path)
    if path.suffix:
        return path
    near = get_close_matches(str(name_or_path), shipped, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(
        f"no {what} is called {str(name_or_path)!r}{hint}: shipped are {', '.join(shipped)}; "
        f"or give the path of a {' or '.join(FORMATS)} file"
    )


def _prompt(record: Record) -> Prompt:
    name, group, text = record.text("id").strip(), record.text("group").strip(), record.text("text")
    kind = _kind(record, group)
    return Prompt(name, group, kind, _level(record, group, kind), text)


def _kind(record: Record, group: str) -> Kind:
    given, known = record.fields.get("kind") or None, KIND_OF.get(group)
    if given is None and known is None:
        raise record.problem(
            f"the group {group!r} is not a shipped one ({', '.join(KIND_OF)}), "
            f"so the line needs a field 'kind': {', '.join(KINDS)}"
        )
    if given is not None and given not in KINDS:
        raise record.problem(f"kind {given!r} is unknown; use one of {', '.join(KINDS)}")
    if given is not None and known is not None and given != known:
        raise record.problem(
            f"the group {group!r} is {known}, but kind says {given!r}; leave kind out or rename "
            "the group"
        )
    return known or cast(Kind, given)


def _level(record: Record, group: str, kind: Kind) -> int | None:
    given, known = record.fields.get("level"), LEVELS.get(group)
    if given is None or given == "":
        return known
    # A column with gaps comes back from a spreadsheet or from pandas as "3.0".
    level = {str(n): n for n in range(1, 6)}.get(str(given).removesuffix(".0"))
    if level is None or kind != "recursive":
        raise record.problem(
            f"level {given!r} of a {kind} prompt; recursive prompts have a level of 1 to 5 or "
            "none, all others none"
        )
    if known not in (None, level):
        raise record.problem(f"the group {group!r} is level {known}, but level says {given!r}")
    return level
