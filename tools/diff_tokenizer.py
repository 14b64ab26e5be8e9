#!/usr/bin/env python3
"""Compares vecmill's tokenizer with PyPI tokenizers on generated texts; prints `N compared, D different`.

    tools/diff_tokenizer.py --driver build/tests/text/encode_stream --model-dir DIR
                            [--count 4000] [--seed 1]
    tools/diff_tokenizer.py --driver build/tests/text/encode_stream --stages | --any DIR...

DIR holds a tokenizer.json (uncased BERT, say). Its vocabulary and one of single characters (where
[UNK] hides no difference) are run through several configurations and truncations. --stages: small
tokenizers with other stages (tools/stage_tokenizers.py). --any: tokenizers of any kind, as they are
(tokenizer.json or tokenizer.json.gz); --count is then of each. Texts are random
Unicode weighted to the classes that matter, mutations of real text, invalid UTF-8, pieces of added
tokens, long words and long runs of marks. Exit status: 0 equal, 1 different, 77 not possible here.
"""
import argparse
import codecs
import json
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent
PINNED = (ROOT / "tools" / "requirements-tokenizers.txt").read_text().strip()
SHOWN = 5  # differences printed whole
BATCH = 20000  # texts a run of the driver
LIMITS = (8, 256, 512, 4096)

SENTENCES = """\
The quick brown fox jumps over the lazy dog, and nobody asked why.
An experimental study of a wing in a propeller slipstream was made at Mach 0.85.
Ça va? Où étais-tu l'été dernier, à Besançon ou à Orléans?
Der Übermut tut selten gut; große Füße brauchen größere Schuhe.
Привет, мир! Сегодня в Москве минус десять.
私は昨日、東京で寿司を食べました。
대한민국의 수도는 서울이다.
في البداية كانت الكلمة، ثم جاء الصمت.
हिन्दी में कुछ शब्द और संख्याएँ १२३।
Tiếng Việt có nhiều dấu: ắ ằ ẳ ẵ ặ.
e-mail: a.b+c@example.org, https://example.org/x?y=1&z=2#frag
𝔘𝔫𝔦𝔠𝔬𝔡𝔢 👩‍👩‍👧‍👦 🏳️‍🌈 ½ ﬁ Ⅷ ㎏ ①""".split("\n")


def real_texts():
    """A few sentences, with Cranfield and STS-b where both are, else with the reference texts of the tree."""
    shared = pathlib.Path(os.environ.get("VECMILL_SHARED") or ROOT.parent / "shared") / "data"
    cranfield, stsb = shared / "cranfield.jsonl", shared / "stsb" / "en-test.csv"
    whole = cranfield.exists() and stsb.exists()
    source = cranfield if whole else ROOT / "tests" / "data" / "reference" / "texts.jsonl"
    texts = list(SENTENCES)
    with open(source, encoding="utf-8", newline="\n") as f:
        texts += [json.loads(line)["text"] for line in f]
    if whole:
        with open(stsb, encoding="utf-8") as f:
            texts += [line.strip() for line in f]
    print(f"real text: {len(texts)}, from {shared if whole else source.parent}")
    return texts


def exception_points():
    """Code points that src/text/unicode_exceptions.inc names."""
    table = (ROOT / "src" / "text" / "unicode_exceptions.inc").read_text()
    points = set()
    for body in re.findall(r"exception_(?!pages|word)\w+\[\] = \{(.*?)\n\};", table, re.S):
        for first, last in re.findall(r"\{0x([0-9A-F]+), 0x([0-9A-F]+)\}", body):
            points |= set(range(int(first, 16), int(last, 16) + 1))
        points |= {int(c, 16) for c in re.findall(r"\{0x([0-9A-F]+), \d", body)}
    return sorted(points)


def scalar(points):
    return "".join(chr(c) for c in points if not 0xD800 <= c <= 0xDFFF)


