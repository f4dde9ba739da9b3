import math

import pytest
import torch

from holdfast.errors import ContextLengthError, DataError, ModelError, TrainingError
from holdfast.models.layout import TokenRow
from holdfast.training.config import ClassifyConfig
from holdfast.training.methods.classify import Classify, balance_of, class_weights, hold_back, quality_of
from holdfast.types import Example, Message


def texts(*labels):
    return [Example(id=f"{i}", messages=(Message("user", f"text {i}"),), label=label) for i, label in enumerate(labels)]


def test_accuracy_and_macro_f1_are_those_worked_out_by_hand():
    # a: tp 2, fp 1, fn 1 -> F1 = 4/6; b: tp 1, fp 1, fn 1 -> F1 = 2/4; c never occurs and is left out
    quality = quality_of(["a", "a", "b", "a", "b"], texts("a", "a", "a", "b", "b"), ("a", "b", "c"))
    assert quality.accuracy == pytest.approx(3 / 5)
    assert quality.macro_f1 == pytest.approx((4 / 6 + 2 / 4) / 2)


def test_a_class_that_is_only_guessed_counts_as_zero():
    assert quality_of(["a", "c"], texts("a", "a"), ("a", "b", "c")).macro_f1 == pytest.approx((2 / 3 + 0) / 2)


def test_the_class_balance_is_said_aloud():
    assert "a 2 (50%), b 2 (50%). Even enough." in balance_of(texts("a", "b", "a", "b"), ("a", "b"))
    assert "80% accurate" in balance_of(texts(*"aaaab"), ("a", "b"))
    assert "No example of c" in balance_of(texts("a", "b"), ("a", "b", "c"))


def test_balanced_weights_are_one_on_average_and_larger_for_the_rare():
    examples = texts("a", "a", "a", "b")
    assert class_weights(examples, ("a", "b", "c"), "balanced") == [pytest.approx(4 / 6), 2.0, 0.0]
    assert class_weights(examples, ("a", "b"), "none") == [1.0, 1.0]


def test_the_held_back_part_is_stratified_and_independent_of_the_order():
    examples = texts(*"aaaaaaaabbbb")
    train, held = hold_back(examples, 0.25, seed=3)
    assert sorted(e.label for e in held) == ["a", "a", "b"]
    assert {e.id for e in hold_back(examples[::-1], 0.25, seed=3)[1]} == {e.id for e in held}
    assert len(train) + len(held) == len(examples)


@pytest.mark.parametrize(
    ("examples", "labels", "message"),
    [
        (texts("a", None), (), "has no label"),
        (texts("a", "a"), (), "at least two classes"),
        (texts("a", "z"), ("a", "b"), "'z', which method.labels does not name"),
    ],
)
def test_data_that_cannot_be_classified_is_refused(make_learner, examples, labels, message):
    with pytest.raises(DataError, match=message):
        Classify(ClassifyConfig(labels=labels), make_learner(), examples)


def test_before_the_first_step_every_class_is_equally_likely(make_learner, labelled_examples):
    learner = make_learner()
    method = Classify(ClassifyConfig(validation_share=0), learner, labelled_examples)
    rows = method.make_batch(learner, labelled_examples, 0)
    assert method.loss(learner, rows).value.item() == pytest.approx(math.log(2), rel=1e-5)


def test_a_text_longer_than_the_model_reads_is_refused_by_name(make_learner, labelled_examples):
    learner = make_learner(context=4)
    method = Classify(ClassifyConfig(validation_share=0), learner, labelled_examples)
    with pytest.raises(ContextLengthError, match=r"texts\.csv:2"):
        method.make_batch(learner, labelled_examples, 0)


def test_an_empty_text_is_refused(make_learner):
    examples = [Example("e", (Message("user", ""),), label="a", source="t.csv:2"), *texts("a", "b")]
    learner = make_learner()
    method = Classify(ClassifyConfig(validation_share=0), learner, examples)
    with pytest.raises(DataError, match=r"t\.csv:2: the text is empty"):
        method.make_batch(learner, examples, 0)


def test_two_classes_that_a_word_tells_apart_are_learnt(make_run, labelled_examples):
    run = make_run(labelled_examples, "method=classify", "method.validation_share=0", "steps=25")
    list(run)
    assert run.method.predict(run.learner, labelled_examples) == [e.label for e in labelled_examples]


def test_the_weights_of_the_best_measurement_stay(make_run, labelled_examples):
    settings = ("method.evaluate_every=1", "method.patience=3", "method.validation_share=0.25", "steps=30")
    run = make_run(labelled_examples, "method=classify", *settings)
    method, seen = run.method, []
    inner = method.after_step

    def spy(learner):
        inner(learner)
        seen.append(quality_of(method.predict(learner, method.validation), method.validation, method.labels))

    method.after_step = spy
    list(run)
    best = max(quality.macro_f1 for quality in seen)
    assert method.best.macro_f1 == best
    after = quality_of(method.predict(run.learner, method.validation), method.validation, method.labels)
    assert after.macro_f1 == best


def test_a_run_with_nothing_left_to_train_on_is_refused():
    with pytest.raises(TrainingError, match="no example is left"):
        hold_back([], 0.1, 0)


def test_the_saved_folder_loads_as_a_stock_sequence_classifier(make_run, labelled_examples, tmp_path):
    from transformers import AutoModelForSequenceClassification

    run = make_run(labelled_examples, "method=classify", "method.validation_share=0", "steps=3")
    list(run)
    folder = tmp_path / "classifier"
    run.learner.save(folder)
    run.method.save(run.learner, folder)
    stock = AutoModelForSequenceClassification.from_pretrained(folder)
    ids = run.learner.tokenizer("good 77")["input_ids"]
    with torch.no_grad():
        logits = stock(input_ids=torch.tensor([ids])).logits[0]
        hidden = run.learner.hidden([TokenRow([*ids, ids[-1]], [False] * len(ids) + [True])], "candidate")
    assert torch.allclose(logits, run.method.head(hidden)[0], atol=1e-5)
    assert stock.config.id2label == {0: "down", 1: "up"}


def test_a_head_is_taken_up_only_for_the_same_labels(make_learner, labelled_examples, tmp_path):
    learner = make_learner(adapter=True)
    method = Classify(ClassifyConfig(validation_share=0), learner, labelled_examples)
    with torch.no_grad():
        method.head.weight.fill_(0.5)
    method.save(learner, tmp_path)
    again = Classify(ClassifyConfig(validation_share=0), learner, labelled_examples)
    again.load_head(tmp_path)
    assert torch.equal(again.head.weight, method.head.weight)
    other = Classify(ClassifyConfig(validation_share=0, labels=("up", "down")), learner, labelled_examples)
    with pytest.raises(ModelError, match="tells"):
        other.load_head(tmp_path)
