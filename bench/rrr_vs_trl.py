"""One step of Reflect, Retry, Reward of Holdfast beside TRL's GRPOTrainer taught to do the same, as ratios.

TRL has no such method. What is compared with is the smallest faithful one on top of it: a subclass of GRPOTrainer whose
completions are the reflections and whose reward generates and grades the retry. Both sides train the same weights on
the same failed attempts: four tasks a step, eight reflections each at temperature 1, one retry each, GRPO's advantages,
DAPO's token mean, KL to the frozen base of 0.01, AdamW, float32, clip 1.0. A retry passes by the hash of its text, so
that every group teaches in both and no grader is timed. Each measurement is a fresh process; the arms alternate, and a
ratio compares neighbours in time. Run it on an otherwise idle machine.

    python bench/rrr_vs_trl.py                          every setting, three repeats
    python bench/rrr_vs_trl.py --settings long          one setting
    python bench/rrr_vs_trl.py --write docs/performance.md

Settings: `short` and `long` are the embedded base on failed calls of tools, where the prompt of a reflection has
about 50 or about 1,000 tokens. Arms: `holdfast`; `trl`, the whole batch in one micro-batch and no activation
checkpointing (its fastest); `trl-lean`, micro-batches of one sequence and activation checkpointing on (its leanest).
"""

from __future__ import annotations

import hashlib
import random
import statistics
from dataclasses import asdict

from beside import Comparison, main, metered, trl_arguments
from meter import Meter

GROUPS, GROUP_SIZE, STEPS, MAX_TOKENS = 4, 8, 4, 40
LEARNING_RATE = 1e-6  # small enough that the weights, and with them the completions' lengths, hardly move
BETA = 0.01
ARMS = ("holdfast", "trl", "trl-lean")
FILLER = {"short": 0, "long": 950}
"""Words in front of a task, about a token each."""
QUESTIONS = (
    "tell me the story in riga",
    "tell me the file in rome",
    "tell me the page in riga",
    "tell me the table in oslo",
)


def tasks(name):
    """Returns prompts and failed attempts."""
    words = random.Random(1)
    found = []
    for request in QUESTIONS[:GROUPS]:
        filler = " ".join(words.choice(("red", "blue", "green", "black", "white")) for _ in range(FILLER[name]))
        found.append((f"{filler} {request}".strip(), '{"name": "find_mail_x", "arguments": {"place": "paris"}}'))
    return found


def asked(question, attempt):
    """Returns the turns that a reflection answers."""
    from holdfast.models.curriculum.tools import REFLECT

    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": attempt},
        {"role": "user", "content": REFLECT},
    ]


def prompt_tokens(tokenizer, given):
    """Returns how many tokens the prompts of a step's groups have, each counted once."""
    texts = [tokenizer.apply_chat_template(asked(*pair), tokenize=False, add_generation_prompt=True) for pair in given]
    return sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts)


def passes(text):
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 0


