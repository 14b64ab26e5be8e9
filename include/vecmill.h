/* vecmill.h: text in, vectors out.
 *
 * A session holds one model, ready to compute. It is opened from a folder in Hugging Face layout,
 * compiles the model into a pack in the cache on first use (a child process does it), maps the pack
 * read-only, takes its whole working memory at once, and from then on allocates nothing.
 *
 * Promises:
 *  - A row's bits depend on its text, the model, the precision and the instruction set, and on
 *    nothing else: not on the other documents of the call, their order, or batch_tokens.
 *  - No function exits, aborts, prints, installs a signal handler, or waits for a child that is not
 *    its own. Every failure is a status and one sentence in a caller-owned vecmill_err.
 *  - On failure out-parameters are untouched, unless said otherwise.
 *
 * Threads: a session belongs to one thread at a time; different sessions are independent. All
 * sessions of a process share one instruction set, fixed by the first call that opens one, also when
 * that call then fails. A pack that somebody truncates while it is mapped ends the process by SIGBUS;
 * vecmill itself only ever replaces one by rename.
 * This header is clean C99 and C++11. Structs begin with struct_bytes = sizeof(struct), so that they
 * can grow without breaking callers. */
#ifndef VECMILL_H
#define VECMILL_H

#include <stddef.h>
#include <stdint.h>

#include "vecmill_status.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define VECMILL_API __attribute__((visibility("default")))
#else
#define VECMILL_API
#endif

#define VECMILL_VERSION "0.1.0"

/* Version of the library that runs, as text; static storage. */
VECMILL_API const char *vecmill_version(void);

/* A few static words for a status ("output failed"); "unknown status" outside the list. */
VECMILL_API const char *vecmill_status_words(vecmill_status status);

/* The exit code the vecmill program ends with for a status; 1 outside the list. */
VECMILL_API int vecmill_status_exit(vecmill_status status);

typedef enum vecmill_precision {
    VECMILL_FP32 = 0, /* the reference; the only one in this version */
    VECMILL_BF16 = 1,
    VECMILL_INT8 = 2
} vecmill_precision;

typedef enum vecmill_long {
    VECMILL_LONG_TRUNCATE = 0, /* keep the first max_length tokens, count it in the result */
    VECMILL_LONG_ERROR = 1,    /* the document fails with VECMILL_E_LIMIT, the others go on */
    VECMILL_LONG_SPLIT = 2     /* not in this version: VECMILL_E_UNSUPPORTED */
} vecmill_long;

typedef struct vecmill_options {
    size_t struct_bytes;     /* sizeof(vecmill_options) */
    const char *model_dir;   /* folder in Hugging Face layout; required; borrowed for the call */
    const char *cache_dir;   /* where packs live; NULL: $VECMILL_CACHE, $XDG_CACHE_HOME/vecmill
                                    or ~/.cache/vecmill; made if missing */
    const char *worker_path; /* the program vecmill-worker; NULL: beside the running program or
                                    library, then libexec; never by PATH */
    const char *isa;         /* at most this level: "ref", "avx2", "avx512"; NULL: $VECMILL_ISA,
                                    else the best this machine has */
    vecmill_precision precision; /* default VECMILL_FP32 */
    vecmill_long long_policy;    /* default VECMILL_LONG_TRUNCATE */
    uint32_t batch_tokens;       /* tokens computed in one pass, 1 to VECMILL_MAX_BATCH_TOKENS; a
                                    document longer than it forms a pass alone; 0: chosen */
    uint32_t max_length;         /* tokens kept of a document, special ones included: one more
                                    than those (3 for BERT) to the model's position table; 0: the
                                    model's own default */
} vecmill_options;

#define VECMILL_MAX_BATCH_TOKENS 65536u

/* Fills *options with the defaults above, struct_bytes included. */
VECMILL_API void vecmill_options_init(vecmill_options *options);

typedef struct vecmill_session vecmill_session;

/* Opens a session. Cost: milliseconds with a pack in the cache; without one, a second or so to build
 * it. Errors: E_USAGE (an option out of range, a level this machine lacks), E_UNSUPPORTED,
 * E_MODEL (files missing, invalid, or in disagreement), E_MEMORY, E_IO (the cache), E_INTERNAL. */
VECMILL_API vecmill_status vecmill_session_open(const vecmill_options *options,
                                                vecmill_session **session, vecmill_err *err);

/* Closes a session and gives everything back; NULL is accepted. */
VECMILL_API void vecmill_session_close(vecmill_session *session);

