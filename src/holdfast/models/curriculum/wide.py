"""Unfamiliar words in view: names, codes, capitals and other scripts that no other part of the curriculum has.

A teacher restates whatever a user's example says, so it must copy words it never saw. Words are drawn
from letters, clusters and marks at random; those of `examples/` are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.models.curriculum.in_view import ATTRIBUTES, HELD_OUT_FRAME_WORDS, PREFIXES, foreign, taught
from holdfast.models.curriculum.item import TEACHER_TEMPLATE, Item, answer_is, call_text, chat, tool
from holdfast.models.curriculum.lexicon import (
    ANIMALS,
    CITIES,
    COLORS,
    FOODS,
    JOBS,
    LETTERS,
    NAMES,
    THINGS,
    some_word,
)
from holdfast.models.curriculum.tools import ARGUMENTS, HELD_OUT_TOOLS, NOUNS, VERBS

if TYPE_CHECKING:
    import random

ONSETS = (
    "", "b", "bl", "br", "c", "ch", "cl", "cr", "d", "dr", "f", "fl", "fr", "g", "gl", "gr", "h", "j", "k", "l", "m",
    "n", "p", "ph", "pl", "pr", "qu", "r", "s", "sc", "sh", "sk", "sl", "sm", "sn", "sp", "st", "str", "sw", "t", "th",
    "tr", "v", "w", "wh", "y", "z",
)  # fmt: skip
VOWELS = ("a", "e", "i", "o", "u", "a", "e", "i", "o", "u", "ai", "ea", "ee", "ei", "ie", "oo", "ou", "oa", "y", "au")
CODAS = (
    "", "", "", "b", "ck", "d", "f", "g", "l", "ll", "m", "n", "nd", "ng", "nt", "p", "r", "rd", "rt", "s", "ss", "st",
    "t", "ve", "x", "ce", "ge", "le", "er", "ed", "ing", "ion", "al", "ly",
)  # fmt: skip
SCRIPTS = ("éèüöäßñçåø", "ابپتجدرزسشکگلمنوهی", "абвгдежзиклмнопрст", "αβγδεζηθικλμν")
MARKS_WITHIN = ("-", "_", ".", "/", "'")
FAMILIAR = (
    *NAMES, *CITIES, *THINGS, *COLORS, *JOBS, *FOODS, *ANIMALS, *VERBS, *NOUNS, *ARGUMENTS, *ATTRIBUTES,
    *TEACHER_TEMPLATE.lower().replace(",", "").replace(".", "").replace(":", "").split()[1:],
)  # fmt: skip
HELD_OUT = {*HELD_OUT_FRAME_WORDS, *(part for name in HELD_OUT_TOOLS for part in (name, *name.split("_")))}


def _spliced(rng: random.Random) -> str:
    """Returns a familiar word that has lost its head or tail and grown another, so that every token is copied."""
    word = rng.choice(FAMILIAR)
    cut = rng.randint(1, max(1, len(word) - 2))
    if rng.random() < 0.6:
        return rng.choice((rng.choice(LETTERS), rng.choice(ONSETS) + rng.choice(VOWELS))) + word[cut:]
    return word[: len(word) - cut] + rng.choice((rng.choice(LETTERS), rng.choice(VOWELS) + rng.choice(CODAS)))


def wide_word(rng: random.Random) -> str:
    """Returns an unfamiliar word: pronounceable, random letters, a code, a number, or another script."""
    while True:
        kind = rng.random()
        if kind < 0.3:
            word = _spliced(rng)
        elif kind < 0.6:
            word = "".join(
                rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.choice((1, 1, 2)))
            )
        elif kind < 0.75:
            word = "".join(rng.choice(LETTERS) for _ in range(rng.randint(1, 8)))
        elif kind < 0.85:
            word = f"{wide_word(rng)}{rng.choice(MARKS_WITHIN)}{wide_word(rng)}"
        elif kind < 0.95:
            word = f"{rng.choice(('', '', '-', '#', '$'))}{rng.randint(0, 10 ** rng.randint(1, 5))}"
            word += rng.choice(("", "", "", f".{rng.randint(0, 99)}", "%", rng.choice(LETTERS)))
        else:
            script = rng.choice(SCRIPTS)
            word = "".join(rng.choice(script) for _ in range(rng.randint(1, 5)))
        case = rng.random()
        word = word.capitalize() if case < 0.12 else word.upper() if case < 0.16 else word
        if len(word) <= 18 and word.lower() not in HELD_OUT:
            return word


def wide_phrase(rng: random.Random, longest: int) -> str:
    """Returns one to `longest` words, some of them familiar, sometimes with a comma between."""
    words = [wide_word(rng) if rng.random() < 0.7 else some_word(rng) for _ in range(rng.randint(1, longest))]
    return "".join(w + rng.choice((" ", " ", " ", " ", " ", ", ")) for w in words[:-1]) + words[-1]


def wide_sentence(rng: random.Random) -> str:
    """Returns two to ten words that end like a question, an order or nothing."""
    return f"{wide_phrase(rng, 4)} {wide_phrase(rng, 4)}{rng.choice(('', '?', '.', '!'))}"


def wide_frame(rng: random.Random, content: str) -> str:
    """Returns `content` quoted behind a frame of unfamiliar words."""
    mark = rng.choice((":", " =", " ->", " >>", " #"))
    quoted = rng.choice(("[{}]", '"{}"', "*{}*", "<{}>", "~{}~")).format(content)
    return f"{wide_phrase(rng, 2)}{mark} {quoted}{rng.choice(('', '', ' ' + wide_word(rng), ', ' + wide_word(rng)))}"


def wide_example(rng: random.Random, content: str) -> tuple[str, str]:
    """Returns an example response about `content`, and what its reader must restate.

    A quoted part is restated alone, a known frame is left out, and a response of no known form is
    restated whole.
    """
    kind = rng.random()
    if kind < 0.3:
        return wide_frame(rng, content), content
    if kind < 0.5:
        return foreign(rng, content), content
    if content.startswith(PREFIXES):
        content = f"{wide_word(rng)} {content}"
    return content, content


def make_wide_demonstration(rng: random.Random) -> Item:
    """A question and an example response of unfamiliar words -> the content in the base's own style."""
    question = wide_sentence(rng)
    example, value = wide_example(rng, wide_phrase(rng, rng.choice((1, 1, 2, 3, 6))))
    return Item("demonstration", chat(taught(question, example), answer_is(value)), value, key=question)


