"""Parquet files and Hugging Face data sets; nothing is downloaded."""

import sys

import pytest

from holdfast.data.read import read
from holdfast.errors import DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
datasets = pytest.importorskip("datasets")


def parquet(path, columns):
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_parquet_rows_are_numbered_and_nan_labels_refused(tmp_path):
    path = parquet(tmp_path / "a.parquet", {"text": ["a", None, "c"], "label": [1.0, 2.0, float("nan")]})
    result = read(path)
    assert [(example.label, example.source) for example in result.examples] == [("1", f"{path}:1")]
    assert [(row.line, row.kind) for row in result.rejected] == [(2, "empty"), (3, "label")]


def test_keys_that_arrow_added_to_objects_are_removed(tmp_path):
    tools = [
        [{"name": "f", "parameters": {"a": {"type": "string"}, "b": None}}],
        [{"name": "g", "parameters": {"a": None, "b": {"type": "integer"}}}],
    ]
    messages = [[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]] * 2
    result = read(parquet(tmp_path / "a.parquet", {"messages": messages, "tools": tools}))
    assert [dict(example.tools[0])["function"]["parameters"] for example in result.examples] == [
        {"a": {"type": "string"}},
        {"b": {"type": "integer"}},
    ]


def test_text_that_is_not_utf8_is_one_bad_row(tmp_path):
    raw = pa.array([b"good", b"bad \xff", b"fine"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"text": text, "label": ["x", "y", "z"]}), tmp_path / "a.parquet")
    result = read(str(tmp_path / "a.parquet"))
    assert [example.label for example in result.examples] == ["x", "z"]
    (row,) = result.rejected
    assert (row.line, row.reason) == (2, "the text in text is not UTF-8")
    assert "bad \\\\xff" in row.raw


def test_nested_text_that_is_not_utf8_is_one_bad_row_too(tmp_path):
    raw = pa.array([b"good", b"bad \xff"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 2, raw.buffers())
    inner = pa.StructArray.from_arrays([pa.array(["user", "user"]), text], ["role", "content"])
    pq.write_table(pa.table({"messages": pa.ListArray.from_arrays([0, 1, 2], inner)}), tmp_path / "a.parquet")
    result = read(str(tmp_path / "a.parquet"), need_demonstration=False)
    assert len(result.examples) == 1
    assert result.rejected[0].reason == "the text in messages is not UTF-8"


def test_a_file_that_is_no_parquet_is_an_error(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(DataError, match="Parquet file cannot be read from the start"):
        read(str(tmp_path / "a.parquet"))


def test_class_numbers_become_class_names(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    table = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    table.to_parquet(tmp_path / "a.parquet")
    assert [example.label for example in read(str(tmp_path / "a.parquet")).examples] == ["pos", "neg"]


def fake_hub(monkeypatch, answer):
    asked = []

    def load_dataset(path, config, *, split):
        asked.append((path, config, split))
        if isinstance(answer, Exception):
            raise answer
        return answer[split] if split else answer

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_a_data_set_id_reads_its_train_split_and_says_so(monkeypatch):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    train = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    asked = fake_hub(monkeypatch, datasets.DatasetDict(train=train, test=train.select([0])))
    result = read("someone/tweets")
    assert asked == [("someone/tweets", None, None)]
    assert [(example.label, example.source) for example in result.examples] == [
        ("pos", "someone/tweets:1"),
        ("neg", "someone/tweets:2"),
    ]
    assert result.rejected[0].reason == "label is -1, which is none of the 2 classes"
    assert "the split `train` was read (not read: test)" in result.notes
    assert len(read("someone/tweets:test").examples) == 1
    assert len(read("someone/tweets:plain:test#1").examples) == 1
    assert asked[1:] == [("someone/tweets", None, "test"), ("someone/tweets", "plain", "test")]


def test_a_data_set_whose_split_is_not_clear_asks_for_it(monkeypatch):
    part = datasets.Dataset.from_dict({"text": ["a"], "label": ["x"]})
    fake_hub(monkeypatch, datasets.DatasetDict(dev=part, test=part))
    with pytest.raises(DataError, match="There are: dev, test"):
        read("someone/tweets")
    fake_hub(monkeypatch, datasets.DatasetDict(dev=part))
    assert len(read("someone/tweets").examples) == 1


def test_a_data_set_that_cannot_be_loaded_is_one_clear_error(monkeypatch):
    fake_hub(monkeypatch, ConnectionError("offline"))
    with pytest.raises(DataError, match=r"could not be loaded \(ConnectionError: offline\)"):
        read("someone/tweets")
    fake_hub(monkeypatch, {"not": "a table"})
    with pytest.raises(DataError, match="a dict came back"):
        read("someone/tweets")


def test_a_local_folder_is_a_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "tweets:v1"
    folder.mkdir()
    parquet(folder / "train-00000-of-00002.parquet", {"text": ["a", "b"], "label": ["x", "y"]})
    parquet(folder / "train-00001-of-00002.parquet", {"text": ["c"], "label": ["z"]})
    assert [example.label for example in read(str(folder)).examples] == ["x", "y", "z"]
    (folder / "train-00001-of-00002.parquet").write_bytes(b"broken")
    with pytest.raises(DataError, match="could not be loaded"):
        read(str(folder))


def test_reading_text_files_needs_no_heavy_library():
    import subprocess

    code = (
        "import sys, holdfast.data.read, holdfast.data.prepare, holdfast.graders;"
        "print([m for m in ('torch', 'transformers', 'datasets', 'pandas', 'pyarrow', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