def measure_holdfast(name, folder):
    from holdfast.graders.parametrised import Plain
    from holdfast.models.curriculum.tools import REFLECT, RETRY
    from holdfast.models.learner import Learner
    from holdfast.models.load import load
    from holdfast.training.config import Recipe
    from holdfast.training.loop import Run
    from holdfast.training.methods.reflect_retry_reward import ReflectRetryReward
    from holdfast.training.reflection import Failure
    from holdfast.types import Example, Message, Score

    recipe = Recipe.from_mapping(
        {
            "base": folder,
            "adapter": "none",
            "method": {
                "type": "reflect",
                "group_size": GROUP_SIZE,
                "refill": 0,
                "policy": {"beta": BETA, "loss": "dapo"},
                "max_tokens": {"attempt": MAX_TOKENS, "reflection": MAX_TOKENS, "retry": MAX_TOKENS},
                "templates": {"reflect": REFLECT, "retry": RETRY},
            },
            "batch": {"examples": GROUPS},
            "rehearsal": {"enabled": False},
            "optimizer": {"learning_rate": LEARNING_RATE, "warmup_steps": 0, "schedule": "constant"},
            "steps": STEPS + 1,
        }
    )

    def judge(completion, example):
        passed = passes(completion.text)
        return Score(float(passed), passed)

    given = tasks(name)
    examples = [Example(str(index), (Message("user", question),)) for index, (question, _) in enumerate(given)]
    learner = Learner.create(load(folder, dtype="float32", device="cpu"), None)
    method = ReflectRetryReward(recipe.method, learner, examples, Plain.of("hash", judge))
    failures = [Failure(str(index), attempt, "", 1.0, 0) for index, (_, attempt) in enumerate(given)]
    method.load_state_dict(
        {**method.state_dict(), "failures": [asdict(failure) for failure in failures], "mined_at": 0}
    )
    meter, losses, lengths = Meter(), [], []
    run = Run(learner, method, examples, recipe)
    meter.start()
    for step in run:
        meter.step()
        losses.append(step.loss)
        lengths.append(step.metrics["reflection_tokens"] * GROUPS * GROUP_SIZE)
    prompts = prompt_tokens(learner.tokenizer, given)
    return meter.report(
        loss=statistics.mean(losses[1:]), prompt_tokens=prompts, reflection_tokens=statistics.mean(lengths[1:])
    )


def measure_trl(name, folder, *, lean):
    import warnings

    warnings.filterwarnings("ignore")
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from holdfast.models.curriculum.tools import RETRY

    meter, losses, lengths = Meter(), [], []

    class Watch(metered(meter)):
        def on_log(self, args, state, control, logs=None, **kwargs):
            if logs and "completions/mean_length" in logs:
                losses.append(float(logs["loss"]))
                lengths.append(float(logs["completions/mean_length"]) * GROUPS * GROUP_SIZE)

    class RetryTrainer(GRPOTrainer):
        """The completion is the reflection; the reward is that of the retry in the same conversation."""

        def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
            again = [
                [*prompt, *completion, {"role": "user", "content": RETRY}]
                for prompt, completion in zip(prompts, completions, strict=True)
            ]
            ids, images, fields = self._tokenize_prompts(again)
            retry_ids, _ = self._generate_single_turn(ids, images, fields, num_generations=1)
            texts = self.processing_class.batch_decode(retry_ids, skip_special_tokens=True)
            answers = [[{"role": "assistant", "content": text}] for text in texts]
            return super()._calculate_rewards(inputs, prompts, answers, retry_ids)

    def reward(completions, **kwargs):
        return [float(passes(completion[0]["content"])) for completion in completions]

    given = tasks(name)
    rows = [{"prompt": asked(question, attempt)} for question, attempt in given]
    config = GRPOConfig(
        num_generations=GROUP_SIZE,
        max_completion_length=MAX_TOKENS,
        temperature=1.0,
        beta=BETA,
        loss_type="dapo",
        scale_rewards="group",
        epsilon_high=0.28,
        use_bias_correction_kl=False,
        **trl_arguments(sequences=GROUPS * GROUP_SIZE, steps=STEPS, learning_rate=LEARNING_RATE, lean=lean),
    )
    trainer = RetryTrainer(
        folder,
        reward_funcs=reward,
        args=config,
        train_dataset=Dataset.from_list(rows * (STEPS + 1)),
        callbacks=[Watch()],
    )
    trainer.train()
    prompts = prompt_tokens(trainer.processing_class, given)
    return meter.report(
        loss=statistics.mean(losses[1:]), prompt_tokens=prompts, reflection_tokens=statistics.mean(lengths[1:])
    )


def measure(arm, name, folder):
    """Runs one arm in this process; the result is the last line it prints."""
    if arm == "holdfast":
        return measure_holdfast(name, folder)
    return measure_trl(name, folder, lean=arm == "trl-lean")


if __name__ == "__main__":
    main(
        Comparison(
            script=__file__,
            description=__doc__,
            settings=list(FILLER),
            arms=ARMS,
            measure=measure,
            models=dict.fromkeys(FILLER, "embedded"),
            tokens=("prompt_tokens", "reflection_tokens"),
            marker="bench-rrr",
        )
    )
