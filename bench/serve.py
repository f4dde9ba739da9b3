"""Serving beside `transformers serve`: requests a second, time to the first token, tokens a second.

    python bench/serve.py                                    # 1, 8 and 32 streams, every arm in turn, three turns
    python bench/serve.py --streams 8 --repeats 1
    python bench/serve.py --vllm-python vllm-env/bin/python  # and vLLM, from an environment of its own
    python bench/serve.py --table --write docs/how-to/serve.md

Every arm is a server process over the same model on one thread, asked by the same stock client: `--requests` streamed
chat completions of up to 64 tokens at temperature 0, so many at a time, after two that warm it up. `holdfast` serves
the bare base, `holdfast, 1 adapter` and `holdfast, 8 adapters` LoRA adapters of rank 16 in turn, fresh ones, so that
the answers are the same; `transformers serve` cannot serve any.
`transformers` is `transformers serve`, `transformers, batching` the same with `--continuous-batching` and 256 blocks.
`vllm` and `vllm, 8 adapters` are vLLM's own server, as its CPU build is started, with one thread for the model and
float32 as the others; `holdfast, vllm` is `holdfast serve --engine vllm` over the same. vLLM's server, engine and model
are processes of their own, so that on a machine of several cores it has more than one of them at work.
Tokens are those of the answers' text, counted by the model's tokenizer. Results are kept in `serve.jsonl`. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

from openai import AsyncOpenAI, OpenAI

from beside import markers, write_between_markers
from holdfast.models.load import TINY_FOLDER

RESULTS = Path(__file__).with_suffix(".jsonl")
MARKER = "serve"
ARMS = (
    "holdfast", "holdfast, 1 adapter", "holdfast, 8 adapters", "transformers", "transformers, batching", "vllm",
    "vllm, 1 adapter", "vllm, 8 adapters", "holdfast, vllm",
)  # fmt: skip
BASE = "holdfast"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--vllm-python", type=Path, help="an interpreter that has vLLM; without it those arms are left out"
    )
    parser.add_argument("--table", action="store_true", help="measure nothing, print what is there")
    parser.add_argument("--write", type=Path, help="page whose measured block is replaced")
    given = parser.parse_args()
    if given.write and not all(mark in given.write.read_text() for mark in markers(MARKER)):
        parser.error(f"{given.write} has no block to replace: {' … '.join(markers(MARKER))}")
    if not given.table:
        turn = 1 + max((one["turn"] for one in kept()), default=0)
        arms = [arm for arm in given.arms if given.vllm_python is not None or "vllm" not in arm]
        for arm in given.arms:
            if arm not in arms:
                print(f"{arm}: left out, since --vllm-python names no environment with vLLM", flush=True)
        for number in range(turn, turn + given.repeats):
            for arm in arms:
                for result in measured(arm, given.streams, given.requests, given.vllm_python):
                    with RESULTS.open("a") as out:
                        out.write(json.dumps({"arm": arm, "turn": number, **result}) + "\n")
                    print(arm, json.dumps(result), flush=True)
    text = table(kept())
    print(text)
    if given.write:
        write_between_markers(given.write, MARKER, text)


def measured(arm: str, streams: list[int], num_requests: int, vllm: Path | None) -> list[dict]:
    """Starts the arm's server and asks it with every number of streams."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as scratch, (Path(scratch) / "log").open("w") as log:
        environment["HF_HOME"] = scratch
        (Path(scratch) / "hub").mkdir()
        port = free_port()
        if "vllm" in arm:
            environment |= vllm_environment()
        command, models = started_with(arm, Path(scratch), port, vllm)
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            url = f"http://127.0.0.1:{port}/v1"
            wait_for(url, models, server, Path(scratch) / "log")
            return [asyncio.run(asked(url, models, number, num_requests)) for number in streams]
        finally:
            server.terminate()
            try:
                server.wait(40)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(server.pid, signal.SIGKILL)


def started_with(arm: str, scratch: Path, port: int, vllm: Path | None) -> tuple[list[str], list[str]]:
    """Returns the command of the arm's server, and the models to ask it for."""
    adapters = num_adapters(arm)
    if arm.startswith("holdfast"):
        models = workspace(scratch, adapters=adapters)
        command = [sys.executable, "-m", "holdfast", "serve", "--no-worker", "--port", str(port)]
        command += ["--workspace", str(scratch)]
        return command + (["--engine", "vllm", "--vllm-python", str(vllm)] if "vllm" in arm else []), models
    if arm.startswith("vllm"):
        workspace(scratch, adapters=adapters)
        command = [str(vllm), "-m", "vllm.entrypoints.openai.api_server", "--model", str(TINY_FOLDER)]
        command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--max-num-seqs", "32"]
        if not adapters:
            return command, [str(TINY_FOLDER)]
        names = [f"adapter-{seed}" for seed in range(adapters)]
        command += ["--enable-lora", "--max-lora-rank", "16", "--max-loras", str(adapters), "--lora-modules"]
        return [*command, *(f"{name}={scratch / name}" for name in names)], names
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(TINY_FOLDER)]
    command += ["--port", str(port), "--device", "cpu"]
    if "batching" in arm:
        command += ["--continuous-batching", "--cb-num-blocks", "256", "--cb-max-batch-tokens", "1024"]
    return command, [str(TINY_FOLDER)]


