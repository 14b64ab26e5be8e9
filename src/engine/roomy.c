/* roomy: see roomy.h. */
#include "engine/roomy.h"

#include <signal.h>
#include <unistd.h>

struct job {
    vecmill_status (*call)(void *context, vecmill_err *err);
    void *context;
    vecmill_err *err;
    vecmill_status status;
};

static void *run(void *context)
{
    struct job *job = context;
    job->status = job->call(job->context, job->err);
    return NULL;
}

/* The main thread's grows, and a program is started with what it needs. */
static bool is_small(void)
{
    pthread_attr_t attr;
    size_t bytes = SIZE_MAX;
    if (gettid() == getpid() || pthread_getattr_np(pthread_self(), &attr) != 0) return false;
    (void)pthread_attr_getstacksize(&attr, &bytes);
    pthread_attr_destroy(&attr);
    return bytes < ROOMY_STACK_BYTES;
}

int roomy_start(pthread_t *thread, void *(*body)(void *context), void *context)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int e = pthread_attr_init(&attr);
    if (e) return e;
    (void)pthread_attr_setstacksize(&attr, ROOMY_STACK_BYTES);
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    e = pthread_create(thread, &attr, body, context);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return e;
}

vecmill_status roomy_call(vecmill_status (*call)(void *context, vecmill_err *err), void *context,
                          vecmill_err *err)
{
    struct job job = {.call = call, .context = context, .err = err};
    pthread_t thread;
    if (!is_small() || roomy_start(&thread, run, &job) != 0) return call(context, err);
    (void)pthread_join(thread, NULL);
    return job.status;
}
