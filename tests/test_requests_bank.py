"""The shipped requests and neutral texts: their splits, and what tells their two sides apart."""

import csv
import json
import re
from collections import Counter
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest

from tl_geometry.pocket import corpus, splits
from tl_geometry.prompts import (
    REQUEST_SPLITS,
    NeutralText,
    Request,
    content_hash,
    load_neutral,
    load_requests,
)
from tl_geometry.prompts.request_files import split_of_topic
from tl_geometry.prompts.wording import ENDINGS, ending, words

ROOT = Path(__file__).parents[1]
FILE = ROOT / "tl_geometry" / "prompts" / "requests.jsonl"
PAGE = ROOT / "docs" / "prompts.md"
NAMES = ("requests", "pocket_requests")
LEAST = {
    "requests": {"train": (170, 180), "validation": (95, 110), "test": (55, 100)},
    "pocket_requests": {"train": (400, 400), "validation": (190, 200), "test": (190, 200)},
}
"""Harmful and harmless."""


def sides(found: tuple[Request, ...]) -> tuple[list[str], list[str]]:
    harmful = [r.text for r in found if r.harmful]
    return harmful, [r.text for r in found if not r.harmful]


def written(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines))
    return path


# --- splits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_split_holds_enough_of_both_sides(name: str) -> None:
    sizes = Counter((r.split, r.harmful) for r in load_requests(name))
    assert set(sizes) == {(split, side) for split in REQUEST_SPLITS for side in (True, False)}
    for split, (harmful, harmless) in LEAST[name].items():
        assert sizes[split, True] >= harmful and sizes[split, False] >= harmless


def test_no_topic_is_in_two_splits_and_both_sides_have_sixty() -> None:
    requests = load_requests("requests")
    assert len({(r.topic, r.split) for r in requests}) == len({r.topic for r in requests})
    assert min(len({r.topic for r in requests if r.harmful == side}) for side in (True, False)) > 60


def test_every_harmful_topic_has_as_many_harmless_requests() -> None:
    count = Counter((r.topic, r.harmful) for r in load_requests("requests"))
    harmful = {topic for topic, side in count if side}
    assert all(count[topic, True] == count[topic, False] for topic in harmful)


@pytest.mark.parametrize("topic", ["forged-note", "burglary", "a topic of the user's", ""])
def test_the_split_is_that_of_the_rule_of_the_pocket_world(topic: str) -> None:
    expected = splits.split_of("request", topic, validation=0.29, test=0.18)
    assert split_of_topic(topic) == expected


def test_shares_of_many_topics_are_as_announced() -> None:
    drawn = Counter(split_of_topic(f"topic {k}") for k in range(10_000))
    # Five standard errors of a share of 10,000 are below 0.025.
    assert [drawn[s] / 10_000 for s in REQUEST_SPLITS] == pytest.approx(
        [0.53, 0.29, 0.18], abs=0.025
    )


def test_adding_requests_moves_no_other(tmp_path: Path) -> None:
    lines = FILE.read_text("utf-8").splitlines()
    old_topic = {"text": "May I?", "harmful": True, "topic": "burglary"}
    new_topic = {"text": "Shall we?", "label": "harmless", "topic": "new"}
    more = written(tmp_path / "more.jsonl", old_topic, *lines[:99], new_topic, *lines[99:])
    found = load_requests(more)
    assert tuple(r for r in found if r.text not in ("May I?", "Shall we?")) == load_requests()
    assert {r.split for r in found if r.topic == "burglary"} == {split_of_topic("burglary")}


# --- wording ------------------------------------------------------------------------------------


def test_every_request_is_one_sentence_of_six_to_twenty_words_and_unlike_any_other() -> None:
    texts = [r.text for r in load_requests("requests")]
    assert all(6 <= len(text.split()) <= 20 for text in texts)
    assert all(re.fullmatch(r"[A-Z][^.?!]*[.?]", text) for text in texts)
    assert len({tuple(words(text)) for text in texts}) == len(texts)


def auroc(truth: list[bool], scores: list[float]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, scores))


def length_auroc(found: tuple[Request, ...]) -> float:
    return auroc([r.harmful for r in found], [float(len(r.text.split())) for r in found])


def first_words(found: tuple[Request, ...]) -> list[str]:
    return [words(r.text)[0] for r in found]


