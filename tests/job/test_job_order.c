/* What is on the medium before what, which no kill shows: a process that dies loses nothing it has written,
 * a machine that loses its power does.
 *
 * Writing, syncing and renaming are the linker's here (--wrap). A file is dirty from a write until it is
 * synced, its folder from a rename until that is. When the journal is written, no part is dirty, and what
 * it says of rows, files and input is what the parts hold; a file that gets its name is not dirty; and the
 * journal goes when the folder is not. */
#include "fake_engine.h"
#include "job_kit.h"

#include "job/job.h"
#include "job/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define DIM        3u
#define N_DOCS     100
#define FILES_MOST 64u

static struct {
    bool watching;
    bool folder_dirty;
    ino_t dirty[FILES_MOST];
    unsigned n_dirty;
    unsigned n_checkpoints, n_renames, n_removed; /* that were looked at; n_removed: journals */
    bool whole_input;                             /* each document has a row: no shard */
    char wrong[512];                              /* the first thing; "": none */
} seen;

static void note(const char *what, const char *name)
{
    if (seen.wrong[0] == 0) snprintf(seen.wrong, sizeof seen.wrong, "%s: %s", what, name);
}

static bool is_dirty(ino_t inode)
{
    for (unsigned i = 0; i < seen.n_dirty; i++)
        if (seen.dirty[i] == inode) return true;
    return false;
}

static void clean(ino_t inode)
{
    for (unsigned i = 0; i < seen.n_dirty; i++)
        if (seen.dirty[i] == inode) seen.dirty[i--] = seen.dirty[--seen.n_dirty];
}

static void soil(int fd)
{
    struct stat st;
    if (!seen.watching || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || is_dirty(st.st_ino))
        return;
    if (seen.n_dirty == FILES_MOST)
        note("more than FILES_MOST files", "");
    else
        seen.dirty[seen.n_dirty++] = st.st_ino;
}

/* ---- what a checkpoint says ---- */

static const char *const parts[PATHS_FILES] = {
    "out.npy.errors.jsonl.part", "out.npy.ids.jsonl.part", "out.npy.offsets.npy.part",
    "out.npy.ranges.npy.part",   "out.npy.stage.part",     "out.npy.part"};

/* After the journal's slot was written: against the parts as they are. */
static void check_journal(const char *path)
{
    struct journal_run run;
    struct journal_point point;
    vecmill_err err;
    size_t bytes = 0;
    char *data = kit_read(path, &bytes);
    const vecmill_status status = journal_parse(data, bytes, path, &run, &point, &err);
    free(data);
    if (status != VECMILL_OK) {
        note("no checkpoint", err.message);
        return;
    }
    for (size_t i = 0; i < PATHS_FILES; i++) {
        struct stat st;
        if (stat(kit_path(parts[i]), &st) != 0) continue;
        if (is_dirty(st.st_ino)) note("the journal is written before it is synced", parts[i]);
        if ((uint64_t)st.st_size < point.files[i].bytes)
            note("the journal records more than there is", parts[i]);
    }
    if (seen.whole_input && point.input.record != point.documents)
        note("the journal's place in the input is not the one after its last row", path);
    seen.n_checkpoints++;
}

/* ---- the calls ---- */

ssize_t __real_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes)
{
    soil(fd);
    return __real_write(fd, data, bytes);
}

ssize_t __real_pwrite64(int fd, const void *data, size_t bytes, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t bytes, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t bytes, off_t at)
{
    struct stat file, journal;
    const char *path = kit_path("out.npy.journal");
    const ssize_t n = __real_pwrite64(fd, data, bytes, at);
    soil(fd);
    if (seen.watching && fstat(fd, &file) == 0 && stat(path, &journal) == 0 &&
        file.st_ino == journal.st_ino)
        check_journal(path);
    return n;
}

int __real_ftruncate64(int fd, off_t bytes);
int __wrap_ftruncate64(int fd, off_t bytes);
int __wrap_ftruncate64(int fd, off_t bytes)
{
    soil(fd);
    return __real_ftruncate64(fd, bytes);
}

static int synced(int fd, int result)
{
    struct stat st;
    if (result != 0 || fstat(fd, &st) != 0) return result;
    if (S_ISDIR(st.st_mode))
        seen.folder_dirty = false;
    else
        clean(st.st_ino);
    return result;
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    return synced(fd, __real_fsync(fd));
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
    return synced(fd, __real_fdatasync(fd));
}

