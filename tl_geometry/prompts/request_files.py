"""Requests that ought to be refused or answered, in three splits; and plain texts beside them.

load_requests("requests")          # for real chat models
load_requests("pocket_requests")   # for the embedded models, in their own small world
load_requests("mine.csv")          # a file with at least the columns text and harmful (or label)
load_neutral("neutral")            # ordinary prose, to measure side effects on
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from tl_geometry.prompts.banks import shipped_or_file
from tl_geometry.prompts.reading import Record, first_seen, records

RequestSplit = Literal["train", "validation", "test"]
REQUEST_SPLITS: tuple[RequestSplit, ...] = get_args(RequestSplit)

VALIDATION, TEST = 0.29, 0.18
"""Shares of the topics; the others are train."""

SHIPPED_REQUESTS = ("requests", "pocket_requests")
SHIPPED_NEUTRAL = ("neutral", "pocket_neutral")

_LABELS = {"harmful": True, "harmless": False}
_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True)
class Request:
    """Somebody asks for something; `harmful` is the truth about it, whatever a model does."""

    id: str
    text: str
    harmful: bool
    split: RequestSplit
    topic: str = ""
    """What it is about. Where no split is given, a topic is in one split only."""


@dataclass(frozen=True)
class NeutralText:
    """Ordinary prose, to see what an intervention does to a text that it is not meant for."""

    id: str
    text: str
    topic: str = ""


def split_of_topic(topic: str) -> RequestSplit:
    """By a hash of the name alone: the same on every machine, and a new topic moves no other."""
    digest = hashlib.sha256(f"split\x1frequest\x1f{topic}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < TEST:
        return "test"
    return "validation" if position < TEST + VALIDATION else "train"


def load_requests(name_or_file: str | Path = "requests") -> tuple[Request, ...]:
    """Shipped requests by name, or a user's `.jsonl` or `.csv` file, in the order of the file.

    Fields: `text`, and `harmful` (true or false) or `label` (harmful or harmless); `id`, `topic`
    and `split` may be left out, other fields are ignored. Without an id, one is made of the
    text's hash. Without splits, they are a hash of the topic, or of the id where there is no
    topic. ValueError with the line number for what is malformed, missing, blank or there twice,
    and for splits on some lines only.
    """
    rows = _unique(shipped_or_file(name_or_file, SHIPPED_REQUESTS, "request file"))
    _check_some(rows, name_or_file, "requests")
    _check_splits([record for record, _, _ in rows])
    loaded = []
    for record, name, text in rows:
        topic = _optional(record, "topic")
        split = _split(record) or split_of_topic(topic or name)
        loaded.append(Request(name, text, _harmful(record), split, topic))
    return tuple(loaded)


def load_neutral(name_or_file: str | Path = "neutral") -> tuple[NeutralText, ...]:
    """Shipped plain texts by name, or a user's file with `text` and maybe `id` and `topic`."""
    path = shipped_or_file(name_or_file, SHIPPED_NEUTRAL, "file of neutral texts")
    rows = _unique(path)
    _check_some(rows, name_or_file, "texts")
    return tuple(NeutralText(name, text, _optional(record, "topic")) for record, name, text in rows)


def _unique(path: Path) -> list[tuple[Record, str, str]]:
    """Each record with its id and text; ValueError where one of them stood before."""
    ids: dict[str, int] = {}
    texts: dict[str, int] = {}
    found = []
    for record in records(path):
        text = record.text("text")
        even = " ".join(text.split())
        name = _optional(record, "id") or hashlib.sha256(even.encode()).hexdigest()[:12]
        first_seen(texts, even, record, f"the text of {name!r}")
        first_seen(ids, name, record, f"the id {name!r}")
        found.append((record, name, text))
    return found


def _optional(record: Record, name: str) -> str:
    """A field that may be absent or empty, and is text if it is there."""
    return "" if record.fields.get(name) in (None, "") else record.text(name).strip()


def _check_splits(rows: Sequence[Record]) -> None:
    """ValueError unless every line has a split, or none: topics would be in two of them."""
    lines = {bool(_optional(record, "split")): record for record in reversed(rows)}
    if len(lines) == 2:
        raise lines[False].problem(
            f"no split, but line {lines[True].line} has one; give every line one of "
            f"{', '.join(REQUEST_SPLITS)}, or leave all out and they are drawn by topic"
        )


def _split(record: Record) -> RequestSplit | None:
    given = _optional(record, "split")
    if given and given not in REQUEST_SPLITS:
        raise record.problem(
            f"split {given!r} is unknown; use one of {', '.join(REQUEST_SPLITS)}, or leave all "
            "splits out and they are drawn by topic"
        )
    return cast(RequestSplit, given) if given else None


def _harmful(record: Record) -> bool:
    given, label = record.fields.get("harmful"), record.fields.get("label")
    said = {
        _told(record, field, value, known)
        for field, value, known in (("harmful", given, _TRUTHS), ("label", label, _LABELS))
        if value not in (None, "")
    }
    if not said:
        raise record.problem(
            "nothing says whether the request is harmful; add a field 'harmful' (true or false) "
            "or 'label' (harmful or harmless)"
        )
    if len(said) > 1:
        raise record.problem(
            f"harmful is {given!r}, but label says {label!r}; correct one or delete it"
        )
    return said.pop()


def _told(record: Record, field: str, value: object, known: dict[str, bool]) -> bool:
    key = str(value).strip().lower()
    if not isinstance(value, bool | str) or key not in known:
        raise record.problem(f"{field} {value!r} is unknown; use {' or '.join(known)}")
    return known[key]


def _check_some(loaded: Sequence[object], name_or_file: str | Path, what: str) -> None:
    if not loaded:
        raise ValueError(f"{name_or_file} has a header and no {what}; add one a line")
