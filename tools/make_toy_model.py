#!/usr/bin/env python3
"""Writes a tiny BERT embedding model in Hugging Face layout, and what it must compute.

    tools/make_toy_model.py DIR [--layers 2] [--hidden 32] [--heads 4] [--intermediate 64]
        [--vocab 160] [--positions 64] [--dtype F32|F16|BF16] [--pooling none|MODE[+MODE...]]
        [--after MODULE[,MODULE...]] [--no-normalize] [--prefix[=TEXT]] [--extras] [--old-names] [--shards N] [--torch] [--pad-vocab N]
        [--transformer PATH] [--pooling-path PATH] [--max-length N] [--seed 1] [--golden FILE]
        [--skip N] [--table model2vec|module] [--splade] [--cross N] [--m3 N] [--late N]

DIR gets config.json, model.safetensors, vocab.txt, tokenizer.json, tokenizer_config.json and, unless
--pooling none, modules.json, 1_Pooling/config.json and sentence_bert_config.json. The same arguments
give the same bytes. --prefix writes "bert.", or TEXT, before the tensors' names; --extras adds tensors
that a checkpoint may carry and a vector does not need; --old-names calls LayerNorm's weight and bias gamma
and beta; --shards N writes N files and their index; --torch writes torch's format,
pytorch_model.bin; --pad-vocab adds rows that no token has;
--transformer puts the encoder's files into a folder of this path, --pooling-path the pooling's. MODE is one of
sentence-transformers' words. --after says which modules follow Pooling in place of Normalize:
Dense:WIDTH:ACTIVATION, LayerNorm, Normalize; the Dense's activation is Identity, Tanh or ReLU.

--table makes a static embedding instead: of model2vec, with --max-length, normalised unless
--no-normalize, or a StaticEmbedding, a module of modules.json in the folder --transformer, with the modules of
--after.

--late makes a model of late interaction, as pylate saves it, with vectors of N floats: queries of 24 tokens after q,
documents after d.
--m3 adds the heads of BGE-M3: vectors of N floats for tokens, and their weights.
--splade makes a model of sparse weights instead: with the head that predicts masked tokens, and SpladePooling.

--cross N makes a model that scores pairs instead, with N labels: BertForSequenceClassification, without modules.json.

--skip N leaves the first N rows of each document out of the golden poolings, but never the last.

--golden writes {"sequences": [{"ids": [...], "vector": [...]}]}: the vectors of a few sequences of ids,
computed here in double precision from the weights as stored, by the formulas of docs/MODEL.md and by
none of the project's code. Standard library only."""
import argparse
import json
import math
import os
import random
import re
import struct

import torch_file

WORDS = ('the of and a to in is it that for was on are as with his they at be this from have or by one '
         'had not but what all were when we there can an your which their said if do will each about '
         'how up out them then she many some so these would other into has more her two like him see '
         'time could no make than first been its who now people my made over did down only way find '
         'use may water long little very after words called just where most know').split()


WIDTH = {'I64': 8, 'F32': 4, 'F16': 2, 'BF16': 2, 'I8': 1}  # bytes of an element; wider tensors come first


def vocabulary(size):
    letters = [chr(c) for c in range(ord('a'), ord('z') + 1)]
    digits = [str(d) for d in range(10)]
    tokens = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
    tokens += letters + ['##' + c for c in letters] + digits + ['##' + d for d in digits]
    tokens += list('.,!?\'"-:;()') + [w for w in WORDS if len(w) > 1]
    tokens = list(dict.fromkeys(tokens))[:size]
    return tokens + ['[unused%d]' % i for i in range(size - len(tokens))]


def tokenizer_json(tokens):
    def special(i):
        return {'id': i, 'content': tokens[i], 'single_word': False, 'lstrip': False, 'rstrip': False,
                'normalized': False, 'special': True}

    def piece(i, type_id):
        return {'SpecialToken': {'id': tokens[i], 'type_id': type_id}}

    def sequence(name, type_id):
        return {'Sequence': {'id': name, 'type_id': type_id}}

    return {
        'version': '1.0', 'truncation': None, 'padding': None,
        'added_tokens': [special(i) for i in range(5)],
        'normalizer': {'type': 'BertNormalizer', 'clean_text': True, 'handle_chinese_chars': True,
                       'strip_accents': None, 'lowercase': True},
        'pre_tokenizer': {'type': 'BertPreTokenizer'},
        'post_processor': {
            'type': 'TemplateProcessing',
            'single': [piece(2, 0), sequence('A', 0), piece(3, 0)],
            'pair': [piece(2, 0), sequence('A', 0), piece(3, 0), sequence('B', 1), piece(3, 1)],
            'special_tokens': {t: {'id': t, 'ids': [i], 'tokens': [t]}
                               for i, t in ((2, '[CLS]'), (3, '[SEP]'))}},
        'decoder': {'type': 'WordPiece', 'prefix': '##', 'cleanup': True},
        'model': {'type': 'WordPiece', 'unk_token': '[UNK]', 'continuing_subword_prefix': '##',
                  'max_input_chars_per_word': 100, 'vocab': {t: i for i, t in enumerate(tokens)}}}


