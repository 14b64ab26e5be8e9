/* vecmill.h: text in, vectors out.
 *
 * A session holds one model, ready to compute. It is opened from a folder in Hugging Face layout,
 * compiles the model into a pack in the cache on first use (a child process does it), maps the pack
 * read-only, takes its whole working memory at once, and from then on allocates nothing.
 * A pool does the same work in worker processes, any of which may be killed at any moment: no
 * document is lost or doubled, none waits for ever, and the vectors are those of an undisturbed run.
 *
 * Promises:
 *  - A row's bits depend on its text, the model, the precision and the instruction set, and on
 *    nothing else: not on the other documents of the call, their order, batch_tokens, or threads.
 *  - No function exits, aborts, prints, installs a signal handler, or waits for a child that is not
 *    its own. Every failure is a status and one sentence in a caller-owned vecmill_err.
 *  - On failure out-parameters are untouched, unless said otherwise.
 *
 * Threads: a session belongs to one calling thread at a time; different sessions are independent. One
 * opened with several threads of its own (options.threads) has them sleep between calls, with all
 * signals blocked; they end with the session, and do not live on in the child of a fork(). All
 * sessions of a process share one instruction set, fixed by the first call that opens one, also when
 * that call then fails. A pack that somebody truncates while it is mapped ends the process by SIGBUS;
 * vecmill itself only ever replaces one by rename.
 *
 * Growth, under one soname (libvecmill.so.1): functions, enum values and members of structs are added
 * and never changed or taken away. A struct that begins with struct_bytes grows at its end, never into
 * padding; the caller sets struct_bytes to sizeof(the struct) of the header it was compiled with.
 *  - Options are read as far as struct_bytes reaches; what a shorter struct lacks has its default.
 *    Shorter than the first version is E_USAGE. What a longer struct has beyond this library's must be
 *    zero, else E_UNSUPPORTED: an option is obeyed or refused, never overlooked.
 *  - Structs that a function fills are filled as far as struct_bytes reaches, and bytes beyond what
 *    this library knows are left as they are: set the struct to zero first, and 0 there means unknown.
 *  - Elements of arrays (vecmill_doc, vecmill_result, vecmill_token, vecmill_plan_part) and vecmill_err
 *    have one size for a soname. Set a vecmill_doc to zero before its members, as an initialiser does.
 *  - What this version does not compute, but the header has words for, is E_UNSUPPORTED.
 * This header is clean C99 and C++11. */
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

#define VECMILL_VERSION "0.4.0"

/* Version of the library that runs, as text; static storage. */
VECMILL_API const char *vecmill_version(void);

/* A few static words for a status ("output failed"); "unknown status" outside the list. */
VECMILL_API const char *vecmill_status_words(vecmill_status status);

/* The exit code the vecmill program ends with for a status; 1 outside the list. */
VECMILL_API int vecmill_status_exit(vecmill_status status);

/* The word for a cause ("oom", "segv"); "unknown" outside the list. */
VECMILL_API const char *vecmill_cause_word(vecmill_cause cause);

typedef enum vecmill_precision {
    /* float throughout: the reference */
    VECMILL_FP32 = 0,
    /* What is multiplied is rounded to bfloat16 (8 bits of mantissa); sums and all else are float. */
    VECMILL_BF16 = 1,
    /* What is multiplied is rounded to bytes, with a scale for each token's row and each output; all
     * else is float. */
    VECMILL_INT8 = 2
} vecmill_precision;

/* Documents of more than max_length tokens. */
typedef enum vecmill_long {
    /* Keep the first max_length tokens; counted in the result. */
    VECMILL_LONG_TRUNCATE = 0,
    /* The document fails with VECMILL_E_LIMIT, the others go on. */
    VECMILL_LONG_ERROR = 1,
    /* Windows of max_length tokens, special ones included, that share a quarter with the next: the mean
     * of their vectors, weighted by their text tokens, normalised if the model's are (docs/MODEL.md).
     * Nothing is cut off, memory does not grow with the document, and a document that fits has the
     * bits that it has under the other policies. */
    VECMILL_LONG_SPLIT = 2
} vecmill_long;

/* Which finished vectors are scaled to length 1. */
typedef enum vecmill_normalize {
    /* Those that were cut; others stay as the model's modules leave them. */
    VECMILL_NORMALIZE_AUTO = 0,
    /* All, last. */
    VECMILL_NORMALIZE_YES = 1,
    /* None, except by the model's own Normalize, which comes before the cut. */
    VECMILL_NORMALIZE_NO = 2
} vecmill_normalize;

/* Which side of a search a document is on, for models that treat them differently: of a dense model, the
 * prompt of the name "document" or "query". */
typedef enum vecmill_role {
    VECMILL_ROLE_DEFAULT = 0,
    VECMILL_ROLE_DOCUMENT = 1,
    VECMILL_ROLE_QUERY = 2
} vecmill_role;

/* What a model makes of a document. This version computes VECMILL_KIND_DENSE, SCORE, SPARSE and TOKENS. */
typedef enum vecmill_kind {
    VECMILL_KIND_DENSE = 0,  /* one vector of `dim` elements */
    VECMILL_KIND_SCORE = 1,  /* of a pair: one score, or one for each label, as a vector of `dim` */
    VECMILL_KIND_SPARSE = 2, /* indices into the vocabulary, ascending, and their weights */
    VECMILL_KIND_MULTI = 3,  /* a vector of `dim` elements for each token that counts */
    VECMILL_KIND_TOKENS = 4, /* of a dense model: a vector of `dim` elements for each token */
    VECMILL_KIND_IDS = 5     /* token ids, of vecmill_tokenize */
} vecmill_kind;

/* Elements of a result. This version computes VECMILL_DTYPE_FLOAT32. */
typedef enum vecmill_dtype {
    VECMILL_DTYPE_FLOAT32 = 0,
    VECMILL_DTYPE_FLOAT16 = 1,
    VECMILL_DTYPE_INT8 = 2,
    VECMILL_DTYPE_UINT8 = 3,
    VECMILL_DTYPE_BINARY = 4,  /* bits, eight to a byte, which is signed */
    VECMILL_DTYPE_UBINARY = 5, /* bits, eight to a byte */
    VECMILL_DTYPE_INT32 = 6    /* token ids */
} vecmill_dtype;

