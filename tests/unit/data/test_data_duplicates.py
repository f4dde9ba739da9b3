"""The three checks for duplicates: what is compared, what is kept, what every setting does, and review by people."""

import json

import numpy as np
import pytest

from holdfast.data.check import Context, Drop, Row
from holdfast.data.checks.exact_duplicates import ExactDuplicates
from holdfast.data.checks.near_duplicates import NearDuplicates
from holdfast.data.checks.semantic_duplicates import SemanticDuplicates
from holdfast.data.dedup.clusters import read_review, write_clusters
from holdfast.data.dedup.compared import compared, whole
from holdfast.data.dedup.quality import complete, explain, noise, quality, ranks
from holdfast.data.read import read
from holdfast.errors import ConfigError, DataError
from holdfast.types import Example, Message, ToolCall

CHECKS = [ExactDuplicates, NearDuplicates, SemanticDuplicates]
SENTENCE = "please tell me how to get my money back for the blue shoes that i bought"
ODD = [
    "",
    " \n ",
    "\x00",
    "\u202eabc\u202c",
    "\U0001f600",
    "\ud800",
    "a b " * (1 << 18),
    "!?" * 99,
    "한국어 텍스트",
    "你好",
]


def said(prompt, answer=None, *, label=None, system=None, **more):
    turns = [Message("system", system)] if system is not None else []
    turns += [Message("user", prompt)] if prompt is not None else []
    turns += [Message("assistant", answer)] if answer is not None else []
    return Example(id="", messages=tuple(turns), label=label, **more)


def rows_of(*examples):
    """Rows with numbers that have gaps, as after other checks."""
    return [
        Row(3 * i, Example(**{**{f: getattr(e, f) for f in e.__slots__}, "source": f"data.jsonl:{i + 1}"}))
        for i, e in enumerate(examples)
    ]


def letters(texts):
    """An encoder for tests: texts mean the same where they have the same letters, roughly."""
    counts = np.array([[text.casefold().count(c) for c in "abcdefghijklmnopqrstuvwxyz0123456789"] for text in texts])
    vectors = np.concatenate([counts, np.full((len(texts), 1), 0.1)], axis=1).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def made(tmp_path):
    """Makes a check of the given settings that has seen the rows, in chunks."""
    count = iter(range(99))

    def make(check, rows, *, embed=letters, chunk=2, **told):
        scratch = tmp_path / f"scratch.{next(count)}"
        scratch.mkdir()
        one = check(check.Settings(**told), Context(scratch, embed=embed))
        for start in range(0, len(rows), chunk):
            one.see(rows[start : start + chunk])
        return one

    return make


def dropped(check, rows):
    """The places of the rows that a check drops."""
    return [i for i, row in enumerate(rows) if check.decide(row) is not None]


# What all three have in common


@pytest.mark.parametrize("check", CHECKS)
def test_of_equal_rows_the_best_is_kept_and_the_reason_names_it(made, check):
    rows = rows_of(
        said(SENTENCE), said(SENTENCE, "Use the form."), said("something else entirely here"), said(SENTENCE)
    )
    one = made(check, rows, on="prompt")
    assert dropped(one, rows) == [0, 3]
    decision = one.decide(rows[0])
    assert isinstance(decision, Drop)
    assert decision.kind == check.kind
    assert decision.reason.endswith("data.jsonl:2, which is kept because it has an answer")
    finding = one.finding()
    assert (finding.check, finding.num_rows) == (check.name, 2)
    assert finding.figures["duplicates"] == 2
    assert finding.figures["clusters"] == 1
    assert finding.figures["largest_cluster"] == 3
    assert finding.remedy
    assert [shown.source for shown in finding.shown] == ["data.jsonl:1", "data.jsonl:4"]
    assert finding.shown[0].note == decision.reason


