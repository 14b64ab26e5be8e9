#!/usr/bin/env python3
"""Writes tests/data/rows: tiny models that make something of each token, and what other libraries make of them.

    pip install torch==2.15.0 transformers==5.24.0 sentence-transformers==6.2.0 numpy   (in an environment of its own)
    tools/make_rows.py tests/data/rows [NAME ...]

A file NAME.json is like one of tests/data/heads (tools/make_heads.py); a case may have "rows", too, a vector for
each token that counts, and "others" has the tensors of files next to the weights (tools/write_family.py).

m3-*: torch's Linear over the last hidden state of transformers' model, in float64 with eager attention, one
document at a time, as FlagEmbedding's EncoderOnlyEmbedderM3ModelForInference has it: relu of the one number of a
token, of a token of the vocabulary the largest, the ids of "no_weight" left out; the vectors of all tokens but the
first, scaled to length 1.

colbert-*: torch's Linear over the same, scaled to length 1; without the tokens of "no_row". "attended" is the number
of first tokens that the attention mask of transformers lets others see: the rest are those of expansion."""
import argparse
import os
import shutil
import sys
import tempfile

import numpy as np
import torch
import transformers

from family_list import Family, sizes
from make_families import documents, in_double, loaded_model, new_model, rows_of, write_file
from write_family import write_family

NO_WEIGHT = [0, 1, 2, 3]
PLACES = {3: {4: 3, 5: 1}, 4: {7: 0, 9: 2}}  # special tokens amid a text
M3 = [
    ({'colbert_linear.pt': [['weight', [24, 40], 9], ['bias', [24], 10]],
      'sparse_linear.pt': [['weight', [1, 40], 9], ['bias', [1], 9]]},
     Family('m3-xlmr', 'XLMRoberta',
            sizes(60, 40, 2, 2, 44, max_position_embeddings=66, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1,
                  bos_token_id=0, eos_token_id=2),
            'both heads in files of torch, fewer floats than columns', special=(0, 2), at=PLACES, pooling='cls',
            lengths=(2, 1, 7, 19, 60))),
    ({'colbert_linear.safetensors': [['weight', [33, 20], 9]]},
     Family('m3-bert-multi', 'Bert', sizes(50, 20, 2, 2, 28, max_position_embeddings=130, type_vocab_size=2),
            'vectors alone, more floats than columns, no bias, more rows than a block has', special=(0, 2), at=PLACES,
            lengths=(2, 1, 7, 19, 130))),
    ({'sparse_linear.safetensors': [['weight', [1, 33], 8], ['bias', [1], 9]]},
     Family('m3-bert-sparse', 'Bert', sizes(40, 33, 2, 3, 52, max_position_embeddings=130, type_vocab_size=2),
            'weights alone, a width that is no multiple of eight', special=(0, 2), at=PLACES,
            lengths=(2, 1, 7, 19, 130))),
]

NO_ROW = [7, 9, 11, 12]
COLBERT = [
    ({'query_prefix': '[Q] ', 'document_prefix': '[D] ', 'query_length': 24, 'document_length': 60,
      'attend_to_expansion_tokens': False}, 20, (24, 5, 23),
     Family('colbert-bert', 'Bert', sizes(60, 40, 2, 2, 44, max_position_embeddings=66, type_vocab_size=2),
            'expansion that is not attended, tokens left out', special=(2, 3), lengths=(24, 24, 24, 2, 19, 60))),
    ({'query_prefix': '[Q] ', 'document_prefix': '[D] ', 'query_length': 20, 'document_length': 60,
      'attend_to_expansion_tokens': False}, 52, (3, 11),
     Family('colbert-modernbert', 'ModernBert',
            dict(vocab_size=60, hidden_size=40, num_hidden_layers=4, num_attention_heads=2, intermediate_size=44,
                 max_position_embeddings=90, local_attention=42, global_attn_every_n_layers=3, pad_token_id=1,
                 bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3),
            'the same with a window and rotary positions, more floats than columns', special=(2, 3),
            lengths=(20, 20, 2, 19, 80))),
]
STANFORD = [
    ({'query_maxlen': 24, 'doc_maxlen': 60, 'dim': 12, 'attend_to_mask_tokens': False, 'mask_punctuation': True}, 12,
     (24, 5), Family('colbert-stanford', 'Bert',
                     sizes(50, 28, 2, 2, 36, max_position_embeddings=66, type_vocab_size=2),
                     'a projection among the weights', special=(2, 3), lengths=(24, 24, 2, 19, 60))),
]


