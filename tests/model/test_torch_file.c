/* torch's files: what is read of a state dict, and every refusal by its sentence. Pickles are
 * assembled from text and archives built byte by byte, each with one fault. The genuine file in
 * fuzz/corpus was written by torch 2.15. */
#include "model/model.h"
#include "model/torch_file.h"
#include "model/torch_pickle.h"
#include "model/torch_zip.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/vecmill-test-XXXXXX.bin";

/* ---- bytes ---- */

struct bytes {
    unsigned char *data;
    size_t n, most;
};

static void put(struct bytes *b, const void *data, size_t n)
{
    if (b->n + n > b->most) {
        b->most = 2 * (b->n + n) + 256;
        b->data = realloc(b->data, b->most);
        assert_non_null(b->data);
    }
    if (n) memcpy(b->data + b->n, data, n);
    b->n += n;
}

static void put_number(struct bytes *b, uint64_t value, size_t n)
{
    unsigned char digits[8];
    for (size_t i = 0; i < n; i++)
        digits[i] = (unsigned char)(value >> (8 * i));
    put(b, digits, n);
}

/* ---- pickles ---- */

/* One word of the assembler: "X:text" a string, "c:module:name" a global, "K:7", "M:7", "J:-7",
 * "q:7", "r:7", "h:7", "j:7" an opcode with a number, "L:0102" LONG1, "#80ff" these bytes, and
 * letters alone as they are. */
static void put_word(struct bytes *b, const char *word)
{
    static const char numbered[] = "KqhMJrj";
    static const size_t widths[] = {1, 1, 1, 2, 4, 4, 4};
    const char *number = strchr(numbered, word[0]);
    if (word[0] == '#' || (word[0] == 'L' && word[1] == ':')) {
        const char *hex = word[0] == '#' ? word + 1 : word + 2;
        const size_t n = strlen(hex) / 2;
        if (word[0] == 'L') put_number(b, 0x8a | n << 8, 2);
        for (size_t i = 0; i < n; i++) {
            const char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
            put_number(b, strtoul(digits, NULL, 16), 1);
        }
    } else if (word[1] != ':') {
        put(b, word, strlen(word));
    } else if (word[0] == 'X') {
        put(b, "X", 1);
        put_number(b, strlen(word) - 2, 4);
        put(b, word + 2, strlen(word) - 2);
    } else if (word[0] == 'c') {
        char text[256];
        snprintf(text, sizeof text, "c%s\n", word + 2);
        *strchr(text, ':') = '\n';
        put(b, text, strlen(text));
    } else {
        if (!number) fail_msg("no word of the assembler: %s", word);
        put(b, word, 1);
        put_number(b, (uint64_t)strtoll(word + 2, NULL, 10), widths[number - numbered]);
    }
}

static struct bytes assemble(const char *text)
{
    struct bytes b = {0};
    char *copy = strdup(text), *rest = copy;
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        if (*word) put_word(&b, word);
    }
    free(copy);
    return b;
}

#define V2                    "c:torch._utils:_rebuild_tensor_v2 "
#define ORDERED               "c:collections:OrderedDict ) R "
#define STORAGE(type, key, n) "( X:storage c:torch:" type " X:" key " X:cpu " n " t Q "
/* a tensor of these tuples of size and stride */
#define TENSOR(type, key, n, offset, size, stride)                                                 \
    V2 "( " STORAGE(type, key, n) offset " ( " size " t ( " stride " t #89 " ORDERED "t R "
#define VECTOR     TENSOR("FloatStorage", "0", "K:4", "K:0", "K:4", "K:1")
#define DICT(what) "#8002 } ( X:a " what "u ."

/* ---- archives ---- */

struct part {
    const char *name;
    struct bytes data;
};

/* What is wrong with an archive. */
struct fault {
    const char *local_name;                   /* of the last part's local header */
    uint32_t flags, method, local_method;     /* of the last part */
    int64_t packed, header, bytes;            /* added to the last part's in the directory */
    int64_t n, directory_at, directory_bytes; /* added in the end record */
    uint32_t disk;
    size_t extra;     /* bytes at the directory's end */
    const char *tail; /* after the end record */
    bool zip64;
    int64_t end64_n, end64_at; /* added in zip64's records */
    bool short64;              /* an entry's zip64 field is cut */
};

static void put_local(struct bytes *zip, const struct part *part, const char *name, uint32_t flags,
                      uint32_t method)
{
    put_number(zip, 0x04034b50, 4);
    put_number(zip, 20, 2);
    put_number(zip, flags, 2);
    put_number(zip, method, 2);
    put_number(zip, 0, 8);
    put_number(zip, flags & 8 ? 0 : part->data.n, 4);
    put_number(zip, flags & 8 ? 0 : part->data.n, 4);
    put_number(zip, strlen(name), 2);
    put_number(zip, 5, 2);
    put(zip, name, strlen(name));
    put(zip, "FB\1\0Z", 5);
    put(zip, part->data.data, part->data.n);
}

