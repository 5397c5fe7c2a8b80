"""Scores from 0 to 100: the arithmetic by hand, spellings against the plain route."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from numbered import numbered, whole_numbers

TURNS = [
    [{"role": "user", "content": "Rate the lamp from 0 to 100."}],
    [{"role": "system", "content": "Be fair."}, {"role": "user", "content": "Rate it, 0 to 100."}],
    [{"role": "user", "content": "How is the old lamp of the baker by the well? Say a number."}],
]


def test_the_value_is_the_mean_number_and_coverage_its_share() -> None:
    from tl_geometry.judges.number_scores import expected

    rating = expected({0: 0.1, 50: 0.2, 100: 0.1})
    assert rating.value == pytest.approx(50) and rating.coverage == pytest.approx(0.4)
    assert rating.sd == pytest.approx((2 * 0.25 * 50**2) ** 0.5) and rating.reason == ""
    skewed = expected({85: 0.75, 20: 0.25})
    assert skewed.value == pytest.approx(68.75) and skewed.coverage == 1


def test_too_little_on_numbers_is_missing_and_says_how_much() -> None:
    from tl_geometry.judges.number_scores import expected

    assert expected({40: 0.25}).value == 40
    rating = expected({40: 0.2, 60: 0.04})
    assert rating.value is None and rating.sd is None
    assert rating.coverage == pytest.approx(0.24) and "0.24" in rating.reason
    assert expected({40: 0.2}, least=0.1).value == 40
    assert expected({}, least=0).value is None


@pytest.mark.parametrize("odd", [{101: 0.5}, {-1: 0.5}, {5: -0.1}, {5: float("nan")}, {5: 1.1}])
def test_what_is_no_distribution_is_refused(odd: dict[int, float]) -> None:
    from tl_geometry.judges.number_scores import expected

    with pytest.raises(ValueError, match="no distribution"):
        expected(odd)


def test_a_rating_is_a_value_or_a_reason() -> None:
    from tl_geometry.judges.number_scores import Rating

    for value, reason in ((None, ""), (3.0, "late")):
        with pytest.raises(ValueError, match="either"):
            Rating(value, 0.5, None, reason)
    with pytest.raises(ValueError, match="between"):
        Rating(100.5, 1.0, 0.0)


def test_a_mean_hides_no_missing_rating() -> None:
    from tl_geometry.judges.number_scores import Rating, mean_of, missing

    some = [Rating(20.0, 1.0, 0.0), missing("APITimeoutError: late"), Rating(60.0, 1.0, 0.0)]
    refused = mean_of(some)
    assert refused.value is None and (refused.n, refused.n_missing) == (2, 1)
    assert "1 of 3" in refused.reason and "APITimeoutError" in refused.reason
    told = mean_of(some, allow_missing=True)
    assert (told.value, told.n, told.n_missing, told.reason) == (40, 2, 1, "")
    assert mean_of(some[::2]).value == 40
    assert mean_of([]).value is None and mean_of([], allow_missing=True).reason == "no rating"
    assert mean_of(some[1:2], allow_missing=True).value is None


@pytest.fixture(scope="module", params=["llama", "mistral", "qwen2", "gemma2", "falcon"])
def splitting(request: pytest.FixtureRequest) -> Any:
    """Embedded models, whose tokenizers all split two digits."""
    from tl_geometry.models import load_model

    return load_model(f"pocket-{request.param}")


def _whole_strings(model: Any, turns: Any, numbers: Any) -> list[float]:
    """p(n) by the plain route: the whole prompt with every number behind it, without a cache."""
    from tl_geometry.tokens import encode_chat

    (prompt,) = encode_chat(model, [turns])
    prompt = [*prompt, *numbers.lead]
    found = dict.fromkeys(range(101), 0.0)
    for length in {len(ids) for ids in numbers.spelled}:
        some = [n for n, ids in enumerate(numbers.spelled) if len(ids) == length]
        rows = torch.tensor([[*prompt, *numbers.spelled[n]] for n in some])
        with torch.inference_mode():
            log_probs = model(rows)[:, len(prompt) - 1 :].double().log_softmax(-1)
        for n, row in zip(some, log_probs, strict=True):
            ids = list(numbers.spelled[n])
            stop = row[-1].exp()[list(numbers.stops)].sum() if n <= 10 else 1.0
            found[n] = float(row[range(len(ids)), ids].sum().exp() * stop)
    return list(found.values())


def test_spelled_numbers_weigh_what_each_weighs_by_itself(splitting: Any) -> None:
    from tl_geometry.judges.local_numbers import LocalNumberJudge
    from tl_geometry.judges.number_scores import expected
    from tl_geometry.tokens import encode_chat, pad

    judge = LocalNumberJudge(model=splitting)
    numbers = judge.numbers
    assert not numbers.whole and len(numbers.beginnings) >= 12
    ids = [[*row, *numbers.lead] for row in encode_chat(splitting, TURNS)]
    together = numbers.probabilities(judge._log_probs(pad(splitting, ids)))
    alone = [_whole_strings(splitting, turns, numbers) for turns in TURNS[:2]]
    # Relative: on small models most numbers are rare.
    assert together[:2].flatten().tolist() == pytest.approx(sum(alone, []), rel=2e-3, abs=1e-12)
    assert together[:2].flatten().tolist() == pytest.approx(sum(alone, []), abs=1e-5)
    assert together.sum(-1).max() <= 1
    ratings = judge.ratings(TURNS)
    assert [r.coverage for r in ratings] == pytest.approx(together.sum(-1).tolist(), rel=1e-3)
    assert (ratings[0].value is None) == (expected(dict(enumerate(alone[0]))).value is None)


def test_the_space_that_a_template_writes_stands_before_every_number(pocket: Any) -> None:
    from tl_geometry.judges.number_tokens import number_tokens

    numbers, tokenizer = number_tokens(pocket), pocket.tokenizer
    texts = [tokenizer.decode([*numbers.lead, *ids]) for ids in numbers.spelled]
    assert texts == [f" {n}" for n in range(101)]
    ends = tokenizer.batch_decode([[i] for i in numbers.stops])
    assert tokenizer.eos_token in ends and "\n" in ends


def test_each_tokenizer_gets_its_own_reading() -> None:
    from tl_geometry.judges.number_tokens import number_tokens

    whole = number_tokens(numbered())
    assert whole.whole and whole.beginnings == ((),) and whole.paths == ()
    split = number_tokens(numbered(whole=False))
    one, nought = split.spelled[1][0], split.spelled[0][0]
    assert not split.whole and split.spelled[100] == (one, nought, nought)
    assert len(split.beginnings) == 12 and len(split.paths) == 10
    assert (one, nought) in split.paths and (one,) not in split.paths


def test_whole_numbers_are_read_off_the_next_token() -> None:
    from tl_geometry.judges.local_numbers import LocalNumberJudge
    from tl_geometry.tokens import encode_chat

    model, tokenizer = numbered(), whole_numbers()
    ratings = LocalNumberJudge(model=model, batch_size=2).ratings(TURNS)
    for turns, rating in zip(TURNS, ratings, strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor(encode_chat(model, [turns])))[0, -1].double()
        p = {n: float(logits.softmax(-1)[tokenizer.vocab[str(n)]]) for n in range(101)}
        assert rating.coverage == pytest.approx(sum(p.values()), rel=1e-4)
        mean = sum(n * q for n, q in p.items()) / sum(p.values())
        assert (rating.value is None) == (sum(p.values()) < 0.25)
        if rating.value is not None:
            assert rating.value == pytest.approx(mean, rel=1e-4)
    assert any(r.value is not None for r in ratings)


def test_digits_of_a_known_distribution_make_the_numbers_by_hand() -> None:
    from tl_geometry.judges.number_tokens import number_tokens

    numbers = number_tokens(numbered(whole=False))
    (seven,), (eight, five) = numbers.spelled[7], numbers.spelled[85]
    one, nought, _ = numbers.spelled[100]
    p = torch.zeros(1, len(numbers.beginnings), 300, dtype=torch.float64)
    at = numbers.beginnings.index
    p[0, 0, [seven, eight, one]] = torch.tensor([0.2, 0.5, 0.3]).double()
    p[0, at((seven,)), numbers.stops[0]] = 0.4
    p[0, at((eight,)), five], p[0, at((eight,)), numbers.stops[0]] = 0.8, 0.2
    p[0, at((one,)), nought] = 1.0
    p[0, at((one, nought)), nought], p[0, at((one, nought)), numbers.stops[0]] = 0.6, 0.4
    (found,) = numbers.probabilities(p.log()).tolist()
    by_hand = {7: 0.08, 8: 0.1, 10: 0.12, 85: 0.4, 100: 0.18}
    assert {n: q for n, q in enumerate(found) if q} == pytest.approx(by_hand)


def test_batches_change_nothing(pocket: Any) -> None:
    from tl_geometry.judges.local_numbers import LocalNumberJudge

    for model in (numbered(), pocket):
        one, three = (LocalNumberJudge(model=model, batch_size=n).ratings(TURNS) for n in (1, 3))
        assert [r.coverage for r in one] == pytest.approx([r.coverage for r in three], rel=1e-3)
        assert LocalNumberJudge(model=model).ratings([]) == []


def test_a_template_that_runs_into_the_number_is_refused() -> None:
    from tl_geometry.judges.number_tokens import number_tokens

    model = numbered()
    before = model.tokenizer.chat_template
    try:
        model.tokenizer.chat_template = before.replace("assistant>{%", "rating 1{%")
        with pytest.raises(ValueError, match="into one token"):
            number_tokens(model)
    finally:
        model.tokenizer.chat_template = before


def test_the_fingerprint_knows_the_checkpoint_or_asks_for_it(pocket: Any) -> None:
    from tl_geometry.judges.local_numbers import LocalNumberJudge, local_number_judge

    with pytest.raises(ValueError, match="local_number_judge"):
        LocalNumberJudge(model=pocket).identity()
    judge = local_number_judge("pocket-qwen2-s")
    told = judge.identity()
    assert told["model"] == "pocket-qwen2-s" and told["revision"].startswith("sha256:")
    assert told["read"] == "spellings" and told["dtype"] == "torch.float32"
    assert replace(judge, quantization="int8").identity() != told
