"""Precision, recall and F1 of each level on labelled real sets; thresholds are chosen on one part and used on another.

- DBLP-ACM: pairs of bibliographic records, the same paper or not. Half of the pairs chooses, the other half is judged.
- STS-B: pairs of sentences; a score of at least 4 of 5 is a duplicate. `train` chooses, `dev` is judged.
- alpaca-libre: tasks that a filter called too similar to an earlier one (ROUGE-L of at least 0.70). The earlier ones
  include seeds that are not in the file, so nobody can find all. The first half chooses, the second is judged.
- GPTeacher: rows that a filter dropped at four similarities, as above. Rows that are kept for a dropped one are known
  by nobody, so a row counts as found where it is like an earlier row.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dedup_texts import load
from holdfast.data.checks.near_duplicates import NearSettings
from holdfast.data.checks.semantic_duplicates import SemanticSettings
from holdfast.data.dedup.compared import all_normalised
from holdfast.data.dedup.fuzzy import near_duplicates, similarities
from holdfast.data.dedup.semantic import neighbours
from holdfast.data.dedup.shingles import shingle_sets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

WIDTHS = (1, 2, 3)
JACCARDS, COSINES = np.arange(0.2, 1.0, 0.02), np.arange(0.4, 1.0, 0.01)
DEFAULT = {"fuzzy": NearSettings().threshold, "semantic": SemanticSettings().threshold}
"""The checks' own thresholds, which are chosen for precision: a dropped row is lost, a missed one is not."""
LOW = 0.2


def f1(found: NDArray, truth: NDArray) -> tuple[float, float, float]:
    both = (found & truth).sum()
    precision, recall = both / max(found.sum(), 1), both / max(truth.sum(), 1)
    score = 2 * precision * recall / max(precision + recall, 1e-9)
    return float(score), float(precision), float(recall)


def judged(
    name: str, level: str, way: str, scores: tuple[NDArray, NDArray], truth: tuple[NDArray, NDArray]
) -> Iterator[dict]:
    """Yields what the threshold that is best on the first part gives on the second, and what the default gives."""
    grid = {"exact": np.array([1.0]), "fuzzy": JACCARDS}.get(level, COSINES)
    best = max(grid.tolist(), key=lambda threshold: f1(scores[0] >= threshold - 1e-6, truth[0])[0])
    chosen = f1(scores[0] >= best - 1e-6, truth[0])[0]
    for which, threshold in [("chosen", best), *([("default", DEFAULT[level])] if level in DEFAULT else [])]:
        score, precision, recall = f1(scores[1] >= threshold - 1e-6, truth[1])
        yield {
            "kind": "quality", "set": name, "level": level, "way": way, "which": which,
            "threshold": round(threshold, 2), "precision": precision, "recall": recall, "f1": score,
            "train_f1": chosen, "judged": len(truth[1]), "duplicates": int(truth[1].sum()),
        }  # fmt: skip


def of_levels(
    name: str, scores: Callable[[str, int], tuple[NDArray, NDArray]], truth: tuple[NDArray, NDArray]
) -> Iterator[dict]:
    """Yields the results of all levels; of the widths of shingles, the one that is best on the first part, and 2."""
    yield from judged(name, "exact", "normalised text", scores("exact", 0), truth)
    ways = [
        list(judged(name, "fuzzy", "1 word" if w == 1 else f"{w} words", scores("fuzzy", w), truth)) for w in WIDTHS
    ]
    best = max(ways, key=lambda results: results[0]["train_f1"])
    yield from best
    if best is not ways[1]:
        yield from ways[1]
    yield from judged(name, "semantic", "MiniLM", scores("semantic", 0), truth)


def pair_scores(ones: Sequence[str], others: Sequence[str], embed: Callable, level: str, words: int) -> NDArray:
    """Returns how alike the texts of each pair are at one level."""
    one, other = all_normalised(ones), all_normalised(others)
    if level == "exact":
        return np.array([a == b for a, b in zip(one, other, strict=True)], dtype=float)
    if level == "semantic":
        return np.einsum("ij,ij->i", embed(ones), embed(others))
    first = np.arange(len(one))
    return similarities(shingle_sets([*one, *other], words), first, first + len(one))


