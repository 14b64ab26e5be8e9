#!/usr/bin/env python3
"""The same script under FastEmbed and under vecmill's Python package, in turn: only the import differs.

    python_faces.py --model FOLDER --onnx FOLDER --texts FILE [--documents 300] [--rounds 3] [--json FILE]

To be run with the python of an environment that holds both packages. FOLDER of --onnx: what make_onnx.py wrote, with
model.onnx and the tokenizer's files (docs/BENCH.md). --texts: a document a line, or JSONL with the key "text".

Printed for each way to embed: documents/s (of the generator alone, the model being open), the largest PSS of the
process tree, the seconds of the import (beyond NumPy's), and cold start: from the start of the process to the
first vector. Rounds are interleaved; medians, and the ratios run by run."""

import argparse
import json
import os
import statistics
import sys

import measure

SCRIPT = '''
import json, sys, time
import numpy
how = json.loads(sys.argv[1])
began = time.perf_counter()
if how["package"] == "fastembed":
    from fastembed import TextEmbedding
else:
    from vecmill import TextEmbedding
imported = time.perf_counter() - began
model = TextEmbedding("sentence-transformers/all-MiniLM-L6-v2", specific_model_path=how["folder"], **how["options"])
texts = json.load(open(how["texts"]))
next(iter(model.embed(texts[:1])))
print("first", flush=True)
began = time.perf_counter()
n = sum(1 for _ in model.embed(texts, **how["embed"]))
print(json.dumps({"import_seconds": imported, "documents": n, "seconds": time.perf_counter() - began}))
'''

WAYS = [
    ('default', {}),
    ('batch_size=8', {'batch_size': 8}),
    ('parallel=2', {'parallel': 2, 'batch_size': 64}),
]


def read_texts(path, n):
    with open(path, encoding='utf-8') as file:
        lines = [json.loads(line)['text'] if path.endswith('.jsonl') else line.rstrip('\n') for line in file]
    return list(dict.fromkeys(lines))[:n]


def one(package, folder, texts, embed, cpus):
    how = {'package': package, 'folder': folder, 'texts': texts, 'embed': embed,
           'options': {} if package == 'vecmill' else {'local_files_only': True}}
    outcome = measure.run_quiet([sys.executable, '-c', SCRIPT, json.dumps(how)], cpus)
    if outcome.returncode:
        raise SystemExit(f'{package}: {outcome.reason()}')
    told = json.loads(outcome.lines[-1])
    return told | {'peak_bytes': outcome.peak_bytes, 'first_seconds': outcome.first_seconds, 'quiet': outcome.quiet}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', required=True)
    parser.add_argument('--onnx', required=True)
    parser.add_argument('--texts', required=True)
    parser.add_argument('--documents', type=int, default=300)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--json')
    options = parser.parse_args()
    folders = {'vecmill': options.model, 'fastembed': options.onnx}
    cpus = set(sorted(os.sched_getaffinity(0))[:2])
    path = os.path.join(os.environ.get('TMPDIR', '/tmp'), f'python-faces-{os.getpid()}.json')
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(read_texts(options.texts, options.documents), file)
    results = []
    try:
        for number in range(options.rounds):
            for way, embed in WAYS:
                for package in folders:
                    told = one(package, folders[package], path, embed, cpus)
                    results.append(told | {'round': number, 'way': way, 'package': package})
                    print(f'# round {number + 1}, {way}, {package}: {told["documents"] / told["seconds"]:.1f} '
                          f'documents/s{"" if told["quiet"] else " (disturbed)"}', file=sys.stderr)
    finally:
        os.unlink(path)
    print(f'| {"way":12} | package   | documents/s | peak memory | import | first vector | vecmill is |')
    print('|---|---|---|---|---|---|---|')
    for way, _ in WAYS:
        rate = {p: [r['documents'] / r['seconds'] for r in results if (r['way'], r['package']) == (way, p)]
                for p in folders}
        ratios = [a / b for a, b in zip(rate['vecmill'], rate['fastembed'])]
        for package in folders:
            mine = [r for r in results if (r['way'], r['package']) == (way, package)]
            middle = {key: statistics.median(r[key] for r in mine)
                      for key in ('peak_bytes', 'import_seconds', 'first_seconds')}
            said = f'{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})' \
                if package == 'vecmill' else ''
            print(f'| {way:12} | {package:9} | {statistics.median(rate[package]):.1f} | '
                  f'{middle["peak_bytes"] / 1e6:.0f} MB | {middle["import_seconds"] * 1e3:.0f} ms | '
                  f'{middle["first_seconds"] * 1e3:.0f} ms | {said} |')
    if options.json:
        with open(options.json, 'w', encoding='utf-8') as file:
            json.dump(results, file, indent=1)


if __name__ == '__main__':
    main()
