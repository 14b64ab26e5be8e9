/* needs: dep_job */
/* fuzz_journal: OUTPUT.journal. The input is read as it is, and as the records alone, each in its place
 * and, where the first byte says so, with its checksum made right, so that what is behind the checksums is
 * reached. What is accepted keeps to its own rules, and written again it is read as the same. */
#include "job/journal.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORDS (JOURNAL_HEADER_BYTES + 2 * JOURNAL_SLOT_BYTES)

static void must(bool true_thing)
{
    if (!true_thing) abort();
}

static void parse(const void *data, size_t size)
{
    struct journal_run run, again_run;
    struct journal_point point, again;
    vecmill_err err = {.message = ""};
    if (journal_parse(data, size, "x.journal", &run, &point, &err) != VECMILL_OK) {
        must(err.status == VECMILL_E_USAGE && strstr(err.message, "--force") != NULL);
        return;
    }
    must(run.dim > 0 && run.identity[JOURNAL_IDENTITY] == 0 && run.isa[JOURNAL_ISA] == 0);
    must(run.shard < run.shards && run.shards <= JOB_SHARDS_MAX);
    must(point.sequence > 0 && point.failed <= point.documents);
    must(point.documents <= point.input.record);
    const bool promised = point.documents > 0 || point.complete;
    must((unsigned)run.dtype <= VECMILL_DTYPE_UBINARY);
    const uint64_t rows = point.files[PATHS_OUTPUT].bytes - 128;
    const uint64_t row = quantize_row_bytes((enum quantize_dtype)run.dtype, run.dim);
    const uint64_t stage = point.files[PATHS_STAGE].bytes;
    const bool is_staged = run.output_format == SINK_RANGED_NPY && !point.complete;
    if (promised && (run.output_format == SINK_NPY || run.output_format == SINK_RANGED_NPY) &&
        !is_staged)
        must(rows / row == point.documents && rows % row == 0);
    if (promised && is_staged)
        must(stage / 4 / run.dim == point.documents && stage % (4 * (uint64_t)run.dim) == 0);

    static unsigned char bytes[JOURNAL_BYTES];
    journal_encode(&run, &point, bytes);
    must(journal_parse(bytes, sizeof bytes, "x", &again_run, &again, NULL) == VECMILL_OK);
    must(strcmp(again_run.identity, run.identity) == 0 && strcmp(again_run.isa, run.isa) == 0);
    must(again_run.dim == run.dim && again_run.output_format == run.output_format &&
         again_run.input_format == run.input_format && again_run.max_document == run.max_document &&
         again_run.field == run.field && again_run.id_field == run.id_field &&
         again_run.shard == run.shard && again_run.shards == run.shards &&
         again_run.dtype == run.dtype && again_run.ranges == run.ranges);
    must(again.sequence == point.sequence && again.complete == point.complete &&
         again.documents == point.documents && again.input.digest == point.input.digest &&
         again.input.record == point.input.record &&
         memcmp(again.files, point.files, sizeof again.files) == 0);
}

/* Makes the checksum at the end of a record right; returns it. */
static uint64_t seal(unsigned char *record, size_t bytes, uint64_t seed)
{
    const uint64_t sum = XXH3_64bits_withSeed(record, bytes - 8, seed);
    for (size_t i = 0; i < 8; i++)
        record[bytes - 8 + i] = (unsigned char)(sum >> (8 * i));
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(data, size);
    if (size < 1 + RECORDS) return 0;
    static unsigned char bytes[JOURNAL_BYTES];
    const uint8_t *from = data + 1;
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, from, JOURNAL_HEADER_BYTES);
    from += JOURNAL_HEADER_BYTES;
    memcpy(bytes + JOURNAL_PAGE, from, JOURNAL_SLOT_BYTES);
    from += JOURNAL_SLOT_BYTES;
    memcpy(bytes + 2 * (size_t)JOURNAL_PAGE, from, JOURNAL_SLOT_BYTES);
    uint64_t seed = 0;
    if (data[0] & 1) seed = seal(bytes, JOURNAL_HEADER_BYTES, 0);
    if (data[0] & 2) seal(bytes + JOURNAL_PAGE, JOURNAL_SLOT_BYTES, seed);
    if (data[0] & 4) seal(bytes + 2 * (size_t)JOURNAL_PAGE, JOURNAL_SLOT_BYTES, seed);
    parse(bytes, sizeof bytes);
    return 0;
}