static void put_central(struct bytes *zip, const struct part *part, size_t header,
                        const struct fault *f)
{
    const bool wide = f->zip64 || f->short64;
    const uint64_t bytes = part->data.n + (uint64_t)f->bytes;
    put_number(zip, 0x02014b50, 4);
    put_number(zip, 20, 4);
    put_number(zip, f->flags, 2);
    put_number(zip, f->method, 2);
    put_number(zip, 0, 8);
    put_number(zip, wide ? UINT32_MAX : bytes + (uint64_t)f->packed, 4);
    put_number(zip, wide ? UINT32_MAX : bytes, 4);
    put_number(zip, strlen(part->name), 2);
    put_number(zip, wide ? (f->short64 ? 20 : 28) : 0, 2);
    put_number(zip, 0, 8);
    put_number(zip, 0, 2);
    put_number(zip, wide ? UINT32_MAX : header + (uint64_t)f->header, 4);
    put(zip, part->name, strlen(part->name));
    if (!wide) return;
    put_number(zip, 1, 2);
    put_number(zip, f->short64 ? 16 : 24, 2);
    put_number(zip, bytes, 8);
    put_number(zip, bytes, 8);
    if (!f->short64) put_number(zip, header, 8);
}

static struct bytes archive(const struct part *parts, size_t n, const struct fault *f)
{
    static const struct fault none = {0};
    struct bytes zip = {0};
    size_t headers[32];
    for (size_t i = 0; i < n; i++) {
        const bool last = i + 1 == n;
        headers[i] = zip.n;
        put_local(&zip, &parts[i], last && f->local_name ? f->local_name : parts[i].name,
                  last ? f->flags : 0, last ? f->local_method : 0);
    }
    const size_t at = zip.n;
    for (size_t i = 0; i < n; i++)
        put_central(&zip, &parts[i], headers[i], i + 1 == n ? f : &none);
    put(&zip, "\1\2\3\4\5\6\7\10", f->extra);
    const uint64_t bytes = zip.n - at + (uint64_t)f->directory_bytes;
    const uint64_t count = n + (uint64_t)f->n, where = at + (uint64_t)f->directory_at;
    if (f->zip64) {
        const size_t end64 = zip.n;
        put_number(&zip, 0x06064b50, 4);
        put_number(&zip, 44, 8);
        put_number(&zip, 45 | 45 << 16, 4);
        put_number(&zip, 0, 8);
        put_number(&zip, n, 8);
        put_number(&zip, n + (uint64_t)f->end64_n, 8);
        put_number(&zip, bytes, 8);
        put_number(&zip, where, 8);
        put_number(&zip, 0x07064b50, 4);
        put_number(&zip, 0, 4);
        put_number(&zip, end64 + (uint64_t)f->end64_at, 8);
        put_number(&zip, 1, 4);
    }
    put_number(&zip, 0x06054b50, 4);
    put_number(&zip, f->disk, 2);
    put_number(&zip, 0, 2);
    put_number(&zip, count, 2);
    put_number(&zip, count, 2);
    put_number(&zip, f->zip64 ? UINT32_MAX : bytes, 4);
    put_number(&zip, f->zip64 ? UINT32_MAX : where, 4);
    put_number(&zip, f->tail ? strlen(f->tail) : 0, 2);
    if (f->tail) put(&zip, f->tail, strlen(f->tail));
    return zip;
}

/* ---- opening ---- */

static void write_file(const void *data, size_t n)
{
    const int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    close(fd);
}

/* The file is refused with one sentence that holds `says` and the file's name; or, says NULL, is
 * opened, and its memory planned. */
static void expect(const char *name, const char *says, struct tensor_file *file)
{
    vecmill_err err = {0};
    size_t kept = 0, opening = 0;
    const vecmill_status status = tensor_file_open(path, file, &err);
    if (!says) {
        if (status != VECMILL_OK) fail_msg("%s: refused: %s", name, err.message);
        assert_int_equal(tensor_file_most(path, &kept, &opening, &err), VECMILL_OK);
        assert_true(kept >= file->n_tensors * sizeof *file->tensors);
        return;
    }
    if (status == VECMILL_OK) fail_msg("%s: accepted, not refused with \"%s\"", name, says);
    if (!strstr(err.message, says))
        fail_msg("%s: \"%s\" does not say \"%s\"", name, err.message, says);
    assert_int_equal(status, VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, strrchr(path, '/') + 1));
}

/* An archive with this pickle and storage 0 of four floats: 1, 2, 3, 4. */
static void write_pickle(struct bytes pickle)
{
    static const float values[] = {1, 2, 3, 4};
    const struct part parts[] = {
        {"m/data.pkl", pickle},
        {"m/byteorder", {(unsigned char *)"little", 6, 6}},
        {"m/data/0", {(unsigned char *)values, sizeof values, 0}},
        {"m/version", {(unsigned char *)"3\n", 2, 2}},
    };
    const struct fault none = {0};
    struct bytes zip = archive(parts, 4, &none);
    write_file(zip.data, zip.n);
    free(zip.data);
}

struct pickle_case {
    const char *name, *pickle, *says;
};

