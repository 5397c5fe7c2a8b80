"""What a run costs, for --dry-run: rough, from the formula in `estimate`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from analyses.budget import Limit
from analyses.ledger import limits_of
from analyses.refusal.config import Steered
from analyses.refusal.counts import Work, work_of
from analyses.refusal.estimate import CPU, GPUS, ROWS, Device, Load, rows_that_fit, seconds
from analyses.refusal.plan import Plan
from analyses.refusal.shapes import Shape, shape_of
from analyses.requested import ModelPlan

SMALL = 5e8
"""Parameters up to which a model is taken to run on a CPU where no GPU is here."""


@dataclass(frozen=True)
class Share:
    """One model's share of a run."""

    load: Load
    work: Work
    device: Device | None
    """None where no GPU of the table holds it."""
    rows: int
    """A pass."""
    seconds: float
    usd: float | None
    """None without a price."""


def cost(plan: Plan) -> Iterator[str]:
    """Of every model memory, work, time and price; then of all."""
    shares = []
    for model in plan.models:
        yield f"{model.name}: {model.reason or 'can be read'}"
        shape = shape_of(model)
        if shape is None:
            yield "  no estimate: its shape is not in the table of published ones either"
            continue
        if model.size is None:
            yield "  estimated from its published shape"
        shares.append(share_of(plan, model, shape))
        yield from _lines(plan, shares[-1])
    if shares:
        yield from _totals(plan, shares)


def share_of(plan: Plan, model: ModelPlan, shape: Shape) -> Share:
    """On the device that is here or asked for, else on the smallest GPU that holds the model."""
    config, work = plan.config, work_of(plan, model, shape.n_layers)
    gpu = _gpu_here(config)
    if config.device == "cpu" or (gpu is None and shape.parameters <= SMALL):
        load, among = Load(shape, config.dtype or "float32", config.quantization), (CPU,)
    else:
        load = Load(shape, config.dtype or shape.dtype, config.quantization)
        among = GPUS if gpu is None else (gpu,)
    for device in among:
        rows = _rows(config, load, device)
        if rows >= min(_wanted(config), config.n_test):
            time = seconds(work, load, device, rows)
            rate = config.hourly_rate or device.hourly
            return Share(load, work, device, rows, time, rate and time / 3600 * rate)
    return Share(load, work, None, 0, 0.0, None)


def _gpu_here(config: Steered) -> Device | None:
    """The table's speed, the real memory; an unknown GPU is taken for an A100."""
    if config.device == "cpu" or not torch.cuda.is_available():
        return None
    about = torch.cuda.get_device_properties(0)
    like = next((gpu for gpu in GPUS if gpu.name[:4] in about.name), GPUS[1])
    return replace(like, name=about.name, memory=float(about.total_memory))


def _wanted(config: Steered) -> int:
    return config.batch_size or ROWS


def _rows(config: Steered, load: Load, device: Device) -> int:
    tokens = max(config.new_tokens, config.search_tokens)
    return rows_that_fit(load, device, tokens, _wanted(config))


def _lines(plan: Plan, share: Share) -> Iterator[str]:
    config, load, work = plan.config, share.load, share.work
    wanted, tokens = _wanted(config), max(config.new_tokens, config.search_tokens)
    precision = load.dtype if load.quantization == "none" else load.quantization
    yield f"  parameters: {load.shape.parameters:,.0f}"
    yield f"  memory of the weights ({precision}): {_size(load.weights)}"
    yield f"  memory with {wanted} rows a pass: {_size(load.memory(wanted, tokens))}"
    yield f"  GPUs that hold it: {', '.join(_fitting(config, load)) or 'none of the table'}"
    yield f"  candidates scored: {work.candidates:,} (about {work.read:,} prompts read)"
    yield f"  conditions searched, then tested: {work.searched}, {work.tested}"
    yield f"  tokens generated, at most: {work.generated:,}"
    if share.device is None:
        yield "  time: none of the table's GPUs holds it; try --quantization nf4"
    else:
        yield f"  time, rough: {_time(share.seconds)} on {share.device.name}{_price(share)}"


def _fitting(config: Steered, load: Load) -> Iterator[str]:
    for gpu in GPUS:
        rows = _rows(config, load, gpu)
        if rows >= _wanted(config):
            yield gpu.name
        elif rows >= config.n_test:
            yield f"{gpu.name} with --batch-size {rows}"


def _totals(plan: Plan, shares: Sequence[Share]) -> Iterator[str]:
    config, known = plan.config, [share for share in shares if share.device is not None]
    total = sum(share.seconds for share in known)
    priced = [share.usd for share in known if share.usd is not None]
    price = f", ${sum(priced):.2f}" if len(priced) == len(known) and priced else ""
    less = len(plan.models) - len(known)
    without = f" (without {less} that cannot be estimated)" if less else ""
    yield f"all models, one after the other, rough: {_time(total)}{price}{without}"
    if plan.spec.step == "families":
        yield "  further rounds (part of a method works, or nothing refuses) come on top"
    yield from (_against(limit, total) for limit in limits_of(config, plan.folder))


def _against(limit: Limit, total: float) -> str:
    fits = total <= limit.seconds_to(1.0)
    return f"  {'within' if fits else 'ABOVE'} the budget: {limit.stated(total)}, rough"


def _time(total: float) -> str:
    return f"{total / 3600:.1f} h" if total >= 3600 else f"{max(1, round(total / 60))} min"


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"


def _price(share: Share) -> str:
    if share.usd is None or not share.seconds:
        return ", no price known: give --hourly-rate"
    return f", ${share.usd:.2f} at ${share.usd / share.seconds * 3600:.2f} an hour"
