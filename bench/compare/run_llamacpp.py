"""llama.cpp, by xllamacpp, on a GGUF file of make_gguf.py. settings: tokens, of a pass (n_batch and n_ubatch).

It takes ids, not texts: the model's own tokenizer makes them here, within the clock. A pass has as many documents
as it has room for; a document must fit into one, for a vector is of a whole document. Vectors come back as numbers of
Python, as its server gives them."""

import runner


class LlamaCpp:
    def __init__(self, options, settings):
        import xllamacpp

        self.tokenizer = runner.open_tokenizer(options)
        slots = max(1, settings['tokens'] // options.max_length)
        p = xllamacpp.CommonParams()
        p.model.path = options.onnx
        p.embedding = True
        p.n_ctx = p.n_batch = p.n_ubatch = slots * options.max_length
        p.n_parallel = slots
        p.cpuparams.n_threads = p.cpuparams_batch.n_threads = options.threads
        p.warmup = False        # runner has a warm-up for all
        p.verbosity = 0
        self.server = xllamacpp.Server(p)

    def embed(self, texts):
        import numpy
        found = self.server.handle_embeddings({'input': [e.ids for e in self.tokenizer.encode_batch(texts)]})
        if 'data' not in found:
            raise RuntimeError(str(found)[:500])
        rows = sorted(found['data'], key=lambda one: one['index'])
        return numpy.asarray([one['embedding'] for one in rows], numpy.float32)

    def count(self, texts):
        return sum(len(encoding.ids) for encoding in self.tokenizer.encode_batch(texts))


if __name__ == '__main__':
    runner.main(LlamaCpp)