static const struct pickle_case pickle_cases[] = {
    /* accepted */
    {"one tensor", DICT(VECTOR), NULL},
    {"an OrderedDict", "#8002 " ORDERED "( X:a " VECTOR "u .", NULL},
    {"one item", "#8002 } X:a " VECTOR "s .", NULL},
    {"no tensor", "#8002 } .", NULL},
    {"items in two batches", "#8002 } ( X:a " VECTOR "u ( X:b " VECTOR "u .", NULL},
    {"_metadata",
     "#8002 " ORDERED "( X:a " VECTOR "u } X:_metadata " ORDERED "( X: } X:version K:1 s u s b .",
     NULL},
    {"a parameter", DICT("c:torch._utils:_rebuild_parameter ( " VECTOR "#88 " ORDERED "t R "),
     NULL},
    {"a scalar", DICT(TENSOR("FloatStorage", "0", "K:4", "K:3", "", "")), NULL},
    {"a matrix", DICT(TENSOR("FloatStorage", "0", "K:4", "K:0", "K:2 K:2", "K:2 K:1")), NULL},
    {"any stride of a dimension of 1",
     DICT(TENSOR("FloatStorage", "0", "K:4", "K:0", "K:1 K:4", "K:99 K:1")), NULL},
    {"any stride where there is no element",
     DICT(TENSOR("FloatStorage", "0", "K:4", "K:4", "K:0 K:4", "K:7 K:7")), NULL},
    {"eight halves", DICT(TENSOR("HalfStorage", "0", "K:8", "K:0", "K:8", "K:1")), NULL},
    {"sixteen bytes", DICT(TENSOR("ByteStorage", "0", "K:16", "K:0", "K:16", "K:1")), NULL},
    {"a bool", DICT(TENSOR("BoolStorage", "0", "K:16", "K:0", "K:1", "K:1")), NULL},
    {"integers of all widths", DICT(TENSOR("FloatStorage", "0", "L:0400", "J:0", "M:4", "L:01")),
     NULL},
    {"a long of no bytes", DICT(TENSOR("FloatStorage", "0", "K:4", "L:", "K:4", "K:1")), NULL},
    {"tuples of one to three",
     DICT(V2 "( " STORAGE("FloatStorage", "0",
                          "K:4") "K:0 K:1 K:2 K:2 #87 K:4 K:2 K:1 #87 #89 " ORDERED "t R "),
     NULL},
    {"six arguments and None",
     DICT(V2 "( " STORAGE("FloatStorage", "0", "K:4") "K:0 K:4 #85 K:1 #85 #89 " ORDERED "N t R "),
     NULL},
    {"a memo", "#8002 } ( X:a q:0 " VECTOR "r:1 X:b h:1 u .", NULL},
    {"a list that nobody reads", "#8002 " ORDERED "( X:a " VECTOR "u } X:x ] K:1 a ( N N e s b .",
     NULL},

    /* the frame */
    {"empty", "", "not of protocol 2"},
    {"protocol 4", "#8004 } .", "not of protocol 2"},
    {"no end", "#8002 }", "ends in its opcode at byte 3"},
    {"a string that ends", "#8002 } X #ff00000061", "ends in its opcode at byte 3"},
    {"a global that ends", "#8002 c #6f730a", "ends in its opcode at byte 2"},
    {"bytes after its end", "#8002 } . }", "1 bytes after its end"},
    {"two values", "#8002 } } .", "several values"},
    {"nothing", "#8002 .", "several values"},
    {"a tensor alone", "#8002 " VECTOR ".", "leaves a tensor in place of a dict"},
    {"a list", "#8002 ] .", "leaves a list"},
    {"a mark", "#8002 ( .", "leaves a mark"},

    /* globals */
    {"os.system", "#8002 c:os:system ( X:id t R .", "names the global os.system at byte 2"},
    {"builtins.eval", "#8002 c:builtins:eval .", "the global builtins.eval"},
    {"a class of a program", "#8002 c:__main__:Net ) R .", "the global __main__.Net"},
    {"the name with another module", "#8002 c:collection:OrderedDict ) R .",
     "collection.OrderedDict"},
    {"a longer name", "#8002 c:collections:OrderedDictX ) R .", "collections.OrderedDictX"},
    {"torch.storage", "#8002 c:torch.storage:UntypedStorage .", "torch.storage.UntypedStorage"},
    {"_rebuild_tensor", "#8002 c:torch._utils:_rebuild_tensor .", "torch._utils._rebuild_tensor "},
    {"a storage called", "#8002 c:torch:FloatStorage ) R .", "REDUCE of something else"},

    /* opcodes */
    {"POP", "#8002 } 0 .", "opcode 0x30 at byte 3"},
    {"INST", "#8002 ( ios #0a system #0a .", "opcode 0x69 at byte 3"},
    {"OBJ", "#8002 ( c:torch:FloatStorage o .", "opcode 0x6f"},
    {"NEWOBJ", "#8002 c:torch:FloatStorage ) #81 .", "opcode 0x81"},
    {"EXT1", "#8002 #8201 .", "opcode 0x82 at byte 2"},
    {"STACK_GLOBAL", "#8002 X:os X:system #93 .", "opcode 0x93"},
    {"MEMOIZE", "#8002 } #94 .", "opcode 0x94"},
    {"FRAME", "#8002 #950000000000000000 } .", "opcode 0x95"},
    {"LONG4", "#8002 #8b00000000 .", "opcode 0x8b"},
    {"BINFLOAT", "#8002 G #0000000000000000 .", "opcode 0x47"},

    /* the stack, the memo, containers */
    {"REDUCE of nothing", "#8002 R .", "the stack is empty"},
    {"TUPLE3 of two", "#8002 N N #87 .", "the stack is empty"},
    {"TUPLE without a mark", "#8002 N t .", "no mark"},
    {"a mark as a value", "#8002 ( #85 .", "a mark in place of a value"},
    {"SETITEM of a list", "#8002 ] X:a N s .", "no dict"},
    {"SETITEM of nothing", "#8002 X:a N s .", "the stack is empty"},
    {"SETITEMS of nothing", "#8002 ( X:a N u .", "the stack is empty"},
    {"a key without a value", "#8002 } ( X:a u .", "a key without a value"},
    {"a key of None", "#8002 } N N s .", "a dict's key is no string"},
    {"APPEND to a dict", "#8002 } N a .", "no list"},
    {"APPENDS to nothing", "#8002 ( N e .", "no list"},
    {"OrderedDict of a list", "#8002 c:collections:OrderedDict ( ] t R .",
     "OrderedDict with arguments"},
    {"REDUCE of no tuple", "#8002 c:collections:OrderedDict N R .", "REDUCE of something else"},
    {"BUILD of a tuple", "#8002 ) } b .", "BUILD of something else"},
    {"BUILD with a tuple", "#8002 } ) b .", "BUILD of something else"},
    {"a memo that is not there", "#8002 h:0 .", "memo 0 of 0"},
    {"a far memo", "#8002 j:4294967295 .", "memo 4294967295 of 0"},
    {"a memo out of order", "#8002 } q:1 .", "memo 1 after 0"},
    {"a huge memo", "#8002 } r:4294967295 .", "memo 4294967295 after 0"},
    {"a memo of nothing", "#8002 q:0 .", "the stack is empty"},
    {"a dict in itself", "#8002 } q:0 X:a h:0 s .", "\"a\" is a dict, not a tensor"},
    {"a list in itself", "#8002 } X:a ] q:0 h:0 a s .", "\"a\" is a list"},
    {"a long integer", "#8002 L:010203040506070809 .", "more than eight bytes"},
    {"a string of bytes", "#8002 X #01000000ff .", "not valid UTF-8"},
    {"a NUL in a name", "#8002 } X #020000006100 " VECTOR "s .", "has a NUL"},

    /* what a dict holds */
    {"a nested state dict", "#8002 } X:state_dict } X:a " VECTOR "s s .",
     "\"state_dict\" is a dict, not a tensor; what is read is a state dict by itself"},
    {"an epoch", DICT("K:3 "), "\"a\" is an int, not a tensor"},
    {"a number for a name", "#8002 } K:1 " VECTOR "s .", "name is an int"},
    {"a storage", DICT(STORAGE("FloatStorage", "0", "K:4")), "\"a\" is a storage"},
    {"a name twice", "#8002 } ( X:a " VECTOR "X:a " VECTOR "u .", "duplicate tensor \"a\""},
    {"a tensor under many names",
     "#8002 } ( X:a q:0 " VECTOR
     "q:1 X:b h:1 X:c h:1 X:d h:1 X:e h:1 X:f h:1 X:g h:1 X:h h:1 X:i h:1 "
     "X:j h:1 X:k h:1 X:l h:1 X:m h:1 X:n h:1 X:o h:1 u .",
     "15 tensors with 30 bytes of names"},

    /* storages and tensors */
    {"a persistent id of a string", "#8002 X:0 Q .", "a persistent id is no storage"},
    {"a persistent id of four", "#8002 ( X:storage c:torch:FloatStorage X:0 X:cpu t Q .",
     "is no storage"},
    {"a module by persistent id", "#8002 ( X:module c:torch:FloatStorage X:0 X:cpu K:4 t Q .",
     "is no storage"},
    {"a function in place of a storage's type",
     "#8002 ( X:storage c:collections:OrderedDict X:0 X:cpu K:4 t Q .", "is no storage"},
    {"a storage of less than nothing", "#8002 " STORAGE("FloatStorage", "0", "J:-1") ".",
     "is no storage"},
    {"a key upwards", "#8002 " STORAGE("FloatStorage", "../0", "K:4") ".", "key is no number"},
    {"a long key", "#8002 " STORAGE("FloatStorage", "000000000000000000000", "K:4") ".",
     "key is no number"},
    {"a tensor of no storage", "#8002 " V2 "( N K:0 ) ) #89 " ORDERED "t R .",
     "_rebuild_tensor_v2 with other arguments"},
    {"a tensor of five", "#8002 " V2 "( " STORAGE("FloatStorage", "0", "K:4") "K:0 ) ) #89 t R .",
     "_rebuild_tensor_v2 with other arguments"},
    {"a parameter of a dict", "#8002 c:torch._utils:_rebuild_parameter ( } #88 " ORDERED "t R .",
     "_rebuild_parameter with other arguments"},
    {"metadata",
     DICT(V2 "( " STORAGE("FloatStorage", "0", "K:4") "K:0 K:4 #85 K:1 #85 #89 " ORDERED "} t R "),
     "a tensor with metadata"},
    {"transposed", DICT(TENSOR("FloatStorage", "0", "K:4", "K:0", "K:2 K:2", "K:1 K:2")),
     "\"a\" of shape [2, 2] has strides [1, 2]: only contiguous"},
    {"every second element", DICT(TENSOR("FloatStorage", "0", "K:4", "K:0", "K:2", "K:2")),
     "has strides [2]"},
    {"expanded", DICT(TENSOR("FloatStorage", "0", "K:4", "K:0", "K:9", "K:0")), "has strides [0]"},
    {"fewer strides", DICT(TENSOR("FloatStorage", "0", "K:4", "K:0", "K:2 K:2", "K:1")),
     "size and stride are not tuples"},
    {"a negative size", DICT(TENSOR("FloatStorage", "0", "K:4", "K:0", "J:-4", "K:1")),
     "size and stride are not tuples"},
    {"a negative stride", DICT(TENSOR("FloatStorage", "0", "K:4", "K:0", "K:4", "J:-1")),
     "size and stride are not tuples"},
    {"a size of None", DICT(TENSOR("FloatStorage", "0", "K:4", "K:0", "N", "K:1")),
     "size and stride are not tuples"},
    {"elements pass 64 bits",
     DICT(TENSOR("FloatStorage", "0", "K:4", "K:0", "L:0000000001 L:0000000001",
                 "L:0000000001 K:1")),
     "size and stride are not tuples"},
    {"nine dimensions",
     DICT(TENSOR("FloatStorage", "0", "K:4", "K:0", "K:1 K:1 K:1 K:1 K:1 K:1 K:1 K:1 K:1", "K:1")),
     "TENSOR_RANK_MAX is 8"},
    {"past its storage", DICT(TENSOR("FloatStorage", "0", "K:4", "K:1", "K:4", "K:1")),
     "4 elements from 1 are not in storage 0 of 4"},
    {"a far offset", DICT(TENSOR("FloatStorage", "0", "K:4", "L:ffffffffffffff7f", "K:4", "K:1")),
     "are not in storage 0 of 4"},
    {"a negative offset", DICT(TENSOR("FloatStorage", "0", "K:4", "J:-4", "K:4", "K:1")),
     "are not in storage 0 of 4"},
    {"another type of the storage", DICT(TENSOR("DoubleStorage", "0", "K:4", "K:0", "K:4", "K:1")),
     "4 elements of F64 in storage 0 of 16 bytes"},
    {"a storage whose bytes pass 64 bits",
     DICT(TENSOR("FloatStorage", "0", "L:0400000000000040", "K:0", "K:4", "K:1")),
     "in storage 0 of 16 bytes"},
    {"a storage that is not there", DICT(TENSOR("FloatStorage", "7", "K:4", "K:0", "K:4", "K:1")),
     "in storage 7, which the archive does not have"},
};

