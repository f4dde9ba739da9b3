"""The parts of a text that another wording of it must keep: code, addresses, placeholders, quotations, numbers, names.

Names are words with a capital that no sentence begins with, words all in capitals, and words that mix letters with
digits, underscores or inner capitals. That finds names in scripts with capitals only; German nouns count as names.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from holdfast.data.making.wording import numbers

if TYPE_CHECKING:
    from collections.abc import Callable

_VERBATIM = re.compile(
    r"```.*?(?:```|\Z)"  # blocks of code
    r"|`[^`\n]+`"
    r"|(?:https?://|www\.)[^\s<>\"]*[^\s<>\".,;:!?)\]}]"
    r"|[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"
    r"|\{\{[^{}]*\}\}|\{[\w.]+\}|<[^\s<>][^<>\n]{0,60}>|\[[A-Z][A-Z0-9_]*\]|\$\{?\w+\}?|%[sd]"  # placeholders
    r"|(?<!\w)(?:/|\./|~/)[\w.-]+(?:/[\w.-]+)*|\b[A-Za-z]:\\[^\s]+"  # paths
    r"|(?<!\w)[@#]\w+"
    r'|"[^"\n]{1,200}"|\u201c[^\u201d\n]{1,200}\u201d|\u00ab[^\u00bb\n]{1,200}\u00bb',
    re.DOTALL,
)
_WORD = re.compile(r"[^\W_][\w'\u2019-]*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:;\n\u2026\u201c\"(\[*-])[\s\"'\u201c(*-]*$")
_ORDINARY = frozenset(["I", "I'm", "I'd", "I'll", "I've", "OK", "PLEASE"])


def verbatim_parts(text: str) -> Counter[str]:
    """Returns code, addresses, placeholders, paths, handles and quotations, and how often each stands in a text.

    >>> dict(verbatim_parts('Run `ls`, see https://a.b/c. Say "hi".'))
    {'`ls`': 1, 'https://a.b/c': 1, '"hi"': 1}
    """
    return Counter(found.group() for found in _VERBATIM.finditer(text))


def names(text: str) -> Counter[str]:
    """Returns the words of a text that are names, with how often each stands there.

    >>> dict(names("Ask Anna Li about iOS 17 and NATO. Please do."))
    {'Anna': 1, 'Li': 1, 'iOS': 1, 'NATO': 1}
    """
    text = _VERBATIM.sub(lambda found: " " * len(found.group()), text)
    found: Counter[str] = Counter()
    for match in _WORD.finditer(text):
        word = match.group().removesuffix("'s").removesuffix("\u2019s")
        if word.isdigit() or word.replace("\u2019", "'") in _ORDINARY:
            continue
        mixed = any(sign.isupper() or sign == "_" for sign in word[1:]) or (
            any(map(str.isdigit, word)) and any(map(str.isalpha, word))
        )
        before = text[max(0, match.start() - 12) : match.start()]
        if (mixed and len(word) > 1) or (word[0].isupper() and not _SENTENCE_START.search(before)):
            found[word] += 1
    return found


def lost_part(original: str, other: str) -> str:
    """Returns what of `original` another wording has lost or what it has made up, or "" where all is kept.

    Code, addresses and so on must stand there as often as before, names at least once each; its numbers must be the
    same ones, counted by value.

    >>> lost_part("Pay 20 euros to Anna.", "Please pay Anna 20 euros."), lost_part("Pay 20 euros.", "Pay 21 euros.")
    ('', 'the number 20')
    """
    before, after = verbatim_parts(original), verbatim_parts(other)
    if before != after:
        return f"{next(iter((before - after) | (after - before)))[:60]}"
    plain = _VERBATIM.sub(" ", other)
    had, has = numbers(_VERBATIM.sub(" ", original), words=False), numbers(plain, words=False)
    if had != has:
        return f"the number {next(iter((had - has) | (has - had)))}"
    said = {word.casefold() for word in _WORD.findall(plain.replace("\u2019s", "").replace("'s", ""))}
    missing = [name for name in names(original) if name.casefold() not in said]
    return f"the name {missing[0]}" if missing else ""


def outside_fixed(text: str, change: Callable[[str], str]) -> str:
    """Returns `text` with `change` made to the stretches between its verbatim parts.

    >>> outside_fixed("do not `do not`", lambda part: part.replace("do not", "don't"))
    "don't `do not`"
    """
    pieces: list[str] = []
    end = 0
    for found in _VERBATIM.finditer(text):
        pieces += [change(text[end : found.start()]), found.group()]
        end = found.end()
    return "".join([*pieces, change(text[end:])])
