"""Beginnings that were read are found again, only by the same tokens under the same adapter, and within bounds."""

import pytest
import torch

from holdfast.models.adapter_bank import AdapterBank
from holdfast.models.prefill import PromptReader
from holdfast.models.sampling import Sampling
from holdfast.serving import prefixes as module
from holdfast.serving.live_batch import MIN_TURNS, LiveBatch, Sequence_
from holdfast.serving.prefixes import BLOCK, Prefixes, common_beginnings


def state_of(num_tokens, mark=0.0):
    """Two layers of two heads, four wide; a token's keys are its place and `mark`."""
    keys = torch.arange(num_tokens, dtype=torch.float32).expand(2, num_tokens).unsqueeze(-1).repeat(1, 1, 4) + mark
    return [(keys, -keys), (keys * 2, -keys * 2)]


def longest(known, owner, ids):
    """How many first tokens are known, and their keys and values."""
    places = known.find(owner, ids)
    return len(places) * BLOCK, known.state(places) if places else None


SIZE = 2 * 2 * 2 * 4 * 4 * BLOCK  # bytes of one block: layers, keys and values, heads, width, float32


def test_what_begins_alike_is_found_in_whole_blocks():
    known = Prefixes()
    ids = tuple(range(3 * BLOCK + 5))
    known.keep(0, ids, state_of(len(ids)))
    length, state = longest(known, 0, (*ids[: 2 * BLOCK + 7], 999, *ids))
    assert length == 2 * BLOCK
    for found, wanted in zip(state, state_of(2 * BLOCK), strict=True):
        assert torch.equal(found[0], wanted[0])
        assert torch.equal(found[1], wanted[1])
    assert longest(known, 0, (7, *ids)) == (0, None)
    assert longest(known, 1, ids) == (0, None)


def test_the_last_token_is_never_found_as_its_logits_are_wanted():
    known = Prefixes()
    ids = tuple(range(2 * BLOCK))
    known.keep(0, ids, state_of(len(ids)))
    assert longest(known, 0, ids)[0] == BLOCK
    assert longest(known, 0, (*ids, 1))[0] == 2 * BLOCK


def test_a_copy_is_kept():
    known = Prefixes()
    state = state_of(BLOCK)
    known.keep(0, tuple(range(BLOCK)), state)
    state[0][0].zero_()
    assert torch.equal(longest(known, 0, tuple(range(BLOCK + 1)))[1][0][0], state_of(BLOCK)[0][0])


def test_sequences_share_the_blocks_of_their_common_beginning():
    known = Prefixes(max_bytes=4 * SIZE)
    head = tuple(range(2 * BLOCK))
    for number in range(2):
        ids = (*head, *range(100 * (number + 1), 100 * (number + 1) + BLOCK))
        known.keep(0, ids, state_of(len(ids), mark=number))
    for number in range(2):
        assert longest(known, 0, (*head, *range(100 * (number + 1), 100 * (number + 1) + BLOCK), 1))[0] == 3 * BLOCK


def test_what_was_used_longest_ago_makes_room_and_ends_before_beginnings():
    known = Prefixes(max_bytes=3 * SIZE)
    several = [tuple(range(start, start + BLOCK)) for start in (0, 100, 200, 300)]
    for number, ids in enumerate(several[:3]):
        known.keep(0, ids, state_of(BLOCK, number))
    assert longest(known, 0, (*several[0], 1))[0] == BLOCK
    known.keep(0, several[3], state_of(BLOCK, 3))
    assert [longest(known, 0, (*ids, 1))[0] for ids in several] == [BLOCK, 0, BLOCK, BLOCK]
    known.keep(0, tuple(range(1000, 1000 + 4 * BLOCK)), state_of(4 * BLOCK))  # larger than all there is
    assert [longest(known, 0, (*ids, 1))[0] for ids in several] == [BLOCK, 0, BLOCK, BLOCK]
    long = tuple(range(2000, 2000 + 3 * BLOCK))
    known.keep(0, long, state_of(3 * BLOCK))
    known.keep(0, several[1], state_of(BLOCK, 9))
    length, state = longest(known, 0, (*long, 1))
    assert length == 2 * BLOCK
    assert torch.equal(state[0][0], state_of(2 * BLOCK)[0][0])
    assert torch.equal(longest(known, 0, (*several[1], 1))[1][0][0], state_of(BLOCK, 9)[0][0])


