"""Weak labels on real tweets: the label model beside a plain majority, snorkel's, and the full Dawid-Skene table.

    python bench/weak_labels.py

Prints the accuracy on the tweets that have a vote, for keyword rules that vote for one class each and for the same
rules grouped to functions that vote for two. Needs ../shared/data/tweet_sentiment; snorkel is left out where absent.
"""

import re
import warnings
from pathlib import Path

import numpy as np

from holdfast.data.making.label_model import ABSTAIN, dawid_skene, majority
from holdfast.data.read import read

LABELS = ["negative", "neutral", "positive"]
RULES = [
    (r"\b(love|loved|loving)\b", 2), (r"\b(great|awesome|amazing|best|nice)\b", 2), (r"\b(thanks|thank)\b", 2),
    (r"\b(happy|glad|excited|fun|good|yay)\b", 2), (r":\)|:d|<3|lol|haha", 2), (r"\b(hate|hated|sucks|stupid)\b", 0),
    (r"\b(sad|miss|sorry|cry)\b", 0), (r":\(|:/|ugh|damn", 0), (r"\b(sick|hurt|tired|headache|bad|worst)\b", 0),
    (r"\b(not|can't|don't|never|didn't)\b", 0), (r"\?", 1), (r"http", 1), (r"^\S+(\s\S+){0,4}$", 1),
]  # fmt: skip
GROUPS = [(0, 5), (1, 6), (2, 9), (3, 8), (4, 7), (11, 12), (10,)]
KNOWN = 200


def full_table(votes, num_labels, rounds=300):
    """Dawid and Skene's table per function, with class shares by EM; 10 votes at 0.7 as a prior."""
    shares = np.full(num_labels, 1 / num_labels)
    prior = np.full((num_labels, num_labels), 0.3 / (num_labels - 1))
    np.fill_diagonal(prior, 0.7)
    tables = [prior] * votes.shape[1]
    used = votes[(votes != ABSTAIN).any(1)]
    for _ in range(rounds):
        posterior = _posterior(used, shares, tables)
        shares = (posterior.sum(0) + 1) / (len(used) + num_labels)
        for j, column in enumerate(used.T):
            counts = 10 * prior
            np.add.at(counts.T, column[column != ABSTAIN], posterior[column != ABSTAIN])
            tables[j] = counts / counts.sum(1, keepdims=True)
    return _posterior(votes, shares, tables)


def _posterior(votes, shares, tables):
    logs = np.tile(np.log(shares), (len(votes), 1))
    for column, table in zip(votes.T, tables, strict=True):
        voted = column != ABSTAIN
        logs[voted] += np.log(table).T[column[voted]]
    return np.exp(logs - np.logaddexp.reduce(logs, axis=1, keepdims=True))


def snorkel_label_model(votes, num_labels):
    from snorkel.labeling.model import LabelModel

    model = LabelModel(cardinality=num_labels, verbose=False)
    model.fit(votes, n_epochs=500, seed=0, progress_bar=False)
    return model.predict_proba(votes)


def main():
    warnings.simplefilter("ignore")
    folder = Path(__file__).resolve().parents[2] / "shared" / "data" / "tweet_sentiment"
    tweets = read(str(folder / "train.jsonl.gz"), columns={"label": "sentiment"}).examples
    truth = np.array([LABELS.index(tweet.label) for tweet in tweets])
    texts = [tweet.messages[0].content.lower() for tweet in tweets]
    single = np.array([[label if re.search(rule, text) else ABSTAIN for rule, label in RULES] for text in texts])
    grouped = np.full((len(texts), len(GROUPS)), ABSTAIN)
    for j, members in enumerate(GROUPS):
        for member in reversed(members):
            grouped[single[:, member] != ABSTAIN, j] = RULES[member][1]
    known = np.where(np.arange(len(truth)) < KNOWN, truth, ABSTAIN)
    models = {
        "majority": lambda votes: majority(votes, 3).posterior,
        "this": lambda votes: dawid_skene(votes, 3).posterior,
        f"this, with {KNOWN} labels": lambda votes: dawid_skene(votes, 3, known_N=known).posterior,
        "full Dawid-Skene table": lambda votes: full_table(votes, 3),
        "snorkel LabelModel": lambda votes: snorkel_label_model(votes, 3),
    }
    for name, model in models.items():
        row = []
        for votes in (single, grouped):
            judged = (votes != ABSTAIN).any(1) & (known == ABSTAIN)
            try:
                row.append(f"{(model(votes).argmax(1) == truth)[judged].mean():.3f} on {judged.sum()}")
            except ImportError:
                row.append("not installed")
        print(f"{name:28s} one class each: {row[0]}   two-sided: {row[1]}", flush=True)


if __name__ == "__main__":
    main()
