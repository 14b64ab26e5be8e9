"""What is done to workers, scene by scene: none of it costs a document, and each death is reported by its cause."""

import math
import os
import random
import signal
import subprocess
import time

import crew_kit
import harness
import oracle

POOL_DOCUMENTS = 256 * (2 + 4) # read and not yet written, at most
N = 1500 # documents: one second of the slow model
MARKER = "xqzwvk"


class Scene(crew_kit.CrewCase):
    def fed(self, **more):
        """A job that lasts until `finish`."""
        feeder = crew_kit.Fed(self, f"in-{crew_kit.Job.count}.jsonl")
        return self.job(feeder.path, model_name="slow", **more), feeder

    def finish(self, job, feeder, **more):
        feeder.end()
        job.wait()
        reference, _ = crew_kit.reference("slow", feeder.path)
        return job.judge(reference=reference, **more)


class Phases(crew_kit.CrewCase):
    """One fault at one phase of the first worker of a small job."""

    def setUp(self):
        super().setUp()
        self.rng = harness.chance(self.id())

    def one(self, phase, kind, cause, count=1, n=16, model_name="toy"):
        corpus = crew_kit.corpus(n, 12)
        reference, _ = crew_kit.reference(model_name, corpus)
        marker = self.path(f"marker-{phase}-{kind}-{count}-{crew_kit.Job.count}")
        job = self.job(corpus, f"out-{crew_kit.Job.count}.npy", model_name, workers=1,
                       folder=crew_kit.programs(),
                       plan=f"seed={self.rng.getrandbits(30)};at={phase}:{count}:{kind}:{marker}")
        job.wait()
        job.judge(reference=reference, kept=[os.path.basename(marker)])
        causes = [e["cause"] for e in job.deaths()]
        self.assertEqual(causes, [cause] if cause else [])
        return job

    def test_kills(self):
        for phase in ("W0", "W2", "W3", "W4", "W7"):
            with self.subTest(phase=phase):
                job = self.one(phase, "kill", "killed")
                lost = job.deaths()[0]["documents"]
                if phase == "W0":
                    self.assertEqual(lost, 0)
                if phase in ("W3", "W4", "W7"):
                    self.assertGreater(lost, 0)
        for count in (2, 3): # of more batches than one
            self.one("W2", "kill", "killed", count, 1000, "slow")

    def test_a_result_that_was_sent_counts(self):
        """The worker dies right after the last byte of its first batch. Its next one may be under way by then;
        the first, which has document 0, is not computed again."""
        for _ in range(harness.form(1, 4)):
            job = self.one("W9", "kill", "killed", n=600, model_name="slow")
            self.assertNotIn(0, [e["first"] for e in job.named("batch_requeued")])

    def test_faults(self):
        for i, kind in enumerate(("segv", "bus", "ill", "fpe", "abort", "exit0", "exit77")):
            for phase in harness.form((("W4", "W7")[i % 2],), ("W4", "W7")):
                with self.subTest(kind=kind, phase=phase):
                    job = self.one(phase, kind, oracle.CAUSES[kind].copy().pop())
                    died = job.deaths()[0]
                    if kind.startswith("exit"):
                        self.assertEqual(died["exit_code"], int(kind[4:]))

    def test_half_a_frame(self):
        for _ in range(harness.form(3, 12)):
            self.one("W7", "half", "killed")
        for _ in range(harness.form(1, 3)):
            self.one("W7", "half-exit", "exit")

    def test_nonsense(self):
        """Random bytes, and frames with a wrong hash, generation, size, number or kind."""
        for _ in range(harness.form(8, 24)):
            self.one("W7", "garbage", "protocol")
        for _ in range(harness.form(1, 3)): # the second result comes while there is another batch, or none
            self.one("W7", "double", "protocol", n=1000, model_name="slow")

    def test_hangs(self):
        for phase, kind in (("W7", "stop"), ("W4", "loop")):
            with self.subTest(kind=kind):
                self.one(phase, kind, "hang", 2, 1000, "slow")


