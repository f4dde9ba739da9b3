"""The settings of a low-rank adapter; importable without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AdapterConfig(BaseModel):
    """Low-rank adaptation (Hu et al. 2021, arXiv:2106.09685): W + alpha/rank · B·A, trained in float32."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    type: Literal["lora"] = "lora"
    """Kind of adapter."""

    rank: int = Field(16, ge=1)
    """Rows of A and columns of B; the capacity of the adapter."""

    alpha: float = Field(32.0, gt=0)
    """The adapter's output is multiplied by alpha / rank."""

    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Share of the adapter's inputs that is dropped while training."""

    target_modules: Literal["all-linear"] | list[str] = "all-linear"
    """Modules that get an adapter: every linear layer but the output head, or a list of name endings."""
