"""An adapter added into the weights it sits on, so that the result loads without peft."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from peft import PeftModel

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from holdfast.models.load import Loaded


def merged(loaded: Loaded, adapter: Path) -> PreTrainedModel:
    """Returns the base with the adapter in the folder `adapter` merged in; takes `loaded.model` over."""
    model = PeftModel.from_pretrained(loaded.model, str(adapter))
    return cast("PreTrainedModel", model.merge_and_unload())  # pyright: ignore[reportCallIssue]