def character_classes():
    """Strings to draw characters from, with weights."""
    spaces = "\t\n\v\f\r \x1c\x1f\x85\xa0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000\u180e\u200b"
    # Spacing marks and newer marks that survive strip_accents though they are no starters.
    survivors = scalar(c for c in range(0x300, 0x1F000)
                       if unicodedata.combining(chr(c)) and unicodedata.category(chr(c)) != "Mn")
    return [
        (30, "abcdefghijklmnopqrstuvwxyz"), (8, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"), (6, "0123456789"),
        (10, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), (14, " "), (4, spaces),
        (2, scalar(range(0x20)) + scalar(range(0x7F, 0xA0))), (8, scalar(range(0xC0, 0x250))),
        (8, scalar(range(0x300, 0x370))), (2, scalar(range(0x1DC0, 0x1E00))),
        (3, scalar(range(0x370, 0x530))), (2, scalar(range(0x590, 0x780))),
        (3, scalar(range(0x900, 0x1000))), (2, scalar(range(0x1E00, 0x2000))),
        (3, scalar(range(0x2000, 0x2070)) + scalar(range(0x20D0, 0x2100))),
        (3, scalar(range(0x3000, 0x3100))), (3, scalar(range(0xAC00, 0xD7A4, 7))),
        (2, scalar(range(0x1100, 0x1200))), (4, scalar(range(0x4E00, 0xA000, 5))),
        (2, scalar([0x33FF, 0x3400, 0x4DBF, 0x4DC0, 0x4DFF, 0x4E00, 0x9FFF, 0xA000, 0xF8FF, 0xF900,
                    0xFAFF, 0xFB00, 0x1FFFF, 0x20000, 0x2A6DF, 0x2A6E0, 0x2A6FF, 0x2A700, 0x2B81F,
                    0x2B820, 0x2B91F, 0x2B920, 0x2CEAF, 0x2CEB0, 0x2F7FF, 0x2F800, 0x2FA1F,
                    0x2FA20])),
        (2, scalar(range(0xF900, 0xFB50)) + scalar(range(0x2F800, 0x2FA20, 3))),
        (3, survivors), (6, scalar(exception_points())), (2, "\0\ufffd\ufffe\uffff\u0130\u0131ßẞΣςσ"),
        (3, scalar(range(0x1F300, 0x1F650)) + "\u200d\ufe0f\u20e3"),
        (2, scalar(range(0x10000, 0x12000))), (1, scalar(range(0xE000, 0xE100)) + "\U000f0000"),
        (3, scalar(random.Random(0).sample(range(0x110000), 20000))),
    ]


class Texts:
    """The generator; the same seed gives the same texts."""

    def __init__(self, seed, added):
        self.random = random.Random(seed)
        self.classes = character_classes()
        self.weights = [w for w, _ in self.classes]
        self.real = real_texts()
        self.added = added

    def characters(self, n):
        r = self.random
        return "".join(r.choice(c) for _, c in r.choices(self.classes, self.weights, k=n))

    def mutated(self):
        r = self.random
        text = r.choice(self.real)
        start = r.randrange(len(text) + 1)
        text = list(text[start:start + r.randrange(200)])
        for _ in range(r.randrange(6)):
            at = r.randrange(len(text) + 1)
            kind = r.randrange(5)
            if kind == 0:
                text[at:at] = self.characters(r.randrange(1, 4))
            elif kind == 1:
                del text[at:at + r.randrange(1, 5)]
            elif kind == 2:
                text[at:at + 8] = "".join(text[at:at + 8]).upper()
            elif kind == 3:
                text[at:at] = r.choice(self.added)
            else:
                text[at:at] = text[:at][-r.randrange(1, 9):]
        return "".join(text)

    def pieces(self):
        r = self.random
        out = []
        for _ in range(r.randrange(1, 12)):
            token = r.choice(self.added)
            kind = r.randrange(8)
            if kind < 4:
                out.append(token)
            elif kind == 4:
                out.append(token[:r.randrange(len(token) + 1)])
            elif kind == 5:
                out.append(token.swapcase())
            elif kind == 6:
                out.append(unicodedata.normalize(r.choice(["NFC", "NFD"]), token))
            else:
                out.append(self.characters(r.randrange(1, 3)))
            out.append(r.choice(["", "", " ", "  ", "a", "-", "\t", "\u0301", "é"]))
        return "".join(out)

    def long_word(self):
        r = self.random
        n = r.choice([9, 10, 11, 98, 99, 100, 101, 102, 150, 600])
        letter = r.choice(["a", "un", "é", "e\u0301", "ab\u0308", "\u0130", "한", "x1"])
        word = (letter * n)[:n]
        return r.choice(["", "a ", "x"]) + word + r.choice(["", " b", ".", "\u0301", "\x00z"])

    def run_of_marks(self):
        r = self.random
        marks = "".join(r.choice(self.classes[i][1])
                        for i in r.choices([8, 9, 21, 21, 22], k=r.randrange(2, 40)))
        return r.choice(["a", "", "é", "한", " "]) + marks + r.choice(["", "b", " c", "\u0301"])

    def one(self):
        """A text as bytes."""
        r = self.random
        kind = r.randrange(20)
        if kind < 7:
            text = self.characters(r.choice([1, 2, 3, 8, 20, 60]))
        elif kind < 12:
            text = self.mutated()
        elif kind < 15:
            text = self.pieces()
        elif kind == 15:
            text = self.long_word()
        elif kind == 16:
            text = self.run_of_marks()
        else:
            data = bytearray((self.characters(20) if kind == 17 else self.mutated()).encode())
            for _ in range(r.randrange(1, 5)):
                at = r.randrange(len(data) + 1)
                if r.random() < 0.5:
                    data[at:at + r.randrange(3)] = b""
                else:
                    data[at:at] = bytes(r.choices(b"\x80\xbf\xc0\xc2\xe0\xed\xa0\x9f\xf0\xf4\x8f"
                                                  b"\x90\xf5\xff\xe2\x82a", k=r.randrange(1, 4)))
            return bytes(data)
        return text.encode()


def added_token(content, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": False, **flags}


ADDED = [
    added_token("<one>", single_word=True), added_token("<one><one>"), added_token("ab"),
    added_token("abc"), added_token("bcd"), added_token("<left>", lstrip=True),
    added_token("<right>", rstrip=True), added_token("\ufffd\ufffd", single_word=True),
    added_token("ÉTÉ", normalized=True), added_token("qqq", normalized=True, single_word=True),
    added_token("qq", normalized=True), added_token("x.y", normalized=True, lstrip=True),
    added_token("z", normalized=True, rstrip=True), added_token("of", single_word=True),
]
SPACED = [
    added_token("two words", normalized=True), added_token("two", normalized=True),
    added_token(" of ", normalized=True), added_token("e\u0301t", normalized=True),
    added_token("of t", single_word=True), added_token(" a"), added_token("\u0301", special=True),
    added_token("中文", normalized=True, rstrip=True),
]


def configurations(model_dir):
    """(name, tokenizer.json) of everything that is compared."""
    base = json.loads((pathlib.Path(model_dir) / "tokenizer.json").read_text(encoding="utf-8"))
    base["truncation"] = base["padding"] = None
    specials = [t["content"] for t in base["added_tokens"]]
    points = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF
              and (unicodedata.category(chr(c)) not in ("Cn", "Co") or c % 997 == 0)
              and not (0x3400 <= c <= 0x9FFF or 0xAC00 <= c <= 0xD7A3 or c >= 0x20000) or c % 41 == 0]
    points = sorted((set(points) | set(exception_points())) - {0} - set(range(0xD800, 0xE000)))
    characters = {t: i for i, t in enumerate(specials)}
    for c in points:
        characters.setdefault(chr(c), len(characters))
    for c in points:
        characters.setdefault("##" + chr(c), len(characters))

    def make(vocab=None, added=(), word=None, **flags):
        out = json.loads(json.dumps(base))
        out["normalizer"].update(flags)
        if vocab:
            out["model"]["vocab"] = vocab
            for t in out["added_tokens"]:
                t["id"] = vocab[t["content"]]
            for t in out["post_processor"]["special_tokens"].values():
                t["ids"] = [vocab[x] for x in t["tokens"]]
        if word:
            out["model"]["max_input_chars_per_word"] = word
        n = len(out["model"]["vocab"])
        for t in added:
            known = out["model"]["vocab"].get(t["content"])
            out["added_tokens"].append({"id": n if known is None else known, **t})
            n += known is None
        return out

    cased = dict(lowercase=False)
    return [
        ("as it is", base),
        ("characters", make(characters)),
        ("cased", make(**cased)),
        ("cased characters", make(characters, **cased)),
        ("characters, strip_accents false", make(characters, strip_accents=False)),
        ("characters, cased, strip_accents true", make(characters, strip_accents=True, **cased)),
        ("handle_chinese_chars false", make(handle_chinese_chars=False)),
        ("characters, handle_chinese_chars false", make(characters, handle_chinese_chars=False)),
        ("characters, clean_text false", make(characters, clean_text=False)),
        ("characters, no flag", make(characters, clean_text=False, handle_chinese_chars=False,
                                     strip_accents=False, lowercase=False)),
        ("added tokens", make(added=ADDED, word=10)),
        ("characters, cased, added tokens", make(characters, ADDED, **cased)),
        ("added tokens with spaces", make(added=SPACED)),
        ("characters, clean_text false, added tokens with spaces",
         make(characters, SPACED, clean_text=False)),
    ]


def of_stages():
    import stage_tokenizers
    return stage_tokenizers.combinations(stage_tokenizers.train(SENTENCES * 3))


def as_they_are(folders):
    import gzip
    out = []
    for folder in map(pathlib.Path, folders):
        plain, packed = folder / "tokenizer.json", folder / "tokenizer.json.gz"
        text = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
        out.append((folder.name, {**json.loads(text), "truncation": None, "padding": None}))
    return out


def replaced_bytes(data):
    count = 0

    def handler(e):
        nonlocal count
        count += e.end - e.start
        return "\ufffd", e.end

    codecs.register_error("count", handler)
    text = data.decode("utf-8", "count")
    assert text == data.decode("utf-8", "replace")
    return text, count


def run_driver(driver, folder, texts, limit):
    """[(ids, truncated, replaced)] as the driver gives them."""
    data = b"".join(struct.pack("<II", len(t), limit) + t for t in texts)
    done = subprocess.run([driver, folder], input=data, stdout=subprocess.PIPE, check=True).stdout
    out, at = [], 0
    for _ in texts:
        n, truncated, replaced = struct.unpack_from("<IIQ", done, at)
        out.append((list(struct.unpack_from(f"<{n}i", done, at + 16)), bool(truncated), replaced))
        at += 16 + 4 * n
    assert at == len(done)
    return out


def compare(reference, driver, folder, name, texts, limit, shown):
    """How many of the texts differ."""
    decoded = [replaced_bytes(t) for t in texts]
    reference.enable_truncation(limit)
    expected = reference.encode_batch([t for t, _ in decoded])
    different = 0
    for data, (text, replaced), want, got in zip(texts, decoded, expected,
                                                 run_driver(driver, folder, texts, limit)):
        truncated = bool(want.overflowing)
        equal = want.ids == got[0] and truncated == got[1]
        if equal and (got[2] == replaced or truncated and got[2] < replaced):
            continue
        different += 1
        if shown + different <= SHOWN:
            print(f"different ({name}, at most {limit}): {text!a} from {data!r}\n"
                  f"  reference {want.ids} truncated {truncated} replaced {replaced}\n"
                  f"  vecmill   {got[0]} truncated {got[1]} replaced {got[2]}")
    return different


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--driver", required=True, help="the program tests/text/encode_stream")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model-dir", help="a folder with tokenizer.json of BERT")
    what.add_argument("--stages", action="store_true", help="small tokenizers with stages")
    what.add_argument("--any", nargs="+", help="folders with tokenizer.json")
    parser.add_argument("--count", type=int, default=4000)
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

    began = time.monotonic()
    if arguments.model_dir:
        every = configurations(arguments.model_dir)
        added = ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]"] + [t["content"] for t in ADDED + SPACED]
    else:
        every = of_stages() if arguments.stages else as_they_are(arguments.any)
        added = sorted({t["content"] for _, c in every for t in c["added_tokens"]})
        arguments.count *= len(every)
    texts = Texts(arguments.seed, added)
    compared = different = 0
    with tempfile.TemporaryDirectory(prefix="vecmill-diff-") as folder:
        references = []
        for i, (_, config) in enumerate(every):
            path = pathlib.Path(folder) / str(i)
            path.mkdir()
            (path / "tokenizer.json").write_text(json.dumps(config), encoding="utf-8")
            references.append(tokenizers.Tokenizer.from_file(str(path / "tokenizer.json")))
        turn = 0
        if not arguments.model_dir:
            print(f"{len(every)} tokenizers, {arguments.count // len(every)} texts each")
        share = min(BATCH, -(-arguments.count // len(every)))
        while compared < arguments.count:
            i, limit = turn % len(every), LIMITS[(turn + turn // len(every)) % len(LIMITS)]
            batch = [texts.one() for _ in range(min(share, arguments.count - compared))]
            different += compare(references[i], arguments.driver, str(pathlib.Path(folder) / str(i)),
                                 every[i][0], batch, limit, different)
            compared += len(batch)
            turn += 1
    print(f"seed {arguments.seed}, {len(every)} configurations, {PINNED}, "
          f"{time.monotonic() - began:.0f} s")
    print(f"{compared} compared, {different} different")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
