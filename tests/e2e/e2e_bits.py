"""The same text has the same bits: alone, among others, in any order, with any --batch-tokens."""

import random
import unittest

import harness


def texts(n):
    """Documents of very different lengths, odd ones among them, always the same."""
    random_ = random.Random(20)
    words = ["cat", "river", "the", "of", "un", "believable", "ümlaut", "漢字", "42", "!", "\u0301", "zebra"]
    made = ["", " ", "nul \0 here", "cat", "\ufffd"]
    while len(made) < n:
        made.append(" ".join(random_.choices(words, k=random_.choice([1, 2, 5, 11, 40, 130, 400]))))
    return made


class Bits(harness.Case):
    model = None
    count = 150
    batches = ("1", "16", "48", "100", "333", "1024", "65536")

    def rows(self, documents, *args):
        self.file("in.jsonl", documents)
        self.embed("-i", "in.jsonl", "-o", "out.npy", *args, model=self.model)
        npy = harness.Npy(self.path("out.npy"))
        return [npy.raw(i) for i in range(npy.n)]

    def test_any_order(self):
        documents = texts(self.count)
        want = dict(zip(documents, self.rows(documents)))
        for seed in range(2):
            random.Random(seed).shuffle(documents)
            for text, row in zip(documents, self.rows(documents)):
                self.assertEqual(row, want[text], text[:60])

    def test_any_batch_tokens(self):
        documents = texts(self.count)
        want = self.rows(documents)
        for batch in self.batches:
            self.assertEqual(self.rows(documents, "--batch-tokens", batch), want, batch)

    def test_alone(self):
        documents = texts(self.count)
        want = self.rows(documents)
        for i in [*range(5), *range(5, len(documents), 23)]:
            self.assertEqual(self.rows(documents[i:i + 1]), want[i:i + 1], documents[i][:60])

    def test_again(self):
        documents = texts(self.count)
        self.assertEqual(self.rows(documents), self.rows(documents))

    def test_the_same_text_twice(self):
        documents = texts(40)
        rows = self.rows(documents + documents)
        self.assertEqual(rows[:40], rows[40:])


@unittest.skipUnless(harness.REAL_MODEL, harness.NO_REAL_MODEL)
class RealBits(Bits):
    model = harness.REAL_MODEL
    count = 40
    batches = ("1", "100", "333", "4096")


class ToyCls(Bits):
    def setUp(self):
        super().setUp()
        self.model = harness.toy(self.path("cls"), "--pooling", "cls", "--seed", "3")
        self.count = 60


if __name__ == "__main__":
    harness.main()
