"""A whole DPO step is TRL's: for the same pairs, policy and reference, the same loss, rewards and gradient."""

import pytest
import torch

from holdfast.training.config import Recipe

pytest.importorskip("trl", reason="trl is the peer, installed with the dev extra")

PAIRS = [
    ("abcd", "bcde", "fghi jab"),
    ("efgh", "fghi jab cdef", "a"),
    ("ijab ijab", "cd", "cd cd"),
    ("ghij", "ghij ghij", "ghij"),
]
# TRL's sigmoid loss knows no label smoothing; its aot loss is the smoothed one for a single pair. Its sft term is the
# mean over all tokens of a batch, which for a single pair is the mean over the answer's.
CASES = {
    "sigmoid": (PAIRS, {"loss_type": ["sigmoid"]}, {}),
    "smoothed": (PAIRS[1:2], {"loss_type": ["aot"], "label_smoothing": 0.2}, {"label_smoothing": 0.2}),
    "with sft": (PAIRS[1:2], {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]}, {"sft_weight": 0.5}),
}
METRICS = {
    "preferred_reward": "rewards/chosen",
    "rejected_reward": "rewards/rejected",
    "reward_margin": "rewards/margins",
    "reward_accuracy": "rewards/accuracies",
}


@pytest.fixture
def moved(small_base, tmp_path):
    """The folder of a policy that has moved away from the base: at the start every pair costs ln 2."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(small_base, dtype="float32")
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    model.save_pretrained(tmp_path / "moved")
    AutoTokenizer.from_pretrained(small_base).save_pretrained(tmp_path / "moved")
    return tmp_path / "moved"


def trl_step(policy, reference, pairs, settings, folder):
    """What TRL's trainer logs of one step."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import DPOConfig, DPOTrainer

    seen = {}

    class Watch(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            seen.update({name: float(value) for name, value in logs.items() if isinstance(value, float)} | seen)

    config = DPOConfig(
        output_dir=str(folder),
        model_init_kwargs={"dtype": "float32"},
        beta=0.3,
        max_length=None,
        per_device_train_batch_size=len(pairs),
        gradient_accumulation_steps=1,
        gradient_checkpointing=False,
        max_steps=1,
        bf16=False,
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        **settings,
    )
    rows = [
        {
            "prompt": [{"role": "user", "content": asked}],
            "chosen": [{"role": "assistant", "content": chosen}],
            "rejected": [{"role": "assistant", "content": rejected}],
        }
        for asked, chosen, rejected in pairs
    ]
    frozen = AutoModelForCausalLM.from_pretrained(reference, dtype="float32")
    DPOTrainer(
        str(policy), ref_model=frozen, args=config, train_dataset=Dataset.from_list(rows), callbacks=[Watch()]
    ).train()
    return seen


@pytest.mark.filterwarnings("ignore")  # the peer's own
@pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize(("pairs", "theirs", "ours"), CASES.values(), ids=CASES)
def test_trls_pairs_give_trls_loss_rewards_and_gradient(small_base, moved, tmp_path, pairs, theirs, ours, packed):
    from holdfast.models.learner import Learner
    from holdfast.models.load import load
    from holdfast.training.methods.dpo import Dpo
    from holdfast.types import Example, Message

    wanted = trl_step(moved, small_base, pairs, theirs, tmp_path / "trl")
    learner = Learner.create(load(str(small_base), dtype="float32", device="cpu"), None)
    policy = load(str(moved), dtype="float32", device="cpu").model
    learner.load_candidate_state({name: p.detach() for name, p in policy.named_parameters()})
    method = Dpo(Recipe.from_mapping({"method": {"type": "dpo", "beta": 0.3, **ours}}).method, learner)
    method.packed = packed
    examples = [
        Example(str(i), (Message("user", q), Message("assistant", w)), rejected=Message("assistant", bad))
        for i, (q, w, bad) in enumerate(pairs)
    ]
    loss = method.loss(learner, method.make_batch(learner, examples, seed=0))
    loss.value.backward()
    norm = torch.nn.utils.get_total_norm([parameter.grad for _, parameter in learner.trainable()])
    assert abs(wanted["loss"] - 0.6931) > 0.02
    assert loss.value.item() == pytest.approx(wanted["loss"], rel=1e-4)
    assert norm.item() == pytest.approx(wanted["grad_norm"], rel=1e-4)
    for mine, peer in METRICS.items():
        assert loss.metrics[mine] == pytest.approx(wanted[peer], rel=1e-3, abs=1e-4)
