#!/usr/bin/env python3
"""Writes tests/base/utf8_golden.inc: byte strings and what Python's errors="replace" makes of them.

    python3 tools/make_golden_utf8.py > tests/base/utf8_golden.inc
"""
import itertools
import platform
import random

edges = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF,
         0xF0, 0xF1, 0xF4, 0xF5, 0xFF]
rng = random.Random(1)
cases = [bytes(p) for p in itertools.product(edges, repeat=1)]
cases += [bytes(p) for p in itertools.product(edges[3:], repeat=2)][::3]
cases += [bytes(rng.choice(edges) for _ in range(rng.randint(3, 9))) for _ in range(120)]
cases += ["aé漢🙂\u0000".encode()[: n] for n in range(1, 11)]


def c_string(data):
    return '"' + "".join("\\x%02x" % b for b in data) + '"'


print("/* made by tools/make_golden_utf8.py, Python %s: { bytes, count, repaired, count, bad bytes } */"
      % platform.python_version())
for data in cases:
    text = data.decode("utf-8", "replace")
    out = text.encode()
    # Bytes that belong to valid characters: those that survive errors="ignore".
    good = len(data.decode("utf-8", "ignore").encode())
    print("{%s, %d, %s, %d, %d}," % (c_string(data), len(data), c_string(out), len(out), len(data) - good))
