#!/usr/bin/env python3
"""Adds up Meson test logs.

    tools/tally.py --out FILE NAME=build/meson-logs/testlog.json ...

A program that ends by printing `room-subject: N passed, M failed` counts as so many; any other, and one
that ended badly all the same, counts once. Prints what failed, with the end of its output, what was
skipped, with its reason, and one line a log; FILE gets `passed failed`."""

import argparse
import json
import re

COUNTS = re.compile(r'^\S+: (\d+) passed, (\d+) failed$', re.M)


def count(test):
    """(passed, failed) of one entry of the log"""
    ok = test['result'] in ('OK', 'EXPECTEDFAIL')
    found = COUNTS.findall(test.get('stdout') or '')
    passed, failed = (int(n) for n in found[-1]) if found else (1 if ok else 0, 0)
    if ok and failed or not ok and not failed:
        failed = max(failed, 1)
    return passed, failed


def reason(test):
    """The last line that says something, for a test that was skipped."""
    lines = [l.strip() for l in (test.get('stdout') or '').splitlines() if l.strip()]
    lines = [l for l in lines if not COUNTS.match(l)]
    named = [l for l in lines if 'skip' in l.lower()]
    return re.sub(r'^skip(ped)?: *', '', (named or lines or ['no reason given'])[-1], flags=re.I)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', required=True)
    parser.add_argument('logs', nargs='+', metavar='NAME=LOG')
    options = parser.parse_args()
    all_passed = all_failed = 0
    for pair in options.logs:
        name, _, path = pair.partition('=')
        try:
            with open(path) as log:
                tests = [json.loads(line) for line in log if line.strip()]
        except (OSError, ValueError) as problem:
            print(f'-- {name}: its log cannot be read: {problem}')
            all_failed += 1
            continue
        passed = failed = skipped = 0
        for test in sorted(tests, key=lambda t: t['name']):
            title = test['name'].split(' / ')[-1]
            if test['result'] == 'SKIP':
                skipped += 1
                print(f'-- {name}: {title} skipped: {reason(test)}')
                continue
            p, f = count(test)
            passed, failed = passed + p, failed + f
            if f:
                print(f'-- {name}: {title} failed ({test["result"]}, {test["duration"]:.1f} s); '
                      'the end of what it said:')
                said = (test.get('stdout') or '') + (test.get('stderr') or '')
                print('\n'.join('   | ' + line for line in said.splitlines()[-40:]))
        slow = max(tests, key=lambda t: t['duration'], default=None)
        note = f'; longest {slow["name"].split(" / ")[-1]}, {slow["duration"]:.1f} s' if slow else ''
        print(f'-- {name}: {len(tests)} programs, {passed} passed, {failed} failed, {skipped} skipped'
              f'{note}')
        if not tests:
            failed = 1
        all_passed, all_failed = all_passed + passed, all_failed + failed
    with open(options.out, 'w') as out:
        out.write(f'{all_passed} {all_failed}\n')


if __name__ == '__main__':
    main()
