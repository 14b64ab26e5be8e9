"""Encoders that no class of transformers computes, or not as their checkpoints want it, in double precision.

    family_formulas.FORMULAS[name](tensors, config, ids) -> last hidden state [tokens, hidden]

tensors: {name: float64 array}, by the names of the checkpoint, without a prefix. The sources of the formulas
are said where they are; tools/make_families.py checks those that a class computes too, and all of them against
vectors of others. For tools/make_families.py; needs numpy."""
import math

import numpy as np

erf = np.vectorize(math.erf)


def gelu(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def silu(x):
    return x / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Weights:
    """The tensors of a checkpoint, and what is done with them."""

    def __init__(self, tensors, eps):
        self.tensors, self.eps = tensors, eps

    def linear(self, x, name):
        y = x @ self.tensors[name + '.weight'].T
        return y + self.tensors[name + '.bias'] if name + '.bias' in self.tensors else y

    def norm(self, x, name):
        y = x - x.mean(axis=-1, keepdims=True)
        y = y / np.sqrt((y * y).mean(axis=-1, keepdims=True) + self.eps)
        return y * self.tensors[name + '.weight'] + self.tensors[name + '.bias']

    def embed(self, ids, norm, types):
        x = self.tensors['embeddings.word_embeddings.weight'][ids]
        if types:
            x = x + self.tensors['embeddings.token_type_embeddings.weight'][0]
        return self.norm(x, norm)


def heads_of(x, n):
    """[n, tokens, width] of [tokens, n * width]"""
    return x.reshape(len(x), n, -1).transpose(1, 0, 2)


def attention(q, k, v, bias=0):
    """[tokens, hidden] of [heads, tokens, width] each"""
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1]) + bias
    return (softmax(scores) @ v).transpose(1, 0, 2).reshape(q.shape[1], -1)