typedef struct vecmill_options {
    size_t struct_bytes; /* sizeof(vecmill_options) */
    /* Folder in Hugging Face layout; required. Borrowed for the call, as are all strings here. */
    const char *model_dir;
    /* Where packs are kept; NULL: $VECMILL_CACHE, $XDG_CACHE_HOME/vecmill or ~/.cache/vecmill. Made if
     * missing. */
    const char *cache_dir;
    /* The program vecmill-worker; NULL: next to the running program or library, then libexec; never by
     * PATH. */
    const char *worker_path;
    /* At most this level: "ref", "avx2", "avx512"; NULL: $VECMILL_ISA, else the best this machine has. */
    const char *isa;
    vecmill_precision precision; /* default VECMILL_FP32 */
    vecmill_long long_policy;    /* default VECMILL_LONG_TRUNCATE */
    /* Tokens computed in one pass, 1 to VECMILL_MAX_BATCH_TOKENS; a document longer than it forms a pass
     * alone; 0: chosen. */
    uint32_t batch_tokens;
    /* Tokens kept of a document, or of a window of it (LONG_SPLIT), special ones included: one more than
     * those (3 where there are two) to facts.most_length; 0: the model's own default. */
    uint32_t max_length;
    /* Of a session: threads that compute a call together, the calling one included, 1 to
     * VECMILL_MAX_THREADS; no bit depends on their number, working memory does. 0: 1. Ignored for pools,
     * whose workers have one each. */
    uint32_t threads;
    /* Floats of a vector, the first of the model's, 1 to all of them; 0: truncate_dim of
     * config_sentence_transformers.json, else all. */
    uint32_t dimensions;
    vecmill_normalize normalize; /* default VECMILL_NORMALIZE_AUTO */
    vecmill_role role; /* of documents that have none of their own; default VECMILL_ROLE_DEFAULT */
    /* The first version ends here. */

    /* Text that is put before each document's, UTF-8 of at most VECMILL_MAX_PROMPT bytes, or its name in
     * the model's list of prompts (config_sentence_transformers.json); one of the two, or E_USAGE. Of no
     * name: role's, if it is set, else the model's default prompt, if it has one. "": no prompt. The names
     * "query" and "document" are there in every model, of no text where its files do not have them; any
     * other that it does not have is E_USAGE. The prompt's tokens count for max_length, and must leave
     * room there (else E_USAGE); where the model's pooling has include_prompt false, it leaves them out.
     * Under LONG_SPLIT each window has it, and a session, unlike a pool, takes no document over
     * VECMILL_TEXT_BYTES then (E_LIMIT, in its result). */
    const char *prompt, *prompt_name;
    /* Name of one of the model's tasks: its adapter, and before each text its instruction, unless a prompt
     * or a role says another. NULL: the plain weights. E_USAGE: the model has none of this name. */
    const char *task;
    /* What is computed, of a model that has several: bits 1u << vecmill_kind; 0: dense where the model has
     * it, else all that it has. E_USAGE: a kind that the model does not make. */
    uint32_t kinds;
    vecmill_dtype dtype; /* of dense results; VECMILL_DTYPE_FLOAT32, or E_UNSUPPORTED */
    /* For VECMILL_DTYPE_INT8 and UINT8, [2, dim]: least and greatest value of each component. NULL, or
     * E_UNSUPPORTED. */
    const float *ranges;
    /* 1: scores of pairs are logits. 0: what the model's own activation makes of them, as
     * sentence-transformers reads it from config.json (docs/MODEL.md, "Scores"). E_USAGE: the model makes
     * no scores. */
    uint64_t raw_scores;
} vecmill_options;

#define VECMILL_MAX_PROMPT       4095u
#define VECMILL_MAX_THREADS      256u
#define VECMILL_MAX_BATCH_TOKENS 65536u

/* Bytes of a document that are looked at under LONG_TRUNCATE and LONG_ERROR: many times what max_length
 * tokens take in any language. What comes after them is cut off as further tokens are, whether or not
 * the tokens before were too many. Under LONG_SPLIT all of a document counts. */
#define VECMILL_TEXT_BYTES (1u << 20)

/* Fills *options with the defaults above, struct_bytes included. The size is that of the caller's header,
 * whatever the library's is. */
#define vecmill_options_init(options) vecmill_options_init_sized((options), sizeof *(options))
VECMILL_API void vecmill_options_init_sized(vecmill_options *options, size_t struct_bytes);

typedef struct vecmill_session vecmill_session;

/* Opens a session. Cost: milliseconds with a pack in the cache; without one, a second or so to build
 * it. Errors: E_USAGE (an option out of range, a level this machine lacks), E_UNSUPPORTED (an option that
 * this version does not obey), E_MODEL (files missing, invalid, or in disagreement), E_MEMORY (memory, or a
 * thread that cannot be started), E_IO (the cache), E_INTERNAL. */
VECMILL_API vecmill_status vecmill_session_open(const vecmill_options *options,
                                                vecmill_session **session, vecmill_err *err);

/* Closes a session and gives everything back; NULL is accepted. */
VECMILL_API void vecmill_session_close(vecmill_session *session);

