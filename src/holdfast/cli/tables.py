"""What people see: tables, trees and marked texts. Every function writes on stdout."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

if TYPE_CHECKING:
    from holdfast.jobs.doctor import Diagnosis
    from holdfast.jobs.evaluate import Evaluated
    from holdfast.jobs.overview import Matrix, Node
    from holdfast.jobs.render import Rendering

OPEN, CLOSE = "⟦", "⟧"
"""Stand around the trained part, so that it shows without colours too."""
LONGEST = 6000
"""Characters of one piece of text that are shown; the middle of a longer one is left out, and said to be."""


def screen(*, stderr: bool = False) -> Console:
    """Returns a console on stdout; in a pipe it is wide, so that programs find one record on one line."""
    console = Console(highlight=False, emoji=False, stderr=stderr)
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(highlight=False, emoji=False, width=200, stderr=stderr)


def percent(value: float | None) -> str:
    """Returns an accuracy as people read it.

    >>> percent(0.9833), percent(None)
    ('98.3', '·')
    """
    return "·" if value is None else f"{100 * value:.1f}"


def show_rendered(found: Rendering) -> None:
    """Writes rendered examples with the trained part marked, then every rejected row."""
    console = screen()
    console.print(f"{found.source}: {found.num_examples} examples, format {found.format}, rendered for {found.model}.")
    for note in found.notes:
        console.print(note, markup=False)
    console.print(
        f"{OPEN}…{CLOSE} and green: the model is trained to write this. The rest it only reads.", markup=False
    )
    for one in found.shown:
        title = f"── {one.source} · {one.num_tokens} tokens"
        console.print(
            Text(title + (f" · rejected: {one.problem}" if one.problem else ""), style="bold"), soft_wrap=True
        )
        text = Text()
        for piece, trained in one.pieces:
            seen = without_middle(piece)
            text.append(f"{OPEN}{seen}{CLOSE}" if trained else seen, style="green" if trained else "dim")
        console.print(text, soft_wrap=True)
        if one.teacher is not None:
            console.print(Text("the teacher reads:", style="bold"))
            console.print(Text(without_middle(one.teacher), style="dim"), soft_wrap=True)
        if one.rejected is not None:
            console.print(Text("rather than:", style="bold"))
            console.print(Text(without_middle(one.rejected), style="red"), soft_wrap=True)
    if found.rejected:
        console.print(Text(f"{len(found.rejected)} rows would be rejected:", style="bold yellow"))
    for row in found.rejected:
        console.print(f"  {row.source}:{row.line}: {row.reason}", markup=False, soft_wrap=True)


def without_middle(text: str) -> str:
    """Returns a text that a person can look through; `--json` has the whole.

    >>> without_middle("x" * 7000).count("x")
    6000
    """
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} [… {len(text) - LONGEST:,} characters …] {text[-half:]}"


def show_matrix(found: Matrix) -> None:
    """Writes the accuracy matrix: versions down, skills across, in percent."""
    console = screen()
    if not found.skills:
        console.print("No skill yet. Teach one: holdfast learn DATA --skill NAME", markup=False)
        return
    table = Table(title="accuracy on held-out tests, %", title_justify="left")
    table.add_column("version")
    for name in found.skills:
        table.add_column(f"{name}\n({found.num_items[name]} items)", justify="right")
    for row in found.rows:
        mark = "→ " if row.current else "  "
        style = "bold" if row.current else "dim" if row.status == "refused" else None
        status = "" if row.status == "accepted" else f" ({row.status})"
        table.add_row(
            f"{mark}{row.version}{status}", *(percent(row.scores.get(name)) for name in found.skills), style=style
        )
    console.print(table)
    for sentence in found.words:
        console.print(sentence, markup=False, soft_wrap=True)


def show_versions(nodes: list[Node]) -> None:
    """Writes the tree of versions; → marks the current one."""
    console = screen()
    tree = Tree("versions", hide_root=True)
    branches: dict[str | None, Tree] = {}
    for node in nodes:
        mark = "→ " if node.current else ""
        what = node.skill or f"base {node.base}"
        scores = ", ".join(f"{name} {percent(value)}" for name, value in node.scores.items())
        words = f"{mark}{node.id}  {what}  {node.status}" + (f"  [{scores}]" if scores else "")
        style = "bold green" if node.current else "dim" if node.status == "refused" else ""
        branches[node.id] = branches.get(node.parent, tree).add(Text(words, style=style))
    console.print(tree)
    if any(node.current for node in nodes):
        console.print("→ is the current version; holdfast rollback moves it.", markup=False)


def show_scores(found: Evaluated) -> None:
    """Writes one line per skill: accuracy, its interval, and what kind of mistakes there were."""
    console = screen()
    table = Table(title=f"version {found.version}", title_justify="left")
    for name in ("skill", "passed", "accuracy %", "95 % interval", "grader", ""):
        table.add_column(name, justify="left" if name in ("skill", "grader", "") else "right")
    for row in found.rows:
        interval = f"{percent(row.low)} to {percent(row.high)}"
        macro = f"macro-F1 {percent(row.macro_f1)}" if row.macro_f1 is not None else ""
        note = ", ".join(part for part in (macro, row.note) if part)
        table.add_row(row.skill, f"{row.passed}/{row.total}", percent(row.accuracy), interval, row.grader, note)
    console.print(table)


def show_diagnosis(found: Diagnosis) -> None:
    """Writes what reflections are worth: every try, control and mistake, the means, then the findings in words."""
    console = screen()
    table = Table(title=f"{found.model}, graded by {found.grader}", title_justify="left")
    for name in ("", "tasks", "%", "95 % interval"):
        table.add_column(name, justify="left" if not name else "right")
    for row in found.rows:
        table.add_row(
            row.name, f"{row.num}/{row.total}", percent(row.share), f"{percent(row.low)} to {percent(row.high)}"
        )
    console.print(table)
    if found.means:
        table = Table(title="means over the failed tasks", title_justify="left")
        for name in ("", "mean", "95 % interval"):
            table.add_column(name, justify="left" if not name else "right")
        for name, (value, interval) in found.means.items():
            table.add_row(name, value, interval)
        console.print(table)
    for sentence in found.words:
        console.print(sentence, markup=False)
    for doubt in found.doubts:
        console.print(f"Doubt: {doubt}.", markup=False, style="yellow")
