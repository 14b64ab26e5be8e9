#!/usr/bin/env python3
"""Times tokenizers: tokens a second, next to PyPI tokenizers, and time against bytes for ordinary and hostile text.

    tools/time_tokenizer.py --driver build/tests/text/encode_stream [--texts FILE.jsonl] [--no-reference] DIR...

DIR has a tokenizer.json, .gz or not. Ordinary text: the members "text" of a file of JSON lines (default: the
reference texts), one by one. Then one document of 1 KiB to 1 MiB of each kind: ordinary text, one letter, pairs of
letters, letters at random, digits, blanks, a mark of punctuation, combining marks, Chinese characters at random. One
thread, processor time, the fastest of three. Figures in nanoseconds a byte."""

import argparse
import gzip
import json
import os
import pathlib
import random
import struct
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SIZES = (1 << 10, 1 << 14, 1 << 17, 1 << 20)
TIMES = 3
MOST_TOKENS = 1 << 20


def kinds(texts):
    """name -> a text of 1 MiB."""
    r = random.Random(1)
    size = SIZES[-1]
    ordinary = " ".join(texts)
    ordinary *= size // len(ordinary.encode()) + 1
    return {
        "ordinary": ordinary, "a": "a" * size, "ab": "ab" * (size // 2),
        "letters": "".join(r.choices("abcdefghijklmnopqrstuvwxyz", k=size)), "9": "9" * size, "blank": " " * size,
        ".": "." * size, "marks": "e" + "\u0301\u0316" * (size // 4),
        "Chinese": "".join(chr(r.randrange(0x4E00, 0x9FA0)) for _ in range(size // 3)),
    }


def driver(arguments, folder, texts):
    """[(bytes, tokens, seconds)]"""
    data = b"".join(struct.pack("<II", len(t), MOST_TOKENS) + t for t in texts)
    done = subprocess.run([arguments.driver, folder, str(TIMES)], input=data, stdout=subprocess.PIPE, check=True)
    return [(int(b), int(n), float(s)) for b, n, s in (line.split() for line in done.stdout.splitlines())]


def reference(path, texts):
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(path)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    best = None
    for _ in range(TIMES):
        began = time.process_time()
        n = sum(len(e.ids) for e in tokenizer.encode_batch_fast(texts))
        took = time.process_time() - began
        best = min(best or took, took)
    return n, best


def cut(text, size):
    return text.encode()[:size].decode(errors="ignore").encode()


def measure(arguments, folder, name, texts, documents):
    rows = driver(arguments, folder, [t.encode() for t in texts])
    total, tokens, seconds = (sum(column) for column in zip(*rows))
    print(f"{name}: {tokens / seconds / 1e6:.2f} million tokens/s, {1e9 * seconds / total:.1f} ns a byte", end="")
    if not arguments.no_reference:
        n, took = reference(os.path.join(folder, "tokenizer.json"), texts)
        print(f"; tokenizers {n / took / 1e6:.2f} million, {took / seconds:.1f} times the time", end="")
    print(flush=True)
    rows = iter(driver(arguments, folder, [cut(t, s) for t in documents.values() for s in SIZES]))
    for kind in documents:
        figures = " ".join(f"{1e9 * s / b:8.1f}" for b, _, s in (next(rows) for _ in SIZES))
        print(f"    {kind:10} {figures}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--driver", required=True, help="the program tests/text/encode_stream")
    parser.add_argument("--texts", default=ROOT / "tests" / "data" / "reference" / "texts.jsonl")
    parser.add_argument("--no-reference", action="store_true")
    parser.add_argument("folders", nargs="+", metavar="DIR")
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with open(arguments.texts, encoding="utf-8") as f:
        texts = [json.loads(line)["text"] for line in f]
    documents = kinds(texts)
    print("ns a byte of a document of", ", ".join(map(str, SIZES)), "bytes")
    for folder in map(pathlib.Path, arguments.folders):
        with tempfile.TemporaryDirectory(prefix="vecmill-time-") as scratch:
            if (folder / "tokenizer.json").exists():
                measure(arguments, str(folder), folder.name, texts, documents)
                continue
            data = gzip.decompress((folder / "tokenizer.json.gz").read_bytes())
            (pathlib.Path(scratch) / "tokenizer.json").write_bytes(data)
            measure(arguments, scratch, folder.name, texts, documents)


if __name__ == "__main__":
    main()
