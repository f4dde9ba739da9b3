"""From raw files by way of `prepare` to a version that is learned, and to a second one that is guarded by the first."""

import csv
import json
import random

from typer.testing import CliRunner

from holdfast.cli.app import app
from holdfast.data.output.version import load

PLAIN = ["semantic_duplicates", "language"]
"""Checks that take seconds and have nothing to find in made-up words."""


def holdfast(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def asked(colour, num):
    """Questions of made-up words, no two of them alike."""
    draw = random.Random(colour)
    return [" ".join([colour, *("".join(draw.choices("abcdefghij", k=3)) for _ in range(9))]) for _ in range(num)]


def test_raw_files_are_prepared_learned_and_guard_what_comes_next(small_base, quick, tmp_path):
    home = tmp_path / "home"
    holdfast("init", home, "--model", small_base)
    switches = [word for name in PLAIN for word in ("--set", f"checks.{name}.enabled=false")]
    with (tmp_path / "red.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["question", "answer", "who"])
        lines.writerows([text, "ok", f"{text[:7].replace(' ', '.')}@example.org"] for text in asked("red", 60))
        lines.writerow([asked("red", 60)[3], "ok", ""])
        lines.writerow(["", "ok", "nobody"])
    words = ["prepare", tmp_path / "red.csv", "--skill", "red", "-w", home, "--model", small_base, *switches, "--json"]
    prepared = json.loads(holdfast(*words))
    counts = prepared["version"]["counts"]
    assert counts["read"] == 62 == counts["unchanged"] + counts["changed"] + sum(counts["rejected"].values())
    assert "@example.org" not in "".join(map(str, prepared["findings"]))

    learning = [word for setting in [*quick, "steps=144"] for word in ("--set", setting)]
    learned = json.loads(holdfast("learn", prepared["folder"], "--skill", "red", "-w", home, "--json", *learning))
    assert learned["status"] == "accepted"

    shown = json.loads(holdfast("data", "show", prepared["folder"], "--json"))
    assert shown["hash"] == prepared["version"]["hash"]

    # The next skill's data holds an item of the first one's test: it is taken out, and said.
    held_out = next(iter(load(prepared["folder"]).examples("test"))).messages[0].content
    rows = [{"prompt": text, "completion": "no"} for text in [*asked("blue", 40), f"please look: {held_out}"]]
    (tmp_path / "blue.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words[1:4] = [tmp_path / "blue.jsonl", "--skill", "blue"]
    again = json.loads(holdfast(*words, "--set", "split.test_share=0.05", "--set", "seed=3"))
    found = next(one for one in again["findings"] if one["check"] == "contamination")
    assert "test of red" in found["title"]
    assert again["version"]["counts"]["rejected"]["contamination"] >= 1
