#!/usr/bin/env python3
"""Writes tests/data/families: a tiny model of each family, and the vectors that other libraries give.

    pip install torch==2.15.0 transformers==5.24.0 numpy      (in an environment of its own)
    tools/make_families.py tests/data/families [NAME ...]
    tools/make_families.py --check SHARED/data/families

A file NAME.json has the small files of a model's folder as the hub has them, the names and shapes of its weights
(tools/write_family.py makes a folder of them), and the ids of some documents with their vectors. The vectors are of
transformers in float64, or, where it has no class, of tools/family_formulas.py: eager attention, one document
at a time, one thread. transformers rounds to float32 in some places (angles, RMSNorm); in_double() here makes
them float64. Every parameter must be a tensor of the files, and every tensor one of its parameters, unless it
is named as unused.

--check computes the formulas for a folder of models with expected.npy that others have made, and says the
largest difference."""
import argparse
import contextlib
import json
import math
import os
import random
import re
import shutil
import struct
import sys
import tempfile

import numpy as np
import torch
import transformers

from family_formulas import FORMULAS
from family_list import FAMILIES
from make_toy_model import write_json
from write_family import write_family

FLAGS = ('cls_token', 'mean_tokens', 'max_tokens', 'mean_sqrt_len_tokens', 'weightedmean_tokens', 'lasttoken')
POOLING = {'cls': 'cls_token', 'mean': 'mean_tokens', 'last': 'lasttoken'}
UNUSED = re.compile(r'pooler\.|position_ids|lora_[AB]$')


# ---- names, shapes and values ----

def values_of(name, shape, family):
    """The last element of a row of "tensors": 74 / 2^values is the standard deviation."""
    for pattern, values in family.kinds:
        if re.search(pattern, name):
            return values
    if re.search(r'(norm|LayerNorm|_ln|norm_?[\dqk]|layer_scalar)(\.weight)?$', name):
        return 9 if family.gemma else 'norm'
    if name.endswith('bias'):
        return 9
    if 'embed' in name or 'relative_attention_bias' in name:
        return 6 if 'relative' in name else 7 if re.search('word|tok_|_tokens', name) else 8
    gain = 1.7 if re.search(r'(query|key|[qk]_proj|attn\.[qk]|[qk]_lin)\.', name) else 1.3
    inputs = shape[-2] if name.endswith('lora_B') or name.endswith('mlp.w2') else shape[-1]
    if name.endswith('mlp.w2'):
        inputs //= 4
    return round(math.log2(74 * math.sqrt(inputs) / gain))


def rows_of(shapes, family):
    """Rows of "tensors", the layers of a name in one."""
    rows = {}
    for name, shape in shapes.items():
        layer = re.search(r'(?<=\.)\d+(?=\.)', name) if '.parametrizations.weight.0' not in name else \
            re.search(r'(?<=layers\.)\d+(?=\.)', name)
        pattern = name[:layer.start()] + '*' + name[layer.end():] if layer else name
        row = rows.setdefault((pattern, tuple(shape)),
                              [pattern, list(shape), values_of(name, shape, family), []])
        if layer:
            row[3].append(int(layer.group()))
    return [row if row[3] else row[:3] for row in rows.values()]


def read_safetensors(path):
    with open(path, 'rb') as file:
        data = file.read()
    start = 8 + struct.unpack('<Q', data[:8])[0]
    tensors = {}
    for name, t in json.loads(data[8:start]).items():
        if name != '__metadata__':
            a, e = t['data_offsets']
            dtype = {'F32': '<f4', 'I8': '<i1', 'I64': '<i8'}[t['dtype']]
            tensors[name] = np.frombuffer(data[start + a:start + e], dtype).reshape(t['shape'])
    return tensors


# ---- what transformers computes ----

@contextlib.contextmanager
def in_double():
    """Where transformers asks for float32, it gets float64."""
    def widened(function):
        def wide(*places, **words):
            return function(*(torch.float64 if value is torch.float32 else value for value in places),
                            **{k: torch.float64 if value is torch.float32 else value for k, value in words.items()})
        return wide

    owners = [(torch.Tensor, 'to'), (torch.nn.functional, 'softmax'), (torch, 'arange')]
    before = [(owner, name, getattr(owner, name)) for owner, name in owners + [(torch.Tensor, 'float')]]
    for owner, name in owners:
        setattr(owner, name, widened(getattr(owner, name)))
    torch.Tensor.float = torch.Tensor.double
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)
        torch.set_default_dtype(default)


def class_of(family):
    kind = 'ForSequenceClassification' if family.scores else 'Model'
    return getattr(transformers, family.made_by + 'Config'), getattr(transformers, family.made_by + kind)


