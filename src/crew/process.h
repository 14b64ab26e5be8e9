/* process: starting a worker program, looking at it, ending it.
 *
 * Promises: a start is atomic (the program runs, or there is no process and a reason); the process is
 * waited for by its own handle alone; nobody else's children are touched; a host that ignores SIGCHLD,
 * and a kernel without pidfds, are coped with. Does not know frames or batches. */
#ifndef CREW_PROCESS_H
#define CREW_PROCESS_H

#include "crew.h"

struct process {
    pid_t pid; /* 0: none */
    int pidfd; /* readable when the process has ended; -1: the kernel has none (then its socket's
                   end tells, and waitpid) */
};

/* How a process ended. */
struct exit_status {
    bool known;  /* false: somebody else took it */
    bool signal; /* else by exit */
    int code;    /* the signal's number, or the exit code */
};

/* Memory for the moment between clone and exec. */
#define PROCESS_STACK_BYTES (64u << 10)

/* Starts program with argv: descriptor `socket` as its CREW_SOCKET, `null` as its 0 and 1, 2 shared,
 * no other; all signals blocked (crew_worker_enter unblocks them: so there is no moment in which a
 * signal to the group finds it without dispositions); with the highest OOM score before it has a page of its
 * own. stack: PROCESS_STACK_BYTES, aligned to 16. E_WORKERS. */
vecmill_status process_start(const char *program, char *const *argv, int socket, int null,
                             void *stack, struct process *p, vecmill_err *err);

/* Moves descriptor fd above those that a worker's are put at, and so above the standard ones, which a host
 * may have closed and still write to. Closes fd. -1 and errno. */
int process_lift_fd(int fd);

void process_kill(const struct process *p);

/* Reaps it if it has ended; false: it lives. Gives up the handles. */
bool process_reap(struct process *p, struct exit_status *status);

/* 'R' running or runnable, 'D' in the kernel, 'S' sleeping, 'T' stopped, ...; 0: unknown. */
char process_state(const struct process *p);

/* Pages it had to wait for until they were read in; 0: none, or unknown. */
uint64_t process_major_faults(const struct process *p);

/* Processor time it has had; 0: unknown. */
uint64_t process_cpu_ns(const struct process *p);

/* As PID 1: reaps children that have ended and are not of n `own`. */
void process_reap_strangers(bool (*is_own)(void *context, pid_t pid), void *context);

#endif
