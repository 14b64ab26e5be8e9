"""Reads a .npz of sparse weights as a ZIP of arrays, with the standard library alone, and holds it against the JSON
lines of the same documents: written in one go, and stopped or killed at many points and resumed.

    job_npz.py path/to/job_sample

Where this Python has SciPy, scipy.sparse.load_npz reads it too (./check --long). In the short form a kill comes
before every fourth call of a kind.
"""

import ast
import importlib.util
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile

SAMPLE = sys.argv[1]
OK, PARTIAL, STOPPED = 0, 3, 4
DOCUMENTS = 60
STEP = 1 if os.environ.get("VECMILL_TEST_LONG") else 4  # calls of a kind from one that is killed to the next
MEMBERS = ["indices.npy", "indptr.npy", "format.npy", "shape.npy", "data.npy"]
CODES = {"<i4": "i", "<i8": "q", "<f4": "f"}


def array(data):
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    length, = struct.unpack_from("<H", data, 8)
    assert (10 + length) % 64 == 0
    head, body = ast.literal_eval(data[10:10 + length].decode("latin-1")), data[10 + length:]
    assert head["fortran_order"] is False
    if head["descr"] == "|S3":
        assert head["shape"] == ()
        return body
    n, = head["shape"]
    return list(struct.unpack(f"<{n}{CODES[head['descr']]}", body))


def read(path):
    """The rows of the matrix as {index: value}, and how many columns it has."""
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == MEMBERS, archive.namelist()
        assert archive.testzip() is None
        assert all(info.compress_type == zipfile.ZIP_STORED and info.extract_version == 45
                   for info in archive.infolist())
        indices, indptr, form, shape, data = [array(archive.read(name)) for name in MEMBERS]
    assert form == b"csr" and shape[0] == len(indptr) - 1, (form, shape)
    assert indptr[0] == 0 and indptr[-1] == len(indices) == len(data)
    return [dict(zip(indices[a:b], data[a:b])) for a, b in zip(indptr, indptr[1:])], shape[1]


def single(value):
    """The float32 that a decimal stands for."""
    return struct.unpack("<f", struct.pack("<f", value))[0]


def lines(path):
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [dict(zip(row["indices"] or [], map(single, row.get("values", [])))) for row in rows]


def scipy_reads(path, rows, columns):
    import scipy.sparse
    matrix = scipy.sparse.load_npz(path)
    assert matrix.format == "csr" and matrix.shape == (len(rows), columns) and matrix.dtype == "float32"
    matrix.check_format()
    for i, row in enumerate(rows):
        a, b = matrix.indptr[i], matrix.indptr[i + 1]
        assert dict(zip(matrix.indices[a:b].tolist(), matrix.data[a:b].tolist())) == row, i


class Folder:
    def __init__(self, path):
        self.path = path
        self.input, self.output = self.at("in.jsonl"), self.at("out.npz")

    def at(self, name):
        return os.path.join(self.path, name)

    def write(self, n):
        with open(self.input, "w", encoding="utf-8") as file:
            for i in range(n):
                file.write("not JSON\n" if i % 9 == 5 else '{"id":%d,"text":"document %d"}\n' % (i, i))

    def run(self, *words, output=None, before=()):
        env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")
        return subprocess.run([*before, SAMPLE, "sparse", *words, output or self.output, self.input], env=env,
                              capture_output=True, text=True, timeout=600)

    def contents(self):
        found = {}
        for name in os.listdir(self.path):
            with open(self.at(name), "rb") as file:
                found[name] = file.read()
        return found

    def clear(self):
        for name in os.listdir(self.path):
            if name != "in.jsonl":
                os.unlink(self.at(name))


def sizes(folder):
    """From none to more documents than a buffer holds; returns how many were compared."""
    for n in 0, 1, 7, DOCUMENTS, 6000:
        folder.write(n)
        done = folder.run()
        assert done.returncode == (PARTIAL if n > 5 else OK), (n, done.stderr)
        folder.run(output=folder.at("out.jsonl"))
        rows, columns = read(folder.output)
        assert columns == 5 and rows == lines(folder.at("out.jsonl")), n
        names = {name for name in os.listdir(folder.path) if name.startswith("out.npz")}
        beside = {".ids.jsonl"} if n > 0 else set()
        beside |= {".errors.jsonl"} if n > 5 else set()
        assert names == {"out.npz"} | {"out.npz" + name for name in beside}, names
        if importlib.util.find_spec("scipy"):
            scipy_reads(folder.output, rows, columns)
        folder.clear()
    return 5


def interrupted(folder):
    folder.write(DOCUMENTS)
    folder.run()
    whole = folder.contents()
    folder.clear()
    n = 0
    for stop in range(1, DOCUMENTS + 1, 7):
        done = folder.run("stop=%d" % stop)
        assert done.returncode in (STOPPED, PARTIAL), (stop, done.stderr)
        if done.returncode == STOPPED:
            folder.run("resume", "stop=%d" % (stop + 9))
            folder.run("resume")
        assert folder.contents() == whole, (stop, sorted(folder.contents()))
        folder.clear()
        n += 1
    if shutil.which("strace") is None:
        print("job-npz: kills skipped, there is no strace")
        return n
    for call in "write", "pwrite64", "pread64", "ftruncate", "fsync", "rename", "unlink":
        for index in range(1, 100, STEP):
            strace = ["strace", "-o", "/dev/null", "-e", "inject=%s:signal=KILL:when=%d" % (call, index)]
            done = folder.run(before=strace)
            if done.returncode == PARTIAL:
                assert folder.contents() == whole, (call, index)
                folder.clear()
                break
            found = folder.contents()
            assert found.get("out.npz") in (None, whole["out.npz"]), (call, index, "half a file")
            done = folder.run("resume")
            assert done.returncode in (OK, PARTIAL), (call, index, done.stderr)  # OK: it was finished
            assert folder.contents() == whole, (call, index, sorted(folder.contents()))
            folder.clear()
            n += 1
        else:
            raise AssertionError(call + " never ends")
    return n


def main():
    with tempfile.TemporaryDirectory(prefix="vecmill-npz-") as path:
        folder = Folder(path)
        passed = sizes(folder)
        passed += interrupted(folder)
    if not importlib.util.find_spec("scipy"):
        print("job-npz: scipy.sparse.load_npz skipped, SciPy is not installed here")
    print("job-npz: %d passed, 0 failed" % passed)


main()
