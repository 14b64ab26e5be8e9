"""The model's tokenizer in Python, for code that counts tokens or splits texts into chunks.

Names, arguments and results are those of `tokenizers.Tokenizer`, which FastEmbed's models have as
`model.model.tokenizer`. The ids come from the library, as for embedding, and equal PyPI's for any text. Requests that
need another tokenizer (pairs, texts that are already split into words, added tokens) are refused by name.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vecmill import _documents
from vecmill._errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    from vecmill._embedder import Embedder

_TOKEN = np.dtype([("id", "<i4"), ("word", "<u4"), ("start", "<u4"), ("end", "<u4")])  # vecmill.h: vecmill_token
_SPECIAL = 0xFFFFFFFF  # the word index of a special token around the text
_ROLES = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

# The cleanup of tokenizers' WordPiece decoder (decoders/wordpiece.rs), in its order.
_CLEANUP = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))


class Vocabulary:
    """The names of a model's tokens, from its tokenizer and its files."""

    def __init__(self, folder: str, tokens: Sequence[str | None]):
        self.folder, self.tokens = folder, tokens
        self.ids = {token: i for i, token in enumerate(tokens) if token is not None}

    @functools.cached_property
    def text(self) -> str | None:
        """The text of tokenizer.json; None: the model has only a vocabulary."""
        try:
            with open(os.path.join(self.folder, "tokenizer.json"), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    @functools.cached_property
    def file(self) -> dict[str, Any] | None:
        return None if self.text is None else json.loads(self.text)

    @functools.cached_property
    def config(self) -> dict[str, Any]:
        try:
            with open(os.path.join(self.folder, "tokenizer_config.json"), encoding="utf-8") as file:
                return dict(json.load(file))
        except (OSError, ValueError):
            return {}

    def role(self, name: str) -> str:
        """A special token's text: "[PAD]" for pad_token."""
        said = self.config.get(name)
        text = said.get("content") if isinstance(said, dict) else said
        return text if isinstance(text, str) else f"[{name.removesuffix('_token').upper()}]"

    @functools.cached_property
    def special(self) -> frozenset[int]:
        """Ids that decode() omits."""
        if self.file is None:
            return frozenset(self.ids[self.role(name)] for name in _ROLES if self.role(name) in self.ids)
        return frozenset(token["id"] for token in self.file.get("added_tokens") or () if token.get("special"))

    @functools.cached_property
    def added(self) -> frozenset[str]:
        """Added tokens that are not in the model's vocabulary."""
        if self.file is None:
            return frozenset()
        vocabulary = self.file["model"]["vocab"]
        return frozenset(token["content"] for token in self.file.get("added_tokens") or ()
                         if token["content"] not in vocabulary)


@dataclass
class Settings:
    """How texts are truncated and padded; None: not at all."""

    truncation: dict[str, Any] | None = None
    padding: dict[str, Any] | None = None
    known: bool = False  # the model's own settings were loaded


@dataclass(frozen=True)
class _Padding:
    n: int
    id: int
    type_id: int
    token: str
    right: bool


class Encoding:
    """The tokens of one text, or of a part of it: parallel lists, and len().

    offsets are positions in the str, (start, end); (0, 0) for special tokens and padding.
    """

    def __init__(self, rows: np.ndarray, places: np.ndarray | None, vocabulary: Vocabulary,
                 overflowing: list[Encoding] | None = None, padding: _Padding | None = None):
        self._rows, self._places, self._vocabulary, self._padding = rows, places, vocabulary, padding
        self.overflowing = overflowing or []

    def _with(self, own: list[Any], padding: Any) -> list[Any]:
        if self._padding is None:
            return own
        more = [padding] * self._padding.n
        return own + more if self._padding.right else more + own

    def __len__(self) -> int:
        return len(self._rows) + (self._padding.n if self._padding else 0)

    def __repr__(self) -> str:
        return (f"Encoding(num_tokens={len(self)}, attributes=[ids, type_ids, tokens, offsets, attention_mask, "
                "special_tokens_mask, overflowing])")

    @property
    def ids(self) -> list[int]:
        return self._with(self._rows["id"].tolist(), self._padding and self._padding.id)

    @property
    def tokens(self) -> list[str]:
        names = [self._vocabulary.tokens[i] or "" for i in self._rows["id"].tolist()]
        return self._with(names, self._padding and self._padding.token)

    @property
    def type_ids(self) -> list[int]:
        return self._with([0] * len(self._rows), self._padding and self._padding.type_id)

    @property
    def attention_mask(self) -> list[int]:
        return self._with([1] * len(self._rows), 0)

    @property
    def special_tokens_mask(self) -> list[int]:
        return self._with((self._rows["word"] == _SPECIAL).astype(int).tolist(), 1)

    @property
    def offsets(self) -> list[tuple[int, int]]:
        start, end = self._rows["start"], self._rows["end"]
        if self._places is not None:
            start, end = self._places[start], self._places[end]
        return self._with(list(zip(start.tolist(), end.tolist(), strict=True)), (0, 0))

    @property
    def word_ids(self) -> list[int | None]:
        return self._with([None if word == _SPECIAL else word for word in self._rows["word"].tolist()], None)

    words = word_ids

    @property
    def sequence_ids(self) -> list[int | None]:
        return [None if word is None else 0 for word in self.word_ids]

    @property
    def n_sequences(self) -> int:
        return 1

    def token_to_chars(self, token_index: int) -> tuple[int, int] | None:
        return None if self.word_ids[token_index] is None else self.offsets[token_index]

    def token_to_word(self, token_index: int) -> int | None:
        return self.word_ids[token_index]

    def token_to_sequence(self, token_index: int) -> int | None:
        return self.sequence_ids[token_index]

    def char_to_token(self, char_pos: int, sequence_index: int = 0) -> int | None:
        for i, ((start, end), word) in enumerate(zip(self.offsets, self.word_ids, strict=True)):
            if word is not None and start <= char_pos < end:
                return i
        return None

    def char_to_word(self, char_pos: int, sequence_index: int = 0) -> int | None:
        token = self.char_to_token(char_pos)
        return None if token is None else self.word_ids[token]

    def word_to_tokens(self, word_index: int, sequence_index: int = 0) -> tuple[int, int] | None:
        places = [i for i, word in enumerate(self.word_ids) if word == word_index]
        return (places[0], places[-1] + 1) if places else None

    def word_to_chars(self, word_index: int, sequence_index: int = 0) -> tuple[int, int] | None:
        tokens = self.word_to_tokens(word_index)
        return tokens and (self.offsets[tokens[0]][0], self.offsets[tokens[1] - 1][1])

    def _padded(self, length: int, settings: dict[str, Any]) -> Encoding:
        parts = [part._padded(length, settings) for part in self.overflowing]
        n = length - len(self._rows)
        padding = None if n <= 0 else _Padding(n, settings["pad_id"], settings["pad_type_id"], settings["pad_token"],
                                               settings["direction"] == "right")
        return Encoding(self._rows, self._places, self._vocabulary, parts, padding)


def _places(text: bytes) -> np.ndarray | None:
    """For each byte of UTF-8 text, and for its end, the number of characters before it; None: text is ASCII."""
    data = np.frombuffer(text, np.uint8)
    begins = (data & 0xC0) != 0x80
    if begins.all():
        return None
    return np.concatenate((np.cumsum(begins) - begins, [np.count_nonzero(begins)]))


def _windows(n: int, most: int, stride: int) -> list[slice]:
    """The parts of n tokens, of `most` each, that overlap by `stride`: tokenizers' Encoding::truncate, to the right."""
    if n <= most:
        return [slice(0, n)]
    if most == 0:
        return [slice(0, 0), slice(0, n)]
    starts = range(0, n, most - stride)
    last = next(i for i, start in enumerate(starts) if start + most >= n)
    return [slice(start, min(start + most, n)) for start in starts[:last + 1]]


class Tokenizer:
    """A model's tokenizer. It belongs to its Embedder: enable_truncation() also sets where documents are cut before
    they are embedded, as FastEmbed's does, but never after the model's last position. A copy, or what from_str() makes
    from to_str(), is separate."""

    _written: weakref.WeakValueDictionary[bytes, Embedder] = weakref.WeakValueDictionary()

    def __init__(self, embedder: Embedder, settings: Settings | None = None):
        self._embedder = embedder
        self._own = settings or Settings()

    def __copy__(self) -> Tokenizer:
        return Tokenizer(self._embedder, replace(self._settings))

    def __deepcopy__(self, memo: Any) -> Tokenizer:
        return self.__copy__()

    def __repr__(self) -> str:
        return f"<vecmill.Tokenizer of {self._embedder.model_dir}>"

    @property
    def _vocabulary(self) -> Vocabulary:
        return self._embedder._vocabulary()

    @property
    def _settings(self) -> Settings:
        """Initially as FastEmbed sets them: truncated at the model's length, a batch padded to its longest."""
        own = self._own
        if not own.known:
            own.known = True
            names = self._vocabulary
            pad = names.role("pad_token")
            own.truncation = {"max_length": int(self._embedder.facts["max_length"]), "stride": 0,
                              "strategy": "longest_first", "direction": "right"}
            own.padding = {"length": None, "pad_to_multiple_of": None, "pad_id": names.ids.get(pad, 0),
                           "pad_token": pad, "pad_type_id": 0, "direction": "right"}
        return own

    # ---- texts ----

    def _encode(self, text: Any, i: int, specials: bool, settings: Settings) -> Encoding:
        if not isinstance(text, str):
            raise _documents.refusal(i, text)
        names = self._vocabulary
        data, read = self._embedder._tokens(text, specials)
        rows = np.frombuffer(data, _TOKEN)
        places = _places(read)
        truncation = settings.truncation
        around = rows["word"] == _SPECIAL
        n_around = int(np.count_nonzero(around))
        if truncation is None or len(rows) <= truncation["max_length"]:
            return Encoding(rows, places, names)
        before = int(np.argmin(around)) if n_around < len(rows) else n_around
        inside = rows[~around]
        most = max(0, truncation["max_length"] - n_around)
        if most and truncation["stride"] >= most:
            raise UsageError(f"stride is {truncation['stride']}, and a part has {most} tokens apart from the special "
                             "ones")
        head, tail = rows[:before], rows[len(rows) - (n_around - before):]
        parts = [Encoding(np.concatenate((head, inside[part], tail)), places, names)
                 for part in _windows(len(inside), most, truncation["stride"])]
        parts[0].overflowing = parts[1:]
        return parts[0]

    def _pad(self, encodings: list[Encoding], settings: Settings) -> list[Encoding]:
        padding = settings.padding
        if padding is None or not encodings:
            return encodings
        length = padding["length"] or max(len(encoding) for encoding in encodings)
        multiple = padding["pad_to_multiple_of"]
        if multiple and length % multiple:
            length += multiple - length % multiple
        return [encoding._padded(length, padding) for encoding in encodings]

    def encode(self, sequence: str, pair: None = None, is_pretokenized: bool = False,
               add_special_tokens: bool = True) -> Encoding:
        """The tokens of a text."""
        if pair is not None or is_pretokenized or isinstance(sequence, (list, tuple)):
            raise UnsupportedError("pairs of texts, and texts that are already split into words, are not supported")
        settings = self._settings
        return self._pad([self._encode(sequence, 0, add_special_tokens, settings)], settings)[0]

    def encode_batch(self, input: Iterable[str], is_pretokenized: bool = False,
                     add_special_tokens: bool = True) -> list[Encoding]:
        """The tokens of each text."""
        if is_pretokenized:
            raise UnsupportedError("texts that are already split into words are not supported")
        settings = self._settings
        texts = enumerate(_documents.texts_of(input))
        return self._pad([self._encode(text, i, add_special_tokens, settings) for i, text in texts], settings)

    encode_batch_fast = encode_batch
    encode_special_tokens = False  # a special token's text becomes that token

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """The text of these tokens; spaces and capitals of the original text are lost."""
        names = self._vocabulary
        tokens = [names.tokens[i] or "" for i in ids if 0 <= i < len(names.tokens) and names.tokens[i] is not None
                  and not (skip_special_tokens and i in names.special)]
        decoder = {"type": "WordPiece"} if names.file is None else names.file.get("decoder")
        if decoder is None:
            return " ".join(tokens)
        if decoder.get("type") != "WordPiece":
            raise UnsupportedError(f"a decoder of type {decoder.get('type')} is not supported")
        prefix = decoder.get("prefix", "##")
        words = []
        for i, token in enumerate(tokens):
            if i:
                token = token[len(prefix):] if token.startswith(prefix) else " " + token
            for dirty, clean in _CLEANUP if decoder.get("cleanup", True) else ():
                token = token.replace(dirty, clean)
            words.append(token)
        return "".join(words)

    def decode_batch(self, sequences: Iterable[Iterable[int]], skip_special_tokens: bool = True) -> list[str]:
        return [self.decode(ids, skip_special_tokens) for ids in sequences]

    # ---- tokens ----

    def token_to_id(self, token: str) -> int | None:
        return self._vocabulary.ids.get(token)

    def id_to_token(self, id: int) -> str | None:
        tokens = self._vocabulary.tokens
        return tokens[id] if 0 <= id < len(tokens) else None

    def get_vocab(self, with_added_tokens: bool = True) -> dict[str, int]:
        names = self._vocabulary
        left_out = frozenset() if with_added_tokens else names.added
        return {token: i for token, i in names.ids.items() if token not in left_out}

    def get_vocab_size(self, with_added_tokens: bool = True) -> int:
        return len(self.get_vocab(with_added_tokens))

    def num_special_tokens_to_add(self, is_pair: bool = False) -> int:
        if is_pair:
            raise UnsupportedError("pairs of texts are not supported")
        return len(self._embedder._tokens("", True)[0]) // _TOKEN.itemsize

    # ---- truncation and padding ----

    @property
    def truncation(self) -> dict[str, Any] | None:
        said = self._settings.truncation
        return None if said is None else dict(said)

    def enable_truncation(self, max_length: int, stride: int = 0, strategy: str = "longest_first",
                          direction: str = "right") -> None:
        """Cuts longer texts; their other parts, which overlap by `stride` tokens, are in Encoding.overflowing."""
        if direction != "right":
            raise UnsupportedError(f"direction is {direction!r}; texts are only cut at the right")
        if isinstance(max_length, bool) or not isinstance(max_length, int) or max_length < 0 or stride < 0:
            raise UsageError(f"max_length is {max_length!r} and stride {stride!r}; both must be counts of tokens")
        settings = self._settings
        settings.truncation = {"max_length": max_length, "stride": stride, "strategy": strategy,
                               "direction": direction}
        if settings is self._embedder._tokenizing:
            self._embedder._limit_length(max_length)

    def no_truncation(self) -> None:
        """Texts are no longer cut here. Documents that are embedded are cut as before."""
        self._settings.truncation = None

    @property
    def padding(self) -> dict[str, Any] | None:
        said = self._settings.padding
        return None if said is None else dict(said)

    def enable_padding(self, direction: str = "right", pad_id: int = 0, pad_type_id: int = 0,
                       pad_token: str = "[PAD]", length: int | None = None,
                       pad_to_multiple_of: int | None = None) -> None:
        """Pads texts to `length`, or to the longest of their batch. Vectors do not depend on it."""
        if direction not in ("left", "right"):
            raise UsageError(f"direction is {direction!r}; it must be 'left' or 'right'")
        self._settings.padding = {"length": length, "pad_to_multiple_of": pad_to_multiple_of, "pad_id": pad_id,
                                  "pad_token": pad_token, "pad_type_id": pad_type_id, "direction": direction}

    def no_padding(self) -> None:
        self._settings.padding = None

    # ---- as a file ----

    def _file(self) -> tuple[dict[str, Any], bytes]:
        names = self._vocabulary
        if names.file is None or names.text is None:
            raise UnsupportedError(f"{names.folder} has no tokenizer.json, and none is made from its vocabulary")
        said = {name: value for name, value in names.file.items() if name not in ("truncation", "padding")}
        return said, hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()

    def to_str(self, pretty: bool = False) -> str:
        """The model's tokenizer.json with the current truncation and padding, for from_str() and for PyPI's
        tokenizers."""
        said, key = self._file()
        self._written[key] = self._embedder
        truncation, padding = self.truncation, self.padding
        if truncation is not None:
            truncation["strategy"] = "".join(word.capitalize() for word in truncation["strategy"].split("_"))
            truncation["direction"] = truncation["direction"].capitalize()
        if padding is not None:
            length = padding.pop("length")
            padding |= {"strategy": {"Fixed": length} if length else "BatchLongest",
                        "direction": padding["direction"].capitalize()}
        return json.dumps({"version": said.get("version", "1.0"), "truncation": truncation, "padding": padding, **said},
                          ensure_ascii=False, indent=2 if pretty else None)

    def save(self, path: str | os.PathLike[str], pretty: bool = True) -> None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.to_str(pretty))

    @classmethod
    def from_str(cls, json: str) -> Tokenizer:
        """A separate tokenizer, from what to_str() wrote for a model that is still open."""
        return _of_text(cls, json)


def _of_text(cls: type[Tokenizer], text: str) -> Tokenizer:
    said = json.loads(text)
    truncation, padding = said.pop("truncation", None), said.pop("padding", None)
    key = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()
    embedder = cls._written.get(key)
    if embedder is None:
        raise UnsupportedError("this text was not written by to_str() for a model that is in use; PyPI's tokenizers "
                               "read any tokenizer.json")
    made = cls(embedder, Settings(known=True))
    if truncation is not None:
        strategy = {"LongestFirst": "longest_first", "OnlyFirst": "only_first"}.get(truncation["strategy"])
        made._own.truncation = {"max_length": truncation["max_length"], "stride": truncation["stride"],
                                "strategy": strategy or "only_second", "direction": "right"}
    if padding is not None:
        strategy = padding.pop("strategy")
        made._own.padding = {**padding, "length": strategy["Fixed"] if isinstance(strategy, dict) else None,
                             "direction": padding["direction"].lower()}
    return made
