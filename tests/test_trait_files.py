"""Trait data sets: what ships is whole, and the error about a bad file points at its line."""

import importlib
import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from tl_geometry.prompts.trait_files import Scenario, TraitSet, load_trait_set

ROOT = Path(__file__).parents[1]
TRAITS = ("sycophancy", "evil", "hallucination")
POSITIVE = [
    {"prompt": "How old is tea?", "system_prompt": "Guess."},
    {"prompt": "Who drew this?", "system_prompt": "Guess."},
]
NEGATIVE = [row | {"system_prompt": "Do not guess."} for row in POSITIVE]
QUESTIONS = [f"What is number {n}?" for n in range(8)]


def lines(*rows: object) -> str:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


def made(root: Path, **texts: str) -> Path:
    """The set `own/guessing`: a good one, but for the files given by name (`__` for the dot)."""
    folder = root / "own" / "guessing"
    folder.mkdir(parents=True, exist_ok=True)
    whole = {
        "positive__jsonl": lines(*POSITIVE),
        "negative__jsonl": lines(*NEGATIVE),
        "definition__txt": "GUESSING: says what it cannot know.\n",
        "steering__json": json.dumps({"questions": QUESTIONS}),
    }
    if any(name.endswith("tive__txt") for name in texts):
        whole = {name: text for name, text in whole.items() if not name.endswith("jsonl")}
    for name, text in (whole | texts).items():
        (folder / name.replace("__", ".")).write_text(text, "utf-8")
    return root


def own(root: Path, **texts: str) -> TraitSet:
    return load_trait_set("own/guessing", made(root, **texts))


@pytest.mark.parametrize("trait", TRAITS)
@pytest.mark.parametrize(
    ("source", "n", "n_groups"), [("instruction", 100, 20), ("natural", 150, 150)]
)
def test_shipped_sets_are_whole(source: str, n: int, n_groups: int, trait: str) -> None:
    found = load_trait_set(f"pv_{source}/{trait}")
    assert (len(found.positive), len(found.negative), len(found.questions)) == (n, n, 20)
    assert [one.group for one in found.positive] == [one.group for one in found.negative]
    assert len({one.group for one in found.positive}) == n_groups
    assert len({one.id for one in (*found.positive, *found.negative)}) == 2 * n
    assert min(len(found.validation), len(found.test)) >= 8
    assert found.definition.startswith(f"{trait.upper()}: ")
    assert {one.system is None for one in found.positive} == {source == "natural"}


@pytest.mark.parametrize("trait", TRAITS)
def test_both_sources_of_a_trait_share_rubric_and_questions(trait: str) -> None:
    one, other = (load_trait_set(f"pv_{source}/{trait}") for source in ("instruction", "natural"))
    assert (one.definition, one.questions) == (other.definition, other.questions)


def test_objects_become_scenarios_grouped_by_question(tmp_path: Path) -> None:
    found = own(tmp_path)
    assert found.positive[1] == Scenario("positive:2", "Who drew this?", "Guess.", "Who drew this?")
    assert found.negative[0].system == "Do not guess."
    assert found.definition == "GUESSING: says what it cannot know."
    assert pickle.loads(pickle.dumps(found)) == found and hash(found) == hash(replace(found))


def test_lines_of_text_are_stripped_and_paired_by_their_order(tmp_path: Path) -> None:
    found = own(
        tmp_path, positive__txt="\ufeff I lied: \n\nI made up\r\n", negative__txt="I said\nI asked"
    )
    assert [(s.prompt, s.system, s.group) for s in found.positive] == [
        ("I lied:", None, "pair 1"),
        ("I made up", None, "pair 2"),
    ]
    assert [s.group for s in found.negative] == ["pair 1", "pair 2"]


def test_objects_win_over_lines_of_text(tmp_path: Path) -> None:
    made(tmp_path)
    found = own(tmp_path, positive__txt="I lied", negative__txt="I said")
    assert found.positive[0].prompt == "How old is tea?"


def test_a_system_prompt_may_be_left_out_on_one_side(tmp_path: Path) -> None:
    plain = [{"prompt": row["prompt"], "system_prompt": None} for row in POSITIVE]
    assert {s.system for s in own(tmp_path, negative__jsonl=lines(*plain)).negative} == {None}


GOOD, SECOND = POSITIVE
BAD_SIDES = [
    ("positive", lines(GOOD, '{"prompt": '), "2: not JSON: .* one JSON object a line"),
    ("positive", lines(GOOD, "", [1]), "3: a JSON object is wanted, got list"),
    ("positive", lines(GOOD, {"system_prompt": "x"}), "2: the field 'prompt' is missing"),
    ("positive", lines(GOOD, SECOND | {"prompt": " "}), "2: 'prompt' must be text, got ' '"),
    (
        "negative",
        lines(NEGATIVE[0], {"prompt": "x", "system_prompt": 7}),
        "2: 'system_prompt' must",
    ),
    (
        "negative",
        lines(*NEGATIVE, {"prompt": "x"}),
        "3: it has no pair: negative.jsonl has 3 .* 2;",
    ),
    (
        "positive",
        lines(*POSITIVE, {"prompt": "x"}),
        "3: it has no pair: positive.jsonl has 3 .* 2;",
    ),
    (
        "negative",
        lines(*NEGATIVE[::-1]),
        "1: it asks 'Who drew this\\?', but its pair on line 1 of",
    ),
    ("positive", lines(GOOD, GOOD | {"prompt": "HOW  old is tea?"}), "2: .* stands on line 1"),
    ("negative", lines(NEGATIVE[0], SECOND), "2: this scenario is line 2 of positive.jsonl too"),
]


