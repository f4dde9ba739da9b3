"""Sequence classification: a linear head on the last token's hidden state, trained with the model.

Paper: Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification"
(arXiv:1801.06146); the head's shape is that of transformers' `...ForSequenceClassification`.

    loss = sum_i w_i * -log softmax(W h_last(x_i))[label_i],   w_i = class weight / (batch * mean class weight)

Choices made here
- The text is read bare (begin-of-text if the tokenizer adds one, no chat template), as those classes of
  transformers are used; the head sees the last token of the text.
- The head has no bias and starts at zero: every class is equally likely before the first step.
- Early stopping watches macro-F1 on a stratified part of the training data, never the test; the weights
  of the best measurement are the ones that stay.
- `class_weights = "balanced"` weighs an example by n / (classes * examples of its class), on average 1.
- Nothing is truncated: a text longer than the model reads is an error that names it.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from holdfast.errors import ContextLengthError, DataError, ModelError, TrainingError
from holdfast.models.layout import TokenRow
from holdfast.seeds import derive_seed
from holdfast.training.method import Loss, Row, token_rows, weighted_sum
from holdfast.training.packing import token_budget_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor
    from torch.nn import Parameter

    from holdfast.models.learner import Learner
    from holdfast.training.config import ClassifyConfig
    from holdfast.types import Example


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a classifier does on labelled examples, both in [0, 1]."""

    accuracy: float
    macro_f1: float


