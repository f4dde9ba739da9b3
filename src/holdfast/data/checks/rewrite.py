"""Takes away from one row what all rows share around their texts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from holdfast.data.checks.debris import answer_start_of, is_loud, prompt_start_of
from holdfast.types import Message

if TYPE_CHECKING:
    from holdfast.data.checks.debris import Debris
    from holdfast.types import Example


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What is taken away: `marks` that all rows share, and words with which their prompts or answers begin."""

    marks: Debris
    prompt_words: str = ""
    num_prompts: int = 0
    instruction: Literal["keep", "system", "remove"] = "keep"
    answer_words: str = ""
    num_answers: int = 0
    cuts_answers: bool = False

    @property
    def does_anything(self) -> bool:
        """Whether any row would change."""
        return self.cuts_prompts or self.cuts_answers or any(isinstance(mark, str) and mark for mark in self.marks)

    @property
    def cuts_prompts(self) -> bool:
        """Whether the words with which prompts begin are taken away."""
        return bool(self.prompt_words) and self.instruction != "keep"


def rewritten(example: Example, debris: Debris, rewrite: Rewrite) -> tuple[Example, list[str]]:
    """Returns the row without what `rewrite` takes away, and what that was, in words."""
    marks, removed = rewrite.marks, list[str]()
    for part, words in (
        ("separator", "the separator at the end of prompts"),
        ("prompt_start", "the label at the start of prompts"),
        ("stop", "the stop sequence"),
        ("answer_start", "the label at the start of answers"),
        ("space", "the leading space"),
        ("loud_prompt", "the capitals of prompts"),
        ("loud_answer", "the capitals of answers"),
    ):
        if getattr(marks, part) and getattr(marks, part) == getattr(debris, part):
            removed.append(words)
    shared = {part: mark if mark == getattr(debris, part) else "" for part, mark in marks._asdict().items()}
    messages: list[Message] = []
    first = {"user": True, "assistant": True}
    instruction = ""
    for message in example.messages:
        text = message.content
        if message.role == "user" and text:
            text, cut = _prompt(text, shared, rewrite, example, first=first["user"])
            instruction = instruction or cut
        elif message.role == "assistant" and text:
            text, cut = _answer(text, shared, rewrite, first=first["assistant"])
            removed += ["the words with which answers begin"] if cut else []
        if message.role in first:
            first[message.role] = False
        messages.append(message if text == message.content else replace(message, content=text))
    if instruction:
        moved = rewrite.instruction == "system"
        removed.append("the shared instruction" + (", which is the system turn now" if moved else ""))
        if moved:
            messages = _with_system(messages, instruction.strip())
    after = replace(example, messages=tuple(messages), rejected=_rejected(example, shared, rewrite))
    return (after, removed) if after != example else (example, [])


def _rejected(example: Example, shared: dict[str, str], rewrite: Rewrite) -> Message | None:
    """Returns the rejected answer changed like the preferred one: marks of one alone would tell them apart."""
    if example.rejected is None or not example.rejected.content:
        return example.rejected
    first = all(message.role != "assistant" for message in example.prompt)
    text, _ = _answer(example.rejected.content, shared, rewrite, first=first)
    return replace(example.rejected, content=text)


def _prompt(text: str, shared: dict[str, str], rewrite: Rewrite, example: Example, *, first: bool) -> tuple[str, str]:
    """Returns a prompt without its marks, and the shared words that were taken from its start."""
    end = shared["separator"]
    text = text.removesuffix(end) if end else text
    start = prompt_start_of(text)
    body, kept = text[len(start) :], "" if start and start == shared["prompt_start"] else start
    cut = ""
    classified = example.label is not None and rewrite.instruction == "system"
    words = rewrite.prompt_words
    if first and rewrite.cuts_prompts and not classified and body.startswith(words) and body[len(words) :].strip():
        body, cut = body[len(words) :].lstrip(), words
    body = body.lower() if shared["loud_prompt"] and is_loud(body) else body
    return kept + body, cut


def _answer(text: str, shared: dict[str, str], rewrite: Rewrite, *, first: bool) -> tuple[str, str]:
    """Returns an answer without its marks, and the shared words that were taken from its start."""
    end = shared["stop"]
    text = text.removesuffix(end) if end else text
    text = text[1:] if shared["space"] and text[:1] == " " else text
    start = answer_start_of(text)
    body, kept = text[len(start) :], "" if shared["answer_start"] and start else start
    cut = ""
    words = rewrite.answer_words
    said = body.removeprefix(" ")
    if first and rewrite.cuts_answers and said.startswith(words) and said[len(words) :].strip():
        body, cut = said[len(words) :], words
    body = body.lower() if shared["loud_answer"] and is_loud(body) else body
    return kept + body, cut


def _with_system(messages: list[Message], instruction: str) -> list[Message]:
    if messages and messages[0].role == "system":
        if instruction in messages[0].content:
            return messages
        said = f"{messages[0].content.rstrip()}\n\n{instruction}".lstrip()
        return [replace(messages[0], content=said), *messages[1:]]
    return [Message("system", instruction), *messages]
