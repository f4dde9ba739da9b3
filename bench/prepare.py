"""A whole `holdfast prepare`, as a user runs it: rows a second, and memory and disk as the data grows.

    python bench/prepare.py                                         # 5k, 20k and 80k rows, all checks but meaning
    python bench/prepare.py --sizes 20000 --arms here cores ray --repeats 3
    python bench/prepare.py --sizes 100000 400000 --arms reading    # the checks of single rows off
    python bench/prepare.py --sizes 560000 --answer 230 --arms stream    # ten gigabytes, only read
    python bench/prepare.py --table --write docs/how-to/prepare.md

Rows are questions of two and answers of three real sentences (`--answer`), drawn anew for each row, one answer in ten
with an e-mail address; a size is so many of them. `here` is one process, `cores` one for each core, `ray` a Ray cluster
of this machine's cores. `reading` makes no check but exact and near duplicates and contamination: what remains is
reading, splitting, describing and writing. `stream` only reads: every row becomes an example, and is let go.
Results are kept in `prepare.jsonl` beside this script. Peak memory is that of the process that was started. Linux only.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from beside import markers, write_between_markers
from dedup_texts import sentences

RESULTS = Path(__file__).with_suffix(".jsonl")
MARKER = "prepare"
LIGHT = (
    "size",
    "personal_data",
    "text_repair",
    "legacy_format",
    "lengths",
    "quality",
    "language",
    "labels",
    "template",
)
ARMS = {
    "here": ["--processes", "1"],
    "cores": [],
    "ray": ["--ray", "local"],
    "stream": [],
    "reading": ["--processes", "1"] + [word for name in LIGHT for word in ("--set", f"checks.{name}.enabled=false")],
}

STREAM = """
import json, sys
from holdfast.data.sources.stream import stream
from holdfast.types import Example
read = used = 0
for row in stream([sys.argv[1]], notes=[]):
    read, used = read + 1, used + isinstance(row, Example)
print(json.dumps({"version": {"counts": {"read": read, "unchanged": used, "changed": 0}}}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--sizes", type=int, nargs="+", default=[5_000, 20_000, 80_000])
    parser.add_argument("--answer", type=int, default=3, help="sentences of an answer")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=["here"])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="measure nothing, print what is there")
    parser.add_argument("--write", type=Path, help="page whose measured block is replaced")
    given = parser.parse_args()
    if given.write and not all(mark in given.write.read_text() for mark in markers(MARKER)):
        parser.error(f"{given.write} has no block to replace: {' … '.join(markers(MARKER))}")
    if not given.table:
        drawn_from = sentences(given.data)
        for size in given.sizes:
            for _ in range(given.repeats):
                for arm in given.arms:
                    keep(measure(arm, size, given.answer, drawn_from))
    text = table(kept())
    print(text)
    if given.write:
        write_between_markers(given.write, MARKER, text)


def write_rows(path: Path, size: int, drawn_from: list[str], answer: int = 3) -> None:
    draw = random.Random(size)
    with path.open("w") as out:
        for number in range(size):
            asked, said = (" ".join(draw.choices(drawn_from, k=count)) for count in (2, answer))
            address = f" Write to reader{number}@example.org." if number % 10 == 0 else ""
            out.write(json.dumps({"prompt": asked, "completion": said + address}) + "\n")


def measure(arm: str, size: int, answer: int, drawn_from: list[str]) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "rows.jsonl"
        write_rows(source, size, drawn_from, answer)
        command = [
            sys.executable, "-m", "holdfast", "prepare", str(source), "--skill", "bench", "--to", f"{scratch}/data",
            "--json", "--set", "checks.semantic_duplicates.enabled=false", *ARMS[arm],
        ]  # fmt: skip
        if arm == "stream":
            command = [sys.executable, "-c", STREAM, str(source)]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        largest = scratch_bytes = 0
        with (Path(scratch) / "said").open("w+b") as said:
            with subprocess.Popen(command, stdout=said, stderr=subprocess.DEVNULL) as process:
                while process.poll() is None:
                    largest = max(largest, _resident(process.pid))
                    scratch_bytes = max(scratch_bytes, _scratch(Path(scratch) / "data"))
                    time.sleep(0.5)
            said.seek(0)
            counts = json.load(said)["version"]["counts"]
            rows_read, bytes_read = counts["read"], source.stat().st_size
            if rows_read != size:
                raise SystemExit(f"{rows_read} of {size} rows were read")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = {
            "arm": arm, "size": size, "mb": bytes_read / 1e6, "answer": answer, "wall": time.perf_counter() - start,
            "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "peak_mib": largest / 1024, "scratch_mb": scratch_bytes / 1e6,
            "kept": counts["unchanged"] + counts["changed"],
        }  # fmt: skip
    print(json.dumps(found), flush=True)
    return found


def _scratch(folder: Path) -> int:
    """Returns the bytes of what the preparation keeps on disk for itself."""
    total = 0
    for path in folder.glob(".holdfast-prepare-*/**/*"):
        with suppress(OSError):  # gone meanwhile
            total += path.stat().st_size
    return total


def _resident(pid: int) -> int:
    """Returns the highest resident memory so far in KiB; 0 where the process has ended."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def kept() -> list[dict]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def keep(found: dict) -> None:
    with RESULTS.open("a") as out:
        out.write(json.dumps(found) + "\n")


def table(results: list[dict]) -> str:
    by_row: dict[tuple[str, int, int], list[dict]] = defaultdict(list)
    for one in results:
        by_row[one["arm"], one["answer"], one["size"]].append(one)
    lines = [
        "| arm | rows | MB | rows a second | MB a second | peak memory, MiB | scratch on disk, MB | runs |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (arm, _, size), found in sorted(by_row.items()):
        rates = sorted(size / one["wall"] for one in found)
        spread = f" ({rates[0]:.0f} to {rates[-1]:.0f})" if len(rates) > 1 else ""
        peak = max(one["peak_mib"] for one in found)
        lines.append(
            f"| `{arm}` | {size:,} | {found[0]['mb']:.0f} | {statistics.median(rates):,.0f}{spread} "
            f"| {statistics.median(one['mb'] / one['wall'] for one in found):.1f} | {peak:,.0f} "
            f"| {max(one['scratch_mb'] for one in found):,.0f} | {len(found)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
