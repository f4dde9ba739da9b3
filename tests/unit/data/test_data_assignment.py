"""Which row goes where: units stay whole, labels keep their share, the newest are held out, facts are asked anew."""

import random
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.data.parts.assignment import Key, SplitSettings, assign, key_of
from holdfast.data.parts.key import table_of, time_of
from holdfast.data.parts.stratify import fill, newest_first
from holdfast.data.parts.units import joined
from holdfast.errors import DataError
from holdfast.types import Example, Message

UNTIMED = settings(deadline=None, max_examples=40)


def made_keys(seed, num, *, facts, times):
    """Rows that share prompts, groups and owners at random."""
    draw = random.Random(seed)
    return [
        Key(
            number=7 * row,
            prompt_id=f"p{draw.randint(0, num)}",
            group=draw.choice([None, draw.randint(0, num)]),
            label=draw.choice([None, "refund", "login", "billing"]),
            owner=draw.choice([None, "x", "y"]) if row % 9 == 0 else None,
            time=draw.choice([None, float(draw.randint(0, 9)), draw.uniform(0, 9)]) if times else None,
            fact=draw.choice([None, "f", "g", "h"]) if facts else None,
        )
        for row in range(num)
    ]


def keys(*, facts=False, times=False):
    return st.builds(
        lambda seed, num: made_keys(seed, num, facts=facts, times=times), st.integers(0, 2**32), st.integers(1, 60)
    )


SETTINGS = st.builds(
    SplitSettings,
    test_share=st.sampled_from([0.0, 0.1, 0.2, 0.5]),
    validation_share=st.sampled_from([0.0, 0.1, 0.3]),
    stratify=st.booleans(),
)


def sides_by(assignment, rows, name):
    """The sides on which the rows with one value of a field are."""
    found = defaultdict(set)
    for row in rows:
        if getattr(row, name) is not None:
            found[getattr(row, name)].add(assignment.side(row.number))
    return found


@UNTIMED
@given(keys(), SETTINGS, st.integers(0, 3))
def test_every_row_is_on_one_side_and_no_prompt_group_or_owner_is_on_two(rows, settings, seed):
    assignment = assign(rows, settings, seed)
    assert list(assignment.numbers) == [row.number for row in rows]
    assert sum(assignment.count(side) for side in ("train", "test", "validation")) == len(rows)
    for name in ("prompt_id", "group", "owner"):
        assert all(len(sides) == 1 for sides in sides_by(assignment, rows, name).values())
    assert assignment.count("train")
    assert settings.test_share or not assignment.count("test")
    assert settings.validation_share or not assignment.count("validation")


@UNTIMED
@given(keys(facts=True, times=True), SETTINGS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows, settings, order):
    shuffled = order.sample(rows, len(rows))
    first, second = assign(rows, settings), assign(shuffled, settings)
    assert (first.sides == second.sides).all()
    assert first.labels == second.labels
    assert first.notes == second.notes


@UNTIMED
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 6)), min_size=2, max_size=40),
    st.sampled_from([0.1, 0.2, 0.5]),
    st.sampled_from([0.0, 0.2]),
)
def test_each_labels_share_is_within_one_group_of_what_it_should_be(groups, test_share, validation_share):
    rows = [
        Key(number=100 * group + row, prompt_id=f"{group}/{row}", group=group, label=label)
        for group, (label, size) in enumerate(groups)
        for row in range(size)
    ]
    settings = SplitSettings(test_share=test_share, validation_share=validation_share)
    assignment = assign(rows, settings)
    largest = Counter()
    for label, size in groups:
        largest[label] = max(largest[label], size)
    for share in assignment.labels:
        assert abs(share.num_test - test_share * share.num_rows) <= largest[share.label]
        assert abs(share.num_validation - validation_share * share.num_rows) <= largest[share.label]
        if share.num_units == 1:
            assert (share.num_test, share.num_validation) == (0, 0)
        assert share.num_test + share.num_validation < share.num_rows


def test_a_hundred_labels_of_two_rows_give_a_fifth_of_the_rows_in_all():
    rows = [Key(row, f"p{row}", label=f"l{row // 2}") for row in range(200)]
    assignment = assign(rows, SplitSettings())
    assert assignment.count("test") == 40
    assert max(share.num_test for share in assignment.labels) == 1
    (note,) = assignment.notes
    assert note.startswith("60 labels with several groups have no row in the test: ")
    assert note.endswith(" and 55 more")


