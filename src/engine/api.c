/* api: the small words of vecmill.h: version, statuses, defaults. */
#include "vecmill.h"

#include "base/base.h"

#include <string.h>

const char *vecmill_version(void)
{
    return VECMILL_VERSION;
}

struct words {
    const char *words;
    int exit_code;
};

static const struct words statuses[VECMILL_STATUS_COUNT] = {
#define STATUS_ROW(name, code, text) [VECMILL_##name] = {text, code},
    VECMILL_STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

const char *vecmill_status_words(vecmill_status status)
{
    return (unsigned)status < VECMILL_STATUS_COUNT ? statuses[status].words : "unknown status";
}

int vecmill_status_exit(vecmill_status status)
{
    return (unsigned)status < VECMILL_STATUS_COUNT ? statuses[status].exit_code : 1;
}

const char *vecmill_cause_word(vecmill_cause cause)
{
    return cause_word(cause);
}

void vecmill_options_init(vecmill_options *options)
{
    memset(options, 0, sizeof(*options));
    options->struct_bytes = sizeof(*options);
}
