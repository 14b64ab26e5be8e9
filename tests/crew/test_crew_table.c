/* test_crew_table: what a slot does next, all 88 pairs of state and event.
 *
 * The expectation was written from crew's README, not from table.c. Then a search checks properties
 * that hold for any correct table. */
#include "crew/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NAME(name) #name,
static const char *const states[] = {CREW_STATES(NAME)};
static const char *const events[] = {CREW_EVENTS(NAME)};
static const char *const actions[] = {CREW_ACTIONS(NAME)};
#undef NAME

/* One line for each event, one column for each state, in the order of the head. "X:do": to the
 * state whose name begins with X (LOST is W, written off), doing that. "-": cannot occur, the state
 * stays.
 *
 * An event cannot occur where nothing could cause it: frames and an end only while the socket is
 * read, a deadline only where one was set, a death only where there is a process. */
/* clang-format off */
static const char head[] =
    "            VACANT     STARTING  IDLE      BUSY     CLOSED KILLED      LEAVING    LOST";
static const char *const expected[] = {
    "STARTED     S:await_hello -         -         -        -      -           -          -",
    "NOT_STARTED V:back_off -         -         -        -      -           -          -",
    "BATCH       -          -         B:send    -        -      -           -          -",
    "LEAVE       V:nothing  K:kill    L:shut_down K:kill   K:kill K:nothing   L:nothing  W:nothing",
    "HELLO       -          I:ready   K:kill    K:kill   -      K:nothing   K:kill     -",
    "REFUSED     -          C:refuse  K:kill    C:refuse -      K:nothing   K:kill     -",
    "RESULT      -          K:kill    K:kill    I:commit -      K:commit    K:kill     -",
    "PART        -          K:kill    K:kill    B:commit_part -   K:commit_part K:kill    -",
    "GARBAGE     -          K:kill    K:kill    K:kill   -      K:nothing   K:kill     -",
    "END         -          C:await_exit  C:await_exit  C:await_exit -      K:nothing   L:nothing  -",
    "LATE        -          K:kill    -         K:kill   K:kill W:write_off K:kill     -",
    "DEAD        -          V:reap    V:reap    V:reap   V:reap V:reap      V:free V:free",
};
/* clang-format on */

static enum crew_at state_of(char letter)
{
    if (letter == 'W') return AT_LOST;
    for (unsigned s = 0; s < CREW_N_STATES; s++)
        if (states[s][0] == letter) return (enum crew_at)s;
    fail_msg("no state begins with %c", letter);
    return AT_VACANT;
}

/* The next word of *line into word[32]. */
static bool next_word(const char **line, char *word)
{
    size_t n;
    *line += strspn(*line, " ");
    n = strcspn(*line, " ");
    if (n == 0 || n > 31) return false;
    memcpy(word, *line, n);
    word[n] = '\0';
    *line += n;
    return true;
}

static bool says(const char *cell, const struct crew_cell *is)
{
    if (strcmp(cell, "-") == 0) return is->action == DO_BUG; /* the state stays, by apply.c */
    if (is->action == DO_BUG || is->next != (unsigned char)state_of(cell[0]) || cell[1] != ':')
        return false;
    char small[32] = "";
    for (size_t i = 0; i < sizeof small - 1 && actions[is->action][i]; i++)
        small[i] = (char)(actions[is->action][i] == '_' ? '_' : actions[is->action][i] | 0x20);
    return strcmp(cell + 2, small) == 0;
}

static void every_pair(void **state)
{
    (void)state;
    char word[32];
    unsigned pairs = 0;
    const char *line = head;
    for (unsigned s = 0; s < CREW_N_STATES; s++) {
        assert_true(next_word(&line, word));
        assert_string_equal(word, states[s]);
    }
    assert_false(next_word(&line, word));
    assert_int_equal(sizeof expected / sizeof *expected, CREW_N_EVENTS);
    for (unsigned e = 0; e < CREW_N_EVENTS; e++) {
        line = expected[e];
        assert_true(next_word(&line, word));
        assert_string_equal(word, events[e]);
        for (unsigned s = 0; s < CREW_N_STATES; s++, pairs++) {
            assert_true(next_word(&line, word));
            const struct crew_cell *cell = &crew_table[s][e];
            if (!says(word, cell))
                fail_msg("%s on %s: wanted %s, is %s %s", states[s], events[e], word,
                         states[cell->next], actions[cell->action]);
        }
        assert_false(next_word(&line, word));
    }
    assert_int_equal(pairs, 96);
}

