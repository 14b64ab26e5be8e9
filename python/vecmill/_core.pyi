from collections.abc import Sequence
from typing import Any

version: str
STATUSES: dict[int, tuple[str, int]]
MAX_THREADS: int
MAX_WORKERS: int
MAX_BATCH_TOKENS: int
TEXT_BYTES: int
DOCUMENT_BYTES: int
OK: int
E_INTERNAL: int
E_USAGE: int
E_PARTIAL: int
E_STOPPED: int
E_MEMORY: int
E_WORKERS: int
E_OUTPUT: int
E_INPUT: int
E_MODEL: int
E_NOTFOUND: int
E_UNSUPPORTED: int
E_IO: int
E_LIMIT: int

_Path = str | bytes

class Session:
    def __new__(cls, model_dir: _Path, *, cache_dir: _Path | None = None, worker_path: _Path | None = None,
                isa: str | None = None, precision: str | None = None, long: str | None = None,
                normalize: str | None = None, prompt: str | None = None, prompt_name: str | None = None,
                role: str | None = None, task: str | None = None, batch_tokens: int = 0, max_length: int = 0, dimensions: int = 0,
                threads: int = 0) -> Session: ...
    def embed(self, texts: Sequence[str], rows: Any, /) -> list[tuple[int, int, int]]: ...
    def tokenize(self, text: str, /) -> list[int]: ...
    def tokens(self, text: str, specials: bool, /) -> tuple[bytes, bytes]: ...
    def vocab(self) -> list[str | None]: ...
    def count_tokens(self, texts: Sequence[str], /) -> int: ...
    def describe(self) -> dict[str, Any]: ...

class Pool:
    def __new__(cls, model_dir: _Path, *, cache_dir: _Path | None = None, worker_path: _Path | None = None,
                isa: str | None = None, precision: str | None = None, long: str | None = None,
                normalize: str | None = None, prompt: str | None = None, prompt_name: str | None = None,
                role: str | None = None, task: str | None = None, batch_tokens: int = 0, max_length: int = 0, dimensions: int = 0,
                workers: int = 0, memory_bytes: int = 0,
                max_document: int = 0, beside_bytes: int = 0, beside_rows: int = 0) -> Pool: ...
    def submit(self, texts: Sequence[str | bytes], start: int = 0, /) -> int: ...
    def take(self, rows: Any, offset: int, wait_ms: int, /) -> tuple[int, list[tuple[int, int, int, str]]]: ...
    def verify(self) -> None: ...
    def close(self) -> None: ...
    def describe(self) -> dict[str, Any]: ...
    def plan(self) -> dict[str, Any]: ...
    def counts(self) -> dict[str, Any]: ...

def plan(model_dir: _Path, *, cache_dir: _Path | None = None, worker_path: _Path | None = None,
         isa: str | None = None, precision: str | None = None, long: str | None = None, normalize: str | None = None,
         prompt: str | None = None, prompt_name: str | None = None, role: str | None = None, task: str | None = None,
         batch_tokens: int = 0, max_length: int = 0, dimensions: int = 0, workers: int = 0, memory_bytes: int = 0, max_document: int = 0, beside_bytes: int = 0,
         beside_rows: int = 0) -> dict[str, Any]: ...
def cpus() -> int: ...
def limit() -> int | None: ...
