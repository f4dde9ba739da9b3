"""Held-out items in training rows: planted ones are found, templates and chance are not, in every script."""

import gzip
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.check import Context, Drop, Row
from holdfast.data.checks.contamination import Contamination, ContaminationSettings, HeldOutSeen, HeldOutSeenSettings
from holdfast.data.overlap.benchmarks import benchmark_items
from holdfast.data.overlap.contamination import OverlapSettings, held_out_seen, overlap_index
from holdfast.data.overlap.shared_runs import item_text
from holdfast.data.overlap.word_grams import grams_of, text_hashes, words, words_of
from holdfast.data.read import read
from holdfast.errors import DataError
from holdfast.types import Example, Message


def asked(text, answer="ok", source="", **columns):
    return Example("", (Message("user", text), Message("assistant", answer)), source=source, columns=columns)


def counted(first, num):
    """Words w1 w2 …, which no other part of a text holds."""
    return " ".join(f"w{n}" for n in range(first, first + num))


def found(item, text, **chosen):
    """The rule by which a text is found to hold an item, with its share; None if it does not."""
    hits = overlap_index({"test": [asked(item)]}, OverlapSettings(**chosen)).hits([asked(text)])
    return (hits[0].rule, hits[0].share) if hits else None


def test_a_run_of_13_words_in_common_is_a_hit_and_one_of_12_is_not():
    item = counted(0, 40)
    assert found(item, f"before {counted(10, 13)} after") == ("long run", 1.0)
    assert found(item, f"before {counted(10, 12)} after") is None
    assert found(item, f"before {counted(10, 12)} after", long_run=12) == ("long run", 1.0)


def test_the_share_of_runs_of_8_words_counts_for_short_items():
    item = counted(0, 10)  # has 3 runs of 8 words
    assert found(item, f"x {counted(0, 9)} y") == ("short runs", 2 / 3)
    assert found(item, f"x {counted(0, 8)} y") is None
    assert found(item, f"x {counted(0, 8)} y", min_share=0.3) == ("short runs", 1 / 3)
    assert found(item, f"x {counted(0, 7)} y", min_share=0.1) is None
    assert found(item, f"x {counted(0, 5)} y", min_share=0.1, short_run=5) == ("short runs", 1 / 6)


def test_a_run_twice_in_a_row_counts_once():
    item = counted(0, 10)
    assert found(item, f"{counted(0, 8)} and again {counted(0, 8)}", min_share=0.6) is None


def test_a_very_short_item_is_found_where_a_row_asks_the_same_words():
    assert found("Hi!", "hi") == ("same", 1.0)
    assert found("Hi!", "hi there") is None
    assert found("?!", "?!") is None


def test_an_item_of_five_to_seven_words_is_found_as_a_whole():
    assert found("What is the capital of France?", "Please answer: what is the capital of France, thanks")
    assert found("What is the capital of France?", "Please answer: what is the capital of Peru, thanks") is None
    assert found("Is it raining now?", "Say, is it raining now, or not") is None
    assert found("我们一年有多少天假期呢", "请问我们一年有多少天假期呢,谢谢")


def test_an_item_of_few_words_within_a_template_is_found_by_runs_that_are_half_its_own():
    template = "Say whether this tweet is positive or negative: "
    tails = ["my dog ate the cake", "we lost again at home", "rain all day in town", "best show of the year"]
    index = overlap_index({"test": [asked(template + tail) for tail in tails * 2]})
    assert [hit.item for hit in index.hits([asked(f"Now. {template} {tails[2]}! Think.")])] == [2]
    assert not index.hits([asked(f"Now. {template} rain all day on monday! Think.")])


def test_a_turn_of_a_longer_conversation_is_an_item_if_it_is_no_phrase():
    index = overlap_index({"test": [asked("Thank you!"), asked("Where is my parcel now?")]})
    turns = ["where is my parcel NOW", "it is there", "thank you"]
    row = Example("", tuple(Message("assistant" if n % 2 else "user", turn) for n, turn in enumerate(turns)))
    assert [(hit.item, hit.rule) for hit in index.hits([row])] == [(1, "same")]


def test_the_answer_of_a_row_is_searched_and_the_answer_of_an_item_is_not_looked_for():
    text = counted(0, 30)
    assert overlap_index({"test": [asked(text)]}).hits([asked("say it", answer=text)])
    assert not overlap_index({"test": [asked("say it now please", answer=text)]}).hits([asked("other", answer=text)])


