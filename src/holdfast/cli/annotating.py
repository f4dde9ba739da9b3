"""Commands for labels from people: data annotate writes blind sheets, data collect reads them back."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from holdfast.cli import door
from holdfast.cli.data import SourcesArgument
from holdfast.cli.options import ColumnOption, JsonOption, columns_of
from holdfast.cli.tables import screen

if TYPE_CHECKING:
    from rich.console import Console

    from holdfast.data.making.agreement import Agreement
    from holdfast.data.making.sheets import SheetSettings
    from holdfast.jobs.annotating import Annotated as Written
    from holdfast.jobs.annotating import Collected

_SHOWN_COMMENTS = 20


def annotate(
    sources: SourcesArgument,
    *,
    to: Annotated[Path, typer.Option("--to", help="A new folder for the sheets.", show_default=False)],
    labels: Annotated[
        str,
        typer.Option(
            "--labels", metavar="A,B,...", help='What to choose from; "a, b",c has a comma in one.', show_default=False
        ),
    ],
    annotators: Annotated[int, typer.Option("--annotators", help="How many people annotate; at least two.")] = 3,
    overlap: Annotated[
        int | None,
        typer.Option("--overlap", help="How many of them see each row; a majority needs three.", show_default="all"),
    ] = None,
    format: Annotated[str, typer.Option("--format", help="csv for spreadsheets, jsonl for programs.")] = "csv",
    seed: Annotated[int, typer.Option("--seed", help="Draws who sees what, and the order of each sheet.")] = 0,
    column: ColumnOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write blind annotation sheets, one for each annotator, of rows that need no label or answer.

    A sheet shows neither labels nor anyone else's answers. The rows lie in the folder too, so `data collect` needs
    nothing else; rows that cannot be read are in its rejected.jsonl with the reason.

    Example: holdfast data annotate tickets.csv --to sheets --labels refund,complaint,other
    """
    from holdfast.jobs.annotating import annotate as run_annotate

    settings = _settings(labels=_labels(labels), annotators=annotators, overlap=overlap, format=format, seed=seed)
    found = run_annotate(sources, to, settings, columns=columns_of(column))
    if as_json:
        door.put_json(found.to_json())
    else:
        _show_written(found)


