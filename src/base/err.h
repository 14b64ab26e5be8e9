/* err: records why something failed. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>

#include "vecmill_status.h"

/* Fills *err (may be NULL) with a status and one sentence without full stop. A sentence that is too
 * long is cut between characters; control characters and invalid UTF-8 become question marks.
 * Returns status, so that `return err_set(...)` is the whole failure. */
vecmill_status err_set(vecmill_err *err, vecmill_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with ": <strerror(errno_value)>" appended. */
vecmill_status err_sys(vecmill_err *err, vecmill_status status, int errno_value, const char *format,
                       ...) __attribute__((format(printf, 4, 5)));

/* The same as err_set, with arguments as a va_list. */
vecmill_status err_setv(vecmill_err *err, vecmill_status status, const char *format, va_list ap)
    __attribute__((format(printf, 3, 0)));

#ifdef __clang_analyzer__
/* clang's analyzer sees one file at a time, so these macros state what the two return. */
static inline vecmill_status err_given(vecmill_status given, vecmill_status returned)
{
    if (given == VECMILL_OK || returned != given) __builtin_unreachable();
    return given;
}
#define err_set(err, status, ...) err_given(status, err_set(err, status, __VA_ARGS__))
#define err_sys(err, status, ...) err_given(status, err_sys(err, status, __VA_ARGS__))
#endif

/* The word for a cause ("oom", "segv"), static; "unknown" outside the list. */
const char *cause_word(vecmill_cause cause);

/* Returns from the calling function when the call fails. Only where there is nothing to release. */
#define VM_TRY(call)                                                                               \
    do {                                                                                           \
        vecmill_status vm_try_status_ = (call);                                                    \
        if (vm_try_status_ != VECMILL_OK) return vm_try_status_;                                   \
    } while (0)

#endif
