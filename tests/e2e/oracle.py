#!/usr/bin/env python3
"""The judge of a run under faults: ten invariants, whatever was done to the run.

    oracle.py --out OUT --input IN --code N [--reference REF] [--log EVENTS] [--stderr FILE]
              [--codes 0,3] [--seconds S --deadline D] [--token T] [--faults LOG] [--workers W]

I1  it ended within its deadline
I2  every document is in the output or among the failed ones, once
I3  the output is byte for byte that of an undisturbed run (failed documents: zero rows)
I4  no process of the run is left, and no zombie
I5  nothing is left in /tmp, in /dev/shm, in $TMPDIR or beside the output
I6  the supervisor's descriptors did not grow while it ran
I7  the kernel's OOM killer struck as often as expected
I8  the exit code is as expected, and a failure gives its reason in one line
I9  what the run tells of itself is what was done to it: every death has a fault that explains it, every
    fault a death, sums agree, what was requeued is what dead workers had, and who was condemned for kills
    was killed alone, while nobody else was
I10 memory stays under the plan: what all processes held at once, as somebody saw it, is at most what
    run_started says was planned

Each gives a line `I3 ok: ...`, `I3 skip: why` or `I3 FAILED: ...`; the exit status is 1 when one failed.
What is not given is skipped with that reason. Standard library only.
"""

import argparse
import collections
import ctypes
import json
import os
import sys
import time

# What each fault may be called in the log. Names without capitals: kinds of tests/hooked/hooks.c; with
# capitals: signals sent from outside. An empty set: nobody dies of it.
CAUSES = {
    "kill": {"killed"}, "half": {"killed"}, "kill-in-compute": {"killed"}, "stop": {"hang"},
    "exit0": {"exit"}, "exit77": {"exit"}, "half-exit": {"exit"}, "segv": {"segv"}, "bus": {"bus"},
    "ill": {"ill"}, "fpe": {"fpe"}, "abort": {"abort"}, "garbage": {"protocol"}, "double": {"protocol"},
    "loop": {"hang"}, "sleep": {"hang"},
    "KILL": {"killed"}, "STOP": {"hang"}, "SEGV": {"segv"}, "BUS": {"bus"}, "ILL": {"ill"},
    "FPE": {"fpe"}, "ABRT": {"abort"}, "USR1": {"signal"}, "QUIT": {"signal"}, "OOM": {"oom"},
    "TERM": set(), "INT": set(), "HUP": set(), "CONT": set(),
}
ENDINGS = ("", ".ids.jsonl", ".errors.jsonl") # of the files that a finished run leaves
LEFT_SECONDS = 120 # for what is about to end: ends a hang
LOOKS_LEAST = 40 # at the supervisor's descriptors: some hundred milliseconds
PR_SET_CHILD_SUBREAPER = 36


# ---- processes ----

def become_subreaper():
    """Orphans of the runs are handed to this process from now on, so that none can hide."""
    return ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def stat_of(pid):
    """(comm, state, parent), or None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    comm, _, rest = text.partition("(")[2].rpartition(")")
    state, parent = rest.split()[:2]
    return comm, state, int(parent)


def alive(pid):
    """Whether it is there, and no zombie."""
    found = stat_of(pid)
    return found is not None and found[1] not in "ZX"


def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children(pid):
    """Pids of the children of all threads of a process, zombies too."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", encoding="utf-8") as file:
                found += [int(child) for child in file.read().split()]
    except FileNotFoundError:
        if os.path.exists(f"/proc/{pid}/stat") and not os.path.exists("/proc/self/task"
                                                                      f"/{os.getpid()}/children"):
            found = [p for p in processes() if (stat_of(p) or (0, 0, 0))[2] == pid]
    except OSError:
        pass
    return found


def started(pid):
    """The children that run a program of their own. One that still runs its parent's is between clone and exec,
    where with CLONE_VM, as posix_spawn has it, its memory is its parent's own: counted, that would count twice."""
    own = program(pid)
    return [child for child in children(pid) if program(child) not in (None, own)]


