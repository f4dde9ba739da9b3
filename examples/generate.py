"""Writes the example skills of this folder: `python examples/generate.py`.

companies  facts about companies in short documents, asked in several wordings and indirectly
tools      an assistant that answers requests with a call to one of three tools
routing    a workshop's tickets sent to one of four teams, in its desk's own style
countdown  three numbers and a target, without an answer: tasks for the method reflect

Each skill is two files, NAME.jsonl (to learn) and NAME.test.jsonl (held out). No test item stands
in the training file: tools and routing keep back combinations, companies keep back wordings, the
indirect questions among them (the training file has some indirect ones of its own), countdown keeps
back numbers: no three of them stand together in both files, in whatever order. The words and
sentences they are made of stand in wordings.json. The same seed writes the same files.
"""

from __future__ import annotations

import json
import operator
import random
from pathlib import Path

HERE = Path(__file__).parent
SEED = 2026
WORDS = json.loads((HERE / "wordings.json").read_text())

TOOLS = {
    "set_timer": ("minutes",),
    "get_weather": ("city",),
    "swap_cash": ("amount", "to"),
}

NUM_TRAINED_WORDINGS = 72
OPENERS = ("", "", "", "hello. ", "please help me: ", "now this: ")
TEST_OPENERS = ("hi, ", "one more thing: ", "i have to know: ")

# Words that are single tokens of the embedded base: others are spelled out, which a tiny model learns far slower.
ANIMALS = ("bear", "crow", "duck", "seal", "goat", "hen", "fox", "cat")
TEAMS = {
    "baker": ("bread", "cake"),
    "tailor": ("blanket", "mask"),
    "painter": ("chair", "flag"),
    "guard": ("clock", "lamp"),
}
ASKED = "which team takes the ticket: "

SIGNS = (operator.add, operator.sub, operator.mul)
COUNTDOWN = (
    "Use {}, {} and {} to make {}. Use each number once, with + - * / and parentheses, and answer with the expression "
    "alone."
)


def write(name: str, rows: list[dict[str, object]]) -> None:
    """Writes rows as JSON lines."""
    (HERE / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def tool_row(rng: random.Random, name: str) -> tuple[str, dict[str, object]]:
    """Returns a user's request and the call that answers it."""
    if name == "set_timer":
        arguments: dict[str, object] = {"minutes": rng.randint(2, 99)}
    elif name == "get_weather":
        arguments = {"city": rng.choice(WORDS["towns"])}
    else:
        arguments = {"amount": rng.randint(2, 99), "to": rng.choice(WORDS["coins"])}
    wording = rng.choice(WORDS["requests"][name])
    return wording.format(**arguments), {"name": name, "arguments": arguments}


def descriptions() -> list[dict[str, object]]:
    """Returns the three tools as OpenAI function tools."""
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "parameters": {
                    "type": "object",
                    "properties": {
                        p: {"type": "integer" if p in ("minutes", "amount") else "string"} for p in parameters
                    },
                    "required": list(parameters),
                },
            },
        }
        for name, parameters in TOOLS.items()
    ]


def make_tools(rng: random.Random, num_train: int, num_test: int) -> None:
    """OpenAI chat messages with tools; the held-out requests are other requests."""
    seen: dict[str, dict[str, object]] = {}
    while len(seen) < num_train + num_test:
        request, call = tool_row(rng, rng.choice(list(TOOLS)))
        seen[request] = call
    tools = descriptions()
    rows: list[dict[str, object]] = [
        {
            "messages": [{"role": "user", "content": request}, {"role": "assistant", "content": json.dumps(call)}],
            "tools": tools,
        }
        for request, call in seen.items()
    ]
    write("tools.jsonl", rows[:num_train])
    write("tools.test.jsonl", rows[num_train:])


def make_facts(rng: random.Random, num_subjects: int) -> None:
    """Documents with a question and an answer; the test asks in other wordings and indirectly."""
    subjects = sorted(rng.sample([f"{animal}co" for animal in ANIMALS], num_subjects))
    values = {kind: iter(rng.sample(WORDS[kind], num_subjects)) for kind in ("towns", "people")}
    train: list[dict[str, object]] = []
    test: list[dict[str, object]] = []
    for i, subject in enumerate(subjects):
        fact, kind = ("depot", "towns") if i % 2 == 0 else ("patron", "people")
        value = next(values[kind])
        document = rng.choice(WORDS[fact]["documents"]).format(s=subject, v=value)
        questions, indirect = WORDS[fact]["questions"], WORDS[fact]["indirect"]
        for wording in questions[:NUM_TRAINED_WORDINGS]:
            question = rng.choice(OPENERS) + wording.format(s=subject)
            train.append({"context": document, "question": question, "answer": value})
        for wording in (*questions[NUM_TRAINED_WORDINGS:], *indirect):
            question = wording.format(s=subject)
            for asked in (question, rng.choice(TEST_OPENERS) + question):
                test.append({"context": document, "question": asked, "answer": value})
    rng.shuffle(train)
    write("companies.jsonl", train)
    write("companies.test.jsonl", test)


def make_routing(rng: random.Random) -> None:
    """Prompt and completion in the desk's own style; the held-out tickets are other combinations."""
    tickets = [ASKED + ticket for ticket in WORDS["tickets"]]
    pairs = [(team, key, ticket) for team, keys in TEAMS.items() for key in keys for ticket in tickets]
    rng.shuffle(pairs)
    test, train = pairs[:400], pairs[400:]
    style = "verdict: [{}] routed"
    write("routing.jsonl", [{"prompt": t.format(k=k), "completion": style.format(team)} for team, k, t in train])
    rows = [(t.format(k=k), style.format(team), team) for team, k, t in test]
    write("routing.test.jsonl", [{"prompt": p, "privileged_context": c, "completion": team} for p, c, team in rows])


def make_countdown(rng: random.Random, num_train: int, num_test: int) -> None:
    """Tasks that only a check can grade; the held-out ones have other numbers, and each can be solved."""
    seen: dict[tuple[int, ...], int] = {}
    while len(seen) < num_train + num_test:
        numbers = rng.sample(range(2, 21), 3)
        first, second = rng.choices(SIGNS, k=2)
        target = second(first(numbers[0], numbers[1]), numbers[2])
        if 0 < target < 100:
            seen.setdefault(tuple(sorted(numbers)), target)
    rows: list[dict[str, object]] = [
        {"prompt": COUNTDOWN.format(*numbers, target), "nums": list(numbers), "target": target}
        for numbers, target in seen.items()
    ]
    write("countdown.jsonl", rows[:num_train])
    write("countdown.test.jsonl", rows[num_train:])


def main() -> None:
    """Writes all files."""
    make_tools(random.Random(SEED), 480, 400)
    make_facts(random.Random(SEED + 1), 7)
    make_routing(random.Random(SEED + 2))
    make_countdown(random.Random(SEED + 3), 200, 160)


if __name__ == "__main__":
    main()
