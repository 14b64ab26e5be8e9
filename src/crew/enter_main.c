/* enter_main: how a process becomes a worker. Part of the worker program, not of the library: it
 * sets signal dispositions and ends the process. */
#include "crew.h"

#include "cause.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

/* A fault signal that another process sent is not the fault of the work: it ends this process by an
 * exit code that says so. A real fault (or our own abort) raises the signal again, with the
 * disposition it had before. */
static struct sigaction faults_before[NSIG];

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    if (info->si_code <= 0 && info->si_pid != getpid()) _exit(CAUSE_SENT + number);
    sigaction(number, &faults_before[number], NULL);
    if (info->si_code <= 0) raise(number); /* delivered when this handler returns */
}

static void tell_faults_apart(void)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    static char stack[32 << 10]; /* SIGSTKSZ depends on the processor; AVX-512's state is 3 kB */
    const stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    (void)sigaltstack(&alternate, NULL);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        (void)sigaction(faults[i], &action, &faults_before[faults[i]]);
}

bool crew_worker_enter(pid_t parent, const char *name)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    /* 1, unlike 0, stops piped dumps as well (core(5)). */
    static const struct rlimit no_core = {1, 1};
    /* The parent may have died before this; then no signal comes (prctl(2), PR_SET_PDEATHSIG). */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) return false;
    (void)prctl(PR_SET_NAME, name);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)signal(ignored[i], SIG_IGN);
    (void)signal(SIGCHLD, SIG_DFL); /* a host may have left it ignored */
    tell_faults_apart();
    (void)setrlimit(RLIMIT_CORE, &no_core);
    sigset_t none;
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    return true;
}
