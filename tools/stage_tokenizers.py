"""Small tokenizers that go through stages, each with another combination of them.

Used by tools/diff_tokenizer.py --stages and tools/make_golden_stages.py. The models are trained on a
few sentences by PyPI tokenizers; tokenizers.json is then put together from parts, so that spellings
of published files occur that the library would not write itself.
"""
import json

REGEX = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
             r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen3.5": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
               r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
              r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "gpt4o": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
             r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
             r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
             r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "tekken": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
              r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
              r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "clip": r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]"
            r"|[^\s\p{L}\p{N}]+",
}
MARK = "\u2581"


def added(content, i, **flags):
    return {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True, **flags}


def regex(name, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": REGEX.get(name, name)}, "behavior": behavior,
            "invert": invert}


def literal(text, behavior, invert=False):
    return {"type": "Split", "pattern": {"String": text}, "behavior": behavior, "invert": invert}


def replace(pattern, content, kind="Regex"):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def byte_level(**flags):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, **flags}


def metaspace(**flags):
    return {"type": "Metaspace", "replacement": MARK, **flags}


def sequence(kind, *parts):
    return {"type": "Sequence", kind: list(parts)}


def normalizers(*parts):
    return sequence("normalizers", *parts)


def pre_tokenizers(*parts):
    return sequence("pretokenizers", *parts)


def forms(*names):
    return [{"type": n} for n in names]


def bert(**flags):
    return {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
            "strip_accents": None, "lowercase": False, **flags}


STRIP_RIGHT = {"type": "Strip", "strip_left": False, "strip_right": True}
STRIP_BOTH = {"type": "Strip", "strip_left": True, "strip_right": True}


def charsmap():
    """A table of replacements like nmt_nfkc's, cut to a few rules, as base64 of a double array."""
    import base64
    import struct
    import unicodedata
    rules = {"\n": " ", "\t": " ", "\r": " ", "\u00a0": " ", "\u3000": " ", "\u2009": " ", "\u200b": "",
             "\u0007": "", "\u00ad": "", "\u0344": "\u0308\u0301", "e\u0301": "\u00e9",
             "\u30ab\u3099": "\u30ac", "\ufeff": ""}
    for c in list(range(0xA8, 0xC0)) + list(range(0xFF01, 0xFF5F)) + list(range(0x2460, 0x2474)) + [
            0xFB01, 0x2126, 0x212B, 0x3392]:
        rules.setdefault(chr(c), unicodedata.normalize("NFKC", chr(c)))
    rules = {k.encode(): v.encode() for k, v in rules.items() if k.encode() != v.encode()}
    strings, values = b"", {}
    for key, value in sorted(rules.items()):
        values[key] = len(strings)
        strings += value + b"\0"
    units, used = {}, set()

    def place(prefix, at):
        """The node of `prefix` is unit `at`; its children go to at ^ offset ^ byte."""
        labels = sorted({k[len(prefix)] for k in values if k.startswith(prefix) and len(k) > len(prefix)})
        slots = labels + ([0] if prefix in values else [])
        offset = 1
        while any((at ^ offset ^ b) in used for b in slots):
            offset += 1
        assert offset < 1 << 21
        units[at] = units.get(at, 0) | offset << 10 | (1 << 8 if prefix in values else 0)
        used.update(at ^ offset ^ b for b in slots)
        if prefix in values:
            units[at ^ offset] = 1 << 31 | values[prefix]
        for b in labels:
            units[at ^ offset ^ b] = b
            place(prefix + bytes([b]), at ^ offset ^ b)

    used.add(0)
    place(b"", 0)
    size = (max(units) // 256 + 1) * 256
    trie = struct.pack(f"<{size}I", *(units.get(i, 0) for i in range(size)))
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + strings).decode()


