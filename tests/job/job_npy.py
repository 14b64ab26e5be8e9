"""Reads what a run wrote as numpy does (numpy/lib/format.py: magic, version, u16 length, a literal
dictionary, padding to 64), with the standard library alone.

    job_npy.py path/to/job_sample
"""

import ast
import os
import struct
import subprocess
import sys
import tempfile


def read(path):
    data = open(path, "rb").read()
    assert data[:8] == b"\x93NUMPY\x01\x00", data[:8]
    (length,) = struct.unpack_from("<H", data, 8)
    header = data[10:10 + length].decode("latin1")
    assert (10 + length) % 64 == 0, length
    assert header.endswith("\n") and header.rstrip() == header.rstrip(" \n"), header
    fields = ast.literal_eval(header)
    assert set(fields) == {"descr", "fortran_order", "shape"}, fields
    assert fields["descr"] == "<f4" and fields["fortran_order"] is False, fields
    n, dim = fields["shape"]
    assert len(data) == 10 + length + 4 * n * dim, (len(data), fields)
    # numpy leaves room for 21 digits of the axis that grows.
    dictionary = header.rstrip()
    assert length == -(-(10 + len(dictionary) + 21 - len(str(n)) + 1) // 64) * 64 - 10, length
    return fields["shape"], struct.unpack_from("<%df" % (n * dim), data, 10 + length)


def expected(text, dim):
    """fake_engine.c's vector."""
    mask, prime, value = (1 << 64) - 1, 1099511628211, 14695981039346656037
    for byte in text.encode():
        value = (value ^ byte) * prime & mask
    row = []
    for i in range(dim):
        value = (value ^ (i + 1)) * prime & mask
        signed = value - (1 << 64) if value >> 63 else value
        row.append(struct.unpack("<f", struct.pack("<f", signed / 2.0**63))[0])
    return row


def main():
    passed = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "out.npy")
        lines = os.path.join(folder, "in.txt")
        for n in (0, 1, 7, 1000, 12345):
            with open(lines, "w") as file:
                file.writelines("%d\n" % i for i in range(n))
            subprocess.run([sys.argv[1], path, lines], check=True)
            shape, values = read(path)
            assert shape == (n, 5), shape
            for i in range(0, n, max(1, n // 50)):
                assert list(values[5 * i:5 * i + 5]) == expected(str(i), 5), i
            assert sorted(os.listdir(folder)) == ["in.txt", "out.npy"], os.listdir(folder)
            passed += 1
    print("job-npy: %d passed, 0 failed" % passed)


main()
