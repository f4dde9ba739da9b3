"""Short texts made from real ones, with planted near-duplicates, and the arms that look for them."""

from __future__ import annotations

import gzip
import json
import random
import re
import resource
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from holdfast.data.check import Context, Row
from holdfast.data.checks.near_duplicates import NearDuplicates, NearSettings
from holdfast.data.dedup.compared import all_normalised
from holdfast.data.dedup.fuzzy import bands_for, near_duplicates, similarities
from holdfast.data.dedup.shingles import shingle_sets
from holdfast.types import Example, Message
from meter import forget_peak, memory

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@dataclass(frozen=True, slots=True)
class Clusters:
    """The cluster of each text that is in one, and the texts that were removed, all but one of each cluster."""

    of: dict[int, int]
    removed: set[int]


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


def with_datatrove(texts: list[str]) -> Clusters:
    """Its four steps, with its word tokenizer for English: spaCy's rules, which come with spaCy and need no download.

    Numbers and diacritics stay as they are, as they do in the other arms. The hash is its default, xxhash of 64 bits,
    given bytes: it passes text, which xxhash refuses from 4.0 on (huggingface/datatrove#508).
    """
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from datatrove.utils.text import TextNormConfig
    from xxhash import xxh64_intdigest

    kept: set[int] = set()

    def read(_: None, rank: int, world_size: int) -> Iterator[Document]:
        return (Document(text, str(place)) for place, text in enumerate(texts))

    def note(documents: Iterator[Document], rank: int, world_size: int) -> None:
        kept.update(int(document.id) for document in documents)

    norm = TextNormConfig(norm_numbers=False, norm_unicode_diacritics=False)
    config = MinhashConfig(n_grams=2, num_buckets=BANDS, hashes_per_bucket=ROWS, norm_config=norm)
    with tempfile.TemporaryDirectory() as folder:
        signatures, matches, clusters = (f"{folder}/{name}" for name in ("signatures", "matches", "clusters"))
        signature = MinhashDedupSignature(signatures, config)
        signature._hash_func = lambda words: xxh64_intdigest(words.encode())
        stages = {
            "sign": ([read, signature], 1),
            "match": ([MinhashDedupBuckets(signatures, matches, config=config)], BANDS),  # it asks for a task a bucket
            "cluster": ([MinhashDedupCluster(matches, clusters, config, save_cluster_id=True)], 1),
            "filter": ([read, MinhashDedupFilter(clusters), note], 1),
        }
        for name, (steps, tasks) in stages.items():
            LocalPipelineExecutor(steps, tasks=tasks, workers=1, logging_dir=f"{folder}/logs/{name}").run()
        file = Path(clusters) / "000000.clusters"  # text, cluster, text, cluster; no file where no two texts match
        numbers = np.fromfile(file, "<u4").tolist() if file.exists() else []
    return Clusters(dict(zip(numbers[::2], numbers[1::2], strict=True)), set(range(len(texts))) - kept)


ARMS = {
    "holdfast": with_holdfast,
    "holdfast check": with_check,
    "datasketch": with_datasketch,
    "rensa": with_rensa,
    "datatrove": with_datatrove,
}
NOT_INSTALLED = {arm: f"{arm} is not installed: pip install {arm}" for arm in ["datatrove"] if find_spec(arm) is None}
"""Arms that cannot run here, of those that the `dev` extra does not bring, and what to do about it."""


def measure(arm: str, path: Path) -> dict[str, float]:
    """Returns what one arm takes for the texts in a file in this process, and what it finds of what was planted."""
    made = json.loads(path.read_text(encoding="utf-8"))
    texts, truth = made["texts"], [tuple(pair) for pair in made["truth"]]
    del made
    ARMS[arm](texts[:300])  # imports, and tables of characters
    forget_peak()
    before, wall, cpu = memory("VmRSS"), time.perf_counter(), processor_seconds()
    found = ARMS[arm](texts)
    wall, cpu = time.perf_counter() - wall, processor_seconds() - cpu
    return {
        "wall": wall,
        "cpu": cpu,
        "peak_mib": memory("VmHWM"),
        "added_mib": memory("VmHWM") - before,
        **outcome(found, truth),
        "planted": len(truth),
    }


def processor_seconds() -> float:
    """Returns the seconds of this process and of those that it started and that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def outcome(found: set[tuple[int, int]] | set[int] | Clusters, truth: list[tuple[int, int]]) -> dict[str, float]:
    """Returns the share of planted pairs that was found, how much was found, and what goes of texts without one.

    A planted pair is found if it is among the pairs; if both are in one cluster, of which one text stays; or, where
    only rows that are dropped are known, if one of the two is. Of pairs the later text goes.
    """
    if isinstance(found, Clusters):
        hits = sum(a in found.of and found.of[a] == found.of.get(b) for a, b in truth)
        gone, count = found.removed, len(found.removed)
    else:
        hits = sum(pair in found or not found.isdisjoint(pair) for pair in truth)
        gone, count = {max(one) if isinstance(one, tuple) else one for one in found}, len(found)
    planted = {place for pair in truth for place in pair}
    return {"recall": hits / len(truth), "found": count, "unplanted": len(gone - planted)}
