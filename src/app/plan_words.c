/* plan_words: what of a plan is said in sentences, by plan and by embed; and the words of precisions. */
#include "app.h"

#include <stdio.h>

vecmill_precision app_precision(const struct options *o)
{
    switch ((enum precision_word)o->precision) {
    case PRECISION_AUTO:
    case PRECISION_FP32:
        return VECMILL_FP32;
    case PRECISION_BF16:
        return VECMILL_BF16;
    case PRECISION_INT8:
        return VECMILL_INT8;
    }
    return VECMILL_FP32;
}

const char *app_precision_word(vecmill_precision precision)
{
    static const char *const words[] = {
        [VECMILL_FP32] = "fp32", [VECMILL_BF16] = "bf16", [VECMILL_INT8] = "int8"};
    return words[precision];
}

bool app_plan_squeezes(const vecmill_plan *plan, char sentence[APP_SENTENCE_MAX])
{
    if (!plan->fits || plan->limit_bytes == UINT64_MAX) return false;
    const uint64_t left = plan->limit_bytes - plan->total_bytes - plan->reserve_bytes;
    if (left >= plan->pack_bytes) return false;
    (void)snprintf(sentence, APP_SENTENCE_MAX,
                   "the limit leaves %.1f MiB for the %.1f MiB of the model's pack: where it "
                   "counts page cache, "
                   "the pack is read again and again, which is slow",
                   (double)left / (1 << 20), (double)plan->pack_bytes / (1 << 20));
    return true;
}
