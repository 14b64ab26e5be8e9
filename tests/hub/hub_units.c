/* hub: names, the registry, the cache's folders, the hub's answers. No network, no process. */
#include "hub/hub_channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COMMIT "0123456789abcdef0123456789abcdef01234567"
#define SHA    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static vecmill_status parse_name(const char *text, struct hub_ref *ref, vecmill_err *err)
{
    err->message[0] = '\0';
    return hub_ref_parse(text, ref, err);
}

static void registry_is_sound(void **state)
{
    (void)state;
    size_t n, refused = 0;
    const struct hub_model *m = hub_models(&n);
    assert_int_equal(n, 57);
    for (size_t i = 0; i < n; i++) {
        struct hub_ref ref;
        vecmill_err err;
        assert_non_null(strchr(m[i].name, '/'));
        assert_string_equal(strchr(m[i].name, '/') + 1, m[i].alias);
        assert_true(m[i].dim >= 64 && m[i].dim <= 1024 && m[i].max_length >= 64);
        if (m[i].refused) {
            assert_int_equal(parse_name(m[i].alias, &ref, &err), VECMILL_E_MODEL);
            assert_non_null(strstr(err.message, m[i].refused));
            refused++;
        } else {
            assert_int_equal(parse_name(m[i].alias, &ref, &err), VECMILL_OK);
            assert_string_equal(ref.name, m[i].name);
            assert_ptr_equal(ref.model, &m[i]);
        }
    }
    assert_int_equal(refused, 8);
}

static void names_are_taken_apart(void **state)
{
    (void)state;
    struct hub_ref ref;
    vecmill_err err;
    assert_int_equal(parse_name("Org.1/na_me-2", &ref, &err), VECMILL_OK);
    assert_string_equal(ref.folder, "Org.1--na_me-2");
    assert_null(ref.model);
    assert_string_equal(ref.commit, "");
    assert_int_equal(parse_name("a/b@" COMMIT, &ref, &err), VECMILL_OK);
    assert_string_equal(ref.name, "a/b");
    assert_string_equal(ref.commit, COMMIT);
    /* case does not count for what the registry knows */
    assert_int_equal(parse_name("snowflake/Snowflake-Arctic-Embed-XS", &ref, &err), VECMILL_OK);
    assert_string_equal(ref.name, "Snowflake/snowflake-arctic-embed-xs");
}

static void names_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",         "a/",
        "/a",       "a//b",
        "a/b/c",    "../x",
        "a/..",     "a/.b",
        "-a/b",     "a/b-",
        "a--b/c",   "a/b c",
        "a/b\n",    "a/b\\c",
        "a/b@main", ("a/b@" COMMIT "0"),
        "a/b@",     "a/\xc3\xa4",
        "a/b?x=1",  "a/b#c",
        "a/%2e%2e", ("all-MiniLM-L6-v2@" COMMIT),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct hub_ref ref = {.name = "untouched"};
        vecmill_err err;
        assert_int_equal(parse_name(bad[i], &ref, &err), VECMILL_E_NOTFOUND);
        assert_true(err.message[0] != '\0');
        assert_string_equal(ref.name, "untouched");
    }
    char longest[300];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    longest[100] = '/';
    struct hub_ref ref;
    vecmill_err err;
    assert_int_equal(parse_name(longest, &ref, &err), VECMILL_E_NOTFOUND);
}

static void near_names_are_offered(void **state)
{
    (void)state;
    struct hub_ref ref;
    vecmill_err err;
    assert_int_equal(parse_name("all-minilm-l6-v3", &ref, &err), VECMILL_E_NOTFOUND);
    assert_non_null(strstr(err.message, "near: all-MiniLM-L6-v2"));
    assert_int_equal(parse_name("gte", &ref, &err), VECMILL_E_NOTFOUND);
    assert_non_null(strstr(err.message, "gte-base, gte-large"));
    assert_int_equal(parse_name("zzzzzzzzzzzz", &ref, &err), VECMILL_E_NOTFOUND);
    assert_null(strstr(err.message, "near"));
}