def test_a_label_with_one_group_stays_in_training_and_this_is_said():
    rows = [Key(row, f"p{row}", label="common") for row in range(50)]
    rows += [Key(50 + row, f"r{row}", group=9, label="rare") for row in range(10)]
    assignment = assign(rows, SplitSettings(test_share=0.5))
    assert [share.num_test for share in assignment.labels] == [25, 0]
    assert assignment.notes == ("1 labels have a single group, which stayed in training: 'rare'",)


def test_units_with_several_labels_are_made_up_for_by_the_others():
    mixed = [Key(row, f"m{row // 2}", label="ab"[row % 2]) for row in range(40)]
    pure = [Key(100 + row, f"p{row}", label="ab"[row % 2]) for row in range(60)]
    assignment = assign(mixed + pure, SplitSettings(test_share=0.2))
    assert [(share.label, share.num_rows, share.num_test) for share in assignment.labels] == [
        ("a", 50, 10),
        ("b", 50, 10),
    ]
    assert sum(assignment.side(row.number) == "test" for row in mixed) == 8


def test_without_stratify_labels_do_not_count():
    rows = [Key(row, f"p{row}", label=f"l{row}") for row in range(20)]
    assert assign(rows, SplitSettings(stratify=True)).count("test") == 0
    assert assign(rows, SplitSettings(stratify=False)).count("test") == 4


def test_the_test_share_and_the_validation_share_are_kept():
    rows = [Key(row, f"p{row}") for row in range(100)]
    for test_share, validation_share in ((0.2, 0.0), (0.1, 0.3), (0.0, 0.5)):
        assignment = assign(rows, SplitSettings(test_share=test_share, validation_share=validation_share))
        assert assignment.count("test") == test_share * 100
        assert assignment.count("validation") == validation_share * 100


def test_of_very_many_rows_no_more_are_held_out_than_a_run_can_ask():
    rows = [Key(number, f"p{number}") for number in range(1000)]
    found = assign(rows, SplitSettings(max_test_rows=50, validation_share=0.02), 1)
    assert (found.count("test"), found.count("validation")) == (50, 20)
    assert "the test: about 50 rows and not 20% (split.max_test_rows)" in found.notes
    assert assign(rows, SplitSettings(), 1).count("test") == 200


def test_the_seed_draws_another_test_of_the_same_size():
    rows = [Key(row, f"p{row}") for row in range(100)]
    first, second = assign(rows, SplitSettings(), 0), assign(rows, SplitSettings(), 1)
    assert (first.sides != second.sides).any()
    assert first.count("test") == second.count("test") == 20


def test_a_group_larger_than_the_test_does_not_keep_others_out_of_it():
    rows = [Key(row, f"big{row}", group=1) for row in range(50)] + [Key(50 + row, f"p{row}") for row in range(50)]
    assignment = assign(rows, SplitSettings(test_share=0.2))
    assert assignment.count("test") == 20
    assert assignment.side(0) == "train"


def test_both_sides_get_a_row_where_there_are_two_units():
    assert assign([Key(0, "a"), Key(1, "b")], SplitSettings(test_share=0.01)).count("test") == 1
    assert assign([Key(0, "a"), Key(1, "b")], SplitSettings(test_share=0.99)).count("train") == 1
    alone = assign([Key(0, "a"), Key(1, "a")], SplitSettings())
    assert alone.count("test") == 0
    assert "nothing could be held out" in alone.notes[0]
    assert assign([], SplitSettings()).num_units == 0


def test_by_time_the_newest_rows_are_the_test_and_the_next_the_validation():
    rows = [Key(row, f"p{row}", time=float(row), label="ab"[row % 2]) for row in range(100)]
    settings = SplitSettings(time_column="when", test_share=0.2, validation_share=0.1)
    assignment = assign(rows, settings)
    assert [assignment.side(row) for row in (0, 69, 70, 79, 80, 99)] == [
        "train", "train", "validation", "validation", "test", "test",
    ]  # fmt: skip
    assert assignment.cut == 80.0
    assert assignment.notes == ()


