"""The door to pretrained weights: any causal language model by hub id or folder, safetensors only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from holdfast.errors import ModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Dtype: TypeAlias = Literal["auto", "float32", "bfloat16"]
Device: TypeAlias = Literal["auto", "cpu", "cuda"]

TINY = "holdfast:tiny"
TINY_FOLDER = Path(__file__).parent / "weights"
NO_DOWNLOAD_HELP = (
    "Give a folder that holds config.json and *.safetensors, a Hugging Face id (with a network), "
    f"or {TINY!r} for the embedded base."
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A base model with its tokenizer, and in words why it was loaded as it was."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    reasons: list[str] = field(default_factory=list[str])


def load(
    name: str,
    *,
    dtype: Dtype = "auto",
    device: Device = "auto",
    chat_template: str | Path | None = None,
) -> Loaded:
    """Returns the model `name` and its tokenizer, in evaluation mode and with no code from the hub run.

    `name` is `holdfast:tiny`, a local folder, or a Hugging Face id. `chat_template` (a Jinja text or the
    path of a file that holds it) replaces the tokenizer's own; without any, the model can classify and not chat.

    Raises:
        ModelError: the model is missing, has no safetensors, or needs remote code.
    """
    where = resolve(name)
    device_name, device_reason = choose_device(device)
    torch_dtype, dtype_reason = choose_dtype(dtype, device_name)
    reasons = [device_reason, dtype_reason]
    tokenizer = load_tokenizer(name, chat_template=chat_template)
    config = _load_config(name, where)
    if dropped := _without_dropout(config):
        reasons.append(f"dropout of the base set to 0 ({', '.join(dropped)}): it is compared with its frozen self")
    model = _load_weights(name, where, config, torch_dtype)
    cast("torch.nn.Module", model).to(device_name).eval()
    _require_plain_head(name, model)
    return Loaded(model=model, tokenizer=tokenizer, name=name, reasons=reasons)


def load_config(name: str) -> PretrainedConfig:
    """Returns the config of `name`, without loading any weights."""
    return _load_config(name, resolve(name))


def context_length(config: PretrainedConfig) -> int:
    """Returns how many tokens a model reads; without a bound of its own, more than anybody has."""
    return int(getattr(config, "max_position_embeddings", 0)) or 1 << 30


def load_tokenizer(name: str, *, chat_template: str | Path | None = None) -> PreTrainedTokenizerBase:
    """Returns the tokenizer of `name` with a padding token, without loading any weights.

    One without a chat template will do for classification; rendering a conversation with it is an error.
    """
    where = resolve(name)
    try:
        tokenizer = cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(where, trust_remote_code=False))
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(
            f"{name}: its tokenizer cannot be loaded ({_first_line(error)}). {NO_DOWNLOAD_HELP}", param="base"
        ) from error
    if chat_template is not None:
        tokenizer.chat_template = _template_text(chat_template)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    # Every example is measured and an over-long one is named with its line: no second, nameless warning.
    tokenizer.deprecation_warnings["sequence-length-is-longer-than-the-specified-maximum"] = True
    return tokenizer


def choose_device(device: Device) -> tuple[str, str]:
    """Returns the device and the reason; `auto` takes a GPU when torch sees one."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelError("device = 'cuda' was asked for, but torch sees no GPU. Use 'auto' or 'cpu'.", param="device")
    if device != "auto":
        return device, f"device {device}: as asked"
    if torch.cuda.is_available():
        return "cuda", f"device cuda: torch sees {torch.cuda.get_device_name()}"
    return "cpu", "device cpu: torch sees no GPU"


def choose_dtype(dtype: Dtype, device: str) -> tuple[torch.dtype, str]:
    """Returns the weights' dtype and the reason; `auto` is bfloat16 on a GPU that has it, else float32."""
    if dtype != "auto":
        return getattr(torch, dtype), f"dtype {dtype}: as asked"
    if device == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16, "dtype bfloat16: half the memory, and this GPU computes in it"
    return torch.float32, f"dtype float32: exact and, on this {device}, bit for bit repeatable"


def resolve(name: str) -> str:
    """Returns the folder or the hub's name where `name` is found; raises ModelError where it cannot be loaded."""
    if name == TINY:
        if not (TINY_FOLDER / "model.safetensors").is_file():
            raise ModelError(
                f"{TINY}: the embedded weights are not at {TINY_FOLDER}. Reinstall the package, "
                "or make them with `python -m holdfast.models.pretrain`.",
                param="base",
            )
        return str(TINY_FOLDER)
    path = Path(name).expanduser()
    looks_local = name.startswith((".", "/", "~")) or path.exists()
    if not looks_local:
        return name
    if not (path / "config.json").is_file():
        raise ModelError(f"{name}: no config.json in this folder. {NO_DOWNLOAD_HELP}", param="base")
    if not any(path.glob("*.safetensors")):
        unsafe = sorted(p.name for p in path.glob("*.bin"))
        detail = f" It holds {unsafe[0]}, which could run code when read; convert it first." if unsafe else ""
        raise ModelError(f"{name}: no *.safetensors in this folder.{detail} {NO_DOWNLOAD_HELP}", param="base")
    return str(path)


def _load_config(name: str, where: str) -> PretrainedConfig:
    try:
        return AutoConfig.from_pretrained(where, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{name}: its config cannot be loaded ({_first_line(error)}). {NO_DOWNLOAD_HELP}", param="base"
        ) from error


def _load_weights(name: str, where: str, config: PretrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    transformers_logging.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            where, config=config, dtype=dtype, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise ModelError(
            f"{name}: its weights cannot be loaded ({_first_line(error)}). {NO_DOWNLOAD_HELP}", param="base"
        ) from error
    return cast("PreTrainedModel", model)


def _require_plain_head(name: str, model: PreTrainedModel) -> None:
    """Refuses a model whose logits are more than a projection of its last hidden states (a soft cap, a scale).

    Losses and generation project hidden states themselves, so that no [tokens, vocabulary] tensor lives whole.
    """
    ids = torch.tensor([[0, 1, 2]], device=model.device)
    with torch.no_grad():
        hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        ours = cast("torch.nn.Linear", model.get_output_embeddings())(hidden)
        theirs = model(input_ids=ids, use_cache=False).logits
    if not torch.allclose(ours.float(), theirs.float(), rtol=1e-2, atol=1e-3):
        raise ModelError(
            f"{name}: its logits are not a plain projection of its hidden states (a soft cap or a scale, "
            "as in Gemma 2), which is not supported. Use another base.",
            param="base",
        )


def _without_dropout(config: PretrainedConfig) -> list[str]:
    """Sets every dropout of the config to 0 and returns the names of those that were not."""
    changed = []
    for key, value in config.to_dict().items():
        if key.endswith(("dropout", "pdrop")) and isinstance(value, float) and value > 0:
            setattr(config, key, 0.0)
            changed.append(key)
    return changed


def _template_text(template: str | Path) -> str:
    if isinstance(template, Path) or ("{" not in template and Path(template).is_file()):
        return Path(template).read_text(encoding="utf-8")
    if "{" not in template:
        raise ModelError(f"chat_template {template!r} is neither a file nor a Jinja text.", param="chat_template")
    return template


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0][:200]