static void wanted_files(void **state)
{
    (void)state;
    static const char *const yes[] = {"config.json",
                                      "vocab.txt",
                                      "1_Pooling/config.json",
                                      "10_Pooling/config.json",
                                      "model.safetensors.index.json",
                                      "config_sentence_transformers.json",
                                      "0_Transformer/vocab.txt",
                                      "artifact.metadata",
                                      "colbert_linear.pt",
                                      "sparse_linear.safetensors",
                                      "model.safetensors",
                                      "model-00001-of-00002.safetensors",
                                      "pytorch_model.bin",
                                      "pytorch_model.bin.index.json",
                                      "pytorch_model-00001-of-00002.bin",
                                      "2_Dense/pytorch_model.bin",
                                      "2_Dense_1024/config.json",
                                      "0_Transformer/model.safetensors"};
    static const char *const no[] = {"",
                                     "Config.json",
                                     "config.json ",
                                     "../config.json",
                                     "_Pooling/config.json",
                                     "100_Pooling/config.json",
                                     "1_Pooling/config.jsonx",
                                     "onnx/model.onnx",
                                     "onnx/pytorch_model.bin",
                                     "tf_model.h5",
                                     "flax_model.msgpack",
                                     "optimizer.bin",
                                     "pytorch_model.bin.index",
                                     "pytorch_model-00001-of-00002.safetensors",
                                     "model-00001-of-00002.bin",
                                     "model-1-of-2.safetensors",
                                     "model-00001-of-00002.safetensors.x",
                                     "model-0000a-of-00002.safetensors",
                                     "0_/config.json",
                                     "2_Dense_/config.json",
                                     "2_Dense_102400/config.json",
                                     "2_Dense_1024x/config.json",
                                     "2_1024/config.json",
                                     "2_Dense_1024",
                                     "0_Trans former/config.json",
                                     "0_Transformer/../config.json",
                                     "0_Transformer//config.json",
                                     "0_Transformer/1_Pooling/config.json",
                                     "0_ABCDEFGHIJKLMNOPQRSTU/config.json"};
    uint64_t most = 0;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        assert_true(hub_file_wanted(yes[i], strlen(yes[i]), &most));
    assert_int_equal(most, HUB_WEIGHTS_MAX);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        assert_false(hub_file_wanted(no[i], strlen(no[i]), &most));
    assert_false(hub_file_wanted("config.json\0x", 13, &most));
}

/* ---- between vecmill and vecmill-pull ---- */

static void arguments_come_back(void **state)
{
    (void)state;
    static const char commit[] = "0123456789abcdef0123456789abcdef01234567";
    const struct hub_env env = {.endpoint = "http://e",
                                .connect_s = 1,
                                .stall_s = 22,
                                .attempts = 333,
                                .backoff_ms = 4444,
                                .python = "py thon"};
    struct hub_ref ref, ref_back;
    struct hub_env back;
    struct hub_arguments a;
    const char *cache = NULL;
    vecmill_err err;
    char name[128];
    snprintf(name, sizeof name, "bert/tiny@%s", commit);
    assert_int_equal(hub_ref_parse(name, &ref, &err), VECMILL_OK);
    hub_arguments_encode("/p", "/c a", &ref, &env, &a);
    assert_string_equal(a.argv[0], "/p");
    assert_null(a.argv[HUB_ARGUMENTS + 1]);
    assert_int_equal(hub_arguments_decode(a.argv, &cache, &ref_back, &back, &err), VECMILL_OK);
    assert_string_equal(cache, "/c a");
    assert_string_equal(ref_back.name, "bert/tiny");
    assert_string_equal(ref_back.commit, commit);
    assert_string_equal(back.endpoint, env.endpoint);
    assert_string_equal(back.python, env.python);
    assert_int_equal(back.connect_s, 1);
    assert_int_equal(back.stall_s, 22);
    assert_int_equal(back.attempts, 333);
    assert_int_equal(back.backoff_ms, 4444);
    for (size_t i = 4; i < 8; i++) {
        char *const argv_i = a.argv[i];
        a.argv[i] = (char *)"1x";
        assert_int_equal(hub_arguments_decode(a.argv, &cache, &ref_back, &back, &err),
                         VECMILL_E_USAGE);
        assert_non_null(strstr(err.message, "'1x', is not a number"));
        a.argv[i] = argv_i;
    }
}

