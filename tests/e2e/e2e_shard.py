"""An input split over seven runs, and their outputs put together by merge.

Whatever happens to a shard's run, SIGKILL of its worker or of the whole, the merged files are those of one run.
A merge that fails, or is killed at any call that changes something, leaves the output as it was or whole, and
done again it is whole."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import unittest

import crew_kit
import harness

N, SHARDS = 1203, 7
CHANGING = ("openat", "write", "pwrite64", "ftruncate", "fsync", "rename", "unlink", "exit_group")
EVERY = harness.form(5, 1) # of the calls that change something


class Scene(crew_kit.CrewCase):
    def uneven(self):
        """A path of documents of 1 to 400 words, some without an id, some that fail."""
        rng = random.Random(7)
        lines = []
        for i in range(N):
            line = {"text": crew_kit.text(rng, i, int(400 ** rng.random()))}
            if i % 5:
                line["id"] = f"d{i}"
            lines.append("no JSON" if i % 97 == 50 else json.dumps(line))
        return self.file("uneven.jsonl", "\n".join(lines) + "\n")

    def vecmill(self, *args, code=0):
        return self.run_vecmill(*args, code=code, env=crew_kit.environment())

    def shard(self, corpus, i, output, *extra):
        self.vecmill("embed", "-m", crew_kit.model("toy"), "-i", corpus, "-o", output, "--shard", f"{i}/{SHARDS}",
                     "--workers", "1", "--progress", "none", *extra, code=3)

    def shards(self, corpus, ending, skip=()):
        names = [f"part-{i}{ending}" for i in range(SHARDS)]
        for i, name in enumerate(names):
            if i not in skip:
                self.shard(corpus, i, name)
        return names

    def whole(self, corpus, output):
        self.vecmill("embed", "-m", crew_kit.model("toy"), "-i", corpus, "-o", output, "--workers", "2", "--progress",
                     "none", code=3)
        return self.contents(output)

    def contents(self, output):
        """What stands at this output's names, its parts included."""
        found = {}
        for name in os.listdir(self.dir):
            if name.startswith(output):
                with open(self.path(name), "rb") as file:
                    found[name.removeprefix(output)] = file.read()
        return found


class Together(Scene):
    def test_seven_shards_are_the_whole(self):
        corpus = self.uneven()
        for ending in ".npy", ".jsonl":
            with self.subTest(ending):
                names = self.shards(corpus, ending)
                random.Random(1).shuffle(names)
                run = self.vecmill("merge", *names, "-o", "all" + ending, code=3)
                self.assertIn(f"of {N} documents failed", run.err)
                self.assertEqual(self.contents("all" + ending), self.whole(corpus, "one" + ending))

    def test_a_shard_that_is_killed(self):
        fed = crew_kit.Fed(self) # so that its run cannot end before it is killed
        names = [f"part-{i}.npy" for i in range(SHARDS)]
        job = self.job(fed.path, names[2], workers=1, extra=("--shard", f"2/{SHARDS}"))
        job.wait_until("rows", lambda: os.path.exists(job.output + ".part") and
                       os.path.getsize(job.output + ".part") > 4096)
        os.kill(job.named("worker_ready")[0]["pid"], signal.SIGKILL)
        job.wait_until("another worker", lambda: len(job.named("worker_ready")) == 2)
        self.assertEqual(len(job.named("worker_died")), 1)
        os.kill(job.process.pid, signal.SIGKILL)
        job.wait()
        self.gone(job)
        self.refused(f"{names[2]}: its run has not ended", "merge", names[2], "-o", "all.npy", code=8)
        fed.end(more=300)
        for i, name in enumerate(names):
            resumed = ("--resume",) if i == 2 else ()
            job = self.job(fed.path, name, workers=1, extra=(*resumed, "--shard", f"{i}/{SHARDS}"))
            self.assertEqual(job.wait(), 0, job.stderr())
        self.vecmill("merge", *names, "-o", "all.npy")
        with open(crew_kit.reference("toy", fed.path)[0], "rb") as one, open(self.path("all.npy"), "rb") as all_:
            self.assertEqual(one.read(), all_.read())

    def test_what_is_refused_is_named(self):
        corpus = self.uneven()
        names = self.shards(corpus, ".npy")
        other = self.file("other.jsonl", [{"text": str(i)} for i in range(N)])
        self.vecmill("embed", "-m", crew_kit.model("toy"), "-i", other, "-o", "other.npy", "--shard", f"4/{SHARDS}",
                     "--progress", "none")
        self.whole(corpus, "plain.npy")
        before = self.contents("")
        for words, given in (
                ("1 of 7 shards is missing, counted from 0: 3", names[:3] + names[4:]),
                ("part-2.npy and part-2.npy are both shard 2 of 7", [*names, names[2]]),
                ("other.npy and part-0.npy do not belong together", [*names[:4], "other.npy", *names[5:]]),
                ("plain.npy: is no shard", [*names[:6], "plain.npy"]),
                ("gone.npy: is not there", [*names[:6], "gone.npy"])):
            self.refused(words, "merge", *given, "-o", "all.npy", code=8)
        self.assertEqual(self.contents(""), before)
        os.truncate(self.path("part-6.npy"), 1000)
        self.refused("part-6.npy: holds 1000 bytes, its run wrote", "merge", *names, "-o", "all.npy", code=8)
        self.assertEqual(self.contents("all.npy"), {})


