#!/usr/bin/env python3
"""The sum at the end of `check` counts what it should: a test that fails anywhere turns it red."""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TALLY = Path(__file__).resolve().parent.parent.parent / 'tools' / 'tally.py'


def entry(result, stdout='', stderr='', name='suite / a-test', duration=0.1, starttime=0.0):
    return {'name': 'vecmill:' + name, 'result': result, 'duration': duration, 'starttime': starttime,
            'stdout': stdout, 'stderr': stderr}


class Tally(unittest.TestCase):
    def tally(self, *logs):
        with tempfile.TemporaryDirectory(prefix='vecmill-tally-') as folder:
            pairs = []
            for i, log in enumerate(logs):
                path = Path(folder) / f'{i}.json'
                if log is not None:
                    path.write_text(log if isinstance(log, str) else
                                    ''.join(json.dumps(e) + '\n' for e in log))
                pairs.append(f'log{i}={path}')
            out = Path(folder) / 'out'
            done = subprocess.run([sys.executable, str(TALLY), '--out', str(out), *pairs],
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout, tuple(int(n) for n in out.read_text().split())

    def expect(self, passed, failed, *logs):
        told, counts = self.tally(*logs)
        self.assertEqual(counts, (passed, failed), told)
        return told

    def test_counts_of_programs(self):
        self.expect(7, 0, [entry('OK', 'room-subject: 7 passed, 0 failed\n')])
        self.expect(3, 0, [entry('OK', 'a: 1 passed, 0 failed\na: 3 passed, 0 failed\n')])

    def test_a_program_without_counts_is_one(self):
        self.expect(2, 0, [entry('OK'), entry('OK', 'said something\n')])
        self.expect(1, 0, [entry('EXPECTEDFAIL')])

    def test_failures(self):
        told = self.expect(4, 2, [entry('FAIL', 'a\nroom: 4 passed, 2 failed\n', 'why it failed\n')])
        self.assertIn('why it failed', told)
        for result in ('FAIL', 'TIMEOUT', 'ERROR', 'INTERRUPT', 'UNEXPECTEDPASS'):
            self.expect(0, 1, [entry(result)])

    def test_a_bad_end_after_good_counts(self):
        self.expect(4, 1, [entry('FAIL', 'room: 4 passed, 0 failed\n')])
        self.expect(4, 1, [entry('OK', 'room: 4 passed, 1 failed\n')])

    def test_skips_are_named_with_their_reason(self):
        told = self.expect(1, 0, [entry('OK'), entry('SKIP', 'this processor lacks avx512, skipped\n')])
        self.assertIn('a-test skipped: this processor lacks avx512', told)
        told = self.expect(1, 0, [entry('OK'), entry('SKIP', 'skipped: no model\n')])
        self.assertIn('a-test skipped: no model', told)

    def test_what_is_left_to_the_long_form_is_named(self):
        told = self.expect(2, 0, [entry('OK', 'left to --long: a.b: a minute\na: 2 passed, 0 failed\n')])
        self.assertIn('-- log0: a-test left to --long: a.b: a minute\n', told)

    def test_times(self):
        """The shell's `times` is neither a count nor a reason; suites and the longest come with its sum."""
        times = '0m0.010s 0m0.020s\n1m2.500s 0m0.500s\n'
        told = self.expect(4, 0, [entry('OK', 'a: 3 passed, 0 failed\n' + times, duration=70, starttime=5),
                                  entry('SKIP', 'skipped: no model\n' + times, name='suite / b')],
                           [entry('OK', times, name='other / c', duration=2)])
        self.assertIn('-- suite log0 suite: 2 programs, 70.1 s, processor 126.0 s\n', told)
        self.assertIn('-- suite log1 other: 1 programs, 2.0 s, processor 63.0 s\n', told)
        self.assertIn('b skipped: no model\n', told)
        longest = [line for line in told.splitlines() if line.startswith('-- longest: ')]
        self.assertEqual([line.split()[2:4] for line in longest],
                         [['log0', 'a-test,'], ['log1', 'c,'], ['log0', 'b,']])
        self.assertIn('-- all: 3 programs, 72.1 s, processor 189.0 s, within 75.0 s\n', told)
        told = self.expect(30, 0, [entry('OK', name=f'suite / t{i}', duration=i) for i in range(30)])
        self.assertEqual(told.count('-- longest: '), 15)
        self.assertIn('-- longest: log0 t29, 29.0 s\n', told)
        self.assertNotIn('processor', told)

    def test_logs(self):
        self.expect(2, 0, [entry('OK')], [entry('OK')])
        self.expect(1, 1, [entry('OK')], None)
        self.expect(1, 1, [entry('OK')], 'no json\n')
        self.expect(1, 1, [entry('OK')], [])


if __name__ == '__main__':
    result = unittest.main(exit=False, verbosity=1).result
    bad = len(result.failures) + len(result.errors)
    print(f'meta-tally: {result.testsRun - bad} passed, {bad} failed')
    sys.exit(1 if bad else 0)
