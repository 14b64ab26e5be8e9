/* vecmill_machine_describe: what it says agrees, and it fills no more than the caller has. */
#include "base/base.h"
#include "vecmill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_agrees(void **state)
{
    (void)state;
    vecmill_machine m = {.struct_bytes = sizeof(m)};
    assert_int_equal(vecmill_machine_describe(&m, NULL), VECMILL_OK);
    assert_int_equal(m.struct_bytes, sizeof(m));
    assert_true(m.cpus >= 1);
    if (m.cpus_allowed > 0) assert_true(m.cpus <= m.cpus_allowed);
    assert_true(m.limit <= m.memory_limit && m.limit <= m.memory_available);
    assert_true(m.limit <= m.data_limit && m.limit <= m.address_limit);
    assert_true(m.limit == m.memory_limit || m.limit == m.memory_available ||
                m.limit == m.data_limit || m.limit == m.address_limit);
    assert_true(m.limit_source[0] != '\0');
    assert_true(m.memory_pressure <= 100);
    if (!m.psi) assert_true(m.memory_pressure < 0);
    if (m.memory_room != UINT64_MAX) assert_true(m.memory_room <= m.memory_limit);
}

/* Callers built before, and after: what is beyond theirs, or ours, stays as it was. */
static void test_other_sizes(void **state)
{
    (void)state;
    struct {
        vecmill_machine m;
        unsigned char beyond[64];
    } s;
    const size_t sizes[] = {offsetof(vecmill_machine, cpus_online), offsetof(vecmill_machine, cpus),
                            offsetof(vecmill_machine, memory_room), sizeof(s.m), sizeof(s)};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(&s, 0xA5, sizeof(s));
        s.m.struct_bytes = sizes[i];
        assert_int_equal(vecmill_machine_describe(&s.m, NULL), VECMILL_OK);
        assert_int_equal(s.m.struct_bytes, sizes[i]);
        const unsigned char *bytes = (const unsigned char *)&s;
        for (size_t k = num_min(sizes[i], sizeof(s.m)); k < sizeof(s); k++)
            assert_int_equal(bytes[k], 0xA5);
    }
    assert_true(s.m.limit_source[0] != '\0');
}

static void test_no_tree(void **state)
{
    (void)state;
    vecmill_machine m = {.struct_bytes = sizeof(m), .cpus = 4711};
    vecmill_err err;
    setenv("VECMILL_HOST_ROOT", "/nowhere/at/all", 1);
    const vecmill_status status = vecmill_machine_describe(&m, &err);
    unsetenv("VECMILL_HOST_ROOT");
    assert_int_equal(status, VECMILL_E_IO);
    assert_non_null(strstr(err.message, "/nowhere/at/all/proc/meminfo"));
    assert_int_equal(m.cpus, 4711);
}

int main(void)
{
    unsetenv("VECMILL_HOST_ROOT");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees),
        cmocka_unit_test(test_other_sizes),
        cmocka_unit_test(test_no_tree),
    };
    const int failed = cmocka_run_group_tests_name("machine", tests, NULL, NULL);
    printf("machine: %d passed, %d failed\n", (int)(sizeof(tests) / sizeof(tests[0])) - failed,
           failed);
    return failed;
}
