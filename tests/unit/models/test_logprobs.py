import pytest
import torch

from holdfast.models import logprobs
from holdfast.models.adapter_config import AdapterConfig
from holdfast.models.layout import TokenRow
from holdfast.models.learner import Learner
from holdfast.models.logprobs import row_logprobs

ROWS = [TokenRow([5, 9, 30, 7], [False, False, True, True]), TokenRow([8, 6], [False, True]), TokenRow([4], [False])]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_logprobs_are_those_of_a_plain_forward_pass(make_loaded, make_model, family, monkeypatch):
    monkeypatch.setattr(logprobs, "BLOCK_BYTES", 4 * 263)
    monkeypatch.setattr(logprobs, "BATCH_TOKENS", 4)
    results = row_logprobs(Learner.create(make_loaded(family), AdapterConfig(rank=2)), ROWS, "current")
    model = make_model(family)
    for row, result in zip(ROWS, results, strict=True):
        with torch.no_grad():
            every = model(input_ids=torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        places = [t for t, masked in enumerate(row.mask) if masked]
        wanted = [every[t - 1, row.input_ids[t]].item() for t in places]
        assert result.logprobs == pytest.approx(wanted, abs=1e-5)
        assert result.num_likeliest == sum(int(every[t - 1].argmax() == row.input_ids[t]) for t in places)
        assert result.mean_nll == pytest.approx(-sum(wanted) / len(wanted) if wanted else 0.0, abs=1e-5)
