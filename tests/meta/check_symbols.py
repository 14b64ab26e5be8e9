#!/usr/bin/env python3
"""The shared library exports the functions of these headers and nothing else.

    check_symbols.py LIBRARY HEADER..."""

import re
import subprocess
import sys

library, *headers = sys.argv[1:]
declared = set()
for header in headers:
    with open(header) as f:
        found = re.findall(r'^VECMILL_API [^;{]*?(\w+)\(', f.read(), re.M)
    if not found:
        sys.exit(f'{header} declares nothing')
    declared.update(found)
listed = subprocess.run(['nm', '-D', '--defined-only', '--format=posix', library], check=True,
                        capture_output=True, text=True).stdout
# The linker and sanitizers add names that begin with an underscore; ours never do.
exported = {line.split()[0].split('@')[0] for line in listed.splitlines()}
exported = {name for name in exported if not name.startswith('_')}

failed = 0
for name in sorted(exported - declared):
    print(f'{library} exports {name}, which no header declares')
    failed += 1
for name in sorted(declared - exported):
    print(f'a header declares {name}, which {library} does not export')
    failed += 1
print(f'meta-symbols: {len(declared & exported)} passed, {failed} failed')
sys.exit(1 if failed else 0)
