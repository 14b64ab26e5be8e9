"""Finds and runs vecmill's programs, which are installed next to this file.

The program has the models' names, their registry and their downloads (docs/HUB.md). So they cost this process
nothing while the program does not run.
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

_SAYS = "vecmill: "  # precedes the program's sentences
_EXIT = "vecmill exit "  # precedes its exit code, where it is asked to print that


def run(*words: str, cache_dir: str | None = None, offline: bool = False) -> str:
    """Runs `vecmill WORDS` and returns what it prints. On failure raises the exception for its exit code."""
    env = dict(os.environ)
    if cache_dir is not None:
        env["VECMILL_CACHE"] = cache_dir
    if offline:
        env["HF_HUB_OFFLINE"] = "1"
    env.setdefault("VECMILL_PYTHON", sys.executable)
    env["VECMILL_SAY_EXIT"] = "1"
    ended = subprocess.run([PROGRAM, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    answer, lines = os.fsdecode(ended.stdout), os.fsdecode(ended.stderr).splitlines()
    # The exit code that the program prints decides. Where this process ignores SIGCHLD, or code in it waits for all
    # children, the real exit code is lost, and Python reports 0.
    told = [line.removeprefix(_EXIT) for line in lines if line.startswith(_EXIT)]
    code = int(told[-1]) if told and told[-1].isdecimal() else ended.returncode or None
    if code == 0:
        return answer
    lines = [line for line in lines if not line.startswith(_EXIT)]
    said = [line.removeprefix(_SAYS) for line in lines if line.startswith(_SAYS)]
    sentence = said[-1] if said else " ".join(lines).strip()
    if code is None or code < 0:
        how = "without an exit code" if code is None else f"by signal {-code}"
        raise InternalError(f"vecmill {' '.join(words)} was ended {how}: {sentence}")
    raise from_exit(code, sentence)


@functools.cache
def registry() -> tuple[dict[str, Any], ...]:
    """The models that have a name (`vecmill models --json`), in the registry's order."""
    return tuple(json.loads(line) for line in run("models", "--json").splitlines())


def find(name: str) -> dict[str, Any] | None:
    """A registry entry by name or alias, regardless of case."""
    wanted = name.lower()
    for entry in registry():
        if wanted in (entry["name"].lower(), entry["alias"].lower()):
            return entry
    return None


def folder(model: str, cache_dir: str | None, offline: bool) -> str:
    """The absolute folder of a model. `model` is a folder's path, or a name, which is fetched when it is missing."""
    if os.path.isdir(model) and (os.sep in model or os.path.exists(os.path.join(model, "config.json"))):
        return os.path.abspath(model)
    found = run("pull", model, "--progress", "none", cache_dir=cache_dir, offline=offline).rstrip("\n")
    return os.path.abspath(found)


def absolute(cache_dir: str | os.PathLike[str] | None) -> str | None:
    """The absolute path of a cache, resolved now, since the working folder may change later. None: the programs' own
    choice, where that does not depend on the working folder."""
    if cache_dir is not None:
        return os.path.abspath(os.path.expanduser(os.fsdecode(cache_dir)))
    named = default_cache()
    return None if os.path.isabs(named) else os.path.abspath(named)


def native(path: str | None) -> str | bytes | None:
    """A path as the library takes it: as bytes if its name is not valid UTF-8."""
    try:
        return path if path is None or path.encode() else path
    except UnicodeEncodeError:
        return os.fsencode(path or "")


def default_cache() -> str:
    """The cache when none is given, chosen as the programs choose it (docs/CLI.md)."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.environ.get("VECMILL_CACHE") or os.path.join(home, "vecmill")


def main() -> None:
    """The command `vecmill`: replaces this process by the program."""
    os.execv(PROGRAM, [PROGRAM, *sys.argv[1:]])
