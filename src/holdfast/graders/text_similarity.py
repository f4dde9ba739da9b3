"""Text similarity: OpenAI's `text_similarity` grader; every metric is a library's.

Choices made here. `fuzzy_match` is RapidFuzz's WRatio over 100. BLEU is NLTK's sentence BLEU of n-grams up to
4, or up to what the shorter text has, with its smoothing 4; GLEU is NLTK's sentence GLEU; METEOR is NLTK's, with the
Porter stemmer and no synonyms (its WordNet is a download); all three compare lower-cased words. ROUGE is
rouge-score's F1 with stemming. `cosine` asks an embedding model behind any OpenAI-compatible address; which one is
named, never guessed, and what is less than 0 is 0.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from holdfast.errors import GraderError
from holdfast.graders.embedding import cosines
from holdfast.graders.library import library
from holdfast.graders.parametrised import Grader
from holdfast.graders.reference import outcome_of, shown
from holdfast.graders.server import ready
from holdfast.graders.template import View

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from holdfast.types import Completion, Example, Score

_WORD = re.compile(r"\w+|[^\w\s]")
MAX_TEXT = 20_000
"""Characters compared: the metrics are quadratic in them."""


class TextSimilarity(Grader, frozen=True):
    """The similarity of two texts, from 0 to 1; `cosine` is that of their embeddings, by `embedding_model`."""

    needs: ClassVar[str] = "graders"

    type: Literal["text_similarity"] = "text_similarity"
    input: str = "{{ sample.output_text }}"
    reference: str = "{{ item.reference }}"
    evaluation_metric: Literal[
        "fuzzy_match",
        "bleu",
        "gleu",
        "meteor",
        "rouge_1",
        "rouge_2",
        "rouge_3",
        "rouge_4",
        "rouge_5",
        "rouge_l",
        "cosine",
    ]
    pass_threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    embedding_model: str = ""
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    seconds: float = Field(default=120.0, gt=0)

    @model_validator(mode="after")
    def _a_model_for_cosine_only(self) -> Self:
        if self.evaluation_metric == "cosine" and not self.embedding_model:
            raise ValueError(
                "cosine compares embeddings, and no model for them is named: give embedding_model, and the base_url of "
                "a server that has it; or take fuzzy_match or rouge_l, which need none"
            )
        unread = self.model_fields_set & {"embedding_model", "base_url", "api_key_env", "seconds"}
        if self.evaluation_metric != "cosine" and unread:
            raise ValueError(
                f"only cosine asks a model, so {', '.join(sorted(unread))} has no effect: leave it out, or take cosine"
            )
        return self

    def ready(self) -> list[str]:
        """Returns where texts are sent to be embedded, if they are."""
        if self.evaluation_metric != "cosine":
            return []
        return ready(self.embedding_model, self.base_url, self.api_key_env, self.seconds)

    def many(self, answers: Sequence[tuple[Completion, Example]]) -> list[Score]:
        """Judges several answers; their embeddings are asked for together."""
        if self.evaluation_metric != "cosine":
            return super().many(answers)
        pairs: dict[int, tuple[str, str]] = {}
        scores: dict[int, Score] = {}
        for place, (completion, example) in enumerate(answers):
            view = View(completion, example)
            try:
                pairs[place] = view.text(self.input)[:MAX_TEXT], view.text(self.reference)[:MAX_TEXT]
            except GraderError as error:
                scores[place] = outcome_of(error)
        found = cosines(
            list(pairs.values()),
            model=self.embedding_model,
            base_url=self.base_url,
            api_key_env=self.api_key_env,
            seconds=self.seconds,
        )
        for (place, pair), value in zip(pairs.items(), found, strict=True):
            if isinstance(value, GraderError):
                scores[place] = outcome_of(value)
            else:
                scores[place] = self._said(value, *pair)
        return [scores[place] for place in range(len(answers))]

    def judge(self, completion: Completion, example: Example, view: View) -> Score:
        """Judges one answer."""
        if self.evaluation_metric == "cosine":
            return self.many([(completion, example)])[0]
        found, reference = view.text(self.input)[:MAX_TEXT], view.text(self.reference)[:MAX_TEXT]
        return self._said(metric(self.evaluation_metric)(found, reference), found, reference)

    def _said(self, value: float, found: str, reference: str) -> Score:
        value = min(1.0, max(0.0, value))
        return self.scored(value, f"{self.evaluation_metric} {value:.3f} of {shown(found)} and {shown(reference)}")


def metric(name: str) -> Callable[[str, str], float]:
    """Returns the function (answer, reference) -> similarity in [0, 1] that `name` stands for."""
    if name == "fuzzy_match":
        ratio = library("rapidfuzz.fuzz", "rapidfuzz").WRatio
        return lambda found, reference: ratio(found, reference) / 100
    if name.startswith("rouge"):
        kind = name.replace("_l", "L").replace("_", "")
        scorer = library("rouge_score.rouge_scorer", "rouge-score").RougeScorer([kind], use_stemmer=True)
        return lambda found, reference: scorer.score(reference, found)[kind].fmeasure
    if name == "bleu":
        return _bleu
    if name == "gleu":
        gleu = library("nltk.translate.gleu_score", "nltk").sentence_gleu
        return lambda found, reference: gleu([_words(reference)], _words(found))
    meteor = library("nltk.translate.meteor_score", "nltk").single_meteor_score
    return lambda found, reference: meteor(_words(reference), _words(found), wordnet=_NoSynonyms())


def _bleu(found: str, reference: str) -> float:
    bleu = library("nltk.translate.bleu_score", "nltk")
    answer, wanted = _words(found), _words(reference)
    longest = min(4, len(answer), len(wanted))
    if longest == 0:
        return 0.0
    smooth = bleu.SmoothingFunction().method4
    return bleu.sentence_bleu([wanted], answer, weights=[1 / longest] * longest, smoothing_function=smooth)


class _NoSynonyms:
    """Stands where METEOR would ask WordNet."""

    def synsets(self, word: str) -> list[object]:
        """Returns no synonyms of `word`."""
        del word
        return []


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
