"""Languages of rows: told by lingua, not guessed from a word or two, and said where they cannot be told."""

import importlib.util

import pytest

from holdfast.data.check import Context, Drop, Row
from holdfast.data.checks import language
from holdfast.data.checks.language import LanguageCheck, LanguageSettings, said_and_answered
from holdfast.errors import DataError
from holdfast.types import Example, Message

EN = "Where is the nearest train station, please?"
EN_ANSWER = "The station is just around the corner, next to the bank."
FA = "نزدیک\u200cترین ایستگاه قطار کجاست، لطفا بگویید؟"
DE = "Wo ist bitte der nächste Bahnhof in dieser Stadt?"
FEW = ("de", "en", "fa")


def chat(question, answer=None):
    turns = (Message("user", question),) + ((Message("assistant", answer),) if answer is not None else ())
    return Example(id="", messages=turns, source="a:1")


def checked(tmp_path, examples, **given):
    check = LanguageCheck(LanguageSettings(**{"languages": FEW, **given}), Context(scratch=tmp_path))
    rows = [Row(number, example) for number, example in enumerate(examples)]
    check.see(rows)
    return check.finding(), [check.decide(row) for row in rows], check


@pytest.fixture(scope="module")
def lingua():
    pytest.importorskip("lingua")


@pytest.mark.usefixtures("lingua")
def test_languages_are_counted_and_mixed_rows_are_shown(tmp_path):
    rows = [chat(EN, EN_ANSWER), chat(FA), chat(EN, FA), chat("Yes, ok"), chat(DE, EN_ANSWER), chat("123 😀 !")]
    finding, decisions, _ = checked(tmp_path, rows)
    assert decisions == [None] * 6
    assert finding.figures["languages"] == {"en": 2, "fa": 2, "too short to tell": 2}
    assert finding.figures["mixed"] == {"asked in en, answered in fa": 1, "asked in de, answered in en": 1}
    assert finding.title == (
        "Languages of 6 rows: en 2, fa 2, too short to tell 2; 2 of 6 rows are answered in another language than asked"
    )
    assert (finding.level, finding.num_rows, finding.remedy) == ("note", 2, None)
    assert finding.shown[0].note == "asked in en, answered in fa"


@pytest.mark.usefixtures("lingua")
def test_rows_outside_of_keep_are_dropped_and_short_ones_kept(tmp_path):
    rows = [chat(EN, EN_ANSWER), chat(DE), chat("Ja"), chat(EN, DE), chat(DE, "Yes")]
    finding, decisions, check = checked(tmp_path, rows, keep=("en", "fa"))
    dropped = Drop("language", "is in de, and only en, fa are kept")
    assert decisions == [None, dropped, None, dropped, dropped]
    assert finding.remedy == "drop 3 rows in other languages than en, fa"
    assert (finding.level, finding.num_rows) == ("warning", 3)
    assert check.decide(Row(99, rows[1])) == dropped, "a row of no chunk is told by itself"


@pytest.mark.usefixtures("lingua")
def test_mixed_rows_are_dropped_if_told(tmp_path):
    finding, decisions, _ = checked(tmp_path, [chat(EN, FA), chat(EN, EN_ANSWER)], mixed="drop")
    assert decisions == [Drop("mixed_languages", "asks in en and answers in fa"), None]
    assert finding.remedy == "drop 1 row answered in another language than asked"


@pytest.mark.usefixtures("lingua")
def test_how_many_words_are_enough_and_how_sure_one_must_be(tmp_path):
    def languages(text, **given):
        return list(checked(tmp_path, [chat(text)], **given)[0].figures["languages"])

    assert languages("guten Morgen") == ["too short to tell"]
    assert languages("guten Morgen", min_words=2) == ["de"]
    assert languages("bitte in the station", certainty=0.99) == ["not told"]
    assert languages("bitte in the station", certainty=0.0) != ["not told"]


@pytest.mark.usefixtures("lingua")
def test_only_listed_languages_are_told(tmp_path):
    french = "Où se trouve la gare la plus proche, s'il vous plaît ?"
    assert "fr" not in checked(tmp_path, [chat(french)])[0].figures["languages"]
    assert checked(tmp_path, [chat(french)], languages=("en", "fr"))[0].figures["languages"] == {"fr": 1}


@pytest.mark.usefixtures("lingua")
def test_code_does_not_count_and_odd_texts_do_not_raise(tmp_path):
    assert said_and_answered(chat("```\nimport the os module\n```", "`x`")) == ("", "")
    rows = [chat(""), Example(id="", messages=()), chat("\x00" * 50), chat("ok " * 100_000), chat("\u202eabc \u200c")]
    finding, decisions, _ = checked(tmp_path, rows)
    assert decisions == [None] * 5
    assert sum(finding.figures["languages"].values()) == 5


@pytest.mark.usefixtures("lingua")
def test_a_language_that_cannot_be_told_is_an_error(tmp_path):
    with pytest.raises(DataError, match="'xx' is not the ISO 639-1 code"):
        checked(tmp_path, [chat(EN)], languages=("en", "xx"))


def test_kept_languages_must_be_listed():
    with pytest.raises(ValueError, match="keep names fi"):
        LanguageSettings(keep=("en", "fi"))
    with pytest.raises(ValueError, match="languages"):
        LanguageSettings(languages=("en",))


def test_without_lingua_the_finding_says_so_and_how_to_install_it(tmp_path, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(language, "find_spec", lambda name: None if name == "lingua" else found(name))
    finding, decisions, _ = checked(tmp_path, [chat(EN, FA)])
    assert decisions == [None]
    assert finding.title == (
        "The languages of 1 row were not told, because lingua is not installed (pip install 'holdfast[data]')"
    )
    assert finding.figures["made"] is False
    with pytest.raises(DataError, match=r"holdfast\[data\]"):
        checked(tmp_path, [chat(EN)], keep=("en",))
    with pytest.raises(DataError, match="lingua is not installed"):
        checked(tmp_path, [chat(EN)], mixed="drop")


@pytest.mark.usefixtures("lingua")
def test_real_persian_sentences_are_told(shared_data, tmp_path):
    from holdfast.data.read import read

    path = str(shared_data / "fa_common_voice" / "sentences_6000.jsonl.gz#300")
    rows = read(path, columns={"prompt": "text"}, need_demonstration=False).examples
    languages = checked(tmp_path, rows, languages=("ar", "en", "fa"))[0].figures["languages"]
    told = languages["fa"] + languages.get("ar", 0) + languages.get("en", 0)
    assert languages["fa"] >= 0.99 * told
