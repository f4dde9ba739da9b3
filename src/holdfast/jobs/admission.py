"""Which examples a model can learn from and be asked: one answer for `render`, which shows it, and for `learn`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.data.read import read
from holdfast.errors import HoldfastError
from holdfast.graders import grader
from holdfast.jobs.versioned import part_of, version_at
from holdfast.training.config import ReflectConfig, SdftConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from transformers import PreTrainedTokenizerBase

    from holdfast.data.read import ReadResult
    from holdfast.models.load import Loaded
    from holdfast.training.config import Recipe
    from holdfast.types import Example


@dataclass(frozen=True, slots=True)
class Reader:
    """What of a model decides which examples fit: its tokenizer, and how many tokens it reads."""

    tokenizer: PreTrainedTokenizerBase
    context: int


def reader_of(loaded: Loaded) -> Reader:
    """Returns how a loaded model reads."""
    from holdfast.models.load import context_length

    return Reader(loaded.tokenizer, context_length(loaded.model.config))


def open_reader(base: str, *, chat_template: str | None = None) -> Reader:
    """Returns how the model `base` reads, without loading any weights."""
    from holdfast.models.load import context_length, load_config, load_tokenizer

    return Reader(load_tokenizer(base, chat_template=chat_template), context_length(load_config(base)))


def longest_example(reader: Reader, recipe: Recipe) -> int:
    """Returns how many tokens an example may have."""
    return min(recipe.batch.max_tokens or reader.context, reader.context)


def read_rows(source: str, recipe: Recipe, columns: Mapping[str, str] | None) -> ReadResult:
    """Returns what `source` holds for this recipe: with its grader's columns, and answers where it needs them."""
    version = version_at(source, columns)
    if version is not None:
        return part_of(version, "train")
    name = recipe.evaluation.grader
    keep = set[str]() if name == "auto" else grader(name).columns()
    return read(source, seed=recipe.seed, columns=columns, need_demonstration=name == "auto", keep=keep)


def train_problem(reader: Reader, example: Example, recipe: Recipe) -> str | None:
    """Returns why the recipe's method cannot learn from an example, or None."""
    return _named(_train_problem, reader, example, recipe)


def item_problem(reader: Reader, example: Example, recipe: Recipe) -> str | None:
    """Returns why the model cannot be asked a test item and its answer be judged, or None."""
    return _named(_item_problem, reader, example, recipe)


def _named(
    look: Callable[[Reader, Example, Recipe], str | None], reader: Reader, example: Example, recipe: Recipe
) -> str | None:
    """Returns what `look` finds; what a template or tokenizer raises is the example's problem, not the order's."""
    try:
        return look(reader, example, recipe)
    except HoldfastError as error:
        return error.message.removeprefix(f"{example.source or example.id}: ")  # whoever asks knows where it stands


def _train_problem(reader: Reader, example: Example, recipe: Recipe) -> str | None:
    from holdfast.models.render import control_token_problem, problem_of

    config, most = recipe.method, longest_example(reader, recipe)
    if _is_classified(example, recipe):
        return _text_problem(reader, example, most)
    if isinstance(config, ReflectConfig):
        return _task_problem(reader, example, recipe, config)
    if config.type == "classify":
        problem = "has no label"
    elif example.demonstration is not None:
        problem = problem_of(reader.tokenizer, example, most)
    elif example.label is not None:
        problem = f"has a label and no answer, from which {config.type} learns nothing; use method = classify"
    elif has_context(example) and config.type in ("auto", "sdft"):
        problem = control_token_problem(reader.tokenizer, example)
    else:
        problem = "has no answer to learn from"
    if problem is not None:
        return problem
    if config.type == "dpo" or (config.type == "auto" and example.rejected is not None):
        return _pair_problem(reader, example, most)
    if config.type == "auto" and has_context(example):
        config = SdftConfig()  # what is chosen for such rows
    return teacher_problem(reader, example, config) if isinstance(config, SdftConfig) else None


