"""How much memory one task of an engine may use, and whether a plan fits into it.

An engine gives an executor or an actor an amount of memory. Its tasks share it, after the engine's own processes have
taken their part. The rest is for the process that runs the Python code and for vecmill's workers. vecmill.h's plan
computes what they need; this module compares the two, and names the engine's setting that would fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vecmill import _core
from vecmill._errors import DoesNotFitError

MIB = 1 << 20


def mib(n: int) -> str:
    return f"{n / MIB:.1f} MiB"


@dataclass(frozen=True)
class Share:
    """The part of `whole` bytes that each of `times` tasks may use.

    whole:   the setting's bytes minus `less`; negative when `less` is more
    said:    the setting's name, for messages
    times:   0: not known before a task runs; the task then counts the processors that it sees
    less:    bytes of the setting that the engine itself uses
    setting: how to set another number of MiB, "name={}m"; None: no setting would help
    """

    whole: int
    said: str
    setting: str | None
    times: int = 1
    less: int = 0

    def on(self, workers: int) -> Share:
        """The same share with `times` known, on the machine of a task."""
        if self.times:
            return self
        return Share(self.whole, self.said, self.setting, max(1, _core.cpus() // workers), self.less)

    @property
    def bytes(self) -> int:
        return max(1, self.whole // (self.times or 1))

    def words(self) -> str:
        """"96.0 MiB (spark.executor.memoryOverhead 432.0 MiB, less 240.0 MiB, for 2 tasks)\""""
        tasks = f", for {self.times} tasks" if self.times > 1 else ""
        less = f", less {mib(self.less)} of the engine's own" if self.less else ""
        return f"{mib(self.bytes)} ({self.said} {mib(self.whole + self.less)}{less}{tasks})"

    def would_fit(self, need: int) -> str:
        """The setting at the least value under which `need` bytes fit."""
        if self.setting is None:
            return ""
        return self.setting.format(-(-(need * (self.times or 1) + self.less) // MIB)) + " would fit"


def bytes_of_plan(plan: dict[str, Any], process: int | None) -> int:
    """The bytes that a plan needs, with its reserve. process: bytes of the engine's Python, if that is not this one."""
    own = 0 if process is None else process - int(plan["parts"][0]["bytes"])
    return int(plan["total_bytes"]) + int(plan["reserve_bytes"]) + own


def least(options: dict[str, Any], beside: dict[str, Any], workers: int, process: int | None) -> int:
    """The least number of bytes needed with these options: the plan for a limit that is too small for any plan is
    the smallest plan."""
    return bytes_of_plan(_core.plan(**options, **beside, workers=workers, memory_bytes=1), process)


def least_space(options: dict[str, Any], beside: dict[str, Any], workers: int, process: int) -> int:
    """The least number of bytes of address space: the memory needed, and the pack, which is mapped. process: those of
    the engine's Python, without a pool."""
    plan = _core.plan(**options, **beside, workers=workers, memory_bytes=1)
    return bytes_of_plan(plan, process) + int(plan["pack_bytes"])


def _options_that_fit(options: dict[str, Any], beside: dict[str, Any], workers: int, process: int | None,
                      limit: int) -> str | None:
    """Smaller options that would fit: fewer tokens in a pass, then shorter documents."""
    plan = _core.plan(**options, **beside, workers=workers, memory_bytes=1)
    length = int(plan["max_length"])
    tries: list[dict[str, int]] = [{"batch_tokens": 0}]
    while length > 16:
        length //= 2
        tries.append({"batch_tokens": 0, "max_length": length})
    for less in tries:
        if less.items() <= options.items():
            continue
        if least(options | less, beside, workers, process) <= limit:
            return ", ".join(f"{name}={value or None}" for name, value in less.items()
                             if value or options[name] != value)
    return None


def refuse(options: dict[str, Any], beside: dict[str, Any], workers: int, share: Share,
           process: int | None = None) -> None:
    """Raises DoesNotFitError when no plan that the options allow fits; the message is one sentence."""
    need = least(options, beside, workers, process)
    if need <= share.bytes:
        return
    count = "1 worker" if workers == 1 else f"{workers} workers"
    ways = [share.would_fit(need)]
    fitting = _options_that_fit(options, beside, workers, process, share.bytes)
    if fitting:
        ways.append(f"{fitting} would fit as it is")
    raise DoesNotFitError(f"{count} and the process that feeds {'it' if workers == 1 else 'them'} need {mib(need)}, a "
                          f"task's share is {share.words()}: "
                          + ("; or ".join(filter(None, ways)) or "no option would help"))


class Watch:
    """Checks each batch: the plan was made for the first one, and a larger batch may not fit."""

    def __init__(self, plan: dict[str, Any], share: Share, batch_bytes: int, setting: str):
        limit = plan["limit_bytes"]
        self.most = None if limit is None else batch_bytes + (int(limit) - bytes_of_plan(plan, None)) // 2
        self.share, self.setting = share, setting

    def __call__(self, batch: Any) -> None:
        if self.most is None or batch.nbytes <= self.most:
            return
        rows = max(1, batch.num_rows * self.most // batch.nbytes)
        raise DoesNotFitError(f"a batch of {batch.num_rows} rows is {mib(batch.nbytes)}, and a task's share of "
                              f"{self.share.words()} has room for batches of {mib(self.most)}: "
                              f"{self.setting}={rows} would fit")
