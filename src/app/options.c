/* options: the tables of commands and options, and the one parser that reads them. A new option is a
 * line of `lines`; nothing else here knows an option by its name. */
#include "options.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct command_line {
    enum command command;
    const char *name;
    const char *usage;
    const char *help;
    uint32_t operands_most; /* words that are no options; where some may be, one must be */
    const char *operands;   /* what they are, for a message */
};

static const struct command_line commands[] = {
#define X(identifier, name, ...) {COMMAND_##identifier, #name, __VA_ARGS__},
#include "commands.def"
#undef X
};

enum kind { KIND_FLAG, KIND_TEXT, KIND_LIST, KIND_NUMBER, KIND_BYTES, KIND_CHOICE, KIND_SHARD };

struct option_line {
    const char *name; /* without the two dashes */
    char letter;      /* 0: none */
    enum kind kind;
    const char *value;    /* what the help calls its value; NULL for a flag */
    const char *choices;  /* KIND_CHOICE: the words, the first is 0 */
    uint64_t least, most; /* KIND_NUMBER, KIND_BYTES */
    bool automatic;       /* "auto" is a value too, and is kept as 0 */
    bool takes_empty;     /* KIND_TEXT */
    unsigned commands;    /* that take it */
    unsigned required;    /* commands that cannot do without; of texts and lists */
    size_t offset;        /* in struct options */
    /* Names of flags, "a b"; NULL: none. */
    const char *without; /* must not be given with it */
    const char *only;    /* it says nothing without one of them */
    const char *spared;  /* with one of them it is not required */
    const char *help;
};

#define EMBEDS (COMMAND_EMBED | COMMAND_PLAN)
#define RUNS   (EMBEDS | COMMAND_RERANK)
#define TEXTS  (EMBEDS | COMMAND_TOKENIZE | COMMAND_SEARCH | COMMAND_BENCH) /* single ones */
#define MODEL  (TEXTS | COMMAND_RERANK)
#define READS  MODEL
#define INPUT_FORMATS                                                                              \
    "auto txt jsonl json csv tsv ndjson txt.gz jsonl.gz json.gz csv.gz tsv.gz ndjson.gz"
#define DTYPES "float32 float16 int8 uint8 binary ubinary" /* in the order of their values */
#define PRECISION_LIST(X)                                                                          \
    X(FP32, "fp32") X(BF16, "bf16") X(INT8, "int8") /* in the order of their values */
#define CHOICE(identifier, word) " " word
#define AT(member)               .offset = offsetof(struct options, member)

