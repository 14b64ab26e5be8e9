"""sentence-transformers on PyTorch, as its own users call it; it sorts by length itself. settings: batch."""

import runner


class SentenceTransformers:
    def __init__(self, options, settings):
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(options.threads)
        self.batch = settings['batch']
        kind = torch.bfloat16 if options.precision == 'bf16' else torch.float32
        self.model = SentenceTransformer(options.model, device='cpu', model_kwargs={'dtype': kind})
        self.model.max_seq_length = options.max_length

    def embed(self, texts):
        vectors = self.model.encode(texts, batch_size=self.batch, convert_to_tensor=True,
                                    normalize_embeddings=True, show_progress_bar=False)
        return vectors.float().numpy()

    def count(self, texts):
        return sum(len(ids) for ids in self.model.tokenizer(
            texts, truncation=True, max_length=self.model.max_seq_length)['input_ids'])


if __name__ == '__main__':
    runner.main(SentenceTransformers)
