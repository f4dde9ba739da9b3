"""Conversations to tokens with the model's own chat template, and which of the tokens are trained.

A trained span is what the assistant says, up to and including the token that ends its turn. It is read
from the template's generation markers, or, where there are none, from two renderings of which one must
be the exact beginning of the other. Nothing is ever truncated here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from jinja2 import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from holdfast.errors import ConfigError, ContextLengthError, DataError, HoldfastError, ModelError
from holdfast.types import Message

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from holdfast.types import Example, JSONValue, ToolCall

TEACHER_TEMPLATE = (
    "\n{question}\n\nThis is an example for a response to the question:\n{demonstration}\n\n"
    "Now answer with a response of your own, including the thinking process.\n"
)
"""The SDFT reference prompt (idanshen/Self-Distillation, main.py), newlines kept."""

_PROBE = "HOLDFASTPROBE"


@dataclass(frozen=True, slots=True)
class Rendered:
    """A conversation's tokens; the mask is True where a token is to be predicted."""

    input_ids: list[int]
    completion_mask: list[bool]


def render_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], tools: Sequence[Mapping[str, JSONValue]] = ()
) -> list[int]:
    """Returns the tokens of `messages` followed by the opening of the assistant's turn."""
    return _encode(tokenizer, _text(tokenizer, messages, tools, open_turn=True))


def render_example(tokenizer: PreTrainedTokenizerBase, example: Example, *, max_tokens: int) -> Rendered:
    """Returns the example's tokens, and True for those the assistant is trained to write.

    An assistant turn of weight 0 stays in the context and is not trained.

    Raises:
        ContextLengthError: it has more than `max_tokens` tokens.
        ModelError: the template does not allow to tell which tokens are the assistant's.
    """
    text, spans = _text_and_spans(tokenizer, example)
    rendered = _align(tokenizer, text, spans)
    if len(rendered.input_ids) > max_tokens:
        raise ContextLengthError(
            f"{example.source or example.id}: {len(rendered.input_ids)} tokens, and at most {max_tokens} fit. "
            "Shorten or drop the example; nothing is truncated."
        )
    return rendered


def render_teacher_prompt(
    tokenizer: PreTrainedTokenizerBase, example: Example, *, template: str = TEACHER_TEMPLATE
) -> list[int]:
    """Returns the SDFT teacher's prompt: the last user turn rewritten to show the privileged context.

    `template` names {question} and {demonstration}. A document stands before the question.
    """
    return render_prompt(tokenizer, teacher_messages(example, template=template), example.tools)


def teacher_messages(example: Example, *, template: str = TEACHER_TEMPLATE) -> tuple[Message, ...]:
    """Returns the turns of the SDFT teacher's prompt."""
    shown = example.privileged_context
    if shown is None and example.demonstration is not None:
        shown = demonstration_text(example.demonstration)
    if not shown and example.document is None:
        raise DataError(
            f"{example.source or example.id}: no demonstration, privileged context or document, "
            "so the teacher would read no more than the student. Add one, or train with another method."
        )
    turns = list(example.prompt)
    last = max((i for i, turn in enumerate(turns) if turn.role == "user"), default=None)
    if last is None:
        raise DataError(f"{example.source or example.id}: no user turn to put the demonstration in.")
    question = turns[last].content
    if example.document is not None:
        question = f"{example.document}\n\n{question}"
    if shown:
        question = _fill(template, question=question, demonstration=shown)
    turns[last] = replace(turns[last], content=question)
    return tuple(turns)


def _fill(template: str, *, question: str, demonstration: str) -> str:
    """Returns the template with both texts put in, once and unread: braces in them stay braces."""
    texts = {"{question}": question, "{demonstration}": demonstration}
    if missing := [name for name in texts if name not in template]:
        raise ConfigError(f"the teacher's template has no {missing[0]}, so the teacher would not see it.")
    return re.sub(r"\{(?:question|demonstration)\}", lambda found: texts[found.group()], template)


def demonstration_text(message: Message) -> str:
    """Returns what a demonstration reads like inside a prompt: its content, then each tool call as JSON."""
    calls = [
        json.dumps({"name": call.name, "arguments": _arguments(call)}, ensure_ascii=False)
        for call in message.tool_calls
    ]
    return "\n".join([message.content, *calls] if message.content else calls)


