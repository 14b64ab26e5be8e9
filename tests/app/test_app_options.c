/* The command line: what is accepted, what is refused and in which words. */
#include "app/options.h"

#include "vecmill.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ARGS_MAX 160

/* Splits a line at blanks ('_' alone stands for an empty argument) and parses it. */
static vecmill_status parse(const char *line, struct options *o, vecmill_err *err)
{
    static char text[4096];
    static char *argv[ARGS_MAX];
    int argc = 0;
    argv[argc++] = (char *)(uintptr_t) "vecmill";
    (void)snprintf(text, sizeof(text), "%s", line);
    for (char *word = strtok(text, " "); word && argc < ARGS_MAX; word = strtok(NULL, " "))
        argv[argc++] = strcmp(word, "_") == 0 ? word + 1 : word;
    return options_parse(argc, argv, o, err);
}

static struct options accepted(const char *line)
{
    struct options o;
    vecmill_err err;
    const vecmill_status status = parse(line, &o, &err);
    if (status != VECMILL_OK) fail_msg("%s: refused: %s", line, err.message);
    return o;
}

static void refused(const char *line, vecmill_status wanted, const char *words)
{
    struct options o = {.operands = {"untouched"}};
    vecmill_err err = {.message = ""};
    const vecmill_status status = parse(line, &o, &err);
    if (status != wanted)
        fail_msg("%s: status %d, wanted %d: %s", line, status, wanted, err.message);
    if (!strstr(err.message, words)) fail_msg("%s: %s\nlacks: %s", line, err.message, words);
    assert_string_equal(o.operands[0], "untouched");
}

static void defaults(void **state)
{
    (void)state;
    const struct options o = accepted("embed -i a.txt -o b.npy");
    assert_int_equal(o.command, COMMAND_EMBED);
    assert_string_equal(o.model, "all-MiniLM-L6-v2");
    assert_string_equal(o.input, "a.txt");
    assert_string_equal(o.output, "b.npy");
    assert_int_equal(o.precision, PRECISION_AUTO);
    assert_int_equal(o.long_policy, VECMILL_LONG_TRUNCATE);
    assert_int_equal(o.on_error, ON_ERROR_SKIP);
    assert_int_equal(o.progress, PROGRESS_AUTO);
    assert_null(options_input_format(o.input_format));
    assert_true(o.workers == 0 && o.batch_tokens == 0 && o.memory_bytes == 0 && o.max_length == 0 &&
                o.max_document == 0);
    assert_true(!o.json && !o.resume && !o.force && !o.help && !o.version);
    assert_null(o.field);
    assert_null(o.id_field);
    assert_null(o.events);
}

static void every_option_of_embed(void **state)
{
    (void)state;
    const struct options o = accepted(
        "embed --model org/m --input=in.csv --output - --workers 1024 --resume --precision=fp32 "
        "--batch-tokens 65536 --memory auto --max-length 3 --long error --on-error stop --field 2 "
        "--id-field=key --input-format csv --max-document 1G --progress json --events=e.jsonl "
        "--dtype ubinary --ranges r.npy");
    assert_int_equal(o.dtype, VECMILL_DTYPE_UBINARY);
    assert_int_equal(options_kinds(&o), 0);
    assert_string_equal(o.ranges, "r.npy");
    assert_string_equal(o.model, "org/m");
    assert_string_equal(o.input, "in.csv");
    assert_string_equal(o.output, "-");
    assert_int_equal(o.workers, VECMILL_MAX_WORKERS);
    assert_true(o.resume && !o.force);
    assert_int_equal(o.batch_tokens, 65536);
    assert_int_equal(o.max_length, 3);
    assert_int_equal(o.long_policy, VECMILL_LONG_ERROR);
    assert_int_equal(o.on_error, ON_ERROR_STOP);
    assert_string_equal(o.field, "2");
    assert_string_equal(o.id_field, "key");
    assert_string_equal(options_input_format(o.input_format), "csv");
    assert_int_equal(o.max_document, 1u << 30);
    assert_int_equal(o.progress, PROGRESS_JSON);
    assert_string_equal(o.events, "e.jsonl");
    const struct options sparse = accepted("embed -i a -o b.NPZ");
    assert_int_equal(options_kinds(&sparse), 1u << VECMILL_KIND_SPARSE);
}

