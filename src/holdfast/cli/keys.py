"""Commands about who gets in and what was changed: keys, audit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.cli import door
from holdfast.cli.options import JsonOption, WorkspaceOption

if TYPE_CHECKING:
    from holdfast.store.key_ring import KeyRecord

keys = typer.Typer(name="keys", no_args_is_help=True, help="Make, list and revoke the keys of the API.")
audit = typer.Typer(name="audit", no_args_is_help=True, help="Look at the chain of changes, and verify it.")


@keys.callback()
def keys_of_the_api() -> None:
    """Make, list and revoke the keys of the API."""


@audit.callback()
def chain_of_changes() -> None:
    """Look at the chain of changes, and verify it."""


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is.", show_default=False)],
    *,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="serve, train or admin; repeatable.", show_default="serve")
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, help="It ends after so many.", show_default="never")
    ] = None,
    project: Annotated[
        str | None,
        typer.Option(
            "--project", help="Whose fine-tuned models it may ask, of those with a project.", show_default="all"
        ),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and show it: this once, since only its hash is kept.

    Jobs that are ordered with a key of a project belong to it: keys of another project may ask what they made only if
    that is permitted (client.fine_tuning.checkpoints.permissions).

    Example: holdfast keys create alice --scope serve --scope train --project support
    """
    from holdfast.jobs.workspace import find

    ends = None if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="microseconds")
    with find(workspace) as found:
        key, record = found.add_key(name, tuple(scope or ["serve"]), expires_at=ends, project=project)
    if as_json:
        door.put_json({"key": key, **_shown(record)})
    else:
        typer.echo(f"{key}\n\nKeep it: it is not shown again. Scopes: {', '.join(record.scopes)}.")


@keys.command(name="ls")
def list_keys(*, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List the keys, with their scopes and whether they still open anything.

    Example: holdfast keys ls
    """
    from holdfast.jobs.workspace import find

    with find(workspace) as found:
        records = found.api_keys()
    if as_json:
        door.put_json([_shown(record) for record in records])
        return
    for record in records:
        ended = f"revoked {record.revoked_at[:16]}" if record.revoked_at else ""
        until = f"until {record.expires_at[:16]}" if record.expires_at else ""
        scopes, whose = ",".join(record.scopes), record.project or "-"
        typer.echo(f"{record.id}  {record.name:<20} {scopes:<18} {whose:<16} {ended or until}".rstrip())
    if not records:
        typer.echo("There is no key. Make one: holdfast keys create NAME")


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `ls` shows it.", show_default=False)],
    *,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a key away for good; requests with it are refused from now on.

    Example: holdfast keys revoke 3f2a9c01b7d4
    """
    from holdfast.jobs.workspace import find

    with find(workspace) as found:
        record = found.revoke_key(key)
    if as_json:
        door.put_json(_shown(record))
    else:
        typer.echo(f"Revoked {record.id} ({record.name}).")


@audit.command()
def verify(
    *,
    key: Annotated[
        Path | None, typer.Option("--key", help="A copy of the public key.", show_default="the workspace's")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option("--head", help="A hash noted earlier, to be found in the chain.", show_default="none"),
    ] = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every entry, its signature, and that none is missing. Exit code 1: something is wrong, and it is named.

    Example: holdfast audit verify --key backup/audit.pub
    """
    from holdfast.jobs.workspace import find

    with find(workspace) as found:
        checked = found.verify_audit(key)
        known = head is None or any(entry.hash == head for entry in found.audit_entries())
    problem = checked.problem or (None if known else f"the head {head} that was noted is not in the chain any more")
    if as_json:
        door.put_json({"entries": checked.num_entries, "head": checked.head, "problem": problem})
    elif problem is None:
        typer.echo(f"{checked.num_entries} entries, each as it was written. Head: {checked.head}")
    else:
        typer.echo(f"Not as it was written: {problem}.")
    if problem is not None:
        raise typer.Exit(1)


@audit.command(name="ls")
def list_entries(*, workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List every change: when, who, what.

    Example: holdfast audit ls
    """
    from holdfast.jobs.workspace import find

    with find(workspace) as found:
        entries = found.audit_entries()
    if as_json:
        door.put_json(
            [
                {"id": one.id, "at": one.at, "actor": one.actor, "action": one.action, "subject": one.subject,
                 "details": dict(one.details), "hash": one.hash}
                for one in entries
            ]
        )  # fmt: skip
        return
    for one in entries:
        typer.echo(f"{one.id:>6}  {one.at[:19]}  {one.actor:<24} {one.action:<18} {one.subject}")


def _shown(record: KeyRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "name": record.name,
        "scopes": list(record.scopes),
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "revoked_at": record.revoked_at,
        "project": record.project,
    }
