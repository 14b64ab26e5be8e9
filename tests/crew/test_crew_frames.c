/* test_crew_frames: frames and the inbox that puts them together.
 *
 * Every frame arrives in every way to cut it in two, and byte by byte. Everything that is not a
 * valid answer is refused, by its head where that is already wrong. The memory for results has
 * exactly their size, so that a sanitizer sees the first byte beyond; without one, a byte after
 * each piece is checked. */
#include "crew/frame.h"
#include "crew/inbox.h"

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- heads ---- */

static const struct frame_head sample = {.kind = FRAME_RESULT,
                                         .bytes = 0x0102030405060708u,
                                         .batch = 0x1112131415161718u,
                                         .generation = 0x21222324u,
                                         .n_items = 0x31323334u,
                                         .hash = 0x4142434445464748u};

static void heads_keep_what_they_are_given(void **state)
{
    (void)state;
    for (uint32_t kind = FRAME_BATCH; kind <= FRAME_REFUSED; kind++) {
        unsigned char bytes[FRAME_HEAD_BYTES];
        struct frame_head in = sample, out = {0};
        in.kind = kind;
        frame_put(&in, bytes);
        assert_true(frame_get(bytes, &out));
        assert_int_equal(out.kind, in.kind);
        assert_int_equal(out.bytes, in.bytes);
        assert_int_equal(out.batch, in.batch);
        assert_int_equal(out.generation, in.generation);
        assert_int_equal(out.n_items, in.n_items);
        assert_int_equal(out.hash, in.hash);
    }
}

static void heads_lie_as_described(void **state)
{
    (void)state;
    unsigned char is[FRAME_HEAD_BYTES];
    static const unsigned char want[40] = {
        'V',  'C',  'W',  '1',  3,    0,    0,    0,    /* magic, kind */
        8,    7,    6,    5,    4,    3,    2,    1,    /* bytes */
        0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11, /* batch */
        0x24, 0x23, 0x22, 0x21, 0x34, 0x33, 0x32, 0x31, /* generation, items */
        0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41, /* hash of the payload */
    };
    frame_put(&sample, is);
    assert_memory_equal(is, want, sizeof want);
    const uint64_t hash = XXH3_64bits(want, sizeof want);
    for (int i = 0; i < 8; i++)
        assert_int_equal(is[40 + i], (unsigned char)(hash >> (8 * i)));
}

static void damaged_heads_are_refused(void **state)
{
    (void)state;
    unsigned char bytes[FRAME_HEAD_BYTES];
    struct frame_head out;
    memcpy(&out, &sample, sizeof out); /* its gap too, which an assignment may leave out */
    frame_put(&sample, bytes);
    for (unsigned i = 0; i < FRAME_HEAD_BYTES; i++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            bytes[i] ^= (unsigned char)flip;
            assert_false(frame_get(bytes, &out));
            bytes[i] ^= (unsigned char)flip;
        }
    }
    assert_memory_equal(&out, &sample, sizeof out); /* untouched */
    assert_true(frame_get(bytes, &out));
}

static void unknown_kinds_and_magics_are_refused(void **state)
{
    (void)state;
    static const uint32_t kinds[] = {0, 5, 6, 0x100, 0x01000000, UINT32_MAX};
    unsigned char bytes[FRAME_HEAD_BYTES];
    struct frame_head in = sample, out;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        in.kind = kinds[i];
        frame_put(&in, bytes); /* with the right hash */
        assert_false(frame_get(bytes, &out));
    }
    frame_put(&sample, bytes);
    bytes[3] = '2';
    const uint64_t hash = XXH3_64bits(bytes, 40);
    memcpy(bytes + 40, &hash, 8);
    assert_false(frame_get(bytes, &out));
}