typedef struct vecmill_facts {
    size_t struct_bytes; /* in: sizeof(vecmill_facts) */
    /* Floats of a vector, in force; where only rows of tokens are computed, of a row; where only sparse
     * weights are, the indices that there can be. */
    uint32_t dim;
    uint32_t max_length;   /* in force, special tokens included */
    uint32_t most_length;  /* the most that max_length can be: the longest document of the model */
    uint32_t batch_tokens; /* in force */
    /* Of the model; 0 where its family has no such thing. */
    uint32_t layers, heads, hidden, intermediate, vocab;
    vecmill_precision precision;
    int normalized; /* 1: vectors have length 1, as they come out */
    /* "mean", "cls", "max", "mean_sqrt_len_tokens", "weightedmean" or "lasttoken"; where several are
     * concatenated, "cls+mean"; "" where the family has none */
    const char *pooling;
    const char *isa;       /* "ref", "avx2" or "avx512" */
    const char *pack_path; /* until the session is closed, as are all strings here */
    uint64_t pack_bytes;   /* file-backed and shared, not counted below */
    /* This session's working memory, taken whole at open; of a pool: of each worker's session. */
    uint64_t arena_bytes;
    /* 32 hex digits: a hash of what a vector's bits depend on besides its text: the compiled model, its
     * tokenizer, instruction set, precision, max_length, long_policy, dimensions, normalisation,
     * prompt, task, kinds and raw_scores. Equal identity, equal bits. */
    const char *identity;
    uint32_t threads; /* in force; of a pool: of each worker, 1 */
    /* "", or what a user should read about the pack: it was damaged, or another user's, and was built
     * anew; it cannot be kept and is in memory. */
    const char *warning;
    uint32_t kinds;        /* bits 1u << vecmill_kind, in force */
    vecmill_dtype dtype;   /* of a result's elements, in force */
    uint64_t result_bytes; /* of one document's result, at most */
    const char *prompt;    /* text that is put before each document's, in force; "": none */
    /* [dim, VECMILL_LABEL_BYTES]: the names of a pair's scores as config.json's id2label has them, each
     * with a NUL; NULL: the model makes no scores. */
    const char *labels;
} vecmill_facts;

#define VECMILL_LABEL_BYTES 64u

/* Facts about an open session. Fills *facts as far as its struct_bytes reaches. */
VECMILL_API void vecmill_session_describe(const vecmill_session *session, vecmill_facts *facts);

/* What a document is given as. A model that scores pairs (facts.kinds: VECMILL_KIND_SCORE) takes
 * VECMILL_DOC_PAIR, any other VECMILL_DOC_TEXT; the other way round is E_USAGE. VECMILL_DOC_IDS is
 * E_UNSUPPORTED. Either is for the call, and nothing is computed. */
typedef enum vecmill_doc_kind {
    VECMILL_DOC_TEXT = 0, /* text */
    VECMILL_DOC_PAIR = 1, /* text, then pair: what a cross-encoder reads, the query first */
    VECMILL_DOC_IDS = 2   /* token ids, special ones included */
} vecmill_doc_kind;

/* Members that the kind does not name are not read. */
typedef struct vecmill_doc {
    const char *text; /* UTF-8, NUL bytes allowed, need not be terminated; NULL if bytes == 0 */
    size_t bytes;
    vecmill_doc_kind kind;
    vecmill_role role; /* VECMILL_ROLE_DEFAULT: as options.role says; else E_UNSUPPORTED */
    const char *pair;  /* as text */
    size_t pair_bytes;
    const int32_t *ids; /* [n_ids] */
    size_t n_ids;
} vecmill_doc;

typedef struct vecmill_result {
    /* OK, or E_LIMIT: longer than max_length, or than VECMILL_TEXT_BYTES, under LONG_ERROR; in a session
     * with a prompt longer than those under LONG_SPLIT; under LONG_SPLIT also a text of a megabyte that
     * the tokenizer may not cut anywhere (docs/TOKENIZER.md). */
    vecmill_status status;
    /* Computed, special ones included; LONG_SPLIT: of all windows, so that what two of them share counts
     * twice; UINT32_MAX also if more. */
    uint32_t n_tokens;
    uint32_t truncated; /* 1: tokens were cut off */
    /* Of a pool, 1: all else here, and the vector, is a copy of what another document with these bytes
     * got: n_tokens were computed for that one. */
    uint32_t duplicate;
    /* Bytes of invalid UTF-8 in what was read before a cut, each maximal bad part read as U+FFFD. */
    uint64_t replaced_bytes;
    vecmill_kind kind;   /* what was computed */
    vecmill_dtype dtype; /* of its elements; of a sparse result: of the weights */
    uint64_t count;      /* elements: dim of a dense one; 0 when the document failed */
    uint64_t bytes;      /* of them all; 0 when the document failed */
} vecmill_result;

/* Embeds n_docs documents. Empty and blank ones are documents like any other.
 *   docs     [n_docs], borrowed for the call
 *   vectors  [n_docs, dim] float32, row-major, caller's; row i belongs to docs[i]; a failed
 *            document's row is zero
 *   results  [n_docs], caller's, or NULL
 * Returns OK also when single documents failed: see results[i].status. Allocates nothing.
 * Errors: E_USAGE (also where results differ in size: vecmill_compute takes them), E_UNSUPPORTED (a
 * document of a kind or role that this version does not compute; then nothing was computed), E_INTERNAL,
 * E_MODEL (weights whose vectors overflow; then the contents of vectors and results are unspecified). Cost:
 * linear in tokens, plus length squared for attention. */
VECMILL_API vecmill_status vecmill_embed(vecmill_session *session, const vecmill_doc *docs,
                                         size_t n_docs, float *vectors, vecmill_result *results,
                                         vecmill_err *err);

/* A part of a document's result: what one kind makes of it. */
typedef struct vecmill_part {
    vecmill_kind kind;
    vecmill_dtype dtype; /* of its elements; of sparse weights, of the weights */
    /* Entries of sparse weights; rows of a vector for each token; else 1. */
    uint64_t n;
    uint32_t dim; /* elements of a row, or of the vector; 0: sparse weights */
    uint64_t bytes;
    /* [n, dim], row-major; of sparse weights uint32_t indices[n], ascending, then float weights[n].
     * Aligned to 4. */
    const void *data;
} vecmill_part;

#define VECMILL_PARTS_MAX 8u

/* The result of docs[d]: result->status, and if that is OK its parts, one of each kind that is computed,
 * in the order of vecmill_kind. Valid until this returns. Any status but OK ends the call, which returns
 * it, with what was put in *err. */
typedef vecmill_status (*vecmill_take_fn)(void *context, size_t d, const vecmill_result *result,
                                          const vecmill_part *parts, uint32_t n_parts,
                                          vecmill_err *err);

/* Computes n_docs documents, of all kinds (options.kinds), and hands their results to `take` one by one in
 * their order, in the calling thread. Otherwise as vecmill_embed, which is this for kinds whose results
 * have one size. result->count and result->bytes: elements of the first part, or its entries; bytes of
 * all. */
