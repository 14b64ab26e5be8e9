"""What the tests inside Spark and Ray share: the real model, ten thousand documents, the command line's vectors of
them, and the engines' processes.

Run by ./check --long engines, with the python of its environment; the package under test is the one installed there."""

import json
import os
import subprocess
import sys
import threading
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))

import kit  # noqa: E402
import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402

from vecmill import _core, _programs  # noqa: E402

N = 10_000
MODEL = kit.REAL_MODEL or sys.exit("VECMILL_TEST_MODEL names no folder of a real model")


def texts(n=N):
    """n different short texts."""
    return kit.texts(n, 4)


def command_line(rows):
    """(n, dim) float32: vectors of texts by `vecmill embed`, two workers."""
    folder = kit.home()
    source, output = os.path.join(folder, "texts.jsonl"), os.path.join(folder, "rows.npy")
    with open(source, "w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in rows)
    subprocess.run([_programs.PROGRAM, "embed", "-m", MODEL, "-i", source, "-o", output, "--workers", "2", "--force",
                    "--progress", "none"], check=True, timeout=600, stdin=subprocess.DEVNULL)
    return np.load(output)


def vectors(column):
    """(n, dim) float32: a column of lists without nulls, whose values are not copied."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    flat = np.frombuffer(column.flatten().buffers()[1], np.float32)
    flat = flat[column.flatten().offset:][:len(column.flatten())]
    return flat.reshape(len(column), -1)


# ---- processes ----

def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def parent(pid):
    told = kit.stat_of(pid)
    return told[2] if told else 0


def find(is_it):
    """Live processes of this test's run for whose command line is_it() is true."""
    return [pid for pid in kit.processes() if is_it(cmdline(pid)) and kit.ours(pid)]


def anonymous(pid):
    """Bytes that are this process's own; 0 when it is gone."""
    try:
        return kit.resident(pid)
    except (OSError, KeyError):
        return 0


def with_its_pool(pid):
    """anonymous() of a Python process and of what it started."""
    return anonymous(pid) + sum(map(anonymous, kit.started(pid)))


class Peak:
    """Calls measure(), which returns a dict of name: bytes, four times a second, and keeps each name's maximum."""

    def __init__(self, measure):
        self.most, self._measure, self._end = {}, measure, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._end.wait(0.25):
            for name, n in self._measure().items():
                self.most[name] = max(n, self.most.get(name, 0))

    def __enter__(self):
        self._thread.start()
        return self.most

    def __exit__(self, *ignored):
        self._end.set()
        self._thread.join()


class Killer:
    """Sends SIGKILL once to a process of victims(), as soon as ripe() is true, while other code runs.

    Leaving the context fails when no process was killed: a test must not pass because its job ended before."""

    def __init__(self, victims, ripe):
        self.killed, self._end = None, threading.Event()
        self._victims, self._ripe = victims, ripe
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._end.wait(0.1):
            if self._ripe():
                for pid in self._victims():
                    if kit.kill(pid):
                        self.killed = pid
                        return

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *ignored):
        self._end.set()
        self._thread.join()
        if kind is None and self.killed is None:
            raise AssertionError("the job ended before a process was killed")


class Case(kit.Case):
    """Compares all that an engine made with the command line's vectors."""

    @classmethod
    def setUpClass(cls):
        cls.texts = texts()
        cls.want = command_line(cls.texts)

    def assert_whole(self, table):
        """table: columns id and embedding; each row once, the same bits."""
        table = table.sort_by("id")
        self.assertEqual(table["id"].to_pylist(), list(range(N)))
        self.assertEqual(vectors(table["embedding"]).tobytes(), self.want.tobytes())


def packs(cache):
    """The packs in a cache, without their .seen files."""
    return [name for name in os.listdir(os.path.join(cache, "packs")) if name.endswith(".pack")]


def main():
    began = time.monotonic()
    print(f"{os.path.basename(sys.argv[0])}: {_core.cpus()} processors")
    try:
        kit.main()
    finally:
        print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
