"""Memory that others take while a job runs: in a real memory group (cgroup v1), the kernel's own OOM killer
ends workers again and again, the group's limit falls, pressure comes and goes. The job ends with the bytes
of an undisturbed run, every such death is called `oom`, and no worker is started in a loop.

A job lasts as long as a test needs: it reads what is written for it while it runs (memory_kit.Feeder). A disk
that fills up is e2e_faults.py's.

Load cannot fail it: memory of the group and the kernel's count of OOM kills do not depend on speed. Starts are
counted by the run's own clock, and a slow machine starts fewer in a second, not more."""

import collections
import os
import signal
import time

import crew_kit
import harness
import memory_kit as kit
from memory_kit import MIB, mib

KILLS = harness.form(4, 52)
LIMIT = 240 * MIB
BATCH_TOKENS = 8192
MODEL = "slow"    # of crew_kit.py
BYTES = 2500      # of a document, far more than the model takes: what waits in the pool is soon done
ROUNDS_SECONDS = harness.form(1200, 3000) # after many OOM kills none is started for ten seconds
STARTS_A_SECOND = 3 # of all places (src/engine/pressure.h); a loop would be a start every 20 ms


class Pressed(crew_kit.CrewCase):
    def setUp(self):
        super().setUp()
        self.rng = harness.chance(self.id())

    def begin(self, workers=2, batch_tokens=BATCH_TOKENS, limit=LIMIT):
        self.group = kit.Group(self, limit)
        self.feeder = kit.Feeder(self.path("fed.jsonl"), BYTES)
        self.addCleanup(self.feeder.ending.set)
        job = self.job("-", model_name=MODEL, workers=workers, prefix=self.group.prefix,
                       stdin=self.feeder.read_end, deadline=ROUNDS_SECONDS + harness.WAIT_SECONDS,
                       extra=("--input-format", "jsonl", "--batch-tokens", str(batch_tokens),
                              "--progress", "json"))
        os.close(self.feeder.read_end)
        self.feeder.start()
        job.wait_ready()
        job.wait_until("documents", job.progress) # by then the supervisor has all its memory
        return job

    def finish(self, job, causes=("OOM",), ballast=None):
        """No more documents: the job ends, and is judged; the deaths by cause."""
        if ballast:
            ballast.end()
        self.feeder.end()
        job.wait()
        reference, _ = crew_kit.reference(MODEL, self.feeder.path)
        faults = {e["pid"]: list(causes) for e in job.deaths()}
        for pid in job.done:
            faults.setdefault(pid, list(causes))
        verdict = job.judge(input=self.feeder.path, reference=reference, faults=faults, fd_counts=None,
                            kept=("fed.jsonl",))
        deaths = collections.Counter(e["cause"] for e in job.deaths())
        self.assertEqual(job.finished()["deaths"], dict(deaths))
        # A worker that had no work, or was sent home already: nobody lost anything by it.
        others = ballast.killed if ballast else 0
        self.assertGreaterEqual(self.group.oom_kills() - others, deaths["oom"])
        return deaths, next(line for line in verdict.lines if line.startswith("I3"))

    def starts_a_second(self, job, since_ms=0):
        """The most workers that became ready, or died before, within any second since then. Some may have been started
        a while before, so the sum alone is judged."""
        ready = {e["pid"] for e in job.named("worker_ready")}
        times = sorted(e["t_ms"] for e in job.named("worker_ready", "worker_died")
                       if (e["event"] == "worker_ready" or e["pid"] not in ready) and e["t_ms"] >= since_ms)
        most = max((sum(t <= u < t + 1000 for u in times[i:]) for i, t in enumerate(times)), default=0)
        seconds = (times[-1] - times[0]) / 1000 if times else 0
        self.assertLessEqual(len(times), STARTS_A_SECOND * (seconds + 2))
        return most

    def living(self, job):
        """[(t_ms, workers that are ready)] after each event."""
        alive, found = set(), []
        for e in job.named("worker_ready", "worker_died"):
            (alive.add if e["event"] == "worker_ready" else alive.discard)(e["pid"])
            found.append((e["t_ms"], len(alive)))
        return found

    def wait_living(self, job, n):
        job.wait_until(f"{n} living workers", lambda: self.living(job)[-1][1] == n)

    def test_killed_again_and_again(self):
        job = self.begin()
        ballast = kit.Ballast(self, self.group)
        until, rounds, holds = time.monotonic() + ROUNDS_SECONDS, 0, 0.0
        while len(job.deaths()) < KILLS:
            self.assertLess(time.monotonic(), until, f"{len(job.deaths())} deaths in {rounds} rounds")
            job.wait_until("a living worker", lambda: self.living(job)[-1][1] > 0)
            ballast.press(lambda: job.process.poll() is not None)
            hold = self.rng.uniform(0, 0.4)
            time.sleep(hold)
            ballast.let_go()
            holds, rounds = holds + hold, rounds + 1
            self.assertIsNone(job.process.poll(), job.stderr())
            time.sleep(self.rng.uniform(0, 0.3))
        deaths, same = self.finish(job, ballast=ballast)
        self.assertEqual(set(deaths), {"oom"})
        self.assertGreaterEqual(deaths["oom"], KILLS)
        finished = job.finished()
        print(f"group of {mib(LIMIT)}, 2 workers: {deaths['oom']} real OOM kills in {rounds} rounds "
              f"({holds:.1f} s without room; {ballast.killed} of the ballast), "
              f"{finished['batches_requeued']} batches computed again, {finished['documents']} documents in "
              f"{job.seconds:.1f} s; at most {self.starts_a_second(job)} starts a second; exit 0, {same}")

    @harness.long_form("test_killed_again_and_again has the kills, 10 s")
    def test_pressure_that_passes(self):
        """While there is room for one worker and a half, one works, and the other is not started in a loop;
        when the room is back, both work."""
        job = self.begin()
        ballast = kit.Ballast(self, self.group)
        worker = max(sum(kit.look_at(pid)[:2]) for pid in job.workers())
        ballast.press(lambda: job.process.poll() is not None)
        ballast.take(worker // 2)
        pressed, documents = len(self.living(job)), job.progress()
        seconds = harness.form(3.0, 12.0)
        began = time.monotonic()
        time.sleep(seconds)
        under, counts = len(job.deaths()), [n for _, n in self.living(job)[pressed - 1:]]
        done, pressed_seconds = job.progress() - documents, time.monotonic() - began
        self.assertIsNone(job.process.poll(), job.stderr())
        freed = time.monotonic()
        ballast.let_go()
        self.wait_living(job, 2)
        back = time.monotonic() - freed
        deaths, same = self.finish(job, ballast=ballast)
        self.assertEqual(set(deaths), {"oom"})
        least = min(n for _, n in self.living(job)[2:])
        self.assertLess(least, 2)
        self.assertLessEqual(under, 4 + 2 * pressed_seconds)
        print(f"{seconds:.0f} s with room for one and a half workers of {mib(worker)}: {under} real OOM "
              f"kills, {min(counts)} to {max(counts)} living, {done} documents done; at most "
              f"{self.starts_a_second(job)} starts a second; both back {back * 1e3:.0f} ms after the room; "
              f"exit 0, {same}")

    @harness.long_form("test_next_to_nothing_beside_the_supervisor lowers it further, 8 s")
    def test_a_limit_that_falls(self):
        """Three workers, and then a limit with room for one and a half. The kernel refuses a limit below what
        cannot be taken back, so workers are killed and it is written before they are replaced."""
        job = self.begin(workers=3)
        worker = max(sum(kit.look_at(pid)[:2]) for pid in job.workers())
        limit = (self.group.held() - worker * 3 // 2) // 4096 * 4096
        until, tries = time.monotonic() + harness.WAIT_SECONDS, 0
        while self.group.number("memory.limit_in_bytes") != limit:
            self.assertLess(time.monotonic(), until, f"the limit cannot be lowered, {tries} tries")
            for pid in job.workers():
                job.send(pid, "KILL")
            try:
                self.group.write("memory.limit_in_bytes", limit)
            except OSError:
                time.sleep(0.5)
            tries += 1
        before, since_ms = len(job.deaths()), job.events()[-1]["t_ms"]
        time.sleep(harness.form(2.0, 8.0))
        self.assertIsNone(job.process.poll(), job.stderr())
        deaths, same = self.finish(job, causes=("OOM", "KILL"))
        self.assertLessEqual(set(deaths), {"oom", "killed"})
        print(f"three workers of {mib(worker)}, then a limit of {mib(limit)} ({tries} tries): "
              f"{deaths['oom']} real OOM kills, {self.living(job)[-1][1]} workers at the end, at most "
              f"{self.starts_a_second(job, since_ms)} starts a second, {len(job.deaths()) - before} "
              f"deaths under it; exit 0, {same}")

    def test_next_to_nothing_beside_the_supervisor(self):
        """The limit is the supervisor and 2 MiB, for a while: less than the least worker, so one is tried now and
        then. The kernel weighs a process by its pages: a worker that has hardly begun weighs less than the
        supervisor, and has to be chosen all the same. (What the kernel held of the dead worker may be free only
        after the limit was reckoned: then a small worker fits, and works.)"""
        job = self.begin(workers=1)
        job.process.send_signal(signal.SIGSTOP) # nobody is started while the limit falls
        for pid in job.workers():
            job.send(pid, "KILL")
        job.wait_until("no worker", lambda: not job.workers())
        limit = (self.group.held() + 2 * MIB) // 4096 * 4096
        self.group.write("memory.limit_in_bytes", limit)
        ready = len(job.named("worker_ready"))
        job.process.send_signal(signal.SIGCONT)
        job.wait_until("OOM kills, or a worker that fits",
                       lambda: self.group.oom_kills() >= 2 or len(job.named("worker_ready")) > ready)
        fits = self.group.oom_kills() < 2
        self.group.write("memory.limit_in_bytes", LIMIT)
        deaths, same = self.finish(job, causes=("OOM", "KILL"))
        self.assertLessEqual(set(deaths), {"oom", "killed"})
        self.assertTrue(fits or deaths["oom"] >= 2)
        print(f"{job.seconds:.1f} s, a limit of {mib(limit)}: {deaths['oom']} real OOM kills, all of workers; "
              f"exit 0, {same}")


if __name__ == "__main__":
    harness.main()