@pytest.mark.parametrize("check", CHECKS)
def test_the_same_prompt_with_another_answer_is_no_duplicate(made, check):
    rows = rows_of(said(SENTENCE, "yes"), said(SENTENCE, "no"), said(SENTENCE, "yes"))
    assert dropped(made(check, rows), rows) == [2]
    assert dropped(made(check, rows, on="prompt"), rows) == [1, 2]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    "other",
    [
        said(SENTENCE, "yes", system="be rude"),
        said(SENTENCE, "yes", document="page 2"),
        said(SENTENCE, "yes", tools=({"name": "book"},)),
    ],
)
def test_rows_in_another_setting_are_no_duplicates(made, check, other):
    rows = rows_of(said(SENTENCE, "yes"), other)
    assert dropped(made(check, rows), rows) == []
    same = rows_of(other, other)
    assert dropped(made(check, same), same) == [1]


@pytest.mark.parametrize("check", CHECKS)
def test_equal_texts_with_different_labels_are_reported_and_none_is_dropped(made, check):
    rows = rows_of(said(SENTENCE, label="good"), said(SENTENCE, label="bad"), said(SENTENCE, label="good"), said("x"))
    one = made(check, rows)
    assert dropped(one, rows) == [2], "the second that is called good"
    finding = one.finding()
    assert finding.level == "problem"
    assert finding.figures["conflicting_labels"] >= 2
    assert "different labels" in finding.title
    assert "another label" in finding.shown[0].note
    unlabelled = rows_of(said(SENTENCE, label="good"), said(SENTENCE))
    assert made(check, unlabelled).finding().figures["conflicting_labels"] == 0


@pytest.mark.parametrize("check", CHECKS)
def test_other_columns_must_be_equal_where_the_settings_name_them(made, check):
    rows = rows_of(said(SENTENCE, columns={"target": 1, "id": 1}), said(SENTENCE, columns={"target": 2, "id": 2}))
    assert dropped(made(check, rows), rows) == [1]
    assert dropped(made(check, rows, columns=("target",)), rows) == []


@pytest.mark.parametrize("check", CHECKS)
def test_no_odd_text_stops_a_check_and_what_was_not_seen_is_left_alone(made, check):
    rows = rows_of(*(said(text) for text in ODD), *(said("a b", text) for text in ODD), Example("", ()))
    one = made(check, rows)
    assert one.finding().figures["rows"] == len(rows)
    assert all(isinstance(one.decide(row), Drop | None) for row in rows)
    assert one.decide(Row(10**9, said("never seen"))) is None


@pytest.mark.parametrize("check", CHECKS)
def test_no_rows_are_no_finding(made, check):
    finding = made(check, []).finding()
    assert (finding.level, finding.num_rows, finding.remedy) == ("ok", 0, None)


@pytest.mark.parametrize("check", CHECKS)
def test_a_person_can_decide_otherwise(made, check, tmp_path):
    rows = rows_of(said(SENTENCE, "yes"), said(SENTENCE, "yes"), said(SENTENCE, "yes"), said("another", "no"))
    path = tmp_path / "clusters.jsonl"
    assert write_clusters(path, made(check, rows).clusters(), rows) == 3
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["row"], line["keep"]) for line in lines] == [(0, True), (3, False), (6, False)]
    path.write_text("\n".join(json.dumps({**line, "keep": line["row"] != 0}) for line in lines))
    one = made(check, rows, review=str(path))
    assert dropped(one, rows) == [0]
    assert "marked" in one.decide(rows[0]).reason
    assert one.finding().num_rows == 1


# Exact


@pytest.mark.parametrize(
    ("name", "other"), [("case", SENTENCE.upper()), ("spaces", f" {SENTENCE}\n"), ("unicode", SENTENCE + "\uff01")]
)
def test_what_makes_no_other_text_can_be_told(made, name, other):
    rows = rows_of(said(SENTENCE + "!" * (name == "unicode")), said(other))
    assert dropped(made(ExactDuplicates, rows), rows) == [1]
    assert dropped(made(ExactDuplicates, rows, **{name: False}), rows) == []


def test_a_word_moved_from_one_turn_to_the_next_makes_another_row(made):
    rows = rows_of(said("a b", "c"), said("a", "b c"), said("a b c"), said(None, "a b c"))
    assert dropped(made(ExactDuplicates, rows), rows) == []


