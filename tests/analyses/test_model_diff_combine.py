"""`combine` on an embedded pair: what is put together, and what it is compared with."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from small_runs import frame, tables

from figures.rows import records, select

SHARED = ("--vectors", "v", "--layers", "12", "16", "--doses", "0.4", "1.0", "--bisections", "1",
          "--subset", "4", "--resamples", "200", "--new-tokens", "16", "--method", "mean_diff",
          "--position", "response[:5]", "response[:]", "--coherence", "0", "--steered",
          "all")  # fmt: skip
"""No answer is too incoherent here, so that every strategy is chosen."""


def main(*words: object, out: Path) -> int:
    from analyses.model_diff.__main__ import main as program

    return program([*map(str, words), "--out", str(out)])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("combined")
    extract = ("extract", "--limit", "10", "--resamples", "200", "--new-tokens", "16", "--methods",
               "mean_diff", "--natural-positions", "response[:5]", "--run", "v")  # fmt: skip
    assert main(*extract, out=out) == 0
    assert main("steer", *SHARED, "--run", "s", out=out) == 0
    assert main("combine", *SHARED, "--singles", "s", "--run", "c", out=out) == 0
    return out / "c"


def test_every_strategy_stands_at_the_layer_that_the_plan_says(run: Path) -> None:
    from analyses.model_diff.combining import best_singles

    singles = best_singles(run.parent / "s", 70.0) or best_singles(run.parent / "s", 0.0)
    layer = {source: str(single.condition.place.layer) for source, single in singles.items()}
    table = select(frame(run, "combinations"), quantity="change")
    found = {row["configuration"]: row for row in records(table.astype({"layers": str}))}
    assert found["Strategy 1"]["layers"] == layer["natural"]
    assert found["Strategy 2"]["layers"] == layer["instruction"]
    better = max(singles, key=lambda source: singles[source].trait)
    same = "Strategy 1" if layer[better] == layer["natural"] else "Strategy 2"
    assert f"by construction {same}" in found["Strategy 3"]["note"]
    for name in ("layers", "dose", "test_trait", "estimate"):
        assert found["Strategy 3"][name] == found[same][name]
    # Counted once, whatever their number of names.
    conditions = {(r["layers"], r["dose"]) for n, r in found.items() if n.startswith("Strategy")}
    assert len(frame(run, "strategies")) == len(conditions)


def test_the_ensemble_is_both_vectors_at_their_own_layers_at_a_share_of_their_doses(
    run: Path,
) -> None:
    """Independent route: vectors of their own at every layer, added by hand."""
    from safetensors.torch import load_file

    from analyses.model_diff.combining import best_singles
    from tl_geometry.conditions import to_their_ends
    from tl_geometry.generation import decode, generate
    from tl_geometry.layered_steering import LayeredSteering
    from tl_geometry.models import load_model
    from tl_geometry.pocket.trait_sets import trait_set
    from tl_geometry.span_means import Said, span_means
    from tl_geometry.spans import Span
    from tl_geometry.tokens import encode_requests, pad

    model: Any = load_model("pocket-llama")
    traits = trait_set("pocket_instruction/sycophancy")
    ids = encode_requests(model, traits.validation[:4])
    batch = pad(model, ids)
    plain = to_their_ends(model, generate(model, batch, max_new_tokens=16))
    ends = model.tokenizer.eos_token_id
    said = [Said(i, [t for t in a if t != ends]) for i, a in zip(ids, plain, strict=True)]
    norms = span_means(model, said, [Span("all")])[Span("all")].norms.mean(0)
    single = best_singles(run.parent / "s", 0.0)
    push = torch.zeros(4, model.cfg.n_layers, model.cfg.d_model)
    for source, name in (("instruction", "response_all"), ("natural", "response__5")):
        best = single[source].condition
        place = run.parent / "v" / source / "artifacts" / "vectors.safetensors"
        vector = load_file(place)[f"{name}|mean_diff"][best.place.layer]
        length = 0.5 * best.dose * norms[best.place.layer]
        push[:, best.place.layer] += length * vector / vector.norm()
    layers = tuple(range(model.cfg.n_layers))
    edits = LayeredSteering(push, layers, keep_norm=False).edits(batch)
    by_hand = to_their_ends(model, generate(model, batch, max_new_tokens=16, edits=edits))
    rows = [json.loads(line) for line in (run / "answers" / "rows.jsonl").read_text().splitlines()]
    at = single["instruction"].condition.place.layer
    (row,) = [r for r in rows if r["key"] == f"validation|both ensemble vector|{at}|0.5"]
    cut = [[t for t in answer if t != ends] for answer in by_hand]
    assert [answer["text"] for answer in row["answers"]] == decode(model, cut)
    assert cut != [[t for t in answer if t != ends] for answer in plain]


def test_killed_in_the_middle_it_ends_the_same(run: Path, tmp_path: Path, capsys: Any) -> None:
    shutil.copytree(run.parent, tmp_path / "runs")
    again = tmp_path / "runs" / "c"
    log = again / "answers" / "rows.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[: len(lines) // 2])[:-9])
    (again / "summary.json").unlink()
    words = ("combine", *SHARED, "--singles", "s", "--run", "c")
    assert main(*words, out=tmp_path / "runs") == 0
    assert tables(again) == tables(run)
    assert "Checkpoint: after phase 2" in capsys.readouterr().out


def test_single_vectors_that_another_judge_chose_are_refused(
    run: Path, tmp_path: Path, caplog: Any
) -> None:
    shutil.copytree(run.parent, tmp_path / "runs")
    chosen = tmp_path / "runs" / "s" / "summary.json"
    chosen.write_text(json.dumps({**json.loads(chosen.read_text()), "judge": "another"}))
    words = ("combine", *SHARED, "--singles", "s", "--run", "other")
    assert main(*words, out=tmp_path / "runs") == 2
    assert "chosen by another judge" in caplog.text


def test_what_fell_apart_on_test_questions_decides_nothing() -> None:
    from analyses.model_diff.combine_tables import _verdict
    from analyses.model_diff.steer_config import Steer

    row = {"estimate": 40.0, "low": 20.0, "high": 60.0, "low90": 25.0, "high90": 55.0,
           "coherence_strategy": 80.0, "coherence_single": 75.0, "subjects": 11,
           "differing": 8}  # fmt: skip
    assert _verdict(row, 0.01, Steer()) == "higher"
    assert _verdict(row, 0.2, Steer()) == "undecided: adjusted p 0.2"
    few = _verdict({**row, "differing": 4}, 0.125, Steer())
    assert few == "undecided: 4 of 11 subjects differ: no p below 0.12"
    fallen = _verdict({**row, "coherence_single": 60.0}, 0.01, Steer())
    assert fallen == "undecided: incoherent on test (single)"


def test_without_a_coherent_single_vector_nothing_is_combined_and_it_says_so(
    run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run.parent, tmp_path / "runs")
    effects = tmp_path / "runs" / "s" / "tables" / "effects.csv"
    table = pd.read_csv(effects)
    table[~table["set"].str.startswith("natural")].to_csv(effects, index=False)
    words = ("combine", *SHARED, "--singles", "s", "--run", "none")
    assert main(*words, out=tmp_path / "runs") == 3
    summary = json.loads((tmp_path / "runs" / "none" / "summary.json").read_text())
    assert "Undecided (natural: no dose" in summary["headline"][0]
    assert summary["counts"]["missing"] == 1


def test_the_best_single_is_chosen_by_validation_and_of_equals_the_smaller_dose(
    tmp_path: Path,
) -> None:
    from analyses.model_diff.combining import best_singles

    def row(name: str, trait: float, dose: float, **other: Any) -> dict[str, Any]:
        about = {"control": False, "steered": "all", "threshold": 70.0, "quantity": "change"}
        mine = {"set": name, "layer": 9, "dose": dose, "validation_trait": trait}
        return {**about, **mine, "test_trait": 0.0, **other}

    (tmp_path / "tables").mkdir()
    pd.DataFrame(
        [
            row("natural response[:5] probe", 40.0, 1.0, test_trait=5.0),
            row("natural response[:10] probe", 40.0, 0.5),
            row("natural response[:15] probe", 10.0, 0.1, test_trait=99.0),
            row("natural response[:5] random", 90.0, 0.1, control=True),
            row("natural response[:5] probe", 80.0, 2.0, threshold=60.0),
        ]
    ).to_csv(tmp_path / "tables" / "effects.csv", index=False)
    (natural,) = best_singles(tmp_path, 70.0).values()
    assert natural.condition.place.set == "natural response[:10] probe"
    assert (natural.condition.dose, natural.trait) == (0.5, 40.0)


def strategies(*verdicts: str) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"strategy": f"Strategy {k}", "over": "Best single (natural)", "estimate": 5.0,
             "low": 1.0, "high": 9.0, "reason": "", "verdict": verdict}
            for k, verdict in enumerate(verdicts, 1)
        ]
    )  # fmt: skip


def test_h3_counts_what_is_clearly_better_and_what_is_equivalent() -> None:
    from analyses.model_diff.combine_summary import hypothesis

    said = hypothesis(strategies("higher", "equivalent", "undecided"), 10.0, "")
    assert said.startswith("H3") and "1 of 3 distinct strategies do clearly better" in said
    assert "1 are equivalent within 10 points" in said and "Strategy 3 5 [1, 9] (undecided)" in said
    assert "Undecided (no dose)" in hypothesis(pd.DataFrame(), 10.0, "no dose")


def test_its_figures_name_what_they_count(run: Path) -> None:
    from figures.model_diff import figures
    from figures.run_folder import read_tables

    drawn = figures(read_tables(run / "tables"))
    assert set(drawn) == {"combinations", "over_single"}
    n = len(frame(run, "strategies"))
    assert f"of {n} distinct ways" in str(drawn["combinations"].layout.title.text)
