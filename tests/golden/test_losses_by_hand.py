"""Every divergence on one row of three tokens, worked out by hand.

The student gives p = (1/2, 1/4, 1/4), the teacher q = (1/4, 1/4, 1/2). The head is the identity, so the
hidden state is the logits and its gradient is the logits' gradient.
"""

from math import log

import pytest
import torch

from holdfast.training.head_loss import head_loss
from holdfast.training.losses import Divergence

P = torch.tensor([[0.5, 0.25, 0.25]])
Q = torch.tensor([[0.25, 0.25, 0.5]])
LN2 = log(2)


def loss_and_gradient(divergence, *, weight=1.0, student=None, teacher=None):
    hidden = (P.log() if student is None else student).clone().requires_grad_()
    taught = {} if divergence.kind == "cross_entropy" else {"teacher_hidden": Q.log() if teacher is None else teacher}
    result = head_loss(
        hidden, torch.eye(3), None, torch.tensor([weight]), divergence=divergence, targets=torch.tensor([0]), **taught
    )
    result.loss.backward()
    return result, hidden.grad[0].tolist()


def test_cross_entropy_of_a_token_with_probability_one_half():
    result, gradient = loss_and_gradient(Divergence("cross_entropy"))
    assert result.loss.item() == pytest.approx(LN2)  # -log 1/2
    assert gradient == pytest.approx([-0.5, 0.25, 0.25])  # p - onehot


def test_forward_kl_is_a_quarter_of_ln_2():
    # 1/4 log(1/2) + 1/4 log 1 + 1/2 log 2
    result, gradient = loss_and_gradient(Divergence("forward_kl"))
    assert result.loss.item() == pytest.approx(LN2 / 4)
    assert gradient == pytest.approx([0.25, 0.0, -0.25])  # p - q


def test_reverse_kl_is_a_quarter_of_ln_2():
    # 1/2 log 2 + 1/4 log 1 + 1/4 log(1/2); g = (ln 2, 0, -ln 2) and <p, g> = ln 2 / 4
    result, gradient = loss_and_gradient(Divergence("reverse_kl"))
    assert result.loss.item() == pytest.approx(LN2 / 4)
    assert gradient == pytest.approx([0.5 * 0.75 * LN2, -0.25 * 0.25 * LN2, -0.25 * 1.25 * LN2])


def test_jsd_with_alpha_one_half():
    # m = (3/8, 1/4, 3/8); KL(p || m) = 1/2 log(4/3) + 1/4 log(2/3), and KL(q || m) is the same by symmetry
    each = 0.5 * log(4 / 3) + 0.25 * log(2 / 3)
    result, gradient = loss_and_gradient(Divergence("jsd", alpha=0.5))
    assert result.loss.item() == pytest.approx(each)
    g = [0.5 * log(4 / 3), 0.0, 0.5 * log(2 / 3)]
    assert gradient == pytest.approx([p * (x - each / 2) for p, x in zip([0.5, 0.25, 0.25], g, strict=True)], abs=1e-7)


def test_jsd_with_alpha_one_quarter():
    # m = 3/4 p + 1/4 q = (7/16, 1/4, 5/16)
    to_teacher = 0.25 * log(4 / 7) + 0.5 * log(8 / 5)
    to_student = 0.5 * log(8 / 7) + 0.25 * log(4 / 5)
    result, gradient = loss_and_gradient(Divergence("jsd", alpha=0.25))
    assert result.loss.item() == pytest.approx(0.25 * to_teacher + 0.75 * to_student)
    assert gradient[1] == pytest.approx(0.25 * (0 - 0.75 * to_student))  # g of the middle token is 0


def test_top_1_and_tail_sees_two_buckets():
    # teacher: token 2 has 1/2, the tail 1/2; student: 1/4 and 3/4. KL = 1/2 log 2 + 1/2 log(2/3)
    result, gradient = loss_and_gradient(Divergence("top_k_tail", top_k=1))
    assert result.loss.item() == pytest.approx(0.5 * log(4 / 3))
    # on the token p - q = -1/4; on the tail p (1 - (1/2) / (3/4)) = p / 3
    assert gradient == pytest.approx([1 / 6, 1 / 12, -0.25])


def test_the_temperature_divides_the_logits_and_the_gradient():
    doubled = {"student": 2 * P.log(), "teacher": 2 * Q.log()}
    result, gradient = loss_and_gradient(Divergence("forward_kl", temperature=2.0), **doubled)
    assert result.loss.item() == pytest.approx(LN2 / 4)
    assert gradient == pytest.approx([0.125, 0.0, -0.125])


def test_a_row_of_twice_the_clip_counts_as_the_clip_and_teaches_half():
    result, gradient = loss_and_gradient(Divergence("forward_kl", clip=LN2 / 8))
    assert result.per_row.item() == pytest.approx(LN2 / 8)
    assert gradient == pytest.approx([0.125, 0.0, -0.125])


def test_the_row_weight_scales_loss_and_gradient_but_not_the_report_per_row():
    result, gradient = loss_and_gradient(Divergence("forward_kl"), weight=4.0)
    assert result.loss.item() == pytest.approx(LN2)
    assert result.per_row.item() == pytest.approx(LN2 / 4)
    assert gradient == pytest.approx([1.0, 0.0, -1.0])


def test_the_sampled_logprob_is_the_students_and_the_entropy_too():
    result = head_loss(
        P.log(),
        torch.eye(3),
        None,
        torch.ones(1),
        divergence=Divergence("forward_kl"),
        targets=torch.tensor([1]),
        teacher_hidden=Q.log(),
        want_entropy=True,
    )
    assert result.sampled_logprob.item() == pytest.approx(log(1 / 4))
    assert result.entropy.item() == pytest.approx(0.5 * LN2 + 0.5 * 2 * LN2)  # 1.5 bits
