/* options: the command line, read by one table.
 *
 * Every command, option, value and range that exists is one line of the tables in options.c; parsing,
 * checking, refusing and the --help text all come from them. Does not know what a command does. */
#ifndef APP_OPTIONS_H
#define APP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "job/job.h"
#include "vecmill.h"

#define OPTIONS_DEFAULT_MODEL  "all-MiniLM-L6-v2"
#define OPTIONS_QUERIES_MAX    64u    /* -q on one command line; more come through -q - */
#define OPTIONS_TOP_MAX        1000u  /* -k */
#define OPTIONS_DIMENSIONS_MAX 16000u /* --dimensions; of the model, the library says */
#define OPTIONS_HELP_MAX       16384u

/* A bit each, since an option is of several. */
enum command_bit {
#define X(identifier, ...) COMMAND_BIT_##identifier,
#include "commands.def"
#undef X
};
enum command {
    COMMAND_NONE = 0, /* only --help or --version was asked for */
#define X(identifier, ...) COMMAND_##identifier = 1 << COMMAND_BIT_##identifier,
#include "commands.def"
#undef X
};

enum progress_mode { PROGRESS_AUTO, PROGRESS_JSON, PROGRESS_NONE };
enum on_error { ON_ERROR_SKIP, ON_ERROR_STOP };
enum precision_word { PRECISION_AUTO, PRECISION_FP32, PRECISION_BF16, PRECISION_INT8 };

/* I/N: document i of the input is of shard i modulo N. of == 0: it was not given. */
struct option_shard {
    uint32_t index, of;
};

/* What the command line said. All text is borrowed from argv. Numbers: 0 is "auto" or "the default". */
struct options {
    enum command command;
    bool help, version;
    const char *operands[JOB_SHARDS_MAX]; /* of pull: MODEL; of merge: SHARD... */
    uint32_t n_operands;
    struct option_shard shard;
    const char *model, *input, *output, *field, *id_field, *encoding, *delimiter, *events, *texts,
        *stsb, *query_field, *prompt, *prompt_name, *task, *ranges;
    const char *queries[OPTIONS_QUERIES_MAX];
    uint32_t n_queries;
    bool json, verify, resume, force, try_out, explain, pairs, raw_scores, rescore;
    bool in_process, latency, accuracy; /* modes of bench; one at most */
    uint32_t precision;                 /* enum precision_word */
    uint32_t long_policy;               /* enum vecmill_long */
    uint32_t normalize;                 /* enum vecmill_normalize */
    uint32_t role;                      /* enum vecmill_role */
    uint32_t kinds;                     /* a word of its choices: options_kinds */
    uint32_t dtype;                     /* enum vecmill_dtype */
    uint32_t on_error;                  /* enum on_error */
    uint32_t progress;                  /* enum progress_mode */
    uint32_t input_format;              /* a word of its choices; 0 is auto */
    uint64_t workers, threads, batch_tokens, memory_bytes, max_length, dimensions, max_document,
        top, repeat;
};

/* Reads the command line. E_USAGE: an unknown command or option (the nearest name is offered), a
 * value out of its range (the range is said), something missing, options that do not go together.
 * With --help or --version nothing else is checked. */
vecmill_status options_parse(int argc, char *const *argv, struct options *options,
                             vecmill_err *err);

/* The help text for a command, or for the whole program (COMMAND_NONE), appended to `text`. */
vecmill_status options_help(enum command command, struct buf *text, vecmill_err *err);

/* The precision that --precision asks for: auto is fp32. And its word, "fp32". */
vecmill_precision options_precision(const struct options *o);
const char *options_precision_word(vecmill_precision precision);

/* The kind that --kinds asks for, or else an output's ending, as bits of vecmill_options; 0: the model's
 * own. */
uint32_t options_kinds(const struct options *o);

/* The prompt in force is the model's default one, which no option has asked for: a sentence that says so;
 * false: it is not, or there is none (""; NULL). */
bool options_default_prompt(const struct options *o, const char *prompt, char *sentence,
                            size_t most);

/* The word of --input-format, "txt" or "csv.gz"; NULL for auto: what job_options wants. */
const char *options_input_format(uint32_t input_format);

#endif
