"""FastEmbed, as its own users call it: TextEmbedding.embed() over a list. settings: batch, parallel.

The model is registered by its public add_custom_model and found in a folder, so nothing is fetched; the
folder's name is --onnx's folder, which also holds the tokenizer with the limit in its configuration."""

from pathlib import Path

import runner


class FastEmbed:
    def __init__(self, options, settings):
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        self.batch, self.parallel = settings['batch'], settings.get('parallel')
        onnx = Path(options.onnx)
        name = 'bench/minilm'
        if not any(name == known['model'] for known in TextEmbedding.list_supported_models()):
            TextEmbedding.add_custom_model(model=name, pooling=PoolingType.MEAN, normalization=True,
                                           sources=ModelSource(hf=name), dim=384, model_file=onnx.name)
        self.model = TextEmbedding(name, threads=options.threads, cuda=False, local_files_only=True,
                                   specific_model_path=str(onnx.parent))

    def embed(self, texts):
        import numpy
        return numpy.stack(list(self.model.embed(texts, batch_size=self.batch,
                                                 parallel=self.parallel)))

    def count(self, texts):
        return int(self.model.token_count(texts))


if __name__ == '__main__':
    runner.main(FastEmbed)
