/* engine: sessions over one model; implements vecmill.h.
 *
 * Joins text and model, which do not know each other: it puts both into one pack, checks that the
 * tokenizer's ids fit the word table, and splits documents into passes. Runs sessions in the processes
 * of a crew. Does not know: argv, files of documents or results. This door is for vecmill-worker;
 * everyone else uses vecmill.h. */
#ifndef ENGINE_H
#define ENGINE_H

#include "engine/model_ref.h"

#define ENGINE_TEXT_SECTION "text"

/* A session on exactly this pack, which must be there with this key: what a worker opens. Options as for
 * vecmill_session_open; model_dir only names the model in messages. E_MODEL: it was changed. */
vecmill_status engine_session_open(const struct model_ref *ref, const vecmill_options *options,
                                   vecmill_session **session, vecmill_err *err);

/* Makes all that a session will ever use resident. For workers, whose memory is planned and fenced; a
 * session of vecmill_session_open stays as it is, touched as far as its passes reach: a host has its
 * own plans. E_MEMORY. */
vecmill_status engine_session_commit(vecmill_session *session, vecmill_err *err);

/* ---- what a pool and its workers agree on ---- */

/* Documents of one batch at most: 256 of the shortest are a tenth of a second of work. */
#define ENGINE_BATCH_DOCS  256u
#define ENGINE_BATCH_BYTES ((size_t)1 << 20)

/* One result on the wire, followed by the vector or the scores, if such are computed. */
struct engine_result {
    uint32_t tail_bytes; /* of what differs in size (output.h); first, for the crew */
    uint32_t status, n_tokens, truncated;
    uint64_t replaced_bytes;
};

/* What calls take of a worker's stack while batches are computed. Measured: of a worker's whole stack,
 * arguments and environment included, 40 kB are resident after a run (MiniLM-L6, AVX-512, smaps). */
#define ENGINE_STACK_BYTES ((size_t)64 << 10)

/* Bytes that a worker's batches take: what worker_session_serve lays out. */
struct output;
size_t worker_session_bytes(const struct output *output, uint64_t max_document);

/* Works for a pool until it closes the socket: opens the session, says ready, computes batches.
 * Returns what to exit with. */
struct worker_args;
vecmill_status worker_session_serve(const struct worker_args *args);

#endif
