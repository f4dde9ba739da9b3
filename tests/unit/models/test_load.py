import json

import pytest
import torch
from transformers import AutoConfig, Gemma2ForCausalLM, PreTrainedTokenizerFast

from holdfast.errors import ModelError
from holdfast.models import load as load_module
from holdfast.models.generate import Sampling, generate
from holdfast.models.load import TINY, TINY_FOLDER, choose_device, choose_dtype, load, load_tokenizer
from holdfast.models.render import render_prompt
from holdfast.types import Message


@pytest.fixture
def folder(tmp_path, make_model, tokenizer):
    """A saved tiny model with its tokenizer."""
    make_model().save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    return tmp_path / "m"


def test_a_folder_is_loaded_with_the_reasons_said(folder, make_model):
    loaded = load(str(folder), device="cpu")
    ids = torch.tensor([[1, 5, 9]])
    assert torch.equal(loaded.model(ids).logits, make_model()(ids).logits)
    assert loaded.name == str(folder)
    assert loaded.reasons == [
        "device cpu: as asked",
        "dtype float32: exact and, on this cpu, bit for bit repeatable",
    ]
    assert not loaded.model.training


def test_the_dtype_can_be_chosen(folder):
    loaded = load(str(folder), dtype="bfloat16", device="cpu")
    assert loaded.model.dtype == torch.bfloat16
    assert "dtype bfloat16: as asked" in loaded.reasons


def test_the_dropout_of_the_base_is_switched_off_and_said(tmp_path, make_model, tokenizer):
    make_model("gpt2").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load(str(tmp_path))
    assert {m.p for m in loaded.model.modules() if isinstance(m, torch.nn.Dropout)} == {0.0}
    assert any(reason.startswith("dropout of the base set to 0 (") for reason in loaded.reasons)


def test_a_gpu_is_taken_when_torch_sees_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert choose_device("auto") == ("cuda", "device cuda: torch sees a card")
    assert choose_dtype("auto", "cuda")[0] == torch.bfloat16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    assert choose_dtype("auto", "cuda")[0] == torch.float32


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match="torch sees no GPU"):
        choose_device("cuda")
    assert choose_device("auto") == ("cpu", "device cpu: torch sees no GPU")


def test_the_embedded_base_is_loaded_from_the_package(monkeypatch, folder):
    assert TINY_FOLDER.name == "weights"
    monkeypatch.setattr(load_module, "TINY_FOLDER", folder)
    assert load(TINY).name == "holdfast:tiny"
    monkeypatch.setattr(load_module, "TINY_FOLDER", folder / "nowhere")
    with pytest.raises(ModelError, match="embedded weights are not at"):
        load(TINY)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"no config.json in this folder. Give a folder"):
        load(str(tmp_path))


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"no config\.json"):
        load(str(tmp_path / "nothing"))


def test_pickled_weights_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"holds pytorch_model.bin, which could run code when read"):
        load(str(folder))


def test_damaged_weights_are_refused(folder):
    (folder / "model.safetensors").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="its weights cannot be loaded"):
        load(str(folder))


def test_a_damaged_config_is_refused(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "no-such-model"}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(str(folder))


def test_code_that_comes_with_a_model_is_never_run(folder):
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}
    config["model_type"] = "evil"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(str(folder))


def test_a_hub_id_without_a_network_is_refused_with_what_to_do():
    with pytest.raises(ModelError, match=r"no-such-user/no-such-model: .* cannot be loaded .*'holdfast:tiny'"):
        load("no-such-user/no-such-model")


def test_a_tokenizer_without_a_template_is_loaded_and_cannot_render_unless_one_is_given(folder, tmp_path):
    plain = PreTrainedTokenizerFast.from_pretrained(folder)
    plain.chat_template = None
    (folder / "chat_template.jinja").unlink()
    plain.save_pretrained(folder)
    bare = load(str(folder)).tokenizer
    with pytest.raises(ModelError, match="no chat template") as caught:
        render_prompt(bare, [Message("user", "hello")], ())
    assert caught.value.param == "chat_template"
    (tmp_path / "t.jinja").write_text("{{ 'from a file' }}")
    assert load(str(folder), chat_template=tmp_path / "t.jinja").tokenizer.chat_template == "{{ 'from a file' }}"
    assert load_tokenizer(str(folder), chat_template=str(tmp_path / "t.jinja")).chat_template == "{{ 'from a file' }}"
    assert load_tokenizer(str(folder), chat_template="{{ 'text' }}").chat_template == "{{ 'text' }}"
    with pytest.raises(ModelError, match="neither a file nor a Jinja text"):
        load_tokenizer(str(folder), chat_template="nowhere.jinja")


def test_a_missing_padding_token_is_the_end_token(folder):
    plain = PreTrainedTokenizerFast.from_pretrained(folder)
    plain.pad_token = None
    plain.save_pretrained(folder)
    assert load_tokenizer(str(folder)).pad_token_id == 2


def test_logits_that_are_not_a_plain_projection_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "final_logit_softcapping": 3.0}
    config |= {"query_pre_attn_scalar": 8, "sliding_window": 8, "hidden_activation": "gelu_pytorch_tanh"}
    config.pop("layer_types", None)
    (folder / "config.json").write_text(json.dumps(config))
    Gemma2ForCausalLM(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    with pytest.raises(ModelError, match="not a plain projection"):
        load(str(folder))


def test_the_trained_llama_of_the_shared_data_writes_what_its_authors_did(shared_data):
    folder = shared_data / "models/stories260K"
    golden = json.loads((folder / "golden_greedy.json").read_text())["token_ids"][:80]
    loaded = load(str(folder / "hf"), chat_template="{{ messages[0].content }}", device="cpu")
    sampling = Sampling(temperature=0.0, max_new_tokens=len(golden) - 1)
    ((story,),) = generate(loaded.model, loaded.tokenizer, [golden[:1]], sampling)
    assert list(story.token_ids) == golden[1:]
