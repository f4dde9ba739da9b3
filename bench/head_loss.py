"""The fused head loss beside dense autograd: seconds and memory as the number of tokens grows.

Forward KL and its gradient from [tokens, 256] hidden states over 151,936 tokens of vocabulary, head frozen;
every measurement is a fresh process. "Added" is the peak of resident memory over what the inputs take.

    python bench/head_loss.py --tokens 128 512 2048 --dense-up-to 512
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from meter import forget_peak, memory

VOCABULARY, WIDTH = 151_936, 256


def measure(kind, tokens):
    import torch

    from holdfast.training.head_loss import head_loss
    from holdfast.training.losses import Divergence, dense_rows

    torch.manual_seed(0)
    hidden = torch.randn(tokens, WIDTH, requires_grad=True)
    teacher, weight = torch.randn(tokens, WIDTH), 0.3 * torch.randn(VOCABULARY, WIDTH)
    share, divergence = torch.full((tokens,), 1 / tokens), Divergence("forward_kl")
    forget_peak()
    before, started = memory("VmRSS"), time.process_time()
    if kind == "fused":
        loss = head_loss(hidden, weight, None, share, divergence=divergence, teacher_hidden=teacher).loss
    else:
        with torch.no_grad():
            teacher_logits = teacher @ weight.t()
        loss = (dense_rows(divergence, hidden @ weight.t(), teacher_logits=teacher_logits) * share).sum()
    loss.backward()
    return {"seconds": time.process_time() - started, "added_mib": memory("VmHWM") - before, "loss": loss.item()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", nargs="+", type=int, default=[128, 512, 2048])
    parser.add_argument("--dense-up-to", type=int, default=512, help="dense autograd needs about 4 MiB a token here")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure[0], int(given.measure[1]))))
        return
    environment = os.environ | {"OMP_NUM_THREADS": str(given.threads)}
    print("| tokens | way | processor seconds | added MiB | loss |\n|---|---|---|---|---|")
    for tokens in given.tokens:
        for kind in ("fused", "dense") if tokens <= given.dense_up_to else ("fused",):
            command = [sys.executable, __file__, "--measure", kind, str(tokens)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout)
            print(f"| {tokens} | {kind} | {row['seconds']:.2f} | {row['added_mib']:.0f} | {row['loss']:.5f} |")


if __name__ == "__main__":
    main()