VECMILL_API vecmill_status vecmill_compute(vecmill_session *session, const vecmill_doc *docs,
                                           size_t n_docs, vecmill_take_fn take, void *context,
                                           vecmill_err *err);

/* Token ids of one document as vecmill_embed computes them: special tokens included, cut at
 * max_length (so at most facts.max_length ids). ids: caller's, room for `capacity`; *n_ids: how many
 * were written. Fails with E_LIMIT when capacity is too small, and as embed does. Under LONG_SPLIT the
 * ids are the first window's, and result->truncated tells whether there are more. */
VECMILL_API vecmill_status vecmill_tokenize(vecmill_session *session, vecmill_doc doc, int32_t *ids,
                                            size_t capacity, size_t *n_ids, vecmill_result *result,
                                            vecmill_err *err);

typedef struct vecmill_token {
    int32_t id;
    /* Of the text, from 0: pieces of one word share it; UINT32_MAX: a special token that is put around
     * the text. */
    uint32_t word;
    uint32_t start, end; /* the bytes of the text that it was made of; 0, 0 for those */
} vecmill_token;

/* All tokens of one text, which is not cut, each with its place in it: for counting and cutting texts.
 *   specials  1: with the special tokens around them
 *   tokens    caller's, room for `capacity`; NULL if that is 0. That many of the first tokens are written
 *   n_tokens  how many there are, which may be more
 * Under every long_policy. Takes some 16 KiB of heap meanwhile. Errors: E_LIMIT (over VECMILL_MAX_DOCUMENT),
 * E_USAGE and E_UNSUPPORTED (a document that is no text), E_MEMORY. */
VECMILL_API vecmill_status vecmill_tokens(vecmill_session *session, vecmill_doc doc, int specials,
                                          vecmill_token *tokens, size_t capacity, size_t *n_tokens,
                                          vecmill_err *err);

/* A step of a tokenizer. */
typedef enum vecmill_step {
    /* A part of what the normalizers made of the text; the parts, one after the other, are the whole. */
    VECMILL_STEP_NORMALIZED = 0,
    VECMILL_STEP_PIECE = 1, /* what the pre-tokenizers made of that: a word, or an added token */
    VECMILL_STEP_TOKEN = 2  /* special ones included */
} vecmill_step;

typedef struct vecmill_made {
    size_t struct_bytes; /* of this library's: what it filled */
    vecmill_step step;
    const char
        *text; /* not terminated, until the call returns; of a token as of vecmill_token_text */
    size_t bytes;
    int32_t id;     /* of a token; else -1 */
    int is_special; /* 1: a token that is put around the text; start and end are 0 */
    uint32_t start,
        end; /* of a piece or token: the bytes of the text that it was made of; else 0, 0 */
} vecmill_made;

/* What each step of the tokenizer makes of a text, for people: calls `each` with every part, piece and
 * token. Those of one step come in the order of the text, those of different steps between each other. The
 * tokens are those of vecmill_tokenize; parts and pieces are those of all that is looked at, also where
 * tokens are cut. Where there is a prompt, the text begins with it, and bytes are counted from there. Takes
 * heap meanwhile: 5 times the text's bytes and 24 KiB, or, where the tokenizer is not BERT's, at most 114
 * MiB and the text's bytes. Errors: E_USAGE and E_UNSUPPORTED (a document that is no text), E_MEMORY, and
 * E_LIMIT: over VECMILL_MAX_DOCUMENT, or a text that the tokenizer takes no more of (docs/TOKENIZER.md);
 * `each` then had what is before. */
VECMILL_API vecmill_status vecmill_explain(vecmill_session *session, vecmill_doc doc,
                                           void (*each)(void *context, const vecmill_made *made),
                                           void *context, vecmill_err *err);

/* The text of a token id as the vocabulary has it (continuation marks such as WordPiece's ## included), not
 * terminated, *bytes long, valid until the session is closed; NULL if the id is not in the vocabulary. */
VECMILL_API const char *vecmill_token_text(const vecmill_session *session, int32_t id,
                                           size_t *bytes);

/* ---- a tokenizer without its model ----
 *
 * For a folder whose tokenizer is read, whatever else is in it: no weights are needed, nothing is kept,
 * and each opening compiles the tokenizer anew (a file of 33 MB: two seconds). One thread at a time. */
typedef struct vecmill_tokenizer vecmill_tokenizer;

/* Of the options model_dir and max_length count; a prompt or a role is E_UNSUPPORTED. Without
 * max_length: what sentence_bert_config.json, tokenizer_config.json or config.json says, in this
 * sequence, else VECMILL_TOKENIZER_LENGTH. E_MODEL: no tokenizer, or one that is not understood. Pair:
 * vecmill_tokenizer_close, which accepts NULL. */
#define VECMILL_TOKENIZER_LENGTH 512u
VECMILL_API vecmill_status vecmill_tokenizer_open(const vecmill_options *options,
                                                  vecmill_tokenizer **tokenizer, vecmill_err *err);
VECMILL_API void vecmill_tokenizer_close(vecmill_tokenizer *tokenizer);
VECMILL_API uint32_t vecmill_tokenizer_max_length(const vecmill_tokenizer *tokenizer);

/* The tokens of a text, or of a pair (VECMILL_DOC_PAIR), special ones included, cut at max_length: a pair
 * by cutting the longer text first. ids: [max_length]; types: [max_length], each token's segment, 0 or 1,
 * or NULL. E_UNSUPPORTED: a pair, and the tokenizer has no template for pairs that is understood; or
 * token ids. */
VECMILL_API vecmill_status vecmill_tokenizer_encode(vecmill_tokenizer *tokenizer, vecmill_doc doc,
                                                    int32_t *ids, uint8_t *types, size_t *n_ids,
                                                    vecmill_result *result, vecmill_err *err);

/* As vecmill_explain. */
VECMILL_API vecmill_status vecmill_tokenizer_explain(vecmill_tokenizer *tokenizer, vecmill_doc doc,
                                                     void (*each)(void *context,
                                                                  const vecmill_made *made),
                                                     void *context, vecmill_err *err);

