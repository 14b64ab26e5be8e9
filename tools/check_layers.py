#!/usr/bin/env python3
"""Checks the rooms: who includes what, who names a family of models, that every header compiles alone,
that file names are unique.

    tools/check_layers.py [--root DIR] [--cc COMPILER]

src/LAYERS says which room may open which door. A room is a folder of src/; its door is <room>/<room>.h.
 - A file of a room includes its own room's files, the doors its line allows, include/vecmill.h and
   vecmill_bench.h where its line says `vecmill` and `vecmill_bench`, vecmill_status.h, and system headers. Rooms above it in the table never.
 - A file of tests/, fuzz/ or bench/ includes doors, files beside it, and the files of its own room:
   tests/<room>/, a fuzz target's `/* needs: dep_<room> */`, bench/bench_<room>*.c.
 - A file of python/ includes vecmill.h, what lies beside it, and system headers: no room.
 - A family of models is named in src/model/arch_*.c and in the list of src/model/arch.c, nowhere else in
   src/: not in code, strings or file names. Comments may. So may src/hub/registry.def, which lists
   models; "sentence_bert", which is a file's name; and in src/text/ the classes of tokenizers
   (BertNormalizer, DistilBertTokenizer).
 - Every header compiles alone; include/ also as C99 and C++11.
 - A file name occurs once (meson.build, README.md and corpora apart), so that a name in a message is a place.
Prints each fault with its place, then a count; exits 1 if there was one."""

import argparse
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

SOURCE = {'.c', '.h', '.def', '.inc'}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]*)"|<([^>]*)>|(.*))', re.M)
OPEN_TO_ALL = {'vecmill_status.h'}
FAMILIES = set('bert roberta camembert distilbert mpnet nomic gte modernbert jina qwen gemma eurobert '
               'deberta'.split())
NAMES_FAMILIES = re.compile(r'src/(model/arch(_\w+)?\.c|hub/registry\.def)')
TOKENIZER_WORDS = {'normalizer', 'pre', 'processing', 'tokenizer'}
SKIP = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.S)
# The words of a name: of snake_case and of CamelCase, without digits.
NAME = re.compile(r'[A-Za-z_]\w*')
WORD = re.compile(r'[A-Z]?[a-z]+|[A-Z]+(?![a-z])')


class Faults:
    def __init__(self):
        self.lines = []

    def add(self, place, sentence):
        self.lines.append(f'{place}: {sentence}')


def read_layers(path, faults):
    """room -> set of rooms it may open, in the order of the file."""
    layers = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split('#')[0].strip()
        if not line:
            continue
        room, colon, rest = line.partition(':')
        room = room.strip()
        if not colon or not room.isidentifier() or room in layers:
            faults.add(f'{path.name}:{number}', f'"{line}" is no new line of the form "room: rooms"')
            continue
        for other in rest.split():
            if other not in ('vecmill', 'vecmill_bench') and other not in layers:
                faults.add(f'{path.name}:{number}',
                           f'{room} may not open {other}, which does not stand above it')
        layers[room] = set(rest.split())
    return layers


def own_room(root, path, text, layers):
    """The room whose inner files this file may include, or None."""
    parts = path.relative_to(root).parts
    if parts[0] == 'src':
        return parts[1]
    if parts[0] == 'tests':
        return parts[1]
    if parts[0] == 'fuzz':
        needs = re.search(r'needs: dep_(\w+)', text)
        return needs.group(1) if needs else None
    if parts[0] == 'bench':
        return next((r for r in layers if path.stem.startswith((r, 'bench_' + r))), None)
    return None


def check_includes(root, path, layers, faults):
    text = path.read_text(errors='replace')
    parts = path.relative_to(root).parts
    room = own_room(root, path, text, layers)
    inside = parts[0] == 'src'
    for match in INCLUDE.finditer(text):
        place = f'{path.relative_to(root)}:{text.count(chr(10), 0, match.start()) + 1}'
        quoted, system, other = match.groups()
        if other is not None:
            faults.add(place, f'includes by a macro, "{other.strip()}", which nobody can check')
            continue
        if system is not None:
            if any((root / base / system).exists() for base in ('src', 'include')):
                faults.add(place, f'<{system}> is ours and wants quotes')
            continue
        name = quoted
        found = next((c for c in (path.parent / name, root / 'src' / name, root / 'include' / name)
                      if c.is_file()), None)
        if found is None:
            faults.add(place, f'"{name}" is neither beside it nor in src/ or include/')
            continue
        target = Path(os.path.normpath(found)).relative_to(root).parts
        if target[0] == 'include':
            if inside and target[-1] not in OPEN_TO_ALL and Path(name).stem not in layers[room]:
                faults.add(place, f'{room} may not open {name}')
            if parts[0] == 'python' and target[-1] == 'vecmill_bench.h':
                faults.add(place, f'{name} is not installed; the package knows vecmill.h alone')
        elif target[0] == 'src':
            to = target[1]
            if parts[0] == 'python':
                faults.add(place, f'"{name}" is inside {to}; the package knows vecmill.h alone')
                continue
            if to == room:
                continue
            if target[2:] != (to + '.h',):
                faults.add(place, f'"{name}" is inside {to}, whose door is {to}/{to}.h')
            elif inside and to not in layers[room]:
                faults.add(place, f'{room} may not open {to}')
        elif inside:
            faults.add(place, f'"{name}" is outside src/ and include/')