def problem_of(tokenizer: PreTrainedTokenizerBase, example: Example, max_tokens: int) -> str | None:
    """Returns why the example cannot be trained on, or None if it can."""
    if problem := control_token_problem(tokenizer, example):
        return problem
    try:
        rendered = render_example(tokenizer, example, max_tokens=max_tokens)
    except HoldfastError as error:
        return error.message.removeprefix(f"{example.source or example.id}: ")  # whoever asks knows where it stands
    if not any(rendered.completion_mask):
        return "no trainable token: no assistant turn with text and a weight above 0"
    ends = set(end_of_turn(tokenizer))
    if not ends:
        return "the chat template ends the assistant's turn with no special token, so the model would not learn to stop"
    trained = [i for i, kept in zip(rendered.input_ids, rendered.completion_mask, strict=True) if kept]
    if not ends.intersection(trained):
        names = ", ".join(repr(tokenizer.convert_ids_to_tokens(i)) for i in sorted(ends))
        return f"the end of the turn ({names}) is not trained, so the model would not learn to stop"
    return None


def control_token_problem(tokenizer: PreTrainedTokenizerBase, example: Example) -> str | None:
    """Returns the control token that the example's own text holds, in words, or None.

    The tokenizer would read it as one: text in a user's turn could end that turn and speak as somebody else.
    """
    control = _control_tokens(tokenizer)
    if control is None:
        return None
    texts = [
        (f"turn {index} ({turn.role})", demonstration_text(turn))
        for index, turn in enumerate(example.messages, start=1)
    ]
    texts += [("the rejected answer", demonstration_text(example.rejected))] if example.rejected is not None else []
    texts += [("tools", json.dumps(list(example.tools), ensure_ascii=False))] if example.tools else []
    texts += [("privileged_context", example.privileged_context or ""), ("document", example.document or "")]
    for where, text in texts:
        if found := control.search(text):
            return (
                f"{where} holds the text {found.group()!r}, which this model reads as a control token. "
                "Write it otherwise, or drop the line"
            )
    return None


@lru_cache(maxsize=8)
def _control_tokens(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str] | None:
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special and token.content}
    return re.compile("|".join(re.escape(name) for name in sorted(special, reverse=True))) if special else None


def show(tokenizer: PreTrainedTokenizerBase, example: Example) -> list[tuple[str, bool]]:
    """Returns the rendered text in pieces, each with whether it is trained."""
    rendered = render_example(tokenizer, example, max_tokens=1 << 62)
    pieces: list[tuple[list[int], bool]] = []
    for token, trained in zip(rendered.input_ids, rendered.completion_mask, strict=True):
        if not pieces or pieces[-1][1] is not trained:
            pieces.append(([], trained))
        pieces[-1][0].append(token)
    return [(cast("str", tokenizer.decode(ids)), trained) for ids, trained in pieces]


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Returns the special token that ends an assistant's turn in this template, or nothing if there is none."""
    template = tokenizer.chat_template
    return list(_end_of_turn(tokenizer, template)) if isinstance(template, str) else []


@lru_cache(maxsize=32)
def _end_of_turn(tokenizer: PreTrainedTokenizerBase, template: str) -> tuple[int, ...]:
    """Returns the first special token after an assistant's words; `template` is here to be part of the key."""
    turns = [Message("user", "hi"), Message("assistant", _PROBE)]
    tail = _text(tokenizer, turns, (), open_turn=False).rpartition(_PROBE)[2]
    special = set(tokenizer.all_special_ids)
    return next(((i,) for i in _encode(tokenizer, tail) if i in special), ())


def _text_and_spans(tokenizer: PreTrainedTokenizerBase, example: Example) -> tuple[str, list[tuple[int, int]]]:
    """Returns the rendered text and where in it the trained turns stand."""
    spoken = [turn for turn in example.messages if turn.role == "assistant"]
    if odd := [turn.weight for turn in spoken if turn.weight not in (0, 1)]:
        raise DataError(f"{example.source or example.id}: weight {odd[0]} of an assistant turn; it must be 0 or 1.")
    template = _template(tokenizer, example.tools)
    if "endgeneration" not in template:
        return _spans_by_prefix(tokenizer, example)
    text, spans = _render(tokenizer, example.messages, example.tools, marks=True)
    if len(spans) != len(spoken):
        raise ModelError(
            f"{example.source or example.id}: the chat template marks {len(spans)} generated parts "
            f"for {len(spoken)} assistant turns, so there is no telling which is which."
        )
    return text, [span for span, turn in zip(spans, spoken, strict=True) if turn.weight]


def _spans_by_prefix(tokenizer: PreTrainedTokenizerBase, example: Example) -> tuple[str, list[tuple[int, int]]]:
    """Returns the text and trained spans by rendering up to and through each trained turn."""
    turns, tools = example.messages, example.tools
    text = _text(tokenizer, turns, tools, open_turn=False)
    spans: list[tuple[int, int]] = []
    for index, turn in enumerate(turns):
        if turn.role != "assistant" or not turn.weight:
            continue
        before = _text(tokenizer, turns[:index], tools, open_turn=True)
        through = _text(tokenizer, turns[: index + 1], tools, open_turn=False)
        where = f"{example.source or example.id}: turn {index + 1}"
        if not through.startswith(before):
            raise ModelError(
                f"{where}: this chat template opens an assistant's turn in a prompt otherwise than it writes one in a "
                "conversation, so the trained tokens would not follow the prompt that the model meets in use. "
                "Give another chat_template.",
                param="chat_template",
            )
        if not text.startswith(through):
            raise ModelError(
                f"{where}: this chat template writes the turn otherwise inside a longer conversation than at its end, "
                "so the trained tokens would not be those that the model meets in use. "
                "Give the turn weight 0, or split the conversation there."
            )
        spans.append((len(before), len(through)))
    return text, spans


