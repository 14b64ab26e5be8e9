/* hub_channel: lines are "P bytes total file", "D folder" and "E status message". */
#include "hub_channel.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAY_MS 100

/* ---- the arguments ---- */

void hub_arguments_encode(const char *program, const char *cache, const struct hub_ref *ref,
                          const struct hub_env *env, struct hub_arguments *arguments)
{
    struct hub_arguments *a = arguments;
    const unsigned numbers[4] = {env->connect_s, env->stall_s, env->attempts, env->backoff_ms};
    snprintf(a->name, sizeof a->name, "%s%s%s", ref->name, ref->commit[0] ? "@" : "", ref->commit);
    for (size_t i = 0; i < 4; i++)
        snprintf(a->numbers[i], sizeof a->numbers[i], "%u", numbers[i]);
    const char *const words[] = {program,       cache,         a->name,       env->endpoint,
                                 a->numbers[0], a->numbers[1], a->numbers[2], a->numbers[3],
                                 env->python,   NULL};
    _Static_assert(sizeof words == sizeof a->argv, "one word for each argument");
    memcpy(a->argv, words, sizeof words); /* exec's type lacks a const */
}

vecmill_status hub_arguments_decode(char *const *argv, const char **cache, struct hub_ref *ref,
                                    struct hub_env *env, vecmill_err *err)
{
    uint64_t numbers[4];
    for (int i = 0; i < 4; i++) {
        if (!num_parse(argv[4 + i], UINT32_MAX / 4, &numbers[i])) {
            return err_set(err, VECMILL_E_USAGE, "argument %d, '%.40s', is not a number", 4 + i,
                           argv[4 + i]);
        }
    }
    VM_TRY(hub_ref_parse(argv[2], ref, err));
    *cache = argv[1];
    *env = (struct hub_env){.endpoint = argv[3],
                            .connect_s = (unsigned)numbers[0],
                            .stall_s = (unsigned)numbers[1],
                            .attempts = (unsigned)numbers[2],
                            .backoff_ms = (unsigned)numbers[3],
                            .python = argv[8]};
    return VECMILL_OK;
}

/* ---- writing lines ---- */

static bool write_line(const struct hub_channel *channel, const char *line, size_t bytes)
{
    if (channel->fd < 0) return true;
    return io_write(channel->fd, line, bytes, "stdout", VECMILL_E_IO, NULL) == VECMILL_OK;
}

bool hub_channel_say(struct hub_channel *channel, const char *file, uint64_t bytes, uint64_t total)
{
    char line[256];
    uint64_t now = clock_ns();
    if (channel->is_gone) return false;
    if (now - channel->said_ns < (uint64_t)SAY_MS * 1000000u && (bytes != total || total == 0)) {
        return true;
    }
    channel->said_ns = now;
    int n = snprintf(line, sizeof line, "P %llu %llu %.160s\n", (unsigned long long)bytes,
                     (unsigned long long)total, file);
    channel->is_gone = !write_line(channel, line, (size_t)n);
    return !channel->is_gone;
}

bool hub_channel_wait(struct hub_channel *channel, const char *what, unsigned wait_ms)
{
    uint64_t until = clock_ns() + (uint64_t)wait_ms * 1000000u;
    for (;;) {
        uint64_t now = clock_ns();
        if (what && !hub_channel_say(channel, what, 0, 0)) return false;
        if (now >= until) return !channel->is_gone;
        uint64_t left_ms = (until - now) / 1000000u + 1;
        poll(NULL, 0, left_ms < SAY_MS ? (int)left_ms : SAY_MS);
    }
}

void hub_channel_end(const struct hub_channel *channel, vecmill_status status, const char *dir,
                     const vecmill_err *err)
{
    char line[IO_PATH_MAX + 512];
    int n;
    if (status == VECMILL_OK) {
        n = snprintf(line, sizeof line, "D %s\n", dir);
    } else {
        n = snprintf(line, sizeof line, "E %d %s\n", (int)status, err->message);
        for (int i = 0; i < n - 1; i++) {
            if ((unsigned char)line[i] < ' ') line[i] = ' ';
        }
    }
    write_line(channel, line, (size_t)n);
}

/* ---- reading lines ---- */

bool hub_line_read(const char *text, struct hub_line *line)
{
    char *rest;
    if (text[0] == '\0' || text[1] != ' ') return false;
    *line = (struct hub_line){.text = text + 2};
    if (text[0] == 'P') {
        line->kind = HUB_LINE_PROGRESS;
        line->bytes = strtoull(text + 2, &rest, 10);
        if (rest == text + 2) return false;
        line->total = strtoull(rest, &rest, 10);
        line->text = rest + 1;
        return *rest == ' ';
    }
    if (text[0] == 'D') {
        line->kind = HUB_LINE_DONE;
        return true;
    }
    if (text[0] != 'E') return false;
    const unsigned long status = strtoul(text + 2, &rest, 10);
    const bool known = status > VECMILL_OK && status < VECMILL_STATUS_COUNT && *rest == ' ';
    line->kind = HUB_LINE_FAILED;
    line->status = known ? (vecmill_status)status : VECMILL_E_INTERNAL;
    line->text = known ? rest + 1 : "vecmill-pull failed without saying why";
    return true;
}
