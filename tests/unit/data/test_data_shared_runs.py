"""A long run of words that few rows share joins them; one that many rows share is a template of the own test."""

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.check import Context, Row
from holdfast.data.checks.contamination import OWN_TEST, Contamination, ContaminationSettings
from holdfast.data.doctor.plan import Plan
from holdfast.data.doctor.treatment import Attendant, Treatment
from holdfast.data.overlap.shared_runs import ASKED, few_rows, long_runs
from holdfast.data.parts.assignment import SplitSettings, assign, key_of
from holdfast.data.parts.runs import Runs, RunSample, joined_by_runs
from holdfast.types import Example, Message


def counted(name, num):
    """Words that no other part of a text holds."""
    return " ".join(f"{name}{n}" for n in range(num))


def asked(text, answer="ok", **columns):
    return Example("", (Message("user", text), Message("assistant", answer)), source=text[:20], columns=columns)


def tools(num_sharing, num_rows=100, num_words=40):
    """Questions of their own, of which the first so many come with the documentation of one tool."""
    documentation = counted("doc", num_words)
    return [
        asked(f"{documentation} {counted(f'q{n}x', 12)}" if n < num_sharing else counted(f"q{n}x", 12))
        for n in range(num_rows)
    ]


def keys(examples, settings=None):
    """Keys with the runs of 13 words of each row, as the split of a preparation makes them."""
    chosen = settings or SplitSettings()
    runs = long_runs(examples, 13)
    return [key_of(n, example, chosen, None, own) for n, (example, own) in enumerate(zip(examples, runs, strict=True))]


def divided(examples, folder):
    """What a preparation does with rows from the split on."""
    folder.mkdir(exist_ok=True)
    attendant = Attendant(approve=lambda number, finding: True, progress=lambda name, done, total: None, asks=False)
    treatment = Treatment(Plan(), Context(folder), attendant)
    treatment.take(examples)
    treatment.divide({})
    return treatment


@pytest.mark.parametrize(("num_rows", "few"), [
    (1, 10), (200, 10), (239, 11), (240, 12), (20_000, 1000), (500_000, 1000),
])  # fmt: skip
def test_few_rows_are_ten_or_a_twentieth_and_a_thousand_at_most(num_rows, few):
    assert few_rows(num_rows) == few


@pytest.mark.parametrize(("num_sharing", "num_units"), [(2, 99), (8, 93), (10, 91), (11, 100), (12, 100)])
def test_the_documentation_of_a_tool_joins_up_to_ten_of_a_hundred_rows(num_sharing, num_units):
    found = assign(keys(tools(num_sharing)), SplitSettings())
    assert found.num_units == num_units
    assert found.count("test") == 20
    assert found.notes == ()
    if num_units < 100:
        assert len({found.side(n) for n in range(num_sharing)}) == 1


@pytest.mark.parametrize("num_sharing", [8, 10, 12, 40])
def test_no_training_row_is_lost_for_sharing_the_documentation_of_a_tool(num_sharing, tmp_path):
    for order in range(6):  # each has another test
        examples = [asked(f"{row.messages[0].content} o{order}") for row in tools(num_sharing)]
        counts = divided(examples, tmp_path / str(order)).counts()
        assert (counts.read, counts.rejected) == (100, {})


def test_a_run_of_twelve_words_joins_nothing():
    assert assign(keys(tools(8, num_words=12)), SplitSettings()).num_units == 100


def test_what_only_answers_share_joins_nothing_and_what_one_row_asks_does():
    text = counted("said", 20)
    rows = tools(0)
    rows[:3] = [asked(f"please number {n} of these", answer=f"{text} {n}") for n in range(3)]
    assert assign(keys(rows), SplitSettings()).num_units == 100
    rows[3] = asked(f"did you say {text}")
    assert assign(keys(rows), SplitSettings()).num_units == 97


def test_the_turn_of_a_conversation_that_another_row_asks_joins_them():
    turns = ("hello to you", "hello", "Where is my parcel now?", "there")
    talk = Example("", tuple(Message("assistant" if n % 2 else "user", turn) for n, turn in enumerate(turns)))
    rows = [talk, asked("where is my parcel now"), asked("hello to you"), *tools(0)[3:]]
    found = assign(keys(rows), SplitSettings())
    assert found.num_units == 99
    assert found.side(0) == found.side(1)


def chain(num):
    """Rows of which each shares twenty words with the next."""
    return [asked(f"{counted(f'link{n}x', 20)} {counted(f'link{n + 1}x', 20)}") for n in range(num)]


def test_a_chain_ends_before_it_is_the_test():
    found = assign(keys(chain(400)), SplitSettings())
    assert found.num_units >= 400 / 20  # a quarter of the test of 80 rows
    assert abs(found.count("test") - 80) <= 10
    (note,) = found.notes
    assert note.startswith("rows that share long runs of words were left apart ")
    small = assign(keys(chain(100)), SplitSettings())
    assert small.num_units >= 10  # ten rows, because a quarter of the test are five
    assert abs(small.count("test") - 20) <= 5


def test_a_unit_by_runs_is_never_the_whole_test():
    chosen = SplitSettings(test_share=0.05)  # of five rows
    assert assign(keys(tools(4), chosen), chosen).num_units == 97
    assert assign(keys(tools(5), chosen), chosen).num_units == 100
    assert assign(keys(tools(2)), SplitSettings(test_share=0.0)).num_units == 100


