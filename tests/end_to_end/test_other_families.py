"""Models of other families, with their real tokenizers, go the way that a user's own would: init, learn, skills."""

import gzip
import json
import shutil

import pytest
import torch
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from typer.testing import CliRunner

from holdfast.cli.app import app

NARROW = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
NARROW |= {"num_key_value_heads": 1, "max_position_embeddings": 1024, "tie_word_embeddings": True}
MODELS = {
    "gpt2": lambda n: GPT2LMHeadModel(GPT2Config(vocab_size=n, n_embd=16, n_layer=2, n_head=2, n_positions=1024)),
    "qwen2.5": lambda n: Qwen2ForCausalLM(Qwen2Config(vocab_size=n, **NARROW)),
    "smollm2": lambda n: LlamaForCausalLM(LlamaConfig(vocab_size=n, **NARROW)),
}


@pytest.fixture
def model_folder(shared_data, tmp_path):
    """A function of a family's name that gives the folder of a small random model with that family's tokenizer."""

    def make(name):
        if name == "stories260K":
            return shared_data / "models" / name / "hf"
        packed = tmp_path / "tokenizer"
        shutil.copytree(shared_data / "tokenizers" / name, packed)
        for file in packed.glob("*.gz"):
            file.with_suffix("").write_bytes(gzip.decompress(file.read_bytes()))
        tokenizer = AutoTokenizer.from_pretrained(packed)
        if tokenizer.eos_token is None:  # GPT-2's is named in a file that is not among these
            tokenizer.add_special_tokens({"eos_token": "<|endoftext|>"})
        torch.manual_seed(0)
        folder = tmp_path / name
        MODELS[name](len(tokenizer)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return folder

    return make


def as_json(*words):
    result = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert result.exit_code in (0, 3), result.stdout + result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("family", ["gpt2", "stories260K", "qwen2.5", "smollm2"])
def test_a_model_of_any_family_learns_to_classify(model_folder, shared_data, tmp_path, family):
    home, tweets = tmp_path / "home", shared_data / "tweet_sentiment"
    as_json("init", home, "--model", model_folder(family))
    words = ["learn", f"{tweets / 'train.jsonl.gz'}#90", "--test", f"{tweets / 'test.jsonl.gz'}#30", "--steps", 3]
    outcome = as_json(*words, "--skill", "tweets", "--method", "classify", "--column", "label=sentiment", "-w", home)
    assert 0 <= outcome["attempts"][-1]["scores"]["tweets"] <= 1
    assert "tweets" in as_json("skills", "-w", home)["skills"]


TEMPLATE = """{% for message in messages %}{{ message.role + ':\\n' + message.content }}\
{% if message.role == 'assistant' %}{{ eos_token }}{% else %}{{ '\\n' }}{% endif %}{% endfor %}\
{% if add_generation_prompt %}{{ 'assistant:\\n' }}{% endif %}"""
"""For a model that never had one: who speaks, and the end of a text after every answer."""


@pytest.fixture
def template(tmp_path):
    """The options of `init` that give a model the template."""
    (tmp_path / "template.jinja").write_text(TEMPLATE)
    return ["--chat-template", tmp_path / "template.jinja"]


@pytest.mark.parametrize("family", ["qwen2.5", "smollm2", "gpt2"])
def test_a_model_of_any_family_learns_real_tool_use(model_folder, shared_data, tmp_path, template, family):
    home, data = tmp_path / "home", shared_data / "sdft_openfunction"
    as_json("init", home, "--model", model_folder(family), *(template if family == "gpt2" else ()))
    words = ["learn", f"{data / 'train.jsonl.gz'}#12", "--test", f"{data / 'test.jsonl.gz'}#4", "--skill", "calls"]
    words += ["--method", "sft", "--steps", 2, "--set", "batch.examples=2", "--set", "evaluation.max_new_tokens=4"]
    # Random weights never end a turn, so they have no prompts of their own to be reminded of.
    words += ["--set", "rehearsal.enabled=false", "--set", "gate.remedies=[]", "-w", home]
    outcome = as_json(*words)
    assert outcome["status"] in ("accepted", "refused")
    assert set(outcome["attempts"][-1]["scores"]) == {"calls"}


def test_a_trained_model_of_stories_learns_to_answer_beside_reminders(model_folder, shared_data, tmp_path, template):
    home, tweets = tmp_path / "home", shared_data / "tweet_sentiment"
    as_json("init", home, "--model", model_folder("stories260K"), *template)
    words = ["learn", f"{tweets / 'train.jsonl.gz'}#60", "--test", f"{tweets / 'test.jsonl.gz'}#12", "--method", "sft"]
    words += ["--column", "prompt=text", "--column", "completion=sentiment", "--skill", "tweets", "--steps", 3]
    # It never ends a turn, so it writes no prompts; it goes on with those that it is given.
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"once upon a time a {a} saw"}) + "\n" for a in ("cat", "dog")))
    settings = ["evaluation.max_new_tokens=8", f"rehearsal.prompts_file={prompts}", "rehearsal.self_written_share=0"]
    settings += ["rehearsal.per_step=2", "rehearsal.max_new_tokens=16", "gate.remedies=[]"]
    outcome = as_json(*words, "-w", home, *(word for setting in settings for word in ("--set", setting)))
    assert set(outcome["attempts"][-1]["scores"]) == {"tweets"}
    run = home / ".holdfast" / "runs" / outcome["run"]
    assert json.loads((run / "coverage.json").read_text())["by_source"] == {"given": 2}


@pytest.mark.parametrize("family", ["qwen2.5", "smollm2"])
def test_a_model_with_its_own_chat_template_distils_itself_beside_reminders(
    model_folder, shared_data, tmp_path, family
):
    home, data = tmp_path / "home", shared_data / "sdft_openfunction"
    as_json("init", home, "--model", model_folder(family))
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"what is {n} and {n}?"}) + "\n" for n in range(4)))
    words = ["learn", f"{data / 'train.jsonl.gz'}#12", "--test", f"{data / 'test.jsonl.gz'}#4", "--skill", "calls"]
    words += ["--method", "sdft", "--steps", 2, "-w", home]
    # Random weights never end a turn and help no teacher; what counts is that every part of the story runs.
    settings = ["batch.examples=2", "evaluation.max_new_tokens=4", "method.max_new_tokens=4", "gate.remedies=[]"]
    settings += ["guards.teacher_check=off", "guards.min_end_rate=0", f"rehearsal.prompts_file={prompts}"]
    settings += ["rehearsal.self_written_share=0", "rehearsal.per_step=2", "rehearsal.max_new_tokens=4"]
    outcome = as_json(*words, *(word for setting in settings for word in ("--set", setting)))
    assert set(outcome["attempts"][-1]["scores"]) == {"calls"}
    page = (home / ".holdfast" / "runs" / outcome["run"] / "report.html").read_text()
    assert "KL to the teacher" in page
    assert "KL to the current version" in page
