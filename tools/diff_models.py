#!/usr/bin/env python3
"""Compares vecmill's models of tokenizers with PyPI tokenizers, words alone; prints `N compared, D different`.

    tools/diff_models.py --driver build/tests/text/encode_words [--count 100000] [--seed 1]
    tools/diff_models.py --driver build/tests/text/encode_words --tokenizer FILE [--texts FILE.jsonl]
                         [--times N]

Without --tokenizer: generated models, a few hundred words each. Vocabularies are small and of few
letters, so that ties, unknown characters and merges in every order meet. With --tokenizer (a
tokenizer.json, .gz or not): the words that the reference's own normalizer and pre-tokenizer make of
texts, and of random ones; --times N also measures both, on one thread, the fastest of N.
Pieces are ids and places. Exit status: 0 equal, 1 different, 77 not possible here.
"""
import argparse
import gzip
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PINNED = (ROOT / "tools" / "requirements-tokenizers.txt").read_text().strip()
SHOWN = 5  # differences printed whole
WORDS = 500  # of a generated model
ALPHABETS = ["ab", "abc", "abcdef", "aé日", "ab▁", "aéß日𝔘", "abcdefghijklmnop"]


def weighted(r, *choices):
    return r.choices([c for _, c in choices], [w for w, _ in choices])[0]


def text_of(r, letters, most):
    return "".join(r.choices(letters, k=r.randrange(1, most + 1)))


def byte_tokens(r, letters):
    """Tokens of bytes: of all letters, of most, or of none."""
    share = r.choice([0, 0.9, 1, 1])
    data = sorted({b for c in letters + "z本" for b in c.encode()})
    return [f"<0x{b:02X}>" for b in data if r.random() < share]


def unigram(r, letters):
    pieces = {text_of(r, letters, r.choice([2, 3, 6])) for _ in range(r.randrange(1, 40))}
    pieces |= {c for c in letters if r.random() < 0.8}
    if r.random() < 0.5:
        pieces |= set(byte_tokens(r, letters))
    digits = r.choice([0, 1, 5, 17, 18, 19, 25])
    step = r.choice([1, 1 / 3, 0.1, 2.7182818])

    def score(piece):
        kind = r.randrange(5)
        if kind == 0:
            return r.choice(["-3", "0", "-3.0", "-7.25", "1e-2", "-2.5E+0"])
        if kind < 3:  # ties: so much a letter, rounded otherwise for each length
            return repr(-len(piece) * step)
        return f"{r.uniform(-12, 0.5):.{digits}f}"

    vocab = [(p, score(p)) for p in sorted(pieces)]
    r.shuffle(vocab)
    unk = r.randrange(len(vocab) + 1)
    vocab.insert(unk, ("<unk>", r.choice(["0", "0.0", "-20.5"])))
    return '{"type":"Unigram","unk_id":%d,"byte_fallback":%s,"vocab":[%s]}' % (
        unk, json.dumps(r.random() < 0.5), ",".join(f"[{json.dumps(p)},{s}]" for p, s in vocab))