@UNTIMED
@given(keys(times=True))
def test_by_time_no_training_row_is_newer_than_the_cut_except_in_groups_larger_than_the_test(rows):
    settings = SplitSettings(time_column="when", test_share=0.3)
    if all(row.time is None for row in rows):
        with pytest.raises(DataError, match="No row has a time in the column 'when'"):
            assign(rows, settings)
        return
    assignment = assign(rows, settings)
    if assignment.cut is not None and not any("larger than the test" in note for note in assignment.notes):
        train = [row for row in rows if assignment.side(row.number) == "train" and row.time is not None]
        assert all(row.time <= assignment.cut for row in train)


def test_a_group_that_straddles_the_cut_goes_to_the_test_and_one_that_would_swallow_it_stays():
    rows = [Key(row, f"p{row}", time=float(row)) for row in range(100)]
    rows += [Key(200, "straddles", time=5.0), Key(201, "straddles", time=99.5)]
    rows += [Key(300 + row, "always", time=float(row)) for row in range(0, 100, 2)]
    assignment = assign(rows, SplitSettings(time_column="when", test_share=0.2))
    assert {assignment.side(200), assignment.side(201)} == {"test"}
    assert {assignment.side(300 + row) for row in range(0, 100, 2)} == {"train"}
    assert assignment.notes == (
        "1 groups have rows before and after the cut; they went to the test as a whole",
        "1 groups with rows after the cut are larger than the test should be; they stayed in training",
    )
    assert assignment.count("test") == 30


def test_groups_that_all_straddle_the_cut_are_divided_nevertheless():
    rows = [Key(row, f"p{row % 2}", time=float(row)) for row in range(10)]
    assignment = assign(rows, SplitSettings(time_column="when", test_share=0.2))
    assert assignment.count("test") == 5
    assert assignment.side(9) == "test"


def test_rows_without_a_time_stay_in_training_and_are_counted():
    rows = [Key(row, f"p{row}", time=float(row) if row < 8 else None) for row in range(10)]
    assignment = assign(rows, SplitSettings(time_column="when"))
    assert [assignment.side(row) for row in (6, 7, 8, 9)] == ["test", "test", "train", "train"]
    assert assignment.notes == ("2 rows have no readable time in 'when'; they do not decide where their group goes",)


@pytest.mark.parametrize(("value", "seconds"), [
    (12, 12.0), (1.5, 1.5), ("12", 12.0), ("1970-01-01T00:00:10Z", 10.0), ("1970-01-01 01:00:10+01:00", 10.0),
    ("1970-01-02", 86400.0), (1_700_000_000_000, 1_700_000_000.0), ("31.01.2026", None), (True, None), (None, None),
    ([1], None), ("nan", None), ("inf", None), ("", None),
])  # fmt: skip
def test_a_time_is_a_number_or_an_iso_date(value, seconds):
    assert time_of(value) == seconds


@UNTIMED
@given(keys(facts=True), SETTINGS)
def test_no_wording_of_a_fact_is_in_both_and_every_fact_with_a_wording_in_the_test_is_trained(rows, settings):
    assignment = assign(rows, settings)
    assert all(len(sides) == 1 for sides in sides_by(assignment, rows, "prompt_id").values())
    shared = Counter(prompt for prompt, _ in {(row.prompt_id, row.fact) for row in rows if row.fact})
    for fact in {row.fact for row in rows if row.fact}:
        wordings = {row.prompt_id for row in rows if row.fact == fact}
        sides = Counter(next(iter(sides_by(assignment, rows, "prompt_id")[wording])) for wording in wordings)
        if all(shared[wording] == 1 for wording in wordings):
            assert sides["train"] >= 1
            assert len(wordings) < 2 or not settings.test_share or sides["test"] >= 1


