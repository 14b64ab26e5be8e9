#!/usr/bin/env python3
"""Writes a Qwen3 or EmbeddingGemma model folder as a GGUF file for llama.cpp: the same weights, as F32 or F16.

    make_gguf.py MODEL OUT.gguf [--type F32|F16]

MODEL is a folder as of Hugging Face with one model.safetensors of F32, as tools/make_random_model.py writes it.
Norms stay F32 in both types, as llama.cpp has them; of Gemma the 1 that its norms add is added to the tensor. The
tokenizer is not converted: the file has as many tokens as the embedding has rows, with made-up names, so it takes
token ids and no text. Needs PyPI gguf 0.19.0 and numpy."""

import argparse
import json
import struct
from pathlib import Path

import gguf
import numpy

# model_type: the architecture in GGUF, and whether a norm's weight is 1 + its tensor.
ARCHITECTURES = {'qwen3': (gguf.MODEL_ARCH.QWEN3, False),
                 'gemma3_text': (gguf.MODEL_ARCH.GEMMA_EMBEDDING, True)}
POOLINGS = {'pooling_mode_mean_tokens': gguf.PoolingType.MEAN, 'pooling_mode_cls_token': gguf.PoolingType.CLS,
            'pooling_mode_lasttoken': gguf.PoolingType.LAST}


def tensors_of(path):
    """(name, array) of each tensor, mapped and not read."""
    with open(path, 'rb') as file:
        size, = struct.unpack('<Q', file.read(8))
        header = json.loads(file.read(size))
    for name, found in header.items():
        if name == '__metadata__':
            continue
        if found['dtype'] != 'F32':
            raise SystemExit(f'make_gguf.py: {path}: {name} is {found["dtype"]}, F32 is wanted')
        yield name, numpy.memmap(path, '<f4', 'r', 8 + size + found['data_offsets'][0], tuple(found['shape']))


def pooling_of(model):
    config = json.loads((model / '1_Pooling' / 'config.json').read_text())
    found = [kind for key, kind in POOLINGS.items() if config.get(key)]
    if len(found) != 1:
        raise SystemExit(f'make_gguf.py: {model}/1_Pooling/config.json: one of {", ".join(POOLINGS)} is wanted, '
                         f'{len(found)} are set')
    return found[0]


def add_facts(out, c, pooling):
    out.add_context_length(c['max_position_embeddings'])
    out.add_embedding_length(c['hidden_size'])
    out.add_block_count(c['num_hidden_layers'])
    out.add_feed_forward_length(c['intermediate_size'])
    out.add_head_count(c['num_attention_heads'])
    out.add_head_count_kv(c['num_key_value_heads'])
    out.add_key_length(c['head_dim'])
    out.add_value_length(c['head_dim'])
    out.add_layer_norm_rms_eps(c['rms_norm_eps'])
    out.add_rope_freq_base(c['rope_theta'])
    out.add_pooling_type(pooling)
    if c['model_type'] == 'gemma3_text':
        out.add_sliding_window(c['sliding_window'])
        out.add_rope_freq_base_swa(c['rope_local_base_freq'])
        if c['query_pre_attn_scalar'] != c['head_dim'] or c['_sliding_window_pattern'] != 6:
            raise SystemExit('make_gguf.py: llama.cpp has query_pre_attn_scalar = head_dim and every 6th layer '
                             'without a window; config.json differs')


def add_vocabulary(out, size):
    """Names that no text has: ids go in as they are. llama.cpp wants some tokenizer, with a merge."""
    out.add_tokenizer_model('gpt2')
    out.add_tokenizer_pre('qwen2')
    out.add_token_list([f'<{i}>' for i in range(size)])
    out.add_token_types([gguf.TokenType.NORMAL] * size)
    out.add_token_merges(['< 0'])
    out.add_add_bos_token(False)
    out.add_add_eos_token(False)


def write(model, path, kind):
    config = json.loads((model / 'config.json').read_text())
    if config['model_type'] not in ARCHITECTURES:
        raise SystemExit(f'make_gguf.py: {model}: model_type {config["model_type"]} is none of '
                         f'{", ".join(ARCHITECTURES)}')
    arch, one_more = ARCHITECTURES[config['model_type']]
    names = gguf.get_tensor_name_map(arch, config['num_hidden_layers'])
    out = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    add_facts(out, config, pooling_of(model))
    add_vocabulary(out, config['vocab_size'])
    out.add_file_type(gguf.LlamaFileType.ALL_F32 if kind == 'F32' else gguf.LlamaFileType.MOSTLY_F16)
    for name, values in tensors_of(model / 'model.safetensors'):
        there = names.get_name('model.' + name, try_suffixes=('.weight',))
        if there is None:
            raise SystemExit(f'make_gguf.py: {model}: {gguf.MODEL_ARCH_NAMES[arch]} has no tensor {name}')
        if values.ndim == 1:
            values = values + numpy.float32(1) if one_more else values
        elif kind == 'F16':
            values = values.astype(numpy.float16)
        out.add_tensor(there, values)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    p.add_argument('model', type=Path)
    p.add_argument('out', type=Path)
    p.add_argument('--type', choices=('F32', 'F16'), default='F32')
    a = p.parse_args()
    write(a.model, a.out, a.type)


if __name__ == '__main__':
    main()
