#!/usr/bin/env python3
"""Writes tests/data/ending/golden.json: modules after a transformer, and the vectors that
sentence-transformers makes with them.

    python3 -m venv VENV && VENV/bin/pip install sentence-transformers==6.2.0 torch==2.15.0
    VENV/bin/python tools/make_golden_ending.py

Each case is a list of modules, loaded by their own classes from the files that are in the case, and
computed in float64 on rows of a formula (`values`), which tests/model/test_model_ending.c has too:
so neither rows nor weights are in the file."""
import json
import pathlib
import tempfile

import sentence_transformers
import torch
from safetensors.torch import save_file
from sentence_transformers.util import import_from_string

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / 'tests' / 'data' / 'ending' / 'golden.json'
ROWS_SEED = 1
MASK = (1 << 64) - 1

OLD, NEW = 'sentence_transformers.models.', 'sentence_transformers.'
TYPES = {
    'Pooling': NEW + 'sentence_transformer.modules.pooling.Pooling',
    'Dense': NEW + 'base.modules.dense.Dense',
    'LayerNorm': NEW + 'sentence_transformer.modules.layer_norm.LayerNorm',
    'Normalize': NEW + 'base.modules.normalize.Normalize',
}


def values(seed, n):
    """n floats in [-1, 1), exact in fp32: the top 24 bits of SplitMix64 (Steele et al. 2014)."""
    out, state = [], seed << 32
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        z ^= z >> 31
        out.append((z >> 40) / (1 << 23) - 1)
    return out


def pooling(modes, h=12):
    return 'Pooling', {'embedding_dimension': h, 'pooling_mode': modes, 'include_prompt': True}


def flags(*names, h=12):
    every = ('cls_token', 'mean_tokens', 'max_tokens', 'mean_sqrt_len_tokens', 'weightedmean_tokens',
             'lasttoken')
    return 'Pooling', {'word_embedding_dimension': h, 'include_prompt': True,
                       **{'pooling_mode_' + n: n in names for n in every}}


def dense(n_in, n_out, act, bias=True):
    """The keys that versions before 5 wrote."""
    kind = 'linear' if act == 'Identity' else 'activation'
    return 'Dense', {'in_features': n_in, 'out_features': n_out, 'bias': bias,
                     'activation_function': f'torch.nn.modules.{kind}.{act}'}


def dense_now(n_in, n_out, act):
    name, config = dense(n_in, n_out, act)
    return name, {**config, 'module_input_name': 'sentence_embedding',
                  'module_output_name': 'sentence_embedding'}


def layer_norm(n):
    return 'LayerNorm', {'dimension': n}


NORMALIZE = 'Normalize', None
NORMALIZE_NOW = 'Normalize', {'module_input_name': 'sentence_embedding',
                              'module_output_name': 'sentence_embedding'}
ACTS = ('Identity', 'Tanh', 'ReLU', 'GELU', 'SiLU', 'Sigmoid')
MODES = ('cls', 'max', 'mean', 'mean_sqrt_len_tokens', 'weightedmean', 'lasttoken')


def cases():
    for mode in MODES:
        yield 7, [pooling(mode)]
    yield 1, [pooling(['mean', 'lasttoken', 'weightedmean', 'mean_sqrt_len_tokens', 'max', 'cls'], 3)]
    yield 9, [pooling(['weightedmean', 'cls'], 5), NORMALIZE]
    yield 6, [flags('mean_tokens')]
    yield 6, [flags('lasttoken', 'cls_token', h=5)]
    yield 6, [flags('cls_token', 'mean_tokens', 'max_tokens', 'mean_sqrt_len_tokens',
                    'weightedmean_tokens', 'lasttoken', h=3)]
    yield 4, [('Pooling', {'word_embedding_dimension': 12, 'pooling_mode_cls_token': True})]
    yield 4, [('Pooling', {'embedding_dimension': 12})]
    for act in ACTS:
        yield 5, [pooling('mean'), dense(12, 7, act)]
    yield 5, [pooling('mean'), dense(12, 7, 'Tanh', False)]
    yield 5, [pooling('mean'), ('Dense', {'in_features': 12, 'out_features': 7})]
    yield 5, [pooling(['cls', 'mean']), dense_now(24, 70, 'GELU'), dense(70, 9, 'Identity', False), NORMALIZE]
    yield 5, [pooling('mean'), layer_norm(12)]
    yield 5, [pooling('mean'), NORMALIZE, dense(12, 20, 'SiLU'), layer_norm(20), NORMALIZE_NOW]


def compute(n_tokens, modules):
    """The vector, and the modules with types and the seeds of their tensors."""
    described, seed = [], ROWS_SEED
    h = modules[0][1].get('embedding_dimension') or modules[0][1]['word_embedding_dimension']
    features = {'token_embeddings': torch.tensor(values(ROWS_SEED, n_tokens * h), dtype=torch.float64)
                .reshape(1, n_tokens, h), 'attention_mask': torch.ones(1, n_tokens, dtype=torch.int64)}
    for i, (name, config) in enumerate(modules):
        kind = TYPES[name] if i % 2 else OLD + name
        module = {'type': kind}
        with tempfile.TemporaryDirectory() as folder:
            tensors = {}
            if name == 'Dense':
                shapes = {'linear.weight': [config['out_features'], config['in_features']]}
                if config.get('bias', True):
                    shapes['linear.bias'] = [config['out_features']]
            else:
                shapes = {n: [config['dimension']] for n in ('norm.weight', 'norm.bias')} \
                    if name == 'LayerNorm' else {}
            for tensor, shape in shapes.items():
                seed += 1
                flat = torch.tensor(values(seed, torch.Size(shape).numel()), dtype=torch.float32)
                tensors[tensor] = flat.reshape(shape)
                module.setdefault('tensors', {})[tensor] = {'shape': shape, 'seed': seed}
            if config is not None:
                pathlib.Path(folder, 'config.json').write_text(json.dumps(config))
                module['config'] = config
            if tensors:
                save_file(tensors, pathlib.Path(folder, 'model.safetensors'))
            loaded = import_from_string(kind).load(folder).double().eval()
        with torch.no_grad():
            features = loaded(features)
        described.append(module)
    vector = features['sentence_embedding'][0].tolist()
    return {'tokens': n_tokens, 'hidden': h, 'modules': described, 'vector': [float(f'{v:.9g}') for v in vector]}


def main():
    made = [compute(n, modules) for n, modules in cases()]
    head = {'made_by': 'tools/make_golden_ending.py', 'torch': torch.__version__,
            'sentence-transformers': sentence_transformers.__version__, 'rows_seed': ROWS_SEED}
    lines = ',\n'.join(json.dumps(case, separators=(',', ':')) for case in made)
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text(json.dumps(head)[:-1] + ', "cases": [\n' + lines + '\n]}\n')
    print(f'{len(made)} cases, {GOLDEN.stat().st_size} bytes')


if __name__ == '__main__':
    main()
