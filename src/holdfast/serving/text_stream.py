"""The text of a sequence as its tokens come: whole characters only, and nothing of a stop string."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from tokenizers.decoders import DecodeStream

from holdfast.serving.engine import Piece

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

    from holdfast.serving.engine import End


class TextStream:
    """Turns tokens into text, piece by piece; all pieces together are the decoded text up to the first stop string.

    A character of several tokens waits for its last one, and an end of the text that may become a stop string waits
    until it is clear whether it does. `is_stopped` is True when a stop string was met: nothing comes after it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stop: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._rust = cast("Tokenizer", tokenizer.backend_tokenizer)
        self._stop = [text for text in stop if text]
        self._stream = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._decoded = ""
        self._num_given = 0
        self.is_stopped = False

    @property
    def text(self) -> str:
        """What was given so far."""
        return self._decoded[: self._num_given]

    def push(self, token: int) -> str:
        """Takes in one token and returns the text that is sure by now."""
        if self.is_stopped:
            return ""
        self._ids.append(token)
        self._decoded += self._stream.step(self._rust, token) or ""
        return self._given(self._sure())

    def end(self) -> str:
        """Returns what was held back, when no token comes any more; an unfinished character is shown as such."""
        if self.is_stopped:
            return ""
        whole = cast("str", self._tokenizer.decode(self._ids, skip_special_tokens=True))
        if whole.startswith(self._decoded):
            self._decoded = whole
            self._cut()
        return self._given(len(self._decoded))

    def piece(
        self, token: int, logprob: float, top: tuple[tuple[int, float], ...], finish: Literal["stop", "length"] | None
    ) -> Piece:
        """Takes in one token and returns its piece; the token that ends a turn (`finish` is stop) has no text."""
        text = self.push(token) if finish != "stop" else ""
        end: End | None = "stop" if self.is_stopped else finish
        if end is not None:
            text += self.end()
            end = "stop" if self.is_stopped else end
        return Piece(text, token, logprob, top, end)

    def _sure(self) -> int:
        """Returns up to where the text cannot be changed by what comes."""
        if self._cut():
            return len(self._decoded)
        longest = max(map(len, self._stop), default=1) - 1
        for length in range(min(longest, len(self._decoded) - self._num_given), 0, -1):
            ending = self._decoded[-length:]
            if any(stop.startswith(ending) for stop in self._stop):
                return len(self._decoded) - length
        return len(self._decoded)

    def _cut(self) -> bool:
        """Cuts the text at the first stop string, if there is one."""
        places = [place for place in (self._decoded.find(stop, self._num_given) for stop in self._stop) if place >= 0]
        if places:
            self._decoded, self.is_stopped = self._decoded[: min(places)], True
        return bool(places)

    def _given(self, end: int) -> str:
        piece = self._decoded[self._num_given : end]
        self._num_given = max(self._num_given, end)
        return piece
