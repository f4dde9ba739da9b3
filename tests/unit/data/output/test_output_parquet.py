"""What is written to Parquet is read back equal, by our own reader and by the one for any file."""

import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.data.example_json import content_hash, example_id
from holdfast.data.output import parquet
from holdfast.data.output.content import ContentHash
from holdfast.data.output.parquet import read_at, read_part, schema, write_part
from holdfast.data.output.prepared import PreparedRow
from holdfast.data.prepared_rows import COLUMNS, is_prepared, prepared
from holdfast.data.read import read
from holdfast.data.sources.tables import parquet_rows
from holdfast.errors import DataError
from holdfast.types import Example, Message, ToolCall

pq = pytest.importorskip("pyarrow.parquet")

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
some_text = st.none() | text
number = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
json_value = st.recursive(
    st.none() | st.booleans() | number | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
json_object = st.dictionaries(text, json_value, max_size=3)
message = st.builds(
    Message,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=text,
    tool_calls=st.lists(st.builds(ToolCall, name=text, arguments=text, id=text), max_size=2).map(tuple),
    weight=st.sampled_from([0.0, 1.0, 0.25]),
    tool_call_id=text,
)
any_example = st.builds(
    Example,
    id=st.just(""),
    messages=st.lists(message, max_size=4).map(tuple),
    tools=st.lists(json_object, max_size=2).map(tuple),
    privileged_context=some_text,
    document=some_text,
    label=some_text,
    source=text,
    columns=json_object,
).map(lambda made: replace(made, id=example_id(made)))
any_row = st.builds(PreparedRow, any_example, st.lists(text, max_size=2).map(tuple), st.booleans())


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(any_row, max_size=4))
def test_any_rows_are_read_back_equal(rows, tmp_path):
    path = tmp_path / "part.parquet"
    summary = write_part(path, rows)
    assert list(read_part(path)) == rows
    assert summary.content_hash == content_hash([row.example for row in rows])
    # Read as any Parquet file is, the same rows still become the same examples.
    raw = [row.value for row in parquet_rows(path)]
    assert all(is_prepared(row) for row in raw)
    assert [prepared(row) for row in raw] == [row.example for row in rows]


def test_the_reader_of_any_file_sees_the_same_conversations(tmp_path, make_prepared):
    path = tmp_path / "train.parquet"
    rows = list(make_prepared().train())
    write_part(path, rows)
    result = read(str(path))
    assert not result.rejected
    for found, row in zip(result.examples, rows, strict=True):
        assert (found.id, found.messages, found.tools) == (row.example.id, row.example.messages, row.example.tools)


def test_a_classified_row_keeps_its_label_and_counts_it(tmp_path, make_example):
    path = tmp_path / "train.parquet"
    rows = [PreparedRow(make_example(str(n), label="ab"[n % 2]), synthetic=n == 0) for n in range(5)]
    summary = write_part(path, rows)
    assert dict(summary.labels) == {"a": 3, "b": 2}
    assert (summary.num_rows, summary.num_synthetic, summary.num_changed) == (5, 1, 0)
    assert [row.label for row in read(str(path)).examples] == list("ababa")


def test_the_file_has_the_stated_columns_and_types(tmp_path, make_prepared):
    path = tmp_path / "train.parquet"
    write_part(path, make_prepared().train())
    found = pq.read_schema(path)
    assert tuple(found.names) == COLUMNS
    assert found.equals(schema())
    assert str(found.field("messages").type) == (
        "list<element: struct<role: string, content: string, tool_calls: list<element: struct<id: string, "
        "type: string, function: struct<name: string, arguments: string>>>, weight: double, tool_call_id: string>>"
    )


def test_an_empty_part_is_a_file_without_rows(tmp_path):
    path = tmp_path / "test.parquet"
    assert write_part(path, []).content_hash == content_hash([])
    assert list(read_part(path)) == []
    assert pq.read_schema(path).equals(schema())


def test_row_groups_end_by_rows_and_by_size(tmp_path, make_example, monkeypatch):
    monkeypatch.setattr(parquet, "GROUP_ROWS", 4)
    monkeypatch.setattr(parquet, "GROUP_CHARACTERS", 2000)
    path = tmp_path / "train.parquet"
    rows = [PreparedRow(make_example(str(n), "x" * (3000 if n in (4, 5) else 1))) for n in range(11)]
    write_part(path, rows)
    file = pq.ParquetFile(path)
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    assert sizes == [4, 1, 1, 4, 1]
    assert [row.example.messages[0].content for row in read_part(path)] == [str(n) for n in range(11)]
    assert read_at(path, [10, 4, 4, 0]) == {n: rows[n] for n in (0, 4, 10)}


def test_memory_grows_by_a_hash_a_row_and_no_more(tmp_path, make_example, monkeypatch):
    monkeypatch.setattr(parquet, "GROUP_ROWS", 64)
    tracemalloc.start()
    rows = (PreparedRow(make_example(f"{n} " + "x" * 2000)) for n in range(3000))  # 6 MB of text
    write_part(tmp_path / "train.parquet", rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000


@pytest.mark.parametrize(
    "changes",
    [{"columns": {"a": float("nan")}}, {"document": "\ud800"}, {"columns": {"a": object()}}],
    ids=["nan", "half a surrogate pair", "no json"],
)
def test_a_row_that_no_file_can_hold_is_named(tmp_path, make_example, changes):
    bad = replace(make_example("q", source="a.jsonl:3"), **changes)
    with pytest.raises(DataError, match=r"a\.jsonl:3: cannot be written"):
        write_part(tmp_path / "train.parquet", [PreparedRow(bad)])


def test_the_content_hash_ignores_order_source_and_id_but_not_columns(make_example):
    def hashed(*examples):
        content = ContentHash()
        ids = [content.add(example) for example in examples]
        return content.hexdigest(), ids

    a, b = make_example("a", columns={"x": 1, "y": 2}), make_example("b")
    first, ids = hashed(a, b)
    assert ids == [a.id, b.id]
    assert hashed(b, replace(a, source="elsewhere:9", id="?", columns={"y": 2, "x": 1}))[0] == first
    assert hashed(replace(a, columns={"x": 2}), b)[0] != first
    assert hashed(a, b, b)[0] != first
    many = [make_example(str(n)) for n in range(300)]
    assert hashed(*many)[0] == content_hash(many)


def test_a_file_that_is_no_part_is_one_clear_error(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="cannot be read"):
        list(read_part(tmp_path / "a.parquet"))
    pq.write_table(__import__("pyarrow").table({"id": ["x"], "messages": ["?"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match="not of a prepared part"):
        list(read_part(tmp_path / "b.parquet"))
