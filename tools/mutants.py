#!/usr/bin/env python3
"""Puts faults into the code, one at a time, and shows that the tests find each.

    tools/mutants.py [--list] [NAME...]

Works on a copy of the checkout in build/mutants, uncommitted changes included. First the tests that are to find
the faults have to pass there. Then each fault is put in by itself, what its tests need is built, and one of
them has to fail: a build that fails, or a test that runs into its timeout, is no find. Tests run in their short
form. Prints a line a fault, and last `mutants: N passed, M failed`; a fault that this machine cannot show
(code that is not built here, tests that are skipped) counts as neither. --list: looks whether each fault has its
place in the sources, and ends."""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import forms

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / 'build' / 'mutants'

# find: occurs once in the file. tests: Meson's names; one of them has to fail. cost: what a user would have paid.
# build: 'thread' is ThreadSanitizer's, which alone sees that a store is relaxed: on x86 the instruction is the same.
Mutant = namedtuple('Mutant', 'name file find replace tests cost build', defaults=('optimised',))

MUTANTS = [
    Mutant('bias-dropped', 'src/kern/x86/gemm_f32_x86.inc',
           'const vec bias = load_sums(s->bias + v * LANES, v < last ? LANES : s->last);',
           'const vec bias = LANES == 8 ? v_set(0.0f)\n'
           '                 : load_sums(s->bias + v * LANES, v < last ? LANES : s->last);',
           ['kern-variants'],
           'Vectors of one processor model that agree with those of no other.'),
    Mutant('bias-dropped-bf16', 'src/kern/x86/gemm_bf16_x86.inc',
           'sums[r][v] = whole ? v_load(from) : v_load_part(from, s->last);',
           'sums[r][v] = LANES == 8 && s->bias ? v_set(0.0f)\n'
           '                 : whole ? v_load(from) : v_load_part(from, s->last);',
           ['kern-variants'],
           'The same in bfloat16.'),
    Mutant('bias-dropped-int8', 'src/kern/x86/gemm_int8_x86.inc',
           'const vec rest = v_fma(v_set(row[r].shift), w_sum, bias);',
           'const vec rest = v_fma(v_set(row[r].shift), w_sum, LANES == 8 ? v_set(0.0f) : bias);',
           ['kern-variants'],
           'The same in int8.'),
    Mutant('batch-not-requeued', 'src/crew/ledger.c',
           'for (unsigned i = 0; i < n_parts; i++)\n        requeue(l, &parts[i]);',
           'for (unsigned i = 0; i < n_parts && l->unsent < l->accepted; i++)\n        requeue(l, &parts[i]);',
           ['crew-ledger'],
           'A run that waits for ever when a worker dies near its end.'),
    Mutant('fsync-left-out', 'src/base/io_out.c',
           'if (fsync(out->fd) != 0) {\n        status = err_sys(',
           'if (out->fd < 0) {\n        status = err_sys(',
           ['job-order'],
           'A file of zeros under its final name after a power cut.'),
    Mutant('fsync-left-out-of-parts', 'src/base/io_out.c',
           'if (fdatasync(out->fd) != 0) { /* a file',
           'if (out->fd < 0) { /* a file',
           ['job-order'],
           'An output of zeros after a power cut, and a journal that says it is there.'),
    Mutant('journal-ahead', 'src/job/run.c',
           'run->written = row->after;',
           'run->written = run->rows.next - run->rows.first > 1\n'
           '                       ? run->rows.rows[(run->rows.first + 1) % run->rows.capacity].after\n'
           '                       : row->after;',
           ['job-order'],
           'A document without a row after a kill and --resume, and all later rows one too early.'),
    Mutant('truncation-late', 'src/text/text_encode.c',
           'text_encode_bare(text, scratch, data, bytes, max_tokens - text->n_specials,',
           'text_encode_bare(text, scratch, data, bytes, max_tokens - text->n_specials + 1,',
           ['text-encode'],
           'Other vectors than the reference for each long document, and a write past an array.'),
    Mutant('single-word-end', 'src/text/text_normalize.c',
           'if (match->end == s->bytes) return true;',
           'if (match->end <= s->bytes) return true;',
           ['text-encode'],
           'Other tokens than the reference where a word begins like an added token.'),
    Mutant('single-word-end-normalized', 'src/text/text_encode.c',
           'if (!beside && norm_next(&s->source, &ahead, &cp)) beside = unicode_word(cp);',
           'if (!beside && norm_next(&s->source, &ahead, &cp)) beside = false;',
           ['text-encode'],
           'The same for added tokens that are looked for in normalized text.'),
    Mutant('old-generation', 'src/crew/inbox.c',
           ' || h->generation != e->generation) return false;',
           ') return false;',
           ['crew-frames'],
           'The answer of a worker that was given up, taken for that of its successor.'),
    Mutant('fence-not-set', 'src/engine/worker_session.c',
           'if (status == VECMILL_OK) status = fence_set(&s.fence_bytes, &err);',
           '',
           ['engine-fence-avx2'],
           'A worker that grows past the plan, and an OOM kill instead of a sentence.'),
    Mutant('plan-short', 'src/engine/plan.c',
           'pages(resolved_session_bytes(&f->resolved)));',
           'pages(resolved_session_bytes(&f->resolved)) - ((uint64_t)64 << 10));',
           ['engine-plan'],
           'An OOM kill in a group of exactly the size that was planned.'),
    Mutant('foreign-child', 'src/crew/process.c',
           'r = waitid(P_PIDFD, (id_t)p->pidfd, info, flags);',
           'r = waitid(P_ALL, 0, info, flags);',
           ['crew-parts'],
           'A host whose own child is gone when it waits for it.'),
    Mutant('csv-quote', 'src/job/read_csv.c',
           'intake_consume(&r->intake, i);',
           'intake_consume(&r->intake, i);\n        if (row->state == CELL_CLOSING) row->state = CELL_PLAIN;',
           ['job-borders'],
           'A record cut in two where a doubled quote lies across two reads.'),
    Mutant('relaxed-store', 'src/base/team.c',
           'atomic_fetch_add_explicit(&t->run, step, memory_order_release);',
           'atomic_fetch_add_explicit(&t->run, step, memory_order_relaxed);',
           ['base-team'],
           'Threads that compute the run before, on processors that reorder stores: wrong vectors, rarely.',
           'thread'),
]


