/* replay: feeds a corpus, and deterministic mutations of it, to a fuzz target without libFuzzer.
 *
 *     replay [-n MUTATIONS] [-i INDEX] FOLDER|FILE ...
 *
 * Every file is run as it is, then MUTATIONS times (default 1000, or $VECMILL_FUZZ_RUNS) changed by
 * flips, cuts, insertions, repeats, telling numbers and splices with the other files. A mutation depends
 * on the file's name, its index and the corpus alone, so that a failure comes back: on a crash the
 * last line names file and index, and `-i INDEX` runs that one.
 *
 * Promises: the target sees memory of exactly the input's size, so that a sanitizer sees the first
 * byte read beyond it. A run that takes RUN_SECONDS of processor time, which load makes no
 * more of, ends the program. It never writes. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
/* Both exist only sometimes: the one in targets that set something up, the other in sanitizers. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv);
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

#define FILE_BYTES_MAX   (1u << 20)
#define MUTANT_BYTES_MAX (2u << 20)
#define CORPUS_MAX       1024u
#define MUTATIONS_MAX    100000000ul
#define STEPS_MAX        8u
#define RUN_SECONDS      30u /* sanitizers slow a run twentyfold */

struct input {
    char *path;
    const char *name; /* within path */
    uint8_t *data;
    size_t bytes;
};

static struct input corpus[CORPUS_MAX];
static size_t n_corpus;

/* What is running, for the last line of a crash; written before each run, formatted then, so that a
 * handler only has to write it. */
static char current[512];
static size_t current_bytes;

static _Noreturn void give_up(const char *what, const char *which)
{
    fprintf(stderr, "replay: %s: %s\n", which, what);
    exit(2);
}

/* --- corpus ------------------------------------------------------------------------------------- */

static void read_input(const char *path)
{
    if (n_corpus == CORPUS_MAX) give_up("more files than CORPUS_MAX", path);
    FILE *f = fopen(path, "rb");
    if (!f) give_up(strerror(errno), path);
    uint8_t *data = malloc(FILE_BYTES_MAX + 1);
    if (!data) give_up("no memory", path);
    const size_t bytes = fread(data, 1, FILE_BYTES_MAX + 1, f);
    if (ferror(f)) give_up("cannot be read", path);
    if (bytes > FILE_BYTES_MAX) give_up("is larger than FILE_BYTES_MAX", path);
    fclose(f);
    char *copy = strdup(path);
    if (!copy) give_up("no memory", path);
    const char *slash = strrchr(copy, '/');
    corpus[n_corpus++] = (struct input){
        .path = copy, .name = slash ? slash + 1 : copy, .data = data, .bytes = bytes};
}

static void read_folder(const char *folder)
{
    struct dirent **entries;
    const int n = scandir(folder, &entries, NULL, alphasort);
    if (n < 0) give_up(strerror(errno), folder);
    for (int i = 0; i < n; i++) {
        char path[4096];
        struct stat st;
        const int length = snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (length < 0 || (size_t)length >= sizeof path) give_up("path too long", folder);
        if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) read_input(path);
        free(entries[i]);
    }
    free(entries);
}

/* --- mutations ---------------------------------------------------------------------------------- */

/* xorshift64* (Vigna 2016, "An experimental exploration of Marsaglia's xorshift generators"). */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Dull;
}

static size_t below(uint64_t *state, size_t n)
{
    return n ? (size_t)(next_random(state) >> 11) % n : 0;
}

static uint64_t seed_of(const char *name, unsigned long index)
{
    uint64_t h = 0xcbf29ce484222325ull; /* FNV-1a, 64 bits */
    for (; *name; name++)
        h = (h ^ (uint8_t)*name) * 0x100000001b3ull;
    h = (h ^ index) * 0x9E3779B97F4A7C15ull;
    h ^= h >> 32;
    return h ? h : 1;
}

/* Opens a gap of `bytes` at `at` (clipped to the room there is); returns its real size. */
static size_t open_gap(uint8_t *data, size_t *n, size_t at, size_t bytes)
{
    if (bytes > MUTANT_BYTES_MAX - *n) bytes = MUTANT_BYTES_MAX - *n;
    memmove(data + at + bytes, data + at, *n - at);
    *n += bytes;
    return bytes;
}

/* Numbers that parsers trip over, as bytes or as text. */
static void put_number(uint8_t *data, size_t n, size_t at, uint64_t *state)
{
    static const uint64_t numbers[] = {
        0,         1,     7,     8,          127,        128,        255,       256,
        4096,      65535, 65536, 0x7fffffff, UINT32_MAX, 1ull << 32, INT64_MAX, UINT64_MAX - 7,
        UINT64_MAX};
    const uint64_t v = numbers[below(state, sizeof numbers / sizeof numbers[0])];
    const size_t width = (size_t)1 << below(state, 4);
    memcpy(data + at, &v, width < n - at ? width : n - at);
}

static void put_text(uint8_t *data, size_t *n, size_t at, uint64_t *state)
{
    /* clang-format off */
    static const char *const texts[] = {
        "{", "}", "[", "]", "\"", ",", ":", "null", "true", "-1", "0", "1e99", "9999", "4294967296",
        "18446744073709551616", "\\u0000", "\\ud800", "\n", "\r\n", "\t", "\"\"", "[UNK]", "##",
        "\xef\xbb\xbf", "\xff", "\xe2\x80", "\xcc\x81"};
    /* clang-format on */
    const char *text = texts[below(state, sizeof texts / sizeof texts[0])];
    memcpy(data + at, text, open_gap(data, n, at, strlen(text)));
}