class Signals(Scene):
    LETHAL = {"KILL": "killed", "SEGV": "segv", "BUS": "bus", "ABRT": "abort", "FPE": "fpe", "ILL": "ill",
              "USR1": "signal", "QUIT": "signal"}

    def next_worker(self, job):
        """A living worker that is ready."""
        def ready():
            known = {e["pid"] for e in job.named("worker_ready")}
            return [pid for pid in job.workers() if pid in known]
        return job.wait_until("a worker", ready)[0]

    def test_each_from_outside(self):
        """A job that gets all of them, one after the other."""
        job, feeder = self.fed()
        job.wait_ready()
        waits = []
        for name, cause in self.LETHAL.items():
            time.sleep(0.1)
            pid, sent = self.next_worker(job), time.monotonic()
            self.assertTrue(job.send(pid, name))
            died = job.wait_until(f"a death by SIG{name}",
                                  lambda: [e for e in job.deaths() if e["pid"] == pid])[0]
            waits.append(1000 * (time.monotonic() - sent))
            self.assertEqual((died["cause"], died["signal"]), (cause, getattr(signal, "SIG" + name)))
        for name in ("TERM", "INT", "HUP"):
            pid = self.next_worker(job)
            self.assertTrue(job.send(pid, name))
            time.sleep(0.05)
            self.assertIn(pid, job.workers(), f"SIG{name} ended a worker")
        self.finish(job, feeder)
        self.assertEqual(len(job.deaths()), len(self.LETHAL))
        print(f"a signal to its line in the log: {', '.join(f'{w:.0f}' for w in waits)} ms")

    def test_a_stopped_worker(self):
        """It is waited for as long as a batch may take, two seconds, and then replaced."""
        job, feeder = self.fed()
        job.wait_ready()
        pid, sent = self.next_worker(job), time.monotonic()
        job.send(pid, "STOP")
        died = job.wait_until("the end of a stopped worker", job.deaths)[0]
        waited = time.monotonic() - sent
        self.assertEqual((died["pid"], died["cause"]), (pid, "hang"))
        self.assertGreater(died["documents"], 0)
        self.finish(job, feeder)
        print(f"a stopped worker was done without after {waited:.2f} s")

    @harness.long_form("test_crew_kills.c stops and continues workers, 10 s")
    def test_stopped_and_continued_in_time(self):
        """It goes on, and no worker is replaced. If its batch had begun long before the stop, or the test is held up
        itself, it may be too late: then once more."""
        job, feeder = self.fed(extra=("--progress", "json"))
        job.wait_ready()
        tries = 0
        while True:
            tries += 1
            pid = self.next_worker(job)
            job.send(pid, "STOP")
            harness.wait_until("a stopped worker", lambda: (oracle.stat_of(pid) or "  ")[1] in " TZ")
            time.sleep(1)
            job.send(pid, "CONT")
            done = job.progress()
            # Enough that its batch is among them.
            job.wait_until("progress", lambda: job.progress() > done + POOL_DOCUMENTS)
            if pid in job.workers():
                break
            self.assertLess(tries, 20, "no worker goes on")
        self.finish(job, feeder)
        self.assertEqual(len(job.deaths()), tries - 1)

    def test_all_at_once(self):
        job, feeder = self.fed(workers=3)
        killed = set()

        def three():
            ready = {e["pid"] for e in job.named("worker_ready")} - killed
            found = [pid for pid in job.workers() if pid in ready]
            return found if len(found) == 3 else None
        rounds = harness.form(2, 4)
        for _ in range(rounds):
            found = job.wait_until("three workers that are ready", three)
            for pid in found:
                self.assertTrue(job.send(pid, "KILL"))
            killed.update(found)
            job.wait_until("their deaths", lambda: killed <= {e["pid"] for e in job.deaths()})
        self.finish(job, feeder)
        self.assertEqual(len(job.deaths()), 3 * rounds)

    def test_sigchld_ignored(self):
        """By the process that started us: then the kernel reaps the workers, and how they ended is unknown."""
        job, feeder = self.fed(prefix=["sh", "-c", "trap '' CHLD; exec \"$@\"", "sh"])
        job.wait_ready()
        pid = self.next_worker(job)
        self.assertTrue(job.send(pid, "KILL"))
        job.wait_until("its death", job.deaths)
        self.finish(job, feeder, faults=None)
        self.assertEqual([e["pid"] for e in job.deaths()], [pid])
        self.assertIn(job.deaths()[0]["cause"], ("unknown", "killed"))

    def test_a_stopped_supervisor(self):
        """Stopped longer than any batch may take: no worker is late for that."""
        job, feeder = self.fed()
        job.wait_ready()
        os.kill(job.process.pid, signal.SIGSTOP)
        time.sleep(5)
        os.kill(job.process.pid, signal.SIGCONT)
        self.finish(job, feeder)
        self.assertEqual(job.deaths(), [])