static void prompts(void **state)
{
    (void)state;
    char sentence[64];
    const struct options o = accepted("embed -i a -o b --prompt= --role query");
    assert_string_equal(o.prompt, "");
    assert_int_equal(o.role, VECMILL_ROLE_QUERY);
    assert_false(options_default_prompt(&o, "query: ", sentence, sizeof sentence));
    const struct options named = accepted("search -i a.npy -q x --prompt-name passage");
    assert_string_equal(named.prompt_name, "passage");
    assert_false(options_default_prompt(&named, "passage: ", sentence, sizeof sentence));
    const struct options none = accepted("tokenize --role auto");
    assert_null(none.prompt);
    assert_int_equal(none.role, VECMILL_ROLE_DEFAULT);
    assert_false(options_default_prompt(&none, "", sentence, sizeof sentence));
    assert_false(options_default_prompt(&none, NULL, sentence, sizeof sentence));
    assert_true(options_default_prompt(&none, "query: ", sentence, sizeof sentence));
    assert_non_null(strstr(sentence, "default prompt"));
}

static void shards(void **state)
{
    (void)state;
    const struct options o = accepted("embed -i a.txt -o b.npy --shard 6/7");
    assert_true(o.shard.index == 6 && o.shard.of == 7);
    const struct options most = accepted("plan --shard=4095/4096");
    assert_true(most.shard.index == 4095 && most.shard.of == 4096);
    const struct options one = accepted("embed -i a -o b --shard 0/1");
    assert_true(one.shard.index == 0 && one.shard.of == 1);
    assert_int_equal(accepted("embed -i a -o b").shard.of, 0);
}

static void the_last_of_several_counts(void **state)
{
    (void)state;
    const struct options o = accepted("embed -i a -i b -o c --batch-tokens 5 --batch-tokens auto");
    assert_string_equal(o.input, "b");
    assert_int_equal(o.batch_tokens, 0);
}

static void values_that_look_like_options(void **state)
{
    (void)state;
    assert_string_equal(accepted("embed -i - -o -").input, "-");
    assert_string_equal(accepted("search -i v.npy -q --json").queries[0], "--json");
    assert_string_equal(accepted("search -i v.npy --query=-").queries[0], "-");
    assert_string_equal(accepted("embed -i a=b.txt --output=c=d.npy").output, "c=d.npy");
    assert_string_equal(accepted("pull -- --strange").operands[0], "--strange");
}

static void other_commands(void **state)
{
    (void)state;
    const struct options s = accepted("search -i v.npy -q one -q _ --query two -k 1000 --json");
    assert_int_equal(s.n_queries, 3);
    assert_string_equal(s.queries[1], "");
    assert_string_equal(s.queries[2], "two");
    assert_int_equal(s.top, 1000);
    assert_true(s.json);
    assert_int_equal(accepted("search -i v.npy -q a").top, 10);
    assert_int_equal(accepted("tokenize").command, COMMAND_TOKENIZE);
    assert_null(accepted("tokenize").input);
    assert_string_equal(accepted("pull a/b").operands[0], "a/b");
    const struct options m = accepted("merge b.npy -o all.npy -- -a.npy c.npy");
    assert_int_equal(m.n_operands, 3);
    assert_string_equal(m.operands[0], "b.npy");
    assert_string_equal(m.operands[1], "-a.npy");
    assert_string_equal(m.output, "all.npy");
    assert_true(accepted("models --json").json);
    assert_true(accepted("doctor --json").json);
    const struct options b = accepted("bench -i c.jsonl --repeat 3 --workers auto --json");
    assert_int_equal(b.repeat, 3);
    assert_int_equal(accepted("bench -i c.jsonl").repeat, 1);
    assert_int_equal(accepted("bench -i c.jsonl --workers 1").workers, 1);
    assert_true(accepted("embed -i a -o b --force").force);
}

static void help_and_version(void **state)
{
    (void)state;
    assert_true(accepted("--help").help);
    assert_true(accepted("-h").help);
    assert_true(accepted("--version").version);
    assert_int_equal(accepted("--help").command, COMMAND_NONE);
    assert_true(accepted("embed --help").help);
    assert_true(accepted("embed -i a -h --unknown").help);
    assert_true(accepted("plan --help").help);
    assert_int_equal(accepted("search -h").command, COMMAND_SEARCH);
}