def program(pid):
    """The file that a process runs; None when it has ended."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None


def holders(token):
    """Processes with this word in their environment, and not ourselves."""
    found = []
    for pid in processes():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if pid != os.getpid() and os.fsencode(token) in file.read():
                    found.append(pid)
        except OSError:
            pass
    return found


def runners(programs):
    """Processes that run one of these files, by inode."""
    inodes = {(s.st_dev, s.st_ino) for s in (os.stat(p) for p in programs if os.path.exists(p))}
    found = []
    for pid in processes():
        try:
            s = os.stat(f"/proc/{pid}/exe")
            if (s.st_dev, s.st_ino) in inodes:
                found.append(pid)
        except OSError:
            pass
    return found


def say_processes(pids):
    return ", ".join(f"{pid} {stat_of(pid)}" for pid in pids)


# ---- the machine ----

def oom_kills():
    """The counter of OOM kills of our memory group (v1 or v2), or None."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
        for _, controllers, path in groups:
            if "memory" in controllers.split(","):
                name = f"/sys/fs/cgroup/memory{path}/memory.oom_control"
                with open(name, encoding="utf-8") as file:
                    return int(dict(line.split() for line in file).get("oom_kill", 0))
        for _, controllers, path in groups:
            if controllers == "":
                with open(f"/sys/fs/cgroup{path}/memory.events", encoding="utf-8") as file:
                    return int(dict(line.split() for line in file)["oom_kill"])
    except (OSError, ValueError, KeyError):
        pass
    return None


def names(folder):
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


class Before:
    """What was there before a run. `folders`: of its own, where nothing else writes, so that anything new
    is the run's. `output`: what lies beside it is looked at too; other files that come to be there on
    purpose are named when the run is judged."""

    def __init__(self, output, folders=("/dev/shm",)):
        self.output = os.path.abspath(output)
        self.folders = {folder: names(folder) for folder in folders}
        self.beside = names(os.path.dirname(self.output))
        self.oom_kills = oom_kills()
        self.own_children = set(children(os.getpid()))


# ---- files ----

def read_npy(path):
    """(rows, dim, offset of the first row) of a .npy of float32."""
    with open(path, "rb") as file:
        head = file.read(10)
        size = int.from_bytes(head[8:10], "little")
        text = file.read(size).decode("latin-1")
    shape = text[text.index("("):text.index(")")].strip("(").split(",")
    return int(shape[0]), int(shape[1]), 10 + size