static void pickles(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof pickle_cases / sizeof *pickle_cases; i++) {
        const struct pickle_case *c = &pickle_cases[i];
        struct tensor_file file;
        struct bytes pickle = assemble(c->pickle);
        write_pickle(pickle);
        expect(c->name, c->says, &file);
        if (!c->says) tensor_file_close(&file);
        free(pickle.data);
    }
}

/* Every prefix of a pickle is refused, and reads nothing past its end (it is a block of its own). */
static void cut_pickles(void **state)
{
    (void)state;
    struct bytes whole =
        assemble("#8002 " ORDERED "( X:a q:0 " VECTOR "r:1 u } X:_metadata ] s b .");
    for (size_t n = 0; n < whole.n; n++) {
        struct torch_pickle p;
        vecmill_err err = {0};
        unsigned char *cut = malloc(n ? n : 1);
        assert_non_null(cut);
        memcpy(cut, whole.data, n);
        assert_int_equal(torch_pickle_open(cut, n, "cut", &p, &err), VECMILL_E_MODEL);
        torch_pickle_close(&p);
        free(cut);
    }
    free(whole.data);
}

/* What takes the most memory that a pickle of its size can: nothing is refused for its want. */
static void dense_pickles(void **state)
{
    (void)state;
    static const struct {
        const char *begin, *repeat, *end;
        size_t n;
        const char *says;
    } cases[] = {
        {"#8002 )", "#85", ".", 20000, "leaves a tuple"},
        {"#8002", "N", ".", 20000, "several values"},
        {"#8002", "(", ".", 20000, "several values"},
        {"#8002", ")", ".", 20000, "several values"},
        {"#8002 (", "N", "t .", 20000, "leaves a tuple"},
        {"#8002 N", "#85 #86", ".", 3, "stack is empty"},
        {"#8002 N q:0", "h:0", ".", 20000, "several values"},
        {"#8002 } q:0", "h:0 #85 #85", ".", 9000, "several values"},
        {"#8002 } (", "X: N", "u .", 9000, "\"\" is None, not a tensor"},
        {"#8002 }", "K:0 N s", ".", 9000, "name is an int"},
        {"#8002 }", "( u", ".", 20000, NULL},
        {"#8002 }", "} b", ".", 20000, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes b = assemble(cases[i].begin);
        for (size_t k = 0; k < cases[i].n; k++) {
            struct bytes more = assemble(cases[i].repeat);
            put(&b, more.data, more.n);
            free(more.data);
        }
        struct bytes end = assemble(cases[i].end);
        struct tensor_file file;
        put(&b, end.data, end.n);
        write_pickle(b);
        expect(cases[i].repeat, cases[i].says, &file);
        if (!cases[i].says) tensor_file_close(&file);
        free(end.data);
        free(b.data);
    }
}

static void values(void **state)
{
    (void)state;
    struct tensor_file file;
    vecmill_err err;
    float out[4] = {0};
    struct bytes pickle = assemble("#8002 } ( X:whole " TENSOR(
        "FloatStorage", "0", "K:4", "K:0", "K:2 K:2",
        "K:2 K:1") "X:end " TENSOR("FloatStorage", "0", "K:4", "K:2", "K:2",
                                   "K:1") "X:ids " TENSOR("LongStorage", "0", "K:2", "K:0", "K:2",
                                                          "K:1") "u .");
    write_pickle(pickle);
    free(pickle.data);
    expect("values", NULL, &file);
    assert_int_equal(file.n_tensors, 3);
    const struct tensor *whole = tensor_file_find(&file, "whole");
    assert_int_equal(whole->rank, 2);
    assert_int_equal(whole->shape[0] * 10 + whole->shape[1], 22);
    assert_int_equal(tensor_read(whole, 1, 3, out, &err), VECMILL_OK);
    assert_true(out[0] == 2 && out[1] == 3 && out[2] == 4);
    assert_int_equal(tensor_read(tensor_file_find(&file, "end"), 0, 2, out, &err), VECMILL_OK);
    assert_true(out[0] == 3 && out[1] == 4);
    assert_int_equal(tensor_read(tensor_file_find(&file, "ids"), 0, 1, out, &err), VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "I64"));
    tensor_file_close(&file);
}

