#!/usr/bin/env python3
"""Compares vecmill's token ids with those stored next to real tokenizers; prints `N compared, M different`.

    tools/check_tokenizer_ids.py --driver build/tests/text/encode_stream [--rebuilt DIR] [FOLDER...]

A FOLDER has tokenizer.json or tokenizer.json.gz, and texts with ids that PyPI tokenizers gave:
ids.jsonl.gz {text, ids} whole, or ids.jsonl {id, ids} with texts.jsonl {id, text}, cut at a length that
no whole text exceeds. One that has ids alone takes DIR/NAME.json, of tools/rebuild_tokenizers.py. Of ids.jsonl.gz also the pairs. Without
FOLDER: all of shared/data/tokenizers and shared/data/families. Exit status: 0 equal, 1 different, 77 nothing is there.
"""
import argparse
import gzip
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from diff_tokenizer import ROOT, run_driver  # noqa: E402

WHOLE = 1 << 20  # tokens; what the driver takes


def lines(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def records(folder):
    """(text, ids, whether the ids are cut) of a folder. Static models leave special tokens out."""
    if (folder / "ids.jsonl.gz").exists():
        return [(r["text"], r["ids"], False) for r in lines(folder / "ids.jsonl.gz")]
    if folder.name.startswith("static") or not (folder / "ids.jsonl").exists() or not (folder / "texts.jsonl").exists():
        return []
    ids = {r["id"]: r["ids"] for r in lines(folder / "ids.jsonl")}
    longest = max(map(len, ids.values()), default=0)
    return [(r["text"], ids[r["id"]], len(ids[r["id"]]) == longest)
            for r in lines(folder / "texts.jsonl") if r["id"] in ids]


def unpack(folder, to, rebuilt):
    """A folder with tokenizer.json: the folder itself, or a copy."""
    if (folder / "tokenizer.json").exists():
        return folder
    if not (folder / "tokenizer.json.gz").exists():
        shutil.copyfile(rebuilt / f"{folder.name}.json", to / "tokenizer.json")
        return to
    with gzip.open(folder / "tokenizer.json.gz") as source, open(to / "tokenizer.json", "wb") as out:
        shutil.copyfileobj(source, out)
    return to


def pairs_of(folder):
    """(first text, second, ids, type ids) of a folder."""
    path = folder / "ids.jsonl.gz"
    return [(r["text"], r["pair"], r["pair_ids"], r["pair_type_ids"])
            for r in (lines(path) if path.exists() else []) if "pair" in r]


def compare_pairs(driver, where, wanted):
    """How many pairs differ."""
    data = b""
    for first, second, _, _ in wanted:
        one, two = (t.encode("utf-8", "surrogatepass") for t in (first, second))
        data += struct.pack("<III", len(one), len(two), WHOLE) + one + two
    done = subprocess.run([driver, where, "pairs"], input=data, stdout=subprocess.PIPE, check=True).stdout
    at = different = 0
    for first, second, ids, types in wanted:
        n, _ = struct.unpack_from("<II", done, at)
        got = list(struct.unpack_from(f"<{n}i", done, at + 8)), list(done[at + 8 + 4 * n:at + 8 + 5 * n])
        at += 8 + 5 * n
        if got != (ids, types):
            different += 1
            print(f"different pair: {first[:100]!a}, {second[:100]!a}\n  wanted {ids} {types}\n  got {got[0]} {got[1]}")
    return different


def compare(driver, folder, rebuilt, shown):
    """(compared, different) of one folder."""
    wanted = records(folder)
    with tempfile.TemporaryDirectory(prefix="vecmill-ids-") as scratch:
        where = unpack(folder, pathlib.Path(scratch), rebuilt)
        texts = [t.encode("utf-8", "surrogatepass") for t, _, _ in wanted]
        limit = max((len(ids) for _, ids, cut in wanted if cut), default=WHOLE)
        whole = run_driver(driver, str(where), texts, WHOLE)
        short = run_driver(driver, str(where), texts, limit)
        pairs = pairs_of(folder)
        different_pairs = compare_pairs(driver, str(where), pairs) if pairs else 0
    different = 0
    for (text, ids, cut), one, two in zip(wanted, whole, short):
        got = two[0] if cut else one[0]
        if got == ids:
            continue
        different += 1
        if different <= shown:
            at = next((i for i, (a, b) in enumerate(zip(got, ids)) if a != b), min(len(got), len(ids)))
            print(f"different ({folder.name}): {text[:200]!a}\n  at {at}: wanted "
                  f"{ids[at:at + 8]} of {len(ids)}, got {got[at:at + 8]} of {len(got)}")
    return len(wanted) + len(pairs), different + different_pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--driver", required=True, help="the program tests/text/encode_stream")
    parser.add_argument("--shown", type=int, default=3, help="differences shown of a folder")
    parser.add_argument("--rebuilt", type=pathlib.Path, help="NAME.json for folders that have ids alone")
    parser.add_argument("folders", nargs="*", type=pathlib.Path)
    arguments = parser.parse_args()
    shared = pathlib.Path(os.environ.get("VECMILL_SHARED") or ROOT.parent / "shared") / "data"
    folders = arguments.folders or sorted(
        f for name in ("tokenizers", "families") for f in (shared / name).glob("*")
        if (f / "tokenizer.json").exists() or (f / "tokenizer.json.gz").exists()
        or arguments.rebuilt and (arguments.rebuilt / f"{f.name}.json").exists())
    if not folders:
        print(f"skipped: no tokenizer under {shared}")
        sys.exit(77)
    compared = different = failed = 0
    for folder in folders:
        try:
            n, bad = compare(arguments.driver, folder, arguments.rebuilt, arguments.shown)
        except Exception as e:  # the driver said why
            print(f"{folder.name}: {e}")
            failed += 1
            continue
        print(f"{folder.name}: {n} compared, {bad} different")
        compared, different = compared + n, different + bad
    print(f"{compared} compared, {different} different, {failed} folders failed")
    sys.exit(1 if different or failed else 0)


if __name__ == "__main__":
    main()