def test_the_system_turn_is_neither_looked_for_nor_searched():
    system = Message("system", counted(0, 30))
    item = Example("", (system, Message("user", "one question here only")))
    row = Example("", (system, Message("user", "another question"), Message("assistant", "ok")))
    assert not overlap_index({"test": [item]}).hits([row])
    assert item_text(item) == "one question here only"
    assert item_text(Example("", (Message("assistant", "a plain text"),))) == "a plain text"


def test_a_template_that_all_items_share_is_no_hit_and_its_items_still_are():
    template = "Classify the following tweet as positive or negative or neutral and say only the class: "
    items = [asked(template + counted(100 * n, 12)) for n in range(8)]
    index = overlap_index({"test": items})
    assert not index.hits([asked(template + "some other words that are of no item"), asked(template + "w0 w1 w2 w3 x")])
    assert [hit.item for hit in index.hits([asked("otherwise asked: " + counted(300, 12))])] == [3]


def test_max_items_says_what_a_template_is():
    shared = counted(0, 20)
    items = [asked(f"{shared} item{n} {counted(100 * n + 100, 9)}") for n in range(20)]
    items[4:] = [asked(counted(5000 + 100 * n, 20)) for n in range(16)]
    row = asked(f"see {shared}")
    assert not overlap_index({"test": items}, OverlapSettings(max_items=3)).hits([row])
    assert len(overlap_index({"test": items}, OverlapSettings(max_items=4)).hits([row])) == 4


def test_equal_items_are_one_item_and_no_template():
    items = [asked(counted(0, 20)) for _ in range(10)]
    rest = [asked(counted(100 * n, 9)) for n in range(1, 9)]
    index = overlap_index({"test": items, "benchmark": items[:1], "others": rest})
    assert [item.source for item in index.items].count("test") == 1
    hits = index.hits([asked(f"x {counted(0, 20)}")])
    assert [index.items[hit.item].source for hit in hits] == ["test", "benchmark"]


def test_another_wording_of_the_same_fact_is_in_the_test_by_design():
    index = overlap_index({"test": [asked(f"please {counted(0, 20)}", fact="leave"), asked("how long", fact="leave")]})
    other = asked(f"tell me {counted(0, 20)}", fact="leave")
    assert not index.hits([other])
    assert index.hits([asked(f"tell me {counted(0, 20)}", fact="pay")])
    assert [hit.rule for hit in index.hits([asked("How long?", fact="leave")])] == ["same"]


def test_items_beyond_the_bound_are_counted():
    items = [asked(counted(100 * n, 20)) for n in range(5)]
    index = overlap_index({"test": items}, OverlapSettings(max_source_items=3))
    assert (len(index.items), index.skipped) == (3, {"test": 2})
    assert not index.hits([items[4]])


PERSIAN = "کارکنان شرکت می‌توانند در هر سال بیست و شش روز کاری مرخصی استحقاقی با حقوق بگیرند"
ARABIC_SPELLING = PERSIAN.replace("ی", "ي").replace("ک", "ك").replace("شرکت", "شــرکت")
CHINESE = "公司员工每年可以享受二十六天带薪年假但是必须提前两周向主管提出书面申请并且得到批准"
THAI = "พนักงานบริษัทสามารถลาพักร้อนได้ปีละยี่สิบหกวันโดยได้รับค่าจ้างตามปกติ"


@pytest.mark.parametrize(
    ("item", "row"),
    [
        (PERSIAN, f"سلام. {ARABIC_SPELLING}! ممنون"),
        (PERSIAN, ARABIC_SPELLING),
        ("پایتخت ایران ۱۲ کجاست؟", "پايتخت ايران 12 كجاست"),
        (CHINESE, f"请问:{CHINESE},对吗"),
        (THAI, f"ถาม: {THAI} ครับ"),
        ("ＦＵＬＬ　ｗｉｄｔｈ letters asked here", "full width LETTERS asked, here"),
    ],
)
def test_items_are_found_in_every_script(item, row):
    assert found(item, row)


def test_a_common_phrase_of_a_script_without_spaces_is_no_hit():
    assert found(CHINESE, "我们公司员工每年可以享受二十六天带薪年休息,请看说明") is None


def test_words_are_what_a_reader_would_call_so():
    assert words("foo_bar(x, 10)") == ["foo", "bar", "x", "10"]
    assert words("हिन्दी में") == ["हिन्दी", "में"]
    assert words("می‌خواهم كتاب ١٢ هِندی") == ["میخواهم", "کتاب", "12", "هندی"]
    assert words("日本のtokyo") == ["日", "本", "の", "tokyo"]