/* ---- archives ---- */

struct zip_case {
    const char *name, *last; /* of the last entry */
    struct fault fault;
    const char *says;
};

static const struct zip_case zip_cases[] = {
    {"plain", "m/x", {.n = 0}, NULL},
    {"zip64", "m/x", {.zip64 = true}, NULL},
    {"sizes after the bytes, a name in UTF-8", "m/x", {.flags = 0x808}, NULL},
    {"bytes after the end", "m/x", {.tail = "x"}, "does not end with a zip archive's end record"},
    {"one part of several", "m/x", {.disk = 1}, "one part of a zip archive in several"},
    {"an entry more than there is",
     "m/x0123456789012345678901234567890123456789",
     {.n = 1},
     "entry 4 of the directory"},
    {"an entry more than fits",
     "m/x",
     {.n = 1},
     "5 entries in a directory of 214 bytes, an entry takes 46"},
    {"an entry fewer", "m/x", {.n = -1}, "bytes after its 3 entries"},
    {"many entries", "m/x", {.n = 60000}, "60004 entries, TORCH_ENTRIES_MAX is 4352"},
    {"more entries than bytes", "m/x", {.n = 96}, "100 entries in a directory of"},
    {"a directory elsewhere", "m/x", {.directory_at = 1}, "does not end at its end record"},
    {"a directory before", "m/x", {.directory_at = -1}, "does not end at its end record"},
    {"a huge directory", "m/x", {.directory_bytes = 1 << 30}, "does not end at its end record"},
    {"bytes in the directory", "m/x", {.extra = 8}, "8 bytes after its 4 entries"},
    {"zip64's count", "m/x", {.zip64 = true, .end64_n = 1}, "no zip64 end record"},
    {"the count against zip64's", "m/x", {.zip64 = true, .n = 3}, "the end record says 7 entries"},
    {"zip64's record elsewhere",
     "m/x",
     {.zip64 = true, .end64_at = 1},
     "zip64 end record is said to be at"},
    {"a short zip64 field", "m/x", {.short64 = true}, "\"m/x\" has a damaged zip64 field"},
    {"compressed", "m/x", {.method = 8, .local_method = 8}, "\"m/x\" is compressed (method 8)"},
    {"compressed where its bytes are", "m/x", {.local_method = 8}, "\"m/x\" is another entry"},
    {"encrypted", "m/x", {.flags = 1}, "\"m/x\" is encrypted"},
    {"strongly encrypted", "m/x", {.flags = 0x41}, "\"m/x\" is encrypted"},
    {"another name where its bytes are", "m/x", {.local_name = "m/y"}, "\"m/x\" is another entry"},
    {"a longer name where its bytes are",
     "m/x",
     {.local_name = "m/xy"},
     "\"m/x\" is another entry"},
    {"a stored size of its own", "m/x", {.packed = 1}, "stored in 3 bytes and has 2"},
    {"another size where its bytes are", "m/x", {.bytes = 1}, "\"m/x\" is another entry"},
    {"past the directory", "m/x", {.flags = 8, .bytes = 1 << 20}, "the directory begins at"},
    {"a header far away", "m/x", {.header = 1 << 20}, "\"m/x\" is said to be at"},
    {"a header inside another entry", "m/x", {.header = -1}, "\"m/x\" is another entry"},
    {"upwards", "m/../x", {.n = 0}, "\"m/../x\" is no name of a file"},
    {"upwards at once", "../x", {.n = 0}, "\"../x\" is no name"},
    {"from the root", "/x", {.n = 0}, "\"/x\" is no name"},
    {"a folder", "m/x/", {.n = 0}, "\"m/x/\" is no name"},
    {"a part of no name", "m//x", {.n = 0}, "\"m//x\" is no name"},
    {"no folder", "x", {.n = 0}, "\"x\" is no name"},
    {"a backslash", "m\\x/y", {.n = 0}, "is no name"},
    {"a line break", "m/\n", {.n = 0}, "is no name"},
    {"another folder", "n/x", {.n = 0}, "\"n/x\" is outside the archive's folder \"m/\""},
    {"a folder that begins alike", "mm/x", {.n = 0}, "outside the archive's folder"},
    {"a name twice", "m/data/0", {.n = 0}, "\"m/data/0\" is in the archive twice"},
    {"TorchScript", "m/constants.pkl", {.n = 0}, "is a TorchScript program"},
};

