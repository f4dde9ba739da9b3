"""The memory of a server while it answers: resident size after every thousand requests, each with a prompt of its own.

    python bench/serve_memory.py --write docs/how-to/serve.md     # 10,000 requests, 16 at a time, three minutes

Half of the answers are streamed, one in five clients goes away in the middle, one in ten asks for an adapter's answer.
What is kept of prompts that were read (`serving/prefixes.py`) fills first, up to its bound. Results are kept in
`serve_memory.jsonl`. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from openai import AsyncOpenAI

from beside import markers, write_between_markers
from serve import free_port, wait_for, workspace

RESULTS = Path(__file__).with_suffix(".jsonl")
MARKER = "serve memory"
EVERY = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--write", type=Path, help="page whose measured block is replaced")
    given = parser.parse_args()
    if given.write and not all(mark in given.write.read_text() for mark in markers(MARKER)):
        parser.error(f"{given.write} has no block to replace: {' … '.join(markers(MARKER))}")
    sizes = measured(given.requests, given.streams)
    with RESULTS.open("a") as out:
        out.write(json.dumps({"requests": given.requests, "streams": given.streams, "mib": sizes}) + "\n")
    text = table(sizes)
    print(text)
    if given.write:
        write_between_markers(given.write, MARKER, text)


def measured(num_requests: int, streams: int) -> list[tuple[int, float]]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as scratch, (Path(scratch) / "log").open("w") as log:
        models = ["holdfast:tiny", *workspace(Path(scratch), adapters=2)]
        port = free_port()
        command = [sys.executable, "-m", "holdfast", "serve", "--no-worker", "--port", str(port)]
        server = subprocess.Popen([*command, "--workspace", scratch], env=environment, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}/v1"
            wait_for(url, models, server, Path(scratch) / "log")
            return asyncio.run(asked(url, models, num_requests, streams, server.pid))
        finally:
            server.terminate()
            server.wait(40)


async def asked(url: str, models: list[str], num_requests: int, streams: int, pid: int) -> list[tuple[int, float]]:
    sizes, numbers, done = [(0, resident(pid))], iter(range(num_requests)), 0
    begin = time.monotonic()
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=3, timeout=600) as client:

        async def one_after_another() -> None:
            nonlocal done
            for number in numbers:
                model = models[1 + number % 2] if number % 10 == 0 else models[0]
                turns = [{"role": "user", "content": f"{number * 7919} is a number; say what you know of {number}."}]
                told = {"model": model, "messages": turns, "max_tokens": 8, "temperature": 0.7, "seed": number}
                if number % 2:
                    await client.chat.completions.create(**told)
                else:
                    stream = await client.chat.completions.create(**told, stream=True)
                    async for _ in stream:
                        if number % 5 == 0:
                            break
                    await stream.close()
                done += 1
                if done % EVERY == 0:
                    sizes.append((done, resident(pid)))
                    print(f"{done} requests, {time.monotonic() - begin:.0f} s, {sizes[-1][1]:.0f} MiB", flush=True)

        await asyncio.gather(*(one_after_another() for _ in range(streams)))
    return sizes


def resident(pid: int) -> float:
    """Mebibytes that a process holds in memory."""
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def table(sizes: list[tuple[int, float]]) -> str:
    lines = ["| requests | resident, MiB |", "|---|---|"]
    return "\n".join([*lines, *(f"| {number:,} | {size:,.0f} |" for number, size in sizes)])


if __name__ == "__main__":
    main()
