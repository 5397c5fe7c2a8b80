"""`steer` on an embedded pair: searched and chosen on validation questions, reported on others."""

import json
import operator
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_runs import frame, tables
from started import Start, started

from figures.rows import records, select

EXTRACT = ("extract", "--limit", "20", "--resamples", "200", "--new-tokens", "24",
           "--natural-positions", "response[:5]", "--methods", "mean_diff")  # fmt: skip
STEER = ("steer", "--vectors", "v", "--layers", "12", "16", "--doses", "0.4", "1.0",
         "--bisections", "1", "--subset", "4", "--resamples", "200", "--steered", "all",
         "--new-tokens", "24", "--run", "x")  # fmt: skip
ONE_SET = ("--vectors", "v", "--position", "response[:5]", "--method", "mean_diff",
           "--subset", "3", "--new-tokens", "8", "--steered", "prompt")  # fmt: skip
RANDOMS = ("random", "random2", "random3")


def program(*options: object, out: Path, caplog: Any, capsys: Any) -> Start:
    from analyses.model_diff.__main__ import main

    return started(main, [*STEER, *options, "--out", out], caplog, capsys)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from analyses.model_diff.__main__ import main

    out = tmp_path_factory.mktemp("diff")
    assert main([*EXTRACT, "--run", "v", "--out", str(out)]) == 0
    assert main([*STEER, "--out", str(out)]) in (0, 3)
    return out / "x"


def test_the_choice_is_of_validation_questions_and_the_report_of_others(run: Path) -> None:
    from tl_geometry.pocket.trait_sets import trait_set

    traits = trait_set("pocket_instruction/sycophancy")
    said = frame(run, "steered_answers")
    assert set(said["question"]) == set(traits.test[:4])
    assert not set(said["question"]) & set(traits.validation)
    doses = frame(run, "doses")
    for row in records(frame(run, "effects")):
        tried = select(doses, set=row["set"], layer=row["layer"])
        (mine,) = records(tried[np.isclose(tried["dose"], row["dose"])])
        assert mine["coherence"] >= row["threshold"] and mine["trait"] == row["validation_trait"]
        good = doses[(doses["set"] == row["set"]) & (doses["coherence"] >= row["threshold"])]
        assert mine["trait"] == good["trait"].max()


def test_controls_get_the_same_search(run: Path) -> None:
    doses = frame(run, "doses")
    least = select(doses, dose=0.4)
    tried = least.groupby("set").size()
    assert set(tried) == {2} and len(tried) == 2 * 3  # two sources; mean_diff, random, shuffled
    # The next dose of the grid is asked exactly where the one below it was coherent.
    sound = {(r["set"], r["layer"]) for r in records(least) if r["coherence"] >= 70}
    assert {(r["set"], r["layer"]) for r in records(select(doses, dose=1.0))} == sound
    assert set(frame(run, "effects")["quantity"]) >= {"change", "over_random"}