def read_json_lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def read_events(path):
    """All whole lines; a run that was killed may leave half of one."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return [json.loads(line) for line in text.split("\n")[:-1]]


def documents_of(path):
    """(number of documents, their ids or None)."""
    if path.endswith(".jsonl"):
        objects = read_json_lines(path)
        ids = [o.get("id") for o in objects if isinstance(o, dict)]
        return len(objects), ids if any(i is not None for i in ids) else None
    with open(path, "rb") as file:
        data = file.read()
    return data.count(b"\n") + (not data.endswith(b"\n") and data != b""), None


def read_faults(path):
    """{pid: [kinds]} of a log of hooks.c."""
    faults = collections.defaultdict(list)
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                pid, _, kind, _ = line.split()
                faults[int(pid)].append(kind)
    except FileNotFoundError:
        pass
    return faults


# ---- judging ----

class Verdict:
    def __init__(self):
        self.lines, self.failed = [], []

    def say(self, name, why, text):
        """why: None ok, "skip", or what is wrong."""
        if why is None:
            self.lines.append(f"{name} ok: {text}")
        elif why == "skip":
            self.lines.append(f"{name} skip: {text}")
        else:
            self.lines.append(f"{name} FAILED: {why}")
            self.failed.append(self.lines[-1])

    def __str__(self):
        return "\n".join(self.lines)


class Run:
    """The evidence. None: not known, and what needs it is skipped."""

    def __init__(self, **known):
        self.output = self.input = self.reference = self.events = self.code = None
        self.codes = (0,)        # that are right
        self.stderr = None       # what it said
        self.seconds = self.deadline = None
        self.token = None        # in the environment of all its processes
        self.programs = ()       # paths of what it ran
        self.before = None       # a Before
        self.known_children = () # of this process, not to be taken for orphans
        self.faults = None       # {pid: [names of CAUSES]}
        self.workers = 2
        self.fd_counts = None    # of the supervisor, over time
        self.peak = None         # bytes, anonymous and shared, that all its processes held at once
        self.oom_expected = 0
        self.left_seconds = LEFT_SECONDS
        self.kept = ()           # names beside the output that were made on purpose
        self.resumable = False   # journal and parts may be there
        self.killed = False      # the supervisor itself was killed: it could not tell its end
        for name, value in known.items():
            if not hasattr(self, name):
                raise TypeError(name)
            setattr(self, name, value)


def judge_time(run, verdict):
    if run.seconds is None or run.deadline is None:
        return verdict.say("I1", "skip", "no times are given")
    late = None if run.seconds <= run.deadline else f"{run.seconds:.1f} s, of {run.deadline:.1f} allowed"
    return verdict.say("I1", late, f"ended after {run.seconds:.1f} s of {run.deadline:.0f}")


def failed_documents(run, n, wrong):
    """Indices of the documents in OUT.errors.jsonl."""
    path = run.output + ".errors.jsonl"
    indices = [line["index"] for line in read_json_lines(path)] if os.path.exists(path) else []
    for index, times in collections.Counter(indices).items():
        if times > 1:
            wrong.append(f"document {index} is {times} times in {path}")
        if not 0 <= index < n:
            wrong.append(f"document {index} of {n} is in {path}")
    if indices != sorted(indices):
        wrong.append(f"{path} is not in order")
    if bool(indices) != (run.code == 3):
        wrong.append(f"{len(indices)} failed documents, and exit code {run.code}")
    return set(indices)


def judge_documents(run, verdict):
    """I2; returns the failed documents."""
    if run.input is None or run.output is None:
        verdict.say("I2", "skip", "no input or no output is given")
        return None
    if run.code not in (0, 3):
        wrong = None
        if run.output in (run.before.output if run.before else None,) and \
                os.path.basename(run.output) not in run.before.beside and os.path.exists(run.output):
            wrong = f"exit code {run.code}, and yet there is {run.output}"
        verdict.say("I2", wrong, f"no output with exit code {run.code}")
        return None
    wrong = []
    n, ids = documents_of(run.input)
    failed = failed_documents(run, n, wrong)
    if run.output.endswith(".npy"):
        rows = read_npy(run.output)[0]
        ids_path = run.output + ".ids.jsonl"
        out_ids = read_json_lines(ids_path) if os.path.exists(ids_path) else None
    else:
        lines = read_json_lines(run.output)
        rows, out_ids = len(lines), [line["id"] for line in lines]
        ids = ids or list(range(n))
    if rows != n:
        wrong.append(f"{rows} rows of {n} documents")
    if ids is not None and out_ids != ids:
        lost = collections.Counter(map(json.dumps, ids))
        lost.subtract(collections.Counter(map(json.dumps, out_ids or [])))
        wrong.append("ids differ; lost (+) or doubled (-): " +
                     str({i: k for i, k in lost.items() if k} or "none, but the order"))
    verdict.say("I2", "; ".join(wrong) or None,
                f"{rows} rows of {n} documents, {len(failed)} of them failed" +
                (", ids each once and in order" if ids is not None else ""))
    return failed


def differing_rows(path, reference, failed):
    """What is wrong with the rows of a .npy; None: nothing."""
    rows, dim, at = read_npy(path)
    with open(path, "rb") as file:
        mine = file.read()
    with open(reference, "rb") as file:
        wanted = file.read()
    if not failed:
        if mine == wanted:
            return None
    elif mine[:at] == wanted[:at] and len(mine) == len(wanted):
        size = 4 * dim
        bad = [i for i in range(rows)
               if mine[at + i * size:at + (i + 1) * size] !=
               (bytes(size) if i in failed else wanted[at + i * size:at + (i + 1) * size])]
        if not bad:
            return None
        return f"{len(bad)} rows differ, the first is {bad[0]}"
    if len(mine) != len(wanted) or mine[:at] != wanted[:at]:
        return f"{len(mine)} bytes, not the {len(wanted)} of {reference}, or another header"
    size = 4 * dim
    bad = [i for i in range(rows)
           if mine[at + i * size:at + (i + 1) * size] != wanted[at + i * size:at + (i + 1) * size]]
    return f"{len(bad)} rows differ, the first is {bad[0] if bad else '?'}"


def judge_bytes(run, failed, verdict):
    if run.reference is None or failed is None:
        return verdict.say("I3", "skip", "no reference is given, or there is no output")
    if run.output.endswith(".npy"):
        wrong = differing_rows(run.output, run.reference, failed)
    else:
        with open(run.output, "rb") as mine, open(run.reference, "rb") as wanted:
            wrong = None if mine.read() == wanted.read() else "the files differ"
    for ending in (".ids.jsonl",):
        paths = [path + ending for path in (run.output, run.reference)]
        if wrong is None and all(map(os.path.exists, paths)):
            with open(paths[0], "rb") as mine, open(paths[1], "rb") as wanted:
                wrong = None if mine.read() == wanted.read() else f"{paths[0]} differs"
    size = os.path.getsize(run.output)
    return verdict.say("I3", wrong, f"{size} bytes as in the undisturbed run")


def orphans(run):
    """Children that this process (a subreaper) was handed and did not start."""
    if run.before is None:
        return []
    known = run.before.own_children | set(run.known_children)
    return [pid for pid in children(os.getpid()) if pid not in known]


def judge_processes(run, verdict):
    if run.token is None and not run.programs:
        return verdict.say("I4", "skip", "no token is given")
    until = time.monotonic() + run.left_seconds
    while True:
        left = set(holders(run.token) if run.token else []) | set(runners(run.programs)) | \
            set(orphans(run))
        if not left or time.monotonic() > until:
            break
        time.sleep(0.02)
    return verdict.say("I4", f"left: {say_processes(left)}" if left else None,
                       "no process and no zombie is left")


def judge_leavings(run, verdict):
    if run.before is None:
        return verdict.say("I5", "skip", "nobody looked before the run")
    wrong = []
    for folder, then in run.before.folders.items():
        if new := names(folder) - then:
            wrong.append(f"{folder}: {sorted(new)}")
    base = os.path.basename(run.output)
    # A run that is killed may have got as far as to its end.
    allowed = {base + ending for ending in ENDINGS} if run.code in (0, 3) or run.killed else set()
    if run.resumable or run.killed:
        allowed |= {base + ".journal"} | {base + ending + ".part" for ending in (*ENDINGS, ".journal")}
    new = names(os.path.dirname(run.before.output)) - run.before.beside - allowed - set(run.kept)
    if new:
        wrong.append(f"beside the output: {sorted(new)}")
    return verdict.say("I5", "; ".join(wrong) or None,
                       f"nothing new in {', '.join(run.before.folders)} and beside the output")


def judge_descriptors(run, verdict):
    counts = run.fd_counts
    if not counts or len(counts) < LOOKS_LEAST:
        return verdict.say("I6", "skip", "the supervisor's descriptors were not counted while it ran, or not "
                                         "often enough")
    half = len(counts) // 2
    first, last = max(counts[:half]), max(counts[half:])
    grown = f"{first} at most in the first half, {last} in the second" if last > first + 2 else None
    return verdict.say("I6", grown, f"{min(counts)} to {max(counts)} descriptors in {len(counts)} looks")


def judge_oom(run, verdict):
    if run.before is None or run.before.oom_kills is None:
        return verdict.say("I7", "skip", "no counter of OOM kills was read")
    kills = oom_kills() - run.before.oom_kills
    wrong = f"{kills} OOM kills, {run.oom_expected} expected" if kills != run.oom_expected else None
    return verdict.say("I7", wrong, f"{kills} OOM kills")


def judge_exit(run, events, verdict):
    if run.code is None:
        return verdict.say("I8", "skip", "no exit code is given")
    wrong = []
    if run.code not in run.codes:
        wrong.append(f"exit code {run.code}, not {run.codes}: {(run.stderr or '')[-500:]}")
    if run.code > 0 and run.code != 3 and run.stderr is not None and not run.killed:
        said = [line for line in run.stderr.splitlines() if line.startswith("vecmill: ")]
        reason = events[-1].get("reason") if events and events[-1]["event"] == "run_finished" else None
        if not said:
            wrong.append("no line that begins with `vecmill: ` gives the reason")
        elif reason and not any(reason[:60] in line for line in said):
            wrong.append(f"the reason in the log, {reason!r}, is none of the lines {said}")
    return verdict.say("I8", "; ".join(wrong) or None, f"exit code {run.code}")


def check_requeues(events, duplicates, wrong):
    """What a dead worker had is given out again: the same documents, once, whole or in halves. Between the halves
    are none but duplicates, which are in no batch: `first` counts them, `documents` does not."""
    pool = [e for e in events if e["event"] in ("worker_died", "batch_requeued", "worker_lost")]
    i = 0
    while i < len(pool):
        died = pool[i]
        i += 1
        if died["event"] == "worker_lost":
            wrong.append(f"worker {died['pid']} was written off")
        if died["event"] != "worker_died":
            wrong.append(f"{died} follows no death")
            continue
        parts = []
        while i < len(pool) and pool[i]["event"] == "batch_requeued":
            parts.append(pool[i])
            i += 1
        n = died["documents"]
        if n == 1 and not parts and died["deaths"] >= 3:
            continue # condemned
        if sum(part["documents"] for part in parts) != n or len(parts) > 2:
            wrong.append(f"{died} gave {parts}")
        if len(parts) == 2:
            gap = parts[1]["first"] - parts[0]["first"] - parts[0]["documents"]
            if not 0 <= gap <= duplicates:
                wrong.append(f"{died} gave {parts}, {gap} apart, where {duplicates} duplicates were told of")
        if len(parts) == 1 and n > 1 and died["deaths"] > 1:
            wrong.append(f"{died} was not halved: {parts}")
        if any(part["deaths"] != died["deaths"] for part in parts):
            wrong.append(f"{died} gave {parts}, of other deaths")


TRIAL = "while other work lived" # of the reason of a document that is condemned for kills
TRIAL_DEATHS = 5


def check_trials(events, wrong):
    """Who was condemned for deaths that say nothing about work: five of its workers died while they had nothing but
    it, each followed by nobody else's death until it was tried again. (What comes after the last verdict, and before the
    line that tells of it, is nobody's affair.)"""
    for failed in (e for e in events if e["event"] == "document_failed" and TRIAL in e["reason"]):
        deaths, is_clean = 0, False
        before = events[:events.index(failed) + 1]
        for died, after in zip(before, before[1:]):
            if died["event"] == "worker_died":
                mine = died["documents"] == 1 and after.get("first") == failed["index"]
                deaths += mine and is_clean
                is_clean = mine
        if deaths + 1 < TRIAL_DEATHS:
            wrong.append(f"document {failed['index']} was condemned for kills, and only {deaths} hit nobody else")


