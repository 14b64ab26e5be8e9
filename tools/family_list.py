"""The models of tests/data/families: shapes, configurations, and the documents' lengths (tools/make_families.py).

They differ from those of other sources in shape, windows, angles, epsilons, biases and spellings, so that a
number or a name that only one model has shows."""


class Family:
    """name: the file. made_by: the class's name in transformers without "Config" and "Model", or with
    `tensors` {name: shape} a formula's. config: the class's arguments, or for a formula what the hub has.
    guards: what would be wrong where this model fails.

    modules: classes of modules.json; None: a Transformer, the pooling and, where `normalize` is set, a
    Normalize; (): no such file. config None: no config.json.
    tasks: of each document, None or a name of "lora_adaptations".
    hub: changes the configuration as transformers saves it into the hub's. special: first and last id. first:
    the least id of a word. lengths: tokens of the documents. at: {document: {place: id}}. kinds: [(pattern of
    a name, values of "tensors")] before the usual ones. gemma: norms' weights are about 0.
    scores: logits of a classifier, of pairs whose second half has type 1 ('types') or which have no types ('plain').
    seed: of weights and ids; chosen where experts' probabilities must not be close to each other."""

    def __init__(self, name, made_by, config, guards, tensors=None, hub=None, pooling='mean', normalize=True,
                 prefix='', special=(2, 3), first=5, lengths=(2, 1, 7, 19, 33, 60), at=None, kinds=(),
                 gemma=False, seed=None, modules=None, tasks=(), scores=None):
        self.name, self.made_by, self.config, self.guards = name, made_by, config, guards
        self.tensors, self.hub, self.pooling, self.normalize = tensors, hub, pooling, normalize
        self.prefix, self.special, self.first, self.lengths = prefix, special, first, lengths
        self.at, self.kinds, self.gemma, self.modules = at or {}, kinds, gemma, modules
        self.tasks, self.scores = tasks, scores
        self.seed = seed or sum(map(ord, name)) * 7919 % 9973


def sizes(vocab, hidden, layers, heads, inter, **more):
    return dict(vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
                intermediate_size=inter, **more)


def rope(theta, **more):
    return {'rope_type': 'default', 'rope_theta': float(theta), **more}


def without(config, *keys):
    return {key: value for key, value in config.items() if key not in keys}


# ---- configurations as the hub has them ----

def old_rope(c):
    """rope_theta and rope_scaling, as before transformers 5."""
    return {**without(c, 'rope_parameters', 'layer_types', 'dtype'),
            'rope_theta': c['rope_parameters']['rope_theta'], 'rope_scaling': None, 'torch_dtype': 'float32'}


def old_nomic(c):
    return gpt2_keys(c['vocab_size'], c['hidden_size'], c['num_attention_heads'], c['num_hidden_layers'],
                     c['intermediate_size'], layer_norm_epsilon=c['layer_norm_eps'],
                     rotary_emb_base=c['rope_parameters']['rope_theta'], type_vocab_size=c['type_vocab_size'])


def gpt2_keys(vocab, hidden, heads, layers, inter, **more):
    """The keys of nomic-bert-2048's config.json."""
    return {'activation_function': 'swiglu', 'architectures': ['NomicBertModel'], 'attn_pdrop': 0.0,
            'causal': False, 'dense_seq_output': True, 'embd_pdrop': 0.0, 'fused_bias_fc': True,
            'fused_dropout_add_ln': True, 'initializer_range': 0.02, 'layer_norm_epsilon': 1e-12,
            'max_trained_positions': 2048, 'mlp_fc1_bias': False, 'mlp_fc2_bias': False,
            'model_type': 'nomic_bert', 'n_embd': hidden, 'n_head': heads, 'n_inner': inter, 'n_layer': layers,
            'n_positions': 256, 'pad_vocab_size_multiple': 64, 'parallel_block': False,
            'parallel_block_tied_norm': False, 'prenorm': False, 'qkv_proj_bias': False,
            'resid_pdrop': 0.0, 'rotary_emb_base': 1000, 'rotary_emb_fraction': 1.0,
            'rotary_emb_interleaved': False, 'rotary_emb_scale_base': None, 'rotary_scaling_factor': None,
            'scale_attn_by_inverse_layer_idx': False, 'scale_attn_weights': True, 'torch_dtype': 'float32',
            'type_vocab_size': 2, 'use_flash_attn': True, 'use_rms_norm': False, 'vocab_size': vocab, **more}


