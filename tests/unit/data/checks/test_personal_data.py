"""The check of secrets and personal data: what it reports, masks, drops and leaves, and that it shows no value."""

import json
import re
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.check import Change, Context, Drop, Row
from holdfast.data.checks.personal_data import PersonalData, PersonalDataSettings
from holdfast.data.doctor.plan import Plan
from holdfast.data.pii.pieces import pieces_of, rebuilt
from holdfast.data.pii.placeholders import Placeholders, normalised
from holdfast.data.pii.presidio import _analyzer
from holdfast.data.pii.rewrite import hide
from holdfast.data.strict_json import parse
from holdfast.errors import DataError
from holdfast.types import Example, Message, ToolCall

MAIL = "ann.lee@example.org"
SECRET = "Tr0ub4dor&3"


def chat(user, assistant="ok", **fields):
    return Example("1", (Message("user", user), Message("assistant", assistant)), **fields)


def run(examples, tmp_path, *, chunk=100, **given_settings):
    check = PersonalData(PersonalDataSettings(**given_settings), Context(tmp_path))
    rows = [Row(number, example) for number, example in enumerate(examples)]
    for start in range(0, len(rows), chunk):
        check.see(rows[start : start + chunk])
    return check, check.finding(), [check.decide(row) for row in rows]


def after(decision):
    assert isinstance(decision, Change)
    return decision.example


def contents(example):
    return [message.content for message in example.messages]


def test_the_same_person_has_the_same_placeholder_over_the_whole_data_set(tmp_path):
    rows = [
        chat("My name is Bo Ek, mail bo@example.org"),
        chat(f"My name is Ann Lee, mail {MAIL}", f"Hi Ann! I wrote to {MAIL.upper()}."),
        chat(f"nothing here but {MAIL}"),
        chat("nothing at all"),
    ]
    _, finding, decisions = run(rows, tmp_path)
    assert contents(after(decisions[0]))[0] == "My name is [PERSON_1], mail [EMAIL_1]"
    assert contents(after(decisions[1])) == [
        "My name is [PERSON_2], mail [EMAIL_2]",
        "Hi [PERSON_2]! I wrote to [EMAIL_2].",
    ]
    assert contents(after(decisions[2]))[0] == "nothing here but [EMAIL_2]"
    assert decisions[3] is None
    assert finding.num_rows == 3
    assert finding.figures["kinds"]["email"] == {"places": 4, "rows": 3, "distinct": 2}
    assert finding.figures["kinds"]["person"] == {"places": 3, "rows": 2, "distinct": 2}
    assert finding.level == "warning"


def test_the_title_counts_rows_with_masks_in_trained_answers_and_different_values(tmp_path):
    unweighted = Example("1", (Message("user", "hi"), Message("assistant", MAIL, weight=0.0), Message("assistant", "")))
    call = Message("assistant", "", (ToolCall("send", json.dumps({"to": "bo@example.org"})),))
    rows = [
        chat(f"mail {MAIL}", f"I wrote to {MAIL}."),
        chat(f"mail {MAIL}", "I wrote."),
        chat("hello", label=MAIL),
        unweighted,
        Example("1", (Message("user", "write"), call)),
    ]
    _, finding, _ = run(rows, tmp_path)
    assert finding.figures["rows_with_it_in_a_trained_answer"] == 2
    assert finding.title == (
        "Secrets or personal data in 4 of 5 rows, in 2 of them in an answer that is trained: email 5 (2 different)."
    )
    _, dropped, _ = run(rows[1:2], tmp_path, action="drop")
    assert dropped.title == "Secrets or personal data in 1 of 1 rows: email 1."


def test_the_plan_in_the_guide_is_one():
    guide = (Path(__file__).parents[4] / "docs" / "personal-data.md").read_text(encoding="utf-8")
    [snippet] = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    plan = Plan.model_validate(tomllib.loads(snippet))
    assert plan.checks.personal_data.allow == ("support@example.org", "*@example.org")


