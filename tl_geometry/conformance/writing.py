"""Checks of what is written: interventions, resuming and generation do what they say."""

import torch
from torch import Tensor

from tl_geometry import sites
from tl_geometry.conformance.results import Result, measured, yes
from tl_geometry.conformance.subject import Subject, activations, gap, plain_logits
from tl_geometry.conformance.values import value_projection, values_written
from tl_geometry.generation import generate, stop_ids
from tl_geometry.interventions import edited, is_writable, replaced
from tl_geometry.resume import resumed
from tl_geometry.tokens import pad
from tl_geometry.twins import held_hooks

WINDOW = 4
NEW = 8


def own_values(subject: Subject) -> Result:
    """Writing a layer's own values back changes nothing, bit for bit."""
    bridge, batch = subject.bridge, subject.batch
    site = sites.value(subject.layers[1])
    seen, before = activations(bridge, batch, [site])
    with replaced(bridge, site, seen[site][:, -WINDOW:]):
        _, after = activations(bridge, batch, [])
    return yes("own values back", torch.equal(before, after), "logits bit-equal")


def other_values(subject: Subject) -> Result:
    """Other values change later layers and no earlier one, as a plain hook on HF's module does."""
    bridge, batch, plain = subject.bridge, subject.batch, subject.plain
    layer = subject.layers[1]
    names = [sites.value(layer), sites.resid_pre(layer), sites.resid_post(subject.layers[-1])]
    seen, before = activations(bridge, batch, names)
    generator = torch.Generator().manual_seed(0)
    old = seen[names[0]][:, -WINDOW:]
    noise = torch.randn(old.shape, generator=generator).to(old)
    new = old + noise * old.float().std().to(old)
    with replaced(bridge, names[0], new):
        changed, after = activations(bridge, batch, names)
    if not torch.equal(changed[names[1]], seen[names[1]]):
        return yes("other values", False, "an earlier layer changed")
    if torch.equal(changed[names[2]], seen[names[2]]) or torch.equal(before, after):
        return yes("other values", False, "no later layer changed")
    if value_projection(plain, layer) is None:
        detail = "later layers change; where HF makes values is not known here"
        return Result("other values", "limit", None, detail)
    with values_written(plain, layer, new):
        expected = plain_logits(plain, batch.ids, batch.mask)
    real = batch.mask.bool()
    worst = gap(after[real], expected[real])
    return measured("other values", worst, subject.tolerance, "against a hook on HF's module")


def resuming(subject: Subject) -> Result:
    """Running only the blocks from a layer on gives the full pass, bit for bit."""
    bridge, batch = subject.bridge, subject.batch
    real = batch.mask.bool()
    for layer in subject.layers:
        seen, full = activations(bridge, batch, [sites.resid_pre(layer)])
        with resumed(bridge, layer, seen[sites.resid_pre(layer)]):
            _, again = activations(bridge, batch, [])
        if not torch.equal(full[real], again[real]):
            return yes("resume", False, f"differs from layer {layer}")
    return yes("resume", True, f"bit-equal from layers {', '.join(map(str, subject.layers))}")


def generation(subject: Subject) -> Result:
    """A padded greedy batch says what Hugging Face says row by row, steered and unsteered."""
    bridge, batch = subject.bridge, subject.batch
    layer = subject.layers[1]
    seen, _ = activations(bridge, batch, [sites.resid_post(layer)])
    resid = seen[sites.resid_post(layer)]
    push = torch.randn(resid.shape[-1], generator=torch.Generator().manual_seed(1)).to(resid)
    push *= resid.float().norm(dim=-1).mean().to(resid) / push.norm()

    def steered(activation: Tensor) -> Tensor:
        return activation + push

    free = _cut(subject, generate(bridge, batch, max_new_tokens=NEW).tolist())
    alone = [_alone(subject, row) for row in range(len(batch))]
    twin = _cut(
        subject, generate(bridge, batch, max_new_tokens=NEW, edits={layer: steered}).tolist()
    )
    with edited(bridge, {sites.resid_post(layer): steered}):
        hooked = _cut(subject, generate(bridge, batch, max_new_tokens=NEW).tolist())
        tie_steered = _largest_tie(subject, twin, hooked)
    tie = _largest_tie(subject, free, alone)
    same, same_steered, moved = free == alone, twin == hooked, twin != free
    detail = f"row by row {same}, steered twin = bridge {same_steered}, steering acts {moved}"
    parted = not (same and same_steered)
    if moved and parted and max(tie, tie_steered) <= subject.tolerance and subject.tolerance > 1e-4:
        return Result("generation", "limit", max(tie, tie_steered), f"{detail}: near-ties only")
    return yes("generation", same and same_steered and moved, detail)


def _largest_tie(subject: Subject, said: list[list[int]], other: list[list[int]]) -> float:
    """How unequally likely the two tokens were at which answers part; 0 if none do, or at a tie.

    In 16 bit a sum's last digits decide between tokens of nearly equal logits. Anything beyond
    the tolerance is no near-tie, but another computation.
    """
    worst = 0.0
    for row, (one, two) in enumerate(zip(said, other, strict=True)):
        if one == two:
            continue
        k = next(i for i in range(NEW) if one[i : i + 1] != two[i : i + 1])
        n = int(subject.batch.lengths[row])
        ids = [*subject.batch.ids[row, -n:].tolist(), *one[:k]]
        _, logits = activations(subject.bridge, pad(subject.bridge, [ids]), [])
        last = logits[0, -1].float()
        ends = torch.tensor(sorted(stop_ids(subject.bridge)))
        chosen = [last[answer[k]] if k < len(answer) else last[ends].max() for answer in (one, two)]
        worst = max(worst, float((chosen[0] - chosen[1]).abs() / last.abs().max()))
    return worst


def _alone(subject: Subject, row: int) -> list[int]:
    """One row, unpadded, by Hugging Face's own `generate`."""
    n = int(subject.batch.lengths[row])
    ids = subject.batch.ids[row : row + 1, -n:]
    out = subject.plain.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=NEW,
        do_sample=False,
        eos_token_id=sorted(stop_ids(subject.bridge)),
        pad_token_id=0,
    )
    return _cut(subject, out[:, n:].tolist())[0]


def _cut(subject: Subject, rows: list[list[int]]) -> list[list[int]]:
    ends = stop_ids(subject.bridge)
    return [row[: next((k for k, i in enumerate(row) if i in ends), len(row))] for row in rows]


def exception(subject: Subject) -> Result:
    """The model is as it was after an exception inside an intervention."""
    bridge, batch = subject.bridge, subject.batch
    _, before = activations(bridge, batch, [])
    site = sites.resid_post(subject.layers[1])

    def fail(activation: Tensor) -> Tensor:
        raise ZeroDivisionError

    try:
        with edited(bridge, {site: fail}):
            activations(bridge, batch, [])
    except ZeroDivisionError:
        pass
    else:
        return yes("exception", False, "the failing edit never ran")
    left = held_hooks(bridge)
    _, after = activations(bridge, batch, [])
    return yes("exception", not left and torch.equal(before, after), "no hook left, same logits")


def writable(subject: Subject) -> Result:
    """Known limit: where the attention pattern can be read but not written."""
    if is_writable(subject.bridge, sites.pattern(subject.layers[1])):
        return yes("pattern writable", True, "freezing attention patterns works")
    detail = "patterns are read-only: `freeze_pattern` is unavailable"
    return Result("pattern writable", "limit", None, detail)