def test_another_wording_of_every_trained_fact_is_in_the_test_though_they_are_one_group():
    rows = [Key(row, f"w{row}", group=row // 5, fact=f"f{row // 5}") for row in range(50)]
    rows.append(Key(50, "only wording", fact="lonely"))
    assignment = assign(rows, SplitSettings(test_share=0.2, validation_share=0.2))
    for fact in range(10):
        sides = Counter(assignment.side(row) for row in range(5 * fact, 5 * fact + 5))
        assert sides == {"train": 3, "test": 1, "validation": 1}
    assert assignment.side(50) == "train"
    assert assignment.notes == (
        "of 11 facts, 10 are asked in the test in a wording that is not trained",
        "1 facts are trained but not tested, because they have no second wording",
    )


def test_the_columns_that_the_settings_name_make_the_key():
    example = Example(
        "", (Message("user", "hello"),), label="greeting", columns={"when": "1970-01-02", "who": 7, "fact": "f1"}
    )
    key = key_of(3, example, SplitSettings(time_column="when", group_column="who"), group=5)
    assert (key.number, key.group, key.label, key.time, key.fact, key.owner) == (
        3,
        5,
        "greeting",
        86400.0,
        "f1",
        "int 7",
    )
    plain = key_of(3, example, SplitSettings())
    assert (plain.time, plain.owner) == (None, None)


def test_rows_of_one_owner_stay_together():
    examples = [Example("", (Message("user", f"question {row}"),), columns={"who": row // 10}) for row in range(100)]
    for chosen, num_units in ((SplitSettings(), 100), (SplitSettings(group_column="who"), 10)):
        assignment = assign((key_of(row, example, chosen) for row, example in enumerate(examples)), chosen)
        assert (assignment.num_units, assignment.count("test")) == (num_units, 20)


def threads(num, opening):
    """Conversations, two of each tree, that begin with the same question and go on differently."""
    rows = []
    for number in range(num):
        asked = Message("user", opening.format(number // 2))
        rows.append(Example(str(number), (asked, Message("assistant", "well"), Message("user", f"and {number}?"))))
    return [key_of(number, row, SplitSettings()) for number, row in enumerate(rows)]


def test_conversations_with_one_first_question_stay_together():
    rows = threads(60, "is it true that breaking mirror number {} brings bad luck")
    found = assign(rows, SplitSettings(), 3)
    assert found.num_units == 30
    assert all(found.side(2 * tree) == found.side(2 * tree + 1) for tree in range(30))
    assert found.count("test") == 12


def test_short_openings_and_those_of_a_template_join_nothing():
    assert assign(threads(60, "hello {}"), SplitSettings(), 3).num_units == 60
    template = threads(60, "you are a helpful assistant in our shop, so begin")
    assert assign(template, SplitSettings(), 3).num_units == 60


def test_shares_that_leave_nothing_to_learn_from_and_settings_without_effect_are_refused():
    with pytest.raises(ValueError, match="leaves nothing to learn from"):
        SplitSettings(test_share=0.6, validation_share=0.4)
    with pytest.raises(ValueError, match="stratify would have no effect because the newest rows are the test"):
        SplitSettings(time_column="when", stratify=False)


def test_a_number_that_occurs_twice_and_one_that_is_not_there_are_errors():
    with pytest.raises(DataError, match="Row number 4 is given to a split twice"):
        assign([Key(4, "a"), Key(4, "b")], SplitSettings())
    with pytest.raises(DataError, match="Row 9 was not given to the split"):
        assign([Key(4, "a")], SplitSettings()).side(9)


def test_columns_without_a_value_take_no_room():
    table = table_of([Key(0, "a"), Key(1, "b", group=3), Key(2, "c")])
    assert (table.times, table.facts, table.owners) == (None, None, None)
    assert list(table.groups) == [-(2**63), 3, -(2**63)]


def test_prompts_that_share_groups_are_joined_across_several_links():
    prompts, groups = np.array([0, 1, 2, 3]), np.array([7, 7, 8, 8])
    assert list(joined(5, [(prompts, groups)])) == [0, 0, 1, 1, 2]
    assert list(joined(5, [(prompts, groups), (np.array([1, 2]), np.array([7, 7]))])) == [0, 0, 0, 0, 1]


@UNTIMED
@given(st.lists(st.integers(1, 9), max_size=30), st.floats(0, 60))
def test_filling_ends_at_most_half_of_the_smallest_unit_left_away(sizes, wanted):
    sizes = np.array(sizes, dtype=np.int64)
    taken = fill(sizes, wanted)
    distance = wanted - sizes[taken].sum()
    if (~taken).any() and distance > 0:
        assert 2 * distance <= sizes[~taken].min()
    if distance < 0:
        assert -2 * distance <= sizes[taken].max()


def test_the_newest_units_are_taken_in_their_order():
    assert newest_first(np.array([3, 3, 3]), 6) == 2
    assert newest_first(np.array([3, 3, 3]), 4.4) == 1
    assert newest_first(np.array([3, 3, 3]), 4.5) == 2
    assert newest_first(np.array([3]), 1) == 0
