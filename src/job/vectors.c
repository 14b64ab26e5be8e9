/* vectors: what a run wrote, read again: rows from OUTPUT.npy, ids from beside it. */
#include "job.h"

#include "jline.h"
#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define IDS_CHUNK ((size_t)64 << 10)

vecmill_status job_vectors_open(const char *path, struct job_vectors *v, vecmill_err *err)
{
    struct io_map map;
    struct npy npy;
    VM_TRY(io_map_file(path, &map, VECMILL_E_INPUT, VECMILL_E_INPUT, err));
    const vecmill_status status = npy_read(map.data, map.bytes, path, &npy, err);
    if (status != VECMILL_OK) {
        io_unmap(&map);
        return status;
    }
    /* A page's start plus a multiple of 4. */
    const void *rows = map.data + npy.offset;
    *v = (struct job_vectors){.rows = rows, .n = npy.n, .dim = npy.dim, .map = map};
    return VECMILL_OK;
}

void job_vectors_close(struct job_vectors *v)
{
    if (v->map.data != NULL) io_unmap(&v->map);
    *v = (struct job_vectors){0};
}

/* A wanted row and where its id goes. */
struct wanted {
    uint64_t row;
    size_t place;
};

static int compare_wanted(const void *left, const void *right)
{
    const struct wanted *a = left, *b = right;
    return (a->row > b->row) - (a->row < b->row);
}

/* The search through the lines of one file. */
struct ids {
    const char *name;
    struct wanted *wanted; /* [n], by row */
    char **found;          /* [n], by place */
    size_t n, next;        /* wanted[next] is the first not yet found */
    uint64_t row;          /* of the line being read */
    char line[JOB_ID_BYTES_MAX];
    size_t bytes; /* of the line; more than fit are counted */
    char chunk[IDS_CHUNK];
};

static bool ids_wants(const struct ids *ids)
{
    return ids->next < ids->n && ids->wanted[ids->next].row == ids->row;
}

/* Part of the line of ids->row. */
static void ids_part(struct ids *ids, const char *data, size_t bytes)
{
    if (!ids_wants(ids)) return;
    const size_t room = sizeof ids->line - num_min(ids->bytes, sizeof ids->line);
    memcpy(ids->line + sizeof ids->line - room, data, num_min(bytes, room));
    ids->bytes += bytes;
}

/* The line as it is goes where JSON is written, so it has to be one value and nothing else. */
static vecmill_status ids_check(const struct ids *ids, vecmill_err *err)
{
    struct jline line;
    vecmill_err why;
    if (jline_scan(ids->line, ids->bytes, "", "", &line, &why) != VECMILL_OK)
        return err_set(err, VECMILL_E_INPUT, "%s: line %llu is no id: %s", ids->name,
                       (unsigned long long)ids->row + 1, why.message);
    if (line.top.kind == JSON_KIND_ARRAY || line.top.kind == JSON_KIND_OBJECT ||
        line.top.kind == JSON_KIND_NONFINITE)
        return err_set(err, VECMILL_E_INPUT, "%s: line %llu is no id: it is %s", ids->name,
                       (unsigned long long)ids->row + 1, json_kind_words(line.top.kind));
    if (line.top.bytes != ids->bytes)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: line %llu is no id: %zu of its %zu bytes are blanks around one",
                       ids->name, (unsigned long long)ids->row + 1, ids->bytes - line.top.bytes,
                       ids->bytes);
    return VECMILL_OK;
}

static vecmill_status ids_end_line(struct ids *ids, vecmill_err *err)
{
    if (ids_wants(ids) && ids->bytes > sizeof ids->line)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: line %llu holds %zu bytes, the maximum is %u (JOB_ID_BYTES_MAX)",
                       ids->name, (unsigned long long)ids->row + 1, ids->bytes, JOB_ID_BYTES_MAX);
    if (ids_wants(ids)) VM_TRY(ids_check(ids, err));
    for (; ids_wants(ids); ids->next++) {
        void *copy;
        VM_TRY(mem_new(ids->bytes + 1, "an id", &copy, err));
        memcpy(copy, ids->line, ids->bytes);
        ids->found[ids->wanted[ids->next].place] = copy;
    }
    ids->bytes = 0;
    ids->row++;
    return VECMILL_OK;
}

static vecmill_status ids_read(struct ids *ids, int fd, vecmill_err *err)
{
    bool open_line = false; /* the file's last line may lack its newline */
    while (ids->next < ids->n) {
        size_t got;
        VM_TRY(io_read(fd, ids->chunk, IDS_CHUNK, &got, ids->name, VECMILL_E_INPUT, err));
        if (got == 0) break;
        for (size_t i = 0; i < got;) {
            const char *newline = memchr(ids->chunk + i, '\n', got - i);
            const size_t run = newline != NULL ? (size_t)(newline - ids->chunk) - i : got - i;
            ids_part(ids, ids->chunk + i, run);
            open_line = newline == NULL;
            if (newline != NULL) VM_TRY(ids_end_line(ids, err));
            i += run + (newline != NULL);
        }
    }
    return open_line ? ids_end_line(ids, err) : VECMILL_OK;
}

vecmill_status job_ids_find(const char *path, const uint64_t *rows, size_t n, char **out,
                            vecmill_err *err)
{
    char name[IO_PATH_MAX];
    const int name_bytes = snprintf(name, sizeof name, "%s.ids.jsonl", path);
    if (name_bytes < 0 || (size_t)name_bytes >= sizeof name)
        return err_set(err, VECMILL_E_INPUT, "a path of %zu bytes leaves no room for .ids.jsonl",
                       strlen(path));
    void *ids_memory = NULL, *wanted = NULL, *found = NULL;
    int fd = -1;
    struct ids *ids = NULL;
    vecmill_status status = mem_new(sizeof *ids, "reading ids", &ids_memory, err);
    if (status == VECMILL_OK)
        status = mem_new_array(n, sizeof(struct wanted), "wanted ids", &wanted, err);
    if (status == VECMILL_OK) status = mem_new_array(n, sizeof(char *), "ids", &found, err);
    if (status != VECMILL_OK) goto done;
    ids = ids_memory;
    ids->name = name;
    ids->wanted = wanted;
    ids->found = found;
    ids->n = n;
    for (size_t i = 0; i < n; i++)
        ids->wanted[i] = (struct wanted){.row = rows[i], .place = i};
    qsort(ids->wanted, n, sizeof *ids->wanted, compare_wanted);

    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        status = ids_read(ids, fd, err);
    else if (errno != ENOENT)
        status = err_sys(err, VECMILL_E_INPUT, errno, "%s: cannot be opened", name);
    if (status != VECMILL_OK) goto done;
    memcpy(out, ids->found, n * sizeof *out);
    n = 0;
done:
    if (fd >= 0) close(fd);
    for (size_t i = 0; ids != NULL && i < n; i++)
        mem_free(ids->found[i]);
    mem_free(found);
    mem_free(wanted);
    mem_free(ids_memory);
    return status;
}
