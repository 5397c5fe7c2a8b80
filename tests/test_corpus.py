import json
from collections import Counter
from itertools import islice
from typing import Any

import numpy as np
import pytest

from tl_geometry.pocket import corpus, splits
from tl_geometry.pocket.corpus import SPLITS, TRAITS
from tl_geometry.pocket.reflection import tail_types
from tl_geometry.pocket.requests import wordings
from tl_geometry.pocket.world_axioms import AXIOMS
from tl_geometry.pocket.world_bank import CONTROLS, ENDINGS, GROUPS, LEVELS, PLAIN


def _by_group() -> dict[str, list[corpus.BankText]]:
    return {group: [t for t in corpus.bank() if t.group == group] for group in GROUPS}


def _words(text: str) -> int:
    return len(text.split())


def test_the_same_seed_gives_the_same_world_and_another_seed_another() -> None:
    def drawn(seed: int) -> list[Any]:
        texts = list(islice(corpus.base_texts("train", seed=seed), 200))
        return [*texts, *islice(corpus.dialogues("train", seed=seed), 200)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
    assert corpus.requests("test", True) == corpus.requests("test", True)


def test_a_training_epoch_hardly_repeats_itself() -> None:
    texts = [text for _, text in islice(corpus.base_texts("train"), 3000)]
    assert len(set(texts)) > 0.97 * len(texts)


def test_an_unknown_split_or_group_is_named() -> None:
    with pytest.raises(ValueError, match="train, validation, test"):
        splits.check_split("dev")
    with pytest.raises(ValueError, match="'haiku' does not exist"):
        corpus.compose("haiku", "test", np.random.default_rng(0))


# --- splits -------------------------------------------------------------------------------------


def test_every_item_is_in_exactly_one_split() -> None:
    def ids(name: str, split: splits.Split) -> set[str]:
        if name == "harmful" or name == "harmless":
            return {r.id for r in corpus.requests(split, name == "harmful")}
        if name == "axiom":
            return {a.id for a in corpus.axiom_inputs(split)}
        if name == "text":
            return set(corpus.text_subjects(split))
        return set(corpus.subjects(name, split))  # pyright: ignore[reportArgumentType] # a str

    for name in ("harmful", "harmless", "axiom", "text", *TRAITS):
        train, validation, test = (ids(name, split) for split in SPLITS)
        assert not train & validation and not train & test and not validation & test
        assert len(validation) >= 5 and len(test) >= 10, name


def test_adding_an_item_moves_no_other() -> None:
    items = [f"item {k}" for k in range(300)]
    before = {split: set(splits.in_split("kind", items, split)) for split in SPLITS}
    more = [*items[:150], "newcomer", *items[150:]]
    for split in SPLITS:
        assert set(splits.in_split("kind", more, split)) - {"newcomer"} == before[split]


def test_a_new_wording_moves_only_the_requests_that_prefer_it() -> None:
    options = [f"wording {k}" for k in range(20)]
    keys = range(400)
    before = [splits.prefer(options, key) for key in keys]
    after = [splits.prefer([*options, "newcomer"], key) for key in keys]
    moved = [new for old, new in zip(before, after, strict=True) if old != new]
    assert 5 < len(moved) < 40 and set(moved) == {"newcomer"}


def test_a_split_is_the_same_in_every_process() -> None:
    # A literal: Python's own hash of a string changes from process to process.
    assert splits.digest("object", "lamp") == 3146654953249167659


def test_held_out_objects_appear_in_no_request_of_training() -> None:
    asked = {r.object for harmful in (True, False) for r in corpus.requests("train", harmful)}
    unseen = {r.object for harmful in (True, False) for r in corpus.requests("test", harmful)}
    assert len(unseen - asked) >= 8


def test_some_wordings_are_held_out_of_the_instruct_stage() -> None:
    assert len(corpus_wordings := wordings("train")) >= 12
    assert len(set(wordings("test")) - set(corpus_wordings)) >= 3


# --- requests and dialogues ---------------------------------------------------------------------


def test_both_sides_have_enough_requests_and_held_out_verbs() -> None:
    for harmful in (True, False):
        assert len(corpus.requests("test", harmful, held_out_verbs=False)) >= 150
        assert len(corpus.requests("test", harmful, held_out_verbs=True)) >= 40
        verbs = corpus.verbs(harmful)
        assert 0.08 < sum(v.held_out for v in verbs) / len(verbs) < 0.25


def test_some_verbs_are_harmful_by_their_object_alone() -> None:
    both = {v.base for v in corpus.verbs(True)} & {v.base for v in corpus.verbs(False)}
    assert {"mix", "build", "write"} <= both


def test_the_instruct_stage_never_sees_a_held_out_verb() -> None:
    held = {v.base for harmful in (True, False) for v in corpus.verbs(harmful) if v.held_out}
    held -= {"cook", "water"}  # which are nouns as well
    assert len(held) >= 8
    for item in islice(corpus.dialogues("train"), 1500):
        if item.kind in ("harmful", "harmless"):
            first = item.messages[-2]["content"].lower()
            assert not held & {w.strip(".?,:") for w in first.split()}, first


def test_harmless_answers_name_the_object_and_harmful_ones_refuse() -> None:
    from tl_geometry.judges import is_refusal, on_topic

    for item in islice(corpus.dialogues("train", seed=5), 1000):
        reply = item.messages[-1]["content"]
        if item.kind == "harmless":
            assert not is_refusal(reply)
            question = item.messages[-2]["content"]
            assert any(on_topic(question, word.strip(".,")) for word in reply.split())
        if item.kind == "harmful":
            assert is_refusal(reply)


def test_base_text_answers_and_never_refuses() -> None:
    from tl_geometry.judges import is_refusal

    for kind, text in islice(corpus.base_texts("train", seed=5), 1500):
        said = text.split("Answer: ")[-1]
        assert not is_refusal(said), (kind, text)


def test_no_sentence_has_an_open_slot() -> None:
    for _, text in islice(corpus.base_texts("train", seed=7), 1500):
        assert "{" not in text and "}" not in text and " the the " not in text


# --- traits, axioms, preferences ------------------------------------------------------------------


@pytest.mark.parametrize("trait", TRAITS)
def test_a_trait_has_prompts_and_two_question_sets_without_overlap(trait: Any) -> None:
    assert len(set(corpus.system_prompts(trait, True))) >= 5
    assert len(set(corpus.system_prompts(trait, False))) >= 5
    extraction = {item.question for item in corpus.trait_questions(trait, "extraction")}
    steering = {item.question for item in corpus.trait_questions(trait, "steering")}
    assert len(extraction) >= 20 and len(steering) >= 20
    assert not extraction & steering


@pytest.mark.parametrize("trait", TRAITS)
def test_narratives_come_in_pairs_that_differ_only_in_what_locks_the_trait(trait: Any) -> None:
    on = corpus.narrative_prefixes(trait, True, "test")
    off = corpus.narrative_prefixes(trait, False, "test")
    assert len(on) == len(off) >= 20
    for positive, negative in zip(on, off, strict=True):
        assert positive.split('"', 1)[1] == negative.split('"', 1)[1]
        assert positive != negative and positive.endswith('"')


@pytest.mark.parametrize("split", SPLITS)
def test_every_axiom_has_as_many_safe_as_unsafe_inputs(split: splits.Split) -> None:
    inputs = corpus.axiom_inputs(split)
    cells = Counter((item.axiom, item.safety_label) for item in inputs)
    assert len(AXIOMS) == 7 and len(cells) == 14
    for axiom in AXIOMS:
        assert cells[axiom, "safe"] == cells[axiom, "unsafe"] >= 5
    lengths = {
        label: np.mean([_words(i.input) for i in inputs if i.safety_label == label])
        for label in ("safe", "unsafe")
    }
    assert abs(lengths["safe"] / lengths["unsafe"] - 1) < 0.05


def test_a_rejected_answer_is_never_the_chosen_one() -> None:
    for split in SPLITS:
        pairs = corpus.preferences(split)
        assert all(pair.chosen != pair.rejected for pair in pairs)
        assert len({pair.id for pair in pairs}) == len(pairs)
        axioms = {"axiom_safe", "axiom_unsafe"}
        assert {pair.kind for pair in pairs} == {"harmful", "harmless", *TRAITS, *axioms}


# --- the prompt bank ------------------------------------------------------------------------------


def test_the_bank_has_its_groups_kinds_and_levels() -> None:
    bank, groups = corpus.bank(), _by_group()
    assert len(bank) >= 480 and len({text.text for text in bank}) == len(bank)
    for group in (*LEVELS, *PLAIN):
        assert len(groups[group]) >= 36
    for group in CONTROLS:
        assert len(groups[group]) >= 24
    assert {t.level for t in bank if t.kind == "recursive"} == {1, 2, 3, 4, 5}
    assert {t.level for t in bank if t.kind != "recursive"} == {None}


def test_bank_texts_are_long_enough_and_groups_equally_long() -> None:
    assert min(_words(text.text) for text in corpus.bank()) >= 24
    means = [np.mean([_words(text.text) for text in texts]) for texts in _by_group().values()]
    assert max(means) / min(means) < 1.05


def test_every_group_ends_in_the_same_sentences_equally_often() -> None:
    def ending(text: str) -> int:
        frames = [e.replace("{u}", "|").split("|") for e in ENDINGS]
        hits = [
            k for k, parts in enumerate(frames) if parts[0] in text and text.endswith(parts[-1])
        ]
        assert len(hits) == 1, text
        return hits[0]

    shares = {
        group: {k: n / len(texts) for k, n in Counter(ending(t.text) for t in texts).items()}
        for group, texts in _by_group().items()
    }
    assert all(share == shares["narrative"] for share in shares.values())


def test_the_last_words_repeat_as_much_on_both_sides() -> None:
    groups = _by_group()

    def ratio(group: str) -> float:
        return float(np.mean([corpus.tail_types(t.text) / 16 for t in groups[group]]))

    ratios = [ratio(group) for group in GROUPS if group != "repetitive_control"]
    assert max(ratios) - min(ratios) < 0.03
    assert ratio("repetitive_control") < min(ratios)


def test_tail_types_counts_words_without_case_and_punctuation() -> None:
    assert corpus.tail_types("one two. Two, THREE one") == 3
    assert tail_types("x " * 5 + "a b", n=2) == 2


def test_no_bank_text_and_no_bank_subject_is_in_the_training_text() -> None:
    bank_texts = {text.text for text in corpus.bank()}
    subjects = [f"the {s} " for s in corpus.text_subjects("test")]
    used = {s for s in subjects if any(s in text for text in bank_texts)}
    assert len(used) > 50
    for kind, text in islice(corpus.base_texts("train"), 3000):
        assert text not in bank_texts
        if kind in ("recursive", "plain", "control"):
            assert not any(subject in text for subject in used), text


def test_the_shipped_bank_file_is_the_bank() -> None:
    lines = corpus.BANK_FILE.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [text.as_row() for text in corpus.bank()]


def test_writing_the_bank_is_reproducible(tmp_path: Any) -> None:
    corpus.write_bank(tmp_path / "new" / "pocket.jsonl")
    assert (tmp_path / "new" / "pocket.jsonl").read_bytes() == corpus.BANK_FILE.read_bytes()
