"""The same losses as TRL's dense ones, on the same logits."""

import warnings

import pytest
import torch

from holdfast.training.head_loss import head_loss
from holdfast.training.losses import Divergence, top_k_of_logits

pytest.importorskip("trl", reason="trl is the peer, installed with the dev extra")


@pytest.fixture(scope="module")
def peer():
    """TRL's pure loss functions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's own warnings on import
        from trl.experimental.gkd import GKDTrainer
        from trl.experimental.sdft import loss_utils
    return loss_utils, GKDTrainer.generalized_jsd_loss


@pytest.fixture
def states():
    generator = torch.Generator().manual_seed(3)
    student, teacher = (torch.randn(37, 16, generator=generator) for _ in range(2))
    return student, teacher, torch.randn(211, 16, generator=generator)


def ours(divergence, states, **taught):
    student, teacher, weight = states
    hidden, weight = student.clone().requires_grad_(), weight.clone().requires_grad_()
    taught = taught or {"teacher_hidden": teacher}
    result = head_loss(hidden, weight, None, torch.ones(37), divergence=divergence, block_rows=10, **taught)
    result.loss.backward()
    return result.per_row, hidden.grad, weight.grad


def theirs(loss_of_logits, states):
    student, teacher, weight = states
    hidden, head = student.clone().requires_grad_(), weight.clone().requires_grad_()
    per_row = loss_of_logits(hidden @ head.t(), teacher @ weight.t())
    per_row.sum().backward()
    return per_row.detach(), hidden.grad, head.grad


def assert_all_close(left, right):
    for a, b in zip(left, right, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("alpha", "divergence"),
    [(0.0, Divergence("forward_kl")), (1.0, Divergence("reverse_kl"))]
    + [(alpha, Divergence("jsd", alpha=alpha)) for alpha in (0.1, 0.5, 0.9)],
)
def test_full_vocabulary_divergences_equal_trls_sdft(peer, states, alpha, divergence):
    utils, _ = peer

    def loss(student, teacher):
        return utils.compute_full_logit_self_distillation_loss(student, teacher, distillation_alpha=alpha)

    assert_all_close(ours(divergence, states), theirs(loss, states))


@pytest.mark.parametrize("temperature", [0.7, 2.0])
@pytest.mark.parametrize(("beta", "kind"), [(0, "forward_kl"), (1, "reverse_kl"), (0.3, "jsd")])
def test_divergences_at_a_temperature_equal_trls_generalised_jsd(peer, states, beta, kind, temperature):
    _, generalised = peer

    def loss(student, teacher):
        return generalised(student, teacher, beta=beta, temperature=temperature, reduction="none").sum(-1)

    divergence = Divergence(kind, temperature=temperature, alpha=beta or 0.5)
    assert_all_close(ours(divergence, states), theirs(loss, states))


def test_top_k_and_tail_equals_trls_tail_bucket_on_the_teachers_tokens(peer, states):
    utils, _ = peer
    top = top_k_of_logits(states[1] @ states[2].t(), 20)

    def loss(student, teacher):
        on_top = [utils.add_tail_bucket(z.log_softmax(-1).gather(-1, top.ids)) for z in (student, teacher)]
        return utils.compute_divergence(*on_top, alpha=0.0)

    divergence = Divergence("top_k_tail", top_k=20)
    assert_all_close(ours(divergence, states), theirs(loss, states))
    assert_all_close(ours(divergence, states, teacher_top=top), theirs(loss, states))


def test_cross_entropy_equals_torchs_own(states):
    targets = torch.arange(37)
    loss, gradient, head_gradient = ours_cross_entropy(states, targets)

    def dense(student, _teacher):
        return torch.nn.functional.cross_entropy(student, targets, reduction="none")

    assert_all_close((loss, gradient, head_gradient), theirs(dense, states))


def ours_cross_entropy(states, targets):
    student, _, weight = states
    hidden, head = student.clone().requires_grad_(), weight.clone().requires_grad_()
    result = head_loss(hidden, head, None, torch.ones(37), divergence=Divergence("cross_entropy"), targets=targets)
    result.loss.backward()
    return result.per_row, hidden.grad, head.grad