static void archives(void **state)
{
    (void)state;
    static const unsigned char floats[16];
    struct bytes pickle = assemble(DICT(VECTOR));
    for (size_t i = 0; i < sizeof zip_cases / sizeof *zip_cases; i++) {
        const struct zip_case *c = &zip_cases[i];
        const struct part parts[] = {
            {"m/data.pkl", pickle},
            {"m/data/0", {(unsigned char *)floats, 16, 16}},
            {"m/version", {(unsigned char *)"3\n", 2, 2}},
            {c->last, {(unsigned char *)"ab", 2, 2}},
        };
        struct tensor_file file;
        struct bytes zip = archive(parts, 4, &c->fault);
        write_file(zip.data, zip.n);
        expect(c->name, c->says, &file);
        if (!c->says) tensor_file_close(&file);
        free(zip.data);
    }
    free(pickle.data);
}

/* Two names of the same bytes, as a zip bomb has them. */
static void overlap(void **state)
{
    (void)state;
    struct bytes pickle = assemble(DICT(VECTOR));
    /* The outer entry's bytes are a whole local entry; a second header leads into it. */
    struct bytes inner = {0};
    const struct part part = {"m/in", {(unsigned char *)"ab", 2, 2}};
    put_local(&inner, &part, part.name, 0, 0);
    const struct part parts[] = {{"m/data.pkl", pickle}, {"m/out", inner}, part};
    struct fault fault = {.n = 0};
    struct bytes zip = archive(parts, 3, &fault);
    fault.header = -(int64_t)inner.n; /* m/in's header is in m/out */
    free(zip.data);
    zip = archive(parts, 3, &fault);
    struct tensor_file file;
    write_file(zip.data, zip.n);
    expect("overlap", "(overlap)", &file);
    free(zip.data);
    free(inner.data);
    free(pickle.data);
}

