import json
from collections import Counter

import pytest
import torch

from holdfast.errors import ModelError, TrainingError
from holdfast.training.config import RehearsalConfig
from holdfast.training.coverage import cover, find_kinds
from holdfast.training.mixing import ReminderMix, plan_reminders, reminder_weights
from holdfast.training.rehearsal import Reminder, Reminders, make_reminders
from holdfast.training.self_prompts import NearDuplicates, open_turn, write_prompts
from holdfast.types import Completion, Example, Message


def pool(**counts):
    """Reminders of sources: own=3 gives three self-written ones, any other name is a registered skill."""
    return [
        Reminder((1, index), (2,), "self" if name == "own" else "registered", "" if name == "own" else name)
        for name, count in counts.items()
        for index in range(count)
    ]


def test_every_step_holds_the_sources_in_their_shares_and_the_skills_evenly():
    items = pool(own=50, one=5, two=30)
    plan = plan_reminders(items, RehearsalConfig(per_step=8), num_steps=20, seed=0)
    for step in plan:
        counts = Counter((items[i].origin, items[i].skill) for i in step)
        assert counts == {("self", ""): 4, ("registered", "one"): 2, ("registered", "two"): 2}


def test_a_kind_is_rehearsed_by_the_power_three_quarters_of_how_often_the_model_writes_it():
    often = [Reminder((1, n), (2,), "self", kind=0) for n in range(32)]
    items = [*often, *(Reminder((2, n), (2,), "self", kind=1) for n in range(2))]
    plan = plan_reminders(items, RehearsalConfig(per_step=4), num_steps=2000, seed=0)
    share_of_the_rare_kind = sum(items[index].kind for step in plan for index in step) / 8000
    assert share_of_the_rare_kind == pytest.approx(1 / 9, abs=0.01)


def test_kinds_of_prompts_are_found_by_their_words_and_the_same_ones_every_time():
    sums = [f"what is {a} + {b}?" for a in range(4) for b in range(5)]
    letters = [f"write {a} {b} backwards." for a in "qwert" for b in "yuio"]
    kinds = find_kinds([*sums, *letters])
    assert not {kinds.labels[n] for n in range(20)} & {kinds.labels[n] for n in range(20, 40)}
    assert kinds == find_kinds([*sums, *letters])
    assert "backwards" in kinds.words[kinds.labels[-1]]
    assert find_kinds(["a", "b"]).labels == (0, 0)


def test_shares_that_do_not_fit_a_step_are_met_over_many():
    items = pool(own=10, one=10, two=10)
    plan = plan_reminders(items, RehearsalConfig(per_step=3), num_steps=400, seed=0)
    counts = Counter(items[i].skill or "own" for step in plan for i in step)
    assert counts["own"] / 1200 == pytest.approx(0.5, abs=0.03)
    assert counts["one"] / 1200 == pytest.approx(0.25, abs=0.03)


def test_nothing_repeats_before_everything_of_its_source_was_used():
    items = pool(own=12)
    plan = plan_reminders(items, RehearsalConfig(per_step=4), num_steps=6, seed=1)
    used = [index for step in plan for index in step]
    assert sorted(used[:12]) == sorted(used[12:]) == list(range(12))
    assert used[:12] != used[12:]


def test_the_plan_follows_from_the_seed():
    items = pool(own=12, one=7)
    first, again, other = (plan_reminders(items, RehearsalConfig(), num_steps=5, seed=s) for s in (0, 0, 1))
    assert first == again != other


def test_reminders_ask_nothing_of_a_candidate_that_is_still_the_current_version(make_learner, reminders):
    learner = make_learner()
    settings = RehearsalConfig(per_step=4, first_weight=1.0, weight=2.0)
    mix = ReminderMix(learner, reminders, settings, num_steps=3, seed=0, micro_batch_tokens=64)
    totals = [sum(row.weight for row in mix.rows(step)) for step in range(3)]
    assert totals == pytest.approx([1.0, 1.5, 2.0])
    rows = mix.rows(2)
    assert mix.loss(learner, rows).value.item() == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        for _, parameter in learner.trainable():
            parameter.mul_(1.2)
    loss = mix.loss(learner, rows)
    assert loss.value.item() > 0.01
    assert loss.metrics["reminder_kl"] == pytest.approx(loss.value.item() / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("origin", "weights"),
    [("self", [0, 1.0, 1.0, 2.0]), ("registered", [0, 0, 0, 4.0]), ("given", [0, 0, 0, 4.0])],
)
def test_what_the_model_wrote_itself_carries_the_loss_prompt_and_answer_alike(make_learner, origin, weights):
    reminder = Reminder((5, 6, 7), (8,), origin)
    settings = RehearsalConfig(per_step=1, weight=4.0)
    mix = ReminderMix(make_learner(), [reminder], settings, num_steps=1, seed=0, micro_batch_tokens=64)
    rows = mix.rows(0)
    assert rows[0].mask == [weight > 0 for weight in weights]
    assert reminder_weights(rows).tolist() == [weight for weight in weights if weight]


