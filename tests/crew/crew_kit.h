/* crew_kit: a host for a crew of dummies, for the tests of crew with real processes.
 *
 * It submits items, checks every result, keeps its own counts next to the crew's, and gives up when
 * nothing happens any more. The crew's time passes only while it waits (test_clock.h), so a busy
 * machine brings no deadline nearer. `need` ends a test, even in a forked child, where cmocka's
 * asserts would run the rest of the tests a second time. */
#ifndef CREW_KIT_H
#define CREW_KIT_H

#include "crew/crew.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How much longer workers may take, and how much fewer things are done. */
#ifdef CREW_TEST_SANITIZED
#define KIT_SLOW 4u
#else
#define KIT_SLOW 1u
#endif

#define need(condition) ((condition) ? (void)0 : kit_fail(__FILE__, __LINE__, #condition))
_Noreturn void kit_fail(const char *file, int line, const char *what);

#define MS 1000000u /* nanoseconds */

#define HOST_ITEM_MOST      (256u << 10)
#define HOST_CONDEMNED_MOST 64u
#define HOST_EVENTS_MOST    65536u

#define HOST_TAIL_MOST (256u << 10)

struct host {
    struct crew *crew;
    struct crew_options options;
    char words[8][24];
    char *argv[11];
    const char *start; /* what workers do at their start, and how often (crew_dummy.c) */
    unsigned start_times;

    uint64_t n_items, n_in, n_out;
    size_t item_most; /* 0: each item is 16 bytes */
    const char *const
        *script; /* [n_script]: items 0 .. n_script are these commands (may be NULL) */
    size_t n_script;
    const char *all;       /* else each item is this command, if not NULL */
    const uint64_t *costs; /* [n_costs], in turn, of the items; NULL: of their sizes */
    size_t n_costs;

    uint64_t condemned[HOST_CONDEMNED_MOST];
    vecmill_cause causes[HOST_CONDEMNED_MOST][CREW_CAUSES_MAX];
    uint32_t n_condemned;

    struct crew_event *events; /* [HOST_EVENTS_MOST] */
    uint32_t n_events;
    uint64_t n_deaths;
    bool oom_known;
    uint64_t n_looks; /* at oom_kills */
    uint64_t oom_kills;

    void (*on_event)(struct host *h, const struct crew_event *event);
    void (*each_step)(struct host *h);
    void *user;
    char marks[160]; /* a folder of its own, in that of the program */
    int base_fds;
    bool company; /* another crew is open as well: what remains at the end is not checked */
};

/* The program of the dummy; set by main, before anything. */
extern const char *kit_dummy;

/* A host with sensible options for `workers`; deadlines are far off. Nothing is open yet. */
void host_init(struct host *h, uint32_t workers);
void host_open(struct host *h);
/* One round, and the books are compared. */
void host_step(struct host *h);
/* Submits what there is room for. */
void host_fill(struct host *h);
/* Takes and checks what is done. */
void host_drain(struct host *h);
/* Until all n_items were returned, or the crew failed and no more is coming. The test fails when nothing
 * happens for minutes. The crew's status, with its message in err. */
vecmill_status host_run(struct host *h, vecmill_err *err);
/* host_run that must end well. */
void host_run_well(struct host *h);
/* Closes the crew: within seconds of its own time; no worker is left, and no descriptor. */
void host_close(struct host *h);

/* Events of a kind so far, and the one numbered `i` among them. */
uint32_t host_count(const struct host *h, enum crew_event_kind kind);
const struct crew_event *host_event(const struct host *h, enum crew_event_kind kind, uint32_t i);
/* Deaths of this cause by the crew's count. */
uint64_t host_deaths(const struct host *h, vecmill_cause cause);
bool host_is_condemned(const struct host *h, uint64_t tag);
/* Whether a worker made the file NAME.END. */
bool host_mark(const struct host *h, const char *name, const char *end);

/* Children of process `pid`, dead ones not yet waited for included; at most `most`. */
size_t kit_children(pid_t pid, pid_t *children, size_t most);
/* The letter of proc(5): 'R', 'S', 'T', 'Z', ...; 0: there is no such process. */
char kit_state(pid_t pid);
/* The process that traces it (ptrace); 0: none. */
pid_t kit_tracer(pid_t pid);
/* Its oom_score_adj, from /proc. */
int kit_oom_score(pid_t pid);
int kit_count_fds(void);
/* This process is held up: it sleeps, and the crew's time goes on. */
void kit_pause_ms(unsigned ms);
uint64_t kit_random(void);
uint32_t kit_below(uint32_t n);

/* A test runs in its own child: nothing that it changes or leaves meets another test, and one that
 * hangs is ended. */
struct kit_test {
    const char *name;
    void (*body)(void);
};
#define KIT_TEST(body)                                                                             \
    {                                                                                              \
#body, body                                                                                \
    }
/* The whole main of a test program: argv[1] is the dummy; further arguments, if any, are the names of
 * the tests to run. */
int kit_main(const char *suite, const struct kit_test *tests, size_t n, int argc, char **argv);

/* A child that runs `body` and ends; kit_wait: it must end well. One that hangs is killed. */
pid_t kit_fork(void (*body)(void));
void kit_wait(pid_t child);

#endif
