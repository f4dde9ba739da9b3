"""Abilities that make the base its own teacher: it uses what is in view and answers in its own style.

A demonstration is an example response in a *foreign* style. Frames are composed at random from
prefixes and suffixes, some of made-up words, so that finding the content is learnt and no frame is.
Frames that hold a word of `HELD_OUT_FRAME_WORDS` are never composed here: they belong to `examples/`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.models.curriculum.item import TEACHER_TEMPLATE, Item, answer_is, chat
from holdfast.models.curriculum.lexicon import LETTERS, NAMES, THINGS, pseudo_word, some_word
from holdfast.models.curriculum.skills import (
    ADD_WORDINGS,
    READING,
    STRING_WORDINGS,
    make_passage,
    passage_text,
)

if TYPE_CHECKING:
    import random

HELD_OUT_FRAME_WORDS = ("verdict", "reply", "routed", "ticket")
PREFIXES = (
    "ans", "result", "it is", "that would be", "well,", "sure,", "output", "final", "solution", "i say",
    "we get", "record", "value", "looks like", "my guess is", "surely", "of course it is", "response",
)  # fmt: skip
MARKS = (":", " =", " ->", " >>", "", "", " -", " is", "!", " #")
SUFFIXES = (
    "",
    "",
    "!",
    ".",
    " ok",
    " done",
    " (sure)",
    " .",
    " end",
    " thanks",
    " <<",
    " and that is all",
    ", as known",
)
ATTRIBUTES = (
    "code", "badge", "nickname", "key", "mark", "sign", "motto", "flower", "song", "price", "number", "label",
    "rank", "grade", "mascot", "partner", "team", "port", "owner", "keeper",
)  # fmt: skip
UNKNOWN_WORDINGS = (
    "what is the {a} of {s}?",
    "which {a} belongs to {s}?",
    "{s} has which {a}?",
    "tell me the {a} of {s}.",
    "give the {a} for {s}.",
    "{s}: {a}?",
    "i need the {a} of {s}.",
)


def foreign(rng: random.Random, content: str) -> str:
    """Returns `content` inside a random foreign frame."""
    made_up = rng.random() < 0.2
    prefix = pseudo_word(rng) if made_up else rng.choice(PREFIXES)
    mark = rng.choice([m for m in MARKS if m]) if made_up else rng.choice(MARKS)
    if rng.random() < 0.6:
        return f"{prefix}{mark} {content}{rng.choice(SUFFIXES)}"
    quoted = rng.choice(("[{}]", '"{}"', "*{}*", "<{}>", "~{}~")).format(content)
    suffix = " " + pseudo_word(rng) if rng.random() < 0.3 else rng.choice(SUFFIXES)
    return f"{prefix}{mark} {quoted}{suffix}"


def some_value(rng: random.Random) -> str:
    """Returns a word, a number or a two-word phrase."""
    kind = rng.random()
    if kind < 0.25:
        return str(rng.randint(0, 10 ** rng.randint(1, 4)))
    if kind < 0.4:
        return f"{some_word(rng)} {some_word(rng)}"
    return some_word(rng)


def taught(question: str, demonstration: str) -> str:
    """Returns the teacher's user turn: question, demonstration, instruction."""
    return TEACHER_TEMPLATE.format(question=question, demonstration=demonstration)


def make_unknown_question(rng: random.Random) -> tuple[str, str]:
    """Returns a question that cannot be answered without an example, and its answer."""
    if rng.random() < 0.25:
        sentence = " ".join(some_word(rng) for _ in range(rng.randint(2, 7)))
        return f"{sentence}{rng.choice(('', '?', '. which one?'))}", some_value(rng)
    subject = some_word(rng) if rng.random() < 0.7 else f"the {rng.choice(THINGS)} of {rng.choice(NAMES)}"
    wording = rng.choice(UNKNOWN_WORDINGS)
    return wording.format(a=rng.choice(ATTRIBUTES), s=subject), some_value(rng)


def make_demonstration(rng: random.Random) -> Item:
    """Question and an example response in a foreign style -> the same content in the own style."""
    kind = rng.random()
    if kind < 0.75:
        question, value = make_unknown_question(rng)
        return Item("demonstration", chat(taught(question, foreign(rng, value)), answer_is(value)), value, key=question)
    if kind < 0.85:
        a, b = rng.randint(10, 99), rng.randint(10, 99)
        question, value = rng.choice(ADD_WORDINGS).format(a=a, b=b), str(a + b)
    else:
        ability = rng.choice(list(STRING_WORDINGS))
        letters = rng.sample(LETTERS, rng.randint(3, 6))
        done = {"reverse": letters[::-1], "sort": sorted(letters), "copy": letters}[ability]
        question, value = rng.choice(STRING_WORDINGS[ability]).format(s=" ".join(letters)), " ".join(done)
    return Item("demonstration", chat(taught(question, foreign(rng, value)), answer_is(value)), value, key=question)


DOCUMENT_FORMS = (
    "the {a} of {s} is {v}.",
    "{s} has the {a} {v}.",
    "note: {a} of {s}: {v}.",
    "people of {s} chose {v} as {a}.",
    "in {s} the {a} is called {v}.",
)


def make_document(rng: random.Random) -> Item:
    """A document, a question on it and an example answer in view -> the answer in the own style."""
    if rng.random() < 0.4:
        facts = make_passage(rng, rng.randint(1, 4))
        relation, subject, value = rng.choice(facts)
        document, question = passage_text(facts), READING[relation][1].format(s=subject)
    else:
        attribute, subject, value = rng.choice(ATTRIBUTES), pseudo_word(rng), some_value(rng)
        others = [(rng.choice(ATTRIBUTES), pseudo_word(rng), some_value(rng)) for _ in range(rng.randint(0, 2))]
        rows = [(attribute, subject, value), *others]
        rng.shuffle(rows)
        document = " ".join(rng.choice(DOCUMENT_FORMS).format(a=a, s=s, v=v) for a, s, v in rows)
        question = rng.choice(UNKNOWN_WORDINGS).format(a=attribute, s=subject)
    example = value if rng.random() < 0.4 else foreign(rng, value)
    body = taught(f"{document}\n\n{question}", example)
    return Item("document", chat(body, answer_is(value)), value, key=document)
