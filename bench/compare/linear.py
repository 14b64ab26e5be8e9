#!/usr/bin/env python3
"""Shows that work grows linearly: the time of `vecmill bench` against tokens, over three decades.

It is the time that the workers had a processor, since that is the work, whoever else is at work; of
several that were asked for (--workers) the time by the clock, at a quiet moment as in compare.py.

    linear.py [--svg FILE] [--json FILE] [--workers N] [--precision P] [--most TOKENS] ...

Distinct documents of 3 to 512 tokens, sentences, abstracts and package descriptions in one fixed
shuffle; each point is a longer prefix of it, so its mix is the same. Documents over the limit are left
out, since a cut document would be counted with less work than it has text. Prints each point and the
slope in log-log: 1 is linear."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import compare
import corpora
import measure
import stats
import svg

LIMIT = 512
POINTS_A_DECADE = 2
WIDTH, HEIGHT = 640, 420
LEFT, RIGHT, TOP, BOTTOM = 78, 24, 66, 52


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--least', type=float, default=1e3, help='tokens of the first point')
    parser.add_argument('--most', type=float, default=1e6, help='tokens of the last point')
    parser.add_argument('--workers', type=int, help='for vecmill bench; its default else')
    parser.add_argument('--precision', help='for vecmill bench; its default else')
    parser.add_argument('--model', default='all-MiniLM-L6-v2')
    parser.add_argument('--vecmill', default=compare.ROOT / 'build/vecmill', type=Path)
    parser.add_argument('--abstracts', default=compare.ROOT.parent / 'shared/data/cranfield.jsonl',
                        type=Path)
    parser.add_argument('--sentences', default=compare.ROOT.parent / 'shared/data/stsb', type=Path)
    parser.add_argument('--packages', type=int, default=20000)
    parser.add_argument('--patience', type=float, default=30,
                        help='seconds to wait before a point until others leave the processors (30)')
    parser.add_argument('--json', type=Path)
    parser.add_argument('--svg', type=Path)
    return parser.parse_args()


def all_texts(options):
    """Every corpus that is here, distinct, in one shuffle."""
    texts = []
    for name in ('abstracts', 'sentences', 'packages'):
        try:
            texts += corpora.texts_of(name, options)
        except corpora.Missing as reason:
            compare.say(f'{name} skipped: {reason}')
    return corpora.shuffled(corpora.distinct(texts))


def lengths_of(texts, options, work):
    """Tokens of each text by vecmill's tokenizer, or None where one is cut at the limit."""
    path = corpora.write(texts, work / 'all.jsonl')
    run = subprocess.run([str(options.vecmill), 'tokenize', '-m', options.model, '-i', str(path),
                          '--max-length', str(LIMIT)], stdout=subprocess.PIPE, check=True)
    found = [json.loads(line) for line in run.stdout.splitlines()]
    return [None if one['truncated'] else len(one['ids']) for one in found]


def targets(least, most):
    """Tokens of each point, evenly in log: a decade has POINTS_A_DECADE steps."""
    found, i = [], 0
    while least * 10 ** (i / POINTS_A_DECADE) <= most * 1.001:
        found.append(round(least * 10 ** (i / POINTS_A_DECADE)))
        i += 1
    return found


def prefixes(lengths, wanted):
    """The smallest number of documents that has as many tokens, for each that can be had."""
    found, total, i = [], 0, 0
    for tokens in wanted:
        while i < len(lengths) and total < tokens:
            total += lengths[i]
            i += 1
        if total < tokens:
            break
        found.append(i)
    return found


