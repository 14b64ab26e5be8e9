/* check: the parts of a job that need no pool: what can be checked before there is one, and reading alone.
 * Not in run.c, so that a program that only reads need not link an engine. */
#include "job.h"

#include "journal.h"
#include "paths.h"
#include "reader.h"
#include "shard.h"

#include <string.h>
#include <sys/stat.h>

/* A finished output is taken for this run's, unless its OUTPUT.shard.json says otherwise. */
static vecmill_status check_finished(const struct job_options *options, vecmill_err *err)
{
    struct shard shard;
    vecmill_err why;
    const bool is_whole = options->shards <= 1;
    const vecmill_status status = shard_read(options->output, &shard, &why);
    if (status == VECMILL_E_NOTFOUND && is_whole) return VECMILL_OK;
    if (status == VECMILL_E_NOTFOUND)
        return err_set(err, VECMILL_E_USAGE,
                       "%s is there, with no %s beside it, so it is not shard %u of %u (--force "
                       "computes it anew)",
                       options->output, PATHS_SHARD_ENDING, options->shard, options->shards);
    if (status != VECMILL_OK) {
        if (err != NULL) *err = why;
        return status;
    }
    if (shard.run.shard == options->shard && shard.run.shards == options->shards) return VECMILL_OK;
    if (is_whole)
        return err_set(err, VECMILL_E_USAGE,
                       "%s is there and is shard %u of %u, not the whole (--force computes that)",
                       options->output, shard.run.shard, shard.run.shards);
    return err_set(err, VECMILL_E_USAGE,
                   "%s is there and is shard %u of %u, not %u of %u (--force computes that)",
                   options->output, shard.run.shard, shard.run.shards, options->shard,
                   options->shards);
}

/* What an earlier run left, as far as it can be seen without a lock. job_run decides again, under one. */
static vecmill_status check_journal(const struct job_options *options, const struct paths *paths,
                                    bool *finished, vecmill_err *err)
{
    const struct paths_file *output = &paths->files[PATHS_OUTPUT], *journal = &paths->journal;
    const bool is_left = io_exists(journal->real);
    if (is_left && io_is_locked(journal->real))
        return err_set(err, VECMILL_E_OUTPUT, "%s: is being written by another process",
                       output->given);
    if (is_left && !options->resume && !options->force)
        return journal_refuse(journal, options, err);
    /* A part without a journal is of a run that did nothing (sink_drop): the output is an older one. */
    *finished = options->resume && !options->force && !is_left && io_exists(output->given) &&
                !io_exists(output->part);
    if (*finished) VM_TRY(check_finished(options, err));
    return VECMILL_OK;
}

vecmill_status job_check_names(const struct job_options *options, vecmill_err *err)
{
    void *paths = NULL;
    VM_TRY(reader_check_names(options, err));
    VM_TRY(mem_map(sizeof(struct paths), "paths", &paths, err));
    const vecmill_status status = paths_find(options, options->kind, paths, err);
    mem_unmap(paths, sizeof(struct paths));
    return status;
}

vecmill_status job_check(const struct job_options *options, bool *finished, vecmill_err *err)
{
    bool done = false;
    void *memory = NULL;
    VM_TRY(reader_check(options, err));
    VM_TRY(mem_map(sizeof(struct paths), "paths", &memory, err));
    struct paths *paths = memory;
    vecmill_status status = paths_check(options, options->kind, paths, err);
    struct job_vectors ranges = {.n = 0};
    if (status == VECMILL_OK && options->ranges != NULL)
        status = job_ranges_open(options->ranges, &ranges, err);
    job_vectors_close(&ranges);
    if (status == VECMILL_OK && !paths->standard)
        status = check_journal(options, paths, &done, err);
    mem_unmap(paths, sizeof *paths);
    if (status == VECMILL_OK && finished != NULL) *finished = done;
    return status;
}

bool job_input_is_newer(const struct job_options *options)
{
    struct stat in, out;
    if (stat(options->input, &in) != 0 || stat(options->output, &out) != 0) return false;
    if (in.st_mtim.tv_sec != out.st_mtim.tv_sec) return in.st_mtim.tv_sec > out.st_mtim.tv_sec;
    return in.st_mtim.tv_nsec > out.st_mtim.tv_nsec;
}

vecmill_status job_each(const struct job_options *options, job_each_fn each, void *context,
                        vecmill_err *err)
{
    struct reader reader;
    struct record_buf buf = {.capacity = reader_room(options)};
    void *memory = NULL;
    VM_TRY(reader_open(&reader, options, NULL, NULL, err));
    vecmill_status status = mem_map(buf.capacity, "a document", &memory, err);
    if (status != VECMILL_OK) goto done;
    buf.data = memory;
    for (uint64_t index = 0;; index++) {
        struct reader_record record;
        enum reader_got got;
        buf.used = 0;
        status = reader_next(&reader, INTAKE_FOREVER, &buf, &record, &got, err);
        if (status != VECMILL_OK || got == READER_END) break;
        vecmill_doc doc = {.text = record.text, .bytes = record.bytes};
        if (options->query_field != NULL)
            doc = (vecmill_doc){.text = record.query,
                                .bytes = record.query_bytes,
                                .kind = VECMILL_DOC_PAIR,
                                .pair = record.text,
                                .pair_bytes = record.bytes};
        status = each(context, index, record.id, doc, record.reason, err);
        if (status != VECMILL_OK) break;
    }
done:
    if (memory != NULL) mem_unmap(memory, buf.capacity);
    reader_close(&reader);
    return status;
}
