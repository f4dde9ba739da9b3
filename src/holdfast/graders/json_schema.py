"""JSON schema: the answer is JSON that a schema allows (draft 2020-12, by the jsonschema library)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, JsonValue

from holdfast.errors import GraderError
from holdfast.graders.library import library
from holdfast.graders.parametrised import Grader
from holdfast.graders.reference import judged, shown
from holdfast.graders.template import json_in

if TYPE_CHECKING:
    from holdfast.graders.template import View
    from holdfast.types import Completion, Example, Score


class JsonSchema(Grader, frozen=True):
    """Right if the answer's JSON is valid; `schema` is a schema, or a text that stands for the item's own."""

    needs: ClassVar[str] = "graders"

    type: Literal["json_schema"] = "json_schema"
    input: str = "{{ sample.output_text }}"
    json_schema: dict[str, JsonValue] | str = Field(alias="schema")

    def judge(self, completion: Completion, example: Example, view: View) -> Score:
        """Judges one answer."""
        jsonschema = library("jsonschema", "jsonschema")
        schema = view.value(self.json_schema) if isinstance(self.json_schema, str) else self.json_schema
        if not isinstance(schema, dict):
            raise GraderError("the item's schema is no JSON object", kind="no_reference")
        found = json_in(view.text(self.input))
        if found is None:
            return judged(right=False, explanation=f"no JSON in {shown(view.text(self.input))}")
        kind = jsonschema.validators.validator_for(schema)
        try:
            kind.check_schema(schema)
            kind(schema).validate(found)
        except jsonschema.SchemaError as error:
            raise GraderError(f"the schema is not valid: {error.message[:200]}", kind="no_reference") from None
        except jsonschema.ValidationError as error:
            return judged(right=False, explanation=f"at {error.json_path}: {error.message[:200]}")
        return judged(right=True, explanation="valid")