typedef struct vecmill_facts {
    size_t struct_bytes;   /* in: sizeof(vecmill_facts) */
    uint32_t dim;          /* floats a vector */
    uint32_t max_length;   /* in force, special tokens included */
    uint32_t most_length;  /* rows of the position table */
    uint32_t batch_tokens; /* in force */
    uint32_t layers, heads, hidden, intermediate, vocab;
    vecmill_precision precision;
    int normalized;        /* 1: rows have length 1 */
    const char *pooling;   /* "mean" or "cls" */
    const char *isa;       /* "ref", "avx2" or "avx512" */
    const char *pack_path; /* until the session is closed, as are all strings here */
    uint64_t pack_bytes;   /* file-backed and shared, not counted below */
    uint64_t arena_bytes;  /* this session's working memory, taken whole at open */
} vecmill_facts;

/* Facts about an open session. Fills *facts as far as its struct_bytes reaches. */
VECMILL_API void vecmill_session_describe(const vecmill_session *session, vecmill_facts *facts);

typedef struct vecmill_doc {
    const char *text; /* UTF-8, NUL bytes allowed, need not be terminated; NULL if bytes == 0 */
    size_t bytes;
} vecmill_doc;

typedef struct vecmill_result {
    vecmill_status status; /* OK, or E_LIMIT (longer than max_length under LONG_ERROR) */
    uint32_t n_tokens;     /* computed, special ones included */
    uint32_t truncated;    /* 1: tokens were cut off */
    uint64_t
        replaced_bytes; /* bytes of invalid UTF-8 in what was read before a cut, each maximal bad
                                part read as U+FFFD */
} vecmill_result;

/* Embeds n_docs documents. Empty and blank ones are documents like any other.
 *   docs     [n_docs], borrowed for the call
 *   vectors  [n_docs, dim] float32, row-major, caller's; row i belongs to docs[i]; a failed
 *            document's row is zero
 *   results  [n_docs], caller's, or NULL
 * Returns OK also when single documents failed: see results[i].status. Allocates nothing.
 * Errors: E_INTERNAL, E_MODEL (weights whose vectors overflow); then the contents of vectors and
 * results are unspecified. Cost: linear in tokens, plus length squared for attention. */
VECMILL_API vecmill_status vecmill_embed(vecmill_session *session, const vecmill_doc *docs,
                                         size_t n_docs, float *vectors, vecmill_result *results,
                                         vecmill_err *err);

/* Token ids of one document as vecmill_embed computes them: special tokens included, cut at
 * max_length (so at most facts.max_length ids). ids: caller's, room for `capacity`; *n_ids: how many
 * were written. Fails with E_LIMIT when capacity is too small, and as embed does. */
VECMILL_API vecmill_status vecmill_tokenize(vecmill_session *session, vecmill_doc doc, int32_t *ids,
                                            size_t capacity, size_t *n_ids, vecmill_result *result,
                                            vecmill_err *err);

/* The text of a token id (WordPiece continuation marks included), not terminated, *bytes long,
 * valid until the session is closed; NULL if the id is not in the vocabulary. */
VECMILL_API const char *vecmill_token_text(const vecmill_session *session, int32_t id,
                                           size_t *bytes);

/* Floating-point operations (a multiply-add counts two) that the model's formulas need for one
 * document of n_tokens: products and attention; docs/MODEL.md has the sum. */
VECMILL_API double vecmill_session_flops(const vecmill_session *session, uint32_t n_tokens);

/* Measures this core's peak of fused multiply-adds at the session's level for about `seconds`
 * (0.01 to 10); operations a second. The calling thread computes. */
VECMILL_API double vecmill_session_peak(const vecmill_session *session, double seconds);

/* What this machine and this cgroup allow, and what this library was built on. */
typedef struct vecmill_machine {
    size_t struct_bytes; /* in: sizeof(vecmill_machine) */
    uint32_t cpus_online;
    uint32_t cpus_allowed;        /* by affinity */
    double cpus_quota;            /* cores by cgroup quota; 0: none */
    uint64_t memory_total;        /* bytes; UINT64_MAX: unknown */
    uint64_t memory_available;    /* bytes; UINT64_MAX: unknown */
    uint64_t memory_limit;        /* bytes, the smallest cgroup limit; UINT64_MAX: none */
    char memory_limit_source[64]; /* "cgroup v2 memory.max", ..., "none" */
    int cgroup_version;           /* of the memory controller; 0: none */
    int oom_group;                /* 1: an OOM kill takes the whole group */
    int psi;                      /* 1: /proc/pressure/memory is there */
    int huge_pages_always;        /* 1: transparent huge pages are set to "always" */
    char isa_best[16];            /* "ref", "avx2", "avx512": what the processor has */
    char isa[16]; /* what a session would use, $VECMILL_ISA counted; "" if that is invalid */
    char dnnl_version[16]; /* of the oneDNN that is loaded */
} vecmill_machine;

/* Fills *machine as far as its struct_bytes reaches. E_IO only when /proc cannot be read at all. */
VECMILL_API vecmill_status vecmill_machine_describe(vecmill_machine *machine, vecmill_err *err);

#ifdef __cplusplus
}
#endif
#endif
