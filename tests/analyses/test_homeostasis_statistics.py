"""Recovery, contributions, timing and verdicts on records in which the truth is known."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analyses.homeostasis.conditions import CONDITIONS
from analyses.homeostasis.hypotheses import hypothesis_table
from analyses.homeostasis.mechanisms import associations, contributions
from analyses.homeostasis.recovery import recovery_table, timing_table
from analyses.homeostasis.resampler import Resampler, couples, other_target
from analyses.homeostasis.sample import Sample
from analyses.homeostasis.tables import layer_table, pair_table
from figures.rows import records, select

N, LAYERS, PATCH = 60, 4, 27
BASE = 10.0


def planted(remaining: dict[str, list[float]], *, n: int = N, seed: int = 0) -> Sample:
    """Pairs whose |Δ log PR| at each layer is a known share of that at the patch layer.

    The size of a pair's change varies, and each layer has its own small noise around the share.
    """
    rng = np.random.default_rng(seed)
    records = []
    for i in range(n):
        size = rng.uniform(0.2, 0.6) * rng.choice([-1, 1])
        noise = rng.normal(0, 0.006, LAYERS)
        noise[0] = 0
        metrics: dict[str, dict[str, list[float]]] = {}
        for name in ("pr_value", "residual_pr", "residual_norm", "ln1_scale", "ln2_scale"):
            rows = {"unpatched": [BASE] * LAYERS, "unpatched_donor": [BASE] * LAYERS}
            for c in CONDITIONS:
                share = np.array(remaining.get(c, [1.0] * LAYERS))
                wobble = 0 if c == "self" else noise * rng.uniform(0.5, 1.5)
                change = size * share + (0 if c == "self" else wobble)
                rows[c] = list(BASE * np.exp(0 * change if c == "self" else change))
            metrics[name] = rows
        for name in ("attention_entropy", "pr_mlp_in", "pr_mlp_out"):
            still = {c: [2.0 + 0.01 * rng.normal()] * LAYERS for c in CONDITIONS}
            still |= {"unpatched": [2.0] * LAYERS, "unpatched_donor": [2.0] * LAYERS}
            metrics[name] = still
        records.append(
            {
                "pair_index": i,
                "target_id": f"t{i}",
                "donor_id": f"d{i}",
                "metrics": metrics,
                "pr_early": {"target": 8.0, "donor": 9.0},
                "profile_pr_value": {"target": [8.0] * 31, "donor": [9.0] * 31},
            }
        )
    return Sample(records, PATCH, PATCH + LAYERS)


def resampler(n: int = N, resamples: int = 2000) -> Resampler:
    return Resampler(n, resamples, 0, couples(n))


def pick(table: pd.DataFrame, **where: Any) -> dict[str, Any]:
    found = records(select(table, **where))
    assert len(found) == 1, found
    return found[0]


STRONG = {
    "patched": [1, 0.6, 0.4, 0.3],
    "passive": [1, 0.9, 0.8, 0.8],
    "freeze_mlp": [1, 0.9, 0.8, 0.7],
    "freeze_pattern": [1, 0.6, 0.4, 0.31],
    "freeze_norm": [1, 0.6, 0.4, 0.12],
}


def test_planted_recovery_and_its_excess_over_dilution_are_found() -> None:
    table = recovery_table(planted(STRONG), resampler())
    last = {"readout": "r_v", "layer": 30, "quantity": "recovery"}
    for condition, remaining in STRONG.items():
        row = pick(table, condition=condition, **last)
        expected = 1 - remaining[-1]
        assert row["estimate"] == pytest.approx(expected, abs=0.03)
        assert row["low"] - 0.03 < expected < row["high"] + 0.03
    excess = pick(table, condition="patched", **last | {"quantity": "excess_recovery"})
    assert excess["estimate"] == pytest.approx(0.5, abs=0.03)
    assert 0.4 < excess["low"] < excess["high"] < 0.6


def test_recovery_is_the_ratio_of_sums_by_hand() -> None:
    sample = planted(STRONG, n=5)
    change = np.abs(sample.change("r_v", "patched"))
    expected = 1 - change[:, 2].sum() / change[:, 0].sum()
    table = recovery_table(sample, resampler(5, 200))
    row = pick(table, readout="r_v", condition="patched", layer=29, quantity="recovery")
    assert row["estimate"] == pytest.approx(expected)


def test_the_patch_layer_is_marked_as_true_by_construction() -> None:
    table = recovery_table(planted(STRONG), resampler())
    row = pick(table, readout="r_v", condition="patched", layer=PATCH, quantity="recovery")
    assert (row["definitional"], row["estimate"], row["status"]) == (True, 0, "by_construction")


def test_a_push_that_leaves_the_patch_layer_alone_has_no_recovery_but_a_reason() -> None:
    sample = planted(STRONG | {"random_residual": [0, 0.5, 0.5, 0.5]})
    table = recovery_table(sample, resampler())
    where = {"readout": "r_v", "condition": "random_residual", "layer": 30}
    row = pick(table, **where, quantity="recovery")
    assert row["status"] == "missing" and "do not change" in row["reason"]
    assert np.isnan(row["estimate"])
    assert pick(table, **where, quantity="mean_absolute_change")["estimate"] > 0.1


def test_the_plan_s_own_figure_is_given_with_and_without_the_natural_profile() -> None:
    sample = planted(STRONG)
    for record in sample.records:  # an unpatched text rises from 10 to 12 all by itself
        for rows in record["metrics"]["pr_value"].values():
            rows[-1] *= 1.2
    table = recovery_table(sample, resampler())
    where = {"condition": "self", "layer": 30}
    assert pick(table, **where, quantity="seed_recovery")["estimate"] == pytest.approx(2 / 8)
    corrected = pick(table, **where, quantity="seed_recovery_corrected")
    assert corrected["estimate"] == pytest.approx(0, abs=1e-12)


def test_planted_contributions_are_found_and_absent_ones_are_not() -> None:
    table = contributions(planted(STRONG), resampler())
    mlp = pick(table, component="mlp", side="frozen", layer=30)
    assert mlp["estimate"] == pytest.approx(0.4, abs=0.03) and mlp["p_adjusted"] < 0.01
    norm = pick(table, component="norm", side="frozen", layer=30)
    assert norm["estimate"] == pytest.approx(-0.18, abs=0.03) and norm["high"] < 0
    # Released: attention alone is held in freeze_attention, which is "the MLP released".
    released = pick(table, component="mlp", side="released", layer=30)
    assert released["estimate"] == pytest.approx(0.8 - 1.0, abs=0.03)


def test_without_a_planted_difference_contributions_are_rarely_significant() -> None:
    flat = {c: [1, 0.8, 0.6, 0.5] for c in CONDITIONS}
    tables = [contributions(planted(flat, seed=s), resampler(resamples=400)) for s in range(12)]
    p: Any = pd.concat(tables)["p"].dropna()
    # 192 correlated tests; 99.9 % of binomial(192, .05) lies below 20, doubled for correlation.
    assert len(p) >= 190 and (p < 0.05).sum() < 40


def test_timing_names_the_first_layer_with_half_the_recovery_and_may_say_none() -> None:
    table = timing_table(planted(STRONG), resampler())
    observed: Any = table[table["observed"].eq(True)].set_index("condition")["first_layer"]
    assert observed["patched"] == 29
    assert observed["passive"] == "none"
    totals: Any = table[table["status"] == "ok"].groupby("condition")["probability"].sum()
    assert totals.to_list() == pytest.approx([1] * len(totals))


def test_verdicts_follow_the_stated_rule() -> None:
    sample = planted(STRONG)
    for record in sample.records:  # the MLP really expands, attention really widens
        for metric in ("pr_mlp_out", "attention_entropy"):
            rows = record["metrics"][metric]
            record["metrics"][metric] = {
                c: [x * (1.3 if c == "patched" else 1) for x in v] for c, v in rows.items()
            }
    table = hypothesis_table(sample, resampler())
    verdicts = table.set_index("hypothesis")["verdict"].to_dict()
    assert verdicts == {
        "mlp_compensation": "supported",
        "attention_compensation": "equivalent to none",
        "norm_compensation": "opposite",
        "residual_balancing": "supported",
    }


def test_where_next_to_nothing_is_left_no_verdict_is_given() -> None:
    # The largest possible effect is smaller than the margin: "equivalent" would be forced.
    faded = {c: [1, 0.06, 0.06, 0.06] for c in CONDITIONS} | {"patched": [1, 0.01, 0.01, 0.01]}
    row = pick(hypothesis_table(planted(faded), resampler()), hypothesis="norm_compensation")
    assert row["equivalence_p_adjusted"] < 0.05
    assert row["verdict"] == "undecided" and "not testable here" in row["note"]
    assert row["left_without"] == pytest.approx(0.06, abs=0.01)


def test_more_scatter_is_not_the_opposite_of_recovery() -> None:
    # Live components add a random ± to Δ: Σ|Δ| grows, though nothing of the patch is kept.
    sample, rng = planted(STRONG | {"patched": [1, 0.9, 0.8, 0.7]}), np.random.default_rng(3)
    for record in sample.records:
        rows = record["metrics"]["pr_value"]
        own = np.log(rows["passive"][-1] / BASE)
        size = abs(np.log(rows["passive"][0] / BASE))
        rows["patched"][-1] = BASE * np.exp(own * 0.2 + size * rng.choice([-1.2, 1.2]))
    table = recovery_table(sample, resampler())
    last = {"readout": "r_v", "condition": "patched", "layer": 30}
    folded = pick(table, **last, quantity="excess_recovery")
    assert folded["high"] < -0.2
    assert pick(table, **last, quantity="signed_recovery")["high"] > 0.6
    row = pick(hypothesis_table(sample, resampler()), hypothesis="mlp_compensation")
    assert row["verdict"] == "undecided" and "the signed change does not" in row["note"]


def test_signed_recovery_is_one_minus_the_slope_by_hand() -> None:
    sample = planted(STRONG, n=6)
    change = sample.change("r_v", "patched")
    slope = (change[:, 2] * change[:, 0]).sum() / (change[:, 0] ** 2).sum()
    table = recovery_table(sample, resampler(6, 200))
    row = pick(table, readout="r_v", condition="patched", layer=29, quantity="signed_recovery")
    assert row["estimate"] == pytest.approx(1 - slope)


def test_only_the_donor_s_patch_is_compared_with_passive() -> None:
    table = recovery_table(planted(STRONG), resampler(resamples=200))
    compared = set(table[table["quantity"] == "excess_recovery"]["condition"])
    assert "patched" in compared and not compared & {"gaussian", "other_plain", "mean_only"}
    row = pick(table, readout="residual_pr", condition="gaussian", layer=30, quantity="recovery")
    assert row["status"] == "missing" and "no passive run of this patch" in row["reason"]


def test_support_needs_the_component_s_own_change_to_be_known() -> None:
    sample = planted(STRONG)
    sample.records[0]["metrics"]["pr_mlp_in"]["patched"] = [None] * LAYERS
    row = pick(hypothesis_table(sample, resampler()), hypothesis="mlp_compensation")
    assert row["estimate"] > 0.3 and row["verdict"] == "undecided"
    assert "its own change is unknown" in row["note"]


def test_a_missing_pair_does_not_marry_its_neighbours_anew() -> None:
    kept = couples(10)[1:]  # pair 0 is missing
    differences = np.arange(9.0)
    weights = Resampler(9, 500, 0, kept)._by_couple
    assert (weights[:, 1] == weights[:, 2]).all() and (weights[:, 0] != weights[:, 1]).any()
    assert len(differences) == weights.shape[1]


def test_the_norm_s_scale_is_not_tested_beside_the_norm_that_it_is() -> None:
    table = associations(planted(STRONG), 0, 200)
    rows = table[table["component"] == "ln1_scale"]
    assert set(rows["status"]) == {"ok"}  # here the two differ by their noise
    sample = planted(STRONG)
    for record in sample.records:
        norms = record["metrics"]["residual_norm"]
        record["metrics"]["ln1_scale"] = {c: [v[0], *v[:-1]] for c, v in norms.items()}
    rows = associations(sample, 0, 200).query("component == 'ln1_scale'")
    assert set(rows["status"]) == {"by_construction"} and all(rows["p"].isna())


def test_an_mlp_that_contributes_while_it_contracts_is_not_support() -> None:
    sample = planted(STRONG)
    for record in sample.records:
        rows = record["metrics"]["pr_mlp_out"]
        record["metrics"]["pr_mlp_out"] = {
            c: [x * (0.7 if c == "patched" else 1) for x in v] for c, v in rows.items()
        }
    row = pick(hypothesis_table(sample, resampler()), hypothesis="mlp_compensation")
    assert row["verdict"] == "opposite" and "the other way" in row["note"]


def test_a_handful_of_pairs_decides_nothing_however_clear_it_looks() -> None:
    row = pick(hypothesis_table(planted(STRONG, n=8), resampler(8)), hypothesis="norm_compensation")
    assert row["p_adjusted"] < 0.05
    assert row["verdict"] == "undecided" and "at least 20" in row["note"]


def test_a_planted_association_is_found_at_equal_patch_size() -> None:
    sample, rng = planted(STRONG), np.random.default_rng(5)
    for record in sample.records:
        z = rng.normal()
        rows = record["metrics"]
        rows["residual_norm"]["patched"] = [BASE * np.exp(0.05 * z)] * LAYERS
        values, base = rows["pr_value"]["patched"], np.log(rows["pr_value"]["patched"][0] / BASE)
        rows["pr_value"]["patched"] = [
            values[0],
            *(BASE * np.exp(base * s * np.exp(0.3 * z)) for s in (0.6, 0.4, 0.2)),
        ]
    table = associations(sample, 0, 500)
    found = pick(table, component="residual_norm", layer=30)
    assert found["spearman"] > 0.9 and found["p_adjusted"] < 0.05
    entropy = table[(table["component"] == "attention_entropy") & (table["status"] == "ok")]
    assert min(entropy["p_adjusted"]) > 0.01


def test_a_component_that_cannot_change_is_missing_with_its_reason() -> None:
    sample = planted(STRONG)
    for record in sample.records:
        rows = record["metrics"]["attention_entropy"]
        rows["patched"] = list(rows["unpatched"])
    row = pick(associations(sample, 0, 200), component="attention_entropy", layer=28)
    assert row["status"] == "missing" and "constant" in row["reason"] and np.isnan(row["p"])


def test_couples_swap_their_targets_and_an_odd_pair_joins_the_last() -> None:
    assert couples(5) == (0, 0, 1, 1, 1)
    assert [other_target(i, 5) for i in range(5)] == [1, 0, 3, 4, 2]
    assert [other_target(i, 2) for i in range(2)] == [1, 0]


def test_tables_hold_every_pair_and_layer_and_the_closed_form() -> None:
    sample = planted(STRONG, n=6)
    layers = layer_table(sample)
    assert len(layers) == 6 * LAYERS * (2 + len(CONDITIONS) + 2)
    assert not layers.duplicated(["pair_index", "condition", "layer"]).any()
    patched = layers[layers["condition"] == "patched"]
    np.testing.assert_allclose(patched["r_v"], patched["pr_value"] / 8.0)
    reverse = layers[layers["condition"] == "reverse"]
    np.testing.assert_allclose(reverse["r_v"], reverse["pr_value"] / 9.0)
    pairs = pair_table(sample)
    assert pairs["r_v_patched_closed_form_L27"].to_list() == pytest.approx([BASE / 8.0] * 6)
    change = np.log(pairs["r_v_patched_L30"] / pairs["r_v_target_L30"])
    np.testing.assert_allclose(pairs["delta_log_r_v_L30"], change)
