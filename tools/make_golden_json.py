#!/usr/bin/env python3
"""Writes tests/base/json_golden.inc: JSON texts, and what Python's json makes of them.

    python3 tools/make_golden_json.py > tests/base/json_golden.inc

A row is { text, count, as a file, as a line, cuts, changes }: the value as a file of ours (strict) and as a line
of somebody's data (lenient), written as below, or NULL where it is refused; and a digest of the verdicts and
values of all its beginnings, and of all texts that differ from it in one byte."""

import json
import platform

# What may stand in the place of a byte.
BYTES = b'{}[]",:\\/tn0-.eEuUaAI \t\x00\x01\x7f\x80\xc3'
PRIVATE = 0x10FF00  # a byte above 7F of a line, which is taken as it is

ACCEPTED = r'''
{} [] [[]] [{}] {"a":[]} "" "a" 0 -0 1 -1 10 1.0 1.5e3 1E+2 1e-2 0e0 0.1 -0.0 123456789 true false null
[null] [true,false,null] [1,2,3] {"a":1} {"a":1,"b":2} {"":0} {"a":{"b":{"c":[1,[2,[3]]]}}} "\"" "\\" "\/"
"\b\f\n\r\t" "\u0041" "\u00e9\u20ac" "\uD834\uDD1E" "\u0000" "\uFFFF" "é" "€" "𝄞" "/" ["\u0060\u012a\u12AB"]
[1,"a",{"b":null}] [20e1] [123e45] [-123] {"text":"a","id":"b"} [[[[[[[[[[[[]]]]]]]]]]]] ["a","b"] [0e+1] [1e1]
{"x":[{"id":"x"}],"id":"y"} {"a":1,"a":2} {"a\u0062":{}} 123456789012345678901234567890 1e999 -1e-999
18446744073709551615 18446744073709551616 -9223372036854775808 9223372036854775807 0.1e1 1.25E-12
{"vocab":{"[PAD]":0,"##ing":1,"\u00e4":2},"added":[{"id":0,"content":"[PAD]","special":true}]}
'''.split()
SPACED = [' [ ] ', '\t{ }\r', ' {\n "a" : [ 1 , 2 ] ,\r\n\t"b" : { } }\n', '\ufeff{}', ' \ufeff{}', '"\x7f"', '[ 4]']
REFUSED = r'''
[ ] { } [1 [1, [,1] [1,] [1,,2] {"a"} {"a":} {"a":1,} {,} {"a"1} {a:1} {'a':1} {1:1} {"a":1"b":2} {"a":1] [1}
[[] []] {}} []{} nul nulll True tru fals "a 'a' "\x" "\u12" "\u123g" "\U0041" "\ "\" 01 -01 00 +1 .5 5. 1.e1 1e 1e+
0x10 --1 - 1,2 [1]x [-] [1e1e1] [+1] {"x"::1} [:1] /**/1 1//1 [1]] {"a":tru} NaN Infinity -Infinity
[NaN,{"b":-Infinity}] -NaN nan Infinit "\ud800" "\udc00\ud800" "a\ud800\u0041" "\ud800\n" "\ud800x" {"a\u0000b":1}
{"\ud800":1} \u0041 ["a",] "\u00" {"a":"b":"c"} "a""b" ,1 ]
'''.split()
RAW = [b'', b' ', b'1 2', b'[1 2]', b'"\n"', b'"\t"', b'"\x00"', b'1\x00', b'\x00', b'{}\x00', b'"\xff"', b'"\xc0\x80"',
       b'"\xed\xa0\x80"', b'{"\xff":1}', b'"\xe2\x82"', b'"\xf4\x90\x80\x80"', b'\xff', b'[1\xa0]', b'\xef\xbb{}',
       b'\xef\xbb\xbf', b'\x0c[]', b'"a\x1f"']


class Number(str):
    pass


class Word(str):
    pass


class Refused(ValueError):
    pass


def parse(text, constant):
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=constant,
                      object_pairs_hook=lambda pairs: ('object', pairs))


def refuse(word):
    raise Refused(word)


def as_file(text):
    if b'\x00' in text:
        raise Refused('a NUL')
    if text.startswith(b'\xef\xbb\xbf'):
        text = text[3:]
    return parse(text.decode('utf-8'), refuse)


def as_line(text):
    return parse(''.join(chr(b if b < 0x80 else PRIVATE + b) for b in text), Word)


def string_bytes(text, is_strict, is_key):
    out = b''
    for c in map(ord, text):
        if is_strict and (0xD800 <= c < 0xE000 or (is_key and c == 0)):
            raise Refused('a surrogate or NUL')
        if not is_strict and PRIVATE + 0x80 <= c <= PRIVATE + 0xFF:
            out += bytes([c - PRIVATE])
        else:
            out += (b'\xef\xbf\xbd' if 0xD800 <= c < 0xE000 else chr(c).encode())
    return out


def write(value, is_strict):
    """n, t, f; #number; !word; "string in hex"; [elements]; {keys and values}"""
    if value is None or value is True or value is False:
        return {None: 'n', True: 't', False: 'f'}[value]
    if isinstance(value, Number):
        return f'#{value};'
    if isinstance(value, Word):
        return f'!{value};'
    if isinstance(value, str):
        return '"' + string_bytes(value, is_strict, False).hex() + '"'
    if isinstance(value, list):
        return '[' + ''.join(write(v, is_strict) for v in value) + ']'
    return '{' + ''.join('"' + string_bytes(k, is_strict, True).hex() + '"' + write(v, is_strict)
                         for k, v in value[1]) + '}'


def judge(text, is_strict):
    try:
        return write((as_file if is_strict else as_line)(text), is_strict)
    except ValueError:
        return None


def digest(texts):
    h = 0xcbf29ce484222325  # FNV-1a, 64 bits
    for text in texts:
        for is_strict in (True, False):
            for b in (judge(text, is_strict) or '-').encode():
                h = (h ^ b) * 0x100000001b3 % 2**64
    return h


def c_string(data):
    return '"' + ''.join(f'\\{b:03o}' if b < 0x20 or b > 0x7E or b in b'"\\?' else chr(b) for b in data) + '"'


def main():
    texts = [t.encode() for t in ACCEPTED + SPACED + REFUSED] + RAW
    print(f'/* made by tools/make_golden_json.py, Python {platform.python_version()}: '
          '{ text, count, as a file, as a line, cuts, changes } */')
    print('#define GOLDEN_BYTES ' + c_string(BYTES))
    print('#define GOLDEN_ROWS(X) \\')
    for text in dict.fromkeys(texts):
        values = (judge(text, is_strict) for is_strict in (True, False))
        shown = ', '.join('NULL' if v is None else c_string(v.encode()) for v in values)
        cuts = digest(text[:n] for n in range(len(text)))
        changes = digest(text[:i] + bytes([b]) + text[i + 1:] for i in range(len(text)) for b in BYTES)
        print(f'    X({c_string(text)}, {len(text)}, {shown}, {cuts:#x}, {changes:#x}) \\')
    print('    /* the end */')


if __name__ == '__main__':
    main()
