#!/usr/bin/env python3
"""Which tests run in which form of `check`: reads tests/FORMS, whose head says what its columns mean.

    tools/forms.py tests FORM BUILD       the Meson tests of BUILD's folder that FORM runs, a name a line
    tools/forms.py targets FORM BUILD     what Ninja has to build for them
    tools/forms.py left-steps FORM        the steps of check that FORM leaves out, a name a line
    tools/forms.py left                   what the short form leaves to the long one, and why
    tools/forms.py lint                   each test has a line, and each line a test; in the folders that are there
    tools/forms.py seconds LOG...         writes the seconds of these logs into the table: BUILD=testlog.json, or a
                                          step's STEP.times

A build is named by its folder: build, build-asan. The long form runs everything."""

import argparse
import json
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import tally

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ('build', 'build-asan')
STEP = 'step'
FORMS = ('short', 'long')
LINE = re.compile(r'(\S+)(\s+)(\S+)(\s+)(\S+)(\s+)(\S+)(\s+)(\S.*)')


class Line:
    def __init__(self, number, text):
        fields = LINE.fullmatch(text)
        if not fields:
            raise ValueError(f'tests/FORMS:{number}: has no five columns: {text}')
        self.number, self.fields = number, list(fields.groups())
        self.place, self.pattern, self.form, self.seconds, self.why = self.fields[::2]
        if self.place not in (*FOLDERS, STEP) or self.form not in FORMS:
            raise ValueError(f'tests/FORMS:{number}: {self.place} {self.form} is none of '
                             f'{"|".join((*FOLDERS, STEP))} {"|".join(FORMS)}')

    def matches(self, place, name):
        return place == self.place and fnmatchcase(name, self.pattern)


def read(path):
    """The table's lines, in its order; comments and blank lines left out."""
    return [Line(number, text) for number, text in enumerate(path.read_text().splitlines(), 1)
            if text.strip() and not text.startswith('#')]


def line_of(lines, place, name):
    """The first line that matches, or None."""
    return next((line for line in lines if line.matches(place, name)), None)


def introspect(root, folder, what):
    done = subprocess.run(['meson', 'introspect', what, str(root / folder)], check=True, capture_output=True)
    return json.loads(done.stdout)


def chosen(lines, form, folder, tests):
    """Those that the form runs. A test without a line is run: nothing is left out by mistake."""
    if form == 'long':
        return tests
    return [test for test in tests
            if not (line := line_of(lines, folder, test['name'])) or line.form == 'short']


def targets(root, folder, tests):
    """Files to build, relative to the folder."""
    files = {target['id']: target['filename'] for target in introspect(root, folder, '--targets')}
    wanted = {file for test in tests for id in test['depends'] for file in files[id]}
    top = str((root / folder).resolve()) + '/'
    return sorted(file.removeprefix(top) for file in wanted)


def occurs(script, name):
    """Whether check has a step of this name, written out or as `room-$name` of a loop over names."""
    room, _, rest = name.partition('-')
    return bool(re.search(rf'(?<![\w-]){re.escape(name)}(?![\w-])', script) or
                f'"{room}-$name"' in script and re.search(rf'\bin\b.*\b{re.escape(rest)}\b.*; do', script))


def lint(root, lines):
    """The faults of the table, a sentence each."""
    used, faults = set(), []
    present = [folder for folder in FOLDERS if (root / folder / 'build.ninja').exists()]
    for folder in present:
        for test in introspect(root, folder, '--tests'):
            line = line_of(lines, folder, test['name'])
            if line is None:
                faults.append(f'{folder}: {test["name"]} has no line in tests/FORMS')
            used.add(line)
    script = (root / 'check').read_text()
    for name in sorted(set(re.findall(r'\b(?:step|tests_of|wanted) ([a-z][a-z0-9-]*)', script))):
        if line_of(lines, STEP, name) is None:
            faults.append(f'check: step {name} has no line in tests/FORMS')
    for line in lines:
        if line.place == STEP and occurs(script, line.pattern):
            used.add(line)
    for line in lines:
        if line not in used and line.place in (*present, STEP):
            faults.append(f'tests/FORMS:{line.number}: no test of {line.place} is {line.pattern}')
    return faults


def write_seconds(path, lines, logs):
    """Replaces the seconds of each line for which the logs hold a test."""
    sums = {}
    for log in logs:
        folder, equals, file = log.partition('=')
        if equals:
            tests = map(json.loads, Path(file).read_text().splitlines())
            found = [(folder, test['name'].split(' / ')[-1], tally.processor_seconds(test) or 0)
                     for test in tests if test['result'] != 'SKIP']
        else:
            found = [(STEP, Path(log).stem, sum(tally.times(Path(log).read_text())))]
        for place, name, n in found:
            if line := line_of(lines, place, name):
                sums[line] = sums.get(line, 0) + n
    text = path.read_text().splitlines()
    for line, n in sums.items():
        written = f'{n:.0f}'
        gap = max(len(line.fields[5]) + len(line.seconds) - len(written), 1)
        text[line.number - 1] = ''.join([*line.fields[:5], ' ' * gap, written, *line.fields[7:]])
    path.write_text('\n'.join(text) + '\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--root', type=Path, default=ROOT)
    parser.add_argument('verb', choices=('tests', 'targets', 'left-steps', 'left', 'lint', 'seconds'))
    parser.add_argument('words', nargs='*')
    options = parser.parse_args()
    root, words = options.root.resolve(), options.words
    path = root / 'tests' / 'FORMS'
    try:
        lines = read(path)
    except (OSError, ValueError) as problem:
        print(problem)
        return 1

    if options.verb in ('tests', 'targets'):
        form, folder = words
        tests = chosen(lines, form, folder, introspect(root, folder, '--tests'))
        print('\n'.join([test['name'] for test in tests] if options.verb == 'tests' else targets(root, folder, tests)))
    elif options.verb == 'left-steps':
        print('\n'.join(line.pattern for line in lines
                        if words == ['short'] and line.place == STEP and line.form == 'long'))
    elif options.verb == 'left':
        for line in lines:
            if line.form == 'long':
                print(f'{line.place} {line.pattern}, {line.seconds} s: {line.why}')
    elif options.verb == 'seconds':
        write_seconds(path, lines, words)
    else:
        faults = lint(root, lines)
        print('\n'.join([*faults, f'forms: {len(lines)} lines, {len(faults)} faults']))
        return 1 if faults else 0
    return 0


if __name__ == '__main__':
    sys.exit(main())
