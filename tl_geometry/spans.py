"""Which tokens of a prompt and its response are meant: the grammar `frame[slice]`.

prompt[-1]      the last token of the prompt
response[:5]    the first five generated tokens
all[:]          everything

Frames, slices and folder names are those of the trait-vector code of github.com/ewernn/trait-interp
(utils/paths.py), so that its folders can be read; a step, which it ignores, is an error here.
"""

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

Frame = Literal["prompt", "response", "all"]
FRAMES: tuple[Frame, ...] = get_args(Frame)

_FRAME = "|".join(FRAMES)
_INTEGER = "0|-?[1-9][0-9]*"
_SPAN = re.compile(
    rf"(?P<frame>{_FRAME})\[(?:(?P<index>{_INTEGER})"
    rf"|(?P<start>{_INTEGER})?:(?P<stop>{_INTEGER})?)\]"
)
_FOLDER = re.compile(
    rf"(?P<frame>{_FRAME})_(?P<slice>all|(?:{_INTEGER})(?:_(?:{_INTEGER})?)?|_(?:{_INTEGER}))"
)


@dataclass(frozen=True)
class Span:
    """A slice of the tokens of one frame; negatives count from the frame's end.

    A single index i is the slice [i:i+1], and -1 is [-1:]. ValueError for a frame that does not
    exist and for a slice in which there can be no token.
    """

    frame: Frame
    start: int | None = None
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.frame not in FRAMES:
            raise ValueError(f"frame {self.frame!r} does not exist: use {', '.join(FRAMES)}")
        if _is_empty(self.start or 0, self.stop):
            raise ValueError(f"{self} never holds a token: its end must lie behind its start")

    @classmethod
    def parse(cls, text: str) -> "Span":
        """The span that is written `text`; ValueError for everything but `frame[slice]`."""
        found = _SPAN.fullmatch(text)
        if found is None:
            raise ValueError(
                f"{text!r} is no position: write {', '.join(FRAMES[:-1])} or {FRAMES[-1]}, and in "
                "brackets an index or start:stop without a step, such as response[:5] or prompt[-1]"
            )
        frame = cast(Frame, found["frame"])
        if found["index"] is not None:
            index = int(found["index"])
            return cls(frame, index, index + 1 or None)
        return cls(frame, _integer(found["start"]), _integer(found["stop"]))

    @classmethod
    def from_folder(cls, name: str) -> "Span":
        """The inverse of `folder`; ValueError for a name that no span has."""
        found = _FOLDER.fullmatch(name)
        if found is None:
            raise ValueError(
                f"{name!r} is no folder of a position: such names are response_all, response__5, "
                "response_-1, prompt_-3_ and response_2_5"
            )
        written = found["slice"].replace("all", ":").replace("_", ":")
        return cls.parse(f"{found['frame']}[{written}]")

    def __str__(self) -> str:
        """What `parse` reads; one text for equal spans, so [3:4] is written [3]."""
        return f"{self.frame}[{self._slice}]"

    @property
    def folder(self) -> str:
        """The name as part of a path, such as `response__5`."""
        written = self._slice
        return f"{self.frame}_{'all' if written == ':' else written.replace(':', '_')}"

    @property
    def _slice(self) -> str:
        start, stop = ("" if end is None else str(end) for end in (self.start, self.stop))
        # The end behind index -1 cannot be written as a number: 0 is the frame's beginning.
        single = self.start is not None and self.stop == (self.start + 1 or None)
        return start if single else f"{start}:{stop}"

    def bounds(self, n_prompt: int, n_total: int) -> range:
        """Indices into prompt and response, `n_total` tokens of which `n_prompt` are the prompt.

        Clamped inside the frame; empty where the frame is too short. ValueError for impossible
        counts.
        """
        if not 0 <= n_prompt <= n_total:
            raise ValueError(
                f"n_prompt={n_prompt}, n_total={n_total}: a prompt has 0 to n_total tokens"
            )
        low = n_prompt if self.frame == "response" else 0
        high = n_prompt if self.frame == "prompt" else n_total
        first, last, _ = slice(self.start, self.stop).indices(high - low)
        return range(low + first, low + max(first, last))

    @property
    def new_tokens(self) -> int | None:
        """How many generated tokens are enough to fill the span; None where that depends."""
        if self.frame == "prompt":
            return 0
        fixed = (self.start or 0) >= 0 and self.stop is not None and self.stop > 0
        return self.stop if self.frame == "response" and fixed else None


def _integer(text: str | None) -> int | None:
    return None if text is None else int(text)


def _is_empty(start: int, stop: int | None) -> bool:
    """Whether the slice holds nothing in frames of any length.

    Ends of unlike sign meet in some frame, except [-3:0], which stops before every token.
    """
    if stop is None:
        return False
    return stop == 0 or ((start < 0) == (stop < 0) and stop <= start)
