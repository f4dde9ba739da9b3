"""What an order over HTTP may not do: read files of the server, or have its keys sent to an address of its choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from holdfast.errors import ConfigError
from holdfast.graders import grader
from holdfast.graders.asked_model import OWN
from holdfast.graders.multi import Multi

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from holdfast.graders import Grader
    from holdfast.types import JSONValue

OPENAI = "https://api.openai.com/v1"
"""Where a grader asks that names no address."""


def parts_of(made: Grader) -> Iterator[Grader]:
    """Yields a grader's own graders, or itself where it has none."""
    if isinstance(made, Multi):
        yield from made.graders.values()
    else:
        yield made


def require_known_servers(made: Grader, servers: Mapping[str, str], *, asks_here: bool = False) -> None:
    """Refuses a grader that asks a server, or sends a key, which the operator did not name.

    `servers` are addresses with the variable that holds the key for each. `asks_here`: a grader without an address
    asks a model that is served here.

    Raises:
        ConfigError: a server is not among them, or another variable is named.
    """
    for part in parts_of(made):
        told = part.model_dump()
        address, model = told.get("base_url"), told.get("model") or told.get("embedding_model")
        if "base_url" not in told or model in (None, OWN) or (address is None and asks_here):
            continue
        address = str(address or OPENAI).rstrip("/")
        known = servers.get(address)
        if known is None:
            raise ConfigError(
                f"base_url: this server lets no grader ask {address}. Its operator can, by "
                f"`holdfast serve --grader-server {address}=VARIABLE`, the variable that holds the key.",
                param="grader.base_url",
            )
        if told["api_key_env"] != known:
            raise ConfigError(f"api_key_env: for {address} it is {known}.", param="grader.api_key_env")


def require_harmless(recipe: Mapping[str, JSONValue], servers: Mapping[str, str]) -> None:
    """Refuses a recipe from outside that names a file of this machine or a server that is not known.

    Raises:
        ConfigError: it does; `param` names the setting.
    """
    rehearsal = cast("dict[str, JSONValue]", recipe.get("rehearsal") or {})
    if isinstance(rehearsal, dict) and rehearsal.get("prompts_file") is not None:
        raise ConfigError(
            "rehearsal.prompts_file: a request names no file of the server; its operator can, in --config.",
            param="recipe.rehearsal.prompts_file",
        )
    evaluation = recipe.get("evaluation")
    spec = evaluation.get("grader") if isinstance(evaluation, dict) else None
    if isinstance(spec, dict | str) and spec != "auto":
        require_known_servers(grader(spec), servers)