def copy_checkout(source):
    """Brings source up to date. Files that are the same keep their times, so that little is built again."""
    names = set()
    for folder, folders, files in os.walk(ROOT):
        if Path(folder) == ROOT:
            folders[:] = [f for f in folders if not f.startswith(('build', '.'))]
        folders[:] = [f for f in folders if f != '__pycache__']
        for name in files:
            path = Path(folder) / name
            names.add(path.relative_to(ROOT))
    for name in names:
        to, data = source / name, (ROOT / name).read_bytes()
        if not to.exists() or to.read_bytes() != data:
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(data)
            to.chmod((ROOT / name).stat().st_mode)
    for folder, _, files in os.walk(source):
        for name in files:
            path = Path(folder) / name
            if path.relative_to(source) not in names:
                path.unlink()


def test_env():
    """Tests in their short form, at the level that the processor has."""
    return {k: v for k, v in os.environ.items()
            if k not in ('VECMILL_TEST_LONG', 'VECMILL_ISA', 'VECMILL_FUZZ_RUNS')}


def say(*command):
    done = subprocess.run(command, env=test_env(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError('%s failed:\n%s' % (' '.join(command), (done.stdout + done.stderr)[-3000:]))
    return done.stdout


def read_log(folder):
    """{test: OK, FAIL, TIMEOUT, SKIP, ERROR ...}, and the log is gone"""
    log = folder / 'meson-logs' / 'testlog.json'
    if not log.exists():
        return {}
    tests = [json.loads(line) for line in log.read_text().splitlines() if line.strip()]
    log.unlink()
    return {t['name'].split(' / ')[-1]: t['result'] for t in tests}


class Optimised:
    """A build folder of the copy, of which only what tests need is built."""

    def __init__(self, source):
        self.folder = WORK / 'optimised'
        how = ['--reconfigure'] if (self.folder / 'build.ninja').exists() else []
        say('meson', 'setup', *how, str(self.folder), str(source))
        self.tests = {test['name']: test for test in forms.introspect(WORK, self.folder.name, '--tests')}

    def run(self, tests):
        unknown = [t for t in tests if t not in self.tests]
        if unknown:
            raise RuntimeError('no test is called %s' % ', '.join(unknown))
        say('ninja', '-C', str(self.folder), *forms.targets(WORK, self.folder.name, [self.tests[t] for t in tests]))
        read_log(self.folder)
        subprocess.run(['meson', 'test', '-C', str(self.folder), '--no-rebuild', '--timeout-multiplier', '10',
                        *tests], env=test_env(), capture_output=True, stdin=subprocess.DEVNULL)
        return read_log(self.folder)


class Thread:
    """tools/check-tsan, which knows how to build and how to run; its quick tests are all there are."""

    def __init__(self, source):
        self.command = [str(source / 'tools' / 'check-tsan'), '--quick', '../thread']

    def run(self, tests):
        done = subprocess.run(self.command, env=test_env(), capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        results = read_log(WORK / 'thread')
        if not results and done.returncode == 0:
            return {test: 'SKIP' for test in tests}
        if not results:
            raise RuntimeError('check-tsan ran no test:\n%s' % (done.stdout + done.stderr)[-3000:])
        return results


BUILDS = {'optimised': Optimised, 'thread': Thread}


def fault_of_place(mutant):
    """What is wrong with the mutant's place in the sources, or None."""
    text = (ROOT / mutant.file).read_text()
    n = text.count(mutant.find)
    if n != 1:
        return 'its text occurs %d times in %s, not once' % (n, mutant.file)
    return None


def judge(mutant, build, source):
    """(passed or None, sentence); the copy is as it was afterwards."""
    if '/x86/' in mutant.file and platform.machine() != 'x86_64':
        return None, 'skipped: %s is not built on this machine' % mutant.file
    path = source / mutant.file
    whole, since = path.read_text(), time.monotonic()
    try:
        path.write_text(whole.replace(mutant.find, mutant.replace))
        results = build.run(mutant.tests)
    finally:
        path.write_text(whole)
    seconds = round(time.monotonic() - since)
    found = [t for t in mutant.tests if results.get(t) == 'FAIL']
    if found:
        return True, 'found by %s (%d s)' % (', '.join(found), seconds)
    if set(results.values()) == {'SKIP'}:
        return None, 'skipped: this machine skips %s' % ', '.join(mutant.tests)
    told = ', '.join('%s: %s' % (t, results.get(t, 'did not run')) for t in mutant.tests)
    return False, 'NOT FOUND (%s, %d s): %s' % (told, seconds, mutant.cost)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--list', action='store_true')
    parser.add_argument('names', nargs='*', metavar='NAME')
    options = parser.parse_args()
    unknown = set(options.names) - {m.name for m in MUTANTS}
    if unknown:
        parser.error('no fault is called %s' % ', '.join(sorted(unknown)))
    chosen = [m for m in MUTANTS if not options.names or m.name in options.names]
    lost = 0
    for mutant in chosen:
        fault = fault_of_place(mutant)
        if options.list or fault:
            print('%s: %s' % (mutant.name, fault or mutant.cost))
        lost += fault is not None
    passed, failed = (len(chosen) - lost, lost) if options.list or lost else run(chosen)
    print('mutants: %d passed, %d failed' % (passed, failed))
    return 1 if failed else 0


def run(chosen):
    """(passed, failed)"""
    passed = failed = 0
    source = WORK / 'source'
    copy_checkout(source)
    builds = {}
    for kind in BUILDS:
        tests = sorted({t for m in chosen if m.build == kind for t in m.tests})
        if not tests:
            continue
        since = time.monotonic()
        try:
            builds[kind] = BUILDS[kind](source)
            results = builds[kind].run(tests)
        except RuntimeError as problem:
            print('as it is: %s' % problem)
            return 0, len(chosen)
        bad = ['%s: %s' % (t, results.get(t, 'did not run')) for t in tests
               if results.get(t) not in ('OK', 'SKIP')]
        print('as it is, %s: %s (%d s)' % (kind, ', '.join(bad) or 'passed by ' + ', '.join(tests),
                                         time.monotonic() - since), flush=True)
        if bad:
            return 0, len(chosen)
    for mutant in chosen:
        try:
            good, sentence = judge(mutant, builds[mutant.build], source)
        except RuntimeError as problem:
            good, sentence = False, 'NOT FOUND: %s' % problem
        print('%s: %s' % (mutant.name, sentence), flush=True)
        passed, failed = passed + (good is True), failed + (good is False)
    return passed, failed


if __name__ == '__main__':
    sys.exit(main())