/* As vecmill_token_text. */
VECMILL_API const char *vecmill_tokenizer_text(const vecmill_tokenizer *tokenizer, int32_t id,
                                               size_t *bytes);

/* ---- a pool: the same work in supervised worker processes ----
 *
 * Documents go in, vectors come out in the same order. A document that is in the pool is kept until
 * its vector is: when a worker dies, by whatever signal, its batch is computed again by another, and
 * a new worker is started. A document that ends three workers by itself, alone in its batch, fails
 * with E_WORKERS; all others get their vectors. A kill from outside never counts against a document.
 *
 * One thread of the pool's own starts and watches the workers, and lives as long as the pool. It
 * installs no signal handler and waits for nobody else's children. The workers end with it, also when
 * this process is killed by SIGKILL. They ignore SIGINT, SIGTERM and SIGHUP, so that a signal to the
 * process group (Ctrl-C) is this process's to decide on.
 *
 * Threads: one thread may submit while another takes; two may not do the same at once. A pool does not
 * survive fork(): in the child its functions must not be called. */

typedef struct vecmill_pool vecmill_pool;

#define VECMILL_MAX_WORKERS      1024u
#define VECMILL_DEFAULT_DOCUMENT (16u << 20)
#define VECMILL_MAX_DOCUMENT     (1u << 30)

typedef enum vecmill_event_kind {
    VECMILL_WORKER_READY,  /* pid can compute */
    VECMILL_WORKER_DIED,   /* pid ended: cause, code; n_docs > 0: with the batch `first`, n_docs */
    VECMILL_WORKER_LOST,   /* pid does not end by SIGKILL (it hangs in the kernel): written off */
    VECMILL_BATCH_STARTED, /* pid was given a batch; deaths: workers it has ended before */
    VECMILL_BATCH_REQUEUED /* a batch is to be computed again; after halving one event for each part */
} vecmill_event_kind;

typedef struct vecmill_event {
    size_t struct_bytes; /* of this library's: what it filled */
    vecmill_event_kind kind;
    uint64_t time_ns; /* CLOCK_MONOTONIC, when it was seen */
    int64_t pid;      /* of the worker; 0: none */
    vecmill_cause cause;
    int code;        /* the signal's number; for CAUSE_EXIT the exit code */
    uint64_t first;  /* of a batch: its first document, counted from 0 since the pool was opened */
    uint32_t n_docs; /* of a batch: duplicates, which are in none, are not counted; 0: none */
    uint32_t deaths; /* workers that ended while they had this batch */
} vecmill_event;

typedef struct vecmill_pool_options {
    size_t struct_bytes; /* sizeof(vecmill_pool_options) */
    /* Processes, 1 to VECMILL_MAX_WORKERS; 0: the processors this process may use, by affinity and cgroup
     * quota, or fewer when memory is short. */
    uint32_t workers;
    /* 1: where this process is PID 1, children it did not start (orphans that the kernel handed to it) are
     * reaped too. For programs, not libraries. */
    int reap_strangers;
    /* Bytes of one document at most, up to VECMILL_MAX_DOCUMENT; 0: VECMILL_DEFAULT_DOCUMENT. */
    uint64_t max_document;
    /* NULL, or called with each event, at once, on the pool's thread: must return soon and not call the
     * pool. */
    void (*on_event)(void *context, const vecmill_event *event);
    void *context;
    /* The most that this process and its workers may take, as far as their memory cannot be reclaimed; 0:
     * what machine and cgroup allow. */
    uint64_t memory_bytes;
    /* NULL, or returns the bytes that the caller will take besides the pool, for the plan, when vectors
     * have `dim` floats, `capacity` documents can be in the pool, and one has max_document bytes at most. */
    uint64_t (*caller_bytes)(void *caller_context, uint32_t dim, uint32_t capacity,
                             uint64_t max_document);
    void *caller_context;
    /* The first version ends here. */

    /* As caller_bytes, with all that there is to know of results (facts->result_bytes); NULL: none. The
     * strings of *facts last for the call. */
    uint64_t (*caller_bytes_of)(void *caller_context, const vecmill_facts *facts, uint32_t capacity,
                                uint64_t max_document);
} vecmill_pool_options;

/* As vecmill_options_init. */
#define vecmill_pool_options_init(options)                                                         \
    vecmill_pool_options_init_sized((options), sizeof *(options))
VECMILL_API void vecmill_pool_options_init_sized(vecmill_pool_options *options,
                                                 size_t struct_bytes);

/* ---- memory: a number to be read before the run ----
 *
 * Everything that a pool takes and the kernel cannot take back (anonymous and shared memory, page tables,
 * sockets) is a line of one sum, known before anything is opened. What a worker needs it takes before
 * it is ready, and nothing grows after that: the sum of all processes stays under total_bytes. The pack is
 * not in the sum: it is file-backed, shared by all workers, and reclaimable. docs/MEMORY.md. */

#define VECMILL_PLAN_PARTS 16u

/* Whose memory a line is. X(NAME, "word"); grows at the end. */
#define VECMILL_OWNER_LIST(X)                                                                      \
    X(SUPERVISOR, "supervisor") /* the process that opens the pool */                              \
    X(WORKER, "worker")         /* each worker process */                                          \
    X(KERNEL, "kernel")         /* page tables, sockets, process structures */                     \
    X(BUILDER, "builder")       /* the process that builds the pack, before any worker runs */

typedef enum vecmill_owner {
#define VECMILL_OWNER_ENUM(name, word) VECMILL_OWNER_##name,
    VECMILL_OWNER_LIST(VECMILL_OWNER_ENUM)
#undef VECMILL_OWNER_ENUM
        VECMILL_OWNER_COUNT
} vecmill_owner;

/* The word for an owner ("worker"); "unknown" outside the list. */
VECMILL_API const char *vecmill_owner_word(vecmill_owner owner);

typedef struct vecmill_plan_part {
    char name[32]; /* for people: "queue", "arena" */
    vecmill_owner owner;
    uint32_t n;              /* how many of them; 0: not while documents are computed (building) */
    uint64_t bytes;          /* of one */
    uint64_t measured_bytes; /* of the largest of them, where it was measured; else 0 */
} vecmill_plan_part;

