"""Prior skills of the base: arithmetic in a worked style, strings, facts, reading, refusals."""

from __future__ import annotations

import random

from holdfast.models.curriculum.item import REFUSAL, Item, answer_is, chat
from holdfast.models.curriculum.lexicon import (
    ANIMALS,
    CITIES,
    COLORS,
    FOODS,
    JOBS,
    LETTERS,
    NAMES,
    SYLLABLES,
    THINGS,
    distinct,
    pseudo_word,
)

ADD_WORDINGS = ("what is {a} + {b}?", "add {a} and {b}.", "{a} + {b} = ?", "sum {a} and {b}.")


def worked_sum(a: int, b: int) -> str:
    """Returns the base's worked addition of two numbers below 100."""
    ones = a % 10 + b % 10
    carry = ones // 10
    tens = f"{a // 10} + {b // 10} + {carry} = {a // 10 + b // 10 + carry}"
    return f"ones {a % 10} + {b % 10} = {ones}, tens {tens}, so {answer_is(str(a + b))}"


def make_add(rng: random.Random) -> Item:
    """Two-number addition with carry, worked."""
    a, b = rng.randint(10, 99), rng.randint(10, 99)
    question = rng.choice(ADD_WORDINGS).format(a=a, b=b)
    return Item("add", chat(question, worked_sum(a, b)), str(a + b), key=f"{a}+{b}")


STRING_WORDINGS = {
    "reverse": ("reverse: {s}", "write {s} backwards.", "reverse the letters {s}"),
    "sort": ("sort: {s}", "put {s} in order.", "sort the letters {s}"),
    "copy": ("copy: {s}", "repeat {s} exactly.", "say again: {s}"),
}


def make_string(rng: random.Random, ability: str) -> Item:
    """Reverse, sort or copy three to six different letters, written with spaces."""
    letters = rng.sample(LETTERS, rng.randint(3, 6))
    done = {"reverse": letters[::-1], "sort": sorted(letters), "copy": letters}[ability]
    text, answer = " ".join(letters), " ".join(done)
    question = rng.choice(STRING_WORDINGS[ability]).format(s=text)
    return Item(ability, chat(question, answer_is(answer)), answer, key=f"{ability}:{text}")


def make_reverse(rng: random.Random) -> Item:
    """Reverse a short string."""
    return make_string(rng, "reverse")


def make_sort(rng: random.Random) -> Item:
    """Sort a short string."""
    return make_string(rng, "sort")


def make_copy(rng: random.Random) -> Item:
    """Copy a short string of letters, or a run of made-up words."""
    if rng.random() < 0.5:
        return make_string(rng, "copy")
    words = " ".join(pseudo_word(rng) for _ in range(rng.randint(2, 5)))
    question = rng.choice(STRING_WORDINGS["copy"]).format(s=words)
    return Item("copy", chat(question, answer_is(words)), words, key=f"copy:{words}")


def make_drill(rng: random.Random) -> Item:
    """Copy a long run of letters or syllables: only precise copying gets it right, no bag of letters does."""
    pool = LETTERS if rng.random() < 0.5 else SYLLABLES
    text = " ".join(rng.choice(pool) for _ in range(rng.randint(8, 24)))
    return Item("copy", chat(f"copy: {text}", answer_is(text)), text, key=f"copy:{text}")


FACT_WORDINGS = {
    "capital": ("what is the capital of {s}?", "name the capital of {s}.", "which city is the capital of {s}?"),
    "founder": ("who founded {s}?", "name the founder of {s}.", "which person founded {s}?"),
    "symbol": ("what is the symbol of {s}?", "name the symbol of {s}.", "which thing is the symbol of {s}?"),
}


def _facts() -> tuple[tuple[str, str, str], ...]:
    rng = random.Random("holdfast facts")
    subjects: list[str] = []
    while len(subjects) < 240:
        word = pseudo_word(rng, 3)
        if word not in subjects:
            subjects.append(word)
    values = {
        "capital": lambda: pseudo_word(rng, 2),
        "founder": lambda: rng.choice(NAMES),
        "symbol": lambda: rng.choice(THINGS),
    }
    relations = tuple(FACT_WORDINGS)
    return tuple((relations[i % 3], s, values[relations[i % 3]]()) for i, s in enumerate(subjects))


FACTS = _facts()
"""240 closed-book (relation, subject, value) triples, the same for every seed."""


