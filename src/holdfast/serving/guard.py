"""Runs a command that does not outlive whoever started it: `python guard.py COMMAND...`, in a session of its own.

Standard input is a pipe from the parent. When it closes, because the parent wants an end or is dead, however it died,
the command is asked to stop, and after `PATIENCE_SECONDS` everything it started is killed with it. A file of its own
that imports nothing of ours: it stays small beside what it guards.
"""

import os
import signal
import subprocess
import sys
import threading

PATIENCE_SECONDS = 10.0


def _end_with_parent(process: subprocess.Popen[bytes]) -> None:
    sys.stdin.buffer.read()
    process.terminate()
    try:
        process.wait(PATIENCE_SECONDS)
    finally:
        os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Starts the command and waits until it ends; what it started ends with it, this process included."""
    signal.signal(signal.SIGTERM, lambda *_: None)  # ignored here, and not by the command, as SIG_IGN would be
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)  # noqa: S603 - what the parent says
    threading.Thread(target=_end_with_parent, args=(process,), daemon=True).start()
    code = process.wait()
    print(f"the process ended with {code}", file=sys.stderr, flush=True)  # noqa: T201 - goes to the log
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
