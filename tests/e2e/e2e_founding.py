"""The scene this program was founded on: parallel workers, a large batch, and one of them is killed for
want of memory.

What others made of it, measured as docs/DESIGN.md says: FastEmbed 0.3.0 (parallel > 0, a large
batch_size) waits on its result queue for ever, with the parent asleep and nothing said. FastEmbed 0.9.1,
the last one, notices, ends the job with a RuntimeError and throws away all that was computed. Here the
batch is computed again by another worker, the output is byte for byte that of an undisturbed run, and the
death is named for what it was: `killed` for a SIGKILL of unknown origin, `oom` where the kernel's counter
says so. The second scene is no imitation: a memory group (cgroup v1) with a limit, processes in it that
take what is left, and the kernel's own OOM killer, which picks the worker.

With the real model where VECMILL_TEST_MODEL names it, else with a toy."""

import json
import os
import random
import signal
import subprocess
import sys

import crew_kit
import harness
import memory_kit

N = harness.form(120, 400) # documents: the job outlasts the first round of ballast on a fast machine too
BALLAST = 6               # processes, each of them smaller than a worker's bonus (half of the limit)
STEP = 4 << 20            # bytes that one takes at a time
PRESSES = 8              # rounds of ballast: the kernel may take the ballast first
TAKE = """
import mmap, sys
taken = []
for line in sys.stdin:
    taken.append(mmap.mmap(-1, int(line)))
    for at in range(0, int(line), 4096):
        taken[-1][at] = 1
    print("taken", flush=True)
"""


def corpus():
    """Long documents; words for the toy, which is slow by their number."""
    path = os.path.join(harness.home(), "long.jsonl")
    if harness.REAL_MODEL:
        texts = crew_kit.abstracts(N)
    else:
        rng = random.Random(5)
        texts = [crew_kit.text(rng, i, 380) for i in range(2 * N)]
    with open(path, "w", encoding="utf-8") as file:
        for i, text in enumerate(texts):
            file.write(json.dumps({"id": f"d{i:06}", "text": text}) + "\n")
    return path


class Founding(crew_kit.CrewCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.corpus = corpus()
        if harness.REAL_MODEL:
            crew_kit._made[("model", "real")] = harness.REAL_MODEL
        cls.model_name = "real" if harness.REAL_MODEL else "slower"
        cls.reference, _ = crew_kit.reference(cls.model_name, cls.corpus)

    def large(self, batch_tokens, input=None, **more):
        return self.job(input or self.corpus, model_name=self.model_name, extra=("--batch-tokens", str(batch_tokens)), **more)

    def half_done(self, job):
        """A worker with a batch, when about half of the rows are written."""
        part = job.output + ".part"
        half = os.path.getsize(self.reference) // 2
        job.wait_until("half of the rows", lambda: os.path.exists(part) and os.path.getsize(part) > half)
        return job.wait_until("a worker", job.workers)[0]

    @harness.long_form("e2e_crew.py and e2e_nemesis.py kill workers of smaller jobs, 20 s")
    def test_a_worker_is_killed(self):
        """As the OOM killer does it, in the middle of the job."""
        job = self.large(65536)
        pid = self.half_done(job)
        job.send(pid, "KILL")
        job.wait()
        verdict = job.judge(reference=self.reference)
        self.assertEqual([(e["pid"], e["cause"]) for e in job.deaths()], [(pid, "killed")])
        died = job.deaths()[0]
        ready = [e for e in job.named("worker_ready") if e["t_ms"] >= died["t_ms"]]
        print(f"{self.model_name} model, 65,536 tokens a batch: a worker killed with {died['documents']} "
              f"documents, the next ready {ready[0]['t_ms'] - died['t_ms']} ms later; all "
              f"{job.finished()['documents']} documents, {self.line(verdict, 'I3')}")

    def line(self, verdict, name):
        return next(line for line in verdict.lines if line.startswith(name))

    def ballast(self, group):
        """Processes in the group that take memory when they are told to."""
        found = []
        for _ in range(BALLAST):
            process = subprocess.Popen([sys.executable, "-S", "-E", "-c", TAKE], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
            group.write("cgroup.procs", process.pid)
            found.append(process)
            self.addCleanup(process.communicate)
            self.addCleanup(process.kill)
        return found

    def press(self, group, ballast, kills):
        """Takes memory until the kernel has killed once more."""
        taken = 0
        while group.oom_kills() <= kills:
            living = [process for process in ballast if process.poll() is None]
            self.assertTrue(living, "the kernel killed all the ballast and not a worker")
            for process in living:
                try:
                    process.stdin.write(f"{STEP}\n")
                    process.stdin.flush()
                    process.stdout.readline()
                except BrokenPipeError:
                    continue
                taken += STEP
                if group.oom_kills() > kills:
                    break
            self.assertLess(taken, 4 << 30, "memory has no end")
        return taken

    def test_a_real_oom_kill(self):
        """The kernel's OOM killer, twice, in a group that others fill."""
        group = memory_kit.Group(self)
        limit = (1200 if harness.REAL_MODEL else 300) << 20
        group.write("memory.limit_in_bytes", limit)
        with open(self.corpus, encoding="utf-8") as file:
            texts = [json.loads(line)["text"] for line in file]
        feeder = crew_kit.Fed(self, "in.jsonl", make=texts.__getitem__, most=len(texts)) # it lasts as long as we press
        job = self.large(8192 if harness.REAL_MODEL else 2048, feeder.path, prefix=group.prefix)
        job.wait_ready()
        taken, others = [], 0
        for _ in range(PRESSES):
            if len(job.deaths()) >= 2:
                break
            ballast = self.ballast(group)
            taken.append(f"{self.press(group, ballast, group.oom_kills()) >> 20} MiB")
            for process in ballast:
                process.terminate()
                process.wait()
                # While no worker has got as far as to offer itself, one of the others is taken.
                others += process.returncode == -signal.SIGKILL
            job.wait_until("the death", lambda: len(job.deaths()) + others >= group.oom_kills())
        feeder.end()
        job.wait()
        faults = {e["pid"]: ["OOM"] for e in job.deaths()}
        verdict = job.judge(input=self.corpus, reference=self.reference, faults=faults)
        deaths = [e["cause"] for e in job.deaths()]
        # A worker that was idle, or sent home already, when it was killed: nobody lost anything by it.
        self.assertEqual(deaths, ["oom"] * len(deaths))
        self.assertIn(group.oom_kills() - others - len(deaths), (0, 1) if len(taken) > 1 else (0,))
        self.assertGreater(len(deaths), 0)
        self.assertEqual(job.finished()["deaths"], {"oom": len(deaths)})
        print(f"{self.model_name} model in a group of {limit >> 20} MiB: {len(deaths)} real OOM kills, after "
              f"others took {' and '.join(taken)}; exit 0, {self.line(verdict, 'I3')}")


if __name__ == "__main__":
    harness.main()
