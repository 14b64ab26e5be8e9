#!/usr/bin/env python3
"""Writes src/lex/stop_words.inc: the words that are left out, by language.

    apt-get download postgresql-15 && dpkg -x postgresql-15_*.deb DIR          # 15.20-0+deb12u1
    tools/make_stop_words.py DIR/usr/share/postgresql/15/tsearch_data

The lists are PostgreSQL's (src/backend/snowball/stopwords), which took them from the Snowball project; their
licence is in src/lex/stop_words.LICENSE."""
import argparse
import pathlib
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
LANGUAGES = ('danish dutch english finnish french german hungarian italian norwegian portuguese russian spanish '
             'swedish turkish').split()

# What an apostrophe leaves of contractions ("didn't", "we'll"), whose second half, "t" and "s", is in the list.
MORE = {'english': 'ain aren couldn d didn doesn hadn hasn haven isn ll m ma mightn mustn needn o re shan shouldn ve '
                   'wasn weren won wouldn y'}

parser = argparse.ArgumentParser()
parser.add_argument('folder', type=pathlib.Path)
args = parser.parse_args()

lines = ['/* Made by tools/make_stop_words.py of PostgreSQL 15.20\'s lists; stop_words.LICENSE is theirs. */']
for language in LANGUAGES:
    words = (args.folder / f'{language}.stop').read_text(encoding='utf-8').split()
    assert words and all(word == word.lower() for word in words), language
    rows = textwrap.wrap(' '.join(sorted({*words, *MORE.get(language, '').split()})), 90, break_on_hyphens=False)
    lines.append(f'{{"{language}",')
    lines += [f' "{row} "' for row in rows]
    lines[-1] += '},'
(ROOT / 'src' / 'lex' / 'stop_words.inc').write_text('\n'.join(lines) + '\n', encoding='utf-8')