@pytest.mark.parametrize(("side", "text", "message"), BAD_SIDES)
def test_the_error_points_at_the_line(tmp_path: Path, side: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"{side}\.jsonl, line {message}"):
        own(tmp_path, **{f"{side}__jsonl": text})


@pytest.mark.parametrize(
    ("negative", "message"),
    [
        ("I said\n\n", r"positive\.txt, line 3: it has no pair: positive\.txt has 2 .* 1;"),
        ("I said\n\ni  SAID\n", r"negative\.txt, line 3: this scenario stands on line 1"),
        ("I said\ni lied", r"negative\.txt, line 2: this scenario is line 1 of positive\.txt too"),
        (" \n", r"negative\.txt is blank"),
    ],
)
def test_the_error_points_at_the_line_of_text(tmp_path: Path, negative: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        own(tmp_path, positive__txt="I lied\n\nI made up", negative__txt=negative)


def test_text_that_is_not_utf8_is_an_error_with_its_line(tmp_path: Path) -> None:
    made(tmp_path, positive__txt="", negative__txt="x")
    (tmp_path / "own/guessing/positive.txt").write_bytes(b"a\nb\ncaf\xe9\n")
    with pytest.raises(ValueError, match=r"positive\.txt, line 3: not UTF-8"):
        load_trait_set("own/guessing", tmp_path)


@pytest.mark.parametrize(
    ("steering", "message"),
    [
        ('{"questions": [\n"a"\n"b"]}', "line 3: not JSON"),
        ('["a"]', "has no list of questions"),
        ('{"questions": []}', "has no list of questions"),
        ('{"questions": ["a", " "]}', "question 2 must be text, got ' '"),
        ('{"questions": ["a", 5]}', "question 2 must be text, got 5"),
        ('{"questions": ["a b", "c", "A  b"]}', "question 3 is question 1 again"),
        ('{"questions": ["a"]}', "all 1 questions fall into one half"),
    ],
)
def test_questions_are_checked(tmp_path: Path, steering: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"steering\.json.*{message}"):
        own(tmp_path, steering__json=steering)


def test_a_question_that_the_direction_was_found_with_cannot_measure_it(tmp_path: Path) -> None:
    text = json.dumps({"questions": [*QUESTIONS, "who DREW  this?"]})
    with pytest.raises(ValueError, match=r"positive\.jsonl, line 2: the prompt is question 9 of"):
        own(tmp_path, steering__json=text)


@pytest.mark.parametrize("name", ["definition.txt", "steering.json", "negative.jsonl"])
def test_every_file_is_needed(tmp_path: Path, name: str) -> None:
    (made(tmp_path) / "own/guessing" / name).unlink()
    with pytest.raises(ValueError, match=f"there is no file .*{name}"):
        load_trait_set("own/guessing", tmp_path)


@pytest.mark.parametrize(
    "name", ["own/gessing", "guessing", "own/guessing/", "own/../own/guessing"]
)
def test_an_unknown_name_is_answered_with_those_that_exist(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no trait set is called .* there are own/guessing"):
        load_trait_set(name, made(tmp_path))


def test_a_folder_without_sets_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is none; check the folder"):
        load_trait_set("own/guessing", tmp_path / "nowhere")


def test_sets_of_the_current_folder_come_before_the_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_trait_set("pv_natural/evil").name == "pv_natural/evil"
    made(tmp_path / "datasets" / "traits")
    assert load_trait_set("own/guessing").name == "own/guessing"
    with pytest.raises(ValueError, match="there are own/guessing"):
        load_trait_set("pv_natural/evil")


def test_a_further_question_moves_no_other(tmp_path: Path) -> None:
    before = own(tmp_path)
    # By sha256sum, "half\x1fWhat is number 0?" and so on begin with 39, 55, 8c, 1f, f1, 5c, 23
    # and d7: even bytes choose.
    assert before.validation == (QUESTIONS[2], QUESTIONS[5])
    after = own(tmp_path, steering__json=json.dumps({"questions": ["New?", *QUESTIONS]}))
    assert set(before.validation) <= set(after.validation)
    assert set(before.test) <= set(after.test)


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    found = own(tmp_path)
    assert found.digest == own(tmp_path / "again").digest and len(found.digest) == 64
    other = [
        replace(found, definition="Another rubric."),
        replace(found, test=found.test[::-1]),
        replace(found, subjects={QUESTIONS[0]: "number"}),
        replace(found, positive=found.positive[::-1], negative=found.negative[::-1]),
        replace(found, positive=(replace(found.positive[0], system=None), *found.positive[1:])),
    ]
    assert len({found.digest, *(one.digest for one in other)}) == 6


def test_the_folder_datasets_hides_no_package_of_that_name() -> None:
    # `python -m` puts the current folder first; a folder without __init__.py gives way, though.
    code = "import importlib.util as u; print(u.find_spec('datasets').origin)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip().endswith("__init__.py"), done.stderr


@pytest.mark.parametrize(
    ("module", "call", "error"),
    [
        ("analyses.alignment_quality.items", ("_from_hub", "owner/name"), ValueError),
        ("analyses.alignment_steering.preferences", ("_dataset", "test"), ImportError),
    ],
)
def test_without_the_package_the_folder_is_not_taken_for_it(
    module: str, call: tuple[str, str], error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What `import datasets` finds from the root of the repository where nothing is installed.
    monkeypatch.setitem(sys.modules, "datasets", ModuleType("datasets"))
    with pytest.raises(error, match="not installed: pip install datasets"):
        getattr(importlib.import_module(module), call[0])(call[1])
