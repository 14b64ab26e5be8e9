"""What the tests of memory share: groups with a limit, a sampler of a run's whole process tree, the plan of
a run, and ballast that takes what is left.

What is measured: of every process of the run, its anonymous pages (smaps_rollup, `Anonymous`, private
copies of file pages among them) and its part of shared memory (`Pss_Shmem`), summed over the tree. That is
what nobody can take back without swap, and what a plan tells. Page cache, the model's pack in it, is not
counted; the kernel's own (page tables, stacks, sockets) is seen by the group alone, and told beside it.

Groups are those of cgroup v1, made below our own; without them a test is skipped with the reason."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import crew_kit
import harness
import oracle

MIB = 1 << 20
GROUPS = "/sys/fs/cgroup/memory"
INTERVAL = 0.005 # seconds between two looks
FIELDS = re.compile(rb"^(Anonymous|Pss_Shmem|Pss_File):\s+(\d+) kB", re.M)


# ---- groups ----

class NoGroup(Exception):
    """Why there is none."""


class Group:
    """A memory group of this test's own, or the test is skipped; limit in bytes, None: none."""

    count = 0

    def __init__(self, case, limit=None):
        try:
            self.make()
        except NoGroup as e:
            case.skipTest(str(e))
        case.addCleanup(self.remove)
        if limit is not None:
            self.write("memory.limit_in_bytes", limit)
            self.write("memory.swappiness", 0) # who is over it is killed, also where there is swap

    @classmethod
    def if_possible(cls, case):
        """A group without a limit, or None and a line that says why."""
        try:
            return cls(case)
        except unittest.SkipTest as e:
            crew_kit.once("no group", lambda: print(f"without a group: {e}"))
            return None

    def make(self):
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            own = next((line.rstrip("\n").split(":", 2)[2] for line in file
                        if "memory" in line.split(":")[1].split(",")), None)
        if own is None or not os.path.isdir(GROUPS):
            raise NoGroup("the memory controller of cgroup v1 is not mounted here")
        base = GROUPS + own if os.path.isdir(GROUPS + own) else GROUPS
        Group.count += 1
        self.path = os.path.join(base, f"vecmill-test-{os.getpid()}-{Group.count}")
        try:
            os.mkdir(self.path)
        except OSError as e:
            raise NoGroup(f"no memory group can be made here: {e}") from e

    @property
    def prefix(self):
        """The words before a command that is to run in here."""
        return ["sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh"]

    def remove(self):
        until = time.monotonic() + 30
        while os.path.isdir(self.path):
            try:
                return os.rmdir(self.path)
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def write(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="utf-8") as file:
            file.write(str(value))

    def read(self, name):
        with open(os.path.join(self.path, name), encoding="utf-8") as file:
            return file.read()

    def number(self, name):
        return int(self.read(name))

    def table(self, name):
        return {key: int(value) for key, value in map(str.split, self.read(name).splitlines())}

    def oom_kills(self):
        return self.table("memory.oom_control")["oom_kill"]

    def usage(self):
        return self.number("memory.usage_in_bytes")

    def held(self):
        """Bytes that cannot be taken back: anonymous, shared, the kernel's."""
        stat = self.table("memory.stat")
        return stat["total_rss"] + stat["total_shmem"] + self.number("memory.kmem.usage_in_bytes")


# ---- looking ----