static void other_files(void **state)
{
    (void)state;
    static const struct {
        const char *name, *data;
        size_t bytes;
        const char *says;
    } cases[] = {
#define DATA(text) (text), sizeof(text) - 1
        {"empty", DATA(""), "is empty"},
        {"before 1.6", DATA("\x80\2\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xe9\3."),
         "format of before 1.6: load it and torch.save it with a newer version"},
        {"a pickle", DATA("\x80\2}q\0."), "is a pickle by itself"},
        {"a pickle of protocol 4", DATA("\x80\4\x95\0"), "is a pickle by itself"},
        {"a pointer", DATA("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"),
         "Git LFS pointer, to a file of 7 bytes"},
        {"HTML", DATA("<!DOCTYPE html>"), "an HTML page"},
        {"text", DATA("hello, world"), "does not begin as a zip archive"},
        {"a zip's first bytes", DATA("PK\3\4"), "4 bytes, a zip archive has 22 or more"},
        {"no end", DATA("PK\3\4aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
         "does not end with a zip archive's end"},
#undef DATA
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tensor_file file;
        write_file(cases[i].data, cases[i].bytes);
        expect(cases[i].name, cases[i].says, &file);
    }
}

static void parts_of_the_archive(void **state)
{
    (void)state;
    static const unsigned char floats[16];
    struct tensor_file file;
    const struct fault none = {0};
    struct bytes pickle = assemble(DICT(VECTOR)), large = {0};
    static const struct {
        const char *byteorder, *says;
    } orders[] = {{"little", NULL},
                  {"big", "byte order is \"big\""},
                  {"", "byte order is \"\""},
                  {"little\n", "byte order is \"little?\""}};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        const struct part parts[] = {
            {"m/data.pkl", pickle},
            {"m/data/0", {(unsigned char *)floats, 16, 16}},
            {"m/byteorder", {(unsigned char *)orders[i].byteorder, strlen(orders[i].byteorder), 0}},
        };
        struct bytes zip = archive(parts, 3, &none);
        write_file(zip.data, zip.n);
        expect("byteorder", orders[i].says, &file);
        if (!orders[i].says) tensor_file_close(&file);
        free(zip.data);
    }
    const struct part only[] = {{"m/data/0", {(unsigned char *)floats, 16, 16}}};
    struct bytes zip = archive(only, 1, &none);
    write_file(zip.data, zip.n);
    expect("no pickle", "there is no data.pkl in the archive of 1 files", &file);
    free(zip.data);
    large.data = calloc(1, TORCH_PICKLE_MAX + 1);
    large.n = TORCH_PICKLE_MAX + 1;
    const struct part huge[] = {{"m/data.pkl", large}};
    zip = archive(huge, 1, &none);
    write_file(zip.data, zip.n);
    expect("a large pickle", "TORCH_PICKLE_MAX is 2097152", &file);
    free(zip.data);
    free(large.data);
    free(pickle.data);
}

