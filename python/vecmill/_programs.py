"""vecmill's programs, which lie beside this file: where they are, and what they are asked.

Models' names, their registry and downloads are the program's (docs/HUB.md); a program that is not running costs
this process nothing.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from typing import Any

from vecmill._errors import InternalError, from_exit

_BIN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin")
WORKER = os.path.join(_BIN, "vecmill-worker")
PROGRAM = os.path.join(_BIN, "vecmill")


def run(*words: str, cache_dir: str | None = None, offline: bool = False) -> str:
    """What `vecmill WORDS` prints. A failure is the exception that its exit code stands for."""
    env = dict(os.environ)
    if cache_dir is not None:
        env["VECMILL_CACHE"] = cache_dir
    if offline:
        env["HF_HUB_OFFLINE"] = "1"
    env.setdefault("VECMILL_PYTHON", sys.executable)
    ended = subprocess.run([PROGRAM, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           check=False)
    if ended.returncode == 0:
        return ended.stdout
    lines = [line for line in ended.stderr.splitlines() if line.startswith("vecmill: ")]
    said = lines[-1].removeprefix("vecmill: ") if lines else ended.stderr.strip()
    if ended.returncode < 0:
        raise InternalError(f"vecmill {' '.join(words)} was ended by signal {-ended.returncode}: {said}")
    raise from_exit(ended.returncode, said)


@functools.cache
def registry() -> tuple[dict[str, Any], ...]:
    """The models that are known by name (`vecmill models --json`), in the registry's order."""
    return tuple(json.loads(line) for line in run("models", "--json").splitlines())


def find(name: str) -> dict[str, Any] | None:
    """A registry entry by name or alias; case does not count."""
    wanted = name.lower()
    for entry in registry():
        if wanted in (entry["name"].lower(), entry["alias"].lower()):
            return entry
    return None


def folder(model: str, cache_dir: str | None, offline: bool) -> str:
    """The folder of a model: a path that is one already, or a name, fetched when it is not here yet."""
    if os.path.isdir(model) and (os.sep in model or os.path.exists(os.path.join(model, "config.json"))):
        return os.path.abspath(model)
    return run("pull", model, "--progress", "none", cache_dir=cache_dir, offline=offline).rstrip("\n")


def cache_dir() -> str:
    """The cache where none is named, as the programs choose it (docs/CLI.md)."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.environ.get("VECMILL_CACHE") or os.path.join(home, "vecmill")


def main() -> None:
    """The command `vecmill`: this process becomes the program."""
    os.execv(PROGRAM, [PROGRAM, *sys.argv[1:]])
