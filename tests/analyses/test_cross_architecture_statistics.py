"""Critical layers, effects, transfer, agreement and the verdict, where the truth is made."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_records import FACTS, N, made_pairs, made_record, made_texts
from scipy import stats

from analyses.cross_architecture import comparison, concordance, critical, effects, gaps, summaries
from analyses.cross_architecture.config import Config
from analyses.cross_architecture.plan import depths
from analyses.cross_architecture.verdict import verdict
from figures.rows import records, select
from tl_geometry.bootstrap import BootstrapResult

WHERE = depths(16, Config())  # early 2, fixed 13, patches searched 8 to 14, seed's range 10 to 15
ARGS = (300, 0)
DRAWS = summaries.Draws(
    {"recursive": [f"d{i}" for i in range(N)], "plain": [f"t{i}" for i in range(N)]}, *ARGS
)


def pick(table: pd.DataFrame, **where: Any) -> dict[str, Any]:
    found = records(select(table, **where))
    assert len(found) == 1, found
    return found[0]


# The critical layer.


def test_gap_drop_and_patch_find_each_its_own_layer() -> None:
    # Grows at 6, is largest at 9, and closes at 12 by more than it ever grew.
    texts = made_texts({6: -0.5, 7: -0.5, 8: -0.5, 9: -0.7, 10: -0.6, 11: -0.6}, noise=0.05)
    assert critical.by_gap(texts, WHERE) == {"gap": 9, "drop": 6}
    noise = np.random.default_rng(1).normal(0, 0.1, N)
    sizes = {8: 0.1, 11: -0.4, 12: 0.2}
    search = {n: made_pairs({"patched": s + noise}, layer=n) for n, s in sizes.items()}
    assert critical.by_patch(search) == 11
    table, shares = gaps.critical_table(made_record(texts, search=search), *ARGS)
    for definition, layer in {"gap": 9, "drop": 6, "patch": 11}.items():
        row = pick(table, definition=definition, range="all")
        assert row["layer"] == layer and row["depth_percent"] == 100 * layer / 16
        assert row["depth_low"] <= row["depth_percent"] <= row["depth_high"]
        found = pick(shares, definition=definition, range="all", layer=layer)
        assert found["share"] == row["share_of_resamples"] > 0.5
    assert pick(table, definition="gap", range="seed")["layer"] in (10, 11)


def test_a_search_by_patches_uses_the_pairs_that_every_layer_has() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, N)
    search = {n: made_pairs({"patched": s + noise}, layer=n) for n, s in ((8, 0.1), (9, 0.5))}
    search[8][0]["status"] = "missing"
    layers, values = critical.search_table(search)
    assert layers == [8, 9] and values.shape == (N - 1, 2)
    assert values.mean(0) == pytest.approx(np.array([0.1, 0.5]) + noise[1:].mean())


def test_one_half_chooses_and_the_other_measures() -> None:
    chosen = made_record(made_texts({7: -0.5}, half="choosing"))
    row = pick(gaps.critical_table(chosen, *ARGS)[0], definition="gap", range="all")
    assert row["layer"] == 7
    assert row["low"] < 0 < row["high"]  # the other half knows nothing of it
    assert pick(gaps.layer_table(chosen, *ARGS), layer=7)["p_all_layers"] > 0.05

    other = made_record(made_texts({11: -0.5}, half="measuring"))
    row = pick(gaps.critical_table(other, *ARGS)[0], definition="gap", range="all")
    assert row["layer"] != 11
    layers = gaps.layer_table(other, *ARGS)
    found = pick(layers, layer=11)
    assert found["high"] < -2 and found["p_all_layers"] == found["p_seed_range"] == 1 / 301
    assert found["gap_log_r_v"] == pytest.approx(
        found["log_pr_recursive"]
        - found["log_pr_plain"]
        - (pick(layers, layer=2)["log_pr_recursive"] - pick(layers, layer=2)["log_pr_plain"])
    )
    early = pick(layers, layer=2)
    assert early["definitional"] and early["status"] == "missing" and early["gap_log_r_v"] == 0


# Patches.


def test_changes_are_taken_from_the_row_s_own_twin() -> None:
    rows = made_pairs({"patched": -0.3, "other_plain": -0.1, "reverse": 0.2, "self": 0.0})
    for condition, expected in {
        "patched": -0.3,
        "other_plain": -0.1,
        effects.EXCESS: -0.2,
        "reverse": 0.2,
        "self": 0.0,
    }.items():
        for outcome in ("log_r_v", "residual_log_pr"):
            assert effects.change(rows, outcome, condition) == pytest.approx([expected] * N)
    scores = {"unpatched": 1.0, "unpatched_donor": 4.0, "patched": 1.5, "reverse": 3.0}
    rows = [row | {"continuation": scores} for row in rows]
    assert effects.change(rows, "continuation", "patched")[0] == 0.5
    assert effects.change(rows, "continuation", "reverse")[0] == -1.0
    assert effects.natural_gap(rows, "continuation", {})[0] == 3.0


def test_effects_are_marked_by_what_they_can_show() -> None:
    size = np.random.default_rng(2).normal(-0.3, 0.1, N)
    some = {"patched": size, "other_plain": 0.1 * size, "wrong_layer": size, "self": 0.0}
    record = made_record(made_texts({}), {13: made_pairs(some)})
    table = effects.effect_table(record, *ARGS)
    site = {"outcome": "log_r_v", "layer": 13}
    assert pick(table, condition="patched", **site)["definitional"]
    assert not pick(table, condition="wrong_layer", **site)["definitional"]
    primary = table[table["primary"]]
    assert set(primary["layer"]) == {15} and set(primary["outcome"]) == {
        "log_r_v",
        "residual_log_pr",
    }
    differences = {effects.EXCESS, "patched − wrong_layer"}
    assert set(primary["condition"]) == {"patched", "other_plain", "wrong_layer", *differences}
    assert table["p"].notna().equals(table["primary"])
    row = pick(table, condition="patched", outcome="log_r_v", layer=15)
    assert row["estimate"] == pytest.approx(size.mean())
    assert row["d_z_estimate"] == pytest.approx(size.mean() / size.std(ddof=1))
    assert row["roles"] == "gap, drop, fixed"


def test_software_checks_report_the_worst_pair() -> None:
    rows = made_pairs({"patched": 0.1, "self": 0.0, "sign": 0.1, "shuffled_rows": 0.1})
    record = made_record(made_texts({}), {13: rows})
    assert effects.software_checks(record) == dict.fromkeys(
        ("self", "shuffled_rows", "sign", "closed_form"), 0.0
    )
    rows[3]["pr_value"]["self"][2] += 0.25
    rows[4]["pr_value"]["patched"][0] += 0.5
    worst = effects.software_checks(record)
    assert worst == {"self": 0.25, "shuffled_rows": 0.5, "sign": 0.5, "closed_form": 0.5}


def test_transfer_is_a_ratio_of_means_where_there_is_a_gap_to_transfer() -> None:
    rng = np.random.default_rng(3)
    texts, gap = made_texts({}), rng.normal(1.0, 0.2, N)
    change = 0.25 * gap + rng.normal(0, 0.05, N)
    early = effects.early_log_pr(made_record(texts))
    natural = gap - np.array([early[f"d{i}"] - early[f"t{i}"] for i in range(N)])
    record = made_record(texts, {13: made_pairs({"patched": change}, gap=gap)})
    table = effects.transfer_table(record)
    row = pick(table, outcome="log_r_v", layer=15)
    assert row["natural_gap"] == pytest.approx(natural.mean())
    t_test = stats.ttest_1samp(natural, 0).confidence_interval()
    assert (row["natural_gap_low"], row["natural_gap_high"]) == pytest.approx(tuple(t_test))
    assert row["estimate"] == pytest.approx(change.mean() / natural.mean())
    assert row["low"] < row["estimate"] < row["high"]
    # Within the residual stream there is no early layer to divide by.
    row = pick(table, outcome="residual_log_pr", layer=15)
    assert row["estimate"] == pytest.approx(change.mean() / gap.mean())
    assert pick(table, outcome="log_r_v", layer=13)["definitional"]

    nothing = rng.normal(0.0, 1.0, N)
    record = made_record(texts, {13: made_pairs({"patched": change}, gap=nothing)})
    row = pick(effects.transfer_table(record), outcome="log_r_v", layer=15)
    assert row["status"] == "missing" and np.isnan(row["estimate"]) and "holds 0" in row["reason"]
    assert row["natural_gap_low"] < 0 < row["natural_gap_high"]


# All models together.


def models(layers: list[int], n_layers: list[int]) -> list[Any]:
    return [
        made_record(made_texts({layer: -0.6}, n_layers=n, seed=k), name=f"m{k}")
        for k, (layer, n) in enumerate(zip(layers, n_layers, strict=True))
    ]


def test_models_with_one_depth_agree_and_models_with_any_depth_do_not() -> None:
    agree = concordance.concordance_table(models([8, 16, 12, 8], [16, 32, 24, 16]), *ARGS)
    row = pick(agree, definition="gap")
    assert row["mean_distance"] == 0 and row["median_depth_percent"] == 50
    assert row["p_nearer_than_chance"] < 0.02 and row["low"] == row["high"] == 0
    apart = pick(
        concordance.concordance_table(models([4, 30, 14, 9], [16, 32, 24, 16]), *ARGS),
        definition="gap",
    )
    depth = [25, 93.75, 100 * 14 / 24, 56.25]
    by_hand = np.mean([abs(a - b) for k, a in enumerate(depth) for b in depth[:k]])
    assert apart["mean_distance"] == pytest.approx(by_hand)
    assert apart["p_nearer_than_chance"] > 0.2


def test_every_model_s_rows_follow_the_same_prompts() -> None:
    whole = DRAWS.weights("plain", ["t0", "t1", "t2"])
    assert (DRAWS.weights("plain", ["t2", "t0"]) == whole[:, [2, 0]]).all()
    assert not (DRAWS.weights("recursive", ["d0", "d1", "d2"]) == whole).all()
    assert DRAWS.weights("plain", DRAWS.prompts["plain"]).sum(axis=1) == pytest.approx(N)


def test_the_joint_mean_knows_that_models_read_the_same_prompts() -> None:
    half = np.random.default_rng(4).normal(size=250)
    draws = np.concatenate([half, -half])  # without bias, so that nothing is corrected
    same, mirrored = (
        summaries.joint_mean([BootstrapResult(0.5, 0.5 + d, 0.0, 0.0, 40) for d in (draws, other)])
        for other in (draws, -draws)
    )
    assert (same.low, same.high) == pytest.approx(np.quantile(0.5 + draws, [0.025, 0.975]))
    assert mirrored.estimate == pytest.approx(0.5) and "no spread" in mirrored.reason


def test_a_summary_leaves_out_the_model_without_the_effect() -> None:
    rows = made_pairs({"patched": np.linspace(-1, 0, N), "other_plain": 0.0})
    three = [made_record(made_texts({13: -0.5}), {13: rows}, name=name) for name in ("a", "b")]
    still = {13: made_pairs({"patched": 0.0, "other_plain": 0.0})}
    three.append(made_record(made_texts({}), still, name="none"))
    summary, inputs = summaries.meta_tables(three, DRAWS)
    patch = "patch at the fixed depth, last layer"
    assert pick(inputs, effect=patch, model="none")["status"] == "missing"
    assert pick(summary, effect=patch, quantity="mean", without="")["models"] == 2
    # Two models that are one and the same: the joint interval is no narrower than each one's own.
    joint = pick(summary, effect=patch, quantity="mean of these models")
    assert joint["estimate"] == pick(inputs, effect=patch, model="a")["estimate"]
    own = summaries.effect_of(three[0], patch, DRAWS).ordered
    below = stats.norm.ppf((own < joint["estimate"]).mean())
    ends = stats.norm.cdf(2 * below + stats.norm.ppf([0.025, 0.975]))
    assert (joint["low"], joint["high"]) == pytest.approx(np.quantile(own, ends), rel=1e-3)
    assert joint["correlation"] == pytest.approx(1)
    gap = summary[summary["effect"] == "gap at the fixed depth"]
    assert set(gap["without"]) == {"", "a", "b", "none"}


def compared(**columns: list[Any]) -> pd.DataFrame:
    """Models in which all is clear, on the side of g, except where a column says otherwise."""
    k = len(columns["g"])
    given = {"model": [f"m{i}" for i in range(k)], "status": ["ok"] * k, "valid_pairs": [50] * k}
    given |= {"beyond_untrained_low": [0.1] * k, "beyond_untrained_high": [0.7] * k}
    for name in ("g", "late_g", "excess_d_z"):
        given |= {
            f"{name}_low": [np.sign(g) - 0.3 for g in columns["g"]],
            f"{name}_high": [np.sign(g) + 0.3 for g in columns["g"]],
        }
    depth = columns.get("depth_percent", [84.0] * k)
    ends = {"depth_percent": depth, "depth_low": depth, "depth_high": depth}
    return pd.DataFrame(given | ends | columns)


LOWER, OPEN, HIGHER = (-1.3, -0.7), (-1.3, 0.3), (0.7, 1.3)


def with_one(leg: str, ends: tuple[float, float], models: int = 1, k: int = 5) -> pd.DataFrame:
    """Universal but for `models` models, in which one leg has these ends."""
    table = compared(g=[-1.0] * k)
    table.loc[: models - 1, [f"{leg}_low", f"{leg}_high"]] = ends
    return table


@pytest.mark.parametrize(
    ("answer", "table"),
    [
        ("undecided", compared(g=[-1.0] * 4)),
        ("undecided", compared(g=[-1.0] * 5, status=["ok"] * 4 + ["failed"])),
        ("universal", compared(g=[-1.0] * 5)),
        ("universal", compared(g=[1.0] * 5, depth_percent=[74.0, 84.0, 84.0, 90.0, 94.0])),
        # What is open in one model is not excluded in it: not universal, and not "not".
        *[("undecided", with_one(leg, OPEN)) for leg in ("g", "late_g", "excess_d_z")],
        ("undecided", with_one("beyond_untrained", OPEN)),
        ("undecided", with_one("beyond_untrained", LOWER)),
        ("undecided", compared(g=[-1.0] * 5, valid_pairs=[50] * 4 + [19])),
        ("undecided", with_one("g", (np.nan, np.nan))),
        ("undecided", with_one("depth", (20.0, 95.0))),
        ("undecided", with_one("g", OPEN, models=5)),
        ("undecided", with_one("depth", (20.0, 95.0), models=5)),
        # The early layer alone makes no late gap, however clear R_V's is.
        ("undecided", with_one("late_g", HIGHER, models=5)),
        ("partly", with_one("g", HIGHER)),
        ("partly", with_one("excess_d_z", HIGHER)),
        ("partly", with_one("depth", (20.0, 73.9))),
        ("not", with_one("g", HIGHER, models=2, k=6).assign(depth_low=10.0, depth_high=20.0)),
        # Half have the gap and two contradict it, but where it is, is open.
        ("undecided", with_one("g", HIGHER, models=2).assign(depth_low=20.0, depth_high=95.0)),
        ("not", with_one("depth", (20.0, 73.9), models=3)),
        ("not", compared(g=[-1.0, -1.0, -1.0, 1.0, 1.0, 1.0])),
    ],
)
def test_the_verdict_follows_the_rule(answer: str, table: pd.DataFrame) -> None:
    found = verdict(table)
    assert found.verdict == answer, found.why
    assert found.models == (table["status"] == "ok").sum()


def test_the_verdict_names_direction_and_depth() -> None:
    found = verdict(compared(g=[1.0] * 4 + [-1.0], depth_percent=[25.0] * 5))
    assert (found.direction, found.median_depth_percent) == ("higher", 25.0)
    assert (found.gap_shown, found.gap_excluded, found.depth_shown) == (4, 1, 5)
    assert "R_V is higher" in found.why and "25 %" in found.why
    assert "does not hold in every model" in found.why
    assert "does not hold" not in verdict(compared(g=[-1.0] * 5)).why


def test_without_a_model_the_verdict_is_undecided() -> None:
    assert verdict(compared(g=[1.0], status=["failed"])).why == "no model was measured"


def test_groups_by_architecture_are_counted_by_hand() -> None:
    table = compared(
        g=[-1.0, -0.2, 0.4], depth_percent=[80.0, 60.0, 90.0], status=["ok"] * 2 + ["failed"]
    )
    table = table.assign(
        behind_d_z=[-0.5, 0.1, 9.0], **{k: v for k, v in FACTS.items() if k != "heads"}
    )
    table["attention"] = ["GQA", "MQA", "GQA"]
    found = comparison.pattern_table(table)
    row = pick(found, fact="attention", kind="GQA")
    assert row["names"] == "m0" and row["g_mean"] == row["g_lowest"] == row["g_highest"] == -1.0
    row = pick(found, fact="norm", kind="RMSNorm")
    assert (row["models"], row["names"], row["depth_percent_median"]) == (2, "m0, m1", 70)
    assert (row["g_mean"], row["g_lowest"], row["g_highest"]) == pytest.approx((-0.6, -1.0, -0.2))
    assert row["behind_d_z_mean"] == pytest.approx(-0.2)