/* The next line of a channel, without its end. */
static char *next_line(FILE *file, char *line, int size)
{
    assert_non_null(fgets(line, size, file));
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static void lines_come_back(void **state)
{
    (void)state;
    char text[IO_PATH_MAX + 64];
    struct hub_line line;
    const vecmill_err err = {.status = VECMILL_E_STOPPED, .message = "two\nlines"};
    FILE *file = tmpfile();
    assert_non_null(file);
    struct hub_channel channel = {.fd = fileno(file)};
    assert_true(hub_channel_say(&channel, "a file", 5, 10));
    assert_true(hub_channel_say(&channel, "too soon", 6, 10));
    assert_true(hub_channel_say(&channel, "a file", 10, 10));
    hub_channel_end(&channel, VECMILL_OK, "/a folder", NULL);
    hub_channel_end(&channel, VECMILL_E_STOPPED, NULL, &err);
    rewind(file);
    for (uint64_t bytes = 5; bytes <= 10; bytes += 5) {
        assert_true(hub_line_read(next_line(file, text, sizeof text), &line));
        assert_int_equal(line.kind, HUB_LINE_PROGRESS);
        assert_string_equal(line.text, "a file");
        assert_true(line.bytes == bytes && line.total == 10);
    }
    assert_true(hub_line_read(next_line(file, text, sizeof text), &line));
    assert_int_equal(line.kind, HUB_LINE_DONE);
    assert_string_equal(line.text, "/a folder");
    assert_true(hub_line_read(next_line(file, text, sizeof text), &line));
    assert_int_equal(line.kind, HUB_LINE_FAILED);
    assert_int_equal(line.status, VECMILL_E_STOPPED);
    assert_string_equal(line.text, "two lines");
    assert_null(fgets(text, sizeof text, file));
    fclose(file);

    static const char *const none[] = {"", "P", "Px", "P 1 2", "Q 1 2 x", "P  "};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        assert_false(hub_line_read(none[i], &line));
    assert_true(hub_line_read("E 99 x", &line));
    assert_int_equal(line.status, VECMILL_E_INTERNAL);
    channel.fd = -1;
    assert_true(hub_channel_say(&channel, "nobody", 10, 10));
}

/* ---- the hub's answers ---- */

#define SMALL(name) "{\"rfilename\":\"" name "\",\"size\":7,\"blobId\":\"" COMMIT "\"}"
#define WEIGHTS                                                                                    \
    "{\"rfilename\":\"model.safetensors\",\"size\":9,\"blobId\":\"" COMMIT                         \
    "\",\"lfs\":{\"sha256\":\"" SHA "\",\"size\":9000000000,\"pointerSize\":134}}"
#define ANSWER(list) "{\"sha\":\"" COMMIT "\",\"siblings\":[" list "]}"

static vecmill_status parse_answer(const char *text, size_t bytes, struct hub_listing *l,
                                   vecmill_err *err)
{
    err->message[0] = '\0';
    return hub_api_parse(text, bytes, "org/name", l, err);
}

static void good_answer(void **state)
{
    (void)state;
    struct hub_listing l;
    vecmill_err err;
    static const char text[] = ANSWER(SMALL("config.json") "," SMALL("vocab.txt") "," SMALL(
        "onnx/model.onnx") "," WEIGHTS "," SMALL("1_Pooling/config.json"));
    assert_int_equal(parse_answer(text, sizeof text - 1, &l, &err), VECMILL_OK);
    assert_string_equal(l.commit, COMMIT);
    assert_int_equal(l.n_files, 4);
    assert_string_equal(l.files[2].name, "model.safetensors");
    assert_int_equal(l.files[2].kind, HUB_SHA256);
    assert_true(l.files[2].bytes == 9000000000u);
    assert_string_equal(l.files[2].digest, SHA);
    assert_int_equal(l.files[0].kind, HUB_GIT);
    assert_string_equal(l.files[0].digest, COMMIT);
}

/* Which files are taken of a model in shards, in a module's folder, and of one that has both forms. */
static void chosen_files(void **state)
{
    (void)state;
#define INDEX     SMALL("model.safetensors.index.json")
#define SHARD(n)  SMALL("model-0000" n "-of-00002.safetensors")
#define INSIDE(f) SMALL("0_Transformer/" f)
    static const struct {
        const char *text;
        size_t n;
        const char *last;
    } answers[] = {
        {ANSWER(SMALL("config.json") "," SMALL("vocab.txt") "," INDEX
                                                            "," SHARD("1") "," SHARD("2")),
         5, "model-00002-of-00002.safetensors"},
        {ANSWER(INDEX "," SHARD("1") "," SHARD("2") "," SMALL("config.json") "," WEIGHTS "," SMALL(
             "vocab.txt")),
         3, "vocab.txt"},
        {ANSWER(SMALL("modules.json") "," INSIDE("config.json") "," INSIDE("vocab.txt") "," INSIDE(
             "model.safetensors")),
         4, "0_Transformer/model.safetensors"},
        /* torch's format, where there is no other */
        {ANSWER(SMALL("config.json") "," SMALL("vocab.txt") "," SMALL("tf_model.h5") "," SMALL(
             "pytorch_model.bin")),
         3, "pytorch_model.bin"},
        {ANSWER(SMALL("pytorch_model.bin") "," SMALL("config.json") "," WEIGHTS
                                                                    "," SMALL("vocab.txt")),
         3, "vocab.txt"},
        {ANSWER(INDEX "," SHARD("1") "," SHARD("2") "," SMALL("config.json") "," SMALL(
             "pytorch_model.bin") "," SMALL("vocab.txt")),
         5, "vocab.txt"},
        {ANSWER(SMALL("pytorch_model.bin.index.json") "," SMALL(
             "pytorch_model-00001-of-00001.bin") "," SMALL("config.json") "," SMALL("vocab.txt")),
         4, "vocab.txt"},
        {ANSWER(SMALL("pytorch_model.bin.index.json") "," SMALL("pytorch_model.bin") "," SMALL(
             "pytorch_model-00001-of-00001.bin") "," SMALL("config.json") "," SMALL("vocab.txt")),
         3, "vocab.txt"},
        /* each folder by itself; shards without their index replace nothing */
        {ANSWER(SMALL("2_Dense/model.safetensors") "," SMALL("2_Dense/pytorch_model.bin") "," SMALL(
             "3_Dense/pytorch_model.bin") "," SMALL("config.json") "," WEIGHTS
                                                                   "," SMALL("vocab.txt")),
         5, "vocab.txt"},
        {ANSWER(SHARD("1") "," SMALL("pytorch_model.bin") "," SMALL("config.json") "," SMALL(
             "vocab.txt")),
         4, "vocab.txt"},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct hub_listing l;
        vecmill_err err;
        if (parse_answer(answers[i].text, strlen(answers[i].text), &l, &err) != VECMILL_OK)
            fail_msg("answer %zu: %s", i, err.message);
        assert_int_equal(l.n_files, answers[i].n);
        assert_string_equal(l.files[l.n_files - 1].name, answers[i].last);
    }
}

#define ALL SMALL("config.json") "," SMALL("vocab.txt") "," WEIGHTS

static void bad_answers(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "not valid JSON"},
        {"{", "not valid JSON"},
        {"[]", "sha"},
        {"null", "sha"},
        {"{\"sha\":1,\"siblings\":[]}", "sha"},
        {"{\"sha\":\"../../../../../../../../../../../../../..\",\"siblings\":[]}", "sha"},
        {"{\"sha\":\"" COMMIT "\"}", "siblings"},
        {"{\"sha\":\"" COMMIT "\",\"siblings\":{}}", "siblings"},
        {ANSWER(""), "model.safetensors"},
        {ANSWER("1"), "rfilename"},
        {ANSWER("{\"rfilename\":5}"), "rfilename"},
        {ANSWER(ALL "," SMALL("../../x")), "'../../x'"},
        {ANSWER(ALL "," SMALL("/etc/passwd")), "'/etc/passwd'"},
        {ANSWER(ALL "," SMALL("a/./b")), "'a/./b'"},
        {ANSWER(ALL "," SMALL("a//b")), "'a//b'"},
        {ANSWER(ALL "," SMALL("a/")), "'a/'"},
        {ANSWER(ALL "," SMALL("")), "''"},
        {ANSWER(ALL "," SMALL("a\\\\b")), "'a\\b'"},
        {ANSWER(ALL "," SMALL("config.json\\u0000x")), "'config.json?x'"},
        {ANSWER(ALL "," SMALL("a\\nb")), "'a?b'"},
        {ANSWER(ALL "," SMALL("config.json")), "twice"},
        {ANSWER(ALL ",{\"rfilename\":\"modules.json\",\"blobId\":\"" COMMIT "\"}"), "size"},
        {ANSWER(ALL ",{\"rfilename\":\"modules.json\",\"size\":-1,\"blobId\":\"" COMMIT "\"}"),
         "size"},
        {ANSWER(ALL ",{\"rfilename\":\"modules.json\",\"size\":1.5,\"blobId\":\"" COMMIT "\"}"),
         "size"},
        {ANSWER(ALL ",{\"rfilename\":\"modules.json\",\"size\":67108865,\"blobId\":\"" COMMIT
                    "\"}"),
         "67108865 bytes, HUB_SMALL_MAX is 67108864"},
        {ANSWER(ALL ",{\"rfilename\":\"modules.json\",\"size\":1,\"blobId\":\"xyz\"}"), "blobId"},
        {ANSWER(ALL ",{\"rfilename\":\"modules.json\",\"size\":1,\"lfs\":{\"size\":1,\"sha256\":"
                    "\"" COMMIT "\"}}"),
         "sha256"},
        {ANSWER(SMALL("config.json") "," SMALL("vocab.txt") "," SMALL("model.onnx")),
         "has no model.safetensors and no pytorch_model.bin"},
        {ANSWER(SMALL("config.json") "," INSIDE("vocab.txt") "," INSIDE("model.safetensors")),
         "no 0_Transformer/config.json"},
        {ANSWER(SMALL("vocab.txt") "," WEIGHTS), "config.json"},
        {ANSWER(SMALL("config.json") "," WEIGHTS), "neither tokenizer.json nor vocab.txt"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct hub_listing l = {.n_files = 77};
        vecmill_err err;
        assert_int_equal(parse_answer(bad[i].text, strlen(bad[i].text), &l, &err),
                         VECMILL_E_NOTFOUND);
        if (!strstr(err.message, bad[i].says)) {
            fail_msg("answer %zu: '%s' does not say '%s'", i, err.message, bad[i].says);
        }
        assert_int_equal(l.n_files, 77);
    }
}

