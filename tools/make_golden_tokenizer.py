#!/usr/bin/env python3
"""Writes tests/text/tokenizer_golden.inc: small tokenizers, texts, and the ids of PyPI tokenizers.

    tools/make_golden_tokenizer.py

Each case shows one rule of docs/TOKENIZER.md. Needs the version that tools/requirements-tokenizers.txt
pins.
"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "tests" / "text" / "tokenizer_golden.inc"
PINNED = (ROOT / "tools" / "requirements-tokenizers.txt").read_text().strip()
NO_LIMIT = 512

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##a", "##b", "##c", "ab", "##bc",
         "abc", "hello", "Hello", "world", "e", "E", "##e", "cafe", "café", "cafe\u0301", "i", "##\u0307",
         "!", ".", ",", "-", "#", "##", "$", "中", "文", "中文", "\u304b", "\u3099", "##\u3099",
         "한", "\u1112", "##\u1161", "##\u11ab", "ß", "ss", "σ", "ς", "x", "##x", "\u302e", "##\u302e",
         "##\u05b0", "[", "mask", "]", "α", "–", "“", "\ufffd", "foo", "bar", "foo bar"]
VOCAB = {w: i for i, w in enumerate(WORDS)}


def token(content, **flags):
    return {"id": VOCAB[content], "content": content, "single_word": False, "lstrip": False,
            "rstrip": False, "normalized": False, "special": False, **flags}


def tokenizer(added=(), post="template", word=20, **flags):
    pieces = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
              {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]
    specials = {t: {"id": t, "ids": [VOCAB[t]], "tokens": [t]} for t in ("[CLS]", "[SEP]")}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [token(t, special=True) for t in WORDS[:5]] + list(added),
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True, **flags},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "template": {"type": "TemplateProcessing", "single": pieces, "pair": pieces + [
                {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": specials},
            "bert": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
            "roberta": {"type": "RobertaProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2],
                        "trim_offsets": True, "add_prefix_space": False},
            "none": None}[post],
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": word, "vocab": VOCAB},
    }


CONFIGURATIONS = {
    "uncased": tokenizer(),
    "cased": tokenizer(lowercase=False),
    "keep_accents": tokenizer(strip_accents=False),
    "strip_only": tokenizer(strip_accents=True, lowercase=False),
    "no_chinese": tokenizer(handle_chinese_chars=False),
    "no_clean": tokenizer(clean_text=False),
    "bert_processing": tokenizer(post="bert"),
    "roberta_processing": tokenizer(post="roberta"),
    "no_specials": tokenizer(post="none"),
    "short_words": tokenizer(word=3),
    "added": tokenizer(added=[
        token("foo", single_word=True), token("ab", normalized=True), token("abc", normalized=True),
        token("café", normalized=True, single_word=True), token("–", lstrip=True, rstrip=True)]),
    "added_spaced": tokenizer(added=[token("foo bar", normalized=True), token("foo"),
                                     token("\ufffd")]),
}

CASES = [
    # (configuration, rule, text, limit)
    ("uncased", "lower case and words", "Hello WORLD", NO_LIMIT),
    ("uncased", "empty text", "", NO_LIMIT),
    ("uncased", "blank text", " \t\r\n\u00a0\u3000 ", NO_LIMIT),
    ("uncased", "longest piece first", "abc abcc aab abca", NO_LIMIT),
    ("uncased", "a word without pieces is unknown as a whole", "abz zab", NO_LIMIT),
    ("uncased", "punctuation stands alone", "hello,world.-!$a", NO_LIMIT),
    ("uncased", "the prefix in a text is punctuation", "##a #", NO_LIMIT),
    ("uncased", "Unicode punctuation", "a–b“c", NO_LIMIT),
    ("uncased", "accents go, composed and decomposed", "café cafe\u0301 CAFÉ", NO_LIMIT),
    ("uncased", "dotted capital I loses its dot", "\u0130", NO_LIMIT),
    ("keep_accents", "dotted capital I becomes two", "\u0130", NO_LIMIT),
    ("keep_accents", "accents stay, not composed", "café cafe\u0301 CAFÉ", NO_LIMIT),
    ("uncased", "sharp s and sigmas, letter by letter", "ß ẞ Σ ΑΣ ς", NO_LIMIT),
    ("cased", "case and accents stay", "Hello hello café E", NO_LIMIT),
    ("strip_only", "accents go, case stays", "Hello É", NO_LIMIT),
    ("uncased", "spaces around Chinese characters", "中文a中", NO_LIMIT),
    ("no_chinese", "no spaces around Chinese characters", "中文 a中", NO_LIMIT),
    ("uncased", "compatibility ideographs are decomposed", "\uf92d\ufa11", NO_LIMIT),
    ("uncased", "Hangul falls into letters", "한", NO_LIMIT),
    ("cased", "Hangul stays", "한", NO_LIMIT),
    ("uncased", "kana lose their voice mark, a nonspacing mark", "\u304c", NO_LIMIT),
    ("uncased", "spacing marks are put in order", "a\u302e\u05b0 a\u05b0\u302e", NO_LIMIT),
    ("uncased", "survivors of a run stay in order", "x\u302e\u0301\u302e\u0316", NO_LIMIT),
    ("uncased", "a run of marks alone", "\u0301\u0301\u0316", NO_LIMIT),
    ("uncased", "controls vanish and join", "a\x00b\x1fc a\u200dbc \ufeffa", NO_LIMIT),
    ("uncased", "vertical tab and form feed are controls, not spaces", "a\x0bb\x0cc", NO_LIMIT),
    ("uncased", "unassigned and private use", "a\u0378 \ue000b \U000f0000c", NO_LIMIT),
    ("uncased", "U+FFFD vanishes", "a\ufffdb", NO_LIMIT),
    ("no_clean", "controls stay, spaces separate", "a\x00b a\x0bb a\u200db\u2003c", NO_LIMIT),
    ("uncased", "special tokens in the text", "a[MASK]b [CLS][SEP][PAD]", NO_LIMIT),
    ("uncased", "special tokens match exactly", "[mask] [MASK [ MASK]", NO_LIMIT),
    ("uncased", "a special token splits a run of marks", "x\u302e[MASK]\u05b0a", NO_LIMIT),
    ("bert_processing", "BertProcessing adds the same two", "hello", NO_LIMIT),
    ("roberta_processing", "and so does RobertaProcessing", "hello", NO_LIMIT),
    ("no_specials", "no post-processor adds nothing", "hello", NO_LIMIT),
    ("no_specials", "and nothing to nothing", "", NO_LIMIT),
    ("short_words", "a word as long as allowed", "abc aaa", NO_LIMIT),
    ("short_words", "a word too long", "aaaa", NO_LIMIT),
    ("short_words", "length counts after normalizing", "cafe\u0301 abe\u0301 \u00e9\u00e9\u00e9", NO_LIMIT),
    ("uncased", "cut at the right", "a b c a b c", 5),
    ("uncased", "exactly full", "a b c", 5),
    ("uncased", "white space behind is no token", "a b c   ", 5),
    ("uncased", "a cut goes through a word", "abca", 3),
    ("uncased", "an unknown word is one token at the cut", "a b abz", 5),
    ("uncased", "only special tokens and one", "a b", 3),
    ("added", "single_word", "foo xfoo foox foo-foo (foo) éfoo", NO_LIMIT),
    ("added", "normalized tokens, longest first", "xABCx ABx", NO_LIMIT),
    ("added", "normalized in text and token", "CAFÉ cafe cafes xcafe cafe\u0301", NO_LIMIT),
    ("added", "white space that a token strips", "a  –  b–", NO_LIMIT),
    ("added_spaced", "a token with a space in normalized text", "Foo\u00a0BAR foobar", NO_LIMIT),
    ("added_spaced", "raw tokens come first", "foo bar", NO_LIMIT),
    ("added_spaced", "bad bytes match a token of U+FFFD", b"a\xff\xe4\xb8z", NO_LIMIT),
    ("uncased", "bad bytes vanish as U+FFFD does", b"a\xffb \xe4\xb8c \xf0\x9f\x98 \xc0\x80", NO_LIMIT),
    ("no_clean", "bad bytes are U+FFFD", b"\xff a\xe4\xb8", NO_LIMIT),
]


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


def main():
    import tokenizers
    if PINNED != f"tokenizers=={tokenizers.__version__}":
        sys.exit(f"tokenizers {tokenizers.__version__} is here, {PINNED} is pinned")
    text = (f"/* Ids of PyPI tokenizers {tokenizers.__version__}. Made by tools/make_golden_tokenizer.py; "
            "do not edit. */\n\n/* clang-format off */\n")
    references = {}
    for name, configuration in CONFIGURATIONS.items():
        source = json.dumps(configuration, ensure_ascii=False, separators=(",", ":"))
        references[name] = tokenizers.Tokenizer.from_str(source)
        text += f"static const char golden_{name}[] =\n{c_lines(source)};\n\n"
    text += "static const struct golden golden_cases[] = {\n"
    for name, rule, data, limit in CASES:
        raw = data if isinstance(data, bytes) else data.encode()
        decoded = raw.decode("utf-8", "replace")
        reference = references[name]
        reference.enable_truncation(limit)
        encoding = reference.encode(decoded)
        replaced = len(raw) - sum(len(c.encode()) for c in raw.decode("utf-8", "ignore"))
        text += (f'    {{golden_{name}, "{rule}",\n     {c_string(raw)}, {len(raw)}, {limit}, '
                 f"{str(bool(encoding.overflowing)).lower()}, {replaced}, {len(encoding.ids)},\n"
                 f"     {{{', '.join(map(str, encoding.ids)) or 0}}}}},\n")
    text += "};\n/* clang-format on */\n"
    TABLE.write_text(text)
    print(f"{TABLE.relative_to(ROOT)}: {len(CASES)} cases")


if __name__ == "__main__":
    main()
