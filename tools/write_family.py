#!/usr/bin/env python3
"""Writes a model of tests/data/families as a folder.

    tools/write_family.py tests/data/families/NAME.json TARGET [--dtype F32|F16|BF16] [--prefix TEXT]
        [--shards N] [--torch]
    tools/write_family.py tests/data/families TARGET

Of a folder, each of its files is written to TARGET/NAME.

NAME.json has the folder's small files as they are ("files"), and the names and shapes of its weights
("tensors"), whose values are those of a formula; "weights" is a folder within it that they are in; "others" has tensors of other files, by the file's name, in
the format of its ending. --prefix
writes TEXT before all names, instead of the file's own "prefix"; --shards and --torch are those of
make_toy_model.py. The same arguments give the same bytes.

A row of "tensors" is [name, shape, values, layers]; a name with * is there once for each of the layers.
Element i of a tensor is made of byte i of SHAKE-128 over the text "SEED NAME", with "seed" and the name without
its prefix. With k = byte - 128 it is
    k / 2^values            where values is a number,
    1 + (k >> 2) / 128      where values is "norm": 0.75 to 1.25,
    k, of the type I8       where values is "i8",
    byte % N, of type I64   where values is "index N".
Each is exact in float32, float16 and bfloat16, so a model computes the same from a file of any of them;
the last two have these types in each.
Standard library only."""
import argparse
import hashlib
import json
import os
import struct

import torch_file
from make_toy_model import to_bytes, write_json, write_safetensors, write_weights


def elements(values):
    """What each of the 256 bytes stands for."""
    if values == 'norm':
        return [1 + (byte - 128 >> 2) / 128 for byte in range(256)]
    return [(byte - 128) / 2 ** values for byte in range(256)]


def table_of(values, dtype):
    """The type of a tensor in a file, and the bytes of what each of the 256 bytes stands for."""
    if values == 'i8':
        return 'I8', [struct.pack('<b', byte - 128) for byte in range(256)]
    if str(values).startswith('index '):
        return 'I64', [struct.pack('<q', byte % int(values[6:])) for byte in range(256)]
    return dtype, [to_bytes([value], dtype) for value in elements(values)]


def stored(seed, name, shape, values, dtype):
    """A tensor in a file: its type, its shape and its bytes."""
    count = 1
    for side in shape:
        count *= side
    stored_as, table = table_of(values, dtype)
    return stored_as, shape, b''.join(map(table.__getitem__,
                                          hashlib.shake_128(f'{seed} {name}'.encode()).digest(count)))


def expand(rows):
    """(name, shape, values) of the rows, one for each layer."""
    for name, shape, values, *layers in rows:
        for layer in layers[0] if layers else ['']:
            yield name.replace('*', str(layer)), shape, values


def write_family(source, target, dtype='F32', prefix=None, shards=0, torch=False):
    with open(source, encoding='utf-8') as file:
        family = json.load(file)
    for path, value in family['files'].items():
        write_json(os.path.join(target, path), value)
    prefix = family['prefix'] if prefix is None else prefix
    tensors = {prefix + name: stored(family['seed'], name, shape, values, dtype)
               for name, shape, values in expand(family['tensors'])}
    for path, rows in family.get('others', {}).items():
        os.makedirs(os.path.dirname(os.path.join(target, path)), exist_ok=True)
        write = write_safetensors if path.endswith('.safetensors') else torch_file.write
        write(os.path.join(target, path), {name: stored(family['seed'], f'{path} {name}', shape, values, dtype)
                                           for name, shape, values in expand(rows)})
    folder = os.path.join(target, family.get('weights', ''))
    os.makedirs(folder, exist_ok=True)
    write_weights(folder, tensors, argparse.Namespace(shards=shards, torch=torch))


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('source')
    p.add_argument('target')
    p.add_argument('--dtype', choices=('F32', 'F16', 'BF16'), default='F32')
    p.add_argument('--prefix')
    p.add_argument('--shards', type=int, default=0)
    p.add_argument('--torch', action='store_true')
    options = vars(p.parse_args())
    source, target = options.pop('source'), options.pop('target')
    if not os.path.isdir(source):
        write_family(source, target, **options)
        return
    for name in sorted(os.listdir(source)):
        if name.endswith('.json'):
            write_family(os.path.join(source, name), os.path.join(target, name[:-5]), **options)


if __name__ == '__main__':
    main()