def test_calls_are_part_of_what_is_said():
    call = Message("assistant", "", (ToolCall("book", '{"city": "Oslo"}'),))
    one = compared(Example("", (Message("user", "book oslo"), call)))
    assert one.answer == 'book {"city": "Oslo"}'
    assert "Oslo" in whole(Example("", (Message("user", "book oslo"), call)))


def test_what_says_nothing_else_is_compared_on_its_document():
    assert compared(said(None, document="a page")).prompt == "a page"
    assert compared(said("q", document="a page")).prompt == "q"
    assert compared(said("q", "a", privileged_context="hint")).answer == "a\nhint"


# Near


def changed(text, *places):
    return " ".join(f"other{i}" if i in places else word for i, word in enumerate(text.split()))


def test_nearly_equal_rows_are_found_by_the_share_of_shingles(made):
    rows = rows_of(said(SENTENCE), said(changed(SENTENCE, 15)), said(changed(SENTENCE, 3, 6, 9, 12)))
    one = made(NearDuplicates, rows)  # 16 words, 15 pairs of words: one word at the end changes one of them
    assert dropped(one, rows) == [1]
    assert "88%" in one.decide(rows[1]).reason  # 14 of 16
    assert dropped(made(NearDuplicates, rows, threshold=0.9), rows) == []
    assert dropped(made(NearDuplicates, rows, threshold=0.2), rows) == [1, 2]


def test_answers_must_be_alike_by_themselves(made):
    long = f"{SENTENCE} and the red hat and the green coat and all the other things i ever bought from you"
    rows = rows_of(said(long, "the answer is a"), said(long, "the answer is b c d"), said(long, "the answer is a"))
    assert dropped(made(NearDuplicates, rows), rows) == [2]


def test_how_wide_shingles_are_can_be_told(made):
    swapped = " ".join(reversed(SENTENCE.split()))
    rows = rows_of(said(SENTENCE), said(swapped))
    assert dropped(made(NearDuplicates, rows), rows) == []
    assert dropped(made(NearDuplicates, rows, words=1), rows) == [1]
    chinese = "我想预订一张去北京的火车票"
    rows = rows_of(said(chinese), said("".join(reversed(chinese))))
    assert dropped(made(NearDuplicates, rows), rows) == []
    assert dropped(made(NearDuplicates, rows, characters=1), rows) == [1]


def test_the_wording_of_a_template_makes_no_duplicates(made):
    template = "Say whether the writer of the following short message is glad or sad about what happened: "
    rows = rows_of(*(said(f"{template}{a} {b} {a}{b}") for a in "abcdef" for b in "uvwxyz"))
    assert dropped(made(NearDuplicates, rows), rows) == []
    assert len({made(NearDuplicates, rows).group_of(row.number) for row in rows}) > 30
    assert len(dropped(made(NearDuplicates, rows, boilerplate=1.0), rows)) == 35


def test_a_pair_at_the_threshold_is_found_more_surely_with_more_recall_and_permutations(made):
    drawn = np.random.default_rng(0)
    texts = [" ".join(f"w{w}" for w in drawn.integers(0, 10**6, 20)) for _ in range(150)]
    rows = rows_of(*(said(text) for text in texts), *(said(changed(text, 17, 18, 19)) for text in texts))  # 16 of 22
    assert len(dropped(made(NearDuplicates, rows), rows)) >= 147
    assert len(dropped(made(NearDuplicates, rows, recall=0.3), rows)) < 130
    assert len(dropped(made(NearDuplicates, rows, permutations=2), rows)) < 147


def test_groups_for_the_split_are_looser_and_there_whatever_is_dropped(made):
    near, far = changed(SENTENCE, 15), changed(SENTENCE, 3, 6)
    rows = rows_of(said("a thing apart"), said(SENTENCE, "yes"), said(near, "no"), said(far, "maybe"))
    one = made(NearDuplicates, rows)
    assert dropped(one, rows) == [], "their answers differ"
    assert [one.group_of(row.number) for row in rows] == [0, 3, 3, 3]
    strict = made(NearDuplicates, rows, group_threshold=0.8)
    assert [strict.group_of(row.number) for row in rows] == [0, 3, 3, 9]
    assert one.group_of(10**9) == 10**9


