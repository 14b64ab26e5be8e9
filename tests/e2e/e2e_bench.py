"""bench: what it reports of a job, a session, latency and accuracy; and that nothing of it is left behind.

No figure of time is held against another machine's: only that it is there, and that figures agree."""

import csv
import json
import os
import resource
import signal
import subprocess
import time
import unittest

import e2e_stsb
import harness

JOB_KEYS = {
    "version", "mode", "model", "isa", "precision", "workers", "threads", "batch_tokens", "max_length",
    "documents", "duplicates", "unreadable", "corpus_cut", "corpus_copied", "truncated", "replaced_bytes",
    "tokens", "rounds", "seconds", "seconds_best", "seconds_processor", "documents_per_second",
    "tokens_per_second", "flops", "flops_per_second", "cores", "peak_before", "peak_after", "peak", "ratio",
    "ratio_best", "ratio_processor", "peak_memory_bytes", "file_memory_bytes", "plan_bytes", "pack_bytes",
    "arena_bytes", "deaths", "starts", "start_ms_least", "start_ms_median"}
SANITIZED = bool(os.environ.get("VECMILL_SANITIZED"))


class Bench(harness.Case):
    """Each test has a TMPDIR of its own, which is empty at its end."""

    def setUp(self):
        super().setUp()
        self.tmp = self.path("tmp")
        os.mkdir(self.tmp)

    def tearDown(self):
        left = os.listdir(self.tmp)
        super().tearDown()
        self.assertEqual(left, [], "is left in TMPDIR")

    def environment(self):
        return harness.environment(TMPDIR=self.tmp)

    def bench(self, *args, **more):
        run = self.run_vecmill("bench", "-m", harness.toy_model(), *args, env=self.environment(), **more)
        return run.objects()[0] if "--json" in args else run.out.decode()

    def corpus(self, n=200):
        return self.file("in.txt", "".join(f"document number {i} of the corpus\n" for i in range(n)))

    def check(self, figures):
        self.assertEqual(set(figures), JOB_KEYS)
        for key in ("seconds", "documents_per_second", "tokens_per_second", "flops", "flops_per_second",
                    "peak_before", "peak_after", "seconds_processor", "peak_memory_bytes", "pack_bytes",
                    "arena_bytes", "start_ms_least"):
            self.assertGreater(figures[key], 0, key)
        self.assertEqual(figures["peak"], max(figures["peak_before"], figures["peak_after"]))
        self.assertGreaterEqual(figures["seconds"], figures["seconds_best"])
        self.assertGreaterEqual(figures["ratio_best"], figures["ratio"])
        self.assertGreaterEqual(figures["start_ms_median"], figures["start_ms_least"])
        self.assertAlmostEqual(figures["ratio"] * figures["peak"] / figures["flops_per_second"], 1, delta=0.2)
        self.assertEqual((figures["starts"], figures["deaths"]), (11, 0))


class Job(Bench):
    def test_a_job_over_workers(self):
        self.corpus()
        figures = self.bench("-i", "in.txt", "--workers", "2", "--repeat", "3", "--json")
        self.check(figures)
        self.assertEqual((figures["mode"], figures["workers"], figures["rounds"]), ("job", 2, 3))
        self.assertEqual((figures["documents"], figures["duplicates"], figures["unreadable"]), (200, 0, 0))
        self.assertEqual(figures["precision"], "fp32")
        self.assertFalse(figures["corpus_cut"] or figures["corpus_copied"])
        if not SANITIZED:
            # This program holds what embed does, a thread's stack and a few pages more.
            self.assertLess(figures["peak_memory_bytes"], figures["plan_bytes"] + (4 << 20))

    def test_in_words(self):
        self.corpus()
        text = self.bench("-i", "in.txt", "--workers", "1", "--precision", "fp32")
        self.assertRegex(text, r"(?m)^ratio +\d\.\d{3} of the peak")
        self.assertRegex(text, r"(?m)^model .* fp32, 1 worker, ")

    def test_job_and_session_count_alike(self):
        self.corpus()
        job = self.bench("-i", "in.txt", "--workers", "1", "--json")
        session = self.bench("-i", "in.txt", "--in-process", "--threads", "2", "--json")
        self.check(session)
        self.assertEqual((session["mode"], session["workers"], session["threads"]), ("in-process", 0, 2))
        self.assertIsNone(session["plan_bytes"])
        for key in ("documents", "tokens", "flops", "truncated", "isa", "pack_bytes"):
            self.assertEqual(job[key], session[key], key)

    def test_distinct_documents_count(self):
        lines = [{"text": text} for text in ["a cat", "two cats", "a cat", "", "three", "", "a cat"]]
        self.file("in.jsonl", "".join(json.dumps(line) + "\n" for line in lines) + "nonsense\n")
        figures = self.bench("-i", "in.jsonl", "--json")
        self.assertEqual((figures["documents"], figures["duplicates"], figures["unreadable"]), (4, 3, 1))
        self.assertTrue(figures["corpus_copied"])
        self.assertIn("3 more were left out", self.bench("-i", "in.jsonl"))

    def test_standard_input(self):
        figures = self.bench("-i", "-", "--json", stdin=b"one\ntwo \xff\none\n")
        self.assertEqual((figures["documents"], figures["duplicates"]), (2, 1))

    def test_csv_by_column(self):
        self.file("in.csv", "key,body\n1,a cat\n2,two cats\n")
        figures = self.bench("-i", "in.csv", "--field", "body", "--id-field", "key", "--json")
        self.assertEqual((figures["documents"], figures["corpus_copied"]), (2, False))