class Classify:
    """A classification head trained together with the candidate."""

    name = "classify"
    packed = False
    steps_per_generation = 1

    def __init__(self, config: ClassifyConfig, learner: Learner, examples: Sequence[Example], *, seed: int = 0) -> None:
        self.config = config
        self.labels = labels_of(examples, config.labels)
        self.balance = balance_of(examples, self.labels)
        self.stopped: str | None = None
        self.measured: dict[str, float] = {}
        self.best: Quality | None = None
        self.train, self.validation = hold_back(examples, config.validation_share, seed)
        width = learner.head("candidate").weight.shape[1]
        self.head = nn.Linear(width, len(self.labels), bias=False, device=learner.device, dtype=torch.float32)
        nn.init.zeros_(self.head.weight)
        self._index = {label: index for index, label in enumerate(self.labels)}
        self._class_weights = class_weights(self.train, self.labels, config.class_weights)
        self._ids: dict[str, list[int]] = {}
        self._steps = 0
        self._worse = 0
        self._best_state: dict[str, Tensor] | None = None
        self._held_back = {example.id for example in self.validation}

    def select(self, examples: Sequence[Example]) -> list[Example]:
        """Returns the examples that are not held back for validation."""
        return [example for example in examples if example.id not in self._held_back]

    def make_batch(self, learner: Learner, examples: Sequence[Example], seed: int, part: int = 0) -> list[Row]:
        """Returns one row per example; nothing is drawn."""
        return [
            Row(
                ids := self._read(learner, example),
                _only_last(len(ids)),
                weight=self._class_weights[self._class_of(example)] / len(examples),
                example_id=example.id,
                label=self._class_of(example),
            )
            for example in examples
        ]

    def loss(self, learner: Learner, rows: Sequence[Row], hidden: Tensor | None = None) -> Loss:
        """Returns the weighted cross-entropy over the classes."""
        if hidden is None:
            hidden = learner.hidden(token_rows(rows), "candidate")
        wanted = torch.tensor([cast("int", row.label) for row in rows], device=hidden.device)
        logits = self.head(hidden.float())
        per_row = nn.functional.cross_entropy(logits, wanted, reduction="none")
        weights = torch.tensor([row.weight for row in rows], device=hidden.device)
        right = (logits.detach().argmax(-1) == wanted).float()
        metrics = {"batch_accuracy": weighted_sum(right, rows)}
        return Loss((per_row * weights).sum(), per_row.detach(), metrics)

    def after_step(self, learner: Learner) -> None:
        """Measures on the validation part every `evaluate_every` steps, and stops when it gets no better."""
        self._steps += 1
        self.measured = {}
        if not self.validation or self._steps % self.config.evaluate_every:
            return
        quality = quality_of(self.predict(learner, self.validation), self.validation, self.labels)
        self.measured = {"validation_accuracy": quality.accuracy, "validation_macro_f1": quality.macro_f1}
        if self.best is None or quality.macro_f1 > self.best.macro_f1:
            self.best, self._worse = quality, 0
            self._best_state = self._weights(learner)
            return
        self._worse += 1
        if self._worse >= self.config.patience:
            self.stopped = (
                f"macro-F1 on {len(self.validation)} held-back examples has not risen above "
                f"{self.best.macro_f1:.3f} for {self._worse} measurements"
            )

    def finish(self, learner: Learner) -> None:
        """Puts the best measured weights back, where any were measured."""
        if self._best_state is not None:
            self._set_weights(learner, self._best_state)

    def predict(
        self,
        learner: Learner,
        examples: Sequence[Example],
        *,
        tokens: int = 8192,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[str]:
        """Returns the likeliest label of each example's text; `progress(done, total)` counts the texts."""
        ids = [self._read(learner, example) for example in examples]
        found, done = [""] * len(ids), 0
        for batch in token_budget_batches([len(row) for row in ids], tokens):
            rows = [TokenRow(ids[index], _only_last(len(ids[index]))) for index in batch]
            with torch.no_grad():
                classes = self.head(learner.hidden(rows, "candidate").float()).argmax(-1).tolist()
            for index, label in zip(batch, classes, strict=True):
                found[index] = self.labels[label]
            done += len(batch)
            if progress is not None:
                progress(done, len(ids))
        return found

    def trainable(self) -> list[tuple[str, Parameter]]:
        """Returns the head's weight."""
        return [("score.weight", cast("Parameter", self.head.weight))]

    def state_dict(self) -> dict[str, object]:
        """Returns the head, the early-stopping counters and the best weights so far."""
        best = None if self.best is None else [self.best.accuracy, self.best.macro_f1]
        state: dict[str, object] = {
            "head": self.head.weight.detach().clone(),
            "counters": [self._steps, self._worse],
            "best": best,
            "stopped": self.stopped,
        }
        if self._best_state is not None:
            state["best_state"] = dict(self._best_state)
        return state

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Takes the state up."""
        with torch.no_grad():
            self.head.weight.copy_(cast("Tensor", state["head"]))
        self._steps, self._worse = cast("list[int]", state["counters"])
        best = cast("list[float] | None", state["best"])
        self.best = None if best is None else Quality(*best)
        self.stopped = cast("str | None", state["stopped"])
        kept = cast("Mapping[str, Tensor] | None", state.get("best_state"))
        self._best_state = None if kept is None else dict(kept)

    def save(self, learner: Learner, folder: Path) -> None:
        """Writes head and labels beside the learner's weights (`Learner.save` comes first).

        After full fine-tuning the folder loads with `AutoModelForSequenceClassification`; with an
        adapter the head stands in `score.safetensors` for `load_head`.
        """
        from safetensors.torch import load_file, save_file

        weight = self.head.weight.detach().cpu().contiguous()
        save_file({"score.weight": weight}, folder / "score.safetensors")
        (folder / "labels.json").write_text(json.dumps(list(self.labels)), encoding="utf-8")
        config_path, weights_path = folder / "config.json", folder / "model.safetensors"
        if learner.adapter is None and config_path.exists() and weights_path.exists():
            tensors = load_file(weights_path)
            tensors["score.weight"] = weight
            save_file(tensors, weights_path, metadata={"format": "pt"})
            config = json.loads(config_path.read_text(encoding="utf-8"))
            architecture = config["architectures"][0].replace("ForCausalLM", "ForSequenceClassification")
            config["architectures"] = [architecture.replace("LMHeadModel", "ForSequenceClassification")]
            config["id2label"] = {str(index): label for index, label in enumerate(self.labels)}
            config["label2id"] = dict(self._index)
            config_path.write_text(json.dumps(config, indent=2), encoding="utf-8")

    def load_head(self, folder: Path) -> None:
        """Takes up a head that `save` wrote; its labels must be these, in this order."""
        from safetensors.torch import load_file

        labels = tuple(json.loads((folder / "labels.json").read_text(encoding="utf-8")))
        if labels != self.labels:
            raise ModelError(f"{folder}: its head tells {labels} apart, not {self.labels}. Use the same labels.")
        with torch.no_grad():
            self.head.weight.copy_(load_file(folder / "score.safetensors")["score.weight"])

    def _weights(self, learner: Learner) -> dict[str, Tensor]:
        return {**learner.candidate_state(), "score.weight": self.head.weight.detach().clone()}

    def _set_weights(self, learner: Learner, state: Mapping[str, Tensor]) -> None:
        learner.load_candidate_state({name: tensor for name, tensor in state.items() if name != "score.weight"})
        with torch.no_grad():
            self.head.weight.copy_(state["score.weight"])

    def _class_of(self, example: Example) -> int:
        assert example.label is not None
        return self._index[example.label]

    def _read(self, learner: Learner, example: Example) -> list[int]:
        """Returns the text's token ids and one token more, whose prediction is the state of the last."""
        known = self._ids.get(example.id)
        if known is None:
            ids = list(learner.tokenizer(text_of(example))["input_ids"])
            if not ids:
                raise DataError(f"{example.source or example.id}: the text is empty. Fill it in, or drop the line.")
            if len(ids) + 1 > learner.context_length:
                raise ContextLengthError(
                    f"{example.source or example.id}: {len(ids)} tokens do not fit the model's "
                    f"{learner.context_length - 1}. Shorten the text, or drop the line."
                )
            known = [*ids, ids[-1]]
            self._ids[example.id] = known
        return known


def text_of(example: Example) -> str:
    """Returns the text that is classified: the content of the example's last user turn."""
    for message in reversed(example.messages):
        if message.role == "user":
            return message.content
    raise DataError(f"{example.source or example.id}: there is no text to classify. Add a user turn, or drop the line.")


def labels_of(examples: Sequence[Example], wanted: Sequence[str]) -> tuple[str, ...]:
    """Returns the classes: `wanted` if given, else those of the examples, sorted."""
    for example in examples:
        if example.label is None:
            raise DataError(f"{example.source or example.id}: has no label. Add one, or drop the line.")
    found = sorted({cast("str", example.label) for example in examples})
    if wanted and (unknown := sorted(set(found) - set(wanted))):
        raise DataError(f"the data has the class {unknown[0]!r}, which method.labels does not name. Add it there.")
    labels = tuple(wanted) or tuple(found)
    if len(labels) < 2:
        raise DataError(f"classification needs at least two classes, and the data has {len(labels)}.")
    return labels


def balance_of(examples: Sequence[Example], labels: Sequence[str]) -> str:
    """Returns the class balance in words, with a warning where it is bad."""
    counts = Counter(example.label for example in examples)
    shares = ", ".join(f"{label} {counts[label]} ({counts[label] / len(examples):.0%})" for label in labels)
    most, least = max(counts[label] for label in labels), min(counts[label] for label in labels)
    if least == 0:
        missing = [label for label in labels if not counts[label]]
        return f"{len(examples)} examples: {shares}. No example of {', '.join(missing)}: it cannot be learnt."
    if most > 3 * least:
        return (
            f"{len(examples)} examples: {shares}. Uneven: always answering the largest class would be "
            f"{most / len(examples):.0%} accurate; look at macro-F1, and consider class_weights = balanced."
        )
    return f"{len(examples)} examples: {shares}. Even enough."


def class_weights(examples: Sequence[Example], labels: Sequence[str], kind: str) -> list[float]:
    """Returns a weight per class: 1, or n / (classes present * examples of the class)."""
    counts = Counter(example.label for example in examples)
    if kind == "none":
        return [1.0] * len(labels)
    present = sum(counts[label] > 0 for label in labels)
    return [len(examples) / (present * counts[label]) if counts[label] else 0.0 for label in labels]


def hold_back(examples: Sequence[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Returns (train, validation), split within each class; an order of the examples changes nothing."""
    groups: dict[str, list[Example]] = {}
    for example in sorted(examples, key=lambda example: example.id):
        groups.setdefault(cast("str", example.label), []).append(example)
    held: set[str] = set()
    for index, label in enumerate(sorted(groups)):
        ids = [example.id for example in groups[label]]
        random.Random(derive_seed(seed, "hold back", index=index)).shuffle(ids)
        held.update(ids[: math.floor(share * len(ids))])
    train = [example for example in examples if example.id not in held]
    if not train:
        raise TrainingError("no example is left to train on. Lower method.validation_share.")
    return train, [example for example in examples if example.id in held]


def quality_of(predicted: Sequence[str], examples: Sequence[Example], labels: Sequence[str]) -> Quality:
    """Returns accuracy and the mean over the classes that occur of F1 = 2 tp / (2 tp + fp + fn)."""
    pairs = Counter((example.label, guess) for example, guess in zip(examples, predicted, strict=True))
    scores: list[float] = []
    for label in labels:
        true = sum(count for (wanted, _), count in pairs.items() if wanted == label)
        guessed = sum(count for (_, guess), count in pairs.items() if guess == label)
        if true or guessed:
            scores.append(2 * pairs[label, label] / (true + guessed))
    right = sum(count for (wanted, guess), count in pairs.items() if wanted == guess)
    return Quality(right / len(examples), sum(scores) / len(scores))


def _only_last(length: int) -> list[bool]:
    return [False] * (length - 1) + [True]