def train(sentences):
    """{name: "model" of tokenizer.json}: small models over the sentences."""
    from tokenizers import Tokenizer, models, pre_tokenizers as pre, trainers
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]

    def model(kind, trainer, how, of=sentences):
        t = Tokenizer(kind)
        t.pre_tokenizer = how
        t.train_from_iterator(of, trainer)
        return json.loads(t.to_str())["model"]

    quiet = {"show_progress": False, "special_tokens": specials}
    latin = [s for s in sentences if s.isascii()]
    unigram = model(models.Unigram(), trainers.UnigramTrainer(vocab_size=160, unk_token="<unk>", **quiet),
                    pre.Metaspace(), latin)
    bytes_bpe = model(models.BPE(), trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=pre.ByteLevel.alphabet(), **quiet),
        pre.ByteLevel(add_prefix_space=False))
    bpe = model(models.BPE(unk_token="<unk>", fuse_unk=True),
                trainers.BpeTrainer(vocab_size=160, **quiet), pre.Metaspace())
    words = model(models.WordPiece(unk_token="<unk>"), trainers.WordPieceTrainer(vocab_size=160, **quiet),
                  pre.Whitespace())
    fallback = json.loads(json.dumps(bpe))
    n = len(fallback["vocab"])
    fallback["vocab"].update({f"<0x{b:02X}>": n + b for b in range(256)})
    fallback["byte_fallback"] = True
    return {"unigram": unigram, "bytes": bytes_bpe, "bpe": bpe, "fallback": fallback, "words": words}


