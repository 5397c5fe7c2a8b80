"""What a loaded model adds to the plan: token lengths, usable pairs, writable components."""

from collections.abc import Sequence

from analyses.homeostasis.conditions import FREEZES, PairTokens
from analyses.homeostasis.plan import Plan
from analyses.homeostasis.resampler import other_target
from tl_geometry import sites
from tl_geometry.interventions import is_writable
from tl_geometry.models import Model
from tl_geometry.prompts import Pair, Prompt, pairs
from tl_geometry.tokens import encode


def writable_conditions(
    model: Model, conditions: Sequence[str]
) -> tuple[tuple[str, ...], list[tuple[str, str, str]]]:
    """The conditions that this family allows, and (what, id, reason) of those that it does not.

    Some families show a component without letting it be written (OPT's attention pattern).
    """
    last = model.cfg.n_layers - 1
    probes = {
        "mlp": sites.mlp_out(last),
        "attention": sites.attn_out(last),
        "pattern": sites.pattern(last),
        "norm": sites.block(last, "ln1.hook_scale"),
    }
    fixed = {c for c, probe in probes.items() if not is_writable(model, probe)}
    allowed = tuple(c for c in conditions if not fixed.intersection(FREEZES.get(c, ())))
    reason = "this family shows {} but does not let it be written"
    missing = [
        ("condition", c, reason.format(" and ".join(sorted(fixed.intersection(FREEZES[c])))))
        for c in conditions
        if c not in allowed
    ]
    return allowed, missing


def chosen_pairs(plan: Plan, model: Model) -> tuple[tuple[Pair, ...], list[tuple[str, str, str]]]:
    """The pairs to measure, and (what, id, reason) of every prompt or pair left out.

    Lengths are the model's own tokens, the beginning-of-sequence token not counted.
    """
    window = plan.config.window
    texts = plan.bank if plan.listed is None else [p for pair in plan.listed for p in _both(pair)]
    ids = encode(model, [prompt.text for prompt in texts])
    bos = model.tokenizer.bos_token_id
    lengths = {p.id: len(row) - (row[0] == bos) for p, row in zip(texts, ids, strict=True)}
    if (longest := max(lengths.values())) < window:
        raise ValueError(
            f"window={window} is longer than every prompt (at most {longest} tokens here): use a "
            f"--window of up to {longest}, or longer prompts"
        )
    if plan.listed is None:
        pairing = pairs(plan.bank, plan.config.pairs, plan.config.seed, lengths, min_length=window)
        missing = [("prompt", prompt.id, reason) for prompt, reason in pairing.excluded]
        return pairing.pairs[: plan.n_pairs], missing
    missing, usable = [], []
    for pair in plan.listed[: plan.n_pairs]:
        shortest = min(lengths[pair.target.id], lengths[pair.donor.id])
        if shortest < window:
            name = f"{pair.target.id} / {pair.donor.id}"
            missing.append(("pair", name, f"{shortest} tokens, the window is {window}"))
        else:
            usable.append(pair)
    if not usable:
        raise ValueError(
            f"window={window} is longer than a text of every pair; "
            "use a smaller --window or longer texts"
        )
    return tuple(usable), missing


def tokenized(plan: Plan, model: Model, chosen: Sequence[Pair]) -> list[PairTokens]:
    """Ids of each pair, and of the plain text that stands in for its donor in `other_plain`."""
    targets = [tuple(ids) for ids in encode(model, [pair.target.text for pair in chosen])]
    donors = [tuple(ids) for ids in encode(model, [pair.donor.text for pair in chosen])]
    return [
        PairTokens(
            targets[i],
            donors[i],
            targets[other_target(i, len(chosen))] if len(chosen) > 1 else None,
            pair.target.id,
            pair.donor.id,
        )
        for i, pair in enumerate(chosen)
    ]


def _both(pair: Pair) -> tuple[Prompt, Prompt]:
    return pair.target, pair.donor