def look_at(pid):
    """(anonymous, shared, file-backed) bytes of a process; zeros when it has ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            found = dict(FIELDS.findall(file.read()))
    except OSError:
        return 0, 0, 0
    return tuple(int(found.get(name, 0)) << 10 for name in (b"Anonymous", b"Pss_Shmem", b"Pss_File"))


def pack_mappings(pid):
    """(1 if a process maps a pack, else 0; anonymous bytes in that mapping): private copies of weights."""
    n = written = 0
    try:
        with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as file:
            in_pack = False
            for line in file:
                if not line.split(maxsplit=1)[0].endswith(":"):
                    in_pack = line.rstrip().endswith(".pack")
                    n |= in_pack
                elif in_pack and line.startswith("Anonymous:"):
                    written += int(line.split()[1]) << 10
    except OSError:
        pass
    return int(n), written


def tree(root):
    """Pids of a run: the supervisor and all below it."""
    if (oracle.stat_of(root) or ("",))[0] != "vecmill":
        return [] # the words before the command
    found, todo = [root], [root]
    while todo:
        below = oracle.started(todo.pop())
        found += below
        todo += below
    return found


class Sampler(threading.Thread):
    """Looks at a run until it is told to stop."""

    def __init__(self, pid, group=None):
        super().__init__(daemon=True)
        self.root, self.group, self.ending = pid, group, threading.Event()
        self.looks = self.peak = self.whole_peak = self.group_peak = self.kernel_peak = 0
        self.peak_parts = [] # [(pid, bytes)] at the peak
        self.most = 0        # processes at once
        self.start()

    def run(self):
        while not self.ending.is_set():
            self.look()
            self.ending.wait(INTERVAL)

    def look(self):
        parts = [(pid, sum(look_at(pid)[:2])) for pid in tree(self.root)]
        if not parts:
            return
        total = sum(n for _, n in parts)
        self.looks += 1
        self.most = max(self.most, len(parts))
        if total > self.peak:
            self.peak, self.peak_parts = total, parts
        kernel = 0
        if self.group:
            kernel = self.group.number("memory.kmem.usage_in_bytes")
            self.kernel_peak = max(self.kernel_peak, kernel)
            self.group_peak = max(self.group_peak, self.group.held())
        self.whole_peak = max(self.whole_peak, total + kernel)

    def stop(self):
        self.ending.set()
        self.join()
        return self


# ---- a plan, and a run ----

def mib(n_bytes):
    return f"{n_bytes / MIB:.1f} MiB"


class Plan:
    """What `vecmill plan --json` says."""

    def __init__(self, case, args, prefix=(), env=None, codes=(0, 5)):
        self.command = [*prefix, harness.VECMILL, "plan", *args, "--json"]
        run = subprocess.run(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=case.dir,
                             env=env or crew_kit.environment(), timeout=harness.WAIT_SECONDS, check=False)
        self.code, self.err = run.returncode, run.stderr.decode()
        case.assertIn(self.code, codes, f"{self.command}: {self.err}")
        self.all = json.loads(run.stdout)
        case.assertEqual(self.all["fits"], self.code == 0, self.all)
        for name in ("total_bytes", "limit_bytes", "workers", "batch_tokens", "reserve_bytes", "pack_bytes",
                     "parts"):
            setattr(self, name.removesuffix("_bytes"), self.all[name])
        self.kernel = sum(p["bytes"] * p["count"] for p in self.parts if p["owner"] == "kernel")


class Run:
    """A run of embed, measured from its first moment to its last."""

    def __init__(self, case, args, group=None, env=None, stdin=None, deadline=harness.WAIT_SECONDS):
        self.command = [*(group.prefix if group else ()), harness.VECMILL, "embed", *args]
        began = time.monotonic()
        with tempfile.TemporaryFile(dir=harness.home()) as err:
            process = subprocess.Popen(self.command, cwd=case.dir, env=env or crew_kit.environment(),
                                       stdin=stdin or subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=err)
            self.sampler = Sampler(process.pid, group)
            try:
                self.code = process.wait(timeout=deadline)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                case.fail(f"does not end within {deadline} s: {self.command}")
            finally:
                self.seconds = time.monotonic() - began
                self.sampler.stop()
                err.seek(0)
                self.err = err.read().decode("utf-8", "replace")
        self.peak = self.sampler.peak


def drop_from_cache(folder):
    """The pages of the files in a folder, so that who reads them next is charged for them."""
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


# ---- ballast ----

TAKE = """
import mmap, sys
taken = []
with open("/proc/self/oom_score_adj", "w") as file:
    file.write("200")
print("ready", flush=True)
for line in sys.stdin:
    if line == "let go\\n":
        taken.clear()
    else:
        taken.append(mmap.mmap(-1, int(line)))
        for at in range(0, int(line), 4096):
            taken[-1][at] = 1
    print("done", flush=True)
