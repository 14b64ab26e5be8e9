/* The fences of the memory promise, with real workers on a small model.
 *
 * A worker that is ready takes no more memory: the worker here is the one with hooks, which ends itself
 * when it does (tests/hooked/guard.h), and lives through ten thousand batches. The side that supervises
 * takes none either once the first worker is ready: malloc and its like and mmap are the linker's here
 * (--wrap), and heap and mappings of this process are compared. And a worker that needs more says so.
 *
 * argv: tools/make_toy_model.py, the worker with hooks, the number of batches. */
#include "base/base.h"
#include "vecmill.h"

#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define DIM      32u
#define WAIT     300000u /* ms: a hang ends the test */
#define TEXT_MAX 1024u

static char folder[64];
static const char *maker, *worker;
static uint32_t n_batches; /* of one worker */

/* ---- what is taken in this process ---- */

static atomic_uint n_taken; /* calls from our own objects, of all threads */

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
void *__real_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset);
void *__real_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off64_t offset);
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off64_t offset);

void *__wrap_malloc(size_t bytes)
{
    n_taken++;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    n_taken++;
    return __real_calloc(n, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    n_taken++;
    return __real_realloc(memory, bytes);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
    n_taken++;
    return __real_aligned_alloc(align, bytes);
}

void *__wrap_mmap(void *at, size_t bytes, int prot, int flags, int fd, off_t offset)
{
    n_taken++;
    return __real_mmap(at, bytes, prot, flags, fd, offset);
}

/* What mmap is called where offsets have 64 bits (-D_FILE_OFFSET_BITS=64). */
void *__wrap_mmap64(void *at, size_t bytes, int prot, int flags, int fd, off64_t offset)
{
    n_taken++;
    return __real_mmap64(at, bytes, prot, flags, fd, offset);
}

struct figures {
    unsigned taken;
    size_t live;               /* bytes of the heap in use, libraries' included */
    unsigned long pages, data; /* of all mappings; of private writable ones */
};

static struct figures measure(void)
{
    struct figures f = {0};
    char text[128] = "";
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof text - 1) > 0);
    close(fd);
    assert_int_equal(sscanf(text, "%lu %*u %*u %*u %*u %lu", &f.pages, &f.data), 2);
    f.live = mallinfo2().uordblks;
    f.taken = n_taken;
    return f;
}

static void expect_nothing_taken(const struct figures *before)
{
    const struct figures now = measure();
    assert_int_equal(now.taken, before->taken);
    if (FENCE_SANITIZED) return; /* its run-time takes what it likes */
    assert_int_equal(now.live, before->live);
    assert_int_equal(now.pages, before->pages);
    assert_int_equal(now.data, before->data);
}

/* ---- small things ---- */

static char *in_folder(const char *name)
{
    static char paths[4][IO_PATH_MAX];
    static unsigned n;
    char *path = paths[n++ % 4];
    assert_int_equal(io_join(folder, name, path, NULL), VECMILL_OK);
    return path;
}

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
    char command[3 * IO_PATH_MAX];
    va_list ap;
    va_start(ap, format);
    vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    assert_int_equal(system(command), 0);
}

static struct {
    atomic_llong pid; /* that was ready last */
    atomic_uint died, ready;
} told;

static void on_event(void *context, const vecmill_event *e)
{
    (void)context;
    if (e->kind == VECMILL_WORKER_DIED) told.died++;
    if (e->kind == VECMILL_WORKER_READY) {
        told.ready++;
        told.pid = e->pid;
    }
}

/* plan: of tests/hooked/hooks.c; what the guard says goes to the file "guard". */
static vecmill_pool *open_pool(uint32_t workers, const char *plan)
{
    char value[2 * IO_PATH_MAX];
    vecmill_pool *pool = NULL;
    vecmill_err err;
    vecmill_options o;
    vecmill_pool_options p;
    snprintf(value, sizeof value, "guard=%s;%s", in_folder("guard"), plan);
    assert_int_equal(setenv("VECMILL_TEST_FAULTS", value, 1), 0);
    (void)unlink(in_folder("guard"));
    vecmill_options_init(&o);
    o.model_dir = in_folder("toy");
    o.cache_dir = in_folder("cache");
    o.worker_path = worker;
    vecmill_pool_options_init(&p);
    p.workers = workers;
    p.on_event = on_event;
    told.died = told.ready = 0;
    if (vecmill_pool_open(&o, &p, &pool, &err) != VECMILL_OK) fail_msg("open: %s", err.message);
    return pool;
}

/* 0 to 40 words; every 50th is longer than the model takes. */
static vecmill_doc text_of(uint32_t i, char out[TEXT_MAX])
{
    size_t n = 0;
    const uint32_t words = i % 50 == 49 ? 120 : i % 41;
    out[0] = 0;
    for (uint32_t w = 0; w < words; w++)
        n += (size_t)snprintf(out + n, TEXT_MAX - n, "%c%c%u ", 'a' + (int)((i + w) % 26),
                              'a' + (int)((i * 7 + w) % 26), w % 10);
    return (vecmill_doc){.text = out, .bytes = n};
}

/* Gives documents first .. first + n, `ahead` of them before the first is taken; takes all. */
static void run(vecmill_pool *pool, uint32_t first, uint32_t n, uint32_t ahead)
{
    char text[TEXT_MAX];
    float vector[DIM];
    vecmill_err err, why;
    for (uint32_t given = 0, done = 0; done < n;) {
        int accepted = 0, taken = 0;
        vecmill_result r;
        if (given < n && given < done + ahead &&
            vecmill_pool_submit(pool, text_of(first + given, text), &accepted, &err) != VECMILL_OK)
            fail_msg("submit: %s", err.message);
        given += (uint32_t)accepted;
        if (accepted) continue;
        if (vecmill_pool_take(pool, WAIT, vector, &r, &why, &taken, &err) != VECMILL_OK)
            fail_msg("take: %s", err.message);
        if (!taken) fail_msg("document %u did not come within %u ms", first + done, WAIT);
        if (r.status != VECMILL_OK) fail_msg("document %u: %s", first + done, why.message);
        done++;
    }
}

