#!/usr/bin/env python3
"""vecmill embed beside llama.cpp, on the shapes of Qwen3 and EmbeddingGemma with random weights.

    bench/compare/shapes.py --python PYTHON [--family NAME] [--layers N] [--lengths 128x32,512x8] [--rounds 3]
        [--passes 512,2048] [--threads 2] [--type F32|F16] [--work DIR] [--json FILE]

PYTHON has the group [llama.cpp] of requirements.txt. The model is made by tools/make_random_model.py, with fewer
layers where --layers says so, for both, and then with as much smaller a vocabulary: llama.cpp multiplies Qwen3's
every row by the word table too, as for text, and that has then the same share of its work. make_gguf.py converts it.
Documents are words of the made-up vocabulary,
all of one length (LENGTHxCOUNT), so nobody pads. Rounds alternate. Printed for each length: tokens/s of each by the
clock and by processor time, the ratio of the same round, in the median, least and most, the largest PSS, how far the
vectors are apart, and how many processors others kept busy. As in compare.py vecmill's time is that of the whole job
from a fresh process, the peer's begins when its model is loaded and warm.

On a machine at work the clock is unfair to threads that wait for each other; processor time is less so, but a
thread that spins is counted as working."""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import corpora
import environment
import measure
import peers
import stats

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / 'tools'))
import make_toy_model
import random_shapes

LONGEST = 2048              # EmbeddingGemma has no more positions
SPECIAL = 2                 # tokens that the made-up tokenizer puts around a document
FAMILIES = ('qwen3-0.6b', 'embeddinggemma-300m')


def parse(arguments=None):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--python', type=Path, required=True)
    p.add_argument('--family', choices=FAMILIES, default=FAMILIES[0])
    p.add_argument('--layers', type=int, default=0, help='of the shape (0: all)')
    p.add_argument('--lengths', default='128x32,512x8')
    p.add_argument('--passes', default='512,2048', help='tokens of a pass of llama.cpp; the fastest runs')
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--threads', type=int, default=2)
    p.add_argument('--type', choices=('F32', 'F16'), default='F32')
    p.add_argument('--vecmill', type=Path, default=ROOT / 'build/vecmill')
    p.add_argument('--work', type=Path, default=environment.cache_folder() / 'shapes')
    p.add_argument('--json', type=Path)
    options = p.parse_args(arguments)
    options.lengths = [tuple(map(int, one.split('x'))) for one in options.lengths.split(',')]
    options.passes = [int(one) for one in options.passes.split(',')]
    return options


def documents(length, count):
    """`count` documents of exactly `length` tokens, special ones included; the same each time."""
    words = [word for word in make_toy_model.WORDS if len(word) > 1]
    draw = random.Random(length)
    return [' '.join(draw.choice(words) for _ in range(length - SPECIAL)) for _ in range(count)]


def make_model(options):
    """(the folder, the GGUF file), made once."""
    options.work.mkdir(parents=True, exist_ok=True)
    name = f'{options.family}-{options.layers or "all"}'
    folder, gguf = options.work / name, options.work / f'{name}-{options.type}.gguf'
    if not (folder / 'model.safetensors').exists():
        config = random_shapes.CONFIGS[options.family]
        vocab = options.layers * config['vocab_size'] // config['num_hidden_layers']
        subprocess.run([sys.executable, str(ROOT / 'tools/make_random_model.py'), '--family', options.family,
                        '--layers', str(options.layers), '--vocab', str(vocab), '--max-length', str(LONGEST),
                        str(folder)], check=True)
    if not gguf.exists():
        part = gguf.with_suffix('.part')
        subprocess.run([str(options.python), str(peers.HERE / 'make_gguf.py'), str(folder), str(part), '--type',
                        options.type], check=True)
        part.replace(gguf)
    return folder, gguf


def children_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(command, place):
    """(Outcome, processor seconds of the whole tree); ends the program where the command fails."""
    before = children_seconds()
    outcome = measure.run(command, place.cpus, place.env)
    if outcome.returncode:
        sys.exit(f'shapes.py: {command[0]}: {outcome.reason()}\n{outcome.stderr[-2000:]}')
    return outcome, children_seconds() - before