"""


class Ballast:
    """Processes in a group that take what is left of it until the kernel kills somebody, and let go.

    Each offers itself to the OOM killer before the supervisor does, and after every worker: a worker's
    score has the whole limit as a bonus, a part of the ballast a fifth, and never as much as 0.8 of it in
    pages. One of them is killed where no worker lives that could be; it is replaced."""

    PARTS, STEP = 6, 1 << 20

    def __init__(self, case, group):
        self.case, self.group, self.killed = case, group, 0
        self.parts = [self.make() for _ in range(self.PARTS)]
        case.addCleanup(self.end)

    def make(self):
        process = subprocess.Popen(
            [*self.group.prefix, sys.executable, "-S", "-E", "-c", TAKE], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdout.readline()
        return process

    def end(self):
        for process in self.parts:
            process.kill()
            process.communicate()
        self.parts = []

    def tell(self, process, word):
        """False when it was killed."""
        try:
            process.stdin.write(f"{word}\n")
            process.stdin.flush()
            return process.stdout.readline() != ""
        except BrokenPipeError:
            return False

    def replace_dead(self):
        for i, process in enumerate(self.parts):
            if process.poll() is not None:
                self.killed += process.returncode == -signal.SIGKILL
                process.communicate()
                self.parts[i] = self.make()

    def press(self, until):
        """Takes memory, a step at a time, until `until()` or until one was killed; bytes taken."""
        taken, before = 0, self.group.oom_kills()
        while not until() and self.group.oom_kills() == before:
            for process in self.parts:
                if not self.tell(process, self.STEP) or self.group.oom_kills() != before or until():
                    break
                taken += self.STEP
            self.case.assertLess(taken, 8 << 30, "memory has no end")
        return taken

    def take(self, n_bytes):
        """Takes so much, whoever is killed for it."""
        for i in range(-(-n_bytes // self.STEP)):
            self.tell(self.parts[i % len(self.parts)], self.STEP)

    def let_go(self):
        for process in self.parts:
            self.tell(process, "let go")
        for process in self.parts: # whose pipe broke
            try:
                process.wait(timeout=0)
            except subprocess.TimeoutExpired:
                pass
        self.replace_dead()


# ---- documents ----

def text_of(rng, n_bytes):
    """Words, and a piece of one at each end: so many bytes."""
    block = crew_kit.once("block", lambda: " ".join(random.Random(1).choices(crew_kit.WORDS, k=8000)) + " ")
    at = rng.randrange(len(block))
    return (block[at:] + block * (n_bytes // len(block) + 1))[:n_bytes]


def short_texts(n, seed=1):
    rng = random.Random(seed)
    return [crew_kit.text(rng, i, rng.randrange(5, 25)) for i in range(n)]


class Feeder(threading.Thread):
    """Writes documents to a run's stdin as fast as it takes them, until it is told to end: so a job lasts as
    long as the test needs, on any machine. What was written is in `path`, for a reference, which shall not
    take for ever: after MANY documents they come slowly."""

    MANY, PAUSE = 20000, 0.01

    def __init__(self, path, n_bytes, seed=1):
        super().__init__(daemon=True)
        self.path, self.n_bytes, self.rng, self.n = path, n_bytes, random.Random(seed), 0
        self.ending, self.broken = threading.Event(), None
        self.read_end, self.write_end = os.pipe()

    def run(self):
        with open(self.path, "wb") as record, os.fdopen(self.write_end, "wb", buffering=0) as pipe:
            while not self.ending.is_set():
                line = {"id": f"d{self.n:06}", "text": text_of(self.rng, self.n_bytes)}
                line = (json.dumps(line) + "\n").encode()
                record.write(line)
                try:
                    while line:
                        line = line[pipe.write(line):]
                except BrokenPipeError as e:
                    self.broken = e
                    return
                self.n += 1
                if self.n > self.MANY:
                    self.ending.wait(self.PAUSE)

    def end(self):
        """The pipe is closed; the number of documents."""
        self.ending.set()
        self.join(harness.WAIT_SECONDS)
        return self.n
