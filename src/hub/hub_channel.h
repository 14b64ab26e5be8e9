/* hub_channel: what vecmill and vecmill-pull say to each other: arguments one way, lines the other.
 *
 * Both ends are here, so that the form is known in one place. The token goes by the standard input of
 * vecmill-pull, since arguments are public. */
#ifndef HUB_CHANNEL_H
#define HUB_CHANNEL_H

#include "hub_inner.h"

#define HUB_TOKEN_MAX 1024

/* ---- the arguments: CACHE NAME ENDPOINT CONNECT_S STALL_S ATTEMPTS BACKOFF_MS PYTHON ---- */

#define HUB_ARGUMENTS 8

struct hub_arguments {
    char *argv[1 + HUB_ARGUMENTS + 1];
    char name[HUB_NAME_MAX + HUB_COMMIT_BYTES + 2];
    char numbers[4][12];
};

/* The argv of `program`. Borrows what it is given. */
void hub_arguments_encode(const char *program, const char *cache, const struct hub_ref *ref,
                          const struct hub_env *env, struct hub_arguments *arguments);

/* argv as it was encoded, the program's name first. Borrows argv; the rest of *env is zeroed. E_USAGE. */
vecmill_status hub_arguments_decode(char *const *argv, const char **cache, struct hub_ref *ref,
                                    struct hub_env *env, vecmill_err *err);

/* ---- the lines, written by vecmill-pull ---- */

struct hub_channel {
    int fd;           /* -1: there is no reader; nothing is written */
    uint64_t said_ns; /* when progress was last written */
    bool is_gone;     /* the reader has ended: end soon */
};

/* Writes progress, ten times a second at most; false when the reader has ended. */
bool hub_channel_say(struct hub_channel *channel, const char *file, uint64_t bytes, uint64_t total);

/* Waits, with a sign of life now and then; false as hub_channel_say. */
bool hub_channel_wait(struct hub_channel *channel, const char *what, unsigned wait_ms);

/* The last line: the folder, or what failed. */
void hub_channel_end(const struct hub_channel *channel, vecmill_status status, const char *dir,
                     const vecmill_err *err);

/* ---- the lines, as hub_pull reads them ---- */

struct hub_line {
    enum { HUB_LINE_PROGRESS, HUB_LINE_DONE, HUB_LINE_FAILED } kind;
    const char *text; /* a file, the folder, or a message; points into the line */
    uint64_t bytes, total;
    vecmill_status status;
};

/* Takes a line without its end apart; false: it is none of ours. */
bool hub_line_read(const char *text, struct hub_line *line);

#endif