def test_what_one_turn_names_is_masked_in_every_field_and_the_label_stays(tmp_path):
    example = Example(
        "1",
        (
            Message("system", "Ask Ann Lee first."),
            Message("user", "My name is Ann Lee"),
            Message("assistant", "", (ToolCall("send", json.dumps({"to": "Ann Lee", "note": f"she said: {MAIL}"})),)),
        ),
        tools=({"name": "send", "description": f"Mail to {MAIL}", "parameters": {"default": MAIL}},),
        document="A letter to Lee.",
        privileged_context="Ann Lee is 34.",
        label="Ann Lee",
        columns={"customer": "Ann Lee", "score": 3, "nested": {"mail": [MAIL]}, "none": None},
    )
    _, _, [decision] = run([example], tmp_path)
    masked = after(decision)
    assert contents(masked) == ["Ask [PERSON_1] first.", "My name is [PERSON_1]", ""]
    call = masked.messages[2].tool_calls[0]
    assert json.loads(call.arguments) == {"to": "[PERSON_1]", "note": "she said: [EMAIL_1]"}
    assert masked.document == "A letter to [PERSON_1]."
    assert masked.privileged_context == "[PERSON_1] is 34."
    assert masked.label == "Ann Lee"
    assert masked.columns == {"customer": "[PERSON_1]", "score": 3, "nested": {"mail": ["[EMAIL_1]"]}, "none": None}
    assert masked.tools[0]["description"] == "Mail to [EMAIL_1]"
    assert masked.tools[0]["parameters"] == {"default": MAIL}  # a definition's values are its meaning


def test_a_key_says_what_its_value_is_and_json_stays_json(tmp_path):
    arguments = '{"password": "Tr0ub4dor&3", "phone":9056743793, "ssn": "078051120", "n": 1.50, "ann@example.org": []}'
    example = Example("1", (Message("assistant", "", (ToolCall("f", arguments),)),))
    _, _, [decision] = run([example], tmp_path)
    text = after(decision).messages[0].tool_calls[0].arguments
    assert text == '{"password": "[PASSWORD_1]", "phone":"[PHONE_1]", "ssn": "[US_SSN_1]", "n": 1.50, "[EMAIL_1]": []}'


def test_two_spellings_of_one_key_stay_two_keys(tmp_path):
    arguments = json.dumps({"Ann@example.org": 1, "ann@example.org": 2})
    _, _, [decision] = run([Example("1", (Message("assistant", arguments),))], tmp_path)
    assert json.loads(after(decision).messages[0].content) == {"[EMAIL_1]": 1, "[EMAIL_1] (2)": 2}


def test_findings_never_hold_a_value_that_was_found(tmp_path):
    key = "sk" + "-proj-" + "a1B2c3D4e5" * 4
    long = "word " * 100 + f"password: {SECRET} and {key}, mail {MAIL}, My name is Ann Lee"
    check, finding, [decision] = run([chat(long, source="a.jsonl:1")], tmp_path)
    said = repr(finding) + decision.what + repr(check.before(Row(0, chat("nothing"))))
    for value in (SECRET, key, MAIL, "Ann", "Lee"):
        assert value not in said
    assert "[PASSWORD]" in finding.shown[0].before
    assert "[PASSWORD_1]" in finding.shown[0].after
    assert finding.level == "problem"
    assert finding.shown[0].source == "a.jsonl:1"


def test_nothing_found_is_said_so(tmp_path):
    _, finding, decisions = run([chat("hello")], tmp_path)
    assert (finding.level, finding.num_rows, finding.remedy, decisions) == ("ok", 0, None, [None])


def test_action_drop_drops_the_row_with_kinds_and_no_values(tmp_path):
    _, finding, decisions = run([chat(f"mail {MAIL}"), chat("hello")], tmp_path, action="drop")
    assert decisions == [Drop("personal_data", "holds secrets or personal data (email 1)"), None]
    assert "drop" in finding.remedy
    assert finding.shown[0].after == ""


