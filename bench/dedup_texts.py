"""Short texts made from real ones, with planted near-duplicates, and the arms that look for them."""

from __future__ import annotations

import gzip
import json
import random
import re
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from holdfast.data.check import Context, Row
from holdfast.data.checks.near_duplicates import NearDuplicates, NearSettings
from holdfast.data.dedup.compared import all_normalised
from holdfast.data.dedup.fuzzy import bands_for, near_duplicates, similarities
from holdfast.data.dedup.shingles import shingle_sets
from holdfast.types import Example, Message
from meter import forget_peak, memory

THRESHOLD, PERMUTATIONS, RECALL, PLANTED = 0.7, 128, 0.99, 0.2
BANDS, ROWS = bands_for(THRESHOLD, PERMUTATIONS, RECALL)
SOURCES = {
    "tweet_sentiment/train": ("text",),
    "dedup_alpaca_libre/tasks": ("instruction", "input", "output"),
    "dolly_2k/train": ("instruction", "input", "output"),
    "gsm8k/test": ("question", "answer"),
    "dedup_stsb_en/train": ("sentence1", "sentence2"),
    "hellaswag/val_1000": ("ctx_a",),
    "chat_formats/wiki_demo": ("text",),
    "chat_formats/c4_demo": ("text",),
    "fa_common_voice/sentences_6000": ("text",),
}
WORD = re.compile(r"\w+")


def load(folder: Path, name: str) -> list[dict]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def sentences(folder: Path) -> list[str]:
    found = set()
    for name, columns in SOURCES.items():
        for row in load(folder, name):
            for column in columns:
                found.update(s.strip() for s in re.split(r"(?<=[.!?])\s+|\n+", row[column] or ""))
    return sorted(s for s in found if 5 <= len(s.split()) <= 30)


def made_texts(folder: Path, size: int, seed: int = 0) -> tuple[list[str], list[tuple[int, int]]]:
    """Returns texts of two to four real sentences, a fifth of them edited copies, and the pairs of copy and original.

    In a copy up to a tenth of the words are replaced, left out or swapped with the next. Only pairs whose words, two by
    two, have a Jaccard similarity of at least `THRESHOLD` are returned, by a plain script's words and by Holdfast's.
    """
    drawn = random.Random(seed)
    pool = sentences(folder)
    vocabulary = sorted({word for sentence in pool for word in sentence.split()})
    originals = size - int(PLANTED * size)
    texts = [" ".join(drawn.choice(pool) for _ in range(drawn.randint(2, 4))) for _ in range(originals)]
    truth = []
    for place in range(originals, size):
        source = drawn.randrange(originals)
        words = texts[source].split()
        for _ in range(drawn.randint(0, max(1, len(words) // 10))):
            at = drawn.randrange(len(words) - 1)
            kind = drawn.random()
            if kind < 0.6:
                words[at] = drawn.choice(vocabulary)
            elif kind < 0.8:
                words[at : at + 2] = reversed(words[at : at + 2])
            else:
                del words[at]
        texts.append(" ".join(words))
        if jaccard(shingles(texts[source]), shingles(texts[place])) >= THRESHOLD:
            truth.append((source, place))
    sets = shingle_sets(all_normalised(texts), 2, 4)
    alike = similarities(sets, np.array([a for a, _ in truth]), np.array([b for _, b in truth])) >= THRESHOLD
    truth = [pair for pair, both in zip(truth, alike.tolist(), strict=True) if both]
    order = list(range(size))
    drawn.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    return [texts[old] for old in order], sorted(tuple(sorted((place[a], place[b]))) for a, b in truth)


def shingles(text: str) -> set[str]:
    """Words two by two, as a plain script would make them."""
    words = WORD.findall(text.casefold())
    return {f"{a} {b}" for a, b in pairwise(words)} or set(words)


def jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / (len(one | other) or 1)


def with_holdfast(texts: list[str]) -> set[tuple[int, int]]:
    sets = shingle_sets(all_normalised(texts), 2, 4)
    with tempfile.TemporaryDirectory() as folder:
        _, pairs = near_duplicates(
            sets, np.arange(len(sets)), THRESHOLD, folder=Path(folder), permutations=PERMUTATIONS, recall=RECALL
        )
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def with_check(texts: list[str]) -> set[int]:
    """The whole check as a preparation makes it, on rows in chunks: returns the rows that it drops."""
    with tempfile.TemporaryDirectory() as folder:
        check = NearDuplicates(NearSettings(threshold=THRESHOLD, words=2), Context(Path(folder)))
        chunks = [range(start, min(start + 4096, len(texts))) for start in range(0, len(texts), 4096)]
        for chunk in chunks:
            check.see([row(place, texts[place]) for place in chunk])
        check.finding()
        return {place for chunk in chunks for place in chunk if check.decide(row(place, texts[place]))}


def row(place: int, text: str) -> Row:
    return Row(place, Example("", (Message("user", text),), source=f"made.jsonl:{place + 1}"))


def with_datasketch(texts: list[str]) -> set[tuple[int, int]]:
    from datasketch import MinHash, MinHashLSH
    from xxhash import xxh32_intdigest

    sets = [shingles(text) for text in texts]
    # xxh32 for its default sha1, which is slower.
    hashed = MinHash.bulk([[s.encode() for s in one] for one in sets], num_perm=BANDS * ROWS, hashfunc=xxh32_intdigest)
    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    with index.insertion_session() as session:
        for place, one in enumerate(hashed):
            session.insert(place, one, check_duplication=False)
    candidates = {(min(i, j), max(i, j)) for i, one in enumerate(hashed) for j in index.query(one) if i != j}
    return {(i, j) for i, j in candidates if jaccard(sets[i], sets[j]) >= THRESHOLD}


def with_rensa(texts: list[str]) -> set[tuple[int, int]]:
    from rensa import RMinHash, RMinHashLSH

    sets = [shingles(text) for text in texts]
    hashed = RMinHash.from_token_sets([list(one) for one in sets], num_perm=BANDS * ROWS, seed=0)
    index = RMinHashLSH(threshold=THRESHOLD, num_perm=BANDS * ROWS, num_bands=BANDS)
    index.insert_many(hashed)
    candidates = {(min(i, j), max(i, j)) for i, near in enumerate(index.query_all(hashed)) for j in near if i != j}
    return {(i, j) for i, j in candidates if jaccard(sets[i], sets[j]) >= THRESHOLD}


ARMS = {
    "holdfast": with_holdfast,
    "holdfast check": with_check,
    "datasketch": with_datasketch,
    "rensa": with_rensa,
}


def measure(arm: str, path: Path) -> dict[str, float]:
    """Returns what one arm takes for the texts in a file in this process, and what it finds of what was planted."""
    made = json.loads(path.read_text(encoding="utf-8"))
    texts, truth = made["texts"], [tuple(pair) for pair in made["truth"]]
    del made
    ARMS[arm](texts[:300])  # imports, and tables of characters
    forget_peak()
    before, wall, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
    found = ARMS[arm](texts)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "wall": wall,
        "cpu": cpu,
        "peak_mib": memory("VmHWM"),
        "added_mib": memory("VmHWM") - before,
        # The check drops rows: a pair is found if one of the two is dropped.
        "recall": sum(pair in found or not found.isdisjoint(pair) for pair in truth) / len(truth),
        "found": len(found),
        "planted": len(truth),
    }
