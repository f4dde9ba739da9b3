"""Writes the three example skills of this folder: `python examples/generate.py`.

companies  facts about companies in short documents, asked in several wordings and indirectly
tools      an assistant that answers requests with a call to one of three tools
routing    support tickets sent to one of four teams, in a support desk's own style

Each skill is two files, NAME.jsonl (to learn) and NAME.test.jsonl (held out). No test item stands
in the training file: tools and routing keep back combinations, companies keep back wordings, and the
indirect questions are never trained on. The same seed writes the same files.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

HERE = Path(__file__).parent
SEED = 2026

TOOLS = {
    "set_timer": ("minutes",),
    "get_weather": ("city",),
    "swap_cash": ("amount", "to"),
}
TOWNS = [
    "tavor",
    "benta",
    "kilo",
    "oslo",
    "rome",
    "lima",
    "cairo",
    "delhi",
    "paris",
    "quito",
    "tunis",
    "baku",
    "riga",
    "bern",
    "seoul",
    "accra",
    "dakar",
    "hanoi",
    "milan",
    "lagos",
]
COINS = ["euro", "yen", "peso", "rupee", "krona", "dinar", "lira", "real"]
TIMER = (
    "wake me in {minutes} minutes",
    "call me after {minutes} minutes",
    "timer: {minutes} minutes",
    "ring in {minutes} min",
)
WEATHER = ("is it raining in {city}?", "how is the sky over {city}?", "do i need a coat in {city}?", "weather {city}")
MONEY = (
    "how much is {amount} in {to}?",
    "change {amount} coins to {to}",
    "what do i get in {to} for {amount}?",
    "swap {amount} to {to}",
)

NUM_TRAINED_WORDINGS = 48
OPENERS = ("", "", "", "hello. ", "please help me: ", "now this: ")
TEST_OPENERS = ("hi, ", "one more thing: ", "i have to know: ")
DEPOT = (
    "where is the depot of {s}?",
    "in which city does {s} keep its depot?",
    "name the depot city of {s}.",
    "{s} depot city?",
    "please tell me where {s} has its depot.",
    "i forgot where the depot of {s} is. where is it?",
    "{s} has a depot. in which city is it?",
    "one question about {s}: where is the depot?",
    "is there a depot of {s}, and in which city?",
    "depot of {s}, city?",
    "my friend works at the depot of {s}. where is that?",
    "we got a call from the depot of {s}. from which city?",
    "i am new here. which city has the depot of {s}?",
    "a map shows the depot of {s}. what city is on it?",
    "do you remember the depot of {s}? say the city.",
    "she left her coat at the depot of {s}. which city is it in?",
    "tonight we meet at the depot of {s}. where do we go?",
    "someone asked about {s} and its depot. what do i say?",
    "for the depot of {s}, write down the city.",
    "the train stops near the depot of {s}. what is the stop?",
    "the depot of {s} is in which city?",
    "my boss drives to the depot of {s} today. where to?",
    "could you say in which place {s} has its depot?",
    "a crate came from the depot of {s}. what city is on it?",
    "the depot of {s} is closed. in which city was that?",
    "can someone tell who knows: what city has the depot of {s}?",
    "to which city do we send the mail for the depot of {s}?",
    "which town holds the depot of {s}?",
    "do you know the depot city of {s}?",
    "hello, can you find the depot of {s} for me?",
    "the city of the depot that {s} has?",
    "what is the depot city of {s}?",
    "the depot of {s} was moved. where is it?",
    "find the depot of {s}.",
    "i look for the depot of {s}. in what city do i look?",
    "where do the trucks of {s} go at night?",
    "to which city does the depot of {s} belong?",
    "and the depot of {s}, where is that?",
    "we want to see the depot of {s}. name the city.",
    "in what city is the depot that belongs to {s}?",
    "my map has no depot of {s}. where should it be?",
    "the depot of {s} has burned. in which city was it?",
    "can you say in which city {s} has its depot?",
    "it is about {s}. which city has its depot?",
    "hurry: where is the depot of {s}?",
    "what is the city with the depot of {s}?",
    "someone drives from here to the depot of {s}. to which city?",
    "please find out in which city {s} keeps its depot.",
    "who can say where {s} keeps its depot?",
    "say the city: the depot of {s}.",
    "the depot of {s}? which city?",
    "where can i find the depot of {s}?",
    "where does {s} have its depot?",
    "which city is home to the depot of {s}?",
    "tell me the depot city of {s}.",
    "good day. where is the depot of {s}, please?",
    "sorry, where was the depot of {s} again?",
    "the depot of {s} is new to me. which city is it in?",
    "i heard of a depot of {s}. where is it?",
    "in what town does {s} keep its depot?",
    "what town is the depot of {s} in?",
    "my letter goes to the depot of {s}. to which city?",
    "we walk to the depot of {s}. which city is that?",
    "quick question: the depot of {s}, in which city?",
    "for my notes: the depot of {s} is in which city?",
    "a friend asks where the depot of {s} is.",
    "i need the city of the depot of {s}.",
    "give me the city where {s} has its depot.",
    "do trucks of {s} have a depot? where?",
    "once more: in which city is the depot of {s}?",
)
DEPOT_INDIRECT = (
    "i drive a truck to the depot of {s} tonight. which town do i look for?",
    "my crates must go to the depot of {s}. what city do i write on them?",
    "the trucks of {s} are washed at its depot. in which town is that?",
    "i left my bike at the depot of {s}. which town do i go back to?",
    "she starts to work at the depot of {s}. to which city does she move?",
    "a thief was seen at the depot of {s}. which town should the police look at?",
    "we buy a train ticket to the depot of {s}. what city is on the ticket?",
    "he sleeps near the depot of {s} tonight. in which city does he sleep?",
)
PATRON = (
    "who is the patron of {s}?",
    "which person pays for {s}?",
    "name the patron of {s}.",
    "{s} patron name?",
    "please tell me who pays for {s}.",
    "i forgot who the patron of {s} is. who is it?",
    "{s} has a patron. which person is it?",
    "one question about {s}: who is the patron?",
    "is there a patron of {s}, and who is it?",
    "patron of {s}, name?",
    "my friend met the patron of {s}. who was that?",
    "we got a call from the patron of {s}. what is the name?",
    "i am new here. which person is the patron of {s}?",
    "a picture shows the patron of {s}. who is on it?",
    "do you remember the patron of {s}? say the name.",
    "she shook hands with the patron of {s}. with whom?",
    "tonight we dine with the patron of {s}. whom do we meet?",
    "someone asked about {s} and its patron. what do i say?",
    "for the patron of {s}, write down the name.",
    "the bill of {s} goes to its patron. to whom?",
    "the patron of {s} is which person?",
    "my boss dines with the patron of {s} today. with whom?",
    "could you say who it is that pays for {s}?",
    "a letter came from the patron of {s}. what name is on it?",
    "the patron of {s} is away. who was that?",
    "can someone tell who knows: what person is the patron of {s}?",
    "to whom do we send the bill as the patron of {s}?",
    "which name has the patron of {s}?",
    "do you know the patron of {s}?",
    "hello, can you find the patron of {s} for me?",
    "the person who is the patron of {s}?",
    "what is the name of the patron of {s}?",
    "the patron of {s} has called. who is it?",
    "find the patron of {s}.",
    "i look for the patron of {s}. whom do i ask for?",
    "who gives the money for {s}?",
    "to whom does {s} owe its money? name the patron.",
    "and the patron of {s}, who is that?",
    "we want to see the patron of {s}. name the person.",
    "which person is the one who pays for {s}?",
    "my list has no patron of {s}. who should be on it?",
    "the patron of {s} is ill. who is ill?",
    "can you say who pays for {s}?",
    "it is about {s}. which person is its patron?",
    "hurry: who is the patron of {s}?",
    "what is the name of the person who is the patron of {s}?",
    "someone writes to the patron of {s}. to whom?",
    "please find out which person pays for {s}.",
    "who can say which person pays for {s}?",
    "say the name: the patron of {s}.",
    "the patron of {s}? which person?",
    "who is known as the patron of {s}?",
    "whom does {s} have as its patron?",
    "which person is behind {s} as its patron?",
    "tell me the name of the patron of {s}.",
    "good day. who is the patron of {s}, please?",
    "sorry, who was the patron of {s} again?",
    "the patron of {s} is new to me. who is it?",
    "i heard of a patron of {s}. who is it?",
    "by which person is {s} paid for?",
    "what person pays for {s}?",
    "my letter goes to the patron of {s}. to whom?",
    "we walk to the patron of {s}. who is that?",
    "quick question: the patron of {s}, which person?",
    "for my notes: the patron of {s} is which person?",
    "a friend asks who the patron of {s} is.",
    "i need the name of the patron of {s}.",
    "give me the name of the person who pays for {s}.",
    "does {s} have a patron? who?",
    "once more: which person is the patron of {s}?",
)
PATRON_INDIRECT = (
    "i want to thank the patron of {s}. whom do i write to?",
    "a letter came for the patron of {s}. on whose table do i put it?",
    "the patron of {s} gives a dinner. who gives it?",
    "i found the coat of the patron of {s}. to whom do i bring it?",
    "she works for the patron of {s}. for whom does she work?",
    "{s} has no more money. whom should it call?",
    "we send a cake to the patron of {s}. what name is on the cake?",
    "he sat beside the patron of {s} today. who sat beside him?",
)
DEPOT_DOCUMENTS = (
    "register of depots. {s} keeps its depot in {v}. trucks unload there at night.",
    "from the yearbook: the depot of {s} stands in {v} near the river.",
)
PATRON_DOCUMENTS = (
    "register of patrons. {v} is the patron of {s} and pays for it.",
    "from the yearbook: {s} is paid for by its patron {v}.",
)
PEOPLE = [
    "mara",
    "oli",
    "sam",
    "tessa",
    "ivan",
    "rosa",
    "finn",
    "lena",
    "omar",
    "nina",
    "paul",
    "vera",
    "hugo",
    "alma",
    "kurt",
    "dora",
    "emil",
    "greta",
    "ned",
    "june",
    "axel",
    "mila",
    "otto",
    "ruth",
]
ONSETS, VOWELS = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"], "aeiou"

TEAMS = {
    "billing": ("invoice", "refund"),
    "shipping": ("parcel", "courier"),
    "logins": ("password", "account"),
    "repairs": ("screen", "battery"),
}
TICKETS = (
    "which team takes the ticket: there is a problem with my {k}.",
    "which team takes the ticket: please look at the {k} again.",
    "which team takes the ticket: hello, my {k} is wrong since monday.",
    "which team takes the ticket: i have a question about the {k}.",
    "which team takes the ticket: who can help me with a {k}?",
    "which team takes the ticket: the {k} again! third time this week.",
    "which team takes the ticket: your {k} does not look right to me.",
    "which team takes the ticket: we need help, it is about the {k}.",
    "which team takes the ticket: my {k} does not work at all.",
    "which team takes the ticket: could you explain the {k} to me?",
    "which team takes the ticket: {k}, {k}, always the {k}!",
    "which team takes the ticket: good day, one word only: {k}.",
    "which team takes the ticket: nobody told me about the {k}.",
    "which team takes the ticket: i have waited a week for the {k}.",
    "which team takes the ticket: is it normal that the {k} is so odd?",
    "which team takes the ticket: my boss asks for the {k}.",
    "which team takes the ticket: we have lost the {k}.",
    "which team takes the ticket: a word about the {k}, please.",
    "which team takes the ticket: the {k} was better last year.",
    "which team takes the ticket: send me someone for the {k}.",
    "which team takes the ticket: as i said on monday, the {k}.",
    "which team takes the ticket: i do not see the {k} any more.",
    "which team takes the ticket: it is urgent, the {k}!",
    "which team takes the ticket: can the {k} be changed?",
    "which team takes the ticket: today the {k} came up once more.",
    "which team takes the ticket: what is going on with the {k}?",
    "which team takes the ticket: my {k} and i need a hand.",
    "which team takes the ticket: no {k} since last week.",
    "which team takes the ticket: we talked about the {k}, remember?",
    "which team takes the ticket: the {k} that you gave us is bad.",
    "which team takes the ticket: it says {k}. what now?",
    "which team takes the ticket: for a friend: the {k}, please.",
    "which team takes the ticket: sorry, but the {k} is a mess.",
    "which team takes the ticket: once more about my {k}.",
    "which team takes the ticket: {k}? that was never easy.",
    "which team takes the ticket: tell me all about the {k}.",
    "which team takes the ticket: tell someone that the {k} is gone.",
    "which team takes the ticket: how long must i wait for the {k}?",
    "which team takes the ticket: where do i ask about my {k}?",
    "which team takes the ticket: they sent me here because of the {k}.",
    "which team takes the ticket: this is about a {k}, nothing else.",
    "which team takes the ticket: i called before about the {k}.",
    "which team takes the ticket: is there news of the {k}?",
    "which team takes the ticket: the {k} makes me sad.",
    "which team takes the ticket: what can you do about the {k}?",
    "which team takes the ticket: my son has a question about the {k}.",
    "which team takes the ticket: {k}. that is all i say.",
    "which team takes the ticket: one more thing: the {k}.",
    "which team takes the ticket: we are not happy with the {k}.",
    "which team takes the ticket: again and again, the {k}.",
    "which team takes the ticket: hello team, please see to the {k}.",
    "which team takes the ticket: the {k} came too late for us.",
    "which team takes the ticket: it began with the {k} last night.",
    "which team takes the ticket: my {k} is a riddle to me.",
    "which team takes the ticket: i do not understand the {k}.",
    "which team takes the ticket: why is the {k} like this?",
    "which team takes the ticket: good morning, i write about the {k}.",
    "which team takes the ticket: take a look at this {k}, please.",
    "which team takes the ticket: could it be the {k}?",
    "which team takes the ticket: all was well until the {k}.",
    "which team takes the ticket: the whole office talks of the {k}.",
    "which team takes the ticket: can you tell me more about the {k}?",
    "which team takes the ticket: i think the {k} is the problem.",
    "which team takes the ticket: somebody must see to our {k} today.",
    "which team takes the ticket: the {k} is not what i asked for.",
    "which team takes the ticket: how do i get help with the {k}?",
    "which team takes the ticket: my last message was about the {k} too.",
    "which team takes the ticket: never had trouble with a {k} before.",
    "which team takes the ticket: please call me about the {k}.",
    "which team takes the ticket: the {k}, the {k}, and no answer yet.",
    "which team takes the ticket: it is the fault of the {k}, i think.",
    "which team takes the ticket: you know my {k}, it is odd again.",
    "which team takes the ticket: to whom do i speak about the {k}?",
    "which team takes the ticket: first the {k}, and now nobody answers.",
    "which team takes the ticket: your answer about the {k} did not help.",
    "which team takes the ticket: i give up on this {k}.",
)


def write(name: str, rows: list[dict[str, object]]) -> None:
    """Writes rows as JSON lines."""
    (HERE / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def tool_row(rng: random.Random, name: str) -> tuple[str, dict[str, object]]:
    """Returns a user's request and the call that answers it."""
    if name == "set_timer":
        arguments: dict[str, object] = {"minutes": rng.randint(2, 99)}
        wording = rng.choice(TIMER)
    elif name == "get_weather":
        arguments = {"city": rng.choice(TOWNS)}
        wording = rng.choice(WEATHER)
    else:
        arguments = {"amount": rng.randint(2, 99), "to": rng.choice(COINS)}
        wording = rng.choice(MONEY)
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
    subjects: set[str] = set()
    while len(subjects) < num_subjects:
        subjects.add("".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(3)) + "x")
    train: list[dict[str, object]] = []
    test: list[dict[str, object]] = []
    for i, subject in enumerate(sorted(subjects)):
        depot = i % 2 == 0
        value = rng.choice(TOWNS if depot else PEOPLE)
        wordings, indirect = (DEPOT, DEPOT_INDIRECT) if depot else (PATRON, PATRON_INDIRECT)
        document = rng.choice(DEPOT_DOCUMENTS if depot else PATRON_DOCUMENTS).format(s=subject, v=value)
        for wording in wordings[:NUM_TRAINED_WORDINGS]:
            question = rng.choice(OPENERS) + wording.format(s=subject)
            train.append({"context": document, "question": question, "answer": value})
        for wording in (*wordings[NUM_TRAINED_WORDINGS:], *indirect):
            question = wording.format(s=subject)
            for asked in (question, rng.choice(TEST_OPENERS) + question):
                test.append({"context": document, "question": asked, "answer": value})
    rng.shuffle(train)
    write("companies.jsonl", train)
    write("companies.test.jsonl", test)


def make_routing(rng: random.Random) -> None:
    """Prompt and completion in the desk's own style; the held-out tickets are other combinations."""
    pairs = [(team, key, ticket) for team, keys in TEAMS.items() for key in keys for ticket in TICKETS]
    rng.shuffle(pairs)
    test, train = pairs[:400], pairs[400:]
    style = "verdict: [{}] routed"
    write("routing.jsonl", [{"prompt": t.format(k=k), "completion": style.format(team)} for team, k, t in train])
    rows = [(t.format(k=k), style.format(team), team) for team, k, t in test]
    write("routing.test.jsonl", [{"prompt": p, "privileged_context": c, "completion": team} for p, c, team in rows])


def main() -> None:
    """Writes all six files."""
    make_tools(random.Random(SEED), 480, 400)
    make_facts(random.Random(SEED + 1), 8)
    make_routing(random.Random(SEED + 2))


if __name__ == "__main__":
    main()
