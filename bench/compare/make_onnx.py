#!/usr/bin/env python3
"""Writes a BERT model folder (config.json, model.safetensors) as ONNX, for the peers that read ONNX.

    make_onnx.py MODEL_FOLDER OUT_FOLDER

    OUT_FOLDER/hidden.onnx   input_ids, attention_mask, token_type_ids [batch, length] ->
                             last_hidden_state [batch, length, width]: what is commonly exported
    OUT_FOLDER/pooled.onnx   the same, on to sentence_embedding [batch, width]: mean over the mask, L2
    OUT_FOLDER/scores.onnx   instead, of BertForSequenceClassification: on to logits [batch, labels]
    OUT_FOLDER/tokens.onnx   instead, of BertForMaskedLM: on to logits [batch, length, vocabulary]
    OUT_FOLDER/int8.onnx     pooled.onnx after onnxruntime's dynamic quantization: int8 products,
                             weights per channel

The weights are those of the safetensors file, bit for bit. Nodes stand as PyTorch's exporter has long
written them, since that is what the peers' optimizers look for. Batch and length are dynamic.
onnxruntime's offline optimizer for BERT (fused attention, SkipLayerNormalization) was tried on the same
file and is not used: with it onnxruntime 1.32 was slower on a processor (0.84 to 0.89 of the rate)."""

import json
import struct
import sys
from pathlib import Path

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17          # the first with LayerNormalization
IR_VERSION = 9


def read_safetensors(path):
    """{name: array}; the format: u64 length, JSON of that length, data."""
    raw = path.read_bytes()
    (length,) = struct.unpack('<Q', raw[:8])
    kinds = {'F32': numpy.float32, 'F16': numpy.float16, 'I64': numpy.int64}
    found = {}
    for name, entry in json.loads(raw[8:8 + length]).items():
        if name != '__metadata__':
            first, end = entry['data_offsets']
            data = numpy.frombuffer(raw[8 + length + first:8 + length + end], kinds[entry['dtype']])
            found[name.removeprefix('bert.')] = data.reshape(entry['shape'])
    return found


class Graph:
    """Nodes and constants of a graph under construction."""

    def __init__(self):
        self.nodes, self.constants = [], {}

    def constant(self, name, value):
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(numpy.ascontiguousarray(value), name)
        return name

    def add(self, kind, name, *inputs, **attributes):
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def dense(self, name, x, weight, bias):
        product = self.add('MatMul', f'{name}.product', x, self.constant(f'{name}.weight', weight.T))
        return self.add('Add', name, self.constant(f'{name}.bias', bias), product)

    def norm(self, name, x, tensors, source, epsilon):
        return self.add('LayerNormalization', name, x,
                        self.constant(f'{name}.weight', tensors[f'{source}.weight']),
                        self.constant(f'{name}.bias', tensors[f'{source}.bias']),
                        axis=-1, epsilon=epsilon)


def add_mask(graph):
    """0 where there is a token, a large negative number where there is padding: [batch, 1, 1, length]."""
    x = graph.add('Unsqueeze', 'mask.1', 'attention_mask', graph.constant('axis1', numpy.array([1])))
    x = graph.add('Unsqueeze', 'mask.2', x, graph.constant('axis2', numpy.array([2])))
    x = graph.add('Cast', 'mask.float', x, to=TensorProto.FLOAT)
    x = graph.add('Sub', 'mask.inverse', graph.constant('one', numpy.float32(1)), x)
    return graph.add('Mul', 'mask', x, graph.constant('far', numpy.float32(-10000)))


def add_embeddings(graph, tensors, epsilon):
    table = 'embeddings.{}_embeddings.weight'
    words = graph.add('Gather', 'words', graph.constant('word_table', tensors[table.format('word')]),
                      'input_ids')
    types = graph.add('Gather', 'types', graph.constant(
        'type_table', tensors[table.format('token_type')]), 'token_type_ids')
    shape = graph.add('Shape', 'shape', 'input_ids')
    length = graph.add('Slice', 'length', shape, graph.constant('at1', numpy.array([1])),
                       graph.constant('at2', numpy.array([2])))
    places = graph.add('Slice', 'places', graph.constant(
        'place_table', tensors[table.format('position')]), graph.constant('at0', numpy.array([0])),
        length, graph.constant('at0', numpy.array([0])))
    x = graph.add('Add', 'words_types', words, types)
    x = graph.add('Add', 'embedded', x, places)
    return graph.norm('embeddings.norm', x, tensors, 'embeddings.LayerNorm', epsilon)


