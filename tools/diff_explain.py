#!/usr/bin/env python3
"""Compares `vecmill tokenize --explain` and `--pairs` with PyPI tokenizers; prints `N compared, D different`.

    tools/diff_explain.py --vecmill build/vecmill [--model-dir DIR] [--count 60] [--seed 1]

COUNT texts for each of the small tokenizers of tools/stage_tokenizers.py, and, of DIR with BERT's
tokenizer.json, for the configurations of tools/diff_tokenizer.py: what the normalizer made, the pieces and
their bytes, ids, each token's bytes; and half as many pairs: ids, type ids, whether they were cut. Where an
added token is in a text, normalizer and pre-tokenizer cannot be asked for it through Python, and ids and
bytes alone are compared. Exit status: 0 equal, 1 different, 77 not possible here.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from diff_tokenizer import PINNED, SHOWN, Texts, configurations, of_stages, replaced_bytes

LONGEST = 32768   # tokens; no text has as many
PAIR_LONGEST = 40


def byte_ranges(text, offsets):
    at = [0]
    for c in text:
        at.append(at[-1] + len(c.encode()))
    return [[at[a], at[b]] for a, b in offsets]


def texts_of(reference, added, ids):
    """As the file has them. An encoding's have the text that a unigram model does not know, and id_to_token
    has normalized text of added tokens."""
    return [added.get(i) or reference.id_to_token(i) for i in ids]


def explained(tokenizers, reference, added, text):
    """What --explain has to print, as far as it can be asked for."""
    e = reference.encode(text)
    ranges = byte_ranges(text, e.offsets)
    want = {"ids": e.ids, "tokens": texts_of(reference, added, e.ids), "truncated": False,
            "ranges": [None if special else r for special, r in zip(e.special_tokens_mask, ranges)]}
    if any(i in added and not special for i, special in zip(e.ids, e.special_tokens_mask)):
        return want
    pieces, whole = tokenizers.PreTokenizedString(text), tokenizers.NormalizedString(text)
    if reference.normalizer:
        reference.normalizer.normalize(whole)
        pieces.normalize(reference.normalizer.normalize)
    if reference.pre_tokenizer:
        reference.pre_tokenizer.pre_tokenize(pieces)
    want["normalized"] = whole.normalized
    want["pieces"] = [{"text": p, "range": list(r)} for p, r, _ in
                      pieces.get_splits(offset_referential="original", offset_type="byte") if p]
    return want


def forgive_whole(want, got):
    """A text that is not split is a piece of the whole text there, also of what the normalizer took off its ends."""
    if len(want.get("pieces", ())) == len(got["pieces"]) == 1:
        (a, b), (start, end) = want["pieces"][0]["range"], got["pieces"][0]["range"]
        if a <= start <= end <= b:
            want["pieces"][0]["range"] = [start, end]


def paired(reference, added, query, text):
    e = reference.encode(query, text)
    return {"ids": e.ids, "type_ids": e.type_ids, "tokens": texts_of(reference, added, e.ids), "truncated": bool(e.overflowing)}


def run(vecmill, folder, documents, *options):
    lines = "".join(json.dumps(d) + "\n" for d in documents)
    done = subprocess.run([vecmill, "tokenize", "-m", folder, "--input-format", "jsonl", *options],
                          input=lines.encode(), stdout=subprocess.PIPE, check=True).stdout
    out = [json.loads(line) for line in done.splitlines()]
    assert len(out) == len(documents)
    return out


class Difference:
    def __init__(self):
        self.n = 0

    def look(self, name, document, want, got):
        different = [key for key in want if got.get(key) != want[key]]
        if not different:
            return
        self.n += 1
        if self.n <= SHOWN:
            key = different[0]
            print(f"different ({name}), {key}: {document}\n  reference {want[key]}\n  vecmill   {got.get(key)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vecmill", required=True, help="the program")
    parser.add_argument("--model-dir", help="a folder with tokenizer.json of BERT")
    parser.add_argument("--count", type=int, default=60, help="texts for each tokenizer")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    try:
        import tokenizers
    except ImportError as e:
        print(f"skipped: {e}; pip install -r tools/requirements-tokenizers.txt")
        sys.exit(77)
    if PINNED != f"tokenizers=={tokenizers.__version__}":
        print(f"skipped: tokenizers {tokenizers.__version__} is here, {PINNED} is pinned")
        sys.exit(77)

    every = of_stages() + (configurations(arguments.model_dir) if arguments.model_dir else [])
    texts = Texts(arguments.seed, sorted({t["content"] for _, c in every for t in c["added_tokens"]}))
    difference, compared, whole, pairs = Difference(), 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="vecmill-explain-") as folder:
        for name, config in every:
            (pathlib.Path(folder) / "tokenizer.json").write_text(json.dumps(config), encoding="utf-8")
            reference = tokenizers.Tokenizer.from_file(str(pathlib.Path(folder) / "tokenizer.json"))
            added = {t["id"]: t["content"] for t in config["added_tokens"]}
            batch = [replaced_bytes(texts.one())[0] for _ in range(arguments.count)]
            for text, got in zip(batch, run(arguments.vecmill, folder, [{"text": t} for t in batch],
                                            "--explain", "--max-length", str(LONGEST))):
                want = explained(tokenizers, reference, added, text)
                forgive_whole(want, got)
                whole += "pieces" in want
                compared += 1
                difference.look(name, ascii(text), want, got)
            reference.enable_truncation(PAIR_LONGEST)
            batch = [{"query": a, "text": b} for a, b in zip(batch[::2], batch[1::2])]
            for d, got in zip(batch, run(arguments.vecmill, folder, batch, "--pairs",
                                         "--max-length", str(PAIR_LONGEST))):
                compared += 1
                pairs += 1
                difference.look(name + ", pairs", ascii(d), paired(reference, added, d["query"], d["text"]), got)
    print(f"seed {arguments.seed}, {len(every)} tokenizers, {whole} texts with all steps, {pairs} pairs, {PINNED}")
    print(f"{compared} compared, {difference.n} different")
    assert whole > compared // 4
    sys.exit(1 if difference.n else 0)


if __name__ == "__main__":
    main()