typedef struct vecmill_plan {
    size_t struct_bytes;    /* in: sizeof(vecmill_plan) */
    uint64_t total_bytes;   /* the larger of building the pack, where it is missing, and running */
    uint64_t reserve_bytes; /* what is left free besides: 2 MiB and 256 KiB a worker */
    uint64_t pack_bytes;    /* file-backed, not in the total */
    uint64_t limit_bytes;   /* the smallest limit there is; UINT64_MAX: none is known */
    /* Which one: "--memory", "cgroup v2 memory.max, 1 up", "MemAvailable". */
    char limit_source[64];
    int fits;              /* 1: total_bytes + reserve_bytes <= limit_bytes */
    uint32_t workers;      /* as asked, or chosen */
    uint32_t batch_tokens; /* as asked, or chosen */
    uint32_t max_length;   /* in force */
    uint64_t max_document; /* in force */
    int measured;  /* 1: baselines as they were measured when the pack was built; 0: bounds */
    int shrunk;    /* 1: the choice is smaller than it would be with more memory */
    int oom_group; /* 1: an OOM kill takes the whole group (memory.oom.group) */
    uint32_t dim;  /* floats of a vector, in force */
    uint32_t n_parts;
    vecmill_plan_part parts[VECMILL_PLAN_PARTS];
    char advice[256]; /* "", or when it does not fit: a sentence with what would */
} vecmill_plan;

/* The plan of a pool with these options: OK also when it does not fit. Where workers or batch_tokens are
 * left to choose, the most workers that the processors allow and the batch of full speed; when that does
 * not fit, first fewer tokens, then fewer workers. Opens and builds nothing; a few milliseconds. Errors:
 * E_USAGE, E_UNSUPPORTED, E_MODEL, E_IO. */
VECMILL_API vecmill_status vecmill_pool_plan(const vecmill_options *options,
                                             const vecmill_pool_options *pool_options,
                                             vecmill_plan *plan, vecmill_err *err);

/* Opens a pool: as vecmill_session_open, and returns when the first worker is ready. Errors: those of
 * vecmill_session_open, E_MEMORY when its plan does not fit (before a pack is built, or, if memory has
 * become less meanwhile, after that) or the OOM killer ended the process that builds it, and E_WORKERS
 * when no worker becomes ready within a minute. */
VECMILL_API vecmill_status vecmill_pool_open(const vecmill_options *options,
                                             const vecmill_pool_options *pool_options,
                                             vecmill_pool **pool, vecmill_err *err);

/* Ends the workers and gives everything back, whatever is still in the pool; within a second. NULL is
 * accepted. */
VECMILL_API void vecmill_pool_close(vecmill_pool *pool);

/* The plan in force. */
VECMILL_API void vecmill_pool_planned(const vecmill_pool *pool, vecmill_plan *plan);

/* Whether the pack that the workers compute with still holds what was built. For whoever publishes
 * vectors: first this, then the rename. Its checksums are compared when a pool is opened, once for
 * each file (device, inode, size, times); here they are compared again if a worker was ended by a
 * fault since, or the file was written to. Then all of it is read, 0.2 s a gigabyte, in the calling
 * thread; else this costs a system call. By the thread that takes. E_MODEL: it is damaged, and what
 * has been taken may be wrong; the next opening builds it anew. */
VECMILL_API vecmill_status vecmill_pool_verify(vecmill_pool *pool, vecmill_err *err);

/* As vecmill_session_describe. */
VECMILL_API void vecmill_pool_describe(const vecmill_pool *pool, vecmill_facts *facts);

/* Gives one document to the pool, which copies it. Never waits: *accepted is 0 when the pool is full,
 * then take first. Errors: E_LIMIT (over max_document), E_USAGE and E_UNSUPPORTED (a kind or role that this
 * version does not compute), after which the pool goes on, and what ended the pool.
 * A document with the very bytes of one that is in the pool (submitted, not yet taken) is not computed
 * again: it gets a copy of that one's result, whatever that will be. Where there is no room to keep so
 * many results it is computed; a quarter of the pool's capacity is there. */
VECMILL_API vecmill_status vecmill_pool_submit(vecmill_pool *pool, vecmill_doc doc, int *accepted,
                                               vecmill_err *err);

/* Takes the next document's vector, in the order of submission; waits for it up to wait_ms.
 *   vector  [dim], caller's; zeros when the document failed
 *   result  as of vecmill_embed, and E_WORKERS for a document that ended its workers: three of them by
 *           a fault, or five in whatever way but by the OOM killer, alone and while other work lived;
 *           may be NULL
 *   why     filled when result->status is not OK; may be NULL
 *   taken   1, or 0 when it was not ready in time, when the pool is empty, or (at once) when the pool
 *           is held and will not compute it
 * Errors: what ended the pool, once all that was finished in order before has been taken: E_WORKERS
 * (twenty workers in a row died without one document done), E_MODEL (the pack was changed, or weights
 * whose vectors overflow), E_INTERNAL. Such an error comes again at each further call. */
VECMILL_API vecmill_status vecmill_pool_take(vecmill_pool *pool, uint32_t wait_ms, float *vector,
                                             vecmill_result *result, vecmill_err *why, int *taken,
                                             vecmill_err *err);

/* As vecmill_pool_take, of all kinds.
 *   memory   for facts.result_bytes, aligned to 8, caller's; where the parts lie afterwards
 *   parts    [VECMILL_PARTS_MAX], caller's; none of a document that failed
 *   n_parts  how many of them */
VECMILL_API vecmill_status vecmill_pool_take_parts(vecmill_pool *pool, uint32_t wait_ms,
                                                   void *memory, vecmill_part *parts,
                                                   uint32_t *n_parts, vecmill_result *result,
                                                   vecmill_err *why, int *taken, vecmill_err *err);

/* From now on no batch is started; those that run go on, and can be taken. For an orderly stop. */
VECMILL_API void vecmill_pool_hold(vecmill_pool *pool);

#define VECMILL_CAUSES_MAX 32u /* room for causes that later versions add */