def test_kinds_say_what_is_looked_for(tmp_path):
    text = f"mail {MAIL}, card 4111 1111 1111 1111, I work for Acme Inc"
    for kinds, masked in [
        (("payment",), f"mail {MAIL}, card [CARD_1], I work for Acme Inc"),
        (("email", "organisation"), "mail [EMAIL_1], card 4111 1111 1111 1111, I work for [ORGANISATION_1]"),
    ]:
        _, _, [decision] = run([chat(text)], tmp_path, kinds=kinds)
        assert contents(after(decision))[0] == masked
    with pytest.raises(ValueError, match="emails"):
        PersonalDataSettings(kinds=("emails",))


@pytest.mark.parametrize("allow", [("Support@Example.org",), ("*@example.org",)])
def test_allowed_values_stay(tmp_path, allow):
    _, _, [decision] = run([chat("mail support@example.org or ann@other.org")], tmp_path, allow=allow)
    assert contents(after(decision))[0] == "mail support@example.org or [EMAIL_1]"


def test_min_confidence_decides_about_what_is_less_sure(tmp_path):
    row = chat("We saw something at Olga Krylova yesterday")
    assert run([row], tmp_path)[2] == [None]
    assert run([row], tmp_path, min_confidence=0.4)[1].num_rows == 1


def test_languages_decide_whose_introductions_tell_names(tmp_path):
    row = chat("Ich heiße Jürgen Groß.")
    assert run([row], tmp_path, languages=("de",))[1].num_rows == 1
    assert run([row], tmp_path, languages=("en",))[1].num_rows == 0
    with pytest.raises(ValueError, match="choose languages"):
        PersonalDataSettings(languages=("xx",))


def test_keep_before_decides_what_the_ledger_keeps(tmp_path):
    row = Row(0, chat(f"mail {MAIL}"))
    for keep, before in ((True, f"mail {MAIL}"), (False, "mail [EMAIL]")):
        check = PersonalData(PersonalDataSettings(keep_before=keep), Context(tmp_path))
        assert contents(check.before(row))[0] == before


def test_hide_takes_values_away_and_leaves_what_holds_none():
    assert contents(hide(chat(f"password: {SECRET}", MAIL))) == ["password: [PASSWORD]", "[EMAIL]"]
    clean = chat("hello")
    assert hide(clean) is clean


TEXTS = st.sampled_from(
    ["My name is Ann Lee", "Ann Lee called", MAIL, "BO@example.org", "bo@example.org", "call 905-674-3793", "hello", ""]
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=8), st.integers(1, 8))
def test_the_result_is_the_same_whatever_the_chunks_and_masking_twice_changes_nothing(tmp_path_factory, texts, chunk):
    scratch = tmp_path_factory.mktemp("scratch")
    rows = [chat(*pair) for pair in texts]
    _, finding, decisions = run(rows, scratch)
    _, finding_again, decisions_again = run(rows, scratch, chunk=chunk)
    assert (finding, decisions) == (finding_again, decisions_again)
    masked = [after(d) if d is not None else row for d, row in zip(decisions, rows, strict=True)]
    assert run(masked, scratch)[2] == [None] * len(rows)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from([MAIL, "call 905-674-3793"]),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.just(MAIL), inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_json_keeps_its_shape_when_its_pieces_are_changed(value):
    text = json.dumps(value)
    if not isinstance(value, dict | list):
        return
    assert rebuilt(text, pieces_of(text), lambda piece: piece.value) == text
    parse(rebuilt(text, pieces_of(text), lambda piece: "x" if piece.form != "key" else piece.value))
    parse(hide(chat(text)).messages[0].content)


