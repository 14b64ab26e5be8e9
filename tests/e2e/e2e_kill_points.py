"""SIGKILL at every system call: of a worker, of the supervisor's main thread, of the pool's thread.

Not at random moments but at all that differ: what is between two system calls changes nothing that another
process can see. strace counts each system call by itself (`inject=openat:signal=KILL:when=3`: at the third
openat), so a trace of an undisturbed run gives the list of points, and each is a run.

A worker is traced by a script in its place, its first incarnation only (whoever makes the marker), with
strace -D, which keeps the parent's pid. The supervisor is traced without -f, so that its workers live. The
pool's thread is traced with -f -b execve: children are let go when they become workers; only calls that the
main thread does not make are its points.

After a worker's death the run must be as if nothing had been; after the supervisor's, nothing of it may run
on, no incomplete output may lie there, and --resume must complete it. The small job has 16 documents; the
journal job has enough of them for several checkpoints. The short form takes every 25th point, the long
one all."""

import collections
import os
import re
import shutil

import crew_kit
import harness

EVERY = harness.form(25, 1)
TRIED_LONG = harness.form(3, 100) # points of the longer job, which take seconds each
SCRIPT = f"""#!/bin/sh
if [ "$1" = serve ] && mkdir "$KILL_MARKER" 2>/dev/null; then
    exec strace -D -q -o "$KILL_LOG" $KILL_AT {harness.WORKER} "$@"
fi
exec {harness.WORKER} "$@"
"""
CALL = re.compile(r"^(?:\d+ +)?(\w+)\(")
BEYOND = 3 # points after the last of each name, since two runs are not quite alike


def calls_of(log, pid=None):
    """Names of the system calls in a trace; of one thread, where the lines begin with pids."""
    found = []
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = CALL.match(line)
            if match and (pid is None or int(line.split()[0]) == pid):
                found.append(match.group(1))
    return found


def points_of(names):
    """[(name, k)] in the order of the trace, and a few after the last of each name: (those, the few). A run
    reaches nearly all of those, and of the few only what it does more than the run that was traced."""
    counts, points = collections.Counter(), []
    for name in names:
        counts[name] += 1
        points.append((name, counts[name]))
    return points, [(name, k + i) for name, k in counts.items() for i in range(1, BEYOND + 1)]


def inject(point):
    return f"-e inject={point[0]}:signal=KILL:when={point[1]}"