def to_bytes(values, dtype):
    if dtype == 'F32':
        return struct.pack('<%df' % len(values), *values)
    if dtype == 'F16':
        return struct.pack('<%de' % len(values), *values)
    bits = struct.unpack('<%dI' % len(values), struct.pack('<%df' % len(values), *values))
    return struct.pack('<%dH' % len(values), *[(b + 0x8000) >> 16 & 0xffff for b in bits])


def from_bytes(data, dtype):
    if dtype == 'F32':
        return list(struct.unpack('<%df' % (len(data) // 4), data))
    if dtype == 'F16':
        return list(struct.unpack('<%de' % (len(data) // 2), data))
    halves = struct.unpack('<%dH' % (len(data) // 2), data)
    return list(struct.unpack('<%df' % len(halves), struct.pack('<%dI' % len(halves),
                                                                 *[h << 16 for h in halves])))


class Tensor:
    """Stored bytes, and the values that they are."""

    def __init__(self, shape, values, dtype):
        self.shape, self.dtype, self.data = shape, dtype, to_bytes(values, dtype)
        self.values = from_bytes(self.data, dtype)

    def rows(self):
        n = self.shape[1]
        return [self.values[i:i + n] for i in range(0, len(self.values), n)]


def make_weights(a, rng):
    h, inter = a.hidden, a.intermediate
    weights = {}

    def matrix(name, rows, columns, scale):
        weights[name] = Tensor([rows, columns],
                               [rng.gauss(0, scale) for _ in range(rows * columns)], a.dtype)

    def linear(name, outputs, inputs):
        matrix(name + '.weight', outputs, inputs, 1.5 / math.sqrt(inputs))
        weights[name + '.bias'] = Tensor([outputs], [rng.gauss(0, 0.1) for _ in range(outputs)], a.dtype)

    def norm(name):
        weights[name + '.weight'] = Tensor([h], [rng.gauss(1, 0.1) for _ in range(h)], a.dtype)
        weights[name + '.bias'] = Tensor([h], [rng.gauss(0, 0.1) for _ in range(h)], a.dtype)

    matrix('embeddings.word_embeddings.weight', a.vocab, h, 0.5)
    matrix('embeddings.position_embeddings.weight', a.positions, h, 0.2)
    matrix('embeddings.token_type_embeddings.weight', 2, h, 0.1)
    norm('embeddings.LayerNorm')
    for i in range(a.layers):
        layer = 'encoder.layer.%d.' % i
        for part in ('query', 'key', 'value'):
            linear(layer + 'attention.self.' + part, h, h)
        linear(layer + 'attention.output.dense', h, h)
        norm(layer + 'attention.output.LayerNorm')
        linear(layer + 'intermediate.dense', inter, h)
        linear(layer + 'output.dense', h, inter)
        norm(layer + 'output.LayerNorm')
    if a.extras:
        linear('pooler.dense', h, h)
    if a.pad_vocab:
        word = weights['embeddings.word_embeddings.weight']
        pad = random.Random(a.seed + 1)
        values = word.values + [pad.gauss(0, 0.5) for _ in range(a.pad_vocab * h)]
        weights['embeddings.word_embeddings.weight'] = Tensor([a.vocab + a.pad_vocab, h], values, a.dtype)
    return weights


def stored_tensors(weights, a):
    """{name: (dtype, shape, bytes)} as a checkpoint has them."""
    old = {'LayerNorm.weight': 'LayerNorm.gamma', 'LayerNorm.bias': 'LayerNorm.beta'} if a.old_names else {}
    tensors = {}
    for name, t in weights.items():
        for now, before in old.items():
            name = name.replace(now, before)
        tensors[a.prefix + name] = (t.dtype, t.shape, t.data)
    if a.extras:
        ids = struct.pack('<%dq' % a.positions, *range(a.positions))
        tensors[a.prefix + 'embeddings.position_ids'] = ('I64', [1, a.positions], ids)
        tensors['cls.predictions.bias'] = ('F32', [3], struct.pack('<3f', 1, 2, 3))
        tensors['classifier.weight'] = ('F32', [1, 2], struct.pack('<2f', 1, 2))
    if a.splade:
        rng, h = random.Random(a.seed + 2), a.hidden
        for name, shape, mean, spread in (('transform.dense.weight', [h, h], 0, 1 / math.sqrt(h)),
                                          ('transform.dense.bias', [h], 0, 0.1),
                                          ('transform.LayerNorm.weight', [h], 1, 0.1),
                                          ('transform.LayerNorm.bias', [h], 0, 0.1), ('bias', [a.vocab], -1, 1)):
            values = [rng.gauss(mean, spread) for _ in range(math.prod(shape))]
            tensors['cls.predictions.' + name] = ('F32', shape, struct.pack('<%df' % len(values), *values))
    if a.cross:
        rng, h = random.Random(a.seed + 3), a.hidden
        for name, shape, spread in (('bert.pooler.dense.weight', [h, h], 1.5 / math.sqrt(h)), ('bert.pooler.dense.bias', [h], 0.1),
                                    ('classifier.weight', [a.cross, h], 1 / math.sqrt(h)), ('classifier.bias', [a.cross], 0.1)):
            values = [rng.gauss(0, spread) for _ in range(math.prod(shape))]
            tensors[name] = ('F32', shape, struct.pack('<%df' % len(values), *values))
    return tensors


def write_safetensors(path, tensors):
    header, data = {'__metadata__': {'format': 'pt'}}, b''
    for name in sorted(tensors, key=lambda n: (-WIDTH[tensors[n][0]], n)):
        dtype, shape, raw = tensors[name]
        header[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [len(data), len(data) + len(raw)]}
        data += raw
    head = json.dumps(header, separators=(',', ':')).encode()
    head += b' ' * (-len(head) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(head)) + head + data)


def write_weights(folder, tensors, a):
    """One file, or shards as save_pretrained of transformers writes them: files of about the same number of tensors here."""
    stem, ending, write = (('pytorch_model', '.bin', torch_file.write) if a.torch else
                           ('model', '.safetensors', write_safetensors))
    n = a.shards
    for old in os.listdir(folder):
        if re.match(r'(pytorch_)?model[-.].*', old):  # of another run, which a reader may prefer
            os.remove(os.path.join(folder, old))
    if not n:
        write(os.path.join(folder, stem + ending), tensors)
        return
    names = sorted(tensors)
    where = {name: '%s-%05d-of-%05d%s' % (stem, i * n // len(names) + 1, n, ending) for i, name in enumerate(names)}
    for file in sorted(set(where.values())):
        write(os.path.join(folder, file), {k: tensors[k] for k in names if where[k] == file})
    write_json(os.path.join(folder, stem + ending + '.index.json'), {
        'metadata': {'total_size': sum(len(raw) for _, _, raw in tensors.values())}, 'weight_map': where})


# ---- the formulas, in double precision ----

def layer_norm(v, gamma, beta, eps):
    mean = math.fsum(v) / len(v)
    var = math.fsum((x - mean) ** 2 for x in v) / len(v)
    return [(x - mean) / math.sqrt(var + eps) * g + b for x, g, b in zip(v, gamma, beta)]


def apply(x, rows, bias):
    return [[math.fsum(p * q for p, q in zip(v, row)) + b for row, b in zip(rows, bias)] for v in x]


def attention(q, k, v, heads):
    n, h = len(q), len(q[0])
    d = h // heads
    out = [[0.0] * h for _ in range(n)]
    for head in range(heads):
        cut = slice(head * d, (head + 1) * d)
        for i in range(n):
            scores = [math.fsum(a * b for a, b in zip(q[i][cut], k[j][cut])) / math.sqrt(d)
                      for j in range(n)]
            top = max(scores)
            e = [math.exp(s - top) for s in scores]
            total = math.fsum(e)
            for c in range(cut.start, cut.stop):
                out[i][c] = math.fsum(e[j] * v[j][c] for j in range(n)) / total
    return out


def gelu(x):
    return 0.5 * x * (1.0 + math.erf(x / math.sqrt(2.0)))


def add(x, y):
    return [[p + q for p, q in zip(a, b)] for a, b in zip(x, y)]


def embed(ids, weights, a):
    eps = 1e-12

    def values(name):
        return weights[name].values

    def linear(x, name):
        return apply(x, weights[name + '.weight'].rows(), values(name + '.bias'))

    def norm(x, name):
        return [layer_norm(v, values(name + '.weight'), values(name + '.bias'), eps) for v in x]

    word = weights['embeddings.word_embeddings.weight'].rows()
    position = weights['embeddings.position_embeddings.weight'].rows()
    kind = weights['embeddings.token_type_embeddings.weight'].rows()[0]
    x = [[p + q + r for p, q, r in zip(word[t], position[i], kind)] for i, t in enumerate(ids)]
    x = norm(x, 'embeddings.LayerNorm')
    for i in range(a.layers):
        layer = 'encoder.layer.%d.' % i
        q, k, v = (linear(x, layer + 'attention.self.' + p) for p in ('query', 'key', 'value'))
        context = attention(q, k, v, a.heads)
        x = norm(add(x, linear(context, layer + 'attention.output.dense')),
                 layer + 'attention.output.LayerNorm')
        up = [[gelu(u) for u in row] for row in linear(x, layer + 'intermediate.dense')]
        x = norm(add(x, linear(up, layer + 'output.dense')), layer + 'output.LayerNorm')
    v = [p for mode in modes(a) for p in pooled(x, mode, min(a.skip, len(x) - 1))]
    for module in modules_after(a):
        if module.kind == 'Normalize':
            length = max(math.sqrt(math.fsum(p * p for p in v)), 1e-12)
            v = [p / length for p in v]
        elif module.kind == 'Dense':
            v = [ACTS[module.act](p) for p in apply([v], module.weights['linear.weight'].rows(),
                                                    module.weights['linear.bias'].values)[0]]
        else:
            v = layer_norm(v, module.weights['norm.weight'].values, module.weights['norm.bias'].values, 1e-5)
    return v


ACTS = {'Identity': lambda v: v, 'Tanh': math.tanh, 'ReLU': lambda v: max(v, 0.0)}


def modes(a):
    return ['mean'] if a.pooling == 'none' else a.pooling.split('+')


def pooled(x, mode, skip):
    x = x[skip:]
    n = len(x)
    of = {'cls': lambda c: c[0], 'lasttoken': lambda c: c[-1], 'max': max, 'mean': lambda c: math.fsum(c) / n,
            'mean_sqrt_len_tokens': lambda c: math.fsum(c) / math.sqrt(n),
            'weightedmean': lambda c: (math.fsum((skip + i + 1) * v for i, v in enumerate(c)) /
                                       sum(range(skip + 1, skip + n + 1))),
          }[mode]
    return [of(c) for c in zip(*x)]


class Module:
    """One after Pooling, with weights that only the arguments decide."""

    def __init__(self, words, width, a, rng):
        self.kind, *rest = words.split(':')
        self.config, self.weights, self.width = {}, {}, width
        if self.kind == 'Dense':
            self.width, self.act = int(rest[0]), rest[1]
            self.config = {'in_features': width, 'out_features': self.width, 'bias': True,
                           'activation_function': 'torch.nn.modules.activation.' + self.act}
            self.weights = {
                'linear.weight': Tensor([self.width, width], [rng.gauss(0, 1.5 / math.sqrt(width))
                                                              for _ in range(self.width * width)], a.dtype),
                'linear.bias': Tensor([self.width], [rng.gauss(0, 0.1) for _ in range(self.width)], a.dtype)}
        elif self.kind == 'LayerNorm':
            self.config = {'dimension': width}
            self.weights = {'norm.' + n: Tensor([width], [rng.gauss(mean, 0.1) for _ in range(width)], a.dtype)
                            for n, mean in (('weight', 1), ('bias', 0))}


def modules_after(a):
    if a.pooling == 'none':
        return []
    rng, width, made = random.Random(a.seed + 2), len(modes(a)) * a.hidden, []
    after = a.after if a.after is not None else '' if a.no_normalize else 'Normalize'
    for words in filter(None, after.split(',')):
        made.append(Module(words, width, a, rng))
        width = made[-1].width
    return made


def golden(weights, a, rng):
    lengths = sorted({1, 2, 3, 9, min(33, a.positions), a.positions})
    sequences = []
    for n in lengths:
        ids = [rng.randrange(a.vocab) for _ in range(n)]
        sequences.append({'ids': ids, 'vector': embed(ids, weights, a)})
    return {'sequences': sequences}


def write_token_heads(home, a):
    rng, h = random.Random(a.seed + 4), a.hidden
    for name, n in (('colbert', a.m3), ('sparse', 1)):
        tensors = {'weight': ('F32', [n, h], struct.pack('<%df' % (n * h), *(rng.gauss(0, 1 / math.sqrt(h)) for _ in range(n * h)))),
                   'bias': ('F32', [n], struct.pack('<%df' % n, *(rng.gauss(0, 0.1) for _ in range(n))))}
        torch_file.write(os.path.join(home, name + '_linear.pt'), tensors)


def write_late(a):
    rng, h = random.Random(a.seed + 5), a.hidden
    write_json(os.path.join(a.dir, 'modules.json'), [
        {'idx': i, 'name': str(i), 'path': path, 'type': kind}
        for i, (path, kind) in enumerate((('', 'sentence_transformers.models.Transformer'),
                                          ('1_Dense', 'pylate.models.Dense.Dense')))])
    write_json(os.path.join(a.dir, '1_Dense', 'config.json'), {
        'in_features': h, 'out_features': a.late, 'bias': False,
        'activation_function': 'torch.nn.modules.linear.Identity'})
    write_safetensors(os.path.join(a.dir, '1_Dense', 'model.safetensors'), {
        'linear.weight': ('F32', [a.late, h], struct.pack('<%df' % (a.late * h),
                                                          *(rng.gauss(0, 1 / math.sqrt(h)) for _ in range(a.late * h))))})
    write_json(os.path.join(a.dir, 'config_sentence_transformers.json'), {
        'model_type': 'ColBERT', 'query_prefix': 'q ', 'document_prefix': 'd', 'query_length': 24,
        'document_length': a.positions - 2, 'attend_to_expansion_tokens': False})


def write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as f:
        json.dump(value, f, indent=1)
        f.write('\n')


def write_table(a):
    home = os.path.join(a.dir, a.transformer) if a.transformer else a.dir
    rng, is_module = random.Random(a.seed), a.table == 'module'
    table = Tensor([a.vocab, a.hidden], [rng.gauss(0, 0.5) for _ in range(a.vocab * a.hidden)], a.dtype)
    write_json(os.path.join(home, 'tokenizer.json'), tokenizer_json(vocabulary(a.vocab)))
    write_weights(home, {'embedding.weight' if is_module else 'embeddings': (table.dtype, table.shape, table.data)}, a)
    if not is_module:
        write_json(os.path.join(home, 'config.json'), {
            'model_type': 'model2vec', 'normalize': not a.no_normalize,
            **({'max_length': a.max_length} if a.max_length else {})})
        return
    after = modules_after(a)
    paths = [a.transformer] + ['%d_%s' % (i + 1, m.kind) for i, m in enumerate(after)]
    for path, module in zip(paths[1:], after):
        if module.config:
            write_json(os.path.join(a.dir, path, 'config.json'), module.config)
            write_weights(os.path.join(a.dir, path), {
                name: (t.dtype, t.shape, t.data) for name, t in module.weights.items()}, a)
    write_json(os.path.join(a.dir, 'modules.json'), [
        {'idx': i, 'name': str(i), 'path': path, 'type': 'sentence_transformers.models.' + kind}
        for i, (path, kind) in enumerate(zip(paths, ['StaticEmbedding'] + [m.kind for m in after]))])


def write_model(a):
    if a.table:
        write_table(a)
        return
    rng = random.Random(a.seed)
    weights = make_weights(a, rng)
    tokens = vocabulary(a.vocab)
    architecture = 'BertForMaskedLM' if a.prefix else 'BertModel'
    if a.cross:
        architecture, a.prefix, a.pooling = 'BertForSequenceClassification', 'bert.', 'none'
    home = os.path.join(a.dir, a.transformer) if a.transformer else a.dir
    write_json(os.path.join(home, 'config.json'), {
        'architectures': [architecture], 'model_type': 'bert', 'hidden_act': 'gelu',
        'hidden_size': a.hidden, 'intermediate_size': a.intermediate, 'layer_norm_eps': 1e-12,
        'max_position_embeddings': a.positions, 'num_attention_heads': a.heads,
        'num_hidden_layers': a.layers, 'pad_token_id': 0, 'position_embedding_type': 'absolute',
        'type_vocab_size': 2, 'vocab_size': a.vocab + a.pad_vocab,
        **({'id2label': {str(i): 'LABEL_%d' % i for i in range(a.cross)}} if a.cross else {})})
    write_json(os.path.join(home, 'tokenizer_config.json'), {
        'do_lower_case': True, 'tokenize_chinese_chars': True, 'strip_accents': None,
        'model_max_length': a.positions, 'tokenizer_class': 'BertTokenizer',
        **({k + '_token': '[%s]' % k.upper() for k in ('cls', 'sep', 'pad', 'unk', 'mask')} if a.m3 or a.late else {})})
    write_json(os.path.join(home, 'tokenizer.json'), tokenizer_json(tokens))
    with open(os.path.join(home, 'vocab.txt'), 'w', encoding='utf-8') as f:
        f.write(''.join(t + '\n' for t in tokens))
    write_weights(home, stored_tensors(weights, a), a)
    if a.m3:
        write_token_heads(home, a)
    if a.splade:
        write_json(os.path.join(a.dir, 'modules.json'), [
            {'idx': i, 'name': str(i), 'path': path, 'type': 'sentence_transformers.sparse_encoder.models.' + kind}
            for i, (path, kind) in enumerate((('', 'MLMTransformer'), ('1_SpladePooling', 'SpladePooling')))])
        write_json(os.path.join(a.dir, '1_SpladePooling', 'config.json'),
                   {'pooling_strategy': 'max', 'activation_function': 'relu', 'word_embedding_dimension': None})
    elif a.late:
        write_late(a)
    elif a.pooling != 'none':
        after = modules_after(a)
        kinds = ['Transformer', 'Pooling'] + [m.kind for m in after]
        paths = [a.transformer, a.pooling_path] + ['%d_%s' % (i + 2, m.kind) for i, m in enumerate(after)]
        for path, module in zip(paths[2:], after):
            if module.config:
                write_json(os.path.join(a.dir, path, 'config.json'), module.config)
                write_weights(os.path.join(a.dir, path), {
                    name: (t.dtype, t.shape, t.data) for name, t in module.weights.items()}, a)
        write_json(os.path.join(a.dir, 'modules.json'), [
            {'idx': i, 'name': str(i), 'path': paths[i], 'type': 'sentence_transformers.models.' + k}
            for i, k in enumerate(kinds)])
        write_json(os.path.join(a.dir, a.pooling_path, 'config.json'), {
            'word_embedding_dimension': a.hidden, 'pooling_mode_cls_token': a.pooling == 'cls',
            'pooling_mode_mean_tokens': a.pooling == 'mean', 'pooling_mode_max_tokens': False,
            'pooling_mode_mean_sqrt_len_tokens': False,
            **({} if a.pooling in ('cls', 'mean') else {'pooling_mode': modes(a)})})
        write_json(os.path.join(home, 'sentence_bert_config.json'), {
            'max_seq_length': a.max_length or a.positions, 'do_lower_case': False})
    if a.golden:
        write_json(os.path.abspath(a.golden), golden(weights, a, rng))


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('dir')
    for name, default in (('layers', 2), ('hidden', 32), ('heads', 4), ('intermediate', 64),
                          ('vocab', 160), ('positions', 64), ('max-length', 0), ('seed', 1),
                          ('shards', 0), ('pad-vocab', 0), ('skip', 0), ('cross', 0), ('m3', 0), ('late', 0)):
        p.add_argument('--' + name, type=int, default=default)
    p.add_argument('--dtype', choices=('F32', 'F16', 'BF16'), default='F32')
    p.add_argument('--pooling', default='mean')
    p.add_argument('--after')
    p.add_argument('--no-normalize', action='store_true')
    p.add_argument('--splade', action='store_true')
    p.add_argument('--prefix', nargs='?', const='bert.', default='')
    p.add_argument('--extras', action='store_true')
    p.add_argument('--old-names', action='store_true')
    p.add_argument('--torch', action='store_true')
    p.add_argument('--transformer', default='')
    p.add_argument('--pooling-path', default='1_Pooling')
    p.add_argument('--golden')
    p.add_argument('--table', choices=('model2vec', 'module'))
    write_model(p.parse_args())


if __name__ == '__main__':
    main()