def new_model(family, folder):
    """{name: shape} of a model as transformers saves it, and its configuration."""
    config_class, model_class = class_of(family)
    torch.manual_seed(0)
    model_class(config_class(**family.config)).save_pretrained(folder)
    with open(os.path.join(folder, 'config.json'), encoding='utf-8') as file:
        config = json.load(file)
    tensors = read_safetensors(os.path.join(folder, 'model.safetensors'))
    return {name: list(t.shape) for name, t in tensors.items()}, config


def loaded_model(family, folder):
    _, model_class = class_of(family)
    with in_double():
        model, info = model_class.from_pretrained(folder, dtype=torch.float64, attn_implementation='eager',
                                                  output_loading_info=True)
    wrong = [key for kind in ('missing_keys', 'unexpected_keys', 'mismatched_keys', 'error_msgs')
             for key in info[kind] if family.scores or not UNUSED.search(str(key))]
    if wrong:
        sys.exit(f'{family.name}: {wrong}')

    def hidden(ids):
        with torch.no_grad(), in_double():
            x = model.eval()(input_ids=torch.tensor([ids]),
                             attention_mask=torch.ones(1, len(ids), dtype=torch.int64)).last_hidden_state[0]
        assert x.dtype is torch.float64
        return x.numpy()

    def logits(ids, types=None):
        more = {'token_type_ids': torch.tensor([types])} if types else {}
        with torch.no_grad(), in_double():
            x = model.eval()(input_ids=torch.tensor([ids]),
                             attention_mask=torch.ones(1, len(ids), dtype=torch.int64), **more).logits[0]
        assert x.dtype is torch.float64
        return x.numpy()

    return logits if family.scores else hidden


# ---- a folder ----

def types_of(family, ids):
    """Token types of a pair: its second half is the second text's."""
    return [0] * (len(ids) - len(ids) // 2) + [1] * (len(ids) // 2) if family.scores == 'types' else None


def pooled(x, family):
    if family.scores:
        return x
    v = {'cls': x[0], 'last': x[-1], 'mean': x.mean(axis=0)}[family.pooling]
    return v / np.linalg.norm(v) if family.normalize else v


def documents(family, vocab):
    rng = random.Random(family.seed)
    found = []
    for i, n in enumerate(family.lengths):
        ids = [rng.randrange(family.first, vocab) for _ in range(n)]
        start, end = family.special
        if start is not None:
            ids[0] = start
        if end is not None and n > 1:
            ids[-1] = end
        for place, token in family.at.get(i, {}).items():
            ids[place] = token
        found.append(ids)
    return found


def lines(value):
    """A list, an element a line; an object, a member a line."""
    if isinstance(value, dict):
        return '{\n' + ',\n'.join(f'  {json.dumps(k)}: {json.dumps(v)}' for k, v in value.items()) + '\n }'
    return '[\n' + ',\n'.join('  ' + json.dumps(v, separators=(',', ':')) for v in value) + '\n ]'


def write_file(path, **members):
    with open(path, 'w', encoding='utf-8') as file:
        file.write('{\n' + ',\n'.join(f' {json.dumps(key)}: {lines(v) if isinstance(v, (dict, list)) else json.dumps(v)}'
                                      for key, v in members.items()) + '\n}\n')


def modules_of(family, dim):
    kinds = ['Transformer', 'Pooling'] + ['Normalize'] * family.normalize if family.modules is None else \
        family.modules
    first = {'model2vec': '.', 'static_embedding': '0_StaticEmbedding'}.get(family.made_by, '')
    modules = [{'idx': i, 'name': str(i), 'path': f'{i}_{kind}' if i else first,
                'type': 'sentence_transformers.models.' + kind} for i, kind in enumerate(kinds)]
    if family.modules is not None:
        return {'modules.json': modules} if modules else {}
    flags = {'pooling_mode_' + flag: flag == POOLING[family.pooling] for flag in FLAGS}
    return {'modules.json': modules,
            '1_Pooling/config.json': {'word_embedding_dimension': dim, **flags, 'include_prompt': True}}


def source_of(family, vectors):
    versions = {'python': sys.version.split()[0], 'numpy': np.__version__}
    by = f'the formula {family.made_by} of tools/family_formulas.py'
    if family.tensors is None:
        by = f'transformers.{class_of(family)[1].__name__}'
        versions |= {'torch': torch.__version__, 'transformers': transformers.__version__}
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b)
               for i, a in enumerate(vectors) for b in vectors[:i]]
    return {'guards': family.guards, 'command': f'tools/make_families.py tests/data/families {family.name}',
            'expected': f'{by}: float64, {"" if family.modules is not None else "eager attention, "}'
                        'one document at a time',
            'versions': ', '.join(f'{name} {version}' for name, version in versions.items()),
            'vectors': f'{len(vectors)} x {vectors.shape[1]}, largest component {abs(vectors).max():.3f}, cosines '
                       f'between documents {min(cosines):.2f} to {max(cosines):.2f}'}