static const struct option_line lines[] = {
    {"model", 'm', KIND_TEXT, "MODEL", .commands = MODEL, AT(model),
     .help =
         "a name of `vecmill models`, a folder, or org/name (default " OPTIONS_DEFAULT_MODEL ")"},
    {"input", 'i', KIND_TEXT, "FILE", .commands = READS, AT(input),
     .required = COMMAND_EMBED | COMMAND_RERANK | COMMAND_SEARCH | COMMAND_BENCH,
     .spared = "latency accuracy",
     .help = ".txt, .jsonl, .json, .csv, .tsv, also packed by gzip; - is stdin; search: a .npy"},
    {"output", 'o', KIND_TEXT, "FILE", .commands = RUNS, .required = COMMAND_EMBED, AT(output),
     .help = ".npy (rows of --dtype), .jsonl, .npz (sparse), or - for JSONL on stdout"},
    {"output", 'o', KIND_TEXT, "FILE", .commands = COMMAND_MERGE, .required = COMMAND_MERGE,
     AT(output), .help = ".npy or .jsonl, as the shards are"},
    {"shard", 0, KIND_SHARD, "I/N", .commands = RUNS, AT(shard),
     .help = "of the input only the documents whose index leaves I when divided by N"},
    {"query", 'q', KIND_LIST, "TEXT", .commands = COMMAND_SEARCH, .required = COMMAND_SEARCH,
     AT(queries), .help = "what to look for; may be given again; - reads lines of stdin"},
    {"query", 'q', KIND_LIST, "TEXT", .commands = COMMAND_RERANK, AT(queries),
     .help = "shows the best documents for it; with --output scores all; without it: pairs"},
    {"query-field", 0, KIND_TEXT, "NAME", .commands = COMMAND_RERANK, AT(query_field),
     .help = "of pairs the query's key in JSON (default query)"},
    {"raw-scores", 0, KIND_FLAG, .commands = COMMAND_RERANK, AT(raw_scores),
     .help = "logits, without the model's own activation"},
    {"top", 'k', KIND_NUMBER, "N", .least = 1, .most = OPTIONS_TOP_MAX,
     .commands = COMMAND_SEARCH | COMMAND_RERANK, AT(top),
     .help = "rows to show for each query (default 10)"},
    {"texts", 0, KIND_TEXT, "FILE", .commands = COMMAND_SEARCH, AT(texts),
     .help = "the documents the vectors were made of, to show beside the rows"},
    {"workers", 0, KIND_NUMBER, "N|auto", .least = 1, .most = VECMILL_MAX_WORKERS,
     .automatic = true, .commands = RUNS | COMMAND_BENCH, AT(workers),
     .without = "in-process latency accuracy",
     .help = "processes that compute (default auto: one for each processor of this process)"},
    {"threads", 0, KIND_NUMBER, "N", .least = 1, .most = VECMILL_MAX_THREADS,
     .commands = COMMAND_SEARCH, AT(threads), .help = "that compute together (default 1)"},
    {"threads", 0, KIND_NUMBER, "N", .least = 1, .most = VECMILL_MAX_THREADS,
     .commands = COMMAND_BENCH, AT(threads), .only = "in-process latency",
     .help = "of a session (default 1; for --latency all processors, beside 1)"},
    {"precision", 0, KIND_CHOICE, "NAME", .choices = "auto" PRECISION_LIST(CHOICE),
     .commands = RUNS | COMMAND_SEARCH | COMMAND_BENCH, AT(precision),
     .help = "of the matrix products; auto is fp32"},
    {"batch-tokens", 0, KIND_NUMBER, "N|auto", .least = 1, .most = VECMILL_MAX_BATCH_TOKENS,
     .automatic = true, .commands = RUNS | COMMAND_BENCH, AT(batch_tokens),
     .help = "tokens computed in one pass; changes speed and memory, never a bit of the result"},
    {"memory", 0, KIND_BYTES, "BYTES|auto", .least = 1, .most = 1ull << 50, .automatic = true,
     .commands = RUNS, AT(memory_bytes),
     .help = "the most memory the run may take (default auto: what machine and cgroup allow)"},
    {"max-length", 0, KIND_NUMBER, "N", .least = 3, .most = VECMILL_MAX_BATCH_TOKENS,
     .commands = MODEL, AT(max_length),
     .help = "tokens kept of a document, special ones included (default: the model's own)"},
    {"long", 0, KIND_CHOICE, "POLICY", .choices = "truncate error split", .commands = RUNS,
     AT(long_policy),
     .help = "of a document over --max-length: cut it, fail it, or average windows of it"},
    {"dimensions", 0, KIND_NUMBER, "N", .least = 1, .most = OPTIONS_DIMENSIONS_MAX,
     .commands = EMBEDS | COMMAND_SEARCH | COMMAND_BENCH, AT(dimensions),
     .help = "floats kept of a vector, the first ones (default: the model's own)"},
    {"normalize", 0, KIND_CHOICE, "WHEN", .choices = "auto yes no",
     .commands = EMBEDS | COMMAND_SEARCH | COMMAND_BENCH, AT(normalize),
     .help = "to length 1: auto is when --dimensions cuts; no leaves what the model does"},
    {"prompt", 0, KIND_TEXT, "TEXT", .takes_empty = true, .commands = MODEL, AT(prompt),
     .help = "put before each document; '' is none (default: the model's, if it has one)"},
    {"prompt-name", 0, KIND_TEXT, "NAME", .commands = MODEL, AT(prompt_name),
     .help = "of one of the model's prompts; query and document are there in every model"},
    {"role", 0, KIND_CHOICE, "ROLE", .choices = "auto document query", .commands = TEXTS, AT(role),
     .help = "what the texts are to a search: the model's prompt of that name; auto is neither"},
    {"task", 0, KIND_TEXT, "NAME", .commands = TEXTS, AT(task),
     .help = "of one of the model's tasks: its adapter, and its instruction before each document"},
    {"kinds", 0, KIND_CHOICE, "KIND", .choices = "auto dense sparse multi tokens score",
     .commands = EMBEDS | COMMAND_SEARCH, AT(kinds),
     .help = "what is computed: auto is dense, or what the model makes; tokens: a row for each"},
    {"dtype", 0, KIND_CHOICE, "TYPE", .choices = DTYPES, .commands = EMBEDS, AT(dtype),
     .help = "of the numbers that are written, of dense vectors (default float32)"},
    {"ranges", 0, KIND_TEXT, "FILE", .commands = COMMAND_SEARCH, AT(ranges),
     .help = "of rows of int8 or uint8 (default: the input's name and .ranges.npy)"},
    {"rescore", 0, KIND_FLAG, .commands = COMMAND_SEARCH, AT(rescore),
     .help = "of rows of bits: rank the best by the query's own numbers, not by its bits"},
    {"ranges", 0, KIND_TEXT, "FILE", .commands = EMBEDS, AT(ranges),
     .help = "int8, uint8: a .npy of each component's least and greatest (default: the run's own)"},
    {"on-error", 0, KIND_CHOICE, "POLICY", .choices = "skip stop", .commands = RUNS, AT(on_error),
     .help = "a document that fails: skip it and go on, or stop with exit 8"},
    {"field", 0, KIND_TEXT, "NAME", .commands = READS, AT(field),
     .help = "the text's key in JSONL (default text); the column's name or number in CSV"},
    {"id-field", 0, KIND_TEXT, "NAME", .commands = READS, AT(id_field),
     .help = "the id's key or column (default id)"},
    {"input-format", 0, KIND_CHOICE, "NAME", .choices = INPUT_FORMATS, .commands = READS,
     AT(input_format), .help = "auto goes by the file's ending; stdin is txt"},
    {"encoding", 0, KIND_TEXT, "NAME", .commands = READS, AT(encoding),
     .help = "of the input's text: latin-1, cp1252, utf-16, any of iconv -l (default utf-8)"},
    {"delimiter", 0, KIND_TEXT, "CHAR", .commands = READS, AT(delimiter),
     .help = "between the values of CSV: one character, or tab (default a comma; .tsv: tab)"},
    {"max-document", 0, KIND_BYTES, "BYTES", .least = 1, .most = JOB_MAX_DOCUMENT_MOST,
     .commands = READS, AT(max_document),
     .help = "the most bytes of one line or record; a longer one fails (default 16M)"},
    {"resume", 0, KIND_FLAG, .commands = RUNS, AT(resume), .without = "force",
     .help = "go on where a run of the same options ended; afresh where none did"},
    {"force", 0, KIND_FLAG, .commands = RUNS, AT(force),
     .help = "start afresh, whatever a run before has left"},
    {"repeat", 0, KIND_NUMBER, "N", .least = 1, .most = 1000, .commands = COMMAND_BENCH, AT(repeat),
     .help = "times it is measured; the median counts (default 1)"},
    {"in-process", 0, KIND_FLAG, .commands = COMMAND_BENCH, AT(in_process),
     .without = "latency accuracy", .help = "measure one session instead of a job over workers"},
    {"latency", 0, KIND_FLAG, .commands = COMMAND_BENCH, AT(latency), .without = "accuracy",
     .help = "measure one short text at a time"},
    {"accuracy", 0, KIND_FLAG, .commands = COMMAND_BENCH, AT(accuracy),
     .help = "hold each precision, or --precision's, against fp32"},
    {"stsb", 0, KIND_TEXT, "FILE", .commands = COMMAND_BENCH, AT(stsb), .only = "accuracy",
     .help = "a CSV of sentence, sentence, score, without a header: Spearman's correlation"},
    {"try", 0, KIND_FLAG, .commands = COMMAND_PLAN, AT(try_out),
     .help = "start the workers, do the worst to them, and hold what is measured against the plan"},
    {"explain", 0, KIND_FLAG, .commands = COMMAND_TOKENIZE, AT(explain), .without = "pairs",
     .help = "also what the normalizers made, the pieces, and each token's bytes in the text"},
    {"pairs", 0, KIND_FLAG, .commands = COMMAND_TOKENIZE, AT(pairs),
     .help = "read {\"query\":...,\"text\":...} a line; with each token's type id"},
    {"verify", 0, KIND_FLAG, .commands = COMMAND_DOCTOR, AT(verify),
     .help = "read all packs of the cache and compare their checksums"},
    {"json", 0, KIND_FLAG,
     .commands = COMMAND_PLAN | COMMAND_RERANK | COMMAND_SEARCH | COMMAND_MODELS | COMMAND_DOCTOR |
                 COMMAND_BENCH,
     AT(json), .help = "answer in JSON"},
    {"progress", 0, KIND_CHOICE, "HOW", .choices = "auto json none",
     .commands = MODEL | COMMAND_PULL | COMMAND_MERGE, AT(progress),
     .help = "auto: a line on a terminal; json: objects on stderr; none: nothing but errors"},
    {"events", 0, KIND_TEXT, "FILE", .commands = RUNS, AT(events),
     .help = "write what happens as JSON lines, each flushed at once"},
    {"help", 'h', KIND_FLAG, .commands = ~0u, AT(help), .help = "say this"},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))
