"""One SDFT step of Holdfast beside one of TRL's SDFTTrainer: seconds a step and peak memory, as ratios.

Both sides train the same weights on the same prompts towards the same objective: forward KL to the frozen
base that reads the demonstration, full vocabulary, one sample a prompt at temperature 1, the first three
tokens without loss, AdamW, float32, clip 1.0. Each measurement is a fresh process; the arms alternate, and
a ratio compares neighbours in time. Run it on an otherwise idle machine.

    python bench/sdft_vs_trl.py                          every setting, three repeats
    python bench/sdft_vs_trl.py --settings wide-lora     one setting
    python bench/sdft_vs_trl.py --write docs/performance.md

Settings: `embedded-*` is the embedded base on 24 tickets of examples/routing.jsonl; `wide-*` is a small
Llama with random weights and a vocabulary of 151,936 tokens, which never ends a completion by itself.
Arms: `holdfast`; `trl`, the whole batch in one micro-batch and no activation checkpointing (its fastest);
`trl-lean`, micro-batches of one sequence and activation checkpointing on (its leanest).
"""

from __future__ import annotations

import json
import random
import statistics
from dataclasses import dataclass
from pathlib import Path

from beside import Comparison, main, metered, trl_arguments
from meter import Meter

REPOSITORY = Path(__file__).resolve().parents[1]
TEMPLATE = (
    "\n{prompt}\n\nThis is an example for a response to the question:\n{privileged_context}\n\n"
    "Now answer with a response of your own, including the thinking process.\n"
)
LEARNING_RATE = 1e-5  # small enough that the weights, and with them the completions' lengths, hardly move
ARMS = ("holdfast", "trl", "trl-lean")


@dataclass(frozen=True)
class Setting:
    """One model, batch and way of training."""

    model: str
    lora: bool
    batch: int
    max_new_tokens: int
    steps: int


SETTINGS = {
    "embedded-full": Setting("embedded", lora=False, batch=24, max_new_tokens=64, steps=5),
    "embedded-lora": Setting("embedded", lora=True, batch=24, max_new_tokens=64, steps=5),
    "wide-full": Setting("made", lora=False, batch=8, max_new_tokens=64, steps=3),
    "wide-lora": Setting("made", lora=True, batch=8, max_new_tokens=64, steps=3),
}


@dataclass(frozen=True)
class Pair:
    """A question and the demonstration that only the teacher reads."""

    question: str
    demonstration: str


# ---------------------------------------------------------------- one measurement, in its own process


def measure_holdfast(setting, folder, pairs):
    from holdfast.models.learner import Learner
    from holdfast.models.load import load
    from holdfast.training.config import Recipe
    from holdfast.training.loop import Run
    from holdfast.training.methods import build
    from holdfast.types import Example, Message

    recipe = Recipe.from_mapping(
        {
            "base": folder,
            "method": {"type": "sdft", "max_new_tokens": setting.max_new_tokens, "skip_tokens": 3},
            "adapter": {"rank": 16, "alpha": 32} if setting.lora else "none",
            "batch": {"examples": setting.batch},
            "rehearsal": {"enabled": False},
            "guards": {"min_end_rate": 0.0, "max_repetition": 1.0, "min_kl": 0.0},
            "optimizer": {"learning_rate": LEARNING_RATE, "warmup_steps": 0, "schedule": "constant"},
            "steps": setting.steps + 1,
        }
    )
    examples = [
        Example(str(index), (Message("user", pair.question), Message("assistant", pair.demonstration)))
        for index, pair in enumerate(pairs)
    ]
    adapter = recipe.adapter if setting.lora else None
    learner = Learner.create(load(folder, dtype="float32", device="cpu"), adapter)
    method = build(recipe, learner, examples)
    run = Run(learner, method, examples, recipe)
    lengths = watch(method)
    meter = Meter()
    meter.start()
    losses = []
    for step in run:
        meter.step()
        losses.append(step.loss)
    return meter.report(loss=statistics.mean(losses[1:]), **token_counts(lengths[1:]))


def watch(method):
    """Notes the lengths of every batch that the method makes."""
    seen, make = [], method.make_batch

    def make_and_note(learner, examples, seed, part):
        rows = make(learner, examples, seed, part)
        written = [len(row.input_ids) - row.completion_start for row in rows]
        read = [len(row.teacher_ids) - count for row, count in zip(rows, written, strict=True)]
        seen.append((sum(row.completion_start for row in rows), sum(read), sum(written)))
        return rows

    method.make_batch = make_and_note
    return seen