def test_a_name_that_two_beginnings_have_in_common_shows_nobody_the_other(monkeypatch):
    monkeypatch.setattr(module, "_names", lambda _owner, ids: [b"%d" % at for at in range(len(ids) // BLOCK)])
    known = Prefixes()
    known.keep(0, tuple(range(BLOCK)), state_of(BLOCK))
    assert longest(known, 0, tuple(range(500, 500 + 2 * BLOCK))) == (0, None)


def test_prompts_that_wait_together_share_what_they_begin_with():
    head = tuple(range(5 * BLOCK + 3))
    first, second, other = (*head, 1, 2, 3), (*head, 9), tuple(range(50, 50 + 6 * BLOCK))
    assert common_beginnings([first, second, other]) == {first: 5 * BLOCK, second: 5 * BLOCK}
    assert common_beginnings([first[: 2 * BLOCK], second[: 2 * BLOCK]]) == {}


@pytest.fixture
def read_lengths(monkeypatch):
    """The numbers of tokens that the model read, run by run."""
    found = []
    run = PromptReader._run

    def noted(self, prompts, width, before):
        shared = before[0][0].shape[1] if before else 0
        found.append(sum(len(prompt.ids) - shared for prompt in prompts))
        run(self, prompts, width, before)

    monkeypatch.setattr(PromptReader, "_run", noted)
    return found


def written(batch, *sequences):
    for one in sequences:
        batch.add(one)
    found = {}
    while batch.num_running or batch.num_waiting:
        for token in batch.step():
            found.setdefault(token.key, []).append(token.id)
    return found


GREEDY = Sampling(max_new_tokens=6, temperature=0)


def new_batch(make_model, tokenizer):
    model = make_model()
    return LiveBatch(model, tokenizer, AdapterBank(model), 4)


def test_a_prompt_that_begins_as_one_before_is_read_from_there_and_answered_alike(make_model, tokenizer, read_lengths):
    head = tuple(range(10, 10 + 2 * BLOCK))
    prompts = [(*head, 100, 101, 102), (*head, 103), (*head, 104, 105)]
    batch = new_batch(make_model, tokenizer)
    together = [written(batch, Sequence_(0, prompt, GREEDY))[0] for prompt in prompts]
    assert read_lengths == [2 * BLOCK + 3, 1, 2]
    alone = [written(new_batch(make_model, tokenizer), Sequence_(0, prompt, GREEDY))[0] for prompt in prompts]
    assert together == alone


def test_those_that_wait_together_read_a_long_beginning_once(make_model, tokenizer, read_lengths):
    head = tuple(range(10, 10 + 5 * BLOCK))
    prompts = [(*head, 100 + number) for number in range(4)]
    found = written(new_batch(make_model, tokenizer), *(Sequence_(key, ids, GREEDY) for key, ids in enumerate(prompts)))
    assert read_lengths == [5 * BLOCK, 4]
    for key, prompt in enumerate(prompts):
        assert found[key] == written(new_batch(make_model, tokenizer), Sequence_(0, prompt, GREEDY))[0]


def test_the_next_turn_begins_with_what_was_written(make_model, tokenizer, read_lengths):
    batch = new_batch(make_model, tokenizer)
    prompt = tuple(range(10, 10 + MIN_TURNS))
    answer = written(batch, Sequence_(0, prompt, Sampling(max_new_tokens=2 * BLOCK, temperature=1.0, seed=4)))[0]
    following = (*prompt, *answer, 7, 8)
    written(batch, Sequence_(1, following, GREEDY))
    num_known = (len(prompt) + len(answer) - 1) // BLOCK * BLOCK
    assert read_lengths == [len(prompt), len(following) - num_known]


def test_no_adapter_reads_on_from_what_another_read(make_model, make_adapter, tokenizer, read_lengths):
    batch = new_batch(make_model, tokenizer)
    prompt = (*range(10, 10 + 2 * BLOCK), 5)
    first = batch.bank.load("first", make_adapter(1)[0])
    of_first = written(batch, Sequence_(0, prompt, GREEDY, slot=first))[0]
    assert written(batch, Sequence_(1, prompt, GREEDY))[1] != of_first
    batch.bank.unload("first")
    second = batch.bank.load("second", make_adapter(2)[0])
    assert second == first
    of_second = written(batch, Sequence_(2, prompt, GREEDY, slot=second))[2]
    assert read_lengths == [len(prompt)] * 3
    fresh = new_batch(make_model, tokenizer)
    slot = fresh.bank.load("second", make_adapter(2)[0])
    assert written(fresh, Sequence_(0, prompt, GREEDY, slot=slot))[0] == of_second