#define N_LINES    (sizeof(lines) / sizeof(lines[0]))

static const struct command_line *command_of(enum command command)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (commands[i].command == command) return &commands[i];
    return NULL;
}

vecmill_precision options_precision(const struct options *o)
{
    if (o->precision == PRECISION_AUTO) return VECMILL_FP32;
    return (vecmill_precision)(VECMILL_FP32 + o->precision - PRECISION_FP32);
}

const char *options_precision_word(vecmill_precision precision)
{
    static const char *const words[] = {
#define WORD(identifier, word) [VECMILL_##identifier] = (word),
        PRECISION_LIST(WORD)
#undef WORD
    };
    return words[precision];
}

uint32_t options_kinds(const struct options *o)
{
    static const uint32_t kinds[] = {0,
                                     1u << VECMILL_KIND_DENSE,
                                     1u << VECMILL_KIND_SPARSE,
                                     1u << VECMILL_KIND_MULTI,
                                     1u << VECMILL_KIND_TOKENS,
                                     1u << VECMILL_KIND_SCORE};
    const char *ending = o->output ? strrchr(o->output, '.') : NULL;
    if (o->command == COMMAND_RERANK) return 1u << VECMILL_KIND_SCORE;
    if (o->kinds == 0 && ending && strcasecmp(ending, ".npz") == 0)
        return 1u << VECMILL_KIND_SPARSE; /* it holds nothing else */
    return kinds[o->kinds];
}

