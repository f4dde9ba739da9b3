"""Every error that Holdfast raises on purpose.

HoldfastError
├── ConfigError            a setting is unknown, out of range, or would have no effect
├── DataError              user data cannot be read or used
│   └── NothingToLearnError    no example with a trainable token is left
├── ModelError             a model cannot be loaded, rendered for, or adapted
│   └── ContextLengthError     a prompt and its completion do not fit the model
├── TrainingError          a run cannot start or go on
│   ├── NonFiniteLossError     a loss or gradient is not a finite number
│   ├── CollapseError          a monitor saw the model degenerate
│   ├── TeacherNotBetterError  the context does not make the teacher better than the student
│   └── NothingToReflectError  retries after reflections are too much alike to learn from
├── EngineError            what writes the answers does not come up, has died, or cannot use a version
├── GraderError            an answer could not be graded (which is not the same as wrong)
├── RequestError           a request over HTTP is not acceptable
│   ├── AuthenticationError    no key, or one that is unknown, revoked or expired
│   ├── PermissionDeniedError  the key's scopes do not allow this
│   ├── InvalidStateError      the object is not in a state in which this can be done
│   ├── TooLargeError          more bytes, tokens or items than are taken
│   └── BusyError              too many requests at once: try again later
└── StoreError             the workspace is missing, damaged or of another version
    └── NotFoundError          no such workspace, skill, version or run
"""

from __future__ import annotations


class HoldfastError(Exception):
    """Base of all: a message that says what, where and what to do, and a stable `code`."""

    code = "holdfast_error"
    exit_code = 1

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class ConfigError(HoldfastError, ValueError):
    """A setting is unknown, out of range, or would have no effect."""

    code = "invalid_config"
    exit_code = 2


class DataError(HoldfastError, ValueError):
    """User data cannot be read or used."""

    code = "invalid_data"


class NothingToLearnError(DataError):
    """No example with a trainable token is left."""

    code = "nothing_to_learn"


class ModelError(HoldfastError, RuntimeError):
    """A model cannot be loaded, rendered for, or adapted."""

    code = "model_error"


class ContextLengthError(ModelError):
    """A prompt and its completion do not fit the model's context."""

    code = "context_length_exceeded"


class TrainingError(HoldfastError, RuntimeError):
    """A run cannot start or go on."""

    code = "training_error"


class NonFiniteLossError(TrainingError):
    """A loss or gradient is not a finite number; nothing was updated."""

    code = "non_finite_loss"


class CollapseError(TrainingError):
    """A monitor saw the model degenerate, and no checkpoint from before is left to go on with."""

    code = "collapse"


class TeacherNotBetterError(TrainingError):
    """The privileged context does not make the teacher better than the student."""

    code = "teacher_not_better"


class NothingToReflectError(TrainingError):
    """Retries after reflections are too much alike to learn from."""

    code = "nothing_to_reflect"


class EngineError(HoldfastError, RuntimeError):
    """What writes the answers does not come up, has died, or cannot use a version."""

    code = "engine_error"


class GraderError(HoldfastError, RuntimeError):
    """An answer could not be graded, which is not the same as wrong; `kind` says why, for counting."""

    code = "grader_error"

    def __init__(self, message: str, *, param: str | None = None, kind: str = "grader_failed") -> None:
        super().__init__(message, param=param)
        self.kind = kind


class RequestError(HoldfastError, ValueError):
    """A request over HTTP is not acceptable."""

    code = "invalid_request"


class AuthenticationError(RequestError):
    """No key, or one that is unknown, revoked or expired."""

    code = "invalid_api_key"


class PermissionDeniedError(RequestError):
    """The key's scopes do not allow this."""

    code = "insufficient_permissions"


class InvalidStateError(RequestError):
    """The object is not in a state in which this can be done."""

    code = "invalid_state"


class TooLargeError(RequestError):
    """More bytes, tokens or items than are taken."""

    code = "request_too_large"


class BusyError(RequestError):
    """Too many requests at once; `retry_after` seconds may help."""

    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, param: str | None = None, retry_after: float = 1.0) -> None:
        super().__init__(message, param=param)
        self.retry_after = retry_after


class StoreError(HoldfastError, RuntimeError):
    """The workspace is missing, damaged or of another version."""

    code = "store_error"


class NotFoundError(StoreError, LookupError):
    """No such workspace, skill, version or run."""

    code = "not_found"