def bpe(r, letters):
    prefix, suffix = weighted(r, (6, ""), (1, "##"), (1, "é")), weighted(r, (6, ""), (2, "</w>"))
    known = [c for c in letters if r.random() < 0.9] or [letters[0]]
    fallback = not prefix and not suffix and r.random() < 0.4
    tokens = list(known)
    forms = [p + c + s for c in known for p in {"", prefix} for s in {"", suffix}]
    tokens += [f for f in forms if r.random() < 0.9]
    if fallback:
        tokens += byte_tokens(r, letters)
    unk = r.choice([None, None, "<unk>", known[0]])
    if unk and r.random() < 0.5:
        tokens.append(unk)
    tokens = list(dict.fromkeys(tokens))
    merges = []
    for _ in range(r.randrange(0, 60)):
        # A suffix is at the end of a word alone, so a token that has it cannot be the first of two.
        a = r.choice([t for t in tokens if not suffix or not t.endswith(suffix)] or tokens)
        b = r.choice(tokens)
        if len(b.encode()) < len(prefix.encode()) or not b.startswith(prefix):
            continue
        if len(a) + len(b) > 24:
            continue
        merges.append((a, b))
        tokens.append(a + b[len(prefix):])
    tokens = list(dict.fromkeys(tokens + ([unk] if unk else [])))
    if r.random() < 0.7:
        r.shuffle(merges)
    else:  # as training gives them, short tokens first
        merges.sort(key=lambda m: len(m[0]) + len(m[1]))
    if merges and r.random() < 0.2:
        merges.insert(r.randrange(len(merges)), r.choice(merges))
    ids = list(range(len(tokens)))
    if r.random() < 0.3:
        r.shuffle(ids)
    strings = r.random() < 0.5 and not any(" " in a + b for a, b in merges)
    return json.dumps({
        "type": "BPE", "dropout": None, "unk_token": unk, "continuing_subword_prefix": prefix or None,
        "end_of_word_suffix": suffix or None, "fuse_unk": r.random() < 0.5, "byte_fallback": fallback,
        "ignore_merges": r.random() < 0.3, "vocab": dict(zip(tokens, ids)),
        "merges": [f"{a} {b}" for a, b in merges] if strings else merges})


def wordpiece(r, letters):
    prefix = r.choice(["##", "", "a"])
    pieces = {p + text_of(r, letters, r.choice([1, 2, 4])) for p in ("", prefix)
              for _ in range(r.randrange(2, 30))}
    return json.dumps({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": prefix,
                       "max_input_chars_per_word": r.choice([1, 5, 20, 100]),
                       "vocab": {t: i for i, t in enumerate(["[UNK]", *sorted(pieces)])}})


def random_word(r, letters):
    foreign = letters + "z本"
    kind = r.randrange(12)
    if kind < 6:
        return text_of(r, letters, 12)
    if kind < 9:
        return text_of(r, foreign, 12)
    if kind == 9:
        return text_of(r, letters, 3) * r.randrange(1, 60)
    if kind == 10:
        return text_of(r, foreign, r.choice([64, 65, 66, 130, 300, 300, 4000]))
    return r.choice(["<unk>", "<0x61>", "##", "</w>", " "]) * r.randrange(1, 3) + text_of(r, foreign, 4)


def reference_of(model):
    import tokenizers
    return tokenizers.Tokenizer.from_str(
        '{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,'
        f'"pre_tokenizer":null,"post_processor":null,"decoder":null,"model":{model}}}').model


def packed(words):
    return b"".join(struct.pack("<I", len(w)) + w for w in (w.encode() for w in words))


def run_driver(driver, path, words):
    """[[(id, start, end)]] as the driver gives them."""
    done = subprocess.run([driver, path], input=packed(words), stdout=subprocess.PIPE, check=True).stdout
    out, at = [], 0
    for _ in words:
        n, = struct.unpack_from("<I", done, at)
        flat = struct.unpack_from(f"<{3 * n}I", done, at + 4)
        out.append(list(zip(flat[0::3], flat[1::3], flat[2::3])))
        at += 4 + 12 * n
    assert at == len(done)
    return out


def compare(reference, driver, path, words, name, shown):
    different = 0
    for word, got in zip(words, run_driver(driver, path, words)):
        want = [(t.id, *t.offsets) for t in reference.tokenize(word)]
        if want == got:
            continue
        different += 1
        if shown + different <= SHOWN:
            print(f"different ({name}): {word!a}\n  reference {want}\n  vecmill   {got}")
    return different


