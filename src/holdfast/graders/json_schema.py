"""JSON schema: the answer is JSON that a schema allows (draft 2020-12, by the jsonschema library).

Choices made here. A schema refers to itself and to the drafts only: nothing is fetched and no file is read. One of the
grader's own that cannot be used is refused when the grader is made; one of an item makes the item not gradable.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, JsonValue, field_validator

from holdfast.errors import GraderError
from holdfast.graders.library import library
from holdfast.graders.parametrised import Grader
from holdfast.graders.reference import judged, shown
from holdfast.graders.template import is_null, json_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.graders.template import View
    from holdfast.types import Completion, Example, Score


class JsonSchema(Grader, frozen=True):
    """Right if the answer's JSON is valid; `schema` is a schema, or a text that stands for the item's own."""

    needs: ClassVar[str] = "graders"

    type: Literal["json_schema"] = "json_schema"
    input: str = "{{ sample.output_text }}"
    json_schema: dict[str, JsonValue] | str = Field(alias="schema")

    @field_validator("json_schema")
    @classmethod
    def _can_be_used(cls, schema: dict[str, JsonValue] | str) -> dict[str, JsonValue] | str:
        if isinstance(schema, dict) and find_spec("jsonschema") is not None:
            try:
                _validator(schema)
                _resolve_all(schema)
            except GraderError as error:
                raise ValueError(error.message) from None
        return schema

    def judge(self, completion: Completion, example: Example, view: View) -> Score:
        """Judges one answer."""
        schema = view.value(self.json_schema) if isinstance(self.json_schema, str) else self.json_schema
        if not isinstance(schema, dict):
            raise GraderError("the item's schema is no JSON object", kind="no_reference")
        validator = _validator(schema)
        text = view.text(self.input)
        found = json_in(text)
        if found is None and not is_null(text):
            return judged(right=False, explanation=f"no JSON in {shown(text)}")
        problem = _problem(validator, found)
        return judged(right=problem is None, explanation=problem or "valid")


def item_check(schema: dict[str, JsonValue]) -> Callable[[JsonValue], str | None]:
    """Returns a function that tells what is wrong with a value by `schema`; None where nothing is.

    Raises:
        GraderError: the schema is not valid, or refers to what is not there.
        ConfigError: the library that validates is not installed.
    """
    validator = _validator(schema)
    _resolve_all(schema)
    return lambda value: _problem(validator, value)


def _problem(validator: Any, value: JsonValue) -> str | None:  # noqa: ANN401 - a class of jsonschema
    try:
        validator.validate(value)
    except library("jsonschema", "jsonschema").ValidationError as error:
        return f"at {error.json_path}: {error.message[:200]}"
    except library("referencing.exceptions", "jsonschema").Unresolvable as error:
        raise _unresolved(error) from None
    return None


def _validator(schema: dict[str, JsonValue]) -> Any:  # noqa: ANN401 - a class of jsonschema
    """Returns what validates by `schema`; raises `GraderError` for one that is not valid itself."""
    jsonschema = library("jsonschema", "jsonschema")
    kind = jsonschema.validators.validator_for(schema)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise GraderError(f"the schema is not valid: {error.message[:200]}", kind="no_reference") from None
    # With a registry of its own the library fetches nothing.
    return kind(schema, registry=library("jsonschema_specifications", "jsonschema").REGISTRY)


def _resolve_all(schema: dict[str, JsonValue]) -> None:
    """Raises `GraderError` for a reference of `schema` that leads nowhere."""
    drafts = library("referencing.jsonschema", "jsonschema")
    registry = library("jsonschema_specifications", "jsonschema").REGISTRY
    root = drafts.specification_with(schema.get("$schema", ""), drafts.DRAFT202012).create_resource(schema)
    parts = [(root, registry.resolver_with_root(root))]
    while parts:
        part, resolver = parts.pop()
        reference = part.contents.get("$ref") if isinstance(part.contents, dict) else None
        if isinstance(reference, str):
            try:
                resolver.lookup(reference)
            except library("referencing.exceptions", "jsonschema").Unresolvable as error:
                raise _unresolved(error) from None
        parts += [(inner, resolver.in_subresource(inner)) for inner in part.subresources()]


def _unresolved(error: Exception) -> GraderError:
    reference = getattr(error, "ref", "")
    return GraderError(
        f"the schema's $ref {shown(str(reference))} leads nowhere: put what it stands for under $defs",
        kind="no_reference",
    )