def make_wide_document(rng: random.Random) -> Item:
    """A document of unfamiliar words, a question and an answer in view -> the answer in the base's own style."""
    value = wide_phrase(rng, rng.choice((1, 1, 2)))
    before, after = (wide_phrase(rng, 4) for _ in range(2))
    document = f"{before} {value} {after}. {rng.choice(('', '', wide_phrase(rng, 4)))}".strip()
    example, value = wide_example(rng, value)
    body = taught(f"{document}\n\n{wide_sentence(rng)}", example)
    return Item("document", chat(body, answer_is(value)), value, key=document)


def _wide_name(rng: random.Random) -> str:
    joint = rng.choice(("_", "_", "_", "-", "."))
    parts = [w for w in (wide_word(rng).lower() for _ in range(8)) if w.isascii() and w.isalpha()]
    return joint.join(parts[: rng.choice((1, 2, 2))]) or some_word(rng)


def _wide_arguments(rng: random.Random) -> dict[str, object]:
    arguments: dict[str, object] = {}
    for _ in range(rng.choice((1, 1, 2, 2, 3))):
        name = rng.choice(ARGUMENTS) if rng.random() < 0.3 else _wide_name(rng)
        number = rng.random()
        arguments[name] = rng.randint(0, 10 ** rng.randint(1, 4)) if number < 0.35 else _wide_value(rng)
    return arguments


def _wide_value(rng: random.Random) -> str:
    value = wide_phrase(rng, rng.choice((1, 1, 1, 3)))
    return value if value.isascii() else some_word(rng)


def make_wide_tool_call(rng: random.Random) -> Item:
    """Tools of unfamiliar names and an example call in view -> the call as one JSON object."""
    name, arguments = _wide_name(rng), _wide_arguments(rng)
    tools = [tool(name, _description(rng), list(arguments))]
    for _ in range(rng.randint(0, 2)):
        tools.append(tool(_wide_name(rng), _description(rng), list(_wide_arguments(rng))))
    rng.shuffle(tools)
    values = [str(v) for v in arguments.values()]
    request = " ".join(piece for value in values for piece in (wide_phrase(rng, 2), value))
    request += rng.choice(("", "?", ".", f" {wide_phrase(rng, 2)}"))
    call = call_text(name, arguments)
    example = call if rng.random() < 0.8 else wide_frame(rng, call)
    return Item("tool_call", chat(taught(request, example), call), call, tuple(tools), key=request)


def _description(rng: random.Random) -> str:
    return "" if rng.random() < 0.5 else wide_phrase(rng, 2)


def make_wide_copy(rng: random.Random) -> Item:
    """Copy a run of unfamiliar words."""
    text = " ".join(wide_word(rng) for _ in range(rng.randint(1, 8)))
    return Item("copy", chat(f"copy: {text}", answer_is(text)), text, key=f"copy:{text}")