def generated(arguments, folder):
    r = random.Random(arguments.seed)
    compared = different = models = 0
    path = os.path.join(folder, "model.json")
    while compared < arguments.count:
        letters = r.choice(ALPHABETS)
        model = r.choice([unigram, bpe, bpe, wordpiece])(r, letters)
        pathlib.Path(path).write_text(model, encoding="utf-8")
        words = [random_word(r, letters) for _ in range(min(WORDS, arguments.count - compared))]
        found = compare(reference_of(model), arguments.driver, path, words, f"model {models}", different)
        if found and different < SHOWN:
            print(f"  {model}")
        different += found
        compared += len(words)
        models += 1
    print(f"seed {arguments.seed}, {models} models")
    return compared, different


def words_of(tokenizer, texts):
    """What the reference gives to its model."""
    words = []
    for text in texts:
        if tokenizer.normalizer:
            text = tokenizer.normalizer.normalize_str(text)
        parts = tokenizer.pre_tokenizer.pre_tokenize_str(text) if tokenizer.pre_tokenizer else [(text, 0)]
        words += [w for w, _ in parts if w]
    return words


def measure(arguments, reference, path, words):
    done = subprocess.run([arguments.driver, path, str(arguments.times)], input=packed(words),
                          stdout=subprocess.PIPE, check=True).stdout.decode().split()
    ours, n_bytes, n_pieces = float(done[-2]), int(done[2]), int(done[4])
    best = min(timed(reference, words) for _ in range(arguments.times))
    print(f"{len(words)} words, {n_bytes} bytes, {n_pieces} pieces: vecmill {n_pieces / ours:.3g} pieces/s, "
          f"{1e9 * ours / n_bytes:.1f} ns a byte; tokenizers through Python {n_pieces / best:.3g}")


def timed(reference, words):
    began = time.process_time()
    for word in words:
        reference.tokenize(word)
    return time.process_time() - began


def real(arguments, folder):
    import tokenizers
    name = arguments.tokenizer
    data = (gzip.open if name.endswith(".gz") else open)(name, "rb").read()
    path = os.path.join(folder, "tokenizer.json")
    pathlib.Path(path).write_bytes(data)
    tokenizer = tokenizers.Tokenizer.from_str(data.decode())
    texts_file = arguments.texts or ROOT / "tests" / "data" / "reference" / "texts.jsonl"
    with (gzip.open if str(texts_file).endswith(".gz") else open)(texts_file, "rt", encoding="utf-8") as f:
        texts = [json.loads(line)["text"] for line in f]
    r = random.Random(arguments.seed)
    letters = "".join(chr(r.choice([r.randrange(0x20, 0x7F), r.randrange(0xA0, 0x600),
                                    r.randrange(0x3000, 0xD7A4), r.randrange(0x1F300, 0x1F700)]))
                      for _ in range(2000))
    some = [text_of(r, letters, 30) for _ in range(500)]
    some += [text_of(r, r.choice(texts) or "a", 40) for _ in range(500)]
    real_words = words_of(tokenizer, texts)
    words = real_words + words_of(tokenizer, some) + [
        "a" * 3000, "ab" * 2000, "9" * 5000, "▁" * 300, "Ġ" * 300, "é" * 1000, "the" * 500]
    different = compare(tokenizer.model, arguments.driver, path, words, name, 0)
    if arguments.times:
        measure(arguments, tokenizer.model, path, real_words)
    return len(words), different


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--driver", required=True, help="the program tests/text/encode_words")
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tokenizer", help="a tokenizer.json or tokenizer.json.gz")
    parser.add_argument("--texts", help="JSON lines with a member text")
    parser.add_argument("--times", type=int, default=0)
    arguments = parser.parse_args()
    try:
        import tokenizers
    except ImportError as e:
        print(f"skipped: {e}; pip install -r tools/requirements-tokenizers.txt")
        sys.exit(77)
    if PINNED != f"tokenizers=={tokenizers.__version__}":
        print(f"skipped: tokenizers {tokenizers.__version__} is here, {PINNED} is pinned")
        sys.exit(77)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vecmill-diff-") as folder:
        compared, different = (real if arguments.tokenizer else generated)(arguments, folder)
    print(f"{PINNED}, {time.monotonic() - began:.0f} s")
    print(f"{compared} compared, {different} different")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
