#!/usr/bin/env python3
"""Compares every code point as utf8proc and as PyPI tokenizers see it, and writes the differences.

    tools/make_unicode.py            writes src/text/unicode_exceptions.inc
    tools/make_unicode.py --check    fails when the committed file differs from what it would write

The reference is asked only through its public interface: BertNormalizer with one flag at a time,
NFD, BertPreTokenizer, and an added token with single_word. Needs the tokenizers version that
tools/requirements-tokenizers.txt pins, and libutf8proc.
"""
import argparse
import ctypes
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ROOT / "src" / "text" / "unicode_exceptions.inc"
PINNED = (ROOT / "tools" / "requirements-tokenizers.txt").read_text().strip()

CATEGORIES = ("Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp "
              "Cc Cf Cs Co").split()
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]


class Property(ctypes.Structure):
    """The first two members of utf8proc_property_t, which is all that is read here."""
    _fields_ = [("category", ctypes.c_int16), ("combining_class", ctypes.c_int16)]


UTF8PROC_STABLE, UTF8PROC_COMPAT, UTF8PROC_COMPOSE, UTF8PROC_DECOMPOSE = 1 << 1, 1 << 2, 1 << 3, 1 << 4


class Utf8proc:
    """What src/text/text_unicode.c takes from utf8proc, before any exception."""

    def __init__(self):
        lib = ctypes.CDLL("libutf8proc.so.2")
        lib.utf8proc_get_property.restype = ctypes.POINTER(Property)
        lib.utf8proc_grapheme_break.restype = ctypes.c_bool
        lib.utf8proc_version.restype = ctypes.c_char_p
        lib.utf8proc_unicode_version.restype = ctypes.c_char_p
        self.lib = lib
        self.version = lib.utf8proc_version().decode()
        self.unicode = lib.utf8proc_unicode_version().decode()
        properties = [lib.utf8proc_get_property(c).contents for c in CODE_POINTS]
        self.category = {c: CATEGORIES[p.category] for c, p in zip(CODE_POINTS, properties)}
        self.ccc = {c: p.combining_class for c, p in zip(CODE_POINTS, properties)}

    def lower(self, c):
        return (self.lib.utf8proc_tolower(c),)

    def decompose(self, c, options=UTF8PROC_DECOMPOSE):
        out = (ctypes.c_int32 * 18)()
        bound = ctypes.c_int(0)
        n = self.lib.utf8proc_decompose_char(c, out, 18, options, ctypes.byref(bound))
        return tuple(out[:n])

    def compose(self, a, b):
        pair = (ctypes.c_int32 * 2)(a, b)
        n = self.lib.utf8proc_normalize_utf32(pair, 2, UTF8PROC_STABLE | UTF8PROC_COMPOSE)
        return pair[0] if n == 1 else 0

    def joins(self, c):
        """Whether a letter and c are one grapheme cluster."""
        return not self.lib.utf8proc_grapheme_break(ord("a"), c)


def space(c):
    """White_Space, which Unicode keeps stable and src/text/text_unicode.c lists."""
    return (9 <= c <= 13 or c in (0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)
            or 0x2000 <= c <= 0x200A)


def ours(u, c):
    """(control, mark, punctuation, word) by utf8proc's categories."""
    k = u.category[c]
    ascii_punctuation = c < 128 and chr(c) in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
    return (k in ("Cc", "Cf", "Co") and c not in (9, 10, 13) or c in (0, 0xFFFD),
            k == "Mn",
            k[0] == "P" or ascii_punctuation,
            k[0] in "LM" or k in ("Nd", "Nl", "Pc"))