/* What the guards of the workers have written: a line for each that ended in peace, with its batches. */
static uint32_t read_guards(unsigned long *batches_most)
{
    char line[256];
    uint32_t n = 0;
    *batches_most = 0;
    FILE *file = fopen(in_folder("guard"), "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        unsigned long batches;
        if (sscanf(line, "%*d %lu ", &batches) != 1) fail_msg("%s", line);
        if (batches > *batches_most) *batches_most = batches;
        n++;
    }
    fclose(file);
    return n;
}

/* ---- tests ---- */

static void many_batches_take_nothing(void **state)
{
    (void)state;
    unsigned long batches = 0;
    vecmill_pool *pool = open_pool(1, "seed=1");
    const struct figures ready = measure();
    for (uint32_t i = 0; i < n_batches; i++) {
        /* Small passes of every size, and now and then some full ones. */
        if (i % 1000 == 999)
            run(pool, i, 600, 600);
        else
            run(pool, i, 1, 1);
    }
    expect_nothing_taken(&ready);
    vecmill_pool_close(pool);
    assert_int_equal(told.died, 0);
    assert_int_equal(read_guards(&batches), 1);
    assert_true(batches >= n_batches);
}

static void the_supervising_side_takes_nothing(void **state)
{
    (void)state;
    unsigned long batches = 0;
    const uint32_t docs = n_batches / 20;
    /* Workers end by themselves at random moments, and by us. */
    vecmill_pool *pool =
        open_pool(3, "seed=7;rate=0.02;kinds=kill*6,exit77,segv,half,kill-in-compute");
    const struct figures ready = measure();
    /* Toys are computed so fast that a death is rare: until there were enough. */
    for (uint32_t i = 0; i < 60 || (told.died < 10 && i < 3000); i++) {
        run(pool, i * docs, docs, docs);
        if (i % 6 == 0) kill((pid_t)told.pid, SIGKILL);
    }
    expect_nothing_taken(&ready);
    vecmill_pool_close(pool);
    assert_true(told.died >= 10);
    assert_true(told.ready >= 10);
    (void)read_guards(&batches); /* that none was ended for taking */
}

static void what_is_taken_is_seen(void **state)
{
    (void)state;
    const struct figures before = measure();
    void *m = NULL;
    assert_int_equal(mem_new(1, "a byte", &m, NULL), VECMILL_OK);
    assert_int_equal(measure().taken, before.taken + 1);
    if (!FENCE_SANITIZED) assert_true(measure().live > before.live);
    mem_free(m);
    assert_int_equal(mem_map(1, "a page", &m, NULL), VECMILL_OK);
    assert_int_equal(measure().taken, before.taken + 2);
    assert_true(measure().pages > before.pages);
    if (!FENCE_SANITIZED) assert_int_equal(measure().data, before.data + 1);
    mem_unmap(m, 1);
}

static void more_than_was_planned_is_said(void **state)
{
    (void)state;
    char plan[IO_PATH_MAX + 64], text[TEXT_MAX];
    float vector[DIM];
    vecmill_err err, why;
    vecmill_result r;
    int accepted = 0, taken = 0;
    if (FENCE_SANITIZED) {
        printf(
            "skipped: a worker with a sanitizer has no fence: its run-time maps what it likes\n");
        return;
    }
    snprintf(plan, sizeof plan, "at=W4:101:page:%s", in_folder("marker"));
    vecmill_pool *pool = open_pool(1, plan);
    for (uint32_t i = 0; i < 100; i++)
        run(pool, i, 1, 1);
    assert_int_equal(vecmill_pool_submit(pool, text_of(100, text), &accepted, &err), VECMILL_OK);
    assert_true(accepted);
    assert_int_equal(vecmill_pool_take(pool, WAIT, vector, &r, &why, &taken, &err),
                     VECMILL_E_MEMORY);
    assert_false(taken);
    assert_ptr_equal(strstr(err.message, "the plan was wrong: a worker needed more than the "),
                     err.message);
    assert_non_null(strstr(err.message, "a page that nobody planned: no memory for 1 bytes"));
    assert_non_null(strstr(err.message, "please report this"));
    vecmill_pool_close(pool);
}

static int prepare(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/vecmill-fence-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    shell("python3 '%s' '%s/toy' --layers 2 --hidden 32 --heads 4 --intermediate 64 --vocab 160 "
          "--positions 128 >/dev/null",
          maker, folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    shell("rm -rf '%s'", folder);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_seen),
        cmocka_unit_test(many_batches_take_nothing),
        cmocka_unit_test(the_supervising_side_takes_nothing),
        cmocka_unit_test(more_than_was_planned_is_said),
    };
    if (argc != 4) return 2;
    vecmill_machine machine = {.struct_bytes = sizeof machine};
    if (vecmill_machine_describe(&machine, NULL) == VECMILL_OK && machine.isa[0] == '\0') {
        printf("skipped: this machine lacks the level VECMILL_ISA names\n");
        return 77;
    }
    maker = argv[1];
    worker = argv[2];
    n_batches = (uint32_t)strtoul(argv[3], NULL, 10);
    const int failed = cmocka_run_group_tests(tests, prepare, remove_folder);
    printf("engine-fence: %zu passed, %d failed\n", sizeof tests / sizeof *tests - (size_t)failed,
           failed);
    return failed;
}
