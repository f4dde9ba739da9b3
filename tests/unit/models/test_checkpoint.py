import pytest
import torch

from holdfast.errors import ModelError
from holdfast.models.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from holdfast.models.weights_io import atomic_folder


def test_a_state_comes_back_as_it_was(tmp_path):
    state = {"step": 3, "lr": 0.1, "name": "sft", "none": None, "rng": torch.get_rng_state(), "bytes": b"x"}
    state |= {"nested": {"moments": [torch.arange(4.0), {"a": (1, 2.5, True)}], 7: "int key"}}
    path = save_checkpoint(tmp_path, state)
    again = load_checkpoint(path)
    assert path.name == "step-00000003"
    assert torch.equal(again.pop("rng"), state.pop("rng"))
    assert torch.equal(again["nested"]["moments"].pop(0), state["nested"]["moments"].pop(0))
    assert again == state


def test_the_latest_is_the_one_with_the_largest_step(tmp_path):
    assert latest_checkpoint(tmp_path / "nothing here") is None
    for step in (9, 100, 20):
        save_checkpoint(tmp_path, {"step": step})
    assert latest_checkpoint(tmp_path).name == "step-00000100"


def test_without_a_step_they_are_counted(tmp_path):
    assert [save_checkpoint(tmp_path, {}).name for _ in range(2)] == ["step-00000000", "step-00000001"]


def test_only_the_newest_are_kept(tmp_path):
    for step in range(5):
        save_checkpoint(tmp_path, {"step": step}, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000003", "step-00000004"]


def test_saving_a_step_again_replaces_it(tmp_path):
    save_checkpoint(tmp_path, {"step": 1, "x": 1})
    assert load_checkpoint(save_checkpoint(tmp_path, {"step": 1, "x": 2}))["x"] == 2
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = save_checkpoint(tmp_path, {"step": 1, "x": torch.zeros(3)})
    data = bytearray((path / "state.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (path / "state.pt").write_bytes(data)
    with pytest.raises(ModelError, match="damaged"):
        load_checkpoint(path)


def test_a_missing_checkpoint_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no checkpoint here"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a": [{"b": object()}]}, r"state\['a'\]\[0\]\['b'\] is of type object"),
        ({"a": {(1, 2): 3}}, r"a key of state\['a'\] is tuple"),
    ],
)
def test_what_could_not_be_read_back_is_refused_before_anything_is_written(tmp_path, state, message):
    with pytest.raises(ModelError, match=message):
        save_checkpoint(tmp_path, state)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_the_old_folder_and_no_rest(tmp_path):
    (tmp_path / "f").mkdir()
    (tmp_path / "f/old").write_text("kept")

    def fail():
        with atomic_folder(tmp_path / "f") as temporary:
            (temporary / "new").write_text("half")
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail()
    assert [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*"))] == ["f", "f/old"]
