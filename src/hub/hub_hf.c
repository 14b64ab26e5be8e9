/* hub_hf: a model from a hub that speaks Hugging Face's API.
 *
 * GET ENDPOINT/api/models/NAME/revision/REV?blobs=true names a commit and every file's size and
 * digest; each file then comes from ENDPOINT/NAME/resolve/COMMIT/FILE. Promises that a file is kept
 * only when its size and digest are those stated. Does not know what a file means. */
#include "hub_fetch.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define URL_MAX 2048

/* ENDPOINT + the rest; E_NOTFOUND when it does not fit. */
static vecmill_status join_url(const struct hub_job *job, char url[URL_MAX], const char *middle,
                               const char *a, const char *b, const char *c, vecmill_err *err)
{
    size_t n_end = strlen(job->env.endpoint);
    while (n_end > 0 && job->env.endpoint[n_end - 1] == '/')
        n_end--;
    int n = snprintf(url, URL_MAX, "%.*s/%s%s%s%s", (int)num_min(n_end, URL_MAX), job->env.endpoint,
                     middle, a, b, c);
    if (n < 0 || n >= URL_MAX) {
        return err_set(err, VECMILL_E_NOTFOUND, "HF_ENDPOINT: an URL of %d bytes, URL_MAX is %d", n,
                       URL_MAX - 1);
    }
    return VECMILL_OK;
}

static vecmill_status fetch_listing(struct hub_job *job, struct hub_http *http,
                                    struct hub_listing *listing, vecmill_err *err)
{
    char url[URL_MAX], revision[HUB_COMMIT_BYTES + 32];
    const struct hub_ref *ref = &job->ref;
    struct buf answer;
    buf_init(&answer, HUB_API_MAX, "HUB_API_MAX");
    snprintf(revision, sizeof revision, "/revision/%s?blobs=true",
             ref->commit[0] ? ref->commit : "main");
    vecmill_status status = join_url(job, url, "api/models/", ref->name, revision, "", err);
    if (status == VECMILL_OK) status = hub_http_get(http, url, ref->name, &answer, err);
    if (status == VECMILL_OK) {
        status =
            hub_api_parse(answer.data ? answer.data : "", answer.bytes, ref->name, listing, err);
    }
    buf_done(&answer);
    if (status ==
        VECMILL_E_LIMIT) { /* an answer without end is the server's fault, not an input's */
        if (err) err->status = VECMILL_E_NOTFOUND;
        return VECMILL_E_NOTFOUND;
    }
    if (status == VECMILL_OK && ref->commit[0] && strcmp(listing->commit, ref->commit) != 0) {
        return err_set(err, VECMILL_E_NOTFOUND, "%s: asked for commit %s, the hub answers with %s",
                       ref->name, ref->commit, listing->commit);
    }
    return status;
}

/* True when the file is there, of that size and digest. */
static bool is_right(struct hub_job *job, const char *path, const struct hub_file *f, char hex[65])
{
    struct stat st;
    hex[0] = '\0';
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == f->bytes &&
           hub_digest_file(&job->channel, path, f->name, f->kind, hex, NULL) == VECMILL_OK &&
           strcmp(hex, f->digest) == 0;
}

static vecmill_status fetch_file(struct hub_job *job, struct hub_http *http,
                                 const struct hub_staging *staging, const struct hub_file *f,
                                 vecmill_err *err)
{
    char url[URL_MAX], whole[IO_PATH_MAX], part[IO_PATH_MAX], hex[65];
    char resolve[HUB_COMMIT_BYTES + 16];
    VM_TRY(hub_staging_paths(staging, f->name, whole, part, err));
    if (is_right(job, whole, f, hex)) return VECMILL_OK;

    snprintf(resolve, sizeof resolve, "/resolve/%s/", staging->revision);
    VM_TRY(join_url(job, url, "", job->ref.name, resolve, f->name, err));
    /* A part that was complete and wrong is no use: once more from its first byte. */
    for (int round = 0; round < 2; round++) {
        VM_TRY(hub_http_get_file(http, url, f->name, part, f->bytes, err));
        if (is_right(job, part, f, hex)) return hub_staging_keep(part, whole, err);
        unlink(part);
        if (job->channel.is_gone) return err_set(err, VECMILL_E_STOPPED, "the pull was stopped");
    }
    return err_set(err, VECMILL_E_NOTFOUND, "%s: %s is %s, the hub states %s", f->name,
                   f->kind == HUB_SHA256 ? "SHA-256" : "git blob id", hex, f->digest);
}

/* What is still to come, of files that are partly there. */
static uint64_t bytes_missing(const struct hub_staging *staging, const struct hub_listing *l)
{
    uint64_t all = 0, here = hub_tree_bytes(staging->dir);
    for (size_t i = 0; i < l->n_files; i++)
        all += l->files[i].bytes;
    return all > here ? all - here : 0;
}

static vecmill_status fetch_files(struct hub_job *job, struct hub_http *http,
                                  struct hub_staging *staging, char *dir, vecmill_err *err)
{
    struct hub_listing listing;
    char place[IO_PATH_MAX];
    VM_TRY(fetch_listing(job, http, &listing, err));

    /* `current` may be gone, or name another revision, while this one is here. */
    VM_TRY(io_join(staging->home, listing.commit, place, err));
    if (hub_check_folder(place, NULL) == VECMILL_OK) {
        VM_TRY(hub_staging_current(staging, listing.commit, err));
        memcpy(dir, place, strlen(place) + 1);
        return VECMILL_OK;
    }
    VM_TRY(hub_staging_open(staging, listing.commit, err));
    VM_TRY(hub_staging_room(staging, bytes_missing(staging, &listing), err));
    for (size_t i = 0; i < listing.n_files; i++)
        VM_TRY(fetch_file(job, http, staging, &listing.files[i], err));
    return hub_staging_publish(staging, job->ref.name, job->env.endpoint, listing.files,
                               listing.n_files, dir, err);
}

vecmill_status hub_fetch_hf(struct hub_job *job, struct hub_staging *staging, char *dir,
                            vecmill_err *err)
{
    struct hub_http *http = NULL;
    VM_TRY(hub_http_new(job, &http, err));
    vecmill_status status = fetch_files(job, http, staging, dir, err);
    hub_http_free(http);
    return status;
}
