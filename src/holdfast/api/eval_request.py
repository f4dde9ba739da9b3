"""The bodies of `/v1/evals`: what is unknown is refused by its name."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from holdfast.api.body import Body, Metadata

Name: TypeAlias = Annotated[str, Field(max_length=256, pattern=r"^[^\x00]*$")]


class CustomConfig(Body):
    """Items of a schema of one's own."""

    type: Literal["custom"]
    item_schema: dict[str, object]
    include_sample_schema: bool = False


class LogsConfig(Body):
    """Items are answers that were kept, with these metadata."""

    type: Literal["logs", "stored_completions"]
    metadata: Metadata | None = None


class CreateEval(Body):
    """An evaluation: where items come from, and by which criteria answers are judged."""

    data_source_config: Annotated[CustomConfig | LogsConfig, Field(discriminator="type")]
    testing_criteria: Annotated[list[dict[str, object]], Field(min_length=1, max_length=64)]
    name: Name | None = None
    metadata: Metadata | None = None


class UpdateEval(Body):
    """Another name, or other metadata."""

    name: Name | None = None
    metadata: Metadata | None = None


class Row(Body):
    """One item, and the answer that comes with it."""

    item: dict[str, object]
    sample: dict[str, object] | None = None


class FileContent(Body):
    """Items in the request itself."""

    type: Literal["file_content"]
    content: list[Row]


class FileId(Body):
    """Items in a file of purpose `evals`, one a line."""

    type: Literal["file_id"]
    id: str


class StoredCompletions(Body):
    """Answers that were kept, the newest `limit` of those that fit."""

    type: Literal["stored_completions"]
    created_after: int | None = None
    created_before: int | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    metadata: Metadata | None = None
    model: str | None = None


class TemplateTurn(Body):
    """A turn that is asked; its content may hold `{{ item.x }}`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | dict[str, object] | list[str | dict[str, object]]
    type: Literal["message"] | None = None


class Template(Body):
    """What is asked, with places for the item's columns."""

    type: Literal["template"]
    template: Annotated[list[TemplateTurn], Field(min_length=1)]


class ItemReference(Body):
    """What is asked stands in the item."""

    type: Literal["item_reference"]
    item_reference: str


InputMessages: TypeAlias = Annotated[Template | ItemReference, Field(discriminator="type")]


class SamplingParams(Body):
    """How the model answers."""

    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    response_format: dict[str, object] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    tools: list[dict[str, object]] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None


class ResponseText(Body):
    """The form of an answer, as a response names it."""

    format: dict[str, object] | None = None


class ResponseParams(Body):
    """How the model answers, in a response's words."""

    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    text: ResponseText | None = None
    tools: list[dict[str, object]] | None = None
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] | None = None


class StoredResponses(Body):
    """Responses that were kept, those that fit."""

    type: Literal["responses"]
    created_after: int | None = None
    created_before: int | None = None
    instructions_search: str | None = None
    metadata: Metadata | None = None
    model: str | None = None
    temperature: float | None = None
    tools: list[str] | None = None
    top_p: float | None = None
    users: list[str] | None = None


class JsonlSource(Body):
    """Items with their answers."""

    type: Literal["jsonl"]
    source: Annotated[FileContent | FileId, Field(discriminator="type")]


class CompletionsSource(Body):
    """Items that a model is asked about, or answers that were kept."""

    type: Literal["completions"]
    source: Annotated[FileContent | FileId | StoredCompletions, Field(discriminator="type")]
    input_messages: InputMessages | None = None
    model: str | None = None
    sampling_params: SamplingParams | None = None


class ResponsesSource(Body):
    """As `completions`, in the words of responses."""

    type: Literal["responses"]
    source: Annotated[FileContent | FileId | StoredResponses, Field(discriminator="type")]
    input_messages: InputMessages | None = None
    model: str | None = None
    sampling_params: ResponseParams | None = None


class CreateRun(Body):
    """A run of an evaluation."""

    data_source: Annotated[JsonlSource | CompletionsSource | ResponsesSource, Field(discriminator="type")]
    name: Name | None = None
    metadata: Metadata | None = None
