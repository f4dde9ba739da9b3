"""One item of an evaluation: its answer, made by the model that is asked or given with it, and every criterion's grade.

What goes wrong with an item is its outcome, with the reason: it is counted as errored, and the others go on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, cast

from holdfast.errors import GraderError, HoldfastError
from holdfast.graders import grader
from holdfast.graders.asked_model import AskedModel
from holdfast.graders.json_schema import item_check
from holdfast.graders.multi import Multi
from holdfast.graders.reference import outcome_of, ungradable
from holdfast.graders.score_model import ScoreModel
from holdfast.graders.template import View
from holdfast.jobs.asking import Question, conversation, patiently, plain_parts, tools_of, written
from holdfast.jobs.eval_orders import is_asked_here, reads_sample, sampling_in, served_name, template_of
from holdfast.jobs.outside import parts_of
from holdfast.seeds import derive_seed
from holdfast.store.eval_runs import Outcome
from holdfast.types import Completion, Example, Message

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from holdfast.graders import Grader
    from holdfast.jobs.asking import Written
    from holdfast.jobs.served import Served
    from holdfast.store.eval_runs import EvalItemRecord, EvalRunRecord
    from holdfast.store.evals import EvalRecord
    from holdfast.types import JSONValue, Score

_LOG = logging.getLogger(__name__)
BREAKS = (ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)
"""What code may raise for one item without the others being touched."""
_NO_TOKENS = {"invocation_count": 0, "prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, "cached_tokens": 0}


@dataclass(slots=True)
class _Meter:
    """The calls and tokens that one item took, by model."""

    models: dict[str, dict[str, int]] = field(default_factory=dict[str, "dict[str, int]"])

    def count(self, model: str, found: Written) -> None:
        before = self.models.get(model, _NO_TOKENS)
        more = {
            "invocation_count": 1,
            "prompt_tokens": found.num_prompt,
            "completion_tokens": found.num_written,
            "total_tokens": found.num_prompt + found.num_written,
        }
        self.models[model] = {key: value + more.get(key, 0) for key, value in before.items()}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What is graded, and how it is told."""

    completion: Completion
    turns: tuple[Message, ...]
    sample: dict[str, JSONValue]


