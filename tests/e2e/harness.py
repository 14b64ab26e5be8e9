"""What the end-to-end tests share: the program, a toy model, running, reading outputs.

A test file makes a subclass of Case and ends with `harness.main()`. It gets the build folder from
VECMILL_BUILD. Everything happens in a temporary folder of its own with an empty cache in it, offline.
A real model is used where VECMILL_TEST_MODEL names its folder, and VECMILL_SANITIZED is not set.

Tests have two forms. VECMILL_TEST_LONG, when it is not empty, asks for the long one: all there is. The short
form leaves out what `long_form` marks, and names it.

Whatever is drawn, is drawn from SEED, which is printed first: a constant in the short form, another each time in
the long one, or VECMILL_TEST_SEED. No verdict depends on how fast the machine is: what must be so is waited for,
and WAIT_SECONDS is there to end a hang.
"""

import array
import ast
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("VECMILL_BUILD", os.path.join(ROOT, "build")))
VECMILL = os.path.join(BUILD, "vecmill")
WORKER = os.path.join(BUILD, "vecmill-worker")
SHARED = os.environ.get("VECMILL_SHARED") or os.path.join(ROOT, "..", "shared")
REAL_MODEL = os.environ.get("VECMILL_TEST_MODEL")
NO_REAL_MODEL = "VECMILL_TEST_MODEL does not name a model"
if os.environ.get("VECMILL_SANITIZED"):
    REAL_MODEL, NO_REAL_MODEL = None, "the real model is for the optimised build"
LONG = bool(os.environ.get("VECMILL_TEST_LONG"))
LEFT = "left to --long: "
SEED = int(os.environ.get("VECMILL_TEST_SEED") or (int.from_bytes(os.urandom(3), "little") if LONG else 1))
WAIT_SECONDS = 600

_home = None


def home():
    """The temporary folder of this program, with the toy model in it."""
    global _home
    if _home is None:
        _home = tempfile.mkdtemp(prefix="vecmill-e2e-")
        toy(os.path.join(_home, "toy"))
    return _home


def toy(folder, *options):
    tool = os.path.join(ROOT, "tools", "make_toy_model.py")
    subprocess.run([sys.executable, tool, folder, *options], check=True, stdout=subprocess.DEVNULL)
    return folder


def toy_model():
    return os.path.join(home(), "toy")