class Poison(crew_kit.CrewCase):
    """A document that ends every worker that computes it."""

    def one(self, kind, n, words, model_name, at):
        rng = random.Random(3)
        poisoned = f"{MARKER} {crew_kit.text(rng, at, words)}"
        corpus = crew_kit.corpus(n, words, changed=((at, poisoned),))
        reference, _ = crew_kit.reference(model_name, corpus)
        job = self.job(corpus, f"out-{kind}.npy", model_name, folder=crew_kit.programs(),
                       plan=f"poison={MARKER}:{kind}")
        job.wait()
        job.judge(reference=reference, codes=(3,))
        deaths = job.deaths()
        batch = deaths[0]["documents"]
        self.assertLessEqual(len(deaths), 2 * math.log2(batch) + 4, f"of a batch of {batch}")
        self.assertGreaterEqual(len(deaths), 3)
        cause = oracle.CAUSES[kind].copy().pop()
        failed = self.lines(f"out-{kind}.npy.errors.jsonl")
        self.assertEqual([(line["index"], line["id"]) for line in failed], [(at, f"d{at:06}")])
        self.assertIn(f"{cause}, {cause}, {cause}", failed[0]["reason"])
        told = job.named("document_failed")
        self.assertEqual([(e["index"], e["reason"]) for e in told], [(at, failed[0]["reason"])])
        self.assertEqual(job.finished()["failed"], 1)
        print(f"a document that ends its workers by {kind} was found among {n} in {len(deaths)} deaths, the "
              f"first with a batch of {batch}; {job.seconds:.1f} s")

    def test_among_thousands(self):
        self.one("segv", 1500 if crew_kit.SANITIZED else harness.form(1500, 5000), 100, "slow", 1077)

    def test_other_ends(self):
        for kind in harness.form(("exit0", "garbage"), ("abort", "exit77", "exit0", "bus", "garbage")):
            self.one(kind, 200, 100, "slow", 20)

    def test_the_first_and_the_last(self):
        self.one("ill", 100, 100, "slow", 0)
        self.one("fpe", 100, 100, "slow", 99)

    def test_killed(self):
        """By something that is not a fault, but happens each time: it is tried when all others are done, and
        condemned while other work lives. The first, the last and one in the middle, whether two workers work or one."""
        rng, places = random.Random(5), (0, 77, 299)
        corpus = crew_kit.corpus(300, 30, changed=tuple((i, f"{MARKER} {crew_kit.text(rng, i, 30)}") for i in places))
        reference, _ = crew_kit.reference("slow", corpus)
        for workers in (1, 2):
            output = f"out-{workers}.npy"
            job = self.job(corpus, output, "slow", workers, folder=crew_kit.programs(), plan=f"poison={MARKER}:kill")
            job.wait()
            job.judge(reference=reference, codes=(3,))
            failed = self.lines(output + ".errors.jsonl")
            self.assertEqual([line["index"] for line in failed], list(places))
            self.assertEqual({line["reason"].partition("(")[2] for line in failed}, {", ".join(5 * ["killed"]) + ")"})
            for index in places:
                alone = [e for e in job.named("batch_requeued") if (e["first"], e["documents"]) == (index, 1)]
                self.assertGreaterEqual(len(alone), 2 + oracle.TRIAL_DEATHS)
            print(f"three documents whose workers are killed were found among 300 in {len(job.deaths())} deaths; "
                  f"{workers} workers, {job.seconds:.1f} s")

    def test_all_there_is(self):
        """Nothing to compare it with but the probe."""
        corpus = crew_kit.corpus(2, 30, changed=((0, MARKER), (1, f"{MARKER} again")))
        reference, _ = crew_kit.reference("toy", corpus)
        job = self.run_job(corpus, folder=crew_kit.programs(), plan=f"poison={MARKER}:kill", codes=(3,),
                           reference=reference)
        self.assertEqual(job.finished()["failed"], 2)

    def test_is_not_tried_again(self):
        """By a resumed run: the failed row is in the journal, and the rest is computed."""
        rng = random.Random(6)
        feeder = crew_kit.Fed(self, make=lambda i: (f"{MARKER} " if i == 20 else "") + crew_kit.text(rng, i, 30))
        poison = {"folder": crew_kit.programs(), "plan": f"poison={MARKER}:kill"}
        job = self.job(feeder.path, model_name="slow", **poison)
        job.wait_until("its failure", lambda: job.named("document_failed"))
        then = os.stat(job.output + ".journal").st_mtime_ns
        job.wait_until("a checkpoint", lambda: os.stat(job.output + ".journal").st_mtime_ns != then)
        job.process.terminate()
        self.assertEqual(job.wait(), 4, job.stderr())
        feeder.end(more=50)
        reference, _ = crew_kit.reference("slow", feeder.path)
        again = self.job(feeder.path, model_name="slow", extra=("--resume",), **poison)
        again.wait()
        again.judge(reference=reference, codes=(3,))
        self.assertEqual(again.deaths(), [])
        self.assertEqual([line["index"] for line in self.lines("out.npy.errors.jsonl")], [20])

    @harness.long_form("each of its deaths takes the deadline of a batch, and its trial ten seconds, 90 s")
    def test_stopped(self):
        corpus = crew_kit.corpus(20, 30, changed=((7, MARKER),))
        reference, _ = crew_kit.reference("toy", corpus)
        job = self.run_job(corpus, folder=crew_kit.programs(), plan=f"poison={MARKER}:stop", codes=(3,),
                           reference=reference, deadline=600)
        self.assertIn("hang, hang, hang, hang, hang", self.lines("out.npy.errors.jsonl")[0]["reason"])

    @harness.long_form("each of its deaths takes the deadline of a batch, 20 s")
    def test_a_loop_without_end(self):
        """Each of its deaths takes the deadline of a batch, two seconds, once something was measured; so it
        comes late."""
        self.one("loop", 300, 100, "slow", 299)

    @harness.long_form("each of its deaths takes the deadline of a batch, 20 s")
    def test_sleeps(self):
        self.one("sleep", 300, 100, "slow", 250)

    def test_that_comes_again(self):
        """Each copy fails, and together they cost what one costs."""
        poisoned, places = f"{MARKER} and no more", range(40, 400, 20)
        corpus = crew_kit.corpus(500, 30, changed=tuple((i, poisoned) for i in places))
        reference, _ = crew_kit.reference("slow", corpus)
        job = self.job(corpus, "out.npy", "slow", folder=crew_kit.programs(),
                       plan=f"poison={MARKER}:segv")
        job.wait()
        job.judge(reference=reference, codes=(3,))
        failed = self.lines("out.npy.errors.jsonl")
        self.assertEqual([line["index"] for line in failed], list(places))
        self.assertEqual({line["reason"] for line in failed}, {failed[0]["reason"]})
        self.assertIn("segv, segv, segv", failed[0]["reason"])
        finished, deaths = job.finished(), job.deaths()
        self.assertEqual((finished["failed"], finished["duplicates"]), (len(places), len(places) - 1))
        self.assertGreaterEqual(len(deaths), 3)
        self.assertLessEqual(len(deaths), 2 * math.log2(deaths[0]["documents"]) + 4)

    @harness.long_form("a hundred deaths, 10 s")
    def test_many(self):
        """Twenty such documents in a row: each is found, and finding one is progress."""
        rng = random.Random(4)
        places = range(100, 120)
        corpus = crew_kit.corpus(200, 30, changed=tuple((i, f"{MARKER} {crew_kit.text(rng, i, 30)}")
                                                        for i in places))
        reference, _ = crew_kit.reference("slow", corpus)
        job = self.job(corpus, "out.npy", "slow", folder=crew_kit.programs(),
                       plan=f"poison={MARKER}:segv")
        job.wait()
        job.judge(reference=reference, codes=(3,))
        self.assertEqual([line["index"] for line in self.lines("out.npy.errors.jsonl")], list(places))