def modules_of(family):
    kinds = [('Transformer', ''), ('Pooling', '1_Pooling'), ('Normalize', '2_Normalize')]
    return [{'idx': i, 'name': str(i), 'path': path, 'type': 'sentence_transformers.models.' + kind}
            for i, (kind, path) in enumerate(kinds)]


def head(folder, name):
    """A Linear with the tensors of a file; None: there is none."""
    for ending in ('.pt', '.safetensors'):
        path = os.path.join(folder, name + ending)
        if not os.path.exists(path):
            continue
        state = torch.load(path, weights_only=True) if ending == '.pt' else load_safetensors(path)
        linear = torch.nn.Linear(state['weight'].shape[1], state['weight'].shape[0], bias='bias' in state)
        linear.load_state_dict(state)
        return linear.double()
    return None


def load_safetensors(path):
    from safetensors.torch import load_file
    return load_file(path)


def m3_case(ids, hidden, multi, sparse):
    x = torch.tensor(hidden(ids))
    case = {'ids': ids}
    with torch.no_grad():
        if sparse:
            weights = torch.relu(sparse(x))[:, 0].tolist()
            best = {}
            for token, weight in zip(ids, weights):
                if token not in NO_WEIGHT and weight > best.get(token, 0):
                    best[token] = weight
            case['indices'] = sorted(best)
            case['values'] = [float(f'{best[i]:.7g}') for i in case['indices']]
        if multi:
            rows = torch.nn.functional.normalize(multi(x[1:]), dim=-1)
            case['rows'] = [[float(f'{v:.7g}') for v in row] for row in rows.tolist()]
    return case


def masked_hidden(family, folder):
    with in_double():
        model = getattr(transformers, family.made_by + 'Model').from_pretrained(
            folder, dtype=torch.float64, attn_implementation='eager')

    def hidden(ids, attended):
        mask = torch.tensor([[1] * attended + [0] * (len(ids) - attended)])
        with torch.no_grad(), in_double():
            x = model.eval()(input_ids=torch.tensor([ids]), attention_mask=mask).last_hidden_state[0]
        assert x.dtype is torch.float64
        return x

    return hidden


