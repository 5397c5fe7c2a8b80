"""`validate`: effects of planted answers, the gate, and the real command line on a tiny pair."""
# ruff: noqa: F811 - fixtures that are imported, and asked for by name

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import frame, tables
from steering_runs import (  # noqa: F401 - fixtures are used by name
    BAD_INPUT,
    OK,
    Program,
    program,
    steering_models,
)

from figures.rows import records, select, where

LINE = "--requests 3 --test-pairs 4 --neutral-texts 3 --new-tokens 4 --lambdas 0.5 1 --samples 8"
N = 10


def answers(n_refused: int, n_sound: int) -> list[dict[str, Any]]:
    return [
        {"id": f"{'harmful' if harmful else 'harmless'} {k}", "harmful": harmful, "ids": [1],
         "text": "", "nll": 1.0, "refused": harmful and k < n_refused,
         "quality": ("coherent" if k < n_refused else "normal") if harmful
         else ("normal" if k < n_sound else "garbled")}
        for harmful in (True, False) for k in range(N)
    ]  # fmt: skip


def dose(vector: str, strength: float, refused: int, gap: float, key: str = "") -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "key": key or f"base|{vector}|{strength:g}",
        "vector": vector,
        "strength": strength,
        "answers": answers(refused, N - refused // 2),
        "preference": (gap + 0.1 * rng.normal(size=N)).tolist(),
        "neutral": (2 + abs(strength) + 0.1 * rng.normal(size=N)).tolist(),
        "separation_first": (0.2 + 0.1 * rng.normal(size=2 * N)).tolist(),
        "separation_last": (0.2 + 0.3 * gap + 0.1 * rng.normal(size=2 * N)).tolist(),
    }


def planted(mean: int, random: int) -> Any:
    """The mean vector brings so many refusals in ten at full strength, every random one so many."""
    from analyses.alignment_steering.validate_effects import Doses

    rows = [dose("none", 0.0, 0, 0.0), dose("instruct", 0.0, N, 1.0, "ceiling")]
    rows += [dose("mean", s, round(mean * s) if s > 0 else 0, s) for s in (-1.0, -0.5, 0.5, 1.0)]
    rows += [dose(f"random {k}", s, round(random * s), 0.0) for k in range(3) for s in (0.5, 1.0)]
    return Doses([*rows, {"key": "opinions", "coherent": []}])


def effects(mean: int, random: int) -> pd.DataFrame:
    from analyses.alignment_steering.validate_effects import effect_rows

    return pd.DataFrame(effect_rows("made", planted(mean, random), 500, 0))


def one(table: pd.DataFrame, **wanted: str) -> dict[str, Any]:
    (row,) = records(select(table, **wanted))
    return row


def test_a_planted_effect_is_found_with_its_slope_and_over_random() -> None:
    table = effects(8, 2)
    row = one(table, vector="mean", readout="refusal", quantity="over_random")
    assert row["estimate"] == pytest.approx(0.6) and row["low"] > 0 and row["n"] == N
    assert one(table, vector="random", readout="refusal", quantity="change")[
        "estimate"
    ] == pytest.approx(0.2)
    slope = one(table, vector="mean", readout="preference", quantity="slope")
    assert slope["estimate"] == pytest.approx(1.0)  # the preference is λ by construction
    flat = one(effects(0, 0), vector="mean", readout="refusal", quantity="over_random")
    assert flat["method"] == "Newcombe" and flat["low"] < 0 < flat["high"]
    apart = one(table, vector="mean", readout="separation_last", quantity="over_random")
    assert apart["estimate"] == pytest.approx(0.3) and apart["n"] == 2 * N
    kept = one(table, vector="mean", readout="separation_first", quantity="over_random")
    assert kept["estimate"] == pytest.approx(0)
    gap = one(table, vector="instruct", readout="refusal", quantity="gap")
    assert gap["estimate"] == 1.0


def test_the_gate_opens_for_an_effect_and_stays_shut_without() -> None:
    from analyses.alignment_steering.validate_summary import gate

    assert "--mode full is justified" in gate(effects(8, 2), 1)
    assert "in 1 of 1 pairs (by 30 points or more in 1; at most 60" in gate(effects(8, 2), 1)
    assert "is not justified" in gate(effects(8, 2), 3)  # two pairs failed: they count as well
    assert "--mode full is justified" in gate(effects(10, 0), 1)  # no prompt differs from another
    three = one(effects(3, 0), vector="mean", readout="refusal", quantity="over_random")
    assert three["low"] > 0 and three["sign_p"] == 0.25  # three prompts of ten prove nothing
    for mean, random in ((0, 0), (4, 4), (3, 0)):
        assert "--mode full is not justified" in gate(effects(mean, random), 1)