def hidden_of(family, folder, config, native):
    """What computes the last hidden state of ids, by the weights in a folder."""
    formula = formula_of(config)
    wide = {name: t.astype(np.float64)
            for name, t in read_safetensors(os.path.join(folder, 'model.safetensors')).items()}
    if family.tensors is not None:
        return lambda ids, *task: FORMULAS[formula](wide, config, ids, *task)
    write_json(os.path.join(folder, 'config.json'), native)
    hidden = loaded_model(family, folder)
    if not formula:
        return hidden

    def both(ids):
        x, y = hidden(ids), FORMULAS[formula](wide, config, ids)
        assert abs(x - y).max() < 1e-9 * abs(x).max()
        return x

    return both


def make(family, root, scratch):
    path, written = os.path.join(root, family.name + '.json'), os.path.join(scratch, family.name)
    shapes, config, native = family.tensors, family.config, None
    if family.tensors is None:
        shapes, native = new_model(family, os.path.join(scratch, 'new'))
        config = family.hub(dict(native)) if family.hub else native
    members = {'files': {'config.json': config} if config else {}, 'seed': family.seed, 'prefix': family.prefix,
               'tensors': rows_of(shapes, family)}
    if family.made_by == 'static_embedding':
        members['weights'] = '0_StaticEmbedding'
    draft = os.path.join(scratch, 'draft.json')
    write_file(draft, **members)
    write_family(draft, written, prefix='')
    hidden = hidden_of(family, os.path.join(written, members.get('weights', '')), config, native)
    table = 'mapping' if 'mapping' in shapes else 'word_embeddings|tok_embeddings|embed_tokens|^embeddings?(.weight)?$'
    vocab = next(shape[0] for name, shape in shapes.items() if re.search(table, name))
    ids = documents(family, vocab)
    tasks = family.tasks or [None] * len(ids)
    types = [types_of(family, document) for document in ids]
    vectors = np.array([pooled(hidden(document, *([task] if task else []), *([t] if t else [])), family)
                        for document, task, t in zip(ids, tasks, types)])
    assert np.isfinite(vectors).all()
    members['files'] |= modules_of(family, vectors.shape[1])
    source = source_of(family, vectors)
    write_file(path, source=source, **members, cases=[
        {**({'task': task} if task else {}), 'ids': document, **({'types': t} if t else {}),
         'vector': [float(f'{x:.7g}') for x in v]} for document, task, t, v in zip(ids, tasks, types, vectors)])
    print(f'{family.name}: {os.path.getsize(path)} bytes; {source["vectors"]}', flush=True)
    assert os.path.getsize(path) <= 16000
    shutil.rmtree(os.path.join(scratch, 'new'), ignore_errors=True)


# ---- formulas against the vectors of others ----

def formula_of(config):
    """The formula that computes a model; None: there is none."""
    if config is None:
        return 'static_embedding'
    if config.get('position_embedding_type') == 'alibi':
        return 'jina_bert'
    if config['model_type'] == 'xlm-roberta' and config.get('position_embedding_type') == 'rotary':
        return 'jina_v3'
    if config['model_type'] == 'nomic_bert' and 'n_embd' not in config:
        return None
    return {'new': 'gte', 'nomic_bert': 'nomic', 'model2vec': 'model2vec'}.get(config['model_type'])


def check(root):
    for name in sorted(os.listdir(root)):
        folder = os.path.join(root, name)
        needs = [os.path.join(folder, f) for f in ('config.json', 'expected.npy', 'ids.jsonl', 'model.safetensors',
                                                   '1_Pooling/config.json')]
        if not all(map(os.path.exists, needs)):
            continue
        with open(needs[0], encoding='utf-8') as file:
            config = json.load(file)
        formula = formula_of(config)
        if not formula:
            continue
        tensors = {re.sub(r'^(new|bert|roberta)\.', '', name): t.astype(np.float64)
                   for name, t in read_safetensors(needs[3]).items()}
        with open(needs[4], encoding='utf-8') as file:
            by_cls = json.load(file)['pooling_mode_cls_token']
        with open(os.path.join(folder, 'modules.json'), encoding='utf-8') as file:
            normalize = 'Normalize' in file.read()
        want, worst = np.load(needs[1]), 0
        with open(needs[2], encoding='utf-8') as file:
            for row, line in zip(want, file):
                x = FORMULAS[formula](tensors, config, json.loads(line)['ids'])
                v = x[0] if by_cls else x.mean(axis=0)
                worst = max(worst, abs((v / np.linalg.norm(v) if normalize else v) - row).max())
        print(f'{name}: {formula}, {len(want)} vectors, largest difference {worst / abs(want).max():.1e} of the '
              'largest component', flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('root')
    p.add_argument('names', nargs='*')
    p.add_argument('--check', action='store_true')
    a = p.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    if a.check:
        return check(a.root)
    with tempfile.TemporaryDirectory() as scratch:
        for family in FAMILIES:
            if not a.names or family.name in a.names:
                make(family, a.root, scratch)
    return None


if __name__ == '__main__':
    main()