class CrashLoops(Scene):
    """Workers that cannot work at all."""

    def flagged(self):
        """A folder of programs whose workers end at once while the file `flag` is there."""
        script = f'#!/bin/sh\n[ -e "$FLAG" ] && exit 1\nexec {harness.WORKER} "$@"\n'
        return crew_kit.programs(script, "flag")

    def test_from_the_start(self):
        """Before anything was done: nothing is kept."""
        corpus = crew_kit.corpus(16, 12)
        crew_kit.reference("toy", corpus) # the pack is there, so no builder is asked for
        scripts = {"exits": "#!/bin/sh\nexit 1\n"}
        if harness.LONG: # five seconds each
            scripts |= {"dies": "#!/bin/sh\nkill -9 $$\n", "lies": "#!/bin/sh\necho hello >&3\n",
                        "is no program": "#!/nowhere\n"}
        for name, script in scripts.items():
            with self.subTest(name):
                job = self.run_job(corpus, folder=crew_kit.programs(script, name), codes=(6,),
                                   faults=None)
                self.assertIn("workers keep dying", job.stderr())
                self.assertEqual(os.listdir(self.dir), [])
                print(f"a worker that {name}: exit 6 after {job.seconds:.1f} s: "
                      f"{job.stderr().splitlines()[-1]}")

    def test_in_the_middle(self):
        """What was done is kept, and a later run continues it."""
        flag = self.path("flag")
        job, feeder = self.fed(folder=self.flagged(), env={"FLAG": flag}, extra=("--progress", "auto"))
        job.wait_until("a checkpoint", job.checkpoints)
        self.file("flag", "")
        for pid in job.workers():
            job.send(pid, "KILL")
        job.wait()
        job.judge(codes=(6,), resumable=True, kept=["flag"], faults=None)
        self.assertTrue(self.exists("out.npy.journal"))
        self.assertIn("--resume", job.stderr())
        os.unlink(flag)
        feeder.end()
        again = self.job(feeder.path, model_name="slow", extra=("--resume",))
        self.finish(again, feeder)
        self.assertGreater(again.finished()["resumed"], 0)
        self.assertEqual(sorted(os.listdir(self.dir)), [os.path.basename(feeder.path), "out.npy", "out.npy.ids.jsonl"])

    def test_no_worker_program(self):
        corpus = crew_kit.corpus(16, 12)
        crew_kit.reference("toy", corpus)
        job = self.run_job(corpus, folder=crew_kit.programs(None, "none"), codes=(1,))
        self.assertIn("vecmill-worker", job.stderr())
        self.assertEqual(os.listdir(self.dir), [])

    @harness.long_form("twenty starts that fail, as test_from_the_start has them, 8 s")
    def test_the_worker_program_goes_away(self):
        folder = crew_kit.programs(harness.WORKER, "goes")
        job, _ = self.fed(folder=folder)
        job.wait_ready()
        os.unlink(os.path.join(folder, "vecmill-worker"))
        for pid in job.workers():
            job.send(pid, "KILL")
        job.wait()
        job.judge(codes=(6,), resumable=True)
        self.assertIn("vecmill-worker", job.stderr())
        self.drop_parts()


