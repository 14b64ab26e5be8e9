"""What the tests of the package share: models, texts, scripts in processes of their own, and the process tree.

The package under test is the installed one: run with the python of the environment it was installed into. The
models are toys made by tools/make_toy_model.py, and the real one where VECMILL_TEST_MODEL names its folder.
Everything lies in a temporary folder with an empty cache, offline.
"""

import atexit
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.environ.get("VECMILL_SHARED", os.path.join(ROOT, "..", "shared"))
REAL_MODEL = os.environ.get("VECMILL_TEST_MODEL")
DEADLINE = 120  # of anything that is waited for

# As crew_kit.py's: a toy, and one that takes some milliseconds a document.
MODELS = {
    "toy": (),
    "slow": ("--layers", "14", "--hidden", "64", "--intermediate", "256", "--positions", "512"),
}
WORDS = """the of and a to in is it that for was on are as with his they at be this from have or by one had not but
    what all were when we there can an your which their said if do will each about how up""".split()

_home = tempfile.mkdtemp(prefix="vecmill-python-")
atexit.register(shutil.rmtree, _home, True)
os.environ.update(HOME=_home, VECMILL_CACHE=os.path.join(_home, "cache"), HF_HUB_OFFLINE="1")
for _name in ("XDG_CACHE_HOME", "VECMILL_PYTHON"):
    os.environ.pop(_name, None)


def home():
    return _home


def model(name):
    folder = os.path.join(_home, "model-" + name)
    if not os.path.isdir(folder):
        tool = os.path.join(ROOT, "tools", "make_toy_model.py")
        subprocess.run([sys.executable, tool, folder, *MODELS[name]], check=True, stdout=subprocess.DEVNULL)
    return folder


def texts(n, words=20, seed=1):
    """n different texts."""
    rng = random.Random(seed)
    return [" ".join([str(i)] + [rng.choice(WORDS) for _ in range(words)]) for i in range(n)]


# ---- processes ----

def stat(pid):
    """(command, state, parent) of a process, or None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            line = file.read()
    except OSError:
        return None
    name, rest = line[line.index("(") + 1:line.rindex(")")], line[line.rindex(")") + 2:].split()
    return name, rest[0], int(rest[1])


def workers(parent=None):
    """Live vecmill-worker children of a process (this one)."""
    found = []
    for name in os.listdir("/proc"):
        told = stat(name) if name.isdigit() else None
        if told and told[0] == "vecmill-worker" and told[1] != "Z" and told[2] == (parent or os.getpid()):
            found.append(int(name))
    return found


def all_workers():
    """Live worker programs of the installed package, whoever their parent is."""
    import vecmill
    program = os.path.join(os.path.dirname(vecmill.__file__), "bin", "vecmill-worker")
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.readlink(f"/proc/{name}/exe").startswith(program):
                with open(f"/proc/{name}/environ", "rb") as file:
                    if os.fsencode(_home) in file.read():
                        found.append(int(name))
        except OSError:
            pass
    return found


def wait_until(what, true):
    """Waits until true() is; a failure says what was waited for."""
    end = time.monotonic() + DEADLINE
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {DEADLINE} s")
        time.sleep(0.005)


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
    """A python process of the same environment that runs this source; more: of Popen."""
    return subprocess.Popen([sys.executable, "-c", source, *words], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **more)


def end(process, code=0):
    """Its (stdout, stderr), when it has ended with this code in time; it is killed otherwise."""
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
    program = unittest.main(exit=False, verbosity=2)
    result = program.result
    bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    print(f"{name}: {result.testsRun - bad - len(result.skipped)} passed, {bad} failed")
    sys.exit(1 if bad or result.testsRun == 0 else 0)
