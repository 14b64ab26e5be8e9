/* figures: a line at a time, from pieces of any size. */
#include "figures.h"

#include "tree.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool lines_open(struct lines *l, const char *path)
{
    l->fd = tree_open(path);
    l->at = l->end = 0;
    l->over = l->failed = l->in_cut = l->torn = false;
    return l->fd >= 0;
}

/* Reads more of the file after what is there. */
static void fill(struct lines *l)
{
    ssize_t got;
    do {
        got = read(l->fd, l->data + l->end, LINES_BYTES - l->end);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        for (char *p = l->data + l->end; p < l->data + l->end + got; p++) {
            if (*p == '\0') *p = ' ';
        }
        l->end += (size_t)got;
    } else {
        l->over = true;
        l->failed = got < 0;
    }
}

char *lines_next(struct lines *l)
{
    for (;;) {
        char *line = l->data + l->at;
        const size_t have = l->end - l->at;
        char *stop = memchr(line, '\n', have);
        if (stop) {
            *stop = '\0';
            l->at += (size_t)(stop - line) + 1;
            if (!l->in_cut) return line;
            l->in_cut = false;
            continue;
        }
        if (l->in_cut) {
            l->at = l->end = 0;
        } else {
            memmove(l->data, line, have);
            l->at = 0;
            l->end = have;
        }
        if (l->end == LINES_BYTES || (l->over && l->end > 0)) {
            l->data[l->end] = '\0';
            l->in_cut = l->end == LINES_BYTES;
            l->torn |= l->over;
            l->at = l->end = 0;
            return l->data;
        }
        l->torn |= l->over && l->in_cut;
        if (l->over) return NULL;
        fill(l);
    }
}

void lines_close(struct lines *l)
{
    (void)close(l->fd);
}

bool figures_number(const char *text, uint64_t *value)
{
    uint64_t number;
    text += strspn(text, " \t");
    if (!tree_number(text, &number)) return false;
    text += strspn(text, "0123456789");
    if (strncmp(text, " kB", 3) == 0) {
        if (number > UINT64_MAX / 1024) return false;
        number *= 1024;
    }
    *value = number;
    return true;
}

bool figures_read(const char *path, struct figure *figures, unsigned n)
{
    struct lines l;
    char *line;
    for (unsigned i = 0; i < n; i++)
        figures[i].found = false;
    if (!lines_open(&l, path)) return false;
    errno = 0;
    while ((line = lines_next(&l))) {
        for (unsigned i = 0; i < n; i++) {
            const size_t key = strlen(figures[i].key);
            if (figures[i].found || strncmp(line, figures[i].key, key) != 0) continue;
            figures[i].found = figures_number(line + key, &figures[i].value);
        }
    }
    const int reason = errno;
    lines_close(&l);
    errno = reason;
    return !l.failed;
}
