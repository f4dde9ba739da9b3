"""What the reminders of a stage cover: kinds found by clustering, skills that they fit, gaps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.types import JSONValue

MAX_KINDS = 24
MIN_SHARE = 0.02
"""Below this share of self-written prompts a registered skill counts as not covered by them."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One kind of reminder: its size, the words that mark it, and a few of its prompts."""

    size: int
    words: tuple[str, ...]
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the reminders of a stage cover, for people and for the run's report.

    `skill_shares` is the share of self-written prompts that lie nearest to each registered skill.
    """

    num_reminders: int
    by_source: dict[str, int]
    drawn: int
    dropped: dict[str, int]
    unique_share: float
    mean_words: float
    clusters: tuple[Cluster, ...] = ()
    skill_shares: dict[str, float] = field(default_factory=dict[str, float])
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: Mapping[str, JSONValue]) -> Coverage:
        """Returns the coverage whose fields were turned into plain data."""
        values = dict(data)
        clusters = cast("Sequence[dict[str, JSONValue]]", values.pop("clusters"))
        warnings = cast("Sequence[str]", values.pop("warnings"))
        read = tuple(
            Cluster(
                cast("int", cluster["size"]),
                tuple(cast("Sequence[str]", cluster["words"])),
                tuple(cast("Sequence[str]", cluster["examples"])),
            )
            for cluster in clusters
        )
        return cls(clusters=read, warnings=tuple(warnings), **cast("dict[str, int]", values))  # pyright: ignore[reportArgumentType]


def cover(
    texts: Sequence[str],
    origins: Sequence[str],
    skills: Sequence[str],
    kinds: Kinds,
    *,
    drawn: int,
    dropped: Mapping[str, int],
) -> Coverage:
    """Returns what reminders with these prompt texts cover."""
    own = [index for index, origin in enumerate(origins) if origin == "self"]
    names = sorted({skill for skill in skills if skill})
    duplicates = dropped.get("duplicate", 0) + dropped.get("near duplicate", 0)
    shares, clusters = _shares(texts, own, skills, names), _clusters(texts, kinds)
    warnings = [
        f"only {shares[name]:.1%} of the self-written prompts are near the skill {name!r}; "
        "its registered prompts are what protects it"
        for name in names
        if own and shares[name] < MIN_SHARE
    ]
    if drawn and len(own) < 0.5 * drawn:
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(dropped.items()))
        warnings.append(f"more than half of the {drawn} self-written prompts were dropped ({reasons})")
    return Coverage(
        num_reminders=len(texts),
        by_source=dict(Counter(f"{o}:{s}" if s else o for o, s in zip(origins, skills, strict=True))),
        drawn=drawn,
        dropped=dict(dropped),
        unique_share=1 - duplicates / drawn if drawn else 1.0,
        mean_words=sum(len(text.split()) for text in texts) / max(len(texts), 1),
        clusters=clusters,
        skill_shares=shares,
        warnings=tuple(warnings),
    )


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kind of each prompt, and the words that mark each kind."""

    labels: tuple[int, ...]
    words: tuple[tuple[str, ...], ...]


def find_kinds(texts: Sequence[str], *, seed: int = 0) -> Kinds:
    """Returns kinds of prompts by k-means on TF-IDF of their words and signs; one kind where there are few prompts."""
    import numpy as np
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    count = min(MAX_KINDS, len(set(texts)) // 4)
    if count < 2:
        return Kinds((0,) * len(texts), ((),))
    vectorizer = TfidfVectorizer(token_pattern=r"[^\W\d]+|\S", max_features=2000)  # noqa: S106 - words, no password
    matrix = vectorizer.fit_transform(texts)
    model = MiniBatchKMeans(count, random_state=seed, n_init="auto", batch_size=1024).fit(matrix)
    names = vectorizer.get_feature_names_out()
    tops = cast("list[list[int]]", np.argsort(-np.asarray(model.cluster_centers_), axis=1)[:, :5].tolist())
    labels = cast("list[int]", np.asarray(model.labels_).tolist())
    return Kinds(tuple(labels), tuple(tuple(str(names[t]) for t in top) for top in tops))


def _clusters(texts: Sequence[str], kinds: Kinds) -> tuple[Cluster, ...]:
    """Returns what each kind holds, largest first; none where everything is of one kind."""
    members: dict[int, list[str]] = {}
    for text, kind in zip(texts, kinds.labels, strict=True):
        members.setdefault(kind, []).append(text)
    if len(kinds.words) < 2:
        return ()
    found = [
        Cluster(len(held), kinds.words[kind], tuple(text[:200] for text in held[:3])) for kind, held in members.items()
    ]
    return tuple(sorted(found, key=lambda cluster: -cluster.size))


def _shares(texts: Sequence[str], own: Sequence[int], skills: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Returns for each skill the share of self-written prompts as near to it as its own prompts are to each other."""
    if not own or not names:
        return dict.fromkeys(names, 0.0)
    import numpy as np
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(n_features=2**14, token_pattern=r"[^\W\d]+|\S", ngram_range=(1, 2))  # noqa: S106
    matrix = csr_matrix(vectorizer.transform(texts))
    mine = matrix[np.asarray(own)]
    shares: dict[str, float] = {}
    for name in names:
        theirs = matrix[np.asarray([index for index, skill in enumerate(skills) if skill == name][:300])]
        inside = np.asarray((theirs @ theirs.T).toarray())
        np.fill_diagonal(inside, 0.0)
        nearest = np.asarray((mine @ theirs.T).max(axis=1).toarray()).ravel()
        shares[name] = float((nearest >= np.quantile(inside.max(axis=1), 0.1)).mean()) if len(inside) > 1 else 0.0
    return shares
