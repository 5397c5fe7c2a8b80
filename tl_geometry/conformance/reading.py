"""Checks of what is read: logits and activations against Hugging Face's own, row by row."""

import torch
from torch import Tensor

from tl_geometry import sites
from tl_geometry.conformance.results import Result, measured, yes
from tl_geometry.conformance.subject import TEXTS, Subject, activations, gap, plain_logits
from tl_geometry.tokens import TokenBatch, encode, encode_chat, pad


def logits(subject: Subject) -> Result:
    """Logits equal Hugging Face's for single, left-padded and right-padded prompts and strings."""
    batch, bridge, plain = subject.batch, subject.bridge, subject.plain
    real = batch.mask.bool()
    _, left = activations(bridge, batch, [])
    worst = {"left": gap(left[real], plain_logits(plain, batch.ids, batch.mask)[real])}
    single = pad(bridge, [batch.ids[1][real[1]].tolist()])
    _, alone = activations(bridge, single, [])
    worst["single"] = gap(alone, plain_logits(plain, single.ids, single.mask))
    ids, mask = (_flipped(x, batch) for x in (batch.ids, batch.mask))
    with torch.inference_mode():
        right = bridge(ids, attention_mask=mask, use_cache=False)
        strings = bridge(
            list(TEXTS), use_cache=False, padding_side="left", prepend_bos=bool(batch.n_bos[0])
        )
    worst["right"] = gap(right[mask.bool()], plain_logits(plain, ids, mask)[mask.bool()])
    worst["strings"] = gap(strings[:, -1], left[:, -1])
    said = ", ".join(f"{key} {value:.1e}" for key, value in worst.items())
    ids_are_right = max(v for key, v in worst.items() if key != "strings") <= subject.tolerance
    if ids_are_right and worst["strings"] > subject.tolerance and not batch.n_bos.any():
        # TransformerLens takes the last of the padding for a beginning that the family has not.
        detail = f"{said}: of lists of strings, the shorter go wrong; pass token ids and a mask"
        return Result("logits", "limit", worst["strings"], detail)
    return measured("logits", max(worst.values()), subject.tolerance, said)


def _flipped(x: Tensor, batch: TokenBatch) -> Tensor:
    """The same rows with their padding on the right."""
    shifts = (x.shape[1] - batch.lengths).tolist()
    return torch.stack([row.roll(-shift) for row, shift in zip(x, shifts, strict=True)])


def rows_alone(subject: Subject) -> Result:
    """Each row of an unequal batch gives, at every site that is read, what it gives alone."""
    batch, bridge = subject.batch, subject.bridge
    hooks = subject.read_sites()
    together, _ = activations(bridge, batch, list(hooks.values()))
    worst = dict.fromkeys(hooks, 0.0)
    for row in range(len(batch)):
        n = int(batch.lengths[row])
        single, _ = activations(
            bridge, pad(bridge, [batch.ids[row, -n:].tolist()]), list(hooks.values())
        )
        for short, hook in hooks.items():
            mine = by_row(together[hook], len(batch))[row]
            alone = by_row(single[hook], 1)[0]
            # Of patterns [head query key] both positions are cut, of the rest the first.
            mine = mine[:, -n:, -n:] if short.startswith("pattern") else mine[-n:]
            worst[short] = max(worst[short], gap(mine, alone, per=mine.ndim - 1 or None))
    site = max(worst, key=lambda name: worst[name])
    detail = f"{len(hooks)} sites, worst {site}"
    if subject.mixes_rows and subject.tolerance < worst[site] <= 4 * subject.tolerance:
        detail += ": LLM.int8 chooses by the batch which columns it keeps in 16 bit"
        return Result("rows alone", "limit", worst[site], detail)
    return measured("rows alone", worst[site], subject.tolerance, detail)


def by_row(activation: Tensor, rows: int) -> Tensor:
    """OPT hands its norms over as [batch · pos, d]."""
    return activation.reshape(rows, -1, *activation.shape[1:]) if _flat(activation) else activation