def combinations(models):
    """[(name, tokenizer.json as a dict)]."""
    chars = {"type": "Precompiled", "precompiled_charsmap": charsmap()}
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                           {"Sequence": {"id": "A", "type_id": 0}},
                           {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {x: {"id": x, "ids": [i], "tokens": [x]}
                                   for i, x in ((0, "<s>"), (2, "</s>"))}}
    roberta = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0],
               "trim_offsets": True, "add_prefix_space": False}
    both = sequence("processors", byte_level(), template)

    def make(model, normalizer, pre_tokenizer, more=(), post=template, mask=None, **keys):
        body = {k: v for k, v in {**models[model], **keys}.items() if v != "absent"}
        n = len(body["vocab"])
        tokens = [added(x, i) for i, x in enumerate(("<s>", "<pad>", "</s>", "<unk>"))]
        tokens.append(added("<mask>", 4, **(mask or {"lstrip": True})))
        tokens += [added(x, n + i, **f) for i, (x, f) in enumerate(more)]
        return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens,
                "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post,
                "decoder": None, "model": body}

    odd = [("<one>", {"single_word": True}), ("<right>", {"rstrip": True}),
           ("<both>", {"lstrip": True, "rstrip": True}), ("ab", {"normalized": True, "special": False}),
           ("ÉTÉ", {"normalized": True}), ("of the", {"normalized": True, "rstrip": True}),
           ("qq", {"normalized": True, "single_word": True, "lstrip": True}), ("a b", {}), ("<one><one>", {})]
    spaces = [("  ", {"normalized": True})]  # of which Strip leaves nothing
    split = {"type": "WhitespaceSplit"}
    return [
        ("bge-m3", make("unigram", normalizers(chars, replace(" {2,}", " ")),
                        metaspace(add_prefix_space=True))),
        ("xlm-r", make("unigram", chars, pre_tokenizers(split, metaspace(add_prefix_space=True)))),
        ("bge-reranker", make("unigram", normalizers(chars, STRIP_RIGHT, replace(" {2,}", MARK)),
                              metaspace(prepend_scheme="always", split=True))),
        ("t5-first", make("unigram", normalizers(chars, STRIP_RIGHT, replace(" {2,}", MARK)),
                          metaspace(add_prefix_space=True, prepend_scheme="first"), odd)),
        ("deberta", make("unigram", normalizers(STRIP_BOTH, chars, replace(" {2,}", " ")),
                         pre_tokenizers(metaspace(prepend_scheme="always", split=True)), odd)),
        ("deberta-tf", make("unigram", normalizers(replace(r"\s{2,}|[\n\r\t]", " "), *forms("NFC"), STRIP_RIGHT),
                            metaspace(prepend_scheme="always", split=True))),
        ("spm", make("unigram", normalizers(replace(r"\A +| +\z", ""), replace(" {2,}", " "),
                                            replace(" ", MARK, "String"), {"type": "Prepend", "prepend": MARK}),
                     metaspace(prepend_scheme="never", split=False))),
        ("metaspace never", make("unigram", None, metaspace(prepend_scheme="never", str_rep=MARK))),
        ("roberta", make("bytes", None, byte_level(), post=roberta, type="absent")),
        ("roberta prefix", make("bytes", None, byte_level(add_prefix_space=True, use_regex=True), odd,
                                post=roberta)),
        ("modernbert", make("bytes", {"type": "NFC"}, byte_level(use_regex=True),
                            [(" " * n, {"normalized": True, "special": False}) for n in (24, 5, 3, 2)])),
        ("qwen", make("bytes", {"type": "NFC"}, pre_tokenizers(regex("qwen2"), byte_level(use_regex=False)),
                      post=both)),
        ("qwen3.5", make("bytes", {"type": "NFC"}, pre_tokenizers(regex("qwen3.5"), byte_level(use_regex=False)))),
        ("llama3", make("bytes", None, pre_tokenizers(regex("llama3"), byte_level(use_regex=False)),
                        ignore_merges=True)),
        ("gpt4o", make("bytes", None, pre_tokenizers(regex("gpt4o"), byte_level(use_regex=False)))),
        ("tekken", make("bytes", None, pre_tokenizers(regex("tekken"), byte_level(use_regex=False)))),
        ("clip", make("bytes", normalizers(*forms("NFC"), replace(r"\s+", " "), *forms("Lowercase")),
                      pre_tokenizers(regex("clip", "Removed", True), byte_level()), post=roberta,
                      more=[("<|startoftext|>", {"normalized": True})])),
        ("bytes first", make("bytes", {"type": "ByteLevel"}, None)),
        ("gemma", make("fallback", replace(" ", MARK, "String"), literal(" ", "MergedWithPrevious"),
                       [("\n\n", {"special": False}), (MARK + MARK, {"special": False})])),
        ("siglip", make("fallback", normalizers(*forms("Lowercase"), replace(" ", MARK, "String")),
                        literal(" ", "MergedWithPrevious"))),
        ("nfkc", make("bpe", normalizers(*forms("NFKC", "Lowercase")), metaspace(), odd + spaces)),
        ("nfkd", make("bpe", normalizers(*forms("NFKD", "StripAccents")), metaspace(split=False), odd)),
        ("nfd", make("bpe", normalizers(*forms("NFD")), pre_tokenizers(
            {"type": "Digits", "individual_digits": True}, {"type": "Punctuation"}, metaspace()))),
        ("digits", make("bpe", bert(), pre_tokenizers(
            {"type": "Digits", "individual_digits": False},
            {"type": "Punctuation", "behavior": "MergedWithPrevious"}, metaspace(prepend_scheme="first")))),
        ("contiguous", make("bpe", None, pre_tokenizers(
            {"type": "Punctuation", "behavior": "Contiguous"}, literal("a", "MergedWithNext"),
            literal("e", "Contiguous"), literal("n", "Isolated")))),
        ("splits", make("bpe", None, pre_tokenizers(
            regex(r"\s+", "Removed"), regex(r"\p{N}{1,3}", "Isolated"), regex(r"\d", "MergedWithNext")))),
        ("words", make("words", normalizers(*forms("NFD", "StripAccents", "Lowercase")),
                       {"type": "Whitespace"}, odd)),
        ("bert first", make("bpe", None, pre_tokenizers({"type": "BertPreTokenizer"},
                                                        metaspace(prepend_scheme="first")),
                            [("\n\n", {"lstrip": True, "rstrip": True, "normalized": True}),
                             ("  ", {"rstrip": True, "normalized": True})])),
        ("mpnet cased", make("words", normalizers(bert(lowercase=True, strip_accents=False)),
                             pre_tokenizers({"type": "BertPreTokenizer"}), post=roberta)),
        ("origin", make("bpe", replace("a", " b c", "String"),
                        pre_tokenizers(split, metaspace(prepend_scheme="first")))),
        ("origin bert", make("bpe", normalizers(bert(), STRIP_BOTH),
                             pre_tokenizers(split, metaspace(prepend_scheme="first")))),
    ]