def test_a_threshold_of_zero_is_refused():
    with pytest.raises(ValueError, match="makes all rows alike"):
        NearDuplicates.Settings(threshold=0.0)


# Meaning


def test_how_near_in_meaning_can_be_told(made):
    rows = rows_of(said("listen to me", "ok"), said("silent to me", "ko"), said("silent to me again", "ko"))
    assert dropped(made(SemanticDuplicates, rows, threshold=0.99), rows) == [1]
    assert dropped(made(SemanticDuplicates, rows, threshold=0.8), rows) == [1, 2]
    one = made(SemanticDuplicates, rows, group_threshold=0.999)
    assert [one.group_of(row.number) for row in rows] == [0, 0, 6]
    assert [made(SemanticDuplicates, rows).group_of(row.number) for row in rows] == [0, 0, 0]


def test_without_an_encoder_the_finding_says_so_and_nothing_is_dropped(made):
    rows = rows_of(said(SENTENCE), said(SENTENCE))
    one = made(SemanticDuplicates, rows, embed=None)
    assert one.finding().level == "note"
    assert "holdfast[embed]" in one.finding().title
    assert dropped(one, rows) == []
    assert [one.group_of(row.number) for row in rows] == [0, 3]
    with pytest.raises(ConfigError, match="no effect"):
        made(SemanticDuplicates, rows, embed=None, review="clusters.csv")


def test_more_rows_than_are_worth_the_time_are_not_compared(made):
    rows = rows_of(*(said(SENTENCE) for _ in range(5)))
    one = made(SemanticDuplicates, rows, max_rows=4)
    assert "5 rows are more than max_rows = 4" in one.finding().title
    assert dropped(one, rows) == []
    assert dropped(made(SemanticDuplicates, rows, max_rows=5), rows) == [1, 2, 3, 4]


def test_only_texts_that_matter_are_embedded_and_each_once(made):
    seen = []

    def embed(texts):
        seen.extend(texts)
        return letters(texts)

    rows = rows_of(said("abc", "x"), said("abc", "x"), said("abc", "y"), said("zzz", "never needed"), said("abc", "z"))
    made(SemanticDuplicates, rows, embed=embed).finding()
    assert "never needed" not in seen
    assert sorted(t for t in seen if len(t) == 1) == ["x", "y", "z"]


def test_duplicates_in_meaning_are_reported_and_dropped_only_where_asked_for():
    assert SemanticDuplicates.Settings().remedy == "skip"
    assert SemanticDuplicates.Settings(remedy="apply").remedy == "apply"


# The best


def test_the_order_of_quality():
    broken = "It is a long answer. It has sentences. And then it just goes on until it sudd"
    noisy = "word " * 60
    order = [
        said("q", "A complete answer that is longer than the next."),
        said("q", "A complete answer."),
        said("q", noisy),
        said("q", broken),
        said("q"),
    ]
    numbers = [quality(example) for example in order]
    assert numbers == sorted(numbers, reverse=True)
    assert len(set(numbers)) == 5
    assert explain(numbers[0], numbers[1]) == "its answer is longer"
    assert explain(numbers[1], numbers[2]) == "it repeats less or has fewer symbols"
    assert explain(numbers[2], numbers[3]) == "it does not break off"
    assert explain(numbers[3], numbers[4]) == "it has an answer"
    assert explain(numbers[4], numbers[4]) == "it was read first"


def test_noise_is_the_share_of_repeated_words_or_of_symbols():
    assert noise("") == 0
    assert noise("a b c d") == 0
    assert noise("a!b!") == pytest.approx(1 / 2)
    assert noise("word " * 20) == pytest.approx(1 - 2 / 20)
    assert noise("a quiet sentence, as they are. it has eleven words and one more") < 0.2


