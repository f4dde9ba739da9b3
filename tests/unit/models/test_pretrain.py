"""The script that makes the embedded base repeats itself, resumes exactly, and learns."""

import json

import pytest
import torch
from safetensors.torch import load_file

from holdfast.models import pretrain
from holdfast.models.pretrain import Muon, Recipe, orthogonalise, rate, train

CPU = torch.device("cpu")
SMALL = Recipe(num_steps=4, items_per_step=6, micro_batches=2, probe_items=1)


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_the_same_seed_gives_the_same_weights_and_a_resumed_run_ends_with_them(tmp_path):
    train(SMALL, tmp_path / "whole", log_every=4, device=CPU, threads=1)
    train(SMALL, tmp_path / "again", log_every=2, device=CPU, threads=1)
    stopped = tmp_path / "stopped"
    train(SMALL, stopped, log_every=2, device=CPU, stop_after=2, threads=1)
    assert not (stopped / "recipe.json").exists()
    train(SMALL, stopped, log_every=2, device=CPU, threads=1)
    whole = weights(tmp_path / "whole")
    last = json.loads((tmp_path / "stopped" / "trace.jsonl").read_text().splitlines()[-1])
    assert (last["step"], last["device"], last["threads"]) == (4, "cpu", 1)
    for other in ("again", "stopped"):
        found = weights(tmp_path / other)
        assert all(torch.equal(whole[name], found[name]) for name in whole)


def test_a_run_that_is_killed_goes_on_where_it_last_saved(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pretrain, "SAVE_EVERY", 1)
    step, steps = pretrain.Pretraining.step, []

    def dies_in_the_third(run, items):
        steps.append(run.done)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return step(run, items)

    monkeypatch.setattr(pretrain.Pretraining, "step", dies_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        train(SMALL, tmp_path, log_every=4, device=CPU, threads=1)
    train(SMALL, tmp_path, log_every=4, device=CPU, threads=1)
    assert steps == [0, 1, 2, 2, 3]
    said = capsys.readouterr().out
    assert "resumed after step 2" in said
    assert "step 4 of 4" in said


def test_the_rate_warms_up_holds_and_falls_to_zero():
    recipe = Recipe(num_steps=100, warmup=0.1, decay=0.5)
    assert rate(0, recipe) == 0.1
    assert rate(9, recipe) == 1.0
    assert rate(50, recipe) == 1.0
    assert rate(75, recipe) == 0.5
    assert rate(100, recipe) == 0.0


def test_newton_schulz_brings_every_singular_value_near_one():
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(3, 24, 40)))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_muon_moves_a_matrix_against_its_gradient():
    matrix = torch.nn.Parameter(torch.eye(4))
    matrix.grad = torch.eye(4)
    Muon([matrix]).step(0.1)
    assert (matrix.diag() < 1).all()
