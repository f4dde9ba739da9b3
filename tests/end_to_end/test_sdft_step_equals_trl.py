"""A whole SDFT step is TRL's: same prompts, and for the same completions the same loss and gradient."""

import pytest
import torch

from holdfast.training.config import Recipe

pytest.importorskip("trl", reason="trl is the peer, installed with the dev extra")

TRL_TEMPLATE = (
    "\n{prompt}\n\nThis is an example for a response to the question:\n{privileged_context}\n\n"
    "Now answer with a response of your own, including the thinking process.\n"
)
PAIRS = [("abcd", "bcde"), ("efgh", "fghi jab"), ("ijab ijab", "cd"), ("ghij", "ghij ghij")]


@pytest.fixture
def trl_step(small_base, tmp_path, monkeypatch):
    """One step of TRL's trainer: what it sampled, its loss and its gradient norm."""
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl.experimental.sdft import SDFTConfig, SDFTTrainer

    seen = {}

    class Watch(TrainerCallback):
        def on_self_distillation_batch_prepared(self, *, prompt_ids, completion_ids, teacher_input_ids, **kwargs):
            seen.update(prompts=prompt_ids, completions=completion_ids, teacher=teacher_input_ids)

        def on_log(self, args, state, control, logs=None, **kwargs):
            seen.update({name: float(logs[name]) for name in ("loss", "grad_norm") if name in logs})

    config = SDFTConfig(
        output_dir=str(tmp_path),
        model_init_kwargs={"dtype": "float32"},
        distillation_mode="full_logits",
        distillation_alpha=0.0,
        num_loss_tokens_to_skip=3,
        teacher_model_kind="base",
        teacher_prompt_template=TRL_TEMPLATE,
        num_generations=1,
        max_prompt_length=None,
        max_completion_length=20,
        generation_kwargs={"min_new_tokens": 5},  # below four, ours keeps one token under the loss and TRL none
        shuffle_dataset=False,
        per_device_train_batch_size=len(PAIRS),
        gradient_accumulation_steps=1,
        gradient_checkpointing=False,
        max_steps=1,
        bf16=False,
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    rows = [{"prompt": [{"role": "user", "content": q}], "privileged_context": d} for q, d in PAIRS]
    SDFTTrainer(str(small_base), args=config, train_dataset=Dataset.from_list(rows), callbacks=[Watch()]).train()
    return seen


@pytest.mark.filterwarnings("ignore")  # the peer's own
def test_trls_completions_give_trls_loss_and_gradient(small_base, trl_step, monkeypatch):
    from holdfast.models.learner import Learner
    from holdfast.models.load import load
    from holdfast.training.methods.sdft import Sdft
    from holdfast.types import Completion, Example, Message

    learner = Learner.create(load(str(small_base), dtype="float32", device="cpu"), None)
    method = Sdft(Recipe.from_mapping({"method": {"type": "sdft", "max_new_tokens": 20}}).method, skip_tokens=3)
    pad = learner.tokenizer.pad_token_id
    sampled = {
        name: [[token for token in ids if token != pad] for ids in trl_step[name].tolist()]
        for name in ("prompts", "completions", "teacher")
    }

    def what_trl_sampled(prompts, sampling):
        assert prompts == sampled["prompts"]
        return [[Completion("", tuple(ids), (0.0,) * len(ids), "stop")] for ids in sampled["completions"]]

    monkeypatch.setattr(learner, "generate", what_trl_sampled)
    examples = [Example(str(i), (Message("user", q), Message("assistant", d))) for i, (q, d) in enumerate(PAIRS)]
    rows = method.make_batch(learner, examples, seed=0)
    assert [row.teacher_ids for row in rows] == sampled["teacher"]
    loss = method.loss(learner, rows)
    loss.value.backward()
    norm = torch.nn.utils.get_total_norm([parameter.grad for _, parameter in learner.trainable()])
    assert trl_step["loss"] > 0.01
    assert loss.value.item() == pytest.approx(trl_step["loss"], rel=1e-4)
    assert norm.item() == pytest.approx(trl_step["grad_norm"], rel=1e-4)