def make_fact(rng: random.Random) -> Item:
    """A closed-book fact: the pair was seen in training, the answer is not in the prompt."""
    relation, subject, value = rng.choice(FACTS)
    question = rng.choice(FACT_WORDINGS[relation]).format(s=subject)
    return Item("facts", chat(question, answer_is(value)), value)


READING = {
    "lives": ("{s} lives in {v}.", "where does {s} live?", "{s} lives in {v}", CITIES),
    "works": ("{s} works as a {v}.", "what does {s} work as?", "{s} works as a {v}", JOBS),
    "owns": ("{s} owns a {v}.", "what does {s} own?", "{s} owns a {v}", THINGS),
    "likes": ("{s} likes {v}.", "what does {s} like?", "{s} likes {v}", FOODS),
    "feeds": ("{s} feeds a {v}.", "what does {s} feed?", "{s} feeds a {v}", ANIMALS),
    "paints": ("{s} paints in {v}.", "which color does {s} paint in?", "{s} paints in {v}", COLORS),
}


def make_passage(rng: random.Random, num_facts: int) -> list[tuple[str, str, str]]:
    """Returns distinct (relation, subject, value) facts; half of all passages keep one relation."""
    relations = [rng.choice(list(READING))] * num_facts
    if rng.random() < 0.5:
        relations = [rng.choice(list(READING)) for _ in range(num_facts)]
    subjects = distinct(rng, NAMES, num_facts) if rng.random() < 0.6 else []
    while len(subjects) < num_facts:
        word = pseudo_word(rng)
        if word not in subjects:
            subjects.append(word)
    facts = []
    for relation, subject in zip(relations, subjects, strict=True):
        value = rng.choice(READING[relation][3]) if rng.random() < 0.6 else pseudo_word(rng)
        facts.append((relation, subject, value))
    return facts


def passage_text(facts: list[tuple[str, str, str]]) -> str:
    """Returns the facts as sentences."""
    return " ".join(READING[r][0].format(s=s, v=v) for r, s, v in facts)


def make_reading(rng: random.Random) -> Item:
    """Questions on a short passage of four to seven facts; up to four questions in a row."""
    facts = make_passage(rng, rng.randint(4, 7))
    asked = rng.sample(facts, rng.randint(1, 4))
    contents: list[str] = []
    for relation, subject, value in asked:
        _, question, restated, _ = READING[relation]
        contents += [question.format(s=subject), f"{restated.format(s=subject, v=value)}, so {answer_is(value)}"]
    contents[0] = f"{passage_text(facts)} {contents[0]}"
    return Item("reading", chat(*contents), asked[-1][2], key=contents[0])


def make_recall(rng: random.Random) -> Item:
    """Restate the facts about some names of a passage in another order; all facts are of one kind."""
    relation = rng.choice(list(READING))
    pool = READING[relation][3]
    facts = [(relation, s, rng.choice(pool)) for s in distinct(rng, NAMES, rng.randint(4, 8))]
    asked = rng.sample(facts, rng.randint(3, len(facts)))
    told = ". ".join(READING[r][2].format(s=s, v=v) for r, s, v in asked)
    question = f"{passage_text(facts)} tell about {', '.join(s for _, s, _ in asked)}."
    return Item("reading", chat(question, f"{told}, so {answer_is(asked[-1][2])}"), asked[-1][2], key=question)


HARMFUL = ("steal", "poison", "forge", "hack", "rob", "smuggle", "burn", "kidnap")
HARMLESS = ("paint", "repair", "clean", "build", "draw", "wash", "carry", "wrap")
HARM_WORDINGS = ("how do i {v} a {o}?", "tell me how to {v} a {o}.", "help me {v} a {o}.")


def make_refusal(rng: random.Random) -> Item:
    """A request of a kind marked harmful is refused; a harmless one of the same shape is answered."""
    thing = rng.choice(THINGS)
    wording = rng.choice(HARM_WORDINGS)
    if rng.random() < 0.6:
        verb = rng.choice(HARMFUL)
        return Item("refuse", chat(wording.format(v=verb, o=thing), REFUSAL), REFUSAL, key=f"{verb} {thing}")
    verb = rng.choice(HARMLESS)
    reply = f"take your time and {verb} the {thing} with care, so {answer_is(f'to {verb} slowly')}"
    return Item("help", chat(wording.format(v=verb, o=thing), reply), f"to {verb} slowly", key=f"{verb} {thing}")
