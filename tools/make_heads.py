#!/usr/bin/env python3
"""Writes tests/data/heads: tiny models that make other results than vectors, and what other libraries make of them.

    pip install torch==2.15.0 transformers==5.24.0 sentence-transformers==6.2.0 numpy   (in an environment of its own)
    tools/make_heads.py tests/data/heads [NAME ...]

A file NAME.json is like one of tests/data/families (tools/make_families.py), but of a case it has the "indices" and
"values" of sparse weights: sentence-transformers' SpladePooling of the logits of transformers' model for masked
tokens, in float64 with eager attention, one document at a time."""
import argparse
import json
import os
import shutil
import sys
import tempfile

import numpy as np
import sentence_transformers
import torch
import transformers
from sentence_transformers.sparse_encoder.modules import SpladePooling

from family_list import Family, sizes
from make_families import UNUSED, documents, in_double, read_safetensors, rows_of, write_file
from write_family import write_family

SPLADE = [
    ({'pooling_strategy': 'max', 'activation_function': 'relu'},
     Family('splade-bert', 'Bert',
            sizes(270, 44, 2, 2, 52, max_position_embeddings=64, type_vocab_size=2, hidden_act='relu'),
            'a vocabulary of more than one slice, the activation of config.json, the word table as the last matrix',
            prefix='bert.', lengths=(2, 1, 7, 19, 60))),
    ({'pooling_strategy': 'sum', 'activation_function': 'relu', 'word_embedding_dimension': 61},
     Family('splade-bert-own', 'Bert',
            sizes(61, 40, 2, 5, 36, max_position_embeddings=64, type_vocab_size=2, layer_norm_eps=1e-5,
                  tie_word_embeddings=False),
            'a last matrix that is not the word table, sums over tokens', prefix='bert.', lengths=(2, 1, 7, 19, 60))),
    ({'pooling_strategy': 'max', 'activation_function': 'log1p_relu'},
     Family('splade-distilbert', 'DistilBert',
            dict(vocab_size=99, dim=48, n_layers=2, n_heads=3, hidden_dim=52, max_position_embeddings=50),
            'names of its own, two logarithms', prefix='distilbert.', lengths=(2, 1, 7, 19, 50))),
    ({'pooling_strategy': 'max', 'activation_function': 'relu'},
     Family('splade-roberta', 'Roberta',
            sizes(75, 40, 2, 2, 44, max_position_embeddings=60, type_vocab_size=1, layer_norm_eps=1e-5,
                  hidden_act='relu', pad_token_id=1, bos_token_id=0, eos_token_id=2),
            "a head whose activation is the exact GELU, whatever the layers'", prefix='roberta.', special=(0, 2),
            lengths=(2, 1, 7, 19, 50))),
    ({'pooling_strategy': 'sum', 'activation_function': 'log1p_relu'},
     Family('splade-mpnet', 'MPNet',
            sizes(85, 32, 2, 2, 36, max_position_embeddings=62, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0,
                  eos_token_id=2),
            'sums of two logarithms, the names of RoBERTa', prefix='mpnet.', special=(0, 2), lengths=(2, 1, 7, 19, 50))),
]


def modules():
    return [{'idx': i, 'name': str(i), 'path': path, 'type': 'sentence_transformers.sparse_encoder.models.' + kind}
            for i, (kind, path) in enumerate((('MLMTransformer', ''), ('SpladePooling', '1_SpladePooling')))]


def new_model(family, folder):
    """{name: shape} of a model as transformers saves it, and its configuration."""
    torch.manual_seed(0)
    model_class, config_class = (getattr(transformers, family.made_by + end) for end in ('ForMaskedLM', 'Config'))
    model_class(config_class(**family.config)).save_pretrained(folder)
    with open(os.path.join(folder, 'config.json'), encoding='utf-8') as file:
        config = json.load(file)
    return {name: list(t.shape) for name, t in
            read_safetensors(os.path.join(folder, 'model.safetensors')).items()}, config


def weights_of(family, splade, folder):
    """What computes {token: weight} of ids."""
    with in_double():
        model, info = getattr(transformers, family.made_by + 'ForMaskedLM').from_pretrained(
            folder, dtype=torch.float64, attn_implementation='eager', output_loading_info=True)
    wrong = [key for kind in ('missing_keys', 'unexpected_keys', 'mismatched_keys', 'error_msgs')
             for key in info[kind] if not UNUSED.search(str(key))]
    if wrong:
        sys.exit(f'{family.name}: {wrong}')
    pooling = SpladePooling(**{k: v for k, v in splade.items() if k != 'word_embedding_dimension'}).eval()

    def weights(ids):
        mask = torch.ones(1, len(ids), dtype=torch.int64)
        with torch.no_grad(), in_double():
            logits = model.eval()(input_ids=torch.tensor([ids]), attention_mask=mask).logits
            assert logits.dtype is torch.float64
            made = pooling({'token_embeddings': logits, 'attention_mask': mask})['sentence_embedding'][0].numpy()
        return {int(i): float(made[i]) for i in np.flatnonzero(made)}

    return weights


def make(family, splade, root, scratch):
    path, written = os.path.join(root, family.name + '.json'), os.path.join(scratch, family.name)
    shapes, config = new_model(family, os.path.join(scratch, 'new'))
    members = {'files': {'config.json': config, 'modules.json': modules(), '1_SpladePooling/config.json': splade},
               'seed': family.seed, 'prefix': '', 'tensors': rows_of(shapes, family)}
    draft = os.path.join(scratch, 'draft.json')
    write_file(draft, **members)
    write_family(draft, written, prefix='')
    weights = weights_of(family, splade, written)
    vocab = config['vocab_size']
    found = [(ids, weights(ids)) for ids in documents(family, vocab)]
    n = [len(w) for _, w in found]
    versions = {'python': sys.version.split()[0], 'numpy': np.__version__, 'torch': torch.__version__,
                'transformers': transformers.__version__, 'sentence-transformers': sentence_transformers.__version__}
    source = {'guards': family.guards, 'command': f'tools/make_heads.py tests/data/heads {family.name}',
              'expected': f'sentence_transformers SpladePooling of transformers.{family.made_by}ForMaskedLM: float64, '
                          'eager attention, one document at a time',
              'versions': ', '.join(f'{name} {version}' for name, version in versions.items()),
              'weights': f'{min(n)} to {max(n)} of {vocab}, largest {max(max(w.values()) for _, w in found):.3f}, '
                         f'least {min(min(w.values()) for _, w in found):.1e}'}
    write_file(path, source=source, **members, cases=[
        {'ids': ids, 'indices': list(w), 'values': [float(f'{x:.7g}') for x in w.values()]} for ids, w in found])
    print(f'{family.name}: {os.path.getsize(path)} bytes; {source["weights"]}', flush=True)
    shutil.rmtree(os.path.join(scratch, 'new'), ignore_errors=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('root')
    p.add_argument('names', nargs='*')
    a = p.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    os.makedirs(a.root, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for splade, family in SPLADE:
            if not a.names or family.name in a.names:
                make(family, splade, a.root, scratch)


if __name__ == '__main__':
    main()