def fastest(peer, place, texts):
    if len(peer.settings) == 1:
        return peer.settings[0]
    outcome, _ = run(peers.peer_command(peer, place, texts, peer.settings, mode='tune'), place)
    tried = [one for one in json.loads(outcome.lines[-1])['tuned'] if one['seconds']]
    if not tried:
        sys.exit(f'shapes.py: llama.cpp: {outcome.lines[-1]}')
    return min(tried, key=lambda one: one['seconds'])['settings']


def measure_length(length, count, place, options):
    texts = corpora.write(documents(length, count), place.work / f'{length}x{count}.jsonl')
    ours, theirs = (place.work / name for name in ('vecmill.npy', 'llama.npy'))
    place.max_length = length
    peer = peers.Contestant('llama.cpp', 'fp32', 'llama.cpp', 'run_llamacpp.py', 'gguf',
                            peers.grid(tokens=sorted({max(length, size) for size in options.passes})))
    run(peers.vecmill_command(peer, place, texts, ours), place) # makes the pack
    settings = fastest(peer, place, texts)
    found = []
    for _ in range(options.rounds):
        a, a_busy = run(peers.vecmill_command(peer, place, texts, ours), place)
        b, _ = run(peers.peer_command(peer, place, texts, [settings], theirs), place)
        said = json.loads(b.lines[-1])
        if said['tokens'] != length * count:
            sys.exit(f'shapes.py: llama.cpp computed {said["tokens"]} tokens, vecmill {length * count}')
        found.append({'vecmill': {'seconds': a.seconds, 'processor': a_busy, 'bytes': a.peak_bytes},
                      'llama.cpp': {'seconds': said['seconds'], 'processor': said['seconds_processor'],
                                    'bytes': b.peak_bytes},
                      'others': [a.others, b.others], 'load': os.getloadavg()[0]})
    agree = subprocess.run([str(place.python), str(peers.HERE / 'agree.py'), str(theirs), str(ours)],
                           capture_output=True, text=True, check=True)
    return {'length': length, 'documents': count, 'settings': settings, 'rounds': found,
            'agreement': json.loads(agree.stdout)}


def report(found):
    tokens = found['length'] * found['documents']
    print(f'{found["documents"]} documents of {found["length"]} tokens; llama.cpp: {found["settings"]}; '
          f'vectors: {found["agreement"]}; load {[round(r["load"], 1) for r in found["rounds"]]}, processors of '
          f'others {[[round(o, 1) for o in r["others"]] for r in found["rounds"]]}')
    for name in ('vecmill', 'llama.cpp'):
        rounds = [r[name] for r in found['rounds']]
        print(f'  {name:10} tokens/s {[round(tokens / r["seconds"], 1) for r in rounds]}, of a processor '
              f'{[round(tokens / r["processor"], 1) for r in rounds]}; '
              f'{max(r["bytes"] for r in rounds) / 2**20:.0f} MiB')
    for kind in ('seconds', 'processor'):
        ratios = stats.summary([r['llama.cpp'][kind] / r['vecmill'][kind] for r in found['rounds']])
        print(f'  vecmill is {ratios["median"]:.2f} ({ratios["least"]:.2f} to {ratios["most"]:.2f}) by {kind}',
              flush=True)


def main():
    options = parse()
    folder, gguf = make_model(options)
    cpus = frozenset(sorted(os.sched_getaffinity(0))[:options.threads])
    place = SimpleNamespace(vecmill=options.vecmill, python=options.python, model=folder, models={'gguf': gguf},
                            threads=options.threads, max_length=0, cpus=cpus, work=options.work,
                            env=peers.environment_of(os.environ, options.threads))
    results = []
    for length, count in options.lengths:
        results.append(measure_length(length, count, place, options))
        report(results[-1])
        if options.json:
            options.json.write_text(json.dumps(results, indent=1) + '\n')


if __name__ == '__main__':
    main()