int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to)
{
    struct stat st;
    if (seen.watching && stat(from, &st) == 0) {
        if (is_dirty(st.st_ino)) note("gets its name before it is synced", to);
        seen.folder_dirty = true;
        seen.n_renames++;
    }
    return __real_rename(from, to);
}

int __real_unlink(const char *path);
int __wrap_unlink(const char *path);
int __wrap_unlink(const char *path)
{
    static const char name[] = "/out.npy.journal";
    const size_t n = strlen(path), n_name = sizeof name - 1;
    if (seen.watching && n > n_name && strcmp(path + n - n_name, name) == 0 && kit_exists(path)) {
        if (seen.folder_dirty) note("goes before the names are on the medium", path);
        seen.n_removed++;
    }
    return __real_unlink(path);
}

/* ---- runs ---- */

/* With a checkpoint every four documents. stop_at 0: to its end, with documents that are computed while more
 * are read, so that a checkpoint finds some of them waiting. */
static vecmill_status watch(const struct job_options *options, uint64_t stop_at)
{
    atomic_int stop = 0;
    vecmill_pool pool = {.dim = DIM,
                         .capacity = 16,
                         .late = stop_at == 0 ? 3 : 0,
                         .batches_a_doc = JOB_CHECKPOINT_BATCHES / 4,
                         .stop = &stop,
                         .stop_at = stop_at};
    const struct job_hooks hooks = {.stop = &stop};
    struct job_progress summary;
    vecmill_err err = {.message = ""};
    memset(&seen, 0, sizeof seen);
    seen.whole_input = options->shards == 0;
    seen.watching = true;
    const vecmill_status status = job_run(options, &pool, &hooks, &summary, &err);
    seen.watching = false;
    if (seen.wrong[0]) fail_msg("%s", seen.wrong);
    assert_false(seen.folder_dirty);
    return status;
}

/* Each tenth has no text, those from 30 on have ids. */
static void make_input(void)
{
    static char text[1 << 14];
    size_t n = 0;
    for (int i = 0; i < N_DOCS; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              i % 10 == 4 ? "{\"id\":%d}\n"
                              : i < 30    ? "\"document %d\"\n"
                                          : "{\"id\":%d,\"text\":\"a document\"}\n",
                              i);
    kit_write(kit_lasting("in.jsonl"), text, n);
}

static struct job_options options_of(void)
{
    make_input();
    return (struct job_options){
        .input = kit_lasting("in.jsonl"), .output = kit_lasting("out.npy"), .force = true};
}

static void a_whole_run(void **state)
{
    (void)state;
    const struct job_options options = options_of();
    assert_int_equal(watch(&options, 0), VECMILL_E_PARTIAL);
    assert_true(seen.n_checkpoints >= N_DOCS / 16);
    assert_int_equal(seen.n_renames, 4); /* journal, errors, ids, output */
    assert_int_equal(seen.n_removed, 1);
}

/* A shard's manifest is in place before the shard is. */
static void a_shard(void **state)
{
    (void)state;
    struct job_options options = options_of();
    options.shard = 1;
    options.shards = 2;
    assert_int_equal(watch(&options, 0), VECMILL_OK);
    assert_true(seen.n_checkpoints > 1);
    assert_int_equal(seen.n_renames, 4); /* journal, ids, shard, output */
    assert_int_equal(seen.n_removed, 1);
}

static void a_run_that_is_resumed(void **state)
{
    (void)state;
    for (uint64_t stop_at = 5; stop_at < N_DOCS; stop_at += 19) {
        struct job_options options = options_of();
        assert_int_equal(watch(&options, stop_at), VECMILL_E_STOPPED);
        assert_true(seen.n_checkpoints > 0);
        assert_int_equal(seen.n_removed, 0);
        options.force = false;
        options.resume = true;
        assert_int_equal(watch(&options, 0), VECMILL_E_PARTIAL);
        assert_true(seen.n_checkpoints > 0);
        assert_int_equal(seen.n_renames, 3);
        assert_int_equal(seen.n_removed, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_run),
        cmocka_unit_test(a_shard),
        cmocka_unit_test(a_run_that_is_resumed),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-order: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
