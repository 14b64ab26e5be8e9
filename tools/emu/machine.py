"""The emulated machine's memory, as it is when its processor starts: one image.

  0x0f00000  page tables (4 GiB one to one), boot_params, kernel command line
  0x1000000  the Linux kernel, unpacked and laid out as its ELF headers say
  behind it  the initial file system, a cpio archive

Formats: Documentation/arch/x86/boot.rst and zero-page.rst (bzImage, boot_params, version 2.12 of the
protocol or later), initramfs "newc" (Documentation/driver-api/early-userspace/buffer-format.rst), LZ4
legacy frames (lz4_Frame_format.md). Knows nothing of the emulator or of where the files come from."""

import ctypes
import os
import re
import stat
import struct
import subprocess

IMAGE_START = 0xF00000  # a multiple of the emulator's memory block, just below the kernel
PAGE_TABLES = 0xF00000
BOOT_PARAMS = 0xF10000
COMMAND_LINE = 0xF12000
COMMAND_LINE_LIMIT = 2048
KERNEL_START = 0x1000000
LOW_MEMORY_END = 0x9F000  # below the BIOS data area of a PC
MEMORY_LIMIT = 3 << 30  # device registers begin here


class MachineError(Exception):
    """The machine cannot be made; the text is for the user."""


# ---- the kernel ----

LZ4_LEGACY_MAGIC = 0x184C2102
LZ4_BLOCK_BYTES = 8 << 20


def lz4_legacy_unpack(packed):
    """The bytes of an LZ4 legacy frame, the form in which Debian packs its kernels."""
    try:
        library = ctypes.CDLL("liblz4.so.1")
    except OSError as error:
        raise MachineError(f"liblz4.so.1 (Debian: liblz4-1) cannot be loaded: {error}") from error
    if len(packed) < 4 or struct.unpack_from("<I", packed)[0] != LZ4_LEGACY_MAGIC:
        raise MachineError(f"the kernel is not packed with LZ4: it begins with {packed[:4].hex()}")
    out = bytearray()
    block = ctypes.create_string_buffer(LZ4_BLOCK_BYTES)
    at = 4
    while len(packed) - at > 4:
        (size,) = struct.unpack_from("<I", packed, at)
        at += 4
        if size > len(packed) - at:
            raise MachineError(f"the packed kernel ends at {len(packed) - at} bytes of a block of {size}")
        n = library.LZ4_decompress_safe(packed[at : at + size], block, size, LZ4_BLOCK_BYTES)
        if n < 0:
            raise MachineError(f"the packed kernel's block at byte {at} is damaged")
        out += block.raw[:n]
        at += size
    return bytes(out)


def elf_load(elf):
    """(entry, memory from KERNEL_START on) of a 64-bit kernel: its PT_LOAD segments where they belong."""
    if len(elf) < 64 or elf[:5] != b"\x7fELF\x02":
        raise MachineError("the unpacked kernel is not a 64-bit ELF file")
    entry, table = struct.unpack_from("<QQ", elf, 24)
    entry_bytes, n_entries = struct.unpack_from("<HH", elf, 54)
    memory = bytearray()
    for i in range(n_entries):
        at = table + i * entry_bytes
        if len(elf) - at < 56:
            raise MachineError(f"program header {i} of the kernel is behind its end")
        kind, _, offset, _, address, n_file, n_memory = struct.unpack_from("<IIQQQQQ", elf, at)
        if kind != 1:
            continue
        start = address - KERNEL_START
        if start < 0 or start + n_memory > MEMORY_LIMIT or n_file > n_memory or offset + n_file > len(elf):
            raise MachineError(f"segment {i} of the kernel ({n_memory} bytes at {address:#x}) does not fit")
        memory.extend(bytes(max(0, start + n_memory - len(memory))))
        memory[start : start + n_file] = elf[offset : offset + n_file]
    if not KERNEL_START <= entry < KERNEL_START + len(memory):
        raise MachineError(f"the kernel's entry {entry:#x} is outside its segments")
    return entry, bytes(memory)


def kernel_unpack(bzimage):
    """(setup header, entry, memory from KERNEL_START on) of a bzImage. The header is what boot_params
    repeats at 0x1f1."""
    if len(bzimage) < 0x268 or bzimage[0x202:0x206] != b"HdrS":
        raise MachineError("the kernel is not a bzImage")
    header = bzimage[0x1F1 : 0x202 + bzimage[0x201]]
    protected = ((bzimage[0x1F1] or 4) + 1) * 512
    offset, size = struct.unpack_from("<II", bzimage, 0x248)
    packed = bzimage[protected + offset : protected + offset + size]
    if len(packed) != size:
        raise MachineError(f"the kernel's payload has {len(packed)} bytes of {size}")
    entry, memory = elf_load(lz4_legacy_unpack(packed))
    return header, entry, memory


