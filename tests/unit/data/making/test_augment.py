"""Augmentation: marked, never more than the share, never the test, and nothing that the original says is lost."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from holdfast.data.example_json import example_id
from holdfast.data.making.augment import AugmentSettings, augment
from holdfast.errors import DataError
from holdfast.types import Example, Message


def asked(question, answer="Gladly.", **more):
    example = Example("", (Message("user", question), Message("assistant", answer)), source="chat.jsonl:1", **more)
    return replace(example, id=example_id(example))


def rules(*ways, **more):
    return AugmentSettings(ways=ways, **{"max_share": 0.9, **more})


def says(*paraphrases):
    """A model that answers every request with these paraphrases."""
    return lambda conversations: [json.dumps({"paraphrases": list(paraphrases)})] * len(conversations)


POEM = asked("Write a poem about rain.")
MANY = [asked(f"Write a poem about topic {n}.") for n in range(20)]


def test_a_wording_is_marked_and_has_the_same_answer():
    tools = ({"name": "f"},)
    original = asked("Write a poem about rain.", tools=tools, document="a page", columns={"fact": "f1"})
    done = augment([original], (), rules("please"))
    (new,) = done.added
    assert new.messages[0].content == "Please write a poem about rain."
    assert new.messages[1:] == original.messages[1:]
    assert (new.tools, new.document, new.source) == (tools, "a page", "chat.jsonl:1")
    assert new.columns == {"fact": "f1", "synthetic": "please", "synthetic_of": original.id}
    assert new.id == example_id(new) != original.id
    assert done.made == Counter(please=1)


def test_the_last_user_turn_is_reworded_and_the_turns_before_stay():
    turns = (
        Message("system", "s"),
        Message("user", "Write one."),
        Message("assistant", "1"),
        Message("user", "Write two."),
    )
    example = Example("x", (*turns, Message("assistant", "2")))
    (new,) = augment([example], (), rules("please")).added
    assert [turn.content for turn in new.messages] == ["s", "Write one.", "1", "Please write two.", "2"]


def test_labels_stay():
    (new,) = augment([Example("x", (Message("user", "Do not buy it."),), label="bad")], (), rules("contraction")).added
    assert (new.label, new.messages[0].content) == ("bad", "Don't buy it.")


def test_material_below_the_first_line_is_kept_as_it_is():
    material = "\n\nI do not no. It is 5."
    example = asked("Correct this text for me." + material)
    done = augment([example], (), rules("paraphrase", "please", "contraction"), write=says("Fix this text for me."))
    assert {new.messages[0].content for new in done.added} == {
        "Fix this text for me." + material,
        "Please correct this text for me." + material,
    }


def test_ways_says_how_wordings_are_made():
    assert augment([POEM], (), rules("please")).made == {"please": 1}
    assert augment([POEM], (), rules("polite")).made == {"polite": 1}
    assert augment([POEM], (), rules("contraction")).num_without == 1
    assert augment([POEM], (), rules("typo")).made == {"typo": 1}
    assert augment([POEM], (), rules("paraphrase"), write=says("Compose a poem about rain.")).made == {"paraphrase": 1}
    with pytest.raises(DataError, match="Paraphrases are written by a model, and none was chosen"):
        augment([POEM])


def test_per_example_bounds_the_wordings_of_one():
    write = says(*(f"Compose a {word} poem about rain." for word in ("nice", "short", "new", "good")))
    for number in (1, 2, 4):
        settings = rules("paraphrase", per_example=number)
        assert len(augment([POEM], (), settings, write=write).added) == number


@pytest.mark.parametrize(("share", "most"), [(0.5, 20), (0.2, 5), (0.04, 0), (0.75, 60)])
def test_max_share_bounds_what_is_made_of_all(share, most):
    done = augment(MANY, (), rules("please", "polite", "typo", per_example=3, max_share=share))
    assert len(done.added) == most
    assert len(done.added) <= share * (len(done.added) + len(MANY)) + 1e-9


def test_a_small_share_is_spread_over_many_examples():
    done = augment(MANY, (), rules("please", "polite", per_example=2, max_share=0.5))
    assert len({new.columns["synthetic_of"] for new in done.added}) == 20


def test_seed_draws_which_examples_are_reworded():
    def drawn(seed, train=MANY):
        done = augment(train, (), rules("please", max_share=0.2), seed=seed)
        return sorted(new.columns["synthetic_of"] for new in done.added)

    assert drawn(0) == drawn(0, MANY[::-1]) != drawn(1)


def test_at_once_says_how_many_a_model_is_asked_about():
    sizes = []

    def write(conversations):
        sizes.append(len(conversations))
        return ["nothing"] * len(conversations)

    augment(MANY, (), rules("paraphrase", at_once=8), write=write)
    assert sizes == [8, 8, 4]


def test_a_model_is_not_asked_about_more_than_the_share_allows():
    requests = []

    def write(conversations):
        requests.extend(conversations)
        return [json.dumps({"p": [turn[0]["content"].split("<<<\n")[1].replace("Write", "Compose").split("\n")[0]]})
                for turn in conversations]  # fmt: skip

    done = augment(MANY, (), AugmentSettings(ways=("paraphrase",), max_share=0.2, at_once=4), write=write)
    assert len(done.added) == 5
    assert len(requests) == 8
    assert done.num_over == 3


def test_what_was_made_before_counts_and_is_not_reworded_again():
    first = augment(MANY, (), rules("please", max_share=0.5))
    second = augment([*MANY, *first.added], (), rules("polite", max_share=0.5))
    assert second.added == []
    third = augment([*MANY, *first.added], (), rules("polite", max_share=0.6))
    assert len(third.added) == 10
    assert {new.columns["synthetic_of"] for new in third.added} <= {example.id for example in MANY}


@pytest.mark.parametrize(
    ("request_text", "paraphrase", "kind"),
    [
        ("Pay 20 euros to Anna.", "Pay 21 euros to Anna.", "changed"),
        ("Pay 20 euros to Anna.", "Pay 20 euros to her.", "changed"),
        ("See https://a.b/c now.", "Look at it now.", "changed"),
        ("Do not run it.", "Run it.", "negation"),
        ("Run it.", "Never run it.", "negation"),
        ("Run it.", "Run it" + " and look at it" * 20, "length"),
        ("Run it.", "run IT!", "duplicate"),
        ("What is wet?", "Why is rain the answer to what is wet?", "answers"),
        ("Ask it.", "Ask me this.", "in_test"),
    ],
)
def test_a_wording_that_is_not_the_same_request_is_rejected_with_its_reason(request_text, paraphrase, kind):
    test = [asked("ask me  THIS", "x")]
    done = augment([asked(request_text, "rain")], test, rules("paraphrase"), write=says(paraphrase))
    assert done.added == []
    (row,) = done.rejected
    assert row.kind == kind
    assert (row.source, row.line) == ("chat.jsonl", 1)
    assert paraphrase in json.loads(row.raw)["messages"][0]["content"]


def test_equal_wordings_of_two_originals_are_used_once():
    train = [asked("Write a poem of rain."), asked("Write a poem on rain.")]
    done = augment(train, (), rules("paraphrase"), write=says("Compose a rain poem.", "compose a rain poem"))
    assert len(done.added) == 1
    assert Counter(row.kind for row in done.rejected) == {"duplicate": 3}


@pytest.mark.parametrize("answer", ["", "no", "{}", '{"paraphrases": "x"}', '{"paraphrases": [1, null, ""]}', "[]"])
def test_an_answer_that_cannot_be_read_is_counted(answer):
    done = augment([POEM], (), rules("paraphrase"), write=lambda conversations: [answer])
    assert [row.kind for row in done.rejected] == ["unreadable"]
    assert done.num_without == 1


def test_examples_without_a_user_turn_give_nothing():
    odd = [Example("a", ()), Example("b", (Message("user", " \n "),)), Example("c", (Message("assistant", "x"),))]
    done = augment(odd, (), rules("please", "typo"))
    assert (done.added, done.num_without) == ([], 3)
    assert augment([], (), rules("please")).added == []


def test_the_test_is_never_reworded():
    done = augment([POEM], [asked("Name a cloud.")], rules("please", "polite", "typo"))
    assert all(new.columns["synthetic_of"] == POEM.id for new in done.added)
