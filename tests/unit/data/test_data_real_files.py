"""The real files beside the checkout: how many rows of each are usable, and why the others are not."""

from collections import Counter

import pytest

from holdfast.data.prepare import prepare, split
from holdfast.data.read import read

EXPECTED = {
    "chat_formats/alpaca_en_demo.jsonl.gz": ("Alpaca", 999, {}),
    "chat_formats/glaive_toolcall_en_demo.jsonl.gz": ("ShareGPT", 300, {}),
    "chat_formats/sharegpt_identity_500.jsonl.gz": ("ShareGPT", 500, {}),
    "chat_formats/v1_sft_demo.jsonl.gz": ("OpenAI chat", 500, {}),
    "chat_formats/kto_en_demo.jsonl.gz": ("OpenAI chat", 150, {"preference": 150}),
    "chat_formats/dpo_en_demo.jsonl.gz": ("ShareGPT + chosen + rejected", 300, {}),
    "chat_formats/v1_dpo_demo.jsonl.gz": ("chosen + rejected", 10, {}),
    "chat_formats/reason_tool_use_demo_50.jsonl.gz": ("unknown", 0, {"content": 50}),
    "chat_formats/wiki_demo.jsonl.gz": ("unknown", 0, {"columns": 30}),
    "chat_oasst/threads.jsonl.gz": ("OpenAI chat", 512, {}),
    "sdft_tooluse/eval_97.jsonl.gz": ("SDFT tool use", 97, {}),
    "sdft_openfunction/train.jsonl.gz": ("Alpaca", 2211, {}),
    "sdft_medical/val_500.jsonl.gz": ("OpenAI chat", 500, {}),
    "fa_pquad/validation_1500.jsonl.gz": ("document + question + answer", 1121, {"empty": 379}),
    "gsm8k/test.jsonl.gz": ("question + answer", 1319, {}),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_real_files_are_recognised(shared_data, name):
    result = read(str(shared_data / name))
    kinds = Counter(row.kind for row in result.rejected)
    assert (result.format, len(result.examples), kinds) == EXPECTED[name]


def test_real_tweets_are_read_with_their_label_column_named(shared_data):
    result = read(str(shared_data / "tweet_sentiment" / "train.jsonl.gz"), columns={"label": "sentiment"})
    assert Counter(example.label for example in result.examples) == {
        "neutral": 4826,
        "positive": 3776,
        "negative": 3397,
    }
    (row,) = result.rejected
    assert (row.line, row.reason) == (315, "text is empty")
    done = prepare(result.examples[:2000], rejected=result.rejected)
    assert len(done.kept) + len(done.rejected) == 2001
    train, test = split(done.kept, test_share=0.1)
    assert abs(len(test) - len(done.kept) / 10) <= 1
    assert len(train) + len(test) == len(done.kept)


def test_real_persian_sentences_can_be_prompts(shared_data):
    path = str(shared_data / "fa_common_voice" / "sentences_6000.jsonl.gz")
    result = read(path, columns={"prompt": "text"}, need_demonstration=False)
    assert (len(result.examples), result.rejected) == (3000, [])
    assert result.examples[0].messages[0].content == "خردسالی خود را در کاشان و بزرگسالی خود را در تهران گذراند."
