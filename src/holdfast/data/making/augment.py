"""More examples from those there are: the same request in other words, with the same answer.

Only the last user turn is reworded, and of it only the first line: what stands below is material to work on ("Correct
this text:" and the text), whose wording the answer depends on. A wording is used when it keeps every fixed part of the
request (`fixed_parts`), is neither much longer nor much shorter, says "not" where the request does and only there, and
differs from every other prompt, those of the test included. It is always marked: `columns["synthetic"]` has the way it
was made and `columns["synthetic_of"]` the id of its original.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field

from holdfast.data.example_json import example_id, reject
from holdfast.data.making.fixed_parts import lost_part
from holdfast.data.making.rewording import reworded
from holdfast.data.making.wording import normalised
from holdfast.data.making.writer import objects_in, written
from holdfast.errors import DataError
from holdfast.seeds import derive_seed
from holdfast.settings import Count, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdfast.data.making.writer import Conversation, Write
    from holdfast.data.rejected import Rejected
    from holdfast.types import Example

Way: TypeAlias = Literal["paraphrase", "polite", "please", "contraction", "typo"]

LONGEST_RATIO = 3.0
"""A wording is at most so many times as long as the request, and at least the same share of it."""
SHORT = 40
"""So many characters more are always allowed: a short request grows quickly."""
_NEGATION = re.compile(
    r"\b(?:not|never|no|none|without|nothing|nobody|cannot|neither|nor|except|avoid)\b|n['\u2019]t\b", re.IGNORECASE
)


class AugmentSettings(Settings):
    """How examples are reworded."""

    ways: tuple[Way, ...] = ("paraphrase", "polite", "please", "contraction")
    """How wordings are made: paraphrase asks a model, the others are rules for English."""
    per_example: Count = 2
    """At most so many wordings of one example."""
    max_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """At most this share of the training data, originals and wordings together, is made."""
    at_once: Count = 16
    """How many examples a model is asked about at a time."""


@dataclass(frozen=True, slots=True)
class Augmented:
    """What was made of training examples, which themselves stay as they are.

    `added` are the new examples, `rejected` the wordings that failed a check, each with its reason. `made` counts
    `added` by way. `num_without` examples gave no wording; `num_over` wordings were good and too many for the share.
    """

    added: list[Example]
    rejected: list[Rejected]
    made: Counter[str]
    num_without: int
    num_over: int


def require_writer(settings: AugmentSettings, write: Write | None) -> None:
    """Raises `DataError` where a paraphrase is wanted and no model is there to write it."""
    if "paraphrase" in settings.ways and write is None:
        raise DataError(
            "Paraphrases are written by a model, and none was chosen. Choose one, or take paraphrase out of `ways`.",
            param="ways",
        )


def augment(
    train: Sequence[Example],
    test: Sequence[Example] = (),
    settings: AugmentSettings | None = None,
    *,
    write: Write | None = None,
    seed: int = 0,
) -> Augmented:
    """Returns other wordings of training examples; the test is not reworded, and no wording equals one of its prompts.

    Examples that are wordings themselves are not reworded again, and count towards the share. `seed` draws which
    examples are reworded where the share does not allow all, and between forms.

    Raises:
        DataError: a paraphrase is wanted and `write` is missing, or `write` misbehaves.
    """
    settings = settings or AugmentSettings()
    require_writer(settings, write)
    originals = [example for example in train if "synthetic" not in example.columns]
    most = int(len(originals) * settings.max_share / (1 - settings.max_share) + 1e-9) - (len(train) - len(originals))
    each = min(settings.per_example, max(1, -(-most // max(len(originals), 1))))
    taken = _Taken({_key(example) for example in train}, {_key(example) for example in test})
    added: list[Example] = []
    rejected: list[Rejected] = []
    num_without = num_over = 0
    order = sorted(originals, key=lambda example: derive_seed(seed, f"augment {example_id(example)}"))
    for start in range(0, len(order), settings.at_once):
        if len(added) >= most:
            break
        batch = order[start : start + settings.at_once]
        for example, wordings in zip(batch, _wordings(batch, settings, each, write, rejected, seed), strict=True):
            good = _good(example, wordings, taken, rejected)[:each]
            used = good[: most - len(added)]
            num_without += not good
            num_over += len(good) - len(used)
            added += used
            taken.train.update(map(_key, used))
    made = Counter(str(example.columns["synthetic"]) for example in added)
    return Augmented(added, rejected, made, num_without, num_over)


@dataclass(frozen=True, slots=True)
class _Taken:
    """The prompts there are already, as they are compared."""

    train: set[str]
    test: set[str]


def _wordings(
    batch: Sequence[Example],
    settings: AugmentSettings,
    each: int,
    write: Write | None,
    rejected: list[Rejected],
    seed: int,
) -> Iterator[list[tuple[Way, str]]]:
    """Yields for each example its other wordings by way, unchecked."""
    places = [_place(example) for example in batch]
    requests = [
        example.messages[place].content for example, place in zip(batch, places, strict=True) if place is not None
    ]
    texts = iter(())
    if write is not None and "paraphrase" in settings.ways:
        texts = written(write, [_conversation(request, each) for request in requests], settings.at_once)
    for example, place in zip(batch, places, strict=True):
        found: list[tuple[Way, str]] = []
        for way in settings.ways if place is not None else ():
            request, material = _parts(example.messages[place or 0].content)
            if way == "paraphrase":
                said = _paraphrases(next(texts))
                paraphrases: list[tuple[Way, str]] = [("paraphrase", text + material) for text in said]
                if not paraphrases:
                    rejected.append(reject(example, "unreadable", "the model wrote no list of paraphrases for it"))
                found += paraphrases
            else:
                text = reworded(request, way, seed, example_id(example))
                if text:
                    found.append((way, text + material))
        yield found


def _conversation(request: str, num_wordings: int) -> Conversation:
    wanted = (
        f"Write the request below in {num_wordings} other ways, as other people would ask for exactly the same. Do "
        "not answer it. Keep its language, its meaning, and every number, name, quotation, address and piece of code "
        'as they are. Reply with JSON and nothing else: {"paraphrases": ["..."]}'
    )
    return [{"role": "user", "content": f"{wanted}\n\nRequest:\n<<<\n{request}\n>>>"}]


def _paraphrases(answer: str) -> list[str]:
    """The texts in what a model wrote: a list under any key."""
    for value in objects_in(answer):
        for inner in value.values():
            texts = [text.strip() for text in inner if isinstance(text, str)] if isinstance(inner, list) else []
            if any(texts):
                return [text for text in texts if text]
    return []


def _good(example: Example, wordings: list[tuple[Way, str]], taken: _Taken, rejected: list[Rejected]) -> list[Example]:
    good: dict[str, Example] = {}
    for way, text in wordings:
        new = _with_request(example, text, way)
        key = _key(new)
        kind, reason = _fault(example, text)
        if not kind and key in taken.test:
            kind, reason = "in_test", "asks the same as an item of the test"
        elif not kind and (key in taken.train or key in good):
            kind, reason = "duplicate", "asks the same in the same words as another example"
        if kind:
            rejected.append(reject(new, kind, f"is a wording ({way}) that {reason}"))
        else:
            good[key] = new
    return list(good.values())


def _fault(example: Example, text: str) -> tuple[str, str]:
    request = example.messages[_place(example) or 0].content
    lost = lost_part(request, text)
    if lost:
        return "changed", f"loses or adds {lost}"
    low, high = len(request) / LONGEST_RATIO - SHORT, len(request) * LONGEST_RATIO + SHORT
    if not low <= len(text) <= high:
        return "length", f"has {len(text)} characters instead of {len(request)}"
    if bool(_NEGATION.search(request)) != bool(_NEGATION.search(text)):
        return "negation", "says not where the request does not, or the other way round"
    answer = normalised(example.demonstration.content) if example.demonstration else ""
    if answer and f" {answer} " in f" {normalised(text)} " and f" {answer} " not in f" {normalised(request)} ":
        return "answers", "holds the answer"
    return "", ""


def _with_request(example: Example, text: str, way: Way) -> Example:
    place = _place(example) or 0
    messages = [replace(turn, content=text) if n == place else turn for n, turn in enumerate(example.messages)]
    columns = {**example.columns, "synthetic": way, "synthetic_of": example.id or example_id(example)}
    new = replace(example, messages=tuple(messages), columns=columns)
    return replace(new, id=example_id(new))


def _place(example: Example) -> int | None:
    """The place of the last user turn with text, which is what is asked."""
    turns = range(len(example.messages) - 1, -1, -1)
    return next((n for n in turns if example.messages[n].role == "user" and example.messages[n].content.strip()), None)


def _parts(request: str) -> tuple[str, str]:
    """A request's first line that says something, and what stands below."""
    first = re.match(r"\s*[^\n]*\S", request)
    end = first.end() if first else len(request)
    return request[:end], request[end:]


def _key(example: Example) -> str:
    return "\n".join(f"{turn.role} {normalised(turn.content)}" for turn in example.prompt)