def reference():
    """The same four, white space, lower case, decomposition and order of marks, asked for."""
    from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import WordPiece

    def bert(**on):
        flags = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False,
                     lowercase=False)
        return normalizers.BertNormalizer(**{**flags, **on}).normalize_str

    clean, lower, strip = bert(clean_text=True), bert(lowercase=True), bert(strip_accents=True)
    nfd = normalizers.NFD().normalize_str
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    single = Tokenizer(WordPiece({"[UNK]": 0, "<m>": 1}, unk_token="[UNK]"))
    single.add_tokens([AddedToken("<m>", single_word=True, normalized=False)])

    out = {}
    for c in CODE_POINTS:
        x = chr(c)
        cleaned, stripped = clean(x), strip(x)
        pieces = len(split("a" + x + "a"))
        decomposed = tuple(map(ord, nfd(x)))
        out[c] = dict(
            control=cleaned == "", mark=stripped == "" and decomposed == (c,),
            space=cleaned == " " or pieces == 2, punctuation=pieces == 3,
            word=1 not in single.encode("<m>" + x).ids,
            lower=tuple(map(ord, lower(x))), decomposition=decomposed)
    return out, nfd


KINDS = {"Lu": 1, "Ll": 2, "Lt": 4, "Lm": 8, "Lo": 16, "M": 32, "Nd": 64, "No": 128, "Nl": 128}
SPACE, OTHER = 256, 512


def our_kind(u, c):
    """unicode_kind of src/text/text_unicode.c without exceptions."""
    k = u.category[c]
    return SPACE if space(c) else KINDS.get("M" if k[0] == "M" else k, OTHER)


def one_letter_charsmap():
    """A charsmap {"a": "b"}: a double array (Darts) of one key, and its text."""
    import struct
    units = [0] * 1024
    units[0] = 256 << 10                     # root: its children are at 256 ^ byte
    leaf = 256 ^ ord("a")
    units[leaf] = 512 << 10 | 1 << 8 | ord("a")
    units[leaf ^ 512] = 1 << 31              # value 0: text at offset 0
    trie = struct.pack("<1024I", *units)
    return struct.pack("<I", len(trie)) + trie + b"b\0"


def reference_of_stages():
    """What the other stages ask: kinds of regular expressions, numeric, combining, compatibility
    decomposition, and which code points go on in a grapheme cluster."""
    from tokenizers import Regex, normalizers, pre_tokenizers
    everything = "".join(map(chr, CODE_POINTS))

    def left(pattern):
        return set(everything) - set(
            normalizers.Replace(Regex(pattern), "").normalize_str(everything))

    kind = dict.fromkeys(CODE_POINTS, OTHER)
    for name, bit in KINDS.items():
        for x in left(r"\p{%s}" % name):
            kind[ord(x)] = bit
    for x in left(r"\s"):
        kind[ord(x)] = SPACE
    digits = set(map(ord, left(r"\d")))
    assert digits == {c for c in CODE_POINTS if kind[c] == 64}, "\\d is not Nd"
    split = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str
    accents = normalizers.StripAccents().normalize_str
    nfkd, nfc = normalizers.NFKD().normalize_str, normalizers.NFC().normalize_str
    precompiled = normalizers.Precompiled(one_letter_charsmap()).normalize_str
    numeric = {c for c in CODE_POINTS if len(split("a" + chr(c) + "a")) == 3}
    combining = {c for c in CODE_POINTS if accents(chr(c)) == ""}
    compat = {c: tuple(map(ord, nfkd(chr(c)))) for c in CODE_POINTS}
    # A cluster of six bytes and more is looked up character by character.
    joins = {c for c in CODE_POINTS if c and precompiled("a" + chr(c)) == "b"}
    return kind, numeric, combining, compat, joins, nfc


def marks_order(u, ref, nfd):
    """Canonical combining classes, found by how NFD sorts a code point among known ones."""
    known = {}  # class: a code point that has been in it for long
    for c in CODE_POINTS:
        if u.ccc[c] and (c < 0x370 or 0x591 <= c < 0x655 or 0x900 <= c < 0x1000 or c in (
                0x0670, 0x0711, 0x1DCE, 0x302A, 0x302E, 0x3099, 0xFB1E, 0x1D16D, 0x16FF0)):
            known.setdefault(u.ccc[c], chr(c))
    low, high = known[1], known[240]
    known = {k: r for k, r in known.items() if nfd(high + r + low) != high + r + low}
    found = {}
    for c in CODE_POINTS:
        x = chr(c)
        if ref[c]["decomposition"] != (c,):
            found[c] = u.ccc[c]  # never seen after decomposition
        elif nfd(high + x + low) == high + x + low:
            found[c] = 0
        else:
            below = [k for k, r in known.items() if nfd(x + r) != x + r]
            above = [k for k, r in known.items() if nfd(r + x) != r + x]
            equal = [k for k in known if k > max(below, default=0) and k < min(above, default=255)]
            assert len(equal) == 1, (hex(c), below, above)
            found[c] = equal[0]
    return found


