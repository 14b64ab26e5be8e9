/* tree: reads files that do not report their size, like those of /proc and /sys. */
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES 4096u /* at a time: most files here are smaller */

void tree_init(struct tree *t, const char *root)
{
    t->root = root;
    buf_init(&t->file, HOST_FILE_MAX, "HOST_FILE_MAX");
}

void tree_done(struct tree *t)
{
    buf_done(&t->file);
}

bool tree_path(char path[IO_PATH_MAX], const char *root, const char *folder, const char *name)
{
    const int length = snprintf(path, IO_PATH_MAX, "%s%s%s", root, folder, name);
    if (length >= 0 && length < IO_PATH_MAX) return true;
    path[0] = '\0';
    errno = ENAMETOOLONG;
    return false;
}

int tree_open(const char *path)
{
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return -1;
    const bool is_known = fstat(fd, &st) == 0;
    if (is_known && S_ISREG(st.st_mode)) return fd;
    const int reason = is_known ? EINVAL : errno;
    close(fd);
    errno = reason;
    return -1;
}

bool tree_read(struct tree *t, const char *folder, const char *name)
{
    char path[IO_PATH_MAX];
    if (!tree_path(path, t->root, folder, name)) return false;
    const int fd = tree_open(path);
    if (fd < 0) return false;
    bool whole = false;
    buf_clear(&t->file);
    errno = EFBIG; /* from here on only a failed read sets errno */
    while (!whole) {
        size_t got;
        if (buf_reserve(&t->file, READ_BYTES, NULL) != VECMILL_OK) break;
        char *end = t->file.data + t->file.bytes;
        if (io_read(fd, end, READ_BYTES, &got, path, VECMILL_E_IO, NULL) != VECMILL_OK) break;
        for (size_t i = 0; i < got; i++) {
            if (end[i] == '\0') end[i] = ' ';
        }
        t->file.bytes += got;
        whole = got < READ_BYTES;
    }
    const int reason = errno;
    close(fd);
    errno = reason;
    return whole && buf_terminate(&t->file, NULL) == VECMILL_OK;
}

char *tree_next(char **rest, char end)
{
    char *piece = *rest;
    if (!piece) return NULL;
    char *stop = strchr(piece, end);
    if (stop) *stop++ = '\0';
    *rest = stop;
    return piece;
}

bool tree_number(const char *text, uint64_t *value)
{
    char digits[21]; /* UINT64_MAX has 20 */
    const size_t n = strspn(text, "0123456789");
    if (n == 0 || n >= sizeof digits) return false;
    if (text[n] != '\0' && !strchr(" \t\r\n", text[n])) return false;
    memcpy(digits, text, n);
    digits[n] = '\0';
    return num_parse(digits, UINT64_MAX, value);
}

bool tree_read_number(struct tree *t, const char *folder, const char *name, uint64_t *value)
{
    return tree_read(t, folder, name) && tree_number(t->file.data, value);
}
