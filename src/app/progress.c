/* progress: how far a run is, on stderr. Says nothing more often than every PROGRESS_PERIOD_NS. */
#include "progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_PERIOD_NS 200000000u

/* The longest line is a notice. Taken once, before the run, and twice: before a line is what a slow
 * reader has not taken of another. */
#define PROGRESS_LINE_MAX (APP_JSON_ROOM(APP_SENTENCE_MAX) + 1024u)

void progress_init(struct progress *p, enum progress_mode mode, int fd)
{
    *p = (struct progress){.mode = mode};
    p->is_terminal = mode == PROGRESS_AUTO && isatty(fd) == 1;
    app_out_init(&p->out, fd, "standard error");
    app_out_set_lossy(&p->out);
    p->out.status = buf_reserve(&p->out.buf, 2 * PROGRESS_LINE_MAX, &p->out.err);
}

/* Removes the line that is being rewritten, so that another can be printed. */
static void clear_line(struct progress *p)
{
    if (p->is_line_open) app_print(&p->out, "\r\033[K");
    p->is_line_open = false;
}

void progress_done(struct progress *p)
{
    clear_line(p);
    (void)app_out_flush(&p->out, NULL);
    app_out_done(&p->out);
}

/* The share of the documents done that this run did, not those it goes on from. Of tokens and bytes
 * only the sums are known; they are taken to be spread evenly. */
static double own_share(const struct job_progress *now)
{
    if (now->resumed == 0) return 1;
    return (double)(now->documents - now->resumed) / (double)now->documents;
}

static double per_second(uint64_t n, const struct job_progress *now)
{
    return now->elapsed_ns > 0 ? (double)n * own_share(now) * 1e9 / (double)now->elapsed_ns : 0;
}

/* Seconds left by the share of the input that this run has read; NAN: unknown. */
static double seconds_left(const struct job_progress *now)
{
    if (now->bytes_total == 0 || now->bytes_read > now->bytes_total) return (double)NAN;
    const double share = (double)now->bytes_read / (double)now->bytes_total;
    const double own = share * own_share(now);
    return own > 0 ? (double)now->elapsed_ns / 1e9 * (1 - share) / own : (double)NAN;
}

static uint64_t memory_now(struct progress *p)
{
    const uint64_t bytes = workers_memory(&p->workers);
    if (bytes > p->peak_bytes) p->peak_bytes = bytes;
    return bytes;
}

static void put_json(struct app_out *out, const char *event, const struct job_progress *now)
{
    app_json_open(out, '{');
    app_json_key_string(out, "event", event);
    app_json_key_u64(out, "documents", now->documents);
    app_json_key_u64(out, "resumed", now->resumed);
    app_json_key_u64(out, "failed", now->failed);
    app_json_key_u64(out, "truncated", now->truncated);
    app_json_key_u64(out, "replaced_bytes", now->replaced_bytes);
    app_json_key_u64(out, "tokens", now->tokens);
    app_json_key_u64(out, "duplicates", now->duplicates);
    app_json_key_real(out, "seconds", (double)now->elapsed_ns / 1e9, 3);
    app_json_key_real(out, "documents_per_second", per_second(now->documents, now), 1);
    app_json_key_real(out, "tokens_per_second", per_second(now->tokens, now), 1);
    app_json_key_u64(out, "bytes_read", now->bytes_read);
    app_json_bytes(out, "bytes_total", now->bytes_total > 0 ? now->bytes_total : UINT64_MAX);
}

static void put_terminal(struct app_out *out, const struct job_progress *now, uint64_t memory_bytes)
{
    char documents[APP_NUMBER_BYTES], rate[APP_NUMBER_BYTES], memory[APP_NUMBER_BYTES];
    app_print(out, "\r%s documents  %s tokens/s", app_number(now->documents, documents),
              app_number((uint64_t)per_second(now->tokens, now), rate));
    const double left = seconds_left(now);
    if (isfinite(left)) {
        const uint64_t s = (uint64_t)(left + 0.5);
        app_print(out, "  %llu:%02u:%02u left", (unsigned long long)(s / 3600),
                  (unsigned)(s / 60 % 60), (unsigned)(s % 60));
    }
    app_print(out, "  %s", app_megabytes(memory_bytes, memory));
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
        put_json(&p->out, "progress", now);
        app_json_key_real(&p->out, "seconds_left", seconds_left(now), 1);
        app_json_key_u64(&p->out, "rss_bytes", memory_now(p));
        app_json_close(&p->out, '}');
        app_json_line(&p->out);
    } else {
        put_terminal(&p->out, now, memory_now(p));
        p->is_line_open = true;
    }
    (void)app_out_flush(&p->out, NULL);
}

