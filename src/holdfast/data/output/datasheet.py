"""The datasheet of a version: the questions of Gebru et al. (2021), answered from what is known.

Gebru, Morgenstern, Vecchione, Wortman Vaughan, Wallach, Daumé III, Crawford: Datasheets for Datasets, Communications
of the ACM 64(12), 2021 (https://arxiv.org/abs/1803.09010). Questions are shortened to their first sentence. What
nobody told is marked as open, never guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.data.output.personal import where_it_stands
from holdfast.data.output.rendering import count, cut, markdown_environment, number_of, plain_markdown, sentence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.data.output.prepared import Outcome, PreparedData
    from holdfast.data.output.version import DataVersion

# Section, then (key of the answer, question); a question without a key can only be answered by people.
_QUESTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "Motivation": (
        ("purpose", "For what purpose was the dataset created?"),
        ("creators", "Who created the dataset and on behalf of which entity?"),
        ("", "Who funded the creation of the dataset?"),
    ),
    "Composition": (
        ("instances", "What do the instances that comprise the dataset represent?"),
        ("sizes", "How many instances are there in total?"),
        ("sample", "Does the dataset contain all possible instances or is it a sample from a larger set?"),
        ("fields", "What data does each instance consist of?"),
        ("labels", "Is there a label or target associated with each instance?"),
        ("missing", "Is any information missing from individual instances?"),
        ("relations", "Are relationships between individual instances made explicit?"),
        ("splits", "Are there recommended data splits?"),
        ("errors", "Are there any errors, sources of noise, or redundancies in the dataset?"),
        ("contained", "Is the dataset self-contained, or does it link to or otherwise rely on external resources?"),
        ("confidential", "Does the dataset contain data that might be considered confidential?"),
        ("", "Does the dataset contain data that might be offensive, insulting, threatening, or cause anxiety?"),
        ("groups", "Does the dataset identify any subpopulations?"),
        ("individuals", "Is it possible to identify individuals, either directly or indirectly?"),
        ("", "Does the dataset contain data that might be considered sensitive in any way?"),
    ),
    "Collection process": (
        ("acquired", "How was the data associated with each instance acquired?"),
        ("", "What mechanisms or procedures were used to collect the data?"),
        ("sampling", "If the dataset is a sample from a larger set, what was the sampling strategy?"),
        ("", "Who was involved in the data collection process and how were they compensated?"),
        ("", "Over what timeframe was the data collected?"),
        ("", "Were any ethical review processes conducted?"),
        ("", "Was the data collected from the individuals directly, or obtained via third parties?"),
        ("", "Were the individuals in question notified about the data collection?"),
        ("", "Did the individuals in question consent to the collection and use of their data?"),
        ("", "Were consenting individuals given a mechanism to revoke their consent?"),
        ("", "Has an analysis of the potential impact of the dataset on data subjects been conducted?"),
    ),
    "Preprocessing, cleaning, labelling": (
        ("steps", "Was any preprocessing, cleaning or labelling of the data done?"),
        ("raw", "Was the raw data saved in addition to the preprocessed, cleaned, labelled data?"),
        ("software", "Is the software that was used available?"),
    ),
    "Uses": (
        ("", "Has the dataset been used for any tasks already?"),
        ("url", "Is there a repository that links to papers or systems that use the dataset?"),
        ("", "What other tasks could the dataset be used for?"),
        ("future", "Is there anything about its composition or preparation that might impact future uses?"),
        ("", "Are there tasks for which the dataset should not be used?"),
    ),
    "Distribution": (
        ("", "Will the dataset be distributed to third parties?"),
        ("form", "How will the dataset be distributed?"),
        ("", "When will the dataset be distributed?"),
        ("license", "Will the dataset be distributed under a licence or terms of use?"),
        ("", "Have any third parties imposed restrictions on the data?"),
        ("", "Do any export controls or other regulatory restrictions apply?"),
    ),
    "Maintenance": (
        ("", "Who will be supporting, hosting or maintaining the dataset?"),
        ("contact", "How can the owner, curator or manager of the dataset be contacted?"),
        ("erratum", "Is there an erratum?"),
        ("updates", "Will the dataset be updated?"),
        ("", "Are there limits on the retention of data about people?"),
        ("older", "Will older versions of the dataset continue to be supported?"),
        ("", "Is there a mechanism for others to extend, augment or build on the dataset?"),
    ),
}
_PERSONAL = ("pii", "secret", "personal", "privacy")
_MISSING = ("empty", "missing")
_GROUPS = ("bias", "representation", "fairness")


def datasheet(data: PreparedData, version: DataVersion) -> str:
    """Returns the datasheet as Markdown."""
    known = _answers(data, version)
    sections = [
        (section, [(question, known.get(key, "")) for key, question in questions])
        for section, questions in _QUESTIONS.items()
    ]
    answers = [answer for _, questions in sections for _, answer in questions]
    return (
        markdown_environment()
        .get_template("datasheet.md")
        .render(
            data=data,
            version=version,
            sections=sections,
            num_open=sum(not answer for answer in answers),
            num_questions=len(answers),
        )
    )


def _answers(data: PreparedData, version: DataVersion) -> dict[str, str]:
    """What is known, by key, as Markdown; everything that was read is escaped."""
    about, counts = data.about, data.counts
    told = {
        "purpose": about.description and plain_markdown(about.description),
        "creators": plain_markdown(", ".join(about.creators)),
        "url": plain_markdown(about.url),
        "license": plain_markdown(about.license),
        "contact": plain_markdown(about.contact),
    }
    made = f" and {count(counts.made)} made" if counts.made else ""
    kept, sources = counts.unchanged + counts.changed, number_of(len(version.sources), "source")
    return {
        **told,
        "instances": "Conversations or texts from which a language model learns the skill "
        f"{plain_markdown(data.name)}; {_languages(data)}.",
        "sizes": _sizes(version),
        "sample": f"{number_of(counts.read, 'row')} read{made} from {sources}, {count(kept)} of them in this version. "
        "Whether the sources hold all possible instances, only people can say.",
        "fields": "Turns with role and text, tools, a label, a document, further columns and the lineage of the row; "
        "the card (README.md) lists the fields.",
        "labels": _labels(version),
        "missing": _said(data, _MISSING),
        "relations": "Answers to one prompt share its wording; nothing else is marked.",
        "splits": f"Yes: {_parts(version)}; drawn with the seed {data.seed}, as the plan (plan.toml) says.",
        "errors": _redundant(data),
        "contained": "Every row is in the files of this version. Its sources are named with their sha256 in "
        "manifest.json and are not needed to use it.",
        "confidential": _said(data, _PERSONAL),
        "groups": _said(data, _GROUPS),
        "individuals": _said(data, _PERSONAL),
        "acquired": _acquired(data, version),
        "sampling": f"No row was left out without a reason: {count(counts.num_rejected)} were rejected, each with its "
        "reason in rejected.jsonl.",
        "steps": _steps(data),
        "raw": "The rows before every change are in changed.jsonl and the rejected ones in rejected.jsonl. "
        f"{where_it_stands(data)} The sources themselves were not changed.",
        "software": f"Yes: Holdfast {plain_markdown(data.holdfast)}. The plan (plan.toml) replays the same decisions.",
        "future": _problems(data),
        "form": "As a folder: Parquet files, a Croissant description and documents, whose sha256 are in manifest.json.",
        "erratum": "None: a version never changes. A correction is a new version, and `holdfast data diff` lists what "
        "differs.",
        "updates": "A version never changes; an update is a new version with a hash of its own.",
        "older": "Earlier versions stay in their own folders until somebody removes them.",
    }


def _acquired(data: PreparedData, version: DataVersion) -> str:
    counts, said = data.counts, list[str]()
    if counts.read:
        num_sources = sum(source.num_rows > 0 for source in version.sources)
        said.append(f"{number_of(counts.read, 'row')} read from {number_of(num_sources, 'source')}.")
    if counts.made:
        said.append(f"{number_of(counts.made, 'row')} made, not read: {plain_markdown(made_by(data))}.")
    return " ".join([*said, "All sources are listed in manifest.json with their sha256."])


def made_by(data: PreparedData) -> str:
    """Returns how rows that were not read were made."""
    writer = data.plan.get("writer")
    model = str(writer.get("model") or "") if isinstance(writer, dict) else ""
    by = f"templates and the model {model}" if model else "templates"
    augment = data.plan.get("augment")
    ways: list[str] = []
    num_documents = data.counts.documents - sum(data.counts.lost_documents.values())
    if num_documents:
        ways.append(f"questions and answers, by {by}, on {number_of(num_documents, 'document')}")
    if isinstance(augment, dict) and augment.get("enabled"):
        ways.append("other wordings of training rows")
    return "; ".join(ways) or "by a template or a model"


def _sizes(version: DataVersion) -> str:
    total = sum(part.num_rows for part in version.parts.values())
    return f"{total:,}: {_parts(version)}."


def _parts(version: DataVersion) -> str:
    return ", ".join(f"{number_of(part.num_rows, 'row')} for {name}" for name, part in version.parts.items())


def _languages(data: PreparedData) -> str:
    codes = data.figures.language_codes()
    return f"their languages are {', '.join(codes[:20])}" if codes else "their languages were not identified"


def _labels(version: DataVersion) -> str:
    labels = {label for part in version.parts.values() for label in part.labels}
    if not labels:
        return "The target is the assistant's turn."
    shown = ", ".join(f"“{plain_markdown(cut(label, 60))}”" for label in sorted(labels)[:30])
    return f"Yes: one of {len(labels)} classes ({shown}{', …' if len(labels) > 30 else ''})."


def _redundant(data: PreparedData) -> str:
    found = ", ".join(f"{num_rows:,} {plain_markdown(kind)}" for kind, num_rows in data.figures.duplicates.items())
    return f"Duplicates that were found: {found}.\n\n{_problems(data)}".strip() if found else _problems(data)


def _steps(data: PreparedData) -> str:
    steps = [f"- {_one(outcome)}" for outcome in data.outcomes if outcome.applied]
    return "\n".join(["Yes:", "", *steps]) if steps else "No remedy was applied."


def _said(data: PreparedData, names: tuple[str, ...]) -> str:
    """The findings of the checks whose name holds one of `names`, those that found nothing too."""
    return _listed(outcome for outcome in data.outcomes if any(name in outcome.finding.check for name in names))


def _problems(data: PreparedData) -> str:
    """All findings from which a model may learn something wrong; "" where no check was made."""
    found = _listed(outcome for outcome in data.outcomes if outcome.finding.level in ("warning", "problem"))
    return found or ("No check found any." if data.outcomes else "")


def _listed(outcomes: Iterable[Outcome]) -> str:
    return "\n".join(f"- {_one(outcome)}" for outcome in outcomes)


def _one(outcome: Outcome) -> str:
    finding = outcome.finding
    remedy = f" Remedy: {plain_markdown(cut(finding.remedy, 400))}" if finding.remedy else ""
    done = f" ({'done' if outcome.applied else 'not done'})." if remedy else ""
    return f"{plain_markdown(sentence(cut(finding.title, 400)))}{remedy}{done}"
