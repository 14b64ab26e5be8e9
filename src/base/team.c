/* team: a run is announced by a number that grows. Threads spin on it for a while before they
 * sleep, since the phases of a pass follow each other within microseconds. */
#include "team.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "alloc.h"

/* Looks at the number before sleeping: 55 us where a pause takes 14 ns (Xeon of 2023), less
 * elsewhere; longer than from one phase to the next. */
#define TURNS 4000

struct member {
    struct team *team;
    uint32_t thread;
    pthread_t id;
};

struct team {
    uint32_t n, n_started; /* n_started: of n - 1 */
    pthread_mutex_t lock;
    pthread_cond_t begun, ended;

    /* of the run; written before `run` grows */
    void (*do_item)(void *context, uint32_t item, uint32_t thread);
    void *context;
    uint32_t n_items;

    _Atomic uint32_t run;     /* odd: the team ends */
    _Atomic uint32_t next;    /* item */
    _Atomic uint32_t working; /* members that have not finished this run */
    struct member members[];  /* [n - 1] */
};

static inline void turn(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void work(struct team *t, uint32_t thread)
{
    for (;;) {
        const uint32_t item = atomic_fetch_add_explicit(&t->next, 1, memory_order_relaxed);
        if (item >= t->n_items) return;
        t->do_item(t->context, item, thread);
    }
}

/* Waits until *number differs from `was` and returns it. */
static uint32_t await_change(struct team *t, pthread_cond_t *told, _Atomic uint32_t *number,
                             uint32_t was)
{
    for (int i = 0; i < TURNS; i++) {
        const uint32_t now = atomic_load_explicit(number, memory_order_acquire);
        if (now != was) return now;
        turn();
    }
    pthread_mutex_lock(&t->lock);
    uint32_t now;
    while ((now = atomic_load_explicit(number, memory_order_acquire)) == was)
        pthread_cond_wait(told, &t->lock);
    pthread_mutex_unlock(&t->lock);
    return now;
}

static void *live(void *context)
{
    struct member *m = context;
    struct team *t = m->team;
    for (uint32_t run = 0;;) {
        run = await_change(t, &t->begun, &t->run, run);
        if (run & 1) return NULL;
        work(t, m->thread);
        if (atomic_fetch_sub_explicit(&t->working, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&t->lock);
            pthread_cond_signal(&t->ended);
            pthread_mutex_unlock(&t->lock);
        }
    }
}

/* Starts a run: threads that spin see the number, those that sleep are woken. */
static void announce(struct team *t, uint32_t step)
{
    pthread_mutex_lock(&t->lock);
    atomic_fetch_add_explicit(&t->run, step, memory_order_release);
    pthread_cond_broadcast(&t->begun);
    pthread_mutex_unlock(&t->lock);
}

void team_run(struct team *t, void (*do_item)(void *context, uint32_t item, uint32_t thread),
              void *context, uint32_t n_items)
{
    if (team_size(t) == 1 || n_items < 2) {
        for (uint32_t i = 0; i < n_items; i++)
            do_item(context, i, 0);
        return;
    }
    t->do_item = do_item;
    t->context = context;
    t->n_items = n_items;
    atomic_store_explicit(&t->next, 0, memory_order_relaxed);
    atomic_store_explicit(&t->working, t->n - 1, memory_order_relaxed);
    announce(t, 2);
    work(t, 0);
    for (uint32_t left; (left = atomic_load_explicit(&t->working, memory_order_acquire)) > 0;)
        (void)await_change(t, &t->ended, &t->working, left);
}

uint32_t team_size(const struct team *team)
{
    return team ? team->n : 1;
}

static vecmill_status start(struct team *t, vecmill_err *err)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int e = pthread_attr_init(&attr);
    if (e != 0) return err_sys(err, VECMILL_E_MEMORY, e, "a thread's attributes");
    sigfillset(&all);
    (void)pthread_attr_setstacksize(&attr, TEAM_STACK_BYTES);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the host's threads */
    for (uint32_t i = 0; i + 1 < t->n && e == 0; i++) {
        struct member *m = &t->members[i];
        m->team = t;
        m->thread = i + 1;
        e = pthread_create(&m->id, &attr, live, m);
        if (e == 0) t->n_started++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (e == 0) return VECMILL_OK;
    return err_sys(err, VECMILL_E_MEMORY, e, "thread %u of %u cannot be started", t->n_started + 2,
                   t->n);
}

vecmill_status team_open(uint32_t n, struct team **team, vecmill_err *err)
{
    void *memory = NULL;
    if (n == 0 || n > TEAM_MOST)
        return err_set(err, VECMILL_E_USAGE, "%u threads, outside 1 to %u", n, TEAM_MOST);
    VM_TRY(mem_new(sizeof(struct team) + (n - 1) * sizeof(struct member), "threads", &memory, err));
    struct team *t = memory;
    t->n = n;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->begun, NULL);
    pthread_cond_init(&t->ended, NULL);
    const vecmill_status status = start(t, err);
    if (status != VECMILL_OK) {
        team_close(t);
        return status;
    }
    *team = t;
    return VECMILL_OK;
}

void team_close(struct team *t)
{
    if (!t) return;
    if (t->n_started > 0) announce(t, 1);
    for (uint32_t i = 0; i < t->n_started; i++)
        (void)pthread_join(t->members[i].id, NULL);
    pthread_cond_destroy(&t->ended);
    pthread_cond_destroy(&t->begun);
    pthread_mutex_destroy(&t->lock);
    mem_free(t);
}
