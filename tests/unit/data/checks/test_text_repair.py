"""Repairs: what is damaged is mended, what is code, an address or JSON stays, and twice is the same as once."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.check import Change, Context, Row
from holdfast.data.checks.repair import RepairSettings, repaired
from holdfast.data.checks.text_repair import TextRepairCheck, repaired_example
from holdfast.types import Example, Message, ToolCall

ALL = RepairSettings()
OFF = {
    "encoding": False,
    "controls": False,
    "line_ends": False,
    "spaces": False,
    "ligatures": False,
    "apostrophes": False,
    "composed": False,
    "joiners": False,
    "persian": False,
    "arabic_forms": False,
}


def chat(*texts, **others):
    roles = ("user", "assistant")
    turns = tuple(Message(roles[n % 2], text) for n, text in enumerate(texts))
    return Example(id="", messages=turns, source="a.jsonl:1", **others)


def mend(text, **given):
    return repaired_example(chat(text), RepairSettings(**given)).example.messages[0].content


@pytest.mark.parametrize(
    ("setting", "before", "after", "name"),
    [
        ("encoding", "schÃ¶n, itâ€™s", "schön, it’s", "mojibake"),
        ("controls", "a\x00b\ufeffc\x1b[31md\x1b[0m", "abcd", "control characters"),
        ("line_ends", "a\r\nb\rc\u2028d", "a\nb\nc\nd", "line ends"),
        ("spaces", "a\u00a0b\u2009c\u00add\u200be", "a b cde", "odd spaces"),
        ("ligatures", "of\ufb01ce", "office", "ligatures"),
        ("apostrophes", "I`m sure you don´t", "I'm sure you don't", "back-ticks as apostrophes"),
        ("composed", "cafe\u0301", "café", "letters and accents apart"),
        ("joiners", "می\u200c\u200cشود \u200cکه", "می\u200cشود که", "zero-width non-joiners out of place"),
        ("persian", "كتاب را به علي داد", "کتاب را به علی داد", "Arabic yeh or kaf in Persian text"),
        ("persian", "سلامـــت باشید که", "سلامت باشید که", "tatweel"),
        ("arabic_forms", "\ufeb3\ufefc\ufee1", "سلام", "shapes of Arabic letters"),
    ],
)
def test_each_repair_can_be_switched_off(setting, before, after, name):
    text, names = repaired(before, ALL)
    assert (text, names) == (after, (name,))
    assert repaired(before, RepairSettings(**{setting: False}))[0] != after
    assert repaired(before, RepairSettings(**{**OFF, setting: True}))[0] == after
    assert repaired(before, RepairSettings(**OFF)) == (before, ())


def test_digits_are_left_unless_told():
    text = "در سال 1402 و ۱۴۰۳ و ١٤٠٤ با GPT4"
    assert mend(text) == text
    assert mend(text, digits="persian") == "در سال ۱۴۰۲ و ۱۴۰۳ و ۱۴۰۴ با GPT4"
    assert mend(text, digits="ascii") == "در سال 1402 و 1403 و 1404 با GPT4"
    assert mend("In 1402", digits="persian") == "In 1402"


@pytest.mark.parametrize(
    "text",
    [
        "```python\nx = 'Ã¶'\u00a0# I`m\n```",
        "Use `a\u00a0b` and `don`",
        "See https://example.org/sch%C3%B6n?q=Ã¶\u200b#a.",
        "Mail to Ã¶x.don`t@example.org".replace("Ã¶", ""),
        "`s/a/b/`s effect",
        "the `t` flag",
        "~~~\ncafe\u0301\n~~~",
        "日本\u3000語",
        "ภาษา\u200bไทย",
        "می\u200cشود",
        "👨\u200d👩\u200d👧",
        "क्\u200cष",
        "10³ m² ½ ﷼ ﷺ",
        "naïve café Ünïcödé",
        "«“typographic” quotes’»",
        "",
        "  leading and trailing  ",
        "ذهبت إلى المدرسة في الصباح",
    ],
)
def test_what_is_right_stays_as_it_is(text):
    assert mend(text) == text


def test_code_stays_while_the_text_around_it_is_mended():
    assert mend("I`m\u00a0here: ```a\u00a0b I`m``` and\u00a0there") == "I'm here: ```a\u00a0b I`m``` and there"
    assert mend("a\r\n```\r\nx\u00a0= 1\r\n```\r\n") == "a\n```\nx\u00a0= 1\n```\n"


def test_arguments_tools_labels_and_columns_stay(tmp_path):
    broken = "schÃ¶n\u00a0I`m"
    call = ToolCall("find", json.dumps({"text": broken}, ensure_ascii=False))
    example = Example(
        id="",
        messages=(Message("user", broken), Message("assistant", "", (call,))),
        tools=({"type": "function", "function": {"name": "find", "description": broken}},),
        label=broken,
        document=broken,
        privileged_context=broken,
        columns={"answer": broken},
    )
    after = repaired_example(example, ALL).example
    assert after.messages[1] == example.messages[1]
    assert (after.tools, after.label, after.columns) == (example.tools, example.label, example.columns)
    assert {after.messages[0].content, after.document, after.privileged_context} == {"schön I'm"}


def test_what_a_tool_answered_in_json_stays_and_what_it_said_in_words_is_mended():
    def after(content):
        turns = (Message("user", "a"), Message("tool", content))
        return repaired_example(Example(id="", messages=turns), ALL).example.messages[1].content

    assert after('{"a": "I`m"}') == '{"a": "I`m"}'
    assert after("{I`m") == "{I'm"
    assert after("I`m") == "I'm"


def test_an_arabic_text_keeps_its_letters_and_a_doubtful_one_follows_its_row():
    assert mend("كتاب") == "كتاب"
    row = chat("كتاب", "این را به من داد که")
    assert repaired_example(row, ALL).example.messages[0].content == "کتاب"
    translation = chat("ذهبت إلى المدرسة في الصباح", "صبح به مدرسه رفتم که درس بخوانم")
    assert repaired_example(translation, ALL).example == translation


def test_json_that_could_be_read_still_can():
    broken = '{"a": "schÃ¶n", "b": "â€œx\u00a0y"}'
    mended = json.loads(mend(broken))
    assert mended["a"] == "schön"
    assert mended["b"] == "“x y"


def test_the_finding_counts_rows_by_repair_and_shows_before_and_after(tmp_path):
    rows = [Row(n, chat(text)) for n, text in enumerate(["fine", "كتاب را به علي داد", "fine, too"])]
    check = TextRepairCheck(RepairSettings(), Context(scratch=tmp_path))
    check.see(rows)
    finding = check.finding()
    assert finding.title == "1 of 3 rows holds Arabic yeh or kaf in Persian text"
    assert (finding.level, finding.num_rows) == ("warning", 1)
    assert (finding.shown[0].before, finding.shown[0].after) == ("كتاب را به علي داد", "کتاب را به علی داد")
    decision = check.decide(rows[1])
    assert isinstance(decision, Change)
    assert decision.what == "repaired: Arabic yeh or kaf in Persian text"
    assert check.decide(rows[0]) is None


def test_characters_that_are_lost_are_said(tmp_path):
    check = TextRepairCheck(RepairSettings(), Context(scratch=tmp_path))
    check.see([Row(0, chat("the issueï¿½")), Row(1, chat("I`m"))])
    assert check.finding().title == (
        "2 of 2 rows hold text to repair: back-ticks as apostrophes 1, mojibake 1; "
        "1 of 2 rows has lost characters for good (U+FFFD)"
    )
    assert check.finding().level == "problem"


ODD = st.text(
    st.sampled_from(
        "aIst`'´ \t\r\n\u00a0\u200b\u200c\u200d\ufeff\u00ad\x00\x1b[3m~Ã¶â€œ\u0301é\ufb01"
        'كيىکیـه\u0654٣۳3.{}"¬،\ufefc😀中\u3000เ'
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(ODD, st.text(max_size=30)), ODD, st.sampled_from(["keep", "ascii", "persian"]))
def test_repairing_twice_changes_nothing_more(question, answer, digits):
    given_settings = RepairSettings(digits=digits)
    once = repaired_example(chat(question, answer, document=answer), given_settings)
    assert repaired_example(once.example, given_settings).example == once.example
    assert bool(once.repairs) == (once.example.messages != chat(question, answer).messages) or once.example.document


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(ODD, st.one_of(ODD, st.integers(), st.lists(ODD))))
def test_any_json_can_still_be_read(value):
    text = json.dumps(value, ensure_ascii=False)
    json.loads(mend(text))


@pytest.mark.parametrize("text", ["\x00" * 1000, "😀" * 1000, "\u202e" * 10, "`" * 5000, "a@" * 5000, "ÃƒÂ" * 3000])
def test_odd_texts_neither_raise_nor_hang(text):
    mend(text)


def test_a_text_of_a_megabyte_is_repaired():
    assert mend("words " * 170_000 + "\u00a0b") == "words " * 170_000 + " b"


def test_real_persian_sentences_keep_their_joiners(shared_data):
    from holdfast.data.read import read

    path = str(shared_data / "fa_common_voice" / "sentences_6000.jsonl.gz")
    rows = read(path, columns={"prompt": "text"}, need_demonstration=False).examples
    texts = [row.messages[0].content for row in rows]
    arabic = [text for text in texts if set(text) & set("يىك")]
    assert len(arabic) == 19
    assert not any(set(mend(text)) & set("يىك") for text in arabic)
    joined = [text for text in texts if "\u200c" in text][:100]
    assert sum("\u200c" in mend(text) for text in joined) >= 95


def test_real_tweets_lose_their_back_ticks_and_mojibake(shared_data):
    import gzip

    with gzip.open(shared_data / "tweet_sentiment" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line, _ in zip(lines, range(1000), strict=False)]
    after = [mend(text) for text in texts]
    assert after[0] == " I'd have responded, if I were going"
    assert sum("ï¿½" in text for text in texts) > sum("ï¿½" in text for text in after) == 0
