"""SIGKILL to the supervisor, again and again in one job, at random moments, each time with --resume after it.

No worker outlives it, nothing but journal and parts lies there, no more is done again than what came after
the last checkpoint, and the file that comes out in the end is that of a run that nobody disturbed. How
long the workers took to end is printed, not asserted.
8 kills in the short form, 200 in the long one, over jobs that follow each other."""

import os
import select
import time

import crew_kit
import harness

KILLS = harness.form(8, 200)

# src/job/job.h: a checkpoint is due after this many batches at the latest; a batch has at most 256 documents.
CHECKPOINT_BATCHES = 64
BATCH_DOCUMENTS = 256
POOL_DOCUMENTS = 256 * (2 + 4) # computed, perhaps, and not yet written in order


class Killed(crew_kit.CrewCase):
    def setUp(self):
        super().setUp()
        self.rng = harness.chance(self.id())
        self.ends = [] # milliseconds from the kill to the end of the last worker

    def kill(self, job):
        """SIGKILL; waits for the workers' ends. False when the run had just come to its own end."""
        pidfds = []
        for pid in job.workers():
            try:
                pidfds.append(os.pidfd_open(pid))
            except ProcessLookupError: # at the end of the job they go
                pass
        job.process.kill()
        began = time.monotonic()
        for pidfd in pidfds:
            ready, _, _ = select.select([pidfd], [], [], harness.WAIT_SECONDS)
            self.assertTrue(ready, "a worker lives on after its supervisor was killed")
            os.close(pidfd)
        taken = time.monotonic() - began
        if job.wait() == 0:
            return False
        self.ends.append(1000 * taken)
        self.gone(job)
        job.judge(codes=(-9,), killed=True)
        return True

    def check_redone(self, told, resumed):
        """told: documents at the last line of progress before the kill, so at least as many were written."""
        lost = told - resumed
        allowed = CHECKPOINT_BATCHES * BATCH_DOCUMENTS + POOL_DOCUMENTS
        self.assertLessEqual(lost, allowed, f"{told} were done, {resumed} were kept")
        self.redone.append(max(0, lost))

    def one_job(self, model_name, corpus, number, longest):
        """A job with kills until it is done; returns their number."""
        reference, _ = crew_kit.reference(model_name, corpus)
        kills, resumed, span, told = 0, 0, longest, 0
        while True:
            job = self.job(corpus, f"out-{number}.npy", model_name,
                           extra=("--resume", "--progress", "json"))
            delay = self.rng.uniform(0, span)
            until = time.monotonic() + delay
            while job.process.poll() is None and time.monotonic() < until:
                time.sleep(0.002)
            finished = job.process.poll() is not None or not self.kill(job)
            if finished:
                job.wait()
                job.judge(reference=reference)
            else:
                kills += 1
            notes = [line for line in job.stderr().splitlines() if "earlier run did" in line]
            went_on = int("".join(c for c in notes[0].split("behind the ")[1].split(" documents")[0]
                                  if c.isdigit())) if notes else None
            if went_on is not None:
                self.check_redone(told, went_on)
                self.assertGreaterEqual(went_on, resumed, "a checkpoint was lost")
                span = longest if went_on > resumed else span * 1.5
                resumed = went_on
            else:
                span *= 1.5
            if finished:
                return kills
            told = max(job.progress(), went_on or 0)

    def run_jobs(self, name, model_name, corpus, kills, longest):
        self.redone = []
        done = jobs = 0
        while done < kills:
            done += self.one_job(model_name, corpus, jobs, longest)
            jobs += 1
        ends = sorted(self.ends)
        print(f"{name}: {done} kills of the supervisor in {jobs} jobs; the last worker ended "
              f"after p50 {ends[len(ends) // 2]:.1f} ms, max {ends[-1]:.1f} ms; documents done again: "
              f"{self.redone and max(self.redone)} at most of {crew_kit.documents(corpus)}", flush=True)

    def test_quick_documents(self):
        """Checkpoints come after so many batches."""
        self.run_jobs("quick", "toy", crew_kit.corpus(80000, 9), KILLS - KILLS // 4, 0.8)

    @harness.long_form("as test_quick_documents, with checkpoints by time, 15 s")
    def test_slow_documents(self):
        """Checkpoints come after so much time."""
        self.run_jobs("slow", "slower", crew_kit.corpus(1000, 380), KILLS // 4, 4.0)


class Starting(crew_kit.CrewCase):
    def test_workers_that_were_starting(self):
        """Not tied to their supervisor yet, they find at their start that it is gone."""
        corpus = crew_kit.corpus(16, 12)
        crew_kit.reference("toy", corpus)
        script = '#!/bin/sh\nwhile [ "$1" = serve ] && [ ! -e "$GONE" ]; do sleep 0.1; done\n' \
                 f'exec {harness.WORKER} "$@"\n'
        job = self.job(corpus, folder=crew_kit.programs(script, "waits"), env={"GONE": self.path("gone")})
        job.wait_until("workers", lambda: len(job.workers()) == 2)
        job.process.kill()
        job.wait()
        began = time.monotonic()
        self.file("gone", "")
        self.gone(job)
        job.judge(codes=(-9,), killed=True, kept=["gone"])
        print(f"workers that were starting were gone {time.monotonic() - began:.2f} s after their supervisor")


if __name__ == "__main__":
    harness.main()
