#!/usr/bin/env python3
"""The checks of layers, taste and names, each run on a small tree that breaks one rule on purpose."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent.parent / 'tools'

CLEAN = {
    'src/LAYERS': '# a table\nbase:\ntext: base\nhub:  base\napp:  base vecmill hub\n',
    'src/base/base.h': '/* base */\n#include "vecmill_status.h"\n#include "num.h"\n',
    'src/base/num.h': '/* num */\n#include <stddef.h>\nstatic inline size_t num_one(void)\n'
                      '{\n    return 1;\n}\n',
    'src/base/alloc.c': '/* alloc */\n#include <stdlib.h>\nvoid *p(void) { return malloc(1); }\n',
    'src/text/text.h': '/* text */\n#include "base/base.h"\n',
    'src/text/trie.c': '/* trie: "malloc(1)" and http://x in text are no faults */\n#include "text.h"\n'
                       'const char *url = "http://free(x)";\n',
    'src/hub/hub.h': '/* hub */\n#include "base/base.h"\n',
    'src/hub/registry.def': 'X(1)\n',
    'src/app/main.c': '/* main */\n#include "hub/hub.h"\n#include "vecmill.h"\n',
    'include/vecmill.h': '/* vecmill */\n#include "vecmill_status.h"\n',
    'include/vecmill_status.h': '/* status */\nenum vecmill_status { VECMILL_OK };\n',
    'tests/text/trie_test.c': '/* test */\n#include "text/text.h"\n#include "hub/hub.h"\n',
    'bench/bench_text.c': '/* bench */\n#include "text/text.h"\n',
    'fuzz/fuzz_trie.c': '/* fuzz; needs: dep_text */\n#include "text/text.h"\n',
    'fuzz/corpus/trie/one': 'TO' 'DO \t //',
    'fuzz/meson.build': "fuzz_targets = {\n  'trie': dep_text,\n}\n",
    'tools/a.py': '# a\n',
    'docs/A.md': '# A\n',
}


class Tree(unittest.TestCase):
    def run_tool(self, tool, changes):
        with tempfile.TemporaryDirectory(prefix='vecmill-rules-') as folder:
            for name, text in {**CLEAN, **changes}.items():
                if text is None:
                    continue
                path = Path(folder) / 'tree' / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            return subprocess.run([sys.executable, str(TOOLS / tool), '--root', f'{folder}/tree'],
                                  capture_output=True, text=True)

    def expect(self, tool, changes, *sentences):
        done = self.run_tool(tool, changes)
        lines = done.stdout.splitlines()
        self.assertEqual(done.returncode, 1 if sentences else 0, done.stdout + done.stderr)
        self.assertEqual(len(lines) - 1, len(sentences), done.stdout)
        for line, sentence in zip(lines, sentences):
            self.assertIn(sentence, line)


class Layers(Tree):
    def expect_layers(self, changes, *sentences):
        self.expect('check_layers.py', changes, *sentences)

    def test_clean(self):
        self.expect_layers({})

    def test_door_not_in_the_table(self):
        self.expect_layers({'src/text/trie.c': '/* t */\n\n#include "hub/hub.h"\n'},
                           'src/text/trie.c:3: text may not open hub')

    def test_upwards(self):
        self.expect_layers({'src/base/alloc.c': '/* a */\n#include "text/text.h"\n'},
                           'base may not open text')

    def test_past_the_door(self):
        self.expect_layers({'src/text/trie.c': '/* t */\n#include "base/num.h"\n'},
                           'inside base, whose door is base/base.h')

    def test_past_the_door_by_a_detour(self):
        self.expect_layers({'src/text/trie.c': '/* t */\n#  include "../base/num.h"\n'},
                           'inside base, whose door is base/base.h')

    def test_public_header(self):
        self.expect_layers({'src/text/trie.c': '/* t */\n#include "vecmill.h"\n'},
                           'text may not open vecmill.h')

    def test_angle_brackets_hide_nothing(self):
        self.expect_layers({'src/text/trie.c': '/* t */\n#include <hub/hub.h>\n'}, 'wants quotes')

    def test_macro_include(self):
        self.expect_layers({'src/text/trie.c': '/* t */\n#define H "hub/hub.h"\n#include H\n'},
                           'includes by a macro')

    def test_missing_header(self):
        self.expect_layers({'src/text/trie.c': '/* t */\n#include "gone.h"\n'}, 'neither beside it')

    def test_tests_stay_outside(self):
        self.expect_layers({'tests/text/trie_test.c': '/* t */\n#include "base/num.h"\n'},
                           'tests/text/trie_test.c:2: "base/num.h" is inside base')

    def test_tests_may_enter_their_own_room(self):
        self.expect_layers({'tests/base/num_test.c': '/* t */\n#include "base/num.h"\n'})

    def test_the_package_knows_the_public_header_alone(self):
        self.expect_layers({'python/core/a.c': '/* a */\n#include "vecmill.h"\n#include "core.h"\n',
                            'python/core/core.h': '/* c */\n'})
        self.expect_layers({'python/core/a.c': '/* a */\n#include "text/text.h"\n'},
                           'inside text; the package knows vecmill.h alone')

    def test_fuzz_may_enter_what_it_needs(self):
        self.expect_layers({'src/text/inner.h': '/* i */\n',
                            'fuzz/fuzz_trie.c': '/* needs: dep_text */\n#include "text/inner.h"\n'})
        self.expect_layers({'fuzz/fuzz_trie.c': '/* needs: dep_text */\n#include "base/num.h"\n'},
                           'inside base')

    def test_source_does_not_include_tests(self):
        self.expect_layers({'src/text/trie.c': '/* t */\n#include "../../tests/text/x.h"\n',
                            'tests/text/x.h': '/* x */\n'}, 'outside src/ and include/')

    def test_header_alone(self):
        self.expect_layers({'src/text/text.h': '/* t */\n#include "base/base.h"\nsize_t f(FILE *f);\n'},
                           'does not compile alone with -std=gnu17')

    def test_public_header_in_other_languages(self):
        self.expect_layers({'include/vecmill.h': '/* v */\nstruct v { int class; };\n'},
                           'does not compile alone with -std=c++11')
        self.expect_layers({'include/vecmill.h': '/* v */\nstatic inline int f(void) { return _Generic(1, '
                            'int: 1); }\n'},
                           'alone with -std=c99', 'alone with -std=c++11')

    def test_a_family_is_named_in_its_file(self):
        for name in ('bert_rows', 'XLMRoberta', 'MPNet', 'is_qwen3', 'GTE_BASE', 'HF_DistilBERT'):
            self.expect_layers({'src/text/trie.c': f'/* t */\n#include "text.h"\nint {name};\n'},
                               f'src/text/trie.c:3: {name} names the family')
        self.expect_layers({'src/app/main.c': '/* m */\nconst char *type = "gemma3_text";\n'},
                           'src/app/main.c:2: gemma3_text names the family gemma')
        self.expect_layers({'src/text/jina.c': '/* j */\n'}, 'src/text/jina.c:1: jina names the family')
        self.expect_layers({'src/model/arch.h': '/* a */\nextern int arch_bert;\n',
                            'src/LAYERS': CLEAN['src/LAYERS'] + 'model: base\n'}, 'arch_bert names')

    def test_where_a_family_may_be_named(self):
        self.expect_layers({'src/LAYERS': CLEAN['src/LAYERS'] + 'model: base\n',
                            'src/model/arch.c': '/* a */\nextern int arch_bert;\n',
                            'src/model/arch_nomic.c': '/* n */\nconst char *type = "nomic_bert";\n',
                            'src/hub/registry.def': 'X("BAAI/gte-base")\n'})
        self.expect_layers({'src/text/trie.c': '/* BERT */\nconst char *type = "BertNormalizer",\n'
                            '    *file = "sentence_bert_config.json";\nint SIGTERM, modern, eurobertx, HF_ColBERT;\n'})
        self.expect_layers({'src/app/main.c': '/* m */\nconst char *type = "BertNormalizer";\n'},
                           'BertNormalizer names the family bert')

    def test_file_name_twice(self):
        self.expect_layers({'tests/text/trie.c': '/* t */\n'},
                           'src/text/trie.c: has the name of tests/text/trie.c')

    def test_table(self):
        self.expect_layers({'src/LAYERS': CLEAN['src/LAYERS'] + 'crew: base\n'},
                           'crew has no folder')
        self.expect_layers({'src/crew/crew.h': '/* c */\n'}, 'src/crew: has no line')
        self.expect_layers({'src/LAYERS': CLEAN['src/LAYERS'].replace('text: base', 'text: base hub')},
                           'text may not open hub, which does not stand above it')
        self.expect_layers({'src/LAYERS': CLEAN['src/LAYERS'] + 'hub: base\n'}, 'no new line')


class Taste(Tree):
    def expect_taste(self, changes, *sentences):
        self.expect('check_taste.py', changes, *sentences)

    def test_clean(self):
        self.expect_taste({})

    def test_heap(self):
        for call in ('malloc(1)', 'free(p)', 'strdup(s)', 'getline(&p, &n, f)', 'asprintf(&p, "x")',
                     'set(malloc, 0)', '__builtin_malloc(1)', 'free (p)'):
            with self.subTest(call=call):
                self.expect_taste({'src/text/trie.c': f'/* t */\nvoid f(void) {{ {call}; }}\n'},
                                  'base/alloc.c alone uses the heap')

    def test_no_heap(self):
        self.expect_taste({'src/text/trie.c': '/* t: free() */\nint f(void) { return a.free(1) + '
                           'b->malloc(2) + my_free(3) + _exit(127) + \'"\' + g("malloc(\\"1\\")"); }\n',
                           'tests/text/trie_test.c': '/* t */\nvoid *f(void) { return malloc(1); }\n'})

    def test_alloca(self):
        self.expect_taste({'src/text/trie.c': '/* t */\nvoid f(int n) { g(alloca(n)); }\n'}, 'alloca')

    def test_library_ends_nothing(self):
        for call in ('exit(1)', 'abort()', 'printf("x")', 'fputs("x", stderr)', 'perror("x")'):
            with self.subTest(call=call):
                self.expect_taste({'src/text/trie.c': f'/* t */\nvoid f(void) {{ {call}; }}\n'},
                                  'the library never exits, aborts or prints')
                self.expect_taste({'src/app/main.c': f'/* m */\nvoid f(void) {{ {call}; }}\n'})

    def test_slashes(self):
        self.expect_taste({'src/text/trie.c': '/* t */\n\nint x; // why\n'}, 'src/text/trie.c:3: //')

    def test_first_comment(self):
        self.expect_taste({'src/text/trie.c': 'int x;\n'}, 'does not open with a comment')
        self.expect_taste({'src/text/trie.c': '#include "trie.h"\n\nint x;\n'})
        self.expect_taste({'src/text/trie.c': '#include "other.h"\n\nint x;\n'}, 'does not open with a comment')
        self.expect_taste({'src/text/trie.h': '#include "trie.h"\n'}, 'does not open with a comment')

    def test_form(self):
        self.expect_taste({'src/text/trie.c': '/* t */\n\tint x;\n'}, ':2: has a tab')
        self.expect_taste({'src/text/trie.c': '/* ' + 'x' * 120 + ' */\n'}, 'has 126 columns')
        self.expect_taste({'src/text/trie.c': '/* t */\n' * 901}, 'has 901 lines, over 900')
        self.expect_taste({'tools/a.py': 'if 1:\n\tpass\n'}, 'tools/a.py:2: has a tab')

    def test_later(self):
        for word in ('TO' 'DO', 'FIX' 'ME'):
            self.expect_taste({'docs/A.md': f'# A\n{word}: write\n'}, f'{word} is left for later')

    def test_fuzz_is_registered(self):
        self.expect_taste({'fuzz/fuzz_more.c': '/* m */\n'}, 'not listed', 'has no corpus')
        self.expect_taste({'fuzz/fuzz_trie.c': '/* needs: dep_base */\n'}, 'does not say "needs: dep_text"')
        self.expect_taste({'fuzz/corpus/trie/one': None}, 'has no corpus')
        self.expect_taste({'fuzz/fuzz_trie.c': None}, 'there is no fuzz_trie.c')


class Names(Tree):
    def expect_names(self, document, *sentences, **changes):
        self.expect('check_names.py', {'docs/A.md': document, **changes}, *sentences)

    def expect_words(self, there, gone, sentence, **changes):
        self.expect_names(''.join(f'`{word}`\n' for word in there), **changes)
        said = [f'A.md:{n}: `{word.split(":")[0]}` {sentence}' for n, word in enumerate(gone, 1)]
        self.expect_names(''.join(f'`{word}`\n' for word in gone), *said, **changes)

    def test_clean(self):
        self.expect('check_names.py', {})

    def test_files(self):
        self.expect_words(
            ('src/text/trie.c', 'text/trie.c', 'trie.c', 'trie.c:3', './tools/a.py', 'A.md', 'src/text/',
             'tests/<room>/', 'text/{text.h,trie.c}', 't*.h', 'NAME_test.c', 'build/trie', '.c', 'open/close',
             '/no/where.c', '~/no.c', '$X/no.c', 'org/name', 'docs.npy', 'OUTPUT.ids.jsonl', 'https://no/a.h'),
            ('src/text/gone.c', 'text/gone', 'gone.c', 'gone.c:3', './gone', 'GONE.md', 'src/gone/',
             'tests/<room>/gone.c', 'text/{text.h,gone.c}', 'gone*.h', 'NAME_gone.c', 'build/gone'),
            'is no file here')
        # What lies next to the checkout may be there or not: it is not the tree's.
        self.expect_names('`../next/b.py` `../src/text/trie.c`\n', '`../next/b.py` is no file here',
                          **{'../next/b.py': '# b\n'})
        self.expect_names('`python3 tools/gone.py trie.c`\n', '`tools/gone.py` is no file here')
        self.expect_names('# A\n```\npython3 tools/gone.py x/y.c\n```\n', 'docs/A.md:3: `tools/gone.py`')

    def test_functions(self):
        self.expect_words(
            ('num_one', 'num_one()', 'num_one(1, "x")', 'struct num_one', 'a.num_one()', 'num_one/url',
             'x_gone()', 'n_x', 'v_i', 'gone_one + 1', 'gone', '_t', 'gone_'),
            ('gone_one', 'GONE_ONE'), 'is no word of the sources')
        for span in ('gone_one()', 'struct gone_one', 'num_one/gone_one', 'num_one.gone_one()'):
            self.expect_names(f'`{span}`\n', '`gone_one` is no word of the sources')
        self.expect_names('`y = f_scale * x`, where `f_scale` is\n')
        self.expect_names('`gone_one`\n', 'is no word', **{'src/text/trie.c': '/* gone_one */\n'})

    def test_options(self):
        table = {'src/app/options.c': '/* o */\n{"there", 0, KIND_FLAG},\n'}
        self.expect_names('`--there`, `vecmill --there=1`\n', **table)
        self.expect_names('# A\n`vecmill --gone=1`\n```\nvecmill --there\nvecmill --gone\n```\n',
                          'docs/A.md:5: `--gone` is no option', 'docs/A.md:2: `--gone` is no option', **table)

    def test_targets(self):
        self.expect_names('`make there`, `make gone`\n', '`make gone` is no target',
                          **{'Makefile': 'there: a\n'})

    def test_links(self):
        self.expect_names('# A b: `c`\n[a](../src/text/trie.c) [b](#a-b-c) [c](https://gone) `[d](gone)`\n')
        self.expect_names('[a](gone.md)\n[a](A.md#gone)\n', 'A.md:1: the link leads to gone.md',
                          'A.md:2: the link leads to #gone, which is no heading of A.md')

    def test_comments(self):
        self.expect_names('# A\n', 'src/text/trie.c:2: "gone.md"',
                          **{'src/text/trie.c': '/* trie.c\n * gone.md\n */\nf("gone.c");\n'})
        self.expect_names('# A\n', 'tools/a.py:1: "gone.md"', 'tools/a.py:3: "gone.sh"',
                          **{'tools/a.py': '"""gone.md\n"""\nx = 1  ' '# gone.sh\nf("gone.c")\n'})


if __name__ == '__main__':
    result = unittest.main(exit=False, verbosity=1).result
    bad = len(result.failures) + len(result.errors)
    print(f'meta-rules: {result.testsRun - bad} passed, {bad} failed')
    sys.exit(1 if bad else 0)
