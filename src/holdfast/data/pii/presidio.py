"""Presidio's recognisers behind our kinds: more national forms and, with a spaCy model, names, places, organisations.

Nothing is loaded from the network: without a model named in the settings a blank spaCy pipeline cuts texts into words
and no more, and the list of top-level domains is the one that comes with tldextract.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from holdfast.data.pii.spans import Span, without_overlap
from holdfast.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

KIND_OF = {
    "CREDIT_CARD": "card",
    "DATE_TIME": "date",
    "DE_TAX_ID": "de_tax_id",
    "EMAIL_ADDRESS": "email",
    "ES_NIE": "es_dni",
    "ES_NIF": "es_dni",
    "FI_PERSONAL_IDENTITY_CODE": "fi_hetu",
    "IBAN_CODE": "iban",
    "IN_AADHAAR": "in_aadhaar",
    "IP_ADDRESS": "ip",
    "IT_FISCAL_CODE": "it_codice_fiscale",
    "LOCATION": "place",
    "MAC_ADDRESS": "mac",
    "NRP": "nationality",
    "ORGANIZATION": "organisation",
    "PERSON": "person",
    "PHONE_NUMBER": "phone",
    "PL_PESEL": "pl_pesel",
    "SE_PERSONNUMMER": "se_personnummer",
    "UK_NHS": "uk_nhs",
    "UK_NINO": "uk_nino",
    "URL": "url",
    "US_DRIVER_LICENSE": "driver_licence",
    "US_PASSPORT": "passport",
    "US_SSN": "us_ssn",
}
"""Our kind by Presidio's entity; its others have no kind here and are not asked for."""
LOWER = 0.15
"""Presidio says 0.4 of a telephone number where we say 0.6: its threshold is so much below ours (bench/pii.py)."""


def presidio_finder(
    kinds: Collection[str], min_confidence: float, language: str, spacy_model: str
) -> Callable[[str], list[Span]]:
    """Returns a function from a text to its places as Presidio sees them.

    Raises DataError where Presidio or the named spaCy model is not installed.
    """
    analyzer = _analyzer(language, spacy_model)
    supported = set(analyzer.get_supported_entities(language))
    entities = sorted(entity for entity, kind in KIND_OF.items() if kind in kinds and entity in supported)

    threshold = max(0.0, min_confidence - LOWER)

    def look(text: str) -> list[Span]:
        if not entities:
            return []
        results = analyzer.analyze(text, language=language, entities=entities, score_threshold=threshold)
        return without_overlap(
            Span(r.start, r.end, KIND_OF[r.entity_type], text[r.start : r.end], float(r.score)) for r in results
        )

    return look


@lru_cache(maxsize=4)
def _analyzer(language: str, spacy_model: str) -> Any:  # noqa: ANN401 - an AnalyzerEngine, imported only here
    try:
        import spacy
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import SpacyNlpEngine
    except ImportError:
        raise DataError(
            "engine = presidio needs presidio-analyzer, which is not installed. "
            "Install it with: pip install 'holdfast[data]'",
            param="engine",
        ) from None
    try:
        pipeline = spacy.load(spacy_model) if spacy_model else spacy.blank(language)
    except (OSError, ImportError) as error:
        raise DataError(
            f"spacy_model: {spacy_model or language!r} cannot be loaded ({type(error).__name__}). Install the model "
            "(python -m spacy download NAME) or give its folder, or leave the setting out.",
            param="spacy_model",
        ) from None
    engine = SpacyNlpEngine(models=[{"lang_code": language, "model_name": spacy_model or "blank"}])
    engine.nlp = {language: pipeline}
    registry = RecognizerRegistry(supported_languages=[language])
    registry.load_predefined_recognizers(languages=[language], nlp_engine=engine)
    registry.remove_recognizer("EmailRecognizer")
    registry.add_recognizer(_offline_email(language))
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language])


def _offline_email(language: str) -> Any:  # noqa: ANN401 - an EmailRecognizer, imported only here
    """Returns Presidio's recogniser of e-mails without its look at the network for new top-level domains."""
    import tldextract
    from presidio_analyzer.predefined_recognizers import EmailRecognizer

    extract = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())

    class OfflineEmailRecognizer(EmailRecognizer):
        def validate_result(self, pattern_text: str) -> bool:
            return extract(pattern_text).fqdn != ""

    return OfflineEmailRecognizer(supported_language=language)
