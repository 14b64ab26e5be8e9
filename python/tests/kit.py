"""What the tests of the package share: models, texts, scripts in processes of their own, and the process tree.

The package under test is the installed one: run with the python of the environment it was installed into. The
models are toys made by tools/make_toy_model.py, and the real one where VECMILL_TEST_MODEL names its folder.
All files are in a temporary folder with an empty cache. Nothing uses the network.
"""

import atexit
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

_tests = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests")
sys.path += [os.path.join(_tests, "e2e"), os.path.join(_tests, "data")]

import crew_kit  # noqa: E402
import harness  # noqa: E402
from crew_kit import text  # noqa: E402
from harness import REAL_MODEL, ROOT, chance, form, long_form, toy, wait_until  # noqa: E402, F401
from oracle import processes, program, started, stat_of  # noqa: E402

DEADLINE = harness.WAIT_SECONDS

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell sets this for background commands. Scripts would inherit it, and Ctrl-C would raise nothing in them.
    signal.signal(signal.SIGINT, signal.default_int_handler)

_home = tempfile.mkdtemp(prefix="vecmill-python-")
atexit.register(shutil.rmtree, _home, True)
os.environ.update(HOME=_home, VECMILL_CACHE=os.path.join(_home, "cache"), HF_HUB_OFFLINE="1")
for _name in ("XDG_CACHE_HOME", "VECMILL_PYTHON"):
    os.environ.pop(_name, None)

from vecmill import _programs  # noqa: E402

harness.VECMILL = _programs.PROGRAM  # slow models are timed with the package under test


def home():
    return _home


def model(name):
    folder = os.path.join(_home, "model-" + name)
    return folder if os.path.isdir(folder) else toy(folder, *crew_kit.options(name))


def words_of(ids):
    """The text of token ids, for a model of words_model()."""
    return " ".join(f"t{token}" for token in ids if token > 3)


def words_model(name):
    """A model of BERT's special tokens out of tests/data: (its folder, its cases). Token N is the word tN, and a pair
    has no separator between its texts, as the cases' ids have none."""
    source = os.path.join(ROOT, "tests", "data", name)
    folder = os.path.join(_home, os.path.basename(name).removesuffix(".json"))
    with open(source, encoding="utf-8") as file:
        family = json.load(file)
    if os.path.isdir(folder):
        return folder, family["cases"]
    subprocess.run([sys.executable, os.path.join(ROOT, "tools", "write_family.py"), source, folder], check=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocab = special + [f"t{i}" for i in range(4, family["files"]["config.json"]["vocab_size"])]
    first, end, last = ({"SpecialToken": {"id": name, "type_id": kind}}
                        for name, kind in (("[CLS]", 0), ("[SEP]", 0), ("[SEP]", 1)))
    both = [{"Sequence": {"id": name, "type_id": kind}} for name, kind in (("A", 0), ("B", 1))]
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "decoder": None,
        "added_tokens": [{"id": i, "content": name, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True} for i, name in enumerate(special)],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": [first, both[0], end], "pair": [first, *both, last],
            "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]}
                               for i, name in ((2, "[CLS]"), (3, "[SEP]"))}},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {word: i for i, word in enumerate(vocab)}}}
    for made, content in (("tokenizer.json", tokenizer), ("tokenizer_config.json", {"model_max_length": 64})):
        with open(os.path.join(folder, made), "w", encoding="utf-8") as file:
            json.dump(content, file)
    return folder, family["cases"]


def texts(n, words=20, seed=1):
    """n different texts."""
    rng = random.Random(seed)
    return [text(rng, i, words) for i in range(n)]


# ---- processes ----

def workers():
    """Live vecmill-worker children of this process."""
    told = ((pid, stat_of(pid)) for pid in processes())
    return [pid for pid, is_ in told if is_ and is_[0] == "vecmill-worker" and is_[1] != "Z" and is_[2] == os.getpid()]


def ours(pid):
    """Whether a process belongs to this test's run: the run's home is in its environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return os.fsencode(_home) in file.read()
    except OSError:
        return False


def all_workers():
    """Live worker programs of the installed package, whoever their parent is."""
    import vecmill
    worker = os.path.join(os.path.dirname(vecmill.__file__), "bin", "vecmill-worker")
    return [pid for pid in processes() if (program(pid) or "").startswith(worker) and ours(pid)]


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def resident(pid="self"):
    """Anonymous and shared bytes of a process."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        lines = dict(line.split(":", 1) for line in file)
    return sum(int(lines[name].split()[0]) for name in ("RssAnon", "RssShmem")) * 1024


def script(source, *words, **more):
    """Starts a python process of the same environment that runs this source; more: arguments of Popen."""
    return subprocess.Popen([sys.executable, "-c", source, *words], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **more)


def end(process, code=0):
    """The process's (stdout, stderr), if it ends with this code in time; otherwise it is killed."""
    try:
        out, err = process.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"still running after {DEADLINE} s; said {out!r} {err!r}") from None
    if code is not None and process.returncode != code:
        raise AssertionError(f"ended with {process.returncode}, not {code}: {out!r} {err!r}")
    return out, err


class Case(unittest.TestCase):
    """A case that leaves no worker behind."""

    def tearDown(self):
        wait_until("the workers end", lambda: not all_workers())


def main():
    """Runs the calling file's tests; the last line is `NAME: N passed, N failed`."""
    harness.tell_seed()
    runner = unittest.TextTestRunner(verbosity=2, resultclass=harness.Result)
    program = unittest.main(exit=False, testRunner=runner)
    result = program.result
    bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    harness.tell(result)
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    print(f"{name}: {result.testsRun - bad - len(result.skipped)} passed, {bad} failed")
    sys.exit(1 if bad or result.testsRun == 0 else 0)
