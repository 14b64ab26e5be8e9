#!/usr/bin/env python3
"""Checks what CONVENTIONS.md asks for and neither compiler nor clang-format sees.

    tools/check_taste.py [--root DIR]

 - src/: only base/alloc.c calls malloc and its kin; nobody calls alloca, or functions that allocate
   behind the caller's back (getline, asprintf); no abort, exit or printf to a standard stream in the
   library's rooms.
 - C files: no // comments, no tabs, at most 900 lines (tables, .def and .inc, may be longer and wider);
   a file opens with a comment, or, if it is a .c file, with the header of its own name, which does.
   clang-format holds code to 100 columns; a comment, which it leaves alone, may hang over by a word.
 - Python and shell: no tabs, at most 900 lines.
 - fuzz/: every fuzz_<name>.c is listed in fuzz/meson.build, has a corpus, and says what it needs.
 - Nothing is left for later: the usual markers do not occur.
Prints each fault with its place, then a count; exits 1 if there was one."""

import argparse
import re
import sys
from pathlib import Path

LINES_MAX = 900
COLUMNS_MAX = 110
HEAP = ('malloc calloc realloc reallocarray free strdup strndup aligned_alloc posix_memalign memalign '
        'getline getdelim asprintf vasprintf open_memstream').split()
HEAP_CALL = re.compile(r'(?<![\w.>])(?:__builtin_)?(' + '|'.join(HEAP) + r')\s*(?=[(,)])')
ALLOCA_CALL = re.compile(r'(?<![\w.>])(?:__builtin_)?alloca\s*\(')
# _exit(127) is how a child says that it could not become the program it was made for.
ENDS_CALL = re.compile(r'(?<![\w.>])(abort|exit|_exit(?!\(127\))|quick_exit|printf|puts|putchar|perror)'
                       r'\s*\(|\b(?:stdout|stderr)\b')
# The rooms of the library; app is a program, and so is a file NAME_main.c.
LIBRARY = {'base', 'kern', 'text', 'model', 'host', 'engine', 'hub', 'job', 'crew'}
LATER = re.compile(r'\b(' + '|'.join(('TO' + 'DO', 'FIX' + 'ME', 'X' * 3, 'HA' + 'CK')) + r')\b')
SKIP = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|/\*.*?\*/|//[^\n]*', re.S)


def blank(text):
    """(text with comments and string contents replaced by spaces, offsets of // comments)"""
    slashes = []

    def replace(match):
        piece = match.group(0)
        if piece.startswith('//'):
            slashes.append(match.start())
        kept = piece[0] if piece[0] in '"\'' else ' '
        return kept + re.sub(r'[^\n]', ' ', piece[1:-1]) + (kept if len(piece) > 1 else '')

    return SKIP.sub(replace, text), slashes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--root', type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root.resolve()
    faults, n_files = [], 0

    def fault(path, text, offset, sentence):
        faults.append(f'{path.relative_to(root)}:{text.count(chr(10), 0, offset) + 1}: {sentence}')

    def check_c(path, text):
        code, slashes = blank(text)
        parts = path.relative_to(root).parts
        for offset in slashes:
            fault(path, text, offset, '// marks a line that is being debugged; comments are /* */')
        own_header = re.match(r'#include "(?:\w+/)*' + re.escape(path.stem) + r'\.h"\n', text)
        if path.suffix in ('.c', '.h') and not text.startswith('/*') and \
                not (own_header and path.suffix == '.c'):
            fault(path, text, 0, 'does not open with a comment that says what it is')
        for number, line in enumerate(text.splitlines(), 1):
            if '\t' in line:
                faults.append(f'{path.relative_to(root)}:{number}: has a tab')
            if len(line) > COLUMNS_MAX and path.suffix in ('.c', '.h'):
                faults.append(f'{path.relative_to(root)}:{number}: has {len(line)} columns, over '
                              f'{COLUMNS_MAX}')
        if parts[0] != 'src':
            return
        if parts[1:] != ('base', 'alloc.c'):
            for match in HEAP_CALL.finditer(code):
                fault(path, text, match.start(), f'{match.group(1)}: base/alloc.c alone uses the heap')
        for match in ALLOCA_CALL.finditer(code):
            fault(path, text, match.start(), 'alloca: the stack has no size that fits every input')
        if parts[1] in LIBRARY and not path.stem.endswith('_main'):
            for match in ENDS_CALL.finditer(code):
                fault(path, text, match.start(),
                      f'{match.group(0).strip("( ")}: the library never exits, aborts or prints')

    for top in ('src', 'include', 'python', 'tests', 'fuzz', 'bench', 'tools', 'docs'):
        for path in sorted((root / top).rglob('*')):
            if path.suffix not in ('.c', '.h', '.def', '.inc', '.py', '.sh', '.md') or \
                    'corpus' in path.parts:
                continue
            n_files += 1
            text = path.read_text(errors='replace')
            for match in LATER.finditer(text):
                fault(path, text, match.start(), f'{match.group(1)} is left for later')
            n_lines = text.count('\n')
            if n_lines > LINES_MAX and path.suffix in ('.c', '.h', '.py', '.sh'):
                fault(path, text, 0, f'has {n_lines} lines, over {LINES_MAX}: it is two files')
            if path.suffix in ('.c', '.h', '.def', '.inc'):
                check_c(path, text)
            elif path.suffix != '.md' and '\t' in text:
                fault(path, text, text.index('\t'), 'has a tab')

    build = root / 'fuzz' / 'meson.build'
    listed = dict(re.findall(r"^  '(\w+)': *(\w+),", build.read_text(), re.M)) if build.exists() else {}
    for path in sorted((root / 'fuzz').glob('fuzz_*.c')):
        name = path.stem[len('fuzz_'):]
        needs = re.search(r'needs: (dep_\w+)', path.read_text())
        if name not in listed:
            fault(path, '', 0, 'is not listed in fuzz/meson.build')
        elif not needs or needs.group(1) != listed[name]:
            fault(path, '', 0, f'does not say "needs: {listed[name]}", as fuzz/meson.build does')
        if not list((root / 'fuzz' / 'corpus' / name).glob('*')):
            fault(path, '', 0, f'has no corpus in fuzz/corpus/{name}')
    for name in listed:
        if not (root / 'fuzz' / f'fuzz_{name}.c').exists():
            fault(build, '', 0, f'lists {name}, and there is no fuzz_{name}.c')

    for line in faults:
        print(line)
    print(f'taste: {n_files} files checked, {len(faults)} faults')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
