/* needs: dep_job */
/* fuzz_shard: what stands beside a shard's output, of any bytes. What is accepted keeps to its own rules, and
 * written again it is read as the same. */
#include "job/shard.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool true_thing)
{
    if (!true_thing) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shard shard, again;
    vecmill_err err = {.message = ""};
    const char *text = (const char *)data;
    if (shard_parse(text, size, "x.shard.json", &shard, &err) != VECMILL_OK) {
        must(err.status == VECMILL_E_INPUT && strstr(err.message, "x.shard.json") != NULL);
        return 0;
    }
    const struct journal_run *run = &shard.run;
    must(run->shards > 1 && run->shards <= JOB_SHARDS_MAX && run->shard < run->shards);
    must(shard.rows <= shard.input.record && shard.failed <= shard.rows && run->dim > 0);
    char written[SHARD_BYTES_MAX + 1], twice[SHARD_BYTES_MAX + 1];
    const size_t bytes = shard_encode(&shard, written);
    must(shard_parse(written, bytes, "x", &again, NULL) == VECMILL_OK);
    must(shard_encode(&again, twice) == bytes && memcmp(written, twice, bytes) == 0);
    return 0;
}
