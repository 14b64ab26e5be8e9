/* process: starts, looks at and ends a worker process.
 *
 * A start is atomic: the program runs, or there is no process and a reason. A process is waited for
 * by its own handle only, so other children of the host are never touched. Works where a host
 * ignores SIGCHLD, and on kernels without pidfds. Does not know frames or batches. */
#ifndef CREW_PROCESS_H
#define CREW_PROCESS_H

#include "crew.h"

struct process {
    pid_t pid; /* 0: none */
    /* Readable when the process has ended. -1: the kernel has no pidfds; then the end of its socket
     * reports it, and waitpid. */
    int pidfd;
};

/* How a process ended. */
struct exit_status {
    bool known;  /* false: another took its status */
    bool signal; /* else it exited */
    int code;    /* the signal's number, or the exit code */
};

/* Memory for the child between clone and exec. */
#define PROCESS_STACK_BYTES (64u << 10)

/* Starts program with argv. Descriptors: `socket` becomes CREW_SOCKET, `null` becomes 0 and 1, 2 is
 * shared, no others. All signals are blocked, and crew_worker_enter unblocks them, so that a signal
 * to the group never finds it without dispositions. It has the highest OOM score before its first
 * page. stack: PROCESS_STACK_BYTES, aligned to 16. E_WORKERS. */
vecmill_status process_start(const char *program, char *const *argv, int socket, int null,
                             void *stack, struct process *p, vecmill_err *err);

/* Moves fd above the descriptors that a worker's are put at, and so above the standard ones, which
 * a host may have closed and still write to. Closes fd. -1 and errno. */
int process_lift_fd(int fd);

void process_kill(const struct process *p);

/* Reaps the process if it has ended, and releases the handles. False: it lives. */
bool process_reap(struct process *p, struct exit_status *status);

/* 'R' running or runnable, 'D' in the kernel, 'S' sleeping, 'T' stopped, ...; 0: unknown. */
char process_state(const struct process *p);

/* Major page faults so far; 0: none, or unknown. */
uint64_t process_major_faults(const struct process *p);

/* Processor time used; 0: unknown. */
uint64_t process_cpu_ns(const struct process *p);

/* For PID 1: reaps exited children for which is_own() is false. */
void process_reap_strangers(bool (*is_own)(void *context, pid_t pid), void *context);

#endif
