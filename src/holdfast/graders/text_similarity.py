"""Text similarity: OpenAI's `text_similarity` grader; every metric is a library's.

Choices made here. `fuzzy_match` is RapidFuzz's WRatio over 100. BLEU is NLTK's sentence BLEU of n-grams up to
4, or up to what the shorter text has, with its smoothing 4; GLEU is NLTK's sentence GLEU; METEOR is NLTK's, with the
Porter stemmer and no synonyms (its WordNet is a download); all three compare lower-cased words. ROUGE is
rouge-score's F1 with stemming. `cosine` needs an embedding model, and is not offered yet.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from holdfast.graders.library import library
from holdfast.graders.parametrised import Grader
from holdfast.graders.reference import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.graders.template import View
    from holdfast.types import Completion, Example, Score

_WORD = re.compile(r"\w+|[^\w\s]")
MAX_TEXT = 20_000
"""Characters compared: the metrics are quadratic in them."""


class TextSimilarity(Grader, frozen=True):
    """The similarity of two texts, from 0 to 1."""

    needs: ClassVar[str] = "graders"

    type: Literal["text_similarity"] = "text_similarity"
    input: str = "{{ sample.output_text }}"
    reference: str = "{{ item.reference }}"
    evaluation_metric: Literal[
        "fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"
    ]
    pass_threshold: float = Field(default=0.5, ge=0.0, le=1.0)

    def judge(self, completion: Completion, example: Example, view: View) -> Score:
        """Judges one answer."""
        found, reference = view.text(self.input)[:MAX_TEXT], view.text(self.reference)[:MAX_TEXT]
        value = min(1.0, max(0.0, metric(self.evaluation_metric)(found, reference)))
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
