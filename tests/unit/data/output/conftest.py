"""A small made-up preparation whose numbers add up, to be changed by each test where it matters."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from holdfast.data.check import Finding, Shown
from holdfast.data.example_json import example_id
from holdfast.data.output.prepared import (
    About,
    Bin,
    ChangedRow,
    Counts,
    Figures,
    Outcome,
    PreparedData,
    PreparedRow,
    Source,
    Tokens,
)
from holdfast.data.rejected import Rejected
from holdfast.types import Example, Message, ToolCall


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """That files are flushed has a test of its own; elsewhere it only takes time."""
    monkeypatch.setattr("os.fsync", lambda number: None)


def example(question, answer="yes", *, label=None, source="", columns=None, **more):
    """An example with its content id."""
    messages = (Message("user", question), Message("assistant", answer))
    made = Example("", messages, label=label, source=source, columns=columns or {}, **more)
    return replace(made, id=example_id(made))


@pytest.fixture
def make_example():
    return example


@pytest.fixture
def make_prepared():
    """Returns prepared data: eight rows to train on, two to test on, one of them changed, two rejected."""

    def make(**changes):
        called = ToolCall("refund", '{"order": 7}', "call_1")
        rows = [
            PreparedRow(example(f"question {number}", f"answer {number}", source=f"/in/a.jsonl:{number}"))
            for number in range(1, 8)
        ]
        tools = ({"type": "function", "function": {"name": "refund", "parameters": {"type": "object"}}},)
        with_tools = Example(
            "",
            (
                Message("system", "be kind"),
                Message("user", "refund [EMAIL]"),
                Message("assistant", "", tool_calls=(called,), weight=0.0),
                Message("tool", "done", tool_call_id="call_1"),
                Message("assistant", "It is done."),
            ),
            tools=tools,
            source="/in/a.jsonl:8",
            columns={"answer": "done", "n": 1.5, "nested": {"a": [1, None]}},
        )
        with_tools = replace(with_tools, id=example_id(with_tools))
        before = replace(with_tools, messages=(Message("user", "refund a@b.org"), Message("assistant", "It is done.")))
        train = [*rows[:7], PreparedRow(with_tools, ("pii",))]
        test = [PreparedRow(example(f"test {n}", source=f"/in/a.jsonl:{n}")) for n in (9, 10)]
        found = Finding(
            "pii",
            "1 row holds an e-mail address.",
            "problem",
            1,
            "mask them, the same person by the same placeholder",
            {"emails": 1},
            (Shown("/in/a.jsonl:8", "refund a@b.org", "refund [EMAIL]", "an e-mail address"),),
        )
        dropped = Finding("duplicates", "2 rows say what another says.", "warning", 2, "drop all but the best")
        values = {
            "name": "refunds",
            "train": lambda: iter(train),
            "test": lambda: iter(test),
            "counts": Counts(read=12, unchanged=9, changed=1, rejected={"duplicate": 2}),
            "created_at": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC),
            "changed": lambda: iter([ChangedRow(8, before, with_tools, ("pii",), ("1 e-mail address masked",))]),
            "rejected": lambda: (
                Rejected("/in/a.jsonl", line, "is the same as /in/a.jsonl:1", "{}", "duplicate") for line in (11, 12)
            ),
            "outcomes": [
                Outcome(found, applied=True, num_changed=1),
                Outcome(dropped, applied=True, num_dropped=2),
                Outcome(Finding("length", "No row is too long.")),
            ],
            "sources": [Source("/in/a.jsonl", 1234, "ab" * 32, 12)],
            "plan": {"seed": 7, "pii": {"remedy": "apply", "names": ["ann", "bob"]}},
            "figures": Figures(
                lengths=[Bin(0, 16, 4), Bin(16, 32, 6)],
                max_tokens=24,
                tokenizer="toy",
                tokens={"train": Tokens(80, 40, 31), "test": Tokens(20, 10, 12)},
                languages={"en": 9, "fa": 1, "und": 0},
                duplicates={"exact": 2},
                cluster_sizes={3: 1},
            ),
            "seed": 7,
            "holdfast": "0.1.0",
        }
        return PreparedData(**{**values, **changes})

    return make


@pytest.fixture
def about():
    """Everything that only people know."""
    return About(
        "Questions about refunds, with the answers of our support.",
        "https://spdx.org/licenses/CC-BY-4.0.html",
        ("Ann Author",),
        "https://example.org/refunds",
        "Author (2030): Refunds.",
        "data@example.org",
    )