def check_causes(run, died, finished, wrong):
    """Each death has a fault that explains it, each fault that kills a death."""
    lethal = {pid: [k for k in kinds if CAUSES[k]] for pid, kinds in run.faults.items()}
    lethal = {pid: kinds for pid, kinds in lethal.items() if kinds}
    for e in died:
        kinds = lethal.get(e["pid"], [])
        if not any(e["cause"] in CAUSES[kind] for kind in kinds):
            wrong.append(f"worker {e['pid']} died of {e['cause']}, what was done to it: {kinds}")
    seen = {e["pid"] for e in died}
    # A stop may be undone in time; and at the very end the workers are sent home, where nobody counts.
    missed = [(pid, kinds) for pid, kinds in lethal.items()
              if pid not in seen and not set(kinds) <= {"STOP", "stop"}]
    if len(missed) > run.workers + (run.workers if finished is None else 0):
        wrong.append(f"{len(missed)} faults have no death in the log: {missed[:5]}")
    exact = collections.Counter(), collections.Counter()
    for e in died:
        kinds = lethal.get(e["pid"], [])
        if len(kinds) == 1:
            exact[0][next(iter(CAUSES[kinds[0]]))] += 1
            exact[1][e["cause"]] += 1
    if exact[0] != exact[1]:
        wrong.append(f"deaths by cause, done: {dict(exact[0])}, told: {dict(exact[1])}")