bool options_default_prompt(const struct options *o, const char *prompt, char *sentence,
                            size_t most)
{
    if (o->prompt || o->prompt_name || o->task || o->role != VECMILL_ROLE_DEFAULT) return false;
    if (!prompt || !prompt[0]) return false;
    (void)snprintf(sentence, most,
                   "the model's default prompt is put before each text (--prompt '' for none): "
                   "%.300s",
                   prompt);
    return true;
}

const char *options_input_format(uint32_t input_format)
{
    static const char *const words[] = {NULL,     "txt",    "jsonl",    "json",     "csv",
                                        "tsv",    "ndjson", "txt.gz",   "jsonl.gz", "json.gz",
                                        "csv.gz", "tsv.gz", "ndjson.gz"}; /* INPUT_FORMATS */
    assert(input_format < sizeof(words) / sizeof(words[0]));
    return words[input_format];
}

static vecmill_status unknown_command(const char *word, vecmill_err *err)
{
    const char *best = NULL;
    unsigned best_distance = NEAR_MAX;
    for (size_t i = 0; i < N_COMMANDS + 2; i++) {
        const char *name = i < N_COMMANDS    ? commands[i].name
                           : i == N_COMMANDS ? "--help"
                                             : "--version";
        const unsigned d = near_distance(word, name);
        if (d < best_distance) best = name, best_distance = d;
    }
    if (best && near_is_slip(best_distance, best))
        return err_set(err, VECMILL_E_USAGE, "unknown command %s; did you mean %s?", word, best);
    return err_set(err, VECMILL_E_USAGE, "unknown command %s; vecmill --help lists the commands",
                   word);
}

