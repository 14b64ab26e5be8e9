#!/usr/bin/env python3
"""Runs clang-tidy over src/, with .clang-tidy's checks and each file's own compile flags.

    tools/check_tidy.py [--quick] BUILD [FILE...]

BUILD is a configured build folder, whose compile_commands.json has the flags. Files: by default all of
src/; each compiled one is looked at, with the headers and .inc files that it includes. --quick leaves
out clang-analyzer, which follows paths through functions and takes most of the time.
Prints each fault with its place, then a count; exits 1 if there was one, 2 without a
configured build folder, 77 where clang-tidy is missing.
`clang-tidy -p BUILD FILE` shows how the analyzer came to a fault."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAULT = re.compile(r'^(\S+:\d+):\d+: (?:warning|error): (.*)$', re.M)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('build', type=Path)
    parser.add_argument('files', type=Path, nargs='*')
    options = parser.parse_args()
    if not shutil.which('clang-tidy'):
        print('clang-tidy is not installed, so nothing was checked')
        return 77

    build = options.build.resolve()
    database = build / 'compile_commands.json'
    if not database.is_file():
        print(f'{options.build} is no configured build folder: it has no {database.name}')
        return 2
    compiled = {(Path(entry['directory']) / entry['file']).resolve()
                for entry in json.loads(database.read_text())}
    files = [path.resolve() for path in options.files] or list((ROOT / 'src').rglob('*.c'))
    faults = {f'{path.relative_to(ROOT)}:1: {options.build} does not compile it'
              for path in files if path not in compiled}
    # What assert states may be taken for granted, in an optimised build folder too.
    command = ['clang-tidy', '--quiet', '-p', str(build), '--extra-arg=-UNDEBUG']
    if options.quick:
        command.append('--checks=-clang-analyzer-*')

    def look_at(path):
        done = subprocess.run([*command, str(path)], capture_output=True, text=True, cwd=ROOT)
        found = {f'{os.path.relpath(os.path.join(build, place), ROOT)}: {sentence}'
                 for place, sentence in FAULT.findall(done.stdout)}
        if done.returncode != 0 and not found:
            found = {f'{path.relative_to(ROOT)}:1: clang-tidy failed: {done.stderr.strip()}'}
        return found

    # Longest first, so that no core is left with a long one at the end.
    files = sorted((path for path in files if path in compiled), key=lambda path: -path.stat().st_size)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(look_at, files):
            faults |= found
    for line in sorted(faults):
        print(line)
    print(f'tidy: {len(files)} files checked, {len(faults)} faults')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
