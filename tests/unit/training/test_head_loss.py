"""The fused head loss is the dense one: same loss, same gradients, no tensor of N x V."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from holdfast.errors import ConfigError, TrainingError
from holdfast.training import head_loss as module
from holdfast.training.head_loss import choose_block_rows, head_loss, teacher_top_k
from holdfast.training.losses import Divergence, TopK, dense_rows

KINDS = ["cross_entropy", "forward_kl", "reverse_kl", "jsd", "top_k_tail"]


def problem(seed=0, rows=23, width=7, vocab=31, *, bias=True, shared_head=False, scale=1.0):
    """Student and teacher with heads of their own, and everything that a loss may want."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape, times=1.0):
        return times * torch.randn(*shape, generator=generator)

    hidden, weight = draw(rows, width, times=scale), draw(vocab, width)
    return {
        "hidden": hidden,
        "weight": weight,
        "bias": draw(vocab) if bias else None,
        "row_weights": torch.rand(rows, generator=generator),
        "targets": torch.randint(vocab, (rows,), generator=generator),
        "teacher_hidden": hidden + draw(rows, width, times=0.5),
        "teacher_weight": None if shared_head else weight + draw(vocab, width, times=0.1),
        "teacher_bias": draw(vocab) if bias and not shared_head else None,
    }


def leaves(given):
    tensors = [given["hidden"], given["weight"], given["bias"]]
    return [None if t is None else t.clone().requires_grad_() for t in tensors]


def fused(divergence, given, **more):
    hidden, weight, bias = leaves(given)
    taught = {name: given[name] for name in ("teacher_hidden", "teacher_weight", "teacher_bias")}
    if divergence.kind == "cross_entropy":
        taught = {}
    result = head_loss(
        hidden, weight, bias, given["row_weights"], divergence=divergence, targets=given["targets"], **taught, **more
    )
    result.loss.backward()
    return result, [None if t is None else t.grad for t in (hidden, weight, bias)]


def dense(divergence, given):
    hidden, weight, bias = leaves(given)
    teacher_weight = given["weight"] if given["teacher_weight"] is None else given["teacher_weight"]
    teacher_bias = given["bias"] if given["teacher_weight"] is None else given["teacher_bias"]
    per_row = dense_rows(
        divergence,
        torch.nn.functional.linear(hidden, weight, bias),
        targets=given["targets"],
        teacher_logits=torch.nn.functional.linear(given["teacher_hidden"], teacher_weight, teacher_bias),
    )
    loss = (per_row * given["row_weights"]).sum()
    loss.backward()
    return loss, per_row, [None if t is None else t.grad for t in (hidden, weight, bias)]


def assert_equal_to_dense(divergence, given, **more):
    result, gradients = fused(divergence, given, **more)
    loss, per_row, expected = dense(divergence, given)
    torch.testing.assert_close(result.loss, loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(result.per_row, per_row, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(gradients, expected, strict=True):
        if theirs is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.0])
@pytest.mark.parametrize("clip", [None, 0.2])
def test_loss_and_gradients_of_hidden_head_and_bias_equal_dense_autograd(kind, temperature, clip):
    divergence = Divergence(kind, temperature=temperature, clip=clip, alpha=0.3, top_k=5)
    assert_equal_to_dense(divergence, problem(), block_rows=4)
    assert_equal_to_dense(divergence, problem(shared_head=True), block_rows=4)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    seed=st.integers(0, 10**6),
    rows=st.integers(1, 40),
    width=st.integers(1, 9),
    vocab=st.integers(2, 60),
    block_rows=st.integers(1, 50),
    bias=st.booleans(),
    shared_head=st.booleans(),
    temperature=st.floats(0.5, 3.0),
    clip=st.none() | st.floats(0.05, 2.0),
    alpha=st.floats(0.05, 0.95),
    top_k=st.integers(1, 70),
)
def test_any_shape_and_setting_equals_dense_autograd(
    kind, seed, rows, width, vocab, block_rows, bias, shared_head, temperature, clip, alpha, top_k
):
    divergence = Divergence(kind, temperature=temperature, alpha=alpha, top_k=top_k, clip=clip)
    assert_equal_to_dense(
        divergence, problem(seed, rows, width, vocab, bias=bias, shared_head=shared_head), block_rows=block_rows
    )


