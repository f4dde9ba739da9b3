"""What a person is told at the end."""

from holdfast.evaluation.gate import Pair, decide
from holdfast.jobs.words import attempt_sentence, resume_hint, verdict_sentences

LEARNED = {"tools": Pair([0.0] * 200, [1.0] * 190 + [0.0] * 10)}


def test_what_was_learned_and_what_was_kept_is_said_with_numbers():
    verdict = decide({"refunds": Pair([1.0] * 200, [1.0] * 200)}, LEARNED)
    assert verdict_sentences("tools", verdict, version="v3", parent="v2") == [
        "tools 0.0% before, 95.0% after on 200 items.",
        "Kept: refunds (refunds 100.0% before, 100.0% after on 200 items).",
        "The gate accepted v3: it is the current version now (v2 before it is kept).",
    ]


def test_a_loss_is_named_and_the_current_version_stays():
    verdict = decide({"refunds": Pair([1.0] * 200, [0.0] * 100 + [1.0] * 100)}, LEARNED)
    sentences = verdict_sentences("tools", verdict, version="v3", parent="v2")
    assert "Lost: refunds 100.0% before, 50.0% after on 200 items." in sentences
    assert sentences[-1] == "The gate refused v3: v2 stays the current version; v3 is kept, not served."


def test_too_few_items_are_said_with_how_many_more_would_decide():
    verdict = decide({"refunds": Pair([1.0] * 20, [1.0] * 20)}, LEARNED)
    sentences = verdict_sentences("tools", verdict, version="v3", parent="v2")
    assert any(sentence.startswith("Not proven to be kept: refunds") for sentence in sentences)
    assert sentences[-1] == "About 129 more test items would decide."


def test_a_first_skill_has_nothing_to_keep():
    sentences = verdict_sentences("tools", decide({}, LEARNED), version="v2", parent="v1")
    assert "No skill was taught before this one, so there was no registered skill to keep." in sentences


def test_a_classifier_is_not_said_to_be_the_current_version():
    sentences = verdict_sentences("tweets", decide({}, LEARNED), version="v2", parent="v1", kind="classify")
    assert sentences[-1] == "The gate accepted v2: it classifies tweets from now on, beside the current version."


def test_an_attempt_is_one_line():
    attempt = {"version": "v4", "how": "an earlier checkpoint", "scores": {"a": 0.5}, "decision": "reject"}
    assert attempt_sentence(attempt) == "v4, an earlier checkpoint: a 50.0% (reject)"


def test_the_command_to_go_on_can_be_pasted_into_a_shell():
    hint = resume_hint(["learn", "my data.jsonl", "--skill", "a"])
    assert hint.endswith("holdfast learn 'my data.jsonl' --skill a")
