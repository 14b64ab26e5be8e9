/* job_kit: see job_kit.h. */
#include "job_kit.h"

#include "fake_engine.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

static char folder[] = "/tmp/vecmill-job-XXXXXX";

int kit_init(void **state)
{
    (void)state;
    return mkdtemp(folder) != NULL ? 0 : -1;
}

int kit_done(void **state)
{
    (void)state;
    DIR *dir = opendir(folder);
    if (dir == NULL) return -1;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        const char *path = kit_path(entry->d_name);
        if (unlink(path) != 0 && entry->d_name[0] != '.') rmdir(path);
    }
    closedir(dir);
    return rmdir(folder);
}

const char *kit_path(const char *name)
{
    static char paths[64][512];
    static unsigned turn;
    char *path = paths[turn++ % 64];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

const char *kit_lasting(const char *format, ...)
{
    static char paths[128][512];
    char name[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    const char *path = kit_path(name);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (paths[i][0] == 0) snprintf(paths[i], sizeof paths[i], "%s", path);
        if (strcmp(paths[i], path) == 0) return paths[i];
    }
    fail_msg("more than 128 names");
    return NULL;
}

void kit_write(const char *path, const void *data, size_t bytes)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(bytes > 0 ? fwrite(data, 1, bytes, file) : 0, bytes);
    assert_int_equal(fclose(file), 0);
}

void kit_write_gzip(const char *path, const void *data, size_t bytes, size_t piece)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    const unsigned char *from = data;
    size_t done = 0;
    do {
        z_stream z = {0};
        unsigned char out[4096];
        assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
        const size_t n = bytes - done < piece ? bytes - done : piece;
        z.next_in = (unsigned char *)(uintptr_t)(from + done);
        z.avail_in = (unsigned)n;
        int status;
        do {
            z.next_out = out;
            z.avail_out = sizeof out;
            status = deflate(&z, Z_FINISH);
            const size_t made = sizeof out - z.avail_out;
            assert_int_equal(fwrite(out, 1, made, file), made);
        } while (status == Z_OK);
        assert_int_equal(status, Z_STREAM_END);
        assert_int_equal(deflateEnd(&z), Z_OK);
        done += n;
    } while (done < bytes);
    assert_int_equal(fclose(file), 0);
}

char *kit_read(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) return NULL;
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const long size = ftell(file);
    assert_true(size >= 0);
    rewind(file);
    char *data = malloc((size_t)size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)size, file), size);
    data[size] = 0;
    if (bytes != NULL) *bytes = (size_t)size;
    assert_int_equal(fclose(file), 0);
    return data;
}

void kit_assert_same(const char *a, const char *b)
{
    size_t a_bytes = 0, b_bytes = 0;
    char *a_data = kit_read(a, &a_bytes), *b_data = kit_read(b, &b_bytes);
    if ((a_data == NULL) != (b_data == NULL)) fail_msg("only one of %s and %s is there", a, b);
    if (a_bytes != b_bytes || (a_data != NULL && memcmp(a_data, b_data, a_bytes) != 0))
        fail_msg("%s and %s differ", a, b);
    free(a_data);
    free(b_data);
}

bool kit_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

size_t kit_count(void)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    size_t n = 0;
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return n;
}

void kit_input(const char *name, const char *text)
{
    kit_write(kit_path(name), text, strlen(text));
}

void kit_assert_message(const vecmill_err *err, const char *part)
{
    if (strstr(err->message, part) == NULL)
        fail_msg("got \"%s\", expected \"%s\"", err->message, part);
}

void kit_assert_text(const char *path, const char *text)
{
    char *data = kit_read(path, NULL);
    if (data == NULL) fail_msg("%s is missing", path);
    assert_string_equal(data, text);
    free(data);
}

void kit_assert_npy(const char *path, const char *const *texts, size_t n, uint32_t dim)
{
    enum { DIM_MOST = 64 };
    size_t bytes;
    char *data = kit_read(path, &bytes);
    const size_t row_bytes = dim * sizeof(float);
    assert_true(dim <= DIM_MOST);
    assert_non_null(data);
    assert_int_equal(bytes, 128 + n * row_bytes);
    char header[129];
    const int head =
        snprintf(header, sizeof header,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %u), }", n, dim);
    memset(header + head, ' ', sizeof header - (size_t)head);
    header[117] = '\n';
    assert_memory_equal(data, "\x93NUMPY\x01\x00\x76\x00", 10);
    assert_memory_equal(data + 10, header, 118);
    for (size_t i = 0; i < n; i++) {
        float row[DIM_MOST] = {0};
        if (texts[i] != NULL) fake_vector(texts[i], strlen(texts[i]), dim, row);
        assert_memory_equal(data + 128 + i * row_bytes, row, row_bytes);
    }
    free(data);
}
