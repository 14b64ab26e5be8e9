/* seen: a file of one size, written by one call, with a checksum at its end: torn, it is none. */
#include "engine/seen.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define ENDING ".seen"
#define TITLE  "vecmill seen 1\n"

/* The title, three lines of digits and one of a checksum. */
#define BODY_BYTES (sizeof TITLE - 1 + 3 * (SEEN_DIGITS + 1))
#define FILE_BYTES (BODY_BYTES + 16 + 1)

void seen_stamp(const struct stat *file, char stamp[SEEN_DIGITS + 1])
{
    const struct io_stamp what = io_stamp(file);
    const XXH128_hash_t hash = XXH3_128bits(&what, sizeof what);
    snprintf(stamp, SEEN_DIGITS + 1, "%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
}

static bool place(const char *pack, char *path)
{
    return snprintf(path, IO_PATH_MAX, "%s" ENDING, pack) < IO_PATH_MAX;
}

/* Nothing is 32 dashes. */
static void put_line(const char *digits, char *text)
{
    memset(text, '-', SEEN_DIGITS);
    memcpy(text, digits, strnlen(digits, SEEN_DIGITS));
    text[SEEN_DIGITS] = '\n';
}

static void get_line(const char *text, char *digits)
{
    memcpy(digits, text, SEEN_DIGITS);
    digits[text[0] == '-' ? 0 : SEEN_DIGITS] = '\0';
}

static void put_sum(const char *body, char sum[16 + 2])
{
    snprintf(sum, 16 + 2, "%016llx\n", (unsigned long long)XXH3_64bits(body, BODY_BYTES));
}

void seen_read(const char *pack, bool (*trusted)(const void *context, const struct stat *file),
               const void *context, struct seen *seen)
{
    char path[IO_PATH_MAX], text[FILE_BYTES], sum[16 + 2];
    struct stat file;
    size_t got = 0;
    memset(seen, 0, sizeof *seen);
    if (!place(pack, path)) return;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return;
    bool ok = fstat(fd, &file) == 0 && file.st_size == (off_t)FILE_BYTES && trusted(context, &file);
    ok = ok && io_read(fd, text, sizeof text, &got, path, VECMILL_E_IO, NULL) == VECMILL_OK;
    close(fd);
    if (!ok || got != sizeof text || memcmp(text, TITLE, sizeof TITLE - 1) != 0) return;
    put_sum(text, sum);
    if (memcmp(sum, text + BODY_BYTES, 16 + 1) != 0) return;
    const char *line = text + sizeof TITLE - 1;
    get_line(line, seen->stamp);
    get_line(line + SEEN_DIGITS + 1, seen->digest);
    get_line(line + 2 * (SEEN_DIGITS + 1), seen->proven);
}

void seen_write(const char *pack, const struct seen *seen)
{
    char path[IO_PATH_MAX], text[FILE_BYTES + 1];
    if (!place(pack, path)) return;
    memcpy(text, TITLE, sizeof TITLE - 1);
    char *line = text + sizeof TITLE - 1;
    put_line(seen->stamp, line);
    put_line(seen->digest, line + SEEN_DIGITS + 1);
    put_line(seen->proven, line + 2 * (SEEN_DIGITS + 1));
    put_sum(text, text + BODY_BYTES);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd < 0) return;
    (void)io_write(fd, text, FILE_BYTES, path, VECMILL_E_IO, NULL);
    close(fd);
}