/* A sparse file whose last tensor is beyond 4 GiB: zip64's fields, and offsets of 64 bits. */
static void large_file(void **state)
{
    (void)state;
    const uint64_t gap = UINT64_C(5) << 30;
    static const float ones[] = {1, 2};
    struct bytes pickle = assemble("#8002 } ( X:large " TENSOR(
        "FloatStorage", "0", "L:0000005000", "K:0", "L:0000005000",
        "K:1") "X:last " TENSOR("FloatStorage", "1", "K:2", "K:1", "K:1", "K:1") "u .");
    const struct part parts[] = {{"m/data.pkl", pickle},
                                 {"m/data/0", {NULL, 0, 0}},
                                 {"m/data/1", {(unsigned char *)ones, sizeof ones, 0}}};
    struct bytes head = {0}, tail = {0};
    put_local(&head, &parts[0], parts[0].name, 0, 0);
    const uint64_t first = head.n;
    put_local(&head, &parts[1], parts[1].name, 8, 0);
    const uint64_t last = head.n + gap;
    put_local(&tail, &parts[2], parts[2].name, 8, 0);
    const uint64_t directory = last + tail.n;
    const size_t before = tail.n;
    const struct fault wide = {.zip64 = true, .flags = 8},
                       grown = {.zip64 = true, .bytes = (int64_t)gap, .flags = 8};
    put_central(&tail, &parts[0], 0, &wide);
    put_central(&tail, &parts[1], first, &grown);
    put_central(&tail, &parts[2], last, &wide);
    const uint64_t bytes = tail.n - before, end64 = last + tail.n;
    put_number(&tail, 0x06064b50, 4);
    put_number(&tail, 44, 8);
    put_number(&tail, 0, 4);
    put_number(&tail, 0, 8);
    put_number(&tail, 3, 8);
    put_number(&tail, 3, 8);
    put_number(&tail, bytes, 8);
    put_number(&tail, directory, 8);
    put_number(&tail, 0x07064b50, 4);
    put_number(&tail, 0, 4);
    put_number(&tail, end64, 8);
    put_number(&tail, 1, 4);
    put_number(&tail, 0x06054b50, 4);
    put_number(&tail, 0, 4);
    put_number(&tail, 3 | 3 << 16, 4);
    put_number(&tail, UINT64_MAX, 8);
    put_number(&tail, 0, 2);
    write_file(head.data, head.n);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, tail.data, tail.n, (off_t)last), tail.n);
    assert_int_equal(pwrite(fd, ones, sizeof ones, (off_t)(last - sizeof ones)), sizeof ones);
    close(fd);

    struct tensor_file file;
    vecmill_err err;
    float out[2];
    expect("a file of 5 GiB", NULL, &file);
    const struct tensor *large = tensor_file_find(&file, "large");
    assert_true(large->elements == gap / 4);
    assert_int_equal(tensor_read(large, gap / 4 - 2, 2, out, &err), VECMILL_OK);
    assert_true(out[0] == 1 && out[1] == 2);
    assert_int_equal(tensor_read(tensor_file_find(&file, "last"), 0, 1, out, &err), VECMILL_OK);
    assert_true(out[0] == 2);
    tensor_file_close(&file);
    assert_int_equal(truncate(path, 0), 0);
    free(head.data);
    free(tail.data);
    free(pickle.data);
}

/* sparse_linear.pt as torch 2.15.0's torch.save wrote it: {"bias": [1], "weight": [1, 48]}. */
static void genuine_file(void **state)
{
    (void)state;
    char name[512];
    const char *source = getenv("VECMILL_SOURCE");
    struct tensor_file file;
    vecmill_err err = {0};
    float bias = 0, weight[48];
    snprintf(name, sizeof name, "%s/fuzz/corpus/torch_file/sparse_linear.pt",
             source ? source : ".");
    if (tensor_file_open(name, &file, &err) != VECMILL_OK) fail_msg("%s", err.message);
    const struct tensor *b = tensor_file_find(&file, "bias"),
                        *w = tensor_file_find(&file, "weight");
    assert_int_equal(file.n_tensors, 2);
    assert_int_equal(b->rank, 1);
    assert_int_equal(b->shape[0], 1);
    assert_int_equal(w->rank, 2);
    assert_int_equal(w->shape[0], 1);
    assert_int_equal(w->shape[1], 48);
    assert_int_equal(tensor_read(b, 0, 1, &bias, &err), VECMILL_OK);
    assert_int_equal(tensor_read(w, 0, 48, weight, &err), VECMILL_OK);
    assert_true(bias == 0x1.79b9ac0000000p-9f);
    assert_true(weight[0] == -0x1.d182620000000p-3f && weight[1] == 0x1.6efb4c0000000p-3f &&
                weight[47] == 0x1.b797a60000000p-4f);
    tensor_file_close(&file);
}

static int set_up(void **state)
{
    (void)state;
    const int fd = mkstemps(path, 4);
    if (fd < 0) return -1;
    close(fd);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pickles),       cmocka_unit_test(cut_pickles),
        cmocka_unit_test(dense_pickles), cmocka_unit_test(values),
        cmocka_unit_test(archives),      cmocka_unit_test(overlap),
        cmocka_unit_test(other_files),   cmocka_unit_test(parts_of_the_archive),
        cmocka_unit_test(large_file),    cmocka_unit_test(genuine_file),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    printf("model-torch_file: %zu pickles, %zu archives\n",
           sizeof pickle_cases / sizeof *pickle_cases, sizeof zip_cases / sizeof *zip_cases);
    printf("model-torch_file: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
