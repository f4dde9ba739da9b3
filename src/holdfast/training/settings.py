"""What all settings classes share: frozen, no unknown keys, every setting with an effect. Importable without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Sequence

Share: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0)]
Positive: TypeAlias = Annotated[float, Field(gt=0.0)]
Count: TypeAlias = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Base of every settings class: frozen, no unknown keys, no infinite numbers."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, validate_default=True
    )

    def refuse_if_changed(self, names: Sequence[str], because: str) -> None:
        """Raises ValueError when one of `names` differs from its default although it has no effect."""
        for name in names:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} would have no effect because {because}; remove it")
