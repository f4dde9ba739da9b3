"""Evaluations through the stock client: made, run by the served models, gone through, cancelled, and gone on with."""

import asyncio
import json
import threading
import time
from itertools import count, pairwise

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError

from holdfast.api.state import Limits
from holdfast.errors import BusyError
from holdfast.jobs import eval_items
from holdfast.jobs import evals as running

MODEL = "holdfast:tiny"
SCHEMA = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["question", "answer"],
}
CUSTOM = {"type": "custom", "item_schema": SCHEMA, "include_sample_schema": True}
SAME = {
    "type": "string_check", "name": "same", "operation": "eq",
    "input": "{{ sample.output_text }}", "reference": "{{ item.answer }}",
}  # fmt: skip
TEMPLATE = {"type": "template", "template": [{"role": "user", "content": "Repeat: {{ item.question }}"}]}


def ended(client, run, seconds=60):
    """The run, once it is decided."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = client.evals.runs.retrieve(run.id, eval_id=run.eval_id)
        if found.status not in ("queued", "in_progress"):
            return found
        time.sleep(0.02)
    raise AssertionError(f"the run is {found.status}, with {found.result_counts}")


def asked(rows, **given):
    """A data source that asks the model about rows."""
    source = {"type": "file_content", "content": [{"item": row} for row in rows]}
    return {"type": "completions", "model": MODEL, "source": source, "input_messages": TEMPLATE, **given}


def rows(num):
    return [{"question": f"blue river {number}", "answer": "x"} for number in range(num)]


def made(client, *criteria, config=CUSTOM, **given):
    return client.evals.create(data_source_config=config, testing_criteria=list(criteria or [SAME]), **given)


def items_of(client, run, **given):
    return list(client.evals.runs.output_items.list(run.id, eval_id=run.eval_id, **given))


def test_an_eval_is_made_listed_changed_and_deleted(make_server):
    client = make_server().client()
    first = made(client, name="first", metadata={"team": "a"})
    assert (first.object, first.name, first.metadata) == ("eval", "first", {"team": "a"})
    assert first.data_source_config.type == "custom"
    assert first.data_source_config.schema_["properties"]["item"] == SCHEMA
    assert first.testing_criteria[0].reference == SAME["reference"]
    second = made(client, name="second")
    assert [one.id for one in client.evals.list()] == [first.id, second.id]
    assert [one.id for one in client.evals.list(order="desc", limit=1)] == [second.id, first.id]
    changed = client.evals.update(first.id, name="renamed", metadata={"team": "b"})
    assert (changed.name, changed.metadata) == ("renamed", {"team": "b"})
    assert [one.id for one in client.evals.list(order_by="updated_at", order="desc")] == [first.id, second.id]
    assert client.evals.retrieve(first.id).name == "renamed"
    gone = client.evals.delete(first.id)
    assert (gone.deleted, gone.eval_id) == (True, first.id)
    with pytest.raises(NotFoundError, match="There is no eval"):
        client.evals.retrieve(first.id)


def test_answers_that_come_with_their_items_are_judged_by_every_criterion(make_server):
    server = make_server()
    client = server.client()
    near = {
        "type": "text_similarity", "name": "near", "evaluation_metric": "fuzzy_match", "pass_threshold": 0.8,
        "input": "{{ sample.output_text }}", "reference": "{{ item.answer }}",
    }  # fmt: skip
    record = made(client, SAME, near)
    lines = [
        {"item": {"question": "a", "answer": "blue"}, "sample": {"output_text": "blue"}},
        {"item": {"question": "b", "answer": "blue river"}, "sample": {"output_text": "blue rivers"}},
        {"item": {"question": "c", "answer": "blue"}, "sample": {"choices": [{"message": {"content": "green"}}]}},
        {"item": {"question": "d"}, "sample": {"output_text": "blue"}},
        {"item": {"question": "e", "answer": "blue"}},
    ]
    content = "".join(f"{json.dumps(line)}\n" for line in lines) + "no json\n[1]\n"
    file = client.files.create(file=("items.jsonl", content.encode()), purpose="evals")
    source = {"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
    run = client.evals.runs.create(record.id, data_source=source, name="given", metadata={"k": "v"})
    client.files.delete(file.id)  # its items were read when the run was ordered
    run = ended(client, run)
    assert (run.object, run.name, run.metadata, run.model, run.error) == ("eval.run", "given", {"k": "v"}, "", None)
    counts = run.result_counts
    assert (counts.total, counts.passed, counts.failed, counts.errored) == (7, 1, 2, 4)
    told = {one.testing_criteria: (one.passed, one.failed) for one in run.per_testing_criteria_results}
    assert told == {"same": (1, 2), "near": (2, 1)}
    assert run.per_model_usage == []
    items = items_of(client, run)
    assert [item.status for item in items] == ["pass", "fail", "fail", "error", "error", "error", "error"]
    assert [item.datasource_item_id for item in items] == list(range(7))
    assert items[1].datasource_item == lines[1]["item"]
    assert [(one.name, one.type, one.passed) for one in items[1].results] == [
        ("same", "string_check", False),
        ("near", "text_similarity", True),
    ]
    assert items[2].sample.output[0].content == "green"
    assert {item.sample.error.code for item in items[3:]} == {"invalid_item"}
    reasons = [item.sample.error.message for item in items[3:]]
    assert "'answer' is a required property" in reasons[0]
    assert "comes without an answer" in reasons[1]
    assert "line 6 is not JSON" in reasons[2]
    assert "line 7: not an object" in reasons[3]
    assert [item.status for item in items_of(client, run, status="fail")] == ["fail", "fail"]
    assert [item.id for item in items_of(client, run, status="pass")] == [items[0].id]
    assert len(items_of(client, run, extra_query={"status": "error"})) == 4
    assert [item.id for item in items_of(client, run, order="desc", limit=2)] == [item.id for item in reversed(items)]
    one = client.evals.runs.output_items.retrieve(items[0].id, eval_id=record.id, run_id=run.id)
    assert one.to_dict() == items[0].to_dict()
    actions = [entry.action for entry in server.workspace.audit_entries() if entry.subject == run.id]
    assert actions == ["eval_run.create", "eval_run.take", "eval_run.change"]
    assert server.workspace.verify_audit().problem is None


def test_a_run_asks_the_model_as_chat_does_and_counts_its_tokens(make_server):
    client = make_server().client()
    record = made(client)
    sampling = {"temperature": 0.0, "max_completion_tokens": 8, "seed": 4}
    run = client.evals.runs.create(record.id, data_source=asked(rows(6), sampling_params=sampling))
    assert (run.status, run.model, run.result_counts.total) == ("queued", MODEL, 0)
    run = ended(client, run)
    assert (run.status, run.result_counts.total, run.result_counts.errored) == ("completed", 6, 0)
    items = items_of(client, run)
    for row, item in zip(rows(6), items, strict=True):
        sample = item.sample
        turns = [{"role": "user", "content": f"Repeat: {row['question']}"}]
        assert [(turn.role, turn.content) for turn in sample.input] == [("user", turns[0]["content"])]
        chat = client.chat.completions.create(model=MODEL, messages=turns, temperature=0, max_tokens=8)
        assert sample.output[0].content == chat.choices[0].message.content
        assert (sample.finish_reason, sample.usage.total_tokens) == (
            chat.choices[0].finish_reason,
            chat.usage.total_tokens,
        )
        assert (sample.temperature, sample.top_p, sample.seed, sample.max_completion_tokens) == (0.0, 1.0, 4, 8)
    (usage,) = run.per_model_usage
    assert (usage.run_model_name, usage.invocation_count, usage.cached_tokens) == (MODEL, 6, 0)
    assert usage.total_tokens == sum(item.sample.usage.total_tokens for item in items)


def test_an_item_reference_a_schema_and_tools_are_followed(make_server):
    client = make_server().client()
    schema = {"type": "object", "properties": {"talk": {"type": "array"}}, "required": ["talk"]}
    valid = {"type": "json_schema", "name": "form", "schema": {"type": "object", "required": ["city"]}}
    config = {"type": "custom", "item_schema": schema, "include_sample_schema": True}
    record = made(client, valid, config=config)
    talk = [{"role": "developer", "content": [{"type": "input_text", "text": "Be short."}]},
            {"role": "user", "content": "Where?"}]  # fmt: skip
    city = {"type": "object", "properties": {"city": {"enum": ["Rome", "Oslo"]}}, "required": ["city"],
            "additionalProperties": False}  # fmt: skip
    form = {"type": "json_schema", "json_schema": {"name": "c", "schema": city}}
    tool = {"type": "function", "function": {"name": "find", "parameters": city}}
    source = {
        **asked([{"talk": talk}, {"talk": "Where?"}, {"talk": [{"role": "assistant", "content": "Here."}]}]),
        "input_messages": {"type": "item_reference", "item_reference": "item.talk"},
        "sampling_params": {"response_format": form, "tools": [tool]},
    }
    schema["properties"]["talk"] = {}
    record = made(client, valid, config=config)
    run = ended(client, client.evals.runs.create(record.id, data_source=source))
    items = items_of(client, run)
    assert [item.status for item in items] == ["pass", "pass", "error"]
    assert json.loads(items[0].sample.output[0].content)["city"] in ("Rome", "Oslo")
    assert [turn.role for turn in items[0].sample.input] == ["system", "user"]
    assert "input_messages" in items[2].sample.error.message


def test_models_that_are_served_here_grade(make_server):
    client = make_server().client()
    label = {
        "type": "label_model", "name": "kind", "model": MODEL, "labels": ["good", "bad"],
        "passing_labels": ["good", "bad"], "input": [{"role": "user", "content": "{{ sample.output_text }}"}],
    }  # fmt: skip
    score = {
        "type": "score_model", "name": "worth", "model": "current", "range": [1, 7], "pass_threshold": 1,
        "sampling_params": {"max_completions_tokens": 16},
        "input": [{"role": "user", "content": [{"type": "input_text", "text": "Rate {{ item.answer }}"}]}],
    }  # fmt: skip
    both = {"type": "multi", "name": "both", "graders": {"a": label, "b": score}, "calculate_output": "(a + b) / 2"}
    record = made(client, label, score, both)
    lines = [{"item": row, "sample": {"output_text": "blue"}} for row in rows(2)]
    source = {"type": "jsonl", "source": {"type": "file_content", "content": lines}}
    run = ended(client, client.evals.runs.create(record.id, data_source=source))
    usage = {one.run_model_name: one.invocation_count for one in run.per_model_usage}
    assert usage == {MODEL: 4, "current": 4}
    for item in items_of(client, run):
        kind, worth, _ = item.results
        if kind.error is None:
            assert (kind.score, kind.passed) == (1.0, True)
        if worth.error is None:
            assert 1 <= worth.score <= 7
        assert item.status in ("pass", "error", "fail")


def test_code_grades_in_the_sandbox(make_server):
    client = make_server().client()
    source = "def grade(sample, item):\n    return 1.0 if sample['note'] == item['answer'] else 0.0"
    try:
        record = made(client, {"type": "python", "name": "code", "source": source})
    except BadRequestError as error:
        pytest.skip(f"this machine cannot confine code: {error.message}")
    lines = [{"item": {"question": "q", "answer": "n"}, "sample": {"output_text": "", "note": note}} for note in "nm"]
    given = {"type": "jsonl", "source": {"type": "file_content", "content": lines}}
    run = ended(client, client.evals.runs.create(record.id, data_source=given))
    assert (run.result_counts.passed, run.result_counts.failed) == (1, 1)
    with pytest.raises(BadRequestError, match=r"testing_criteria\.0\.source"):
        made(client, {"type": "python", "name": "code", "source": "def grade("})


def test_a_grader_without_settings_compares_with_the_items_reference(make_server):
    client = make_server().client()
    config = {"type": "custom", "item_schema": {"type": "object"}, "include_sample_schema": True}
    record = made(client, {"type": "exact", "name": "same"}, {"type": "contains", "name": "in it"}, config=config)
    lines = [{"item": item, "sample": {"output_text": "a blue river"}} for item in ({"reference": "blue"}, {})]
    source = {"type": "jsonl", "source": {"type": "file_content", "content": lines}}
    first, second = items_of(client, ended(client, client.evals.runs.create(record.id, data_source=source)))
    assert [(one.name, one.passed) for one in first.results] == [("same", False), ("in it", True)]
    assert (second.status, second.results[0].error["code"]) == ("error", "no_reference")


def test_a_call_is_compared_with_the_reference(make_server):
    client = make_server().client()
    schema = {"type": "object", "properties": {"reference": {"type": "string"}}}
    config = {"type": "custom", "item_schema": schema, "include_sample_schema": True}
    record = made(client, {"type": "tool_call_match", "name": "call"}, config=config)
    call = '{"name": "find", "arguments": {"city": "Rome"}}'
    lines = [{"item": {"reference": call}, "sample": {"output_text": text}} for text in (call, "no call")]
    lines.append({"item": {}, "sample": {"output_text": call}})
    source = {"type": "jsonl", "source": {"type": "file_content", "content": lines}}
    items = items_of(client, ended(client, client.evals.runs.create(record.id, data_source=source)))
    assert [item.status for item in items] == ["pass", "fail", "error"]
    assert "has no answer to compare with" in items[2].results[0].explanation


@pytest.mark.parametrize("kind", ["logs", "stored_completions"])
def test_answers_that_were_kept_are_judged_or_asked_anew(make_server, kind):
    client = make_server().client()
    for number, use in enumerate(["a", "b", "a"]):
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": f"Repeat: {number}"}], max_tokens=4, temperature=0,
            store=True, metadata={"use": use, "number": str(number)},
        )  # fmt: skip
    said = {"type": "string_check", "name": "said", "operation": "ne", "input": "{{ sample.output_text }}",
            "reference": "{{ item.input[0].content }}"}  # fmt: skip
    record = made(client, said, config={"type": kind, "metadata": {"use": "a"}})
    assert record.data_source_config.metadata == {"use": "a"}
    kept = {"type": "completions", "source": {"type": "stored_completions"}}
    run = ended(client, client.evals.runs.create(record.id, data_source=kept))
    first = items_of(client, run)
    assert [item.datasource_item["input"][0]["content"] for item in first] == ["Repeat: 0", "Repeat: 2"]
    assert run.per_model_usage == []
    anew = {**kept, "model": MODEL, "sampling_params": {"temperature": 0, "max_completion_tokens": 4}}
    run = ended(client, client.evals.runs.create(record.id, data_source=anew))
    assert [item.sample.output[0].content for item in items_of(client, run)] == [
        item.sample.output[0].content for item in first
    ]
    assert run.per_model_usage[0].invocation_count == 2

    def number_of(**filters):
        source = {"type": "completions", "source": {"type": "stored_completions", **filters}}
        return ended(client, client.evals.runs.create(record.id, data_source=source)).result_counts.total

    assert number_of(metadata={"number": "2"}) == 1
    assert number_of(limit=1) == 1
    assert number_of(model=MODEL, created_after=int(time.time()) - 600) == 2
    for none in ({"model": "other"}, {"created_before": 1000}, {"created_after": int(time.time()) + 600}):
        with pytest.raises(BadRequestError, match="no items"):
            number_of(**none)
    with pytest.raises(BadRequestError, match="answers that were kept"):
        client.evals.runs.create(record.id, data_source=asked(rows(1)))


@pytest.mark.parametrize(
    ("criterion", "config", "told"),
    [
        ({**SAME, "type": "magic"}, CUSTOM, "testing_criteria.0: There is no grader 'magic'"),
        ({**SAME, "name": ""}, CUSTOM, "testing_criteria.0.name: it has no name"),
        ({**SAME, "reference": "{{ item.anwser }}"}, CUSTOM, "item.anwser, which the item_schema does not name"),
        (SAME, {**CUSTOM, "include_sample_schema": False}, "Set include_sample_schema to true"),
        (SAME, {**CUSTOM, "item_schema": {"type": 5}}, "data_source_config.item_schema: the schema is not valid"),
        (
            {"type": "label_model", "name": "l", "model": "gpt-9", "labels": ["a", "b"], "passing_labels": ["a"],
             "input": [{"role": "user", "content": "x"}]},
            CUSTOM,
            "testing_criteria.0.model: The model 'gpt-9' does not exist",
        ),
        (
            {"type": "label_model", "name": "l", "model": MODEL, "labels": ["a", "b"], "passing_labels": ["a"],
             "input": [{"role": "user", "content": {"type": "input_image", "image_url": "x"}}]},
            CUSTOM,
            "testing_criteria.0.input.0.content",
        ),
        ({**SAME, "name": 5}, CUSTOM, "testing_criteria.0.name"),
        ({**SAME, "input": "{{ foo }}"}, CUSTOM, "testing_criteria.0: {{ foo }} is no path"),
        (
            {"type": "multi", "name": "m", "graders": {"a": SAME}, "calculate_output": "a +"},
            CUSTOM,
            "testing_criteria.0: .* is no formula",
        ),
        ({"type": "preferred", "name": "p"}, CUSTOM, "testing_criteria.0: preferred judges which of two answers"),
        ({"type": "tool_call_match", "name": "t"}, CUSTOM, "item.ground_truth, which the item_schema does not name"),
        ({**SAME, "operation": "about"}, CUSTOM, "testing_criteria.0.operation"),
        (SAME, {"type": "files"}, "data_source_config"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_refused_when_the_eval_is_made(client, criterion, config, told):
    with pytest.raises(BadRequestError, match=told):
        made(client, criterion, config=config)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": None}, "no model is named"),
        ({"input_messages": None}, "data_source.input_messages: say what"),
        ({"input_messages": {"type": "item_reference", "item_reference": "question"}}, "is no path"),
        (
            {"input_messages": {"type": "template", "template": [{"role": "user", "content": "{{sample.x}}"}]}},
            "no sample",
        ),
        ({"source": {"type": "file_id", "id": "file-no"}}, "There is no file"),
        ({"source": {"type": "file_content", "content": []}}, "no items"),
        ({"sampling_params": {"reasoning_effort": "low"}}, "reasoning_effort"),
        ({"sampling_params": {"response_format": {"type": "xml"}}}, "response_format"),
        ({"type": "batch"}, "data_source"),
    ],
)
def test_a_run_that_cannot_be_is_refused_when_it_is_ordered(client, change, told):
    record = made(client)
    source = {key: value for key, value in asked(rows(1), **change).items() if value is not None}
    with pytest.raises((BadRequestError, NotFoundError), match=told):
        client.evals.runs.create(record.id, data_source=source)


def test_a_file_for_training_and_a_model_that_is_not_there_are_refused(client, training_file):
    record = made(client)
    file = client.files.create(file=("t.jsonl", training_file(12)), purpose="fine-tune")
    with pytest.raises(BadRequestError, match="not 'evals'"):
        client.evals.runs.create(record.id, data_source={"type": "jsonl", "source": {"type": "file_id", "id": file.id}})
    with pytest.raises(NotFoundError, match="'gpt-9' does not exist"):
        client.evals.runs.create(record.id, data_source=asked(rows(1), model="gpt-9"))


def test_of_a_file_with_too_many_items_no_more_is_read_than_tells_so(client, monkeypatch):
    file = client.files.create(file=("t.jsonl", b'{"item": {"question": "a", "answer": "b"}}\n' * 50), purpose="evals")
    read, of_line = [], eval_items._of_line
    monkeypatch.setattr(eval_items, "MAX_ITEMS", 3)
    monkeypatch.setattr(eval_items, "_of_line", lambda line, number: read.append(number) or of_line(line, number))
    with pytest.raises(BadRequestError, match="more than 3 items"):
        client.evals.runs.create(
            made(client).id, data_source={"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
        )
    assert read == [1, 2, 3, 4]


def many(client, num=60):
    """A run that takes a while: long answers."""
    sampling = {"max_completion_tokens": 400, "temperature": 1.5}
    return client.evals.runs.create(made(client).id, data_source=asked(rows(num), sampling_params=sampling))


def begun(client, run, num=1):
    while client.evals.runs.retrieve(run.id, eval_id=run.eval_id).result_counts.total < num:
        time.sleep(0.02)


def test_a_cancel_acts_within_an_item_and_what_is_done_stays(make_server):
    server = make_server()
    client = server.client()
    run = many(client)
    begun(client, run)
    canceled = client.evals.runs.cancel(run.id, eval_id=run.eval_id)
    assert canceled.status == "canceled"
    done = canceled.result_counts.total
    assert 0 < done < 60
    (engine,) = server.served.engines()
    end = time.monotonic() + 20
    while engine.status().num_running and time.monotonic() < end:
        time.sleep(0.02)
    assert not engine.status().num_running
    again = client.evals.runs.retrieve(run.id, eval_id=run.eval_id)
    assert again.result_counts.total == done == len(items_of(client, run))
    with pytest.raises(BadRequestError, match="canceled") as error:
        client.evals.runs.cancel(run.id, eval_id=run.eval_id)
    assert error.value.code == "invalid_state"
    short = client.evals.runs.create(
        run.eval_id, data_source=asked(rows(1), sampling_params={"max_completion_tokens": 2})
    )
    assert ended(client, short).status == "completed"
    assert [one.status for one in client.evals.runs.list(run.eval_id)] == ["canceled", "completed"]
    assert [one.id for one in client.evals.runs.list(run.eval_id, status="completed")] == [short.id]
    gone = client.evals.runs.delete(run.id, eval_id=run.eval_id)
    assert (gone.deleted, gone.run_id) == (True, run.id)
    with pytest.raises(NotFoundError):
        client.evals.runs.retrieve(run.id, eval_id=run.eval_id)


def test_an_eval_that_is_deleted_takes_its_run_with_it(make_server):
    server = make_server()
    client = server.client()
    run = many(client)
    begun(client, run)
    client.evals.delete(run.eval_id)
    other = client.evals.runs.create(
        made(client).id, data_source=asked(rows(1), sampling_params={"max_completion_tokens": 2})
    )
    assert ended(client, other).status == "completed"


def test_a_server_that_is_back_goes_on_with_the_items_that_are_missing(make_server):
    first = make_server()
    client = first.client()
    run = many(client, num=12)
    begun(client, run, num=2)
    first.close()
    second = make_server(root=first.workspace.root)
    kept = second.workspace.eval_items(run.id, limit=100)
    again = ended(second.client(), run)
    assert (again.status, again.result_counts.total) == ("completed", 12)
    items = second.workspace.eval_items(run.id, limit=100)
    assert [item.number for item in items] == list(range(12))
    assert {item.id: item for item in items} | {item.id: item for item in kept} == {item.id: item for item in items}
    assert again.per_model_usage[0].invocation_count == 12


def test_a_seed_makes_a_run_that_was_broken_off_the_same_as_one_that_was_not(make_server):
    client = make_server().client()
    record = made(client)
    source = asked(rows(4), sampling_params={"seed": 9, "temperature": 1.5, "max_completion_tokens": 8})
    texts = []
    for _ in range(2):
        run = ended(client, client.evals.runs.create(record.id, data_source=source))
        texts.append([item.sample.output[0].content for item in items_of(client, run)])
    assert texts[0] == texts[1]


def test_a_run_that_cannot_start_has_failed_with_the_reason(make_server, monkeypatch):
    from holdfast.errors import ModelError

    server = make_server()
    client = server.client()

    def refuse(version):
        raise ModelError("the weights are gone")

    monkeypatch.setattr(server.served, "open", refuse)
    run = ended(client, client.evals.runs.create(made(client).id, data_source=asked(rows(1))))
    assert (run.status, run.error.code, run.error.message) == ("failed", "model_error", "the weights are gone")


def test_a_defect_ends_its_run_and_not_the_next(make_server, monkeypatch):
    server = make_server()
    client = server.client()
    record = made(client)
    with monkeypatch.context() as patched:
        patched.setattr(server.served, "open", lambda version: {}["weights"])
        run = ended(client, client.evals.runs.create(record.id, data_source=asked(rows(1))))
    assert (run.status, run.error.code, run.error.message) == ("failed", "server_error", "KeyError: 'weights'")
    short = asked(rows(1), sampling_params={"max_completion_tokens": 2})
    assert ended(client, client.evals.runs.create(record.id, data_source=short)).status == "completed"


def test_an_engine_that_is_away_or_closed_is_waited_for_and_opened_again(make_server, monkeypatch):
    server = make_server()
    client = server.client()
    opened, num_opened = server.served.open, count()

    def opens(version):
        number = next(num_opened)
        if number in (0, 2):
            raise BusyError("vLLM has died and is being started again.")
        found = opened(version)
        if number in (3, 4):  # another model needed its place between the opening and the question
            server.served._engines.clear()
            found.engine.close(timeout=0)
        return found

    monkeypatch.setattr(server.served, "open", opens)
    short = asked(rows(3), sampling_params={"max_completion_tokens": 2})
    run = ended(client, client.evals.runs.create(made(client).id, data_source=short))
    assert (run.status, run.result_counts.total, run.result_counts.errored) == ("completed", 3, 0)


def test_the_thread_of_runs_outlives_what_it_meets_between_them(make_server, monkeypatch):
    server = make_server()
    client = server.client()
    look, met = server.workspace.open_eval_runs, threading.Event()

    def breaks():
        if not met.is_set():
            met.set()
            raise RuntimeError("a defect")
        return look()

    monkeypatch.setattr(server.workspace, "open_eval_runs", breaks)
    assert met.wait(30)
    short = asked(rows(1), sampling_params={"max_completion_tokens": 2})
    assert ended(client, client.evals.runs.create(made(client).id, data_source=short)).status == "completed"


def test_a_model_that_breaks_on_an_item_is_that_items_error(make_server):
    client = make_server().client()
    record = made(client)
    long = [{"question": "river " * 9000, "answer": "x"}, *rows(1)]
    run = ended(
        client,
        client.evals.runs.create(record.id, data_source=asked(long, sampling_params={"max_completion_tokens": 2})),
    )
    items = items_of(client, run)
    assert [item.status for item in items] == ["error", "fail"]
    assert items[0].sample.error.code == "context_length_exceeded"


def test_only_so_many_runs_wait(make_server, monkeypatch):
    from openai import RateLimitError

    from holdfast.jobs import eval_orders

    monkeypatch.setattr(eval_orders, "MAX_OPEN_RUNS", 0)
    client = make_server().client()
    with pytest.raises(RateLimitError, match="eval runs wait already"):
        client.evals.runs.create(made(client).id, data_source=asked(rows(1)))


def test_a_run_has_a_page_to_read(make_server):
    client = make_server().client()
    record = made(client, name="Rivers <b>")
    lines = [{"item": {"question": "a", "answer": "<i>"}, "sample": {"output_text": "<script>"}}]
    source = {"type": "jsonl", "source": {"type": "file_content", "content": lines}}
    run = ended(client, client.evals.runs.create(record.id, data_source=source))
    page = httpx2.get(run.report_url)
    assert page.headers["content-type"].startswith("text/html")
    assert "Rivers &lt;b&gt;" in page.text
    assert "&lt;script&gt;" in page.text
    assert "<script>" not in page.text


def test_the_same_in_an_async_client(make_server):
    server = make_server(limits=Limits())

    async def go():
        async with AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
            record = await client.evals.create(data_source_config=CUSTOM, testing_criteria=[SAME], name="a")
            assert (await client.evals.retrieve(record.id)).name == "a"
            assert (await client.evals.update(record.id, name="b")).name == "b"
            source = asked(rows(2), sampling_params={"max_completion_tokens": 2})
            run = await client.evals.runs.create(record.id, data_source=source)
            while run.status in ("queued", "in_progress"):
                await asyncio.sleep(0.05)
                run = await client.evals.runs.retrieve(run.id, eval_id=record.id)
            assert [one.id async for one in client.evals.runs.list(record.id)] == [run.id]
            items = [item async for item in client.evals.runs.output_items.list(run.id, eval_id=record.id)]
            one = await client.evals.runs.output_items.retrieve(items[1].id, eval_id=record.id, run_id=run.id)
            assert one.to_dict() == items[1].to_dict()
            with pytest.raises(BadRequestError):
                await client.evals.runs.cancel(run.id, eval_id=record.id)
            assert (await client.evals.runs.delete(run.id, eval_id=record.id)).deleted
            assert [one.id async for one in client.evals.list()] == [record.id]
            assert (await client.evals.delete(record.id)).deleted

    asyncio.run(go())


def test_items_are_paged_without_a_gap(make_server):
    client = make_server().client()
    lines = [{"item": row, "sample": {"output_text": "x"}} for row in rows(7)]
    source = {"type": "jsonl", "source": {"type": "file_content", "content": lines}}
    run = ended(client, client.evals.runs.create(made(client).id, data_source=source))
    found = [item.datasource_item_id for item in items_of(client, run, limit=3)]
    assert all(later == earlier + 1 for earlier, later in pairwise(found))
    assert len(found) == 7
    assert running.AT_ONCE > 1
