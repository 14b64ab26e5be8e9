"""Documents over --max-length: cut, failed, or split into windows, through the program."""

import json
import math

import harness

CONTENT = 62  # the toy's 64 positions without [CLS] and [SEP]
STRIDE = CONTENT - CONTENT // 4
WORDS = ["the", "which", "many", ",", "time", "a", "7", "other", "z", "."]  # a token each


def words(n, first=0):
    return [WORDS[(i * i + i // 7) % len(WORDS)] for i in range(first, first + n)]


def windows(text):
    """Cut by hand, as docs/MODEL.md says."""
    first = 0
    while True:
        yield text[first:first + CONTENT]
        if first + CONTENT >= len(text):
            return
        first += STRIDE


class Long(harness.Case):
    def rows(self, texts, *args, code=0):
        self.file("in.jsonl", texts)
        run = self.embed("-i", "in.jsonl", "-o", "out.npy", "--progress", "json", *args, code=code)
        return harness.Npy(self.path("out.npy")), self.summary(run)

    def summary(self, run):
        return [json.loads(line) for line in run.err.splitlines()
                if line.startswith("{") and '"summary"' in line][-1]

    def mean(self, text):
        """The row of a split text, out of the rows of its windows, and the tokens of all of them."""
        parts = list(windows(text))
        npy, summary = self.rows([" ".join(part) for part in parts])
        self.assertEqual((npy.n, summary["truncated"]), (len(parts), 0))
        total = [0.0] * npy.dim
        for i, part in enumerate(parts):
            total = [t + len(part) * x for t, x in zip(total, npy.row(i))]
        length = math.sqrt(math.fsum(t * t for t in total))
        return [t / length for t in total], sum(len(part) + 2 for part in parts)

    def close(self, row, want):
        self.assertLess(max(abs(a - b) for a, b in zip(row, want)), 1e-6)

    def test_the_three_policies(self):
        texts = [" ".join(words(n)) for n in (5, CONTENT, CONTENT + 1, 7, 500)]
        whole, summary = self.rows(texts, "--long", "truncate")
        self.assertEqual(summary["truncated"], 2)
        self.assertEqual(summary["tokens"], 7 + 64 + 64 + 9 + 64)
        self.assertEqual(self.rows(texts)[0].bytes, whole.bytes, "truncate is the default")

        failed, summary = self.rows(texts, "--long", "error", code=3)
        self.assertEqual((summary["truncated"], summary["failed"]), (0, 2))
        self.assertEqual([error["index"] for error in self.lines("out.npy.errors.jsonl")], [2, 4])
        self.assertIn("64", self.lines("out.npy.errors.jsonl")[0]["reason"])

        split, summary = self.rows(texts, "--long", "split")
        self.assertEqual((summary["truncated"], summary["failed"]), (0, 0))
        self.assertFalse(self.exists("out.npy.errors.jsonl"))
        for i in range(len(texts)):
            long = i in (2, 4)
            self.assertEqual(failed.is_zero(i), long, i)
            self.assertEqual(split.raw(i) != whole.raw(i), long, i)
            if not long:
                self.assertEqual(failed.raw(i), whole.raw(i), i)
        tokens = 7 + 64 + 9
        for i, n in ((2, CONTENT + 1), (4, 500)):
            want, computed = self.mean(words(n))
            self.close(split.row(i), want)
            tokens += computed
        self.assertEqual(summary["tokens"], tokens)

    def test_a_megabyte(self):
        text = words(330_000)
        joined = " ".join(text)
        self.assertGreater(len(joined), 1_000_000)
        want, computed = self.mean(text)
        among = ["", "a cat", joined, "the time", " ".join(words(100)), joined]
        npy, summary = self.rows(among, "--long", "split", "--workers", "1")
        self.assertEqual((summary["failed"], summary["truncated"]), (0, 0))
        self.assertEqual(summary["deaths"], {})
        self.close(npy.row(2), want)
        self.assertEqual(npy.raw(2), npy.raw(5))
        for args in (("--workers", "3"), ("--batch-tokens", "1"), ("--batch-tokens", "333")):
            self.assertEqual(self.rows(among, "--long", "split", *args)[0].bytes, npy.bytes, args)
        alone, summary = self.rows([joined], "--long", "split")
        self.assertEqual(alone.raw(0), npy.raw(2))
        self.assertEqual(summary["tokens"], computed)

    def test_max_length_cuts_the_windows(self):
        text = [" ".join(words(40))]
        rows = {self.rows(text, "--long", "split", "--max-length", n)[0].bytes
                for n in ("3", "10", "33", "42", "64")}
        self.assertEqual(len(rows), 4, "42 and 64 hold it whole")

    def test_tokenize_has_no_policy(self):
        self.refused("--long", "tokenize", "-m", harness.toy_model(), "--long", "split")
        run = self.run_vecmill("tokenize", "-m", harness.toy_model(), stdin=" ".join(words(100)).encode())
        self.assertEqual((len(run.objects()[0]["ids"]), run.objects()[0]["truncated"]), (64, True))


if __name__ == "__main__":
    harness.main()
