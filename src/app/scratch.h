/* scratch: a temporary folder of this run, under $TMPDIR, else /tmp.
 *
 * scratch_close removes it with all that lies in it (files; it has no folders). A first signal does not
 * leave it behind, since who opens one defers signals first (signals_defer); a second one, or SIGKILL,
 * does. */
#ifndef APP_SCRATCH_H
#define APP_SCRATCH_H

#include "base/base.h"

struct scratch {
    char dir[IO_PATH_MAX]; /* "": none */
};

/* Makes a folder "vecmill-NAME-XXXXXX". E_USAGE: $TMPDIR is too long; E_IO. */
vecmill_status scratch_open(struct scratch *s, const char *name, vecmill_err *err);
void scratch_close(struct scratch *s);

#endif
