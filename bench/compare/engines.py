#!/usr/bin/env python3
"""vecmill inside Spark and Ray against its command line, in turn, on the same texts and processors.

    engines.py [--model NAME] [--corpus packages] [--documents N] [--rounds 2] [--json FILE] [--svg FILE]

To be run with the python of an environment that holds vecmill, pyspark and ray (./check --long engines makes one, in
build/venv-engines). Each measurement is a fresh process, pinned to the same two processors: the command line with 1
and 2 workers, Spark with 1 and 2 executors of a core, Ray with 1 and 2 actors, and with 1 actor of as many
processors, that one also from Ray's memory into it. The command line's time is that of the whole command, from JSONL to
.npy. An engine's is that of the job, which reads and writes Parquet: a session stands when the clock starts, and a job
over an eighth of the texts has been before, so that executors and Python are there and the JVM has compiled what it
runs; how long all that took is told beside it. Twice the executors get twice the documents. Rounds are interleaved;
medians, and the ratios round by round to the command line with as many workers."""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import corpora
import measure
import svg

NAMES = {'command': 'command line', 'spark': 'Spark', 'ray': 'Ray', 'wide': 'Ray, 1 actor',
         'kept': 'Ray, memory'}
SIZES = (1, 2)
FILES = 8           # of the corpus for engines: tasks of Spark

SPARK = '''
import json, os, sys, time
how = json.loads(sys.argv[1])
began = time.perf_counter()
os.environ["PYSPARK_PYTHON"] = sys.executable
from pyspark.sql import SparkSession
from vecmill import spark
session = (SparkSession.builder.master(f"local-cluster[{how['n']},1,1024]").config("spark.ui.enabled", "false")
           .config("spark.executor.memoryOverhead", "512m").config("spark.local.dir", how["work"])
           .config("spark.worker.dir", how["work"] + "/worker").config("spark.log.level", "OFF")
           .config("spark.ui.showConsoleProgress", "false")
           .config("spark.sql.files.openCostInBytes", "64k").getOrCreate())
def job(source, output):
    rows = spark.embed(session.read.parquet(source), "text", model=how["model"])
    rows.write.mode("overwrite").parquet(output)
job(how["few"], how["work"] + "/few")
ready = time.perf_counter()
job(how["texts"], how["work"] + "/rows")
print(json.dumps({"seconds": time.perf_counter() - ready, "ready": ready - began}), flush=True)
session.stop()
'''

RAY = '''
import json, os, sys, time
how = json.loads(sys.argv[1])
began = time.perf_counter()
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray, ray.data
import vecmill.ray
# Processors by name only: tasks that read and write want one each, beside the actors, which keep theirs.
ray.init(num_cpus=how["n"] + 2, include_dashboard=False, object_store_memory=200 << 20, logging_level="error",
         log_to_driver=False, _temp_dir=how["work"] + "/r")
ray.data.DataContext.get_current().enable_progress_bars = False
def write(rows, name):
    rows.write_parquet(how["work"] + name, mode=ray.data.SaveMode.OVERWRITE)
def embed(rows):
    return vecmill.ray.embed(rows, "text", model=how["model"], **how["actors"])
texts = ray.data.read_parquet(how["texts"])
if how["kept"]:
    texts = texts.repartition(target_num_rows_per_block=512 * how["n"]).materialize()
write(embed(ray.data.read_parquet(how["few"])), "/few")
ready = time.perf_counter()
made = embed(texts)
if how["kept"]:
    made = made.materialize()
else:
    write(made, "/rows")
print(json.dumps({"seconds": time.perf_counter() - ready, "ready": ready - began}), flush=True)
if how["kept"]:
    write(made, "/rows")
ray.shutdown()
'''

WIDTH, HEIGHT, LEFT, BASE = 860, 300, 60, 250


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='all-MiniLM-L6-v2')
    parser.add_argument('--corpus', default='packages', choices=corpora.NAMES)
    parser.add_argument('--documents', type=int, default=15000,
                        help='for each executor, actor and worker (15000)')
    parser.add_argument('--engines', nargs='+', default=list(NAMES)[1:], choices=list(NAMES)[1:])
    parser.add_argument('--sizes', type=int, nargs='+', default=SIZES, help='executors, actors, workers (1 2)')
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--abstracts', default=corpora.ROOT.parent / 'shared/data/cranfield.jsonl', type=Path)
    parser.add_argument('--sentences', default=corpora.ROOT.parent / 'shared/data/stsb', type=Path)
    parser.add_argument('--packages', type=int, default=30000)
    parser.add_argument('--patience', type=float, default=60)
    parser.add_argument('--json', type=Path)
    parser.add_argument('--svg', type=Path)
    return parser.parse_args()