@pytest.mark.parametrize(
    ("texts", "problems"),
    [
        (["add 1 and 2", "add 1 and 2"], [None, "duplicate"]),
        (["add 1 and 2", "add  1 and 2 "], [None, "duplicate"]),
        (["add 1 and 2", "add 1 and 3"], [None, None]),
        ([" ".join("abcdefghijklmnopqrst"), " ".join("abcdefghijklmnopqrsx")], [None, "near duplicate"]),
        ([" ".join("abcdefghijklmnopqrst"), " ".join("abcdefgxyzuvwmnopqrs")], [None, None]),
    ],
)
def test_duplicates_are_told_from_prompts_that_differ_in_what_matters(texts, problems):
    seen = NearDuplicates()
    assert [seen.problem(text) for text in texts] == problems


class FakeLearner:
    """Writes a scripted turn for every prompt it is given."""

    context_length = 512

    def __init__(self, tokenizer, script):
        self.tokenizer, self.script, self.asked, self.rounds = tokenizer, script, [], 0

    def generate(self, prompts, sampling, *, which="candidate", progress=None):
        assert which == "current"
        counted = progress or (lambda done, total: None)
        counted(len(prompts), len(prompts))
        return [[self.complete(prompt, 0, sampling)] for prompt in prompts]

    def converse(self, talks, *, longest, which="candidate", progress=None):
        assert which == "current"
        self.rounds += 1
        counted = progress or (lambda done, total: None)
        counted(len(talks), len(talks))
        return [self.follow(number, talk) for number, talk in enumerate(talks)]

    def follow(self, number, talk):
        request = next(talk)
        while True:
            try:
                request = talk.send(self.complete(request.prompt, number, request.sampling))
            except StopIteration as end:
                return end.value

    def complete(self, prompt, sample, sampling):
        text = self.tokenizer.decode(prompt)
        self.asked.append(text)
        written, reason = self.script(text, sample, sampling)
        ids = self.tokenizer.encode(written) + ([2] if reason == "stop" else [])
        return Completion(self.tokenizer.decode(ids, skip_special_tokens=True), tuple(ids), (0.0,) * len(ids), reason)


def chatter(text, sample, sampling):
    """A model that asks numbered questions and answers them."""
    if text.endswith("<|assistant|>"):
        return "fine", "stop"
    return f"question {sample} of {sampling.seed % 997}", "stop"


def test_a_turn_is_opened_up_to_where_its_text_begins(tokenizer):
    learner = FakeLearner(tokenizer, chatter)
    assert tokenizer.decode(open_turn(learner, [], "user")[0]) == "<|bos|><|user|>"
    assert tokenizer.decode(open_turn(learner, [], "user")[1]) == "<|end|><|assistant|>"
    assert tokenizer.decode(open_turn(learner, [], "system")[0]) == "<|bos|><|system|>"
    turns = [Message("user", "hi"), Message("assistant", "ho")]
    assert tokenizer.decode(open_turn(learner, turns, "user")[0]) == (
        "<|bos|><|user|>hi<|end|><|assistant|>ho<|end|><|user|>"
    )


def test_a_template_without_marks_around_a_turn_is_refused(tokenizer):
    import copy

    bare = copy.deepcopy(tokenizer)
    bare.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    with pytest.raises(ModelError, match="turns cannot be opened"):
        open_turn(FakeLearner(bare, chatter), [], "user")


def test_a_share_of_the_prompts_has_a_system_turn_and_a_share_carries_on(tokenizer):
    learner = FakeLearner(tokenizer, chatter)
    settings = RehearsalConfig(system_turn_share=0.2, follow_up_share=0.3)
    written = write_prompts(learner, settings, wanted=40, seed=0)
    assert len(written.conversations) == 40
    systems = [c for c in written.conversations if c[0].role == "system"]
    longer = [c for c in written.conversations if sum(m.role == "user" for m in c) > 1]
    assert 6 <= len(systems) <= 14
    assert 9 <= len(longer) <= 15
    assert any(sum(m.role == "user" for m in c) == 3 for c in longer)
    assert all(c[-1].role == "user" for c in written.conversations)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (("", "stop"), "empty"),
        (("on and on", "length"), "truncated"),
        (("a<|user|>b", "stop"), "breaks the template"),
        (("same", "stop"), "duplicate"),
    ],
)
def test_prompts_that_are_no_good_are_dropped_and_counted(tokenizer, bad, reason):
    def half_bad(text, sample, sampling):
        return bad if sample % 2 else chatter(text, sample, sampling)

    settings = RehearsalConfig(system_turn_share=0, follow_up_share=0)
    written = write_prompts(FakeLearner(tokenizer, half_bad), settings, wanted=20, seed=0)
    assert 18 <= len(written.conversations) <= 20  # half of what is missing, four times over
    assert written.dropped.keys() == {reason}
    assert written.drawn >= len(written.conversations) + written.dropped[reason]