@pytest.mark.parametrize("kind", KINDS)
def test_extreme_logits_stay_finite(kind):
    given = problem(scale=200.0)
    result, gradients = fused(Divergence(kind, top_k=3), given)
    assert result.loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_teacher_equal_to_the_student_teaches_nothing(kind):
    given = problem(shared_head=True)
    given["teacher_hidden"] = given["hidden"].clone()
    result, gradients = fused(Divergence(kind, top_k=5), given)
    assert result.per_row.abs().max() < 1e-6
    assert max(gradient.abs().max().item() for gradient in gradients) < 1e-5


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10**6), vocab=st.integers(2, 40))
def test_no_divergence_is_negative_and_no_gradient_moves_all_logits_at_once(kind, seed, vocab):
    result, gradients = fused(Divergence(kind, top_k=4), problem(seed, vocab=vocab))
    assert result.per_row.min() > -1e-5
    # adding a constant to every logit changes no probability, so the bias gradient sums to nothing
    assert abs(gradients[2].sum().item()) < 1e-4


def test_a_row_of_weight_zero_gets_no_gradient():
    given = problem()
    given["row_weights"][5] = 0.0
    _, gradients = fused(Divergence("forward_kl"), given)
    assert gradients[0][5].abs().max() == 0
    assert gradients[0][4].abs().max() > 0


@pytest.mark.parametrize("chunk_bytes", [1, 200, 10**6])
def test_the_chunk_size_changes_nothing(monkeypatch, chunk_bytes):
    monkeypatch.setattr(module, "CHUNK_BYTES", chunk_bytes)
    assert_equal_to_dense(Divergence("jsd", clip=0.1), problem(), block_rows=9)


@pytest.mark.parametrize("vocab", [3, 31])
def test_top_k_and_tail_over_the_whole_vocabulary_is_the_forward_kl(vocab):
    given = problem(rows=400, vocab=vocab)
    whole, gradients = fused(Divergence("forward_kl"), given)
    bucketed, bucket_gradients = fused(Divergence("top_k_tail", top_k=vocab), given)
    torch.testing.assert_close(bucketed.per_row, whole.per_row, rtol=1e-5, atol=2e-6)
    torch.testing.assert_close(bucket_gradients[0], gradients[0], rtol=1e-4, atol=1e-5)


def test_top_k_and_tail_never_exceeds_the_forward_kl():
    given = problem()
    bucketed, _ = fused(Divergence("top_k_tail", top_k=4), given)
    whole, _ = fused(Divergence("forward_kl"), given)
    assert (bucketed.per_row <= whole.per_row + 1e-6).all()


@pytest.mark.parametrize("temperature", [1.0, 1.7])
def test_a_cached_teacher_gives_the_loss_of_a_living_one(temperature):
    given, divergence = problem(), Divergence("top_k_tail", top_k=6, temperature=temperature)
    living, expected = fused(divergence, given)
    cached = teacher_top_k(
        given["teacher_hidden"],
        given["teacher_weight"],
        given["teacher_bias"],
        6,
        temperature=temperature,
        block_rows=5,
    )
    assert cached.ids.shape == cached.logprobs.shape == (23, 6)
    hidden, weight, bias = leaves(given)
    result = head_loss(hidden, weight, bias, given["row_weights"], divergence=divergence, teacher_top=cached)
    result.loss.backward()
    torch.testing.assert_close(result.loss, living.loss)
    torch.testing.assert_close(hidden.grad, expected[0])


