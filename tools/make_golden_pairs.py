#!/usr/bin/env python3
"""Writes tests/data/pairs.jsonl: pairs of texts, and the ids and type ids of PyPI tokenizers.

    tools/make_golden_pairs.py

Lines: {"tokenizer": a whole tokenizer.json, "cases": [[words of the first text, of the second,
most tokens, ids, type ids], ...]}. The first text is "a b c d e a ...", the second "e d c b a e ...". Pairs are cut
longest first. Needs the version that tools/requirements-tokenizers.txt pins.
"""
import json
import sys

from diff_tokenizer import PINNED, ROOT

OUT = ROOT / "tests" / "data" / "pairs.jsonl"
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "<s>", "</s>", "a", "b", "c", "d", "e", "##b", "##c"]
LENGTHS = [(0, 0), (0, 3), (3, 0), (1, 1), (4, 4), (5, 4), (4, 5), (2, 9), (9, 2), (12, 12), (12, 13)]
CUTS = [5, 6, 7, 12, 40]


def template(single, pair, table):
    ids = {name: {"id": name, "ids": [VOCAB.index(t) for t in tokens], "tokens": tokens} for name, tokens in table.items()}
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": ids}


def piece(word):
    """A piece of a template: a text, A or B, or a special token, and after a colon its type."""
    name, _, kind = word.partition(":")
    return {"Sequence" if name in ("A", "B") else "SpecialToken": {"id": name, "type_id": int(kind or 0)}}


def pieces(words):
    return [piece(word) for word in words.split()]


PROCESSORS = [
    None,
    {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
    {"type": "RobertaProcessing", "sep": ["</s>", 5], "cls": ["<s>", 4], "trim_offsets": True, "add_prefix_space": False},
    template(pieces("[CLS] A [SEP]"), pieces("[CLS] A [SEP] B:1 [SEP]:1"), {"[CLS]": ["[CLS]"], "[SEP]": ["[SEP]"]}),
    template(pieces("A </s>"), pieces("A B </s>"), {"</s>": ["</s>"]}),
    template(pieces("<s> A"), pieces("<s> A two B:1"), {"<s>": ["<s>"], "two": ["</s>", "<s>"]}),
]


def tokenizer(post, staged):
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i, t in enumerate(VOCAB[:6])]
    pre = {"type": "WhitespaceSplit"} if staged else {"type": "BertPreTokenizer"}
    norm = None if staged else {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                                "strip_accents": None, "lowercase": True}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": norm,
            "pre_tokenizer": pre, "post_processor": post, "decoder": None,
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100, "vocab": {t: i for i, t in enumerate(VOCAB)}}}


def main():
    import tokenizers
    if PINNED != f"tokenizers=={tokenizers.__version__}":
        sys.exit(f"tokenizers {tokenizers.__version__} is here, {PINNED} is pinned")
    made = f"by tools/make_golden_pairs.py with tokenizers {tokenizers.__version__}; do not edit"
    lines = [{"made": made}]
    for i, post in enumerate(PROCESSORS):
        file = tokenizer(post, staged=i % 2 == 1)
        reference = tokenizers.Tokenizer.from_str(json.dumps(file))
        cases = []
        for n, m in LENGTHS:
            first, second = " ".join("abcde"[k % 5] for k in range(n)), " ".join("edcba"[k % 5] for k in range(m))
            for cut in CUTS:
                reference.enable_truncation(cut, strategy="longest_first")
                encoded = reference.encode(first, second)
                cases.append([n, m, cut, encoded.ids, "".join(map(str, encoded.type_ids))])
        lines.append({"tokenizer": file, "cases": cases})
    OUT.write_text("".join(json.dumps(x, separators=(",", ":")) + "\n" for x in lines), encoding="utf-8")
    print(f"{OUT.relative_to(ROOT)}: {len(lines)} lines, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
