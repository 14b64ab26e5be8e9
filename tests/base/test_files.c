/* Base's files: whole or not at all, one writer, packs as hostile bytes. */
#include "base/base.h"

#include "../kit/test_chance.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static const char *in_folder(const char *name)
{
    static char paths[4][IO_PATH_MAX];
    static int next;
    char *p = paths[next++ % 4];
    assert_int_equal(io_join(folder, name, p, NULL), VECMILL_OK);
    return p;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void assert_file(const char *path, const char *text)
{
    struct buf b;
    buf_init(&b, 1 << 20, "TEST");
    assert_int_equal(io_read_file(path, &b, VECMILL_E_NOTFOUND, VECMILL_E_IO, NULL), VECMILL_OK);
    assert_int_equal(buf_terminate(&b, NULL), VECMILL_OK);
    assert_string_equal(b.data, text);
    buf_done(&b);
}

static void out_appears_only_when_whole(void **state)
{
    (void)state;
    const char *path = in_folder("out");
    char part[IO_PATH_MAX + 8];
    struct io_out o;
    snprintf(part, sizeof(part), "%s.part", path);
    write_file(path, "old");
    assert_int_equal(io_out_open(path, 0, VECMILL_E_OUTPUT, &o, NULL), VECMILL_OK);
    assert_int_equal(io_out_write(&o, "xxx new", 7, NULL), VECMILL_OK);
    assert_int_equal(io_out_write_at(&o, "the", 3, 0, NULL), VECMILL_OK);
    assert_file(path, "old");
    assert_true(io_exists(part));
    assert_int_equal(io_out_commit(&o, NULL), VECMILL_OK);
    assert_file(path, "the new");
    assert_false(io_exists(part));
    assert_int_equal(io_out_open(path, 0, VECMILL_E_OUTPUT, &o, NULL), VECMILL_OK);
    io_out_drop(&o);
    io_out_drop(&o);
    assert_file(path, "the new");
    assert_false(io_exists(part));
}

static void out_has_one_writer(void **state)
{
    (void)state;
    const char *path = in_folder("one");
    struct io_out o, second;
    vecmill_err err;
    assert_int_equal(io_out_open(path, 0, VECMILL_E_OUTPUT, &o, NULL), VECMILL_OK);
    assert_int_equal(io_out_open(path, 30, VECMILL_E_OUTPUT, &second, &err), VECMILL_E_OUTPUT);
    assert_non_null(strstr(err.message, "being written by another process"));
    /* A second writer that waits gets its turn, and both results were whole in turn. */
    pid_t child = fork();
    if (child == 0) {
        close(o.fd); /* a fork shares the lock's open file, a second program does not */
        bool ok = io_out_open(path, TEST_HANG_MS, VECMILL_E_OUTPUT, &second, NULL) == VECMILL_OK &&
                  io_out_write(&second, "child", 5, NULL) == VECMILL_OK &&
                  io_out_commit(&second, NULL) == VECMILL_OK;
        _exit(ok ? 0 : 1);
    }
    usleep(50 * 1000); /* so that it waits, most of the time */
    assert_int_equal(io_out_write(&o, "parent", 6, NULL), VECMILL_OK);
    assert_int_equal(io_out_commit(&o, NULL), VECMILL_OK);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_file(path, "child");
}

static void out_survives_a_kill(void **state)
{
    (void)state;
    const char *path = in_folder("killed");
    write_file(path, "old");
    pid_t child = fork();
    if (child == 0) {
        struct io_out o;
        if (io_out_open(path, 0, VECMILL_E_OUTPUT, &o, NULL) == VECMILL_OK) {
            io_out_write(&o, "half", 4, NULL);
            raise(SIGKILL);
        }
        _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_file(path, "old");
    struct io_out o;
    assert_int_equal(io_out_open(path, 0, VECMILL_E_OUTPUT, &o, NULL), VECMILL_OK);
    assert_int_equal(io_out_write(&o, "n", 1, NULL), VECMILL_OK);
    assert_int_equal(io_out_commit(&o, NULL), VECMILL_OK);
    assert_file(path, "n");
}

static void out_keeps_links_and_refuses_others(void **state)
{
    (void)state;
    struct io_out o;
    struct stat st;
    vecmill_err err;
    char path[IO_PATH_MAX];
    write_file(in_folder("target"), "old");
    assert_int_equal(symlink("target", in_folder("link")), 0);
    assert_int_equal(io_out_open(in_folder("link"), 0, VECMILL_E_OUTPUT, &o, NULL), VECMILL_OK);
    assert_int_equal(io_out_write(&o, "new", 3, NULL), VECMILL_OK);
    assert_int_equal(io_out_commit(&o, NULL), VECMILL_OK);
    assert_file(in_folder("target"), "new");
    assert_int_equal(lstat(in_folder("link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(symlink("nothing", in_folder("dangling")), 0);
    assert_int_equal(io_out_open(in_folder("dangling"), 0, VECMILL_E_OUTPUT, &o, &err),
                     VECMILL_E_OUTPUT);
    assert_int_equal(io_out_open(folder, 0, VECMILL_E_OUTPUT, &o, &err), VECMILL_E_OUTPUT);
    assert_int_equal(io_out_open("/dev/null", 0, VECMILL_E_OUTPUT, &o, &err), VECMILL_E_OUTPUT);
    snprintf(path, sizeof(path), "%s/none/file", folder);
    assert_int_equal(io_out_open(path, 0, VECMILL_E_OUTPUT, &o, &err), VECMILL_E_OUTPUT);
    assert_non_null(strstr(err.message, "none/file"));
}

static void out_reports_a_full_disk(void **state)
{
    (void)state;
    /* A file-size limit in place of a full disk: the same call fails at the same point. */
    const char *path = in_folder("full");
    pid_t child = fork();
    if (child == 0) {
        struct io_out o;
        vecmill_err err;
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000});
        char data[4096] = {0};
        if (io_out_open(path, 0, VECMILL_E_OUTPUT, &o, &err) != VECMILL_OK) _exit(1);
        if (io_out_write(&o, data, sizeof(data), &err) != VECMILL_E_OUTPUT) _exit(2);
        if (!strstr(err.message, path)) _exit(3);
        io_out_drop(&o);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_false(io_exists(path));
    char part[IO_PATH_MAX + 8];
    snprintf(part, sizeof(part), "%s.part", path);
    assert_false(io_exists(part));
}

/* A later process continues what a killed one left. */
static void out_is_gone_on_with(void **state)
{
    (void)state;
    const char *path = in_folder("again");
    struct io_out o, second;
    vecmill_err err;
    char part[IO_PATH_MAX + 8];
    snprintf(part, sizeof(part), "%s.part", path);
    assert_int_equal(io_out_reopen(path, false, 0, VECMILL_E_OUTPUT, &o, &err), VECMILL_E_OUTPUT);
    assert_non_null(strstr(err.message, "again.part: cannot be opened"));
    assert_false(io_exists(part));
    assert_int_equal(io_out_reopen(path, true, 0, VECMILL_E_OUTPUT, &o, NULL), VECMILL_OK);
    assert_int_equal(io_out_write(&o, "kept, torn", 10, NULL), VECMILL_OK);
    assert_int_equal(io_out_sync(&o, NULL), VECMILL_OK);
    io_out_leave(&o);
    io_out_leave(&o);
    assert_file(part, "kept, torn");
    assert_int_equal(io_out_reopen(path, false, 0, VECMILL_E_OUTPUT, &o, NULL), VECMILL_OK);
    assert_file(part, "kept, torn");
    assert_int_equal(io_out_reopen(path, true, 0, VECMILL_E_OUTPUT, &second, NULL),
                     VECMILL_E_OUTPUT);
    assert_int_equal(io_out_cut(&o, 6, NULL), VECMILL_OK);
    assert_int_equal(io_out_write(&o, "new", 3, NULL), VECMILL_OK);
    assert_int_equal(io_out_sync(&o, NULL), VECMILL_OK);
    assert_int_equal(io_out_place(&o, NULL), VECMILL_OK);
    assert_file(path, "kept, new");
    assert_false(io_exists(part));
    /* Placed, and still held. */
    assert_true(io_is_locked(path));
    io_out_leave(&o);
    assert_false(io_is_locked(path));
}

static void a_lock_on_what_is_there(void **state)
{
    (void)state;
    const char *path = in_folder("lock");
    vecmill_err err;
    int fd = -1, second = -1;
    assert_int_equal(io_lock(path, path, 0, &fd, VECMILL_E_NOTFOUND, VECMILL_E_IO, NULL),
                     VECMILL_E_NOTFOUND);
    assert_false(io_is_locked(path) || io_exists(path));
    write_file(path, "text");
    assert_int_equal(io_lock(path, path, 0, &fd, VECMILL_E_NOTFOUND, VECMILL_E_IO, NULL),
                     VECMILL_OK);
    assert_true(io_is_locked(path));
    assert_int_equal(io_lock(path, path, 30, &second, VECMILL_E_NOTFOUND, VECMILL_E_IO, &err),
                     VECMILL_E_IO);
    assert_non_null(strstr(err.message, "lock: is being written by another process"));
    assert_int_equal(io_write_at(fd, "xt!", 3, 2, path, VECMILL_E_IO, NULL), VECMILL_OK);
    close(fd);
    assert_false(io_is_locked(path));
    assert_file(path, "text!");
}

static void files_are_read_whole_or_refused(void **state)
{
    (void)state;
    struct buf b;
    struct io_map m;
    vecmill_err err;
    buf_init(&b, 5, "FIVE");
    write_file(in_folder("six"), "123456");
    assert_int_equal(io_read_file(in_folder("six"), &b, VECMILL_E_NOTFOUND, VECMILL_E_MODEL, &err),
                     VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "holds 6 bytes, over the maximum FIVE, 5"));
    assert_int_equal(io_read_file(in_folder("no"), &b, VECMILL_E_NOTFOUND, VECMILL_E_MODEL, &err),
                     VECMILL_E_NOTFOUND);
    assert_int_equal(io_read_file(folder, &b, VECMILL_E_NOTFOUND, VECMILL_E_MODEL, &err),
                     VECMILL_E_MODEL);
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    assert_int_equal(io_map_file(in_folder("fifo"), &m, VECMILL_E_NOTFOUND, VECMILL_E_MODEL, &err),
                     VECMILL_E_MODEL);
    write_file(in_folder("empty"), "");
    assert_int_equal(io_map_file(in_folder("empty"), &m, VECMILL_E_NOTFOUND, VECMILL_E_MODEL, &err),
                     VECMILL_OK);
    assert_null(m.data);
    io_unmap(&m);
    buf_done(&b);
}

static void folders_are_made_once(void **state)
{
    (void)state;
    vecmill_err err;
    char path[IO_PATH_MAX];
    snprintf(path, sizeof(path), "%s/a/b//c/", folder);
    assert_int_equal(io_make_dirs(path, VECMILL_E_IO, &err), VECMILL_OK);
    assert_int_equal(io_make_dirs(path, VECMILL_E_IO, &err), VECMILL_OK);
    write_file(in_folder("plain"), "");
    snprintf(path, sizeof(path), "%s/plain/x", folder);
    assert_int_equal(io_make_dirs(path, VECMILL_E_IO, &err), VECMILL_E_IO);
    assert_int_equal(io_make_dirs("", VECMILL_E_IO, &err), VECMILL_E_IO);
}

static void make_pack(const char *path)
{
    struct pack_writer w;
    char big[5000];
    memset(big, 'b', sizeof(big));
    assert_int_equal(pack_writer_open(path, "key", 0, &w, NULL), VECMILL_OK);
    assert_int_equal(pack_begin(&w, "one", NULL), VECMILL_OK);
    assert_int_equal(pack_write(&w, "abc", 3, NULL), VECMILL_OK);
    assert_int_equal(pack_pad(&w, 64, NULL), VECMILL_OK);
    assert_int_equal(pack_end(&w, NULL), VECMILL_OK);
    assert_int_equal(pack_begin(&w, "two", NULL), VECMILL_OK);
    assert_int_equal(pack_write(&w, big, sizeof(big), NULL), VECMILL_OK);
    assert_int_equal(pack_end(&w, NULL), VECMILL_OK);
    assert_int_equal(pack_begin(&w, "none", NULL), VECMILL_OK);
    assert_int_equal(pack_end(&w, NULL), VECMILL_OK);
    assert_int_equal(pack_commit(&w, NULL), VECMILL_OK);
}

static void pack_gives_back_what_was_written(void **state)
{
    (void)state;
    const char *path = in_folder("pack");
    struct pack p;
    const void *data;
    size_t bytes;
    vecmill_err err;
    make_pack(path);
    assert_int_equal(pack_open(path, &p, &err), VECMILL_OK);
    assert_string_equal(p.key, "key");
    assert_int_equal(pack_find(&p, "one", &data, &bytes, &err), VECMILL_OK);
    assert_int_equal(bytes, 64);
    assert_memory_equal(data, "abc\0\0", 5);
    assert_int_equal((uintptr_t)data % PACK_ALIGN, 0);
    assert_int_equal(pack_find(&p, "two", &data, &bytes, &err), VECMILL_OK);
    assert_int_equal(bytes, 5000);
    assert_int_equal(pack_find(&p, "none", &data, &bytes, &err), VECMILL_OK);
    assert_int_equal(bytes, 0);
    assert_int_equal(pack_verify(&p, "two", &err), VECMILL_OK);
    assert_int_equal(pack_find(&p, "three", &data, &bytes, &err), VECMILL_E_MODEL);
    pack_close(&p);
    assert_int_equal(pack_open(in_folder("absent"), &p, &err), VECMILL_E_NOTFOUND);
}

static void pack_refuses_every_flipped_byte(void **state)
{
    (void)state;
    struct buf b;
    struct pack p = {0};
    vecmill_err err;
    make_pack(in_folder("flip"));
    buf_init(&b, 1 << 20, "TEST");
    assert_int_equal(io_read_file(in_folder("flip"), &b, VECMILL_E_NOTFOUND, VECMILL_E_IO, NULL),
                     VECMILL_OK);
    for (size_t i = 0; i < PACK_ALIGN; i++) {
        b.data[i] ^= 1;
        if (pack_check(b.data, b.bytes, &p, &err) == VECMILL_OK) fail_msg("byte %zu", i);
        b.data[i] ^= 1;
    }
    for (size_t n = 0; n < b.bytes; n += n < PACK_ALIGN ? 97 : 1) {
        if (pack_check(b.data, n, &p, &err) == VECMILL_OK) fail_msg("%zu bytes", n);
    }
    assert_int_equal(pack_check(b.data, b.bytes, &p, &err), VECMILL_OK);
    /* A flipped byte of a section is found by its own checksum. */
    p.map.data = (const unsigned char *)b.data;
    p.map.bytes = b.bytes;
    b.data[p.sections[1].offset + 4999] ^= 1;
    assert_int_equal(pack_verify(&p, "one", &err), VECMILL_OK);
    assert_int_equal(pack_verify(&p, "two", &err), VECMILL_E_MODEL);
    buf_done(&b);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/vecmill-base-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

/* How many more times mkdir's folder is removed right after the call, as a pull that failed removes it. */
static int others_remove;
int __real_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode);
int __wrap_mkdir(const char *path, mode_t mode)
{
    int result = __real_mkdir(path, mode), e = errno;
    if (others_remove > 0) {
        others_remove--;
        (void)rmdir(path);
    }
    errno = e;
    return result;
}

static void folders_that_others_remove_are_made_again(void **state)
{
    (void)state;
    char path[128];
    vecmill_err err;
    snprintf(path, sizeof(path), "%s/made/and/removed", folder);
    for (int n = 1; n < 9; n++) {
        others_remove = n;
        assert_int_equal(io_make_dirs(path, VECMILL_E_IO, &err), VECMILL_OK);
        assert_int_equal(others_remove, 0);
        assert_int_equal(rmdir(path), 0);
    }
    others_remove = 1 << 20;
    assert_int_equal(io_make_dirs(path, VECMILL_E_IO, &err), VECMILL_E_IO);
    assert_non_null(strstr(err.message, "No such file"));
    others_remove = 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(out_appears_only_when_whole),
        cmocka_unit_test(out_has_one_writer),
        cmocka_unit_test(out_survives_a_kill),
        cmocka_unit_test(out_keeps_links_and_refuses_others),
        cmocka_unit_test(out_reports_a_full_disk),
        cmocka_unit_test(out_is_gone_on_with),
        cmocka_unit_test(a_lock_on_what_is_there),
        cmocka_unit_test(files_are_read_whole_or_refused),
        cmocka_unit_test(folders_are_made_once),
        cmocka_unit_test(folders_that_others_remove_are_made_again),
        cmocka_unit_test(pack_gives_back_what_was_written),
        cmocka_unit_test(pack_refuses_every_flipped_byte),
    };
    int failed = cmocka_run_group_tests(tests, make_folder, remove_folder);
    printf("base-files: %zu passed, %d failed\n", sizeof(tests) / sizeof(*tests) - (size_t)failed,
           failed);
    return failed;
}