class Ends(Bench):
    def test_nothing_to_measure(self):
        self.file("in.jsonl", "nonsense\n")
        self.refused("in.jsonl", "bench", "-m", harness.toy_model(), "-i", "in.jsonl", code=8,
                     env=self.environment())
        self.refused("missing.txt", "bench", "-i", "missing.txt", code=8, env=self.environment())

    def test_no_folder_to_work_in(self):
        self.corpus()
        env = harness.environment(TMPDIR=self.path("none"))
        self.refused("no temporary folder", "bench", "-m", harness.toy_model(), "-i", "in.txt", code=1, env=env)

    def test_a_full_disk(self):
        self.corpus()
        limit = (16384, 16384)  # bytes of a file: the vectors are more
        self.bench("-i", "in.txt", "--workers", "1", "--json")  # the pack is there
        self.refused("vectors.npy", "bench", "-m", harness.toy_model(), "-i", "in.txt", code=7,
                     env=self.environment(),
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))

    def stop(self, seen, sign):
        """Sends a signal when `seen` says so of the names in the temporary folder; it ends with 4."""
        run = subprocess.Popen([harness.VECMILL, "bench", "-m", harness.toy_model(), "-i", "in.txt",
                                "--repeat", "1000"], cwd=self.dir, env=self.environment(),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        end = time.monotonic() + harness.WAIT_SECONDS
        while True:
            # A program under ThreadSanitizer makes and removes a file there as it starts.
            names = [name for entry in os.scandir(self.tmp) if entry.is_dir()
                     for name in ["folder", *os.listdir(entry.path)]]
            if seen(names):
                break
            self.assertIsNone(run.poll(), "it ended before")
            self.assertLess(time.monotonic(), end, f"never seen; {names}")
            time.sleep(0.001)
        run.send_signal(sign)
        out, err = run.communicate(timeout=harness.WAIT_SECONDS)
        self.assertEqual(run.returncode, 4, err)
        self.assertEqual(out, b"")
        self.assertIn(b"stopped", err)

    def test_stopped_as_it_begins(self):
        self.corpus(50000)
        self.stop(lambda names: "folder" in names, signal.SIGINT)

    def test_stopped_in_a_round(self):
        self.corpus(20000)
        self.stop(lambda names: "vectors.npy.part" in names, signal.SIGTERM)


class Latency(Bench):
    def test_latency(self):
        self.corpus()
        for args in ((), ("-i", "in.txt", "--threads", "3")):
            figures = self.bench("--latency", "--json", *args)
            self.assertEqual((figures["mode"], figures["precision"]), ("latency", "fp32"))
            lines = figures["lines"]
            self.assertEqual([line["tokens"] for line in lines][:4], [4, 16, 64, 256])
            self.assertEqual(lines[0]["threads"], 1)
            if args:
                self.assertEqual([line["threads"] for line in lines], [1] * 4 + [3] * 4)
            for line in lines:
                self.assertEqual(line["calls"], 1000)
                self.assertGreater(line["least_us"], 0)
                self.assertLessEqual(line["least_us"], line["p50_us"])
                self.assertLessEqual(line["p50_us"], line["p99_us"])
                self.assertGreaterEqual(line["mean_us"], line["least_us"])
                self.assertGreaterEqual(line["tokens_mean"], 3)
        self.assertRegex(self.bench("--latency", "--threads", "1"), r"(?m)^threads +tokens +p50 us")

    def test_no_words(self):
        self.file("in.txt", " \n")
        self.refused("no word", "bench", "-m", harness.toy_model(), "--latency", "-i", "in.txt", code=8,
                     env=self.environment())


class Accuracy(Bench):
    def test_fp32_against_itself(self):
        self.corpus()
        for args in ((), ("-i", "in.txt")):
            figures = self.bench("--accuracy", "--precision", "fp32", "--json", *args)
            line, = figures["precisions"]
            self.assertEqual(figures["texts"], 200 if args else figures["texts"])
            self.assertGreaterEqual(figures["texts"], 24)
            self.assertAlmostEqual(line["cosine_min"], 1, places=7)
            self.assertAlmostEqual(line["cosine_mean"], 1, places=7)
            self.assertTrue(line["same_bits"])
            self.assertIsNone(line["spearman"])
            self.assertRegex(line["identity"], r"^[0-9a-f]{32}$")
            self.assertGreater(line["pack_bytes"], 0)

    def test_every_precision(self):
        self.corpus()
        figures = self.bench("--accuracy", "-i", "in.txt", "--json")
        lines = {line["precision"]: line for line in figures["precisions"]}
        self.assertEqual(list(lines), ["fp32", "bf16", "int8"])
        for name, least in (("bf16", 0.9995), ("int8", 0.98)):
            self.assertFalse(lines[name]["same_bits"])
            self.assertGreater(lines[name]["cosine_min"], least)
            self.assertLessEqual(lines[name]["cosine_min"], lines[name]["cosine_mean"])
            self.assertLess(lines[name]["cosine_mean"], 1)
        packs = [line["pack_bytes"] for line in lines.values()]
        self.assertEqual(packs, sorted(packs, reverse=True))
        self.assertEqual(len({line["identity"] for line in lines.values()}), 3)

    def test_spearman_is_that_of_the_vectors(self):
        pairs = [(f"a cat number {i} sits", f"a {'dog' if i % 3 else 'cat'} number {i * 7 % 11} runs", i % 6)
                 for i in range(40)]
        with open(self.path("pairs.csv"), "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(pairs)
        figures = self.bench("--accuracy", "--precision", "fp32", "--stsb", "pairs.csv", "--json")
        self.file("in.txt", "".join(f"{text}\n" for pair in pairs for text in pair[:2]))
        self.embed("-i", "in.txt", "-o", "out.npy")
        npy = harness.Npy(self.path("out.npy"))
        cosines = [e2e_stsb.cosine(npy.row(2 * i), npy.row(2 * i + 1)) for i in range(len(pairs))]
        want = e2e_stsb.spearman(cosines, [pair[2] for pair in pairs])
        self.assertEqual(figures["pairs"], 40)
        self.assertAlmostEqual(figures["precisions"][0]["spearman"], want, places=5)

    def test_pairs_that_are_none(self):
        self.file("pairs.csv", "a,b,1\nc,d\n")
        self.refused("pairs.csv line 2", "bench", "-m", harness.toy_model(), "--accuracy", "--stsb", "pairs.csv",
                     code=8, env=self.environment())


@unittest.skipUnless(harness.REAL_MODEL, harness.NO_REAL_MODEL)
class RealModel(Bench):
    def test_job_of_the_real_model(self):
        self.corpus(60)
        figures, = self.run_vecmill("bench", "-m", harness.REAL_MODEL, "-i", "in.txt", "--json",
                                    env=self.environment()).objects()
        print(f"    {figures}", flush=True)
        self.check(figures)
        self.assertLessEqual(figures["peak_memory_bytes"], figures["plan_bytes"])

    @unittest.skipUnless(os.path.exists(e2e_stsb.DATA), f"{e2e_stsb.DATA} is not here")
    def test_spearman_of_the_real_model(self):
        figures, = self.run_vecmill("bench", "-m", harness.REAL_MODEL, "--accuracy", "--precision", "fp32",
                                    "--stsb", e2e_stsb.DATA, "--json", env=self.environment()).objects()
        line, = figures["precisions"]
        self.assertEqual(figures["pairs"], 1379)
        self.assertEqual(round(line["spearman"], 4), e2e_stsb.WANTED)
        self.assertAlmostEqual(line["cosine_min"], 1, places=7)


if __name__ == "__main__":
    harness.main()
