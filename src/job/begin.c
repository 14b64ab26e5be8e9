/* begin: where a run begins: at the start, or where an earlier one was when it ended.
 *
 * Promises: whose output and whose journal it is, is decided under their locks; nothing is changed before
 * all that can be checked has been: the run's identity, the parts, and the input that was read. */
#include "run.h"

#include <string.h>
#include <xxhash.h>

static void copy_text(char *out, size_t room, const char *text)
{
    const size_t bytes = text != NULL ? strnlen(text, room - 1) : 0;
    memset(out, 0, room);
    if (bytes > 0) memcpy(out, text, bytes);
}

static struct journal_run identify(const struct run *run)
{
    const struct reader *r = &run->reader;
    struct journal_run id = {.dim = run->facts.dim,
                             .output_format = run->paths.format,
                             .input_format = r->format,
                             .max_document = r->max_document,
                             .field = reader_hash(r),
                             .id_field = XXH3_64bits(r->id_field, strlen(r->id_field)),
                             .shard = run->options->shards > 1 ? run->options->shard : 0,
                             .shards = run->options->shards > 1 ? run->options->shards : 1};
    copy_text(id.identity, sizeof id.identity, run->facts.identity);
    copy_text(id.isa, sizeof id.isa, run->facts.isa);
    return id;
}

/* Another input format, name of a field or limit gives other documents; another model or instruction set
 * gives other bits. */
static vecmill_status compare(const struct run *run, const struct journal_run *then,
                              vecmill_err *err)
{
    const struct journal_run now = run->id;
    const char *journal = run->journal.path;
    if (strcmp(then->isa, now.isa) != 0)
        return err_set(err, VECMILL_E_MODEL,
                       "the run to resume was begun at %s, this one computes at %s, with other "
                       "bits: on a machine that has it set VECMILL_ISA=%s, or start afresh with "
                       "--force: %s",
                       then->isa, now.isa, then->isa, journal);
    if (strcmp(then->identity, now.identity) != 0 || then->dim != now.dim)
        return err_set(err, VECMILL_E_MODEL,
                       "the run to resume had model %.8s of %u dimensions, this one has %.8s of "
                       "%u (model, precision, --max-length, --long, --dimensions, --normalize or "
                       "version differ; --force starts afresh): %s",
                       then->identity, then->dim, now.identity, now.dim, journal);
    const char *option = then->output_format != now.output_format ? "format of the output"
                         : then->input_format != now.input_format ? "format of the input"
                         : then->field != now.field       ? "--field, --encoding or --delimiter"
                         : then->id_field != now.id_field ? "--id-field"
                         : then->max_document != now.max_document ? "--max-document"
                         : then->shard != now.shard               ? "--shard"
                         : then->shards != now.shards             ? "--shard"
                                                                  : NULL;
    if (option == NULL) return VECMILL_OK;
    return err_set(err, VECMILL_E_USAGE,
                   "the run to resume had another %s, and so other documents (--force starts "
                   "afresh): %s",
                   option, journal);
}

/* Of every input that has a name, a pipe's too: it may be fed anew, and then what is read of it tells whether
 * it is the same. Standard input has none. */
static vecmill_status start_journal(struct run *run, vecmill_err *err)
{
    if (strcmp(run->options->input, "-") == 0) return VECMILL_OK;
    VM_TRY(journal_create(&run->paths.journal, &run->id, &run->journal, err));
    run->saved = (struct journal_point){.sequence = run->journal.sequence};
    return VECMILL_OK;
}

/* `old`, the journal there was, goes first, and durably: beside parts that were emptied it would lie. */
static vecmill_status start_afresh(struct run *run, struct journal *old, vecmill_err *err)
{
    VM_TRY(sink_lock(&run->sink, err));
    vecmill_status status = VECMILL_OK;
    if (old->fd < 0 && run->paths.journal.given[0] != 0 && io_exists(run->paths.journal.real))
        status = err_set(err, VECMILL_E_OUTPUT, "%s: was written by another process just now",
                         run->paths.journal.given);
    if (status == VECMILL_OK) status = journal_remove(old, err);
    if (status != VECMILL_OK) {
        sink_unlock(&run->sink);
        return status;
    }
    status = sink_start(&run->sink, err);
    if (status == VECMILL_OK && !run->paths.standard) status = start_journal(run, err);
    if (status != VECMILL_OK) sink_drop(&run->sink, status == VECMILL_E_OUTPUT);
    return status;
}

