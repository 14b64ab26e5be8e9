#!/usr/bin/env python3
"""Checks that what the documents name is there: files, functions, options, links.

    tools/check_names.py [--root DIR]

Of what a .md file has in backticks:
 - A word is a path if it ends as a source file does (ENDINGS), or has a slash and begins with a folder
   of the root, of src/ or next to the document. It must exist from one of these three, or be the end of
   a file's path. `*`, `{a,b}`, `<room>` and capitals (`NAME_main.c`, .md apart) stand for any name.
   What begins with build/ is made: its last part must be in the sources. /x, ~x and $X are outside.
   Anything else (`org/name`, `docs.npy`, `OUTPUT.ids.jsonl`) is a user's file, or no file at all.
 - A name that stands alone and has an underscore or parentheses must be a word of the sources, comments
   of C apart: `crew_open`, `struct crew`, `embed()`, `num_add/num_mul`. A part `x` makes it a pattern
   (`n_x`, `x_open()`), single letters a formula's (`v_i`). What has operators is an expression; where
   it defines something (`y = s * x_max`), the document may use its names.
 - An option (`--x`) must be one of src/app/options.c's or stand in the sources; the word after `make`
   must be a target of the Makefile. Fenced blocks are held to this too, and their paths from the root.
A link must lead to a file, and its #part to a heading. In comments of C, and in comments and docstrings
of Python, a word that ends as a source file does must exist as above.
FOREIGN has the names that are others', and whose they are; one that nothing names is a fault.
Prints each fault with its place, then a count; exits 1 if there was one."""

import argparse
import fnmatch
import os
import re
import sys
from pathlib import Path

TOPS = ('src', 'include', 'python', 'tests', 'tools', 'bench', 'fuzz', 'examples')
ENDINGS = ('c', 'h', 'def', 'inc', 'S', 'py', 'pyi', 'sh', 'md', 'sbatch', 'svg')
C_LIKE = ('.c', '.h', '.def', '.inc')
FOREIGN = {
    'numpy/lib/format.py': 'of NumPy',
    'zconf.h': 'of zlib',
    'zlib.h': 'of zlib',
    'malloc.h': 'of glibc',
    'linux/mman.h': 'of Linux',
    'linux/wait.h': 'of Linux',
    'fs/proc/task_mmu.c': 'of Linux',
    'mm/oom_kill.c': 'of Linux',
    'lz4_Frame_format.md': 'of LZ4',
    'unicode_categories': 'a crate of tokenizers',
    'max_restarts': "an option of Ray's actors",
    'OUT_OF_MEMORY': "a state of Slurm's tasks",
    'PIP_FIND_LINKS': 'read by pip',
    'https_proxy': 'read by libcurl',
    'all_proxy': 'read by libcurl',
    '--cflags': 'of pkg-config',
    '--libs': 'of pkg-config',
    '../shared/data/families': 'a folder next to the checkout, where there is one',
    '../shared/data/reference': 'the same',
}

FENCE = re.compile(r'^```.*?^```', re.S | re.M)
SPAN = re.compile(r'(?<!`)(`+)(?!`)((?:(?!\n\n).)+?)(?<!`)\1(?!`)', re.S)
LINK = re.compile(r'\]\(([^)\s]+)\)')
HEADING = re.compile(r'^#+ +(.*)', re.M)
COMMENT = re.compile(r'/\*.*?\*/', re.S)
HASH = r'^ *# [^\n]*| {2}# [^\n]*'
SAID = {**dict.fromkeys(C_LIKE, COMMENT), '.py': re.compile('^ *r?"{3}.*?"{3}|' + HASH, re.S | re.M),
        **dict.fromkeys(('.sh', '.build', ''), re.compile(HASH, re.M))}
OPTION_LINE = re.compile(r'\{"([a-z-]+)", (?:\'\w\'|0), KIND_')
FILE_WORD = re.compile(r'(?<![\w./$*{}<>%\'-])[\w./-]*[\w-]\.(?:' + '|'.join(ENDINGS) +
                       r')\b(?![\w(/*-]|\.\w)')