def test_runs_stay_within_a_text_and_do_not_go_over_a_gap():
    given = words_of(["a b c", "", "d e", "a b c"])
    runs = grams_of(given, 2)
    assert list(runs.texts) == [0, 0, 2, 3, 3]
    assert (runs.hashes[:2] == runs.hashes[3:]).all()
    assert len(set(runs.hashes[:3])) == 3
    hashes = text_hashes(given)
    assert hashes[0] == hashes[3] != 0
    assert hashes[1] == 0
    gap = given.where(given.hashes != given.hashes[1])
    assert list(grams_of(gap, 2).texts) == [2]


HOSTILE = st.text(max_size=80) | st.sampled_from(["", "\x00", "😀" * 50, "‏‏", "ا" * 300, "。" * 20])


@settings(deadline=None, max_examples=25)
@given(st.lists(HOSTILE, max_size=6), st.lists(HOSTILE, max_size=6))
def test_any_text_is_compared_and_an_item_is_found_in_itself(items, rows):
    index = overlap_index({"test": [asked(item) for item in items]})
    index.hits([asked(row) for row in rows])
    with_words = [asked(item) for item in items if words(item)]
    assert {hit.text for hit in index.hits(with_words)} == set(range(len(with_words)))


def test_a_text_of_a_megabyte_is_searched():
    item = counted(0, 20)
    assert overlap_index({"test": [asked(item)]}).hits([asked("a" * 1_000_000 + f" {item} " + "b c " * 100_000)])


def checked(check, rows, chunk=2):
    for start in range(0, len(rows), chunk):
        check.see(rows[start : start + chunk])
    return check.finding()


def others(**named):
    return {name.replace("_", " "): lambda data=data: iter(data) for name, data in named.items()}


def test_the_check_counts_by_source_shows_pairs_and_drops_the_rows(tmp_path):
    own = [asked(counted(1000 * n, 20), source=f"test.jsonl:{n}") for n in range(1, 9)]
    earlier = [asked(counted(50_000, 20), source="old.jsonl:1"), own[0]]
    named = others(test_of_refunds=earlier, own_test=own, training_data_of_refunds=[asked(counted(70_000, 20))])
    rows = [Row(10 * n, asked(f"harmless {n} {counted(90_000 + 100 * n, 30)}")) for n in range(10)]
    rows[3] = Row(30, asked(f"x {counted(1000, 20)}", source="train.jsonl:4"))
    rows[5] = Row(50, asked(f"x {counted(50_000, 20)}"))
    rows[6] = Row(60, asked(f"x {counted(70_000, 20)}"))
    check = Contamination(ContaminationSettings(), Context(tmp_path, others=named))
    finding = checked(check, rows)
    assert finding.title == "2 of 10 training rows hold held-out items: 2 of test of refunds, 1 of own test"
    assert (finding.level, finding.num_rows, finding.remedy) == ("problem", 2, "drop them from training")
    assert finding.figures["sources"]["own test"] == {
        "items": 8, "items_found": 1, "rows": 1, "items_not_compared": 0,
    }  # fmt: skip
    assert finding.figures["rules"] == {"same": 0, "long run": 2, "short runs": 0}
    assert finding.shown[0].source == "train.jsonl:4"
    assert finding.shown[1].note.startswith("own test: test.jsonl:1, by a run of 13 words in common: w1000 w1001")
    assert [row.number for row in rows if check.decide(row)] == [30, 50]
    drop = check.decide(rows[5])
    assert drop == Drop(
        "contamination",
        "holds a held-out item (test of refunds: old.jsonl:1; a run of 13 words in common)",
    )


def test_where_most_rows_are_hit_the_template_is_to_blame_and_nothing_is_dropped(tmp_path):
    template = counted(0, 20)
    check = Contamination(ContaminationSettings(), Context(tmp_path, others=others(own_test=[asked(f"{template} x1")])))
    finding = checked(check, [Row(n, asked(f"{template} y{n}")) for n in range(10)])
    assert finding.remedy is None
    assert "share a template" in finding.title


def test_without_held_out_data_the_check_says_so(tmp_path):
    check = Contamination(ContaminationSettings(), Context(tmp_path))
    finding = checked(check, [Row(0, asked("x"))])
    assert (finding.level, finding.remedy) == ("note", None)
    assert check.decide(Row(0, asked("x"))) is None


