"""The checks of the data doctor by name, in the order in which rows go through them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.data.checks.bias import Bias
from holdfast.data.checks.contamination import Contamination, HeldOutSeen
from holdfast.data.checks.exact_duplicates import ExactDuplicates
from holdfast.data.checks.label_errors import LabelErrors
from holdfast.data.checks.labels import Labels
from holdfast.data.checks.language import LanguageCheck
from holdfast.data.checks.legacy_format import LegacyFormatCheck
from holdfast.data.checks.lengths import LengthsCheck
from holdfast.data.checks.near_duplicates import NearDuplicates
from holdfast.data.checks.personal_data import PersonalData
from holdfast.data.checks.quality import QualityCheck
from holdfast.data.checks.semantic_duplicates import SemanticDuplicates
from holdfast.data.checks.size import SizeCheck
from holdfast.data.checks.template import TemplateCheck
from holdfast.data.checks.text_repair import TextRepairCheck
from holdfast.data.checks.weak_labels import WeakLabels

if TYPE_CHECKING:
    from holdfast.data.check import Check

CHECKS: dict[str, type[Check]] = {
    check.name: check
    for check in (
        SizeCheck,
        PersonalData,
        TextRepairCheck,
        LegacyFormatCheck,
        LengthsCheck,
        QualityCheck,
        LanguageCheck,
        WeakLabels,
        Labels,
        ExactDuplicates,
        NearDuplicates,
        SemanticDuplicates,
        LabelErrors,
        TemplateCheck,
        Bias,
    )
}
"""Before the split, of all rows. Personal data comes first, so that no later finding shows any."""
AFTER_SPLIT: dict[str, type[Check]] = {check.name: check for check in (HeldOutSeen, Contamination)}
"""After it: the first of the test, the second of the training part."""