ALONE = re.compile(r'(?:struct |enum |union )?([A-Za-z_][\w.]*)(\([^()+*]*\))?')


class Tree:
    """What there is: the files, the words in them, the options and the targets of make."""

    def __init__(self, root):
        self.root = root
        self.sources = [path for top in TOPS for path in sorted((root / top).rglob('*'))
                        if path.is_file() and 'corpus' not in path.parts and path.suffix != '.pyc']
        self.sources += [path for path in sorted(root.iterdir())
                         if path.is_file() and path.suffix in ('', '.build', '.toml', '.txt')]
        self.documents = sorted([*root.glob('*.md'), *root.glob('docs/*.md'),
                                 *(path for path in self.sources if path.suffix == '.md')])
        self.paths = {str(path.relative_to(root)) for path in
                      [*self.sources, *self.documents, *root.glob('docs/*')]}
        self.text, self.words, self.options, self.targets = {}, set(), set(), set()
        for path in self.sources:
            if path.suffix == '.md':
                continue
            text = self.text[path] = path.read_text(errors='replace')
            self.words.add(path.stem)
            if path.name == Path(__file__).name:
                continue
            if path.suffix in C_LIKE:
                text = COMMENT.sub(' ', text)
            self.words.update(re.findall(r'\w+', text))
            self.options.update(re.findall(r'--[a-z][\w-]*', text))
            self.options.update('--' + name for name in OPTION_LINE.findall(text))
            if path.name == 'Makefile':
                self.targets.update(re.findall(r'^([\w-]+):', text, re.M))
        self.heads = {*TOPS, 'docs', 'build'} | {
            path.name for path in (root / 'src').iterdir() if path.is_dir()}

    def has_file(self, word, folder):
        word = re.sub(r'<\w+>', '*', word.removeprefix('./')).rstrip('/')
        if not word.endswith('.md'):
            word = re.sub(r'\b[A-Z]{2,}(?![a-z])(?=[^/]*\.)', '*', word)
        braces = re.search(r'\{([^{}]*)\}', word)
        if braces:
            return all(self.has_file(word[:braces.start()] + one + word[braces.end():], folder)
                       for one in braces.group(1).split(','))
        if word.startswith('build/'):
            return all(part in self.words for part in re.findall(r'\w+', word.split('/')[-1]))
        if '*' in word:
            return any(fnmatch.fnmatch(path, word) or fnmatch.fnmatch(path, '*/' + word)
                       for path in self.paths)
        # What lies outside the root may be there or not; it is none of the tree's.
        found = (Path(os.path.normpath(base / word)) for base in (self.root, self.root / 'src', folder))
        return (any(path.is_relative_to(self.root) and path.exists() for path in found) or
                any(path.endswith('/' + word) for path in self.paths))


def is_path(tree, word, folder):
    if not re.fullmatch(r'[\w./{},*<>-]+', word) or word.startswith('/') or not word.strip('./*'):
        return False
    if re.fullmatch(r'.*[\w*>}-]\.(?:' + '|'.join(ENDINGS) + ')', word):
        return True
    first, slash, _ = word.removeprefix('./').partition('/')
    return word.startswith('./') or (slash and (first in tree.heads or (folder / first).is_dir()))


def names_of(span):
    """The names that must be words of the sources: [] for an expression, a pattern, a formula."""
    found = []
    for piece in span.split('/') if re.fullmatch(r'[\w/]+', span) else [span.split('=')[0]]:
        alone = ALONE.fullmatch(piece)
        if not alone:
            continue
        dotted, called = alone.groups()
        parts = dotted.split('.')
        wanted = [name for name in parts if '_' in name.strip('_')]
        if called and parts[-1] not in wanted:
            wanted.append(parts[-1])
        found += [name for name in wanted if not name.endswith('_') and
                  'x' not in name.split('_') and any(len(part) > 1 for part in name.split('_'))]
    return found


