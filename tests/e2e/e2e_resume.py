"""Stopping and going on: signals to the supervisor, journals that are found, runs that meet.

What is stopped by SIGTERM, SIGINT or SIGHUP ends with 4, keeps its journal, and --resume makes of it the
file that an undisturbed run writes. What cannot be gone on with is refused, and left as it is."""

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

N = 1500 # documents of the slow model: about a second, undisturbed


class Scene(crew_kit.CrewCase):
    def setUp(self):
        super().setUp()
        self.corpus = crew_kit.corpus(N, 100)
        self.reference, _ = crew_kit.reference("slow", self.corpus)

    def start(self, *extra, input=None, model_name="slow", **more):
        return self.job(input or self.corpus, model_name=model_name, extra=("--progress", "auto", *extra),
                        **more)

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
        job = self.start(*extra, **more)
        self.some_done(job)
        job.process.send_signal(number)
        job.wait(20)
        job.judge(codes=(4,), resumable=True)
        self.assertTrue(self.exists("out.npy.journal"), "nothing was kept")
        self.assertIn("--resume", job.stderr())
        self.assertGreater(job.finished()["documents"], 0)
        self.assertLessEqual(job.finished()["documents"], N)
        return job

    def completed(self, *extra, resumed=True, **more):
        """A job that goes on, and comes to its end."""
        job = self.start("--resume", *extra, **more)
        job.wait()
        job.judge(reference=self.reference)
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

    def setUp(self):
        super().setUp()
        rng, texts = random.Random(11), []
        for i in range(N):
            kind = rng.random()
            texts.append(texts[i - 1] if i > 0 and kind < 0.2 else
                         texts[rng.randrange(max(0, i - 200), i)] if i > 0 and kind < 0.4 else
                         rng.randrange(3) if kind < 0.5 else i)
        corpus = crew_kit.corpus(N, 380) # of the slower model, so that there are checkpoints
        with open(corpus, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        self.doubled = self.file("doubled.jsonl", [{"id": f"d{i:06}", "text": lines[text]["text"]}
                                                   for i, text in enumerate(texts)])
        reference = harness.Npy(crew_kit.reference("slower", corpus)[0])
        self.expected = [reference.raw(text) for text in texts]

    def test_stopped_and_killed(self):
        for number in harness.form((signal.SIGTERM,), (signal.SIGTERM, signal.SIGKILL)):
            with self.subTest(number=number):
                # By one worker it lasts long enough for a checkpoint, and for its signal behind that.
                job = self.start(input=self.doubled, model_name="slower",
                                 workers=1 if number == signal.SIGKILL else 2)
                if number == signal.SIGTERM:
                    self.some_done(job)
                else:
                    job.wait_until("a checkpoint", job.checkpoints)
                job.process.send_signal(number)
                self.assertNotEqual(job.wait(20), 0, "it was quicker than its signal")
                self.gone(job)
                again = self.start("--resume", input=self.doubled, model_name="slower")
                again.wait()
                again.judge()
                finished, rows = again.finished(), harness.Npy(self.path("out.npy"))
                self.assertGreater(finished["resumed"], 0)
                if finished["resumed"] < N // 2: # else the signal came late
                    self.assertGreater(finished["duplicates"], 0)
                self.assertEqual([rows.raw(i) for i in range(N)], self.expected)
                print(f"{N} documents, {finished['resumed']} of them by a run that was ended by {number.name}; "
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
        runs, done = 0, 0
        while True:
            job = self.start("--resume")
            self.some_done(job)
            try:
                job.wait_until("more rows",
                               lambda: os.path.getsize(job.output + ".part") > 4096 + 256 * done)
                job.process.send_signal(signal.SIGTERM)
            except (AssertionError, OSError): # it was quicker
                pass
            code = job.wait(30)
            job.judge(reference=self.reference, codes=(0, 4), resumable=True)
            runs += 1
            # Stopped behind its last document a run has nothing left to do but to name its files.
            self.assertGreaterEqual(job.finished()["documents"], min(done + 1, N))
            self.assertEqual(job.finished()["resumed"], done)
            done = job.finished()["documents"]
            if code == 0:
                break
        self.assertGreater(runs, 1)

    def test_the_second_ends_at_once(self):
        """The workers are stopped, so that the first would be waited for."""
        job = self.start()
        self.some_done(job)
        for pid in job.workers():
            job.send(pid, "STOP")
        job.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        self.assertIsNone(job.process.poll(), "the first signal does not wait for what is being computed")
        began = time.monotonic()
        job.process.send_signal(signal.SIGINT)
        self.assertEqual(job.wait(10), 4)
        self.assertLess(time.monotonic() - began, 1.0)
        self.gone(job)
        job.judge(codes=(4,), killed=True) # it could not tell its end
        again = self.start("--resume") # from wherever the last checkpoint was, if there was one
        again.wait()
        again.judge(reference=self.reference)

    def test_while_workers_hang(self):
        """The grace for what is being computed has an end."""
        job = self.start()
        self.some_done(job)
        for pid in job.workers():
            job.send(pid, "STOP")
        began = time.monotonic()
        job.process.send_signal(signal.SIGTERM)
        self.assertEqual(job.wait(20), 4)
        self.assertLess(time.monotonic() - began, 8)
        job.judge(codes=(4,), resumable=True)
        self.completed()

    def test_ctrl_c_in_a_terminal(self):
        """The whole process group gets it, and only the supervisor heeds it: what is computed is kept."""
        job = self.start(prefix=["setsid", "--wait"])
        self.some_done(job)
        supervisor = job.supervisor()
        self.assertEqual(os.getpgid(supervisor), supervisor)
        workers = job.workers()
        self.assertEqual({os.getpgid(pid) for pid in workers}, {supervisor})
        os.killpg(supervisor, signal.SIGINT)
        self.assertEqual(job.wait(20), 4, job.stderr())
        job.judge(codes=(4,), resumable=True)
        self.assertEqual(job.deaths(), [])
        self.completed()

    def test_while_workers_are_killed(self):
        """A stop in the middle of deaths."""
        job = self.start()
        self.some_done(job)
        for pid in job.workers():
            job.send(pid, "KILL")
        job.process.send_signal(signal.SIGTERM)
        self.assertEqual(job.wait(20), 4, job.stderr())
        job.judge(codes=(4,), resumable=True)
        self.completed()


class Meeting(Scene):
    def test_two_runs_on_one_output(self):
        first = self.start()
        self.some_done(first)
        first.process.send_signal(signal.SIGSTOP) # so that it cannot end before it was met
        for words in ((), ("--resume",), ("--force",)):
            self.refused("out.npy", "embed", "-m", crew_kit.model("slow"), "-i", self.corpus, "-o",
                         "out.npy", "--workers", "1", *words, code=7, env=crew_kit.environment())
        first.process.send_signal(signal.SIGCONT)
        first.wait()
        first.judge(reference=self.reference)

    def test_a_journal_that_is_found(self):
        self.stopped()
        self.not_run(["--resume", "--force"])
        job = self.start("--force")
        job.wait()
        job.judge(reference=self.reference)
        self.assertEqual(job.finished()["resumed"], 0)
        self.assertEqual(self.names(), ["out.npy", "out.npy.ids.jsonl"])

    def test_a_finished_output(self):
        self.completed(resumed=False)
        before = self.facts()
        job = self.start("--resume")
        self.assertEqual(job.wait(), 0)
        job.judge(reference=self.reference)
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

    def test_input(self):
        mine = self.path("mine.jsonl")
        shutil.copy(self.corpus, mine)
        self.stopped(input=mine)
        with open(mine, encoding="utf-8") as file:
            lines = file.readlines()
        for what, changed in (("a word", [lines[0].replace("d000000", "e000000"), *lines[1:]]),
                              ("an order", [lines[1], lines[0], *lines[2:]]), ("nothing left", lines[:1])):
            with self.subTest(what):
                self.file("mine.jsonl", "".join(changed))
                self.not_run("mine.jsonl", "--resume", code=8, input=mine)
        # What was not read yet may change: it is read now. As it was, in a new file, is the same too.
        os.unlink(mine)
        shutil.copy(self.corpus, mine)
        job = self.start("--resume", input=mine)
        job.wait()
        job.judge(reference=self.reference)
        self.assertGreater(job.finished()["resumed"], 0)

    def test_model(self):
        self.stopped()
        other = harness.toy(self.path("other"), *crew_kit.options("slow"), "--seed", "7")
        self.refused("--force", "embed", "-m", other, "-i", self.corpus, "-o", "out.npy", "--resume",
                     "--workers", "2", code=9, env=crew_kit.environment())
        self.completed()

    def test_length(self):
        self.stopped()
        self.not_run("--force", "--resume", "--max-length", "64", code=9)
        self.completed()

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
        job.judge(reference=self.reference)
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
                                  "-o", "out.npy", "--workers", "2", "--resume"], cwd=self.dir, timeout=120,
                                 stderr=subprocess.PIPE, env=crew_kit.environment(), check=False)
            self.assertIn(run.returncode, (0, 2), f"byte {at}: {run.stderr}")
            if run.returncode == 0:
                went_on += 1
                self.assertIsNone(oracle.differing_rows(self.path("out.npy"), self.reference, set()))
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
    def test_the_pack_goes_away(self):
        """The workers that start after it cannot work, and say so; what was done is kept."""
        cache = self.path("cache")
        env = {"VECMILL_CACHE": cache}
        job = self.start(env=env)
        self.some_done(job)
        packs = os.path.join(cache, "packs")
        for name in os.listdir(packs):
            os.unlink(os.path.join(packs, name))
        for pid in job.workers():
            job.send(pid, "KILL")
        code = job.wait(60)
        job.judge(codes=(6, 9, 10), resumable=True, kept=["cache"], faults=None)
        print(f"a pack that went away: exit {code}: {job.stderr().splitlines()[-1]}")
        again = self.start("--resume", env=env)
        again.wait()
        again.judge(reference=self.reference)
        self.assertEqual(json.dumps(again.named("document_failed")), "[]")


if __name__ == "__main__":
    harness.main()
