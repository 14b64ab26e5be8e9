"""The reference: texts with the token ids and vectors that all-MiniLM-L6-v2 must give (reference/SOURCE).

All 542 where $VECMILL_SHARED, else ../shared, has them, otherwise the 64 of the tree. reference.c is the same for C."""

import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = os.environ.get("VECMILL_SHARED") or os.path.join(HERE, "..", "..", "..", "shared")


def folder():
    whole = os.path.normpath(os.path.join(SHARED, "data", "reference"))
    return whole if os.path.exists(os.path.join(whole, "texts.jsonl")) else os.path.join(HERE, "reference")


def rows():
    """[{"id", "text", "ids"}]; prints how many and from where."""
    with open(os.path.join(folder(), "texts.jsonl"), encoding="utf-8", newline="\n") as file:
        found = [json.loads(line) for line in file]
    print(f"reference: {len(found)} texts of {folder()}", flush=True)
    return found
