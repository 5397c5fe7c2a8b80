"""Direct preference optimisation: the loss by hand, and what training does to two answers."""

import copy
import math
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from test_train import SMALL, _model, _tokenizer

from tl_geometry.pocket import optimise, preference
from tl_geometry.pocket.batches import Row
from tl_geometry.pocket.corpus import preferences
from tl_geometry.pocket.recipes import PreferenceStage

STAGE = PreferenceStage(steps=12, rate=3e-3, pairs=8, warmup=2, imitation=0.0)


def _loss(chosen: float, rejected: float, before: tuple[float, float], beta: float) -> float:
    numbers = [torch.tensor([float(x)]) for x in (chosen, rejected, *before)]
    return float(preference.preference_loss(*numbers, beta=beta))


def test_the_loss_is_equation_seven() -> None:
    margin = (-5 + 7) - (-9 + 8)  # the preferred answer gained 2 nats, the rejected one lost 1
    by_hand = -math.log(1 / (1 + math.exp(-0.1 * margin)))
    assert _loss(-5, -9, (-7, -8), 0.1) == pytest.approx(by_hand, rel=1e-6)
    assert _loss(-5, -9, (-5, -9), 0.1) == pytest.approx(math.log(2), rel=1e-6)
    assert _loss(-50, -50, (-60, -60), 0.3) == pytest.approx(math.log(2), rel=1e-6)
    assert _loss(-5, -9, (-7, -8), 0.5) < _loss(-5, -9, (-7, -8), 0.1)


def test_an_answer_s_log_probability_is_the_sum_over_its_own_tokens() -> None:
    model: Any = _model()
    row = Row([5, 6, 7, 8], [False, False, True, True])
    longer = Row([5, 6, 7, 8, 9, 10], [False, False, True, True, True, True])
    got = preference.answer_log_probs(model, [row, longer])
    logits = model(torch.tensor([row.ids])).logits.log_softmax(-1)[0]
    by_hand = logits[1, 7] + logits[2, 8]
    assert got[0].item() == pytest.approx(by_hand.item(), abs=1e-4)
    assert got[1] < got[0]


def test_training_makes_preferred_answers_likelier_than_rejected_ones(tmp_path: Path) -> None:
    model: Any = _model()
    origin = copy.deepcopy(model)
    batches = preference.preference_batches(_tokenizer(), STAGE, seed=0)
    loss_of = preference.pair_loss(origin, STAGE)
    done = optimise.train(model, STAGE, batches, tmp_path / "preference.pt", loss_of)
    assert done.losses[0] == pytest.approx(math.log(2), abs=1e-4)
    pairs = preference.pairs_of(_tokenizer(), preferences("validation")[:24])
    rows = [row for side in zip(*pairs, strict=True) for row in side]
    with torch.no_grad():
        now, before = (preference.answer_log_probs(m, rows).chunk(2) for m in (model, origin))
    margin = (now[0] - before[0]) - (now[1] - before[1])
    assert float((margin > 0).float().mean()) > 0.8


def test_batches_are_reproducible_and_hold_the_train_split_only() -> None:
    def drawn() -> list[Any]:
        return list(islice(preference.preference_batches(_tokenizer(), STAGE, seed=3), 3))

    assert drawn() == drawn()
    # What is held out is what is asked: two inputs of one axiom may well share their answer.
    asked, held_out = ({p.prompt for p in preferences(s, seed=3000)} for s in ("train", "test"))
    seen = {
        _tokenizer().decode(chosen.ids, skip_special_tokens=True)
        for batch in drawn()
        for chosen, _ in batch
    }
    assert all(any(prompt in text for prompt in asked) for text in seen)
    assert not any(prompt in text for prompt in held_out for text in seen)


def test_the_prompt_is_the_same_for_both_answers_and_is_not_learned() -> None:
    for chosen, rejected in preference.pairs_of(_tokenizer(), preferences("test")[:20]):
        n, m = chosen.learned.index(True), rejected.learned.index(True)
        assert n == m and chosen.ids[:n] == rejected.ids[:m]
        assert chosen.ids != rejected.ids and SMALL.family == "mistral"
