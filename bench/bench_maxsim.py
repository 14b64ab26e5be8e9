#!/usr/bin/env python3
"""MaxSim against NumPy: one query of 32 vectors, documents of 100 vectors of 128, all of length 1.

    python3 bench/bench_maxsim.py [--documents 10000] [--rounds 7] [--threads 2]

With a Python that has the package installed. Each round times all in turn, so that what else the machine does
meets them alike; printed are the median and the best. NumPy's own products take OPENBLAS_NUM_THREADS threads,
which is set to --threads. Scores of all are compared."""
import argparse
import os
import statistics
import time

parser = argparse.ArgumentParser()
parser.add_argument("--documents", type=int, default=10000)
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()
os.environ["OPENBLAS_NUM_THREADS"] = str(args.threads)  # read when NumPy is loaded

import numpy as np  # noqa: E402

import vecmill  # noqa: E402

QUERY, ROWS, DIM = 32, 100, 128
rng = np.random.default_rng(20261201)


def unit(n):
    rows = rng.standard_normal((n, DIM), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


query, rows = unit(QUERY), unit(args.documents * ROWS)
offsets = np.arange(args.documents + 1) * ROWS


def equal_lengths():
    return (rows.reshape(args.documents, ROWS, DIM) @ query.T).max(axis=1).sum(axis=1)


def any_lengths():
    return np.maximum.reduceat(rows @ query.T, offsets[:-1], axis=0).sum(axis=1)


ways = {
    "NumPy, documents of one length": equal_lengths,
    "NumPy, of any length (reduceat)": any_lengths,
    "vecmill.maxsim": lambda: vecmill.maxsim(query, rows, offsets, threads=args.threads),
}
seconds = {name: [] for name in ways}
want = None
for _ in range(args.rounds):
    for name, way in ways.items():
        start = time.perf_counter()
        scores = way()
        seconds[name].append(time.perf_counter() - start)
        want = scores if want is None else want
        np.testing.assert_allclose(scores, want, rtol=2e-6)
print(f"{args.documents} documents of {ROWS} x {DIM}, a query of {QUERY}, {args.threads} threads, {args.rounds} rounds")
for name, took in seconds.items():
    middle = statistics.median(took)
    print(f"  {name:32} {middle * 1e3:7.1f} ms, best {min(took) * 1e3:6.1f}; {args.documents / middle:8.0f} documents/s")