def _pair_problem(reader: Reader, example: Example, most: int) -> str | None:
    """Returns why nothing can be learned from an example's rejected answer, or None; the other is looked at before."""
    from holdfast.models.render import problem_of

    if example.demonstration is None or example.rejected is None:
        return "has no rejected answer, so there is nothing that its answer is preferred to; use another method"
    problem = problem_of(reader.tokenizer, example.instead, most)
    return None if problem is None else f"the rejected answer: {problem}"


def _task_problem(reader: Reader, example: Example, recipe: Recipe, config: ReflectConfig) -> str | None:
    """Returns why a task cannot be attempted, reflected on and graded, or None."""
    from holdfast.models.render import control_token_problem, render_prompt
    from holdfast.training.reflection import Turns

    if not example.prompt or example.prompt[-1].role != "user":
        return "has no last user turn that asks for something"
    lacking = _lacking(example, recipe) or control_token_problem(reader.tokenizer, example)
    if lacking is not None:
        return lacking
    room = Turns(config).room(example, lambda turns: len(render_prompt(reader.tokenizer, turns, example.tools)))
    most = longest_example(reader, recipe)
    if room.total <= most:
        return None
    return (
        f"its prompt has {room.task} tokens, the turns that ask for a reflection and a retry {room.turns}, and what "
        f"the model writes up to {room.written}; together they do not fit {most}"
    )


def _lacking(example: Example, recipe: Recipe) -> str | None:
    """Returns what the grader needs and the example does not have, or None."""
    if recipe.evaluation.grader == "auto":
        return None if example.demonstration is not None else "has no answer to compare with"
    return grader(recipe.evaluation.grader).lacking(example)


def _item_problem(reader: Reader, example: Example, recipe: Recipe) -> str | None:
    from holdfast.models.render import control_token_problem, problem_of, render_prompt

    answer = recipe.evaluation.max_new_tokens
    if _is_classified(example, recipe):
        return _text_problem(reader, example, longest_example(reader, recipe))
    if recipe.method.type == "classify":
        return "has no label to compare with"
    problem = _lacking(example, recipe) or control_token_problem(reader.tokenizer, example)
    if problem is not None:
        return problem
    if example.rejected is not None and _is_chosen(recipe):
        return problem_of(reader.tokenizer, example, reader.context) or _pair_problem(reader, example, reader.context)
    num_tokens = len(render_prompt(reader.tokenizer, example.prompt, example.tools))
    if num_tokens + answer <= reader.context:
        return None
    return (
        f"its prompt has {num_tokens} tokens; the model reads {reader.context}, of which {answer} are kept for "
        "the answer"
    )


def _is_chosen(recipe: Recipe) -> bool:
    """Tells whether an item with two answers is tested by which of them is likelier, so that nothing is written."""
    name = recipe.evaluation.grader
    return name == "preferred" or (name == "auto" and recipe.method.type in ("auto", "dpo"))


def teacher_problem(reader: Reader, example: Example, config: SdftConfig) -> str | None:
    """Returns why the SDFT teacher cannot read an example, or None."""
    from holdfast.models.render import TEACHER_TEMPLATE, render_teacher_prompt

    template = config.teacher_template or TEACHER_TEMPLATE
    num_tokens = len(render_teacher_prompt(reader.tokenizer, example, template=template))
    if num_tokens + config.max_new_tokens <= reader.context:
        return None
    return (
        f"the teacher's prompt has {num_tokens} tokens; with {config.max_new_tokens} for the answer it does not fit "
        f"the {reader.context} that the model reads"
    )


def has_context(example: Example) -> bool:
    """Tells whether the example holds something that only a teacher may read."""
    return bool(example.privileged_context or example.document)


def _is_classified(example: Example, recipe: Recipe) -> bool:
    """Tells whether it is the example's text that is read, and its label that is learned."""
    return example.label is not None and recipe.method.type in ("auto", "classify")


def _text_problem(reader: Reader, example: Example, most: int) -> str | None:
    """Returns why a text cannot be classified, or None."""
    from holdfast.models.render import control_token_problem
    from holdfast.training.methods.classify import text_of

    if problem := control_token_problem(reader.tokenizer, example):
        return problem
    num_tokens = len(reader.tokenizer(text_of(example))["input_ids"]) + 1
    if num_tokens <= most:
        return None
    return f"its text has {num_tokens} tokens; at most {most} fit, and nothing is truncated"