def rotate(x, frequencies):
    """Su et al. 2021, (34), with the pairs i and i + width / 2."""
    angles = np.outer(np.arange(x.shape[1]), frequencies)
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = np.split(x, 2, axis=-1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def frequencies_of(theta, width):
    return np.array([theta ** (-2 * i / width) for i in range(width // 2)])


def rotary_attention(x, w, qkv, out, n_heads, frequencies):
    q, k, v = (heads_of(part, n_heads) for part in np.split(w.linear(x, qkv), 3, axis=-1))
    return w.linear(attention(rotate(q, frequencies), rotate(k, frequencies), v), out)


def gte(tensors, c, ids):
    """text-embeddings-inference 1.9.3, gte.rs; the scaling is layers/rotary.rs: NTK by a factor f is
    (theta f)^(-2i / d) / f^(2 / d) at every length."""
    w, width = Weights(tensors, c['layer_norm_eps']), c['hidden_size'] // c['num_attention_heads']
    scaling = c.get('rope_scaling') or {'factor': 1}
    factor = scaling['factor']
    frequencies = frequencies_of(c['rope_theta'] * factor, width) / factor ** (2 / width)
    x = w.embed(ids, 'embeddings.LayerNorm', c['type_vocab_size'])
    for i in range(c['num_hidden_layers']):
        at = f'encoder.layer.{i}.'
        x = w.norm(x + rotary_attention(x, w, at + 'attention.qkv_proj', at + 'attention.o_proj',
                                        c['num_attention_heads'], frequencies), at + 'attn_ln')
        up, gate = np.split(w.linear(x, at + 'mlp.up_gate_proj'), 2, axis=-1)
        x = w.norm(x + w.linear(gelu(gate) * up, at + 'mlp.down_proj'), at + 'mlp_ln')
    return x


def experts(x, w, at, c):
    """text-embeddings-inference 1.9.3, nomic.rs: the best top_k of all experts' probabilities, which are not
    made to sum to one, and one bias. A choice so close that float32 may make another is no oracle."""
    n, top = c['num_experts'], c['moe_top_k']
    share = softmax(w.linear(x, at + 'router.layer'))
    first, second = (w.tensors[at + f'experts.mlp.w{i}'].reshape(n, -1, x.shape[1]) for i in (1, 2))
    ordered = np.sort(share, axis=1)
    assert (ordered[:, -top] - ordered[:, -top - 1]).min() > 1e-5
    y = np.zeros_like(x) + w.tensors[at + 'experts.bias']
    for row in range(len(x)):
        for e in np.argsort(-share[row], kind='stable')[:top]:
            y[row] += share[row, e] * (gelu(x[row] @ first[e].T) @ second[e])
    return y


def nomic(tensors, c, ids):
    """nomic-bert-2048 and nomic-embed-text-v2-moe: text-embeddings-inference 1.9.3, nomic.rs; dynamic NTK as
    transformers 5.24.0, its rope utilities."""
    w, n_heads = Weights(tensors, c['layer_norm_epsilon']), c['n_head']
    theta, width, factor = c['rotary_emb_base'], c['n_embd'] // n_heads, c.get('rotary_scaling_factor')
    if factor and len(ids) > c['max_trained_positions']:
        share = factor * len(ids) / c['max_trained_positions'] - (factor - 1)
        theta *= share ** (width / (width - 2))
    frequencies = frequencies_of(theta, width)
    x = w.embed(ids, 'emb_ln', c['type_vocab_size'])
    for i in range(c['n_layer']):
        at = f'encoder.layers.{i}.'
        x = w.norm(x + rotary_attention(x, w, at + 'attn.Wqkv', at + 'attn.out_proj', n_heads, frequencies),
                   at + 'norm1')
        if c.get('moe_every_n_layers') and i % c['moe_every_n_layers'] == 1:
            y = experts(x, w, at + 'mlp.', c)
        elif c['activation_function'] == 'swiglu':
            y = w.linear(w.linear(x, at + 'mlp.fc11') * silu(w.linear(x, at + 'mlp.fc12')), at + 'mlp.fc2')
        else:
            y = w.linear(gelu(w.linear(x, at + 'mlp.fc1')), at + 'mlp.fc2')
        x = w.norm(x + y, at + 'norm2')
    return x


def slopes_of(n):
    """ALiBi (Press et al. 2022, 3); heads beyond a power of two take every second slope of twice as many."""
    if n & (n - 1) == 0:
        return [2 ** (-8 * (i + 1) / n) for i in range(n)]
    least = 2 ** (n.bit_length() - 1)
    return slopes_of(least) + slopes_of(2 * least)[0::2][:n - least]


def jina_bert(tensors, c, ids):
    """text-embeddings-inference 1.9.3, jina.rs and jina_code.rs; the activation is erf's gelu, as in the
    checkpoints' own file (TEI's Python server has it)."""
    w, n_heads = Weights(tensors, c['layer_norm_eps']), c['num_attention_heads']
    post_norm = 'qk-post-norm' in c['_name_or_path']
    distance = np.abs(np.subtract.outer(np.arange(len(ids)), np.arange(len(ids))))
    bias = -np.array(slopes_of(n_heads))[:, None, None] * distance
    x = w.embed(ids, 'embeddings.LayerNorm', c['type_vocab_size'])
    for i in range(c['num_hidden_layers']):
        at = f'encoder.layer.{i}.'
        q, k, v = (w.linear(x, at + 'attention.self.' + part) for part in ('query', 'key', 'value'))
        if post_norm:
            q, k = w.norm(q, at + 'attention.self.layer_norm_q'), w.norm(k, at + 'attention.self.layer_norm_k')
        context = attention(*(heads_of(part, n_heads) for part in (q, k, v)), bias)
        a = w.norm(w.linear(context, at + 'attention.output.dense') + x, at + 'attention.output.LayerNorm')
        if post_norm:
            b = w.norm(x + a, at + 'layer_norm_1')
            up, gate = np.split(w.linear(b, at + 'mlp.up_gated_layer'), 2, axis=-1)
            x = w.norm(b + w.linear(up * gelu(gate), at + 'mlp.down_layer'), at + 'layer_norm_2')
        else:
            gate, up = np.split(w.linear(a, at + 'mlp.gated_layers'), 2, axis=-1)
            x = w.norm(a + w.linear(gelu(gate) * up, at + 'mlp.wo'), at + 'mlp.layernorm')
    return x


def with_adapter(tensors, c, task):
    """Weights under their plain names, with the low-rank parts of a task (Hu et al. 2022): of a matrix B A times
    alpha / rank, of a table of embeddings A B. No task: the plain weights."""
    plain, at = {}, '.parametrizations.weight.'
    for name, t in tensors.items():
        if at + '0.' in name:
            continue
        if task is not None and name.endswith(at + 'original'):
            number, start = c['lora_adaptations'].index(task), name.removesuffix('original') + '0.lora_'
            a, b = tensors[start + 'A'][number], tensors[start + 'B'][number]
            t = t + (a @ b if '_embeddings' in name else b @ a) * c['lora_alpha'] / c['lora_rank']
        plain[name.replace(at + 'original', '.weight')] = t
    return plain


def jina_v3(tensors, c, ids, task=None):
    """XLM-RoBERTa with rotary positions (transformers 5.24.0, jina_embeddings_v3), and with a task's low-rank parts
    (jina-embeddings-v3's modeling_lora and embedding)."""
    plain = with_adapter(tensors, c, task)
    w, n_heads = Weights(plain, c['layer_norm_eps']), c['num_attention_heads']
    frequencies = frequencies_of(c['rotary_emb_base'], c['hidden_size'] // n_heads)
    x = w.embed(ids, 'emb_ln', c['type_vocab_size'])
    for i in range(c['num_hidden_layers']):
        at = f'encoder.layers.{i}.'
        x = w.norm(x + rotary_attention(x, w, at + 'mixer.Wqkv', at + 'mixer.out_proj', n_heads, frequencies),
                   at + 'norm1')
        x = w.norm(x + w.linear(gelu(w.linear(x, at + 'mlp.fc1')), at + 'mlp.fc2'), at + 'norm2')
    return x


def model2vec(tensors, c, ids):
    """model2vec 0.10.0, StaticModel._encode_helper: each token's row times its weight."""
    ids = np.array(ids)
    rows = tensors['mapping'].astype(np.int64)[ids] if 'mapping' in tensors else ids
    x = tensors['embeddings'][rows]
    return x * tensors['weights'][ids][:, None] if 'weights' in tensors else x


def static_embedding(tensors, c, ids):
    """sentence-transformers 6.2.0, StaticEmbedding: the rows of an EmbeddingBag."""
    return tensors['embedding.weight'][ids]


FORMULAS = {'model2vec': model2vec, 'static_embedding': static_embedding, 'gte': gte, 'nomic': nomic, 'jina_bert': jina_bert, 'jina_v3': jina_v3}
