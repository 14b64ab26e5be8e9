/* hub_http: GET by libcurl, again and again until it is whole or hopeless.
 *
 * Promises: only http and https, and no way back from https to http; at most MAX_REDIRECTS redirects;
 * the token goes to the endpoint's own host and nowhere else; every attempt has a deadline for
 * connecting and for standing still; attempts, pauses and sizes have a maximum; a file goes on after
 * the bytes that are there. Proxies are libcurl's matter (http_proxy, https_proxy, no_proxy). Does not
 * know what the bytes are: a digest is asked for elsewhere. */
#include "hub_fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_REDIRECTS     5
#define PAUSE_MAX_MS      10000u
#define RETRY_AFTER_MAX_S 60
/* Slower than this on average over stall_s counts as standing still: at it, all-MiniLM-L6-v2 would
 * take a week. */
#define STALL_BYTES_PER_S 128L
/* An attempt that brought this much does not count as a failed one: a line that drops every few minutes
 * still gets a large file through, and size / PROGRESS_BYTES bounds the attempts. */
#define PROGRESS_BYTES ((uint64_t)4 << 20)
#define DROP_MAX       65536 /* of an error's body, which is not read */

struct hub_http {
    CURL *curl;
    struct hub_job *job;
    char reason[CURL_ERROR_SIZE];
};

/* One file or buffer on its way. */
struct http_transfer {
    struct hub_http *http;
    const char *what;
    struct buf *body; /* or NULL: a file */
    int fd;
    const char *path;
    uint64_t bytes;      /* of the whole file */
    uint64_t have;       /* of it, in order from 0 */
    uint64_t range_from; /* of the answer, by its Content-Range; UINT64_MAX: none */
    size_t dropped;
    bool begun;    /* the body's first byte was seen */
    bool too_long; /* more came than `bytes` */
    bool wrong_range;
    vecmill_status status; /* of our own side: the disk, the buffer */
    vecmill_err err;
};

enum outcome { DONE, AGAIN, HOPELESS };

static vecmill_status restart_transfer(struct http_transfer *t)
{
    if (t->body) {
        buf_clear(t->body);
    } else if (ftruncate(t->fd, 0) != 0 || lseek(t->fd, 0, SEEK_SET) != 0) {
        return err_sys(&t->err, VECMILL_E_NOTFOUND, errno, "%s: cannot be emptied", t->path);
    }
    t->have = 0;
    return VECMILL_OK;
}

static long response_code(const struct hub_http *h)
{
    long code = 0;
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &code);
    return code;
}

static size_t on_header(char *data, size_t one, size_t n, void *context)
{
    struct http_transfer *t = context;
    static const char key[] = "content-range: bytes ";
    (void)one;
    if (n > 5 && memcmp(data, "HTTP/", 5) == 0) t->range_from = UINT64_MAX; /* of a new answer */
    if (n > sizeof key && strncasecmp(data, key, sizeof key - 1) == 0) {
        uint64_t from = 0;
        size_t i = sizeof key - 1, first = i;
        for (; i < n && data[i] >= '0' && data[i] <= '9' && i - first < 18; i++)
            from = from * 10 + (uint64_t)(data[i] - '0');
        if (i > first && i < n && data[i] == '-') t->range_from = from;
    }
    return n;
}

static size_t on_body(char *data, size_t one, size_t n, void *context)
{
    struct http_transfer *t = context;
    long code = response_code(t->http);
    (void)one;
    if (code != 200 && code != 206) {
        t->dropped += n;
        return t->dropped > DROP_MAX ? 0 : n;
    }
    if (!t->begun) {
        t->begun = true;
        if (code == 206 && t->range_from != t->have) {
            t->wrong_range = true;
            return 0;
        }
        /* 200: the server knows no ranges and sends all of it. */
        if (code == 200 && t->have > 0) t->status = restart_transfer(t);
        if (t->status != VECMILL_OK) return 0;
    }
    if (t->body) {
        t->status = buf_add(t->body, data, n, &t->err);
        return t->status == VECMILL_OK ? n : 0;
    }
    if (n > t->bytes - t->have) {
        t->too_long = true;
        return 0;
    }
    t->status = io_write(t->fd, data, n, t->path, VECMILL_E_NOTFOUND, &t->err);
    if (t->status != VECMILL_OK) return 0;
    t->have += n;
    return n;
}

static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t up_total,
                       curl_off_t up_now)
{
    struct http_transfer *t = context;
    (void)total;
    (void)now;
    (void)up_total;
    (void)up_now;
    return hub_channel_say(&t->http->job->channel, t->what, t->have, t->bytes) ? 0 : 1;
}

