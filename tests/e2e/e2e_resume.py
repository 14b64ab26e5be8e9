"""Stopping and going on: signals to the supervisor, journals that are found, runs that meet.

What is stopped by SIGTERM, SIGINT or SIGHUP ends with 4, keeps its journal, and --resume makes of it the
file that an undisturbed run writes. What cannot be gone on with is refused, and left as it is.

A job that is to be stopped is fed through a named pipe (crew_kit.Fed), so it cannot come to its end before."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import crew_kit
import harness
import oracle

N = 300    # documents of a job that nobody stops
MORE = 200 # that a run which goes on has to do at least
MARKER = "xqzwvk"


class Scene(crew_kit.CrewCase):
    def setUp(self):
        super().setUp()
        self.corpus = crew_kit.corpus(N, 100)

    def wanted(self):
        """What an undisturbed run makes of the corpus."""
        return crew_kit.reference("slow", self.corpus)[0]

    def start(self, *extra, input=None, model_name="slow", **more):
        return self.job(input or self.corpus, model_name=model_name, extra=("--progress", "auto", *extra),
                        **more)

    def fed(self, *extra, make=None, most=400, **more):
        """A job that lasts until it is stopped, or until feeder.end()."""
        self.feeder = crew_kit.Fed(self, f"in-{crew_kit.Job.count}.jsonl", make=make, most=most)
        job = self.start(*extra, input=self.feeder.path, **more)
        self.some_done(job)
        return job

    def all_of_it(self):
        """From now on the corpus is what the stopped job was fed, and more."""
        self.feeder.end(MORE)
        self.corpus = self.feeder.path

    def some_done(self, job):
        """Waits until rows were written."""
        def is_written():
            try:
                return os.path.getsize(job.output + ".part") > 4096
            except OSError:
                return False
        job.wait_until("rows", is_written)

    def stopped(self, *extra, number=signal.SIGTERM, **more):
        """A job that was stopped on its way."""
        job = self.fed(*extra, **more)
        job.process.send_signal(number)
        job.wait()
        job.judge(codes=(4,), resumable=True)
        self.all_of_it()
        self.assertTrue(self.exists("out.npy.journal"), "nothing was kept")
        self.assertIn("--resume", job.stderr())
        self.assertGreater(job.finished()["documents"], 0)
        self.assertLessEqual(job.finished()["documents"], self.feeder.n - MORE)
        return job

    def completed(self, *extra, resumed=True, **more):
        """A job that goes on, and comes to its end."""
        job = self.start("--resume", *extra, **more)
        job.wait()
        job.judge(reference=self.wanted())
        self.assertEqual(job.finished()["resumed"] > 0, resumed)
        self.assertEqual(self.names(), ["out.npy", "out.npy.ids.jsonl"])
        return job

    def names(self):
        return sorted(name for name in os.listdir(self.dir) if name.startswith("out"))

    def facts(self):
        """What must not change where a run was refused."""
        found = {}
        for name in self.names():
            s = os.stat(self.path(name))
            with open(self.path(name), "rb") as file:
                found[name] = (s.st_ino, s.st_mtime_ns, file.read())
        return found

    def not_run(self, words, *args, code=2, model_name="slow", input=None, **more):
        """A run that is refused; nothing is touched by it."""
        before = self.facts()
        run = self.refused(words, "embed", "-m", crew_kit.model(model_name), "-i", input or self.corpus, "-o",
                           "out.npy", "--workers", "2", *args, code=code, env=crew_kit.environment(), **more)
        self.assertEqual(self.facts(), before)
        return run


class Duplicates(Scene):
    """Documents that come again, next to each other and up to a whole pool apart. Wherever a run is
    stopped, their rows are those of the texts, which another run has computed once each."""

    def make(self, i):
        """The text of document i, and which of the distinct ones it is."""
        rng, kind = self.rng, self.rng.random()
        which = self.texts[i - 1] if i > 0 and kind < 0.2 else \
            self.texts[rng.randrange(max(0, i - 200), i)] if i > 0 and kind < 0.4 else \
            rng.randrange(3) if kind < 0.5 else i
        self.texts.append(which)
        return self.distinct.setdefault(which, crew_kit.text(random.Random(which), which, 100))

    def test_stopped_and_killed(self):
        for number in harness.form((signal.SIGTERM,), (signal.SIGTERM, signal.SIGKILL)):
            with self.subTest(number=number):
                self.rng, self.texts, self.distinct = random.Random(11), [], {}
                job = self.fed(make=self.make, most=None)
                if number == signal.SIGKILL:
                    job.wait_until("a checkpoint", job.checkpoints)
                job.process.send_signal(number)
                self.assertEqual(job.wait(), 4 if number == signal.SIGTERM else -number)
                self.gone(job)
                self.all_of_it()
                again = self.start("--resume")
                again.wait()
                again.judge()
                finished, rows = again.finished(), harness.Npy(self.path("out.npy"))
                self.assertGreater(finished["resumed"], 0)
                self.assertGreater(finished["duplicates"], 0)
                self.assertEqual(rows.n, self.feeder.n)
                once = self.file(f"once-{number}.jsonl", [{"text": text} for text in self.distinct.values()])
                single = harness.Npy(crew_kit.reference("slow", once)[0])
                expected = {which: single.raw(i) for i, which in enumerate(self.distinct)}
                self.assertEqual([rows.raw(i) for i in range(rows.n)], [expected[t] for t in self.texts[:rows.n]])
                print(f"{rows.n} documents, {finished['resumed']} of them by a run that was ended by {number.name}; "
                      f"of the others {finished['duplicates']} were duplicates")
                for name in self.names():
                    os.unlink(self.path(name))


class Signals(Scene):
    def test_each(self):
        for number in harness.form((signal.SIGHUP,), (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)):
            with self.subTest(number=number):
                job = self.stopped(number=number)
                self.assertEqual(job.deaths(), [])
                again = self.completed()
                self.assertEqual(again.finished()["resumed"], job.finished()["documents"])
                for name in self.names():
                    os.unlink(self.path(name))

    @harness.long_form("as many runs as it takes, 8 s")
    def test_again_and_again(self):
        """Stopped at once each time: it gets on all the same."""
        done, runs = self.stopped().finished()["documents"], 1
        while True:
            job = self.start("--resume")
            try:
                self.some_done(job)
                job.wait_until("more rows",
                               lambda: os.path.getsize(job.output + ".part") > 4096 + 256 * done)
                job.process.send_signal(signal.SIGTERM)
            except (AssertionError, OSError): # it was quicker
                pass
            code = job.wait()
            job.judge(reference=self.wanted(), codes=(0, 4), resumable=True)
            runs += 1
            # Stopped behind its last document a run has nothing left to do but to name its files.
            self.assertGreaterEqual(job.finished()["documents"], min(done + 1, self.feeder.n))
            self.assertEqual(job.finished()["resumed"], done)
            done = job.finished()["documents"]
            if code == 0:
                break
        self.assertGreater(runs, 1)

    def held(self):
        """A job that is stopped, as is a worker of it in the midst of a batch; (job, its supervisor's pid)."""
        job = self.fed(make=lambda i: f"{MARKER} {i}" if i == 50 else f"{i} words", folder=crew_kit.programs(),
                       plan=f"poison={MARKER}:stop")
        pid = job.process.pid

        def stopped_in_a_batch():
            os.kill(pid, signal.SIGSTOP) # nobody is done without while it is stopped
            harness.wait_until("a stopped supervisor", lambda: oracle.stat_of(pid)[1] == "T")
            if any((oracle.stat_of(worker) or "  ")[1] == "T" for worker in oracle.children(pid)):
                return True
            os.kill(pid, signal.SIGCONT)
            return False
        job.wait_until("a worker that stopped itself", stopped_in_a_batch)
        time.sleep(0.5) # deadlines move only by a pause that is seen
        return job, pid

    def test_the_first_waits_for_what_is_computed(self):
        """For a while: the grace has an end."""
        job, pid = self.held()
        job.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        os.kill(pid, signal.SIGCONT)
        self.assertEqual(job.wait(), 4)
        self.assertGreater(time.monotonic() - began, 0.3) # it takes a second at least
        job.judge(codes=(4,), resumable=True)
        self.all_of_it()
        self.completed()

    def test_the_second_ends_at_once(self):
        """Both arrive before the run does anything more; the proof is that it did not report its end."""
        job, pid = self.held()
        job.process.send_signal(signal.SIGINT)
        job.process.send_signal(signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        self.assertEqual(job.wait(), 4)
        self.assertEqual(job.named("run_finished"), [])
        self.gone(job)
        job.judge(codes=(4,), killed=True)
        self.all_of_it()
        again = self.start("--resume") # from wherever the last checkpoint was, if there was one
        again.wait()
        again.judge(reference=self.wanted())

    @harness.long_form("test_while_workers_are_killed and e2e_crew.py have its halves, 3 s")
    def test_while_workers_hang(self):
        """Also where no worker answers any more."""
        job = self.fed()
        for pid in job.workers():
            job.send(pid, "STOP")
        job.process.send_signal(signal.SIGTERM)
        self.assertEqual(job.wait(), 4)
        job.judge(codes=(4,), resumable=True)
        self.all_of_it()
        self.completed()

    def test_ctrl_c_in_a_terminal(self):
        """The whole process group gets it, and only the supervisor heeds it: what is computed is kept."""
        job = self.fed(prefix=["setsid", "--wait"])
        supervisor = job.supervisor()
        self.assertEqual(os.getpgid(supervisor), supervisor)
        workers = job.workers()
        self.assertEqual({os.getpgid(pid) for pid in workers}, {supervisor})
        os.killpg(supervisor, signal.SIGINT)
        self.assertEqual(job.wait(), 4, job.stderr())
        job.judge(codes=(4,), resumable=True)
        self.assertEqual(job.deaths(), [])
        self.all_of_it()
        self.completed()

    def test_while_workers_are_killed(self):
        """A stop in the middle of deaths."""
        job = self.fed()
        for pid in job.workers():
            job.send(pid, "KILL")
        job.process.send_signal(signal.SIGTERM)
        self.assertEqual(job.wait(), 4, job.stderr())
        job.judge(codes=(4,), resumable=True)
        self.all_of_it()
        self.completed()


class Meeting(Scene):
    def test_two_runs_on_one_output(self):
        first = self.fed()
        for words in ((), ("--resume",), ("--force",)):
            self.refused("out.npy", "embed", "-m", crew_kit.model("slow"), "-i", self.corpus, "-o",
                         "out.npy", "--workers", "1", *words, code=7, env=crew_kit.environment())
        self.feeder.end()
        self.corpus = self.feeder.path
        first.wait()
        first.judge(reference=self.wanted())

    def test_a_journal_that_is_found(self):
        self.stopped()
        self.not_run(["--resume", "--force"])
        job = self.start("--force")
        job.wait()
        job.judge(reference=self.wanted())
        self.assertEqual(job.finished()["resumed"], 0)
        self.assertEqual(self.names(), ["out.npy", "out.npy.ids.jsonl"])

    def test_a_finished_output(self):
        self.completed(resumed=False)
        before = self.facts()
        job = self.start("--resume")
        self.assertEqual(job.wait(), 0)
        job.judge(reference=self.wanted())
        self.assertEqual(self.facts(), before)
        self.assertEqual(job.named("worker_ready"), [])

    def test_without_a_journal(self):
        self.completed(resumed=False)

    def test_standard_input(self):
        for source, output in (("-", "out.npy"), (self.corpus, "-")):
            self.refused("--resume", "embed", "-m", crew_kit.model("slow"), "-i", source, "-o", output,
                         "--resume", code=2, stdin=b"one\n", env=crew_kit.environment())


class Changed(Scene):
    """What is not what it was when the run began."""

    @harness.long_form("test_job_resume.c has what is refused, 2 s")
    def test_input(self):
        self.stopped()
        mine, kept = self.corpus, self.path("kept.jsonl")
        name = os.path.basename(mine)
        shutil.copy(mine, kept)
        with open(mine, encoding="utf-8") as file:
            lines = file.readlines()
        for what, changed in (("a word", [lines[0].replace("d000000", "e000000"), *lines[1:]]),
                              ("an order", [lines[1], lines[0], *lines[2:]]), ("nothing left", lines[:1])):
            with self.subTest(what):
                self.file(name, "".join(changed))
                self.not_run(name, "--resume", code=8)
        # What was not read yet may change: it is read now. As it was, in a new file, is the same too.
        os.unlink(mine)
        shutil.copy(kept, mine)
        job = self.start("--resume")
        job.wait()
        job.judge(reference=self.wanted())
        self.assertGreater(job.finished()["resumed"], 0)

    def test_model(self):
        self.stopped()
        other = harness.toy(self.path("other"), *crew_kit.options("slow"), "--seed", "7")
        self.refused("--force", "embed", "-m", other, "-i", self.corpus, "-o", "out.npy", "--resume",
                     "--workers", "2", code=9, env=crew_kit.environment())
        self.completed()

    @harness.long_form("test_job_resume.c has what is refused, 2 s")
    def test_length(self):
        self.stopped()
        self.not_run("--force", "--resume", "--max-length", "64", code=9)
        self.not_run("--dimensions", "--resume", "--dimensions", "8", code=9)
        self.not_run("--normalize", "--resume", "--normalize", "no", "--dimensions", "16", code=9)
        self.completed()

    @harness.long_form("test_job_resume.c has what is refused, 2 s")
    def test_fields(self):
        self.stopped()
        self.not_run("--field", "--resume", "--field", "body")
        self.not_run("--id-field", "--resume", "--id-field", "name")
        self.not_run("--max-document", "--resume", "--max-document", "1M")
        self.completed()

    @harness.long_form("a stop and a resume with other options, 4 s")
    def test_workers_and_batches(self):
        """These change no bit, so they may change."""
        self.stopped()
        job = self.start("--resume", "--batch-tokens", "480", workers=3)
        job.wait()
        job.judge(reference=self.wanted())
        self.assertGreater(job.finished()["resumed"], 0)

    def test_a_torn_journal(self):
        """A byte of it is another: the other checkpoint serves, or it is refused; never a wrong output."""
        self.stopped()
        kept = {name: open(self.path(name), "rb").read() for name in self.names()}
        size = len(kept["out.npy.journal"])
        went_on = refused = 0
        step = harness.form(183, 61)
        for at in [*range(0, 256, step), *range(4096, 4096 + 256, step), *range(8192, 8192 + 256, step), size - 1]:
            if at >= size:
                continue
            for name, data in kept.items():
                if name == "out.npy.journal":
                    data = data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1:]
                with open(self.path(name), "wb") as file:
                    file.write(data)
            run = subprocess.run([harness.VECMILL, "embed", "-m", crew_kit.model("slow"), "-i", self.corpus,
                                  "-o", "out.npy", "--workers", "2", "--resume"], cwd=self.dir, timeout=harness.WAIT_SECONDS,
                                 stderr=subprocess.PIPE, env=crew_kit.environment(), check=False)
            self.assertIn(run.returncode, (0, 2), f"byte {at}: {run.stderr}")
            if run.returncode == 0:
                went_on += 1
                self.assertIsNone(oracle.differing_rows(self.path("out.npy"), self.wanted(), set()))
            else:
                refused += 1
                self.assertIn(b"--force", run.stderr)
            for name in self.names():
                os.unlink(self.path(name))
        print(f"of {went_on + refused} journals with a changed byte {went_on} were gone on with, rightly, "
              f"{refused} refused")

    def test_parts(self):
        """A part that is shorter than its journal says, or gone."""
        self.stopped()
        kept = open(self.path("out.npy.part"), "rb").read()
        with open(self.path("out.npy.part"), "wb") as file:
            file.write(kept[:len(kept) // 2])
        self.not_run("out.npy", "--resume", code=7)
        os.unlink(self.path("out.npy.part"))
        self.not_run("out.npy", "--resume", code=7)
        self.drop_parts()


class Model(Scene):
    @harness.long_form("test_model has a model that is another, 3 s")
    def test_the_pack_goes_away(self):
        """The workers that start after it cannot work, and say so; what was done is kept."""
        cache = self.path("cache")
        env = {"VECMILL_CACHE": cache}
        job = self.fed(env=env)
        packs = os.path.join(cache, "packs")
        for name in os.listdir(packs):
            os.unlink(os.path.join(packs, name))
        for pid in job.workers():
            job.send(pid, "KILL")
        code = job.wait()
        job.judge(codes=(6, 9, 10), resumable=True, kept=["cache"], faults=None)
        self.all_of_it()
        print(f"a pack that went away: exit {code}: {job.stderr().splitlines()[-1]}")
        again = self.start("--resume", env=env)
        again.wait()
        again.judge(reference=self.wanted())
        self.assertEqual(json.dumps(again.named("document_failed")), "[]")


if __name__ == "__main__":
    harness.main()
