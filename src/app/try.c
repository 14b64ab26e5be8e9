/* try: see try.h. The documents go through a real job, so that its buffers are put to the test too. */
#include "try.h"

#include "temp_folder.h"
#include "vecmill_bench.h"

#include <errno.h>
#include <stdio.h>

/* Documents for each worker: enough that each gets several batches of each kind. */
#define LONGEST_A_WORKER 24u
#define QUEUES_OF_SHORT  2u
#define ROUNDS           2

/* The largest document comes once a round, and has no more bytes than this: buffers are taken whole at the
 * start, whatever comes, and the input is on a disk. Under --long split all of it is computed. */
#define LARGEST_BYTES       ((uint64_t)64 << 20)
#define LARGEST_BYTES_SPLIT ((uint64_t)64 << 10)

/* A token, and the blanks of a number of 24 digits (put_document). */
#define SHORTEST_BYTES 48u

struct plan_trial {
    const atomic_int *stop;
    char input[IO_PATH_MAX], output[IO_PATH_MAX];
    vecmill_pool *pool;
    vecmill_plan worst; /* the most of each line so far */
    vecmill_err err;    /* of a measurement that failed */
};

/* One document of `bytes`: words of one letter, each a token. Which blanks are between and after them is its
 * number: a document that comes again would not be computed. */
static void put_document(FILE *file, uint64_t number, uint64_t letters, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++) {
        const bool is_letter = i % 2 == 0 && i < 2 * letters;
        const bool is_tab = i / 2 < 32 && (number >> (i / 2) & 1) != 0;
        (void)fputc(is_letter ? 'a' : is_tab ? '\t' : ' ', file);
    }
    (void)fputc('\n', file);
}

static vecmill_status write_input(const struct plan_trial *t, const struct options *o,
                                  const vecmill_plan *p, vecmill_err *err)
{
    const uint64_t most =
        o->long_policy == VECMILL_LONG_SPLIT ? LARGEST_BYTES_SPLIT : LARGEST_BYTES;
    const uint64_t largest = num_min(p->max_document, most);
    const uint64_t longest = num_min(2 * (uint64_t)p->max_length, p->max_document);
    const uint64_t shortest = num_min(SHORTEST_BYTES, p->max_document);
    uint64_t number = 0;
    vecmill_pool_counts counts = {.struct_bytes = sizeof(counts)};
    vecmill_pool_count(t->pool, &counts);
    FILE *file = fopen(t->input, "we");
    if (!file) return err_sys(err, VECMILL_E_IO, errno, "%s: cannot be written", t->input);
    for (int round = 0; round < ROUNDS && atomic_load(t->stop) == 0; round++) {
        put_document(file, number++, largest, largest);
        for (uint32_t i = 0; i < LONGEST_A_WORKER * p->workers; i++)
            put_document(file, number++, longest, longest);
        for (uint32_t i = 0; i < QUEUES_OF_SHORT * counts.capacity; i++)
            put_document(file, number++, 1, shortest);
    }
    const bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        return err_sys(err, VECMILL_E_IO, errno, "%s: cannot be written", t->input);
    return VECMILL_OK;
}

static void on_progress(void *context, const struct job_progress *progress)
{
    struct plan_trial *t = context;
    vecmill_plan now = {.struct_bytes = sizeof(now)};
    (void)progress;
    if (vecmill_pool_measure(t->pool, &now, &t->err) != VECMILL_OK) return;
    for (uint32_t i = 0; i < now.n_parts; i++)
        if (now.parts[i].measured_bytes < t->worst.parts[i].measured_bytes)
            now.parts[i].measured_bytes = t->worst.parts[i].measured_bytes;
    t->worst = now;
}

static vecmill_status run_trial(struct plan_trial *t, const struct options *o, vecmill_err *err)
{
    struct job_progress total;
    struct job_options job = {
        .input = t->input,
        .input_format = "txt",
        .output = t->output,
        .max_document = o->max_document,
    };
    const struct job_hooks hooks = {.progress = on_progress, .context = t, .stop = t->stop};
    /* The plan in force is that of this job: a text file's buffers, whatever format the run will read. */
    VM_TRY(app_pool_open(o, &job, 0, NULL, NULL, &t->pool, err));
    vecmill_plan plan = {.struct_bytes = sizeof(plan)};
    vecmill_pool_planned(t->pool, &plan);
    vecmill_facts facts = {.struct_bytes = sizeof facts};
    vecmill_pool_describe(t->pool, &facts);
    if (facts.kinds == 1u << VECMILL_KIND_SCORE) job.query = "";
    VM_TRY(write_input(t, o, &plan, err));
    const vecmill_status status = job_run(&job, t->pool, &hooks, &total, err);
    /* Under --long error the longest documents fail, as they should. */
    return status == VECMILL_E_PARTIAL ? VECMILL_OK : status;
}

bool try_is_over(const vecmill_plan *plan, vecmill_err *err)
{
    for (uint32_t i = 0; i < plan->n_parts; i++) {
        const vecmill_plan_part *part = &plan->parts[i];
        if (part->measured_bytes <= part->bytes) continue;
        (void)err_set(err, VECMILL_E_INTERNAL,
                      "the plan is wrong: %s, %s took %llu bytes, %llu were planned; please report "
                      "this with the output of vecmill plan --try",
                      vecmill_owner_word(part->owner), part->name,
                      (unsigned long long)part->measured_bytes, (unsigned long long)part->bytes);
        return true;
    }
    return false;
}

vecmill_status try_plan(const struct options *o, vecmill_plan *plan, vecmill_err *err)
{
    struct plan_trial t = {.err.status = VECMILL_OK};
    struct temp_folder folder = {.dir = ""};
    t.stop = signals_defer(); /* the folder is removed, whatever comes */
    vecmill_status status = temp_folder_open(&folder, "try", err);
    if (status == VECMILL_OK) status = io_join(folder.dir, "input", t.input, err);
    if (status == VECMILL_OK) status = io_join(folder.dir, "output.jsonl", t.output, err);
    if (status == VECMILL_OK) status = run_trial(&t, o, err);
    if (status == VECMILL_OK && t.err.status != VECMILL_OK) {
        status = t.err.status;
        if (err) *err = t.err;
    }
    vecmill_pool_close(t.pool);
    temp_folder_close(&folder);
    if (signals_undefer() && status != VECMILL_E_STOPPED)
        status = err_set(err, VECMILL_E_STOPPED, "stopped by a signal during the trial");
    if (status == VECMILL_OK) *plan = t.worst;
    return status;
}
