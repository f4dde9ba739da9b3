"""Documents become questions: several wordings of each fact, each checked, and every other one named."""

import json
from dataclasses import dataclass

import pytest
from pydantic import ValidationError

from holdfast.data.example_json import example_id
from holdfast.data.making.chunks import ChunkSettings
from holdfast.data.making.knowledge import KnowledgeSettings, questions_on
from holdfast.data.making.writer import MAX_STARTS, objects_in, written
from holdfast.errors import DataError


@dataclass(frozen=True)
class Part:
    """What the reader of documents gives."""

    text: str
    source: str = "handbook.pdf"
    page: int | None = 3
    section: str = "Refunds"


TEXT = "Refunds take 30 days. The express fee is 20 euros. They are paid by card. Customers must keep the receipt."
NO_SECTION = ("definition", "duty", "number", "date")


def ask(**values):
    return KnowledgeSettings(**{"templates": NO_SECTION, **values})


def fact(answer="Refunds take 30 days.", questions=("How long do refunds take?",), **more):
    return {"answer": answer, "questions": list(questions), **more}


def says(*texts):
    """A model that writes these texts in turn."""
    left = iter(texts)
    return lambda conversations: [next(left) for _ in conversations]


def test_every_fact_is_asked_for_in_several_wordings():
    done = questions_on([Part(TEXT)], ask())
    assert (done.num_facts, done.num_chunks, done.num_chunks_without, done.rejected) == (3, 1, 0, [])
    refund = [example for example in done.examples if "30 days" in example.messages[1].content]
    assert [example.messages[0].content for example in refund] == [
        "How long do refunds take?",
        "Can you tell me how long refunds take?",
        "Please tell me how long refunds take.",
        "A colleague asked me how long refunds take. What should I answer?",
    ]
    assert [example.columns["wording"] for example in refund] == ["direct"] * 3 + ["indirect"]
    assert len({example.columns["fact"] for example in refund}) == 1
    first = refund[0]
    assert (first.document, first.source, first.id) == (TEXT, "handbook.pdf:3", example_id(first))
    assert {key: value for key, value in first.columns.items() if key != "fact"} == {
        "wording": "direct",
        "made_by": "template:number",
        "short_answer": "30 days",
        "section": "Refunds",
        "page": 3,
    }


def test_wordings_and_indirect_say_how_many_questions_ask():
    def count(**values):
        done = questions_on([Part("Refunds take 30 days.")], ask(**values))
        return [example.columns["wording"] for example in done.examples]

    assert count(wordings=6, indirect=2) == ["direct"] * 4 + ["indirect"] * 2
    assert count(wordings=2, indirect=0) == ["direct"] * 2
    for wrong in ({"wordings": 6, "indirect": 0}, {"wordings": 2, "indirect": 2}, {"wordings": 1}):
        with pytest.raises(ValidationError):
            ask(**wrong)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("definition", "A parcel is a box that is sent by post."),
        ("duty", "Customers must keep the receipt."),
        ("number", "Refunds take 30 days."),
        ("date", "The shop opens at 9:00."),
        ("section", "Whoever wants a refund, asks the desk for the form."),
    ],
)
def test_templates_says_what_is_asked_for(kind, text):
    assert questions_on([Part(text)], KnowledgeSettings(templates=(kind,))).num_facts == 1
    others = tuple(name for name in ("definition", "duty", "number", "date") if name != kind)
    assert questions_on([Part(text)], KnowledgeSettings(templates=others)).num_facts == 0


def test_a_section_is_asked_for_by_its_name_where_it_is_whole():
    done = questions_on(
        [Part("Whoever wants a refund, asks the desk for it.")], KnowledgeSettings(templates=("section",))
    )
    assert done.examples[0].messages[0].content == 'What does the section "Refunds" of "handbook" say?'
    long = Part("Whoever wants a refund, asks the desk for it. " * 40)
    assert questions_on([long], KnowledgeSettings(templates=("section",))).examples == []


def test_chunks_says_how_documents_are_cut():
    whole = questions_on([Part(TEXT)], ask())
    cut = questions_on([Part(TEXT)], ask(chunks=ChunkSettings(by="sentence", max_size=40)))
    assert (whole.num_chunks, cut.num_chunks) == (1, 4)
    assert cut.num_chunks_without == 1, "the sentence that begins with They"
    assert {example.document for example in cut.examples} == {
        "Refunds take 30 days.",
        "The express fee is 20 euros.",
        "Customers must keep the receipt.",
    }
    assert cut.num_facts == whole.num_facts == 3


def test_a_sentence_in_two_overlapping_chunks_is_one_fact_and_asked_once():
    text = "Refunds take 30 days.\n\nCustomers must keep the receipt.\n\nThe express fee is 20 euros."
    done = questions_on([Part(text)], ask(chunks=ChunkSettings(max_size=60, overlap=30)))
    assert done.num_chunks > 1
    assert (done.num_facts, len(done.examples), done.rejected) == (3, 12, [])


