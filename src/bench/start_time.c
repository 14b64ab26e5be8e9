/* start_time: starts the program, times its first byte, and waits for its end. A start that hangs is
 * killed. */
#include "start_time.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE "the first vector\n"

static vecmill_status start_embed(const char *program, const struct options *o, struct child *c,
                                  vecmill_err *err)
{
    char batch[24] = "auto", workers[24] = "auto", length[24];
    const char *argv[24] = {
        "vecmill",
        "embed",
        "-m",
        o->model,
        "-i",
        "-",
        "-o",
        "-",
        "--progress",
        "none",
        "--batch-tokens",
        batch,
        "--workers",
        workers,
        "--precision",
        options_precision_word(options_precision(o)),
    };
    int n = 16;
    if (o->batch_tokens > 0)
        (void)snprintf(batch, sizeof(batch), "%llu", (unsigned long long)o->batch_tokens);
    if (o->workers > 0)
        (void)snprintf(workers, sizeof(workers), "%llu", (unsigned long long)o->workers);
    if (o->max_length > 0) {
        (void)snprintf(length, sizeof(length), "%llu", (unsigned long long)o->max_length);
        argv[n++] = "--max-length";
        argv[n++] = length;
    }
    const struct child_options options = {.program = program,
                                          .argv = (char *const *)argv,
                                          .input = LINE,
                                          .input_bytes = sizeof(LINE) - 1};
    return child_start(&options, c, VECMILL_E_IO, err);
}

/* Reads to the end of the child's output; *first_ns is the time of its first byte, 0 if none came. */
static vecmill_status drain(const struct child *c, uint64_t *first_ns, vecmill_err *err)
{
    uint64_t first = 0, heard_ns = clock_ns();
    for (;;) {
        char bytes[16384];
        size_t got = 0;
        const enum child_heard heard =
            child_read(c, bytes, sizeof(bytes), START_TIME_WAIT_MS, &got);
        if (heard == CHILD_CLOSED) break;
        if (heard == CHILD_SAID) heard_ns = clock_ns();
        if (heard == CHILD_SAID && first == 0) first = heard_ns;
        if (clock_ns() - heard_ns >= (uint64_t)START_TIME_WAIT_MS * 1000000u)
            return err_set(err, VECMILL_E_INTERNAL, "a start wrote nothing for %d ms",
                           START_TIME_WAIT_MS);
    }
    *first_ns = first;
    return VECMILL_OK;
}

static vecmill_status time_start(const char *program, const struct options *o, uint64_t *ns,
                                 vecmill_err *err)
{
    struct child c;
    struct child_end end;
    uint64_t first_ns = 0;
    const uint64_t start_ns = clock_ns();
    VM_TRY(start_embed(program, o, &c, err));
    const vecmill_status status = drain(&c, &first_ns, err);
    child_close(&c, status == VECMILL_OK ? START_TIME_WAIT_MS : 0, &end);
    if (status != VECMILL_OK) return status;
    if (end.sig != 0 || end.code != 0 || first_ns == 0)
        return err_set(err, VECMILL_E_INTERNAL, "a start ended with %s %d",
                       end.sig ? "signal" : "code", end.sig ? end.sig : end.code);
    *ns = first_ns - start_ns;
    return VECMILL_OK;
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

vecmill_status start_time_measure(const char *program, const struct options *o, uint32_t n,
                                  const atomic_int *stop, struct start_time *t, vecmill_err *err)
{
    assert(n > 0 && n <= START_TIME_RUNS_MAX);
    uint64_t times[START_TIME_RUNS_MAX];
    for (uint32_t i = 0; i < n; i++) {
        if (stop && atomic_load(stop))
            return err_set(err, VECMILL_E_STOPPED, "stopped by a signal while starts were timed");
        VM_TRY(time_start(program, o, &times[i], err));
    }
    qsort(times, n, sizeof(times[0]), by_value);
    *t = (struct start_time){.n = n, .least_ns = times[0], .median_ns = times[n / 2]};
    return VECMILL_OK;
}