@unittest.skipUnless(shutil.which("strace"), "there is no strace")
class Faults(Scene):
    def setUp(self):
        super().setUp()
        corpus = self.uneven()
        self.names = self.shards(corpus, ".npy")
        self.right = self.whole(corpus, "one.npy")

    def merge(self, *inject):
        log = self.path("trace")
        command = ["strace", "-o", log, *inject, harness.VECMILL, "merge", *self.names, "-o", "all.npy",
                   "--progress", "none"]
        run = subprocess.run(command, cwd=self.dir, env=crew_kit.environment(), capture_output=True, timeout=harness.WAIT_SECONDS,
                             check=False)
        with open(log, encoding="utf-8", errors="replace") as file:
            return run.returncode, re.findall(r"^(\w+)\(", file.read(), re.M)

    def fresh(self):
        for ending in ("", ".part", ".ids.jsonl", ".ids.jsonl.part", ".errors.jsonl", ".errors.jsonl.part"):
            if self.exists("all.npy" + ending):
                os.unlink(self.path("all.npy" + ending))

    def again(self, what):
        code, _ = self.merge()
        self.assertEqual((code, self.contents("all.npy")), (3, self.right), what)
        self.fresh()

    def each(self, fault):
        """Injects the fault into each EVERY-th of the calls that change something, a run each; yields (what, exit code)."""
        code, calls = self.merge()
        if code != 3:
            self.skipTest("strace cannot trace here")
        self.fresh()
        points = [(call, index) for call in CHANGING for index in range(1, calls.count(call) + 1)]
        for call, index in points[::EVERY]:
            code, _ = self.merge("-e", f"inject={call}:{fault}:when={index}")
            yield f"{call} number {index}", code

    def test_killed_at_each_call(self):
        n = 0
        for what, code in self.each("signal=KILL"):
            self.assertIn(code, (-signal.SIGKILL, 137), what)
            if "" in (found := self.contents("all.npy")):
                self.assertEqual(found, self.right, what)
            self.again(what)
            n += 1
        self.assertGreater(n, 20 / EVERY)

    def test_failing_at_each_call(self):
        failed = 0
        for what, code in self.each("error=EIO"):
            found = self.contents("all.npy")
            if "exit_group" in what or code == 3:
                self.assertEqual(found, self.right, what)
            else:
                failed += 1
                self.assertIn(code, range(1, 127), what)
                self.assertEqual(found.get("", self.right[""]), self.right[""], what)
            self.again(what)
        self.assertGreater(failed, 5 / EVERY)


if __name__ == "__main__":
    harness.main()
