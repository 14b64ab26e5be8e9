"""No memory: the n-th allocation fails, for every n until a run needs no more of them.

Three ways. A preloaded library (starve.c) lets the n-th malloc of the supervisor or of a worker fail, counted
from the beginning of main: once, or from then on. strace lets the n-th mmap or brk fail, again once or from
then on; it counts each call by its name, so a trace of an undisturbed run gives the points. And a worker
is made to ask for a page that was not planned, behind its fence.

That this is all there is to fail: from the first batch on the supervisor maps nothing and its heap does not
grow, deaths and checkpoints included.

Whatever fails: the run ends in time, with the very output of an undisturbed run, or with a code that is
documented and one sentence, no output, and what --resume goes on from. No crash of the supervisor, nothing left.
A worker may end in any way: the crew names it and goes on with another.

The short form takes every k-th point, the long one all."""

import collections
import gzip
import os
import re
import shutil
import unittest

import crew_kit
import e2e_kill_points as kill_points
import harness

STARVE = os.path.join(harness.BUILD, "tests", "e2e", "libstarve.so")
TRIED = harness.form(8, 1000000) # points of each list
CLEAN = (0, 5) # whole, or: does not fit in memory
# Where the system does not say that it is memory that lacks, the code is another.
UNTOLD = {1: "a pool's thread cannot be started"}
LOST_EVENTS = "warning: not all events were kept: no memory"
SCRIPT = kill_points.SCRIPT
CALL = re.compile(r"^(?:\d+ +)?(\w+)\(")
NO_FENCE = "a sanitizer maps memory whenever it likes: there is no fence, and failing calls end it"


