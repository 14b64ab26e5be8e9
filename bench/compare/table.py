#!/usr/bin/env python3
"""The comparison as text: for a terminal and for a Markdown document. Takes the results as they are in
the JSON; measures nothing and decides nothing.

    table.py RESULTS.json [markdown]        prints what compare.py printed, also of a run cut short"""

import json
import sys
from pathlib import Path

COLUMNS = ('program', 'precision', 'docs/s', 'tokens/s', 'of peak', 'memory', 'first vector',
           'vecmill is', 'cosine to fp32', 'docs', 'settings')
LEFT = {0, 1, 10}
NONE = '–'

COUNTED = """docs/s: tokens/s over the mean tokens of the whole corpus; the median of the rounds. vecmill: the whole
job, a fresh program from its start to the vectors on disk; a peer: from opening the texts to the vectors
on disk, imports, loading and warming up not counted. memory: the largest sum of PSS over the tree of
processes (anonymous, shared and file-backed pages). first vector: from the start of the process to the
first vector (vecmill: to its end), files in the page cache. vecmill is: the ratio of tokens/s, vecmill
at the same precision over this peer, round by round: median (least to most). cosine: mean (least) to
vecmill's fp32. docs: the documents of a run, a prefix of a fixed shuffle of the corpus."""


def bytes_text(n):
    if n is None:
        return NONE
    return f'{n / 1e9:.2f} GB' if n >= 1e9 else f'{n / 1e6:.0f} MB'


def times_text(ratio):
    if not ratio:
        return NONE
    if ratio['n'] == 1:
        return f'{ratio["median"]:.2f}×'
    return f'{ratio["median"]:.2f}× ({ratio["least"]:.2f} to {ratio["most"]:.2f})'


def seconds_text(seconds):
    if seconds is None:
        return NONE
    return f'{seconds * 1000:.0f} ms' if seconds < 1 else f'{seconds:.1f} s'


def rate_text(rate):
    return f'{rate:,.1f}' if rate < 100 else f'{rate:,.0f}'


def cosine_text(cosine):
    if not cosine:
        return NONE
    return f'{cosine["mean"]:.5f} ({cosine["least"]:.5f})'


def median(summary):
    return summary['median'] if summary else None


def cells(row):
    """The row's cells, or None for one that has no figure."""
    if not row['tokens_per_second']:
        return None
    share = row.get('share') or {}
    mark = '' if row['quiet'] else '~'
    return (row['name'], row['precision'], mark + rate_text(median(row['documents_per_second'])),
            f'{mark}{median(row["tokens_per_second"]):,.0f}',
            f'{share["ratio"]:.2f}' if 'ratio' in share else NONE,
            bytes_text(median(row['peak_bytes'])), seconds_text(median(row['cold_seconds'])),
            mark * bool(row.get('vecmill_is')) + times_text(row.get('vecmill_is')),
            cosine_text(row.get('cosine')), str(row['documents']),
            row['settings'])


def remarks(rows):
    """What must be said of rows beside their figures: sentences."""
    said = []
    for row in rows:
        name = f'{row["name"]} {row["precision"]}'
        if row['skipped']:
            said.append(f'{name} skipped: {row["skipped"]}')
        if (row.get('share') or {}).get('reason'):
            said.append(f'{name}, share of the peak skipped: {row["share"]["reason"]}')
        if row.get('tokens_differ'):
            said.append(f'{name} computes {row["tokens_differ"]:+} tokens against the others')
    busy = [row['others']['most'] for row in rows if row.get('others') and not row['quiet']]
    if busy:
        said.append(f'~: others kept up to {max(busy):.2f} processors busy during a run of this row or of '
                    "vecmill's; such figures say little")
    return said


def heading(results):
    machine = results['machine']
    versions = ', '.join(f'{name} {version}' for name, version in results['versions'].items())
    return [f'{results["model"]}, cut at {results["max_length"]} tokens, {results["threads"]} '
            f'processors of {machine["processors"]}, {results["rounds"]} rounds in turn',
            f'{machine["processor"]} (family {machine["family"]}, model {machine["model"]}), '
            f'{" ".join(machine["instructions"])}; Linux {machine["kernel"]}',
            f'{results["vecmill"]}; Python {results["python"]}, {versions}']


def corpus_line(name, facts):
    if 'skipped' in facts:
        return f'{name} skipped: {facts["skipped"]}'
    return (f'{name}: {facts["documents"]:,} distinct documents (duplicates removed), '
            f'{facts["tokens"]:,} tokens, {facts["mean"]:.1f} in the mean, {facts["longest"]} at most')


def by_corpus(results):
    for name, facts in results['corpora'].items():
        rows = [row for row in results['rows'] if row['corpus'] == name]
        yield name, facts, rows, [c for c in map(cells, rows) if c]


def plain(results):
    lines = [*heading(results), *COUNTED.splitlines()]
    for name, facts, rows, found in by_corpus(results):
        lines += ['', corpus_line(name, facts)]
        if found:
            widths = [max(len(line[i]) for line in [COLUMNS, *found]) for i in range(len(COLUMNS))]
            for line in [COLUMNS, *found]:
                lines.append('  '.join(cell.ljust(width) if i in LEFT else cell.rjust(width)
                                       for i, (cell, width) in enumerate(zip(line, widths))).rstrip())
        lines += remarks(rows)
    return '\n'.join(lines)


def markdown(results):
    lines = ['\n'.join(heading(results)), '', ' '.join(COUNTED.split())]
    for name, facts, rows, found in by_corpus(results):
        lines += ['', f'**{name}**{corpus_line(name, facts).removeprefix(name)}']
        if found:
            lines += ['', '| ' + ' | '.join(COLUMNS) + ' |',
                      '|' + '|'.join('---' if i in LEFT else '--:' for i in range(len(COLUMNS))) + '|']
            lines += ['| ' + ' | '.join(line) + ' |' for line in found]
        said = remarks(rows)
        if said:
            lines += [''] + [f'- {sentence}' for sentence in said]
    return '\n'.join(lines) + '\n'


def main():
    results = json.loads(Path(sys.argv[1]).read_text())
    print(markdown(results) if sys.argv[2:] == ['markdown'] else plain(results))


if __name__ == '__main__':
    main()