def add_attention(graph, name, x, tensors, source, heads, mask):
    """softmax(q k' / sqrt(d) + mask) v by head, then the output's dense layer."""
    width = tensors[f'{source}.attention.self.query.weight'].shape[0]
    split = graph.constant('split', numpy.array([0, 0, heads, width // heads]))
    turned = {}
    for part, order in (('query', [0, 2, 1, 3]), ('key', [0, 2, 3, 1]), ('value', [0, 2, 1, 3])):
        at = f'{source}.attention.self.{part}'
        y = graph.dense(f'{name}.{part}', x, tensors[f'{at}.weight'], tensors[f'{at}.bias'])
        y = graph.add('Reshape', f'{name}.{part}.split', y, split)
        turned[part] = graph.add('Transpose', f'{name}.{part}.heads', y, perm=order)
    scores = graph.add('MatMul', f'{name}.scores', turned['query'], turned['key'])
    scores = graph.add('Div', f'{name}.scaled', scores, graph.constant(
        'root', numpy.float32((width / heads) ** 0.5)))
    scores = graph.add('Add', f'{name}.masked', scores, mask)
    weights = graph.add('Softmax', f'{name}.weights', scores, axis=3)
    y = graph.add('MatMul', f'{name}.context', weights, turned['value'])
    y = graph.add('Transpose', f'{name}.context.turned', y, perm=[0, 2, 1, 3])
    y = graph.add('Reshape', f'{name}.context.joined', y,
                  graph.constant('join', numpy.array([0, 0, width])))
    at = f'{source}.attention.output.dense'
    return graph.dense(f'{name}.out', y, tensors[f'{at}.weight'], tensors[f'{at}.bias'])


def add_gelu(graph, name, x):
    """x * (erf(x / sqrt 2) + 1) / 2"""
    y = graph.add('Div', f'{name}.div', x, graph.constant('root2', numpy.float32(2 ** 0.5)))
    y = graph.add('Erf', f'{name}.erf', y)
    y = graph.add('Add', f'{name}.add', y, graph.constant('one', numpy.float32(1)))
    y = graph.add('Mul', f'{name}.mul', x, y)
    return graph.add('Mul', f'{name}.half', y, graph.constant('half', numpy.float32(0.5)))


def add_layer(graph, i, x, tensors, config, mask):
    source, name, epsilon = f'encoder.layer.{i}', f'layer{i}', config['layer_norm_eps']
    y = add_attention(graph, f'{name}.attention', x, tensors, source, config['num_attention_heads'],
                      mask)
    x = graph.add('Add', f'{name}.sum1', y, x)
    x = graph.norm(f'{name}.norm1', x, tensors, f'{source}.attention.output.LayerNorm', epsilon)
    y = graph.dense(f'{name}.wide', x, tensors[f'{source}.intermediate.dense.weight'],
                    tensors[f'{source}.intermediate.dense.bias'])
    y = add_gelu(graph, f'{name}.gelu', y)
    y = graph.dense(f'{name}.narrow', y, tensors[f'{source}.output.dense.weight'],
                    tensors[f'{source}.output.dense.bias'])
    x = graph.add('Add', f'{name}.sum2', y, x)
    return graph.norm(f'{name}.norm2', x, tensors, f'{source}.output.LayerNorm', epsilon)


def add_pooling(graph, x):
    mask = graph.add('Cast', 'pool.mask', 'attention_mask', to=TensorProto.FLOAT)
    mask = graph.add('Unsqueeze', 'pool.mask3', mask, graph.constant('axis2', numpy.array([2])))
    total = graph.add('Mul', 'pool.masked', x, mask)
    total = graph.add('ReduceSum', 'pool.sum', total, graph.constant('axis1', numpy.array([1])),
                      keepdims=0)
    count = graph.add('ReduceSum', 'pool.count', mask, graph.constant('axis1', numpy.array([1])),
                      keepdims=0)
    mean = graph.add('Div', 'pool.mean', total, count)
    norm = graph.add('ReduceL2', 'pool.norm', mean, axes=[1], keepdims=1)
    return graph.add('Div', 'pool.unit', mean, norm)


def add_scores(graph, x, tensors):
    first = graph.add('Gather', 'first.rows', x, graph.constant('at0', numpy.array([0])), axis=1)
    first = graph.add('Squeeze', 'first', first, graph.constant('axis1', numpy.array([1])))
    y = graph.dense('pooler', first, tensors['pooler.dense.weight'], tensors['pooler.dense.bias'])
    y = graph.add('Tanh', 'pooler.tanh', y)
    return graph.dense('scores', y, tensors['classifier.weight'], tensors['classifier.bias'])


def add_tokens(graph, x, tensors, epsilon):
    """The head that predicts masked tokens, whose last matrix is the word table unless it has its own."""
    source = 'cls.predictions.transform'
    y = graph.dense('head', x, tensors[f'{source}.dense.weight'], tensors[f'{source}.dense.bias'])
    y = graph.norm('head.norm', add_gelu(graph, 'head.gelu', y), tensors, f'{source}.LayerNorm', epsilon)
    words = tensors.get('cls.predictions.decoder.weight', tensors['embeddings.word_embeddings.weight'])
    return graph.dense('tokens', y, words, tensors['cls.predictions.bias'])


def build(tensors, config, ending):
    """ending: the name of the file."""
    graph = Graph()
    x = add_embeddings(graph, tensors, config['layer_norm_eps'])
    mask = add_mask(graph)
    for i in range(config['num_hidden_layers']):
        x = add_layer(graph, i, x, tensors, config, mask)
    width = config['hidden_size']
    name, shape = 'last_hidden_state', ['batch', 'length', width]
    if ending == 'pooled':
        x, name, shape = add_pooling(graph, x), 'sentence_embedding', ['batch', width]
    elif ending == 'scores':
        labels = len(tensors['classifier.bias'])
        x, name, shape = add_scores(graph, x, tensors), 'logits', ['batch', labels]
    elif ending == 'tokens':
        vocabulary = len(tensors['cls.predictions.bias'])
        x, name = add_tokens(graph, x, tensors, config['layer_norm_eps']), 'logits'
        shape = ['batch', 'length', vocabulary]
    graph.nodes[-1].output[0] = name
    inputs = [helper.make_tensor_value_info(key, TensorProto.INT64, ['batch', 'length'])
              for key in ('input_ids', 'attention_mask', 'token_type_ids')]
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    made = helper.make_graph(graph.nodes, 'bert', inputs, [output], list(graph.constants.values()))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid('', OPSET)])
    model.ir_version = IR_VERSION
    onnx.checker.check_model(model)
    return model


def quantize(source, out):
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(str(source), str(out), per_channel=True, weight_type=QuantType.QInt8,
                     extra_options={'MatMulConstBOnly': True})


def main():
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    config = json.loads((folder / 'config.json').read_text())
    if config['model_type'] != 'bert' or config['hidden_act'] != 'gelu':
        sys.exit('make_onnx.py: only BERT with erf-GELU')
    tensors = read_safetensors(folder / 'model.safetensors')
    out.mkdir(parents=True, exist_ok=True)
    heads = [('scores', 'classifier.weight'), ('tokens', 'cls.predictions.bias')]
    endings = [name for name, tensor in heads if tensor in tensors]
    for name in endings or ['hidden', 'pooled']:
        onnx.save(build(tensors, config, name), str(out / f'{name}.onnx'))
    if endings:
        return
    quantize(out / 'pooled.onnx', out / 'int8.onnx')


if __name__ == '__main__':
    main()
