"""The real shapes of other families than BERT, for make_random_model.py --family: what config.json says, and
each tensor's name and shape as the published checkpoints have them."""

LLAMA = {'rms_norm_eps': 1e-6, 'hidden_act': 'silu', 'attention_bias': False}

# config.json, layers aside: published values.
CONFIGS = {
    'xlm-roberta-base': {
        'model_type': 'xlm-roberta', 'architectures': ['XLMRobertaModel'], 'hidden_act': 'gelu',
        'hidden_size': 768, 'intermediate_size': 3072, 'num_attention_heads': 12,
        'num_hidden_layers': 12, 'vocab_size': 250002, 'max_position_embeddings': 514,
        'type_vocab_size': 1, 'layer_norm_eps': 1e-5, 'pad_token_id': 1},
    'modernbert-base': {
        'model_type': 'modernbert', 'architectures': ['ModernBertModel'], 'hidden_activation': 'gelu',
        'hidden_size': 768, 'intermediate_size': 1152, 'num_attention_heads': 12,
        'num_hidden_layers': 22, 'vocab_size': 50368, 'max_position_embeddings': 8192,
        'norm_eps': 1e-5, 'local_attention': 128, 'global_attn_every_n_layers': 3,
        'global_rope_theta': 160000.0, 'local_rope_theta': 10000.0},
    'nomic-bert': {
        'model_type': 'nomic_bert', 'architectures': ['NomicBertModel'],
        'activation_function': 'swiglu', 'n_embd': 768, 'n_inner': 3072, 'n_head': 12, 'n_layer': 12,
        'vocab_size': 30528, 'n_positions': 8192, 'type_vocab_size': 2, 'layer_norm_epsilon': 1e-12,
        'rotary_emb_base': 1000.0, 'qkv_proj_bias': False, 'mlp_fc1_bias': False,
        'mlp_fc2_bias': False, 'prenorm': False, 'rotary_scaling_factor': None},
    'qwen3-0.6b': {
        'model_type': 'qwen3', 'architectures': ['Qwen3Model'], **LLAMA, 'hidden_size': 1024,
        'intermediate_size': 3072, 'num_attention_heads': 16, 'num_key_value_heads': 8,
        'head_dim': 128, 'num_hidden_layers': 28, 'vocab_size': 151669,
        'max_position_embeddings': 32768, 'rope_theta': 1000000.0},
    'embeddinggemma-300m': {
        'model_type': 'gemma3_text', 'architectures': ['Gemma3TextModel'], 'rms_norm_eps': 1e-6,
        'hidden_activation': 'gelu_pytorch_tanh', 'hidden_size': 768, 'intermediate_size': 1152,
        'num_attention_heads': 3, 'num_key_value_heads': 1, 'head_dim': 256,
        'num_hidden_layers': 24, 'vocab_size': 262144, 'max_position_embeddings': 2048,
        'query_pre_attn_scalar': 256, 'sliding_window': 512, '_sliding_window_pattern': 6,
        'rope_theta': 1000000.0, 'rope_local_base_freq': 10000.0,
        'use_bidirectional_attention': True},
}


def size_of(config, *keys):
    return next(config[key] for key in keys if key in config)


def roberta_layer(c, h, inter):
    for part in ('self.query', 'self.key', 'self.value', 'output.dense'):
        yield f'attention.{part}.weight', (h, h)
        yield f'attention.{part}.bias', (h,)
    yield from ((f'intermediate.dense.{w}', s) for w, s in (('weight', (inter, h)), ('bias', (inter,))))
    yield from ((f'output.dense.{w}', s) for w, s in (('weight', (h, inter)), ('bias', (h,))))
    for norm in ('attention.output.LayerNorm', 'output.LayerNorm'):
        yield norm + '.weight', (h,)
        yield norm + '.bias', (h,)


