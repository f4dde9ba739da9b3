"""Duplicates: how well each level finds them on labelled real sets, and how fast beside other libraries.

    python bench/dedup.py --quality                 # every set and level, or those named; replaces what is there
    python bench/dedup.py --speed 50000             # all arms in turn, --repeats times each, a process each
    python bench/dedup.py --speed 25000 100000 250000 500000 --arms holdfast "holdfast check" --repeats 1
    python bench/dedup.py --table                   # print the tables of what is there
    python bench/dedup.py --write docs/deduplication.md

Results are kept in `dedup.jsonl` beside this script. Texts of `--speed` are two to four real sentences, a fifth of them
edited copies of others (`dedup_texts.py`). Every arm gets the same list of texts, makes word pairs of them in its own
way, and 128 permutations in 32 bands. All but `datatrove` compare every candidate exactly, and find pairs from 0.7 on:

- `holdfast`: shingles in numpy, rensa's RMinHash, bands in numpy.
- `holdfast check`: the whole check on rows, with quality, files, reasons and decisions, which the others lack.
- `datasketch`: MinHash.bulk (with xxh32 in place of its sha1, which is slower) and MinHashLSH.
- `rensa`: RMinHash.from_token_sets and RMinHashLSH.
- `datatrove`: MinhashDedupSignature, -Buckets, -Cluster and -Filter with LocalPipelineExecutor, one worker, files in a
  local folder. It compares nothing exactly: texts that share a band are joined into clusters, links of links too, and
  one text of each stays. So it is spared the comparison, and loses texts that are less alike than 0.7. It is no part of
  the `dev` extra; where it is not installed (`pip install datatrove`) it is left out.

A planted pair is found if it is among the pairs, or in one cluster of datatrove's; for `holdfast check`, if one of the
two is dropped. "Unplanted" are texts in no planted pair that go, the later one of each pair: copies that are like
another copy but not like their original, and where nothing is compared, also copies edited to below 0.7 and texts that
share a sentence.

Seconds are of the processor, with those of started processes, since the machine may be shared; seconds of the wall are
beside them. Memory is that of the process itself; datatrove's executor starts one more to hand out tasks. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from beside import markers, spread, write_between_markers
from dedup_texts import ARMS, NOT_INSTALLED, made_texts, measure

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = Path(__file__).with_suffix(".jsonl")
MARKER = "dedup"
BASE = "holdfast"
QUALITY_SETS = ("DBLP-ACM", "STS-B", "alpaca-libre", "GPTeacher")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--quality", nargs="*", choices=QUALITY_SETS, metavar="SET")
    parser.add_argument("--speed", type=int, nargs="+", metavar="TEXTS", default=[])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), help="all that are installed if not named")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="print the tables")
    parser.add_argument("--write", type=Path, help="page whose measured block is replaced")
    parser.add_argument("--measure", nargs=2, metavar=("ARM", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure[0], Path(given.measure[1]))))
        return
    if given.write and not all(mark in given.write.read_text() for mark in markers(MARKER)):
        parser.error(f"{given.write} has no block to replace: {' … '.join(markers(MARKER))}")
    arms = arms_to_run(parser, given.arms) if given.speed else []
    if given.quality is not None:
        quality(given.data, given.quality or QUALITY_SETS)
    for size in given.speed:
        speed(size, arms, given.repeats, given.data)
    if given.table or given.write:
        text = tables(kept())
        print(text)
        if given.write:
            write_between_markers(given.write, MARKER, text)


def arms_to_run(parser: argparse.ArgumentParser, named: Sequence[str] | None) -> Sequence[str]:
    """Returns the arms that were named, none of which may be missing; without names all that are installed."""
    missing = [NOT_INSTALLED[arm] for arm in named or ARMS if arm in NOT_INSTALLED]
    if named and missing:
        parser.error("; ".join(missing))
    for reason in missing:
        print(f"Left out: {reason}")
    return named or [arm for arm in ARMS if arm not in NOT_INSTALLED]


def kept() -> list[dict]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def keep(results: Sequence[dict]) -> None:
    RESULTS.write_text("".join(json.dumps(result) + "\n" for result in results))


def quality(folder: Path, sets: Sequence[str]) -> None:
    from dedup_quality import results

    new = []
    for result in results(folder, sets):
        new.append(result)
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in result.items()}, flush=True)
    named = {result["set"] for result in new}
    every = [result for result in kept() if result["kind"] == "quality" and result["set"] not in named] + new
    every.sort(key=lambda result: QUALITY_SETS.index(result["set"].split(" at ")[0]))
    keep([*every, *(result for result in kept() if result["kind"] != "quality")])


def speed(size: int, arms: Sequence[str], repeats: int, folder: Path) -> None:
    """Measures every arm in a process of its own, in turn, and keeps each result at once."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    turn = 1 + max((r["turn"] for r in kept() if r["kind"] == "speed" and r["size"] == size), default=0)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "texts.json"
        texts, truth = made_texts(folder, size)
        made.write_text(json.dumps({"texts": texts, "truth": truth}), encoding="utf-8")
        del texts, truth
        for repeat in range(turn, turn + repeats):
            for arm in arms:
                command = [sys.executable, __file__, "--measure", arm, str(made)]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise RuntimeError(f"{arm} on {size} texts failed:\n{done.stderr[-3000:]}")
                result = {"kind": "speed", "arm": arm, "size": size, "turn": repeat, **json.loads(done.stdout)}
                keep([*kept(), result])
                print({k: round(v, 3) if isinstance(v, float) else v for k, v in result.items()}, flush=True)