static void item_sizes_are_padded(void **state)
{
    (void)state;
    static const size_t sizes[][2] = {{0, 8}, {1, 16}, {7, 16}, {8, 16}, {9, 24}, {16, 24}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_int_equal(frame_item_bytes(sizes[i][0]), sizes[i][1]);
}

/* ---- the inbox ---- */

#define STREAM_MOST 8192u
#define FOUND_MOST  16u
#define GUARD       0xA7

struct stream {
    unsigned char bytes[STREAM_MOST];
    size_t n;
};

static void add(struct stream *s, const struct frame_head *head, const void *payload, size_t bytes)
{
    struct frame_head h = *head;
    h.bytes = bytes;
    h.hash = XXH3_64bits(payload, bytes);
    assert_true(s->n + FRAME_HEAD_BYTES + bytes <= sizeof s->bytes);
    frame_put(&h, s->bytes + s->n);
    memcpy(s->bytes + s->n + FRAME_HEAD_BYTES, payload, bytes);
    s->n += FRAME_HEAD_BYTES + bytes;
}

static const struct frame_hello right_hello = {
    .result_bytes = 12, .batch_items_max = 40, .batch_bytes_max = 1000};

/* A reader that expects batch 7 of generation 5: n items in pieces of a and b bytes. */
struct reader {
    struct inbox inbox;
    struct inbox_expected expected;
    XXH3_state_t *hash;
    unsigned char *memory[2];
    enum inbox_found found[FOUND_MOST];
    unsigned n_found;
    bool one_batch; /* after its result there is none */
};

static void reader_open(struct reader *r, size_t a, size_t b)
{
    memset(r, 0, sizeof *r);
    const size_t sizes[2] = {a, b};
    r->expected = (struct inbox_expected){.result_bytes = 12,
                                          .batch_items_max = 40,
                                          .batch_bytes_max = 1000,
                                          .generation = 5,
                                          .batch = a + b > 0 ? 7 : 0,
                                          .n_items = (uint32_t)((a + b) / 12)};
    for (int i = 0; i < 2; i++) {
        const size_t guard = 1;
        r->memory[i] = malloc(sizes[i] + guard);
        assert_non_null(r->memory[i]);
        memset(r->memory[i], GUARD, sizes[i] + guard);
        r->expected.pieces[i] = sizes[i] > 0 ? r->memory[i] : NULL;
        r->expected.piece_bytes[i] = sizes[i];
    }
    r->hash = XXH3_createState();
    assert_non_null(r->hash);
    memset(&r->inbox, GUARD, sizeof r->inbox); /* nothing relies on zeros */
    inbox_init(&r->inbox);
}

static void reader_close(struct reader *r)
{
    for (int i = 0; i < 2; i++) {
        assert_int_equal(r->memory[i][r->expected.piece_bytes[i]], GUARD);
        free(r->memory[i]);
    }
    XXH3_freeState(r->hash);
}

/* Some bytes arrive; false after garbage. */
static bool arrive(struct reader *r, const unsigned char *bytes, size_t n)
{
    while (n > 0) {
        size_t room = 0;
        unsigned char *to = inbox_room(&r->inbox, &r->expected, &room);
        assert_true(room > 0);
        const size_t some = n < room ? n : room;
        memcpy(to, bytes, some);
        bytes += some;
        n -= some;
        const enum inbox_found found = inbox_take(&r->inbox, &r->expected, some, r->hash);
        if (found == INBOX_MORE) continue;
        assert_true(r->n_found < FOUND_MOST);
        r->found[r->n_found++] = found;
        if (found == INBOX_GARBAGE) return false;
        if (found == INBOX_RESULT) r->expected.batch = r->one_batch ? 0 : r->expected.batch + 1;
    }
    return true;
}

static void fill(unsigned char *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        data[i] = (unsigned char)(i * 7 + 3);
}

/* The stream in every two pieces, and byte by byte: `want` is found, and the results are where they
 * belong. a and b: of the reader. */
static void in_every_way(const struct stream *s, size_t a, size_t b, const enum inbox_found *want,
                         unsigned n_want, const unsigned char *results)
{
    for (size_t cut = 0; cut <= s->n + 1; cut++) {
        struct reader r;
        reader_open(&r, a, b);
        if (cut <= s->n) {
            if (arrive(&r, s->bytes, cut)) arrive(&r, s->bytes + cut, s->n - cut);
        } else {
            for (size_t i = 0; i < s->n && arrive(&r, s->bytes + i, 1); i++)
                continue;
        }
        assert_int_equal(r.n_found, n_want);
        for (unsigned i = 0; i < n_want; i++)
            assert_int_equal(r.found[i], want[i]);
        if (results) {
            assert_memory_equal(r.memory[0], results, a);
            assert_memory_equal(r.memory[1], results + a, b);
        }
        reader_close(&r);
    }
}

static void a_hello_arrives(void **state)
{
    (void)state;
    static const enum inbox_found want[] = {INBOX_HELLO};
    struct stream s = {.n = 0};
    add(&s, &(struct frame_head){.kind = FRAME_HELLO}, &right_hello, sizeof right_hello);
    in_every_way(&s, 0, 0, want, 1, NULL);
    in_every_way(&s, 24, 0, want, 1, NULL); /* whether it makes sense is for the table to decide */
}

static void a_refusal_arrives(void **state)
{
    (void)state;
    static const enum inbox_found want[] = {INBOX_REFUSED};
    static const size_t sizes[] = {0, 1, 100, 251, 252};
    unsigned char payload[FRAME_REFUSED_MAX];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct stream s = {.n = 0};
        fill(payload, sizeof payload);
        add(&s, &(struct frame_head){.kind = FRAME_REFUSED}, payload,
            FRAME_REFUSED_HEAD + sizes[i]);
        in_every_way(&s, 0, 0, want, 1, NULL);
        in_every_way(&s, 12, 12, want, 1, NULL);
        /* The payload can be read from it. */
        struct reader r;
        reader_open(&r, 0, 0);
        assert_true(arrive(&r, s.bytes, s.n));
        assert_int_equal(r.inbox.head.bytes, FRAME_REFUSED_HEAD + sizes[i]);
        assert_memory_equal(r.inbox.small, payload, FRAME_REFUSED_HEAD + sizes[i]);
        reader_close(&r);
    }
}

