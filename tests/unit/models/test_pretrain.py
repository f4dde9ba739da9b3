"""The script that makes the embedded base repeats itself, resumes exactly, and learns."""

import torch
from safetensors.torch import load_file

from holdfast.models.pretrain import Muon, Recipe, orthogonalise, rate, train

SMALL = Recipe(num_steps=4, items_per_step=6, micro_batches=2, probe_items=1)


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_the_same_seed_gives_the_same_weights_and_a_resumed_run_ends_with_them(tmp_path):
    torch.set_num_threads(1)
    train(SMALL, tmp_path / "whole", log_every=4, device=torch.device("cpu"))
    train(SMALL, tmp_path / "again", log_every=2, device=torch.device("cpu"))
    stopped = tmp_path / "stopped"
    train(SMALL, stopped, log_every=2, device=torch.device("cpu"), stop_after=2)
    assert not (stopped / "recipe.json").exists()
    train(SMALL, stopped, log_every=2, device=torch.device("cpu"))
    whole = weights(tmp_path / "whole")
    for other in ("again", "stopped"):
        found = weights(tmp_path / other)
        assert all(torch.equal(whole[name], found[name]) for name in whole)


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