def _flat(activation: Tensor) -> bool:
    return activation.ndim == 2


def shapes(subject: Subject) -> Result:
    """Sites exist with the documented shape; attention reaches real keys only."""
    bridge, batch = subject.bridge, subject.batch
    b, p = batch.ids.shape
    cfg = bridge.cfg
    kv = getattr(cfg, "n_key_value_heads", None) or cfg.n_heads
    hooks = subject.read_sites()
    seen, _ = activations(bridge, batch, list(hooks.values()))
    wrong = []
    for short, hook in hooks.items():
        kind = short.split("@")[0]
        got = tuple(by_row(seen[hook], b).shape)
        wanted = {
            "value": (b, p, kv, cfg.d_head),
            "pattern": (b, cfg.n_heads, p, p),
        }.get(kind, (b, p, 1 if kind.startswith("ln") else cfg.d_model))
        if got != wanted:
            wrong.append(f"{short} is {got}, not {wanted}")
        if not torch.isfinite(seen[hook]).all():
            wrong.append(f"{short} holds what is not finite")
        if kind == "pattern" and (why := _leaks(seen[hook], batch)):
            wrong.append(f"{short}: {why}")
    return yes("sites", not wrong, "; ".join(wrong) or f"{len(hooks)} sites as documented")


def _leaks(pattern: Tensor, batch: TokenBatch) -> str:
    """What is wrong with attention probabilities at real queries; empty if nothing is."""
    real = batch.mask.bool()
    queries = pattern.permute(0, 2, 1, 3)[real].float()  # [real-query, head, key]
    on_padding = (~real)[:, None].expand(-1, pattern.shape[2], -1)[real][:, None]
    if not float((queries * on_padding).max()) <= 1e-6:  # so written, NaN is caught as well
        return "attention reaches padding"
    off = gap(queries.sum(-1), torch.ones(1))
    return f"probabilities sum to 1 ± {off:.1e}" if off > 1e-2 else ""


def scales(subject: Subject) -> Result:
    """The scale of a norm is the denominator that the docs name: RMS, or SD when centred."""
    bridge, batch = subject.bridge, subject.batch
    norms = [sites.FINAL_SCALE]
    norms += [hook for n in subject.layers for hook in sites.scales(bridge, n).values()]
    worst, real, epsilon = 0.0, batch.mask.bool(), subject.epsilon
    for hook in norms:
        entry = hook.replace("hook_scale", "hook_in")
        seen, _ = activations(bridge, batch, [hook, entry])
        x = by_row(seen[entry], len(batch)).double()
        scale = by_row(seen[hook], len(batch)).double()[real]
        kinds = (x.square().mean(-1, True), x.var(-1, keepdim=True, correction=0))
        expected = ((kind + epsilon).sqrt()[real] for kind in kinds)
        worst = max(worst, min(gap(scale, one, per=1) for one in expected))
    detail = f"{len(norms)} norms against their inputs"
    return measured("norm scales", worst, max(subject.tolerance, 1e-3), detail)


def one_bos(subject: Subject) -> Result:
    """Text and conversations begin with one beginning-of-sequence token, where there is one."""
    tokenizer = subject.bridge.tokenizer
    text = encode(subject.bridge, [TEXTS[0]])[0]
    if tokenizer.chat_template is None:
        return Result("one BOS", "limit", None, "no chat template: base model, or set one")
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXTS[0]}]
    chat = encode_chat(subject.bridge, [turns])[0]
    counts = tuple(_leading(ids, tokenizer.bos_token_id) for ids in (text, chat))
    # Qwen's and Phi's tokenizers name a BOS that neither text nor template carries.
    holds = counts[0] == counts[1] <= 1
    return yes("one BOS", holds, f"plain text {counts[0]}, conversation {counts[1]}")


def _leading(ids: list[int], bos: int | None) -> int:
    """How often a row begins with it; further on, Qwen's is what ends every turn.

    TransformerLens gives a tokenizer without a BOS its end of sequence for one.
    """
    return next((n for n, i in enumerate(ids) if i != bos), len(ids))