def make_colbert(family, keys, width, attended, root, scratch, inline=False):
    path, written = os.path.join(root, family.name + '.json'), os.path.join(scratch, family.name)
    shapes, config = new_model(family, os.path.join(scratch, 'new'))
    hidden_size = config['hidden_size']
    dense = {'in_features': hidden_size, 'out_features': width, 'bias': False,
             'activation_function': 'torch.nn.modules.linear.Identity'}
    modules = [{'idx': i, 'name': str(i), 'path': p, 'type': kind} for i, (kind, p) in enumerate(
        (('sentence_transformers.models.Transformer', ''), ('pylate.models.Dense.Dense', '1_Dense')))]
    members = {'files': {'config.json': config, 'modules.json': modules, '1_Dense/config.json': dense,
                         'tokenizer_config.json': {'mask_token': '[MASK]'},
                         'config_sentence_transformers.json': {'model_type': 'ColBERT', **keys}},
               'seed': family.seed, 'prefix': '', 'tensors': rows_of(shapes, family),
               'others': {'1_Dense/model.safetensors': [['linear.weight', [width, hidden_size], 9]]}, 'no_row': NO_ROW}
    weight_file = '1_Dense/model.safetensors'
    if inline:  # as Stanford's code saves it
        config['architectures'] = ['HF_ColBERT']
        members['tensors'] = [['bert.' + row[0], *row[1:]] for row in members['tensors']]
        members['tensors'].append(['linear.weight', [width, hidden_size], 9])
        members['files'] = {'config.json': config, 'tokenizer_config.json': {'mask_token': '[MASK]'},
                            'artifact.metadata': keys}
        weight_file = 'model.safetensors'
        del members['others']
    draft = os.path.join(scratch, 'draft.json')
    write_file(draft, **members)
    write_family(draft, written, prefix='')
    hidden = masked_hidden(family, written)
    linear = torch.nn.Linear(hidden_size, width, bias=False)
    linear.load_state_dict({'weight': load_safetensors(os.path.join(written, weight_file))['linear.weight']})
    linear = linear.double()
    cases = []
    for i, ids in enumerate(documents(family, config['vocab_size'])):
        n = attended[i] if i < len(attended) else len(ids)
        ids = ids[:n - 1] + [3] + [4] * (len(ids) - n) if n < len(ids) else ids
        with torch.no_grad():
            rows = torch.nn.functional.normalize(linear(hidden(ids, n)), dim=-1).tolist()
        rows = [row for token, row in zip(ids, rows) if token not in NO_ROW]
        cases.append({'ids': ids, 'attended': n, 'rows': [[float(f'{v:.7g}') for v in row] for row in rows]})
    source = {'guards': family.guards, 'command': f'tools/make_rows.py tests/data/rows {family.name}',
              'expected': f'torch.nn.Linear of transformers.{family.made_by}Model with an attention mask: float64, eager '
                          'attention, one document at a time', 'versions': versions()}
    write_file(path, source=source, **members, cases=cases)
    print(f'{family.name}: {os.path.getsize(path)} bytes; {sum(len(c["rows"]) for c in cases)} rows', flush=True)
    shutil.rmtree(os.path.join(scratch, 'new'), ignore_errors=True)


def versions():
    import sentence_transformers
    found = {'python': sys.version.split()[0], 'numpy': np.__version__, 'torch': torch.__version__,
             'transformers': transformers.__version__, 'sentence-transformers': sentence_transformers.__version__}
    return ', '.join(f'{name} {version}' for name, version in found.items())


def make_m3(family, others, root, scratch):
    path, written = os.path.join(root, family.name + '.json'), os.path.join(scratch, family.name)
    shapes, config = new_model(family, os.path.join(scratch, 'new'))
    pooling = {'word_embedding_dimension': config['hidden_size'], 'pooling_mode_cls_token': family.pooling == 'cls',
               'pooling_mode_mean_tokens': family.pooling == 'mean'}
    members = {'files': {'config.json': config, 'modules.json': modules_of(family), '1_Pooling/config.json': pooling},
               'seed': family.seed, 'prefix': '', 'tensors': rows_of(shapes, family), 'others': others,
               'no_weight': NO_WEIGHT}
    draft = os.path.join(scratch, 'draft.json')
    write_file(draft, **members)
    write_family(draft, written, prefix='')
    hidden = loaded_model(family, written)
    multi, sparse = head(written, 'colbert_linear'), head(written, 'sparse_linear')
    cases = [m3_case(ids, hidden, multi, sparse) for ids in documents(family, config['vocab_size'])]
    source = {'guards': family.guards, 'command': f'tools/make_rows.py tests/data/rows {family.name}',
              'expected': f'torch.nn.Linear of transformers.{family.made_by}Model: float64, eager attention, one '
                          'document at a time', 'versions': versions()}
    write_file(path, source=source, **members, cases=cases)
    print(f'{family.name}: {os.path.getsize(path)} bytes; '
          f'{sum(len(c.get("rows", ())) for c in cases)} rows, {sum(len(c.get("indices", ())) for c in cases)} weights',
          flush=True)
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
        for others, family in M3:
            if not a.names or family.name in a.names:
                make_m3(family, others, a.root, scratch)
        for keys, width, attended, family in STANFORD:
            if not a.names or family.name in a.names:
                make_colbert(family, keys, width, attended, a.root, scratch, inline=True)
        for keys, width, attended, family in COLBERT:
            if not a.names or family.name in a.names:
                make_colbert(family, keys, width, attended, a.root, scratch)


if __name__ == '__main__':
    main()