class Readers(Scene):
    """The reader of the output stops reading, or goes away."""

    def status(self, pid, key):
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            return int(next(line for line in file if line.startswith(key)).split()[1])

    def asleep(self, job):
        """How many looks at the workers in a row have found all of them asleep: waiting for a processor is not
        sleep."""
        states = {(oracle.stat_of(pid) or "  ")[1] for pid in job.workers()}
        self.looks = self.looks + 1 if states == {"S"} else 0
        return self.looks

    looks = 0

    @harness.long_form("test_job_out.c has a slow pipe without processes, 10 s")
    def test_a_stalled_reader(self):
        corpus = crew_kit.corpus(4 * N, 100)
        reading, writing = os.pipe()
        job = self.job(corpus, "-", "slow", stdout=writing)
        os.close(writing)
        job.wait_ready()
        harness.wait_until("workers that have nothing to do", lambda: self.asleep(job) == 20, 0.1)
        first = self.status(job.process.pid, "VmRSS:")
        time.sleep(2)
        last = self.status(job.process.pid, "VmRSS:")
        print(f"supervisor of a stalled reader: {first} kB, two seconds later {last} kB")
        self.assertLessEqual(last, first + 256)
        self.assertEqual(job.deaths(), [])
        lines = 0
        while data := os.read(reading, 1 << 20):
            lines += data.count(b"\n")
        os.close(reading)
        self.assertEqual(job.wait(), 0)
        self.assertEqual(lines, 4 * N)
        self.assertEqual(job.deaths(), [])
        self.assertEqual(oracle.holders(job.token), [])

    def test_a_closed_reader(self):
        reading, writing = os.pipe()
        job = self.job(crew_kit.corpus(N, 100), "-", "slow", stdout=writing)
        os.close(writing)
        os.read(reading, 1000)
        os.close(reading)
        self.assertEqual(job.wait(), 7, job.stderr())
        self.assertIn("vecmill: ", job.stderr())
        self.assertEqual(oracle.holders(job.token), [])