def test_a_question_with_two_answers_is_not_asked():
    parts = [Part("Refunds take 30 days.", source="old.pdf"), Part("Refunds take 14 days.", source="new.pdf")]
    done = questions_on(parts, ask())
    assert done.examples == []
    assert done.reasons == {"ambiguous": 8}
    assert "2 different answers" in done.rejected[0].reason
    assert (done.rejected[0].source, done.rejected[0].line) == ("old.pdf", 3)


def test_a_model_writes_facts_that_are_checked():
    answer = json.dumps(
        {
            "facts": [
                fact(indirect=["I sent my shoes back, when do refunds arrive?"]),
                fact("Refunds take 31 days.", ["How many days do refunds need?"]),
                fact(questions=["How long do refunds take according to the text?"]),
            ]
        }
    )
    done = questions_on([Part(TEXT)], ask(templates=()), write=says(f"Sure!\n```json\n{answer}\n```"))
    assert [example.messages[0].content for example in done.examples] == [
        "How long do refunds take?",
        "I sent my shoes back, when do refunds arrive?",
    ]
    assert {example.columns["made_by"] for example in done.examples} == {"model"}
    assert done.reasons == {"unsupported": 1, "points": 1}
    assert json.loads(done.rejected[0].raw)["answer"] == "Refunds take 31 days."


def test_a_fact_of_a_model_and_of_a_template_with_the_same_answer_is_one():
    answer = json.dumps({"facts": [fact(questions=["How long do refunds take?", "How many days do refunds take?"])]})
    done = questions_on([Part("Refunds take 30 days.")], ask(), write=says(answer))
    assert (done.num_facts, len(done.examples), done.reasons) == (1, 5, {"duplicate": 1})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "is empty"),
        ("I cannot do that.", "holds no JSON object with facts"),
        ('{"facts": []}', "holds no JSON object with facts"),
        ('{"facts": "none"}', "holds no JSON object with facts"),
        ('{"facts": [{"questions": ["How long?"]}]}', "has a fact without an answer"),
        ('{"facts": [{"answer": "30 days", "questions": [3, null, " "]}]}', "has a fact without a question"),
        ("[[[[[", "holds no JSON object with facts"),
        ('{"answer": NaN, "question": "x"}', "holds no JSON object with facts"),
    ],
)
def test_an_answer_that_cannot_be_read_is_counted_with_its_reason(answer, reason):
    done = questions_on([Part(TEXT)], ask(templates=()), write=says(answer))
    (row,) = done.rejected
    assert (row.kind, row.reason, row.raw) == ("unreadable", f"what the model wrote {reason}", answer)


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps({"facts": [fact()]}),
        json.dumps([fact()]),
        json.dumps(fact()),
        json.dumps({"answer": "Refunds take 30 days.", "question": "How long do refunds take?"}),
        json.dumps({"questions": [{"answer": "Refunds take 30 days.", "question": "How long do refunds take?"}]}),
        f"<think>maybe {{'a': }} {json.dumps(fact('31 days'))}</think>{json.dumps(fact())}",
        '{"facts": [' + json.dumps(fact()) + ', {"answer": "The fee is 2',
        "Q: How long do refunds take?\nA: Refunds take 30 days.",
        "1. **Question:** How long do refunds take?\n   **Answer:** Refunds take 30 days.\n",
    ],
)
def test_many_forms_of_an_answer_are_read(answer):
    done = questions_on([Part(TEXT)], ask(templates=()), write=says(answer))
    assert [example.messages[0].content for example in done.examples] == ["How long do refunds take?"]


def test_the_model_reads_the_chunk_and_how_much_is_wanted():
    asked = []

    def write(conversations):
        asked.append(conversations)
        return [""] * len(conversations)

    settings = ask(facts_per_chunk=7, at_once=2, wordings=3, indirect=1)
    questions_on([Part(f"Rule {n}.") for n in range(5)], settings, write=write)
    assert [len(batch) for batch in asked] == [2, 2, 1]
    prompt = asked[0][0][-1]["content"]
    assert "Rule 0." in prompt
    assert "Refunds" in prompt
    assert "up to 7 facts" in prompt
    assert "questions, 2 that" in prompt
    questions_on([Part("A rule.")], ask(indirect=0, wordings=2), write=write)
    assert "indirect" not in asked[-1][0][-1]["content"]


def test_a_model_that_answers_too_little_is_an_error():
    with pytest.raises(DataError, match="asked 2 times and gave 1"):
        list(written(lambda conversations: ["x"], [[], []], 8))
    with pytest.raises(DataError, match="one text for each"):
        list(written(lambda conversations: [None], [[]], 8))


def test_without_templates_and_without_a_model_nothing_can_be_asked():
    with pytest.raises(DataError, match="No template and no model"):
        questions_on([Part(TEXT)], ask(templates=()))


def test_no_document_gives_nothing():
    done = questions_on([Part("")], ask())
    assert (done.examples, done.num_chunks) == ([], 0)


@pytest.mark.parametrize("text", ["[" * 30_000, "{" * 30_000, '{"a":' * 8_000, "Q:\n" * 8_000, "\n" * 30_000])
def test_hostile_answers_end_in_time(text):
    assert objects_in(text) == []
    assert MAX_STARTS < 1000
    done = questions_on([Part(TEXT)], ask(templates=()), write=says(text))
    assert done.reasons == {"unreadable": 1}
