"""What is measured of a model, against plain Hugging Face and full passes of single texts."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from plain import WINDOW, Checkpoint, Ids, values_of, values_shown
from tiny import tiny
from torch import Tensor

from analyses.cross_architecture.measure import CONDITIONS, SAID, PairIds, patches, sweep
from tl_geometry import sites
from tl_geometry.capture import last_logits, observed
from tl_geometry.geometry import next_token_kl, participation_ratio
from tl_geometry.interventions import replaced
from tl_geometry.prompts import Prompt, load_bank
from tl_geometry.tokens import pad

EARLY, FIXED = 5, 27
FAMILIES = ("mistral", "gemma2", "phi3", "falcon", "opt")
"""Grouped heads, post-norms, fused QKV, one value head and parallel blocks, learned positions."""


@pytest.fixture(scope="module")
def mistral() -> Checkpoint:
    return Checkpoint("pocket-mistral")


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    bank = load_bank("pocket")
    return [p for kind in ("recursive", "plain") for p in bank if p.kind == kind][::24]


def by_svd(values: Tensor) -> float:
    energy = torch.linalg.svdvals(values[-WINDOW:].double()).square()
    return float(energy.sum() ** 2 / energy.square().sum())


@pytest.mark.parametrize("name", ["pocket-mistral", "pocket-gemma2", "pocket-phi3"])
def test_r_v_is_that_of_plain_modules_and_singular_values(name: str, prompts: list[Prompt]) -> None:
    from tl_geometry.models import load_model

    checkpoint, model = Checkpoint(name), load_model(name)
    for ids in checkpoint.ids(prompts[::9]):
        pr = np.array([by_svd(v) for _, v in sorted(values_of(checkpoint.plain, ids).items())])
        (row,) = sweep(model, [ids], WINDOW)
        found = np.array(row["pr_value"])
        assert found / found[EARLY] == pytest.approx(pr / pr[EARLY], rel=1e-6)


def test_what_else_the_sweep_reads_is_hugging_face_s_own(
    pocket: Any, mistral: Checkpoint, prompts: list[Prompt]
) -> None:
    texts = mistral.ids(prompts[::4])
    assert len({len(ids) for ids in texts}) > 1
    for ids, row in zip(texts, sweep(pocket, texts, WINDOW), strict=True):
        told = torch.tensor([ids])
        with torch.no_grad():
            out = mistral.plain(told, labels=told, output_hidden_states=True)
        assert row["nll"] == pytest.approx(out.loss.item(), rel=1e-5)
        # The last of `hidden_states` lies behind the final norm, so the one before is compared.
        assert row["residual_pr"][-2] == pytest.approx(by_svd(out.hidden_states[-2][0]), rel=1e-5)
        assert row["tokens"] == len(ids) - 1  # without the beginning-of-sequence token
        assert row["distinct_tokens"] == len(set(ids[-WINDOW:])) / WINDOW
        (alone,) = sweep(pocket, [ids], WINDOW)
        for metric in ("pr_value", "pr_value_centered", "pr_value_row_normalized", "residual_pr"):
            assert row[metric] == pytest.approx(alone[metric], rel=1e-5), metric


# Patches.


def random_pairs(n: int = 3) -> list[PairIds]:
    generator = torch.Generator().manual_seed(7)

    def text(length: int) -> Ids:
        return (0, *torch.randint(3, 259, (length,), generator=generator).tolist())

    return [
        PairIds(
            text(20 + 3 * i), text(27 - 2 * i), text(24), text(27 - i), (text(3)[1:], (5, 6, 7))
        )
        for i in range(n)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_patch_is_the_same_as_one_text_and_one_full_pass(family: str) -> None:
    """The independent route: no rows that share a batch, no padding, no resuming."""
    model, patch, wrong = tiny(family).bridge, 2, 1
    pairs = random_pairs()
    for pair, record in zip(pairs, patches(model, pairs, patch, WINDOW, wrong=wrong), strict=True):
        expected = {
            "unpatched": full_pass(model, pair.target),
            "unpatched_donor": full_pass(model, pair.donor),
            "patched": full_pass(model, pair.target, pair.donor, patch),
            "other_plain": full_pass(model, pair.target, pair.other, patch),
            "shuffled_words": full_pass(model, pair.target, pair.shuffled, patch),
            "reverse": full_pass(model, pair.donor, pair.target, patch),
            "wrong_layer": full_pass(model, pair.target, pair.donor, wrong),
        }
        for condition, full in expected.items():
            for metric in ("pr_value", "residual_pr"):
                got = record[metric][condition]
                assert got == pytest.approx(full[metric][patch:], rel=1e-5), (condition, metric)
            twin = "unpatched_donor" if condition == "reverse" else "unpatched"
            kl = next_token_kl(expected[twin]["logits"], full["logits"]).item()
            if condition != "unpatched_donor":
                found = record["next_token_kl"][condition]
                assert found == pytest.approx([kl], rel=1e-3, abs=1e-6), condition


def full_pass(model: Any, text: Ids, donor: Ids | None = None, layer: int = 0) -> dict[str, Any]:
    n, batch = model.cfg.n_layers, pad(model, [text])
    got: dict[str, list[float]] = {"pr_value": [], "residual_pr": []}

    def reader(metric: str) -> Callable[[Tensor], None]:
        return lambda x: got[metric].append(
            participation_ratio(x.reshape(1, len(text), -1)[:, -WINDOW:]).item()
        )

    readers = {sites.value(k): reader("pr_value") for k in range(n)}
    readers |= {sites.resid_post(k): reader("residual_pr") for k in range(n)}
    values: list[Tensor] = []
    if donor is not None:
        with observed(model, {sites.value(layer): lambda v: values.append(v[:, -WINDOW:].clone())}):
            last_logits(model, pad(model, [donor]))
        with replaced(model, sites.value(layer), values[0]), observed(model, readers):
            return {**got, "logits": last_logits(model, batch)[0]}
    with observed(model, readers):
        return {**got, "logits": last_logits(model, batch)[0]}


@pytest.mark.parametrize("family", FAMILIES)
def test_own_values_change_nothing_and_the_site_holds_the_donor_s_pr(family: str) -> None:
    for record in patches(tiny(family).bridge, random_pairs(), 3, WINDOW, wrong=2):
        pr, donor = record["pr_value"], record["pr_value"]["unpatched_donor"][0]
        for metric in ("pr_value", "residual_pr"):
            assert record[metric]["self"] == record[metric]["unpatched"]
        assert record["next_token_kl"]["self"] == [0.0]
        assert pr["patched"][0] == donor and pr["reverse"][0] == pr["unpatched"][0]
        for same in ("sign", "shuffled_rows"):
            assert pr[same][0] == pytest.approx(donor, rel=1e-12)
            assert record["residual_pr"][same] != record["residual_pr"]["patched"]


def test_only_what_is_asked_for_is_measured() -> None:
    model, pairs = tiny("mistral").bridge, random_pairs(2)
    (record, _) = patches(model, pairs, 3, WINDOW, conditions=("patched",), said=False)
    assert record.keys() == {"pr_value", "residual_pr", "next_token_kl"}
    assert record["pr_value"].keys() == {"patched", "unpatched", "unpatched_donor"}
    (record, _) = patches(model, pairs, 3, WINDOW)  # no layer is wrong
    assert record["pr_value"].keys() == {*CONDITIONS, *record["pr_value"]} - {"wrong_layer"}
    assert record["continuation"].keys() == {*SAID, "unpatched", "unpatched_donor"}


def test_continuations_are_scored_as_plain_hugging_face_does(
    pocket: Any, mistral: Checkpoint, prompts: list[Prompt]
) -> None:
    donor, other, *_, plain, target = mistral.ids([*prompts[:2], *prompts[-2:]])
    # Both continuations from texts of their own, as long as each other.
    said = (other[1:9], plain[1:9])
    pair = PairIds(target, donor, plain, (*donor[:1], *donor[:0:-1]), said)
    (record,) = patches(pocket, [pair], FIXED, WINDOW, wrong=21)
    rows = {
        "unpatched": (target, None),
        "unpatched_donor": (donor, None),
        "patched": (target, donor),
        "other_plain": (target, plain),
        "shuffled_words": (target, pair.shuffled),
        "reverse": (donor, target),
    }
    assert record["continuation"].keys() == rows.keys()
    for condition, (text, source) in rows.items():
        scores = [mean_log_prob(mistral.plain, text, source, how) for how in said]
        expected = scores[0] - scores[1]
        assert record["continuation"][condition] == pytest.approx(expected, abs=1e-5), condition


@torch.no_grad()
def mean_log_prob(plain: Any, text: Ids, source: Ids | None, said: Ids) -> float:
    """Of the continuation, with the source's values in the text's last tokens, not behind them."""
    patch = None
    if source is not None:
        patch = (FIXED, len(said), values_of(plain, source)[FIXED][-WINDOW:])
    with values_shown(plain, patch):
        logits = plain(torch.tensor([(*text, *said)])).logits[0, len(text) - 1 : -1]
    return logits.double().log_softmax(-1)[range(len(said)), said].mean().item()