static void mutate_once(uint8_t *data, size_t *n, uint64_t *state)
{
    const size_t at = below(state, *n + 1), left = *n - at;
    const struct input *other = &corpus[below(state, n_corpus)];
    switch (below(state, 9)) {
    case 0:
        if (left) data[at] ^= (uint8_t)(1u << below(state, 8));
        break;
    case 1:
        if (left) data[at] = (uint8_t)next_random(state);
        break;
    case 2:
        *n = at;
        break;
    case 3: { /* a piece goes */
        const size_t cut = below(state, left < 64 ? left + 1 : 64);
        memmove(data + at, data + at + cut, left - cut);
        *n -= cut;
        break;
    }
    case 4: { /* random bytes come */
        const size_t gap = open_gap(data, n, at, 1 + below(state, 16));
        for (size_t i = 0; i < gap; i++)
            data[at + i] = (uint8_t)next_random(state);
        break;
    }
    case 5: { /* a piece comes twice, or many times */
        const size_t piece = 1 + below(state, left < 32 ? left : 32);
        if (!left) break;
        for (size_t i = 1 + below(state, below(state, 8) ? 2 : 200); i > 0; i--) {
            const size_t gap = open_gap(data, n, at, piece);
            memcpy(data + at, data + at + gap, gap);
        }
        break;
    }
    case 6:
        if (left) put_number(data, *n, at, state);
        break;
    case 7:
        put_text(data, n, at, state);
        break;
    default: { /* from here on another file */
        const size_t from = below(state, other->bytes + 1);
        *n = at;
        memcpy(data + at, other->data + from, open_gap(data, n, at, other->bytes - from));
        break;
    }
    }
}

/* --- running ------------------------------------------------------------------------------------ */

static void say_current(void)
{
    ssize_t ignored = write(STDERR_FILENO, current, current_bytes);
    (void)ignored;
}

static void on_signal(int number)
{
    say_current();
    signal(number, SIG_DFL);
    raise(number);
}

/* Of processor time; 0: none. */
static void limit(unsigned seconds)
{
    const struct itimerval timer = {.it_value = {.tv_sec = seconds}};
    (void)setitimer(ITIMER_PROF, &timer, NULL);
}

static void run(const struct input *input, const uint8_t *data, size_t bytes, long index)
{
    const int length =
        index < 0
            ? snprintf(current, sizeof current, "\nreplay: failed in %s as it is\n", input->path)
            : snprintf(current, sizeof current, "\nreplay: failed in mutation %ld of %s (-i %ld)\n",
                       index, input->path, index);
    current_bytes = length < (int)sizeof current ? (size_t)length : sizeof current - 1;
    uint8_t *exact = malloc(bytes ? bytes : 1);
    if (!exact) give_up("no memory", input->path);
    memcpy(exact, data, bytes);
    limit(RUN_SECONDS);
    LLVMFuzzerTestOneInput(exact, bytes);
    limit(0);
    free(exact);
}

static void run_mutation(const struct input *input, uint8_t *room, unsigned long index)
{
    uint64_t state = seed_of(input->name, index);
    size_t n = input->bytes;
    memcpy(room, input->data, n);
    for (size_t i = 1 + below(&state, STEPS_MAX); i > 0; i--)
        mutate_once(room, &n, &state);
    run(input, room, n, (long)index);
}

static unsigned long number_of(const char *text, const char *which)
{
    char *end;
    errno = 0;
    const unsigned long n = strtoul(text, &end, 10);
    if (errno || end == text || *end || n > MUTATIONS_MAX)
        give_up("is not a number in range", which);
    return n;
}

int main(int argc, char **argv)
{
    const char *wish = getenv("VECMILL_FUZZ_RUNS");
    unsigned long mutations = wish && *wish ? number_of(wish, "VECMILL_FUZZ_RUNS") : 1000, only = 0;
    bool one = false;
    int option;
    while ((option = getopt(argc, argv, "n:i:")) != -1) {
        if (option == '?') return 2;
        const unsigned long n = number_of(optarg, option == 'n' ? "-n" : "-i");
        if (option == 'n') mutations = n;
        if (option == 'i') one = true, only = n;
    }
    for (int i = optind; i < argc; i++) {
        struct stat st;
        if (stat(argv[i], &st) != 0) give_up(strerror(errno), argv[i]);
        if (S_ISDIR(st.st_mode))
            read_folder(argv[i]);
        else
            read_input(argv[i]);
    }
    if (n_corpus == 0) give_up("no file to run", argc > optind ? argv[optind] : "no folder given");
    uint8_t *room = malloc(MUTANT_BYTES_MAX);
    if (!room) give_up("no memory", "mutations");

    if (LLVMFuzzerInitialize) LLVMFuzzerInitialize(&argc, &argv);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(say_current);
    else
        for (const int *s = (const int[]){SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, 0}; *s; s++)
            signal(*s, on_signal);
    signal(SIGPROF, on_signal);

    unsigned long runs = 0;
    for (size_t k = 0; k < n_corpus; k++) {
        if (one) {
            run_mutation(&corpus[k], room, only);
            runs++;
            continue;
        }
        run(&corpus[k], corpus[k].data, corpus[k].bytes, -1);
        for (unsigned long i = 0; i < mutations; i++)
            run_mutation(&corpus[k], room, i);
        runs += 1 + mutations;
    }
    for (size_t k = 0; k < n_corpus; k++)
        free(corpus[k].path), free(corpus[k].data);
    free(room);
    printf("%zu files, %lu runs\n%s: 1 passed, 0 failed\n", n_corpus, runs,
           strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0]);
    return 0;
}
