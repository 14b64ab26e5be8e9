"""What one task of an engine may take of the memory, and whether what is asked for fits into it.

An engine gives a machine's part of a job (an executor, an actor) so much memory; tasks share it, and an engine's own
processes take some of it before. In what is left stand the process that runs the Python code and vecmill's workers.
The sum is vecmill.h's plan; here it is only compared, and put into words that name the engine's setting.
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
    """What each of `times` tasks may take of `whole` bytes.

    times:   0: not known before a task runs, which then counts the processors that it sees
    less:    of the setting's bytes, what is not the tasks'; `whole` has it not, and is below 0 when it is more
    setting: what to write to have so many MiB instead, "name={}m"; None: nothing would help
    """

    whole: int
    said: str
    setting: str | None
    times: int = 1
    less: int = 0

    def on(self, workers: int) -> Share:
        """The same where times is known: on the machine of a task."""
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
    """What a plan needs, its reserve included. process: what the engine's Python holds, where that is not this one."""
    own = 0 if process is None else process - int(plan["parts"][0]["bytes"])
    return int(plan["total_bytes"]) + int(plan["reserve_bytes"]) + own


def least(options: dict[str, Any], beside: dict[str, Any], workers: int, process: int | None) -> int:
    """Bytes that are needed at least, with the options as they are: the plan under a limit that nothing fits into is
    the smallest there is."""
    return bytes_of_plan(_core.plan(**options, **beside, workers=workers, memory_bytes=1), process)


def least_space(options: dict[str, Any], beside: dict[str, Any], workers: int, process: int) -> int:
    """Bytes of address space at least: what is needed, and the pack, which is mapped. process: of the engine's Python,
    without a pool."""
    plan = _core.plan(**options, **beside, workers=workers, memory_bytes=1)
    return bytes_of_plan(plan, process) + int(plan["pack_bytes"])


def _options_that_fit(options: dict[str, Any], beside: dict[str, Any], workers: int, process: int | None,
                      limit: int) -> str | None:
    """Less of what may be chosen: fewer tokens in a pass, then shorter documents."""
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
    """DoesNotFitError when no choice that the options leave fits; one sentence."""
    need = least(options, beside, workers, process)
    if need <= share.bytes:
        return
    count = "1 worker" if workers == 1 else f"{workers} workers"
    ways = [share.would_fit(need)]
    fitting = _options_that_fit(options, beside, workers, process, share.bytes)
    if fitting:
        ways.append(f"{fitting} would fit as it is")
    raise DoesNotFitError(f"{count} and what feeds {'it' if workers == 1 else 'them'} need {mib(need)}, a task's share "
                          f"is {share.words()}: " + ("; or ".join(filter(None, ways)) or "no option would help"))


class Watch:
    """Looks at each batch: one that is larger than the first, which was planned with, may leave no room."""

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
