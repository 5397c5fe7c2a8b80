"""The notebook interface: one pair at a time, with the names of the plan."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from small_runs import frame
from tiny import tiny, tokenizer

from analyses.homeostasis import HomeostasisMeasurer, analyze_mechanisms

PLAIN = "The harbour opened in year {} again"
RECURSIVE = "Notice how you read sentence {} now"


@pytest.fixture(scope="module")
def measurer(loaded: Any) -> HomeostasisMeasurer:
    return HomeostasisMeasurer(loaded)


@pytest.fixture(scope="module")
def results(measurer: HomeostasisMeasurer) -> list[dict[str, Any]]:
    return [
        measurer.measure_compensation(PLAIN.format(i), RECURSIVE.format(i)) for i in range(10, 15)
    ]


def test_a_measurement_has_the_plan_s_names_and_a_value_for_each_layer(results):
    result = results[0]
    assert result["layers"] == [6, 7]
    for name in ("rv_trajectory", "mlp_expansion", "attention_entropy", "residual_norms"):
        assert len(result[name]) == len(result["unpatched"][name]) == 2, name
        assert all(value > 0 for value in result[name])
    scales = result["layernorm_scales"]
    assert scales.keys() == {"ln1", "ln2", "ln_final"}
    assert [len(scales[norm]) for norm in ("ln1", "ln2", "ln_final")] == [2, 2, 1]
    assert result["rv_trajectory"] != result["unpatched"]["rv_trajectory"]


def test_a_pair_has_the_numbers_of_the_command_line(
    whole: Path, bank: Path, measurer: HomeostasisMeasurer
):
    texts = {row["id"]: row["text"] for row in map(json.loads, bank.read_text().splitlines())}
    layers = frame(whole, "layers")
    for pair in frame(whole, "pairs").head(3).to_dict("records"):
        result = measurer.measure_compensation(
            texts[pair["target_id"]], texts[pair["donor_id"]], patch_layer=6
        )
        table = layers[layers["pair_index"] == pair["pair_index"]]
        for condition, own in (("patched", result), ("unpatched", result["unpatched"])):
            rows = table[table["condition"] == condition]
            for name, column in (
                ("rv_trajectory", "r_v"),
                ("mlp_expansion", "mlp_expansion"),
                ("attention_entropy", "attention_entropy"),
                ("residual_norms", "residual_norm"),
            ):
                assert own[name] == pytest.approx(rows[column].tolist(), abs=1e-4), name
            ln2 = own["layernorm_scales"]["ln2"]
            assert ln2 == pytest.approx(rows["ln2_scale"].tolist(), abs=1e-4)
        metrics = measurer.compute_recovery_metrics(result)
        assert metrics["rv_recovery"] == pytest.approx(pair["seed_recovery"], abs=1e-4)
        assert metrics["recovery"] == pytest.approx(pair["recovery_L7"], abs=1e-4)


def test_recovery_metrics_are_those_that_the_plan_names(results, measurer: HomeostasisMeasurer):
    result = results[0]
    (first, last), (plain_first, plain_last) = (
        result["rv_trajectory"],
        result["unpatched"]["rv_trajectory"],
    )
    metrics = measurer.compute_recovery_metrics(result)
    assert metrics["rv_recovery"] == pytest.approx(last - first)
    natural = plain_last - plain_first
    assert metrics["rv_recovery_corrected"] == pytest.approx(last - first - natural)
    gained = result["attention_entropy"][1] - result["unpatched"]["attention_entropy"][1]
    assert metrics["attention_entropy_increase"] == pytest.approx(gained)
    moved = result["residual_norms"][1] / result["unpatched"]["residual_norms"][1] - 1
    assert metrics["residual_stability"] == pytest.approx(abs(moved))


def test_another_patch_layer_can_be_chosen(measurer: HomeostasisMeasurer):
    result = measurer.measure_compensation(PLAIN.format(10), RECURSIVE.format(10), patch_layer=4)
    assert result["layers"] == [4, 5, 6, 7] and len(result["rv_trajectory"]) == 4


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        (1, "patch_layer=1 must lie behind the early layer 1 and before the last layer 7"),
        (7, "patch_layer=7 must lie behind the early layer 1 and before the last layer 7"),
        (8, r"layers \[8\] do not exist: this model has layers 0 to 7"),
        (-1, r"layers \[-1\] do not exist"),
    ],
)
def test_a_layer_that_cannot_be_patched_is_refused(
    layer: int, sentence: str, measurer: HomeostasisMeasurer
):
    with pytest.raises(ValueError, match=sentence):
        measurer.measure_compensation(PLAIN, RECURSIVE, patch_layer=layer)


@pytest.mark.parametrize("short", ["", "too short"])
def test_a_text_shorter_than_the_window_is_refused_by_its_name(
    short: str, measurer: HomeostasisMeasurer
):
    with pytest.raises(ValueError, match=f"base_text has {len(short)} tokens, the window is 16"):
        measurer.measure_compensation(short, RECURSIVE)
    with pytest.raises(ValueError, match=f"rec_text has {len(short)} tokens, the window is 16"):
        measurer.measure_compensation(PLAIN, short)


def test_all_pairs_together_give_the_tables_of_a_run(results, whole: Path):
    tables = analyze_mechanisms(results, resamples=200)
    assert tables.keys() == {"hypotheses", "recovery", "mechanisms", "timing"}
    for name, table in tables.items():
        assert list(table.columns) == list(frame(whole, name).columns), name
    assert set(tables["recovery"]["n"]) == {5}
    assert list(tables["hypotheses"]["hypothesis"]) == [
        "mlp_compensation",
        "attention_compensation",
        "norm_compensation",
        "residual_balancing",
    ]


def test_the_same_pairs_give_the_verdicts_of_the_command_line(
    whole: Path, bank: Path, measurer: HomeostasisMeasurer
):
    texts = {row["id"]: row["text"] for row in map(json.loads, bank.read_text().splitlines())}
    pairs = frame(whole, "pairs").sort_values("pair_index").to_dict("records")
    measured = [
        measurer.measure_compensation(texts[pair["target_id"]], texts[pair["donor_id"]])
        for pair in pairs
    ]
    ours, theirs = (
        table.query("readout == 'r_v' and condition == 'patched' and layer == 7").set_index(
            "quantity"
        )
        for table in (
            analyze_mechanisms(measured, resamples=200)["recovery"],
            frame(whole, "recovery"),
        )
    )
    for quantity in ("recovery", "excess_recovery", "mean_absolute_change"):
        for bound in ("estimate", "low", "high"):
            expected = theirs.loc[quantity, bound]
            assert ours.loc[quantity, bound] == pytest.approx(expected, abs=1e-4)


def test_two_pairs_are_too_few_for_an_interval_and_the_tables_say_so(results):
    tables = analyze_mechanisms(results[:2], resamples=200)
    recovery = tables["recovery"].query("quantity == 'recovery'")
    assert "ok" not in set(recovery["status"]) and all(map(len, recovery["reason"]))
    assert set(tables["hypotheses"]["verdict"]) == {"undecided"}


def test_no_results_and_repeated_texts_are_refused(results):
    with pytest.raises(ValueError, match="no results were given"):
        analyze_mechanisms([])
    with pytest.raises(ValueError, match="2 texts are used twice, e.g. 'Notice how"):
        analyze_mechanisms([*results, results[0]])


def test_results_of_different_patch_layers_are_not_mixed(results, measurer: HomeostasisMeasurer):
    other = measurer.measure_compensation(PLAIN.format(20), RECURSIVE.format(20), patch_layer=5)
    with pytest.raises(ValueError, match="different patch layers"):
        analyze_mechanisms([*results, other])


def test_a_name_and_a_hugging_face_model_are_accepted_too(checkpoint: Path, results):
    from transformers import AutoModelForCausalLM

    plain = AutoModelForCausalLM.from_pretrained(checkpoint)
    for own in (HomeostasisMeasurer(str(checkpoint)), HomeostasisMeasurer(plain, tokenizer())):
        result = own.measure_compensation(PLAIN.format(10), RECURSIVE.format(10))
        assert result["rv_trajectory"] == pytest.approx(results[0]["rv_trajectory"], rel=1e-6)


def test_a_hugging_face_model_needs_its_tokenizer():
    with pytest.raises(ValueError, match="needs its tokenizer: pass tokenizer="):
        HomeostasisMeasurer(copy.deepcopy(tiny("mistral").plain))


def test_components_that_a_family_does_not_let_be_written_are_left_out():
    result = HomeostasisMeasurer(tiny("opt").bridge).measure_compensation(PLAIN, RECURSIVE, 3)
    assert "freeze_pattern" not in result["record"]["metrics"]["pr_value"]
    assert "freeze_mlp" in result["record"]["metrics"]["pr_value"]