class PidOne(Scene):
    """vecmill as the first process of a container."""

    def setUp(self):
        super().setUp()
        made = subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], check=False,
                              stderr=subprocess.PIPE)
        if made.returncode != 0:
            self.skipTest(f"no pid namespace can be made here: {made.stderr.decode().strip()}")

    def start_one(self):
        job, feeder = self.fed(prefix=["unshare", "--pid", "--fork", "--mount-proc"])
        job.wait_until("the start", lambda: job.named("run_started"))
        self.assertEqual(job.named("run_started")[0]["pid"], 1)
        pid = oracle.children(job.process.pid)[0]
        job.supervisor = lambda: pid # its pid out here
        return job, feeder, pid

    def leave_orphans(self, pid):
        """Five processes of the namespace whose parent ends: its first process inherits them."""
        subprocess.run(["nsenter", "--target", str(pid), "--pid", "--mount", "sh", "-c",
                        "for i in 1 2 3 4 5; do sleep 3600 & done"], check=True)

    def strangers(self, pid):
        return [child for child in oracle.children(pid)
                if (oracle.stat_of(child) or ("vecmill-worker",))[0] not in ("vecmill-worker", "vecmill")]

    def test_orphans_are_reaped(self):
        job, feeder, pid = self.start_one()
        self.leave_orphans(pid)
        job.wait_until("orphans", lambda: len(self.strangers(pid)) == 5)
        began = time.monotonic()
        for orphan in self.strangers(pid):
            os.kill(orphan, signal.SIGKILL)
        job.wait_until("the end of all orphans", lambda: not self.strangers(pid))
        print(f"the last of five orphans was reaped {time.monotonic() - began:.2f} s after its end")
        for worker in job.workers()[:1]:
            os.kill(worker, signal.SIGKILL)
        job.wait_until("the death", job.deaths)
        self.finish(job, feeder, faults=None)
        self.assertEqual([e["cause"] for e in job.deaths()], ["killed"])

    def test_sigterm_works(self):
        job, feeder, pid = self.start_one()
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(job.wait(), 4, job.stderr())
        job.judge(codes=(4,), resumable=True, faults=None)
        self.drop_parts()

    def test_sigkill_leaves_nobody(self):
        job, _, pid = self.start_one()
        os.kill(pid, signal.SIGKILL)
        job.wait()
        self.gone(job)
        job.judge(codes=(137, -9, 1), killed=True, faults=None)
        self.drop_parts()


if __name__ == "__main__":
    harness.main()
