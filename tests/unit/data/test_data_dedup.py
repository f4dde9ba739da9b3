"""The algorithms behind the checks for duplicates: shingles, MinHash bands, neighbours, and who stands for whom."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.dedup import fuzzy
from holdfast.data.dedup.columns import Column, TextColumn
from holdfast.data.dedup.compared import normalised
from holdfast.data.dedup.exact import best_of, content_keys, equal_groups, equal_rows
from holdfast.data.dedup.fuzzy import bands_for, near_duplicates, similarities
from holdfast.data.dedup.groups import Pairs, groups, joined, representatives, settled
from holdfast.data.dedup.semantic import cosines_of, neighbours
from holdfast.data.dedup.shingles import PIECE, Sets, common, distinct, shingle_sets, without

HOSTILE = ["", " \n\t ", "\x00\x00", "\u202eabc\u202c", "\U0001f600\U0001f600", "\ud800", "a" * (1 << 20), "!?" * 99]


def jaccard(one, other, words=2, characters=4):
    sets = shingle_sets([one, other], words, characters)
    return float(similarities(sets, np.array([0]), np.array([1]))[0])


def pairs_of(*triples):
    first, second, similarity = zip(*triples, strict=True) if triples else ((), (), ())
    return Pairs(np.array(first, np.int64), np.array(second, np.int64), np.array(similarity, np.float32))


# Shingles


def test_similarity_is_the_share_of_shingles_that_two_texts_have_in_common():
    assert jaccard("a b c d", "a b c d e") == pytest.approx(3 / 4)  # ab bc cd | ab bc cd de
    assert jaccard("a b c d", "a b c d e", words=1) == pytest.approx(4 / 5)
    assert jaccard("a b a b a b", "a b") == pytest.approx(1 / 2)  # ab ba | ab
    assert jaccard("is a more than b", "is b more than a") == pytest.approx(1 / 7)


def test_marks_of_sentences_do_not_count_and_signs_do():
    assert jaccard("Hello, world. (Yes!)", "Hello world yes".replace("y", "Y")) == 1
    assert jaccard("well-known words", "well known words") == 1
    assert jaccard("3 + 4 = 7", "3 - 4 = 7") < 0.5
    assert jaccard("costs 3.5 euros", "costs 3 5 euros") < 0.5
    assert jaccard("\U0001f600 nice", "\U0001f621 nice") == 0


def test_a_text_shorter_than_a_shingle_is_one_shingle():
    assert shingle_sets(["yes", "yes no", "yes no yes"], 3).sizes().tolist() == [1, 1, 1]
    assert jaccard("yes", "Yes", words=3) == 0  # case is what `normalised` is for
    assert jaccard("yes", "yes!", words=3) == 1


def test_scripts_without_spaces_are_compared_by_characters():
    one, other = "我想预订一张去北京的火车票", "我想预订一张去上海的火车票"
    sets = shingle_sets([one, other], 2, 4)
    assert sets.sizes().tolist() == [10, 10]  # 13 characters, 4 at a time
    # Shingles that hold neither of the two places differ in none: 我想预订 想预订一 预订一张 订一张去 的火车票.
    assert similarities(sets, np.array([0]), np.array([1]))[0] == pytest.approx(5 / 15)


def test_words_of_persian_are_the_same_with_a_joiner_and_with_a_space():
    assert jaccard("می\u200cروم به خانه", "می روم به خانه") == 1


@given(st.lists(st.text("ab \n.1+漢", max_size=12), max_size=6), st.integers(1, 3))
def test_shingles_are_those_of_a_plain_loop(texts, words):
    sets = shingle_sets(texts, words, words + 1)
    for text, start, stop in zip(texts, sets.starts, sets.stops, strict=True):
        found = re.findall(r"(?:[ab1]|(?<=1)\.(?=1))+|\+|漢", text)
        width = words + 1 if 2 * found.count("漢") > len(found) else words
        width = min(width, len(found)) or 1
        expected = {tuple(found[i : i + width]) for i in range(len(found) - width + 1)}
        assert stop - start == len(expected)
        assert np.all(np.diff(sets.values[start:stop].astype(np.int64)) > 0)


def test_no_odd_text_stops_the_shingles_and_a_long_one_is_taken_in_pieces():
    sets = shingle_sets(HOSTILE, 2, 4)
    assert len(sets) == len(HOSTILE)
    assert sets.sizes()[[0, 1]].tolist() == [0, 0]
    word = "word " * (PIECE // 5)
    assert shingle_sets([word * 3], 2).sizes().tolist() <= [4]


@given(st.lists(st.sets(st.integers(0, 30)), min_size=2, max_size=8))
def test_similarities_are_those_of_python_sets(python_sets):
    values = np.array([v for s in python_sets for v in sorted(s)], dtype=np.uint32)
    stops = np.cumsum([len(s) for s in python_sets])
    sets = Sets(values, stops - [len(s) for s in python_sets], stops)
    first, second = np.array(list(itertools.combinations(range(len(python_sets)), 2))).T
    found = similarities(sets, first, second)
    for one, other, similarity in zip(first, second, found, strict=True):
        union = python_sets[one] | python_sets[other]
        expected = len(python_sets[one] & python_sets[other]) / len(union) if union else 1
        assert similarity == pytest.approx(expected)


def test_pairs_are_compared_in_blocks_with_the_same_result(monkeypatch):
    sets = shingle_sets([f"{i} {i + 1} {i + 2} {i + 3}" for i in range(50)], 1)
    first, second = np.triu_indices(50, 1)
    at_once = similarities(sets, first, second)
    monkeypatch.setattr(fuzzy, "AT_A_TIME", 7)
    assert np.array_equal(similarities(sets, first, second), at_once)


def test_the_wording_of_a_template_is_found_and_left_out(tmp_path):
    texts = [f"please label the mood of this text {i} {i * i} {i + 7}" for i in range(40)]
    sets = shingle_sets(texts, 2)
    template = common(sets, 0.5)
    assert len(template) == 6  # please label, label the, the mood, mood of, of this, this text
    rest = without(sets, template, tmp_path / "rest")
    assert (sets.sizes() - rest.sizes()).tolist() == [6] * 40
    for i in (0, 17, 39):
        before = set(sets.values[sets.starts[i] : sets.stops[i]].tolist())
        assert set(rest.values[rest.starts[i] : rest.stops[i]].tolist()) == before - set(template.tolist())
    assert len(common(shingle_sets(texts[:10], 2), 0.5)) == 0, "ten rows are too few to speak of a template"


# Near-duplicates


def test_bands_are_as_wide_as_the_wanted_recall_allows():
    for threshold, recall in ((0.5, 0.9), (0.7, 0.99), (0.9, 0.999)):
        bands, rows = bands_for(threshold, 128, recall)
        assert 1 - (1 - threshold**rows) ** bands >= recall
        assert 1 - (1 - threshold ** (rows + 1)) ** (128 // (rows + 1)) < recall
        assert bands * rows <= 128
    assert bands_for(0.01, 4, 0.99) == (4, 1), "what cannot be had is come as near to as possible"


def word_texts(seed, num, length=20, vocabulary=3000):
    drawn = np.random.default_rng(seed)
    return [[f"w{w}" for w in drawn.integers(0, vocabulary, length)] for _ in range(num)]


def test_planted_near_duplicates_are_found_and_nothing_else(tmp_path):
    texts = word_texts(0, 600)
    copies = [[*words[:-1], "other"] for words in texts[:200]]  # 18 of 20 bigrams in common, 1 - 2/20
    sets = shingle_sets([" ".join(words) for words in texts + copies], 2)
    standing, pairs = near_duplicates(sets, np.arange(800), 0.7, folder=tmp_path)
    assert {tuple(sorted(p)) for p in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)} == {
        (i, 600 + i) for i in range(200)
    }
    assert np.flatnonzero(~standing.kept).tolist() == list(range(600, 800))
    assert standing.representative[600:].tolist() == list(range(200))
    assert standing.similarity[600] == pytest.approx(18 / 20)
    assert not list(tmp_path.iterdir()), "the bands' files are gone"


def test_the_recall_of_pairs_is_what_was_asked_for(tmp_path):
    """400 pairs just above the threshold: 27 words, 4 of them changed at the end, 22 of 30 bigrams in common."""
    texts = word_texts(1, 400, length=27, vocabulary=10**6)
    copies = [[*words[:-4], "x", "y", "z", words[0]] for words in texts]
    sets = shingle_sets([" ".join(words) for words in texts + copies], 2)
    _, pairs = near_duplicates(sets, np.arange(800), 0.7, folder=tmp_path, recall=0.99)
    assert len(pairs) >= 390
    _, fewer = near_duplicates(sets, np.arange(800), 0.7, folder=tmp_path, recall=0.5)
    assert len(fewer) < 380


def test_ten_thousand_texts_that_are_nearly_the_same_cost_few_comparisons(tmp_path, monkeypatch):
    stem = " ".join(word_texts(2, 1, length=60)[0])
    sets = shingle_sets([f"{stem} {i}" for i in range(10_000)], 2)
    compared = 0

    def counted(sets, first, second):
        nonlocal compared
        compared += len(first)
        return similarities(sets, first, second)

    monkeypatch.setattr(fuzzy, "similarities", counted)
    standing, _ = near_duplicates(sets, np.arange(10_000), 0.7, folder=tmp_path)
    assert standing.kept.sum() == 1
    assert compared < 3 * 10_000


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), threshold=st.sampled_from([0.4, 0.6, 0.8]))
def test_every_dropped_text_is_like_the_one_kept_in_its_place(tmp_path_factory, seed, threshold):
    drawn = np.random.default_rng(seed)
    texts = [" ".join(map(str, drawn.integers(0, 4, 8))) for _ in range(150)]  # alike in all degrees
    sets, rank = shingle_sets(texts, 2), drawn.permutation(150)
    standing, _ = near_duplicates(sets, rank, threshold, folder=tmp_path_factory.mktemp("bands"))
    dropped = np.flatnonzero(~standing.kept)
    kept_for = standing.representative[dropped]
    assert standing.kept[kept_for].all()
    assert (rank[kept_for] < rank[dropped]).all()
    assert (similarities(sets, dropped, kept_for) >= threshold).all()


def test_wordless_texts_are_like_no_other(tmp_path):
    standing, pairs = near_duplicates(shingle_sets(["", "!", "a b"], 2), np.arange(3), 0.5, folder=tmp_path)
    assert standing.kept.all()
    assert len(pairs) == 0


# Who stands for whom


def test_the_best_is_kept_and_a_chain_is_not_dropped_whole():
    chain = pairs_of((0, 1, 0.8), (1, 2, 0.7))  # 0 and 2 are not alike
    first_is_best = representatives(3, chain, np.array([0, 1, 2]))
    assert first_is_best.representative.tolist() == [0, 0, 2]
    middle_is_best = representatives(3, chain, np.array([1, 0, 2]))
    assert middle_is_best.representative.tolist() == [1, 1, 1]
    assert middle_is_best.similarity.tolist() == pytest.approx([0.8, 1, 0.7])
    assert groups(3, chain).tolist() == [0, 0, 0], "but a split keeps it together"


def test_the_most_similar_of_several_kept_rows_stands_for_a_row():
    standing = representatives(3, pairs_of((0, 2, 0.7), (1, 2, 0.9)), np.arange(3))
    assert standing.representative.tolist() == [0, 1, 1]


@given(st.integers(1, 12), st.data())
def test_no_two_kept_rows_are_a_pair(num_rows, data):
    every = list(itertools.combinations(range(num_rows), 2))
    chosen = data.draw(st.lists(st.sampled_from(every), unique=True)) if every else []
    rank = np.array(data.draw(st.permutations(range(num_rows))))
    pairs = pairs_of(*((a, b, 0.5) for a, b in chosen))
    standing = representatives(num_rows, pairs, rank)
    assert not any(standing.kept[a] and standing.kept[b] for a, b in chosen)
    for row in np.flatnonzero(~standing.kept):
        kept = standing.representative[row]
        assert standing.kept[kept]
        assert rank[kept] < rank[row]
        assert (min(row, kept), max(row, kept)) in chosen
    group = groups(num_rows, pairs)
    assert all(group[a] == group[b] for a, b in chosen)
    assert (group <= np.arange(num_rows)).all()


def test_pairs_are_joined_without_repetition():
    both = joined([pairs_of((1, 0, 0.5)), pairs_of((0, 1, 0.5), (1, 2, 0.6))])
    assert both.first.tolist() == [0, 1]
    assert both.second.tolist() == [1, 2]
    assert len(joined([])) == 0


def test_a_search_that_leaves_pairs_out_is_made_again_among_the_kept():
    asked = []

    def search(rows, number):
        asked.append(rows.tolist())
        neighbours = pairs_of(*((a, b, 1.0) for a, b in itertools.pairwise(rows.tolist())))
        return neighbours, rows

    standing, _ = settled(4, np.arange(4), np.arange(4), search)
    # 3 is back once 2, which stood for it, is dropped for 0.
    assert asked == [[0, 1, 2, 3], [0, 2], [0, 3]]
    assert np.flatnonzero(standing.kept).tolist() == [0]
    _, pairs = settled(4, np.arange(4), np.arange(4), lambda rows, number: (search(rows, number)[0], rows[:0]))
    assert len(pairs) == 3, "a complete search is not repeated"


# Exact


def test_equal_content_has_one_group_and_the_best_rank_stands_for_it():
    group = equal_groups(content_keys(["b", "a", "b", "c", "a", "b"]))
    assert group.tolist() == [0, 1, 0, 3, 1, 0]
    assert best_of(group, np.array([5, 1, 0, 2, 3, 4])).tolist() == [2, 1, 2, 3, 1, 2]
    assert equal_groups(content_keys([])).tolist() == []


def test_rows_are_equal_only_where_all_columns_are():
    one = np.array([1, 1, 2, 1], np.uint64)
    other = np.array([7, 8, 7, 7], np.uint64)
    assert equal_rows(one, other).tolist() == [0, 1, 2, 0]
    assert equal_rows(one, other).tolist() != equal_rows(other, other).tolist()


@pytest.mark.parametrize(
    ("text", "told", "expected"),
    [
        ("  A\u00a0b\n", {}, "a b"),
        ("\uff21b", {}, "ab"),
        ("\uff21b", {"unicode": False}, "\uff41b"),
        ("Fine", {"case": False}, "Fine"),
        ("a  b ", {"spaces": False}, "a  b "),
        ("STRASSE straße", {}, "strasse strasse"),
    ],
)
def test_what_is_normalised_can_be_told(text, told, expected):
    assert normalised(text, **told) == expected


@settings(max_examples=50)
@given(st.text(max_size=30))
def test_normalising_twice_is_normalising_once(text):
    assert normalised(normalised(text)) == normalised(text)


@given(st.lists(st.integers(0, 50)))
def test_distinct_is_numpys_unique(values):
    assert np.array_equal(distinct(np.array(values, np.uint64)), np.unique(np.array(values, np.uint64)))


# Meaning


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_neighbours_are_all_pairs_at_the_threshold():
    vectors = unit([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [-1, 0]])
    pairs, more = neighbours(vectors, np.arange(5), 0.9)
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == [(0, 1), (2, 3)]
    assert len(more) == 0
    assert pairs.similarity[0] == pytest.approx(1 / np.sqrt(1.01))
    assert cosines_of(vectors, pairs) == pytest.approx(pairs.similarity)
    assert len(neighbours(vectors, np.array([0, 2, 4]), 0.9)[0]) == 0, "only the rows asked for"


def test_cells_find_nearly_all_that_comparing_all_with_all_finds(monkeypatch):
    from holdfast.data.dedup import semantic

    drawn = np.random.default_rng(0)
    centres = drawn.normal(size=(60, 32))
    base = unit(centres[drawn.integers(0, 60, 1500)] + drawn.normal(size=(1500, 32)))
    vectors = unit(np.concatenate([base, base[:500] + 0.05 * drawn.normal(size=(500, 32))]))
    exact, _ = neighbours(vectors, np.arange(2000), 0.95)
    monkeypatch.setattr(semantic, "ALL_WITH_ALL", 100)
    found, _ = neighbours(vectors, np.arange(2000), 0.95)
    both = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    truth = set(zip(exact.first.tolist(), exact.second.tolist(), strict=True))
    assert both <= truth
    assert len(both) > 0.97 * len(truth)
    assert len(truth) >= 450


def test_rows_of_one_meaning_do_not_make_a_pair_each_with_each():
    vectors = unit(np.ones((600, 4)))
    pairs, more = neighbours(vectors, np.arange(600), 0.9)
    assert more.tolist() == list(range(600))
    assert len(pairs) <= 600 * 32

    standing, _ = settled(600, np.arange(600), np.arange(600), lambda rows, number: neighbours(vectors, rows, 0.9))
    assert standing.kept.sum() == 1


# On disk


def test_columns_grow_on_disk_and_are_read_back(tmp_path):
    column = Column(tmp_path / "numbers", np.int64)
    assert column.read().tolist() == []
    column.append(np.array([1, 2]))
    column.append(np.array([], np.int64))
    assert column.read().tolist() == [1, 2]
    column.append(np.array([3]))
    assert column.read().tolist() == [1, 2, 3]
    texts = TextColumn(tmp_path, "texts")
    texts.append(["a", "", "\ud800é"])
    texts.append([])
    texts.append(["last"])
    assert texts.read([3, 1, 2, 0]) == ["last", "", "\ud800é", "a"]
