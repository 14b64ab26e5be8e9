"""The exceptions of vecmill.

Every failure of the library or of one of its programs is a VecmillError. Its message is one sentence that names
what failed, where, and the two numbers that disagree. Each class is also the builtin exception that Python code
expects, so that code with `except ValueError` around FastEmbed still catches the same errors.

    VecmillError
    +-- UsageError (ValueError)             an option out of range
    |   +-- UnsupportedError                a request that this version, or any CPU engine, cannot fulfil
    +-- NotFoundError (ValueError)          the model does not exist, or could not be fetched
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
    """The base class of every failure."""


class UsageError(VecmillError, ValueError):
    """An option is out of its range, or two options exclude each other."""


class UnsupportedError(UsageError):
    """This version does not support it."""


class NotFoundError(VecmillError, ValueError):
    """The model does not exist, or is not on this machine and could not be fetched."""


class ModelError(VecmillError, ValueError):
    """A model's files are missing, invalid, contradict each other, or were changed while in use."""


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

    index:  its position among the documents of the call, from 0
    reason: why it failed, in one sentence
    """

    def __init__(self, index: int, reason: str):
        super().__init__(f"document {index}: {reason}")
        self.index = index
        self.reason = reason

    def __reduce__(self) -> tuple[type[DocumentError], tuple[int, str]]:
        return type(self), (self.index, self.reason)


# By the names in vecmill_status.h, without their E_.
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
