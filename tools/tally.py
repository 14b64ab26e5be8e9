#!/usr/bin/env python3
"""Adds up Meson test logs.

    tools/tally.py --out FILE NAME=build/meson-logs/testlog.json ...

A program that ends by printing `room-subject: N passed, M failed` counts as that many tests; any other, and
one that ended badly all the same, counts once. Prints what failed, with the end of its output, what was
skipped, with its reason, what a program left to the long form, and one line a log; then, over all logs, the seconds of each suite and the programs
that took longest. FILE gets `passed failed`.

Seconds are wall time of each program, and processor time of it and its children where the test ran under
`sh -c '"$@"; s=$?; times; exit $s' sh`, whose last line says it. A suite that mostly waits has little of the
second and much of the first: more of its programs can run at once."""

import argparse
import json
import re

LONGEST = 15
# A line of the shell's `times`: user and system time of itself, and in a second line of its children.
TIMES = re.compile(r'^(\d+)m([\d.]+)s (\d+)m([\d.]+)s$', re.M)
LEFT = re.compile(r'^left to --long: .*$', re.M)
COUNTS = re.compile(r'^\S+: (\d+) passed, (\d+) failed$', re.M)


def count(test):
    """(passed, failed) of one entry of the log"""
    ok = test['result'] in ('OK', 'EXPECTEDFAIL')
    found = COUNTS.findall(test.get('stdout') or '')
    passed, failed = (int(n) for n in found[-1]) if found else (1 if ok else 0, 0)
    if ok and failed or not ok and not failed:
        failed = max(failed, 1)
    return passed, failed


def times(text):
    """The seconds, user and system together, of each line that the shell's `times` has printed."""
    return [60 * (float(user_minutes) + float(system_minutes)) + float(user) + float(system)
            for user_minutes, user, system_minutes, system in TIMES.findall(text)]


def processor_seconds(test):
    """Of a test and its children, or None where it was not measured."""
    found = times(test.get('stdout') or '')
    return found[-1] if found else None


def seconds(tests):
    """`W s, processor P s` of these tests."""
    measured = [s for s in map(processor_seconds, tests) if s is not None]
    note = f', processor {sum(measured):.1f} s' if len(measured) == len(tests) else ''
    return f'{sum(t["duration"] for t in tests):.1f} s{note}'


def print_times(logs):
    """Where the time of all logs went: {name: [test]}."""
    suites, titled = {}, []
    for name, tests in logs.items():
        for test in tests:
            suite, _, title = test['name'].rpartition(' / ')
            suites.setdefault(f'{name} {suite.split(":")[-1] or "-"}', []).append(test)
            titled.append((f'{name} {title}', test))
    for suite, tests in sorted(suites.items(), key=lambda s: -sum(t['duration'] for t in s[1])):
        print(f'-- suite {suite}: {len(tests)} programs, {seconds(tests)}')
    for title, test in sorted(titled, key=lambda t: -t[1]['duration'])[:LONGEST]:
        print(f'-- longest: {title}, {seconds([test])}')
    tests = [test for _, test in titled]
    if tests:
        begin = min(t.get('starttime', 0) for t in tests)
        end = max(t.get('starttime', 0) + t['duration'] for t in tests)
        print(f'-- all: {len(tests)} programs, {seconds(tests)}, within {end - begin:.1f} s')


def reason(test):
    """The last line that says something, for a test that was skipped."""
    lines = [l.strip() for l in (test.get('stdout') or '').splitlines() if l.strip()]
    lines = [l for l in lines if not COUNTS.match(l) and not TIMES.match(l)]
    named = [l for l in lines if 'skip' in l.lower()]
    return re.sub(r'^skip(ped)?: *', '', (named or lines or ['no reason given'])[-1], flags=re.I)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', required=True)
    parser.add_argument('logs', nargs='+', metavar='NAME=LOG')
    options = parser.parse_args()
    all_passed = all_failed = 0
    logs = {}
    for pair in options.logs:
        name, _, path = pair.partition('=')
        try:
            with open(path) as log:
                tests = [json.loads(line) for line in log if line.strip()]
        except (OSError, ValueError) as problem:
            print(f'-- {name}: its log cannot be read: {problem}')
            all_failed += 1
            continue
        logs[name] = tests
        passed = failed = skipped = 0
        for test in sorted(tests, key=lambda t: t['name']):
            title = test['name'].split(' / ')[-1]
            if test['result'] == 'SKIP':
                skipped += 1
                print(f'-- {name}: {title} skipped: {reason(test)}')
                continue
            for line in LEFT.findall(test.get('stdout') or ''):
                print(f'-- {name}: {title} {line}')
            p, f = count(test)
            passed, failed = passed + p, failed + f
            if f:
                print(f'-- {name}: {title} failed ({test["result"]}, {test["duration"]:.1f} s); '
                      'the end of what it said:')
                said = (test.get('stdout') or '') + (test.get('stderr') or '')
                print('\n'.join('   | ' + line for line in said.splitlines()[-40:]))
        print(f'-- {name}: {len(tests)} programs, {passed} passed, {failed} failed, {skipped} skipped')
        if not tests:
            failed = 1
        all_passed, all_failed = all_passed + passed, all_failed + failed
    print_times(logs)
    with open(options.out, 'w') as out:
        out.write(f'{all_passed} {all_failed}\n')


if __name__ == '__main__':
    main()