static vecmill_status go_on(struct run *run, const struct journal_point *point, bool *whole,
                            vecmill_err *err)
{
    if (run->options->stop_on_error && point->failed > 0)
        return err_set(err, VECMILL_E_INPUT,
                       "%llu documents failed in the run it goes on from, and --on-error is stop "
                       "(skip goes on, --force starts afresh): %s",
                       (unsigned long long)point->failed, run->reader.intake.name);
    VM_TRY(sink_reopen(&run->sink, point, err));
    if (!point->complete) {
        VM_TRY(reader_pass(&run->reader, &point->input, err));
        VM_TRY(sink_cut(&run->sink, point, err));
    }
    run->saved = *point;
    run->written = point->input;
    run->progress = (struct job_progress){.documents = point->documents,
                                          .resumed = point->documents,
                                          .failed = point->failed,
                                          .tokens = point->tokens,
                                          .truncated = point->truncated,
                                          .replaced_bytes = point->replaced_bytes};
    *whole = point->complete;
    run_notice(run,
               point->complete ? "all %llu documents of %s were done by an earlier run"
                               : "goes on behind the %llu documents of %s that an earlier run did",
               (unsigned long long)point->documents, run->reader.intake.name);
    return VECMILL_OK;
}

static vecmill_status begin(struct run *run, bool *whole, vecmill_err *err)
{
    const struct job_options *options = run->options;
    struct journal *journal = &run->journal;
    if (run->paths.standard) return start_afresh(run, journal, err);
    VM_TRY(journal_open(&run->paths, journal, err));
    if (journal->fd < 0 && options->resume)
        run_notice(run, "there is no journal to resume from, the run starts at the beginning: %s",
                   run->paths.journal.given);
    if (journal->fd >= 0 && options->resume && !options->force) {
        struct journal_run then;
        struct journal_point point;
        VM_TRY(journal_read(journal, &then, &point, err));
        /* Where nothing was done there is nothing to go on with, nor to differ in. */
        if (point.documents > 0 || point.complete) {
            VM_TRY(compare(run, &then, err));
            return go_on(run, &point, whole, err);
        }
        run_notice(run, "the journal tells of no document, the run starts at the beginning: %s",
                   run->paths.journal.given);
    } else if (journal->fd >= 0 && !options->force) {
        return journal_refuse(&run->paths.journal, options, err);
    }
    struct journal old = *journal;
    journal->fd = -1;
    const vecmill_status status = start_afresh(run, &old, err);
    journal_close(&old);
    return status;
}

static void warn_of_locks(const struct run *run)
{
    const struct io_out *out = &run->sink.files[PATHS_OUTPUT].out;
    if (out->refused == 0) return;
    run_notice(run, "warning: flock is refused here (%s), so %s writes %.100s at the same time",
               strerrordesc_np(out->refused),
               out->unlocked ? "nothing notices when another run"
                             : "only runs that are refused it too notice when another",
               run->paths.files[PATHS_OUTPUT].given);
}

vecmill_status run_begin(struct run *run, bool *whole, vecmill_err *err)
{
    *whole = false;
    run->journal.fd = -1;
    reader_tell(&run->reader, &run->written);
    VM_TRY(paths_check(run->options, &run->paths, err));
    run->id = identify(run);
    VM_TRY(sink_init(&run->sink, &run->paths, run->facts.dim, run->hooks->stop, err));
    run->sink.index_is_id = run->reader.format == READER_TXT;
    const vecmill_status status = begin(run, whole, err);
    if (status == VECMILL_OK) warn_of_locks(run);
    if (status != VECMILL_OK) {
        sink_leave(&run->sink);
        journal_close(&run->journal);
    }
    return status;
}