def modernbert_layer(c, h, inter):
    yield 'attn.Wqkv.weight', (3 * h, h)
    yield 'attn.Wo.weight', (h, h)
    yield 'attn_norm.weight', (h,)
    yield 'mlp_norm.weight', (h,)
    yield 'mlp.Wi.weight', (2 * inter, h)
    yield 'mlp.Wo.weight', (h, inter)


def nomic_layer(c, h, inter):
    yield 'attn.Wqkv.weight', (3 * h, h)
    yield 'attn.out_proj.weight', (h, h)
    yield 'mlp.fc11.weight', (inter, h)
    yield 'mlp.fc12.weight', (inter, h)
    yield 'mlp.fc2.weight', (h, inter)
    for norm in ('norm1', 'norm2'):
        yield norm + '.weight', (h,)
        yield norm + '.bias', (h,)


def llama_layer(c, h, inter):
    d = c['head_dim']
    queries, keys = c['num_attention_heads'] * d, c['num_key_value_heads'] * d
    yield 'self_attn.q_proj.weight', (queries, h)
    yield 'self_attn.k_proj.weight', (keys, h)
    yield 'self_attn.v_proj.weight', (keys, h)
    yield 'self_attn.o_proj.weight', (h, queries)
    yield 'self_attn.q_norm.weight', (d,)
    yield 'self_attn.k_norm.weight', (d,)
    yield 'mlp.gate_proj.weight', (inter, h)
    yield 'mlp.up_proj.weight', (inter, h)
    yield 'mlp.down_proj.weight', (h, inter)
    norms = ['input', 'post_attention']
    if c['model_type'] == 'gemma3_text':
        norms += ['pre_feedforward', 'post_feedforward']
    yield from ((norm + '_layernorm.weight', (h,)) for norm in norms)


# Of a model type: the tensors before the layers, the layers' prefix, a layer's tensors, and those after.
TENSORS = {
    'xlm-roberta': (
        lambda c, h: (('embeddings.word_embeddings.weight', (c['vocab_size'], h)),
                      ('embeddings.position_embeddings.weight', (c['max_position_embeddings'], h)),
                      ('embeddings.token_type_embeddings.weight', (c['type_vocab_size'], h)),
                      ('embeddings.LayerNorm.weight', (h,)), ('embeddings.LayerNorm.bias', (h,))),
        'encoder.layer.', roberta_layer, lambda h: ()),
    'modernbert': (
        lambda c, h: (('embeddings.tok_embeddings.weight', (c['vocab_size'], h)),
                      ('embeddings.norm.weight', (h,))),
        'layers.', modernbert_layer, lambda h: (('final_norm.weight', (h,)),)),
    'nomic_bert': (
        lambda c, h: (('embeddings.word_embeddings.weight', (c['vocab_size'], h)),
                      ('embeddings.token_type_embeddings.weight', (c['type_vocab_size'], h)),
                      ('emb_ln.weight', (h,)), ('emb_ln.bias', (h,))),
        'encoder.layers.', nomic_layer, lambda h: ()),
    'qwen3': (lambda c, h: (('embed_tokens.weight', (c['vocab_size'], h)),),
              'layers.', llama_layer, lambda h: (('norm.weight', (h,)),)),
    'gemma3_text': (lambda c, h: (('embed_tokens.weight', (c['vocab_size'], h)),),
                    'layers.', llama_layer, lambda h: (('norm.weight', (h,)),)),
}


def tensors_of(config):
    """(name, shape) of each tensor of a model with this config.json."""
    h = size_of(config, 'hidden_size', 'n_embd')
    inter = size_of(config, 'intermediate_size', 'n_inner')
    before, prefix, layer, after = TENSORS[config['model_type']]
    found = list(before(config, h))
    for i in range(size_of(config, 'num_hidden_layers', 'n_layer')):
        for name, shape in layer(config, h, inter):
            if config['model_type'] == 'modernbert' and i == 0 and name.startswith('attn_norm'):
                continue # the embedding is normalised already
            found.append((f'{prefix}{i}.{name}', shape))
    return found + list(after(h))
