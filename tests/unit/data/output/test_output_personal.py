"""The report, the card and the datasheet say which files still hold personal data, and it is so."""

import pytest

from holdfast.data.check import Finding
from holdfast.data.output.personal import where_it_stands
from holdfast.data.output.prepared import Outcome
from holdfast.data.output.write import write_version

FOUND = Finding("personal_data", "Personal data in 1 of 12 rows.", "warning", 1, "mask them")
NOTHING = Finding("personal_data", "No secrets or personal data were found.")
KINDS_ONLY = {"checks": {"personal_data": {"keep_before": False}}}
KEPT = {"checks": {"personal_data": {"keep_before": True}}}


@pytest.mark.parametrize(
    ("outcomes", "plan", "said"),
    [
        ([Outcome(FOUND, applied=True, num_changed=1)], KEPT, "do not pass these two files on"),
        ([Outcome(FOUND, applied=True, num_changed=1)], {}, "do not pass these two files on"),
        ([Outcome(FOUND, applied=True, num_changed=1)], KINDS_ONLY, "is in none of the files"),
        ([Outcome(FOUND)], KEPT, "was left as it is"),
        ([Outcome(FOUND)], KINDS_ONLY, "was left as it is"),
        ([Outcome(NOTHING)], KEPT, "No personal data was found"),
        ([], KEPT, "was not looked for"),
    ],
)
def test_where_personal_data_stands_follows_the_remedy_and_the_plan(make_prepared, outcomes, plan, said):
    assert said in where_it_stands(make_prepared(outcomes=outcomes, plan=plan))


def test_every_document_says_the_same_of_personal_data(tmp_path, make_prepared):
    data = make_prepared(outcomes=[Outcome(FOUND, applied=True, num_changed=1)], plan=KINDS_ONLY)
    folder = write_version(tmp_path, data).version.folder
    for name in ("report.html", "README.md", "datasheet.md"):
        assert where_it_stands(data) in (folder / name).read_text(encoding="utf-8")
