/* A pool's plan: the sum, and the choice of workers and batch under every limit. */
#include "engine/item.h"
#include "engine/output.h"
#include "engine/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((uint64_t)1 << 20)

static uint64_t caller_bytes(void *context, uint32_t dim, uint32_t capacity, uint64_t max_document)
{
    (void)context;
    return (uint64_t)dim * 4 + (uint64_t)capacity * 64 + max_document;
}

/* MiniLM-L6's shape. */
static void mini(struct plan_facts *f)
{
    memset(f, 0, sizeof *f);
    f->resolved.kern = kern_table(KERN_REF);
    f->resolved.config = (struct model_config){.family = "bert",
                                               .n_layers = 6,
                                               .hidden = 384,
                                               .dim = 384,
                                               .n_heads = 12,
                                               .n_kv_heads = 12,
                                               .head_dim = 32,
                                               .divisor = 5.656854f,
                                               .intermediate = 1536,
                                               .vocab = 30522,
                                               .max_positions = 512,
                                               .max_length = 256,
                                               .eps = 1e-12f};
    f->resolved.threads = 1;
    f->resolved.dim = 384;
    f->resolved.kinds = 1u << VECMILL_KIND_DENSE;
    f->resolved.max_length = 256;
    f->resolved.baseline.program_bytes = MIB;
    f->measured = true;
    f->pack_bytes = 91 * MIB;
    f->own_bytes = 2 * MIB;
    f->max_document = MIB;
    f->workers_most = 4;
    f->caller_bytes = caller_bytes;
    f->limit = (struct host_limit){.bytes = 1024 * MIB, .source = "--memory"};
}

static uint64_t sum_of(const vecmill_plan *plan)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < plan->n_parts; i++)
        sum += plan->parts[i].n * plan->parts[i].bytes;
    return sum;
}

static void parts_make_the_sum(void **state)
{
    (void)state;
    struct plan_facts f;
    vecmill_plan one = {.struct_bytes = sizeof one}, more = one;
    mini(&f);
    plan_sum(&f, 1, 960, &one);
    assert_int_equal(one.total_bytes, sum_of(&one));
    for (uint32_t w = 2; w <= 8; w++) {
        plan_sum(&f, w, 960, &more);
        assert_int_equal(more.total_bytes, sum_of(&more));
        /* A worker more costs its lines and its share of the queue, and no weights. */
        const uint64_t each = (more.total_bytes - one.total_bytes) / (w - 1);
        assert_true(each >= plan_worker_bytes(&one));
        assert_true(each <= plan_worker_bytes(&one) + 2 * MIB);
        assert_true(each < f.pack_bytes / 3);
        assert_int_equal(more.reserve_bytes, 2 * MIB + w * (MIB / 4));
    }
}

/* A line's bytes of one process. */
static uint64_t line_of(const vecmill_plan *plan, vecmill_owner owner, const char *name)
{
    for (uint32_t i = 0; i < plan->n_parts; i++) {
        const vecmill_plan_part *part = &plan->parts[i];
        if (part->owner != owner || strcmp(part->name, name)) continue;
        assert_int_equal(part->n, plan->workers);
        return part->bytes;
    }
    fail_msg("no line %s of %s", name, vecmill_owner_word(owner));
    return 0;
}

/* Fewer dimensions: smaller batches, and a larger arena, where a pass's whole rows are kept. */
static void dimensions_are_counted(void **state)
{
    (void)state;
    struct plan_facts f;
    vecmill_plan whole = {.struct_bytes = sizeof whole}, cut = {.struct_bytes = sizeof cut};
    mini(&f);
    f.resolved.n_specials = 2;
    plan_sum(&f, 2, 480, &whole);
    f.resolved.dim = 128;
    plan_sum(&f, 2, 480, &cut);
    assert_int_equal(whole.dim, 384);
    assert_int_equal(cut.dim, 128);
    const uint64_t rows = 480 / 2 * 384 * sizeof(float), batch = 256 * (384 - 128) * sizeof(float);
    const uint64_t more = line_of(&cut, VECMILL_OWNER_WORKER, "arena") -
                          line_of(&whole, VECMILL_OWNER_WORKER, "arena");
    assert_true(more + 4096 > rows && more < rows + 4096);
    const uint64_t less = line_of(&whole, VECMILL_OWNER_WORKER, "leases") -
                          line_of(&cut, VECMILL_OWNER_WORKER, "leases");
    assert_true(less + 4096 > batch && less < 2 * batch + 4096); /* here, and with the crew */
}

