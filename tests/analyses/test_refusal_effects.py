"""What an edit does to a model: side effects, and answers."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from refusal_sizes import SIZES
from refusal_subject import nothing, source_of, subject_of
from tiny import tiny

from analyses.refusal.config import Families
from analyses.refusal.effects import side_effects, steered_with, without_direction
from analyses.refusal.plan import make_plan
from analyses.refusal.saying import Cell, Held, moved_to_harmless, say, say_edited
from analyses.refusal.sources import Source
from analyses.refusal.subject import Subject
from tl_geometry import sites
from tl_geometry.capture import observed
from tl_geometry.catalogue import resolve
from tl_geometry.interventions import edited
from tl_geometry.judges import is_refusal
from tl_geometry.tokens import pad

TEXTS = (0, 3, 1, 7, 2)
"""Which neutral texts, of several lengths."""


@pytest.fixture(scope="module")
def subject(pocket: Any) -> Subject:
    return subject_of(pocket)


@pytest.fixture(scope="module")
def source(subject: Subject) -> Source:
    return source_of(subject)


@pytest.fixture(scope="module")
def texts(subject: Subject) -> list[list[int]]:
    chosen = [subject.neutral[0][i] for i in TEXTS]
    assert len({len(text) for text in chosen}) > 2
    return chosen


# --- side effects ---------------------------------------------------------------------------------


def test_no_edit_has_no_side_effects(subject: Subject, texts: list[list[int]]) -> None:
    found = side_effects(subject, nothing, texts)
    assert found.kl == 0 and found.nll == found.nll_untouched > 0


def test_loss_is_that_of_hugging_face(subject: Subject, texts: list[list[int]]) -> None:
    from transformers import AutoModelForCausalLM

    folder = resolve("pocket-mistral").source
    plain: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    for text in texts[:2]:
        ids = torch.tensor([text])
        with torch.inference_mode():
            loss = plain(ids, labels=ids).loss.item()
        assert side_effects(subject, nothing, [text]).nll == pytest.approx(loss, abs=1e-5)


def test_kl_by_another_route(subject: Subject, source: Source, texts: list[list[int]]) -> None:
    from tl_geometry.twins import blocks_edited, twin_of

    held, (text, *_) = moved_to_harmless(source), texts
    twin: Any = twin_of(subject.model)
    with torch.inference_mode():
        before = twin(torch.tensor([text])).logits[0, :-1].double().softmax(-1)
        with blocks_edited(twin, held(pad(subject.model, [text]))[0]):
            after = twin(torch.tensor([text])).logits[0, :-1].double().softmax(-1)
    distributions = torch.distributions.Categorical
    kl = torch.distributions.kl_divergence(distributions(before), distributions(after)).mean()
    assert kl > 1e-3
    assert side_effects(subject, held, [text]).kl == pytest.approx(kl.item(), rel=1e-3)


@pytest.mark.parametrize("what", ["steered", "moved", "removed"])
def test_side_effects_do_not_depend_on_the_batch(
    what: str, subject: Subject, source: Source, texts: list[list[int]]
) -> None:
    held = {
        "steered": steered_with(subject, Cell(source, -0.05)),
        "moved": moved_to_harmless(source),
        "removed": without_direction(subject, source.direction.unit),
    }[what]
    together = side_effects(subject, held, texts)
    alone = [side_effects(subject, held, [text]) for text in texts]
    assert together.kl > 1e-4
    for name in ("kl", "nll", "nll_untouched"):
        mean = sum(getattr(one, name) for one in alone) / len(alone)
        # Every text counts the same, however long it is.
        assert getattr(together, name) == pytest.approx(mean, abs=1e-6), name


@pytest.mark.parametrize("family", ["gpt2", "opt", "gemma2", "falcon"])
def test_padding_does_not_reach_the_loss_in_other_families(family: str) -> None:
    config = Families(models=("pocket-mistral",), **SIZES)
    subject = Subject(tiny(family).bridge, config, make_plan(config).prompts)
    generator = torch.Generator().manual_seed(0)
    texts = [[0, *torch.randint(3, 259, (n,), generator=generator).tolist()] for n in (4, 19, 9)]
    together = side_effects(subject, nothing, texts)
    alone = [side_effects(subject, nothing, [text]).nll for text in texts]
    assert together.nll == pytest.approx(sum(alone) / 3, abs=1e-5)


def test_a_dose_of_0_changes_nothing(
    subject: Subject, source: Source, texts: list[list[int]]
) -> None:
    cell = Cell(source, 0.0)
    found = side_effects(subject, steered_with(subject, cell), texts)
    assert found.kl == 0 and found.nll == found.nll_untouched
    requests = subject.prompts.search[1][:4]
    steered, plain = say(subject, [cell, Cell(None)], requests, 12)
    assert steered["answers"] == plain["answers"]
    assert steered["dose_unit"] == 0 and "dose_unit" not in plain


# --- edits and answers ----------------------------------------------------------------------------


def test_moved_to_harmless_puts_every_real_token_where_harmless_prompts_are(
    subject: Subject, source: Source
) -> None:
    model, site = subject.model, sites.resid_post(source.layer)
    batch = pad(model, subject.ids(subject.prompts.search[0][:5]))
    assert (batch.mask == 0).any()
    edits, context = moved_to_harmless(source)(batch)
    assert list(edits) == [source.layer]
    seen: list[torch.Tensor] = []
    for held in ({}, {site: edits[source.layer]}):
        with context, edited(model, held), observed(model, {site: lambda x: seen.append(x)}):
            model(batch.ids, attention_mask=batch.mask, use_cache=False)
    before, after = (x.detach().double() for x in seen)
    unit = source.direction.unit.double()
    reference = source.direction.reference
    assert reference is not None
    real = batch.mask.bool()
    wanted = (reference.double() @ unit).expand(int(real.sum()))
    torch.testing.assert_close((after @ unit)[real], wanted, atol=1e-4, rtol=0)
    assert (before @ unit)[real].sub(wanted).abs().max() > 0.1

    def across(x: torch.Tensor) -> torch.Tensor:
        return x - (x @ unit)[..., None] * unit

    torch.testing.assert_close(across(after)[real], across(before)[real], atol=1e-4, rtol=0)
    assert torch.equal(after[~real], before[~real])


@pytest.mark.parametrize("what", ["moved", "removed"])
def test_answers_come_in_the_order_of_the_requests(
    what: str, subject: Subject, source: Source
) -> None:
    held: Held = moved_to_harmless(source)
    if what == "removed":  # a direction that means nothing: answers stay unlike each other
        unit = torch.randn(len(source.direction.vector), generator=subject.generator(9))
        held = without_direction(subject, unit / unit.norm())
    requests = subject.prompts.search[1][:5]
    lengths = [len(ids) for ids in subject.ids(requests)]
    assert lengths != sorted(lengths)
    small = Subject(subject.model, replace(subject.config, batch_size=2), subject.prompts)
    said = say_edited(small, held, requests, 10)
    assert [answer["id"] for answer in said] == [request.id for request in requests]
    assert len({answer["text"] for answer in said}) == 5
    for request, answer in zip(requests, said, strict=True):
        assert say_edited(subject, held, [request], 10) == [answer]


def test_an_answer_is_judged_by_every_rule(subject: Subject) -> None:
    (said,) = say(subject, [Cell(None)], subject.prompts.test[0][:6], 20)
    assert any(answer["quality"] == "coherent" for answer in said["answers"])
    for answer in said["answers"]:
        assert answer["strict"] is is_refusal(answer["text"])
