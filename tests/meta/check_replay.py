#!/usr/bin/env python3
"""The runner of fuzz targets finds a planted fault, names the mutation, and finds it there again.

    check_replay.py PLANTED_FAULT"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop(1)


class Replay(unittest.TestCase):
    def run_on(self, *arguments, files=(('one', b'{"a": [1, 2'), ('two', b''))):
        with tempfile.TemporaryDirectory(prefix='vecmill-replay-') as folder:
            for name, data in files:
                (Path(folder) / name).write_bytes(data)
            return subprocess.run([PROGRAM, *arguments, folder], capture_output=True, text=True,
                                  timeout=600)

    def test_finds_names_and_finds_again(self):
        first = self.run_on('-n', '100000')
        self.assertNotEqual(first.returncode, 0)
        named = re.search(r'failed in mutation (\d+) of .*/(one|two) ', first.stderr)
        self.assertTrue(named, first.stderr)
        again = self.run_on('-i', named.group(1))
        self.assertNotEqual(again.returncode, 0)
        self.assertIn(f'failed in mutation {named.group(1)} of', again.stderr)

    def test_input_as_it_is(self):
        done = self.run_on('-n', '0', files=[('one', b'}')])
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('/one as it is', done.stderr)

    def test_counts(self):
        done = self.run_on('-n', '5')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('2 files, 12 runs', done.stdout)

    def test_refuses_nothing_to_do(self):
        for arguments, files in (((), ()), (('-n', '-1'), ()), (('-n', '1x'), ()), (('-x',), ())):
            done = self.run_on(*arguments, files=files)
            self.assertEqual(done.returncode, 2, done.stdout + done.stderr)


if __name__ == '__main__':
    result = unittest.main(exit=False, verbosity=1).result
    bad = len(result.failures) + len(result.errors)
    print(f'meta-replay: {result.testsRun - bad} passed, {bad} failed')
    sys.exit(1 if bad else 0)
