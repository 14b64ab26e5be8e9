#!/usr/bin/env python3
"""Makes a corpus of real text out of Debian's own package index.

Reads the output of `apt-cache dumpavail` (runs it, or takes it from stdin with -), and writes one
JSON object a line: {"id": PACKAGE, "text": DESCRIPTION}. Descriptions are distinct, packages come in
the order of their names' SHA-256, so that any --count is a fixed, well mixed sample of an index.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys


def stanzas(lines):
    """Yields a dict of the two fields we want for each package of the index."""
    fields, name = {}, None
    for line in lines:
        line = line.rstrip("\n")
        if not line:
            if fields:
                yield fields
            fields, name = {}, None
        elif line[0] in " \t":
            if name in fields:
                fields[name].append(line[1:])
        else:
            key, _, value = line.partition(":")
            # Translated indexes say Description-en; the first description of a stanza counts.
            key = "Description" if key.startswith("Description") and "md5" not in key else key
            name = key if key in ("Package", "Description") and key not in fields else None
            if name:
                fields[name] = [value.strip()]
    if fields:
        yield fields


def plain(description):
    """One line of text: the synopsis as a sentence, then the paragraphs ("." stands for a blank line)."""
    synopsis = description[0].strip()
    body = [" " if line.strip() == "." else line.strip() for line in description[1:]]
    text = " ".join(" ".join(body).split())
    if synopsis and synopsis[-1] not in ".!?":
        synopsis += "."
    return (synopsis + " " + text).strip() if text else synopsis


def packages(lines):
    """(name, text) of every package, the first version of a name only, each text once."""
    names, texts = set(), set()
    for fields in stanzas(lines):
        if "Package" not in fields or "Description" not in fields:
            continue
        name, text = fields["Package"][0], plain(fields["Description"])
        if not text or name in names or text in texts:
            continue
        names.add(name)
        texts.add(text)
        yield name, text


def read_index(source):
    if source == "-":
        return io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace").readlines()
    if source:
        with open(source, encoding="utf-8", errors="replace") as file:
            return file.readlines()
    try:
        run = subprocess.run(["apt-cache", "dumpavail"], stdout=subprocess.PIPE, check=True)
    except FileNotFoundError:
        sys.exit("corpus_debian.py: apt-cache is not here; give it an index as a file or on stdin (-)")
    except subprocess.CalledProcessError as error:
        sys.exit(f"corpus_debian.py: apt-cache dumpavail ended with {error.returncode}")
    return run.stdout.decode("utf-8", "replace").splitlines(keepends=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", nargs="?", help="a file in the form of dumpavail, or - for stdin")
    parser.add_argument("--count", type=int, default=4000, help="packages to write (default 4000)")
    parser.add_argument("-o", "--output", help="default: stdout")
    options = parser.parse_args()
    if options.count < 1:
        parser.error("--count must be at least 1")

    found = sorted(packages(read_index(options.index)),
                   key=lambda package: hashlib.sha256(package[0].encode()).digest())
    if not found:
        sys.exit("corpus_debian.py: the index holds no description; run `apt-get update` first")
    lines = "".join(json.dumps({"id": name, "text": text}, ensure_ascii=False) + "\n"
                    for name, text in found[:options.count])
    if options.output:
        part = options.output + ".part"
        with open(part, "w", encoding="utf-8") as file:
            file.write(lines)
        os.replace(part, options.output)
    else:
        sys.stdout.buffer.write(lines.encode())
    print(f"{min(options.count, len(found))} of {len(found)} descriptions", file=sys.stderr)


if __name__ == "__main__":
    main()