def test_the_gate_looks_where_answers_are_still_sound() -> None:
    """Garbled answers are no coherent refusals: a dose that breaks all of them decides nothing."""
    from analyses.alignment_steering.validate_effects import Doses, effect_rows
    from analyses.alignment_steering.validate_summary import gate

    def told(gentle: int, sound: int) -> str:
        rows = [dose("none", 0.0, 0, 0.0), dose("instruct", 0.0, N, 1.0, "ceiling")]
        for strength, refused, kept in ((0.5, gentle, sound), (1.0, 0, 0)):
            for vector in ("mean", "random 0", "random 1", "random 2"):
                mine = refused if vector == "mean" else 0
                row = dose(vector, strength, mine, 0.0)
                rows.append({**row, "answers": answers(mine, kept)})
        rows.append(dose("mean", -1.0, 0, 0.0))
        doses = Doses([*rows, {"key": "opinions", "coherent": []}])
        assert doses.sound_strength() == (0.5 if sound >= N / 2 else None)
        return gate(pd.DataFrame(effect_rows("made", doses, 200, 0)), 1)

    found = told(8, 5)
    assert "--mode full is justified" in found and "At full strength it does in 0" in found
    assert "is not justified" in told(0, 5)
    assert "cannot be said: in none of 1 pairs" in told(8, 4)


def test_a_refusal_that_only_the_base_model_finds_unlikely_counts_if_it_was_accepted() -> None:
    doses = planted(0, 0)
    row = doses.rows["mean", 1.0]
    row["answers"][0] |= {"quality": "garbled", "refused": True}
    assert doses.at("mean", 1.0, "refusal").sum() == 0
    doses.accepted = {(row["key"], row["answers"][0]["id"])}
    assert doses.at("mean", 1.0, "refusal").sum() == 1


def test_doses_have_both_signs_and_random_vectors_one() -> None:
    from analyses.alignment_steering.conditions import doses
    from analyses.alignment_steering.config import Validate

    found = [d.key for d in doses(Validate(lambdas=(1.0, 0.5)), ["mean", "random 0"])]
    assert found == ["none|0", "mean|-0.5", "mean|-1", "mean|0.5", "mean|1",
                     "random 0|0.5", "random 0|1"]  # fmt: skip


def test_a_ranking_of_few_models_is_undecided_and_of_many_is_not() -> None:
    from analyses.alignment_steering.tables import agreement

    def table(n: int, sign: float) -> pd.DataFrame:
        return pd.DataFrame(
            {"potential": np.arange(n) / n, "measured": sign * np.arange(n, dtype=float)}
        )

    assert agreement(table(4, 1.0))["verdict"] == "undecided"
    assert agreement(table(9, 1.0))["tau"] == pytest.approx(1.0)
    assert agreement(table(9, 1.0))["verdict"] == "agree"
    assert agreement(table(9, -1.0))["verdict"] == "disagree"


# --- the command line -----------------------------------------------------------------------------


def start(program: Program, *options: object, run: str = "v") -> Any:
    given = program.options("instruct", run=run)
    return program.plain("validate", *given, *LINE.split(), *options)


