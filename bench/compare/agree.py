"""Cosines of two .npy files, row by row, over the rows both have: {"mean", "least", "rows"} as JSON.

    agree.py VECTORS.npy REFERENCE.npy

So one sees that all compute the same thing, and what a lower precision costs. Runs in the peers'
environment, which has numpy."""

import json
import sys

import numpy

a, b = (numpy.load(path, mmap_mode='r') for path in sys.argv[1:3])
rows = min(len(a), len(b))
a, b = a[:rows].astype(numpy.float64), b[:rows].astype(numpy.float64)
cosines = (a * b).sum(1) / (numpy.linalg.norm(a, axis=1) * numpy.linalg.norm(b, axis=1))
print(json.dumps({'mean': float(cosines.mean()), 'least': float(cosines.min()), 'rows': rows}))