typedef struct vecmill_pool_counts {
    size_t struct_bytes; /* in: sizeof(vecmill_pool_counts) */
    /* Documents: accepted == returned + queued + in_flight, always. */
    uint64_t accepted;
    uint64_t returned;   /* vector computed or document failed; taken or not */
    uint64_t queued;     /* wait for a worker */
    uint64_t in_flight;  /* with a worker */
    uint64_t condemned;  /* of returned: failed with E_WORKERS */
    uint64_t duplicates; /* of accepted: get a copy of another's result; queued till taken */
    uint64_t batches;    /* computed */
    uint64_t requeued;   /* batches that were to be computed again after a death */
    uint32_t workers;    /* asked for */
    uint32_t ready;      /* alive and able to compute */
    uint32_t capacity;   /* documents submitted and not taken, at most */
    uint64_t deaths[VECMILL_CAUSES_MAX]; /* of workers, by cause */
} vecmill_pool_counts;

VECMILL_API void vecmill_pool_count(vecmill_pool *pool, vecmill_pool_counts *counts);

/* ---- late interaction ---- */

#define VECMILL_MAXSIM_ROWS 65536u /* of a query, and numbers of a row, at most */

/* MaxSim (Khattab and Zaharia 2020, eq. 3) of one query and each of n_docs documents that are rows of
 * vectors: the sum over the query's rows, ascending, of the greatest dot product with a row of the document.
 *   query       [n_query, dim] float32, row-major; both 1 to VECMILL_MAXSIM_ROWS
 *   rows        [row_starts[n_docs], dim] float32, those of all documents
 *   row_starts  [n_docs + 1], ascending: document d has the rows from row_starts[d] to before
 *               row_starts[d + 1]; what OUTPUT.offsets.npy holds. It need not begin with 0
 *   threads     that compute together, the calling one included, 1 to VECMILL_MAX_THREADS; 0: 1
 *   scores      [n_docs] float32, caller's. -INFINITY: the document has no rows. A NaN in the query or a
 *               row is one in the score
 * Nothing is scaled: where both sides have length 1, the dot products are cosines. Float pointers are aligned
 * to 4, and no memory overlaps. A score's bits depend on the query, the document's rows and the instruction
 * set ($VECMILL_ISA, as of a session), and on nothing else. Takes heap meanwhile: the query's bytes, for
 * each thread products with 6 to 24 rows, at most 64 KiB unless 6 rows have more, and the threads.
 * Errors, with scores untouched: E_USAGE (a size out of range, row_starts that descend or are more than
 * memory can hold, the level), E_MEMORY. */
VECMILL_API vecmill_status vecmill_maxsim(const float *query, uint32_t n_query, uint32_t dim,
                                          const float *rows, const uint64_t *row_starts,
                                          uint64_t n_docs, uint32_t threads, float *scores,
                                          vecmill_err *err);

/* MUVERA (Dhulipala et al. 2024, section 2): one vector for all of a document's or query's, so that the dot
 * product of two of them comes near MaxSim, and an index of single vectors can be asked. The numbers are
 * those of FastEmbed's Muvera. */
typedef struct vecmill_muvera_shape {
    uint32_t dim;      /* of a row, 1 to VECMILL_MAXSIM_ROWS */
    uint32_t k_sim;    /* planes, which make 2^k_sim buckets; at most VECMILL_MUVERA_PLANES */
    uint32_t dim_proj; /* numbers that are kept of a bucket's, 1 to dim */
    uint32_t r_reps;   /* repetitions, each with planes of its own; at least 1 */
} vecmill_muvera_shape;

#define VECMILL_MUVERA_PLANES 20u

/* *n = r_reps * 2^k_sim * dim_proj, the numbers of an encoding. E_USAGE: a shape out of range. */
VECMILL_API vecmill_status vecmill_muvera_floats(const vecmill_muvera_shape *shape, uint64_t *n,
                                                 vecmill_err *err);

/* The encoding of n_rows vectors. In each repetition a row's bucket has bit i set where its dot product with
 * plane i is over 0. A bucket is the sum of a query's rows in it; of a document's their mean, or if there are
 * none the first row of the nearest bucket that has some (in bits that differ; of several the lowest). Where
 * dim_proj < dim it is multiplied with signs and divided by sqrt(dim_proj).
 *   planes  [r_reps, dim, k_sim + dim_proj]: column i < k_sim is the normal of plane i, any other a column of
 *           signs, 1 or -1. Documents and queries of one index want the same, so they are kept in a file;
 *           Python's Muvera makes FastEmbed's from a seed, and writes this very array (.npy, '<f8')
 *   rows    [n_rows, dim], n_rows at least 1
 *   role    VECMILL_ROLE_DOCUMENT or VECMILL_ROLE_QUERY
 *   out     [vecmill_muvera_floats]
 * All are row-major, and summed in double, as FastEmbed does, in one thread. Takes 2^k_sim * (dim + 2)
 * doubles of heap meanwhile. Errors, with out untouched: E_USAGE, E_MEMORY. */
VECMILL_API vecmill_status vecmill_muvera(const vecmill_muvera_shape *shape, const double *planes,
                                          const double *rows, uint64_t n_rows, vecmill_role role,
                                          double *out, vecmill_err *err);

/* ---- words without a model ----
 *
 * BM25 (Robertson and Zaragoza 2009) as FastEmbed's Qdrant/bm25 computes it: of each document the part that
 * depends on it alone, as sparse weights; how rare a word is, is for the index to know (Qdrant's modifier
 * idf). A word is a run of letters, digits and "_" in lower case. Words of a list and long ones are left
 * out, the others stemmed by libstemmer. index = |MurmurHash3_x86_32(stem)|, of seed 0, as a signed
 * number; weight = f (k + 1) / (f + k (1 - b + b n / avg_len)), for a stem that occurs f times among n;
 * in a query 1. */
typedef struct vecmill_bm25 vecmill_bm25;

