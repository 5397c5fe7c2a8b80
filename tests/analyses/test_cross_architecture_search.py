"""A layer that is known to be critical is found, and one among meaningless labels rarely."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from plain import WINDOW, Checkpoint
from scipy import stats

from analyses.cross_architecture import critical
from analyses.cross_architecture.config import Config
from analyses.cross_architecture.measure import sweep
from analyses.cross_architecture.plan import depths
from tl_geometry.layer_search import max_t
from tl_geometry.patching import Ids
from tl_geometry.prompts import Prompt, chooses, load_bank

Rows = list[Mapping[str, Any]]
N_KIND, PLANTED = 60, 20
WHERE = depths(32, Config())


@pytest.fixture(scope="module")
def mistral() -> Checkpoint:
    return Checkpoint("pocket-mistral")


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    bank = load_bank("pocket")
    sides = [[p for p in bank if p.kind == kind] for kind in ("recursive", "plain")]
    return [p for side in sides for p in side[:: len(side) // N_KIND][:N_KIND]]


def swept(model: Any, prompts: Sequence[Prompt], texts: Sequence[Ids]) -> Rows:
    parts = [sweep(model, texts[i : i + 30], WINDOW) for i in range(0, len(texts), 30)]
    return [
        {"kind": p.kind, "chooses": chooses(p), "status": "ok", **row}
        for p, row in zip(prompts, (row for part in parts for row in part), strict=True)
    ]


@pytest.fixture(scope="module")
def natural(pocket: Any, mistral: Checkpoint, prompts: list[Prompt]) -> Rows:
    return swept(pocket, prompts, mistral.ids(prompts))


@torch.no_grad()
def planted(checkpoint: Checkpoint, prompts: Sequence[Prompt], size: float = 10) -> Any:
    """A model in which one value direction at one layer swells with self-observing texts.

    The direction of the residual stream that tells the kinds apart there (ridge regression, on
    the choosing half) is written to a direction u of a value head, from which the output
    projection no longer reads: later layers see next to nothing of it.
    """
    from tl_geometry.models import wrap

    model = Checkpoint(checkpoint.name).plain
    attention, seen, kinds = model.model.layers[PLANTED].self_attn, [], []
    handle = attention.v_proj.register_forward_pre_hook(
        lambda _, args: seen.append(args[0][0, -WINDOW:].double())
    )
    some = [p for p in prompts if chooses(p)]
    for p, ids in zip(some, checkpoint.ids(some), strict=True):
        model(torch.tensor([ids]))
        kinds += [float(p.kind == "recursive")] * WINDOW
    handle.remove()
    x, y = torch.cat(seen), torch.tensor(kinds, dtype=torch.float64)
    told = torch.linalg.solve(x.mT @ x + 1e-3 * len(x) * torch.eye(x.shape[1]), x.mT @ y).float()
    u = torch.nn.functional.normalize(torch.arange(1.0, attention.head_dim + 1), dim=0)
    attention.v_proj.weight[: len(u)] += size * torch.outer(u, told)
    for query in range(attention.num_key_value_groups):  # the query heads of value head 0
        read = attention.o_proj.weight[:, query * len(u) : (query + 1) * len(u)]
        read -= torch.outer(read @ u, u)
    return wrap(model, checkpoint.tokenizer, source=checkpoint.source, device="cpu")


def search(rows: Rows, definition: str = "gap") -> dict[int, tuple[float, float]]:
    """Layer → (t, p of the search), on the half that did not choose."""
    half = critical.measuring(rows)
    values = critical.searched(half, WHERE, definition)
    found = max_t(values, critical.recursive(half), np.random.default_rng(0), 999)
    return dict(zip(critical.candidates(WHERE), zip(found.t, found.p, strict=True), strict=True))


def test_a_planted_layer_is_found_and_not_without_the_plant(
    mistral: Checkpoint, prompts: list[Prompt], natural: Rows
) -> None:
    rows = swept(planted(mistral, prompts), prompts, mistral.ids(prompts))
    assert critical.by_gap(rows, WHERE) == {"gap": PLANTED, "drop": PLANTED}
    for definition in ("gap", "drop"):
        t, p = search(rows, definition)[PLANTED]
        assert t < -4 and p == 1 / 1000  # values collapse: fewer directions
        assert search(natural, definition)[PLANTED][1] > 0.5
    assert PLANTED not in critical.by_gap(natural, WHERE).values()
    # Layers before the plant are untouched; those behind it, hardly.
    changed = critical.log_pr(rows) - critical.log_pr(natural)
    assert not changed[:, :PLANTED].any()
    assert np.abs(changed[:, PLANTED]).mean() > 10 * np.abs(changed[:, PLANTED + 1 :]).mean()


def test_a_search_among_meaningless_labels_is_wrong_in_one_of_twenty_cases(natural: Rows) -> None:
    values, kinds = critical.searched(natural, WHERE, "gap"), critical.recursive(natural)
    runs, wrong = 400, 0
    for k in range(runs):
        rng = np.random.default_rng([3, k])
        wrong += max_t(values, rng.permutation(kinds), rng, 199).p.min() <= 0.05
    low, high = stats.binom.ppf([0.0005, 0.9995], runs, 0.05)
    assert low <= wrong <= high