def measure_point(texts, options, work):
    """One point: what `vecmill bench` says of these texts. Few texts are done more than once."""
    path = corpora.write(texts, work / 'part.jsonl')
    command = [str(options.vecmill), 'bench', '-m', options.model, '-i', str(path), '--max-length',
               str(LIMIT), '--repeat', str(max(1, min(50, 2000 // len(texts)))), '--json']
    if options.workers:
        command += ['--workers', str(options.workers)]
    if options.precision:
        command += ['--precision', options.precision]
    by_clock = (options.workers or 1) > 1
    run = measure.run_quiet(command, os.sched_getaffinity(0), dict(os.environ), options.patience,
                            tries=3 if by_clock else 1, look=False)
    if run.returncode:
        sys.exit(f'linear.py: vecmill bench: {run.reason()}')
    said = json.loads(run.lines[-1])
    return {'documents': said['documents'], 'tokens': said['tokens'], 'workers': said['workers'],
            'seconds': said['seconds' if by_clock else 'seconds_processor'], 'clock_seconds': said['seconds'],
            'others': run.others}


def power_text(n):
    """10, 1,000, 1,000,000; 0.1"""
    return f'{n:,.0f}' if n >= 1 else f'{n:g}'


def decades(values):
    """The powers of ten from at or below the least to at or above the most, as exponents."""
    low, high = -12, 12
    while 10.0 ** (low + 1) <= min(values) * 1.001:
        low += 1
    while 10.0 ** (high - 1) >= max(values) * 0.999:
        high -= 1
    return range(low, max(high, low + 1) + 1)


def draw(points, exponent, factor, title, theme='auto'):
    import math
    xs, ys = [p['tokens'] for p in points], [p['seconds'] for p in points]
    across, up = decades(xs), decades(ys)

    def at_x(x):
        return LEFT + (math.log10(x) - across[0]) / (across[-1] - across[0]) * (WIDTH - LEFT - RIGHT)

    def at_y(y):
        return HEIGHT - BOTTOM - (math.log10(y) - up[0]) / (up[-1] - up[0]) * (HEIGHT - TOP - BOTTOM)

    drawing = svg.Drawing(WIDTH, title)
    drawing.text(20, 28, 'Time against tokens: work grows linearly', 'title')
    drawing.text(20, 46, title, 'faint')
    for power in across:
        drawing.line(at_x(10.0 ** power), TOP, at_x(10.0 ** power), HEIGHT - BOTTOM)
        drawing.text(at_x(10.0 ** power), HEIGHT - BOTTOM + 18, power_text(10.0 ** power), 'faint',
                     'middle' if power != across[-1] else 'end')
    for power in up:
        drawing.line(LEFT, at_y(10.0 ** power), WIDTH - RIGHT, at_y(10.0 ** power))
        drawing.text(LEFT - 8, at_y(10.0 ** power) + 4, f'{power_text(10.0 ** power)} s', 'faint', 'end')
    drawing.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, 'tokens', 'faint', 'middle')
    drawing.line(at_x(xs[0]), at_y(factor * xs[0] ** exponent), at_x(xs[-1]),
                 at_y(factor * xs[-1] ** exponent), 'fit')
    for x, y in zip(xs, ys):
        drawing.dot(at_x(x), at_y(y))
    drawing.text(LEFT + 14, TOP + 20, f'slope {exponent:.3f}', 'strong')
    return drawing.finish(HEIGHT, theme)


def main():
    options = parse()
    with tempfile.TemporaryDirectory(prefix='vecmill-linear-') as folder:
        work = Path(folder)
        texts = all_texts(options)
        kept = [(text, n) for text, n in zip(texts, lengths_of(texts, options, work)) if n]
        wanted = targets(options.least, options.most)
        sizes = prefixes([n for _, n in kept], wanted)
        if len(sizes) < len(wanted):
            compare.say(f'there are texts for {len(sizes)} of {len(wanted)} points: more --packages')
        points = []
        for size in sizes:
            points.append(measure_point([text for text, _ in kept[:size]], options, work))
            print('{documents:>8,} documents {tokens:>9,} tokens {seconds:>9.3f} s  {rate:>7,.0f} tokens/s'
                  '  ({clock_seconds:.3f} s by the clock, others {others:.2f})'.format(
                      rate=points[-1]['tokens'] / points[-1]['seconds'], **points[-1]), flush=True)
    exponent, factor = stats.slope([p['tokens'] for p in points], [p['seconds'] for p in points])
    print(f'slope {exponent:.3f}')
    workers = points[-1]['workers']
    who = f'{workers} worker' if workers == 1 else f'{workers} workers'
    if (options.workers or 1) == 1:
        who = f'processor time of {who}'
    lengths = [n for _, n in kept[:sizes[-1]]]
    title = (f'vecmill bench, {options.model}, {options.precision or "fp32"}, {who}; documents of '
             f'{min(lengths)} to {max(lengths)} tokens')
    if options.json:
        options.json.write_text(json.dumps({'title': title, 'slope': exponent, 'factor': factor,
                                            'points': points}, indent=1) + '\n')
    if options.svg:
        options.svg.write_text(draw(points, exponent, factor, title))


if __name__ == '__main__':
    main()