def test_sampled_logprobs_and_entropy_are_the_students_at_the_losses_temperature():
    given = problem()
    for kind in KINDS:
        result, _ = fused(Divergence(kind, temperature=1.5, clip=0.01), given, want_entropy=True, block_rows=4)
        logprobs = (torch.nn.functional.linear(given["hidden"], given["weight"], given["bias"]) / 1.5).log_softmax(-1)
        expected = logprobs.gather(-1, given["targets"][:, None]).squeeze(-1)
        torch.testing.assert_close(result.sampled_logprob, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(result.entropy, -(logprobs.exp() * logprobs).sum(-1), rtol=1e-5, atol=1e-5)
        assert not result.sampled_logprob.requires_grad


@pytest.mark.parametrize("kind", KINDS)
def test_without_gradients_the_loss_is_the_same_and_nothing_is_kept(kind):
    given, divergence = problem(), Divergence(kind, clip=0.2, top_k=4)
    expected, _ = fused(divergence, given)
    with torch.no_grad():
        taught = {} if kind == "cross_entropy" else {"teacher_hidden": given["teacher_hidden"]}
        taught |= {} if kind == "cross_entropy" else {"teacher_weight": given["teacher_weight"]}
        taught |= {} if kind == "cross_entropy" else {"teacher_bias": given["teacher_bias"]}
        hidden, weight, bias = leaves(given)
        result = head_loss(
            hidden, weight, bias, given["row_weights"], divergence=divergence, targets=given["targets"], **taught
        )
    assert not result.loss.requires_grad
    torch.testing.assert_close(result.loss, expected.loss.detach())
    torch.testing.assert_close(result.per_row, expected.per_row)


def test_a_frozen_head_gets_no_gradient_and_a_frozen_body_none_either():
    given = problem()
    hidden, weight, bias = leaves(given)
    head_loss(
        hidden, weight.detach(), bias, given["row_weights"], divergence=Divergence("cross_entropy"),
        targets=given["targets"],
    ).loss.backward()  # fmt: skip
    assert hidden.grad is not None
    assert bias.grad is not None
    hidden, weight, bias = leaves(given)
    head_loss(
        hidden.detach(), weight, bias, given["row_weights"], divergence=Divergence("cross_entropy"),
        targets=given["targets"],
    ).loss.backward()  # fmt: skip
    assert weight.grad is not None


def test_the_gradient_is_scaled_by_what_comes_after_the_loss():
    given, divergence = problem(), Divergence("forward_kl")
    _, once = fused(divergence, given)
    hidden, weight, bias = leaves(given)
    result = head_loss(
        hidden,
        weight,
        bias,
        given["row_weights"],
        divergence=divergence,
        teacher_hidden=given["teacher_hidden"],
        teacher_weight=given["teacher_weight"],
        teacher_bias=given["teacher_bias"],
    )
    (3 * result.loss).backward()
    torch.testing.assert_close(hidden.grad, 3 * once[0])
    torch.testing.assert_close(weight.grad, 3 * once[1])


def test_a_second_backward_pass_is_refused_rather_than_wrong():
    given = problem()
    hidden, weight, _ = leaves(given)
    result = head_loss(
        hidden, weight, None, given["row_weights"], divergence=Divergence("cross_entropy"), targets=given["targets"]
    )
    result.loss.backward(retain_graph=True)
    with pytest.raises(TrainingError, match="twice"):
        result.loss.backward()


def test_no_rows_cost_nothing():
    empty = problem(rows=1)
    for name in ("hidden", "row_weights", "targets", "teacher_hidden"):
        empty[name] = empty[name][:0]
    result, gradients = fused(Divergence("forward_kl"), empty)
    assert result.loss.item() == 0
    assert gradients[0].shape == (0, 7)


def test_bf16_states_and_head_give_a_float32_loss_near_the_exact_one_and_bf16_gradients():
    given = problem(bias=False)
    exact, expected = fused(Divergence("forward_kl"), given)
    halved = {name: t.bfloat16() if t is not None and t.is_floating_point() else t for name, t in given.items()}
    halved["row_weights"] = given["row_weights"]
    result, gradients = fused(Divergence("forward_kl"), halved, block_rows=4)
    assert result.loss.dtype == torch.float32
    assert gradients[0].dtype == gradients[1].dtype == torch.bfloat16
    torch.testing.assert_close(result.loss, exact.loss, rtol=0.02, atol=0.02)
    torch.testing.assert_close(gradients[0].float(), expected[0], rtol=0.1, atol=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_float64_is_kept_and_agrees_with_finite_differences(kind):
    given = {n: t.double() if t is not None and t.is_floating_point() else t for n, t in problem(rows=3).items()}
    divergence, step = Divergence(kind, temperature=1.3, top_k=5), 1e-5
    result, gradients = fused(divergence, given)
    assert result.loss.dtype == torch.float64
    for name, gradient in zip(("hidden", "weight", "bias"), gradients, strict=True):
        direction = torch.randn_like(given[name])
        ahead, _ = fused(divergence, given | {name: given[name] + step * direction})
        behind, _ = fused(divergence, given | {name: given[name] - step * direction})
        slope = (ahead.loss - behind.loss) / (2 * step)
        torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-6, atol=1e-8)


class LargestTensor(TorchDispatchMode):
    """Notes the largest storage that any operation returns, in elements."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor):
                self.elements = max(self.elements, leaf.untyped_storage().nbytes() // leaf.element_size())
        return out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [64, 1024])
def test_no_tensor_of_rows_times_vocabulary_is_ever_created(kind, rows):
    width, vocab, block = 4, 2003, 8
    given = problem(rows=rows, width=width, vocab=vocab)
    with LargestTensor() as seen:
        fused(Divergence(kind, top_k=16), given, block_rows=block)
    # a block of student and teacher logits is the largest thing, however many rows there are
    assert seen.elements <= max(2 * block * vocab, rows * width, vocab * width)
    assert seen.elements < rows * vocab


def test_the_dense_reference_does_create_one_so_the_probe_sees():
    given = problem(rows=64, width=4, vocab=2003)
    with LargestTensor() as seen:
        dense(Divergence("forward_kl"), given)
    assert seen.elements >= 64 * 2003


def test_blocks_hold_64_mib_of_logits_for_large_vocabularies_and_one_block_for_small_ones():
    assert choose_block_rows(151_936) == 110
    assert choose_block_rows(1024) == 16_384
    assert choose_block_rows(10**9) == 16


def run(divergence, **changes):
    given = problem()
    arguments = {
        "hidden": given["hidden"],
        "head_weight": given["weight"],
        "head_bias": None,
        "row_weights": given["row_weights"],
        "divergence": divergence,
    }
    return head_loss(**(arguments | changes))


def test_a_missing_or_ineffective_input_is_refused():
    given = problem()
    taught, top = given["teacher_hidden"], TopK(torch.zeros(23, 2, dtype=torch.long), torch.zeros(23, 2))
    with pytest.raises(ConfigError, match="needs targets"):
        run(Divergence("cross_entropy"))
    with pytest.raises(ConfigError, match="needs a teacher"):
        run(Divergence("forward_kl"))
    with pytest.raises(ConfigError, match="has no teacher"):
        run(Divergence("cross_entropy"), targets=given["targets"], teacher_hidden=taught)
    with pytest.raises(ConfigError, match="needs a teacher: either"):
        run(Divergence("top_k_tail"), teacher_hidden=taught, teacher_top=top)
    with pytest.raises(ConfigError, match="no effect"):
        run(Divergence("top_k_tail"), teacher_top=top, teacher_weight=given["weight"])
    with pytest.raises(ConfigError, match="top_k_tail only"):
        run(Divergence("forward_kl"), teacher_top=top)
    with pytest.raises(ConfigError, match=r"cached at temperature 1\.0"):
        run(Divergence("top_k_tail", temperature=2.0), teacher_top=top)
    with pytest.raises(AssertionError, match="targets has 3 rows"):
        run(Divergence("cross_entropy"), targets=given["targets"][:3])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "kl"}, "unknown"),
        ({"temperature": 0.0}, "temperature"),
        ({"kind": "jsd", "alpha": 0.0}, "forward_kl"),
        ({"kind": "jsd", "alpha": 1.0}, "reverse_kl"),
        ({"kind": "top_k_tail", "top_k": 0}, "top_k"),
        ({"clip": 0.0}, "clip"),
    ],
)
def test_a_divergence_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(Divergence(), **changes)
