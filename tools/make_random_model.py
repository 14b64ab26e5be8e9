#!/usr/bin/env python3
"""Writes an embedding model of any size, in Hugging Face layout, with random weights: BERT, or another family.

    tools/make_random_model.py [--layers 12] [--hidden 384] [--heads 12] [--intermediate 1536]
        [--positions 512] [--max-length N] [--vocab 30522] [--pooling mean|cls] [--no-normalize]
        [--family NAME] [--tokenizer-from DIR] [--seed 1] OUT

The shapes of models that are too large to be fetched for a test: bge-small-en-v1.5 (the defaults, with
--pooling cls), bge-base (--hidden 768 --intermediate 3072), bge-large (--layers 24 --hidden 1024 --heads 16
--intermediate 4096). Speed and memory are those of the real model, the vectors mean nothing.

--family NAME has the shape of a published model of another family (random_shapes.py lists them); of the
other options only --layers, --vocab, --max-length, --pooling and --no-normalize count then.

--tokenizer-from copies the tokenizer of a model folder, and its vocabulary's size is the model's; without
it, the toy model's words, filled up to --vocab. Weights are written as they are drawn, a piece at a time,
so a model of gigabytes takes some megabytes here. Each weight has a sign and 23 bits of its own and the
size that its layer needs: +-[1, 2) times a power of two near 1 / sqrt(inputs). The same arguments give the
same bytes. Standard library only."""

import argparse
import json
import math
import os
import random
import shutil
import struct

import make_toy_model
import random_shapes

PIECE = 1 << 20 # bytes drawn at a time
TOKENIZER = ('tokenizer.json', 'vocab.txt', 'tokenizer_config.json', 'special_tokens_map.json')


def tensors_of(a, vocab):
    """(name, shape, exponent of the size, always positive) of each tensor."""
    h, inter = a.hidden, a.intermediate
    found = []

    def add(name, *shape, size=1.0, positive=False):
        found.append((name, shape, math.floor(math.log2(size)), positive))

    def linear(name, outputs, inputs):
        add(name + '.weight', outputs, inputs, size=1 / math.sqrt(inputs))
        add(name + '.bias', outputs, size=0.05)

    def norm(name):
        add(name + '.weight', h, size=0.5, positive=True)
        add(name + '.bias', h, size=0.05)

    add('embeddings.word_embeddings.weight', vocab, h, size=0.5)
    add('embeddings.position_embeddings.weight', a.positions, h, size=0.125)
    add('embeddings.token_type_embeddings.weight', 2, h, size=0.0625)
    norm('embeddings.LayerNorm')
    for i in range(a.layers or 12):
        layer = f'encoder.layer.{i}.'
        for part in ('query', 'key', 'value'):
            linear(layer + 'attention.self.' + part, h, h)
        linear(layer + 'attention.output.dense', h, h)
        norm(layer + 'attention.output.LayerNorm')
        linear(layer + 'intermediate.dense', inter, h)
        linear(layer + 'output.dense', h, inter)
        norm(layer + 'output.LayerNorm')
    return found


def tensors_of_family(config):
    """The same for another family: matrices by their inputs, norms around 1 or, of Gemma, around 0."""
    found = []
    for name, shape in random_shapes.tensors_of(config):
        is_norm = len(shape) == 1 and name.endswith('weight')
        size = 0.05 if name.endswith('bias') else 0.5
        if 'embed' in name and len(shape) == 2:
            size = 0.0625
        elif len(shape) == 2:
            size = 1 / math.sqrt(shape[1])
        found.append((name, shape, math.floor(math.log2(size)), is_norm))
    return found


