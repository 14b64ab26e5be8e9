/* together: see together.h. */
#include "together.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAMED_MOST 8u /* missing shards that a message names */

/* ---- one ---- */

static bool beside(const char *output, const char *ending)
{
    char path[IO_PATH_MAX];
    return paths_join(output, ending, path, NULL) == VECMILL_OK && io_exists(path);
}

static vecmill_status read_one(const char *output, struct shard *shard, vecmill_err *err)
{
    if (beside(output, PATHS_JOURNAL_ENDING))
        return err_set(err, VECMILL_E_INPUT,
                       "%s: its run has not ended (embed --resume goes on with it)", output);
    vecmill_err why;
    const vecmill_status status = shard_read(output, shard, &why);
    if (status == VECMILL_E_NOTFOUND && !io_exists(output))
        return err_set(err, VECMILL_E_INPUT, "%s: is not there", output);
    if (status == VECMILL_E_NOTFOUND)
        return err_set(err, VECMILL_E_INPUT,
                       "%s: is no shard, as there is no %s beside it (embed --shard makes both)",
                       output, PATHS_SHARD_ENDING);
    if (status != VECMILL_OK && err != NULL) *err = why;
    return status;
}

/* ---- two ---- */

/* Of everything that has to be the same in a and b, the first that is not, into text; NULL: none. */
static const char *differ(const struct shard *a, const struct shard *b, char *text, size_t room)
{
    const struct journal_run *x = &a->run, *y = &b->run;
    if (x->shards != y->shards)
        snprintf(text, room, "one of %u shards and one of %u", x->shards, y->shards);
    else if (a->input.bytes != b->input.bytes || a->input.record != b->input.record)
        snprintf(text, room,
                 "of other inputs, of %" PRIu64 " bytes with %" PRIu64 " documents and of %" PRIu64
                 " with %" PRIu64,
                 a->input.bytes, a->input.record, b->input.bytes, b->input.record);
    else if (a->input.digest != b->input.digest)
        snprintf(text, room, "of other inputs (XXH3 %016" PRIx64 " and %016" PRIx64 ")",
                 a->input.digest, b->input.digest);
    else if (strcmp(x->isa, y->isa) != 0)
        snprintf(text, room, "computed at %s and at %s, with other bits (see VECMILL_ISA)", x->isa,
                 y->isa);
    else if (x->dim != y->dim || strcmp(x->identity, y->identity) != 0)
        snprintf(text, room,
                 "of models %.8s of %u dimensions and %.8s of %u (model, precision, --max-length, "
                 "--long or version differ)",
                 x->identity, x->dim, y->identity, y->dim);
    else if (x->output_format != y->output_format)
        snprintf(text, room, "in other formats");
    else if (x->input_format != y->input_format)
        snprintf(text, room, "read with other --input-format");
    else if (x->field != y->field || x->id_field != y->id_field)
        snprintf(text, room, "read with other --field, --encoding, --delimiter or --id-field");
    else if (x->max_document != y->max_document)
        snprintf(text, room, "read with --max-document %" PRIu64 " and %" PRIu64, x->max_document,
                 y->max_document);
    else
        return NULL;
    return text;
}

static bool agree(const struct shard *a, const struct shard *b)
{
    char text[300];
    return differ(a, b, text, sizeof text) == NULL;
}

/* ---- all ---- */

/* The one that most agree with, where most agree (Boyer and Moore, "MJRTY", 1981), so that of many shards
 * and a foreign one it is the foreign one that is named. */
static uint32_t find_common(const struct together_shard *read, uint32_t n)
{
    uint32_t candidate = 0, votes = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (votes == 0) candidate = i;
        if (agree(&read[i].told, &read[candidate].told))
            votes++;
        else
            votes--;
    }
    return candidate;
}

static vecmill_status refuse_foreign(const struct together_shard *read, uint32_t n,
                                     vecmill_err *err)
{
    const struct together_shard *common = &read[find_common(read, n)];
    for (uint32_t i = 0; i < n; i++) {
        char text[300];
        const char *how = differ(&read[i].told, &common->told, text, sizeof text);
        if (how != NULL)
            return err_set(err, VECMILL_E_INPUT, "%s and %s do not belong together: they are %s",
                           read[i].output, common->output, how);
    }
    return VECMILL_OK;
}

/* Each to its number, by exchanges within the array; a place that has its own already is taken twice. */
static vecmill_status put_in_order(struct together_shard *read, uint32_t n, uint32_t all,
                                   vecmill_err *err)
{
    for (uint32_t i = 0; i < n; i++)
        while (read[i].output != NULL && read[i].told.run.shard != i) {
            struct together_shard *place = &read[read[i].told.run.shard];
            if (place->output != NULL && place->told.run.shard == read[i].told.run.shard)
                return err_set(err, VECMILL_E_INPUT, "%s and %s are both shard %u of %u",
                               place->output, read[i].output, place->told.run.shard, all);
            const struct together_shard other = *place;
            *place = read[i];
            read[i] = other;
        }
    return VECMILL_OK;
}

static vecmill_status refuse_gaps(const struct together_shard *shards, uint32_t all,
                                  vecmill_err *err)
{
    char names[NAMED_MOST * 12] = "";
    uint32_t missing = 0;
    size_t used = 0;
    for (uint32_t i = 0; i < all; i++) {
        if (shards[i].output != NULL) continue;
        if (missing++ < NAMED_MOST)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%u",
                                     used > 0 ? ", " : "", i);
    }
    if (missing == 0) return VECMILL_OK;
    return err_set(err, VECMILL_E_INPUT, "%u of %u shards %s missing, counted from 0: %s%s",
                   missing, all, missing == 1 ? "is" : "are", names,
                   missing > NAMED_MOST ? ", ..." : "");
}

vecmill_status together_read(const struct job_merge_options *options, struct together_shard *shards,
                             uint32_t *n, vecmill_err *err)
{
    const uint32_t given = options->n_shards;
    for (uint32_t i = 0; i < given; i++) {
        shards[i].output = options->shards[i];
        VM_TRY(read_one(shards[i].output, &shards[i].told, err));
    }
    VM_TRY(refuse_foreign(shards, given, err));
    const uint32_t all = shards[0].told.run.shards;
    VM_TRY(put_in_order(shards, given, all, err));
    *n = all;
    return refuse_gaps(shards, all, err);
}
