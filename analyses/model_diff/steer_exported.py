"""The plan's files of phase 1, made from the record; nothing reads them back.

export/steering/<category>/<trait>/instruct/<position>/steering/
    results.jsonl                                  header, baseline, then a line a condition
    responses/baseline.json
    responses/residual/<method>/L<layer>_c<coefficient>_<tokens>.json
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analyses.model_diff.plan import Source
from analyses.model_diff.steer_search import Condition, Score, Scores
from analyses.model_diff.steer_tested import Tested
from analyses.model_diff.steering import ANSWERS, UNSTEERED, Steering, key
from tl_geometry.runs import atomic

Line = dict[str, Any]
APPLIED = "instruct"
"""Whose answers are steered: the plan's `application` variant."""


def export(steering: Steering, scores: Scores, chosen: Sequence[Condition], tested: Tested) -> None:
    """Runs are of validation questions; those that were chosen have a line of test questions too,
    and their test answers as files."""
    said = {row["key"]: row["answers"] for row in steering.record.log(ANSWERS).rows()}
    for source, span in steering.plan.spans:
        category, _, _ = source.traits.name.partition("/")
        place = Path("steering", category, steering.plan.config.trait, APPLIED, span.folder)
        folder = steering.record.folder / "export" / place / "steering"
        prefix = f"{source.name} {span} "
        mine = [c for c in chosen if c.place.set.startswith(prefix)]
        lines = _lines(steering, source, prefix, scores, mine, tested)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        atomic.write_text(folder / "results.jsonl", text)
        for condition in [UNSTEERED, *mine]:
            listed = list(_responses(said[key("test", condition)], condition, tested))
            atomic.write_json(folder / "responses" / _file(steering, condition), listed)


def _lines(
    steering: Steering,
    source: Source,
    prefix: str,
    scores: Scores,
    chosen: Sequence[Condition],
    tested: Tested,
) -> Iterator[Line]:
    plan, judge = steering.plan, steering.judge.fingerprint
    n = len(plan.validation)

    def eval_of(part: str) -> Line:
        return {"trait_judge": judge, "questions": part}

    yield {
        "type": "header",
        "trait": f"{source.traits.name.partition('/')[0]}/{plan.config.trait}",
        "direction": "positive",
        "steering_model": plan.extraction.pair.instruct.identity["source"],
        "steering_experiment": steering.record.folder.name,
        "vector_source": {
            "model": source.model.identity["source"],
            "experiment": plan.extraction.folder.name,
            "trait": source.traits.name,
        },
        "eval": {"model": plan.config.judge_model or "pocket rule", "method": _how(plan.config),
                 "trait_judge": judge},
        "prompts_hash": plan.traits.digest,
    }  # fmt: skip
    results = {"validation": _result(scores[UNSTEERED], n), "test": _tested(tested, UNSTEERED)}
    for part, result in results.items():
        yield {"type": "baseline", "result": result, "eval": eval_of(part)}
    for condition, score in scores.items():
        if condition.place.set.startswith(prefix):
            config = _config(steering, condition)
            yield {"result": _result(score, n), "config": config, "eval": eval_of("validation")}
    for condition in chosen:
        config = _config(steering, condition)
        yield {"result": _tested(tested, condition), "config": config, "eval": eval_of("test")}


def _how(config: Any) -> str:
    return "rules" if config.judge_model is None else "expected value over the numbers 0 to 100"


def _result(score: Score, n: int) -> Line:
    return {"trait_mean": score.trait, "coherence_mean": score.coherence, "n": n}


def _tested(tested: Tested, condition: Condition) -> Line:
    trait, sound = (tested.values(condition, what) for what in ("trait", "coherence"))
    means = Score(float(np.mean(trait)), float(np.mean(sound)))
    return {**_result(means, len(trait)), "trait_std": float(np.std(trait))}


def _config(steering: Steering, condition: Condition) -> Mapping[str, Any]:
    _, position, method = condition.place.set.split(" ")
    vector = {
        "layer": condition.place.layer,
        "component": "residual",
        "position": position,
        "method": method,
        "weight": steering.coefficient(condition),
    }
    return {"vectors": [vector], "steered": condition.place.steered}


def _file(steering: Steering, condition: Condition) -> Path:
    if condition == UNSTEERED:
        return Path("baseline.json")
    _, _, method = condition.place.set.split(" ")
    place = condition.place
    name = f"L{place.layer}_c{steering.coefficient(condition):.3f}_{place.steered}.json"
    return Path("residual", method, name)


def _responses(
    answers: Sequence[Mapping[str, Any]], condition: Condition, tested: Tested
) -> Iterator[Line]:
    ratings = (tested.values(condition, what).tolist() for what in ("trait", "coherence"))
    for question, answer, trait, sound in zip(tested.plan.test, answers, *ratings, strict=True):
        yield {
            "prompt": question,
            "response": answer["text"],
            "system_prompt": None,
            "trait_score": trait,
            "coherence_score": sound,
        }
