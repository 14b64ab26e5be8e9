"""What the peers' runners have in common: options, texts, the clock, and the JSON line they end with.

A runner is a program that is started anew for every measurement and runs in the peers' own virtual
environment. It defines one class and gives it to main():

    class Engine:
        def __init__(self, options, settings)   loads the model; settings: a dict, one of those tried
        def embed(self, texts)                  [n, width] float32, rows in the order of the texts
        def count(self, texts)                  tokens it computes for them, padding not counted

Three ways to run it. Plain: one settings; load, warm up, then the clock runs from opening the file of
texts to the vectors on disk; imports and loading are told apart and not counted, which is in the peer's
favour. --tune: each settings of the list in turn, in one process, the time of each. --cold: one text,
a line on stdout as soon as its vector is there; the caller has the clock."""

import argparse
import json
import time

STARTED = time.perf_counter()
WARM_UP = ['one sentence to begin with', 'and another one, which is a little longer than the first was']


def read_texts(path):
    with open(path, encoding='utf-8') as lines:
        return [json.loads(line)['text'] for line in lines]


def sorted_batches(encodings, size):
    """(rows, ids, mask) of batches of `size` documents of like length, the longest first, so that
    memory is taken once; ids and mask [size, longest of the batch] int64."""
    import numpy
    order = sorted(range(len(encodings)), key=lambda i: -len(encodings[i].ids))
    for first in range(0, len(order), size):
        rows = order[first:first + size]
        longest = len(encodings[rows[0]].ids)
        ids = numpy.zeros((len(rows), longest), numpy.int64)
        mask = numpy.zeros((len(rows), longest), numpy.int64)
        for i, row in enumerate(rows):
            ids[i, :len(encodings[row].ids)] = encodings[row].ids
            mask[i, :len(encodings[row].ids)] = 1
        yield rows, ids, mask


def open_tokenizer(options):
    """PyPI tokenizers, cut at the limit, not padded: batches pad to their own longest."""
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(f'{options.model}/tokenizer.json')
    tokenizer.no_padding()
    tokenizer.enable_truncation(options.max_length)
    return tokenizer


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument('--texts', required=True, help='JSONL with the key "text"')
    parser.add_argument('--model', required=True, help='the model, a folder as of Hugging Face')
    parser.add_argument('--onnx', help='an ONNX file of the model')
    parser.add_argument('--max-length', type=int, default=256)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--precision', default='fp32')
    parser.add_argument('--settings', default='[{}]', help='a JSON list of objects')
    parser.add_argument('--out', help='the vectors as .npy')
    parser.add_argument('--tune', action='store_true')
    parser.add_argument('--cold', action='store_true')
    return parser.parse_args()


def tune(engine_class, options, tried):
    texts, results = read_texts(options.texts), []
    for settings in tried:
        try:
            engine = engine_class(options, settings)
            engine.embed(WARM_UP)
            start = time.perf_counter()
            engine.embed(texts)
            results.append({'settings': settings, 'seconds': time.perf_counter() - start})
        except Exception as error:
            results.append({'settings': settings, 'seconds': None,
                            'reason': f'{type(error).__name__}: {error}'.splitlines()[0]})
    print(json.dumps({'tuned': results}))


def main(engine_class):
    options = parse()
    tried = json.loads(options.settings)
    if options.tune:
        tune(engine_class, options, tried)
        return
    engine = engine_class(options, tried[0])
    if options.cold:
        engine.embed(read_texts(options.texts)[:1])
        print('first', flush=True)
        return
    loaded = time.perf_counter()
    engine.embed(WARM_UP)
    import numpy

    start, busy = time.perf_counter(), time.process_time()
    texts = read_texts(options.texts)
    vectors = engine.embed(texts)
    if options.out:
        numpy.save(options.out, numpy.asarray(vectors, numpy.float32))
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    print(json.dumps({'documents': len(texts), 'seconds': seconds, 'seconds_processor': busy,
                      'tokens': engine.count(texts), 'load_seconds': loaded - STARTED}))