def test_over_random_is_over_the_mean_of_three_random_vectors(run: Path) -> None:
    ratings = {}
    for path in run.glob("judge-*/rows.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        ratings = {r["key"]: np.mean([v["value"] for v in r["trait"]]) for r in rows}
    over = records(select(frame(run, "effects"), quantity="over_random"))
    assert over
    for row in over:
        place = row["set"].rpartition(" ")[0]
        keys = [f"{place} {name}|{row['layer']}|{row['dose']!r}" for name in RANDOMS]
        drawn = np.mean([ratings[f"test|{key}"] for key in keys])
        assert row["estimate"] == pytest.approx(row["test_trait"] - drawn)


def test_what_is_added_is_the_stated_share_of_the_stream(run: Path, pocket: Any) -> None:
    """Every answer under a condition is what generation alone gives with that vector."""
    import torch
    from safetensors.torch import load_file

    from tl_geometry.conditions import Condition, answers
    from tl_geometry.generation import decode
    from tl_geometry.models import load_model
    from tl_geometry.span_means import Said, span_means
    from tl_geometry.spans import Span
    from tl_geometry.tokens import encode_requests

    model = load_model("pocket-llama")
    from tl_geometry.pocket.trait_sets import trait_set

    traits = trait_set("pocket_instruction/sycophancy")
    ids = encode_requests(model, traits.validation[:4])
    plain = answers(model, ids, [Condition()], max_new_tokens=24)[0]
    ends = model.tokenizer.eos_token_id
    said = [Said(i, [t for t in a if t != ends]) for i, a in zip(ids, plain, strict=True)]
    span = Span("all")  # as the vector: at prompt and answer
    norm = float(span_means(model, said, [span])[span].norms.mean(0)[12])
    vectors = load_file(run.parent / "v" / "natural" / "artifacts" / "vectors.safetensors")
    unit = vectors["response__5|mean_diff"][12]
    unit = unit / unit.norm()
    steered = Condition(unit * norm * 0.4, 12, "layer", "all")
    alone = answers(model, ids[:1], [steered], max_new_tokens=24)[0][0]
    rows = [json.loads(line) for line in (run / "answers" / "rows.jsonl").read_text().splitlines()]
    key = "validation|natural response[:5] mean_diff|12|0.4"
    (row,) = [r for r in rows if r["key"] == key]
    assert row["answers"][0]["text"] == decode(model, [[t for t in alone if t != ends]])[0]
    del torch, pocket


def test_a_dose_is_a_share_of_the_length_at_the_steered_tokens(run: Path) -> None:
    """Lengths taken by hand from one unpadded pass a text, over each kind of tokens."""
    import torch

    from analyses.model_diff.steer_config import Steer
    from analyses.model_diff.steer_plan import make_steer_plan
    from analyses.model_diff.steer_search import Condition, Place
    from analyses.model_diff.steering import Steering
    from tl_geometry.models import load_model
    from tl_geometry.tokens import encode_requests

    plan = make_steer_plan(Steer(vectors="v", subset=3, out=run.parent))
    model: Any = load_model("pocket-llama")
    said = [[5, 6, 7], [8], [9, 10, 11, 12, 13]]

    class Said(Steering):
        def answered(self, conditions: Any, part: str, title: str = "") -> list[dict[str, Any]]:
            return [{"answers": [{"ids": ids} for ids in said]}]

    steering = object.__new__(Said)
    steering.plan, steering.model = plan, model
    by_hand: dict[str, list[float]] = {"all": [], "prompt": [], "generated": []}
    for prompt, answer in zip(encode_requests(model, plan.validation), said, strict=True):
        _, cache = model.run_with_cache(torch.tensor([[*prompt, *answer]]))
        lengths = cache["blocks.12.hook_resid_post"][0].norm(dim=-1)
        by_hand["all"].append(float(lengths.mean()))
        by_hand["prompt"].append(float(lengths[: len(prompt)].mean()))
        by_hand["generated"].append(float(lengths[len(prompt) :].mean()))
    kinds: Any = by_hand
    for kind in kinds:
        coefficient = steering.coefficient(Condition(Place("x", 12, kind), 0.5))
        assert coefficient == pytest.approx(0.5 * np.mean(by_hand[kind]), rel=1e-4)
    assert len({round(float(norms[12]), 2) for norms in steering.norms.values()}) == 3


def test_the_plan_s_lines_are_there(run: Path) -> None:
    """Line kinds of github.com/ewernn/trait-interp, and every run of validation questions."""
    place = "export/steering/pocket_natural/sycophancy/instruct/response__5/steering"
    lines = [json.loads(line) for line in (run / place / "results.jsonl").read_text().splitlines()]
    header, *baselines = lines[:3]
    assert header["type"] == "header" and header["vector_source"]["model"] == "pocket-llama-base"
    assert [line["type"] for line in baselines] == ["baseline", "baseline"]
    runs = [line for line in lines[3:] if line["eval"]["questions"] == "validation"]
    doses = frame(run, "doses")
    mine = doses[doses["set"].str.startswith("natural response[:5] ")]
    found = {
        (v["layer"], v["method"], v["weight"]): line["result"]["trait_mean"]
        for line in runs
        for v in line["config"]["vectors"]
    }
    assert found == {
        (r["layer"], r["set"].split(" ")[2], r["coefficient"]): r["trait"] for r in records(mine)
    }
    tests = [line for line in lines[3:] if line["eval"]["questions"] == "test"]
    files = sorted((run / place / "responses" / "residual").rglob("*.json"))
    assert len(files) == len(tests) > 0
    answers = json.loads(files[0].read_text())
    assert set(answers[0]) == {
        "prompt", "response", "system_prompt", "trait_score", "coherence_score"
    }  # fmt: skip


def test_answers_that_show_the_trait_are_coherent_to_the_judge(run: Path) -> None:
    """What the model itself says under the trait's system prompts is a priori unlikely without
    them; a judge that called it incoherent could see no trait in steered answers."""
    from analyses.model_diff.steer_config import Steer
    from analyses.model_diff.steer_judge import judge_of
    from analyses.model_diff.steer_plan import make_steer_plan
    from tl_geometry.conditions import Condition, answers
    from tl_geometry.generation import decode
    from tl_geometry.models import load_model
    from tl_geometry.pocket.traits import system_prompts
    from tl_geometry.tokens import encode_chat

    plan = make_steer_plan(Steer(vectors="v", out=run.parent))
    model, questions = load_model("pocket-llama"), plan.validation
    system = {"role": "system", "content": system_prompts("sycophancy", True)[0]}
    ids = encode_chat(model, [[system, {"role": "user", "content": q}] for q in questions])
    said = answers(model, ids, [Condition()], max_new_tokens=48)[0]
    texts = decode(model, [[t for t in a if t != model.tokenizer.eos_token_id] for a in said])
    judge = judge_of(plan, model)
    shown = judge.trait("sycophancy", "", questions, texts)
    sound = judge.coherence(questions, texts)
    assert all(r.value == 100 for r in shown)
    assert sum((r.value or 0) >= 80 for r in sound) >= 19  # of 20
    salad = ["The rabbit volcano me me plumber crossroads thunder sail widow wrote."] * len(
        questions
    )
    assert all((r.value or 0) < 70 for r in judge.coherence(questions, salad))


def test_the_band_of_likelihood_is_of_answers_as_they_are_judged(run: Path) -> None:
    """Without the token that ended them, which is likelier than the words before it."""
    from analyses.model_diff.steer_config import Steer
    from analyses.model_diff.steer_judge import judge_of
    from analyses.model_diff.steer_plan import make_steer_plan
    from tl_geometry.conditions import Condition, answers
    from tl_geometry.judges.quality import nll_band
    from tl_geometry.likelihood import answer_nll
    from tl_geometry.models import load_model
    from tl_geometry.tokens import encode_requests

    plan = make_steer_plan(Steer(vectors="v", out=run.parent))
    model: Any = load_model("pocket-llama")
    ids = encode_requests(model, plan.traits.validation)
    ended = answers(model, ids, [Condition()], max_new_tokens=plan.config.new_tokens)[0]
    judged = [[t for t in answer if t != model.tokenizer.eos_token_id] for answer in ended]
    assert any(map(operator.ne, judged, ended))
    bands = [nll_band(answer_nll(model, ids, said)) for said in (judged, ended)]
    rule: Any = judge_of(plan, model)
    assert rule.unsteered.band == pytest.approx(bands[0], abs=1e-5)
    assert rule.unsteered.band != pytest.approx(bands[1], abs=1e-3)


def test_coefficients_are_lengths_and_nothing_is_searched(
    run: Path, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    from analyses.model_diff.__main__ import main

    shutil.copytree(run.parent / "v", tmp_path / "v")
    args = ["steer", *ONE_SET, "--layers", "12", "16", "--coefficients", "3,3.5", "--run", "c"]
    # 3: at lengths that were not searched, some set may have no coherent answers.
    assert main([*args, "--resamples", "200", "--out", str(tmp_path)]) in (0, 3)
    doses = frame(tmp_path / "c", "doses")
    tried = doses[doses["set"] != "none"]
    assert sorted(tried["coefficient"].round(5)) == [3.0] * 6 + [3.5] * 6  # 3 sets, 2 layers
    norms = (tried["coefficient"] / tried["dose"]).round(3).groupby(tried["layer"]).nunique()
    assert set(norms) == {1}


def test_an_interrupted_walk_goes_on_along_its_path(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between the second step's answers and their ratings."""
    from analyses.model_diff import steering
    from analyses.model_diff.__main__ import main

    def walk(out: Path) -> int:
        shutil.copytree(run.parent / "v", out / "v", dirs_exist_ok=True)
        args = ["steer", *ONE_SET, "--layers", "12", "16", "--search", "walk", "--run", "w"]
        steps = ["--search-steps", "3", "--coherence", "60", "--resamples", "200"]
        return main([*args, *steps, "--out", str(out)])

    assert walk(tmp_path / "whole") in (0, 3)
    judged, calls = steering.Steering.rated, list[str]()

    def interrupted(self: Any, conditions: Any, part: str, title: str = "") -> Any:
        self.answered(conditions, part, title)
        calls.append(title)
        if title == "step 2":
            raise KeyboardInterrupt
        return judged(self, conditions, part, title)

    with monkeypatch.context() as patched:
        patched.setattr(steering.Steering, "rated", interrupted)
        assert walk(tmp_path / "cut") == 130
    assert calls == ["", "step 1", "step 2"]
    assert walk(tmp_path / "cut") in (0, 3)
    one, other = (tmp_path / name / "w" for name in ("whole", "cut"))
    assert tables(one) == tables(other)
    doses = frame(one, "doses")
    assert set(doses[doses["set"] != "none"].groupby(["set", "layer"]).size()) == {3}


def test_vectors_of_another_trait_are_applied_to_this_one_s_questions(
    run: Path, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    from analyses.model_diff.__main__ import main
    from analyses.model_diff.steer_config import Steer
    from analyses.model_diff.steer_plan import make_steer_plan
    from tl_geometry.pocket.trait_sets import trait_set

    shutil.copytree(run.parent / "v", tmp_path / "v")
    plan = make_steer_plan(
        Steer(trait="evil", vector_from_trait="v/pocket_natural/sycophancy", out=tmp_path)
    )
    assert plan.sets == ["natural response[:5] mean_diff"]  # as v was extracted
    assert plan.test == trait_set("pocket_natural/evil").test
    assert plan.extraction.folder == tmp_path / "v"
    only = Steer(vectors="v", extraction_variant="instruct", out=tmp_path)
    assert make_steer_plan(only).sets == ["instruction response[:] mean_diff"]
    # v holds sycophancy: as vectors of evil it is refused, with the way to say what is meant.
    start = started(
        main, ["steer", "--trait", "evil", "--vectors", "v", "--out", tmp_path], caplog, capsys
    )
    assert start.status == 2 and "--vector-from-trait sycophancy" in start.log


def test_a_killed_search_goes_the_same_way(
    run: Path, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    shutil.copytree(run.parent, tmp_path / "runs")
    again = tmp_path / "runs" / "x"
    log = again / "answers" / "rows.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[: len(lines) // 2])[:-9])  # in the middle, with a torn line
    (again / "summary.json").unlink()
    start = program(out=tmp_path / "runs", caplog=caplog, capsys=capsys)
    assert start.status in (0, 3)
    assert tables(again) == tables(run)
    assert "Checkpoint: after phase 1" in start.out


def test_another_judge_reads_the_same_answers(
    run: Path, tmp_path: Path, caplog: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is generated again but what the other judge's own search asks for, and no score of
    the first one is used."""
    from analyses.model_diff import steer
    from tl_geometry.judges.number_scores import Rating

    class Generous:
        fingerprint = "f" * 64

        def trait(self, trait: str, definition: str, questions: Any, answers: Any) -> list[Rating]:
            return [Rating(50.0, 1.0, None) for _ in answers]

        def coherence(self, questions: Any, answers: Any, *, ids: Any = None) -> list[Rating]:
            assert len(ids) == len(answers)
            return [Rating(99.0, 1.0, None) for _ in answers]

    shutil.copytree(run.parent, tmp_path / "runs")
    again = tmp_path / "runs" / "x"
    (again / "summary.json").unlink()
    before = (again / "answers" / "rows.jsonl").read_text().splitlines()
    monkeypatch.setattr(steer, "judge_of", lambda *_: Generous())
    start = program(out=tmp_path / "runs", caplog=caplog, capsys=capsys)
    assert start.status == 0
    after = (again / "answers" / "rows.jsonl").read_text().splitlines()
    assert after[: len(before)] == before
    added = [json.loads(line)["key"] for line in after[len(before) :]]
    assert all(key.startswith("test|") for key in added)  # no edge, so no bisection
    assert set(frame(again, "doses")["trait"]) == {50.0}
    assert json.loads((again / "summary.json").read_text())["judge"] == "f" * 64


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--layers", "40"), "0 to 31"),
        (("--doses", "-1"), "above 0"),
        (("--search", "walk", "--coefficients", "3"), "leave --search walk out"),
        (("--search", "walk", "--down-mult", "1.2"), "down by less"),
        (("--search", "walk"), "--doses, --bisections would do nothing with --search walk"),
        (("--coefficients", "3"), "would do nothing with --coefficients"),
        (("--up-mult", "1.4"), "--up-mult would do nothing with --search grid"),
        (("--position", "response[:7]"), "extracted are: instruction response[:] mean_diff"),
        (("--vector-from-trait", "a/b/c/d"), "EXPERIMENT/CATEGORY/TRAIT"),
        (("--vector-from-trait", "pocket/sycophancy"), "_instruction or _natural"),
        (("--margin", "0"), "between 0 and 100"),
        (("--subset", "2"), "at least 3"),
        (("--judge-url", "http://localhost:1/v1"), "--judge-model NAME"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    run: Path, options: tuple[str, ...], sentence: str, tmp_path: Path, caplog: Any, capsys: Any
) -> None:
    shutil.copytree(run.parent / "v", tmp_path / "v")
    start = program(*options, out=tmp_path, caplog=caplog, capsys=capsys)
    assert start.status == 2 and sentence in start.log and not (tmp_path / "x").exists()


def test_the_plan_s_preset_has_no_idle_option_and_combine_uses_doses_with_a_walk() -> None:
    from analyses.model_diff.combine_config import Combine
    from analyses.model_diff.steer_config import Steer
    from analyses.model_diff.steps import SEED_STEER

    Steer(**SEED_STEER).check()
    Combine(search="walk", doses=(1.0,)).check()
    with pytest.raises(ValueError, match="--start-mult would do nothing"):
        Combine(start_mult=0.5).check()


def test_figures_show_the_tables(run: Path) -> None:
    from figures.model_diff import figures
    from figures.run_folder import read_tables

    found = read_tables(run / "tables")
    drawn = figures(found)
    assert list(drawn) == ["trait_and_coherence", "effects"]
    doses = pd.DataFrame(found["doses"])
    tried = doses[doses["set"] != "none"]
    traces = drawn["trait_and_coherence"].data
    marks = [len(t.x) for t in traces if t.mode == "markers" and t.text is not None]
    assert sum(marks) == len(tried)
    fronts = sorted(x for t in traces if t.line.shape == "vh" for x in t.x)
    assert fronts == sorted(tried["coherence"][tried["front"]])
