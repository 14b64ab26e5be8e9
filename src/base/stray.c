#include "stray.h"

#include "num.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Compared ignoring case, after blanks and a byte order mark where `text` is set. */
static const struct {
    const char *begins;
    size_t bytes;
    bool text;
    const char *is;
} kinds[] = {
#define TEXT(begins, is)                                                                           \
    {                                                                                              \
        begins, sizeof(begins) - 1, true, is                                                       \
    }
#define BYTES(begins, is)                                                                          \
    {                                                                                              \
        begins, sizeof(begins) - 1, false, is                                                      \
    }
    TEXT("<!doctype html", "an HTML page: the download got a web page in place of the file"),
    TEXT("<html", "an HTML page: the download got a web page in place of the file"),
    TEXT("<!--", "an HTML page: the download got a web page in place of the file"),
    TEXT("<?xml", "an XML document: the download got a server's error in place of the file"),
    TEXT("<error", "an XML document: the download got a server's error in place of the file"),
    BYTES("PK\3\4", "a zip archive (as PyTorch writes its own files), not what its name says"),
    BYTES("\x80\2}", "a Python pickle, not what its name says"),
    BYTES("\x80\2\x8a\x0a",
          "a Python pickle (as PyTorch writes its own files), not what its name says"),
    BYTES("\x1f\x8b", "compressed with gzip: unpack it first"),
    BYTES("\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first"),
    BYTES("\xfd"
          "7zXZ",
          "compressed with xz: unpack it first"),
    BYTES("\x89HDF\r\n", "an HDF5 file (as Keras writes it), not what its name says"),
    BYTES("GGUF", "a GGUF file (as llama.cpp reads it), not what its name says"),
#undef TEXT
#undef BYTES
};

static char lower(char c)
{
    if (c >= 'A' && c <= 'Z') return (char)(c - 'A' + 'a');
    return c;
}

static bool begins(const char *head, size_t bytes, const char *with, size_t n)
{
    if (bytes < n) return false;
    for (size_t i = 0; i < n; i++) {
        if (lower(head[i]) != lower(with[i])) return false;
    }
    return true;
}

/* The specification of Git LFS, "The pointer": lines "version URL", "oid sha256:…", "size BYTES". */
static bool is_lfs_pointer(const char *head, size_t bytes, char size[24])
{
    static const char version[] = "version https://git-lfs.github.com/spec/";
    if (!begins(head, bytes, version, sizeof version - 1)) return false;
    size[0] = '\0';
    for (size_t at = 0; at + 6 < bytes; at++) {
        if (memcmp(head + at, "\nsize ", 6) != 0) continue;
        size_t n = 0;
        for (at += 6; at < bytes && n < 20 && head[at] >= '0' && head[at] <= '9'; at++)
            size[n++] = head[at];
        size[n] = '\0';
        break;
    }
    return true;
}

vecmill_status stray_check(const void *head, size_t head_bytes, const char *shown,
                           vecmill_status failure, vecmill_err *err)
{
    const char *text = head;
    size_t bytes = head_bytes, zeros = 0;
    char size[24];
    if (bytes == 0) {
        return err_set(err, failure, "%s: is empty: the download was cut off before its first byte",
                       shown);
    }
    while (zeros < bytes && text[zeros] == '\0')
        zeros++;
    if (zeros == bytes && bytes >= 16) {
        return err_set(err, failure,
                       "%s: begins with %zu bytes of zero: a file that was made and never written",
                       shown, zeros);
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].text || !begins(text, bytes, kinds[i].begins, kinds[i].bytes)) continue;
        return err_set(err, failure, "%s: is %s", shown, kinds[i].is);
    }
    if (bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;
        bytes -= 3;
    }
    while (bytes > 0 && (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n')) {
        text++;
        bytes--;
    }
    if (is_lfs_pointer(text, bytes, size)) {
        return err_set(err, failure,
                       "%s: is a Git LFS pointer%s%s%s; fetch the file itself (git lfs pull)",
                       shown, size[0] ? ", to a file of " : "", size, size[0] ? " bytes" : "");
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!kinds[i].text || !begins(text, bytes, kinds[i].begins, kinds[i].bytes)) continue;
        return err_set(err, failure, "%s: is %s", shown, kinds[i].is);
    }
    return VECMILL_OK;
}
