"""The parts of tools/emu that need no emulator: archive, kernel, image and frames.

Prints `emu-machine: N passed, N failed`."""

import contextlib
import ctypes
import importlib.machinery
import importlib.util
import io
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

sys.dont_write_bytecode = True
TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "emu")
sys.path.insert(0, TOOLS)

import machine  # noqa: E402 (found by the line above)


def command_load(name):
    """A command as a module: its name has no .py."""
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(TOOLS, name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


def cpio_read(archive):
    """{path: (mode, data)} by the format's description, each field checked for its place."""
    files, at = {}, 0
    while True:
        if at % 4 or archive[at : at + 6] != b"070701":
            raise ValueError(f"no entry at {at}")
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, n_name = fields[1], fields[6], fields[11]
        name = archive[at + 110 : at + 110 + n_name - 1].decode()
        data = at + 110 + n_name
        data += -data % 4
        if name == "TRAILER!!!":
            return files
        files[name] = (mode, archive[data : data + size])
        at = data + size
        at += -at % 4


def lz4_pack(data):
    """An LZ4 legacy frame of one block."""
    library = ctypes.CDLL("liblz4.so.1")
    room = ctypes.create_string_buffer(len(data) + len(data) // 255 + 64)
    n = library.LZ4_compress_default(data, room, len(data), len(room))
    return struct.pack("<II", machine.LZ4_LEGACY_MAGIC, n) + room.raw[:n]


def elf(segments, entry=machine.KERNEL_START):
    """A 64-bit ELF file of PT_LOAD segments (address, bytes, bytes in memory)."""
    head = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    offset = 64 + 56 * len(segments)
    table, body = b"", b""
    for address, data, n_memory in segments:
        table += struct.pack(
            "<IIQQQQQQ", 1, 5, offset + len(body), address, address, len(data), n_memory, 0x1000
        )
        body += data
    return head + table + body


def bzimage(payload, setup_sectors=2):
    image = bytearray((setup_sectors + 1) * 512)
    image[0x1F1] = setup_sectors
    image[0x201] = 0x6A
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 16, len(payload))
    return bytes(image) + bytes(16) + payload


class Archive(unittest.TestCase):
    def test_files_and_folders_above_them(self):
        files = machine.Initramfs()
        files.add_bytes("/a/b/odd", b"xyz", 0o755)
        files.add_bytes("/a/empty", b"")
        files.add_folder("/a/b")
        read = cpio_read(files.finish())
        self.assertEqual(list(read), ["a", "a/b", "a/b/odd", "a/empty"])
        self.assertEqual(read["a/b"], (0o40755, b""))
        self.assertEqual(read["a/b/odd"], (0o100755, b"xyz"))
        self.assertEqual(read["a/empty"], (0o100644, b""))

    def test_every_length_is_padded(self):
        for size in range(9):
            files = machine.Initramfs()
            files.add_bytes("/" + "n" * (size + 1), bytes(range(size)))
            files.add_bytes("/next", b"behind")
            self.assertEqual(cpio_read(files.finish())["next"][1], b"behind")

    def test_the_first_of_two_files_stays(self):
        files = machine.Initramfs()
        files.add_bytes("/one", b"first")
        files.add_bytes("/./one", b"second")
        self.assertEqual(cpio_read(files.finish()), {"one": (0o100644, b"first")})

    def test_a_program_brings_its_libraries(self):
        files = machine.Initramfs()
        files.add(sys.executable, "/bin/python")
        names = [os.path.basename(path) for path in cpio_read(files.finish())]
        self.assertIn("libc.so.6", names)
        self.assertTrue(any(name.startswith("ld-linux") for name in names), names)

    def test_a_folder_comes_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            os.makedirs(os.path.join(folder, "in", "deep"))
            with open(os.path.join(folder, "in", "deep", "file"), "wb") as file:
                file.write(b"text")
            files = machine.Initramfs()
            files.add(folder, "/there")
            self.assertEqual(cpio_read(files.finish())["there/in/deep/file"][1], b"text")


class Kernel(unittest.TestCase):
    def test_segments_lie_where_they_say(self):
        start = machine.KERNEL_START
        packed = lz4_pack(elf([(start, b"code", 4), (start + 0x3000, b"data", 0x1000)], start + 2))
        header, entry, memory = machine.kernel_unpack(bzimage(packed))
        self.assertEqual(len(header), 0x202 + 0x6A - 0x1F1)
        self.assertEqual(entry, start + 2)
        self.assertEqual(len(memory), 0x4000)
        self.assertEqual(memory[:4], b"code")
        self.assertEqual(memory[0x3000:0x3004], b"data")
        self.assertFalse(any(memory[0x3004:]))

    def test_damage_is_told(self):
        start = machine.KERNEL_START
        good = lz4_pack(elf([(start, b"code" * 100, 400)]))
        for damaged, words in (
            (b"", "not a bzImage"),
            (bytes(4096), "not a bzImage"),
            (bzimage(good)[:-1], "payload has"),
            (bzimage(b"\x28\xb5\x2f\xfd" + bytes(64)), "not packed with LZ4"),
            (bzimage(good[:-1]), "of a block of"),
            (bzimage(struct.pack("<II", machine.LZ4_LEGACY_MAGIC, 40) + b"\xff" * 40), "is damaged"),
            (bzimage(lz4_pack(b"text" * 100)), "not a 64-bit ELF"),
            (bzimage(lz4_pack(elf([(start, b"code", 3)]))), "does not fit"),
            (bzimage(lz4_pack(elf([(start - 1, b"code", 4)]))), "does not fit"),
            (bzimage(lz4_pack(elf([(start, b"code", 1 << 40)]))), "does not fit"),
            (bzimage(lz4_pack(elf([(start, b"code", 4)], start + 4))), "outside its segments"),
            (bzimage(lz4_pack(elf([(start, b"", 8)])[:100])), "behind its end"),
        ):
            with self.subTest(words=words):
                self.assertRaisesRegex(machine.MachineError, words, machine.kernel_unpack, damaged)


class Image(unittest.TestCase):
    def test_page_tables_map_one_to_one(self):
        tables = machine.page_tables()

        def entry(table, index):
            (value,) = struct.unpack_from("<Q", tables, table - machine.PAGE_TABLES + 8 * index)
            self.assertTrue(value & 1, f"{table:#x}[{index}] is not present")
            return value

        for address in (0, 0x1FFFFF, 0x200000, machine.KERNEL_START, 0xFFFF0000, (4 << 30) - 1):
            level3 = entry(machine.PAGE_TABLES, address >> 39) & ~0xFFF
            level2 = entry(level3, address >> 30 & 511) & ~0xFFF
            leaf = entry(level2, address >> 21 & 511)
            self.assertEqual((leaf & ~0x1FFFFF) | (address & 0x1FFFFF), address)

    def test_every_part_has_its_place(self):
        file = io.BytesIO()
        kernel, archive, memory_bytes = b"K" * 0x123456, b"A" * 777, 64 << 20
        end = machine.image_write(file, bytes(0x7B), kernel, archive, "quiet", memory_bytes)
        image = file.getvalue()
        self.assertEqual(len(image), end - machine.IMAGE_START)

        def at(address, size):
            return image[address - machine.IMAGE_START :][:size]

        params = at(machine.BOOT_PARAMS, 0x1000)
        ramdisk, n_ramdisk = struct.unpack_from("<II", params, 0x218)
        self.assertEqual(at(ramdisk, n_ramdisk), archive)
        self.assertEqual(at(machine.KERNEL_START, len(kernel)), kernel)
        self.assertEqual(at(struct.unpack_from("<I", params, 0x228)[0], 6), b"quiet\0")
        self.assertEqual(params[0x1E8], 2)
        start, size, kind = struct.unpack_from("<QQI", params, 0x2D0 + 20)
        self.assertEqual((start + size, kind), (memory_bytes, 1))

    def test_what_does_not_fit_is_refused(self):
        def write(command_line, memory_bytes):
            machine.image_write(io.BytesIO(), b"", bytes(4096), bytes(4096), command_line, memory_bytes)

        write("x" * 2047, 32 << 20)
        self.assertRaisesRegex(machine.MachineError, "2049 bytes", write, "x" * 2048, 32 << 20)
        self.assertRaisesRegex(machine.MachineError, "memory of 16 MiB", write, "", 16 << 20)
        self.assertRaisesRegex(machine.MachineError, "memory of 4096 MiB", write, "", 4 << 30)


class Command(unittest.TestCase):
    def setUp(self):
        self.command = command_load("run-avx512")

    def test_frames_survive_any_cut(self):
        frames = [(b"1", b"out"), (b"2", b""), (b"1", b"\x01\xff" * 2048), (b"x", b"exit 0")]
        sent = b"".join(channel + struct.pack("<H", len(data)) + data for channel, data in frames)
        for step in (1, 2, 3, 5, 4096, len(sent)):
            received = []
            reader = self.command.Frames(lambda channel, data: received.append((channel, data)))
            for at in range(0, len(sent), step):
                reader.feed(sent[at : at + step])
            self.assertEqual(received, frames)

    def test_the_job_is_what_init_reads(self):
        options = self.command.arguments_parse(["--env", "A=b=c", "--", "/bin/x", "one", "--two", ""])
        strings = self.command.job_bytes(options, "/bin/x").split(b"\0")
        self.assertEqual(strings.pop(), b"")
        self.assertEqual(strings[:6], [os.fsencode(os.getcwd()), b"4", b"/bin/x", b"one", b"--two", b""])
        self.assertIn(b"A=b=c", strings[6:])
        self.assertTrue(any(string.startswith(b"VECMILL_ISA=") for string in strings[6:]))

    def test_mistakes_are_told_before_anything_starts(self):
        for status, wrong, arguments in (
            (127, "/no/such/program", ["--", "/no/such/program"]),
            (2, "/no/such/file", ["--file", "/no/such/file:/etc/file", "--", "/bin/true"]),
            (2, "NAME=VALUE", ["--env", "A", "--", "/bin/true"]),
        ):
            with self.subTest(wrong=wrong):
                told = subprocess.run(
                    [sys.executable, os.path.join(TOOLS, "run-avx512"), *arguments],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                self.assertEqual(told.returncode, status)
                self.assertIn(wrong, told.stderr)

    def test_what_cannot_be_installed_is_a_skip(self):
        def missing(name):
            return None if name in absent else f"/usr/bin/{name}"

        for absent, words in (
            (("bochs-bin",), "as root: apt-get install bochs"),
            (("bochs-bin", "apt-get"), "no apt-get"),
        ):
            with self.subTest(words=words), mock.patch("shutil.which", missing), mock.patch(
                "os.geteuid", return_value=1000
            ):
                self.assertRaisesRegex(self.command.Skip, words, self.command.emulator_install)

    def test_a_kernel_in_the_cache_is_taken(self):
        with tempfile.TemporaryDirectory() as cache, mock.patch("shutil.which", lambda name: None):
            self.assertRaisesRegex(self.command.Skip, "no kernel", self.command.kernel_fetch, cache)
            with open(os.path.join(cache, "kernel"), "wb") as file:
                file.write(b"3 16777216 vmlinuz-6\nabcMEMORY")
            place = self.command.kernel_fetch(cache)
            self.assertEqual(
                self.command.kernel_read(place), (b"abc", machine.KERNEL_START, b"MEMORY", "vmlinuz-6")
            )

    def test_ends_become_statuses(self):
        run = self.command.Run("/nowhere", None)
        self.assertEqual(run.status(), self.command.EXIT_BROKEN)
        for end, status in (("exit 0", 0), ("exit 77", 77), ("signal 11", 139)):
            run.receive(b"x", end.encode())
            self.assertEqual(run.status(), status)


class Reference(unittest.TestCase):
    def setUp(self):
        self.check = command_load("check-avx512")
        self.want = {7: (0.5,) * self.check.DIM, 3: (0.25,) * self.check.DIM}

    def told(self, rows, change=0.0):
        lines = []
        for row in rows:
            vector = list(self.want[row])
            vector[-1] += change
            lines.append(json.dumps({"id": row, "embedding": vector}).encode() + b"\n")
        with contextlib.redirect_stdout(io.StringIO()):
            return self.check.reference_differs(b"".join(lines), self.want)

    def test_equal_and_nearly_equal_vectors_pass(self):
        self.assertEqual(self.told([7, 3]), 0)
        self.assertEqual(self.told([7, 3], 0.9e-5), 0)

    def test_differences_missing_rows_and_other_order_fail(self):
        self.assertEqual(self.told([7, 3], 1.1e-5), 1)
        self.assertEqual(self.told([7, 3], float("nan")), 1)
        self.assertEqual(self.told([7]), 1)
        self.assertEqual(self.told([3, 7]), 1)

    def test_rows_of_an_npy_file(self):
        rows = [[float(i * self.check.DIM + j) for j in range(self.check.DIM)] for i in range(2)]
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", 54) + b" " * 53 + b"\n")
            file.write(b"".join(struct.pack(f"<{self.check.DIM}f", *row) for row in rows))
            file.flush()
            self.assertEqual([list(row) for row in self.check.npy_rows(file.name)], rows)


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    failed = len(result.failures) + len(result.errors)
    print(f"emu-machine: {result.testsRun - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