def old_modernbert(c):
    angles = c['rope_parameters']
    return {**without(c, 'rope_parameters', 'layer_types', 'dtype'), 'global_attn_every_n_layers': 3,
            'global_rope_theta': angles['full_attention']['rope_theta'], 'torch_dtype': 'float32',
            'local_rope_theta': angles['sliding_attention']['rope_theta'], 'position_embedding_type': 'absolute'}


def old_gemma(c):
    angles = c['rope_parameters']
    return {**without(c, 'rope_parameters', 'dtype'), 'rope_scaling': None, 'torch_dtype': 'float32',
            'rope_theta': angles['full_attention']['rope_theta'],
            'rope_local_base_freq': angles['sliding_attention']['rope_theta']}


def new_model(vocab, hidden, layers, heads, inter, **more):
    """The keys of gte-base-en-v1.5's and gte-multilingual-base's config.json."""
    return {'architectures': ['NewModel'], 'attention_probs_dropout_prob': 0.0,
            'auto_map': {'AutoConfig': 'configuration.NewConfig', 'AutoModel': 'modeling.NewModel'},
            'hidden_act': 'gelu', 'layer_norm_type': 'layer_norm', 'logn_attention_clip1': False,
            'logn_attention_scale': False, 'model_type': 'new', 'pack_qkv': True, 'pad_token_id': 0,
            'position_embedding_type': 'rope', 'rope_scaling': None, 'torch_dtype': 'float32',
            'unpad_inputs': False, 'use_memory_efficient_attention': False, 'max_position_embeddings': 512,
            **sizes(vocab, hidden, layers, heads, inter), **more}


def gte_hub(c):
    return new_model(c['vocab_size'], c['hidden_size'], c['num_hidden_layers'], c['num_attention_heads'],
                     c['intermediate_size'], rope_theta=c['rope_parameters']['rope_theta'],
                     type_vocab_size=c['type_vocab_size'], layer_norm_eps=c['layer_norm_eps'])


def jina_bert(variant, vocab, hidden, layers, heads, inter):
    return {'_name_or_path': 'jinaai/' + variant, 'architectures': ['JinaBertForMaskedLM'],
            'auto_map': {'AutoConfig': f'jinaai/{variant}--configuration_bert.JinaBertConfig',
                         'AutoModel': f'jinaai/{variant}--modeling_bert.JinaBertModel'},
            'attention_probs_dropout_prob': 0.1, 'emb_pooler': 'mean', 'feed_forward_type': 'geglu',
            'hidden_act': 'gelu', 'layer_norm_eps': 1e-12, 'max_position_embeddings': 512,
            'model_max_length': 512, 'model_type': 'bert', 'pad_token_id': 0, 'position_embedding_type': 'alibi',
            'torch_dtype': 'float32', 'type_vocab_size': 2, **sizes(vocab, hidden, layers, heads, inter)}


def jina_v3_config(vocab, hidden, layers, heads, inter):
    return {'architectures': ['XLMRobertaLoRA'], '_name_or_path': 'jinaai/xlm-roberta-flash-implementation',
            'auto_map': {
                'AutoConfig': 'jinaai/xlm-roberta-flash-implementation--configuration_xlm_roberta'
                              '.XLMRobertaFlashConfig',
                'AutoModel': 'jinaai/xlm-roberta-flash-implementation--modeling_lora.XLMRobertaLoRA'},
            'bos_token_id': 0, 'emb_pooler': 'mean', 'eos_token_id': 2, 'hidden_act': 'gelu',
            'layer_norm_eps': 1e-5, 'load_trained_adapters': True, 'lora_adaptations': ['query', 'passage', 'match'],
            'lora_alpha': 1, 'lora_dropout_p': 0.0, 'lora_main_params_trainable': False, 'lora_rank': 4,
            'max_position_embeddings': 258, 'model_type': 'xlm-roberta', 'pad_token_id': 1,
            'position_embedding_type': 'rotary', 'rotary_emb_base': 7000.0, 'torch_dtype': 'float32',
            'type_vocab_size': 1, 'use_flash_attn': True, **sizes(vocab, hidden, layers, heads, inter)}


