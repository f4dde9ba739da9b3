"""Real tweets, three classes: the embedded base's classifier beside two lines that any result must be held against.

    python bench/tweets.py --data FOLDER            # FOLDER holds train.jsonl.gz and test.jsonl.gz

The file has the columns `text` and `sentiment` (Kaggle tweet-sentiment-extraction). Lines: always answering the
most frequent class, and TF-IDF (words, one and two) with logistic regression, whose C is chosen by cross-validation
on the training part. Both see exactly the rows that the classifier sees. Accuracy and macro-F1 on the test file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline

from holdfast.data.read import read
from holdfast.evaluation.metrics import macro_f1
from holdfast.models.learner import Learner
from holdfast.models.load import load
from holdfast.training.config import Recipe
from holdfast.training.defaults import choose_adapter
from holdfast.training.loop import Run
from holdfast.training.methods.classify import Classify

if TYPE_CHECKING:
    from holdfast.types import Example

COLUMNS = {"label": "sentiment"}


def quality(truth: list[str], answers: list[str]) -> tuple[float, float]:
    right = sum(map(str.__eq__, truth, answers)) / len(truth)
    return right, macro_f1(truth, answers)


def texts(examples: list[Example]) -> list[str]:
    return [example.messages[0].content for example in examples]


def labels(examples: list[Example]) -> list[str]:
    return [str(example.label) for example in examples]


def classifier(model: str, train: list[Example], test: list[Example], steps: int, rate: float, seed: int) -> list[str]:
    recipe = Recipe.from_mapping(
        {
            "base": model,
            "method": {"type": "classify", "evaluate_every": 50, "patience": 6},
            "optimizer": {"learning_rate": rate},
            "batch": {"examples": 32},
            "steps": steps,
            "seed": seed,
        }
    )
    loaded = load(model, dtype="float32", device="cpu")
    chosen = choose_adapter(recipe, sum(p.numel() for p in loaded.model.parameters()))
    learner = Learner.create(loaded, chosen.adapter, gradient_checkpointing=False, seed=seed)
    method = Classify(recipe.method, learner, train, seed=seed)
    run = Run(learner, method, train, recipe)
    for _ in run:
        pass
    best = method.best
    print(f"  seed {seed}, rate {rate:g}: {run.done} steps, accuracy {best.accuracy:.3f}, macro-F1 {best.macro_f1:.3f}")
    return method.predict(learner, test)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="holdfast:tiny")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rates", type=float, nargs="+", default=[4e-4, 1e-3])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    train, test = (read(str(options.data / f"{part}.jsonl.gz"), columns=COLUMNS).examples for part in ("train", "test"))
    truth = labels(test)
    majority = Counter(labels(train)).most_common(1)[0][0]
    rows = {f"always {majority!r}": [quality(truth, [majority] * len(truth))]}
    line = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
        LogisticRegressionCV(Cs=5, cv=3, max_iter=500, l1_ratios=(0,), scoring="accuracy", use_legacy_attributes=False),
    )
    line.fit(texts(train), labels(train))
    rows["TF-IDF + logistic regression"] = [quality(truth, list(line.predict(texts(test))))]
    for rate in options.rates:
        began = time.monotonic()
        found = [
            quality(truth, classifier(options.model, train, test, options.steps, rate, s)) for s in range(options.seeds)
        ]
        rows[f"{options.model} at {rate:g} ({(time.monotonic() - began) / options.seeds:.0f} s)"] = found
    print(f"{len(train)} tweets to learn, {len(test)} to test; median and range of {options.seeds} seeds")
    print("| line | accuracy | macro-F1 |\n|---|---|---|")
    for name, found in rows.items():
        print(f"| {name} | {spread([a for a, _ in found])} | {spread([f for _, f in found])} |")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