static void too_many_files(void **state)
{
    (void)state;
    static char text[32768];
    struct hub_listing l;
    vecmill_err err;
    size_t n = (size_t)snprintf(text, sizeof text, "{\"sha\":\"" COMMIT "\",\"siblings\":[");
    for (int i = 0; i <= HUB_FILES_MAX; i++) {
        n += (size_t)snprintf(
            text + n, sizeof text - n,
            "{\"rfilename\":\"model-%05d-of-00200.safetensors\",\"size\":7,\"blobId\":"
            "\"" COMMIT "\"},",
            i);
    }
    n += (size_t)snprintf(text + n, sizeof text - n, "1]}");
    assert_int_equal(parse_answer(text, n, &l, &err), VECMILL_E_NOTFOUND);
    assert_non_null(strstr(err.message, "HUB_FILES_MAX"));
}

/* ---- the cache ---- */

struct cache {
    char dir[64], home[160];
};

static void make_file(const char *dir, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* A revision with two files of two bytes. */
static void make_revision(const struct cache *c, const char *revision)
{
    char dir[300];
    snprintf(dir, sizeof dir, "%s/%s", c->home, revision);
    assert_int_equal(mkdir(dir, 0777), 0);
    make_file(dir, "config.json", "{}");
    make_file(dir, "vocab.txt", "a\n");
    make_file(dir, "vecmill.json",
              "{\"files\":[{\"name\":\"config.json\",\"bytes\":2},{\"name\":\"vocab.txt\","
              "\"bytes\":2}]}");
}

static int cache_up(void **state)
{
    static struct cache c;
    char models[100];
    snprintf(c.dir, sizeof c.dir, "/tmp/hub-units-XXXXXX");
    if (!mkdtemp(c.dir)) return -1;
    snprintf(models, sizeof models, "%s/models", c.dir);
    snprintf(c.home, sizeof c.home, "%s/org--name", models);
    *state = &c;
    return mkdir(models, 0777) | mkdir(c.home, 0777);
}

static int cache_down(void **state)
{
    const struct cache *c = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", c->dir);
    return system(command);
}

static void expect_found(const struct cache *c, const char *name, const char *revision)
{
    char dir[IO_PATH_MAX], place[300];
    vecmill_err err;
    snprintf(place, sizeof place, "%s/%s", c->home, revision);
    if (hub_find(c->dir, name, dir, &err) != VECMILL_OK) fail_msg("%s", err.message);
    assert_string_equal(dir, place);
}

static void expect_missing(const struct cache *c, const char *name, const char *says)
{
    char dir[IO_PATH_MAX] = "untouched";
    vecmill_err err;
    assert_int_equal(hub_find(c->dir, name, dir, &err), VECMILL_E_NOTFOUND);
    if (!strstr(err.message, says)) fail_msg("'%s' does not say '%s'", err.message, says);
    assert_string_equal(dir, "untouched");
}

static void find_revisions(void **state)
{
    const struct cache *c = *state;
    static const char other[] = "ffffffffffffffffffffffffffffffffffffffff";
    expect_missing(c, "org/name", "`vecmill pull org/name`");
    expect_missing(c, "all-MiniLM-L6-v2", "`vecmill pull all-MiniLM-L6-v2`");
    make_revision(c, COMMIT);
    expect_found(c, "org/name", COMMIT); /* the only one needs no `current` */
    make_revision(c, other);
    expect_missing(c, "org/name", "not on this machine"); /* two, and nothing says which */
    make_file(c->home, "current", COMMIT "\n");
    expect_found(c, "org/name", COMMIT);
    expect_found(c, "org/name@ffffffffffffffffffffffffffffffffffffffff", other);
    expect_missing(c, "org/name@0000000000000000000000000000000000000000", "not on this machine");
    make_file(c->home, "current", "../../../etc\n");
    expect_missing(c, "org/name", "not on this machine");
    make_file(c->home, "current", "");
    expect_missing(c, "org/name", "not on this machine");
}

static void damaged_revisions(void **state)
{
    const struct cache *c = *state;
    char dir[300];
    make_revision(c, COMMIT);
    make_file(c->home, "current", COMMIT "\n");
    snprintf(dir, sizeof dir, "%s/" COMMIT, c->home);

    make_file(dir, "vocab.txt", "a\nb\n");
    expect_missing(c, "org/name", "has 4 bytes, vecmill.json states 2");
    make_file(dir, "vocab.txt", "a\n");
    expect_found(c, "org/name", COMMIT);

    char path[400];
    snprintf(path, sizeof path, "%s/config.json", dir);
    assert_int_equal(unlink(path), 0);
    expect_missing(c, "org/name", "config.json");
    make_file(dir, "config.json", "{}");

    static const char *const manifests[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"files\":[]}",
        "{\"files\":[1]}",
        "{\"files\":[{\"name\":\"../x\",\"bytes\":1}]}",
        "{\"files\":[{\"name\":\"config.json\"}]}",
        "{\"files\":[{\"name\":\"config.json\",\"bytes\":\"2\"}]}",
    };
    for (size_t i = 0; i < sizeof manifests / sizeof manifests[0]; i++) {
        make_file(dir, "vecmill.json", manifests[i]);
        expect_missing(c, "org/name", "vecmill.json");
    }
}

static void folders_are_models(void **state)
{
    const struct cache *c = *state;
    char dir[IO_PATH_MAX], bare[IO_PATH_MAX];
    vecmill_err err;
    make_revision(c, COMMIT);
    assert_int_equal(hub_find(c->dir, c->home, dir, &err), VECMILL_OK);
    assert_string_equal(dir, c->home); /* a slash, and it exists */
    assert_int_equal(chdir(c->home), 0);
    assert_int_equal(hub_find(c->dir, COMMIT, bare, &err), VECMILL_OK); /* holds config.json */
    assert_string_equal(bare, COMMIT);
    assert_int_equal(mkdir("bare", 0700), 0);
    make_file("bare", "modules.json", "[]"); /* its config.json may be in a module's folder */
    assert_int_equal(hub_find(c->dir, "bare", bare, &err), VECMILL_OK);
    assert_int_equal(chdir("/"), 0);
    expect_missing(c, "/no/such/folder", "/no/such/folder");
    expect_missing(c, "./nothing", "no such folder");
    assert_int_equal(hub_find(c->dir, "nomic-embed-text-v1.5-Q", dir, &err), VECMILL_E_MODEL);
}

static void environment_is_read(void **state)
{
    (void)state;
    struct hub_env env;
    unsetenv("HF_ENDPOINT");
    unsetenv("HF_TOKEN");
    setenv("HF_HUB_OFFLINE", "0", 1);
    hub_env_read(&env);
    assert_string_equal(env.endpoint, "https://huggingface.co");
    assert_null(env.token);
    assert_false(env.offline);
    static const char *const yes[] = {"1", "TRUE", "yes", "On"};
    for (size_t i = 0; i < 4; i++) {
        setenv("HF_HUB_OFFLINE", yes[i], 1);
        hub_env_read(&env);
        assert_true(env.offline);
    }
    setenv("HF_ENDPOINT", "http://mirror", 1);
    setenv("HF_TOKEN", "secret", 1);
    hub_env_read(&env);
    assert_string_equal(env.endpoint, "http://mirror");
    assert_string_equal(env.token, "secret");
}

static void names_that_can_be_fetched(void **state)
{
    (void)state;
    static const char commit[] = "@0123456789abcdef0123456789abcdef01234567";
    static const char *const yes[] = {
        "all-MiniLM-L6-v2",
        "ALL-minilm-l6-V2",
        "Sentence-Transformers/all-MiniLM-L6-v2",
        "bge-small-en-v1.5@0123456789abcdef0123456789abcdef01234567",
        "org/name",
        "org/name@0123456789abcdef0123456789abcdef01234567",
    };
    static const char *const no[] = {
        "",
        "nonesuch",
        "./org",
        "/etc/passwd",
        "org/name/more",
        "org/na--me",
        "org/.git",
        "org/name@main",
        "nomic-embed-text-v1.5-Q",
    };
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        assert_true(hub_is_fetchable(yes[i]));
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        assert_false(hub_is_fetchable(no[i]));

    /* What is missing is named as it was asked for. */
    char name[64], dir[IO_PATH_MAX];
    vecmill_err err;
    snprintf(name, sizeof name, "org/name%s", commit);
    assert_int_equal(hub_find("/nonexistent", name, dir, &err), VECMILL_E_NOTFOUND);
    assert_non_null(strstr(err.message, "`vecmill pull org/name@0123456789abcdef"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registry_is_sound),
        cmocka_unit_test(names_are_taken_apart),
        cmocka_unit_test(names_that_are_none),
        cmocka_unit_test(near_names_are_offered),
        cmocka_unit_test(names_that_can_be_fetched),
        cmocka_unit_test(wanted_files),
        cmocka_unit_test(arguments_come_back),
        cmocka_unit_test(lines_come_back),
        cmocka_unit_test(good_answer),
        cmocka_unit_test(chosen_files),
        cmocka_unit_test(bad_answers),
        cmocka_unit_test(too_many_files),
        cmocka_unit_test_setup_teardown(find_revisions, cache_up, cache_down),
        cmocka_unit_test_setup_teardown(damaged_revisions, cache_up, cache_down),
        cmocka_unit_test_setup_teardown(folders_are_models, cache_up, cache_down),
        cmocka_unit_test(environment_is_read),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    int n = (int)(sizeof tests / sizeof tests[0]);
    printf("hub-units: %d passed, %d failed\n", n - failed, failed);
    return failed != 0;
}
