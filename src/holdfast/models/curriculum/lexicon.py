"""The closed and open word lists that the generated curriculum draws from.

Closed lists are fixed here; open words are pseudo-words built from syllables, so that an
answer seen in context must be copied and cannot be guessed. `fold` decides, by a stable
hash of an item's key, whether the item belongs to training or to the held-out set.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

NAMES = (
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
    "leo",
    "anna",
    "carl",
    "ella",
    "igor",
    "faye",
    "gus",
    "hana",
    "ida",
    "jack",
    "kim",
    "liam",
    "mona",
    "noel",
    "olga",
    "pete",
)
CITIES = (
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
    "turin",
    "porto",
    "genoa",
    "basel",
    "malmo",
    "bergen",
    "lyon",
    "nice",
    "cork",
    "leeds",
)
THINGS = (
    "lamp",
    "chair",
    "book",
    "clock",
    "drum",
    "kite",
    "rope",
    "stone",
    "shell",
    "coin",
    "mask",
    "ring",
    "boat",
    "cart",
    "bell",
    "flag",
    "jar",
    "mirror",
    "basket",
    "candle",
    "hammer",
    "ladder",
    "needle",
    "pillow",
    "bottle",
    "blanket",
)
COLORS = ("red", "blue", "green", "gold", "black", "white", "pink", "gray", "brown", "violet")
JOBS = ("baker", "pilot", "nurse", "judge", "farmer", "singer", "tailor", "miner", "painter", "guard", "sailor", "cook")
FOODS = ("bread", "soup", "rice", "fish", "corn", "beans", "plums", "cheese", "honey", "nuts", "pears", "cake")
ANIMALS = ("cat", "dog", "horse", "goat", "fox", "owl", "hen", "duck", "crow", "seal", "bear", "wolf")

ONSETS = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z"]
VOWELS = ["a", "e", "i", "o", "u"]
SYLLABLES = tuple(onset + vowel for onset in ONSETS for vowel in VOWELS)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def pseudo_word(rng: random.Random, num_syllables: int | None = None) -> str:
    """Returns a made-up word of two or three syllables; the pool is far larger than any run."""
    count = num_syllables or rng.choice((2, 2, 3))
    return "".join(rng.choice(SYLLABLES) for _ in range(count))


def distinct(rng: random.Random, pool: Sequence[str], count: int) -> list[str]:
    """Returns `count` different entries of `pool` in random order."""
    return rng.sample(list(pool), count)


def some_word(rng: random.Random) -> str:
    """Returns a word from a closed list or a pseudo-word, about half and half."""
    if rng.random() < 0.5:
        return pseudo_word(rng)
    return rng.choice(rng.choice((NAMES, CITIES, THINGS, COLORS, JOBS, FOODS, ANIMALS)))


def fold(key: str) -> str:
    """Returns "test" for one tenth of all keys and "train" for the rest; the same on every machine."""
    digest = hashlib.sha256(key.encode()).digest()
    return "test" if digest[0] % 10 == 0 else "train"
