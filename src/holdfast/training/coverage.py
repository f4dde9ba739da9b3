"""What the reminders of a stage cover: kinds found by clustering, skills that they fit, gaps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.types import JSONValue

MAX_CLUSTERS = 12
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
    *,
    drawn: int,
    dropped: Mapping[str, int],
    seed: int = 0,
) -> Coverage:
    """Returns what reminders with these prompt texts cover."""
    own = [index for index, origin in enumerate(origins) if origin == "self"]
    names = sorted({skill for skill in skills if skill})
    duplicates = dropped.get("duplicate", 0) + dropped.get("near duplicate", 0)
    shares, clusters = _shares(texts, own, skills, names), _clusters(texts, seed)
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


def _clusters(texts: Sequence[str], seed: int) -> tuple[Cluster, ...]:
    """Returns kinds of prompts by k-means on hashed TF-IDF, largest first."""
    import numpy as np
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    kinds = min(MAX_CLUSTERS, len(set(texts)) // 4)
    if kinds < 2:
        return ()
    vectorizer = TfidfVectorizer(token_pattern=r"[^\W\d]+|\S", max_features=2000)  # noqa: S106 - words, no password
    matrix = vectorizer.fit_transform(texts)
    model = MiniBatchKMeans(kinds, random_state=seed, n_init="auto", batch_size=1024).fit(matrix)
    names = vectorizer.get_feature_names_out()
    clusters: list[Cluster] = []
    for kind in range(kinds):
        members = np.flatnonzero(model.labels_ == kind)
        if len(members) == 0:
            continue
        top = np.argsort(-np.asarray(model.cluster_centers_)[kind])[:5]
        clusters.append(
            Cluster(len(members), tuple(str(names[t]) for t in top), tuple(texts[int(m)][:200] for m in members[:3]))
        )
    return tuple(sorted(clusters, key=lambda cluster: -cluster.size))


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