static vecmill_status unknown_option(const struct command_line *command, const char *word,
                                     const char *name, vecmill_err *err)
{
    const char *best = NULL;
    unsigned best_distance = NEAR_MAX;
    for (size_t i = 0; i < N_LINES; i++) {
        if (!(lines[i].commands & (unsigned)command->command)) continue;
        const unsigned d = near_distance(name, lines[i].name);
        if (d < best_distance) best = lines[i].name, best_distance = d;
    }
    if (best && near_is_slip(best_distance, best))
        return err_set(err, VECMILL_E_USAGE, "unknown option %s; did you mean --%s?", word, best);
    return err_set(err, VECMILL_E_USAGE, "unknown option %s; vecmill %s --help lists the options",
                   word, command->name);
}

/* Word i of a list "a b c"; false after the last. */
static bool word_at(const char *list, unsigned i, const char **word, size_t *bytes)
{
    for (;; i--) {
        *bytes = strcspn(list, " ");
        *word = list;
        if (i == 0) return *bytes > 0;
        list += *bytes;
        if (!*list) return false;
        list++;
    }
}

static vecmill_status take_number(const struct option_line *line, const char *value, uint64_t *out,
                                  vecmill_err *err)
{
    if (line->automatic && strcmp(value, "auto") == 0) {
        *out = 0;
        return VECMILL_OK;
    }
    uint64_t number = 0;
    const bool is_bytes = line->kind == KIND_BYTES;
    const bool is_read =
        is_bytes ? num_parse_bytes(value, &number) : num_parse(value, UINT64_MAX, &number);
    if (!is_read || number < line->least || number > line->most)
        return err_set(err, VECMILL_E_USAGE, "--%s %s is not a number%s from %llu to %llu%s%s",
                       line->name, value, is_bytes ? " of bytes" : "",
                       (unsigned long long)line->least, (unsigned long long)line->most,
                       is_bytes ? ", K, M or G behind it allowed" : "",
                       line->automatic ? ", or auto" : "");
    *out = number;
    return VECMILL_OK;
}

static vecmill_status take_choice(const struct option_line *line, const char *value, uint32_t *out,
                                  vecmill_err *err)
{
    const char *word;
    size_t bytes;
    for (unsigned i = 0; word_at(line->choices, i, &word, &bytes); i++) {
        if (strlen(value) != bytes || memcmp(word, value, bytes) != 0) continue;
        *out = i;
        return VECMILL_OK;
    }
    return err_set(err, VECMILL_E_USAGE, "--%s %s is not one of: %s", line->name, value,
                   line->choices);
}

static vecmill_status take_shard(const struct option_line *line, const char *value,
                                 struct option_shard *out, vecmill_err *err)
{
    char index_text[16] = "";
    uint64_t index, of;
    const char *slash = strchr(value, '/');
    const size_t bytes = slash ? (size_t)(slash - value) : 0;
    if (bytes > 0 && bytes < sizeof(index_text)) memcpy(index_text, value, bytes);
    if (!slash || !num_parse(index_text, UINT32_MAX, &index) ||
        !num_parse(slash + 1, UINT32_MAX, &of))
        return err_set(err, VECMILL_E_USAGE, "--%s %s is not of the form %s, like 0/4", line->name,
                       value, line->value);
    if (of == 0 || of > JOB_SHARDS_MAX || index >= of)
        return err_set(err, VECMILL_E_USAGE,
                       "--%s %s: shards are counted from 0 to one less than their number, which "
                       "is at most %u",
                       line->name, value, JOB_SHARDS_MAX);
    *out = (struct option_shard){(uint32_t)index, (uint32_t)of};
    return VECMILL_OK;
}