@pytest.mark.parametrize("text", ["", "\0", "\u202eabc\u200f", "😀" * 50, "{", '{"a": }', '["' + "[" * 500, "[" * 5000])
def test_odd_texts_pass_through(tmp_path, text):
    assert run([chat(text, columns={"a": text})], tmp_path)[2] == [None]


def test_spellings_of_one_value_are_one_and_secrets_are_what_they_are():
    assert normalised("phone", "0049 30 123-456") == normalised("phone", "+49 (30) 123456")
    assert normalised("ip", "2001:DB8:0::1") == normalised("ip", "2001:db8::1")
    assert normalised("ip", "x") == "x"
    assert normalised("us_ssn", "078-05-1120") == normalised("us_ssn", "078 05 1120")
    assert normalised("password", "Abc") != normalised("password", "abc")
    placeholders = Placeholders()
    assert [placeholders.number("email", value) for value in "abab"] == [1, 2, 1, 2]
    assert placeholders.text("email", "b") == "[EMAIL_2]"
    with pytest.raises(KeyError):
        placeholders.text("email", "c")


def test_a_part_of_a_name_belongs_to_the_one_whole_name_it_is_part_of(tmp_path):
    text = "My name is Ann Lee. My name is Bo Ek. My name is Ann Berg. Ask Ek, Ann or Lee."
    _, _, [decision] = run([chat(text)], tmp_path)
    assert contents(after(decision))[0] == (
        "My name is [PERSON_1]. My name is [PERSON_2]. My name is [PERSON_3]. Ask [PERSON_2], [PERSON_4] or [PERSON_1]."
    )


def test_rows_far_apart_are_remembered_in_a_bit_each(tmp_path):
    check = PersonalData(PersonalDataSettings(), Context(tmp_path))
    far = Row(1_000_003, chat(MAIL))
    check.see([far])
    assert isinstance(check.decide(far), Change)
    assert check.decide(Row(1_000_004, chat("hello"))) is None
    assert check.decide(Row(5_000_000, chat("hello"))) is None


def test_presidio_finds_with_its_own_patterns_and_both_with_all(tmp_path):
    pytest.importorskip("presidio_analyzer", reason="needs pip install 'holdfast[data]'")
    row = chat(f"My name is Ann Lee, mail {MAIL}, call (905) 674-3793, password: {SECRET}")
    figures = {e: run([row], tmp_path, engine=e)[1].figures["kinds"] for e in ("builtin", "presidio", "both")}
    assert set(figures["presidio"]) == {"email", "phone"}
    assert set(figures["builtin"]) == set(figures["both"]) == {"email", "person", "phone", "password"}
    with pytest.raises(DataError, match="no_such_model"):
        run([row], tmp_path, engine="presidio", spacy_model="no_such_model")
    with pytest.raises(ValueError, match="only Presidio"):
        PersonalDataSettings(spacy_model="en_core_web_sm")


def test_an_installed_spacy_model_finds_names(tmp_path):
    spacy = pytest.importorskip("spacy", reason="needs pip install 'holdfast[data]'")
    pytest.importorskip("presidio_analyzer", reason="needs pip install 'holdfast[data]'")
    pipeline = spacy.blank("en")
    pipeline.add_pipe("entity_ruler").add_patterns([{"label": "PERSON", "pattern": "Ivan"}])
    pipeline.to_disk(tmp_path / "model")
    row = chat("so Ivan it was")
    assert run([row], tmp_path, engine="presidio")[1].num_rows == 0
    _, _, [decision] = run([row], tmp_path, engine="presidio", languages=("en",), spacy_model=str(tmp_path / "model"))
    assert contents(after(decision))[0] == "so [PERSON_1] it was"


def test_presidio_that_is_not_installed_is_named_with_its_extra(tmp_path, monkeypatch):
    _analyzer.cache_clear()  # an earlier test may have loaded it
    _analyzer.cache_clear()
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(DataError, match=r"holdfast\[data\]"):
        run([replace(chat("x"))], tmp_path, engine="presidio")