def _align(tokenizer: PreTrainedTokenizerBase, text: str, spans: Sequence[tuple[int, int]]) -> Rendered:
    """Returns the text's tokens with True for those inside a span, each span cut after its end of turn."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = cast("list[int]", encoded["input_ids"]), cast("list[tuple[int, int]]", encoded["offset_mapping"])
    mask = [False] * len(ids)
    ends = end_of_turn(tokenizer)
    place = 0
    for start, end in spans:
        while place < len(ids) and offsets[place][1] <= start:
            place += 1
        if place < len(ids) and offsets[place][0] < start:
            token = text[slice(*offsets[place])]
            raise ModelError(
                f"the answer begins inside the token {token!r}, so the model could not write it after its prompt. "
                "Remove the white space at the beginning of the answer."
            )
        first = place
        while place < len(ids) and offsets[place][1] <= end:
            place += 1
        stop = next((t + 1 for t in range(place - 1, first - 1, -1) if ids[t] in ends), place)
        mask[first:stop] = [True] * (stop - first)
    return Rendered(ids, mask)


def _text(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, JSONValue]],
    *,
    open_turn: bool,
) -> str:
    """Returns the template's text, with the opening of the assistant's turn if asked."""
    return _render(tokenizer, messages, tools, open_turn=open_turn)[0]


def _render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, JSONValue]],
    *,
    open_turn: bool = False,
    marks: bool = False,
) -> tuple[str, list[tuple[int, int]]]:
    """Returns the template's text and, with `marks`, where its generation markers stand."""
    try:
        texts, spans = cast(
            "tuple[list[str], list[list[tuple[int, int]]]]",
            render_jinja_template(
                [_as_dicts(messages)],
                tools=[dict(tool) for tool in tools] or None,
                chat_template=_template(tokenizer, tools),
                return_assistant_tokens_mask=marks,
                add_generation_prompt=open_turn,
                **cast("dict[str, Any]", tokenizer.special_tokens_map),
            ),
        )
    except (TemplateError, TypeError) as error:
        raise ModelError(f"the chat template cannot write this conversation: {error}") from error
    _require_shown(texts[0], messages, tools)
    return texts[0], spans[0] if marks else []


def _require_shown(text: str, messages: Sequence[Message], tools: Sequence[Mapping[str, JSONValue]]) -> None:
    """Refuses a template that silently leaves out tools or tool calls."""
    names = [(call.name, "tool calls") for message in messages for call in message.tool_calls]
    for tool in tools:
        function = tool.get("function", tool)
        names.append((str(function.get("name", "")) if isinstance(function, dict) else "", "tools"))
    for name, kind in names:
        if name not in text:
            raise ModelError(
                f"the chat template does not write {kind} ({name!r} is missing from the rendered text). "
                "Use a model or a chat_template that does, or put them into the messages' text.",
                param="chat_template",
            )


def _template(tokenizer: PreTrainedTokenizerBase, tools: Sequence[Mapping[str, JSONValue]]) -> str:
    try:
        return tokenizer.get_chat_template(None, [dict(tool) for tool in tools] or None)
    except ValueError as error:
        raise ModelError(
            "the tokenizer has no chat template, so there is no telling how turns are written: the model can classify "
            "and not chat. Take its instruction-tuned sibling, or give it one: "
            "holdfast init NEW_FOLDER --model NAME --chat-template FILE.",
            param="chat_template",
        ) from error


def _as_dicts(messages: Sequence[Message]) -> list[dict[str, object]]:
    """Returns turns as chat templates expect them; arguments as objects, since templates write the JSON."""
    turns: list[dict[str, object]] = []
    for message in messages:
        turn: dict[str, object] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            turn["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _arguments(call)}}
                for call in message.tool_calls
            ]
        if message.tool_call_id:
            turn["tool_call_id"] = message.tool_call_id
        turns.append(turn)
    return turns


def _arguments(call: ToolCall) -> object:
    """Returns a call's arguments as an object, or as the text they are when it is not JSON."""
    try:
        return json.loads(call.arguments)
    except json.JSONDecodeError:
        return call.arguments


def _encode(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return cast("list[int]", tokenizer.encode(text, add_special_tokens=False))
