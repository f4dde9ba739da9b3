"""The same policy losses and gradients as TRL's GRPOTrainer, on the same tensors."""

import warnings
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from tests.golden import test_policy_loss_by_hand as by_hand

from holdfast.training.advantages import group_advantages
from holdfast.training.policy_loss import PolicyObjective, policy_loss, spread, token_shares

pytest.importorskip("trl", reason="trl is the peer, installed with the dev extra")
LENGTHS, BUDGET = [5, 2, 7, 3], 12
SETTINGS_OF_TRL = {
    "paper": {"kind": "grpo", "level": "token", "beta": 0.001, "high": 0.2, "scale_rewards": "group"},
    "modern": {"kind": "dapo", "level": "token", "beta": 0.01, "high": 0.28, "scale_rewards": "group"},
    "dr_grpo": {"kind": "dr_grpo", "level": "token", "beta": 0.01, "high": 0.28, "scale_rewards": "none"},
    "gspo": {"kind": "dapo", "level": "sequence", "beta": 0.01, "high": 0.28, "scale_rewards": "group"},
}
"""Each preset as one would set it in TRL's GRPOConfig: `loss_type`, `importance_sampling_level`, `beta` and so on."""


@pytest.fixture(scope="module")
def peer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's own warnings on import
        from trl import GRPOTrainer
    return GRPOTrainer._compute_loss


def theirs(compute_loss, logp, old, reference, advantages, kind, level, beta, high, lengths=LENGTHS, budget=BUDGET):
    width = max(lengths)
    mask = torch.tensor([[1] * n + [0] * (width - n) for n in lengths])
    same = SimpleNamespace(gather=lambda x: x, reduce=lambda x, reduction: x, num_processes=1, sync_gradients=False)
    trainer = SimpleNamespace(
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None, beta=beta, loss_type=kind,
        importance_sampling_level=level, epsilon_low=0.2, epsilon_high=high, use_vllm=False,
        _entropy_bonus_enabled=False, max_completion_length=budget, current_gradient_accumulation_steps=1,
        accelerator=same,
        model=SimpleNamespace(training=True), _metrics={"train": defaultdict(list)},
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
        _get_per_token_logps_and_entropies=lambda *a, **k: (logp, torch.zeros_like(logp), None),
    )  # fmt: skip
    ids = torch.zeros_like(mask)
    inputs = {
        "prompt_ids": ids[:, :1], "prompt_mask": mask[:, :1], "completion_ids": ids, "completion_mask": mask,
        "advantages": torch.tensor(advantages, dtype=logp.dtype), "num_items_in_batch": mask.sum(),
        "old_per_token_logps": old, "ref_per_token_logps": reference,
    }  # fmt: skip
    return compute_loss(trainer, None, inputs)


@pytest.mark.parametrize(
    ("kind", "shares"), [("grpo", "sequence"), ("dapo", "token"), ("bnpo", "token"), ("dr_grpo", "budget")]
)
@pytest.mark.parametrize("level", ["token", "sequence"])
@pytest.mark.parametrize(("beta", "high"), [(0.0, 0.2), (0.001, 0.28), (0.5, 0.2)])
def test_losses_and_gradients_are_those_of_trl(peer, kind, shares, level, beta, high):
    generator = torch.Generator().manual_seed(5)
    padded = [torch.randn(4, 7, generator=generator) * 0.4 - 2 for _ in range(3)]
    advantages = group_advantages([1.0, 0.0, 0.0, 1.0])
    logp = padded[0].clone().requires_grad_()
    loss = theirs(peer, logp, padded[1], padded[2], advantages, kind, level, beta, high)
    loss.backward()
    flat = [torch.cat([row[:n] for row, n in zip(each, LENGTHS, strict=True)]) for each in padded]
    mine = flat[0].clone().requires_grad_()
    objective = PolicyObjective(beta, 0.2, high, level)
    found = policy_loss(mine, flat[1], spread(advantages, LENGTHS, mine), LENGTHS, objective, flat[2])
    total = found.total(token_shares(LENGTHS, shares, BUDGET), LENGTHS)
    total.backward()
    torch.testing.assert_close(total, loss, rtol=1e-5, atol=1e-6)
    picked = torch.cat([row[:n] for row, n in zip(logp.grad, LENGTHS, strict=True)])
    torch.testing.assert_close(mine.grad, picked, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", by_hand.PRESETS)
def test_each_preset_s_loss_by_hand_is_that_of_trl(peer, name):
    config, wanted = by_hand.PRESETS[name]
    settings = dict(SETTINGS_OF_TRL[name])
    flat = by_hand.group()
    rows = [
        torch.nn.utils.rnn.pad_sequence(each.detach().split(by_hand.LENGTHS), batch_first=True, padding_value=-3.0)
        for each in flat
    ]
    logp = rows[0].requires_grad_()
    (advantages,) = their_advantages([by_hand.REWARDS], settings.pop("scale_rewards")).tolist()
    size = {"lengths": by_hand.LENGTHS, "budget": by_hand.BUDGET}
    loss = theirs(peer, logp, rows[1], rows[2], advantages, **settings, **size)
    loss.backward()
    total = by_hand.total_of(config, *flat)
    total.backward()
    assert loss.item() == pytest.approx(wanted, abs=1e-10)
    assert total.item() == pytest.approx(loss.item(), abs=1e-12)
    picked = torch.cat([row[:n] for row, n in zip(logp.grad, by_hand.LENGTHS, strict=True)])
    torch.testing.assert_close(flat[0].grad, picked)


def their_advantages(rewards, scale_rewards):
    """TRL's formula, which stands amid its sampling and cannot be called."""
    rewards = torch.tensor(rewards, dtype=torch.float64)
    advantages = rewards - rewards.mean(1, keepdim=True)
    return advantages / (rewards.std(1, keepdim=True) + 1e-4) if scale_rewards != "none" else advantages


@pytest.mark.parametrize("scale", ["group", "none"])
def test_advantages_are_those_of_trl(scale):
    rewards = [[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0], [0.25, 0.5, 1.0, 0.0, 0.0, 0.0, 0.5, 0.5]]
    for row, wanted in zip(rewards, their_advantages(rewards, scale).tolist(), strict=True):
        assert group_advantages(row, scale) == pytest.approx(wanted)