def family_in(name, is_tokenizer):
    """The family that a name has among its words, or None."""
    words = ['', *(word.lower() for word in WORD.findall(name)), '']
    for first in range(1, len(words)):
        for end in range(first + 1, min(first + 4, len(words))):  # RoBERTa: Ro, BER and Ta
            family = ''.join(words[first:end])
            if family in FAMILIES and words[first - 1] != 'sentence' and \
                    not (is_tokenizer and words[end] in TOKENIZER_WORDS):
                return family
    return None


def check_families(root, path, faults):
    place = str(path.relative_to(root))
    if NAMES_FAMILIES.fullmatch(place):
        return
    is_tokenizer = path.relative_to(root).parts[1] == 'text'
    code = SKIP.sub(lambda match: re.sub(r'[^\n]', ' ', match.group(0))
                    if match.group(0).startswith('/') else match.group(0), path.read_text(errors='replace'))
    found = [(1, path.stem)] + [(code.count('\n', 0, match.start()) + 1, match.group(0))
                                for match in NAME.finditer(code)]
    for line, name in found:
        family = family_in(name.replace('ColBERT', ''), is_tokenizer)  # a way to use any family
        if family:
            faults.add(f'{place}:{line}', f'{name} names the family {family}, which only '
                       'src/model/arch_*.c may')


def compile_alone(root, cc, path, faults):
    relative = path.relative_to(root)
    flags = [['-std=gnu17', '-D_GNU_SOURCE', '-x', 'c']]
    if relative.parts[0] == 'include':
        flags += [['-std=c99', '-pedantic', '-x', 'c'], ['-std=c++11', '-pedantic', '-x', 'c++']]
    if relative.parts[0] == 'python':
        flags[0] += ['-I' + sysconfig.get_paths()['include'], '-DPy_LIMITED_API=0x030b0000']
    for level, extra in (('avx2', ['-mavx2', '-mfma', '-mf16c']),
                         ('avx512', ['-mavx512f', '-mavx512bw', '-mavx512dq', '-mavx512vl', '-mfma'])):
        if level in path.stem:
            flags[0] += extra
    for options in flags:
        # Included from an empty file: compiled itself, a header would warn of its own #pragma or guard.
        done = subprocess.run(
            [cc, '-fsyntax-only', '-Wall', '-Wextra', '-Werror', f'-I{root}/include', f'-I{root}/src',
             *options, '-include', str(path), '/dev/null'], capture_output=True, text=True)
        if done.returncode != 0:
            first = next((l for l in done.stderr.splitlines() if 'error' in l), done.stderr.strip())
            faults.add(relative, f'does not compile alone with {options[0]}: {first}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--root', type=Path, default=Path(__file__).resolve().parent.parent)
    parser.add_argument('--cc', default='clang')
    options = parser.parse_args()
    root = options.root.resolve()
    faults = Faults()

    layers = read_layers(root / 'src' / 'LAYERS', faults)
    rooms = {p.name for p in (root / 'src').iterdir() if p.is_dir()}
    for room in sorted(rooms - layers.keys()):
        faults.add(f'src/{room}', 'has no line in src/LAYERS')
    for room in sorted(layers.keys() - rooms):
        faults.add('LAYERS', f'{room} has no folder in src/')

    files, names = [], {}
    for top in ('src', 'include', 'python', 'tests', 'fuzz', 'bench', 'tools'):
        for path in sorted((root / top).rglob('*')):
            if not path.is_file() or path.suffix == '.pyc' or 'corpus' in path.parts:
                continue
            if path.name not in ('meson.build', 'README.md', '__init__.py'):
                names.setdefault(path.name, []).append(str(path.relative_to(root)))
            if path.suffix in SOURCE:
                files.append(path)
    for name, places in sorted(names.items()):
        if len(places) > 1:
            faults.add(places[0], 'has the name of ' + ' and '.join(places[1:]))

    for path in files:
        parts = path.relative_to(root).parts
        if parts[0] == 'src' and (len(parts) < 3 or parts[1] not in layers):
            continue
        check_includes(root, path, layers, faults)
        if parts[0] == 'src':
            check_families(root, path, faults)
        if path.suffix == '.h':
            compile_alone(root, options.cc, path, faults)

    for line in faults.lines:
        print(line)
    print(f'layers: {len(files)} files checked, {len(faults.lines)} faults')
    return 1 if faults.lines else 0


if __name__ == '__main__':
    sys.exit(main())
