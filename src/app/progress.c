/* progress: how far a run is, on stderr. Says nothing more often than every PROGRESS_PERIOD_NS. */
#include "progress.h"

#include <stdio.h>
#include <unistd.h>

#define PROGRESS_PERIOD_NS 200000000u
#define PROGRESS_LINE_MAX  1024u /* a line is below 400 bytes; taken once, before the run */

void progress_init(struct progress *p, enum progress_mode mode)
{
    *p = (struct progress){.mode = mode};
    p->is_terminal = mode == PROGRESS_AUTO && isatty(STDERR_FILENO) == 1;
    app_out_init(&p->out, STDERR_FILENO, "standard error");
    p->out.status = buf_reserve(&p->out.buf, PROGRESS_LINE_MAX, &p->out.err);
}

void progress_done(struct progress *p)
{
    progress_clear(p);
    app_out_done(&p->out);
}

void progress_clear(struct progress *p)
{
    if (!p->is_line_open) return;
    app_print(&p->out, "\r\033[K");
    (void)app_out_flush(&p->out, NULL);
    p->is_line_open = false;
}

static double per_second(uint64_t n, uint64_t elapsed_ns)
{
    return elapsed_ns > 0 ? (double)n * 1e9 / (double)elapsed_ns : 0;
}

/* Seconds left by the share of the input that has been read; negative: unknown. */
static double seconds_left(const struct job_progress *now)
{
    if (now->bytes_total == 0 || now->bytes_read == 0 || now->bytes_read > now->bytes_total)
        return -1;
    const double share = (double)now->bytes_read / (double)now->bytes_total;
    return (double)now->elapsed_ns / 1e9 * (1 - share) / share;
}

static void tell_json(struct app_out *out, const char *event, const struct job_progress *now)
{
    app_json_open(out, '{');
    app_json_key(out, "event");
    app_json_string(out, event);
    app_json_key(out, "documents");
    app_json_u64(out, now->documents);
    app_json_key(out, "failed");
    app_json_u64(out, now->failed);
    app_json_key(out, "truncated");
    app_json_u64(out, now->truncated);
    app_json_key(out, "replaced_bytes");
    app_json_u64(out, now->replaced_bytes);
    app_json_key(out, "tokens");
    app_json_u64(out, now->tokens);
    app_json_key(out, "seconds");
    app_json_real(out, (double)now->elapsed_ns / 1e9, 3);
    app_json_key(out, "documents_per_second");
    app_json_real(out, per_second(now->documents, now->elapsed_ns), 1);
    app_json_key(out, "tokens_per_second");
    app_json_real(out, per_second(now->tokens, now->elapsed_ns), 1);
    app_json_key(out, "bytes_read");
    app_json_u64(out, now->bytes_read);
    app_json_key(out, "bytes_total");
    if (now->bytes_total > 0)
        app_json_u64(out, now->bytes_total);
    else
        app_json_raw(out, "null");
}

static void tell_terminal(struct app_out *out, const struct job_progress *now)
{
    char documents[APP_NUMBER_BYTES], rate[APP_NUMBER_BYTES], memory[APP_NUMBER_BYTES];
    app_print(out, "\r%s documents  %s tokens/s", app_number(now->documents, documents),
              app_number((uint64_t)per_second(now->tokens, now->elapsed_ns), rate));
    const double left = seconds_left(now);
    if (left >= 0) {
        const uint64_t s = (uint64_t)(left + 0.5);
        app_print(out, "  %llu:%02u:%02u left", (unsigned long long)(s / 3600),
                  (unsigned)(s / 60 % 60), (unsigned)(s % 60));
    }
    app_print(out, "  %s", app_megabytes(app_memory("VmRSS"), memory));
    if (now->failed > 0) app_print(out, "  %llu failed", (unsigned long long)now->failed);
    app_print(out, "\033[K");
}

void progress_tell(struct progress *p, const struct job_progress *now)
{
    if (p->mode != PROGRESS_JSON && !p->is_terminal) return;
    const uint64_t now_ns = clock_ns();
    if (now_ns - p->said_ns < PROGRESS_PERIOD_NS) return;
    p->said_ns = now_ns;
    if (p->mode == PROGRESS_JSON) {
        tell_json(&p->out, "progress", now);
        app_json_key(&p->out, "seconds_left");
        const double left = seconds_left(now);
        if (left >= 0)
            app_json_real(&p->out, left, 1);
        else
            app_json_raw(&p->out, "null");
        app_json_key(&p->out, "rss_bytes");
        app_json_u64(&p->out, app_memory("VmRSS"));
        app_json_close(&p->out, '}');
        app_json_line(&p->out);
    } else {
        tell_terminal(&p->out, now);
        p->is_line_open = true;
    }
    (void)app_out_flush(&p->out, NULL);
}

void progress_summary(struct progress *p, const struct job_progress *total, vecmill_status status)
{
    const bool is_written = status == VECMILL_OK || status == VECMILL_E_PARTIAL;
    const char *outcome = status == VECMILL_OK ? "complete" : vecmill_status_words(status);
    if (p->mode == PROGRESS_NONE || (p->mode != PROGRESS_JSON && !is_written)) return;
    progress_clear(p);
    if (p->mode == PROGRESS_JSON) {
        tell_json(&p->out, "summary", total);
        app_json_key(&p->out, "outcome");
        app_json_string(&p->out, outcome);
        app_json_key(&p->out, "exit");
        app_json_i64(&p->out, vecmill_status_exit(status));
        app_json_key(&p->out, "peak_rss_bytes");
        app_json_u64(&p->out, app_memory("VmHWM"));
        app_json_close(&p->out, '}');
        app_json_line(&p->out);
    } else {
        char documents[APP_NUMBER_BYTES], tokens[APP_NUMBER_BYTES], rate[APP_NUMBER_BYTES];
        app_print(&p->out,
                  "%s: %s documents (%llu failed, %llu truncated, %llu bytes replaced), "
                  "%s tokens in %.2f s, %s tokens/s\n",
                  outcome, app_number(total->documents, documents),
                  (unsigned long long)total->failed, (unsigned long long)total->truncated,
                  (unsigned long long)total->replaced_bytes, app_number(total->tokens, tokens),
                  (double)total->elapsed_ns / 1e9,
                  app_number((uint64_t)per_second(total->tokens, total->elapsed_ns), rate));
    }
    (void)app_out_flush(&p->out, NULL);
}