/* value is NULL for a flag. */
static vecmill_status take(struct options *o, const struct option_line *line, const char *value,
                           vecmill_err *err)
{
    void *member = (char *)o + line->offset;
    switch (line->kind) {
    case KIND_FLAG:
        *(bool *)member = true;
        return VECMILL_OK;
    case KIND_TEXT:
        if (!*value && !line->takes_empty)
            return err_set(err, VECMILL_E_USAGE, "--%s is given an empty value", line->name);
        *(const char **)member = value;
        return VECMILL_OK;
    case KIND_LIST:
        if (o->n_queries == OPTIONS_QUERIES_MAX)
            return err_set(err, VECMILL_E_USAGE,
                           "--%s is given more than %u times (OPTIONS_QUERIES_MAX); give - and "
                           "write them to stdin",
                           line->name, OPTIONS_QUERIES_MAX);
        ((const char **)member)[o->n_queries++] = value;
        return VECMILL_OK;
    case KIND_NUMBER:
    case KIND_BYTES:
        return take_number(line, value, member, err);
    case KIND_CHOICE:
        return take_choice(line, value, member, err);
    case KIND_SHARD:
        return take_shard(line, value, member, err);
    }
    return err_set(err, VECMILL_E_INTERNAL, "--%s has no kind", line->name);
}

/* Finds the option that `word` ("-m", "--model", "--model=X") names; *value is what comes after
 * the equals sign, or NULL. */
static vecmill_status find_option(const struct command_line *command, const char *word,
                                  const struct option_line **found, const char **value,
                                  vecmill_err *err)
{
    char name[64] = "";
    const char *elsewhere = NULL; /* the name, where only other commands take it */
    const bool is_long = word[1] == '-';
    const char *start = word + (is_long ? 2 : 1);
    const size_t bytes = strcspn(start, "=");
    if (bytes < sizeof(name)) {
        memcpy(name, start, bytes);
        name[bytes] = 0;
        for (size_t i = 0; i < N_LINES; i++) {
            const bool is_it = is_long ? strcmp(name, lines[i].name) == 0
                                       : bytes == 1 && !start[1] && *start == lines[i].letter;
            if (!is_it) continue;
            elsewhere = lines[i].name;
            if (!(lines[i].commands & (unsigned)command->command)) continue;
            *found = &lines[i];
            *value = start[bytes] ? start + bytes + 1 : NULL;
            return VECMILL_OK;
        }
    } else {
        name[0] = 0;
    }
    if (elsewhere)
        return err_set(err, VECMILL_E_USAGE, "%s has no option --%s", command->name, elsewhere);
    return unknown_option(command, word, name, err);
}

/* The line of a flag, by a name out of another line. */
static const struct option_line *flag_of(const char *name, size_t bytes)
{
    for (size_t i = 0; i < N_LINES; i++)
        if (lines[i].kind == KIND_FLAG && strlen(lines[i].name) == bytes &&
            memcmp(lines[i].name, name, bytes) == 0)
            return &lines[i];
    assert(!"a line names a flag that there is not");
    return NULL;
}

/* The first flag out of `names` ("a b", or NULL) that was given; NULL: none of them. */
static const char *given_flag(const struct options *o, const char *names)
{
    const char *name;
    size_t bytes;
    for (unsigned i = 0; names && word_at(names, i, &name, &bytes); i++) {
        const struct option_line *flag = flag_of(name, bytes);
        if (*(const bool *)((const char *)o + flag->offset)) return flag->name;
    }
    return NULL;
}

/* Whether it says anything: a number that is not auto, a flag, a text. */
static bool is_given(const struct options *o, const struct option_line *line)
{
    const void *member = (const char *)o + line->offset;
    switch (line->kind) {
    case KIND_FLAG:
        return *(const bool *)member;
    case KIND_TEXT:
    case KIND_LIST:
        return *(const char *const *)member != NULL;
    case KIND_NUMBER:
    case KIND_BYTES:
        return *(const uint64_t *)member > 0;
    case KIND_CHOICE:
        return *(const uint32_t *)member > 0;
    case KIND_SHARD:
        return ((const struct option_shard *)member)->of > 0;
    }
    return false;
}

