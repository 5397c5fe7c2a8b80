"""Lines of a user's JSONL or CSV file, each with its number, so that an error can point at it."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FORMATS = (".jsonl", ".csv")


@dataclass(frozen=True)
class Record:
    """One JSON object or table row."""

    path: Path
    line: int
    """Where it begins, counted from 1; a quoted CSV cell may go on over several lines."""
    fields: Mapping[str, object]

    def problem(self, what: str) -> ValueError:
        return problem(self.path, self.line, what)

    def text(self, name: str) -> str:
        """A field that must hold text; ValueError where it is absent, blank or something else."""
        if name not in self.fields:
            raise self.problem(
                f"the field {name!r} is missing (found: {', '.join(self.fields)}); add it"
            )
        value = self.fields[name]
        if not isinstance(value, str) or not value.strip():
            raise self.problem(f"{name!r} must be text, got {value!r}; fill it or delete the line")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise self.problem(f"{name!r} holds half a character (a lone surrogate); write it anew")
        return value


def problem(path: Path, line: int, what: str) -> ValueError:
    return ValueError(f"{path}, line {line}: {what}")


def records(path: Path) -> Iterator[Record]:
    """The file's records in order, blank lines skipped.

    UTF-8 with or without a byte-order mark. ValueError with the line number for text in another
    encoding, JSON that does not parse, a row with more or fewer cells than the header, or for a
    file that is absent, empty or neither JSONL nor CSV.
    """
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path} is neither {' nor '.join(FORMATS)}; convert or rename it")
    if not path.is_file():
        raise ValueError(f"there is no file {path}; check the path (seen from {Path.cwd()})")
    text = _decoded(path)
    if not text.strip():
        raise ValueError(f"{path} is empty; write at least one record into it")
    yield from (_table if path.suffix.lower() == ".csv" else _objects)(path, text)


def _decoded(path: Path) -> str:
    raw = path.read_bytes()
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise problem(path, 1, "the byte-order mark is that of UTF-16; save the file as UTF-8")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        bad = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        raise problem(path, line, f"{bad}; save the file as UTF-8") from error


def _objects(path: Path, text: str) -> Iterator[Record]:
    # Not `splitlines`: it also breaks at U+2028, which may stand unescaped inside a JSON text.
    for line, source in enumerate(text.split("\n"), start=1):
        if not source.strip():
            continue
        try:
            value = json.loads(source)
        except json.JSONDecodeError as error:
            what = f"not JSON: {error.msg} at column {error.colno}"
            raise problem(path, line, f"{what}; write one JSON object a line") from error
        if not isinstance(value, dict):
            found = type(value).__name__
            raise problem(path, line, f"a JSON object is wanted, got {found}; write {{...}}")
        yield Record(path, line, value)


def _table(path: Path, text: str) -> Iterator[Record]:
    # Not pandas: it does not tell on which line of the file a row begins.
    rows = _rows(path, text)
    header_line, header = next(rows)
    names = [name.strip() for name in header]
    if len(set(names)) < len(names):
        raise problem(path, header_line, f"a column is named twice: {', '.join(names)}; rename it")
    for line, cells in rows:
        if len(cells) != len(names):
            counts = f"{len(cells)} cells under {len(names)} columns"
            raise problem(path, line, f"{counts}; put texts that hold commas into quotes")
        yield Record(path, line, dict(zip(names, cells, strict=True)))


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begin = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield begin, cells
            begin = reader.line_num + 1
    except csv.Error as error:
        raise problem(path, begin, f"not CSV: {error}; check the quotes") from error


def first_seen(seen: dict[str, int], key: str, record: Record, what: str) -> None:
    """Remember where `key` stands; ValueError naming both lines where it stood before."""
    if key in seen:
        raise record.problem(f"{what} stands on line {seen[key]} already; delete one of the two")
    seen[key] = record.line