class ItemWork:
    """What the items of one run have in common: the graders, the models, the check of an item."""

    def __init__(self, served: Served, record: EvalRecord, run: EvalRunRecord, stopped: Callable[[], bool]) -> None:
        self._served, self._run, self._stopped = served, run, stopped
        self._graders = [(str(criterion["name"]), grader(criterion)) for criterion in record.criteria]
        schema = cast("dict[str, dict[str, dict[str, JSONValue]]]", record.config["schema"])
        self._problem_of = item_check(schema["properties"]["item"])
        self._needs_sample = reads_sample(record.config)
        model = run.source.get("model")
        self._model = None if model is None else str(model)
        self._sampling = sampling_in(run.source)

    def ready(self) -> None:
        """Opens the models and starts what the graders need.

        Raises:
            AskingStopped: the run is to stop before an engine that died is there again.
            HoldfastError: that cannot be.
        """
        for name in self._run.versions:
            version = self._served.workspace.version(self._run.versions[name])
            if self._served.classifier(version) is None:
                patiently(partial(self._served.open, version), self._stopped)
        for _, made in self._graders:
            for part in parts_of(made):
                if not is_asked_here(part):
                    part.ready()

    def outcome(self, item: EvalItemRecord) -> Outcome:
        """Returns what becomes of an item; raises AskingStopped where the run is to stop."""
        meter = _Meter()
        try:
            answer = self._answer(item, meter)
        except GraderError as error:
            return self._errored(error.kind, error.message, meter)
        except HoldfastError as error:
            return self._errored(error.code, error.message, meter)
        except BREAKS as error:
            _LOG.exception("an item of %s failed", self._run.id)
            return self._errored("server_error", f"{type(error).__name__}: {error}", meter)
        results = [self._result(name, made, answer, item, meter) for name, made in self._graders]
        failed = next((one for one in results if one.get("error")), None)
        status = "error" if failed is not None else "pass" if all(one["passed"] for one in results) else "fail"
        return Outcome(status, answer.sample, results, meter.models)

    def _errored(self, code: str, message: str, meter: _Meter) -> Outcome:
        return Outcome("error", self._sample(error={"code": code, "message": message}), [], meter.models)

    def _answer(self, item: EvalItemRecord, meter: _Meter) -> _Answer:
        if item.problem is not None:
            raise GraderError(item.problem, kind="invalid_item")
        problem = self._problem_of(dict(item.item))
        if problem is not None:
            raise GraderError(f"the item does not fit the item_schema: {problem}", kind="invalid_item")
        if self._model is not None:
            return self._asked(item, self._model, meter)
        if item.given is None and self._needs_sample:
            raise GraderError(
                'the item comes without an answer: give {"item": {…}, "sample": {"output_text": "…"}}',
                kind="invalid_item",
            )
        given = item.given or {}
        text = str(given.get("output_text", ""))
        turns = self._turns(item.item, {"item_reference": "item.input"}) if "input" in item.item else ()
        return _Answer(
            Completion(text, (), (), "stop", given), turns, self._sample(turns, text, model=given.get("model"))
        )

    def _asked(self, item: EvalItemRecord, model: str, meter: _Meter) -> _Answer:
        asked = cast("dict[str, JSONValue]", self._run.source.get("input_messages") or {"item_reference": "item.input"})
        turns = self._turns(item.item, asked)
        version = self._served.workspace.version(self._run.versions[model])
        predict = self._served.classifier(version)
        if predict is not None:
            label = predict([Example("", (Message("user", turns[-1].content),))], None)[0]
            return _Answer(Completion(label, (), (), "stop"), turns, self._sample(turns, label, model=model))
        given = self._sampling.get("seed")
        seed = derive_seed(self._run.seed, "eval", item.number) % 2**31 if given is None else int(cast("int", given))
        question = Question(
            turns,
            seed=seed % 2**63,
            tools=tools_of(self._sampling.get("tools")),
            most=cast("int | None", self._sampling.get("max_completion_tokens")),
            temperature=cast("float | None", self._sampling.get("temperature")),
            top_p=cast("float | None", self._sampling.get("top_p")),
            response_format=cast("dict[str, JSONValue] | None", self._sampling.get("response_format")),
        )
        found = written(partial(self._served.open, version), question, self._stopped)
        meter.count(model, found)
        sample = self._sample(turns, found.text, model=model, found=found, seed=seed)
        return _Answer(Completion(found.text, (), (), "stop" if found.finish == "stop" else "length"), turns, sample)

    def _turns(self, item: Mapping[str, JSONValue], asked: Mapping[str, JSONValue]) -> tuple[Message, ...]:
        """Returns what is asked about an item."""
        view = View(Completion("", (), (), "stop"), Example("", (), columns=item))
        if "item_reference" in asked:
            value = view.value(f"{{{{ {asked['item_reference']} }}}}")
            messages = [{"role": "user", "content": value}] if isinstance(value, str) else value
        else:
            messages = [{"role": turn.role, "content": view.text(turn.content)} for turn in template_of(asked)]
        if not isinstance(messages, list) or not all(isinstance(turn, dict) for turn in messages):
            raise GraderError(f"{asked.get('item_reference')} is no text and no list of messages", kind="invalid_item")
        plain = [
            {**turn, "content": plain_parts(turn.get("content"))} for turn in cast("list[dict[str, object]]", messages)
        ]
        return conversation(plain, "input_messages")

    def _result(
        self, name: str, made: Grader, answer: _Answer, item: EvalItemRecord, meter: _Meter
    ) -> dict[str, JSONValue]:
        told = _scale(made)
        score = self._score(made, answer, item.item, meter)
        return {
            "name": name,
            "type": made.type,
            "score": told[0] + score.value * (told[1] - told[0]),
            "passed": score.passed,
            "sample": None,
            "explanation": score.explanation,
            "error": None if score.error_type is None else {"code": score.error_type, "message": score.explanation},
        }

    def _score(self, made: Grader, answer: _Answer, item: Mapping[str, JSONValue], meter: _Meter) -> Score:
        reference = item.get("reference", item.get("label"))
        example = Example("item", answer.turns, label=None if reference is None else _text(reference), columns=item)
        unasked = () if answer.turns else sorted(made.columns() & {"messages", "prompt"} - set(item))
        lack = f"lacks what the grader reads: {unasked[0]}" if unasked else made.lacking(example)
        if lack is not None:
            return ungradable("no_reference", f"the item {lack}")
        try:
            return self._with_models(made, meter).many([(answer.completion, example)])[0]
        except GraderError as error:
            return outcome_of(error)
        except HoldfastError as error:
            return ungradable(error.code, error.message)
        except BREAKS as error:
            _LOG.exception("a grader of %s failed", self._run.id)
            return ungradable("grader_failed", f"{made.type} failed: {type(error).__name__}: {error}")

    def _with_models(self, made: Grader, meter: _Meter) -> Grader:
        """Returns a grader of which every question is answered by a model served here, and counted."""
        if isinstance(made, Multi):
            parts = {name: self._with_models(part, meter) for name, part in made.graders.items()}
            return Multi(**{**dict(made), "graders": parts})
        if not isinstance(made, AskedModel) or not is_asked_here(made):
            return made
        name = served_name(made)
        version = self._served.workspace.version(self._run.versions[name])

        def ask(talks: Sequence[Sequence[dict[str, str]]], most: int) -> list[str]:
            settings, texts = made.sampling_params, list[str]()
            for talk in talks:
                question = Question(
                    conversation([dict(turn) for turn in talk], "input"),
                    seed=(self._run.seed if settings.seed is None else settings.seed) % 2**63,
                    most=most,
                    temperature=settings.temperature or 0.0,
                    top_p=settings.top_p,
                    response_format={"type": "json_schema", "json_schema": {"name": "grade", "schema": made.form()}},
                )
                found = written(partial(self._served.open, version), question, self._stopped)
                meter.count(made.model, found)
                texts.append(found.text)
            return texts

        return made.answered_by(ask)

    def _sample(
        self,
        turns: Sequence[Message] = (),
        text: str | None = None,
        *,
        model: JSONValue = None,
        found: Written | None = None,
        seed: int = 0,
        error: Mapping[str, JSONValue] | None = None,
    ) -> dict[str, JSONValue]:
        """Returns an answer as an output item tells it."""
        num_prompt, num_written = (0, 0) if found is None else (found.num_prompt, found.num_written)
        spoken = [{"role": "assistant", "content": text}] if text is not None else []
        return {
            "input": [{"role": turn.role, "content": turn.said} for turn in turns],
            "output": cast("list[JSONValue]", spoken),
            "finish_reason": "stop" if found is None else found.finish,
            "model": str(model or self._model or ""),
            "usage": {"prompt_tokens": num_prompt, "completion_tokens": num_written,
                      "total_tokens": num_prompt + num_written, "cached_tokens": 0},
            "temperature": cast("float | None", self._sampling.get("temperature", 1.0)),
            "top_p": cast("float | None", self._sampling.get("top_p", 1.0)),
            "max_completion_tokens": 0 if found is None else found.most,
            "seed": seed,
            "error": None if error is None else dict(error),
        }  # fmt: skip


def _scale(made: Grader) -> tuple[float, float]:
    """Returns the numbers between which a grader's score is told: those of its own range, if it has one."""
    return made.range if isinstance(made, ScoreModel) else (0.0, 1.0)


def _text(value: JSONValue) -> str:
    return value if isinstance(value, str) else str(value)