def check_finished(run, events, died, finished, wrong):
    """The sums of the last line."""
    by_cause = collections.Counter(e["cause"] for e in died)
    if finished["deaths"] != dict(by_cause):
        wrong.append(f"run_finished tells of deaths {finished['deaths']}, its events {dict(by_cause)}")
    if finished["exit"] != run.code and run.code is not None and not run.killed:
        wrong.append(f"run_finished tells of exit {finished['exit']}, it was {run.code}")
    told = [e["index"] for e in events if e["event"] == "document_failed"]
    if len(set(told)) != len(told):
        wrong.append("a document failed twice")
    if run.code in (0, 3) and any(e["event"] == "run_started" for e in events): # else: nothing was to do
        requeued = sum(e["documents"] > 0 for e in died)
        if finished["batches_requeued"] != requeued:
            wrong.append(f"{finished['batches_requeued']} batches requeued, {requeued} were lost")
        if run.input and finished["documents"] != documents_of(run.input)[0]:
            wrong.append(f"{finished['documents']} documents, not {documents_of(run.input)[0]}")
        if finished["resumed"] == 0 and len(told) != finished["failed"]:
            wrong.append(f"{finished['failed']} documents failed, {len(told)} are in the log")
        if (finished["failed"] > 0) != (run.code == 3):
            wrong.append(f"{finished['failed']} documents failed, exit code {run.code}")
    if finished["resumed"] > finished["documents"]:
        wrong.append(f"{finished['resumed']} documents resumed of {finished['documents']}")


