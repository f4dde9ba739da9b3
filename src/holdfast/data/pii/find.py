"""Personal data and secrets of a text, found by the recognisers of this package: no model, no network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from holdfast.data.pii import addresses, contacts, dates, indirect, national_ids, payment, people, secrets
from holdfast.data.pii.spans import Recogniser, Span, without_overlap

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

_DIGIT = re.compile(r"\d")
_TABLE: tuple[Recogniser, ...] = (
    *addresses.RECOGNISERS,
    *contacts.RECOGNISERS,
    *payment.RECOGNISERS,
    *national_ids.RECOGNISERS,
    *secrets.RECOGNISERS,
    *dates.RECOGNISERS,
    *indirect.RECOGNISERS,
)
_FUNCTIONS: dict[str, tuple[Callable[[str], Iterable[Span]], ...]] = {
    "private_key": (secrets.private_keys,),
    "password": (secrets.assigned,),
}


def find(
    text: str, *, kinds: Collection[str], min_confidence: float = 0.5, languages: Sequence[str] = people.ALL_LANGUAGES
) -> list[Span]:
    """Returns the places of `kinds` (as `kinds.expand` gives them) in reading order; no two overlap.

    A place counts from `min_confidence` on; where two overlap the surer one stays. `languages` are those whose
    titles, introductions and greetings tell names of persons.

    >>> [(span.kind, span.text) for span in find("Write to ann@example.org", kinds={"email"})]
    [('email', 'ann@example.org')]
    """
    return without_overlap(span for span in _candidates(text, kinds, languages) if span.confidence >= min_confidence)


def _candidates(text: str, kinds: Collection[str], languages: Sequence[str]) -> Iterator[Span]:
    num_digits = len(_DIGIT.findall(text))
    for recogniser in _TABLE:
        if recogniser.kind in kinds and recogniser.digits <= num_digits and recogniser.needs in text:
            yield from recogniser.spans(text)
    for kind, functions in _FUNCTIONS.items():
        if kind in kinds:
            for function in functions:
                yield from function(text)
    if "person" in kinds:
        yield from people.persons(text, languages)