static void precisions(void **state)
{
    (void)state;
    static const char *const words[] = {"auto", "fp32", "bf16", "int8"};
    static const char *const commands[] = {"embed -i a -o b", "plan", "search -i v.npy -q a",
                                           "bench -i a"};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        for (uint32_t j = PRECISION_AUTO; j <= PRECISION_INT8; j++) {
            char line[128];
            (void)snprintf(line, sizeof(line), "%s --precision %s", commands[i], words[j]);
            assert_int_equal(accepted(line).precision, j);
        }
        assert_int_equal(accepted(commands[i]).precision, PRECISION_AUTO);
    }
    refused("tokenize --precision fp32", VECMILL_E_USAGE, "tokenize has no option --precision");
}

static void modes_of_bench(void **state)
{
    (void)state;
    assert_int_equal(accepted("bench -i a --workers 2").workers, 2);
    const struct options s = accepted("bench -i a --in-process --threads 256 --workers auto");
    assert_true(s.in_process && !s.latency && !s.accuracy);
    assert_int_equal(s.threads, VECMILL_MAX_THREADS);
    assert_null(accepted("bench --latency --threads 2").input);
    const struct options a = accepted("bench --accuracy --stsb pairs.csv -i a");
    assert_true(a.accuracy);
    assert_string_equal(a.stsb, "pairs.csv");
    assert_int_equal(accepted("search -i v.npy -q a --threads 2").threads, 2);
    static const struct {
        const char *line, *words;
    } cases[] = {
        {"bench --in-process", "bench needs --input FILE (-i)"},
        {"bench -i a --threads 2",
         "--threads says nothing here; it goes with one of: in-process latency"},
        {"bench -i a --accuracy --threads 2", "--threads says nothing here"},
        {"bench -i a --stsb b", "--stsb says nothing here; it goes with one of: accuracy"},
        {"bench -i a --in-process --workers 2", "--workers and --in-process exclude each other"},
        {"bench --latency --workers 1", "--workers and --latency exclude each other"},
        {"bench --accuracy --latency", "--latency and --accuracy exclude each other"},
        {"bench -i a --in-process --accuracy", "--in-process and --accuracy exclude each other"},
        {"bench -i a --in-process --threads 257", "--threads 257 is not a number from 1 to 256"},
        {"embed -i a -o b --threads 2", "embed has no option --threads"},
        {"plan --latency", "plan has no option --latency"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refused(cases[i].line, VECMILL_E_USAGE, cases[i].words);
}

static void wrong_usage(void **state)
{
    (void)state;
    static const struct {
        const char *line, *words;
    } cases[] = {
        {"", "no command is given"},
        {"embbed", "unknown command embbed; did you mean embed?"},
        {"serach -q a", "did you mean search?"},
        {"help", "did you mean --help?"},
        {"version", "did you mean --version?"},
        {"transmogrify", "unknown command transmogrify; vecmill --help lists"},
        {"-m x embed", "unknown command -m"},
        {"_", "unknown command"},
        {"embed -i a -o b --batch-token 5",
         "unknown option --batch-token; did you mean --batch-tokens?"},
        {"embed -i a -o b --bacth-tokens=5", "did you mean --batch-tokens?"},
        {"embed -i a -o b --feild x", "did you mean --field?"},
        {"embed -i a -o b -max-length 5", "unknown option -max-length; did you mean --max-length?"},
        {"embed -i a -o b --colour", "unknown option --colour; vecmill embed --help lists"},
        {"embed -i a -o b -x", "unknown option -x"},
        {"embed -i a -o b --", "no error here"},
        {"tokenize --output x", "tokenize has no option --output"},
        {"tokenize --resume", "tokenize has no option --resume"},
        {"tokenize --workers 1", "tokenize has no option --workers"},
        {"tokenize --explain --pairs", "--explain and --pairs exclude each other"},
        {"embed -i a -o b --pairs", "embed has no option --pairs"},
        {"embed -i a -o b --resume --force", "--resume and --force exclude each other"},
        {"embed -i a -o b --force --resume", "--resume and --force exclude each other"},
        {"embed -q x", "embed has no option --query"},
        {"models -m x", "models has no option --model"},
        {"embed", "embed needs --input FILE (-i)"},
        {"embed -i a", "embed needs --output FILE (-o)"},
        {"search -i a", "search needs --query TEXT (-q)"},
        {"search -q a", "search needs --input FILE (-i)"},
        {"bench", "bench needs --input FILE (-i)"},
        {"pull", "pull needs the name of a MODEL"},
        {"pull a b", "pull takes no argument b"},
        {"merge -o c", "merge needs the names of its SHARDs"},
        {"merge a b", "merge needs --output FILE (-o)"},
        {"merge a -o b --force", "merge has no option --force"},
        {"embed -i a -o b --shard 1", "--shard 1 is not of the form I/N, like 0/4"},
        {"embed -i a -o b --shard /2", "--shard /2 is not of the form"},
        {"embed -i a -o b --shard 1/", "--shard 1/ is not of the form"},
        {"embed -i a -o b --shard 1/2/3", "is not of the form"},
        {"embed -i a -o b --shard -1/2", "is not of the form"},
        {"embed -i a -o b --shard 00000000000000000000001/2", "is not of the form"},
        {"embed -i a -o b --shard 2/2", "--shard 2/2: shards are counted from 0 to one less"},
        {"embed -i a -o b --shard 0/0", "--shard 0/0: shards"},
        {"embed -i a -o b --shard 0/4097", "their number, which is at most 4096"},
        {"bench -i a --shard 0/2", "bench has no option --shard"},
        {"embed a -i b -o c", "embed takes no argument a"},
        {"embed -i a -o b -", "embed takes no argument -"},
        {"embed -i a -o", "--output needs a value: FILE"},
        {"embed -i a -o b --batch-tokens", "--batch-tokens needs a value: N|auto"},
        {"embed -i a -o b --model=", "--model is given an empty value"},
        {"embed -i a -o b --field _", "--field is given an empty value"},
        {"embed -i a -o b --resume=yes", "--resume takes no value, and yes was given"},
        {"embed -i a -o b --batch-tokens 0",
         "--batch-tokens 0 is not a number from 1 to 65536, or auto"},
        {"embed -i a -o b --batch-tokens 65537", "is not a number from 1 to 65536"},
        {"embed -i a -o b --batch-tokens 12x", "--batch-tokens 12x is not a number"},
        {"embed -i a -o b --batch-tokens -5", "--batch-tokens -5 is not a number"},
        {"embed -i a -o b --batch-tokens 1e3", "--batch-tokens 1e3 is not a number"},
        {"embed -i a -o b --batch-tokens 18446744073709551617", "is not a number"},
        {"embed -i a -o b --batch-tokens=", "--batch-tokens  is not a number"},
        {"embed -i a -o b --max-length 2", "--max-length 2 is not a number from 3 to 65536"},
        {"embed -i a -o b --max-length auto", "--max-length auto is not a number from 3 to 65536"},
        {"embed -i a -o b --max-document 0",
         "--max-document 0 is not a number of bytes from 1 to 1073741824"},
        {"embed -i a -o b --max-document 2G", "--max-document 2G is not a number of bytes"},
        {"embed -i a -o b --max-document 5X", "K, M or G behind it allowed"},
        {"embed -i a -o b --workers 0", "--workers 0 is not a number from 1 to 1024, or auto"},
        {"embed -i a -o b --workers 1025", "--workers 1025 is not a number from 1 to 1024"},
        {"embed -i a -o b --workers many",
         "--workers many is not a number from 1 to 1024, or auto"},
        {"bench -i a --workers 0", "--workers 0 is not a number from 1 to 1024, or auto"},
        {"embed -i a -o b --memory lots", "--memory lots is not a number of bytes"},
        {"embed -i a -o b --precision fp16", "--precision fp16 is not one of: auto fp32 bf16 int8"},
        {"embed -i a -o b --precision fp", "--precision fp is not one of"},
        {"embed -i a -o b --long cut", "--long cut is not one of: truncate error split"},
        {"embed -i a -o b --dtype int4",
         "--dtype int4 is not one of: float32 float16 int8 uint8 binary ubinary"},
        {"embed -i a -o b --on-error ignore", "--on-error ignore is not one of: skip stop"},
        {"embed -i a -o b --progress loud", "--progress loud is not one of: auto json none"},
        {"search -i a -q b -k 0", "--top 0 is not a number from 1 to 1000"},
        {"search -i a -q b -k 1001", "--top 1001 is not a number from 1 to 1000"},
        {"bench -i a --repeat 1001", "--repeat 1001 is not a number from 1 to 1000"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(cases[i].words, "no error here") == 0)
            (void)accepted(cases[i].line);
        else
            refused(cases[i].line, VECMILL_E_USAGE, cases[i].words);
    }
}

static void too_many_queries(void **state)
{
    (void)state;
    char line[1024] = "search -i v.npy";
    for (unsigned i = 0; i < OPTIONS_QUERIES_MAX; i++)
        strcat(line, " -q x");
    assert_int_equal(accepted(line).n_queries, OPTIONS_QUERIES_MAX);
    strcat(line, " -q x");
    refused(line, VECMILL_E_USAGE, "more than 64 times (OPTIONS_QUERIES_MAX)");
}

/* Every word is refused or accepted, none crashes: long ones, and ones with odd bytes. */
static void odd_words(void **state)
{
    (void)state;
    char line[600] = "embed --";
    memset(line + 8, 'a', 500);
    line[508] = 0;
    refused(line, VECMILL_E_USAGE, "unknown option --aaa");
    memset(line, 'b', 500);
    line[500] = 0;
    refused(line, VECMILL_E_USAGE, "unknown command bbb");
    refused("embed --=x", VECMILL_E_USAGE, "unknown option --=x");
    refused("embed -=x", VECMILL_E_USAGE, "unknown option -=x");
    refused("embed --\xff\xfe", VECMILL_E_USAGE, "unknown option");
}

static void help_names_every_option(void **state)
{
    (void)state;
    static const struct {
        enum command command;
        const char *words;
    } cases[] = {
        {COMMAND_NONE, "embed tokenize search models pull doctor bench plan --version"},
        {COMMAND_EMBED,
         "-m, -i, -o, --model --input --output --workers --precision --batch-tokens "
         "--memory --max-length --long --on-error --field --id-field --input-format "
         "--dtype --ranges --max-document --resume --force --progress --events --help"},
        {COMMAND_SEARCH, "-q, -k, --query --top --texts --precision --threads --json"},
        {COMMAND_BENCH,
         "--repeat --json --workers --threads --precision --batch-tokens --in-process "
         "--latency --accuracy --stsb"},
        {COMMAND_PULL, "MODEL --progress"},
        {COMMAND_PLAN, "--try --json --workers"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf text;
        vecmill_err err;
        buf_init(&text, OPTIONS_HELP_MAX, "OPTIONS_HELP_MAX");
        assert_int_equal(options_help(cases[i].command, &text, &err), VECMILL_OK);
        assert_int_equal(buf_terminate(&text, &err), VECMILL_OK);
        char words[512];
        (void)snprintf(words, sizeof(words), "%s", cases[i].words);
        for (char *word = strtok(words, " "); word; word = strtok(NULL, " "))
            if (!strstr(text.data, word)) fail_msg("the help lacks %s:\n%s", word, text.data);
        for (const char *line = text.data; line; line = strchr(line, '\n')) {
            line += *line == '\n';
            if (strcspn(line, "\n") > 120) fail_msg("a line of the help is too long: %s", line);
        }
        buf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(every_option_of_embed),
        cmocka_unit_test(prompts),
        cmocka_unit_test(shards),
        cmocka_unit_test(the_last_of_several_counts),
        cmocka_unit_test(values_that_look_like_options),
        cmocka_unit_test(other_commands),
        cmocka_unit_test(help_and_version),
        cmocka_unit_test(precisions),
        cmocka_unit_test(modes_of_bench),
        cmocka_unit_test(wrong_usage),
        cmocka_unit_test(too_many_queries),
        cmocka_unit_test(odd_words),
        cmocka_unit_test(help_names_every_option),
    };
    const int failed = cmocka_run_group_tests_name("app-options", tests, NULL, NULL);
    const int n = (int)(sizeof(tests) / sizeof(tests[0]));
    printf("app-options: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
