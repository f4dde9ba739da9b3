"""The tables as SQLAlchemy Core sees them; the migrations in `migrations/` are what makes them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, MetaData, Table

from holdfast.store.dialect import Text

metadata = MetaData()


def _table(name: str, *columns: str, integers: tuple[str, ...] = (), floats: tuple[str, ...] = ()) -> Table:
    def kind(column: str) -> type[BigInteger] | type[Float] | type[Text]:
        return BigInteger if column in integers else Float if column in floats else Text

    return Table(name, metadata, *(Column(column, kind(column)) for column in columns))


skills = _table(
    "skills", "position", "name", "train_hash", "test_hash", "grader", "kind", "created_at", integers=("position",)
)
versions = _table(
    "versions",
    *("position", "id", "parent", "base", "weights_hash", "recipe", "status", "skill", "facts", "created_at"),
    integers=("position",),
)
aliases = _table("aliases", "name", "version", "moved_at")
alias_moves = _table("alias_moves", "id", "alias", "from_version", "to_version", "kind", "moved_at", integers=("id",))
runs = _table(
    "runs",
    *("position", "id", "key", "kind", "skill", "state", "recipe", "details", "error"),
    *("created_at", "updated_at", "finished_at"),
    integers=("position",),
)
steps = _table("steps", "run_id", "step", "loss", "metrics", "recorded_at", integers=("step",), floats=("loss",))
events = _table("events", "id", "run_id", "level", "message", "data", "at", integers=("id",))
scores = _table(
    "scores",
    *("version", "skill", "test_hash", "position", "item_id", "value", "passed"),
    *("completion", "explanation", "error_type"),
    integers=("position", "passed"),
    floats=("value",),
)
verdicts = _table("verdicts", "id", "version", "against", "decision", "details", "decided_at", integers=("id",))
artifacts = _table("artifacts", "key", "hash", "kind", "created_at")

api_keys = _table(
    "api_keys",
    *("position", "id", "name", "digest", "scopes", "created_at", "expires_at", "revoked_at", "project"),
    integers=("position",),
)
audit = _table(
    "audit", *("id", "at", "actor", "action", "subject", "details", "before", "hash", "signature"), integers=("id",)
)
audit_head = _table("audit_head", "one", "id", "hash", "signature", integers=("one", "id"))
stored_completions = _table(
    "stored_completions",
    *("position", "id", "model", "version", "metadata", "messages", "answer", "created_at"),
    integers=("position",),
)
responses = _table(
    "responses",
    *("position", "id", "model", "previous", "metadata", "input", "response", "created_at"),
    integers=("position",),
)
pending_uploads = _table(
    "pending_uploads",
    *("position", "id", "filename", "purpose", "mime_type", "num_bytes", "status", "file_id"),
    *("created_at", "expires_at"),
    integers=("position", "num_bytes"),
)
upload_parts = _table("upload_parts", "id", "upload_id", "num_bytes", "created_at", integers=("num_bytes",))
uploads = _table(
    "uploads",
    *("position", "id", "filename", "purpose", "num_bytes", "sha256", "status", "status_details"),
    *("created_at", "expires_at"),
    integers=("position", "num_bytes"),
)
jobs = _table(
    "jobs",
    *("position", "id", "status", "wanted", "priority", "request", "metadata", "recipe", "skill", "run_id", "version"),
    *("fine_tuned_model", "result", "error", "trained_tokens", "attempts", "leased_by", "leased_until"),
    *("created_at", "started_at", "finished_at", "project"),
    integers=("position", "priority", "trained_tokens", "attempts"),
)
job_events = _table("job_events", "id", "job_id", "level", "type", "message", "data", "at", integers=("id",))
job_checkpoints = _table(
    "job_checkpoints",
    *("id", "job_id", "step", "metrics", "weights_hash", "created_at"),
    integers=("id", "step"),
)
checkpoint_permissions = _table(
    "checkpoint_permissions", "position", "id", "checkpoint", "project", "created_at", integers=("position",)
)
evals = _table(
    "evals",
    *("position", "id", "name", "config", "criteria", "metadata", "created_at", "updated_at"),
    integers=("position",),
)
eval_runs = _table(
    "eval_runs",
    *("position", "id", "eval_id", "name", "source", "metadata", "versions", "seed", "num_items", "status", "figures"),
    *("error", "leased_by", "leased_until", "created_at", "started_at", "finished_at"),
    integers=("position", "seed", "num_items"),
)
eval_items = _table(
    "eval_items",
    *("position", "id", "run_id", "number", "item", "given", "problem", "status", "sample", "results", "done_at"),
    integers=("position", "number"),
)