class NoMemory(crew_kit.CrewCase):
    def setUp(self):
        super().setUp()
        self.corpus = crew_kit.corpus(16, 12)
        self.reference, _ = crew_kit.reference("toy", self.corpus)
        self.codes = collections.Counter()

    def chosen(self, points, tried=TRIED):
        every = max(1, len(points) // tried)
        return points[harness.chance("points").randrange(every)::every]

    def tell(self, whose, points, chosen, hit):
        print(f"{whose}: {len(points)} points, {len(chosen)} tried, {hit} failed there, exit codes "
              f"{dict(sorted(self.codes.items()))}", flush=True)

    def clean(self):
        """Ends what is left of a run that failed its test, and makes the folder fit for the next."""
        for job in self.jobs:
            job.kill()
            shutil.rmtree(job.work)
        self.jobs.clear()
        for name in os.listdir(self.dir):
            path = self.path(name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def judge(self, job, codes=CLEAN):
        """What must hold whatever failed; a run that ended early is gone on with."""
        job.wait()
        self.gone(job)
        said = job.stderr()
        if UNTOLD.get(job.code, "\0") in said:
            codes = (job.code,)
        more = {"events": None} if LOST_EVENTS in said else {}
        job.judge(input=self.corpus, reference=self.reference, codes=codes, resumable=job.code != 0,
                  faults=None, kept=["starve", "marker", "strace.log", "cache"], **more)
        self.codes[job.code] += 1
        if job.code == 0:
            return
        sentences = [line for line in said.splitlines()
                     if line.startswith("vecmill: ") and not line.startswith("vecmill: warning")]
        self.assertEqual(len(sentences), 1, said)
        again = self.job(job.input, model_name=job.model_name, workers=2, extra=("--resume",), private=False)
        again.wait()
        again.judge(input=self.corpus, reference=self.reference)


@unittest.skipIf(crew_kit.SANITIZED, NO_FENCE)
class Heap(NoMemory):
    """malloc and its like."""

    def starved(self, program, n, mode, cache=None, corpus=None, workers=2):
        env = {"LD_PRELOAD": STARVE,
               "VECMILL_TEST_STARVE": f"{program} {n} {mode} {self.path('starve')}"}
        if cache:
            env["VECMILL_CACHE"] = self.path(cache)
        return self.job(corpus or self.corpus, env=env, private=False, workers=workers)

    def count(self, program, **more):
        self.judge(self.starved(program, 0, "once", **more), codes=(0,))
        with open(self.path("starve/calls"), encoding="utf-8") as file:
            calls = int(file.read())
        self.clean()
        return calls

    def go_through(self, whose, program, tried=TRIED, **more):
        calls = self.count(program, **more)
        for mode in ("once", "on"):
            self.codes.clear()
            points = list(range(1, calls + 1))
            chosen, hit = self.chosen(points, tried), 0
            for n in chosen:
                with self.subTest(whose=whose, n=n, mode=mode):
                    self.judge(self.starved(program, n, mode, **more))
                    hit += os.path.exists(self.path("starve/failed"))
                self.clean()
            self.tell(f"malloc, {mode}, of {whose}", points, chosen, hit)
            self.assertGreater(hit, 0.8 * len(chosen) - 2)

    def test_supervisor(self):
        self.go_through("the supervisor", "vecmill")

    def test_supervisor_reading_gz(self):
        path = os.path.join(harness.home(), "corpus.jsonl.gz")
        with open(self.corpus, "rb") as plain, gzip.open(path, "wb") as packed:
            packed.write(plain.read())
        self.go_through("the supervisor of a .gz", "vecmill", corpus=path)

    def test_supervisor_without_pack(self):
        self.go_through("the supervisor without a pack", "vecmill", cache="cache")

    def test_builder(self):
        self.go_through("a builder", "vecmill-worker", cache="cache", tried=TRIED // 2)

    def test_worker(self):
        self.go_through("a worker", "vecmill-worker", workers=1)


# How the kernel says no. brk never gives an error: it gives the break as it is (brk(2), C library/kernel
# differences), and a number below what was asked for is all that a C library looks at.
REFUSAL = {"mmap": "error=ENOMEM", "brk": "retval=0"}


@unittest.skipIf(crew_kit.SANITIZED, NO_FENCE)
class Calls(NoMemory):
    """mmap and brk."""

    def setUp(self):
        super().setUp()
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        self.log = self.path("strace.log")

    def points(self, job, after=None):
        """[(name, k)] of the trace; those before the line that holds `after` are another's."""
        self.judge(job, codes=(0,))
        counts, points, begun = collections.Counter(), [], after is None
        with open(self.log, encoding="utf-8", errors="replace") as file:
            for line in file:
                begun = begun or after in line
                match = CALL.match(line)
                if match and match.group(1) in ("mmap", "brk"):
                    counts[match.group(1)] += 1
                    if begun:
                        points.append((match.group(1), counts[match.group(1)]))
        self.clean()
        return points

    def go_through(self, whose, start, points):
        for mode in ("", "+"):
            self.codes.clear()
            chosen, hit = self.chosen(points), 0
            for name, k in chosen:
                with self.subTest(whose=whose, point=(name, k), mode=mode):
                    job = start(f"-e trace=mmap,brk -e inject={name}:{REFUSAL[name]}:when={k}{mode}")
                    self.judge(job)
                    with open(self.log, encoding="utf-8", errors="replace") as file:
                        hit += "(INJECTED)" in file.read()
                self.clean()
            self.tell(f"mmap and brk, {'on' if mode else 'once'}, of {whose}", points, chosen, hit)
            self.assertGreater(hit, 0.8 * len(chosen) - 2)

    def test_supervisor(self):
        """All threads, behind what the loader does before main."""
        def start(words):
            return self.job(self.corpus, workers=2, private=False, prefix=[
                "strace", "-q", "-f", "-b", "execve", "-o", self.log, *words.split()])
        points = self.points(start("-e trace=mmap,brk,fcntl"), after="fcntl(0, F_GETFD)")
        self.assertGreater(len(points), 3)
        self.go_through("the supervisor", start, points)

    def test_worker(self):
        def start(words):
            env = {"KILL_MARKER": self.path("marker"), "KILL_LOG": self.log, "KILL_AT": words}
            return self.job(self.corpus, workers=1, private=False, env=env,
                            folder=crew_kit.programs(SCRIPT, "traced"))
        points = self.points(start("-e trace=mmap,brk"))
        self.assertGreater(len(points), 20)
        self.go_through("a worker", start, points)


@harness.long_form("engine-fence has both sides that take no memory, and the page too many, 25 s")
@unittest.skipIf(crew_kit.SANITIZED, NO_FENCE)
class Ready(NoMemory):
    """A run that has begun."""

    def setUp(self):
        super().setUp()
        self.corpus = crew_kit.corpus(8000, 100) # seconds: with checkpoints
        self.reference, _ = crew_kit.reference("slow", self.corpus)

    def test_a_page_too_many(self):
        plan = f"at=W4:4:page:{self.path('marker')}"
        job = self.job(self.corpus, model_name="slow", folder=crew_kit.programs(), plan=plan)
        self.judge(job, codes=(5,))
        self.assertIn("vecmill: the plan was wrong: a worker needed more than the ", job.stderr())
        self.assertIn("please report this", job.stderr())

    def test_supervisor_takes_nothing(self):
        if not shutil.which("strace"):
            self.skipTest("strace is not installed")
        log = self.path("strace.log")
        job = self.job(self.corpus, model_name="slow", workers=3, private=False, prefix=[
            "strace", "-q", "-f", "-b", "execve", "-s", "120", "-o", log, "-e", "trace=mmap,brk,mremap,write,sendmsg"])
        job.wait_ready()
        for pid in job.workers()[:2]:
            self.assertTrue(job.send(pid, "KILL"))
        job.wait_until("two deaths", lambda: len(job.deaths()) == 2)
        job.wait_until("a checkpoint", job.checkpoints)
        job.wait()
        job.judge(reference=self.reference, kept=["strace.log"])
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
        def first(word):
            return next(i for i, line in enumerate(lines) if word in line)
        began, ended = first(" sendmsg("), first('\\"run_finished\\"')
        self.assertLess(first('\\"worker_ready\\"'), began)
        taken = [line for line in lines[began:ended] if re.match(r"\d+ +(mmap|brk|mremap)\(", line)]
        self.assertGreater(ended - began, 20) # batches and writes were seen
        self.assertEqual(taken, [], "memory was taken while the job ran")


if __name__ == "__main__":
    harness.main()
