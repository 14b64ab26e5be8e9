#!/usr/bin/env python3
"""Writes tests/data/late/maxsim.json, muvera.json and seeds.json: scores of late interaction by NumPy, and
encodings by FastEmbed's Muvera.

    python3 -m venv VENV && VENV/bin/pip install fastembed==0.9.1 numpy==2.4.6
    VENV/bin/python tools/make_golden_late.py

Inputs are of a formula (`values`), which tests/engine/test_late.c has too, so they are not in the files. NumPy
computes in float64. FastEmbed's planes are of NumPy's generator: those of seeds.json, which Python's tests read.
In muvera.json planes and signs are replaced by those of the formula."""
import json
import pathlib
from importlib.metadata import version

import numpy as np
from fastembed.postprocess import Muvera

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / 'tests' / 'data' / 'late'
MASK = (1 << 64) - 1

# dim, rows of the query, rows of each document: edges of tiles of 6 rows and of vectors, documents of no rows
# at the front, between and at the end, more rows than a tile has, more rows of a query than a panel.
MAXSIM = [
    (1, 1, [1]),
    (8, 1, [0, 3, 0, 0, 5, 1, 0]),
    (24, 5, [7, 1, 2, 30, 6, 12]),
    (96, 32, [1, 100, 60, 239, 240, 241, 17]),
    (128, 32, [100] * 8),
    (128, 70, [1, 600, 3]),
    (37, 130, [50, 0, 133]),
]

# dim, k_sim, dim_proj, r_reps, rows
MUVERA = [
    (8, 1, 8, 1, 1),
    (16, 3, 4, 2, 5),
    (24, 5, 16, 3, 40),
    (12, 4, 12, 2, 200),
    (33, 6, 7, 2, 3),
]


def values(seed, n):
    """n floats in [-1, 1), exact in fp32: the top 24 bits of SplitMix64 (Steele et al. 2014)."""
    out, state = [], seed << 32
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        out.append((z >> 40) / (1 << 23) - 1)
    return out


def maxsim_case(dim, n_query, lengths):
    query = np.array(values(1, n_query * dim)).reshape(n_query, dim)
    rows = np.array(values(2, sum(lengths) * dim)).reshape(-1, dim)
    ends = np.cumsum(lengths)
    scores = [(query @ rows[end - n:end].T).max(axis=1).sum() if n else None for n, end in zip(lengths, ends)]
    return {'dim': dim, 'n_query': n_query, 'lengths': lengths, 'scores': scores}


def muvera_case(dim, k_sim, dim_proj, r_reps, n):
    muvera = Muvera(dim, k_sim, dim_proj, r_reps)
    planes = np.array(values(3, r_reps * dim * k_sim)).reshape(r_reps, dim, k_sim)
    signs = np.where(np.array(values(4, r_reps * dim * dim_proj)) < 0, -1, 1).reshape(r_reps, dim, dim_proj)
    for projection, plane in zip(muvera.simhash_projections, planes):
        projection.simhash_vectors = plane
    muvera.dim_reduction_projections = signs
    rows = np.array(values(5, n * dim)).reshape(n, dim)
    return {'dim': dim, 'k_sim': k_sim, 'dim_proj': dim_proj, 'r_reps': r_reps, 'n': n,
            'document': sample(muvera.process_document(rows)), 'query': sample(muvera.process_query(rows))}


# Arguments of Muvera, seed of the vectors, how many.
SEEDS = [
    ({'dim': 128}, 1, 50),
    ({'dim': 24, 'k_sim': 3, 'dim_proj': 24, 'r_reps': 2, 'random_seed': 7}, 2, 6),
    ({'dim': 33, 'k_sim': 6, 'dim_proj': 5, 'r_reps': 3, 'random_seed': 8}, 3, 200),
]


def seeds_case(arguments, seed, n):
    muvera = Muvera(**arguments)
    vectors = np.random.default_rng(seed).standard_normal((n, muvera.dim))
    return {'arguments': arguments, 'seed': seed, 'n': n, 'embedding_size': muvera.embedding_size,
            'document': spread(muvera.process_document(vectors)), 'query': spread(muvera.process_query(vectors))}


def spread(encoding):
    """Fifty numbers from first to last, and the sum of all sizes."""
    return [*encoding[np.linspace(0, len(encoding) - 1, 50).astype(int)].tolist(), np.abs(encoding).sum()]


STEP = 7


def sample(encoding):
    """Every seventh number, and the sum of all."""
    return [round(x, 15) for x in encoding[::STEP].tolist()] + [encoding.sum()]


def write(name, cases, **more):
    made = {'made by': 'tools/make_golden_late.py', **more, 'cases': cases}
    lines = ',\n'.join(json.dumps(case) for case in made.pop('cases'))
    head = json.dumps(made)[:-1]
    (FOLDER / name).write_text(f'{head}, "cases": [\n{lines}\n]}}\n', encoding='utf-8')


FOLDER.mkdir(exist_ok=True)
write('maxsim.json', [maxsim_case(*case) for case in MAXSIM], numpy=version('numpy'))
write('muvera.json', [muvera_case(*case) for case in MUVERA], fastembed=version('fastembed'), step=STEP)
write('seeds.json', [seeds_case(*case) for case in SEEDS], fastembed=version('fastembed'), numpy=version('numpy'))
