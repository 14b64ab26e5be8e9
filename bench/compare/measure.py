"""Runs one program as a fresh process and measures it: wall time, first line, memory of its whole tree.

Memory is the proportional set size (PSS): for every process of the tree the pages it holds for itself
plus its share of those it has in common with others, anonymous, shared and file-backed alike, from
/proc/PID/smaps_rollup, summed over the tree at one moment; the peak is the largest sum seen. So a model
mapped by two workers counts once, and a model copied into two workers counts twice. It is looked at
every 50 ms, less often where one look takes more than a millisecond (a tree of gigabytes), so that
looking costs at most two per cent of one processor; a peak shorter than that may be missed.

It also tells how many processors others kept busy meanwhile, by the machine's clocks less our own and
those of the tree. A figure from a machine at work says little, and is unfair to programs whose threads
wait for each other by spinning; so run_quiet() waits for quiet, and repeats what was disturbed.

Knows nothing of what the program does."""

import ctypes
import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field

LOOK_SECONDS = 0.05
LOOK_SHARE = 0.02
QUIET = 0.1                 # processors that others may keep busy
PR_SET_CHILD_SUBREAPER = 36


@dataclass
class Outcome:
    returncode: int
    seconds: float             # from before the process is made to after its end was seen
    first_seconds: float       # to the first line on stdout; None when there was none
    peak_bytes: int            # None when nothing was seen
    others: float              # processors that others kept busy meanwhile, on average
    lines: list = field(default_factory=list)
    stderr: str = ''

    @property
    def quiet(self):
        return self.others <= QUIET

    def reason(self):
        """Why it failed: the last line of stderr that says something."""
        said = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        return said[-1] if said else f'ended with {self.returncode}'


def parents():
    """{pid: parent pid} of all processes."""
    found = {}
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                with open(f'/proc/{name}/stat', 'rb') as file:
                    # The command in brackets may hold anything, brackets too.
                    found[int(name)] = int(file.read().rpartition(b')')[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    return found


def tree_of(root, parent_of):
    """root and all that descend from it."""
    children = {}
    for pid, parent in parent_of.items():
        children.setdefault(parent, []).append(pid)
    tree, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        tree.append(pid)
        waiting.extend(children.get(pid, ()))
    return tree


def pss_bytes(text):
    """The Pss line of a smaps_rollup, in bytes."""
    for line in text.splitlines():
        if line.startswith('Pss:'):
            return int(line.split()[1]) * 1024
    return 0


def tree_bytes(root):
    total = 0
    for pid in tree_of(root, parents()):
        try:
            with open(f'/proc/{pid}/smaps_rollup') as file:
                total += pss_bytes(file.read())
        except OSError:
            continue
    return total


def busy_seconds():
    """Processor time that all processes of the machine took, since it started; 0 where unknown."""
    try:
        with open('/proc/stat') as file:
            user, nice, system = (int(n) for n in file.readline().split()[1:4])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system) / os.sysconf('SC_CLK_TCK')


def own_seconds():
    """Processor time of this process and of all it has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime + time.process_time()


def adopt_orphans():
    """Makes this process the parent of what a measured program leaves behind, so that its time can be
    told from that of others: FastEmbed's workers outlive it by a moment."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans(seconds=5.0):
    """Waits for every child that is left, so its time counts as ours; gives up after `seconds`."""
    end = time.perf_counter() + seconds
    try:
        while time.perf_counter() < end:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.02)
    except ChildProcessError:
        return


def run(command, cpus, environment=None, timeout=1800, look=True):
    """Runs command on the processors `cpus` (a set) and returns an Outcome. It is killed with all that
    descends from it when `timeout` seconds are over, and when we are interrupted."""
    lines, first = [], [None]
    adopt_orphans()
    began, busy, ours = time.perf_counter(), busy_seconds(), own_seconds()
    # An interrupt waits until there is a process to end: one that came in between would leave it running.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})

    def in_child():
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.sched_setaffinity(0, cpus)

    def read():
        for line in process.stdout:
            if first[0] is None:
                first[0] = time.perf_counter() - start
            lines.append(line.rstrip('\n'))

    with tempfile.TemporaryFile('w+', errors='replace') as errors:
        start = time.perf_counter()
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=errors, text=True, errors='replace', env=environment,
                                       start_new_session=True, preexec_fn=in_child)
        except BaseException:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            raise
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            peak, seconds = watch(process, start, timeout, look)
        except BaseException:
            kill_tree(process)
            raise
        reader.join(5)
        process.stdout.close()
        errors.seek(0)
        said = errors.read()
    reap_orphans()
    others = max(0.0, busy_seconds() - busy - (own_seconds() - ours)) / (time.perf_counter() - began)
    return Outcome(process.returncode, seconds, first[0], peak or None, others, lines, said)


def kill_tree(process):
    """Ends the process and all that descends from it, and waits for it. Its group, which it leads, at one
    blow, so that nothing is born meanwhile; the tree for those that made a group of their own."""
    tree = tree_of(process.pid, parents())
    for end, number in ((os.killpg, process.pid), *((os.kill, pid) for pid in tree)):
        try:
            end(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def watch(process, start, timeout, look):
    """Waits for the process, looking at its memory; returns (peak bytes, seconds until its end)."""
    peak, pause = 0, LOOK_SECONDS
    while time.perf_counter() - start < timeout:
        try:
            process.wait(pause)
            return peak, time.perf_counter() - start
        except subprocess.TimeoutExpired:
            pass
        if look:
            before = time.thread_time()
            peak = max(peak, tree_bytes(process.pid))
            pause = max(LOOK_SECONDS, (time.thread_time() - before) / LOOK_SHARE)
    kill_tree(process)
    return peak, time.perf_counter() - start


def wait_for_quiet(patience):
    """Waits until others keep less than QUIET processors busy for half a second, `patience` seconds at
    most."""
    end = time.perf_counter() + patience
    while True:
        began, busy, ours = time.perf_counter(), busy_seconds(), own_seconds()
        time.sleep(0.5)
        taken = busy_seconds() - busy - (own_seconds() - ours)
        if taken / (time.perf_counter() - began) <= QUIET or time.perf_counter() > end:
            return


def run_quiet(command, cpus, environment=None, patience=60, tries=3, **more):
    """run() on a quiet machine: waits for it, and runs again what others disturbed, up to `tries`
    times; the quietest run is the result, and its .quiet says whether it may be relied on."""
    best = None
    for _ in range(tries):
        wait_for_quiet(patience)
        outcome = run(command, cpus, environment, **more)
        if best is None or outcome.others < best.others:
            best = outcome
        if outcome.quiet or outcome.returncode:
            return outcome
    return best
