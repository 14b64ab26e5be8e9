#!/usr/bin/env python3
"""Writes tests/data/stages.jsonl: small tokenizers of many stages, texts, and the ids of PyPI tokenizers.

    tools/make_golden_stages.py

Lines: {"texts": [...]}; {"model": name, "is": ...}; {"tokenizer": name, "model": name, "rest": all
other members of tokenizer.json, "ids": one list a text, "places": for the texts of PLACED the begin and end
of each token but the special ones, in bytes}. Needs the version that
tools/requirements-tokenizers.txt pins.
"""
import json
import sys

from diff_tokenizer import PINNED, ROOT, SENTENCES
from stage_tokenizers import MARK, combinations, train

OUT = ROOT / "tests" / "data" / "stages.jsonl"
TEXTS = [
    "", " ", "  a", "x ", "Hello, the World's 12345 wings!", "it'S we'LL I'd DON'T '\u017f 'sad  's",
    "a\tb\r\nc\n\n  d \n e", "of the  of the", "<mask>", "a <mask> b<mask>", " <both> x <right>  y<one>z <one> ",
    "<one><one>", "abc ab qq xqq  qq", "été ÉTÉ E\u0301TE\u0301", "e\u0301 \uff21\u0301\uff22 \u30ab\u3099 \u212b \ufb01 \u2126",
    "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab", "中文字 の かな", "Привет, МИР", "a\u0316\u0301\u0327b \u0344",
    "10\u00bd \u2167 \u0664\u0662 1 22 333 4444", "https://x.org/a_b?c=1&d=/e//f/\r\n", MARK + "a " + MARK + " b" + MARK,
    "\u00a0x\u3000y\u2009z\u200b.", "a\u00ad\u0007b\u0000c", "👩‍👩‍👧‍👦 🏳️‍🌈 \U0001f1e9\U0001f1ea", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "                          x", "\ufeffthe wing of\u2028a", "HTMLParser XMLHttpRequest getURL \u01c5a \u02b0B", "<s>a</s> <pad><unk>",
    "हिन्दी क्ष \u0e01\u0e33", "\\\"{[()]}\"", "a\u0301\u0301\u0301 .\u0301 \u0301", "<|startoftext|>a <|STARTOFTEXT|>", "\n\n\n a\n\n",
]

PLACED = [4, 6, 10, 14, 15, 18, 21]


def places(encoding, text):
    """Begin and end of each token in bytes of the text, one after the other."""
    at = [0]
    for c in text:
        at.append(at[-1] + len(c.encode()))
    return [at[x] for pair in encoding.offsets for x in pair]


def main():
    import tokenizers
    if PINNED != f"tokenizers=={tokenizers.__version__}":
        sys.exit(f"tokenizers {tokenizers.__version__} is here, {PINNED} is pinned")
    models = train(SENTENCES * 3)
    lines = [{"made": f"by tools/make_golden_stages.py with tokenizers {tokenizers.__version__}; do not edit",
              "texts": TEXTS, "placed": PLACED}]
    known = {}
    for name, tokenizer in combinations(models):
        model = json.dumps(tokenizer["model"], ensure_ascii=False, separators=(",", ":"))
        if model not in known:
            known[model] = f"m{len(known)}"
            lines.append({"model": known[model], "is": tokenizer["model"]})
        reference = tokenizers.Tokenizer.from_str(json.dumps(tokenizer))
        rest = {k: v for k, v in tokenizer.items() if k != "model"}
        lines.append({"tokenizer": name, "model": known[model], "rest": rest,
                      "ids": [reference.encode(t).ids for t in TEXTS],
                      "places": [places(reference.encode(TEXTS[i], add_special_tokens=False), TEXTS[i])
                                 for i in PLACED]})
    OUT.write_text("".join(json.dumps(x, ensure_ascii=False, separators=(",", ":")) + "\n" for x in lines),
                   encoding="utf-8")
    print(f"{OUT.relative_to(ROOT)}: {len(lines)} lines, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
