"""onnxruntime with batches of like length: what a careful user writes. settings: batch."""

import runner


class OnnxRuntime:
    def __init__(self, options, settings):
        import onnxruntime

        self.batch = settings['batch']
        self.tokenizer = runner.open_tokenizer(options)
        how = onnxruntime.SessionOptions()
        how.intra_op_num_threads = options.threads
        how.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(options.onnx, how,
                                                    providers=['CPUExecutionProvider'])

    def embed(self, texts):
        import numpy
        encodings = self.tokenizer.encode_batch(texts)
        vectors = None
        for rows, ids, mask in runner.sorted_batches(encodings, self.batch):
            (found,) = self.session.run(['sentence_embedding'], {
                'input_ids': ids, 'attention_mask': mask, 'token_type_ids': numpy.zeros_like(ids)})
            if vectors is None:
                vectors = numpy.empty((len(texts), found.shape[1]), numpy.float32)
            vectors[rows] = found
        return vectors

    def count(self, texts):
        return sum(len(encoding.ids) for encoding in self.tokenizer.encode_batch(texts))


if __name__ == '__main__':
    runner.main(OnnxRuntime)
