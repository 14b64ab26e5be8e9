/* paths: finding, checking and renaming. */
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const paths_endings[PATHS_FILES] = {".errors.jsonl", ".ids.jsonl", ".offsets.npy",
                                                ".ranges.npy",   ".stage",     ""};

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_at(const char *path, const struct stat *file)
{
    struct stat st;
    return stat(path, &st) == 0 && same_file(&st, file);
}

/* a, then b, into out[IO_PATH_MAX]; false when they do not fit. */
static bool concatenate(const char *a, const char *b, char *out)
{
    const int bytes = snprintf(out, IO_PATH_MAX, "%s%s", a, b);
    return bytes >= 0 && bytes < IO_PATH_MAX;
}

vecmill_status paths_join(const char *output, const char *ending, char path[IO_PATH_MAX],
                          vecmill_err *err)
{
    if (concatenate(output, ending, path)) return VECMILL_OK;
    return err_set(err, VECMILL_E_INPUT, "a name of %zu bytes leaves no room for %s",
                   strlen(output), ending);
}

/* The folder of path, as it is written there. */
static void folder_of(const char *path, char folder[IO_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        snprintf(folder, IO_PATH_MAX, ".");
    else
        snprintf(folder, IO_PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static vecmill_status find_names(struct paths_file *p, const char *path, const char *ending,
                                 vecmill_err *err)
{
    bool fits = concatenate(path, ending, p->given);
    if (!fits) goto done;
    char folder[IO_PATH_MAX], real[IO_PATH_MAX];
    folder_of(p->given, folder);
    memcpy(p->name, p->given, sizeof p->name);
    if (realpath(folder, real) != NULL) {
        const char *slash = strrchr(p->given, '/');
        if (strcmp(real, "/") == 0) real[0] = 0;
        fits = snprintf(p->name, sizeof p->name, "%s/%s", real,
                        slash != NULL ? slash + 1 : p->given) < IO_PATH_MAX;
    }
    memcpy(p->real, p->name, sizeof p->real);
    if (realpath(p->given, real) != NULL) memcpy(p->real, real, sizeof p->real);
    fits = fits && concatenate(p->real, ".part", p->part);
done:
    return fits
               ? VECMILL_OK
               : err_set(err, VECMILL_E_OUTPUT, "an output path of %zu bytes leaves no room for %s",
                         strlen(path), ending[0] != 0 ? ending : ".part");
}

/* Whether `name` is one of p's names. */
static bool has_name(const struct paths_file *p, const char *name)
{
    return p->given[0] != 0 &&
           (strcmp(p->name, name) == 0 || strcmp(p->real, name) == 0 || strcmp(p->part, name) == 0);
}

static bool files_collide(const struct paths_file *a, const struct paths_file *b)
{
    return has_name(a, b->name) || has_name(a, b->real) || has_name(a, b->part);
}

vecmill_status paths_find(const struct job_options *options, vecmill_kind result, struct paths *p,
                          vecmill_err *err)
{
    const char *output = options->output;
    const bool needs_ranges = quantize_needs_ranges((enum quantize_dtype)options->dtype);
    const struct sink_wanted wanted = {.kind = result,
                                       .dtype = options->dtype,
                                       .own_ranges = needs_ranges && options->ranges == NULL};
    enum sink_format format;
    if (options->ranges != NULL && !needs_ranges)
        return err_set(err, VECMILL_E_USAGE,
                       "--ranges says nothing of %s, it goes with --dtype int8 or uint8",
                       quantize_word((enum quantize_dtype)options->dtype));
    VM_TRY(sink_kind_choose(output, &wanted, &format, err));
    *p = (struct paths){
        .format = format, .standard = strcmp(output, "-") == 0, .is_shard = options->shards > 1};
    if (p->standard && p->is_shard)
        return err_set(err, VECMILL_E_USAGE,
                       "a shard is written to a file, which comes with OUTPUT.shard.json; "
                       "standard output has none");
    if (sink_kinds[format]->has_ids_file)
        VM_TRY(find_names(&p->files[PATHS_IDS], output, paths_endings[PATHS_IDS], err));
    if (p->is_shard && result != VECMILL_KIND_DENSE && result != VECMILL_KIND_SCORE)
        return err_set(err, VECMILL_E_USAGE,
                       "%s: only dense vectors and scores are written in shards, which merge puts "
                       "together",
                       output);
    if (p->is_shard && wanted.own_ranges)
        return err_set(err, VECMILL_E_USAGE,
                       "%s: shards need --ranges FILE, so that all of them have the same", output);
    /* of an earlier run, which is removed, where this one has none */
    if (sink_kinds[format]->has_ids_file) {
        VM_TRY(find_names(&p->files[PATHS_OFFSETS], output, paths_endings[PATHS_OFFSETS], err));
        VM_TRY(find_names(&p->files[PATHS_STAGE], output, paths_endings[PATHS_STAGE], err));
    }
    if (!p->standard)
        VM_TRY(find_names(&p->files[PATHS_RANGES], output, paths_endings[PATHS_RANGES], err));
    if (options->errors != NULL)
        VM_TRY(find_names(&p->files[PATHS_ERRORS], options->errors, "", err));
    else if (!p->standard)
        VM_TRY(find_names(&p->files[PATHS_ERRORS], output, paths_endings[PATHS_ERRORS], err));
    if (p->standard) return VECMILL_OK;
    VM_TRY(find_names(&p->files[PATHS_OUTPUT], output, "", err));
    VM_TRY(find_names(&p->shard, output, PATHS_SHARD_ENDING, err));
    return find_names(&p->journal, p->files[PATHS_OUTPUT].real, PATHS_JOURNAL_ENDING, err);
}

/* A file that is a mount of its own, as in a container, cannot be replaced by a rename. */
static bool is_mount(const char *path)
{
    struct statx st;
    return statx(AT_FDCWD, path, 0, 0, &st) == 0 &&
           (st.stx_attributes_mask & st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

/* Whether the file can be created: over an existing regular file, or as a new name in a folder that can be
 * written. input is NULL where it is unknown. */
static vecmill_status check_paths_file(const struct paths_file *p, const char *input_path,
                                       const struct stat *input, vecmill_err *err)
{
    const char *path = p->given;
    struct stat st;
    if (path[0] == 0) return VECMILL_OK;
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return err_set(err, VECMILL_E_OUTPUT, "%s: is a directory, not an output", path);
        if (!S_ISREG(st.st_mode))
            return err_set(err, VECMILL_E_OUTPUT, "%s: exists and is not a regular file", path);
        if (input != NULL && same_file(&st, input))
            return err_set(err, VECMILL_E_OUTPUT, "%s: is the input of this run, %s", path,
                           input_path);
        if (is_mount(path))
            return err_set(err, VECMILL_E_OUTPUT,
                           "%s: is a mount of its own, which cannot be replaced (mount its folder)",
                           path);
    } else if (errno != ENOENT) {
        return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be written", path);
    }
    if (input != NULL && is_at(p->part, input))
        return err_set(err, VECMILL_E_OUTPUT, "%s: is the input of this run, %s", p->part,
                       input_path);
    char folder[IO_PATH_MAX];
    folder_of(p->real, folder);
    if (stat(folder, &st) != 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: its folder cannot be used", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, VECMILL_E_OUTPUT, "%s: %s is not a folder", path, folder);
    if (access(folder, W_OK | X_OK) != 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: its folder cannot be written", path);
    return VECMILL_OK;
}

/* Appending to the input while it is read would never end. */
static vecmill_status check_standard(const char *input_path, const struct stat *input,
                                     vecmill_err *err)
{
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) != 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "standard output cannot be written");
    if (input != NULL && S_ISREG(st.st_mode) && same_file(&st, input))
        return err_set(err, VECMILL_E_OUTPUT, "standard output: is the input of this run, %s",
                       input_path);
    return VECMILL_OK;
}

static bool input_stat(const struct job_options *options, struct stat *st)
{
    const bool standard = strcmp(options->input, "-") == 0;
    return (standard ? fstat(STDIN_FILENO, st) : stat(options->input, st)) == 0;
}

/* The ranges may lie where the run writes its copy of them, and at no other place of its own. */
static vecmill_status check_ranges(const char *ranges, const struct paths *p, vecmill_err *err)
{
    struct stat st;
    if (ranges == NULL || stat(ranges, &st) != 0) return VECMILL_OK; /* reading them says it */
    for (size_t i = 0; i < PATHS_FILES; i++) {
        const struct paths_file *file = &p->files[i];
        if (file->given[0] == 0) continue;
        if (is_at(file->part, &st) || (i != PATHS_RANGES && is_at(file->given, &st)))
            return err_set(err, VECMILL_E_USAGE, "%s: cannot be the file of ranges too", ranges);
    }
    return VECMILL_OK;
}

vecmill_status paths_check(const struct job_options *options, vecmill_kind result, struct paths *p,
                           vecmill_err *err)
{
    if (options->resume && strcmp(options->input, "-") == 0)
        return err_set(err, VECMILL_E_USAGE, "--resume cannot read standard input again");
    if (options->resume && strcmp(options->output, "-") == 0)
        return err_set(err, VECMILL_E_USAGE, "--resume cannot go on with standard output");
    VM_TRY(paths_find(options, result, p, err));
    struct stat st;
    const struct stat *input = input_stat(options, &st) ? &st : NULL;
    const char *name = strcmp(options->input, "-") == 0 ? "standard input" : options->input;
    if (p->standard) VM_TRY(check_standard(name, input, err));
    const struct paths_file *errors = &p->files[PATHS_ERRORS];
    VM_TRY(check_paths_file(&p->files[PATHS_OUTPUT], name, input, err));
    if (errors->given[0] != 0) {
        bool collides = files_collide(&p->journal, errors) || files_collide(&p->shard, errors);
        for (size_t i = PATHS_ERRORS + 1; i < PATHS_FILES; i++)
            collides = collides || files_collide(&p->files[i], errors);
        if (collides)
            return err_set(err, VECMILL_E_USAGE, "%s: cannot be the file of errors too",
                           errors->given);
    }
    for (size_t i = 0; i < PATHS_OUTPUT; i++)
        VM_TRY(check_paths_file(&p->files[i], name, input, err));
    VM_TRY(check_ranges(options->ranges, p, err));
    VM_TRY(check_paths_file(&p->shard, name, input, err));
    return check_paths_file(&p->journal, name, input, err);
}

static bool is_own(const struct job_options *options, const struct paths *p,
                   const struct paths_file *asked)
{
    const char *path = asked->given;
    struct stat st, other;
    const bool exists = stat(path, &st) == 0;
    if (exists && S_ISCHR(st.st_mode)) return false;
    if (exists && input_stat(options, &other) && same_file(&st, &other)) return true;
    if (exists && p->standard && fstat(STDOUT_FILENO, &other) == 0 && same_file(&st, &other))
        return true;
    for (size_t i = 0; i < PATHS_FILES + 2; i++) {
        const struct paths_file *own = i < PATHS_FILES    ? &p->files[i]
                                       : i == PATHS_FILES ? &p->journal
                                                          : &p->shard;
        if (has_name(own, asked->name) || has_name(own, asked->real)) return true;
        if (exists && own->given[0] != 0 && (is_at(own->given, &st) || is_at(own->part, &st)))
            return true;
    }
    return exists && options->ranges != NULL && is_at(options->ranges, &st);
}

bool job_is_own_path(const struct job_options *options, const char *path)
{
    struct both {
        struct paths paths;
        struct paths_file asked;
    } * both;
    void *memory = NULL;
    if (mem_map(sizeof *both, "paths", &memory, NULL) != VECMILL_OK) return false;
    both = memory;
    const bool own = paths_find(options, options->kind, &both->paths, NULL) == VECMILL_OK &&
                     find_names(&both->asked, path, "", NULL) == VECMILL_OK &&
                     is_own(options, &both->paths, &both->asked);
    mem_unmap(both, sizeof *both);
    return own;
}

/* ---- renaming ---- */

static bool is_wanted(const struct paths *paths, const struct paths_stamp *stamps, size_t i)
{
    if (paths->files[i].given[0] == 0 || i == PATHS_STAGE) return false;
    return i == PATHS_OUTPUT || stamps[i].bytes > 0;
}

/* Whether the file in place is the part that was. Inodes differ in a copied folder, and on some file systems
 * at each mount: then the time of the last write decides. */
static bool is_placed(const struct paths_file *p, const struct paths_stamp *stamp)
{
    struct stat st;
    if (stat(p->real, &st) != 0 || (uint64_t)st.st_size != stamp->bytes) return false;
    return (uint64_t)st.st_ino == stamp->inode || io_mtime_ns(&st) == stamp->mtime_ns;
}

/* *moved: by this call. */
static vecmill_status rename_one(const struct paths_file *p, const struct paths_stamp *stamp,
                                 bool *moved, vecmill_err *err)
{
    struct stat st;
    if (lstat(p->part, &st) != 0) {
        if (errno != ENOENT)
            return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be looked at", p->part);
        if (is_placed(p, stamp)) return io_sync_folder(p->real, VECMILL_E_OUTPUT, err);
        return err_set(err, VECMILL_E_OUTPUT,
                       "%s: is missing, and no file of its %llu bytes is in place of it "
                       "(--force starts afresh)",
                       p->part, (unsigned long long)stamp->bytes);
    }
    if ((uint64_t)st.st_size != stamp->bytes)
        return err_set(err, VECMILL_E_OUTPUT,
                       "%s: holds %llu bytes, it had %llu when it was finished "
                       "(--force starts afresh)",
                       p->part, (unsigned long long)st.st_size, (unsigned long long)stamp->bytes);
    if (rename(p->part, p->real) != 0)
        return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be renamed into place", p->given);
    *moved = true;
    return io_sync_folder(p->real, VECMILL_E_OUTPUT, err);
}

/* What the output was made of. It is not synced: a name that comes back is removed by the next run. */
static vecmill_status remove_stage(const struct paths_file *p, vecmill_err *err)
{
    if (p->given[0] == 0 || unlink(p->part) == 0 || errno == ENOENT) return VECMILL_OK;
    return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: cannot be removed", p->part);
}

/* An earlier run's file, when this run had nothing for it. */
static vecmill_status remove_old(const struct paths_file *p, vecmill_err *err)
{
    if (p->given[0] == 0) return VECMILL_OK;
    if (unlink(p->given) == 0) return io_sync_folder(p->given, VECMILL_E_OUTPUT, err);
    if (errno == ENOENT) return VECMILL_OK;
    return err_sys(err, VECMILL_E_OUTPUT, errno, "%s: of an earlier run, cannot be removed",
                   p->given);
}

vecmill_status paths_rename(const struct paths *paths, const struct paths_stamp stamps[PATHS_FILES],
                            bool *placed, vecmill_err *err)
{
    bool moved[PATHS_FILES] = {false};
    vecmill_status status = VECMILL_OK;
    for (size_t i = 0; i < PATHS_FILES && status == VECMILL_OK; i++)
        if (is_wanted(paths, stamps, i))
            status = rename_one(&paths->files[i], &stamps[i], &moved[i], err);
    *placed = status == VECMILL_OK || moved[PATHS_OUTPUT];
    if (!*placed) {
        /* Next to another run's output they would be wrong. What they replaced is lost. */
        for (size_t i = 0; i < PATHS_OUTPUT; i++)
            if (moved[i]) rename(paths->files[i].real, paths->files[i].part);
        return status;
    }
    /* Another run's files next to this output would be wrong too, durable or not. */
    for (size_t i = 0; i < PATHS_OUTPUT; i++) {
        if (is_wanted(paths, stamps, i)) continue;
        vecmill_err *why = status == VECMILL_OK ? err : NULL;
        const vecmill_status removed = i == PATHS_STAGE ? remove_stage(&paths->files[i], why)
                                                        : remove_old(&paths->files[i], why);
        if (status == VECMILL_OK) status = removed;
    }
    if (status == VECMILL_OK && !paths->is_shard) status = remove_old(&paths->shard, err);
    return status;
}