def ranges(points):
    """Sorted code points as inclusive ranges."""
    out = []
    for c in points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def runs(points, of):
    """Sorted code points as inclusive ranges of one value."""
    out = []
    for c in points:
        if out and out[-1][1] == c - 1 and out[-1][2] == of[c]:
            out[-1][1] = c
        else:
            out.append([c, c, of[c]])
    return out


def columns(items, width=96):
    """Initialisers in lines."""
    lines, line = [], ""
    for item in items:
        if line and len(line) + len(item) + 2 > width:
            lines.append("    " + line)
            line = ""
        line += (" " if line else "") + item + ","
    return "\n".join(lines + (["    " + line] if line else [])) + "\n"


def fnv(rows):
    h = 0xCBF29CE484222325
    for row in rows:
        for byte in row:
            h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def stages_checksum(kind, numeric, combining, compat, joins):
    """The same for what the stages ask."""
    return fnv(bytes([kind[c] & 255, kind[c] >> 8, (c in numeric) | (c in combining) << 1
                      | (c in joins) << 2, len(compat[c])])
               + b"".join(x.to_bytes(3, "little") for x in compat[c]) for c in CODE_POINTS)


def checksum(ref, ccc):
    """FNV-1a over everything the tokenizer asks about each code point; tests/text/test_text_unicode.c
    computes the same from text_unicode.c."""
    h = 0xCBF29CE484222325
    for c in CODE_POINTS:
        r = ref[c]
        row = bytes([r["control"] | r["mark"] << 1 | r["punctuation"] << 2 | r["space"] << 3
                     | r["word"] << 4, ccc[c] if r["decomposition"] == (c,) else 0])
        for t in (r["lower"], r["decomposition"]):
            row += bytes([len(t)]) + b"".join(x.to_bytes(3, "little") for x in t)
        for byte in row:
            h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def table():
    import tokenizers
    if PINNED != f"tokenizers=={tokenizers.__version__}":
        sys.exit(f"make_unicode.py: tokenizers {tokenizers.__version__} is here, {PINNED} is pinned")
    u = Utf8proc()
    ref, nfd = reference()
    ccc = marks_order(u, ref, nfd)
    flips = {name: [] for name in ("control", "mark", "punctuation", "word")}
    lowers, decompositions, orders = [], [], []
    for c in CODE_POINTS:
        r = ref[c]
        if r["space"] != space(c):
            sys.exit(f"make_unicode.py: white space differs at U+{c:04X}")
        for name, mine in zip(flips, ours(u, c)):
            if r[name] != mine and (name != "mark" or r["decomposition"] == (c,)):
                flips[name].append(c)
        if r["lower"] != u.lower(c):
            lowers.append(c)
        if r["decomposition"] != u.decompose(c):
            decompositions.append(c)
        elif ccc[c] != u.ccc[c]:
            orders.append(c)
    kind, numeric, combining, compat, joined, nfc = reference_of_stages()
    flips["numeric"] = [c for c in CODE_POINTS
                        if c >= 128 and (c in numeric) != (u.category[c][0] == "N")]
    flips["combining"] = [c for c in CODE_POINTS
                          if c >= 0x300 and (c in combining) != (u.category[c][0] == "M")]
    flips["joins"] = [c for c in CODE_POINTS if c >= 128 and (c in joined) != u.joins(c)]
    kinds = [c for c in CODE_POINTS if c >= 128 and kind[c] != our_kind(u, c)]
    compats = [c for c in CODE_POINTS if compat[c] != (
        ref[c]["decomposition"] if c in decompositions
        else u.decompose(c, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT))]
    for c in compats:
        if compat[c] != (c,):
            sys.exit(f"make_unicode.py: U+{c:04X} is decomposed otherwise by NFKD")
    flips["compat"] = compats
    for c in CODE_POINTS:
        pair = ref[c]["decomposition"]
        if len(pair) == 2 and c not in decompositions and not 0xAC00 <= c <= 0xD7A3 and (
                nfc("".join(map(chr, pair))) == chr(c)) != (u.compose(*pair) == c):
            sys.exit(f"make_unicode.py: U+{c:04X} is composed by one of the two only")
    touched = set(lowers) | set(decompositions) | set(orders) | set(kinds)
    for points in flips.values():
        touched |= set(points)
    pages = [0] * (0x1100 // 32)
    for c in touched:
        pages[(c >> 8) // 32] |= 1 << (c >> 8) % 32

    text = f"""\
/* Code points that PyPI tokenizers {tokenizers.__version__} sees otherwise than utf8proc {u.version} (Unicode {u.unicode}).
 * Made by tools/make_unicode.py, which compared all {len(CODE_POINTS):,}; do not edit.
 * They differ because the reference mixes tables of several Unicode versions. */

/* clang-format off */
#define UNICODE_UTF8PROC  "{u.version}"
#define UNICODE_REFERENCE "tokenizers {tokenizers.__version__}"
#define UNICODE_CHECKSUM  0x{checksum(ref, ccc):016X}ull /* of the whole, tests/text/test_text_unicode.c */
#define UNICODE_STAGES_CHECKSUM 0x{stages_checksum(kind, numeric, combining, compat, joined):016X}ull

#ifdef UNICODE_TABLES
/* Bit cp >> 8: some code point of this page is in a table below. */
static const uint32_t exception_pages[{len(pages)}] = {{
{columns(f"0x{p:08X}" for p in pages)}}};
"""
    words = {"control": "removed by clean_text", "mark": "removed by strip_accents",
             "punctuation": "split off as punctuation", "word": "\\w, asked by single_word",
             "numeric": "numeric, asked by Digits", "combining": "removed by StripAccents",
             "joins": "goes on in a grapheme cluster", "compat": "decomposed by NFKD"}
    for name, points in flips.items():
        text += f"""
/* {words[name][0].upper() + words[name][1:]}: the answer is the other one ({len(points)} code points). */
static const struct code_range exception_{name}[] = {{
{columns(f"{{0x{a:04X}, 0x{b:04X}}}" for a, b in ranges(points))}}};
"""

    def mapping(points, to):
        return columns("{0x%04X, %d, {%s}}" % (c, len(to(c)), ", ".join(
            f"0x{x:04X}" for x in to(c))) for c in points)

    text += f"""
/* Lower case ({len(lowers)} code points). */
static const struct code_mapping exception_lower[] = {{
{mapping(lowers, lambda c: ref[c]["lower"])}}};

/* Canonical decomposition ({len(decompositions)} code points). */
static const struct code_mapping exception_decomposition[] = {{
{mapping(decompositions, lambda c: ref[c]["decomposition"])}}};

/* Canonical combining class ({len(orders)} code points). */
static const struct code_class exception_class[] = {{
{columns(f"{{0x{c:04X}, {ccc[c]}}}" for c in orders)}}};

/* Kind, for regular expressions ({len(kinds)} code points). */
static const struct code_kind exception_kind[] = {{
{columns(f"{{0x{a:04X}, 0x{b:04X}, {k}}}" for a, b, k in runs(kinds, kind))}}};
#endif
/* clang-format on */
"""
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    text = table()
    if not arguments.check:
        TABLE.write_text(text)
        print(f"{TABLE.relative_to(ROOT)}: written")
    elif TABLE.read_text() != text:
        sys.exit(f"{TABLE.relative_to(ROOT)} differs from what this machine's utf8proc and "
                 f"{PINNED} give; run tools/make_unicode.py")
    else:
        print(f"{TABLE.relative_to(ROOT)}: {len(CODE_POINTS)} code points compared, up to date")


if __name__ == "__main__":
    main()
