#!/usr/bin/env python3
"""Chooses the 64 reference texts that the tree holds from the 542, with their ids and vectors.

    tools/make_reference_subset.py [--source ../shared/data/reference] [--target tests/data/reference]

The same source gives the same bytes. The rows of the source are of three kinds, and each has its rule:

 - 500 to 541, written as edges (empty, blank, NUL, controls, scripts, emoji, unknown words, ...): all.
 - 200 to 499, captions of videos: two with the same words, the shortest and the longest.
 - 0 to 199, abstracts: only those in REPORTS. Of them those that exceed the limit of 256 tokens share a
   quarter of the places: the longest, the shortest, and others evenly between. The rest have 89 to 255
   tokens, and are taken evenly from the fewest to the most, both included.

What a choice must cover is counted and printed; it is refused when something is missing. Lines and vectors
are copied as they are, in the order of the source, so that one reader reads both.

Of all-mpnet-base-v2 too (--mpnet), for those of the 64 whose rows are in MPNET: the source has the others in
float16."""

import argparse
import json
import struct
import sys
import unicodedata
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
N = 64
LIMIT = 256
DIM, MPNET_DIM = 384, 768
UNKNOWN = 100  # the id of [UNK]
MPNET = (*range(100), *range(500, 542))  # the rows of expected_f32_first100_last42.npy
CAPTIONS, EDGES = range(200, 500), range(500, 542)
# Reports of NACA and NASA by their own staff: works of the United States government. Row r is number r + 1 of
# the Cranfield collection, whose field `bib` says "naca tn.4115, 1957." and the like.
REPORTS = (50, 51, 52, 55, 56, 58, 59, 60, 61, 63, 64, 65, 66, 67, 68, 69, 70, 71, 73, 74, 75, 76, 77, 78, 79,
           80, 160, 162, 163, 186, 193)


class Row:
    def __init__(self, number, line):
        self.number, self.line = number, line
        said = json.loads(line)
        self.text, self.ids = said['text'], said['ids']
        self.categories = {unicodedata.category(c) for c in self.text}
        self.names = ' '.join(unicodedata.name(c, '') for c in self.text)


# What the choice must hold. A row at the limit was cut: no text has exactly 256 tokens.
COVERED = {
    'empty': lambda row: not row.text,
    'blank': lambda row: row.text and not row.text.strip(),
    'one character': lambda row: len(row.text) == 1,
    'over the limit, cut': lambda row: len(row.ids) == LIMIT,
    'a NUL': lambda row: '\0' in row.text,
    'other controls': lambda row: 'Cc' in row.categories and '\0' not in row.text,
    'format characters': lambda row: 'Cf' in row.categories,
    'private use': lambda row: 'Co' in row.categories,
    'line separators': lambda row: row.categories & {'Zl', 'Zp'},
    'combining marks': lambda row: 'Mn' in row.categories,
    'emoji': lambda row: 'EMOJI' in row.names or 'FACE' in row.names,
    'beyond the first plane': lambda row: any(ord(c) > 0xFFFF for c in row.text),
    'Latin with accents': lambda row: 'WITH ACUTE' in row.names,
    'Arabic': lambda row: 'ARABIC' in row.names,
    'Chinese': lambda row: 'CJK UNIFIED' in row.names,
    'Devanagari': lambda row: 'DEVANAGARI' in row.names,
    'Hangul': lambda row: 'HANGUL' in row.names,
    'Japanese': lambda row: 'HIRAGANA' in row.names,
    'Thai': lambda row: 'THAI' in row.names,
    'capitals only': lambda row: row.text.isupper() and row.text.isascii(),
    'digits, a third': lambda row: 3 * sum(c.isdigit() for c in row.text) > len(row.text) > 3,
    'an address': lambda row: '://' in row.text or '@' in row.text,
    'code-like punctuation': lambda row: '{' in row.text,
    'the name of a special token': lambda row: '[CLS]' in row.text,
    'a word over 100 characters': lambda row: any(len(word) > 100 for word in row.text.split()),
    'unknown, half of its own tokens': lambda row: 2 * row.ids.count(UNKNOWN) >= len(row.ids) - 2 > 0,
    'a sentence': lambda row: row.number in CAPTIONS,
    'a paragraph within the limit': lambda row: row.number < CAPTIONS.start and len(row.ids) < LIMIT,
}