def test_bytes_that_make_no_character_are_left_out_and_the_prompt_is_kept(tokenizer):
    def broken(text, sample, sampling):
        return f"\ufffdسلام {sample}\ufffd" if sample else "\ufffd\ufffd", "stop"

    settings = RehearsalConfig(system_turn_share=0, follow_up_share=0)
    written = write_prompts(FakeLearner(tokenizer, broken), settings, wanted=4, seed=0)
    assert {turn.content for (turn,) in written.conversations} == {f"سلام {sample}" for sample in range(1, 5)}
    assert written.dropped.get("empty")


def test_a_model_that_repeats_itself_is_taken_to_have_run_dry(tokenizer):
    learner = FakeLearner(tokenizer, lambda *_: ("always the same", "stop"))
    settings = RehearsalConfig(system_turn_share=0, follow_up_share=0)
    assert len(write_prompts(learner, settings, wanted=30, seed=0).conversations) == 1
    assert learner.rounds == 1


def test_prompts_of_all_rounds_and_their_answers_are_counted_as_one_work(tokenizer):
    def half_bad(text, sample, sampling):
        return ("", "stop") if sample % 2 and not text.endswith("<|assistant|>") else chatter(text, sample, sampling)

    seen, learner = [], FakeLearner(tokenizer, half_bad)
    settings = RehearsalConfig(num_reminders=60)
    make_reminders(learner, settings, progress=lambda done, total: seen.append((done, total)))
    assert learner.rounds > 1
    assert len(seen) == learner.rounds + 1
    counts = [done for done, _ in seen]
    assert counts == sorted(set(counts))
    assert all(done < total for done, total in seen[:-1])
    assert seen[-1][0] == seen[-1][1]


@pytest.mark.parametrize(("system", "follow_up"), [(0, 0), (0.25, 0.15), (0.5, 0.5), (0, 0.9), (0, 1), (1, 0)])
def test_the_plans_of_a_round_are_for_about_as_many_conversations_as_are_wanted(tokenizer, system, follow_up):
    settings = RehearsalConfig(system_turn_share=system, follow_up_share=follow_up)
    written = write_prompts(FakeLearner(tokenizer, chatter), settings, wanted=100, seed=0)
    assert 100 <= written.drawn <= 130


def test_reminders_come_from_all_sources_and_survive_json(tokenizer):
    learner = FakeLearner(tokenizer, chatter)
    earlier = [
        Example(f"e{n}", (Message("user", f"ticket {n}"), Message("assistant", "SECRET")), source="s") for n in range(9)
    ]
    made = make_reminders(learner, RehearsalConfig(num_reminders=12), registered_prompts={"routing": earlier}, seed=0)
    assert Counter(item.origin for item in made.items) == {"self": 6, "registered": 6}
    texts = [tokenizer.decode(list(item.prompt_ids + item.completion_ids)) for item in made.items]
    assert not any("SECRET" in text for text in texts)
    assert all(text.endswith("<|assistant|>fine<|end|>") for text in texts)
    assert made.report.by_source == {"self": 6, "registered:routing": 6}
    again = Reminders.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made


def test_no_reminder_at_all_is_an_error_that_says_what_to_do(tokenizer):
    learner = FakeLearner(tokenizer, lambda *_: ("", "stop"))
    with pytest.raises(TrainingError, match=r"rehearsal\.prompts_file"):
        make_reminders(learner, RehearsalConfig(num_reminders=5))


def test_a_skill_that_no_self_written_prompt_is_near_is_warned_of():
    own = [f"add {a} and {b}" for a in range(6) for b in range(6)]
    tickets = [f"ticket: my order {n} is late again" for n in range(20)]
    texts = [*own, *tickets]
    origins, skills = ["self"] * 36 + ["registered"] * 20, [""] * 36 + ["routing"] * 20
    report = cover(texts, origins, skills, find_kinds(texts), drawn=40, dropped={"duplicate": 4})
    assert report.skill_shares == {"routing": 0.0}
    assert "routing" in report.warnings[0]
    assert report.unique_share == pytest.approx(0.9)
    assert sum(cluster.size for cluster in report.clusters) == 56
    texts += tickets[:3]
    near = cover(texts, [*origins, *["self"] * 3], [*skills, *[""] * 3], find_kinds(texts), drawn=43, dropped={})
    assert near.skill_shares["routing"] == pytest.approx(3 / 39)
    assert not near.warnings