/* What is missing, and what does not go together. */
static vecmill_status check_whole(const struct options *o, const struct command_line *command,
                                  vecmill_err *err)
{
    for (size_t i = 0; i < N_LINES; i++) {
        const struct option_line *line = &lines[i];
        if (!(line->commands & (unsigned)command->command) || !is_given(o, line)) continue;
        const char *other = given_flag(o, line->without);
        if (other)
            return err_set(err, VECMILL_E_USAGE, "--%s and --%s exclude each other", line->name,
                           other);
        if (line->only && !given_flag(o, line->only))
            return err_set(err, VECMILL_E_USAGE, "--%s says nothing here; it goes with one of: %s",
                           line->name, line->only);
    }
    for (size_t i = 0; i < N_LINES; i++) {
        const struct option_line *line = &lines[i];
        if (!(line->required & (unsigned)command->command)) continue;
        if (!is_given(o, line) && !given_flag(o, line->spared))
            return err_set(err, VECMILL_E_USAGE, "%s needs --%s %s (-%c)", command->name,
                           line->name, line->value, line->letter);
    }
    if (command->operands_most > 0 && o->n_operands == 0)
        return err_set(err, VECMILL_E_USAGE, "%s needs %s", command->name, command->operands);
    return VECMILL_OK;
}

static vecmill_status take_operand(struct options *o, const struct command_line *command,
                                   const char *word, vecmill_err *err)
{
    if (o->n_operands < command->operands_most) {
        o->operands[o->n_operands++] = word;
        return VECMILL_OK;
    }
    if (o->n_operands < 2)
        return err_set(err, VECMILL_E_USAGE, "%s takes no argument %s", command->name, word);
    return err_set(err, VECMILL_E_USAGE, "%s takes at most %u arguments, and no %s", command->name,
                   command->operands_most, word);
}

/* Words after the command. Sets o->help and stops there when it is asked for. */
static vecmill_status parse_words(int argc, char *const *argv, const struct command_line *command,
                                  struct options *o, vecmill_err *err)
{
    bool only_operands = false;
    for (int i = 2; i < argc; i++) {
        const char *word = argv[i];
        if (!only_operands && strcmp(word, "--") == 0) {
            only_operands = true;
            continue;
        }
        if (only_operands || word[0] != '-' || !word[1]) {
            VM_TRY(take_operand(o, command, word, err));
            continue;
        }
        const struct option_line *line = NULL;
        const char *value = NULL;
        VM_TRY(find_option(command, word, &line, &value, err));
        assert(line);
        if (line->kind == KIND_FLAG && value)
            return err_set(err, VECMILL_E_USAGE, "--%s takes no value, and %s was given",
                           line->name, value);
        if (line->kind != KIND_FLAG && !value) {
            if (i + 1 == argc)
                return err_set(err, VECMILL_E_USAGE, "--%s needs a value: %s", line->name,
                               line->value);
            value = argv[++i];
        }
        VM_TRY(take(o, line, value, err));
        if (o->help) return VECMILL_OK;
    }
    return VECMILL_OK;
}

vecmill_status options_parse(int argc, char *const *argv, struct options *options, vecmill_err *err)
{
    static_assert(VECMILL_LONG_ERROR == 1 && VECMILL_LONG_SPLIT == 2, "order of --long");
    static_assert(VECMILL_BF16 == VECMILL_FP32 + 1 && VECMILL_INT8 == VECMILL_FP32 + 2,
                  "order of --precision");
    static_assert(VECMILL_DTYPE_FLOAT32 == 0 && VECMILL_DTYPE_FLOAT16 == 1 &&
                      VECMILL_DTYPE_INT8 == 2 && VECMILL_DTYPE_UINT8 == 3 &&
                      VECMILL_DTYPE_BINARY == 4 && VECMILL_DTYPE_UBINARY == 5,
                  "order of --dtype");
    static_assert(VECMILL_ROLE_DOCUMENT == 1 && VECMILL_ROLE_QUERY == 2, "order of --role");
    static_assert(VECMILL_NORMALIZE_YES == 1 && VECMILL_NORMALIZE_NO == 2, "order of --normalize");

    struct options o = {.model = OPTIONS_DEFAULT_MODEL, .top = 10, .repeat = 1};
    if (argc < 2)
        return err_set(err, VECMILL_E_USAGE, "no command is given; vecmill --help lists them");
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        o.help = true;
        *options = o;
        return VECMILL_OK;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        o.version = true;
        *options = o;
        return VECMILL_OK;
    }
    const struct command_line *command = NULL;
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(word, commands[i].name) == 0) command = &commands[i];
    if (!command) return unknown_command(word, err);
    o.command = command->command;

    VM_TRY(parse_words(argc, argv, command, &o, err));
    if (!o.help) {
        VM_TRY(check_whole(&o, command, err));
    }
    *options = o;
    return VECMILL_OK;
}