@pytest.mark.parametrize(
    ("text", "whole_text"),
    [("Paris", True), ("One. Two.", True), ("One. Tw", False), ("x = f(a. b)", True), ("你好。 再", False), ("", True)],
)
def test_only_sentences_can_break_off(text, whole_text):
    assert complete(text) is whole_text


def test_of_equals_the_first_read_is_best():
    assert ranks(np.array([3, 7, 7, 3])).tolist() == [2, 0, 1, 3]


# Files of clusters


@pytest.fixture
def clusters(made):
    rows = rows_of(
        said(SENTENCE, "=2+3"), said(SENTENCE, "=2+3"), said("apart"), said("a\n\u0001b", "c"), said("a b", "c")
    )
    return rows, list(made(ExactDuplicates, rows).clusters())


@pytest.mark.parametrize("name", ["clusters.csv", "clusters.jsonl"])
def test_clusters_are_written_and_read_back(clusters, tmp_path, name):
    rows, found = clusters
    path = tmp_path / name
    assert write_clusters(path, found, rows) == 2
    review = read_review(path)
    assert dict(review.keep) == {0: True, 3: False}
    assert review.cluster[0] == review.cluster[3] == "1"
    assert not review.keeps(3, rows[1].example)
    assert review.keeps(6, rows[2].example), "what is not in the file is kept"
    with pytest.raises(DataError, match="written for other data"):
        review.keeps(3, rows[2].example)


def test_no_spreadsheet_takes_a_text_for_a_formula(clusters, tmp_path):
    rows, found = clusters
    path = tmp_path / "clusters.csv"
    write_clusters(path, found, rows)
    assert ",'=2+3" in path.read_text()
    assert ",=2+3" not in path.read_text()


def test_marks_are_read_as_spreadsheets_save_them(tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("\ufeffcluster;keep;row;id\r\n1;TRUE;0;\r\n1;FALSE;3;\r\n2;x;6;\r\n2;;9;\r\n", newline="")
    assert dict(read_review(path).keep) == {0: True, 3: False, 6: True, 9: False}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('{"cluster": 1, "keep": "perhaps", "row": 1}', "write true or false"),
        ('{"cluster": 1, "keep": true, "row": "one"}', "no number"),
        ('{"cluster": 1, "keep": true}', "row"),
        ('{"cluster": 1, "keep": true, "row": 1}\n{"cluster": 1, "keep": true, "row": 1}', "twice"),
        ('{"cluster": 1, "keep": false, "row": 1}', "nothing is kept of cluster 1"),
        ("[1]", "not an object"),
        ("{", "Save it as UTF-8"),
    ],
)
def test_a_wrong_mark_is_named_with_its_line(tmp_path, text, what):
    path = tmp_path / "c.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=what):
        read_review(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: cannot be read"):
        read_review(tmp_path / "none.csv")


# Real data


def test_real_tweets_with_equal_words_and_different_moods_are_conflicts(made, shared_data):
    tweets = read(str(shared_data / "tweet_sentiment" / "train.jsonl.gz"), columns={"label": "sentiment"}).examples
    rows = [Row(i, example) for i, example in enumerate(tweets)]
    exact = made(ExactDuplicates, rows, chunk=4096).finding()
    assert 10 < exact.figures["duplicates"] < 100
    assert exact.figures["conflicting_labels"] >= 4
    near = made(NearDuplicates, rows, chunk=4096)
    assert exact.figures["duplicates"] < near.finding().figures["duplicates"] < 500
    assert all(rows[c.kept].example.label == rows[d].example.label for c in near.clusters() for d in c.dropped)


def test_real_rows_of_one_template_are_not_taken_for_duplicates(made, shared_data):
    """Seven thousand tool calls share eight long instructions; what the calls say is what is compared."""
    tasks = read(str(shared_data / "dedup_gpteacher_toolformer" / "tasks.jsonl.gz")).examples
    rows = [Row(i, example) for i, example in enumerate(tasks[:4000])]
    near = made(NearDuplicates, rows, chunk=4096)
    assert 20 < near.finding().num_rows < 400
    groups = [near.group_of(row.number) for row in rows]
    assert max(groups.count(group) for group in set(groups)) < len(rows) / 4
