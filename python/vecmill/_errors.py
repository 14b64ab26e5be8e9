"""The exceptions of vecmill.

Every failure of the library or of one of its programs is a VecmillError: its message is one sentence that names
what, where, and the two numbers that disagree. Each class is also the builtin exception that Python code would
expect, so that `except ValueError` around FastEmbed goes on to catch what it caught.

    VecmillError
    +-- UsageError (ValueError)             an option out of range
    |   +-- UnsupportedError                asked for what this version, or any CPU engine, does not do
    +-- NotFoundError (ValueError)          no such model, or it could not be fetched
    +-- ModelError (ValueError)             a model's files are missing, invalid or changed
    +-- LimitError (ValueError)             a named maximum was reached
    +-- DoesNotFitError (MemoryError)       the plan is over the limit; nothing was begun
    +-- WorkersError (RuntimeError)         workers keep dying
    +-- SystemCallError (OSError)           the cache, a thread, a process
    +-- InternalError (RuntimeError)        a defect of vecmill
    +-- DocumentError (ValueError)          one document failed, the others did not: .index, .reason
"""

from __future__ import annotations

__all__ = [
    "VecmillError", "UsageError", "UnsupportedError", "NotFoundError", "ModelError", "LimitError",
    "DoesNotFitError", "WorkersError", "SystemCallError", "InternalError", "DocumentError",
]


class VecmillError(Exception):
    """What every failure is."""


class UsageError(VecmillError, ValueError):
    """An option is out of its range, or two do not go together."""


class UnsupportedError(UsageError):
    """This version does not do it."""


class NotFoundError(VecmillError, ValueError):
    """There is no such model, or it is not here and could not be fetched."""


class ModelError(VecmillError, ValueError):
    """A model's files are missing, invalid, in disagreement, or were changed while in use."""


class LimitError(VecmillError, ValueError):
    """A named maximum was reached."""


class DoesNotFitError(VecmillError, MemoryError):
    """The memory plan is over the limit; the message names what would fit. Nothing was begun."""


class WorkersError(VecmillError, RuntimeError):
    """Workers keep dying: twenty in a row without one document done, or none became ready."""


class SystemCallError(VecmillError, OSError):
    """The operating system refused something: a file of the cache, a thread, a process."""


class InternalError(VecmillError, RuntimeError):
    """A defect of vecmill."""


class DocumentError(VecmillError, ValueError):
    """One document could not be embedded; all others can.

    index:  its place among the documents of the call, from 0
    reason: why, one sentence
    """

    def __init__(self, index: int, reason: str):
        super().__init__(f"document {index}: {reason}")
        self.index = index
        self.reason = reason

    def __reduce__(self) -> tuple[type[DocumentError], tuple[int, str]]:
        return type(self), (self.index, self.reason)


# By the names of vecmill_status.h, without their E_.
_CLASSES = {
    "USAGE": UsageError,
    "UNSUPPORTED": UnsupportedError,
    "MEMORY": DoesNotFitError,
    "WORKERS": WorkersError,
    "MODEL": ModelError,
    "NOTFOUND": NotFoundError,
    "LIMIT": LimitError,
    "INPUT": LimitError,
    "IO": SystemCallError,
    "OUTPUT": SystemCallError,
}

# By the programs' exit codes (docs/CLI.md).
_OF_EXIT = {2: UsageError, 5: DoesNotFitError, 6: WorkersError, 9: ModelError, 10: NotFoundError}


def from_status(status: int, message: str) -> VecmillError:
    """The exception for a status of the library; called by _core."""
    from vecmill import _core

    for name, made in _CLASSES.items():
        if getattr(_core, "E_" + name) == status:
            return made(message)
    return InternalError(message)


def from_exit(code: int, message: str) -> VecmillError:
    """The exception for a program that ended with an exit code."""
    return _OF_EXIT.get(code, InternalError)(message)
