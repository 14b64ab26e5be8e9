"""The STS benchmark (English, test): Spearman's rank correlation of all-MiniLM-L6-v2 is 0.8203.

The figure is the model card's (82.03, sentence-transformers' documentation of its pretrained models).
Cosine of the two sentences' vectors against the human score; ties have average ranks.
"""

import csv
import math
import os
import unittest

import harness

WANTED = 0.8203
DATA = os.path.join(harness.SHARED, "data", "stsb", "en-test.csv")


def ranks(values):
    """Ranks from 1, ties sharing the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    found = [0.0] * len(values)
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and values[order[last + 1]] == values[order[first]]:
            last += 1
        for i in order[first:last + 1]:
            found[i] = (first + last) / 2 + 1
        first = last + 1
    return found


def pearson(a, b):
    mean_a, mean_b = math.fsum(a) / len(a), math.fsum(b) / len(b)
    top = math.fsum((x - mean_a) * (y - mean_b) for x, y in zip(a, b))
    return top / math.sqrt(math.fsum((x - mean_a) ** 2 for x in a) *
                           math.fsum((y - mean_b) ** 2 for y in b))


def spearman(a, b):
    return pearson(ranks(a), ranks(b))


def cosine(a, b):
    return math.fsum(x * y for x, y in zip(a, b)) / math.sqrt(
        math.fsum(x * x for x in a) * math.fsum(y * y for y in b))


class Spearman(unittest.TestCase):
    def test_by_hand(self):
        self.assertEqual(ranks([10, 30, 20, 20]), [1, 4, 2.5, 2.5])
        self.assertAlmostEqual(spearman([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]), 0.8)
        self.assertAlmostEqual(spearman([1, 2, 2, 3], [1, 2, 2, 9]), 1)


@unittest.skipUnless(harness.REAL_MODEL, harness.NO_REAL_MODEL)
@unittest.skipUnless(os.path.exists(DATA), f"{DATA} is not here")
class Stsb(harness.Case):
    def test_spearman_to_four_digits(self):
        with open(DATA, newline="", encoding="utf-8") as file:
            pairs = [(row[0], row[1], float(row[2])) for row in csv.reader(file)]
        self.assertEqual(len(pairs), 1379)
        self.file("in.jsonl", [text for pair in pairs for text in pair[:2]])
        self.embed("-i", "in.jsonl", "-o", "out.npy", model=harness.REAL_MODEL)
        npy = harness.Npy(self.path("out.npy"))
        scores = [cosine(npy.row(2 * i), npy.row(2 * i + 1)) for i in range(len(pairs))]
        found = spearman(scores, [pair[2] for pair in pairs])
        print(f"    Spearman {found:.6f}", flush=True)
        self.assertEqual(round(found, 4), WANTED)


if __name__ == "__main__":
    harness.main()
