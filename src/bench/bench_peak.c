/* bench_peak: the peak of all cores at once. One core alone may run faster than each does while all
 * compute (clocks, shared units), so a job over all of them is held against all of them. */
#include "bench.h"

#include <errno.h>
#include <sched.h>

#define BENCH_SLICE_S 0.02 /* long against a barrier, short against the drift of clocks */

/* One measurement: n_cores threads, n_slices slices. */
struct peak_measurement {
    const vecmill_session *session;
    pthread_barrier_t begin; /* of a slice; of n_cores threads */
    pthread_mutex_t gate;    /* held until all threads are there */
    bool is_off;             /* not all could be started; under the gate */
    uint32_t n_slices;
    uint32_t n_cores;
    double *rates; /* [n_slices, n_cores] */
};

struct peak_core {
    struct peak_measurement *m;
    uint32_t index;
    int cpu; /* -1: unpinned */
    pthread_t thread;
};

uint32_t bench_cores(uint64_t wanted)
{
    vecmill_machine machine = {.struct_bytes = sizeof(machine)};
    const uint32_t allowed =
        vecmill_machine_describe(&machine, NULL) == VECMILL_OK && machine.cpus > 0 ? machine.cpus
                                                                                   : 1;
    return wanted > 0 && wanted < allowed ? (uint32_t)wanted : allowed;
}

/* Allowed processor number i, from 0; -1: there is none. More processors than CPU_SETSIZE: none either. */
static int allowed_cpu(uint32_t i)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0) return -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set) && i-- == 0) return cpu;
    return -1;
}

static void *run_core(void *context)
{
    const struct peak_core *r = context;
    struct peak_measurement *m = r->m;
    (void)pthread_mutex_lock(&m->gate);
    const bool is_off = m->is_off;
    (void)pthread_mutex_unlock(&m->gate);
    if (is_off) return NULL;
    if (r->cpu >= 0) {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(r->cpu, &one);
        (void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
    }
    for (uint32_t i = 0; i < m->n_slices; i++) {
        (void)pthread_barrier_wait(&m->begin);
        m->rates[(size_t)i * m->n_cores + r->index] =
            vecmill_session_peak(m->session, BENCH_SLICE_S);
    }
    return NULL;
}

static double best_sum(const struct peak_measurement *m)
{
    double best = 0;
    for (uint32_t i = 0; i < m->n_slices; i++) {
        double sum = 0;
        for (uint32_t j = 0; j < m->n_cores; j++)
            sum += m->rates[(size_t)i * m->n_cores + j];
        if (sum > best) best = sum;
    }
    return best;
}

static vecmill_status run_cores(struct peak_measurement *m, struct peak_core *runners,
                                vecmill_err *err)
{
    int e = pthread_barrier_init(&m->begin, NULL, m->n_cores);
    if (e != 0) return err_sys(err, VECMILL_E_INTERNAL, e, "a barrier cannot be made");
    (void)pthread_mutex_init(&m->gate, NULL);
    (void)pthread_mutex_lock(&m->gate);
    uint32_t n = 0;
    while (n < m->n_cores && e == 0) {
        runners[n] = (struct peak_core){.m = m, .index = n, .cpu = allowed_cpu(n)};
        e = pthread_create(&runners[n].thread, NULL, run_core, &runners[n]);
        n += e == 0;
    }
    m->is_off = e != 0;
    (void)pthread_mutex_unlock(&m->gate);
    for (uint32_t i = 0; i < n; i++)
        (void)pthread_join(runners[i].thread, NULL);
    (void)pthread_mutex_destroy(&m->gate);
    (void)pthread_barrier_destroy(&m->begin);
    if (e == 0) return VECMILL_OK;
    return err_sys(err, VECMILL_E_MEMORY, e, "a thread for the peak cannot be started");
}

vecmill_status bench_peak(const vecmill_session *session, uint32_t n_cores, double seconds,
                          double *peak, vecmill_err *err)
{
    const uint32_t n_slices = (uint32_t)(seconds / BENCH_SLICE_S) + 1;
    void *rates = NULL, *runners = NULL;
    vecmill_status status = mem_new_array((size_t)n_slices * n_cores, sizeof(double),
                                          "rates of the cores", &rates, err);
    if (status == VECMILL_OK)
        status = mem_new_array(n_cores, sizeof(struct peak_core), "threads", &runners, err);
    struct peak_measurement m = {
        .session = session, .n_slices = n_slices, .n_cores = n_cores, .rates = rates};
    if (status == VECMILL_OK) status = run_cores(&m, runners, err);
    if (status == VECMILL_OK) *peak = best_sum(&m);
    mem_free(runners);
    mem_free(rates);
    return status;
}