static bool transient(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        return true;
    default:
        return false;
    }
}

/* What an answer's status means for us. */
static enum outcome judge_code(struct http_transfer *t, long code, vecmill_err *err)
{
    const struct hub_job *job = t->http->job;
    if (code == 401 || code == 403 || code == 404) {
        err_set(err, VECMILL_E_NOTFOUND,
                "%s: %s answers %ld: there is no such model or file, or it is private and HF_TOKEN "
                "is %s",
                t->what, job->env.endpoint, code, job->env.token ? "not accepted" : "not set");
        return HOPELESS;
    }
    err_set(err, VECMILL_E_NOTFOUND, "%s: %s answers %ld", t->what, job->env.endpoint, code);
    return code == 408 || code == 425 || code == 429 || (code >= 500 && code < 600) ? AGAIN
                                                                                    : HOPELESS;
}

/* What became of one attempt. Fills err unless DONE. */
static enum outcome judge_attempt(struct http_transfer *t, CURLcode result, vecmill_err *err)
{
    struct hub_http *h = t->http;
    long code = response_code(h);
    if (t->status != VECMILL_OK) {
        err_set(err, t->status, "%s", t->err.message);
        return HOPELESS;
    }
    if (h->job->channel.is_gone) {
        err_set(err, VECMILL_E_STOPPED, "the pull was stopped");
        return HOPELESS;
    }
    if (t->too_long) {
        restart_transfer(t);
        err_set(err, VECMILL_E_NOTFOUND, "%s: more bytes come than the %llu that the hub states",
                t->what, (unsigned long long)t->bytes);
        return HOPELESS;
    }
    if (t->wrong_range || code == 416) {
        err_set(err, VECMILL_E_NOTFOUND, "%s: asked for bytes from %llu, %s does not send those",
                t->what, (unsigned long long)t->have, h->job->env.endpoint);
        return restart_transfer(t) == VECMILL_OK ? AGAIN : HOPELESS;
    }
    if (code >= 300 && (result == CURLE_OK || result == CURLE_WRITE_ERROR)) {
        return judge_code(t, code, err);
    }
    if (result != CURLE_OK) {
        err_set(err, VECMILL_E_NOTFOUND, "%s: %s", t->what,
                h->reason[0] ? h->reason : curl_easy_strerror(result));
        return transient(result) ? AGAIN : HOPELESS;
    }
    if (!t->body && t->have < t->bytes) {
        err_set(err, VECMILL_E_NOTFOUND, "%s: ended after %llu of %llu bytes", t->what,
                (unsigned long long)t->have, (unsigned long long)t->bytes);
        return AGAIN;
    }
    return DONE;
}

static enum outcome attempt_transfer(struct http_transfer *t, const char *url, vecmill_err *err)
{
    CURL *curl = t->http->curl;
    char range[32];
    t->begun = t->too_long = t->wrong_range = false;
    t->dropped = 0;
    t->range_from = UINT64_MAX;
    t->http->reason[0] = '\0';
    if (t->body) restart_transfer(t);
    snprintf(range, sizeof range, "%llu-", (unsigned long long)t->have);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_RANGE, t->have > 0 ? range : NULL);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    /* A buffer is small and can have a deadline as a whole; a file may take as long as it moves. */
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, t->body ? 4L * (long)t->http->job->env.stall_s : 0L);
    return judge_attempt(t, curl_easy_perform(curl), err);
}

/* How long to wait before the next attempt; false when the server asks for more than we wait. */
static bool pause_ms(const struct hub_http *h, unsigned failures, unsigned *wait_ms)
{
    curl_off_t asked_s = 0;
    uint64_t wait = h->job->env.backoff_ms;
    curl_easy_getinfo(h->curl, CURLINFO_RETRY_AFTER, &asked_s);
    if (asked_s > RETRY_AFTER_MAX_S) return false;
    for (unsigned i = 1; i < failures && wait < PAUSE_MAX_MS; i++)
        wait *= 2;
    *wait_ms = wait < PAUSE_MAX_MS ? (unsigned)wait : PAUSE_MAX_MS;
    if (asked_s > 0 && (unsigned)asked_s * 1000u > *wait_ms) *wait_ms = (unsigned)asked_s * 1000u;
    return true;
}