def test_the_longest_text_joins_first():
    documentation, passing = counted("doc", 40), counted("aside", 14)
    rows = tools(0)
    rows[:8] = [asked(f"{documentation} {counted(f'own{n}x', 5)} {passing if n == 0 else ''}") for n in range(8)]
    rows[8:11] = [asked(f"{passing} {counted(f'own{n}x', 9)}") for n in range(8, 11)]
    found = assign(keys(rows), SplitSettings())
    assert found.num_units == 93  # eight rows by 28 runs; with those by two runs they would be eleven
    assert len({found.side(n) for n in range(8)}) == 1
    assert len(found.notes) == 1


def test_runs_do_not_hold_wordings_of_facts_together():
    documentation = counted("doc", 40)
    rows = [asked(f"{documentation} {counted(f'q{n}x', 5)}", fact="leave") for n in range(10)] + tools(0, 90)
    found = assign(keys(rows), SplitSettings())
    assert Counter(found.side(n) for n in range(10)) == {"train": 8, "test": 2}


def mosaics(seed, num):
    """Rows made of a few sentences each, some of them often."""
    draw = random.Random(seed)
    sentences = [counted(f"s{n}x", draw.choice([6, 14, 30])) for n in range(num)]
    return [
        asked(" ".join(sentences[int(draw.random() ** 2 * num)] for _ in range(draw.choice([1, 2, 3]))) + f" e{row}")
        for row in range(num)
    ]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(2, 120), st.randoms(use_true_random=False))
def test_the_same_rows_in_any_order_have_the_same_sides(seed, num, order):
    rows = keys(mosaics(seed, num))
    first, second = assign(rows, SplitSettings()), assign(order.sample(rows, num), SplitSettings())
    assert (first.sides == second.sides).all()
    assert (first.notes, first.num_units) == (second.notes, second.num_units)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 80), st.integers(1, 20))
def test_joining_keeps_what_is_joined_and_the_bound(seed, num, largest):
    draw = np.random.default_rng(seed)
    before = draw.integers(0, 30, num)
    before = np.unique(before, return_inverse=True)[1]
    runs = Runs(draw.integers(0, 40, 200).astype(np.uint64) << ASKED | ASKED, draw.integers(0, num, 200, np.int32))
    found = joined_by_runs(before, np.arange(num), runs, np.ones(num, np.bool_), largest)
    pairs = np.unique(np.stack([before, found.components]), axis=1)
    assert len(pairs.T) == before.max() + 1  # no component was divided
    sizes = np.bincount(before)
    for together in range(found.components.max() + 1):
        parts = pairs[0][pairs[1] == together]
        assert len(parts) == 1 or sizes[parts].sum() <= largest


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 64), max_size=60, unique=True), st.integers(1, 20), st.randoms(use_true_random=False))
def test_the_sample_of_runs_depends_on_the_rows_alone_and_has_every_row_of_a_run(names, most, order):
    held = [(row, np.array([name], np.uint64) << ASKED) for row, name in enumerate(names)]
    held += [(100 + row, hashes) for row, hashes in held[::2]]
    found = []
    for rows in (held, order.sample(held, len(held))):
        sample = RunSample(most)
        for row, hashes in rows:
            sample.add(row, hashes)
        runs = sample.runs()
        found.append(set(zip(runs.hashes.tolist(), runs.rows.tolist(), strict=True)))
    assert found[0] == found[1]
    assert len(found[0]) <= most
    every = {(int(hashes[0]), row) for row, hashes in held}
    kept = {name for name, _ in found[0]}
    assert found[0] == {(name, row) for name, row in every if name in kept}
    assert len(every) > most or found[0] == every


def test_a_unit_is_not_more_often_in_the_test_for_being_large():
    rows = [asked(f"{counted(f'd{n // 10}x', 20) if n < 100 else ''} {counted(f'q{n}x', 12)}") for n in range(200)]
    given_keys = keys(rows)
    in_test = []
    for seed in range(40):
        found = assign(given_keys, SplitSettings(), seed)
        assert found.num_units == 110
        assert abs(found.count("test") - 40) <= 5
        in_test.append(sum(found.side(n) == "test" for n in range(100)))
    assert 15 < np.mean(in_test) < 25  # half of the test, as of all rows


def checked(check, rows):
    check.see(rows)
    return check.finding()


def test_a_template_of_many_rows_gives_only_the_own_test_not_away(tmp_path):
    rows = tools(12)
    item, own = rows[0], counted("q0x", 12)
    leak = asked(f"so {own} I ask")  # has 5 of the item's 45 runs of 8, of 9 that are half its own
    others = {OWN_TEST: lambda: [item], "test of refunds": lambda: [item]}
    train = [Row(n, example) for n, example in enumerate([*rows[1:], leak])]
    plain = Contamination(ContaminationSettings(), Context(tmp_path, others=others))
    assert checked(plain, train).figures["sources"][OWN_TEST]["rows"] == 11
    context = Context(tmp_path, others=others, rows=lambda: iter([*rows, leak]))
    check = Contamination(ContaminationSettings(), context)
    sources = checked(check, train).figures["sources"]
    assert sources[OWN_TEST]["rows"] == 1
    assert sources["test of refunds"]["rows"] == 11
    few = Context(tmp_path, others=others, rows=lambda: iter([*rows[2:], leak]))  # ten share the documentation
    check = Contamination(ContaminationSettings(), few)
    assert checked(check, train).figures["sources"][OWN_TEST]["rows"] == 11


def test_rows_are_prepared_alike_in_any_order(tmp_path):
    rows = [*tools(9), *chain(40), *mosaics(3, 60)]
    sides = []
    for name, given_rows in (("a", rows), ("b", random.Random(1).sample(rows, len(rows)))):
        treatment = divided(given_rows, tmp_path / name)
        sides.append([sorted(one.example.id for one in treatment.part(side)) for side in ("train", "test")])
    assert sides[0] == sides[1]
    assert len(sides[0][1]) > 0.15 * len(rows)
