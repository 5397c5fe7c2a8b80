"""Trait data sets: scenarios that bring a trait out or its opposite, and questions to steer on.

load_trait_set("pv_instruction/sycophancy")     # datasets/traits/pv_instruction/sycophancy
load_trait_set("mine/brevity", "my_traits")     # my_traits/mine/brevity

A set is a folder in the format of github.com/ewernn/trait-interp (datasets/traits):

positive.jsonl, negative.jsonl    {"prompt": question, "system_prompt": text} on each line
positive.txt, negative.txt        or, where these are absent: one text a line to be gone on with
definition.txt                    the rubric for whoever scores answers
steering.json                     {"questions": [...]}
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path

from tl_geometry.prompts.banks import Prompt
from tl_geometry.prompts.halves import halves
from tl_geometry.prompts.reading import Record, problem
from tl_geometry.prompts.trait_sides import evened, folded, read_sides, read_text, system_prompt

ROOT = Path("datasets", "traits")


@dataclass(frozen=True)
class Scenario:
    """What a model answers or goes on with, so that its response shows a trait or the opposite."""

    id: str
    prompt: str
    system: str | None
    group: str
    """What cross-validation holds out together, on both sides of the trait."""


@dataclass(frozen=True)
class TraitSet:
    """Scenarios to find a trait's direction with, and questions to measure its effect on.

    Scenario i of both sides is a pair: the same question or situation, in the same group.
    """

    name: str
    positive: tuple[Scenario, ...]
    negative: tuple[Scenario, ...]
    definition: str
    """The rubric: what of an answer shows the trait, and how much."""
    validation: tuple[str, ...]
    """Steering questions to choose layers and doses with."""
    test: tuple[str, ...]
    """Steering questions to measure on what was chosen."""
    subjects: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What each steering question is about, where that is known: questions about one subject are
    not independent, and an answer that does not name it is off the topic."""

    @property
    def questions(self) -> tuple[str, ...]:
        """All steering questions."""
        return self.validation + self.test

    @property
    def digest(self) -> str:
        """sha256 (hex) of every field, in order: pairs belong together by their order."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def load_trait_set(name: str, root: str | Path | None = None) -> TraitSet:
    """The set in the folder `name` of `root`.

    Without a root, `datasets/traits` of the current folder, or else the one beside the package. A
    group is a question (`.jsonl`, where it occurs under several system prompts) or the number of a
    pair (`.txt`). A hash of each steering question puts it into the validation or the test half, so
    a further one moves no other. Other fields and keys of the files are not read.

    ValueError naming the file and, where there is one, the line: a file that is absent, blank or
    malformed, sides of unequal length, pairs with two questions, scenarios or questions that occur
    twice (whatever their case and blanks), and steering questions that are extraction prompts too.
    """
    folder = _folder(name, root)
    positive, negative = read_sides(folder)
    questions = _questions(folder / "steering.json")
    _check_apart([*positive, *negative], questions)
    validation, test = _halves(folder, questions)
    return TraitSet(
        name=name,
        positive=_scenarios("positive", positive),
        negative=_scenarios("negative", negative),
        definition=read_text(folder / "definition.txt").strip(),
        validation=validation,
        test=test,
    )


def _folder(name: str, root: str | Path | None) -> Path:
    shipped = ROOT if ROOT.is_dir() else Path(__file__).parents[2] / ROOT
    base = shipped if root is None else Path(root)
    known = sorted(p.relative_to(base).as_posix() for p in base.glob("*/*") if p.is_dir())
    if name in known:
        return base / name
    near = get_close_matches(name, known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    there = f"there are {', '.join(known)}" if known else "there is none; check the folder"
    raise ValueError(f"no trait set is called {name!r}{hint} in {base}: {there}")


def _scenarios(side: str, found: Sequence[Record]) -> tuple[Scenario, ...]:
    return tuple(_scenario(side, number, record) for number, record in enumerate(found, start=1))


def _scenario(side: str, number: int, record: Record) -> Scenario:
    prompt = record.text("prompt")
    group = evened(prompt) if record.path.suffix == ".jsonl" else f"pair {number}"
    return Scenario(f"{side}:{number}", prompt, system_prompt(record), group)


def _questions(path: Path) -> tuple[str, ...]:
    try:
        given = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        what = f"not JSON: {error.msg} at column {error.colno}"
        raise problem(path, error.lineno, f'{what}; write {{"questions": [...]}}') from error
    questions = given.get("questions") if isinstance(given, dict) else None
    if not isinstance(questions, list) or not questions:
        raise ValueError(f'{path} has no list of questions; write {{"questions": [...]}} into it')
    seen: dict[str, int] = {}
    for number, question in enumerate(questions, start=1):
        if not isinstance(question, str) or not question.strip():
            raise ValueError(f"{path}, question {number} must be text, got {question!r}")
        if (first := seen.setdefault(folded(question), number)) != number:
            raise ValueError(f"{path}, question {number} is question {first} again; delete one")
    return tuple(questions)


def _check_apart(found: Sequence[Record], questions: Sequence[str]) -> None:
    numbers = {folded(question): n for n, question in enumerate(questions, start=1)}
    for record in found:
        if number := numbers.get(folded(record.text("prompt"))):
            raise record.problem(
                f"the prompt is question {number} of steering.json too; what a direction is found "
                "with cannot measure it: replace one of them"
            )


def _halves(folder: Path, questions: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """By the rule that halves a bank, with a question's own text as its id."""
    both = halves([Prompt(evened(q), "steering", "control", None, q) for q in questions])
    validation, test = (tuple(prompt.text for prompt in half) for half in both)
    if not (validation and test):
        raise ValueError(
            f"{folder / 'steering.json'}: by their hash all {len(questions)} questions fall into "
            "one half, but one half chooses doses and the other measures; add questions"
        )
    return validation, test
