#!/usr/bin/env python3
"""The shared library exports the functions of vecmill.h and nothing else.

    check_symbols.py LIBRARY HEADER"""

import re
import subprocess
import sys

library, header = sys.argv[1:]
with open(header) as f:
    declared = set(re.findall(r'^VECMILL_API [^;{]*?(\w+)\(', f.read(), re.M))
listed = subprocess.run(['nm', '-D', '--defined-only', '--format=posix', library], check=True,
                        capture_output=True, text=True).stdout
# The linker and sanitizers add names that begin with an underscore; ours never do.
exported = {line.split()[0].split('@')[0] for line in listed.splitlines()}
exported = {name for name in exported if not name.startswith('_')}

failed = 0
for name in sorted(exported - declared):
    print(f'{library} exports {name}, which vecmill.h does not declare')
    failed += 1
for name in sorted(declared - exported):
    print(f'vecmill.h declares {name}, which {library} does not export')
    failed += 1
if not declared:
    print(f'{header} declares nothing')
    failed += 1
print(f'meta-symbols: {len(declared & exported)} passed, {failed} failed')
sys.exit(1 if failed else 0)