def num_adapters(arm: str) -> int:
    found = re.search(r", (\d+) adapter", arm)
    return int(found[1]) if found else 0


def vllm_environment() -> dict[str, str]:
    """Returns what lets vLLM's CPU build compute with one thread, on one core of those that there are."""
    core = max(os.sched_getaffinity(0))
    return {
        "VLLM_CPU_OMP_THREADS_BIND": str(core), "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
    }  # fmt: skip


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def workspace(folder: Path, *, adapters: int) -> list[str]:
    """Makes a workspace of the embedded base with so many random adapters, and returns what to ask for."""
    from holdfast.jobs.workspace import create
    from holdfast.models.adapter_config import AdapterConfig
    from holdfast.models.learner import Learner
    from holdfast.models.load import load
    from holdfast.store.workspace import Workspace
    from holdfast.types import Version

    root = create(folder, base="holdfast:tiny").path
    if not adapters:
        return ["holdfast:tiny"]
    config = AdapterConfig(rank=16, alpha=32)
    names = []
    with Workspace.open(root) as opened:
        for seed in range(adapters):
            learner = Learner.create(load("holdfast:tiny"), config, seed=seed)
            learner.save(folder / f"adapter-{seed}")
            weights = opened.files.put_folder(folder / f"adapter-{seed}")
            recipe = {"adapter": config.model_dump(mode="json")}
            made = opened.add_version(
                Version("", "v1", "holdfast:tiny", weights, recipe, "candidate", skill=f"s{seed}")
            )
            opened.accept(made.id)
            names.append(made.id)
    return names


def wait_for(url: str, models: list[str], server: subprocess.Popen, log: Path) -> None:
    """Asks until there is an answer, and each model twice."""
    client = OpenAI(base_url=url, api_key="none", max_retries=0, timeout=120)
    end = time.monotonic() + 180
    while True:
        try:
            for model in models * 2:
                client.chat.completions.create(model=model, messages=turns(0), max_tokens=4)
            return
        except Exception as error:
            if server.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"no answer from {url}: {error}\n{log.read_text()[-3000:]}") from error
            time.sleep(0.5)


def turns(number: int) -> list[dict]:
    return [{"role": "user", "content": f"Tell me about the blue river number {number} and where it goes."}]


async def asked(url: str, models: list[str], streams: int, num_requests: int) -> dict:
    """Asks `num_requests` times, `streams` at a time."""
    from holdfast.models.load import load_tokenizer

    tokenizer = load_tokenizer("holdfast:tiny")
    waiting = list(range(num_requests))
    firsts: list[float] = []
    texts: list[str] = []
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=600) as client:

        async def one_after_another() -> None:
            while waiting:
                number = waiting.pop()
                begin, first, text = time.perf_counter(), None, ""
                stream = await client.chat.completions.create(
                    model=models[number % len(models)],
                    messages=turns(number),
                    max_tokens=64,
                    temperature=0,
                    stream=True,
                )
                async for chunk in stream:
                    piece = chunk.choices[0].delta.content if chunk.choices else None
                    if piece:
                        first = first or time.perf_counter() - begin
                        text += piece
                firsts.append(first if first is not None else time.perf_counter() - begin)
                texts.append(text)

        begin = time.perf_counter()
        await asyncio.gather(*(one_after_another() for _ in range(streams)))
        took = time.perf_counter() - begin
    tokens = sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts)
    return {
        "streams": streams, "requests": num_requests, "seconds": took, "requests_a_second": num_requests / took,
        "tokens_a_second": tokens / took, "first_token_ms": 1000 * statistics.median(firsts), "tokens": tokens,
    }  # fmt: skip


def kept() -> list[dict]:
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []


def table(results: list[dict]) -> str:
    by_row: dict[tuple[int, str], list[dict]] = defaultdict(list)
    for one in results:
        by_row[one["streams"], one["arm"]].append(one)
    lines = [
        "| streams | server | turns | requests a second | tokens a second | first token, ms | ours/theirs, tokens |",
        "|---|---|---|---|---|---|---|",
    ]
    for (streams, arm), found in sorted(by_row.items(), key=lambda row: (row[0][0], ARMS.index(row[0][1]))):
        same = next((own for own in ARMS if own.startswith(BASE) and num_adapters(own) == num_adapters(arm)), BASE)
        beside = BASE if arm.startswith(BASE) else same  # ours with as many adapters; what adapters cost us
        ours = {one["turn"]: one["tokens_a_second"] for one in by_row.get((streams, beside), [])}
        ratios = sorted(ours[one["turn"]] / one["tokens_a_second"] for one in found if one["turn"] in ours)
        told = (
            "1"
            if arm == BASE
            else f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            if ratios
            else ""
        )
        cells = [
            f"{statistics.median(one[name] for one in found):,.{digits}f}"
            for name, digits in (("requests_a_second", 1), ("tokens_a_second", 0), ("first_token_ms", 0))
        ]
        lines.append(f"| {streams} | `{arm}` | {len(found)} | {' | '.join(cells)} | {told} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