def write_parquet(texts, folder, files):
    import pyarrow as pa
    import pyarrow.parquet
    folder.mkdir()
    step = -(-len(texts) // files)
    for at in range(0, len(texts), step):
        part = texts[at:at + step]
        pyarrow.parquet.write_table(pa.table({'id': range(at, at + len(part)), 'text': part}),
                                    folder / f'part-{at:07}.parquet')


def rows_of(folder):
    """The bytes of all vectors, in the texts' order."""
    import pyarrow.parquet
    table = pyarrow.parquet.read_table(folder).sort_by('id')
    return table['embedding'].combine_chunks().flatten().to_numpy().tobytes()


def one(engine, n, work, options, cpus):
    """One measurement, whose vectors have been compared with the command line's. It is not repeated when others were at
    work: what engines kill is nobody's child any more, and its time looks like that of others."""
    folder, work = Path(tempfile.mkdtemp(dir=work)), work / str(n)
    if engine == 'command':
        from vecmill import _programs
        command = [_programs.PROGRAM, 'embed', '-m', options.model, '-i', str(work / 'texts.jsonl'),
                   '-o', str(work / 'rows.npy'), '--force', '--workers', str(n), '--progress', 'none']
    else:
        how = {'n': n, 'kept': engine == 'kept',
               'actors': {'concurrency': n} if engine == 'ray' else {'concurrency': 1, 'cpus': n},
               'model': options.model, 'texts': str(work / 'texts'), 'few': str(work / 'few'), 'work': str(folder)}
        command = [sys.executable, '-c', SPARK if engine == 'spark' else RAY, json.dumps(how)]
    try:
        measure.wait_for_quiet(options.patience)
        outcome = measure.run(command, cpus)
        if outcome.returncode:
            raise SystemExit(f'{engine}: {outcome.reason()}')
        told = {'engine': engine, 'n': n, 'documents': n * options.documents, 'peak_bytes': outcome.peak_bytes}
        if engine == 'command':
            return told | {'seconds': outcome.seconds, 'ready': None, 'others': outcome.others}
        import numpy
        if rows_of(folder / 'rows') != numpy.load(work / 'rows.npy').tobytes():
            raise SystemExit(f'{engine}: the vectors are not those of the command line')
        return told | json.loads([line for line in outcome.lines if line.startswith('{')][-1])
    finally:
        shutil.rmtree(folder, True)


def table(results):
    """Rows of (engine, n, documents/s, [ratio to the command line in the same round], ready, peak)."""
    found = []
    for engine in NAMES:
        for n in sorted({r['n'] for r in results if r['engine'] == engine}):
            mine = [r for r in results if (r['engine'], r['n']) == (engine, n)]
            base = [r for r in results if (r['engine'], r['n']) == ('command', n)]
            ready = [r['ready'] for r in mine if r['ready'] is not None]
            found.append((engine, n, statistics.median(r['documents'] / r['seconds'] for r in mine),
                          [b['seconds'] / m['seconds'] for m, b in zip(mine, base)],
                          statistics.median(ready) if ready else None,
                          statistics.median(r['peak_bytes'] for r in mine)))
    return found


def draw(rows, documents, corpus):
    """Documents/s against executors, a group of bars for each number of them."""
    drawing = svg.Drawing(WIDTH, 'Documents per second inside engines')
    drawing.text(20, 28, 'Documents per second: command line, Spark, Ray', 'title')
    drawing.text(20, 46, f'{documents:,} {corpus} for each, on the same two processors; in brackets the share of '
                         'the command line', 'faint')
    most = max(rate for _, _, rate, _, _, _ in rows)
    for i, n in enumerate(sorted({row[1] for row in rows})):
        x = LEFT + i * 350
        drawing.text(x + 115, BASE + 36, f'{n} worker, executor, actor' if n == 1 else
                     f'{n} workers, executors, actors', 'strong', 'middle')
        for j, (engine, _, rate, ratios, _, _) in enumerate(row for row in rows if row[1] == n):
            height = 170 * rate / most
            drawing.bar(x + j * 82, BASE - height, 60, round(height), 'ours' if engine == 'command' else 'theirs')
            drawing.text(x + j * 82 + 30, BASE - height - 6, f'{rate:,.0f}' if engine == 'command' else
                         f'{rate:,.0f} ({statistics.median(ratios):.2f})', 'strong', 'middle')
            drawing.text(x + j * 82 + 30, BASE + 16, NAMES[engine], 'faint', 'middle')
    drawing.line(LEFT - 20, BASE, WIDTH - 20, BASE)
    return drawing.finish(HEIGHT)


def main():
    options = parse()
    cpus = set(sorted(os.sched_getaffinity(0))[:2])
    texts = corpora.texts_of(options.corpus, options)
    needed = max(options.sizes) * options.documents
    if len(texts) < needed:
        raise SystemExit(f'{options.corpus} has {len(texts)} texts, {needed} are needed')
    results = []
    with tempfile.TemporaryDirectory(prefix='vm') as name:
        for n in options.sizes:
            folder, some = Path(name) / str(n), texts[:n * options.documents]
            folder.mkdir()
            corpora.write(some, folder / 'texts.jsonl')
            write_parquet(some, folder / 'texts', FILES)
            write_parquet(some[:len(some) // 8], folder / 'few', FILES)
        for number in range(options.rounds):
            for n in options.sizes:
                for engine, label in NAMES.items():
                    if engine not in ['command', *options.engines] or (engine == 'wide' and n == 1):
                        continue
                    told = one(engine, n, Path(name), options, cpus) | {'round': number}
                    results.append(told)
                    others = '' if told.get('others', 0) <= measure.QUIET else ' (disturbed)'
                    print(f'# round {number + 1}, {label}, {n}: {told["documents"] / told["seconds"]:.1f} '
                          f'documents/s{others}', file=sys.stderr, flush=True)
    rows = table(results)
    print(f'{options.documents:,} {options.corpus} for each executor, {options.model}, {options.rounds} rounds')
    print('|              | executors | documents/s | of the command line | before the job | peak memory |')
    print('|---|---|---|---|---|---|')
    for engine, n, rate, ratios, ready, peak in rows:
        share = f'{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})'
        print(f'| {NAMES[engine]:12} | {n} | {rate:.1f} | {"1" if engine == "command" else share} | '
              f'{"" if ready is None else f"{ready:.0f} s"} | {peak / 1e6:.0f} MB |')
    if options.json:
        options.json.write_text(json.dumps({'documents': options.documents, 'corpus': options.corpus, 'runs': results},
                                           indent=1))
    if options.svg:
        options.svg.write_text(draw(rows, options.documents, options.corpus))


if __name__ == '__main__':
    main()
