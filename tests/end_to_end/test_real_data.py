"""Real tweets and real tool use, by the commands that the tutorial shows: small samples, every row accounted for."""

import json
from collections import Counter

import pytest
from typer.testing import CliRunner

from holdfast.cli.app import app
from holdfast.data.read import read
from holdfast.models.load import TINY, load_tokenizer
from holdfast.models.render import render_prompt


def holdfast(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def as_json(*words):
    result = holdfast(*words, "--json")
    assert result.exit_code in (0, 3), result.stderr
    return json.loads(result.stdout), result.stderr


def rows_of(folder, name):
    path = next((folder / ".holdfast" / "runs").glob(f"*/prepared/{name}.jsonl"))
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def home(tmp_path):
    """An empty workspace on the embedded base."""
    assert holdfast("init", tmp_path / "home").exit_code == 0
    return tmp_path / "home"


def test_real_tweets_are_classified_with_a_better_macro_f1_than_the_most_frequent_class_has(home, shared_data):
    tweets = shared_data / "tweet_sentiment"
    words = ["learn", f"{tweets / 'train.jsonl.gz'}#1500", "--test", f"{tweets / 'test.jsonl.gz'}#300"]
    words += ["--skill", "tweets", "--column", "label=sentiment", "--steps", 60, "-w", home]
    outcome, said = as_json(*words)
    assert "Class balance" in said
    assert "Macro-F1" in said
    assert "always answering 'neutral'" in said
    test = rows_of(home, "test")
    assert len(test) == 300
    majority = Counter(row["label"] for row in test)["neutral"] / 300
    assert outcome["attempts"][-1]["majority"] == "neutral"
    assert outcome["attempts"][-1]["macro_f1"] > 2 * majority / (1 + majority) / 3


def test_a_column_that_is_not_there_is_named_with_the_nearest_one(home, shared_data):
    tweets = shared_data / "tweet_sentiment" / "test.jsonl.gz"
    wrong = holdfast("learn", f"{tweets}#50", "--skill", "tweets", "--column", "label=sentimant", "-w", home)
    assert wrong.exit_code == 1
    assert "no row has the column 'sentimant'" in wrong.stderr
    assert "'sentiment'" in wrong.stderr
    assert holdfast("render", tweets, "--column", "label").exit_code == 2


def test_every_long_prompt_of_the_papers_test_fits_the_embedded_base_whole(shared_data):
    tokenizer = load_tokenizer(TINY)
    items = read(str(shared_data / "sdft_tooluse" / "eval_97.jsonl.gz")).examples
    lengths = [len(render_prompt(tokenizer, item.prompt, item.tools)) for item in items]
    assert len(lengths) == 97
    assert min(lengths) > 1_000
    assert max(lengths) + 128 <= tokenizer.model_max_length
    longest = items[lengths.index(max(lengths))]
    text = tokenizer.decode(render_prompt(tokenizer, longest.prompt, longest.tools))
    assert longest.prompt[-1].content in text


def test_real_tool_use_is_learned_and_tested_with_nothing_truncated(home, shared_data):
    train = shared_data / "sdft_openfunction" / "train.jsonl.gz"
    test = shared_data / "sdft_tooluse" / "eval_97.jsonl.gz"
    words = ["learn", f"{train}#60", "--test", f"{test}#8", "--skill", "real-tools", "--method", "sft", "--steps", 4]
    words += ["--set", "batch.examples=4", "--set", "rehearsal.num_reminders=24", "--set", "rehearsal.per_step=4"]
    words += ["--set", "gate.remedies=[]", "--set", "evaluation.max_new_tokens=8", "-w", home]
    outcome, said = as_json(*words)
    assert outcome["status"] in ("accepted", "refused")
    kept = len(rows_of(home, "train")) + len(rows_of(home, "test"))
    rejected = rows_of(home, "rejected")
    assert kept + len(rejected) == 60 + 8
    for row in rejected:
        assert "tokens" in row["reason"] or "is the same as" in row["reason"], row["reason"]
    assert "sdft tool use" in said.lower()


@pytest.mark.parametrize(
    ("train", "test", "grader", "reads"),
    [
        ("bfcl_v4/simple_python", "bfcl_v4/multiple", "tool_call_match", "ground_truth"),
        ("countdown/train", "countdown/test", "countdown", "target"),
    ],
)
def test_real_tasks_without_answers_are_learned_from_by_reflecting(home, shared_data, train, test, grader, reads):
    words = ["learn", f"{shared_data / train}.jsonl.gz#12", "--test", f"{shared_data / test}.jsonl.gz#6", "--steps", 2]
    words += ["--skill", "tasks", "--method", "reflect", "--grader", grader, "-w", home]
    settings = ["batch.examples=2", "method.group_size=2", "evaluation.max_new_tokens=12", "gate.remedies=[]"]
    settings += [f"method.max_tokens.{part}=12" for part in ("attempt", "reflection", "retry")]
    settings += ["method.attempts.per_task=1", "method.refill=0", "rehearsal.num_reminders=8", "rehearsal.per_step=2"]
    # The embedded base solves none of them: what counts is that each is asked whole, tried, graded and trained on.
    settings += ["guards.reflection_check=warn", "guards.reflection_check_tasks=3"]
    outcome, said = as_json(*words, *(word for setting in settings for word in ("--set", setting)))
    assert outcome["status"] == "refused"
    assert len(rows_of(home, "train")) == 12
    assert all(reads in row["columns"] for row in rows_of(home, "test"))
    assert outcome["reflection"]["after"]["not_graded"] == 0
    assert "can hardly be learned from" in said
    run = home / ".holdfast" / "runs" / outcome["run"]
    assert len((run / "attempts.jsonl").read_text().splitlines()) == 12
