#!/usr/bin/env python3
"""Writes tests/text/models_golden.inc: small models of tokenizers, words, and the pieces of PyPI tokenizers.

    tools/make_golden_models.py

Each case shows one rule of docs/TOKENIZER.md. Needs the version that tools/requirements-tokenizers.txt
pins.
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests" / "text" / "models_golden.inc"
PINNED = (ROOT / "tools" / "requirements-tokenizers.txt").read_text().strip()


def unigram(pieces, **members):
    return {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], *map(list, pieces)], **members}


def bpe(tokens, merges=(), **members):
    return {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "vocab": {t: i for i, t in enumerate(tokens)}, "merges": list(merges), **members}


LETTERS = list("abcdef")
# A word of a's merges at every level; the last levels come first.
LEVELS = bpe(["a" * 2 ** i for i in range(8)] + ["b", "ab", "ba"],
             [f"{'a' * 2 ** i} {'a' * 2 ** i}" for i in range(7)] + ["a b", "b a"])
BYTES = [f"<0x{b:02X}>" for b in "é日".encode()]

# Words are in single quotes, apart by blanks; \0 is a blank inside.
MODELS = {
    "unigram": (unigram([
        ("a", -1.0), ("b", -1.25), ("c", -2.0), ("ab", -2.0), ("abc", -5.0), ("bc", -3.25), ("▁", -3.0),
        ("▁a", -3.5), ("é", -4.0), ("cc", -4.0), ("xy", -30.0)]),
        "a b ab abc abcabc ▁ab é éa z az za zzz azza xy xyz zxy <unk> a<unk>b z<unk> <unk><unk>z ccc"),
    "ties": (unigram([
        ("a", -1), ("aa", -2), ("aaa", -3), ("b", -1.5), ("ba", -2.5), ("ab", -2.5), ("bab", -4.0)]),
        "aa aaa aaaaaaa ab ba bab abab babab aabaa"),
    # Sums of thirds are rounded, and each way to cut is rounded otherwise.
    "rounded": (unigram([("9", -3.3333333333333335), ("99", -6.666666666666667),
                         ("999", -10.000000000000002), ("9999", -13.333333333333334), ("▁9", -4.1)]),
                "9 99 999 9999 99999 999999 9999999 ▁999999999 " + "9" * 61),
    "unk_score": (unigram([("a", -7.5), ("ab", -35.0), ("abc", -35.1), ("xyz", -17.5)]),
                  "b ab abc xyz xyzxyz axyz xzy"),
    "positive": (unigram([("a", 5.0), ("b", 20.0), ("cd", 20.0), ("cde", 21.0)]), "cd cde cdcd abcd"),
    "fallback": (unigram([("a", -1.0), *((t, -2.0) for t in BYTES), ("<0x41>", -3.0)],
                         byte_fallback=True),
                 "a é 日 é日 a日a éz日 z A ÉA <0x41> 日本"),
    "no_fallback": (unigram([("a", -1.0), *((t, -2.0) for t in BYTES)]), "a é 日 aéa <0xC3>"),
    "bpe": (bpe([*LETTERS, "ab", "abc", "bc", "cd", "abcd", "de", "é", "éa"],
                ["a b", "c d", "ab c", "b c", "ab cd", "d e", "é a"]),
            "a ab abc abcd bcd abcde abde aab éab aé abcdabcd deab cdcd"),
    "levels": (LEVELS, f"{'a' * 3} {'a' * 5} {'a' * 64} {'a' * 127} {'a' * 300} {'ab' * 40} {'ba' * 90} b{'a' * 70}b"),
    "late_first": (bpe(["a", "b", "ab", "ba", "aba", "abab", "bab"],
                       ["ab ab", "a ba", "a b", "b ab", "b a"]),
                   f"ab aba abab bab ababab {'ab' * 50} {'aab' * 40}"),
    "left_out": (bpe(["a", "b", "ab", "abab"], ["a b", "ab ab"]), "ab azb z zab abz azzb abzab aébzab"),
    "unk": (bpe(["<unk>", "a", "b", "ab", "<unk>a"], ["a b", "<unk> a"], unk_token="<unk>"),
            "ab azb z zz azzb zzab éz aé <unk>"),
    "fused_unk": (bpe(["<unk>", "a", "b", "ab", "b<unk>"], ["a b", "b <unk>"], unk_token="<unk>",
                      fuse_unk=True),
                  "ab azb z zz azzb zzab bzz éz"),
    "bpe_fallback": (bpe(["<unk>", "a", "b", "ab", *BYTES, "<0xC3><0xA9>"],
                         ["a b", "<0xC3> <0xA9>"], unk_token="<unk>", byte_fallback=True),
                     "é aéb 日 zé zéa zzéa éz éé 本 日本 z日é"),
    "fused_fallback": (bpe(["<unk>", "a", *BYTES], [], unk_token="<unk>", byte_fallback=True,
                           fuse_unk=True),
                       "zé zéz zézéa aézz 本é日z"),
    "prefix": (bpe(["a", "b", "##a", "##b", "##c", "ab", "##bc", "abc", "##ab"],
                   ["a ##b", "##b ##c", "a ##bc", "ab ##c", "##a ##b"], continuing_subword_prefix="##"),
               "a ab abc aab cab bab c abab"),
    "suffix": (bpe(["a", "b", "a</w>", "b</w>", "ab</w>", "aab</w>", "ab", "</w>", "é</w>", "<unk>"],
                   ["a b</w>", "a ab</w>", "a b"], end_of_word_suffix="</w>", unk_token="<unk>"),
               "a b ab aab aba abab é aé éa ab</w> c"),
    "both": (bpe(["a", "##b", "##b</w>", "a</w>", "ab</w>", "ab", "abb</w>"],
                 ["a ##b</w>", "a ##b", "ab ##b</w>"], continuing_subword_prefix="##",
                 end_of_word_suffix="</w>"), "a ab abb abbb b ba"),
    "ignore_merges": (bpe(["a", "b", "c", "abc", "ab", "cab"], ["a b"], ignore_merges=True),
                      "abc ab cab abcabc cabc abcc"),
    "ignored_suffix": (bpe(["a", "b</w>", "ab</w>", "ab"], ["a b</w>"], end_of_word_suffix="</w>",
                           ignore_merges=True), "ab aab b a ab</w>"),
    "not_itself": (bpe(["a", "b", "c", "bc", "ab", "abc"], ["b c", "a b"]), "abc ab bc aabc abcb"),
    "twice": (bpe(["a", "b", "c", "ab", "bc"], ["a b", "b c", "a b"]), "abc ab abab"),
    "version": (bpe(["a", "b", "ab"], ["#version: 0.2", "a b"]), "ab"),
    "pairs": (bpe(["a", " ", "b", "a ", "a b", " b"], [["a", " "], ["a ", "b"], [" ", "b"]]),
              "a a\0b a\0 \0b \0\0b"),
    "no_type": ({"vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}, "ab ba"),
    "wordpiece": ({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                   "max_input_chars_per_word": 6,
                   "vocab": {t: i for i, t in enumerate(
                       ["[UNK]", "a", "ab", "##b", "##bc", "é", "##é", "##", "#"])}},
                  "a ab abb abbc abc é éé ééé aéab b aaaaaaa ab##b # ## ééébbb éééébbb"),
    "no_prefix": ({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "",
                   "max_input_chars_per_word": 100,
                   "vocab": {t: i for i, t in enumerate(["[UNK]", "a", "ab", "bc"])}},
                  "a ab abc aab abbc c"),
}


def c_string(data):
    """Bytes as a C literal, in octal where they are not plain."""
    out = ""
    for byte in data:
        c = chr(byte)
        out += c if 32 <= byte < 127 and c not in '"\\?' else f"\\{byte:03o}"
    return f'"{out}"'


def c_lines(text):
    data = text.encode()
    return "\n".join("    " + c_string(data[i:i + 80]) for i in range(0, len(data), 80))


def reference_of(model):
    return __import__("tokenizers").Tokenizer.from_str(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": model})).model


def main():
    import tokenizers
    if PINNED != f"tokenizers=={tokenizers.__version__}":
        sys.exit(f"tokenizers {tokenizers.__version__} is here, {PINNED} is pinned")
    text = (f"/* Pieces of PyPI tokenizers {tokenizers.__version__}. Made by tools/make_golden_models.py; "
            "do not edit. */\n\n/* clang-format off */\n")
    cases = []
    for name, (model, words) in MODELS.items():
        text += f"static const char golden_{name}[] =\n{c_lines(json.dumps(model, ensure_ascii=False))};\n\n"
        reference = reference_of(model)
        for word in (w.replace("\0", " ") for w in words.split(" ")):
            pieces = reference.tokenize(word)
            shown = " ".join(f"{t.id}:{t.offsets[0]}-{t.offsets[1]}" for t in pieces)
            cases.append(f'    {{"{name}", golden_{name}, {c_string(word.encode())},\n     "{shown}"}},\n')
    text += "static const struct golden golden_cases[] = {\n" + "".join(cases) + "};\n/* clang-format on */\n"
    TABLE.write_text(text)
    print(f"{TABLE.relative_to(ROOT)}: {len(MODELS)} models, {len(cases)} words, {len(text)} bytes")


if __name__ == "__main__":
    main()