def collect(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="What `data annotate` wrote, filled in.", show_default=False)
    ],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where the labelled rows go.", show_default="gold.jsonl in FOLDER")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Read filled-in sheets: how far the annotators agree, every line that is not used, and the labelled rows.

    A row gets the label that more than half of at least two annotators gave. Disputed rows are listed in FOLDER's
    adjudication file; fill it in and collect again. Rows without a label are in undecided.jsonl with the reason.

    Example: holdfast data collect sheets --out gold.jsonl
    """
    from holdfast.jobs.annotating import collect as run_collect

    found = run_collect(folder, out=out)
    if as_json:
        door.put_json(found.to_json())
    else:
        _show_collected(found)


def _labels(text: str) -> tuple[str, ...]:
    from holdfast.errors import ConfigError

    try:
        cells = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise ConfigError(
            f"--labels {text}: cannot be read ({error}). Write them as refund,complaint,other.", param="labels"
        ) from None
    labels = tuple(cell.strip() for cell in cells)
    if len(labels) < 2:
        raise ConfigError(
            f"--labels {text}: there must be two labels at least. Write them as refund,complaint,other.", param="labels"
        )
    return labels


def _settings(**values: object) -> SheetSettings:
    from pydantic import ValidationError

    from holdfast.data.making.sheets import SheetSettings
    from holdfast.settings import explain

    try:
        return SheetSettings.model_validate(values)
    except ValidationError as error:
        raise explain(error, SheetSettings, "data annotate") from None


def _show_written(found: Written) -> None:
    """Writes which files there are and what to do with them."""
    out = screen()
    for note in found.notes:
        out.print(note, markup=False, soft_wrap=True)
    alike = f", of which {found.num_rows - found.num_items:,} look like another" if _has_alike(found) else ""
    out.print(f"{found.num_rows:,} rows{alike}; labels: {', '.join(found.labels)}", markup=False, soft_wrap=True)
    for name, num_items in found.sheets.items():
        out.print(f"  {found.folder / name}: {num_items:,} items", markup=False, soft_wrap=True)
    if found.num_rejected:
        place = found.folder / "rejected.jsonl"
        out.print(f"{found.num_rejected:,} rows cannot be used; why: {place}", markup=False, soft_wrap=True)
    out.print(
        "Next: give each annotator one file and a description of every label. They fill in the column label, and do "
        "not talk about items before all are done. Put the files back under the same names, then:",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    out.print(f"  holdfast data collect {found.folder}", markup=False, soft_wrap=True)


def _has_alike(found: Written) -> bool:
    return found.num_items < found.num_rows


def _show_collected(found: Collected) -> None:
    """Writes agreement, what is not used, what became of the rows, and what to do next."""
    out = screen()
    _show_agreement(out, found.agreement)
    for row in found.not_used:
        out.print(Text.assemble(("not used: ", "yellow"), f"{row.source}:{row.line}: {row.reason}"), soft_wrap=True)
    if found.num_blank:
        out.print(f"{found.num_blank:,} lines of sheets have no label yet.")
    for sentence in found.words:
        out.print(sentence, markup=False, soft_wrap=True)
    for item, who, comment in found.comments[:_SHOWN_COMMENTS]:
        out.print(f"comment of {who} on {item}: {comment}", markup=False, soft_wrap=True)
    if len(found.comments) > _SHOWN_COMMENTS:
        out.print(f"and {len(found.comments) - _SHOWN_COMMENTS} more comments, all of them with --json")
    by = ", ".join(f"{count:,} by {name}" for name, count in found.decided_by.items())
    out.print(
        f"{found.num_rows:,} rows = {found.num_labelled:,} with a label{f' ({by})' if by else ''} + "
        f"{found.num_undecided:,} undecided", markup=False, soft_wrap=True,
    )  # fmt: skip
    if found.labels:
        shares = ", ".join(f"{label} {count:,}" for label, count in found.labels.items())
        out.print(f"  {found.out}: {shares}", markup=False, soft_wrap=True)
    if found.num_undecided:
        out.print(f"  {found.folder / 'undecided.jsonl'}: the others, with the reason", markup=False, soft_wrap=True)
    _show_next(out, found)


def _show_agreement(out: Console, found: Agreement) -> None:
    if found.alpha is not None:
        interval = "" if found.low is None else f", 95 % interval {found.low:.2f} to {found.high:.2f}"
        out.print(
            f"Krippendorff's alpha {found.alpha:.2f}{interval}, on {found.num_paired:,} items with two answers or more."
        )
    if found.labels:
        table = Table("label", "another gives it too, %")
        for label, share in found.labels.items():
            table.add_row(Text(label), f"{100 * share:.1f}")
        out.print(table)
    table = Table("annotator", "answers", "agrees with others, %", "alpha without")
    for name, one in found.annotators.items():
        share = "-" if one.agreement is None else f"{100 * one.agreement:.1f}"
        without = "-" if one.alpha_without is None else f"{one.alpha_without:.2f}"
        table.add_row(Text(name), f"{one.num_answers:,}", share, without)
    if found.annotators:
        out.print(table)


def _show_next(out: Console, found: Collected) -> None:
    if found.num_disputed and found.adjudication is not None:
        out.print(
            f"{found.num_disputed:,} rows are disputed. Let somebody fill in the column label of {found.adjudication}, "
            f"then again: holdfast data collect {found.folder}", markup=False, soft_wrap=True,
        )  # fmt: skip
    if found.num_labelled:
        out.print(f"Teach them: holdfast prepare {found.out} --skill NAME", markup=False, soft_wrap=True)
    else:
        out.print("No row has a label yet. Fill in the sheets and collect again.")
