"""Checks what callers pass as documents. Text is accepted; anything else is refused with advice on what to pass.

Many iterables do not contain texts: a dict gives its keys, a DataFrame its columns' names, a file its lines. Vectors
of those would be wrong, and nothing would show it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

_MEMBERS = ("page_content", "text", "content", "document", "body")  # where other libraries keep a document's text
_NAMES = 6  # this many of a table's column names are shown


def _kind(given: Any) -> str:
    return type(given).__name__


def _table(columns: Any) -> str:
    try:
        names = [name for name in columns if isinstance(name, str)]
    except TypeError:
        names = []
    wanted = next((name for name in _MEMBERS if name in names), names[0] if names else "text")
    shown = ", ".join(map(repr, names[:_NAMES])) + (", ..." if len(names) > _NAMES else "")
    return f"pass the column of texts, such as documents[{wanted!r}]" + (f"; it has {shown}" if names else "")


def _array(given: Any, dtype: Any) -> str | None:
    """For NumPy's arrays, and for objects with a NumPy dtype."""
    dimensions = getattr(given, "ndim", 1)
    if getattr(dtype, "kind", "O") not in "OUTS":
        return f"its values are {dtype}, not str"
    if dimensions == 0:
        return "it is one value: pass [str(documents)]"
    return None if dimensions == 1 else f"it has {dimensions} dimensions: pass one column of it, documents[:, 0]"


def _advice(given: Any) -> str | None:
    """What to pass instead of `given`; None: it may contain texts."""
    if isinstance(given, (bytes, bytearray, memoryview)):
        return "pass text, documents.decode('utf-8')"
    if isinstance(given, Mapping):
        return "its keys would be embedded: pass list(documents.values())"
    for name in ("column_names", "columns"):  # pyarrow, datasets; pandas, polars, pyspark
        columns = getattr(given, name, None)
        if columns is not None and not callable(columns):
            return _table(columns)
    if hasattr(given, "readline"):
        return "pass its lines, documents.read().splitlines(), or all of it, [documents.read()]"
    if isinstance(given, os.PathLike):
        return "pass the content of the file, [documents.read_text()]"
    if hasattr(given, "__aiter__"):
        return "it is asynchronous: pass [text async for text in documents]"
    if getattr(given, "dtype", None) is not None:
        return _array(given, given.dtype)
    if hasattr(type(given), "__iter__") or hasattr(type(given), "__getitem__"):
        return None
    return "pass what it returns, documents()" if callable(given) else "pass texts"


def texts_of(given: Any) -> Iterable[str]:
    """The documents as an iterable of texts: a str is one document. TypeError: it contains no texts."""
    if isinstance(given, str):
        return [given]
    advice = None if isinstance(given, (list, tuple)) else _advice(given)
    if advice is not None:
        raise TypeError(f"documents is {_kind(given)}, not a str or an iterable of str: {advice}")
    return given  # type: ignore[no-any-return]


def _missing(given: Any) -> bool:
    """Whether it is None, or a table's missing value: NaN, NaT, NA."""
    try:
        return given is None or bool(given != given)
    except (TypeError, ValueError):
        return _kind(given) in ("NAType", "NaTType")  # pandas' own, which have no truth value


def refusal(index: int, given: Any) -> TypeError:
    """The exception for a document that is not a str."""
    if isinstance(given, (bytes, bytearray, memoryview)):
        advice = "pass document.decode('utf-8')"
    elif isinstance(given, Mapping):
        name = next((name for name in _MEMBERS if name in given), None)
        advice = f"pass its text, document[{name!r}]" if name else "pass the text in it"
    elif hasattr(given, "as_py"):
        advice = "pass documents.to_pylist()"
    elif isinstance(given, os.PathLike):
        advice = "pass the content of the file, document.read_text()"
    elif member := next((name for name in _MEMBERS if isinstance(getattr(given, name, None), str)), None):
        advice = f"pass document.{member}"
    elif hasattr(given, "__iter__") or hasattr(given, "__len__"):
        advice = "pass one flat list of str"
    elif _missing(given):
        advice = "leave it out, or pass ''"
    else:
        advice = "pass str(document), if that is its text"
    return TypeError(f"document {index} is {_kind(given)}, not str: {advice}")


def text_of(cut: int | None, index: int, given: Any) -> tuple[str, int]:
    """A document that is a text: cut after this many characters, and how many it has."""
    if not isinstance(given, str):
        raise refusal(index, given)
    text = given if cut is None or len(given) <= cut else given[:cut]
    return text, len(text)


def pairs_of(given: Any) -> Iterable[Any]:
    """The pairs as an iterable. TypeError: it contains no pairs."""
    if isinstance(given, str):
        raise TypeError("pairs is str, not an iterable of pairs of str: pass [(query, document)]")
    advice = None if isinstance(given, (list, tuple)) or getattr(given, "ndim", 1) == 2 else _advice(given)
    if advice is not None:
        raise TypeError(f"pairs is {_kind(given)}, not an iterable of pairs of str: pass [(query, document), ...]")
    return given  # type: ignore[no-any-return]


def pair_of(cut: int | None, index: int, given: Any) -> tuple[tuple[str, str], int]:
    """A document that is a pair of texts: each cut after this many characters, and how many they have."""
    pair = given.tolist() if hasattr(given, "tolist") else given
    if not isinstance(pair, (tuple, list)):
        raise TypeError(f"pair {index} is {_kind(given)}, not two str: pass (query, document)")
    if len(pair) != 2:
        raise TypeError(f"pair {index} has {len(pair)} texts, not 2: pass (query, document)")
    for name, text in zip(("query", "document"), pair, strict=True):
        if not isinstance(text, str):
            raise TypeError(f"the {name} of pair {index} is {_kind(text)}, not str")
    query, document = (text if cut is None or len(text) <= cut else text[:cut] for text in pair)
    return (query, document), len(query) + len(document)