def headings_of(text):
    return {re.sub(r'[^\w\- ]', '', title.lower()).strip().replace(' ', '-')
            for title in HEADING.findall(FENCE.sub('', text))}


def blank(match):
    return re.sub(r'[^\n]', ' ', match.group(0))


def check_document(tree, path, fault, used):
    text, folder = path.read_text(), path.parent
    lines = FENCE.sub(blank, text)

    def at(offset):
        return lines.count('\n', 0, offset) + 1

    def absent(number, word, sentence):
        if word in FOREIGN:
            used.add(word)
        else:
            fault(path, number, f'`{word}` {sentence}')

    def check_words(said, number, is_span):
        for word in said.split():
            option = re.match(r'--[a-z][\w-]*', word)
            if option and option.group(0) not in tree.options:
                absent(number, option.group(0), 'is no option that the sources know')
            word = re.sub(r':\d+$', '', word.strip('"\'(),;:[]'))
            rooted = word.split('/')[0] in (*TOPS, 'docs')
            if '/' in word and rooted or is_span and is_path(tree, word, folder):
                if not tree.has_file(word, folder) and not tree.has_file(word + '.c', folder):
                    absent(number, word, 'is no file here')
        for target in re.findall(r'(?:^|[;&|] *)make ([a-z][\w-]*)', said):
            if target not in tree.targets:
                absent(number, f'make {target}', 'is no target of the Makefile')

    for match in FENCE.finditer(text):
        for number, line in enumerate(match.group(0).splitlines(), at(match.start())):
            check_words(line, number, False)
    defined = {word for match in SPAN.finditer(lines) if ' = ' in match.group(2)
               for word in re.findall(r'\w+', match.group(2))}
    for match in SPAN.finditer(lines):
        span, number = match.group(2), at(match.start())
        check_words(span, number, True)
        for name in [] if is_path(tree, span, folder) else names_of(span):
            if name not in tree.words and name not in defined:
                absent(number, name, 'is no word of the sources')
    for match in LINK.finditer(SPAN.sub(blank, lines)):
        target, _, anchor = match.group(1).partition('#')
        number = at(match.start())
        if re.match(r'[a-z]+:', target):
            continue
        to = folder / target if target else path
        if not to.exists():
            fault(path, number, f'the link leads to {target}, which is no file')
        elif anchor and to.suffix == '.md' and anchor not in headings_of(to.read_text()):
            fault(path, number, f'the link leads to #{anchor}, which is no heading of {to.name}')


def check_comments(tree, path, fault, used):
    text = tree.text[path]
    for said in SAID[path.suffix].finditer(text):
        for match in FILE_WORD.finditer(said.group(0)):
            word = match.group(0)
            if tree.has_file(word, path.parent):
                continue
            if word in FOREIGN:
                used.add(word)
            else:
                fault(path, text.count('\n', 0, said.start() + match.start()) + 1,
                      f'"{word}" is no file here')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--root', type=Path, default=Path(__file__).resolve().parent.parent)
    root = parser.parse_args().root.resolve()
    tree, faults, used = Tree(root), [], set()

    def fault(path, number, sentence):
        faults.append(f'{path.relative_to(root)}:{number}: {sentence}')

    for path in tree.documents:
        check_document(tree, path, fault, used)
    commented = [path for path in tree.text if path.suffix in SAID]
    for path in commented:
        check_comments(tree, path, fault, used)
    this = Path(__file__).resolve()
    if this.is_relative_to(root):
        for word in sorted(FOREIGN.keys() - used):
            fault(this, tree.text[this].count('\n', 0, tree.text[this].index(repr(word))) + 1,
                  f'FOREIGN has "{word}", which nothing names')

    for line in faults:
        print(line)
    print(f'names: {len(tree.documents) + len(commented)} files checked, {len(faults)} faults')
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
