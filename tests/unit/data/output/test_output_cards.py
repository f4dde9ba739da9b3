"""The card is read by the Hugging Face libraries, the datasheet by people."""

import json
from dataclasses import replace

import pytest

from holdfast.data.check import Finding
from holdfast.data.output.cards import size_category
from holdfast.data.output.prepared import Counts, Outcome, PreparedRow
from holdfast.data.output.write import write_version

EVIL = "<script>alert(1)</script>\n# big | `x` [a](javascript:b) \u202egnp\x00"


@pytest.fixture
def written(tmp_path, make_prepared):
    return lambda **changes: write_version(tmp_path, make_prepared(**changes)).version


def header(folder):
    hub = pytest.importorskip("huggingface_hub")
    return hub.DatasetCard.load(folder / "README.md").data.to_dict()


def test_the_hub_reads_the_header(written, about):
    values = header(written(about=about).folder)
    assert values == {
        "pretty_name": "refunds",
        "language": ["en", "fa"],
        "license": "other",
        "license_name": "CC-BY-4.0.html",
        "license_link": "https://spdx.org/licenses/CC-BY-4.0.html",
        "size_categories": ["n<1K"],
        "task_categories": ["text-generation"],
        "tags": ["croissant", "holdfast"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "train.parquet"},
                    {"split": "test", "path": "test.parquet"},
                ],
            }
        ],
    }


def test_a_known_licence_goes_by_its_short_name(written, about):
    assert header(written(about=replace(about, license="apache-2.0")).folder)["license"] == "apache-2.0"
    assert "license" not in header(written(about=replace(about, license="")).folder)


@pytest.mark.filterwarnings("ignore")
def test_datasets_loads_the_folder(written, tmp_path, make_example):
    datasets = pytest.importorskip("datasets")
    rows = [PreparedRow(make_example(str(n))) for n in range(3)]
    version = written(validation=lambda: rows, counts=Counts(12, 12, 1, {"duplicate": 2}, made=3))
    loaded = datasets.load_dataset(str(version.folder), cache_dir=str(tmp_path / "cache"))
    assert {name: part.num_rows for name, part in loaded.items()} == {"train": 8, "test": 2, "validation": 3}
    assert loaded["train"][7]["messages"][2]["tool_calls"][0]["function"]["name"] == "refund"
    assert json.loads(loaded["train"][7]["tools"])[0]["function"]["name"] == "refund"


@pytest.mark.filterwarnings("ignore")
def test_datasets_loads_a_folder_whose_test_is_empty(written, tmp_path, make_prepared):
    datasets = pytest.importorskip("datasets")
    version = written(test=tuple, counts=Counts(10, 7, 1, {"duplicate": 2}))
    loaded = datasets.load_dataset(str(version.folder), cache_dir=str(tmp_path / "cache"))
    assert {name: part.num_rows for name, part in loaded.items()} == {"train": 8}


def test_labels_make_it_a_classification(written, make_example):
    rows = [PreparedRow(make_example(str(n), label="a")) for n in range(8)]
    assert header(written(train=lambda: rows).folder)["task_categories"] == ["text-classification"]


def test_hostile_text_does_nothing_in_the_card(written, about):
    finding = Finding("odd", EVIL, "warning", 1, EVIL)
    version = written(name=EVIL, outcomes=[Outcome(finding)], about=replace(about, description=EVIL))
    for name in ("README.md", "datasheet.md"):
        text = (version.folder / name).read_text(encoding="utf-8")
        body = text.split("\n---\n", 1)[-1]
        assert "<script>" not in body
        assert "\n# big" not in body
        assert "](javascript" not in body
        assert "\u202e" not in body
        assert "\x00" not in text
    assert header(version.folder)["pretty_name"] == EVIL


def test_the_card_gives_the_numbers_that_add_up(written):
    text = (written().folder / "README.md").read_text(encoding="utf-8")
    assert "12 rows read = 9 kept as they were + 1 changed + 2 rejected" in text
    assert "| train | 8 | 1 | 0 | 120 | 40 |" in text
    assert "1. 1 row holds an e-mail address. Remedy: mask them" in text
    assert "nobody has said yet under which licence" in text


def test_sizes_go_by_the_hubs_words():
    words = [size_category(number) for number in (0, 999, 1000, 99_999, 100_000, 10**6, 10**7, 10**8, 10**12)]
    assert words == [
        *("n<1K", "n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M"),
        *("1M<n<10M", "10M<n<100M", "100M<n<1B", "100M<n<1B"),
    ]


def test_the_datasheet_answers_what_is_known_and_marks_the_rest_as_open(written, about):
    text = (written(about=about).folder / "datasheet.md").read_text(encoding="utf-8")
    num_open = text.count("**Open**: to be answered by people.")
    num_questions = sum(line.startswith("**") and line.endswith("?**") for line in text.splitlines())
    assert f"{num_open} of {num_questions} questions are open" in text
    assert num_questions == 50
    for section in ("Motivation", "Composition", "Collection process", "Uses", "Distribution", "Maintenance"):
        assert f"## {section}" in text
    assert "Ann Author" in text
    assert "12 rows read from 1 source, 10 of them in this version" in text
    assert "- 1 row holds an e-mail address." in text
    less = (written().folder / "datasheet.md").read_text(encoding="utf-8")
    assert less.count("**Open**: to be") == num_open + 5


def test_the_datasheet_does_not_claim_checks_that_were_not_made(written):
    text = (written(outcomes=[]).folder / "datasheet.md").read_text(encoding="utf-8")
    assert "No check found any" not in text
    assert "**Does the dataset contain data that might be considered confidential?**\n\n**Open**" in text
