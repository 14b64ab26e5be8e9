/* job_kit: files and folders for the tests of job. Failures end the test. */
#ifndef JOB_KIT_H
#define JOB_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

/* A new folder of this program's own; kit_done removes it with all it holds. */
int kit_init(void **state);
int kit_done(void **state);

/* The path of a name in the folder; one of 64 buffers that take turns. */
const char *kit_path(const char *name);

/* The same for a name that is printed, and it stays. */
const char *kit_lasting(const char *format, ...) __attribute__((format(printf, 1, 2)));

void kit_write(const char *path, const void *data, size_t bytes);
/* gzip with `piece` bytes of data a member, so that a reader gets it in such pieces. */
void kit_write_gzip(const char *path, const void *data, size_t bytes, size_t piece);

/* A text into a file of the folder. */
void kit_input(const char *name, const char *text);

/* A whole file with a NUL behind it; NULL when there is none. Pair: free. */
char *kit_read(const char *path, size_t *bytes);
/* Both there with the same bytes, or neither. */
void kit_assert_same(const char *a, const char *b);
/* The message has this part. */
void kit_assert_message(const vecmill_err *err, const char *part);
/* The file is there and holds this text. */
void kit_assert_text(const char *path, const char *text);
/* It is the .npy of a fake engine's rows [n, dim] of these texts, NULL for a zero row. */
void kit_assert_npy(const char *path, const char *const *texts, size_t n, uint32_t dim);
bool kit_exists(const char *path);
/* How many names the folder holds. */
size_t kit_count(void);

#endif