static const struct frame_head right_result = {
    .kind = FRAME_RESULT, .batch = 7, .generation = 5, .n_items = 0};

static void add_result(struct stream *s, uint64_t batch, size_t bytes)
{
    unsigned char payload[STREAM_MOST];
    struct frame_head head = right_result;
    fill(payload, bytes);
    head.batch = batch;
    head.n_items = (uint32_t)(bytes / 12);
    add(s, &head, payload, bytes);
}

static void results_arrive_in_one_and_two_pieces(void **state)
{
    (void)state;
    static const enum inbox_found want[] = {INBOX_RESULT};
    static const size_t pieces[][2] = {{12, 0},   {480, 0},  {12, 12},
                                       {12, 468}, {468, 12}, {240, 36}};
    unsigned char results[STREAM_MOST];
    fill(results, sizeof results);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct stream s = {.n = 0};
        add_result(&s, 7, pieces[i][0] + pieces[i][1]);
        in_every_way(&s, pieces[i][0], pieces[i][1], want, 1, results);
    }
}

static void frames_arrive_behind_one_another(void **state)
{
    (void)state;
    static const enum inbox_found want[] = {INBOX_HELLO,   INBOX_RESULT, INBOX_RESULT,
                                            INBOX_REFUSED, INBOX_HELLO,  INBOX_GARBAGE};
    unsigned char results[64];
    struct stream s = {.n = 0};
    fill(results, sizeof results);
    add(&s, &(struct frame_head){.kind = FRAME_HELLO}, &right_hello, sizeof right_hello);
    add_result(&s, 7, 48);
    add_result(&s, 8, 48); /* the reader goes on to batch 8, then 9 */
    add(&s, &(struct frame_head){.kind = FRAME_REFUSED}, "12345678no", 10);
    add(&s, &(struct frame_head){.kind = FRAME_HELLO}, &right_hello, sizeof right_hello);
    add_result(&s, 8, 48);
    in_every_way(&s, 36, 12, want, 6, results);
}

static void half_a_frame_is_none(void **state)
{
    (void)state;
    struct stream s = {.n = 0};
    add_result(&s, 7, 480);
    for (size_t n = 0; n < s.n; n++) {
        struct reader r;
        reader_open(&r, 240, 240);
        assert_true(arrive(&r, s.bytes, n));
        assert_int_equal(r.n_found, 0);
        reader_close(&r);
    }
}

/* Garbage by the head alone: not one byte of a payload is read. */
static void refused_by_its_head(const struct frame_head *head, uint64_t bytes)
{
    unsigned char raw[FRAME_HEAD_BYTES];
    struct frame_head h = *head;
    h.bytes = bytes;
    h.hash = 0;
    frame_put(&h, raw);
    for (int as_bytes = 0; as_bytes < 2; as_bytes++) {
        struct reader r;
        reader_open(&r, 24, 12);
        for (size_t i = 0; i < sizeof raw; i += as_bytes ? 1 : sizeof raw)
            (void)arrive(&r, raw + i, as_bytes ? 1 : sizeof raw);
        assert_int_equal(r.n_found, 1);
        assert_int_equal(r.found[0], INBOX_GARBAGE);
        for (int i = 0; i < 36; i++)
            assert_int_equal(i < 24 ? r.memory[0][i] : r.memory[1][i - 24], GUARD);
        reader_close(&r);
    }
}

static void what_is_no_answer_is_refused(void **state)
{
    (void)state;
    struct frame_head right = right_result, h;
    right.n_items = 3;
#define WITH(field, value) (h = right, h.field = (value), &h)
    refused_by_its_head(WITH(batch, 6), 36);
    refused_by_its_head(WITH(batch, 8), 36);
    refused_by_its_head(WITH(batch, 0), 36);
    refused_by_its_head(WITH(generation, 4), 36);
    refused_by_its_head(WITH(generation, 6), 36);
    refused_by_its_head(WITH(generation, 0), 36);
    refused_by_its_head(WITH(n_items, 2), 36);
    refused_by_its_head(WITH(n_items, 4), 36);
    refused_by_its_head(WITH(kind, FRAME_BATCH), 36);
    static const uint64_t sizes[] = {
        0, 16, 35, 37, 48, 36 + (1ull << 32), (1ull << 63) + 36, UINT64_MAX, UINT64_MAX - 47};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        refused_by_its_head(&right, sizes[i]);
        refused_by_its_head(WITH(kind, FRAME_HELLO), sizes[i]);
        if (sizes[i] < 8 || sizes[i] > FRAME_REFUSED_MAX)
            refused_by_its_head(WITH(kind, FRAME_REFUSED), sizes[i]);
    }
    refused_by_its_head(WITH(kind, FRAME_REFUSED), 7);
    refused_by_its_head(WITH(kind, FRAME_REFUSED), FRAME_REFUSED_MAX + 1);
    refused_by_its_head(WITH(kind, FRAME_HELLO), 23);
    refused_by_its_head(WITH(kind, FRAME_HELLO), 25);
