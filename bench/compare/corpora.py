"""The texts of the comparison: four corpora, each a JSONL file {"id": ..., "text": ...}.

Promises that within a corpus every text is there once (exact duplicates are removed, so nobody gains by
computing one text twice or by remembering it), that the order is a fixed shuffle, so that the first n
documents are a fair sample of it for any n, and that the same sources give the same bytes.

    abstracts   the Cranfield abstracts, or any JSONL of long texts with a key "text"
    sentences   the sentences of STS-b, dev and test
    mixed       as many of each, in no order: padding costs most here
    packages    descriptions out of Debian's package index (apt-cache dumpavail), as many as wanted

It knows nothing of tokens or programs."""

import csv
import json
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = ('abstracts', 'sentences', 'mixed', 'packages')
SEED = 20260101
SAFE_FIELD_BYTES = 1 << 20


class Missing(Exception):
    """A corpus that cannot be had here, with the reason."""


def distinct(texts):
    """The texts that are not empty, each once, in the order in which they first come."""
    return list(dict.fromkeys(text for text in texts if text.strip()))


def shuffled(texts):
    texts = list(texts)
    random.Random(SEED).shuffle(texts)
    return texts


def interleaved(short, long):
    """As many of the short as of the long, in a fixed random order."""
    n = min(len(short), len(long))
    return shuffled(distinct(short[:n] + long[:n]))


def read_jsonl(path):
    path = Path(path)
    if not path.is_file():
        raise Missing(f'{path} is not here')
    with path.open(encoding='utf-8') as lines:
        return [json.loads(line)['text'] for line in lines if line.strip()]


def read_pairs(folder):
    """Both sentences of each line `sentence,sentence,score` of en-dev.csv and en-test.csv."""
    csv.field_size_limit(SAFE_FIELD_BYTES)
    texts = []
    for name in ('en-dev.csv', 'en-test.csv'):
        path = Path(folder) / name
        if not path.is_file():
            raise Missing(f'{path} is not here')
        with path.open(encoding='utf-8', newline='') as lines:
            for row in csv.reader(lines):
                texts.extend(row[:2])
    return texts


def read_packages():
    sys.path.insert(0, str(ROOT / 'tools'))
    import corpus_debian
    try:
        run = subprocess.run(['apt-cache', 'dumpavail'], stdout=subprocess.PIPE, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Missing(f'apt-cache dumpavail: {error}') from error
    lines = run.stdout.decode('utf-8', 'replace').splitlines(keepends=True)
    found = [text for _, text in corpus_debian.packages(lines)]
    if not found:
        raise Missing('the package index is empty: run `apt-get update`')
    return found


def texts_of(name, where):
    """The texts of a corpus, distinct and shuffled. where: .abstracts, .sentences, .packages (count)."""
    if name == 'abstracts':
        return shuffled(distinct(read_jsonl(where.abstracts)))
    if name == 'sentences':
        return shuffled(distinct(read_pairs(where.sentences)))
    if name == 'mixed':
        return interleaved(texts_of('sentences', where), texts_of('abstracts', where))
    if name == 'packages':
        # Sorted first: the index's own order may be another on another day.
        return shuffled(sorted(distinct(read_packages())))[:where.packages]
    raise Missing(f'there is no corpus {name}; there are: {", ".join(NAMES)}')


def write(texts, path):
    """Writes texts as JSONL, whole or not at all; ids are the places in the corpus."""
    part = Path(f'{path}.part')
    with part.open('w', encoding='utf-8') as file:
        for i, text in enumerate(texts):
            file.write(json.dumps({'id': str(i), 'text': text}, ensure_ascii=False) + '\n')
    part.replace(path)
    return Path(path)
