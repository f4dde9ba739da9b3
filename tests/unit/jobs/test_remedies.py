"""What is tried after a refusal, in which order, and when nothing is worth trying."""

from holdfast.jobs.remedies import attempts, listed, worth_a_remedy

ALL = ("earlier_checkpoint", "interpolation", "rehearsal", "lower_learning_rate")


def test_the_training_comes_first_and_then_one_remedy_of_each_kind_in_order():
    assert [attempt.kind for attempt in attempts(ALL, 4)] == ["trained", *ALL]


def test_the_budget_bounds_the_remedies_and_not_the_training():
    assert [attempt.kind for attempt in attempts(ALL, 0)] == ["trained"]
    assert len(attempts(ALL, 3)) == 4


def test_a_larger_budget_goes_round_again_with_stronger_settings():
    plan = attempts(ALL, 100)
    assert len(plan) == 9
    assert plan[5].at_share < plan[1].at_share
    assert plan[6].towards_current > plan[2].towards_current
    assert plan[7].rehearsal_factor > plan[3].rehearsal_factor
    assert plan[8].rate_factor < plan[4].rate_factor


def test_a_remedy_that_trains_has_a_training_of_its_own_and_the_others_use_the_first():
    assert [(attempt.training, attempt.trains) for attempt in attempts(ALL, 4)] == [
        (0, True),
        (0, False),
        (0, False),
        (3, True),
        (4, True),
    ]


def test_without_rehearsal_no_remedy_promises_more_of_it():
    plan = attempts(["rehearsal", "lower_learning_rate"], 2, rehearsed=False)
    assert [(attempt.kind, attempt.rehearsal_factor) for attempt in plan[1:]] == [("lower_learning_rate", 1.0)] * 2
    assert plan[1].words == "training again with 0.4 times the learning rate"


def test_remedies_are_worth_trying_only_when_an_earlier_skill_slipped():
    assert worth_a_remedy(["refunds"], []) == (
        True,
        "refunds slipped, so remedies that keep more of the current version are tried",
    )
    assert not worth_a_remedy([], ["refunds"])[0]
    assert not worth_a_remedy([], [])[0]


def test_names_are_listed_as_a_person_would():
    assert [listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