#undef WITH
}

static void without_a_batch_no_result_is_expected(void **state)
{
    (void)state;
    static const uint64_t batches[] = {0, 6, 7, 8};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
        struct reader r;
        struct stream s = {.n = 0};
        reader_open(&r, 36, 0);
        r.expected.batch = 0;
        add_result(&s, batches[i], 36);
        assert_false(arrive(&r, s.bytes, s.n));
        assert_int_equal(r.found[0], INBOX_GARBAGE);
        reader_close(&r);
    }
}

static void a_second_result_is_garbage(void **state)
{
    (void)state;
    struct reader r;
    struct stream s = {.n = 0};
    reader_open(&r, 36, 0);
    r.one_batch = true;
    add_result(&s, 7, 36);
    add_result(&s, 7, 36);
    assert_false(arrive(&r, s.bytes, s.n));
    assert_int_equal(r.n_found, 2);
    assert_int_equal(r.found[0], INBOX_RESULT);
    assert_int_equal(r.found[1], INBOX_GARBAGE);
    reader_close(&r);
}

/* Each byte of a whole frame that is flipped makes it garbage, the payload's as well. */
static void a_flipped_byte_is_garbage(void **state)
{
    (void)state;
    static const enum frame_kind kinds[] = {FRAME_RESULT, FRAME_HELLO, FRAME_REFUSED};
    for (size_t k = 0; k < 3; k++) {
        struct stream s = {.n = 0};
        if (kinds[k] == FRAME_RESULT)
            add_result(&s, 7, 36);
        else if (kinds[k] == FRAME_HELLO)
            add(&s, &(struct frame_head){.kind = FRAME_HELLO}, &right_hello, sizeof right_hello);
        else
            add(&s, &(struct frame_head){.kind = FRAME_REFUSED}, "12345678why", 11);
        for (size_t i = 0; i < s.n; i++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                struct reader r;
                reader_open(&r, 24, 12);
                s.bytes[i] ^= (unsigned char)(1u << bit);
                assert_false(arrive(&r, s.bytes, s.n));
                assert_int_equal(r.n_found, 1);
                assert_int_equal(r.found[0], INBOX_GARBAGE);
                s.bytes[i] ^= (unsigned char)(1u << bit);
                reader_close(&r);
            }
        }
    }
}

static void a_hello_of_other_sizes_is_garbage(void **state)
{
    (void)state;
    static const enum inbox_found want[] = {INBOX_GARBAGE};
    for (int i = 0; i < 10; i++) {
        struct stream s = {.n = 0};
        struct frame_hello hello = right_hello;
        const int step = i % 2 ? 1 : -1;
        if (i / 2 == 0) hello.result_bytes += (uint32_t)step;
        if (i / 2 == 1) hello.batch_items_max += (uint32_t)step;
        if (i / 2 == 2) hello.batch_bytes_max += (uint64_t)(int64_t)step;
        if (i / 2 == 3) hello.tail_bytes += (uint32_t)step;
        if (i / 2 == 4) hello.frame_tails += (uint32_t)step;
        add(&s, &(struct frame_head){.kind = FRAME_HELLO}, &hello, sizeof hello);
        in_every_way(&s, 0, 0, want, 1, NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_keep_what_they_are_given),
        cmocka_unit_test(heads_lie_as_described),
        cmocka_unit_test(damaged_heads_are_refused),
        cmocka_unit_test(unknown_kinds_and_magics_are_refused),
        cmocka_unit_test(item_sizes_are_padded),
        cmocka_unit_test(a_hello_arrives),
        cmocka_unit_test(a_refusal_arrives),
        cmocka_unit_test(results_arrive_in_one_and_two_pieces),
        cmocka_unit_test(frames_arrive_behind_one_another),
        cmocka_unit_test(half_a_frame_is_none),
        cmocka_unit_test(what_is_no_answer_is_refused),
        cmocka_unit_test(without_a_batch_no_result_is_expected),
        cmocka_unit_test(a_second_result_is_garbage),
        cmocka_unit_test(a_flipped_byte_is_garbage),
        cmocka_unit_test(a_hello_of_other_sizes_is_garbage),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("crew-frames: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
