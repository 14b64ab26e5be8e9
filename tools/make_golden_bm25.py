#!/usr/bin/env python3
"""Writes tests/data/lex/bm25.json: texts, and the weights that FastEmbed's Bm25 gives them.

    python3 -m venv VENV && VENV/bin/pip install fastembed==0.9.1 py_rust_stemmers==0.1.8
    VENV/bin/python tools/make_golden_bm25.py

In languages whose stemmers are the same as libstemmer 2.2.0's. The words that are left out are given, since
FastEmbed downloads its own lists."""
import json
import pathlib
from importlib.metadata import version

from fastembed.common.utils import get_all_punctuation
from fastembed.sparse.bm25 import Bm25
from fastembed.sparse.utils.tokenizer import SimpleTokenizer
from py_rust_stemmers import SnowballStemmer

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / 'tests' / 'data' / 'lex' / 'bm25.json'

# Language, words left out, options, text.
CASES = [
    ('english', ['the', 'And', 'of'], {}, 'The running dogs, and the DOG that ran: dogs of dogs.'),
    ('english', [], {}, ''),
    ('english', [], {}, ' \t\n.,;!?'),
    ('english', [], {}, '_ __ a_b _a 42 3.14 1e5 don\'t x-ray'),
    ('english', [], {}, 'word ' * 300 + 'rare'),
    ('english', [], {'k': 0.5, 'b': 0.0, 'avg_len': 10.0}, 'one two two three three three generalizations'),
    ('english', [], {'k': 2.0, 'b': 1.0, 'avg_len': 3.5}, 'one two two three three three generalizations'),
    ('english', [], {'token_max_length': 5}, 'short words and considerably longer ones'),
    ('english', [], {}, 'a' * 40 + ' ' + 'b' * 41 + ' ' + 'é' * 40 + ' ' + 'é' * 41),
    ('english', ['don'], {'disable_stemmer': True}, 'Running RUNS ran don\'t DON'),
    ('german', ['und', 'DIE'], {}, 'Die Häuser und die Straßen der Städte; HÄUSER STRASSEN, groß GROẞ'),
    ('turkish', [], {}, 'İstanbul ISPARTA ışık IŞIK kitaplarımızdan evlerinizden'),
    ('greek', ['και'], {}, 'ΟΔΟΣ ΟΔΟΣ. Σ ΑΣ ΑΣΑ οι άνθρωποι και τα σπίτια ΣΑΣ ªΣ ʰΣ ⅠΣ'),
    ('spanish', ['de', 'la'], {}, 'las canciones de la Niña, rápidamente cantábamos ÑANDÚ'),
    ('italian', [], {}, 'abbandonata, nazionalmente; l\'università delle città'),
    ('portuguese', [], {}, 'ações rapidamente corações avançávamos'),
    ('dutch', [], {}, 'lichamelijkheden opglimlachen zeeën ideeën'),
    ('swedish', [], {}, 'jaktkarlarne klokhet svårigheterna Åkerns'),
    ('norwegian', [], {}, 'havnedistriktene opningen ØYENE'),
    ('hungarian', [], {}, 'kiskutyáinkért babakocsijáért állatkertek'),
    ('romanian', [], {}, 'copiilor frumuseților abruptă Țările'),
    ('arabic', [], {}, 'والمكتبات الكتب يكتبون كتاب كِتَاب'),
    ('tamil', [], {}, 'மரங்கள் வீடு நலம் படம'),
    ('english', [], {}, 'Ｆｕｌｌ ｗｉｄｔｈ ﬁne ½ ² Ⅷ ٣٤ 漢字 かな Ⱥ ԱՌ Ა ᲐᲑ 𐐀𐐨 🙂 e\u0301te\u0301 ́x a\u200db'),
]

PUNCTUATION = set(get_all_punctuation())


def case(language, stop_words, options, text):
    model = Bm25.__new__(Bm25)
    model.k, model.b, model.avg_len = (options.get(n, d) for n, d in (('k', 1.2), ('b', 0.75), ('avg_len', 256.0)))
    model.token_max_length = options.get('token_max_length', 40)
    model.punctuation, model.stopwords = PUNCTUATION, {word.lower() for word in stop_words}
    model.stemmer = None if options.get('disable_stemmer') else SnowballStemmer(language)
    model.tokenizer = SimpleTokenizer
    found = dict(sorted(model.raw_embed([text])[0].as_dict().items()))
    query = sorted(next(model.query_embed(text)).indices.tolist())
    return {'language': language, 'stopwords': stop_words, 'options': options, 'text': text,
            'indices': list(found), 'values': list(found.values()), 'query': query, 'words': model.token_count(text)}


lines = ',\n'.join(json.dumps(case(*each), ensure_ascii=False) for each in CASES)
head = json.dumps({'made by': 'tools/make_golden_bm25.py', 'fastembed': version('fastembed'),
                   'py_rust_stemmers': version('py_rust_stemmers')})[:-1]
GOLDEN.parent.mkdir(exist_ok=True)
GOLDEN.write_text(f'{head}, "cases": [\n{lines}\n]}}\n', encoding='utf-8')
