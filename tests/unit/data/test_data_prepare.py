"""Preparation: the numbers add up, splits share no prompt, and what is written is read again."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.prepare import (
    Rejected,
    content_hash,
    example_id,
    from_json,
    load_prepared,
    prepare,
    prompt_id,
    split,
    to_json,
    without_overlap,
    write_prepared,
)
from holdfast.data.read import read
from holdfast.data.report import report_from_json
from holdfast.errors import DataError
from holdfast.types import Example, Message, ToolCall

texts = st.text(max_size=12)
calls = st.builds(ToolCall, name=texts, arguments=texts, id=texts)
messages = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=texts,
    tool_calls=st.lists(calls, max_size=2).map(tuple),
    weight=st.sampled_from([0.0, 1.0]),
    tool_call_id=texts,
)
examples = st.builds(
    Example,
    id=texts,
    messages=st.lists(messages, max_size=4).map(tuple),
    tools=st.lists(st.fixed_dictionaries({"name": texts}), max_size=2).map(tuple),
    privileged_context=st.none() | texts,
    document=st.none() | texts,
    label=st.none() | texts,
    source=texts,
)


def asked(question, answer="yes", source=""):
    example = Example("", (Message("user", question), Message("assistant", answer)), source=source)
    return replace(example, id=example_id(example))


@settings(deadline=None, max_examples=100)
@given(examples)
def test_an_example_survives_json(example):
    assert from_json(json.loads(json.dumps(to_json(example)))) == example


@settings(deadline=None, max_examples=60)
@given(st.lists(examples, max_size=8), st.lists(st.just(Rejected("f", 1, "why", "raw")), max_size=3))
def test_every_row_ends_as_kept_or_rejected(given_examples, refused):
    done = prepare(given_examples, rejected=refused, check=lambda example: "long" if len(example.id) % 2 else None)
    assert len(done.kept) + len(done.rejected) == len(given_examples) + len(refused) == done.report.num_rows
    assert (done.report.num_kept, done.report.num_rejected) == (len(done.kept), len(done.rejected))
    assert sum(done.report.reasons.values()) == done.report.num_rejected
    assert len({example.id for example in done.kept}) == len(done.kept)


def test_ids_depend_on_content_and_not_on_place():
    example = asked("q")
    assert example_id(replace(example, source="b.jsonl:9", id="x")) == example.id
    for other in (
        asked("q", "no"),
        replace(example, label="a"),
        replace(example, document="a"),
        replace(example, privileged_context="a"),
        replace(example, tools=({"name": "f"},)),
        replace(example, messages=(example.messages[0], replace(example.messages[1], weight=0.0))),
    ):
        assert example_id(other) != example.id
    # The same tool written with its keys in another order is the same tool.
    one, two = replace(example, tools=({"a": 1, "b": 2},)), replace(example, tools=({"b": 2, "a": 1},))
    assert example_id(one) == example_id(two)


def test_the_id_is_the_one_worked_out_by_hand():
    import hashlib

    text = '{"messages":[{"content":"q","role":"user"},{"content":"yes","role":"assistant"}]}'
    assert asked("q").id == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_content_hash_has_no_order_but_counts():
    one, two = asked("a"), asked("b")
    assert content_hash([one, two]) == content_hash([two, one])
    assert len({content_hash(part) for part in ([], [one], [one, one], [one, two])}) == 4


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"id": "x"},
        {"id": 1, "messages": []},
        {"id": "x", "messages": "no"},
        {"id": "x", "messages": [{"role": "bot", "content": ""}]},
        {"id": "x", "messages": [{"role": "user", "content": None}]},
        {"id": "x", "messages": [{"role": "user", "content": "", "weight": "1"}]},
        {"id": "x", "messages": [{"role": "user", "content": "", "tool_calls": [{"function": "f"}]}]},
        {"id": "x", "messages": [], "label": 3},
    ],
)
def test_json_that_is_no_example_is_an_error(row):
    with pytest.raises(DataError, match="not a prepared example"):
        from_json(row)


def test_duplicates_name_the_first_of_them():
    done = prepare([asked("a", source="f.jsonl:1"), asked("b", source="f.jsonl:2"), asked("a", source="f.jsonl:3")])
    (row,) = done.rejected
    assert (row.source, row.line, row.kind, row.reason) == ("f.jsonl", 3, "duplicate", "is the same as f.jsonl:1")
    assert from_json(json.loads(row.raw)) == asked("a", source="f.jsonl:3")
    assert prepare([asked("a"), asked("a")]).rejected[0].reason == "is the same as example 1"


def test_the_models_check_rejects_with_its_reason_and_the_report_quotes_it():
    done = prepare(
        [asked("a", source="f.jsonl:1"), asked("b", source="f.jsonl:2")],
        check=lambda example: "9 tokens, 8 fit" if example.source.endswith(":2") else None,
        format="prompt/completion",
        notes=["hello"],
    )
    assert done.report.reasons == {"model": 1}
    assert done.report.first_reasons == {"model": "f.jsonl:2: 9 tokens, 8 fit"}
    assert (done.report.format, done.report.notes) == ("prompt/completion", ("hello",))


def test_examples_built_in_code_are_checked_too():
    broken = Example("", (Message("user", "\ud800"), Message("assistant", "x")))
    endless = Example("", (Message("user", "q"),), tools=({"x": float("nan")},))
    deep = {}
    for _ in range(5000):
        deep = {"x": deep}
    done = prepare([broken, endless, Example("", (), tools=(deep,))])
    assert [(row.kind, row.line) for row in done.rejected] == [("encoding", 0), ("json", 0), ("json", 0)]
    assert done.rejected[2].raw.startswith("(cannot be written")
    assert "\\ud800" in done.rejected[0].raw


def test_labels_are_counted_and_contradictions_said():
    first = Example("", (Message("user", "so tired"),), label="sad")
    done = prepare([first, replace(first, label="glad"), replace(first, messages=(Message("user", "x"),))])
    assert done.report.labels == {"sad": 2, "glad": 1}
    assert done.report.notes[0].startswith("1 prompts have several different answers")


def test_progress_is_told():
    seen = []
    prepare([asked("a"), asked("a")], progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 2), (2, 2)]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 30), max_size=40), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]), st.integers(0, 5))
def test_a_split_loses_nothing_and_shares_no_prompt(numbers, share, seed):
    items = [asked(f"q{number}", f"a{place}") for place, number in enumerate(numbers)]
    train, test = split(items, test_share=share, seed=seed)
    assert sorted(e.id for e in [*train, *test]) == sorted(e.id for e in items)
    assert not {prompt_id(e) for e in train} & {prompt_id(e) for e in test}
    again, _ = split(list(reversed(items)), test_share=share, seed=seed)
    assert {e.id for e in again} == {e.id for e in train}


def test_a_split_takes_the_share_asked_for():
    items = [asked(f"q{number}") for number in range(200)]
    train, test = split(items, test_share=0.2, seed=0)
    assert (len(train), len(test)) == (160, 40)
    assert {e.id for e in split(items, test_share=0.2, seed=1).test} != {e.id for e in test}
    assert [len(part) for part in split(items[:3], test_share=0.01)] == [2, 1]
    assert [len(part) for part in split(items[:3], test_share=0.99)] == [1, 2]
    assert [len(part) for part in split(items[:1], test_share=0.5)] == [0, 1]
    assert [len(part) for part in split(items[:3], test_share=0)] == [3, 0]


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan")])
def test_a_share_that_is_none_is_an_error(share):
    with pytest.raises(DataError, match="test_share"):
        split([asked("a")], test_share=share)


def test_training_examples_that_ask_a_test_question_are_rejected():
    test = [asked("a", "yes", "test.jsonl:1")]
    done = without_overlap([asked("a", "no", "train.jsonl:1"), asked("b", source="train.jsonl:2")], test)
    assert [e.source for e in done.kept] == ["train.jsonl:2"]
    assert done.rejected[0].reason == "asks the same as the test item test.jsonl:1"
    assert done.rejected[0].kind == "in_test"


@pytest.fixture
def prepared():
    items = [asked(f"پرسش {number}", source=f"f.jsonl:{number + 1}") for number in range(10)]
    done = prepare([*items, items[0]], rejected=[Rejected("f.jsonl", 99, "not JSON", "{\u2028", "json")])
    return done, split(done.kept, test_share=0.3)


def test_what_is_written_is_loaded(tmp_path, prepared):
    done, parts = prepared
    write_prepared(tmp_path / "deep" / "data", parts.train, parts.test, done.rejected, done.report)
    loaded = load_prepared(tmp_path / "deep" / "data")
    assert (loaded.train, loaded.test, loaded.rejected) == (parts.train, parts.test, done.rejected)
    assert (loaded.report.num_rows, loaded.report.num_train, loaded.report.num_test) == (12, 7, 3)
    assert loaded.report.num_rejected == 2
    assert loaded.report.train_hash == content_hash(parts.train)
    assert "پرسش" in (tmp_path / "deep" / "data" / "train.jsonl").read_text()
    assert [item.name for item in (tmp_path / "deep").iterdir()] == ["data"]


def test_prepared_data_is_itself_readable_data(tmp_path, prepared):
    done, parts = prepared
    write_prepared(tmp_path / "data", parts.train, parts.test, done.rejected, done.report)
    result = read(str(tmp_path / "data" / "train.jsonl"))
    assert [example.id for example in result.examples] == [example.id for example in parts.train]


def test_writing_again_replaces_the_whole(tmp_path, prepared):
    done, parts = prepared
    folder = tmp_path / "data"
    write_prepared(folder, parts.train, parts.test, done.rejected, done.report)
    (tmp_path / ".data.new").mkdir()  # as a killed run leaves it
    (tmp_path / ".data.new" / "half").write_text("x")
    one = prepare([asked("only")])
    write_prepared(folder, one.kept, [], [], one.report)
    assert [len(part) for part in (load_prepared(folder).train, load_prepared(folder).test)] == [1, 0]
    assert [item.name for item in tmp_path.iterdir()] == ["data"]


def test_a_crash_before_the_end_leaves_the_old_data(tmp_path, prepared, monkeypatch):
    done, parts = prepared
    folder = tmp_path / "data"
    write_prepared(folder, parts.train, parts.test, done.rejected, done.report)
    monkeypatch.setattr("holdfast.data.folder.report_to_json", lambda report: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_prepared(folder, parts.test, parts.train, done.rejected, done.report)
    assert load_prepared(folder).train == parts.train


def test_a_lost_row_is_noticed(tmp_path, prepared):
    done, parts = prepared
    with pytest.raises(DataError, match="A row was lost or counted twice"):
        write_prepared(tmp_path / "data", parts.train[1:], parts.test, done.rejected, done.report)
    assert not (tmp_path / "data").exists()


def test_other_peoples_files_are_never_overwritten(tmp_path, prepared):
    done, parts = prepared
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(DataError, match="holds other files"):
        write_prepared(tmp_path, parts.train, parts.test, done.rejected, done.report)
    with pytest.raises(DataError, match="is a file"):
        write_prepared(tmp_path / "thesis.txt", parts.train, parts.test, done.rejected, done.report)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "report.json").unlink(),
        lambda folder: (folder / "report.json").write_text(""),
        lambda folder: (folder / "report.json").write_text("{}"),
        lambda folder: (folder / "test.jsonl").write_text(""),
        lambda folder: (folder / "rejected.jsonl").write_text(""),
        lambda folder: (folder / "rejected.jsonl").write_text('{"source": "x"}'),
        lambda folder: (folder / "train.jsonl").write_text("5"),
        lambda folder: (folder / "train.jsonl").write_text("{"),
        lambda folder: (folder / "train.jsonl").write_bytes(b"\xff"),
        lambda folder: (folder / "train.jsonl").write_text((folder / "test.jsonl").read_text()),
    ],
)
def test_damaged_prepared_data_is_refused(tmp_path, prepared, damage):
    done, parts = prepared
    write_prepared(tmp_path / "data", parts.train, parts.test, done.rejected, done.report)
    damage(tmp_path / "data")
    with pytest.raises(DataError, match="Prepare the data again"):
        load_prepared(tmp_path / "data")


def test_a_report_of_another_version_is_refused():
    with pytest.raises(DataError, match="other fields"):
        report_from_json({"rows": 3})
