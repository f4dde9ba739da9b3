"""The bodies of `/v1/evals`: what is unknown is refused by its name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field

from holdfast.errors import RequestError

if TYPE_CHECKING:
    from holdfast.types import JSONValue

Metadata: TypeAlias = Annotated[dict[str, Annotated[str, Field(max_length=512)]], Field(max_length=16)]
Name: TypeAlias = Annotated[str, Field(max_length=256, pattern=r"^[^\x00]*$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def as_json(self) -> dict[str, JSONValue]:
        """Returns what was given; raises RequestError for what is no JSON, though Python reads it."""
        found = self.model_dump(exclude_none=True)
        try:
            json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
        except ValueError as error:
            raise RequestError(f"The body holds what JSON cannot: {str(error)[:200]}.") from None
        return cast("dict[str, JSONValue]", found)


class CustomConfig(_Body):
    """Items of a schema of one's own."""

    type: Literal["custom"]
    item_schema: dict[str, object]
    include_sample_schema: bool = False


class LogsConfig(_Body):
    """Items are answers that were kept, with these metadata."""

    type: Literal["logs", "stored_completions"]
    metadata: Metadata | None = None


class CreateEval(_Body):
    """An evaluation: where items come from, and by which criteria answers are judged."""

    data_source_config: Annotated[CustomConfig | LogsConfig, Field(discriminator="type")]
    testing_criteria: Annotated[list[dict[str, object]], Field(min_length=1, max_length=64)]
    name: Name | None = None
    metadata: Metadata | None = None


class UpdateEval(_Body):
    """Another name, or other metadata."""

    name: Name | None = None
    metadata: Metadata | None = None


class Row(_Body):
    """One item, and the answer that comes with it."""

    item: dict[str, object]
    sample: dict[str, object] | None = None


class FileContent(_Body):
    """Items in the request itself."""

    type: Literal["file_content"]
    content: list[Row]


class FileId(_Body):
    """Items in a file of purpose `evals`, one a line."""

    type: Literal["file_id"]
    id: str


class StoredCompletions(_Body):
    """Answers that were kept, the newest `limit` of those that fit."""

    type: Literal["stored_completions"]
    created_after: int | None = None
    created_before: int | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    metadata: Metadata | None = None
    model: str | None = None


class TemplateTurn(_Body):
    """A turn that is asked; its content may hold `{{ item.x }}`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | dict[str, object] | list[str | dict[str, object]]
    type: Literal["message"] | None = None


class Template(_Body):
    """What is asked, with places for the item's columns."""

    type: Literal["template"]
    template: Annotated[list[TemplateTurn], Field(min_length=1)]


class ItemReference(_Body):
    """What is asked stands in the item."""

    type: Literal["item_reference"]
    item_reference: str


InputMessages: TypeAlias = Annotated[Template | ItemReference, Field(discriminator="type")]


class SamplingParams(_Body):
    """How the model answers."""

    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    response_format: dict[str, object] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    tools: list[dict[str, object]] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None


class JsonlSource(_Body):
    """Items with their answers."""

    type: Literal["jsonl"]
    source: Annotated[FileContent | FileId, Field(discriminator="type")]


class CompletionsSource(_Body):
    """Items that a model is asked about, or answers that were kept."""

    type: Literal["completions"]
    source: Annotated[FileContent | FileId | StoredCompletions, Field(discriminator="type")]
    input_messages: InputMessages | None = None
    model: str | None = None
    sampling_params: SamplingParams | None = None


class CreateRun(_Body):
    """A run of an evaluation."""

    data_source: Annotated[JsonlSource | CompletionsSource, Field(discriminator="type")]
    name: Name | None = None
    metadata: Metadata | None = None
