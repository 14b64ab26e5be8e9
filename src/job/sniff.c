/* sniff: a table of magics, and counts of bytes. The magics are from file(1)'s database and the
 * formats' specifications. */
#include "sniff.h"

#include "base/base.h"

#include <string.h>

#define UNPACK   "unpack it, and give what is in it"
#define SAVE_CSV "save its table as CSV or JSON Lines"
#define TO_TEXT  "give the text that is in it"
#define CONVERT  "write its column of texts as JSON Lines or CSV"
#define NO_TEXT  "it holds no documents"

#define ROW(what, advice, kind, at, magic, is_wordy)                                               \
    {                                                                                              \
        what, advice, kind, at, sizeof(magic) - 1, magic, is_wordy                                 \
    }
#define FOREIGN(what, advice, magic) ROW(what, advice, SNIFF_FOREIGN, 0, magic, false)
#define WORDY(what, advice, magic)   ROW(what, advice, SNIFF_FOREIGN, 0, magic, true)

static const struct sniff_magic table[] = {
    ROW("gzip", UNPACK, SNIFF_GZIP, 0, "\x1F\x8B\x08", false),
    ROW("zstd", "unpack it: zstd -dc FILE | vecmill embed -i - --input-format ...", SNIFF_FOREIGN,
        0, "\x28\xB5\x2F\xFD", false),
    /* compressed */
    FOREIGN("xz", "unpack it: xz -dc FILE | vecmill embed -i - --input-format ...",
            "\xFD"
            "7zXZ\0"),
    ROW("bzip2", "unpack it: bzip2 -dc FILE | vecmill embed -i - --input-format ...", SNIFF_FOREIGN,
        4, "1AY&SY", true),
    ROW("bzip2 of nothing", NO_TEXT, SNIFF_FOREIGN, 4, "\x17rE8P\x90", false),
    FOREIGN("lz4", "unpack it: lz4 -dc FILE | vecmill embed -i - --input-format ...",
            "\x04\x22\x4D\x18"),
    FOREIGN("lzip", UNPACK, "LZIP\x01"),
    FOREIGN("LZMA", UNPACK, "\x5D\0\0"),
    FOREIGN("packed by compress", UNPACK, "\x1F\x9D"),
    FOREIGN("packed by lzop", UNPACK, "\x89LZO\0\r\n\x1A\n"),
    FOREIGN("snappy", UNPACK, "\xFF\x06\0\0sNaPpY"),
    WORDY("zlib data", UNPACK, "\x78\x9C"),
    WORDY("zlib data", UNPACK, "\x78\xDA"),
    WORDY("zlib data", UNPACK, "\x78\x01"),
    /* archives */
    FOREIGN("a ZIP archive, as .xlsx, .docx, .ods and .npz are",
            "unpack it, or save a sheet as CSV", "PK\x03\x04"),
    FOREIGN("an empty ZIP archive", NO_TEXT, "PK\x05\x06"),
    FOREIGN("a ZIP archive in parts", UNPACK, "PK\x07\x08"),
    FOREIGN("a 7z archive", UNPACK, "7z\xBC\xAF\x27\x1C"),
    FOREIGN("a RAR archive", UNPACK, "Rar!\x1A\x07"),
    ROW("a tar archive", "unpack it: tar -xOf FILE | vecmill embed -i - --input-format ...",
        SNIFF_FOREIGN, 257, "ustar", true),
    WORDY("a CAB archive", UNPACK, "MSCF\0"),
    FOREIGN("an ar archive or a Debian package", UNPACK, "!<arch>\n"),
    /* tables and arrays */
    WORDY("a Parquet file", CONVERT, "PAR1"),
    WORDY("an encrypted Parquet file", CONVERT, "PARE"),
    FOREIGN("an Arrow or Feather file", CONVERT, "ARROW1\0"),
    FOREIGN("an Arrow stream", CONVERT, "\xFF\xFF\xFF\xFF"),
    WORDY("a Feather file", CONVERT, "FEA1"),
    WORDY("an ORC file", CONVERT, "ORC"),
    FOREIGN("an Avro file", CONVERT, "Obj\x01"),
    FOREIGN("an SQLite database", "export its table: sqlite3 -json FILE 'SELECT ...'",
            "SQLite format 3\0"),
    ROW("a DuckDB database", CONVERT, SNIFF_FOREIGN, 8, "DUCK", true),
    FOREIGN("an array of NumPy", NO_TEXT, "\x93NUMPY"),
    FOREIGN("an HDF5 file", CONVERT, "\x89HDF\r\n\x1A\n"),
    WORDY("a netCDF file", NO_TEXT, "CDF\x01"),
    WORDY("a file of MATLAB", CONVERT, "MATLAB 5.0 MAT-file"),
    FOREIGN("a pickle of Python", CONVERT, "\x80\x02"),
    FOREIGN("a pickle of Python", CONVERT, "\x80\x03"),
    FOREIGN("a pickle of Python", CONVERT, "\x80\x04\x95"),
    FOREIGN("a pickle of Python", CONVERT, "\x80\x05\x95"),
    /* models and programs */
    ROW("a safetensors file, weights of a model", NO_TEXT, SNIFF_FOREIGN, 5, "\0\0\0{", false),
    WORDY("a GGUF file, a model", NO_TEXT, "GGUF"),
    FOREIGN("a program", NO_TEXT,
            "\x7F"
            "ELF"),
    WORDY("a program", NO_TEXT, "MZ"),
    FOREIGN("a program", NO_TEXT, "\xCF\xFA\xED\xFE"),
    FOREIGN("Java's byte code", NO_TEXT, "\xCA\xFE\xBA\xBE"),
    FOREIGN("WebAssembly", NO_TEXT, "\0asm"),
    /* documents, pictures, sound */
    WORDY("a PDF document", "give its text: pdftotext FILE - | vecmill embed -i -", "%PDF-"),
    FOREIGN("a document in RTF", TO_TEXT, "{\\rtf1"),
    FOREIGN("a document of an old Office, as .doc and .xls are", SAVE_CSV,
            "\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"),
    WORDY("a property list of Apple's", TO_TEXT, "bplist00"),
    FOREIGN("a PNG picture", NO_TEXT, "\x89PNG\r\n\x1A\n"),
    FOREIGN("a JPEG picture", NO_TEXT, "\xFF\xD8\xFF"),
    WORDY("a GIF picture", NO_TEXT, "GIF8"),
    WORDY("a TIFF picture", NO_TEXT, "II*\0"),
    WORDY("a picture, sound or film in RIFF", NO_TEXT, "RIFF"),
    WORDY("an Ogg file", NO_TEXT, "OggS"),
    WORDY("a FLAC file", NO_TEXT, "fLaC"),
    WORDY("an MP3 file", NO_TEXT, "ID3"),
    ROW("a film", NO_TEXT, SNIFF_FOREIGN, 4, "ftyp", true),
    /* placeholders, encrypted files */
    FOREIGN("a pointer of Git LFS", "fetch the file: git lfs pull",
            "version https://git-lfs.github.com/spec/"),
    WORDY("encrypted by OpenSSL", "decrypt it", "Salted__"),
    FOREIGN("encrypted by GnuPG", "decrypt it", "\x85\x02\x0C\x03"),
};