static bool has_process(unsigned s)
{
    return s != AT_VACANT;
}

/* The socket is read: not after its end, a refusal or garbage, and not where there is none. */
static bool is_read(unsigned s)
{
    return s == AT_STARTING || s == AT_IDLE || s == AT_BUSY || s == AT_KILLED || s == AT_LEAVING;
}

static bool sets_deadline(unsigned action)
{
    switch ((enum crew_do)action) {
    case DO_AWAIT_HELLO:
    case DO_SEND:
    case DO_AWAIT_EXIT:
    case DO_KILL:
    case DO_REFUSE:
    case DO_SHUT_DOWN:
        return true;
    default:
        return false;
    }
}

static void a_death_leads_to_vacancy(void **state)
{
    (void)state;
    for (unsigned s = 0; s < CREW_N_STATES; s++) {
        const struct crew_cell *cell = &crew_table[s][ON_DEAD];
        assert_true(has_process(s) ? cell->next == AT_VACANT : cell->action == DO_BUG);
        if (has_process(s)) assert_true(cell->action == DO_REAP || cell->action == DO_FREE);
    }
    /* And nothing but a death does: a slot is not reused while a process may be in it. */
    for (unsigned s = 0; s < CREW_N_STATES; s++)
        for (unsigned e = 0; e < CREW_N_EVENTS; e++)
            if (has_process(s) && e != ON_DEAD && crew_table[s][e].action != DO_BUG)
                assert_int_not_equal(crew_table[s][e].next, AT_VACANT);
}

/* Every state that waits has a deadline: set by the action that leads into it, and cleared by
 * apply.c at any change of state. */
static void every_wait_has_a_deadline(void **state)
{
    (void)state;
    for (unsigned s = 0; s < CREW_N_STATES; s++) {
        for (unsigned e = 0; e < CREW_N_EVENTS; e++) {
            const struct crew_cell *cell = &crew_table[s][e];
            const bool waits =
                cell->next != AT_VACANT && cell->next != AT_IDLE && cell->next != AT_LOST;
            if (cell->action == DO_BUG || cell->next == s) continue;
            if (waits && !sets_deadline(cell->action))
                fail_msg("%s on %s waits in %s without a deadline", states[s], events[e],
                         states[cell->next]);
            if (cell->next == AT_LOST) assert_int_equal(cell->action, DO_WRITE_OFF);
        }
    }
    /* A deadline that passes is acted on wherever it was set. */
    for (unsigned s = 0; s < CREW_N_STATES; s++) {
        const bool waits = s != AT_VACANT && s != AT_IDLE && s != AT_LOST;
        assert_true((crew_table[s][ON_LATE].action != DO_BUG) == waits);
        if (waits) assert_int_not_equal(crew_table[s][ON_LATE].next, s);
    }
}

static void killing_leads_to_killed(void **state)
{
    (void)state;
    for (unsigned s = 0; s < CREW_N_STATES; s++) {
        for (unsigned e = 0; e < CREW_N_EVENTS; e++) {
            const struct crew_cell *cell = &crew_table[s][e];
            if (cell->action == DO_KILL) assert_int_equal(cell->next, AT_KILLED);
            if (cell->next == AT_KILLED && s != AT_KILLED && cell->action != DO_BUG)
                assert_int_equal(cell->action, DO_KILL);
            /* Once is enough, and only a process can be killed. */
            if (cell->action == DO_KILL) assert_true(has_process(s) && s != AT_KILLED);
        }
    }
}

/* From wherever it is, a process whose deadlines pass (or that is asked to leave, where there is no
 * deadline) is dead or written off after at most `most` steps, whatever order they come in. */