static vecmill_status add_line(struct buf *text, vecmill_err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static vecmill_status add_line(struct buf *text, vecmill_err *err, const char *format, ...)
{
    char line[256];
    va_list ap;
    va_start(ap, format);
    const int n = vsnprintf(line, sizeof(line), format, ap);
    va_end(ap);
    assert(n > 0 && (size_t)n < sizeof(line));
    return buf_add(text, line, (size_t)n, err);
}

#define INDENT "                              " /* before what is said under an option */

static vecmill_status help_program(struct buf *text, vecmill_err *err)
{
    VM_TRY(buf_add_string(text,
                          "vecmill turns text into vectors.\n\n"
                          "usage: vecmill COMMAND [OPTIONS]\n"
                          "       vecmill COMMAND --help\n"
                          "       vecmill --help | --version\n\ncommands:\n",
                          err));
    for (size_t i = 0; i < N_COMMANDS; i++)
        VM_TRY(add_line(text, err, "  %-10s%s\n", commands[i].name, commands[i].help));
    VM_TRY(buf_add_string(text, "\nexit codes:\n", err));

    /* Two statuses may share a code: the first in the list names it. */
    static const struct {
        int code;
        const char *words;
    } codes[] = {
#define STATUS_LINE(name, code, words) {code, words},
        VECMILL_STATUS_LIST(STATUS_LINE)
#undef STATUS_LINE
    };
    int last = -1;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        if (codes[i].code <= last) continue;
        last = codes[i].code;
        VM_TRY(add_line(text, err, "  %-4d%s\n", codes[i].code, codes[i].words));
    }
    return VECMILL_OK;
}

/* "not with --a, --b": those of the names that the command has. */
static vecmill_status help_flags(const char *names, const char *words, unsigned command,
                                 struct buf *text, vecmill_err *err)
{
    const char *name;
    size_t bytes;
    bool is_first = true;
    for (unsigned i = 0; names && word_at(names, i, &name, &bytes); i++) {
        const struct option_line *flag = flag_of(name, bytes);
        if (!(flag->commands & command)) continue;
        VM_TRY(is_first ? add_line(text, err, "%s%s --%s", INDENT, words, flag->name)
                        : add_line(text, err, ", --%s", flag->name));
        is_first = false;
    }
    return is_first ? VECMILL_OK : buf_add_string(text, "\n", err);
}

static vecmill_status help_option(const struct option_line *line, enum command command,
                                  struct buf *text, vecmill_err *err)
{
    char left[48], letter[8] = "    ";
    if (line->letter) (void)snprintf(letter, sizeof(letter), "-%c, ", line->letter);
    (void)snprintf(left, sizeof(left), "%s--%s%s%s", letter, line->name, line->value ? " " : "",
                   line->value ? line->value : "");
    VM_TRY(add_line(text, err, "  %-28s%s\n", left, line->help));
    if (line->choices) {
        return add_line(text, err, "%sone of: %s\n", INDENT, line->choices);
    }
    if (line->kind == KIND_NUMBER || line->kind == KIND_BYTES)
        VM_TRY(add_line(text, err, "%s%llu to %llu%s\n", INDENT, (unsigned long long)line->least,
                        (unsigned long long)line->most,
                        line->kind == KIND_BYTES ? ", K, M or G behind it allowed" : ""));
    const unsigned of = (unsigned)command;
    VM_TRY(help_flags(line->without, "not with", of, text, err));
    return help_flags(line->only, "only with", of, text, err);
}

vecmill_status options_help(enum command command, struct buf *text, vecmill_err *err)
{
    const struct command_line *c = command_of(command);
    if (!c) return help_program(text, err);
    VM_TRY(add_line(text, err, "vecmill %s: %s\n\nusage: vecmill %s%s%s [OPTIONS]\n\n", c->name,
                    c->help, c->name, *c->usage ? " " : "", c->usage));
    for (size_t i = 0; i < N_LINES; i++)
        if (lines[i].commands & (unsigned)command)
            VM_TRY(help_option(&lines[i], command, text, err));
    return VECMILL_OK;
}