# ---- tensors, where transformers has no class to say them ----

def layers_of(n, shapes):
    return {name.replace('*', str(i)): shape for i in range(n) for name, shape in shapes.items()}


def norm(name, h):
    return {name + '.weight': [h], name + '.bias': [h]}


def linear(name, outputs, inputs, bias=True):
    return {name + '.weight': [outputs, inputs], **({name + '.bias': [outputs]} if bias else {})}


def embeddings(vocab, h, types, norm_name='embeddings.LayerNorm'):
    return {'embeddings.word_embeddings.weight': [vocab, h],
            **({'embeddings.token_type_embeddings.weight': [types, h]} if types else {}), **norm(norm_name, h)}


def gte_tensors(vocab, h, n, inter, types):
    at = 'encoder.layer.*.'
    return {**embeddings(vocab, h, types), **layers_of(n, {
        **linear(at + 'attention.qkv_proj', 3 * h, h), **linear(at + 'attention.o_proj', h, h),
        **norm(at + 'attn_ln', h), **linear(at + 'mlp.up_gate_proj', 2 * inter, h, bias=False),
        **linear(at + 'mlp.down_proj', h, inter), **norm(at + 'mlp_ln', h)})}


def nomic_tensors(vocab, h, n, inter, types):
    at = 'encoder.layers.*.'
    return {**embeddings(vocab, h, types, 'emb_ln'), **layers_of(n, {
        **linear(at + 'attn.Wqkv', 3 * h, h, bias=False), **linear(at + 'attn.out_proj', h, h, bias=False),
        **norm(at + 'norm1', h), **linear(at + 'mlp.fc11', inter, h, bias=False),
        **linear(at + 'mlp.fc12', inter, h, bias=False), **linear(at + 'mlp.fc2', h, inter, bias=False),
        **norm(at + 'norm2', h)})}


def moe_tensors(vocab, h, n, inter, n_experts):
    shapes = embeddings(vocab, h, 1, 'emb_ln')
    for i in range(n):
        at = f'encoder.layers.{i}.'
        shapes |= {**linear(at + 'attn.Wqkv', 3 * h, h), **linear(at + 'attn.out_proj', h, h),
                   **norm(at + 'norm1', h), **norm(at + 'norm2', h)}
        if i % 2:
            shapes |= {at + 'mlp.router.layer.weight': [n_experts, h], at + 'mlp.experts.bias': [h],
                       at + 'mlp.experts.mlp.w1': [n_experts * inter, h],
                       at + 'mlp.experts.mlp.w2': [n_experts * inter, h]}
        else:
            shapes |= {**linear(at + 'mlp.fc1', inter, h), **linear(at + 'mlp.fc2', h, inter)}
    return shapes


def jina_bert_tensors(vocab, h, n, inter, post_norm):
    at = 'encoder.layer.*.'
    shapes = {name: shape for part in ('query', 'key', 'value')
              for name, shape in linear(f'{at}attention.self.{part}', h, h).items()}
    shapes |= {**linear(at + 'attention.output.dense', h, h), **norm(at + 'attention.output.LayerNorm', h)}
    if post_norm:
        shapes |= {**norm(at + 'attention.self.layer_norm_q', h), **norm(at + 'attention.self.layer_norm_k', h),
                   **norm(at + 'layer_norm_1', h), **norm(at + 'layer_norm_2', h),
                   **linear(at + 'mlp.up_gated_layer', 2 * inter, h, bias=False),
                   **linear(at + 'mlp.down_layer', h, inter)}
    else:
        shapes |= {**linear(at + 'mlp.gated_layers', 2 * inter, h, bias=False),
                   **linear(at + 'mlp.wo', h, inter), **norm(at + 'mlp.layernorm', h)}
    return {**embeddings(vocab, h, 2), **layers_of(n, shapes)}