def earlier_scores(texts: Sequence[str], embed: Callable, level: str, words: int) -> NDArray:
    """Returns how alike each text is to the most similar earlier one, as far as the level's search finds it."""
    normal = all_normalised(texts)
    if level == "exact":
        seen: set[str] = set()
        return np.array([text in seen or bool(seen.add(text)) for text in normal], dtype=float)
    if level == "semantic":
        pairs, _ = neighbours(embed(texts), np.arange(len(texts)), float(COSINES[0]))
    else:
        sets = shingle_sets(normal, words)
        with tempfile.TemporaryDirectory() as folder:
            _, pairs = near_duplicates(sets, np.arange(len(sets)), LOW, folder=Path(folder))
    score = np.zeros(len(texts))
    np.maximum.at(score, np.maximum(pairs.first, pairs.second), pairs.similarity)
    return score


def tfidf_scores(ones: Sequence[str], others: Sequence[str], features: str) -> NDArray:
    """Returns the cosine of each pair's TF-IDF vectors, hashed: what meaning comes to without an encoder."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    kind = {"analyzer": "char_wb", "ngram_range": (3, 5)} if features == "letters" else {"token_pattern": r"\w+"}
    counted = HashingVectorizer(n_features=2**18, alternate_sign=False, norm=None, **kind)
    vectors = TfidfTransformer(sublinear_tf=True).fit_transform(counted.transform([*ones, *others]))
    return np.asarray(vectors[: len(ones)].multiply(vectors[len(ones) :]).sum(axis=1)).ravel()


def halves(values: NDArray) -> tuple[NDArray, NDArray]:
    return values[: len(values) // 2], values[len(values) // 2 :]


def dblp_acm(folder: Path, embed: Callable) -> Iterator[dict]:
    rows = load(folder, "dedup_er_structured_dblp_acm/test")
    ones, others = ([" ".join(filter(None, row[side].values())) for row in rows] for side in ("left", "right"))
    truth = halves(np.array([bool(int(row["label"])) for row in rows]))
    yield from of_levels("DBLP-ACM", lambda lv, w: halves(pair_scores(ones, others, embed, lv, w)), truth)


def stsb(folder: Path, embed: Callable) -> Iterator[dict]:
    parts = [load(folder, f"dedup_stsb_en/{part}") for part in ("train", "dev")]
    texts = [([row["sentence1"] for row in part], [row["sentence2"] for row in part]) for part in parts]
    truth = tuple(np.array([float(row["score"]) >= 4 for row in part]) for part in parts)
    yield from of_levels("STS-B", lambda lv, w: tuple(pair_scores(*two, embed, lv, w) for two in texts), truth)
    for features in ("words", "letters"):
        scores = tuple(tfidf_scores(*two, features) for two in texts)
        yield from judged("STS-B", "no encoder", f"TF-IDF of {features}", scores, truth)


def alpaca_libre(folder: Path, embed: Callable) -> Iterator[dict]:
    rows = [row for row in load(folder, "dedup_alpaca_libre/tasks") if row["status"] in ("ok", "too similar")]
    texts = [row["instruction"] for row in rows]
    truth = halves(np.array([row["status"] == "too similar" for row in rows]))
    yield from of_levels("alpaca-libre", lambda lv, w: halves(earlier_scores(texts, embed, lv, w)), truth)


def gpteacher(folder: Path, embed: Callable) -> Iterator[dict]:
    """The flags rest on outputs: of the columns, that one fits them best on the first half, at every similarity."""
    rows = load(folder, "dedup_gpteacher_toolformer/tasks")
    texts = [row["output"] for row in rows]
    known: dict[tuple[str, int], NDArray] = {}

    def scores(level: str, words: int) -> tuple[NDArray, NDArray]:
        if (level, words) not in known:
            known[level, words] = earlier_scores(texts, embed, level, words)
        return halves(known[level, words])

    for similarity in ("0.9", "0.8", "0.7", "0.6"):
        dropped = ~np.array([bool(row[f"kept_at_{similarity}"]) for row in rows])
        yield from of_levels(f"GPTeacher at {similarity}", scores, halves(dropped))


SETS = {"DBLP-ACM": dblp_acm, "STS-B": stsb, "alpaca-libre": alpaca_libre, "GPTeacher": gpteacher}


def results(folder: Path, sets: Sequence[str]) -> Iterator[dict]:
    """Yields every result, set by set."""
    from holdfast.models.embedding import embedder

    encoder = embedder()
    known: dict[str, NDArray] = {}

    def embed(texts: Sequence[str]) -> NDArray:
        new = sorted({text for text in texts if text not in known}, key=len)
        for start in range(0, len(new), 512):
            part = new[start : start + 512]
            known.update(zip(part, encoder(part), strict=True))
        return np.stack([known[text] for text in texts])

    for name in sets:
        yield from SETS[name](folder, embed)
