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

_SAYS = "vecmill: "  # before its sentences
_EXIT = "vecmill exit "  # and before its exit code, where it is asked to say it


def run(*words: str, cache_dir: str | None = None, offline: bool = False) -> str:
    """What `vecmill WORDS` prints. A failure is the exception that its exit code stands for."""
    env = dict(os.environ)
    if cache_dir is not None:
        env["VECMILL_CACHE"] = cache_dir
    if offline:
        env["HF_HUB_OFFLINE"] = "1"
    env.setdefault("VECMILL_PYTHON", sys.executable)
    env["VECMILL_SAY_EXIT"] = "1"
    ended = subprocess.run([PROGRAM, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    answer, lines = os.fsdecode(ended.stdout), os.fsdecode(ended.stderr).splitlines()
    # The program's own word counts: where this process ignores SIGCHLD, or somebody in it waits for all its children,
    # its exit code is lost, and Python takes 0 for it.
    told = [line.removeprefix(_EXIT) for line in lines if line.startswith(_EXIT)]
    code = int(told[-1]) if told and told[-1].isdecimal() else ended.returncode or None
    if code == 0:
        return answer
    lines = [line for line in lines if not line.startswith(_EXIT)]
    said = [line.removeprefix(_SAYS) for line in lines if line.startswith(_SAYS)]
    sentence = said[-1] if said else " ".join(lines).strip()
    if code is None or code < 0:
        how = "without a word" if code is None else f"by signal {-code}"
        raise InternalError(f"vecmill {' '.join(words)} was ended {how}: {sentence}")
    raise from_exit(code, sentence)


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
    """The folder of a model, absolute: a path that is one already, or a name, fetched when it is not here yet."""
    if os.path.isdir(model) and (os.sep in model or os.path.exists(os.path.join(model, "config.json"))):
        return os.path.abspath(model)
    found = run("pull", model, "--progress", "none", cache_dir=cache_dir, offline=offline).rstrip("\n")
    return os.path.abspath(found)


def absolute(cache_dir: str | os.PathLike[str] | None) -> str | None:
    """A cache's folder, as it is now: a working folder may be another one later. None: the programs' own choice,
    where that does not depend on it."""
    if cache_dir is not None:
        return os.path.abspath(os.path.expanduser(os.fsdecode(cache_dir)))
    named = default_cache()
    return None if os.path.isabs(named) else os.path.abspath(named)


def native(path: str | None) -> str | bytes | None:
    """A path as the library takes it: one whose name is no UTF-8 as its bytes."""
    try:
        return path if path is None or path.encode() else path
    except UnicodeEncodeError:
        return os.fsencode(path or "")


def default_cache() -> str:
    """The cache where none is named, as the programs choose it (docs/CLI.md)."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.environ.get("VECMILL_CACHE") or os.path.join(home, "vecmill")


def main() -> None:
    """The command `vecmill`: this process becomes the program."""
    os.execv(PROGRAM, [PROGRAM, *sys.argv[1:]])
