#!/usr/bin/env python3
"""The C examples of the documents compile, against the header and the library as they are, and run.

    check_examples.py ROOT BUILD

Every ```c block of README.md and docs/*.md with a main() is built with warnings as errors, as C99 too,
linked with BUILD/libvecmill.so, and run with the model in $VECMILL_TEST_MODEL where that is set; without
a model it must refuse an empty folder with its one sentence. Every ```sh line that begins with `vecmill`
names a command and options that `BUILD/vecmill COMMAND --help` knows."""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

root, build = (Path(p).resolve() for p in sys.argv[1:])
passed = failed = 0


def outcome(ok, what, why=''):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        print(f'{what}: {why}')


def run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, errors='replace', timeout=600, **more)


def check_c(place, code, folder):
    source = folder / 'example.c'
    source.write_text(code)
    flags = ['-Wall', '-Wextra', '-Werror', f'-I{root}/include']
    strict = run(['cc', '-std=c99', '-pedantic', '-fsyntax-only', *flags, str(source)])
    outcome(strict.returncode == 0, f'{place} as C99', strict.stderr)
    linked = run(['cc', *flags, str(source), '-o', str(folder / 'example'), f'-L{build}', '-lvecmill',
                  f'-Wl,-rpath,{build}'])
    outcome(linked.returncode == 0, f'{place} linked', linked.stderr)
    if linked.returncode:
        return
    model = os.environ.get('VECMILL_TEST_MODEL')
    environment = {**os.environ, 'VECMILL_CACHE': str(folder / 'cache')}
    if model:
        done = run([str(folder / 'example'), model], env=environment)
        outcome(done.returncode == 0 and done.stdout, f'{place} run', done.stderr or 'printed nothing')
    else:
        print(f'{place}: no VECMILL_TEST_MODEL, so it was only run without a model')
    done = run([str(folder / 'example'), str(folder)], env=environment)
    outcome(done.returncode == 1 and str(folder) in done.stderr, f'{place} without a model',
            f'exit {done.returncode}, "{done.stderr.strip()}"')


def help_of(command, known={}):
    if command not in known:
        done = run([str(build / 'vecmill'), command, '--help'])
        known[command] = done.stdout if done.returncode == 0 else None
    return known[command]


def check_sh(place, line):
    for part in re.split(r'[|;]|&&', line):
        if 'vecmill' not in part:  # no command of ours, and maybe no command but a drawing
            continue
        words = shlex.split(part, comments=True)
        while words and ('=' in words[0] or words[0] in ('taskset', '-c', '0')):
            words.pop(0)
        if not words or words[0] not in ('vecmill', 'build/vecmill') or len(words) < 2:
            continue
        command, options = words[1], words[2:]
        if command.startswith('-') or command.isupper() or command.endswith(':'):
            continue  # vecmill COMMAND [OPTIONS], or the label of a drawing
        told = help_of(command)
        if told is None:
            outcome(False, place, f'"vecmill {command} --help" fails')
            continue
        for option in options:
            option = option.split('=')[0]
            if re.fullmatch(r'-[a-z]|--[a-z-]+', option):
                outcome(re.search(r'(?<![\w-])' + option + r'(?![\w-])', told), place,
                        f'{option} is no option of {command}')


for document in [root / 'README.md', *sorted((root / 'docs').glob('*.md'))]:
    text = document.read_text()
    for match in re.finditer(r'^```(\w*)\n(.*?)^```', text, re.M | re.S):
        language, body = match.groups()
        place = f'{document.relative_to(root)}:{text.count(chr(10), 0, match.start()) + 1}'
        if language == 'c' and 'int main(' in body:
            with tempfile.TemporaryDirectory(prefix='vecmill-example-') as folder:
                check_c(place, body, Path(folder))
        elif language != 'c':
            for line in body.splitlines():
                check_sh(place, line)

    # A link to a file of ours leads somewhere.
    for target in re.findall(r'\]\(([^)#:]+)(?:#[^)]*)?\)', text):
        outcome((document.parent / target).exists(), str(document.relative_to(root)),
                f'the link to {target} leads nowhere')

print(f'meta-examples: {passed} passed, {failed} failed')
sys.exit(1 if failed else 0)
