"""Choice: what stands in the last <answer>…</answer> is the reference (the SDFT paper's science scorer).

Choices made here: a tag that is never closed is no answer (the text was cut off, or the tag was not
meant), and one within the reasoning is none. The reference is the last tag of the reference answer if it has one,
else the whole of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.graders.reference import (
    CLOSE,
    OPEN,
    after_thinking,
    judged,
    last_answer,
    one_line,
    reference_text,
    shown,
    ungradable,
)

if TYPE_CHECKING:
    from holdfast.types import Completion, Example, Score


def choice(completion: Completion, example: Example) -> Score:
    """Returns 1 if the last answer tag holds the reference; case counts, white space does not."""
    reference = reference_text(example)
    if reference is None:
        return ungradable("no_reference", "the item has no answer and no label to compare with")
    tagged = last_answer(reference)
    wanted = one_line(reference if tagged is None else tagged)
    chosen = last_answer(after_thinking(completion.text))
    if chosen is None:
        return judged(right=False, explanation=f"no {OPEN}…{CLOSE} in {shown(completion.text)}")
    if one_line(chosen) == wanted:
        return judged(right=True, explanation=f"answers {shown(chosen)}")
    return judged(right=False, explanation=f"answers {shown(chosen)}, not {shown(wanted)}")
