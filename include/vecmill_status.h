/* vecmill_status.h: the words for failing, shared by the library, its programs and its callers.
 *
 * Promises: one list of statuses, each with the exit code that the `vecmill` program ends with and
 * a few words; one list of the causes a worker process can end by; one caller-owned buffer for the
 * reason. Both lists grow at the end and are never renumbered. Knows nothing of embeddings. Clean C99
 * and C++11. */
#ifndef VECMILL_STATUS_H
#define VECMILL_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, exit code, words) */
#define VECMILL_STATUS_LIST(X)                                                                     \
    X(OK, 0, "success")                                                                            \
    X(E_INTERNAL, 1, "internal error")                                                             \
    X(E_USAGE, 2, "wrong usage")                                                                   \
    X(E_PARTIAL, 3, "complete, but some documents failed")                                         \
    X(E_STOPPED, 4, "stopped by a signal")                                                         \
    X(E_MEMORY, 5, "does not fit in memory")                                                       \
    X(E_WORKERS, 6, "workers keep dying")                                                          \
    X(E_OUTPUT, 7, "output failed")                                                                \
    X(E_INPUT, 8, "input invalid")                                                                 \
    X(E_MODEL, 9, "model invalid or changed")                                                      \
    X(E_NOTFOUND, 10, "not found or download failed")                                              \
    X(E_UNSUPPORTED, 2, "not in this version")                                                     \
    X(E_IO, 1, "a system call failed")                                                             \
    X(E_LIMIT, 8, "a named maximum was reached")

typedef enum vecmill_status {
#define VECMILL_STATUS_ENUM(name, code, words) VECMILL_##name,
    VECMILL_STATUS_LIST(VECMILL_STATUS_ENUM)
#undef VECMILL_STATUS_ENUM
        VECMILL_STATUS_COUNT
} vecmill_status;

/* Why a worker process ended. X(name, word); the word is what events and messages say. */
#define VECMILL_CAUSE_LIST(X)                                                                      \
    X(NONE, "none")         /* it lives, or it ended as it was asked to */                         \
    X(OOM, "oom")           /* SIGKILL, and the cgroup's counter of OOM kills rose */              \
    X(KILLED, "killed")     /* SIGKILL of another origin */                                        \
    X(SEGV, "segv")         /* SIGSEGV */                                                          \
    X(BUS, "bus")           /* SIGBUS: a mapped file was cut, or cannot be read */                 \
    X(ILL, "ill")           /* SIGILL */                                                           \
    X(FPE, "fpe")           /* SIGFPE */                                                           \
    X(ABORT, "abort")       /* SIGABRT */                                                          \
    X(SIGNAL, "signal")     /* any other signal */                                                 \
    X(EXIT, "exit")         /* it exited without being asked, with whatever code */                \
    X(HANG, "hang")         /* ended by the supervisor: it was past its deadline */                \
    X(PROTOCOL, "protocol") /* ended by the supervisor: it sent what is no answer */               \
    X(UNKNOWN, "unknown")   /* somebody else took its exit status (SIGCHLD ignored) */

typedef enum vecmill_cause {
#define VECMILL_CAUSE_ENUM(name, word) VECMILL_CAUSE_##name,
    VECMILL_CAUSE_LIST(VECMILL_CAUSE_ENUM)
#undef VECMILL_CAUSE_ENUM
        VECMILL_CAUSE_COUNT
} vecmill_cause;

/* The reason for a failure: one sentence that names what, which one, where, and the two numbers
 * that disagree; UTF-8, cut at the end when too long, always terminated. The caller owns it, may
 * leave it uninitialised, and may pass NULL. Written only when a function fails. */
typedef struct vecmill_err {
    vecmill_status status;
    char message[252];
} vecmill_err;

#ifdef __cplusplus
}
#endif
#endif