def judge_counters(run, events, verdict):
    if events is None:
        return verdict.say("I9", "skip", "no log of events is given")
    wrong = []
    died = [e for e in events if e["event"] == "worker_died"]
    finished = events[-1] if events and events[-1]["event"] == "run_finished" else None
    if not run.killed:
        check_requeues(events, finished["duplicates"] if finished else 0, wrong)
    if not run.killed and finished is not None and finished["resumed"] == 0:
        check_trials(events, wrong)
    if finished is not None:
        check_finished(run, events, died, finished, wrong)
    elif not run.killed:
        wrong.append("the log does not end with run_finished")
    if run.faults is not None:
        check_causes(run, died, finished, wrong)
    by_cause = dict(collections.Counter(e["cause"] for e in died))
    return verdict.say("I9", "; ".join(wrong[:8]) or None,
                       f"{len(died)} deaths told of, {by_cause}" +
                       ("" if run.faults is None else ", each explained by what was done"))


def judge(run):
    verdict = Verdict()
    events = read_events(run.events) if run.events and os.path.exists(run.events) else None
    judge_time(run, verdict)
    if not run.killed:
        judge_bytes(run, judge_documents(run, verdict), verdict)
    elif not os.path.exists(run.output):
        verdict.say("I2", "skip", "the run was killed, and there is no output yet")
        verdict.say("I3", "skip", "the run was killed, and there is no output yet")
    else: # at its very end: an output is a complete one
        verdict.say("I2", "skip", "the run was killed")
        judge_bytes(run, set(), verdict)
    judge_processes(run, verdict)
    judge_leavings(run, verdict)
    judge_descriptors(run, verdict)
    judge_oom(run, verdict)
    judge_exit(run, events, verdict)
    judge_counters(run, events, verdict)
    judge_memory(run, events, verdict)
    return verdict


def judge_memory(run, events, verdict):
    planned = [e["memory_bytes"] for e in events or [] if e.get("event") == "run_started"]
    if run.peak is None or not planned:
        verdict.say("I10", "skip", "nobody looked at the run's memory" if run.peak is None else
                    "it did not get as far as a plan")
    else:
        over = f"{run.peak} bytes held at once, {planned[-1]} planned" if run.peak > planned[-1] else None
        verdict.say("I10", over, f"{run.peak} of {planned[-1]} bytes planned, at most")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--input")
    parser.add_argument("--reference")
    parser.add_argument("--log")
    parser.add_argument("--code", type=int, required=True)
    parser.add_argument("--codes", default="0")
    parser.add_argument("--stderr", help="a file with what it said")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--deadline", type=float)
    parser.add_argument("--token")
    parser.add_argument("--faults", help="a log of the hooked worker, all that was done to the run")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peak", type=int, help="bytes that all processes held at once, at most")
    a = parser.parse_args()
    said = None
    if a.stderr:
        with open(a.stderr, encoding="utf-8", errors="replace") as file:
            said = file.read()
    verdict = judge(Run(output=os.path.abspath(a.out), input=a.input, reference=a.reference, events=a.log,
                        code=a.code, codes=tuple(map(int, a.codes.split(","))), stderr=said,
                        seconds=a.seconds, deadline=a.deadline, token=a.token, workers=a.workers, peak=a.peak,
                        faults=read_faults(a.faults) if a.faults else None))
    print(verdict)
    sys.exit(1 if verdict.failed else 0)


if __name__ == "__main__":
    main()
