"""What a direction does, and what controls and its removal do.

The embedded model was trained to refuse harmful requests in one place of its stream; that is the
planted truth that a direction has to find.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import pytest
import torch
from refusal_subject import nothing, source_of, subject_of

from analyses.refusal.bypass import (
    SEARCHED,
    SHORT,
    TRIED,
    Way,
    answered_without,
    promising,
    tried,
    ways,
)
from analyses.refusal.config import FREE
from analyses.refusal.openings import PARTED
from analyses.refusal.saying import Cell, Held, say, say_edited
from analyses.refusal.searched import best_cell
from analyses.refusal.sources import Source, controls, random_like
from analyses.refusal.subject import Subject
from analyses.refusal.verify import TOLERANCE, recomputed
from tl_geometry.directions import class_means
from tl_geometry.generation import decode, generate
from tl_geometry.judges import is_refusal
from tl_geometry.tokens import pad


@pytest.fixture(scope="module")
def subject(pocket: Any) -> Subject:
    return subject_of(pocket)


@pytest.fixture(scope="module")
def source(subject: Subject) -> Source:
    return source_of(subject)


def test_the_found_direction_makes_the_model_refuse_and_a_random_one_does_not(
    subject: Subject, source: Source
) -> None:
    random = [c for c in controls(subject, [source]) if c.name.startswith("random")]
    cells = [Cell(s, dose) for s in (source, *random) for dose in subject.config.doses]
    searched = say(subject, [Cell(None), *cells], subject.prompts.search[1], 20)

    def refused(row: Mapping[str, Any]) -> int:
        return sum(answer["quality"] == "coherent" for answer in row["answers"])

    most = {row["source"]: 0 for row in searched}
    for row in searched:
        most[row["source"]] = max(most[row["source"]], refused(row))
    assert most["dim"] >= 6  # of 16
    assert most["none"] == 0 and max(most["random 0"], most["random 1"]) <= 2

    best = best_cell(searched, [source])
    same = [Cell(like, best.dose) for like in random_like(subject, source, "as dim|0.6")]
    chosen = [best, *same, *(best_cell(searched, [one]) for one in random)]
    tested = say(subject, chosen, subject.prompts.test[1], 20)
    found, *others = (refused(row) for row in tested)
    assert found >= 6 and len(others) == 4 and max(others) <= 2


def test_an_opening_is_where_refusals_part_from_answers(subject: Subject) -> None:
    model, opening = subject.model, subject.opening
    assert opening.refusal and opening.separation > PARTED
    harmful, harmless = (opening.after(subject.ids(side)) for side in subject.prompts.test)
    shared = list(opening.shared)
    for opener in opening.refusal:  # put into its mouth, the model goes on to refuse
        batch = pad(model, [[*ids, opener] for ids in harmful[:6]])
        new = generate(model, batch, max_new_tokens=20)
        said = decode(model, [[*shared, opener, *row] for row in new.tolist()])
        assert sum(map(is_refusal, said)) >= 4, (model.tokenizer.decode([opener]), said)
    first = {}
    for side, prompts in (("harmful", harmful), ("harmless", harmless)):
        new = generate(model, pad(model, prompts), max_new_tokens=1)[:, 0].tolist()
        first[side] = sum(token in opening.refusal for token in new)
    assert first["harmful"] >= 12 and first["harmless"] <= 2  # of 16


def test_controls_are_as_long_as_the_direction_and_at_its_depths(subject: Subject) -> None:
    means = subject.means["dim"]
    found = [Source("dim", d, n, means.direction(n + 1, -1)) for d, n in (("0.4", 12), ("0.6", 19))]
    found.append(Source("dim", FREE, 9, means.direction(10, -1)))
    found.append(Source("cosmic", "0.5", 16, means.direction(17, -1, "cosmic")))
    made = controls(subject, found)
    assert [(c.name, c.depth, c.layer) for c in made] == [
        (name, depth, layer)
        for name in ("shuffled", "random 0", "random 1")
        for depth, layer in (("0.4", 12), ("0.6", 19))
    ]
    for control, own in zip(made, 3 * found[:2], strict=True):
        assert (control.direction.position, control.direction.layer) == (-1, own.layer + 1)
        if control.name == "shuffled":
            mixed = subject.means["shuffled"].difference[own.layer + 1, -1].float()
            assert torch.equal(control.direction.vector, mixed)
        else:
            assert control.direction.norm == pytest.approx(own.direction.norm, rel=1e-5)
            dose = Cell(control, 0.1).stated(subject)["dose_unit"]
            assert dose == pytest.approx(Cell(own, 0.1).stated(subject)["dose_unit"])
    units = [c.direction.unit for c in made]
    assert torch.allclose(units[2], units[3]) and torch.allclose(units[4], units[5])
    assert abs(units[2] @ units[4]) < 0.5
    again = controls(subject, found)
    assert all(
        torch.equal(a.direction.vector, b.direction.vector)
        for a, b in zip(made, again, strict=True)
    )
    other = Subject(subject.model, replace(subject.config, seed=1), subject.prompts)
    other.__dict__["means"] = subject.means
    assert not torch.allclose(controls(other, found)[2].direction.unit, units[2])


def test_shuffled_labels_make_a_shorter_difference(subject: Subject, source: Source) -> None:
    shuffled = subject.means["shuffled"].direction(source.layer + 1, -1)
    assert shuffled.norm < 0.5 * source.direction.norm
    assert subject.means["shuffled"].n == (32, 32)


def test_ways_to_take_refusal_away(subject: Subject, source: Source) -> None:
    doses = (0.3, 0.1, 0.4, 0.2, 0.5)
    config = replace(subject.config, doses=doses, methods=("dim", "cosmic"))
    given = Subject(subject.model, config, subject.prompts)
    given.__dict__["means"] = subject.means
    places = [("dim", "0.6"), ("dim", FREE), ("cosmic", "0.6"), ("cosmic", FREE)]
    places += [("random 0", "0.6"), ("shuffled", "0.6")]
    sources = [Source(name, depth, 19, source.direction) for name, depth in places]
    # Two states are best at the last token.
    scores: Any = {"linear": {7: [2], 9: [3]}, "affine": {8: [1]}}
    induces = Source("dim", "0.4", 12, source.direction)
    found = list(ways(given, sources, induces, scores))
    assert [way.key for way in found if way.source.depth == SEARCHED] == [
        "linear|dim -1|searched|8|0",
        "linear|dim -1|searched|6|0",
        "affine|dim -1|searched|7|0",
    ]
    first, *_ = found
    assert torch.equal(first.source.direction.vector, subject.means["dim"].direction(9, -1).vector)
    rest = {way.key for way in found if way.source.depth != SEARCHED}
    assert rest == {f"{kind}|{name}|{FREE}|19|0" for kind in scores for name in config.methods} | {
        f"negative|dim|0.4|12|-{dose}" for dose in (0.1, 0.4)
    }
    assert len({way.key for way in found}) == len(found)


def test_candidates_under_which_most_is_answered_are_promising() -> None:
    assert promising({3: [2, 0], 2: [2, 5], 1: [0, 2]}) == [
        *[(2, -1), (3, -2), (2, -2), (1, -1)],  # of equals the deeper one
        *[(3, -1), (1, -2)],
    ]
    many = {state: [state % 2] for state in range(100)}
    assert promising(many) == [(state, -1) for state in range(99, 99 - 2 * TRIED, -2)]


@pytest.mark.parametrize("kind", ["linear", "affine"])
def test_answers_without_a_candidate_are_those_of_that_way_alone(
    kind: Any, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A judge whose labels tell texts apart: hardly a random few of them are plain answers.
    def label(text: str, **_: Any) -> str:
        return ("normal", "garbled")[crc32(text.encode()) % 2]

    monkeypatch.setattr("analyses.refusal.saying.quality", label)
    given = Subject(subject.model, replace(subject.config, screen_prompts=6), subject.prompts)
    model, (harmful, harmless) = subject.model, map(subject.ids, subject.prompts.dim)
    means = class_means(model, harmful, harmless, n_positions=2)
    given.__dict__["means"] = {"dim": means}
    asked, state = subject.prompts.search[0][:6], 26

    def answered(edit: Held) -> int:
        said = say_edited(given, edit, asked, SHORT)
        return sum(answer["quality"] == "normal" for answer in said)

    alone = [
        Way(kind, Source("dim", SEARCHED, state - 1, means.direction(state, position))).held(given)
        for position in (-2, -1)
    ]
    found = answered_without(given, kind, state)
    assert found == [answered(edit) for edit in alone]
    assert 0 < sum(found) < 12 and found != [answered(nothing)] * 2


def test_a_way_that_spoils_neutral_texts_is_asked_nothing_while_searching(
    subject: Subject, source: Source
) -> None:
    few = replace(subject.prompts, search=(subject.prompts.search[0][:2], ()))
    few = replace(few, test=few.search, neutral=subject.prompts.neutral[:4])
    config = replace(subject.config, new_tokens=2, screen_tokens=3)
    given = Subject(subject.model, config, few)
    given.__dict__["means"] = subject.means
    spoiling, gentle = (Way("negative", source, dose) for dose in (-2.0, -1e-4))
    assert tried(given, spoiling, test=False)["kl"] > 0.1
    assert [len(tried(given, way, test=False)["answers"]) for way in (spoiling, gentle)] == [0, 2]
    assert len(tried(given, spoiling, test=True)["answers"]) == 2


def test_taking_the_direction_away_takes_refusal_away(subject: Subject, source: Source) -> None:
    requests = subject.prompts.search[0][:8]

    def refused(answers: Sequence[Mapping[str, Any]]) -> int:
        return sum(answer["strict"] for answer in answers)

    plain = refused(say_edited(subject, nothing, requests, 15))
    moved = refused(say_edited(subject, Way("affine", source).held(subject), requests, 15))
    assert plain >= 6 and moved <= plain - 4


def test_the_slow_scores_are_those_of_the_shortcut_in_the_embedded_model(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analyses.refusal.verify.SAMPLED", 2)
    assert 0 < recomputed(subject, "affine") < TOLERANCE