#define N_ROWS (sizeof table / sizeof *table)

/* ---- counting ---- */

/* Bytes that text does not have: invalid UTF-8, and control characters other than layout. */
struct noise {
    size_t invalid, control, nul;
};

static bool is_layout(unsigned c)
{
    return (c >= 8 && c <= 13) || c == 27; /* backspace to carriage return, escape */
}

static struct noise count_noise(const unsigned char *data, size_t bytes)
{
    struct noise n = {0};
    for (size_t at = 0; at < bytes;) {
        uint32_t cp;
        bool bad;
        const size_t taken = utf8_next(data + at, bytes - at, &cp, &bad);
        if (bad && bytes - at < 4 && bytes == SNIFF_BYTES) break; /* a character cut off */
        if (bad)
            n.invalid += taken;
        else if (cp == 0)
            n.nul++;
        else if ((cp < 32 && !is_layout(cp)) || cp == 127)
            n.control++;
        at += taken;
    }
    return n;
}

/* Invalid UTF-8 is not counted: it may be text in another encoding. */
static bool may_be_text(const unsigned char *data, size_t bytes)
{
    const struct noise n = count_noise(data, num_min(bytes, SNIFF_BYTES));
    return n.control + n.nul == 0;
}

unsigned sniff_noise(const unsigned char *data, size_t bytes)
{
    bytes = num_min(bytes, SNIFF_BYTES);
    const struct noise n = count_noise(data, bytes);
    const size_t control = n.control + n.nul, all = control + n.invalid;
    /* Text in a single-byte encoding has much invalid UTF-8, but no control characters. Text may
     * have a few NULs. Of compressed bytes a tenth are control characters and two fifths are
     * invalid UTF-8. */
    if (bytes < 32 || control * 20 < bytes || all * 4 < bytes) return 0;
    return (unsigned)(all * 100 / bytes);
}