static void no_process_is_kept_for_ever(void **state)
{
    (void)state;
    for (unsigned from = 0; from < CREW_N_STATES; from++) {
        unsigned s = from;
        unsigned steps = 0;
        while (s != AT_VACANT && s != AT_LOST) {
            const enum crew_on e = s == AT_IDLE ? ON_LEAVE : ON_LATE;
            assert_int_not_equal(crew_table[s][e].action, DO_BUG);
            s = crew_table[s][e].next;
            assert_true(++steps <= 3);
        }
    }
    /* Without a deadline too: no cycle but those in which work is done (IDLE and BUSY by SEND and
     * COMMIT) or a new process is started. Transitive closure over everything else. */
    bool reaches[CREW_N_STATES][CREW_N_STATES] = {{false}};
    for (unsigned s = 0; s < CREW_N_STATES; s++) {
        for (unsigned e = 0; e < CREW_N_EVENTS; e++) {
            const struct crew_cell *cell = &crew_table[s][e];
            if (cell->action == DO_BUG || cell->next == s) continue;
            if (cell->action == DO_COMMIT || cell->action == DO_AWAIT_HELLO) continue;
            reaches[s][cell->next] = true;
        }
    }
    for (unsigned k = 0; k < CREW_N_STATES; k++)
        for (unsigned i = 0; i < CREW_N_STATES; i++)
            for (unsigned j = 0; j < CREW_N_STATES; j++)
                reaches[i][j] |= reaches[i][k] && reaches[k][j];
    for (unsigned s = 0; s < CREW_N_STATES; s++)
        assert_false(reaches[s][s]);
    /* Closing: each state but VACANT and LOST gets a deadline or has one, and none starts anything. */
    for (unsigned s = 0; s < CREW_N_STATES; s++) {
        const struct crew_cell *cell = &crew_table[s][ON_LEAVE];
        assert_int_not_equal(cell->action, DO_BUG);
        assert_true(cell->next != AT_IDLE && cell->next != AT_BUSY && cell->next != AT_STARTING);
    }
}

/* Bytes are the worker's to choose: no frame, garbage or end meets a bug while its socket is read. */
static void no_byte_meets_a_bug(void **state)
{
    (void)state;
    static const enum crew_on from_socket[] = {ON_HELLO, ON_REFUSED, ON_RESULT, ON_GARBAGE, ON_END};
    for (unsigned s = 0; s < CREW_N_STATES; s++) {
        for (unsigned i = 0; i < sizeof from_socket / sizeof *from_socket; i++) {
            const struct crew_cell *cell = &crew_table[s][from_socket[i]];
            assert_int_equal(cell->action != DO_BUG, is_read(s));
            if (is_read(s)) assert_true(has_process(cell->next));
        }
    }
    /* After an end, a refusal or garbage nothing more is read, and the state does not expect it. */
    for (unsigned s = 0; s < CREW_N_STATES; s++) {
        if (!is_read(s)) continue;
        const unsigned end = crew_table[s][ON_END].next, refused = crew_table[s][ON_REFUSED].next;
        assert_true(end == AT_CLOSED || (end == s && (s == AT_KILLED || s == AT_LEAVING)));
        assert_true(refused == AT_CLOSED || refused == AT_KILLED);
        assert_int_equal(crew_table[s][ON_GARBAGE].next, AT_KILLED);
    }
}

/* A batch is never forgotten: a state that may hold one is left only by an action that takes or
 * returns it. */
static void batches_are_kept_in_hand(void **state)
{
    (void)state;
    bool may_hold[CREW_N_STATES] = {false};
    for (bool changed = true; changed;) {
        changed = false;
        for (unsigned s = 0; s < CREW_N_STATES; s++) {
            for (unsigned e = 0; e < CREW_N_EVENTS; e++) {
                const struct crew_cell *cell = &crew_table[s][e];
                const bool takes = cell->action == DO_SEND;
                const bool gives = cell->action == DO_COMMIT || cell->action == DO_REAP ||
                                   cell->action == DO_WRITE_OFF;
                if (cell->action == DO_BUG) continue;
                /* FREE returns no batch, so there must be none. */
                if (cell->action == DO_FREE) assert_false(may_hold[s]);
                if (takes) assert_false(may_hold[s]);
                if ((takes || (may_hold[s] && !gives)) && !may_hold[cell->next])
                    may_hold[cell->next] = changed = true;
            }
        }
    }
    static const bool want[CREW_N_STATES] = {
        [AT_BUSY] = true, [AT_CLOSED] = true, [AT_KILLED] = true};
    for (unsigned s = 0; s < CREW_N_STATES; s++)
        assert_int_equal(may_hold[s], want[s]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair),
        cmocka_unit_test(a_death_leads_to_vacancy),
        cmocka_unit_test(every_wait_has_a_deadline),
        cmocka_unit_test(killing_leads_to_killed),
        cmocka_unit_test(no_process_is_kept_for_ever),
        cmocka_unit_test(no_byte_meets_a_bug),
        cmocka_unit_test(batches_are_kept_in_hand),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("crew-table: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