def test_benchmarks_are_looked_for_whatever_their_columns(tmp_path):
    known, unknown = tmp_path / "known.jsonl", tmp_path / "unknown.jsonl"
    known.write_text(json.dumps({"question": counted(0, 20), "answer": "4"}) + "\n")
    unknown.write_text(json.dumps({"ctx": counted(100, 20), "endings": ["x", {"y": counted(200, 20)}]}) + "\n")
    rows = [Row(n, asked(f"x {counted(100 * n, 20)}")) for n in range(8)]
    without = Contamination(ContaminationSettings(), Context(tmp_path))
    assert checked(without, rows).num_rows == 0
    check = Contamination(ContaminationSettings(benchmarks=(str(known), str(unknown))), Context(tmp_path))
    assert checked(check, rows).num_rows == 3
    assert [row.number for row in rows if check.decide(row)] == [0, 1, 2]
    assert "known.jsonl:1" in check.decide(rows[0]).reason
    (tmp_path / "empty.jsonl").write_text('{"n": 1}\n')
    with pytest.raises(DataError, match="no row has a text"):
        benchmark_items(str(tmp_path / "empty.jsonl"))


def test_test_rows_that_were_trained_on_before_are_reported_and_dropped_from_the_test(tmp_path):
    rows = [Row(n, asked(counted(1000 * n, 20), source=f"t:{n}")) for n in range(6)] + [Row(9, asked("?"))]
    earlier = [asked("x"), asked(f"earlier {counted(2000, 20)}", source="old.jsonl:7")]
    named = others(training_data_of_refunds=earlier, test_of_refunds=[asked(counted(3000, 20))])
    check = HeldOutSeen(HeldOutSeenSettings(), Context(tmp_path, others=named))
    finding = checked(check, rows)
    assert finding.title == "1 of 7 test rows were trained on before: 1 in the training data of refunds"
    assert finding.remedy is not None
    assert finding.shown[0].note == "stands in the training data of refunds (old.jsonl:7), by long run"
    assert [row.number for row in rows if check.decide(row)] == [2]
    assert check.decide(rows[2]).kind == "seen_in_training"
    alone = HeldOutSeen(HeldOutSeenSettings(), Context(tmp_path))
    assert checked(alone, rows).level == "note"
    bounded = HeldOutSeen(HeldOutSeenSettings(max_source_items=2), Context(tmp_path, others=named))
    assert checked(bounded, rows).num_rows == 0
    assert "not compared, because there are too many: 4 items of this test" in bounded.finding().title


def test_the_first_place_of_an_item_is_named():
    index = overlap_index({"test": [asked(counted(0, 20))]})
    again = [asked(f"x {counted(0, 20)}", source=f"f:{n}") for n in range(3)]
    (seen,) = held_out_seen(index, {"one": lambda: [], "two": lambda: again}).values()
    assert (seen.source, seen.place, seen.rule) == ("two", "f:0", "long run")


def rows_of(path, column):
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line)[column] for line in file]


def test_real_benchmark_items_planted_in_real_rows_are_found_and_nothing_else(shared_data):
    items = read(str(shared_data / "gsm8k" / "test.jsonl.gz"), need_demonstration=False).examples
    rows = read(str(shared_data / "chat_formats" / "alpaca_en_demo.jsonl.gz")).examples
    index = overlap_index({"gsm8k": items})
    assert index.hits(rows) == []
    draw = random.Random(0)
    planted = draw.sample(range(len(items)), 100)
    leaked = [asked(f"Solve: {items[item].messages[0].content} Thanks.") for item in planted]
    hits = index.hits(leaked)
    assert {hit.text for hit in hits} == set(range(100))
    assert {(hit.text, hit.item) for hit in hits} > set(enumerate(planted))
    assert len(hits) == 102  # two of them are near-duplicates of other items of GSM8K


def test_real_persian_questions_planted_in_persian_rows_are_found(shared_data):
    questions = rows_of(shared_data / "fa_pquad" / "validation_1500.jsonl.gz", "question")[:300]
    sentences = rows_of(shared_data / "fa_common_voice" / "sentences_6000.jsonl.gz", "text")[:2000]
    index = overlap_index({"pquad": [asked(question) for question in questions]})
    assert index.hits([asked(sentence) for sentence in sentences]) == []
    respelt = [asked(question.replace("ی", "ي").replace("ک", "ك").rstrip("؟?")) for question in questions]
    assert {hit.text for hit in index.hits(respelt)} == set(range(300))
