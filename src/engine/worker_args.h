/* worker_args: the command line of vecmill-worker, written and read in one place.
 *
 *     vecmill-worker pack PARENT ISA PRECISION MODEL_DIR PACK KEY
 *     vecmill-worker baseline PARENT
 *     vecmill-worker serve PARENT ISA PRECISION MODEL_DIR PACK KEY BATCH_TOKENS MAX_LENGTH LONG
 *         MAX_DOCUMENT DIMENSIONS NORMALIZE KINDS RAW_SCORES ROLE IDENTITY PROMPT TASK
 *
 * Reading believes nothing: the number of words, ranges, lengths and digits are checked.
 * Private to engine. */
#ifndef ENGINE_WORKER_ARGS_H
#define ENGINE_WORKER_ARGS_H

#include "engine/model_ref.h"

#include <sys/types.h>

enum worker_mode {
    WORKER_PACK,     /* builds a pack */
    WORKER_BASELINE, /* measures what a worker holds before its arena */
    WORKER_SERVE,    /* computes batches for a pool */
};

struct worker_args {
    enum worker_mode mode;
    pid_t parent; /* the process that the worker ends with */

    /* of WORKER_PACK and WORKER_SERVE; pointers are borrowed */
    const char *isa;
    vecmill_precision precision;
    const struct model_ref *ref; /* its identity: of WORKER_SERVE alone */

    /* of WORKER_SERVE: as in vecmill_options, chosen by the pool */
    uint32_t batch_tokens, max_length, dimensions, kinds;
    vecmill_long long_policy;
    vecmill_normalize normalize;
    int raw_scores;
    vecmill_role role;
    uint64_t
        max_document;   /* bytes that the worker is given of a document with its prompt, at most */
    const char *prompt; /* the prompt at the start of each document it is given; "": none */
    const char *task;   /* NULL: none */
};

#define WORKER_WORDS   20
#define WORKER_NUMBERS 10

/* What exec takes; words point into it and into what the arguments borrow. */
struct worker_argv {
    char numbers[WORKER_NUMBERS][24];
    char *words[WORKER_WORDS + 1];
};

void worker_args_encode(const struct worker_args *args, struct worker_argv *argv);

/* False: that is no command line of worker_args_encode's. On success args->ref is ref, which has been filled
 * for modes with a model; args->isa, args->prompt and args->task are borrowed from argv. */
bool worker_args_decode(int argc, char *const argv[], struct worker_args *args,
                        struct model_ref *ref);

#endif