def environment(**more):
    """A known environment: nothing of the caller's that vecmill reads, but the instruction set."""
    keep = {name: value for name, value in os.environ.items()
            if not name.startswith(("VECMILL_", "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "SENTENCE_", "XDG_"))}
    if "VECMILL_ISA" in os.environ:
        keep["VECMILL_ISA"] = os.environ["VECMILL_ISA"]
    keep.update(HOME=home(), VECMILL_CACHE=os.path.join(home(), "cache"), HF_HUB_OFFLINE="1",
                LC_ALL="C")
    keep.update(more)
    return keep


class Run:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err.decode("utf-8", "replace")

    def objects(self):
        return [json.loads(line) for line in self.out.splitlines()]


def processes():
    """Ids of live processes that run a program of this build."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.path.realpath(os.readlink(f"/proc/{name}/exe")).startswith(BUILD + "/vecmill"):
                    with open(f"/proc/{name}/environ", "rb") as file:
                        if os.fsencode(home()) in file.read():
                            found.add(int(name))
            except OSError:
                pass
    return found


class Npy:
    """A .npy of rows, read without numpy; row() is of float32."""

    BYTES = {"<f4": 4, "<f2": 2, "|i1": 1, "|u1": 1}

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        assert data[:6] == b"\x93NUMPY" and data[6:8] == b"\x01\x00", data[:8]
        size, = struct.unpack("<H", data[8:10])
        assert (10 + size) % 64 == 0
        head = ast.literal_eval(data[10:10 + size].decode("latin-1"))
        assert head["fortran_order"] is False, head
        self.descr, (self.n, self.dim) = head["descr"], head["shape"]
        self.row_bytes = self.BYTES[self.descr] * self.dim
        self.bytes = data[10 + size:]
        assert len(self.bytes) == self.n * self.row_bytes, (head, len(self.bytes))

    def raw(self, i):
        return self.bytes[i * self.row_bytes:(i + 1) * self.row_bytes]

    def row(self, i):
        row = array.array("f")
        row.frombytes(self.raw(i))
        return row

    def is_zero(self, i):
        return not any(self.raw(i))


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # A shell in the background, or nohup, starts us with some of them ignored, and so would all our children be.
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1):
            if signal.getsignal(number) == signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)

    def setUp(self):
        self.dir = tempfile.mkdtemp(dir=home())

    def tearDown(self):
        left = processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(left, set(), "processes were left")
        parts = [name for name in os.listdir(self.dir) if name.endswith(".part")]
        self.assertEqual(parts, [], "parts are left")
        shutil.rmtree(self.dir, ignore_errors=True)

    def wait_for(self, what, condition):
        """What condition() gives, once that is true."""
        return wait_until(what, condition)

    def wait_for_handler(self, process, number):
        """Until a program that was just started has a handler for this signal, before which it would die by it; or
        has ended."""
        def is_set():
            if process.poll() is not None:
                return True
            with open(f"/proc/{process.pid}/status", encoding="utf-8") as file:
                caught = next(line.split()[1] for line in file if line.startswith("SigCgt:"))
            return int(caught, 16) >> (number - 1) & 1
        self.wait_for(f"a handler of {number!r}", is_set)

    def path(self, name):
        return os.path.join(self.dir, name)

    def file(self, name, content):
        """Writes a file of the test's folder: bytes, text, or a list of objects as JSON lines."""
        if isinstance(content, list):
            content = "".join(json.dumps(line) + "\n" for line in content)
        if isinstance(content, str):
            content = content.encode()
        with open(self.path(name), "wb") as file:
            file.write(content)
        return self.path(name)

    def lines(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def exists(self, name):
        return os.path.exists(self.path(name))

    def run_vecmill(self, *args, code=0, stdin=b"", env=None, **more):
        run = subprocess.run([VECMILL, *args], input=stdin, stdout=more.pop("stdout", subprocess.PIPE),
                             stderr=subprocess.PIPE, cwd=self.dir, timeout=WAIT_SECONDS,
                             env=env or environment(), **more)
        result = Run(run.returncode, run.stdout, run.stderr)
        self.assertEqual(result.code, code, f"{args}: {result.err}")
        if code not in (0, 3):
            sentence = [line for line in result.err.splitlines() if line.startswith("vecmill: ")]
            self.assertTrue(sentence, f"{args}: no sentence on stderr: {result.err!r}")
        return result

    def embed(self, *args, code=0, model=None, **more):
        """embed with the toy model."""
        return self.run_vecmill("embed", "-m", model or toy_model(), *args, code=code, **more)

    def refused(self, words, *args, code=2, **more):
        """Runs, wants this exit code, and every one of `words` in the sentence."""
        run = self.run_vecmill(*args, code=code, **more)
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, run.err)
        return run


def form(short, long):
    """What the form of this run asks for."""
    return long if LONG else short


def long_form(reason):
    """Leaves a test, or a class of them, to the long form; the short form names it with the reason."""
    return unittest.skipUnless(LONG, LEFT + reason)


def chance(name):
    """Draws of their own for whoever has this name."""
    return random.Random(f"{SEED} {name}")


def tell_seed():
    print(f"seed {SEED}", flush=True)


def wait_until(what, condition, pause=0.005, told=lambda: ""):
    """What condition() gives, once that is true."""
    until = time.monotonic() + WAIT_SECONDS
    while not (found := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"waited in vain for {what} {told()}")
        time.sleep(pause)
    return found


def processor_seconds():
    """Of this process and of what it has waited for."""
    return sum(os.times()[:4])


def is_left(case, name):
    """Whether this form leaves out the test of that name."""
    return any(getattr(what, "__unittest_skip_why__", "").startswith(LEFT) for what in (case, getattr(case, name)))


class Result(unittest.TextTestResult):
    """Knows what each test took."""

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic(), processor_seconds()

    def stopTest(self, test):
        super().stopTest(test)
        wall, processor = time.monotonic() - self.began[0], processor_seconds() - self.began[1]
        vars(self).setdefault("taken", []).append((wall, processor, test.id()))


def tell(result):
    """Prints which tests took more than a second, and which were skipped or left out, and why."""
    for wall, processor, name in sorted(getattr(result, "taken", []), reverse=True):
        if wall >= 1:
            print(f"{wall:.1f} s, {processor:.1f} s of processor time: {name}")
    for test, reason in result.skipped:
        if reason.startswith(LEFT):
            print(f"{LEFT}{test.id()}: {reason.removeprefix(LEFT)}")
        else:
            print(f"skipped: {test.id()}: {reason}")


def leave():
    """Removes the temporary folder."""
    global _home
    if _home:
        shutil.rmtree(_home, ignore_errors=True)
    _home = None


def main():
    """Runs the tests of the calling file (or those that are named), prints the count, and ends."""
    for program in (VECMILL, WORKER):
        if not os.access(program, os.X_OK):
            print(f"skipped: {program} is not built")
            sys.exit(77)
    name = os.path.basename(sys.argv[0]).removesuffix(".py").replace("_", "-")
    tell_seed()
    try:
        loader, module = unittest.defaultTestLoader, sys.modules["__main__"]
        suite = loader.loadTestsFromNames(sys.argv[1:], module) if sys.argv[1:] else \
            loader.loadTestsFromModule(module)
        result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout, resultclass=Result).run(suite)
    finally:
        leave()
    tell(result)
    # A test with many subtests is one test.
    failed = len({getattr(test, "test_case", test) for test, _ in result.failures + result.errors})
    print(f"{name}: {result.testsRun - failed - len(result.skipped)} passed, {failed} failed")
    sys.exit(1 if failed else 0)