void progress_notice(struct progress *p, const char *sentence)
{
    static const char warning[] = "warning: "; /* is said however little is to be */
    if (p->mode == PROGRESS_NONE && strncmp(sentence, warning, sizeof(warning) - 1) != 0) return;
    if (p->mode == PROGRESS_JSON) {
        app_json_open(&p->out, '{');
        app_json_key_string(&p->out, "event", "notice");
        app_json_key_string(&p->out, "sentence", sentence);
        app_json_close(&p->out, '}');
        app_json_line(&p->out);
        (void)app_out_flush(&p->out, NULL);
    } else {
        progress_complain(p, sentence);
    }
}

void progress_complain(struct progress *p, const char *sentence)
{
    clear_line(p);
    app_out_sentence(&p->out, sentence);
    (void)app_out_flush(&p->out, NULL);
}

void progress_pool(struct progress *p, uint64_t t_ms, const vecmill_event *event)
{
    char words[WORKERS_WORDS_MAX];
    const bool is_line = workers_note(&p->workers, event, words);
    const bool is_end = event->kind == VECMILL_WORKER_DIED || event->kind == VECMILL_WORKER_LOST;
    if (p->mode == PROGRESS_JSON && is_end) {
        workers_json_event(&p->out, t_ms, event);
        app_json_line(&p->out);
        (void)app_out_flush(&p->out, NULL);
    } else if (p->mode == PROGRESS_AUTO && is_line) {
        progress_notice(p, words);
    }
}

static void summary_json(struct progress *p, const struct job_progress *total,
                         const vecmill_pool_counts *counts, vecmill_status status,
                         const char *outcome)
{
    (void)memory_now(p);
    put_json(&p->out, "summary", total);
    app_json_key_string(&p->out, "precision", p->precision);
    app_json_key(&p->out, "deaths");
    workers_json_causes(&p->out, p->workers.deaths);
    app_json_key_u64(&p->out, "batches_requeued", counts->requeued);
    app_json_key_string(&p->out, "outcome", outcome);
    app_json_key_i64(&p->out, "exit", vecmill_status_exit(status));
    app_json_key_u64(&p->out, "peak_rss_bytes", p->peak_bytes);
    app_json_close(&p->out, '}');
    app_json_line(&p->out);
}

static void summary_text(struct app_out *out, const struct job_progress *total,
                         const char *precision, const char *outcome)
{
    char documents[APP_NUMBER_BYTES], tokens[APP_NUMBER_BYTES], rate[APP_NUMBER_BYTES];
    app_print(out, "%s: %s documents (%llu failed, %llu truncated, %llu bytes replaced", outcome,
              app_number(total->documents, documents), (unsigned long long)total->failed,
              (unsigned long long)total->truncated, (unsigned long long)total->replaced_bytes);
    if (total->resumed > 0)
        app_print(out, "; %s by earlier runs", app_number(total->resumed, documents));
    if (total->duplicates > 0)
        app_print(out, "; %s duplicate%s computed once", app_number(total->duplicates, documents),
                  total->duplicates == 1 ? "" : "s");
    app_print(out, "), %s tokens in %.2f s, %s tokens/s%s%s\n", app_number(total->tokens, tokens),
              (double)total->elapsed_ns / 1e9,
              app_number((uint64_t)per_second(total->tokens, total), rate), precision ? ", " : "",
              precision ? precision : "");
}

static void deaths_text(struct app_out *out, const uint64_t *deaths, uint64_t n_requeued)
{
    char causes[WORKERS_WORDS_MAX], sum[APP_NUMBER_BYTES], batches[APP_NUMBER_BYTES];
    const uint64_t n = workers_sum(deaths);
    if (n == 0) return;
    app_print(out, "%s worker%s died (%s), %s batch%s run again\n", app_number(n, sum),
              n == 1 ? "" : "s", workers_causes(deaths, causes), app_number(n_requeued, batches),
              n_requeued == 1 ? "" : "es");
}

void progress_summary(struct progress *p, const struct job_progress *total,
                      const vecmill_pool_counts *counts, vecmill_status status)
{
    const bool is_written = status == VECMILL_OK || status == VECMILL_E_PARTIAL;
    const char *outcome = status == VECMILL_OK ? "complete" : vecmill_status_words(status);
    if (p->mode == PROGRESS_NONE) return;
    clear_line(p);
    if (p->mode == PROGRESS_JSON) {
        summary_json(p, total, counts, status, outcome);
    } else {
        if (is_written) summary_text(&p->out, total, p->precision, outcome);
        deaths_text(&p->out, p->workers.deaths, counts->requeued);
    }
    (void)app_out_flush(&p->out, NULL);
}
