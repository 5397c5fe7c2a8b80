"""Trait sets of the pocket world: sizes, pairs, and subjects that stay apart."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tl_geometry.pocket.corpus import subjects, system_prompts
from tl_geometry.pocket.trait_sets import POCKET_TRAIT_SETS, pocket_trait_set, trait_set
from tl_geometry.pocket.traits import trait_items
from tl_geometry.pocket.world_traits import LOCK_IN, Trait
from tl_geometry.prompts.trait_files import TraitSet

TRAITS: tuple[Trait, ...] = ("sycophancy", "evil", "hallucination")
EVERY_SET = pytest.mark.parametrize("name", POCKET_TRAIT_SETS)
EVERY_TRAIT = pytest.mark.parametrize("trait", TRAITS)


def trait_of(name: str) -> Trait:
    return next(trait for trait in TRAITS if name.endswith(f"/{trait}"))


def named_in(text: str, nouns: set[str]) -> set[str]:
    return nouns & set(re.findall(r"\w+", text))


def texts(found: TraitSet) -> list[str]:
    return [one.prompt for one in (*found.positive, *found.negative)]


@EVERY_SET
def test_sets_are_as_large_as_those_of_files(name: str) -> None:
    found = pocket_trait_set(name)
    n = 100 if "instruction" in name else 150
    assert (len(found.positive), len(found.negative)) == (n, n)
    assert (len(found.validation), len(found.test)) == (20, 20)
    assert len(set(found.questions)) == 40
    assert len({one.id for one in (*found.positive, *found.negative)}) == 2 * n
    assert found.definition.startswith(f"{trait_of(name).upper()}: ")


@EVERY_SET
def test_subjects_are_those_of_three_splits(name: str) -> None:
    found, trait = pocket_trait_set(name), trait_of(name)
    assert {one.group for one in found.positive} <= set(subjects(trait, "train"))
    assert {found.subjects[q] for q in found.validation} <= set(subjects(trait, "validation"))
    assert {found.subjects[q] for q in found.test} <= set(subjects(trait, "test"))
    assert set(found.subjects) == set(found.questions)


@EVERY_SET
def test_no_prompt_names_a_subject_of_the_other_purpose(name: str) -> None:
    found, trait = pocket_trait_set(name), trait_of(name)
    held_out = set(subjects(trait, "validation")) | set(subjects(trait, "test"))
    assert [text for text in texts(found) if named_in(text, held_out)] == []
    known = set(subjects(trait, "train"))
    assert [text for text in found.questions if named_in(text, known)] == []


@EVERY_SET
def test_the_subject_of_a_text_stands_in_it(name: str) -> None:
    found = pocket_trait_set(name)
    for one in (*found.positive, *found.negative):
        assert named_in(one.prompt, {one.group})
    for question, subject in found.subjects.items():
        assert named_in(question, {subject})


@EVERY_TRAIT
def test_instruction_pairs_ask_one_question_under_opposite_prompts(trait: Trait) -> None:
    found = pocket_trait_set(f"pocket_instruction/{trait}")
    for one, other in zip(found.positive, found.negative, strict=True):
        assert (one.prompt, one.group) == (other.prompt, other.group)
        k = system_prompts(trait, True).index(one.system or "")
        assert other.system == system_prompts(trait, False)[k]
    assert len({one.system for one in found.positive}) == 5
    assert (
        len({one.prompt for one in found.positive})
        == len({one.group for one in found.positive})
        == 20
    )


@EVERY_TRAIT
def test_natural_pairs_tell_one_situation_with_opposite_beginnings(trait: Trait) -> None:
    found = pocket_trait_set(f"pocket_natural/{trait}")
    for one, other in zip(found.positive, found.negative, strict=True):
        assert one.system is other.system is None and one.group == other.group
        k = next(k for k, lock in enumerate(LOCK_IN[trait][True]) if one.prompt.startswith(lock))
        rest = one.prompt.removeprefix(LOCK_IN[trait][True][k])
        assert other.prompt == LOCK_IN[trait][False][k] + rest
        assert rest.endswith('"')
    assert len(set(texts(found))) == 300


@EVERY_TRAIT
def test_both_sources_have_the_same_steering_questions(trait: Trait) -> None:
    one, other = (
        pocket_trait_set(f"pocket_{source}/{trait}") for source in ("instruction", "natural")
    )
    assert one.questions == other.questions and one.definition == other.definition
    asked = {item.question for item in trait_items(trait, "test")}
    assert set(one.test) <= asked


@EVERY_TRAIT
def test_subjects_have_their_turns_evenly(trait: Trait) -> None:
    found = pocket_trait_set(f"pocket_natural/{trait}")
    for half in (found.validation, found.test):
        each = [
            sum(found.subjects[q] == s for q in half) for s in {found.subjects[q] for q in half}
        ]
        assert max(each) - min(each) <= 1


def test_sets_are_the_same_in_every_process() -> None:
    code = """if True:
        import json, sys
        from tl_geometry.pocket.trait_sets import POCKET_TRAIT_SETS, pocket_trait_set
        assert "torch" not in sys.modules
        print(json.dumps([pocket_trait_set(name).digest for name in POCKET_TRAIT_SETS]))
    """
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [pocket_trait_set(n).digest for n in POCKET_TRAIT_SETS]
    assert len(set(json.loads(done.stdout))) == 6


def test_one_entry_reads_both_worlds() -> None:
    assert trait_set("pocket_natural/evil") == pocket_trait_set("pocket_natural/evil")
    root = Path(__file__).parents[1] / "datasets" / "traits"
    assert trait_set("pv_natural/evil", root).name == "pv_natural/evil"


@pytest.mark.parametrize("name", ["pocket_natural/evill", "pocket_natural", "pocket_/evil"])
def test_unknown_names_are_answered_with_those_that_exist(name: str) -> None:
    with pytest.raises(ValueError, match="no trait set of the pocket world .*: use .*/sycophancy"):
        trait_set(name)
