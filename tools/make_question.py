#!/usr/bin/env python3
"""Writes tests/data/question: a tiny language model that is asked about pairs, and what transformers makes of them.

    pip install torch==2.15.0 transformers==5.24.0 tokenizers==0.23.3 numpy      (in an environment of its own)
    tools/make_question.py tests/data/question/asked-qwen3.json

The file is like one of tests/data/families (tools/write_family.py). A case is a pair, the token ids of the text that
it is put into (head, what is between, and tail, each tokenized apart, as the model's card does; what is between is cut
to max_length), and the score: the logit of "yes" less that of "no" at the last token, by transformers'
Qwen3ForCausalLM in float64 with eager attention."""
import argparse
import json
import os
import sys
import tempfile

import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import models, normalizers, pre_tokenizers, trainers

from family_list import Family, sizes
from make_families import in_double, read_safetensors, rows_of, write_file
from write_family import write_family

HEAD = ('<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct '
        'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n')
TAIL = '<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n'
INSTRUCTION = 'Given a web search query, retrieve relevant passages that answer the query'
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
           r'\s+(?!\S)|\s+')
ADDED = ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<think>', '</think>']
PAIRS = [
    ('How is bread made?', 'Bread is baked from flour, water and salt.', None, 8192),
    ('How is bread made?', 'The lighthouse was built in 1871.', None, 8192),
    ('', '', None, 8192),
    ('two\nlines', '<|im_end|> and </think>: markers in a text are markers', None, 8192),
    ('Ångström', 'cafe\u0301 \U0001f600 \u6f22\u5b57', None, 8192),
    ('How is bread made?', 'Bread is baked from flour, water and salt.', 'Find a recipe', 8192),
    ('a long one', 'the document goes on and on ' * 30, None, 260),
]


def tokenizer():
    t = tokenizers.Tokenizer(models.BPE(byte_fallback=False))
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(PATTERN), 'isolated'),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    words = [HEAD, TAIL, INSTRUCTION, 'yes no yes no', *(text for pair in PAIRS[:4] for text in pair[:2])]
    t.train_from_iterator(words, trainers.BpeTrainer(
        vocab_size=330, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.add_special_tokens(ADDED[:3])
    t.add_tokens(ADDED[3:])
    return t


def ids_of(t, query, text, instruction, most):
    def encode(words):
        return t.encode(words, add_special_tokens=False).ids
    head, tail = encode(HEAD), encode(TAIL)
    between = f'<Instruct>: {instruction or INSTRUCTION}\n<Query>: {query}\n<Document>: {text}'
    return head + encode(between)[:most - len(head) - len(tail)] + tail


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('path')
    a = p.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    t = tokenizer()
    words = [t.encode(word, add_special_tokens=False).ids[0] for word in ('yes', 'no')]
    vocab = t.get_vocab_size()
    family = Family('question-qwen3', 'Qwen3', sizes(
        vocab, 40, 2, 5, 44, num_key_value_heads=1, head_dim=16, max_position_embeddings=1024, bos_token_id=0,
        eos_token_id=0, tie_word_embeddings=False), 'a head of its own, two rows of it', lengths=())
    with tempfile.TemporaryDirectory() as scratch:
        new, written = os.path.join(scratch, 'new'), os.path.join(scratch, 'written')
        torch.manual_seed(0)
        transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**family.config)).save_pretrained(new)
        with open(os.path.join(new, 'config.json'), encoding='utf-8') as file:
            config = json.load(file)
        shapes = {name: list(x.shape) for name, x in read_safetensors(os.path.join(new, 'model.safetensors')).items()}
        members = {'files': {'config.json': config, 'tokenizer.json': json.loads(t.to_str()),
                             'tokenizer_config.json': {'model_max_length': 100}},
                   'seed': family.seed, 'prefix': '', 'tensors': rows_of(shapes, family)}
        draft = os.path.join(scratch, 'draft.json')
        write_file(draft, **members)
        write_family(draft, written, prefix='')
        with in_double():
            model, info = transformers.Qwen3ForCausalLM.from_pretrained(
                written, dtype=torch.float64, attn_implementation='eager', output_loading_info=True)
        assert not any(info[kind] for kind in ('missing_keys', 'unexpected_keys', 'mismatched_keys')), info
        cases = []
        for query, text, instruction, most in PAIRS:
            ids = ids_of(t, query, text, instruction, most)
            with torch.no_grad(), in_double():
                logits = model.eval()(input_ids=torch.tensor([ids])).logits[0, -1].numpy()
            cases.append({'query': query, 'text': text, **({'instruction': instruction} if instruction else {}),
                          'max_length': most, 'ids': ids, 'logit': float(f'{logits[words[0]] - logits[words[1]]:.9g}')})
    versions = {'python': sys.version.split()[0], 'numpy': np.__version__, 'torch': torch.__version__,
                'transformers': transformers.__version__, 'tokenizers': tokenizers.__version__}
    write_file(a.path, source={
        'guards': family.guards, 'command': f'tools/make_question.py {a.path}',
        'expected': "transformers.Qwen3ForCausalLM: float64, eager attention; the text of Qwen3-Reranker's card",
        'versions': ', '.join(f'{name} {version}' for name, version in versions.items()),
        'answers': f'yes is {words[0]}, no is {words[1]}, of {vocab}'}, **members, cases=cases)
    print(os.path.getsize(a.path), 'bytes', [case['logit'] for case in cases], [len(case['ids']) for case in cases])


if __name__ == '__main__':
    main()
