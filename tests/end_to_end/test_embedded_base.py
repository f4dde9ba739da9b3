"""The shipped base can do what its specification asks, measured on held-out items."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import holdfast
from holdfast.models.abilities import accuracy_by_ability, informative_share, self_prompt_report
from holdfast.models.card import self_written_prompts, text_generator
from holdfast.models.curriculum import BARS
from holdfast.models.curriculum.item import chat, tool

WEIGHTS = Path(holdfast.__file__).parent / "models" / "weights"
ITEMS = 200


@pytest.fixture(scope="module")
def base():
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_pretrained(WEIGHTS).eval(), AutoTokenizer.from_pretrained(WEIGHTS)


@pytest.mark.parametrize("ability", list(BARS))
def test_the_base_reaches_the_bar_of_every_ability(base, ability):
    model, tokenizer = base
    scores = accuracy_by_ability(tokenizer, text_generator(model, tokenizer), ITEMS, [ability])
    assert scores[ability] >= BARS[ability]


def test_the_base_writes_reflections_that_are_only_sometimes_informative(base):
    model, tokenizer = base
    assert 0.3 <= informative_share(tokenizer, text_generator(model, tokenizer), 300) <= 0.5


def test_the_base_writes_its_own_prompts_of_every_kind(base):
    model, tokenizer = base
    report = self_prompt_report(self_written_prompts(model, tokenizer, 2_000))
    assert report["unique"] >= 0.85
    assert report["parsed"] >= 0.95
    assert all(count > 0 for count in report["kinds"].values()), report["kinds"]


def test_the_base_fits_its_size_and_context(base):
    model, tokenizer = base
    assert sum(file.stat().st_size for file in WEIGHTS.glob("*.safetensors")) <= 16_000_000
    assert 1_000 <= len(tokenizer) <= 4_096
    assert model.config.max_position_embeddings >= 1_024


@pytest.mark.parametrize(
    "text",
    [
        "what is 12 + 30?",
        "سلام دنیا، می‌خواهم یاد بگیرم",
        "naïve café – 東京 🚀\t\n  two  spaces",
        "".join(map(chr, range(32, 127))),
    ],
)
def test_any_text_round_trips_through_the_tokenizer(base, text):
    _, tokenizer = base
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_digits_are_single_tokens(base):
    _, tokenizer = base
    tokens = tokenizer.tokenize("2026 + 315")
    assert [token for token in tokens if any(c.isdigit() for c in token)] == list("2026315")


def test_the_chat_template_renders_every_role_and_marks_what_the_assistant_says(base):
    _, tokenizer = base
    turns = [*chat("wake me", '{"name": "t"}', system="be brief"), {"role": "tool", "content": "done"}]
    turns.append({"role": "assistant", "content": "the answer is done."})
    encoded = tokenizer.apply_chat_template(
        turns, tools=[tool("t", "a tool", ["x"])], return_dict=True, return_assistant_tokens_mask=True
    )
    text = tokenizer.decode(encoded["input_ids"])
    assert text == (
        "<|bos|><|system|>be brief\ntools:\nt(x): a tool<|end|><|user|>wake me<|end|>"
        '<|assistant|>{"name": "t"}<|end|><|tool|>done<|end|><|assistant|>the answer is done.<|end|>'
    )
    said = [i for i, m in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(said) == '{"name": "t"}<|end|>the answer is done.<|end|>'


def test_structured_tool_calls_render_as_the_json_that_the_base_writes(base):
    _, tokenizer = base
    call = {"type": "function", "function": {"name": "t", "arguments": {"x": 5}}}
    turns = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    assert text.endswith('<|assistant|>{"name": "t", "arguments": {"x": 5}}<|end|>')