def tables(results: Sequence[dict]) -> str:
    good = [result for result in results if result["kind"] == "quality"]
    fast = [result for result in results if result["kind"] == "speed"]
    return "\n\n".join(part for part in (quality_table(good), ratio_table(fast), growth_table(fast)) if part)


def quality_table(results: Sequence[dict]) -> str:
    if not results:
        return ""
    lines = ["| set | level | threshold | precision | recall | F1 |", "|---|---|---|---|---|---|"]
    for r in results:
        level = f"{r['level']}, {r['way']}" if r["level"] in ("fuzzy", "no encoder") else r["level"]
        threshold = "equal" if r["level"] == "exact" else f"{r['threshold']:.2f}, {r['which']}"
        cells = [f"{r[key]:.3f}" for key in ("precision", "recall", "f1")]
        of = f"{r['set']} ({r['duplicates']} of {r['judged']})"
        lines.append(f"| {of} | {level} | {threshold} | {' | '.join(cells)} |")
    return "\n".join(lines)


def by_turn(results: Sequence[dict]) -> dict[int, dict[str, dict[int, dict]]]:
    """Returns the results by size, arm and turn."""
    found: dict = defaultdict(lambda: defaultdict(dict))
    for result in results:
        found[result["size"]][result["arm"]][result["turn"]] = result
    return found


def ratio_table(results: Sequence[dict]) -> str:
    """Returns how many times as much the others take as `holdfast` does in the same turn."""
    lines = [
        "| texts | against | turns | time, processor | time, wall | memory added | recall, holdfast | recall, other "
        "| unplanted, holdfast | unplanted, other |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for size, arms in sorted(by_turn(results).items()):
        for arm in [arm for arm in ARMS if arm != BASE and arm in arms]:
            turns = sorted(arms[arm].keys() & arms[BASE].keys())
            if not turns:
                continue
            pairs = [(arms[BASE][turn], arms[arm][turn]) for turn in turns]
            ratios = [spread([b[key] / a[key] for a, b in pairs], ".2f") for key in ("cpu", "wall", "added_mib")]
            recalls = [f"{result['recall']:.3f}" for result in pairs[-1]]
            # Results that were kept before texts without a planted duplicate were counted have none.
            lost = [f"{result['unplanted']:,}" if "unplanted" in result else "not counted" for result in pairs[-1]]
            cells = [f"{size:,}", arm, str(len(turns)), *ratios, *recalls, *lost]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def growth_table(results: Sequence[dict]) -> str:
    """Returns what each arm takes at each size."""
    lines = [
        "| arm | texts | turns | texts a processor second | processor seconds | wall seconds | peak MiB | added MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    sizes = by_turn(results)
    for arm in ARMS:
        for size in sorted(size for size, arms in sizes.items() if arm in arms):
            runs = list(sizes[size][arm].values())
            cells = [
                spread([size / run["cpu"] for run in runs], ",.0f"),
                spread([run["cpu"] for run in runs], ".1f"),
                spread([run["wall"] for run in runs], ".1f"),
                spread([run["peak_mib"] for run in runs], ",.0f"),
                spread([run["added_mib"] for run in runs], ",.0f"),
            ]
            lines.append(f"| {arm} | {size:,} | {len(runs)} | {' | '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 2 else ""


if __name__ == "__main__":
    main()