def token_counts(lengths):
    prompts, teachers, completions = (statistics.mean(column) for column in zip(*lengths, strict=True))
    return {"prompt_tokens": prompts, "teacher_prompt_tokens": teachers, "completion_tokens": completions}


def measure_trl(setting, folder, pairs, *, lean):
    import warnings

    warnings.filterwarnings("ignore")
    from datasets import Dataset
    from peft import LoraConfig
    from trl.experimental.sdft import SDFTConfig, SDFTTrainer

    meter, lengths, losses = Meter(), [], []

    class Watch(metered(meter)):
        def on_log(self, args, state, control, logs=None, **kwargs):
            if logs and "sdft/distillation_loss" in logs:
                losses.append(float(logs["loss"]))  # the mean over sequences, which is what is minimised

        def on_self_distillation_batch_prepared(self, *, prompt_ids, completion_ids, teacher_input_ids, **kwargs):
            pad = kwargs["processing_class"].pad_token_id
            written = int((completion_ids != pad).sum())
            read = int((teacher_input_ids != pad).sum())
            lengths.append((int((prompt_ids != pad).sum()), read - written, written))

    rows = [
        {"prompt": [{"role": "user", "content": pair.question}], "privileged_context": pair.demonstration}
        for pair in pairs
    ]
    config = SDFTConfig(
        distillation_mode="full_logits",
        distillation_alpha=0.0,
        num_loss_tokens_to_skip=3,
        teacher_model_kind="base",
        teacher_prompt_template=TEMPLATE,
        num_generations=1,
        max_prompt_length=None,
        max_completion_length=setting.max_new_tokens,
        **trl_arguments(sequences=setting.batch, steps=setting.steps, learning_rate=LEARNING_RATE, lean=lean),
    )
    trainer = SDFTTrainer(
        folder,
        args=config,
        train_dataset=Dataset.from_list(rows * (setting.steps + 1)),
        callbacks=[Watch()],
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        if setting.lora
        else None,
    )
    trainer.train()
    return meter.report(loss=statistics.mean(losses[1:]), **token_counts(lengths[1:]))


def measure(arm, name, folder):
    """Runs one arm in this process; the result is the last line it prints."""
    setting = SETTINGS[name]
    pairs = embedded_pairs(setting.batch) if setting.model == "embedded" else wide_pairs(setting.batch)
    if arm == "holdfast":
        return measure_holdfast(setting, folder, pairs)
    return measure_trl(setting, folder, pairs, lean=arm == "trl-lean")


# ---------------------------------------------------------------- models and data


def embedded_pairs(count):
    lines = (REPOSITORY / "examples" / "routing.jsonl").read_text().splitlines()[:count]
    return [Pair(row["prompt"], row["completion"]) for row in map(json.loads, lines)]


def wide_pairs(count):
    words = random.Random(0)

    def text(length):
        return " ".join(f"w{words.randrange(1, 150_000)}" for _ in range(length))

    return [Pair(text(words.randrange(30, 60)), text(words.randrange(50, 90))) for _ in range(count)]


def make_wide_model(folder):
    """Writes a random Llama with 151,936 tokens, and a word tokenizer with a chat template."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocabulary = {f"w{index}": index for index in range(151_936 - 3)}
    for special in ("<|im_start|>", "<|im_end|>", "<|pad|>"):
        vocabulary[special] = len(vocabulary)
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        unk_token="w0",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        additional_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|> {{ message.role }} {{ message.content }} <|im_end|> {% endfor %}"
        "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary),
            hidden_size=256,
            intermediate_size=704,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            eos_token_id=vocabulary["<|im_end|>"],
            bos_token_id=vocabulary["<|im_start|>"],
            pad_token_id=vocabulary["<|pad|>"],
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main(
        Comparison(
            script=__file__,
            description=__doc__,
            settings=list(SETTINGS),
            arms=ARMS,
            measure=measure,
            models={name: setting.model for name, setting in SETTINGS.items()},
            tokens=("prompt_tokens", "teacher_prompt_tokens", "completion_tokens"),
            marker="bench-sdft",
            make_model=make_wide_model,
        )
    )
