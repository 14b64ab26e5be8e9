#!/usr/bin/env python3
"""tests/FORMS decides what ./check runs, so what reads it is held to this: the first line that matches counts, a test
without a line is run and reported, and a line without a test is reported."""

import contextlib
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path.append(str(Path(__file__).resolve().parent.parent.parent / 'tools'))
import forms  # noqa: E402

TABLE = '''# a table
build       room-slow*   long    70  it is slow
build       room-*       short    9  -
build-asan  room-fast    short    1  -
step        lint         short    1  -
step        peers-one    long    12  wants the network
'''
CHECK = 'step lint true\nfor name in one two; do step "peers-$name" true; done\n'
TESTS = [{'name': name, 'depends': ['id-' + name], 'cmd': []} for name in ('room-fast', 'room-slow', 'room-slower')]


class Forms(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='vecmill-forms-')
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name).resolve()
        (self.root / 'tests').mkdir()
        (self.root / 'check').write_text(CHECK)
        self.table(TABLE)
        (self.root / 'build').mkdir()
        (self.root / 'build' / 'build.ninja').touch()
        self.tests = {'build': TESTS}

    def table(self, text):
        (self.root / 'tests' / 'FORMS').write_text(text)

    def introspect(self, root, folder, what):
        if what == '--tests':
            return self.tests[folder]
        return [{'id': 'id-' + test['name'], 'filename': [f'{root}/{folder}/{test["name"]}.exe']}
                for test in self.tests[folder]]

    def run_tool(self, *words):
        """(status, lines printed)"""
        said = io.StringIO()
        with mock.patch.object(forms, 'introspect', self.introspect), contextlib.redirect_stdout(said), \
                mock.patch.object(sys, 'argv', ['forms.py', '--root', str(self.root), *words]):
            status = forms.main()
        return status, said.getvalue().splitlines()

    def test_forms(self):
        self.assertEqual(self.run_tool('tests', 'short', 'build'), (0, ['room-fast']))
        self.assertEqual(self.run_tool('tests', 'long', 'build'), (0, ['room-fast', 'room-slow', 'room-slower']))
        self.assertEqual(self.run_tool('targets', 'short', 'build'), (0, ['room-fast.exe']))
        self.assertEqual(self.run_tool('left-steps', 'short'), (0, ['peers-one']))
        self.assertEqual(self.run_tool('left-steps', 'long'), (0, ['']))
        self.assertEqual(self.run_tool('left'), (0, ['build room-slow*, 70 s: it is slow',
                                                     'step peers-one, 12 s: wants the network']))

    def test_what_has_no_line_runs(self):
        self.tests = {'build': TESTS + [{'name': 'other', 'depends': [], 'cmd': []}]}
        self.assertEqual(self.run_tool('tests', 'short', 'build'), (0, ['room-fast', 'other']))
        status, said = self.run_tool('lint')
        self.assertEqual((status, said[0]), (1, 'build: other has no line in tests/FORMS'))

    def test_lint(self):
        self.assertEqual(self.run_tool('lint'), (0, ['forms: 5 lines, 0 faults']))
        self.table(TABLE + 'build  gone-*  short  1  -\nstep  peers-three  long  1  -\n')
        self.assertEqual(self.run_tool('lint'), (1, ['tests/FORMS:7: no test of build is gone-*',
                                                     'tests/FORMS:8: no test of step is peers-three',
                                                     'forms: 7 lines, 2 faults']))
        self.table(TABLE.replace('step        lint', 'step        lunt'))
        self.assertEqual(self.run_tool('lint')[1][0], 'check: step lint has no line in tests/FORMS')
        for line in ('build room short 1', 'build room sometimes 1 -', 'other room short 1 -'):
            self.table(TABLE + line + '\n')
            status, said = self.run_tool('lint')
            self.assertEqual(status, 1)
            self.assertIn('tests/FORMS:7: ', said[0])

    def test_seconds(self):
        log, step, other = (self.root / name for name in ('log', 'lint.times', 'unknown.times'))
        log.write_text(''.join(
            json.dumps({'name': 'vecmill:room / ' + name, 'result': result,
                        'stdout': f'0m0.0s 0m0.0s\n{n // 60}m{n % 60}.2s 0m0.0s\n'}) + '\n'
            for name, n, result in (('room-slow', 100, 'OK'), ('room-slower', 900, 'FAIL'), ('room-fast', 5, 'SKIP'))))
        step.write_text('0m1.0s 0m0.5s\n0m2.0s 0m0.5s\n')
        other.write_text('0m1.0s 0m0.5s\n0m2.0s 0m0.5s\n')
        self.assertEqual(self.run_tool('seconds', f'build={log}', str(step), str(other)), (0, []))
        self.assertEqual((self.root / 'tests' / 'FORMS').read_text(),
                         TABLE.replace(' long    70 ', ' long  1000 ').replace('lint         short    1',
                                                                              'lint         short    4'))


if __name__ == '__main__':
    result = unittest.main(exit=False, verbosity=1).result
    bad = len(result.failures) + len(result.errors)
    print(f'meta-forms: {result.testsRun - bad} passed, {bad} failed')
    sys.exit(1 if bad else 0)