/* Whole pages of what a worker will have: the program as it was measured and the stack it commits, and the
 * two mappings that it makes, by the functions that it asks how large to make them. Not a page less. */
static void a_worker_has_what_it_takes(void **state)
{
    (void)state;
    struct plan_facts f;
    vecmill_plan plan = {.struct_bytes = sizeof plan};
    mini(&f);
    f.resolved.baseline.slack = 12345;
    for (uint32_t workers = 1; workers <= 4; workers++) {
        for (uint32_t tokens = 256; tokens <= 960; tokens += 64) {
            struct resolved resolved = f.resolved;
            resolved_batch(&resolved, tokens);
            const size_t program =
                (size_t)(resolved.baseline.program_bytes + resolved.baseline.slack) +
                ENGINE_STACK_BYTES;
            struct output output;
            output_of(&resolved, &output);
            const size_t batches =
                worker_session_bytes(&output, item_most(&resolved, f.max_document));
            plan_sum(&f, workers, tokens, &plan);
            assert_int_equal(line_of(&plan, VECMILL_OWNER_WORKER, PLAN_PROGRAM),
                             mem_map_bytes(program));
            assert_int_equal(line_of(&plan, VECMILL_OWNER_WORKER, "arena"),
                             mem_map_bytes(resolved_session_bytes(&resolved)));
            assert_int_equal(line_of(&plan, VECMILL_OWNER_WORKER, "leases"),
                             mem_map_bytes(batches));
            assert_true(line_of(&plan, VECMILL_OWNER_KERNEL, "processes and sockets") >=
                        crew_kernel_bytes(1));
        }
    }
}

static void a_missing_pack_is_built_first(void **state)
{
    (void)state;
    struct plan_facts f;
    vecmill_plan plan = {.struct_bytes = sizeof plan}, built = plan;
    mini(&f);
    plan_sum(&f, 1, 960, &plan);
    f.builds = true;
    f.build_bytes = 5 * MIB;
    plan_sum(&f, 1, 960, &built);
    assert_int_equal(built.total_bytes, plan.total_bytes); /* running is the larger */
    f.build_bytes = 500 * MIB;
    plan_sum(&f, 1, 960, &built);
    assert_true(built.total_bytes > 500 * MIB && built.total_bytes < 506 * MIB);
}

/* Every limit from none to plenty: what is chosen fits, nothing larger would have, and as the limit rises so
 * does the choice, tokens before workers. */
static void the_choice_fits_every_limit(void **state)
{
    (void)state;
    struct plan_facts f;
    vecmill_plan plan = {.struct_bytes = sizeof plan}, other = plan;
    uint64_t last = 0;
    unsigned refused = 0, chosen = 0;
    mini(&f);
    for (uint64_t limit = 4 * MIB; limit < 120 * MIB; limit += MIB / 2) {
        f.limit.bytes = limit;
        plan_choose(&f, &plan);
        assert_int_equal(plan.limit_bytes, limit);
        if (!plan.fits) {
            assert_int_equal(chosen, 0);
            assert_int_equal(plan.workers, 1);
            assert_true(plan.batch_tokens == 256);
            assert_true(strstr(plan.advice, "available (--memory)") != NULL);
            refused++;
            continue;
        }
        chosen++;
        assert_string_equal(plan.advice, "");
        assert_true(plan.total_bytes + plan.reserve_bytes <= limit);
        assert_true(plan.batch_tokens >= 256 && plan.batch_tokens <= 480);
        if (plan.batch_tokens < 480) {
            plan_sum(&f, plan.workers, plan.batch_tokens + 16, &other);
            assert_false(other.fits);
        }
        if (plan.workers < 4) {
            plan_sum(&f, plan.workers + 1, 256, &other);
            assert_false(other.fits);
        }
        const uint64_t size = plan.workers * UINT64_C(100000) + plan.batch_tokens;
        assert_true(size >= last);
        last = size;
    }
    assert_true(refused > 10 && chosen > 100);
    assert_int_equal(plan.workers, 4);
    assert_int_equal(plan.batch_tokens, 480);
}