def with_adapters(shapes, tasks, rank):
    """jina-embeddings-v3's names of matrices, and the adapters' A and B."""
    out = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            out[name] = shape
            continue
        at, (rows, columns) = name.removesuffix('.weight') + '.parametrizations.weight.', shape
        table = '_embeddings' in name
        out[at + 'original'] = shape
        out[at + '0.lora_A'] = [tasks, rows if table else rank, rank if table else columns]
        out[at + '0.lora_B'] = [tasks, rank if table else rows, columns if table else rank]
    return out


def jina_v3_tensors(vocab, h, n, inter):
    at = 'encoder.layers.*.'
    return with_adapters({**embeddings(vocab, h, 1, 'emb_ln'), **layers_of(n, {
        **linear(at + 'mixer.Wqkv', 3 * h, h), **linear(at + 'mixer.out_proj', h, h), **norm(at + 'norm1', h),
        **linear(at + 'mlp.fc1', inter, h), **linear(at + 'mlp.fc2', h, inter), **norm(at + 'norm2', h)}),
        **linear('pooler.dense', h, h)}, 3, 4)


# ---- the models ----

PADDED = {3: {4: 1, 9: 1}, 4: {1: 1, 31: 1}, 5: {30: 1, 31: 1}}  # tokens that are the padding's

