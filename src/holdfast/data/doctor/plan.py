"""The plan of a preparation: which checks are made, with which settings, and what is done about what they find.

A plan is TOML. The one that a preparation writes beside its data holds every decision as it was taken, so that the
same plan on the same rows gives the same data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import Field, ValidationError, create_model, model_validator

from holdfast.data.checks import AFTER_SPLIT, CHECKS
from holdfast.data.checks.weak_labels import WeakLabels, WeakLabelsSettings
from holdfast.data.making.augment import AugmentSettings
from holdfast.data.making.knowledge import KnowledgeSettings
from holdfast.data.parts.assignment import SplitSettings
from holdfast.settings import Settings, explain, parse_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.data.check import Check, CheckSettings
    from holdfast.types import JSONValue


def _first_line(check: type[Check]) -> str:
    return (check.__doc__ or "").strip().split("\n", 1)[0]


Checks = create_model(
    "Checks",
    __base__=Settings,
    **cast(
        "dict[str, Any]",
        {
            name: (check.Settings, Field(default=check.Settings(), description=_first_line(check)))
            for name, check in {**CHECKS, **AFTER_SPLIT}.items()
        },
    ),
)
"""The settings of every check, by its name."""


class WriterSettings(Settings):
    """The model that writes questions on documents and other wordings of requests."""

    model: str = ""
    """Its name on the server, or holdfast:tiny; without one, templates and rules alone write."""
    base_url: str | None = None
    """The server's address (http://localhost:8000/v1); None = OpenAI's; local = the model is loaded here."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key."""
    max_tokens: Annotated[int, Field(ge=16)] = 1500
    """The longest answer."""
    seconds: Annotated[float, Field(gt=0)] = 120.0
    """How long a server's answer is waited for."""

    @property
    def is_local(self) -> bool:
        """Whether the model is loaded in this process, by the name or folder that `--model` takes."""
        return self.base_url == "local" or (self.base_url is None and self.model.startswith("holdfast:"))


class Augmentation(AugmentSettings):
    """Whether training rows get other wordings, and which."""

    enabled: bool = False
    """Whether any are made; they are marked as synthetic and never part of a test."""

    @model_validator(mode="after")
    def _all_has_an_effect(self) -> Augmentation:
        if not self.enabled:
            others = [name for name in type(self).model_fields if name != "enabled"]
            self.refuse_if_changed(others, "no wordings are made (augment.enabled)")
        return self


class Plan(Settings):
    """Everything that decides what becomes of the rows."""

    seed: int = 0
    """Every draw derives from it."""
    split: SplitSettings = SplitSettings()
    """What is held out as the test."""
    knowledge: KnowledgeSettings = KnowledgeSettings()
    """How documents become questions and answers."""
    writer: WriterSettings = WriterSettings()
    """The model that writes them besides."""
    augment: Augmentation = Augmentation()
    """Other wordings of training rows."""
    checks: Checks = Checks()  # pyright: ignore[reportInvalidTypeForm] - made from the registry
    """The checks by name."""

    def of(self, name: str) -> CheckSettings:
        """Returns the settings of a check."""
        return getattr(self.checks, name)

    def decided(self, decisions: Mapping[str, bool]) -> Plan:
        """Returns the plan with the decisions taken in place of those that were to be asked."""
        checks = {
            name: self.of(name).model_copy(update={"remedy": "apply" if approved else "skip"})
            for name, approved in decisions.items()
        }
        return self.model_copy(update={"checks": self.checks.model_copy(update=checks)})

    def pinned(self) -> Plan:
        """Returns the plan with the hashes of the files that decide about rows; raises DataError if one is another."""
        checks = {name: self.of(name).pinned() for name in type(self.checks).model_fields}
        return self.model_copy(update={"checks": self.checks.model_copy(update=checks)})

    def gives_labels(self) -> bool:
        """Tells whether rows may come without a label, because labelling functions give them one."""
        settings = self.of(WeakLabels.name)
        return settings.enabled and isinstance(settings, WeakLabelsSettings) and bool(settings.functions)

    def uses_embeddings(self) -> bool:
        """Tells whether a check that is made can compare by meaning."""
        return self.of("semantic_duplicates").enabled

    @classmethod
    def from_mapping(cls, values: Mapping[str, JSONValue], where: str = "plan") -> Plan:
        """Returns the plan that `values` describe; raises ConfigError that names every wrong key."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise explain(error, cls, where) from None

    @classmethod
    def from_toml(cls, path: Path | str) -> Plan:
        """Returns the plan of a TOML file."""
        return cls.from_mapping(parse_toml(Path(path)), where=str(path))
