"""Rough time, memory and price of a model's share of a step, from its shape and the work.

    seconds = (2 · parameters · tokens + reads) / rate + bytes / bandwidth + steps · layers · block

tokens: all that are read or generated, prompts included. steps: passes through all layers; a pass
with answers has one for its prompts and one for every new token. bytes: at every such step the
weights, and of every row the keys and values so far. block: what starting one block's
operations takes, whatever is in it; it is nearly all of the time of small models. The three parts
are added up, as if nothing overlapped, and answers are taken to be as long as they may be.

    memory = weights + keys and values + activations of the largest pass

Rates are what such devices reach in practice, not their peaks. Expect a factor of two, not more.
"""

from dataclasses import dataclass
from math import ceil

from analyses.refusal.counts import PROMPT, TEXT, Answers, Work
from analyses.refusal.shapes import Shape

ROWS = 320
"""Rows a pass where --batch-size does not say."""
USABLE = 0.9
"""Share of a GPU's memory; the rest is its driver's, and fragments."""
READ_WEIGHTS = 0.5e9
"""Bytes a second from a disk to a device, once a start."""
BYTES = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
QUANTIZED = {"int8": 1.1, "int8-torchao": 1.1, "nf4": 0.65}
"""Bytes a parameter, with embeddings and scales that stay as they are."""


@dataclass(frozen=True)
class Device:
    name: str
    memory: float
    """Bytes."""
    bandwidth: float
    """Bytes a second."""
    rate: float
    """Floating-point operations a second in 16 bit (CPU: float32), effective."""
    block: float
    """Seconds to start one block."""
    hourly: float | None
    """USD; the plan's, where it has one."""


CPU = Device("one CPU core", float("inf"), 10e9, 20e9, 0.5e-3, None)
GPUS = (
    Device("A10G 24 GB", 24e9, 0.6e12, 50e12, 0.8e-3, 1.10),
    Device("A100-80GB", 80e9, 2.0e12, 150e12, 0.8e-3, 3.73),
    Device("H100 80 GB", 80e9, 3.3e12, 350e12, 0.7e-3, None),
)
"""Smallest first."""


@dataclass(frozen=True)
class Load:
    """A model at a precision."""

    shape: Shape
    dtype: str
    quantization: str = "none"

    @property
    def weights(self) -> float:
        """Bytes."""
        per_parameter = QUANTIZED.get(self.quantization, BYTES.get(self.dtype, 2.0))
        return self.shape.parameters * per_parameter

    @property
    def cached(self) -> float:
        """Bytes of one token's keys and values."""
        return 2 * self.shape.n_layers * self.shape.d_kv * BYTES.get(self.dtype, 2.0)

    def row(self, new_tokens: int) -> float:
        """Bytes of one row of a pass: its cache, its widest block, its logits in float32, twice."""
        wide = 8 * self.shape.d_model + 3 * self.shape.d_mlp
        activations = PROMPT * wide * BYTES.get(self.dtype, 2.0)
        return (PROMPT + new_tokens) * self.cached + activations + 8 * self.shape.vocabulary

    def memory(self, rows: int, new_tokens: int) -> float:
        return self.weights + rows * self.row(new_tokens)


def rows_that_fit(load: Load, device: Device, new_tokens: int, wanted: int) -> int:
    """At most as many as wanted; 0 where not even the weights fit."""
    if device.memory == float("inf"):
        return wanted
    room = USABLE * device.memory - load.weights
    return max(0, min(wanted, int(room / load.row(new_tokens))))


def seconds(work: Work, load: Load, device: Device, rows: int) -> float:
    """Of a whole model, loading included."""
    read = work.read * PROMPT + work.texts * TEXT
    passes = ceil(work.read / rows) + ceil(work.texts / rows)
    total = load.weights / READ_WEIGHTS + _pass(load, device, read, passes, 0)
    return total + sum(_answering(answers, load, device, rows) for answers in work.answers)


def _answering(answers: Answers, load: Load, device: Device, rows: int) -> float:
    if answers.alone:
        passes = answers.conditions * ceil(answers.prompts / rows)
    else:
        passes = ceil(answers.conditions * answers.prompts / rows)
    n = answers.conditions * answers.prompts
    tokens = n * (PROMPT + answers.tokens)
    attended = n * answers.tokens * (PROMPT + answers.tokens / 2)
    return _pass(load, device, tokens, passes * (1 + answers.tokens), attended)


def _pass(load: Load, device: Device, tokens: float, steps: int, attended: float) -> float:
    """Seconds of so many tokens in so many steps; `attended` are keys read from the cache."""
    computing = 2 * load.shape.parameters * tokens / device.rate
    reading = (steps * load.weights + attended * load.cached) / device.bandwidth
    return computing + reading + steps * load.shape.n_layers * device.block