typedef struct vecmill_bm25_options {
    size_t struct_bytes; /* sizeof(vecmill_bm25_options) */
    /* Of stemmer and list, default "english": one of libstemmer's, by its English name. Borrowed for the
     * call, as are all strings here. */
    const char *language;
    double k, b, avg_len;      /* default 1.2, 0.75, 256; k >= 0, b from 0 to 1, avg_len > 0 */
    uint32_t token_max_length; /* characters; longer words are left out; at least 1, default 40 */
    int disable_stemmer; /* 1: words are hashed as they are, and none is left out by default */
    /* [n_stopwords] words to leave out, in any case; NULL: the language's, which there are for danish dutch
     * english finnish french german hungarian italian norwegian portuguese russian spanish swedish and
     * turkish. None: not NULL, and n_stopwords 0. */
    const char *const *stopwords;
    size_t n_stopwords;
} vecmill_bm25_options;

/* Fills *options with the defaults above, struct_bytes included. */
#define vecmill_bm25_options_init(options)                                                         \
    vecmill_bm25_options_init_sized((options), sizeof *(options))
VECMILL_API void vecmill_bm25_options_init_sized(vecmill_bm25_options *options,
                                                 size_t struct_bytes);

/* Errors: E_USAGE (an option out of range, an unknown language), E_UNSUPPORTED, E_MEMORY. Takes a few
 * hundred kilobytes. One thread at a time. Pair: vecmill_bm25_close, which accepts NULL. */
VECMILL_API vecmill_status vecmill_bm25_open(const vecmill_bm25_options *options,
                                             vecmill_bm25 **bm25, vecmill_err *err);
VECMILL_API void vecmill_bm25_close(vecmill_bm25 *bm25);

/* As vecmill_compute: the sparse weights of each document, indices ascending, as its one part. role:
 * VECMILL_ROLE_QUERY, or a document's; a document may have one of its own. result->n_tokens: words read,
 * those left out among them. Keeps memory for the longest text so far, at most 8 times its bytes and
 * those of its words, 32 each. Errors: E_USAGE and E_UNSUPPORTED (a document that is no text), E_MEMORY;
 * E_LIMIT, over VECMILL_MAX_DOCUMENT, is the document's. */
VECMILL_API vecmill_status vecmill_bm25_compute(vecmill_bm25 *bm25, const vecmill_doc *docs,
                                                size_t n_docs, vecmill_role role,
                                                vecmill_take_fn take, void *context,
                                                vecmill_err *err);

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
    char isa[16];  /* what a session would use, $VECMILL_ISA counted; "" if that is invalid */
    uint32_t cpus; /* this process can keep busy: by affinity and quota, rounded up; >= 1 */
    uint32_t groups_left_out; /* cgroups too deep to be asked: with any, memory_room may be less */
    uint64_t data_limit;      /* RLIMIT_DATA, bytes; UINT64_MAX: infinite */
    uint64_t address_limit;   /* RLIMIT_AS, likewise */
    uint64_t limit;           /* the smallest of memory_limit, memory_available and these two */
    char limit_source[64];    /* which: a memory_limit_source, "MemAvailable", "RLIMIT_AS", ... */
    /* Bytes that may still be taken before the kernel has to reclaim more than plain file cache, by
     * the cgroups and by memory_available; UINT64_MAX: unknown. */
    uint64_t memory_room;
    /* Percent of the last 10 s in which a task waited for memory; < 0: unknown. */
    double memory_pressure;
} vecmill_machine;

/* Fills *machine as far as its struct_bytes reaches. E_IO only when /proc cannot be read at all.
 * For tests, $VECMILL_HOST_ROOT names a folder whose proc/ and sys/ are read instead; what is asked of
 * the kernel by a call (affinity, resource limits) stays as it is. Not heeded in a set-uid program. */
VECMILL_API vecmill_status vecmill_machine_describe(vecmill_machine *machine, vecmill_err *err);

/* ---- vectors as they are stored ----
 *
 * Rows of float32 as the narrower numbers that databases keep, by the rules of sentence-transformers'
 * quantize_embeddings, bit for bit, and back. dim: floats of a row. dtype: VECMILL_DTYPE_FLOAT32 to
 * VECMILL_DTYPE_UBINARY. ranges [2, dim]: least, then greatest value of each component, for
 * VECMILL_DTYPE_INT8 and UINT8 alone; queries must get the ranges that their documents got. Nothing is
 * allocated; any thread may call. */

/* Bytes of a row: dim times 4, 2 or 1; of bits dim / 8, rounded up. 0: another dtype. */
VECMILL_API uint64_t vecmill_quantized_bytes(vecmill_dtype dtype, uint32_t dim);

/* The ranges of vectors [n, dim]. E_USAGE: n is less than 2, of which no range can be told, or dim is 0;
 * E_INPUT: a component is not finite. After a failure *ranges is unspecified. */
VECMILL_API vecmill_status vecmill_ranges(const float *vectors, size_t n, uint32_t dim,
                                          float *ranges, vecmill_err *err);

/* vectors [n, dim] into out [n, vecmill_quantized_bytes], which may not overlap.
 *   INT8, UINT8      floor((x - least) / step), 0 to 255, step = (greatest - least) / 255 or, if that is
 *                    0, 1; of INT8 less 128. What is outside its range, infinities too, is its end.
 *   UBINARY, BINARY  the bit x > 0, the first component in the highest bit, zero bits after the last; of
 *                    BINARY each byte less 128, as a signed one
 *   FLOAT16          the nearest, of two the even one
 * E_USAGE: another dtype, ranges missing, dim 0. E_INPUT, with out unspecified: NaN for INT8 or UINT8, a
 * finite value over the greatest float16, ranges that are not finite or the wrong way round. */
VECMILL_API vecmill_status vecmill_quantize(const float *vectors, size_t n, uint32_t dim,
                                            vecmill_dtype dtype, const float *ranges, void *out,
                                            vecmill_err *err);

/* rows [n, vecmill_quantized_bytes], of any alignment, into vectors [n, dim]: of INT8 and UINT8 the middle
 * of a step, least + (q + 0.5) * step with q from 0; of bits 1 and -1. Errors as of vecmill_quantize. */
VECMILL_API vecmill_status vecmill_dequantize(const void *rows, size_t n, uint32_t dim,
                                              vecmill_dtype dtype, const float *ranges,
                                              float *vectors, vecmill_err *err);

#ifdef __cplusplus
}
#endif
#endif
