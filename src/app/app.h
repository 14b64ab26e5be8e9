/* app: what the commands of the program share.
 *
 * A command gets the checked options and an output, returns a status and one sentence; app_end prints
 * the sentence and turns the status into the exit code. E_PARTIAL says that all was written, and what
 * of it failed. bench is a program of its own (src/bench), which shares all that lib_app has. */
#ifndef APP_H
#define APP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "app_out.h"
#include "job/job.h"
#include "options.h"
#include "temp_folder.h"
#include "vecmill.h"
#include "workers.h"

struct app {
    const struct options *options;
    char **argv;
    struct app_out out; /* standard output */
};

#define X(identifier, name, ...) vecmill_status cmd_##name(struct app *app, vecmill_err *err);
#include "commands.def"
#undef X

/* Before a command and after it. app_begin prepares the process and reads the command line; app_end
 * flushes the output, says why the command failed, and returns the exit code. *options has to live
 * until then; err may be the same in both. */
vecmill_status app_begin(struct app *app, int argc, char **argv, struct options *options,
                         vecmill_err *err);
int app_end(struct app *app, vecmill_status status, vecmill_err *err);

/* The part of the options that says how documents are read, of rerank as pairs; output is standard
 * output. */
struct job_options app_job_options(const struct options *o);

/* job_check for a command that only reads: its input is there and has a reader. */
vecmill_status app_input_check(const struct job_options *job, vecmill_err *err);

/* Makes a model present, with its progress on stderr: what `pull` does. dir[IO_PATH_MAX]. */
vecmill_status app_model_pull(const struct options *o, const char *name, char *dir,
                              vecmill_err *err);

/* Fills the library's options, and finds the model, whose folder goes into dir[IO_PATH_MAX]: on this
 * machine, else it is fetched when the name is of the registry or has the form org/name[@commit], with
 * a note on stderr. */
vecmill_status app_library_options(const struct options *o, char *dir, vecmill_options *options,
                                   vecmill_err *err);

/* Finds the model and opens a session by the options; closed with vecmill_session_close. */
vecmill_status app_session_open(const struct options *o, vecmill_session **session,
                                vecmill_err *err);

/* The same, a pool for a job, whose buffers are counted in its plan, with so many bytes more that the
 * command keeps of each document in it: its events go to on_event, on its thread. Closed with
 * vecmill_pool_close. */
vecmill_status app_pool_open(const struct options *o, const struct job_options *job,
                             size_t bytes_a_doc,
                             void (*on_event)(void *context, const vecmill_event *event),
                             void *context, vecmill_pool **pool, vecmill_err *err);

/* app_job.c: reads options->input, and writes options->output with what is computed of it. */
vecmill_status app_job_run(const struct options *o, vecmill_err *err);

/* The limit of descriptors as high as it goes: each worker takes two, and a plan is made under it. */
void app_raise_descriptors(void);

/* The plan of that pool; nothing is opened. */
vecmill_status app_pool_plan(const struct options *o, const struct job_options *job,
                             vecmill_plan *plan, vecmill_err *err);

/* Facts about a session, struct_bytes set. */
vecmill_facts app_facts(const vecmill_session *session);

/* signals.c. SIGPIPE and SIGXFSZ are ignored, so that a write fails instead; SIGTERM, SIGINT and
 * SIGHUP end the program with the exit code of E_STOPPED: at once, or, from signals_defer to
 * signals_undefer, by the flag it returns; a second signal ends it at once in any case.
 * signals_undefer is true when a signal has come by then: the caller ends with E_STOPPED. */
void signals_init(void);
const atomic_int *signals_defer(void);
bool signals_undefer(void);

#endif