static vecmill_status run_transfer(struct http_transfer *t, const char *url, vecmill_err *err)
{
    struct hub_http *h = t->http;
    vecmill_err why;
    unsigned failures = 0;
    for (;;) {
        uint64_t before = t->have;
        enum outcome outcome = attempt_transfer(t, url, &why);
        if (outcome == DONE) return VECMILL_OK;
        if (outcome == HOPELESS) return err_set(err, why.status, "%s", why.message);
        if (t->have > before && t->have - before >= PROGRESS_BYTES) failures = 0;
        unsigned wait_ms;
        if (++failures >= h->job->env.attempts) {
            return err_set(err, VECMILL_E_NOTFOUND, "%s (%u attempts)", why.message, failures);
        }
        if (!pause_ms(h, failures, &wait_ms)) {
            return err_set(err, VECMILL_E_NOTFOUND,
                           "%s and asks to wait for longer than RETRY_AFTER_MAX_S, %d s",
                           why.message, RETRY_AFTER_MAX_S);
        }
        if (!hub_channel_wait(&h->job->channel, t->what, wait_ms)) {
            return err_set(err, VECMILL_E_STOPPED, "the pull was stopped");
        }
    }
}

vecmill_status hub_http_get(struct hub_http *http, const char *url, const char *what,
                            struct buf *body, vecmill_err *err)
{
    struct http_transfer t = {.http = http, .what = what, .body = body, .fd = -1};
    return run_transfer(&t, url, err);
}

vecmill_status hub_http_get_file(struct hub_http *http, const char *url, const char *what,
                                 const char *path, uint64_t bytes, vecmill_err *err)
{
    struct http_transfer t = {.http = http, .what = what, .path = path, .bytes = bytes};
    vecmill_status status = VECMILL_OK;
    t.fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (t.fd < 0) {
        return err_sys(err, VECMILL_E_NOTFOUND, errno, "%s: cannot be opened", path);
    }
    off_t end = lseek(t.fd, 0, SEEK_END);
    t.have = end > 0 ? (uint64_t)end : 0;
    if (t.have > bytes) status = restart_transfer(&t);
    if (status != VECMILL_OK) {
        err_set(err, status, "%s", t.err.message);
    } else if (t.have < bytes) {
        status = run_transfer(&t, url, err);
    }
    close(t.fd);
    return status;
}

/* A header must not be able to bring another one. */
static vecmill_status add_token(struct hub_http *h, const char *token, vecmill_err *err)
{
    for (const char *c = token; *c; c++) {
        if (*c <= ' ' || *c > '~') {
            return err_set(err, VECMILL_E_NOTFOUND,
                           "HF_TOKEN: byte %zu is no printable ASCII character",
                           (size_t)(c - token));
        }
    }
    curl_easy_setopt(h->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
    curl_easy_setopt(h->curl, CURLOPT_XOAUTH2_BEARER, token);
    return VECMILL_OK;
}

/* As the program curl does it: an own list of authorities, for a proxy that looks inside TLS. */
static void add_authorities(CURL *curl)
{
    const char *bundle = getenv("CURL_CA_BUNDLE");
    const char *file = bundle && bundle[0] ? bundle : getenv("SSL_CERT_FILE");
    if (file && file[0]) curl_easy_setopt(curl, CURLOPT_CAINFO, file);
}

vecmill_status hub_http_new(struct hub_job *job, struct hub_http **http, vecmill_err *err)
{
    void *memory = NULL;
    const struct hub_env *env = &job->env;
    bool tls = strncasecmp(env->endpoint, "https://", 8) == 0;
    if (!tls && strncasecmp(env->endpoint, "http://", 7) != 0) {
        return err_set(err, VECMILL_E_NOTFOUND,
                       "HF_ENDPOINT: '%.60s' begins with neither https:// nor http://",
                       env->endpoint);
    }
    if (strchr(env->endpoint, '@')) { /* it is written into messages and next to the model */
        return err_set(err, VECMILL_E_NOTFOUND,
                       "HF_ENDPOINT holds a '@': a password does not belong there");
    }
    VM_TRY(mem_new(sizeof(struct hub_http), "the state of HTTP", &memory, err));
    struct hub_http *h = memory;
    h->job = job;
    h->curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    if (!h->curl) {
        mem_free(h);
        return err_set(err, VECMILL_E_INTERNAL, "libcurl cannot be started");
    }
    CURL *c = h->curl;
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, tls ? "https" : "http");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)env->connect_s);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES_PER_S);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)env->stall_s);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "vecmill");
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->reason);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    add_authorities(c);
    vecmill_status status = env->token ? add_token(h, env->token, err) : VECMILL_OK;
    if (status != VECMILL_OK) {
        hub_http_free(h);
        return status;
    }
    *http = h;
    return VECMILL_OK;
}

void hub_http_free(struct hub_http *http)
{
    if (!http) return;
    curl_easy_cleanup(http->curl);
    curl_global_cleanup();
    mem_free(http);
}
