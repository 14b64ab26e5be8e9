#!/usr/bin/env python3
"""BM25 weights against FastEmbed's, in each of its languages.

    VENV/bin/pip install fastembed==0.9.1 ; VENV/bin/pip install .
    VENV/bin/python tools/diff_bm25.py [--count 500] [--seed 1] [--texts FOLDER]

A Python that has both. Texts are in FOLDER/LANGUAGE.txt, one a line, else made of the languages' letters and
endings. Both sides leave out the same words. Prints for each language how many texts differ, and of words that
are stemmed differently how many there are and some of them. Ends with 1 if a text differs where no stem of its
words does, or the stemmers differ in a language that is not in STEMMERS_DIFFER.

FastEmbed's class is used as it is, but opened without its files, which are only lists of words."""
import argparse
import pathlib
import random
import sys
from importlib.metadata import version

import numpy as np
from fastembed.common.utils import get_all_punctuation
from fastembed.sparse.bm25 import Bm25 as FastEmbeds
from fastembed.sparse.bm25 import supported_languages
from fastembed.sparse.utils.tokenizer import SimpleTokenizer
from py_rust_stemmers import SnowballStemmer

from vecmill import _core
from vecmill.bm25 import Bm25

# py_rust_stemmers has older or newer versions of Snowball's algorithms than Debian's libstemmer 2.2.0.
STEMMERS_DIFFER = {'danish', 'finnish', 'french', 'russian'}

LETTERS = {'arabic': 'ابتثجحخدذرزسشصضطظعغفقكلمنهويةىءأإ', 'greek': 'αβγδεζηθικλμνξοπρστυφχψωάέήίόύώς',
           'russian': 'абвгдежзийклмнопрстуфхцчшщъыьэюяё', 'tamil': 'அஆஇஈஉஊஎஏஐஒஓகஙசஞடணதநனபமயரறலளழவ',
           'turkish': 'abcçdefgğhıijklmnoöprsştuüvyz', 'romanian': 'aăâbcdefghiîjklmnoprsștțuvxz'}
LATIN = 'aabcdeeefghiijklmnnoopqrrssttuuvwxyzäöüßåæøéèêàçñóíõúűőđ'
ENDINGS = {
    'english': 'ing ed ly ness es s ations ization ful ies ers est ement ously', 'german': 'en er heit lichen ungen est em keit isch',
    'french': 'ement issaient euses ations eurs ées aient iques', 'spanish': 'amente aciones ados ando íamos icas ables',
    'italian': 'amente azioni ando eranno issime ate ivano', 'portuguese': 'amente ações ando ariam idades avam ivas',
    'dutch': 'en heden ingen lijke eren st ende baar', 'swedish': 'arna heterna andes ade ligast orna ens',
    'danish': 'erne ende hederne ligst ernes est ene', 'norwegian': 'ene ande hetene ligst ert ets ens',
    'finnish': 'ssa sta lleni mme ksi iden llaan isten kaan', 'hungarian': 'okban eknek ásra jaink ként ébe atok',
    'romanian': 'ului elor ează iunea ităților ându ilor', 'turkish': 'lerinde ların mış sınız lıklar dan mız',
    'russian': 'ами ость ующих ениями ился ее ого', 'greek': 'ους οντας ματων ησεις ικος εις ων',
    'arabic': 'ات ون ها كما ين تم', 'tamil': 'கள ன ட ல'}

parser = argparse.ArgumentParser()
parser.add_argument('--count', type=int, default=500)
parser.add_argument('--seed', type=int, default=1)
parser.add_argument('--texts', type=pathlib.Path)
args = parser.parse_args()


def theirs_of(language, stop_words):
    model = FastEmbeds.__new__(FastEmbeds)
    model.k, model.b, model.avg_len, model.token_max_length = 1.2, 0.75, 256.0, 40
    model.punctuation, model.stopwords = PUNCTUATION, {word.lower() for word in stop_words}
    model.stemmer, model.tokenizer = SnowballStemmer(language), SimpleTokenizer
    return model


def made_texts(language, rng):
    letters, endings = LETTERS.get(language, LATIN), ENDINGS[language].split()
    words = [''.join(rng.choices(letters, k=rng.randint(1, 9))) + rng.choice([*endings, '']) for _ in range(3000)]
    words += endings + ['a_b', '_', '42', 'x' * 41, 'ΑΣ', 'İstanbul', 'e\u0301t', '\ufdfa']
    marks = [' ', ' ', ' ', ', ', '. ', "'", '-', '\n', '\u00a0', '/', ' (', ') ']
    return [''.join(rng.choice([word, word.title(), word.upper()]) + rng.choice(marks)
                    for word in rng.choices(words, k=rng.randint(0, 80))) for _ in range(args.count)]


def texts_of(language, rng):
    path = args.texts and args.texts / f'{language}.txt'
    if not path or not path.exists():
        return made_texts(language, rng), 'made'
    lines = path.read_text(encoding='utf-8').splitlines()
    return rng.sample(lines, min(args.count, len(lines))), 'given'


def stem(core, word):
    """By the index of one word, which has no characters that are no letters."""
    return core.encode([word], True)[0][0]


PUNCTUATION = set(get_all_punctuation())
rng, faults = random.Random(args.seed), 0
print('fastembed', version('fastembed'), 'py_rust_stemmers', version('py_rust_stemmers'), 'seed', args.seed)
for language in supported_languages:
    texts, source = texts_of(language, rng)
    stop_words = rng.sample(sorted({word for text in texts for word in text.lower().split()}), 30)
    theirs = theirs_of(language, stop_words)
    ours = Bm25(language, stopwords=stop_words)
    bare = _core.Bm25(language=language, stopwords=[])
    words = sorted({word for text in texts for word in SimpleTokenizer.tokenize(text)})
    apart = {word for word in words if word != '_' and len(word) <= 40 and theirs.stemmer.stem_word(word)
             and stem(bare, word) != np.uint32(theirs.compute_token_id(theirs.stemmer.stem_word(word))).tobytes()}
    n_apart = unexplained = 0
    worst = 0.0
    for text, (indices, weights), (asked, ones) in zip(texts, ours.documents(texts), ours.queries(texts), strict=True):
        want = theirs.raw_embed([text])[0].as_dict()
        query = next(theirs.query_embed(text)).as_dict()
        same = sorted(want) == indices.tolist() and sorted(query) == asked.tolist() and set(ones.tolist()) <= {1.0}
        if same:
            worst = max([worst, *(abs(want[i] - w) for i, w in zip(indices.tolist(), weights.tolist()))])
        n_apart += not same
        unexplained += not same and not apart & set(SimpleTokenizer.tokenize(text))
    bad = unexplained or worst > 1e-6 or (apart and language not in STEMMERS_DIFFER)
    faults += bool(bad)
    print(f'{language:11} {len(texts)} texts {source:5} {len(words):6} words: {n_apart} texts differ, {unexplained} of '
          f'them unexplained; {len(apart)} stems differ {sorted(apart)[:4]}; weights by {worst:.1e} at most'
          f'{"  FAULT" if bad else ""}')
print(f'bm25: {len(supported_languages) - faults} passed, {faults} failed')
sys.exit(1 if faults else 0)