/* ---- the table ---- */

static bool matches_magic(const struct sniff_magic *m, const unsigned char *data, size_t bytes)
{
    return bytes >= (size_t)m->at + m->bytes && memcmp(data + m->at, m->magic, m->bytes) == 0;
}

const struct sniff_magic *sniff_magic(const unsigned char *data, size_t bytes)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (matches_magic(&table[i], data, bytes) &&
            !(table[i].is_wordy && may_be_text(data, bytes)))
            return &table[i];
    /* A zstd file may begin with a skippable frame, which has 16 magics (RFC 8878, 3.1.2). */
    if (bytes >= 4 && (data[0] & 0xF0) == 0x50 && memcmp(data + 1, "\x2A\x4D\x18", 3) == 0)
        return &table[1];
    return NULL;
}

vecmill_status sniff_refuse(const char *name, const struct sniff_magic *row, const char *inside,
                            vecmill_err *err)
{
    return err_set(err, VECMILL_E_INPUT, "%s: is %s%s, not text%s%s", name, row->what, inside,
                   row->advice[0] != 0 ? "; " : "", row->advice);
}

/* ---- encodings ---- */

static const struct {
    const char *bytes;
    size_t n;
    enum encoding_kind kind;
} marks[] = {{"\xEF\xBB\xBF", 3, ENCODING_UTF8},
             {"\xFF\xFE\0\0", 4, ENCODING_UTF32LE}, /* before UTF-16LE, whose mark is its prefix */
             {"\0\0\xFE\xFF", 4, ENCODING_UTF32BE},
             {"\xFF\xFE", 2, ENCODING_UTF16LE},
             {"\xFE\xFF", 2, ENCODING_UTF16BE}};

enum encoding_kind sniff_mark(const unsigned char *data, size_t bytes)
{
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (bytes >= marks[i].n && memcmp(data, marks[i].bytes, marks[i].n) == 0)
            return marks[i].kind;
    return ENCODING_ANY;
}

/* Whether the bytes are the beginning of a magic or of a byte order mark. */
static bool is_front(const unsigned char *data, size_t bytes)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (table[i].at == 0 && bytes < table[i].bytes && memcmp(data, table[i].magic, bytes) == 0)
            return true;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (bytes < marks[i].n && memcmp(data, marks[i].bytes, bytes) == 0) return true;
    return false;
}

bool sniff_is_enough(const unsigned char *data, size_t bytes)
{
    if (bytes >= SNIFF_BYTES) return true;
    if (is_front(data, bytes)) return false;
    const struct sniff_magic *m = sniff_magic(data, bytes);
    if (m != NULL) return true;
    const unsigned char *end = bytes > 0 ? memchr(data, '\n', bytes) : NULL;
    return end != NULL && memchr(data, 0, (size_t)(end - data)) == NULL;
}

