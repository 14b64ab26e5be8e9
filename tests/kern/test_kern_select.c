/* kern_select: names, caps, refusals, and that the first selection stays, among threads too. Each
 * case is a separate process, since a selection is for a process's life. */
#include "kern_kit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs a case in a child; 0 is success. */
static int in_child(int (*run)(const char *), const char *argument)
{
    fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(run(argument));
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

/* Selects by argument; exit code: 10 + level, or 50 + status. */
static int by_argument(const char *cap)
{
    const struct kern *kern = NULL;
    vecmill_err err;
    const vecmill_status status = kern_select(cap, &kern, &err);
    if (status != VECMILL_OK) return kern ? 1 : 50 + (int)status;
    return strcmp(kern->name, kern_level_name(kern->level)) == 0 ? 10 + (int)kern->level : 1;
}

static int by_environment(const char *value)
{
    setenv("VECMILL_ISA", value, 1);
    return by_argument(NULL);
}

static int environment_and_argument(const char *value)
{
    setenv("VECMILL_ISA", "no such set", 1);
    return by_argument(value);
}

static int best_of_machine(const char *unused)
{
    (void)unused;
    unsetenv("VECMILL_ISA");
    return by_argument(NULL);
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(in_child(best_of_machine, NULL), 10 + (int)kern_machine_level());
    assert_int_equal(in_child(by_environment, ""), 10 + (int)kern_machine_level());
    assert_int_equal(in_child(by_environment, "AVX2"), 50 + VECMILL_E_USAGE);
    assert_int_equal(in_child(by_argument, "avx"), 50 + VECMILL_E_USAGE);
    for (int i = 0; i < KERN_LEVELS; i++) {
        const bool has = (enum kern_level)i <= kern_machine_level();
        const int want = has ? 10 + i : 50 + (int)VECMILL_E_USAGE;
        const char *name = kern_level_name((enum kern_level)i);
        assert_int_equal(in_child(by_environment, name), want);
        assert_int_equal(in_child(by_argument, name), want);
        assert_int_equal(in_child(environment_and_argument, name), want);
        assert_true((kern_table((enum kern_level)i) != NULL) == has);
    }
}

/* The message names the set, where the wish came from, and what there is. */
static int message(const char *value)
{
    const struct kern *kern = NULL;
    vecmill_err err;
    setenv("VECMILL_ISA", value, 1);
    if (kern_select(NULL, &kern, &err) != VECMILL_E_USAGE) return 1;
    if (!strstr(err.message, value) || !strstr(err.message, "VECMILL_ISA")) return 2;
    return strstr(err.message, "this machine") && strstr(err.message, "ref") ? 0 : 3;
}

static void test_message(void **state)
{
    (void)state;
    assert_int_equal(in_child(message, "sse9"), 0);
    if (kern_machine_level() < KERN_AVX512) assert_int_equal(in_child(message, "avx512"), 0);
}

static int first_holds(const char *unused)
{
    (void)unused;
    const struct kern *first = NULL, *again = NULL;
    vecmill_err err;
    if (kern_select("ref", &first, &err) != VECMILL_OK) return 1;
    if (kern_select("ref", &again, &err) != VECMILL_OK || again != first) return 2;
    if (kern_machine_level() == KERN_REF) return 0;
    again = NULL;
    if (kern_select("avx2", &again, &err) != VECMILL_E_USAGE || again) return 3;
    return strstr(err.message, "ref") && strstr(err.message, "avx2") ? 0 : 4;
}

static void test_first_holds(void **state)
{
    (void)state;
    assert_int_equal(in_child(first_holds, NULL), 0);
}

/* The selected table. NULL: none, or a signature that is not its own. */
static void *select_in_thread(void *unused)
{
    (void)unused;
    const struct kern *kern = NULL;
    vecmill_err err;
    if (kern_select(NULL, &kern, &err) != VECMILL_OK) return NULL;
    for (int p = 0; p < KERN_PRECISIONS; p++)
        if (strncmp(kern_signature(kern, (enum kern_precision)p), kern->name, strlen(kern->name)) !=
            0)
            return NULL;
    return (void *)(uintptr_t)kern;
}

/* The first selection of a process, and its texts, by threads that nothing else orders. */
static int threads_select(const char *unused)
{
    enum { THREADS = 4 };
    (void)unused;
    pthread_t threads[THREADS];
    unsetenv("VECMILL_ISA");
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, select_in_thread, NULL) != 0) return 1;
    const struct kern *first = NULL;
    for (int i = 0; i < THREADS; i++) {
        void *kern = NULL;
        if (pthread_join(threads[i], &kern) != 0 || !kern) return 2;
        if (first && kern != first) return 3;
        first = kern;
    }
    return 0;
}

static void test_threads(void **state)
{
    (void)state;
    assert_int_equal(in_child(threads_select, NULL), 0);
}

static void test_words(void **state)
{
    (void)state;
    assert_string_equal(kern_signature(kern_table(KERN_REF), KERN_FP32), "ref fp32 1");
    if (kern_machine_level() >= KERN_AVX2)
        assert_string_equal(kern_signature(kern_table(KERN_AVX2), KERN_FP32), "avx2 fp32 1");
    assert_string_equal(kern_precision_name(KERN_BF16), "bf16");
}

/* Not how fast: only that it is a rate, and that seconds bound the time it takes. */
static void test_peak(void **state)
{
    (void)state;
    for (int i = 0; i <= (int)kern_machine_level(); i++) {
        const double peak = kern_peak(kern_table((enum kern_level)i), KERN_FP32, 0.01);
        assert_true(peak > 1e6 && peak < 1e14);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),       cmocka_unit_test(test_message),
        cmocka_unit_test(test_first_holds), cmocka_unit_test(test_threads),
        cmocka_unit_test(test_words),       cmocka_unit_test(test_peak),
    };
    return kit_end("kern-select", sizeof tests / sizeof *tests,
                   cmocka_run_group_tests(tests, NULL, NULL));
}