def repeated(word):
    return int.from_bytes(struct.pack('<I', word) * (PIECE // 4), 'little')


def draw(rng, n_bytes, exponent, positive, out):
    """Floats +-[1, 2) * 2^exponent: random bits with the exponent's put over them, a whole piece at once."""
    kept = repeated(0x007fffff if positive else 0x807fffff)
    put = repeated((exponent + 127) << 23)
    while n_bytes > 0:
        piece = rng.getrandbits(8 * PIECE) & kept | put
        out.write(piece.to_bytes(PIECE, 'little')[:n_bytes])
        n_bytes -= PIECE


def write_weights(path, tensors, seed):
    header, at = {'__metadata__': {'format': 'pt'}}, 0
    for name, shape, _, _ in tensors:
        n_bytes = 4 * math.prod(shape)
        header[name] = {'dtype': 'F32', 'shape': shape, 'data_offsets': [at, at + n_bytes]}
        at += n_bytes
    head = json.dumps(header, separators=(',', ':')).encode()
    head += b' ' * (-len(head) % 8)
    rng = random.Random(seed)
    with open(path, 'wb') as out:
        out.write(struct.pack('<Q', len(head)) + head)
        for _, shape, exponent, positive in tensors:
            draw(rng, 4 * math.prod(shape), exponent, positive, out)


def write_tokenizer(a):
    """Returns the size of the vocabulary."""
    if a.tokenizer_from is None:
        tokens = make_toy_model.vocabulary(a.vocab or 30522)
        make_toy_model.write_json(os.path.join(a.out, 'tokenizer.json'),
                                  make_toy_model.tokenizer_json(tokens))
        return len(tokens)
    for name in TOKENIZER:
        if os.path.exists(os.path.join(a.tokenizer_from, name)):
            shutil.copyfile(os.path.join(a.tokenizer_from, name), os.path.join(a.out, name))
    path = os.path.join(a.tokenizer_from, 'tokenizer.json')
    with open(path, encoding='utf-8') as file:
        tokenizer = json.load(file)
    ids = [*tokenizer['model']['vocab'].values(), *(t['id'] for t in tokenizer['added_tokens'])]
    return max(ids) + 1


def write_model(a):
    os.makedirs(a.out, exist_ok=True)
    vocab = write_tokenizer(a)
    write_json = make_toy_model.write_json
    config = {
        'architectures': ['BertModel'], 'model_type': 'bert', 'hidden_act': 'gelu',
        'hidden_size': a.hidden, 'intermediate_size': a.intermediate, 'layer_norm_eps': 1e-12,
        'max_position_embeddings': a.positions, 'num_attention_heads': a.heads,
        'num_hidden_layers': a.layers or 12, 'pad_token_id': 0, 'position_embedding_type': 'absolute',
        'type_vocab_size': 2, 'vocab_size': vocab}
    hidden, length = a.hidden, a.positions
    if a.family:
        config = dict(random_shapes.CONFIGS[a.family])
        if a.layers:
            config['n_layer' if 'n_layer' in config else 'num_hidden_layers'] = a.layers
        if a.vocab:
            config['vocab_size'] = vocab
        hidden = random_shapes.size_of(config, 'hidden_size', 'n_embd')
        length = 512
    write_json(os.path.join(a.out, 'config.json'), config)
    kinds = ['Transformer', 'Pooling'] + ([] if a.no_normalize else ['Normalize'])
    write_json(os.path.join(a.out, 'modules.json'), [
        {'idx': i, 'name': str(i), 'path': ('', '1_Pooling', '2_Normalize')[i],
         'type': 'sentence_transformers.models.' + kind} for i, kind in enumerate(kinds)])
    write_json(os.path.join(a.out, '1_Pooling', 'config.json'), {
        'word_embedding_dimension': hidden, 'pooling_mode_cls_token': a.pooling == 'cls',
        'pooling_mode_mean_tokens': a.pooling == 'mean', 'pooling_mode_max_tokens': False,
        'pooling_mode_mean_sqrt_len_tokens': False})
    write_json(os.path.join(a.out, 'sentence_bert_config.json'), {
        'max_seq_length': a.max_length or length, 'do_lower_case': True})
    tensors = tensors_of_family(config) if a.family else tensors_of(a, vocab)
    write_weights(os.path.join(a.out, 'model.safetensors'), tensors, a.seed)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('out')
    for name, default in (('layers', 0), ('hidden', 384), ('heads', 12), ('intermediate', 1536),
                          ('positions', 512), ('max-length', 0), ('vocab', 0), ('seed', 1)):
        p.add_argument('--' + name, type=int, default=default)
    p.add_argument('--pooling', choices=('mean', 'cls'), default='mean')
    p.add_argument('--no-normalize', action='store_true')
    p.add_argument('--family', choices=random_shapes.CONFIGS)
    p.add_argument('--tokenizer-from')
    write_model(p.parse_args())


if __name__ == '__main__':
    main()
