#include "engine/worker_args.h"

#include "engine/resolve.h"

#include <stdio.h>
#include <string.h>

/* Places of words. */
enum {
    AT_PROGRAM,
    AT_MODE,
    AT_PARENT,
    AT_ISA,
    AT_PRECISION,
    AT_DIR,
    AT_PACK,
    AT_KEY,
    AT_BATCH,
    AT_LENGTH,
    AT_LONG,
    AT_DOCUMENT,
    AT_DIMENSIONS,
    AT_NORMALIZE,
    AT_KINDS,
    AT_RAW,
    AT_ROLE,
    AT_IDENTITY,
    AT_PROMPT,
    AT_TASK,
    AT_END
};
_Static_assert(AT_END == WORKER_WORDS, "there is room for all words");

static const struct {
    const char *word;
    int n_words;
} modes[] = {
    [WORKER_PACK] = {"pack", AT_BATCH},
    [WORKER_BASELINE] = {"baseline", AT_ISA},
    [WORKER_SERVE] = {"serve", AT_END},
};
#define MODES (sizeof modes / sizeof *modes)

void worker_args_encode(const struct worker_args *args, struct worker_argv *argv)
{
    const struct {
        int at;
        uint64_t value;
    } numbers[WORKER_NUMBERS] = {
        {AT_PARENT, (uint64_t)args->parent},
        {AT_BATCH, args->batch_tokens},
        {AT_LENGTH, args->max_length},
        {AT_LONG, (uint64_t)args->long_policy},
        {AT_DOCUMENT, args->max_document},
        {AT_DIMENSIONS, args->dimensions},
        {AT_NORMALIZE, (uint64_t)args->normalize},
        {AT_KINDS, args->kinds},
        {AT_RAW, args->raw_scores != 0},
        {AT_ROLE, (uint64_t)args->role},
    };
    const struct model_ref *ref = args->ref;
    const char *words[WORKER_WORDS] = {
        [AT_PROGRAM] = "vecmill-worker", [AT_MODE] = modes[args->mode].word};
    if (args->mode != WORKER_BASELINE) {
        words[AT_ISA] = args->isa;
        words[AT_PRECISION] = kern_precision_name(resolve_precision(args->precision));
        words[AT_DIR] = ref->dir;
        words[AT_PACK] = ref->path;
        words[AT_KEY] = ref->key;
        words[AT_IDENTITY] = ref->identity;
        words[AT_PROMPT] = args->prompt ? args->prompt : "";
        words[AT_TASK] = args->task ? args->task : "";
    }
    for (int i = 0; i < WORKER_NUMBERS; i++) {
        snprintf(argv->numbers[i], sizeof argv->numbers[i], "%llu",
                 (unsigned long long)numbers[i].value);
        words[numbers[i].at] = argv->numbers[i];
    }
    for (int i = 0; i < modes[args->mode].n_words; i++)
        argv->words[i] = (char *)words[i]; /* exec takes no const */
    argv->words[modes[args->mode].n_words] = NULL;
}

/* ---- reading ---- */

static bool read_mode(int argc, char *const argv[], enum worker_mode *mode)
{
    for (size_t i = 0; argc > AT_MODE && i < MODES; i++) {
        if (argc != modes[i].n_words || strcmp(argv[AT_MODE], modes[i].word) != 0) continue;
        *mode = (enum worker_mode)i;
        return true;
    }
    return false;
}

static bool read_precision(const char *name, vecmill_precision *precision)
{
    for (unsigned i = 0; i <= VECMILL_INT8; i++) {
        const vecmill_precision p = (vecmill_precision)i;
        if (strcmp(name, kern_precision_name(resolve_precision(p))) != 0) continue;
        *precision = p;
        return true;
    }
    return false;
}

static bool read_text(const char *word, char *out, size_t room)
{
    const size_t n = strlen(word);
    if (n == 0 || n >= room) return false;
    memcpy(out, word, n + 1);
    return true;
}

static bool read_identity(const char *word, struct model_ref *ref)
{
    return strlen(word) == sizeof ref->identity - 1 &&
           strspn(word, "0123456789abcdef") == sizeof ref->identity - 1 &&
           read_text(word, ref->identity, sizeof ref->identity);
}

static bool read_u32(const char *word, uint64_t most, uint32_t *out)
{
    uint64_t value;
    if (!num_parse(word, most, &value)) return false;
    *out = (uint32_t)value;
    return true;
}

bool worker_args_decode(int argc, char *const argv[], struct worker_args *args,
                        struct model_ref *ref)
{
    struct worker_args a = {.ref = ref};
    uint32_t parent, policy, normalize, raw, role;
    if (!read_mode(argc, argv, &a.mode)) return false;
    if (!read_u32(argv[AT_PARENT], INT32_MAX, &parent)) return false;
    a.parent = (pid_t)parent;
    if (a.mode != WORKER_BASELINE) {
        a.isa = argv[AT_ISA];
        ref->identity[0] = '\0';
        if (!read_precision(argv[AT_PRECISION], &a.precision) ||
            !read_text(argv[AT_DIR], ref->dir, sizeof ref->dir) ||
            !read_text(argv[AT_PACK], ref->path, sizeof ref->path) ||
            !read_text(argv[AT_KEY], ref->key, sizeof ref->key))
            return false;
    }
    if (a.mode == WORKER_SERVE) {
        if (!read_u32(argv[AT_BATCH], VECMILL_MAX_BATCH_TOKENS, &a.batch_tokens) ||
            !read_u32(argv[AT_LENGTH], UINT32_MAX, &a.max_length) ||
            !read_u32(argv[AT_LONG], VECMILL_LONG_SPLIT, &policy) ||
            !num_parse(argv[AT_DOCUMENT], VECMILL_MAX_DOCUMENT + MODEL_PROMPT_MAX,
                       &a.max_document) ||
            !read_u32(argv[AT_DIMENSIONS], UINT32_MAX, &a.dimensions) ||
            !read_u32(argv[AT_NORMALIZE], VECMILL_NORMALIZE_NO, &normalize) ||
            !read_u32(argv[AT_KINDS], (1u << MODEL_KINDS) - 1, &a.kinds) ||
            !read_u32(argv[AT_RAW], 1, &raw) ||
            !read_u32(argv[AT_ROLE], VECMILL_ROLE_QUERY, &role) ||
            !read_identity(argv[AT_IDENTITY], ref) || strlen(argv[AT_PROMPT]) >= MODEL_PROMPT_MAX ||
            strlen(argv[AT_TASK]) >= MODEL_TASK_BYTES)
            return false;
        a.prompt = argv[AT_PROMPT];
        a.task = argv[AT_TASK][0] ? argv[AT_TASK] : NULL;
        a.long_policy = (vecmill_long)policy;
        a.normalize = (vecmill_normalize)normalize;
        a.raw_scores = (int)raw;
        a.role = (vecmill_role)role;
    }
    *args = a;
    return true;
}