# ---- the initial file system ----


class Initramfs:
    """A cpio archive in the making. Paths are absolute; folders above a path come by themselves."""

    def __init__(self):
        self.archive = bytearray()
        self.paths = set()

    def _entry(self, name, mode, data=b""):
        raw = name.encode() + b"\0"
        fields = (len(self.paths) + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(raw), 0)
        self.archive += b"070701" + b"".join(b"%08x" % field for field in fields) + raw
        self.archive += bytes(-len(self.archive) % 4)
        self.archive += data
        self.archive += bytes(-len(self.archive) % 4)

    def add_folder(self, path):
        path = os.path.normpath(path)
        if path == "/" or path in self.paths:
            return
        self.add_folder(os.path.dirname(path))
        self.paths.add(path)
        self._entry(path[1:], stat.S_IFDIR | 0o755)

    def add_bytes(self, path, data, mode=0o644):
        path = os.path.normpath(path)
        if path in self.paths:
            return
        self.add_folder(os.path.dirname(path))
        self.paths.add(path)
        self._entry(path[1:], stat.S_IFREG | mode, data)

    def add(self, source, path):
        """A file with its contents and the libraries it needs, or a folder with all in it."""
        if os.path.isdir(source):
            self.add_folder(path)
            for name in sorted(os.listdir(source)):
                self.add(os.path.join(source, name), os.path.join(path, name))
        elif os.path.isfile(source):
            with open(source, "rb") as file:
                data = file.read()
            self.add_bytes(path, data, stat.S_IMODE(os.stat(source).st_mode))
            if data[:4] == b"\x7fELF":
                for library in libraries(source):
                    if os.path.normpath(library) not in self.paths:
                        self.add(library, library)

    def finish(self):
        self._entry("TRAILER!!!", 0)
        return bytes(self.archive)


def libraries(program):
    """Absolute paths of the shared objects that `program` loads at its start."""
    told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    missing = re.findall(r"^\s*(\S+) => not found", told.stdout, re.M)
    if missing:
        raise MachineError(f"{program} needs {', '.join(missing)}, which is not installed")
    return re.findall(r"^\s*(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", told.stdout, re.M)


# ---- the image ----


def page_tables():
    """Four levels that map the first 4 GiB one to one in pages of 2 MiB: 6 pages from PAGE_TABLES on."""
    present_writable, large = 0x3, 0x80
    level4 = struct.pack("<Q", (PAGE_TABLES + 0x1000) | present_writable).ljust(0x1000, b"\0")
    level3 = b"".join(
        struct.pack("<Q", (PAGE_TABLES + 0x2000 + 0x1000 * i) | present_writable) for i in range(4)
    ).ljust(0x1000, b"\0")
    level2 = b"".join(struct.pack("<Q", i << 21 | large | present_writable) for i in range(4 * 512))
    return level4 + level3 + level2


def boot_params(header, memory_bytes, ramdisk, ramdisk_bytes):
    """The page that a 64-bit loader hands to the kernel in rsi."""
    params = bytearray(0x1000)
    params[0x1F1 : 0x1F1 + len(header)] = header
    params[0x210] = 0xFF  # a loader without a number of its own
    params[0x211] |= 1  # LOADED_HIGH
    struct.pack_into("<II", params, 0x218, ramdisk, ramdisk_bytes)
    struct.pack_into("<I", params, 0x228, COMMAND_LINE)
    usable = 1
    regions = [(0, LOW_MEMORY_END), (0x100000, memory_bytes)]
    params[0x1E8] = len(regions)
    for i, (start, end) in enumerate(regions):
        struct.pack_into("<QQI", params, 0x2D0 + 20 * i, start, end - start, usable)
    return bytes(params)


def image_write(file, header, kernel, archive, command_line, memory_bytes):
    """Writes the image to `file` and returns the address behind it."""
    text = command_line.encode() + b"\0"
    if len(text) > COMMAND_LINE_LIMIT:
        raise MachineError(f"the kernel's command line has {len(text)} bytes, above {COMMAND_LINE_LIMIT}")
    ramdisk = -(-(KERNEL_START + len(kernel)) // (1 << 20)) << 20
    end = ramdisk + len(archive)
    if end > memory_bytes or memory_bytes > MEMORY_LIMIT:
        raise MachineError(
            f"the machine's memory of {memory_bytes >> 20} MiB is not between the image's end "
            f"({end >> 20} MiB) and {MEMORY_LIMIT >> 20} MiB"
        )
    for address, data in (
        (PAGE_TABLES, page_tables()),
        (BOOT_PARAMS, boot_params(header, memory_bytes, ramdisk, len(archive))),
        (COMMAND_LINE, text),
        (KERNEL_START, kernel),
        (ramdisk, archive),
    ):
        file.seek(address - IMAGE_START)
        file.write(data)
    return end
