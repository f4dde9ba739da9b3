"""What bodies have in common: what is unknown is refused by its name, and so is what is no JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator

from holdfast.data.rejected import RowError
from holdfast.data.strict_json import MAX_DEPTH, deeper_than, dump, parse
from holdfast.errors import RequestError

if TYPE_CHECKING:
    from holdfast.types import JSONValue

Metadata: TypeAlias = Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)]


class Body(BaseModel):
    """The body of a request."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _within_depth(cls, given: object) -> object:
        if deeper_than(given, MAX_DEPTH):
            raise ValueError(f"The body is nested more than {MAX_DEPTH} deep.")
        return given

    def as_json(self) -> dict[str, JSONValue]:
        """Returns what was given; raises RequestError for what is no JSON, though Python reads it."""
        try:
            found = self.model_dump(exclude_none=True)
            text = dump(found)
            text.encode()
            parse(text)
        except RowError as error:
            raise RequestError(f"The body is {error.reason}.") from None
        except (ValueError, RecursionError) as error:
            raise RequestError(f"The body holds what JSON cannot: {str(error)[:200]}.") from None
        return cast("dict[str, JSONValue]", found)