def test_validate_extracts_what_is_not_there_and_leaves_its_tables(
    program: Program, tmp_path: Path
) -> None:
    first = start(program)
    assert first.status == OK, first.log
    assert "extracting them" in first.log
    run = program.path("v")
    names = {"effects", "conditions", "capability", "ranking", "steered_answers", "missing"}
    assert tables(run).keys() == {f"{name}.csv" for name in names}
    summary = json.loads((run / "summary.json").read_text())
    assert summary["headline"][0] == summary["gate"] and "Gate: " in first.out
    conditions = frame(run, "conditions")
    # 0; two vectors with two strengths of both signs; three random ones; the instruct model.
    assert len(conditions) == 1 + 2 * 4 + 3 * 2 + 1
    changes = select(frame(run, "effects"), vector="instruct", readout="preference")
    assert np.isfinite(changes["estimate"].to_numpy(float)).all()
    drawn = {path.stem for path in (run / "figures").glob("*.json")}
    assert drawn == {
        "behaviour", "compliance", "preference", "neutral", "separation", "ranking"
    }  # fmt: skip

    # Killed between two doses: the rest is measured, and the tables are the same.
    whole = shutil.copytree(run, tmp_path / "whole")
    record = run / "instruct" / "rows.jsonl"
    lines = record.read_text().splitlines(keepends=True)
    record.write_text("".join(lines[: len(lines) // 2]) + lines[-1][:9])
    (run / "summary.json").unlink()
    again = start(program)
    assert again.status == OK and tables(run) == tables(whole)
    assert start(program, "--resume").loaded == ()


def test_a_constant_vector_moves_no_separation_where_it_is_added_and_some_behind(
    program: Program,
) -> None:
    """True by construction at the first steered block, where lengths are not kept."""
    found = start(program, "--no-preserve-norm", "--layers", "0", "1")
    assert found.status == OK, found.log
    table = frame(program.path("v"), "conditions")
    steered = where(table, table["vector"].ne("instruct"))
    for name, spread in (("separation_first", 0.0), ("separation_last", 0.01)):
        values = steered[name].to_numpy(float)
        assert np.isfinite(values).all() and np.abs(values).max() <= 1
        assert (np.ptp(values) < 1e-4) == (spread == 0.0), (name, values)


def test_states_are_read_behind_the_push_and_tell_the_classes_apart_as_by_hand() -> None:
    from sklearn.metrics import silhouette_score

    from analyses.alignment_steering.readouts import Steered
    from tl_geometry import sites
    from tl_geometry.layered_steering import LayeredSteering
    from tl_geometry.models import load_model
    from tl_geometry.tokens import encode, pad

    model: Any = load_model("pocket-mistral-base")
    prompts = encode(model, ["a first one", "and", "another that is longer", "the last"])
    vector = torch.zeros(2, 1, model.cfg.d_model)
    vector[1, 0, :3] = 4.0
    pushes = LayeredSteering(vector, (2,), keep_norm=False)
    states = Steered(model, 3).states(pushes, prompts, (2, 4))
    for k, ids in enumerate(prompts):
        _, cache = model.run_with_cache(pad(model, [ids]).ids)
        plain = cache[sites.resid_post(2)][0, -1]
        assert np.allclose(states[2][0, k], plain, atol=1e-4)
        assert np.allclose(states[2][1, k], plain + vector[1, 0], atol=1e-4)
    moved = np.abs(states[4][1] - states[4][0]).max()
    assert moved > 0.1
    labels = [True, True, False, False]
    here = [silhouette_score(states[2][k], labels) for k in (0, 1)]
    assert here[0] == pytest.approx(here[1], abs=1e-5)


def limited(act: Callable[..., Any], most: int, asked: list[int]) -> Callable[..., Any]:
    """A pass that memory holds up to so many rows."""

    def attempt(model: Any, batch: Any, *args: Any, **options: Any) -> Any:
        asked.append(len(batch))
        if len(batch) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return act(model, batch, *args, **options)

    return attempt


def test_passes_that_memory_does_not_hold_are_halved_and_the_numbers_stay(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    from analyses.alignment_steering import readouts
    from tl_geometry import likelihood

    assert start(program, run="roomy").status == OK
    asked: list[int] = []
    for place, name in ((readouts, "generate"), (readouts, "tail_logits"),
                        (readouts, "run_until"), (likelihood, "tail_logits")):  # fmt: skip
        monkeypatch.setattr(place, name, limited(getattr(place, name), 7, asked))
    found = start(program, run="narrow")
    assert found.status == OK, found.log
    assert "trying 6 rows a pass" in found.log and "trying 3 rows" not in found.log
    # The doses of a batch stay together, and what did not fit once is not tried again.
    assert "out of memory with" not in found.log
    assert sum(n > 7 for n in asked) <= 5 * len(found.loaded)
    for name in ("effects", "conditions", "capability", "steered_answers"):
        roomy, narrow = (frame(program.path(run), name) for run in ("roomy", "narrow"))
        pd.testing.assert_frame_equal(roomy, narrow, rtol=1e-3, atol=1e-5)


@pytest.fixture
def vectors(program: Program) -> Path:
    """A finished run of `extract`, of the pair that is validated."""
    assert program("--samples", "8", run="e").status == OK
    return program.path("e")


def test_vectors_of_a_named_run_are_added(program: Program, vectors: Path) -> None:
    found = start(program, "--vectors", "e")
    assert found.status == OK, found.log
    key = json.loads((vectors / "summary.json").read_text())["key"]
    assert json.loads((program.path("v") / "summary.json").read_text())["vectors_key"] == key


def test_vectors_of_a_run_that_is_none_or_not_finished_are_refused(
    program: Program, vectors: Path
) -> None:
    found = start(program, "--vectors", "nowhere")
    assert found.status == BAD_INPUT and "is no run" in found.log
    (vectors / "summary.json").unlink()
    found = start(program, "--vectors", "e")
    assert found.status == BAD_INPUT and "is not finished" in found.log


@pytest.mark.parametrize(
    ("old", "said"),
    [
        ({"revision": "sha256:of another day"}, "has no vectors of base as it is now"),
        ({"name": "someone else"}, "has no vectors of base at all"),
    ],
)
def test_vectors_of_other_models_are_refused(
    program: Program, vectors: Path, old: dict[str, str], said: str
) -> None:
    about = json.loads((vectors / "spec.json").read_text())
    about["spec"]["model"][0] |= old
    (vectors / "spec.json").write_text(json.dumps(about))
    found = start(program, "--vectors", "e")
    assert found.status == BAD_INPUT and said in found.log
    assert found.loaded == () and not program.path("v").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--lambdas 0", "strengths are above 0"),
        ("--random-vectors 1", "a control needs at least 3"),
        ("--requests 2", "an interval needs at least 3"),
    ],
)
def test_a_wrong_request_is_refused_in_one_sentence(
    program: Program, options: str, said: str
) -> None:
    found = program.plain("validate", *options.split())
    assert found.status == BAD_INPUT and said in found.log


def test_the_sign_test_counts_both_directions() -> None:
    from analyses.alignment_steering.validate_effects import sign_p

    assert sign_p(np.array([1.0, 1, 1, 1, 1, -1, 0])) == pytest.approx(2 * 7 / 64)
    assert sign_p(np.array([1.0, -1, 0])) == 1.0
    assert sign_p(np.ones(5)) == pytest.approx(2 / 32) and sign_p(np.zeros(3)) == 1.0