def wording_auroc(found: tuple[Request, ...], texts: list[str]) -> float:
    """A bag-of-words classifier on topics that it has not seen."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        CountVectorizer(token_pattern=r"\b\w+\b"), LogisticRegression(max_iter=2000)
    )
    truth = [r.harmful for r in found]
    topics = [r.topic for r in found]
    scores = cross_val_predict(
        model, texts, truth, groups=topics, cv=GroupKFold(10), method="predict_proba"
    )
    return auroc(truth, np.asarray(scores)[:, 1].tolist())


@pytest.mark.parametrize("name", NAMES)
def test_length_does_not_tell_the_sides_apart(name: str) -> None:
    assert 0.45 < length_auroc(load_requests(name)) < 0.55


def test_length_does_not_tell_the_sides_apart_in_any_split() -> None:
    for split in REQUEST_SPLITS:
        assert 0.45 < length_auroc(tuple(r for r in load_requests() if r.split == split)) < 0.55


@pytest.mark.parametrize(("name", "most"), [("requests", 0.01), ("pocket_requests", 0.03)])
def test_both_sides_begin_with_the_same_words(name: str, most: float) -> None:
    requests = load_requests(name)
    harmful, harmless = (Counter(words(text)[0] for text in side) for side in sides(requests))
    shares = [
        harmful[word] / harmful.total() - harmless[word] / harmless.total()
        for word in harmful | harmless
    ]
    assert max(map(abs, shares)) < most
    # A classifier that knows only the first word is at chance, below it by its own errors.
    assert 0.4 < wording_auroc(requests, first_words(requests)) < 0.55


@pytest.mark.parametrize("name", NAMES)
def test_both_sides_have_the_same_mixture_of_forms(name: str) -> None:
    harmful, harmless = (Counter(map(ending, side)) for side in sides(load_requests(name)))
    for form in ENDINGS:
        difference = harmful[form] / harmful.total() - harmless[form] / harmless.total()
        assert abs(difference) < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_the_page_tells_what_tells_the_sides_apart(name: str) -> None:
    requests = load_requests(name)
    measured = [
        length_auroc(requests),
        wording_auroc(requests, first_words(requests)),
        wording_auroc(requests, [r.text for r in requests]),
    ]
    row = re.search(rf"^\| `{name}` \|([\d. |]+)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert row
    # The third decimal of a fitted classifier may differ between versions of its library.
    assert [float(cell) for cell in row[1].split("|")] == pytest.approx(measured, abs=0.01)


def test_the_page_tells_how_many_there_are() -> None:
    page = PAGE.read_text("utf-8")
    for name in NAMES:
        sizes = Counter((r.split, r.harmful) for r in load_requests(name))
        cells = [f"{sizes[s, True]} + {sizes[s, False]}" for s in REQUEST_SPLITS]
        assert f"| `{name}` | {' | '.join(cells)} |" in page


# --- the pocket world ---------------------------------------------------------------------------


def test_the_files_of_the_pocket_world_are_what_the_command_writes(tmp_path: Path) -> None:
    requests, neutral = tmp_path / "new" / "requests.jsonl", tmp_path / "new" / "neutral.jsonl"
    corpus.write_requests(requests, neutral)
    assert requests.read_bytes() == corpus.REQUESTS_FILE.read_bytes()
    assert neutral.read_bytes() == corpus.NEUTRAL_FILE.read_bytes()


def test_pocket_requests_are_those_of_the_world_in_its_order() -> None:
    loaded = load_requests("pocket_requests")
    for split in REQUEST_SPLITS:
        for harmful in (True, False):
            ours = [r.text for r in loaded if (r.split, r.harmful) == (split, harmful)]
            world = corpus.requests(split, harmful, seed=0, held_out_verbs=False)
            assert ours == [r.text for r in world[: len(ours)]]
    held_out = {v.base for side in (True, False) for v in corpus.verbs(side) if v.held_out}
    assert held_out and not held_out & {r.topic for r in loaded}


# --- neutral texts ------------------------------------------------------------------------------


def test_neutral_texts_are_single_sentences_on_ten_subjects() -> None:
    texts = load_neutral("neutral")
    assert set(Counter(t.topic for t in texts).values()) == {6} and len(texts) == 60
    assert all(25 <= len(t.text.split()) <= 40 for t in texts)
    assert all(re.fullmatch(r"[A-Z][^.?!]*\.", t.text) for t in texts)


def test_pocket_neutral_texts_are_long_enough_and_tell_of_no_harm() -> None:
    texts = load_neutral("pocket_neutral")
    assert len(texts) == 100
    assert min(len(t.text.split()) for t in texts) >= 24
    verbs = [v for v in corpus.verbs(True) if not v.by_object]
    harmful = {word for v in verbs for word in (v.base, v.past, v.gerund)}
    assert not any(harmful & set(words(t.text)) for t in texts)
    asked = {r.text for r in load_requests("pocket_requests")}
    assert not any(request in t.text for t in texts for request in asked)


# --- files of one's own -------------------------------------------------------------------------


def test_csv_and_jsonl_of_the_same_requests_are_equal(tmp_path: Path) -> None:
    requests = load_requests("requests")
    with (tmp_path / "mine.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "text", "label", "split", "topic"])
        for r in requests:
            label = "harmful" if r.harmful else "harmless"
            table.writerow([r.id, r.text, label, r.split, r.topic])
    again = load_requests(str(tmp_path / "mine.csv"))
    assert again == requests and content_hash(again) == content_hash(requests)


def test_text_and_harm_suffice(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.csv", "text,harmful", "Who is there?,FALSE", "Lie!,true")
    found = load_requests(path)
    assert [(r.text, r.harmful, r.topic) for r in found] == [
        ("Who is there?", False, ""),
        ("Lie!", True, ""),
    ]
    assert [r.split for r in found] == [split_of_topic(r.id) for r in found]
    turned = load_requests(written(tmp_path / "b.csv", "text,harmful", "Lie!,true", "Who?,false"))
    assert turned[0] == found[1]


def test_splits_of_ones_own_are_kept(tmp_path: Path) -> None:
    line = {"id": "a", "text": "Lie!", "harmful": True, "split": "test", "topic": "burglary"}
    found = load_requests(written(tmp_path / "mine.jsonl", line))
    assert found == (Request("a", "Lie!", True, "test", "burglary"),)
    assert split_of_topic("burglary") != "test"


def test_neutral_texts_of_ones_own(tmp_path: Path) -> None:
    found = load_neutral(written(tmp_path / "mine.csv", "id,text", "a,Iron rusts."))
    assert found == (NeutralText("a", "Iron rusts."),)


def test_the_hash_ignores_order_and_sees_every_field() -> None:
    requests = load_requests("requests")
    first = requests[0]
    changes = {
        "id": "new",
        "text": "Other.",
        "harmful": not first.harmful,
        "split": "validation",
        "topic": "new",
    }
    assert first.split != "validation" and len(changes) == len(astuple(first))
    others = {content_hash((replace(first, **{k: v}), *requests[1:])) for k, v in changes.items()}
    assert len(others | {content_hash(requests)}) == len(changes) + 1
    assert content_hash(requests[::-1]) == content_hash(requests)
    assert content_hash(load_neutral("neutral")[:-1]) != content_hash(load_neutral("neutral"))


GOOD = {"id": "a", "text": "Lie for me.", "harmful": True, "topic": "lies"}
OTHER = {"id": "b", "text": "Sing for me.", "label": "harmless", "topic": "songs"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (OTHER | {"text": " Lie  for me."}, "line 2: the text of 'b' stands on line 1 already"),
        (OTHER | {"id": "a"}, "line 2: the id 'a' stands on line 1 already"),
        (OTHER | {"text": ""}, "'text' must be text, got ''"),
        ({"id": "b", "label": "harmless"}, "the field 'text' is missing"),
        ({"text": "Sing."}, "nothing says .* 'harmful' .true or false. or 'label'"),
        ({"text": "Sing.", "harmful": "no"}, "harmful 'no' is unknown; use true or false"),
        ({"text": "Sing.", "harmful": 0}, "harmful 0 is unknown; use true or false"),
        ({"text": "Sing.", "label": "safe"}, "label 'safe' is unknown; use harmful or harmless"),
        (OTHER | {"harmful": True}, "harmful is True, but label says 'harmless'; correct one"),
        (OTHER | {"split": "test"}, "line 1: no split, but line 2 has one; .* leave all out"),
        (OTHER | {"topic": 7}, "'topic' must be text, got 7"),
        ("Sing.", "line 2: not JSON"),
    ],
)
def test_a_wrong_line_is_refused_by_its_number(tmp_path: Path, line: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_requests(written(tmp_path / "mine.jsonl", GOOD, line))


def test_an_unknown_split_is_named_with_the_valid_ones(tmp_path: Path) -> None:
    path = written(tmp_path / "mine.jsonl", GOOD | {"split": "dev"})
    with pytest.raises(ValueError, match="split 'dev' is unknown; use one of train, validation"):
        load_requests(path)


@pytest.mark.parametrize("load", [load_requests, load_neutral])
def test_a_file_without_records_is_refused(tmp_path: Path, load: object) -> None:
    assert callable(load)
    with pytest.raises(ValueError, match="has a header and no"):
        load(written(tmp_path / "mine.csv", "text,harmful"))


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'request' .did you mean 'requests'.*pocket_requests"):
        load_requests("request")
    with pytest.raises(ValueError, match="'bank': shipped are neutral, pocket_neutral"):
        load_neutral("bank")
