/* child: one way to find a program of ours, and one way to start a program, hear it and end it.
 *
 * Promises: a program of ours is looked for by one rule, and never by PATH. A start is atomic: the
 * program runs, or there is no process and a reason; it copies no page tables, so the size of this
 * process does not matter. The child has descriptors 0 to 2 and no other, no blocked signal, and
 * default dispositions, except that SIGHUP, SIGINT, SIGQUIT and SIGXFSZ stay ignored where they are: as
 * after nohup, or in the background of a shell; a limit on file sizes is then an error of write. It is
 * killed when the thread that started it ends. Every wait has a deadline. Only this child is waited for
 * and signalled; a host that ignores SIGCHLD, or waits for all its children, hides how it ended and
 * nothing else. Does not know what is said. */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "err.h"

/* The absolute path of a program of ours into path[IO_PATH_MAX]. Looked for in the folder of the
 * running program, in that of the library with this code, in ../libexec/vecmill from the two, and in
 * the libexec folder of the installation. `failure`: it is in none of them. */
vecmill_status child_find(const char *name, char *path, vecmill_status failure, vecmill_err *err);

#define CHILD_INPUT_MAX 4096 /* what a pipe holds at least: one page (pipe(7)) */

struct child_options {
    const char *program; /* a path; it is shown in messages */
    char *const *argv;
    const char *dir;   /* its working folder; NULL: ours. A relative program is relative to it */
    const void *input; /* all that its standard input brings, at most CHILD_INPUT_MAX */
    size_t input_bytes;
    bool search_path; /* program is a name that is looked for in PATH */
    bool errors_too;  /* its standard error comes with its standard output; else it shares ours */
    bool is_group;    /* it leads a process group, and signals go to the whole of it */
};

struct child {
    pid_t pid; /* 0: none, or its end is known */
    int out;   /* read end of its standard output, which does not block; -1: closed */
    bool is_group;
};

/* How a child ended. */
struct child_end {
    bool is_known; /* false: somebody else took its status */
    int sig;       /* the signal that ended it; 0: none */
    int code;      /* else its exit code */
};

/* Starts a program. The calling thread has to live until the child has ended. `failure`, or E_MEMORY. */
vecmill_status child_start(const struct child_options *o, struct child *c, vecmill_status failure,
                           vecmill_err *err);

/* Waits up to wait_ms for output, less after a signal, and reads what there is of it. */
enum child_heard {
    CHILD_SAID,   /* *got bytes */
    CHILD_SILENT, /* nothing yet */
    CHILD_CLOSED, /* there will be no more */
};
enum child_heard child_read(const struct child *c, void *data, size_t bytes, unsigned wait_ms,
                            size_t *got);

/* Sends it a signal; nothing happens when it has ended. */
void child_signal(const struct child *c, int sig);

/* True when it has ended: it is reaped, and *end says how. Does not wait. */
bool child_has_ended(struct child *c, struct child_end *end);

/* Closes its output, waits up to wait_ms for its end, then kills it. A child that even SIGKILL does not
 * end within CHILD_KILL_MS (it waits in the kernel) is left as it is, and its end is not known. */
#define CHILD_KILL_MS 10000u
void child_close(struct child *c, unsigned wait_ms, struct child_end *end);

/* Starts a program and reads its standard output to the end: the first `room` bytes into `answer`,
 * what is over is dropped. When that takes more than wait_ms it is killed, and it is `failure`:
 * "`what` took more than N s". */
vecmill_status child_ask(const struct child_options *o, const char *what, unsigned wait_ms,
                         char *answer, size_t room, size_t *got, struct child_end *end,
                         vecmill_status failure, vecmill_err *err);

#endif
