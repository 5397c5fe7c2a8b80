"""Preference pairs: a conversation, the answer that people prefer, and the one that they reject.

    load("pocket", "train", 100)     the embedded world's own
    load("hh-rlhf", "test", 100)     Anthropic/hh-rlhf: the final assistant turn of each side
    load("mine.jsonl", "train", 40)  columns prompt, chosen, rejected (and system, id, split)

Which pairs are taken is settled by a hash of their content, so that a further pair moves no other.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from tl_geometry.pocket.splits import digest, split_of
from tl_geometry.prompts.reading import problem, records

Split = Literal["train", "test"]
"""Vectors are made of `train`; what they do is measured on `test`."""
NAMED = ("pocket", "hh-rlhf")
HH_RLHF = "Anthropic/hh-rlhf"
COLUMNS = ("prompt", "chosen", "rejected")
_ROLES = {"\n\nHuman:": "user", "\n\nAssistant:": "assistant"}
Turns = tuple[Mapping[str, str], ...]


@dataclass(frozen=True)
class PreferencePair:
    """One prompt (a conversation that waits for an answer) and two answers."""

    id: str
    turns: Turns
    chosen: str
    rejected: str

    @property
    def prompt(self) -> tuple[str, ...]:
        return tuple(text for turn in self.turns for text in (turn["role"], turn["content"]))


@dataclass(frozen=True)
class Loaded:
    """The pairs that were taken, and why others, met on the way, were not."""

    pairs: tuple[PreferencePair, ...]
    dropped: Mapping[str, int]


def load(name_or_file: str, split: Split, n: int, seed: int = 0) -> Loaded:
    """`n` pairs with different prompts, in an order that their content and the seed settle.

    ValueError where there are not so many, for an unknown name, or a malformed file; ImportError
    where a data set needs a package that is not installed.
    """
    found = _candidates(name_or_file, split)
    found.sort(key=lambda item: digest(seed, item[0]))
    taken: dict[tuple[str, ...], PreferencePair] = {}
    dropped: Counter[str] = Counter()
    for _, pair in found:
        if len(taken) == n:
            break
        reason = pair if isinstance(pair, str) else _why_not(pair, taken)
        if reason:
            dropped[reason] += 1
        elif isinstance(pair, PreferencePair):
            taken[pair.prompt] = pair
    if len(taken) < n:
        raise ValueError(
            f"{n} preference pairs are asked for, and the {split} split of {name_or_file} has "
            f"{len(taken)} that can be used{_listed(dropped)}: ask for fewer with --samples"
        )
    return Loaded(tuple(taken.values()), dict(dropped))


Candidate = tuple[str, PreferencePair | str]
"""What the order is settled by, and the pair or why there is none."""


def _candidates(name_or_file: str, split: Split) -> list[Candidate]:
    if name_or_file == "pocket":
        return [(pair.id, pair) for pair in _pocket(split)]
    if name_or_file == "hh-rlhf":
        return _hh_rlhf(split)
    if Path(name_or_file).suffix.lower() in (".jsonl", ".csv", ".parquet"):
        return [(pair.id, pair) for pair in _file(Path(name_or_file), split)]
    raise ValueError(
        f"unknown preference pairs {name_or_file!r}: choose {' or '.join(NAMED)}, or give a "
        ".jsonl, .csv or .parquet file"
    )


def _why_not(pair: PreferencePair, taken: Mapping[tuple[str, ...], PreferencePair]) -> str:
    if not pair.chosen.strip() or not pair.rejected.strip():
        return "an answer is empty"
    if pair.chosen.strip() == pair.rejected.strip():
        return "both answers are the same"
    return "another pair has the same prompt" if pair.prompt in taken else ""


def _listed(dropped: Mapping[str, int]) -> str:
    return "".join(f", {count} dropped ({reason})" for reason, count in dropped.items())


@lru_cache
def _pocket(split: Split) -> tuple[PreferencePair, ...]:
    """Written once: the world has thousands."""
    from tl_geometry.pocket.corpus import preferences

    return tuple(
        PreferencePair(one.id, _asked(one.prompt, one.system), one.chosen, one.rejected)
        for one in preferences(split)
    )


def _asked(prompt: str, system: str | None) -> Turns:
    first = ({"role": "system", "content": system},) if system else ()
    return (*first, {"role": "user", "content": prompt})


def _hh_rlhf(split: Split) -> list[Candidate]:
    rows = _dataset(split)
    if lacking := [name for name in ("chosen", "rejected") if name not in rows.column_names]:
        raise ValueError(
            f"{HH_RLHF} has no column {lacking[0]!r} (found: {', '.join(rows.column_names)}): the "
            "data set has changed; use a local file"
        )
    sides = zip(rows["chosen"], rows["rejected"], strict=True)
    return [(chosen, parsed(chosen, rejected)) for chosen, rejected in sides]


def _dataset(split: Split) -> Any:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise ImportError(
            "hh-rlhf needs a package that is not installed: pip install datasets; or give a file"
        ) from error
    try:
        return load_dataset(HH_RLHF, split=split)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{HH_RLHF} cannot be read ({str(error).splitlines()[0]}): check your connection, or "
            "give --prompts FILE"
        ) from error


def parsed(chosen: str, rejected: str) -> PreferencePair | str:
    """Two transcripts that part in their final assistant turn; why not, where they do not."""
    sides = [_turns(chosen), _turns(rejected)]
    for turns in sides:
        if len(turns) < 2 or turns[-1]["role"] != "assistant":
            return "no final assistant turn"
    if sides[0][:-1] != sides[1][:-1]:
        return "the two sides answer different prompts"
    answers = [turns[-1]["content"] for turns in sides]
    return PreferencePair(f"hh:{digest(chosen, rejected):016x}", sides[0][:-1], *answers)


def _turns(transcript: str) -> Turns:
    """`\\n\\nHuman: …\\n\\nAssistant: …` as turns; speakers that repeat are one turn each."""
    found: list[dict[str, str]] = []
    rest = transcript
    while rest:
        marks = [(at, mark) for mark in _ROLES if (at := rest.find(mark)) >= 0]
        if not marks:
            break
        at, mark = min(marks)
        behind = rest[at + len(mark) :]
        ends = [end for other in _ROLES if (end := behind.find(other)) >= 0]
        end = min(ends, default=len(behind))
        found.append({"role": _ROLES[mark], "content": behind[:end].strip()})
        rest = behind[end:]
    return tuple(found)


def _file(path: Path, split: Split) -> Iterator[PreferencePair]:
    for line, fields in _rows(path):
        for name in COLUMNS:
            if not isinstance(fields.get(name), str):
                raise problem(path, line, f"{name!r} must be text; found: {', '.join(fields)}")
        texts = [str(fields[name]) for name in COLUMNS]
        name = str(fields.get("id") or f"{path.stem}:{digest(*texts):016x}")
        # Without splits of its own, by a hash: a fifth of the prompts is for testing.
        own = fields.get("split") or split_of("preference", texts[0], validation=0.0, test=0.2)
        if own == split:
            system = fields.get("system")
            yield PreferencePair(
                name, _asked(texts[0], str(system) if system else None), *texts[1:]
            )


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, object]]]:
    if path.suffix.lower() != ".parquet":
        yield from ((record.line, record.fields) for record in records(path))
        return
    import pandas as pd

    if not path.is_file():
        raise ValueError(f"there is no file {path}; check the path (seen from {Path.cwd()})")
    try:
        table = pd.read_parquet(path)
    except ImportError as error:
        raise ImportError("a .parquet file needs pyarrow: pip install pyarrow") from error
    for line, row in enumerate(table.to_dict("records"), start=1):
        yield line, {str(name): value for name, value in row.items()}