/* What was asked for is not changed, only refused, and the advice is an order that would be taken. */
static void what_is_asked_for_is_refused_with_advice(void **state)
{
    (void)state;
    struct plan_facts f;
    vecmill_plan plan = {.struct_bytes = sizeof plan};
    vecmill_err err = {.message = ""};
    unsigned workers, batch, length, document;
    mini(&f);
    f.workers = 4;
    f.batch_tokens = 2048;
    plan_choose(&f, &plan);
    assert_true(plan.fits && plan.workers == 4 && plan.batch_tokens == 2048);
    f.limit.bytes = plan.total_bytes + plan.reserve_bytes;
    plan_choose(&f, &plan);
    assert_true(plan.fits);
    for (; f.limit.bytes > 6 * MIB; f.limit.bytes -= MIB / 3) {
        struct plan_facts g = f;
        g.limit.bytes--;
        plan_choose(&g, &plan);
        assert_false(plan.fits);
        assert_true(plan.workers == 4 && plan.batch_tokens == 2048);
        const char *way = strstr(plan.advice, "--workers");
        if (!way) {
            assert_non_null(strstr(plan.advice, "no choice of options would fit"));
            break;
        }
        const int n =
            sscanf(way, "--workers %u --batch-tokens %u --max-length %u --max-document %u",
                   &workers, &batch, &length, &document);
        assert_true(n == 2 || n == 4);
        g.workers = workers;
        g.batch_tokens = batch;
        if (n == 4) {
            g.resolved.max_length = length;
            g.max_document = document;
        }
        plan_choose(&g, &plan);
        assert_true(plan.fits);
    }
    assert_true(f.limit.bytes < 24 * MIB);
    assert_int_equal(plan_refuse(&plan, &err), VECMILL_E_MEMORY);
    assert_string_equal(err.message, plan.advice);
}

/* An automatic choice keeps away from a limit at which everything dies at once. */
static void a_group_that_dies_as_one_is_kept_away_from(void **state)
{
    (void)state;
    struct plan_facts f;
    vecmill_plan plan = {.struct_bytes = sizeof plan};
    mini(&f);
    plan_choose(&f, &plan);
    const uint64_t needed = plan.total_bytes + plan.reserve_bytes;
    f.limit.bytes = needed;
    f.oom_group = true;
    plan_choose(&f, &plan);
    assert_true(plan.fits && plan.oom_group);
    assert_true(plan.total_bytes + plan.reserve_bytes <= needed / 10 * 9);
    f.workers = 4;
    f.batch_tokens = 480;
    plan_choose(&f, &plan);
    assert_true(plan.fits && plan.total_bytes + plan.reserve_bytes == needed);
}

static void no_limit_is_none(void **state)
{
    (void)state;
    struct plan_facts f;
    vecmill_plan plan = {.struct_bytes = sizeof plan};
    mini(&f);
    f.limit.bytes = HOST_UNKNOWN;
    f.workers = 1024;
    f.batch_tokens = 65536;
    plan_choose(&f, &plan);
    assert_true(plan.fits);
    assert_int_equal(plan.total_bytes, sum_of(&plan));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_make_the_sum),
        cmocka_unit_test(a_worker_has_what_it_takes),
        cmocka_unit_test(dimensions_are_counted),
        cmocka_unit_test(a_missing_pack_is_built_first),
        cmocka_unit_test(the_choice_fits_every_limit),
        cmocka_unit_test(what_is_asked_for_is_refused_with_advice),
        cmocka_unit_test(a_group_that_dies_as_one_is_kept_away_from),
        cmocka_unit_test(no_limit_is_none),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