/* Counts of UTF-16 code units, read in one byte order. */
struct units {
    size_t n;
    size_t latin; /* U+0001 to U+00FF */
    size_t bare;  /* lower byte 0, as Latin letters have in the other order */
    size_t wrong; /* unpaired surrogates, control characters, U+FFFE, U+FFFF */
};

static struct units count_utf16_units(const unsigned char *data, size_t bytes, bool is_big)
{
    struct units u = {.n = bytes / 2};
    bool wants_low = false;
    for (size_t i = 0; i + 1 < bytes; i += 2) {
        const unsigned high = data[i + !is_big], low = data[i + is_big];
        const bool is_low = high >= 0xDC && high <= 0xDF;
        u.wrong += wants_low != is_low;
        wants_low = high >= 0xD8 && high <= 0xDB;
        if (high == 0 && ((low < 32 && !is_layout(low)) || low == 127)) u.wrong++;
        if (high == 0xFF && low >= 0xFE) u.wrong++;
        u.latin += high == 0 && low != 0;
        u.bare += low == 0;
    }
    return u;
}

/* Latin script: three of four units have an upper byte of 0. Other scripts have some such units, at
 * least blanks and line endings. Then the bytes must not be plain UTF-8, and less than three fifths
 * may be printable ASCII: two letters of ASCII read as one unit are often a Chinese character. */
static bool is_utf16(const struct units *u, const unsigned char *data, size_t bytes)
{
    size_t ascii = 0;
    if (u->n < 2 || u->wrong > 0 || u->latin == 0) return false;
    if (bytes % 2 != 0 && bytes < 64) return false;
    if (u->latin * 4 >= u->n * 3) return u->bare * 50 <= u->n;
    for (size_t i = 0; i < bytes; i++)
        ascii += data[i] >= 32 && data[i] < 127;
    const struct noise n = count_noise(data, bytes);
    return u->bare * 8 <= u->n && ascii * 5 < bytes * 3 && n.invalid + n.control > 0;
}

static bool is_utf32(const unsigned char *data, size_t bytes, bool is_big)
{
    if (bytes < 8 || (bytes % 4 != 0 && bytes < 64)) return false;
    for (size_t i = 0; i + 3 < bytes; i += 4) {
        const unsigned char *d = data + i;
        const uint32_t cp = is_big ? (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 |
                                         (uint32_t)d[2] << 8 | (uint32_t)d[3]
                                   : (uint32_t)d[3] << 24 | (uint32_t)d[2] << 16 |
                                         (uint32_t)d[1] << 8 | (uint32_t)d[0];
        if (cp == 0 || cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF)) return false;
    }
    return true;
}

enum encoding_kind sniff_encoding(const unsigned char *data, size_t bytes)
{
    bytes = num_min(bytes, SNIFF_BYTES);
    if (bytes == 0 || memchr(data, 0, bytes) == NULL) return ENCODING_ANY;
    if (is_utf32(data, bytes, false)) return ENCODING_UTF32LE;
    if (is_utf32(data, bytes, true)) return ENCODING_UTF32BE;
    const struct units little = count_utf16_units(data, bytes, false);
    const struct units big = count_utf16_units(data, bytes, true);
    const bool is_little = is_utf16(&little, data, bytes), is_big = is_utf16(&big, data, bytes);
    if (is_little && is_big)
        return little.latin > big.latin   ? ENCODING_UTF16LE
               : big.latin > little.latin ? ENCODING_UTF16BE
                                          : ENCODING_ANY;
    return is_little ? ENCODING_UTF16LE : is_big ? ENCODING_UTF16BE : ENCODING_ANY;
}

enum encoding_kind sniff_order(enum encoding_kind kind, const unsigned char *data, size_t bytes)
{
    bytes = num_min(bytes, SNIFF_BYTES);
    if (kind == ENCODING_UTF32)
        return is_utf32(data, bytes, true) ? ENCODING_UTF32BE : ENCODING_UTF32LE;
    const struct units little = count_utf16_units(data, bytes, false);
    const struct units big = count_utf16_units(data, bytes, true);
    return big.latin > little.latin ? ENCODING_UTF16BE : ENCODING_UTF16LE;
}
