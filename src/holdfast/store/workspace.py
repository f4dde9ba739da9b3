"""The workspace: one folder that holds everything a team's model was taught, measured and decided.

.holdfast/
├── holdfast.db   skills, versions, runs, scores, verdicts and the alias `current`  (SQLite), or:
├── database.json which PostgreSQL database holds these
├── files/        data, weights and reminders under the hash of their content
├── runs/         checkpoints of runs that are under way
├── uploads/      files that were given over HTTP
├── keys/         what the chain of changes is signed with
├── logs/         of servers that write the answers
└── locks/        held by a process while it works, and released by the system when it dies
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final

from sqlalchemy import select

from holdfast.errors import NotFoundError, StoreError
from holdfast.store import location, tables
from holdfast.store.answers import AnswerShelf
from holdfast.store.database import Database
from holdfast.store.dialect import upsert
from holdfast.store.eval_runs import EvalRuns
from holdfast.store.evals import EvalBook
from holdfast.store.files import FileStore
from holdfast.store.job_queue import JobQueue
from holdfast.store.key_ring import KeyRing
from holdfast.store.part import Clock, utc_now
from holdfast.store.pending import PendingUploads
from holdfast.store.permissions import PermissionBook
from holdfast.store.responses import ResponseShelf
from holdfast.store.runs import RunLog
from holdfast.store.scores import ScoreBook
from holdfast.store.skills import SkillBook
from holdfast.store.versions import VersionTree

FOLDER_NAME: Final = ".holdfast"


class Workspace(
    SkillBook,
    VersionTree,
    RunLog,
    ScoreBook,
    PendingUploads,
    JobQueue,
    KeyRing,
    AnswerShelf,
    EvalBook,
    EvalRuns,
    PermissionBook,
    ResponseShelf,
):
    """Everything that is remembered. Make with `create`, find with `open`, close when done."""

    def __init__(self, root: Path, database: Database, clock: Clock) -> None:
        super().__init__(database, clock)
        self.root = root
        self.files = FileStore(root / "files")
        self.files.sweep(clock().timestamp())

    @classmethod
    def create(
        cls, path: Path | str = FOLDER_NAME, *, database: str | None = None, clock: Clock = utc_now
    ) -> Workspace:
        """Returns a new workspace in the folder `path`, which is made.

        `database` is the URL of an empty PostgreSQL database; None is a SQLite file in the folder.
        """
        root = Path(path).absolute()
        if location.is_workspace(root):
            raise StoreError(f"{root}: there is a workspace already. Open it, or choose another folder.")
        made = location.create(root, database)
        (root / ".gitignore").write_text("*\n", encoding="utf-8")
        return cls(root, made, clock)

    @classmethod
    def open(cls, path: Path | str | None = None, *, clock: Clock = utc_now) -> Workspace:
        """Returns the workspace at `path` or in its `.holdfast`; by default the one here or in a folder above."""
        root = _find(Path.cwd(), upward=True) if path is None else _find(Path(path).absolute(), upward=False)
        return cls(root, location.open_existing(root), clock)

    @property
    def database(self) -> str:
        """What the database is called: a file's path, or a server's URL."""
        return self._database.name

    def run_folder(self, run_id: str) -> Path:
        """Returns the folder for a run's checkpoints, which is made if it is not there."""
        folder = self.root / "runs" / run_id
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def remember(self, key: str, content_hash: str, *, kind: str) -> None:
        """Notes that what `key` describes is stored under `content_hash`, so that it need not be made again."""
        first = {"kind": kind, "created_at": self._now()}
        with self._database.write() as connection:
            upsert(connection, tables.artifacts, {"key": key}, {"hash": content_hash}, only_new=first)

    def recall(self, key: str) -> str | None:
        """Returns the hash that `remember` noted for `key` if the content is still there, or None."""
        with self._database.read() as connection:
            found = connection.scalar(select(tables.artifacts.c.hash).where(tables.artifacts.c.key == key))
        return found if found is not None and self.files.has(found) else None

    @contextmanager
    def exclusively(self, purpose: str) -> Iterator[None]:
        """Lets one process at a time do `purpose`; a second one is refused, and a dead one holds nothing."""
        folder = self.root / "locks"
        folder.mkdir(exist_ok=True)
        path = folder / purpose
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = path.read_text(encoding="utf-8").strip() or "unknown"
                raise StoreError(
                    f"{self.root}: another process (id {holder}) is doing {purpose!r} in this workspace. "
                    "Wait until it is done, or use another workspace."
                ) from error
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            yield
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Closes the database; the workspace can be opened again."""
        self._database.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _find(start: Path, *, upward: bool) -> Path:
    for folder in [start, *start.parents] if upward else [start]:
        for root in (folder / FOLDER_NAME, folder):
            if location.is_workspace(root):
                return root
    where = f"{start} or above it" if upward else f"{start}"
    raise NotFoundError(f"There is no workspace in {where}. Make one with `holdfast init`.")