class Points(crew_kit.CrewCase):
    def setUp(self):
        super().setUp()
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        self.corpus = crew_kit.corpus(16, 12)
        self.reference, _ = crew_kit.reference("toy", self.corpus)
        self.log = self.path("strace.log")

    def chosen(self, points, every=EVERY):
        """Every so many of them, from a random offset; all are gone through, in the order of the trace."""
        offset = harness.chance("points").randrange(every)
        return points[offset::every]

    def was_killed(self):
        with open(self.log, "rb") as file:
            return b"+++ killed by SIGKILL +++" in file.read()

    def clean(self, job):
        """Makes the folder fit for the next point; a job that was judged is of no interest any more."""
        for name in os.listdir(self.dir):
            path = self.path(name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        self.jobs.remove(job)
        shutil.rmtree(job.work)

    def go_through(self, whose, points, kill, every=EVERY, share=0.8):
        """Runs kill(point) -> whether the run died there, at the chosen of points_of(). At least this share of
        those that were traced is reached, but for two: a run may poll less often than the traced one."""
        traced, beyond = points
        chosen = self.chosen(traced + beyond, every)
        missed, killed = [], 0
        for point in chosen:
            with self.subTest(point=point):
                if kill(point):
                    killed += 1
                elif point in traced:
                    missed.append(point)
        n_traced = sum(point in traced for point in chosen)
        print(f"kill points of {whose}: {len(traced)} traced, {n_traced} of them and {len(chosen) - n_traced} beyond "
              f"tried, {killed} died there; traced and not reached: {missed}", flush=True)
        self.assertGreaterEqual(n_traced - len(missed), share * n_traced - 2)


class Worker(Points):
    def run_point(self, words):
        env = {"KILL_MARKER": self.path("marker"), "KILL_LOG": self.log, "KILL_AT": words}
        job = self.job(self.corpus, workers=1, folder=crew_kit.programs(SCRIPT, "traced"),
                       env=env)
        job.wait()
        self.gone(job) # the tracer ends last
        # The death at the very end, of a worker that was sent home, is nobody's event.
        # A tracer that is held up for longer than a batch may take leaves its worker stopped, which is a hang.
        faults = {e["pid"]: ["KILL", "STOP"] for e in job.deaths()}
        job.judge(reference=self.reference, kept=["marker", "strace.log"], faults=faults)
        self.assertLessEqual(len(faults), 1)
        return job

    def test_all(self):
        job = self.run_point("-e trace=all")
        points = points_of(calls_of(self.log))
        self.assertFalse(self.was_killed())
        self.assertGreater(len(points[0]), 100)
        self.clean(job)
        self.go_through("a worker", points, self.kill)

    def kill(self, point):
        """True when the worker was killed there."""
        job = self.run_point(inject(point))
        killed = self.was_killed()
        self.clean(job)
        return killed


class Supervisor(Points):
    def run_point(self, words, strace=("-q",)):
        job = self.job(self.corpus, workers=2,
                       prefix=["strace", *strace, "-o", self.log, *words.split()])
        job.wait()
        return job

    def trace(self, strace=("-q",)):
        first = self.job(self.corpus, workers=2) # reads all of a pack that no run has seen: calls no other has
        first.wait()
        self.clean(first)
        job = self.run_point("-e trace=all", strace)
        job.judge(reference=self.reference, kept=["strace.log"])
        calls = calls_of(self.log) if "-f" not in strace else None
        return job, calls

    def kill_and_resume(self, point, strace=("-q",)):
        """True when the run was killed there."""
        job = self.run_point(inject(point), strace)
        killed = job.code == -9
        self.gone(job)
        if not killed:
            job.judge(reference=self.reference, kept=["strace.log"])
            self.clean(job)
            return False
        job.judge(reference=self.reference, codes=(-9,), killed=True, kept=["strace.log"])
        self.jobs.remove(job)
        shutil.rmtree(job.work)
        again = self.job(self.corpus, workers=2, extra=("--resume",))
        again.wait()
        again.judge(reference=self.reference)
        left = sorted(os.listdir(self.dir))
        self.assertEqual(left, ["out.npy", "out.npy.ids.jsonl", "strace.log"])
        self.resumed.append(again.finished()["resumed"])
        self.clean(again)
        return True

    def resume_each(self, whose, points, strace=("-q",), **how):
        self.resumed = []
        self.go_through(whose, points, lambda point: self.kill_and_resume(point, strace), **how)
        print(f"    went on with: {dict(sorted(collections.Counter(self.resumed).items()))} documents: runs")

    def test_main_thread(self):
        job, calls = self.trace()
        points = points_of(calls)
        self.clean(job)
        self.resume_each("the supervisor's main thread", points)

    def test_pool_thread(self):
        strace = ("-q", "-f", "-b", "execve")
        job, _ = self.trace(strace)
        pid = job.supervisor()
        main = collections.Counter(calls_of(self.log, pid))
        with open(self.log, encoding="utf-8", errors="replace") as file:
            threads = {int(line.split()[0]) for line in file if line.split()[0].isdigit()}
        calls = []
        for thread in threads - {pid}:
            mine = calls_of(self.log, thread)
            if "poll" in mine: # not a child on its way to be a worker
                calls = [name for name in mine if name not in main]
        points = points_of(calls)
        self.assertGreater(len(points[0]), 15)
        self.clean(job)
        self.resume_each("the pool's thread", points, strace, share=0.5)

    def test_checkpoints(self):
        """The main thread of a job that has checkpoints to go on from, so it takes a second or two. Reading,
        writing and syncing are what a journal is about."""
        self.corpus = crew_kit.corpus(50000, 3)
        self.reference, _ = crew_kit.reference("toy", self.corpus)
        job, calls = self.trace()
        self.clean(job)
        points = points_of([name for name in calls if name in
                            ("pwrite64", "fdatasync", "fsync", "rename", "unlink", "ftruncate")])
        n = sum(map(len, points))
        self.assertGreater(n, 20)
        # How many checkpoints there are is a matter of time, so no share of them is sure to be reached.
        self.resume_each("the main thread of a longer job", points, every=max(1, n // TRIED_LONG), share=0)


class Starts(Points):
    """A worker cannot be started at first, or not as it would be on a newer kernel."""

    def run_with(self, *injections, kill=False):
        words = [word for injection in injections for word in ("-e", "inject=" + injection)]
        corpus = crew_kit.corpus(1500, 100) if kill else self.corpus
        name = "slow" if kill else "toy"
        reference, _ = crew_kit.reference(name, corpus)
        job = self.job(corpus, model_name=name,
                       prefix=["strace", "-q", "-f", "-b", "execve", "-o", self.log, *words])
        if kill:
            job.wait_ready()
            self.assertTrue(job.send(job.workers()[0], "KILL"))
        job.wait()
        job.judge(reference=reference, kept=["strace.log"])
        self.assertEqual([e["cause"] for e in job.deaths()], ["killed"] * kill)

    def test_no_process_for_a_while(self):
        self.run_with("clone:error=EAGAIN:when=1..5")

    def test_no_socket_for_a_while(self):
        self.run_with("socketpair:error=EMFILE:when=1..5")

    @harness.long_form("test_crew_host.c has kernels without pidfds, 6 s")
    def test_no_pidfd(self):
        """Before Linux 5.2: the socket alone tells of a death."""
        self.run_with("clone:error=EINVAL")
        self.run_with("clone:error=EINVAL", "waitid:error=EINVAL:when=1+2", kill=True)

    def test_no_close_range(self):
        self.run_with("close_range:error=ENOSYS")


if __name__ == "__main__":
    harness.main()
