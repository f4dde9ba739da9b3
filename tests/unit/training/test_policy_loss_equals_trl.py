"""The same policy losses and gradients as TRL's GRPOTrainer, on the same tensors."""

import warnings
from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from holdfast.training.advantages import group_advantages
from holdfast.training.policy_loss import PolicyObjective, policy_loss, token_shares

pytest.importorskip("trl", reason="trl is the peer, installed with the dev extra")
LENGTHS, BUDGET = [5, 2, 7, 3], 12


@pytest.fixture(scope="module")
def peer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's own warnings on import
        from trl import GRPOTrainer
    return GRPOTrainer._compute_loss


def theirs(compute_loss, logp, old, reference, advantages, kind, level, beta, high):
    width = max(LENGTHS)
    mask = torch.tensor([[1] * n + [0] * (width - n) for n in LENGTHS])
    same = SimpleNamespace(gather=lambda x: x, reduce=lambda x, reduction: x, num_processes=1, sync_gradients=False)
    trainer = SimpleNamespace(
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None, beta=beta, loss_type=kind,
        importance_sampling_level=level, epsilon_low=0.2, epsilon_high=high, use_vllm=False,
        _entropy_bonus_enabled=False, max_completion_length=BUDGET, current_gradient_accumulation_steps=1,
        accelerator=same,
        model=SimpleNamespace(training=True), _metrics={"train": defaultdict(list)},
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
        _get_per_token_logps_and_entropies=lambda *a, **k: (logp, torch.zeros_like(logp), None),
    )  # fmt: skip
    ids = torch.zeros_like(mask)
    inputs = {
        "prompt_ids": ids[:, :1], "prompt_mask": mask[:, :1], "completion_ids": ids, "completion_mask": mask,
        "advantages": torch.tensor(advantages), "old_per_token_logps": old, "ref_per_token_logps": reference,
        "num_items_in_batch": mask.sum(),
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
    counts = torch.tensor(LENGTHS)
    found = policy_loss(
        mine, flat[1], torch.repeat_interleave(torch.tensor(advantages), counts), LENGTHS,
        PolicyObjective(beta, 0.2, high, level), flat[2],
    )  # fmt: skip
    weights = torch.repeat_interleave(torch.tensor(token_shares(LENGTHS, shares, BUDGET)), counts)
    total = (found.per_token * weights).sum()
    total.backward()
    torch.testing.assert_close(total, loss, rtol=1e-5, atol=1e-6)
    picked = torch.cat([row[:n] for row, n in zip(logp.grad, LENGTHS, strict=True)])
    torch.testing.assert_close(mine.grad, picked, rtol=1e-5, atol=1e-6)


def test_advantages_are_those_of_trl():
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0], [0.25, 0.5, 1.0, 0.0, 0.0, 0.0, 0.5, 0.5]])
    theirs = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    for row, wanted in zip(rewards.tolist(), theirs.tolist(), strict=True):
        assert group_advantages(row) == pytest.approx(wanted, rel=1e-5)
