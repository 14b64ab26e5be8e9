/* The rules of a safetensors header, one fault at a time, and the values of the dtypes that are
 * read. */
#include "model/safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_NAME "folder/model.safetensors"

/* A header's frame around `json`, of a file that goes on for data_bytes. */
static vecmill_status parse(const char *json, size_t json_bytes, uint64_t data_bytes,
                            struct tensor_file *st, vecmill_err *err)
{
    unsigned char *head = (unsigned char *)malloc(8 + json_bytes);
    assert_non_null(head);
    for (int i = 0; i < 8; i++) {
        head[i] = (unsigned char)((uint64_t)json_bytes >> (8 * i));
    }
    memcpy(head + 8, json, json_bytes);
    vecmill_status status =
        safetensors_parse(head, 8 + json_bytes, 8 + json_bytes + data_bytes, FILE_NAME, st, err);
    free(head);
    return status;
}

struct header_case {
    const char *name, *json;
    uint64_t data_bytes;
    const char *says; /* what the message must hold besides the file's name; NULL: accepted */
};

#define T(name, dtype, shape, offsets)                                                             \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static const struct header_case header_cases[] = {
    /* accepted */
    {"no tensor", "{}", 0, NULL},
    {"one tensor", "{" T("a", "F32", "[2,3]", "[0,24]") "}", 24, NULL},
    {"trailing spaces", "{" T("a", "F32", "[1]", "[0,4]") "}      ", 4, NULL},
    {"rank 0", "{" T("a", "F32", "[]", "[0,4]") "}", 4, NULL},
    {"empty tensor", "{" T("a", "F32", "[0,5]", "[0,0]") "}", 0, NULL},
    {"empty between two",
     "{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[0]", "[4,4]") "," T("c", "F32", "[1]",
                                                                               "[4,8]") "}",
     8, NULL},
    {"order of names is free",
     "{" T("b", "F32", "[1]", "[4,8]") "," T("a", "F32", "[1]", "[0,4]") "}", 8, NULL},
    {"metadata", "{\"__metadata__\":{\"format\":\"pt\"}," T("a", "U8", "[3]", "[0,3]") "}", 3,
     NULL},
    {"metadata alone", "{\"__metadata__\":{}}", 0, NULL},
    {"unicode name", "{" T("\xC3\xA9", "F16", "[1]", "[0,2]") "}", 2, NULL},
    {"four bits, whole bytes", "{" T("a", "F4", "[3,2]", "[0,3]") "}", 3, NULL},
    {"six bits, whole bytes", "{" T("a", "F6_E2M3", "[4]", "[0,3]") "}", 3, NULL},
    {"rank 8", "{" T("a", "U8", "[1,1,1,1,1,1,1,2]", "[0,2]") "}", 2, NULL},
    {"key order is free", "{\"a\":{\"data_offsets\":[0,8],\"shape\":[1],\"dtype\":\"I64\"}}", 8,
     NULL},

    /* the frame and the JSON */
    {"begins with a space", " {}", 0, "'{'"},
    {"an array", "[]", 0, "'{'"},
    {"a string", "\"a\"", 0, "'{'"},
    {"a number", "1", 0, "'{'"},
    {"no closing brace", "{", 0, "not valid JSON"},
    {"two values", "{}{}", 0, "not valid JSON"},
    {"NUL padding", "{}\0\0", 0, "not valid JSON"},
    {"single quotes", "{'a':1}", 0, "not valid JSON"},
    {"trailing comma", "{" T("a", "U8", "[1]", "[0,1]") ",}", 1, "not valid JSON"},
    {"a comment", "{/* */}", 0, "not valid JSON"},
    {"invalid UTF-8", "{\"\xFF\":1}", 0, "UTF-8"},
    {"a surrogate in UTF-8", "{\"\xED\xA0\x80\":1}", 0, "UTF-8"},
    {"overlong UTF-8", "{\"\xC0\xAF\":1}", 0, "UTF-8"},
    {"duplicate tensor", "{" T("a", "U8", "[1]", "[0,1]") "," T("a", "U8", "[1]", "[0,1]") "}", 1,
     "duplicate"},
    {"duplicate tensor, escaped",
     "{" T("a", "U8", "[1]", "[0,1]") "," T("\\u0061", "U8", "[1]", "[0,1]") "}", 1, "duplicate"},
    {"duplicate key in a tensor",
     "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     "duplicate"},
    {"duplicate metadata", "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate"},
    {"duplicate key in metadata", "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "duplicate"},
    {"NUL in a name", "{" T("a\\u0000b", "U8", "[1]", "[0,1]") "}", 1, "not valid JSON"},

    /* metadata */
    {"metadata is a list", "{\"__metadata__\":[]}", 0, "__metadata__"},
    {"metadata is a string", "{\"__metadata__\":\"pt\"}", 0, "__metadata__"},
    {"metadata is null", "{\"__metadata__\":null}", 0, "__metadata__"},
    {"metadata holds a number", "{\"__metadata__\":{\"step\":1}}", 0, "step"},
    {"metadata holds null", "{\"__metadata__\":{\"step\":null}}", 0, "step"},
    {"metadata holds an object", "{\"__metadata__\":{\"step\":{}}}", 0, "step"},
    {"metadata is a tensor", "{" T("__metadata__", "U8", "[1]", "[0,1]") "}", 1, "shape"},

    /* one tensor's entry */
    {"a tensor is null", "{\"a\":null}", 0, "\"a\" is not an object"},
    {"a tensor is a list", "{\"a\":[]}", 0, "\"a\" is not an object"},
    {"more tensors than its bytes can describe",
     "{\"a\":0,\"b\":0,\"c\":0,\"d\":0,\"e\":0,\"f\":0,\"g\":0,\"h\":0,\"i\":0,\"j\":0}", 0,
     "10 tensors in a header of 61 bytes"},
    {"no dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype"},
    {"no shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "shape"},
    {"no offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "data_offsets"},
    {"an unknown key",
     "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"strides\":[1]}}", 1,
     "strides"},
    {"dtype is a number", "{\"a\":{\"dtype\":32,\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
     "dtype"},
    {"dtype is unknown", "{" T("a", "F31", "[1]", "[0,4]") "}", 4, "F31"},
    {"dtype in small letters", "{" T("a", "f32", "[1]", "[0,4]") "}", 4, "f32"},
    {"dtype is empty", "{" T("a", "", "[1]", "[0,4]") "}", 4, "dtype \"\""},
    {"shape is a number", "{" T("a", "U8", "1", "[0,1]") "}", 1, "shape"},
    {"shape is an object", "{" T("a", "U8", "{}", "[0,1]") "}", 1, "shape"},
    {"a negative dimension", "{" T("a", "U8", "[2,-1]", "[0,1]") "}", 1, "dimension 1"},
    {"a fractional dimension", "{" T("a", "U8", "[1.0]", "[0,1]") "}", 1, "dimension 0"},
    {"a dimension in words", "{" T("a", "U8", "[\"1\"]", "[0,1]") "}", 1, "dimension 0"},
    {"a dimension of null", "{" T("a", "U8", "[null]", "[0,1]") "}", 1, "dimension 0"},
    {"rank 9", "{" T("a", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, "TENSOR_RANK_MAX"},
    {"elements pass 64 bits", "{" T("a", "U8", "[4294967296,4294967296]", "[0,0]") "}", 0,
     "passes 64 bits"},
    {"elements wrap to zero", "{" T("a", "U8", "[9223372036854775807,2,2]", "[0,0]") "}", 0,
     "passes 64 bits"},
    {"bits pass 64 bits", "{" T("a", "F32", "[4611686018427387904]", "[0,0]") "}", 0,
     "passes 64 bits"},
    {"a dimension past 63 bits", "{" T("a", "U8", "[9223372036854775808]", "[0,1]") "}", 1,
     "dimension 0"},
    {"half a byte", "{" T("a", "F4", "[3]", "[0,2]") "}", 2, "12 bits"},
    {"six bits", "{" T("a", "F6_E3M2", "[1]", "[0,1]") "}", 1, "6 bits"},

    /* offsets */
    {"one offset", "{" T("a", "U8", "[1]", "[0]") "}", 1, "data_offsets"},
    {"three offsets", "{" T("a", "U8", "[1]", "[0,1,1]") "}", 1, "data_offsets"},
    {"offsets are an object", "{" T("a", "U8", "[1]", "{\"0\":0,\"1\":1}") "}", 1, "data_offsets"},
    {"a negative offset", "{" T("a", "U8", "[1]", "[-1,0]") "}", 1, "data_offsets"},
    {"a fractional offset", "{" T("a", "U8", "[1]", "[0,1.0]") "}", 1, "data_offsets"},
    {"offsets turned round", "{" T("a", "U8", "[1]", "[1,0]") "}", 1, "begins at 1"},
    {"an offset past 63 bits", "{" T("a", "U8", "[1]", "[0,18446744073709551615]") "}", 1,
     "data_offsets"},
    {"length too small", "{" T("a", "F32", "[2]", "[0,4]") "}", 4,
     "is 8 bytes, data_offsets span 4"},
    {"length too large", "{" T("a", "F16", "[2]", "[0,8]") "}", 8,
     "is 4 bytes, data_offsets span 8"},
    {"huge shape, tiny data", "{" T("a", "F32", "[1000000,1000000]", "[0,4]") "}", 4,
     "4000000000000 bytes"},
    {"a hole at the beginning", "{" T("a", "U8", "[1]", "[1,2]") "}", 2, "hole"},
    {"a hole between", "{" T("a", "U8", "[1]", "[0,1]") "," T("b", "U8", "[1]", "[2,3]") "}", 3,
     "hole"},
    {"an overlap of one byte",
     "{" T("a", "U8", "[2]", "[0,2]") "," T("b", "U8", "[2]", "[1,3]") "}", 3, "overlap"},
    {"two on one range", "{" T("a", "U8", "[2]", "[0,2]") "," T("b", "U8", "[2]", "[0,2]") "}", 2,
     "overlap"},
    {"one within another", "{" T("a", "U8", "[4]", "[0,4]") "," T("b", "U8", "[1]", "[1,2]") "}", 4,
     "overlap"},
    {"an empty tensor inside another",
     "{" T("a", "U8", "[4]", "[0,4]") "," T("b", "U8", "[0]", "[2,2]") "}", 4, "overlap"},
    {"bytes left over", "{" T("a", "U8", "[1]", "[0,1]") "}", 2, "take 1"},
    {"bytes left over, no tensor", "{}", 1, "0 bytes, the file holds 1"},
    {"cut short by one", "{" T("a", "F32", "[2]", "[0,8]") "}", 7, "8 bytes, the file holds 7"},
    {"cut short wholly", "{" T("a", "F32", "[2]", "[0,8]") "}", 0, "cut short"},
};

/* The whole list, each separately. */
static void header_lies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof header_cases / sizeof *header_cases; i++) {
        const struct header_case *c = &header_cases[i];
        struct tensor_file st;
        vecmill_err err = {0};
        size_t bytes = strlen(c->json);
        if (strcmp(c->name, "NUL padding") == 0) bytes += 2;
        vecmill_status status = parse(c->json, bytes, c->data_bytes, &st, &err);
        if (!c->says) {
            if (status != VECMILL_OK) fail_msg("%s: refused: %s", c->name, err.message);
            tensor_file_close(&st);
            continue;
        }
        if (status != VECMILL_E_MODEL || err.status != VECMILL_E_MODEL) {
            fail_msg("%s: status %d, expected E_MODEL", c->name, (int)status);
        }
        if (!strstr(err.message, FILE_NAME) || !strstr(err.message, c->says)) {
            fail_msg("%s: the message does not say \"%s\": %s", c->name, c->says, err.message);
        }
    }
}

/* N against the file, the maximum, and what could be read. */
static void frame_lies(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned char head[10];
        size_t head_bytes;
        uint64_t file_bytes;
        const char *says;
    } cases[] = {
        {"an empty file", {0}, 0, 0, "is empty"},
        {"seven bytes", {0}, 7, 7, "7 bytes"},
        {"N = 0", {0}, 8, 8, "header of 0 bytes"},
        {"N one past the file", {3, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, 10, "says 3 bytes"},
        {"N = 2^64 - 1",
         {255, 255, 255, 255, 255, 255, 255, 255, '{', '}'},
         10,
         10,
         "18446744073709551615"},
        {"N = 2^64 - 8",
         {248, 255, 255, 255, 255, 255, 255, 255, '{', '}'},
         10,
         10,
         "18446744073709551608"},
        {"N = 2^63", {0, 0, 0, 0, 0, 0, 0, 128, '{', '}'}, 10, 10, "9223372036854775808"},
        {"N past the maximum",
         {1, 0, 128, 0, 0, 0, 0, 0, '{', '}'},
         10,
         1u << 30,
         "MODEL_HEADER_MAX"},
        {"N within the file, not read", {9, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, 100, "only 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tensor_file st;
        vecmill_err err = {0};
        vecmill_status status = safetensors_parse(cases[i].head, cases[i].head_bytes,
                                                  cases[i].file_bytes, FILE_NAME, &st, &err);
        if (status != VECMILL_E_MODEL || !strstr(err.message, cases[i].says) ||
            !strstr(err.message, FILE_NAME)) {
            fail_msg("%s: status %d, message \"%s\"", cases[i].name, (int)status, err.message);
        }
    }
}

/* Headers that are small as files and large in memory. */
static void header_bloat(void **state)
{
    (void)state;
    const size_t most = 4u << 20;
    char *json = (char *)malloc(most);
    assert_non_null(json);
    static const struct {
        const char *name, *begin, *again, *end;
        size_t times;
        const char *says;
    } cases[] = {
        {"a list of a million numbers", "{\"a\":[0", ",0", "]}", 1000000, "is not an object"},
        {"a million empty lists", "{\"a\":[[]", ",[]", "]}", 1000000, "is not an object"},
        {"3,000 lists within one another", "{\"a\":", "[", "", 3000, "not valid JSON"},
        {"3,000 objects within one another", "{\"a\":", "{\"a\":", "", 3000, "not valid JSON"},
        {"spaces alone", "{", " ", "", 1000000, "not valid JSON"},
        {"one name of a megabyte", "{\"", "a", "\":{}}", 1000000, "dtype"},
        {"a dtype of a megabyte", "{\"a\":{\"dtype\":\"", "F", "\"}}", 1000000, "dtype"},
        {"a string that never ends", "{\"", "a", "", 1000000, "not valid JSON"},
        {"backslashes", "{\"", "\\\\", "", 1000000, "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *at = stpcpy(json, cases[i].begin);
        size_t unit = strlen(cases[i].again);
        for (size_t n = 0; n < cases[i].times; n++) {
            memcpy(at, cases[i].again, unit);
            at += unit;
        }
        at = stpcpy(at, cases[i].end);
        struct tensor_file st;
        vecmill_err err = {0};
        vecmill_status status = parse(json, (size_t)(at - json), 0, &st, &err);
        if (status != VECMILL_E_MODEL || !strstr(err.message, cases[i].says)) {
            fail_msg("%s: status %d, message \"%s\"", cases[i].name, (int)status, err.message);
        }
    }
    free(json);
}

/* n one-byte tensors, all on byte `same` or one after the other. */
static vecmill_status many_tensors(uint32_t n, bool overlap, vecmill_err *err)
{
    char *json = (char *)malloc((size_t)n * 80 + 8), *at = json;
    assert_non_null(json);
    *at++ = '{';
    for (uint32_t i = 0; i < n; i++) {
        uint32_t begin = overlap ? 0 : i;
        at += sprintf(at, "%s\"t%u\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%u,%u]}",
                      i ? "," : "", i, begin, begin + 1);
    }
    *at++ = '}';
    struct tensor_file st;
    vecmill_status status = parse(json, (size_t)(at - json), overlap ? 1 : n, &st, err);
    if (status == VECMILL_OK) {
        assert_int_equal(st.n_tensors, n);
        assert_non_null(tensor_file_find(&st, "t0"));
        assert_null(tensor_file_find(&st, "t"));
        tensor_file_close(&st);
    }
    free(json);
    return status;
}

static void number_of_tensors(void **state)
{
    (void)state;
    vecmill_err err = {0};
    assert_int_equal(many_tensors(4096, false, &err), VECMILL_OK);
    assert_int_equal(many_tensors(4097, false, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "MODEL_TENSORS_MAX"));
    assert_int_equal(many_tensors(4096, true, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "overlap"));
    assert_int_equal(many_tensors(20000, true, &err), VECMILL_E_MODEL);
}

/* Every binary16 value against the definition, by arithmetic. */
static void f16_values(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        unsigned char raw[2] = {(unsigned char)bits, (unsigned char)(bits >> 8)};
        int exponent = (int)(bits >> 10 & 31);
        double fraction = (double)(bits & 1023), want;
        float got;
        tensor_widen(TENSOR_F16, raw, 1, &got);
        if (exponent == 31) {
            assert_int_equal(isnan(got) != 0, fraction != 0);
            assert_int_equal(isinf(got) != 0, fraction == 0);
        } else {
            want = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
            assert_true((double)fabsf(got) == want);
        }
        assert_int_equal(signbit(got) != 0, bits >> 15);
    }
}

static void bf16_and_f32_values(void **state)
{
    (void)state;
    static const unsigned char bf16[] = {0x80, 0x3f, 0x00, 0xc0, 0x49, 0x40, 0x01, 0x00};
    static const unsigned char f32[] = {0, 0, 0x80, 0x3f, 0xdb, 0x0f, 0x49, 0x40, 0, 0, 0, 0x80};
    float out[4];
    tensor_widen(TENSOR_BF16, bf16, 4, out);
    assert_true(out[0] == 1.0f && out[1] == -2.0f && out[2] == 3.140625f && out[3] == 0x1p-133f);
    tensor_widen(TENSOR_F32, f32, 3, out);
    assert_true(out[0] == 1.0f && out[1] == 0x1.921fb6p+1f && out[2] == 0.0f && signbit(out[2]));
}

/* Values widened within their own buffer, from its end. */
static void widened_in_place(void **state)
{
    (void)state;
    enum { N = 257 };
    float out[N];
    unsigned char raw[2 * N];
    for (int i = 0; i < N; i++) {
        raw[2 * i] = (unsigned char)(i * 7);
        raw[2 * i + 1] = (unsigned char)(i % 120);
    }
    float want[N];
    tensor_widen(TENSOR_BF16, raw, N, want);
    memcpy((char *)(out + N) - sizeof raw, raw, sizeof raw);
    tensor_widen(TENSOR_BF16, (char *)(out + N) - sizeof raw, N, out);
    assert_memory_equal(out, want, sizeof out);
}

/* A file on disk: read in parts, not finite, of no readable dtype, cut after it was opened. */
static void values_from_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/vecmill-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char json[] = "{" T("a", "F32", "[4]", "[0,16]") "," T(
        "b", "BF16", "[2]", "[16,20]") "," T("c", "I64", "[1]", "[20,28]") "}";
    static const unsigned char data[28] = {
        0,   0,  128, 63,  0, 0, 0, 64, 0, 0, 64, 64, 0, 0, 128, 127, /* 1, 2, 3, infinity */
        128, 63, 192, 255,                                            /* 1, NaN */
    };
    unsigned char n[8] = {sizeof json - 1};
    assert_int_equal(write(fd, n, 8), 8);
    assert_int_equal(write(fd, json, sizeof json - 1), sizeof json - 1);
    assert_int_equal(write(fd, data, sizeof data), sizeof data);

    struct tensor_file st;
    vecmill_err err = {0};
    float out[4] = {0};
    assert_int_equal(tensor_file_open(path, &st, &err), VECMILL_OK);
    const struct tensor *a = tensor_file_find(&st, "a"), *b = tensor_file_find(&st, "b");
    assert_int_equal(tensor_read(a, 1, 2, out, &err), VECMILL_OK);
    assert_true(out[0] == 2.0f && out[1] == 3.0f);
    assert_int_equal(tensor_read(b, 0, 1, out, &err), VECMILL_OK);
    assert_true(out[0] == 1.0f);
    assert_int_equal(tensor_read(a, 2, 2, out, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "\"a\": element 3 of 4 is not a finite number"));
    assert_int_equal(tensor_read(b, 0, 2, out, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "\"b\": element 1 of 2"));
    assert_int_equal(tensor_read(tensor_file_find(&st, "c"), 0, 1, out, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "I64"));
    assert_int_equal(ftruncate(fd, (off_t)(8 + sizeof json - 1 + 6)), 0);
    assert_int_equal(tensor_read(a, 0, 4, out, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "cut"));
    tensor_file_close(&st);
    close(fd);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(tensor_file_open(path, &st, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, path));
    assert_int_equal(tensor_file_open("/tmp", &st, &err), VECMILL_E_MODEL);
}

/* A sparse file whose last tensor is beyond 4 GiB. */
static void large_file(void **state)
{
    (void)state;
    char path[] = "/tmp/vecmill-safetensors-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char json[] = "{" T("a", "F16", "[2684354560]", "[0,5368709120]") "," T(
        "b", "F32", "[2]", "[5368709120,5368709128]") "}";
    static const unsigned char data[12] = {0,   60, 0, 64, 0, 0,
                                           128, 63, 0, 0,  0, 64}; /* 1, 2, 1, 2 */
    const unsigned char n[8] = {sizeof json - 1};
    assert_int_equal(write(fd, n, 8), 8);
    assert_int_equal(write(fd, json, sizeof json - 1), sizeof json - 1);
    const off_t end = (off_t)(8 + sizeof json - 1 + 5368709120);
    assert_int_equal(pwrite(fd, data, sizeof data, end - 4), sizeof data);
    close(fd);

    struct tensor_file st;
    vecmill_err err = {0};
    float out[2];
    if (tensor_file_open(path, &st, &err) != VECMILL_OK) fail_msg("%s", err.message);
    assert_int_equal(tensor_read(tensor_file_find(&st, "a"), 2684354558, 2, out, &err), VECMILL_OK);
    assert_true(out[0] == 1.0f && out[1] == 2.0f);
    assert_int_equal(tensor_read(tensor_file_find(&st, "b"), 1, 1, out, &err), VECMILL_OK);
    assert_true(out[0] == 2.0f);
    tensor_file_close(&st);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_lies),      cmocka_unit_test(frame_lies),
        cmocka_unit_test(header_bloat),     cmocka_unit_test(number_of_tensors),
        cmocka_unit_test(f16_values),       cmocka_unit_test(bf16_and_f32_values),
        cmocka_unit_test(widened_in_place), cmocka_unit_test(values_from_a_file),
        cmocka_unit_test(large_file),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    int cases = (int)(sizeof header_cases / sizeof *header_cases);
    printf("model-safetensors: %d header cases\n", cases);
    printf("model-safetensors: %d passed, %d failed\n",
           (int)(sizeof tests / sizeof *tests) - failed, failed);
    return failed;
}