def evenly(rows, n):
    """n of them, the first and the last included."""
    return [rows[i * (len(rows) - 1) // (n - 1)] for i in range(n)]


def choose(rows):
    chosen = [rows[i] for i in EDGES]
    captions = sorted((rows[i] for i in CAPTIONS), key=lambda row: (len(row.text), row.number))
    (common, _), = Counter(row.text for row in captions).most_common(1)
    chosen += [row for row in captions if row.text == common][:2] + [captions[0], captions[-1]]
    n_reports = N - len(chosen)
    reports = [rows[i] for i in REPORTS]
    cut = sorted((row for row in reports if len(row.ids) == LIMIT), key=lambda row: (-len(row.text), row.number))
    whole = sorted((row for row in reports if len(row.ids) < LIMIT), key=lambda row: (len(row.ids), row.number))
    chosen += evenly(cut, n_reports // 4) + evenly(whole, n_reports - n_reports // 4)
    return sorted(chosen, key=lambda row: row.number)


def read_vectors(path, n, dim):
    """(header, the n vectors' bytes)"""
    data = path.read_bytes()
    start = 10 + struct.unpack_from('<H', data, 8)[0]
    size = 4 * dim
    if f"'<f4', 'fortran_order': False, 'shape': ({n}, {dim})".encode() not in data[:start] or \
            len(data) != start + n * size:
        sys.exit(f'{path} is not {n} rows of {dim} floats')
    return data[:start], [data[start + i * size:start + (i + 1) * size] for i in range(n)]


def write_vectors(path, source, dim, numbers, chosen):
    """Of the source, whose rows are those of `numbers`, the chosen ones."""
    header, vectors = read_vectors(source, len(numbers), dim)
    rows = {number: vector for number, vector in zip(numbers, vectors)}
    was, now = f'({len(numbers)}, {dim})'.encode(), f'({len(chosen)}, {dim})'.encode()
    header = header[:-1].rstrip(b' ').replace(was, now).ljust(len(header) - 1) + b'\n'
    path.write_bytes(header + b''.join(rows[number] for number in chosen))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--source', type=Path, default=ROOT.parent / 'shared' / 'data' / 'reference')
    parser.add_argument('--target', type=Path, default=ROOT / 'tests' / 'data' / 'reference')
    parser.add_argument('--mpnet', type=Path, default=ROOT.parent / 'shared' / 'data' / 'real' / 'all-mpnet-base-v2')
    options = parser.parse_args()
    lines = (options.source / 'texts.jsonl').read_bytes().split(b'\n')[:-1]
    rows = [Row(number, line) for number, line in enumerate(lines)]

    chosen = choose(rows)
    counts = {what: sum(bool(of(row)) for row in chosen) for what, of in COVERED.items()}
    for what, count in counts.items():
        print(f'{count:3} {what}')
    assert len({row.number for row in chosen}) == N and all(counts.values()), 'the choice lacks something'

    options.target.mkdir(parents=True, exist_ok=True)
    (options.target / 'texts.jsonl').write_bytes(b''.join(row.line + b'\n' for row in chosen))
    numbers = [row.number for row in chosen]
    write_vectors(options.target / 'minilm-l6-v2.npy', options.source / 'minilm-l6-v2.npy', DIM,
                  [row.number for row in rows], numbers)
    write_vectors(options.target / 'all-mpnet-base-v2.npy', options.mpnet / 'expected_f32_first100_last42.npy',
                  MPNET_DIM, MPNET, [number for number in numbers if number in MPNET])
    print(f'{N} of {len(rows)} texts, {sum(len(row.ids) for row in chosen)} tokens, in {options.target}')


if __name__ == '__main__':
    main()