FAMILIES = [
    Family('bert', 'Bert', sizes(90, 40, 2, 5, 52, max_position_embeddings=64),
           'heads of 8, an intermediate size that no tile divides', lengths=(2, 1, 7, 19, 33, 64)),
    Family('xlm-roberta', 'XLMRoberta',
           sizes(111, 64, 3, 2, 100, max_position_embeddings=66, type_vocab_size=1, layer_norm_eps=1e-5,
                 pad_token_id=1, bos_token_id=0, eos_token_id=2),
           'positions from 2 on, padding inside a text, heads of 32', special=(0, 2), at=PADDED,
           lengths=(2, 1, 7, 19, 33, 64)),
    Family('roberta', 'Roberta',
           sizes(75, 40, 2, 2, 52, max_position_embeddings=60, type_vocab_size=2, layer_norm_eps=1e-5,
                 pad_token_id=1, bos_token_id=0, eos_token_id=2),
           'heads of 20, a prefix, two rows of token types, first token', special=(0, 2), at=PADDED, pooling='cls',
           prefix='roberta.', lengths=(2, 1, 9, 20, 33, 58)),
    Family('camembert', 'Camembert',
           sizes(64, 32, 2, 4, 44, max_position_embeddings=50, type_vocab_size=1, layer_norm_eps=1e-5,
                 pad_token_id=3, bos_token_id=5, eos_token_id=6, hidden_act='gelu_new'),
           'positions that begin after another padding id (3), gelu by tanh, not normalised', special=(5, 6),
           first=7, at={3: {4: 3, 9: 3}, 4: {1: 3}}, normalize=False, lengths=(2, 1, 8, 17, 31, 46)),
    Family('mpnet', 'MPNet',
           sizes(85, 64, 3, 2, 84, max_position_embeddings=182, layer_norm_eps=1e-5,
                 relative_attention_num_buckets=32, pad_token_id=1, bos_token_id=0, eos_token_id=2),
           'distances of either sign in each bucket, beyond 128 too, one table for all layers', special=(0, 2),
           at={3: {4: 1}}, lengths=(2, 1, 9, 24, 70, 180)),
    Family('distilbert', 'DistilBert',
           dict(vocab_size=99, dim=48, n_layers=3, n_heads=6, hidden_dim=52, max_position_embeddings=50,
                activation='relu'),
           'names of its own, a prefix, relu, no token types, first token', pooling='cls', prefix='distilbert.',
           lengths=(2, 1, 7, 19, 33, 50)),
    Family('nomic-bert', 'NomicBert',
           sizes(128, 64, 2, 2, 84, max_position_embeddings=256, layer_norm_eps=1e-6, type_vocab_size=2,
                 rope_parameters=rope(500)),
           "GPT-2's keys, theta 500, heads of 32", hub=old_nomic, lengths=(2, 1, 7, 19, 40, 120)),
    Family('nomic-bert-hf', 'NomicBert',
           sizes(70, 40, 3, 5, 52, max_position_embeddings=128, layer_norm_eps=1e-12, type_vocab_size=1,
                 rope_parameters=rope(3000)),
           "transformers' keys, heads of 8, theta 3000, one row of token types, first token", pooling='cls',
           kinds=[('Wqkv|fc1', 9)], lengths=(2, 1, 7, 19, 33, 100)),
    Family('nomic-bert-ntk', 'nomic',
           gpt2_keys(64, 40, 2, 2, 36, max_trained_positions=20, rotary_scaling_factor=2, rotary_emb_base=800),
           'dynamic NTK: angles that depend on the length beyond 20, and no scaling at 20',
           tensors=nomic_tensors(64, 40, 2, 36, 2), lengths=(2, 1, 20, 21, 47, 90)),
    Family('nomic-v2-moe', 'nomic',
           gpt2_keys(128, 48, 3, 4, 20, activation_function='gelu', layer_norm_epsilon=1e-5, mlp_fc1_bias=True,
                     mlp_fc2_bias=True, qkv_proj_bias=True, rotary_emb_base=10000, type_vocab_size=1,
                     moe_every_n_layers=2, num_experts=4, moe_top_k=2, moe_normalize_expert_weights=False,
                     expert_choice_router=False, num_shared_experts=0, ffn_div=1, pad_token_id=1),
           'experts in odd layers, two of four, shares that do not sum to one, one bias',
           tensors=moe_tensors(128, 48, 4, 20, 4), seed=13, special=(0, 2), lengths=(2, 1, 7, 12, 20, 31)),
    Family('gte', 'Gte',
           sizes(66, 64, 3, 2, 52, max_position_embeddings=512, layer_norm_eps=1e-12, type_vocab_size=1,
                 rope_parameters=rope(5000)),
           'the halves of up_gate_proj, a prefix, no scaling', hub=gte_hub, pooling='cls', prefix='new.',
           lengths=(2, 1, 7, 19, 33, 100)),
    Family('gte-ntk', 'gte',
           new_model(66, 40, 3, 5, 44, rope_theta=9000, rope_scaling={'type': 'ntk', 'factor': 4.0},
                     type_vocab_size=0, layer_norm_eps=1e-6),
           'NTK by 4 with the division by 4^(2/8), heads of 8, no token types',
           tensors=gte_tensors(66, 40, 3, 44, 0), kinds=[('qkv_proj.weight|up_gate', 9)], lengths=(2, 1, 7, 19, 33, 150)),
    Family('jina-bert-v2', 'jina_bert', jina_bert('jina-bert-implementation', 77, 48, 3, 6, 52),
           "ALiBi's slopes of 6 heads, the first half activated", prefix='bert.',
           tensors=jina_bert_tensors(77, 48, 3, 52, False), lengths=(2, 1, 7, 19, 33, 140)),
    Family('jina-bert-v2-qk-post-norm', 'jina_bert', jina_bert('jina-bert-v2-qk-post-norm', 77, 60, 2, 3, 44),
           'norms over all of q and k, four norms, the second half activated, heads of 20',
           tensors=jina_bert_tensors(77, 60, 2, 44, True), lengths=(2, 1, 7, 19, 33, 70)),
    Family('jina-v3', 'jina_v3', jina_v3_config(60, 48, 2, 2, 52),
           'names of parametrised matrices, no adapter asked for: the plain ones, rotary theta 7000',
           prefix='roberta.', tensors=jina_v3_tensors(60, 48, 2, 52), special=(0, 2),
           lengths=(2, 1, 7, 19, 33, 90)),
    Family('jina-v3-tasks', 'jina_v3',
           {**jina_v3_config(44, 36, 2, 3, 28), 'lora_alpha': 3, 'position_embedding_type': 'rotary'},
           "the low-rank parts of matrices, words and the token type, 3/4 of their product, a task's own; heads of 12",
           prefix='roberta.', tensors=jina_v3_tensors(44, 36, 2, 28), special=(0, 2), lengths=(7, 19, 2, 33, 1, 11),
           tasks=(None, 'query', 'query', 'query', 'match', 'match'), kinds=[('lora_[AB]', 7)]),
    Family('modernbert', 'ModernBert',
           sizes(101, 40, 5, 2, 52, max_position_embeddings=256, local_attention=10, norm_eps=1e-5,
                 rope_parameters={'full_attention': rope(90000), 'sliding_attention': rope(700)},
                 layer_types=((['full_attention'] + 2 * ['sliding_attention']) * 2)[:5],
                 pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3),
           'the old keys; a window of 5 on either side, two thetas, no norm before the first attention',
           hub=old_modernbert, pooling='cls', kinds=[('Wqkv|Wi', 9)], lengths=(2, 1, 6, 11, 12, 50)),
    Family('modernbert-v5keys', 'ModernBert',
           sizes(101, 64, 3, 2, 36, max_position_embeddings=256, local_attention=6, norm_eps=1e-6,
                 hidden_activation='silu',
                 rope_parameters={'full_attention': rope(60000), 'sliding_attention': rope(400)},
                 layer_types=['sliding_attention', 'full_attention', 'sliding_attention'],
                 pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3),
           'layer_types whose first is no full attention, a window of 3 on either side, silu',
           prefix='model.', lengths=(2, 1, 4, 8, 19, 50)),
    Family('modernbert-biases', 'ModernBert',
           sizes(50, 32, 2, 4, 44, max_position_embeddings=128, local_attention=8, attention_bias=True,
                 mlp_bias=True, norm_bias=True,
                 rope_parameters={'full_attention': rope(60000), 'sliding_attention': rope(400)},
                 layer_types=['full_attention', 'sliding_attention'],
                 pad_token_id=0, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3),
           'biases in attention, feed forward and norms', lengths=(2, 1, 5, 10, 19, 50)),
    Family('qwen3', 'Qwen3',
           sizes(88, 40, 3, 4, 52, num_key_value_heads=2, head_dim=20, max_position_embeddings=256,
                 rms_norm_eps=1e-6, rope_parameters=rope(50000)),
           'four heads on two keys, heads of 20 of 40, causal, last token, the old keys', hub=old_rope,
           pooling='last', special=(None, 3), lengths=(2, 1, 7, 19, 33, 100)),
    Family('qwen3-v5keys', 'Qwen3',
           sizes(60, 64, 2, 3, 84, num_key_value_heads=3, head_dim=8, max_position_embeddings=256,
                 rms_norm_eps=1e-5, attention_bias=True, rope_parameters=rope(1000)),
           'as many keys as heads, heads of 8, biases, a prefix, mean of causal states, rope_parameters',
           prefix='model.', special=(None, 3), lengths=(2, 1, 7, 19, 33, 90)),
    Family('eurobert', 'EuroBert',
           sizes(72, 96, 2, 3, 52, num_key_value_heads=1, max_position_embeddings=256, rms_norm_eps=1e-5,
                 rope_parameters=rope(20000), pad_token_id=0, bos_token_id=2, eos_token_id=3, mask_token_id=4),
           'three heads on one key, not causal, heads of 32, the old keys', hub=old_rope,
           lengths=(2, 1, 7, 19, 33, 80)),
    Family('gemma3', 'Gemma3Text',
           sizes(66, 48, 4, 3, 36, num_key_value_heads=1, head_dim=20, max_position_embeddings=256,
                 rms_norm_eps=1e-6, sliding_window=10, query_pre_attn_scalar=24, use_bidirectional_attention=True,
                 rope_parameters={'full_attention': rope(80000), 'sliding_attention': rope(600)},
                 layer_types=['sliding_attention', 'full_attention', 'sliding_attention', 'sliding_attention'],
                 hidden_activation='gelu_pytorch_tanh'),
           'norms by 1 + w, four a layer; a window of 5 on either side; two thetas; a scale that is not the '
           "heads' size; words times sqrt(48); the old keys", hub=old_gemma, gemma=True,
           kinds=[('embed_tokens', 9)], lengths=(2, 1, 6, 11, 12, 60)),
    Family('gemma3-v5keys', 'Gemma3Text',
           sizes(66, 64, 2, 4, 52, num_key_value_heads=2, head_dim=32, max_position_embeddings=256,
                 rms_norm_eps=1e-5, sliding_window=7, query_pre_attn_scalar=32, use_bidirectional_attention=True,
                 rope_parameters={'full_attention': rope(80000), 'sliding_attention': rope(600)},
                 layer_types=['sliding_attention', 'full_attention'], hidden_activation='gelu_pytorch_tanh'),
           'an odd window, two keys, a prefix, rope_parameters', prefix='model.', gemma=True,
           kinds=[('embed_tokens', 9)], lengths=(2, 1, 6, 9, 19, 60)),
    Family('deberta-v2', 'DebertaV2',
           sizes(70, 48, 2, 3, 52, max_position_embeddings=128, relative_attention=True, position_buckets=16,
                 pos_att_type=['p2c', 'c2p'], share_att_key=True, norm_rel_ebd='layer_norm',
                 position_biased_input=False, type_vocab_size=0, layer_norm_eps=1e-7, max_relative_positions=-1),
           'scores by content and position, in logarithmic buckets', pooling='cls',
           kinds=[('rel_embeddings', 7)], lengths=(2, 1, 7, 19, 33, 100)),
    Family('deberta-v2-own', 'DebertaV2',
           sizes(66, 40, 2, 2, 44, max_position_embeddings=50, relative_attention=True, position_buckets=-1,
                 pos_att_type=['c2p', 'p2c'], share_att_key=False, norm_rel_ebd='none', position_biased_input=True,
                 type_vocab_size=2, layer_norm_eps=1e-6, max_relative_positions=20),
           'distances through matrices of their own, one a vector up to 20, no norm of them; a table of positions, '
           'token types, a prefix', prefix='deberta.', kinds=[('rel_embeddings', 7)], lengths=(2, 1, 7, 19, 33, 50)),
    Family('deberta-v2-c2p', 'DebertaV2',
           sizes(50, 36, 2, 3, 28, max_position_embeddings=40, relative_attention=True, position_buckets=10,
                 pos_att_type='c2p', share_att_key=True, norm_rel_ebd='layer_norm', position_biased_input=False,
                 type_vocab_size=0, layer_norm_eps=1e-7, max_relative_positions=-1),
           'one of the two terms, as a text, and the divisor that goes with it; texts longer than the farthest bucket',
           kinds=[('rel_embeddings', 7)], lengths=(2, 1, 7, 19, 40, 33)),
    Family('embeddinggemma2', 'EmbeddingGemma2',
           {'vision_config': None, 'audio_config': None, 'text_config': sizes(
               60, 48, 3, 4, 36, num_key_value_heads=2, head_dim=12, max_position_embeddings=256,
               rms_norm_eps=1e-5, sliding_window=4, hidden_size_per_layer_input=8, embedding_dim=56,
               rope_parameters={'full_attention': rope(80000), 'sliding_attention': rope(600)},
               layer_types=['sliding_attention', 'full_attention', 'full_attention'],
               per_layer_config={i: {'head_dim': 20, 'num_key_value_heads': 1} for i in (1, 2)})},
           'a window of 4 on either side, inputs of each layer, two sizes of heads and numbers of keys, values '
           'normalised, layer scalars, a projection of each token', kinds=[('embed_tokens', 9)],
           lengths=(2, 1, 5, 9, 10, 60)),
    Family('static-model2vec', 'model2vec',
           {'model_type': 'model2vec', 'architectures': ['StaticModel'], 'tokenizer_name': 'none', 'apply_pca': 40,
            'apply_zipf': True, 'hidden_dim': 40, 'seq_length': 1000000, 'normalize': True},
           'a mean of rows without layers, normalised by config.json, a length that is not given',
           tensors={'embeddings': [90, 40]}, modules=(), lengths=(2, 1, 7, 19, 33, 300)),
    Family('static-model2vec-clusters', 'model2vec',
           {'model_type': 'model2vec', 'normalize': False, 'max_length': None, 'embedding_dtype': 'int8',
            'vocabulary_quantization': 37},
           'fewer rows than tokens, factors of tokens, I8 rows without a scale, not normalised, no limit of length',
           tensors={'embeddings': [37, 36], 'mapping': [90], 'weights': [90]}, modules=('StaticEmbedding',),
           normalize=False, kinds=[('^embeddings$', 'i8'), ('^mapping$', 'index 37'), ('^weights$', 'norm')],
           lengths=(2, 1, 7, 19, 33, 300)),
    Family('static-embedding', 'static_embedding', None, 'no config.json, a folder of its own, not normalised',
           tensors={'embedding.weight': [75, 48]}, modules=('StaticEmbedding',), normalize=False,
           lengths=(2, 1, 7, 19, 33, 300)),
    Family('cross-bert', 'Bert',
           sizes(90, 40, 2, 5, 52, max_position_embeddings=64, id2label={0: 'no', 1: 'perhaps', 2: 'yes'}),
           'token types 0 and 1, three labels', lengths=(2, 3, 7, 19, 33, 64), modules=(), scores='types'),
    Family('cross-xlm-roberta', 'XLMRoberta',
           sizes(111, 64, 3, 2, 100, max_position_embeddings=66, type_vocab_size=1, layer_norm_eps=1e-5,
                 pad_token_id=1, bos_token_id=0, eos_token_id=2, num_labels=1),
           'the head without a pooler', special=(0, 2), at=PADDED, lengths=(2, 1, 7, 19, 33, 64), modules=(),
           scores='plain'),
    Family('cross-distilbert', 'DistilBert',
           dict(vocab_size=99, dim=48, n_layers=3, n_heads=6, hidden_dim=52, max_position_embeddings=50),
           "relu before the labels, transformers' two labels", lengths=(2, 1, 7, 19, 33, 50), modules=(),
           scores='plain'),
    Family('cross-modernbert', 'ModernBert',
           sizes(96, 40, 4, 5, 44, max_position_embeddings=512, local_attention=10, classifier_pooling='mean',
                 classifier_bias=True, norm_eps=1e-3, num_labels=1, pad_token_id=0, bos_token_id=2, eos_token_id=3,
                 cls_token_id=2, sep_token_id=3),
           "the mean of rows, the norm's own epsilon and no bias", lengths=(2, 1, 7, 19, 33, 100), modules=(),
           scores='plain'),
    Family('cross-deberta-v2', 'DebertaV2',
           sizes(88, 48, 2, 3, 52, max_position_embeddings=64, type_vocab_size=0, relative_attention=True,
                 pos_att_type=['p2c', 'c2p'], position_buckets=8, position_biased_input=False,
                 norm_rel_ebd='layer_norm', share_att_key=True, pooler_hidden_act='tanh', num_labels=1),
           "the pooler's own activation", lengths=(2, 1, 7, 19, 33, 60), modules=(), scores='plain'),
    Family('cross-qwen3', 'Qwen3',
           sizes(80, 40, 2, 4, 44, max_position_embeddings=256, num_key_value_heads=2, head_dim=20, num_labels=1,
                 pad_token_id=0),
           'the last row, labels without a bias', lengths=(2, 1, 7, 19, 33, 100), modules=(), scores='plain'),
]
