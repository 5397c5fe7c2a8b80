"""The two sides of a trait data set: read line by line, and checked to be pairs."""

from collections.abc import Sequence
from pathlib import Path

from tl_geometry.prompts.reading import Record, first_seen, problem, records

SIDES = ("positive", "negative")


def read_sides(folder: Path) -> tuple[list[Record], list[Record]]:
    """Records with the fields `prompt` and maybe `system_prompt`, positive and negative.

    From `.jsonl` where one side has such a file, else from `.txt`, one stripped line a record.
    ValueError with the line number for what is malformed, has no pair, or is there twice.
    """
    jsonl = any((folder / f"{side}.jsonl").is_file() for side in SIDES)
    read, suffix = (records, ".jsonl") if jsonl else (_lines, ".txt")
    positive, negative = (list(read(folder / f"{side}{suffix}")) for side in SIDES)
    _check_once(positive, negative)
    _check_length(positive, negative)
    if jsonl:
        _check_questions(positive, negative)
    return positive, negative


def read_text(path: Path) -> str:
    """A file's text (UTF-8); ValueError where it is absent, blank or in another encoding."""
    if not path.is_file():
        raise ValueError(f"there is no file {path}; check the path (seen from {Path.cwd()})")
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise problem(path, line, "not UTF-8; save the file as UTF-8") from error
    if not text.strip():
        raise ValueError(f"{path} is blank; write something into it")
    return text


def system_prompt(record: Record) -> str | None:
    """None where it is absent or empty; ValueError where it is blank or no text."""
    absent = record.fields.get("system_prompt") in (None, "")
    return None if absent else record.text("system_prompt")


def evened(text: str) -> str:
    """Words with one blank between them."""
    return " ".join(text.split())


def folded(text: str) -> str:
    """The same without case: what occurs twice in this form is there twice."""
    return evened(text.casefold())


def _lines(path: Path) -> list[Record]:
    numbered = enumerate(read_text(path).split("\n"), start=1)
    return [Record(path, n, {"prompt": line.strip()}) for n, line in numbered if line.strip()]


def _check_once(positive: Sequence[Record], negative: Sequence[Record]) -> None:
    known: dict[str, int] = {}
    for record in positive:
        first_seen(known, _key(record), record, "this scenario")
    seen: dict[str, int] = {}
    for record in negative:
        first_seen(seen, _key(record), record, "this scenario")
        if line := known.get(_key(record)):
            raise record.problem(
                f"this scenario is line {line} of {positive[0].path.name} too; the two sides of a "
                "trait differ in the system prompt or in the text"
            )


def _key(record: Record) -> str:
    return "\x1f".join((folded(record.text("prompt")), folded(system_prompt(record) or "")))


def _check_length(positive: Sequence[Record], negative: Sequence[Record]) -> None:
    shorter, longer = sorted((positive, negative), key=len)
    if len(shorter) < len(longer):
        raise longer[len(shorter)].problem(
            f"it has no pair: {longer[0].path.name} has {len(longer)} scenarios and "
            f"{shorter[0].path.name} has {len(shorter)}; give both the same number"
        )


def _check_questions(positive: Sequence[Record], negative: Sequence[Record]) -> None:
    for one, other in zip(positive, negative, strict=True):
        asked, wanted = other.text("prompt"), one.text("prompt")
        if evened(asked) != evened(wanted):
            raise other.problem(
                f"it asks {asked!r}, but its pair on line {one.line} of {one.path.name} asks "
                f"{wanted!r}; put the same question into both"
            )
