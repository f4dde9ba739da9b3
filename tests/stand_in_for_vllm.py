"""A server that speaks as much of vLLM's HTTP as the engine asks for; run as the module that vLLM's server is.

A completion goes on counting from the prompt's last token, and its first token says how: 101 slowly, 102 the process
dies, 103 nothing comes any more, 104 garbage, 105 an error in the stream, 106 the stream ends, 107 it is refused, 108
the whole server hangs, 109 two tokens in one line. What it was asked is in `asked.jsonl` of the folder $STAND_IN.

In that folder the file `slow` makes every completion slow, and `late` holds a start up while it is there. A model or an
adapter whose folder holds the file `broken` cannot be loaded.
"""

import argparse
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(os.environ.get("STAND_IN", "."))
STATE = {"hangs": False}


def note(**told):
    with (FOLDER / "asked.jsonl").open("a") as out:
        out.write(json.dumps(told) + "\n")


def line_of(ids, top, finish=None):
    logprobs = top is not None and {
        "token_logprobs": [-id / 1000 for id in ids],
        "top_logprobs": [
            {f"token_id:{id}": -id / 1000, **{f"token_id:{n}": -n / 2000 for n in range(1, (top or 0) + 1)}}
            for id in ids
        ],
    }
    choice = {"index": 0, "text": "x", "token_ids": ids, "finish_reason": finish, "logprobs": logprobs or None}
    return "data: " + json.dumps({"choices": [choice]})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, told):
        content = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self):
        while STATE["hangs"]:
            time.sleep(0.1)
        if self.path == "/v1/models" and self.headers["authorization"] != f"Bearer {os.environ['VLLM_API_KEY']}":
            self.answer(401, {"error": "no"})
        else:
            self.answer(200, {"data": [{"id": ":base", "max_model_len": 200}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        note(path=self.path, pid=os.getpid(), body=body)
        if self.path != "/v1/completions":
            broken = self.path == "/v1/load_lora_adapter" and Path(body["lora_path"], "broken").exists()
            return self.answer(400 if broken else 200, {"error": {"message": "no such LoRA"}} if broken else {})
        if body["prompt"][0] == 107:
            return self.answer(400, {"error": {"message": "this cannot be asked", "code": 400}})
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            self.write_tokens(body, body["prompt"][0])
        except (BrokenPipeError, ConnectionResetError):
            note(path="closed", pid=os.getpid())
        return None

    def line(self, text):
        content = f"{text}\n\n".encode()
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def write_tokens(self, body, how):
        first, num, top = body["prompt"][-1] + 1, body["max_tokens"], body["logprobs"]
        step = 2 if how == 109 else 1
        for number in range(0, num, step):
            if number == 2:
                self.go_wrong(how)
            if how == 106 and number == 2:
                break
            if how == 101 or (FOLDER / "slow").exists():
                time.sleep(0.03)
            ids = list(range(first + number, first + min(number + step, num)))
            is_end = first + num - 1 in ids
            if is_end and "stops" in body["model"]:
                ids[-1] = 2
            self.line(line_of(ids, top, ("stop" if ids[-1] == 2 else "length") if is_end else None))
        self.line("data: [DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def go_wrong(self, how):
        if how == 102:
            os._exit(7)
        if how == 108:
            STATE["hangs"] = True
        if how in (103, 108):
            time.sleep(60)
        if how == 104:
            self.line("data: {never mind")
        if how == 105:
            self.line('data: {"error": {"message": "out of memory", "code": 500}}')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--model", type=Path)
    given, others = parser.parse_known_args()
    note(
        path="start",
        pid=os.getpid(),
        model=str(given.model),
        arguments=others,
        python_path=os.environ.get("PYTHONPATH"),
    )
    if (given.model / "broken").exists():
        sys.exit("CUDA out of memory. Tried to allocate 20.00 GiB")
    while (FOLDER / "late").exists():
        time.sleep(0.05)
    ThreadingHTTPServer(("127.0.0.1", given.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
