/* The readers, case by case. Each case is read plain, and again from gzip members of one byte.
 * test_job_borders.c has the borders between two chunks of text. */
#include "job_kit.h"

#include "job/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What was read, for eyes: [text] a document, id=[text] one with an id, {reason} one that failed,
 * id={reason}; bytes outside of ' ' to '~' as <XX>. */
struct seen {
    char text[8192];
    size_t used;
    uint64_t n;
};

static void see(struct seen *s, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes && s->used + 5 < sizeof s->text; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c >= ' ' && c <= '~')
            s->text[s->used++] = (char)c;
        else
            s->used += (size_t)snprintf(s->text + s->used, 5, "<%02X>", c);
    }
    s->text[s->used] = 0;
}

static vecmill_status on_document(void *context, uint64_t index, const char *id, vecmill_doc doc,
                                  const char *reason, vecmill_err *err)
{
    (void)err;
    struct seen *s = context;
    assert_int_equal(index, s->n);
    s->n++;
    if (id != NULL) {
        see(s, id, strlen(id));
        see(s, "=", 1);
    }
    see(s, reason != NULL ? "{" : "[", 1);
    if (reason != NULL)
        see(s, reason, strlen(reason));
    else
        see(s, doc.text, doc.bytes);
    see(s, reason != NULL ? "}" : "]", 1);
    return VECMILL_OK;
}

struct job_case {
    const char *name;
    const char *format;
    const char *data;
    size_t bytes;
    const char *seen; /* as above, or the message of E_INPUT behind the file's name */
    vecmill_status status;
    const char *field, *id_field, *encoding, *delimiter;
    uint64_t max_document;
};

#define IN(text)   .data = text, .bytes = sizeof(text) - 1
#define FAILS(why) "%s" why, VECMILL_E_INPUT

static const struct job_case cases[] = {
    /* txt */
    {"txt: nothing", "txt", IN(""), ""},
    {"txt: one line", "txt", IN("one\n"), "[one]"},
    {"txt: no final newline", "txt", IN("one\ntwo"), "[one][two]"},
    {"txt: a final newline adds nothing", "txt", IN("one\ntwo\n"), "[one][two]"},
    {"txt: one newline is one empty document", "txt", IN("\n"), "[]"},
    {"txt: empty lines are documents", "txt", IN("\n\na\n\n"), "[][][a][]"},
    {"txt: CRLF", "txt", IN("a\r\nb\r\n"), "[a][b]"},
    {"txt: one carriage return is taken", "txt", IN("a\r\r\n"), "[a<0D>]"},
    {"txt: a carriage return alone stays", "txt", IN("a\rb\n"), "[a<0D>b]"},
    {"txt: a carriage return at the end stays", "txt", IN("a\nb\r"), "[a][b<0D>]"},
    {"txt: carriage returns alone end lines", "txt", IN("a\rb\r\rc"), "[a][b][][c]"},
    {"txt: one alone too", "txt", IN("a\r"), "[a]"},
    {"jsonl: carriage returns alone", "jsonl", IN("\"a\"\r\"b\"\r"), "[a][b]"},
    {"csv: carriage returns alone", "csv", IN("id,text\r1,a\r2,\"b\rc\"\r"),
     "\"1\"=[a]\"2\"=[b<0A>c]"},
    {"txt: CRLF alone is an empty document", "txt", IN("\r\n"), "[]"},
    {"txt: mark at the front", "txt", IN("\xEF\xBB\xBFone\n"), "[one]"},
    {"txt: mark and nothing else", "txt", IN("\xEF\xBB\xBF"), ""},
    {"txt: marks at the fronts of lines", "txt",
     IN("\xEF\xBB\xBF"
        "a\n\xEF\xBB\xBF"
        "b\r\n\xEF\xBB\xBF\n\xEF\xBB\xBF"
        "12345678\r\n"),
     "[a][b][][12345678]", .max_document = 8},
    {"txt: a mark inside a line stays", "txt", IN("a\xEF\xBB\xBF\n\xEF\xBB"),
     "[a<EF><BB><BF>][<EF><BB>]"},
    {"jsonl: marks at the fronts of lines", "jsonl",
     IN("\"a\"\n\xEF\xBB\xBF{\"text\":\"b\"}\n\xEF\xBB\xBF\n"), "[a][b]"},
    {"csv: marks at the fronts of records", "csv",
     IN("text\na\n\xEF\xBB\xBF"
        "b\n\"c\n\xEF\xBB\xBF\"\n\xEF\xBB\n\xEF\xBB\xBF"),
     "[a][b][c<0A><EF><BB><BF>][<EF><BB>]"},
    {"txt: half a mark stays", "txt", IN("\xEF\xBB"), "[<EF><BB>]"},
    {"txt: UTF-16 little", "txt",
     IN("\xFF\xFE"
        "a\0\xE4\0\n\0\x3D\xD8\x00\xDE"),
     "[a<C3><A4>][<F0><9F><98><80>]"},
    {"txt: UTF-16 big", "txt", IN("\xFE\xFF\0a\0\n\x4E\x00"), "[a][<E4><B8><80>]"},
    {"txt: UTF-16 mark alone", "txt", IN("\xFF\xFE"), ""},
    {"txt: UTF-16 cut in a letter", "txt",
     IN("\xFF\xFE"
        "a\0b"),
     "[a<FF>]"},
    {"txt: UTF-16 with half a pair", "txt", IN("\xFF\xFE\x3D\xD8z\0"), "[<E1><80>z]"},
    {"txt: UTF-16 without a mark", "txt", IN("a\0b\0\n\0c\0"), "[ab][c]"},
    {"txt: UTF-16 big without a mark", "txt", IN("\0a\0b\0\n\0c"), "[ab][c]"},
    {"txt: UTF-16 of Cyrillic without a mark", "txt",
     IN("\x3F\x04\x40\x04\x38\x04\x32\x04\x35\x04\x42\x04 \0\x3C\x04\x38\x04\x40\x04\n\0"),
     "[<D0><BF><D1><80><D0><B8><D0><B2><D0><B5><D1><82> <D0><BC><D0><B8><D1><80>]"},
    {"txt: UTF-16 of Chinese without a mark", "txt",
     IN("\x4E\x2D\x65\x87\x8B\xD5\x9A\x8C\x00\x0A\x4E\x00\x53\x41\x00\x0A"),
     "[<E4><B8><AD><E6><96><87><E8><AF><95><E9><AA><8C>][<E4><B8><80><E5><8D><81>]"},
    {"txt: UTF-16 as it is, asked for", "txt", IN("a\0b\0\n\0c\0"), "[a<00>b<00>][<00>c<00>]",
     .encoding = "utf-8"},
    {"txt: UTF-32", "txt", IN("\xFF\xFE\0\0a\0\0\0\n\0\0\0\0\xD8\0\0"), "[a][<F1><80><80>]"},
    {"txt: UTF-32 big without a mark", "txt", IN("\0\0\0a\0\1\xF6\0\0\0\0\n"),
     "[a<F0><9F><98><80>]"},
    {"txt: Latin-1", "txt", IN("gr\xFC\xDF\x80\n"), "[gr<C3><BC><C3><9F><C2><80>]",
     .encoding = "Latin_1"},
    {"txt: Windows-1252", "txt", IN("\x80 5 \x93q\x94\x81\n"),
     "[<E2><82><AC> 5 <E2><80><9C>q<E2><80><9D><FF>]", .encoding = "cp1252"},
    {"txt: iconv's", "txt", IN("\x83\x65\x83\x58\x83\x67\n\x83"),
     "[<E3><83><86><E3><82><B9><E3><83><88>][<FF>]", .encoding = "shift_jis"},
    {"txt: iconv's, a letter held back", "txt", IN("a\xF2"), "[<E1><BA><A1>]",
     .encoding = "cp1258"},
    {"txt: iconv's, the last letter held back", "txt", IN("ba"), "[ba]", .encoding = "cp1258"},
    {"txt: UTF-16 named", "txt", IN("a\0"), "[a]", .encoding = "utf-16"},
    {"txt: UTF-16 big named", "txt", IN("\xFE\xFF\0a"), "[a]", .encoding = "UTF-16-BE"},
    {"txt: a mark against the name", "txt",
     IN("\xFF\xFE"
        "a\0"),
     FAILS(": begins with the byte order mark of UTF-16LE, and --encoding is utf8; without it the "
           "mark counts"),
     .encoding = "utf8"},
    {"csv: a name in another encoding", "csv", IN("id,\xDC\n1,\xFC\n"), "\"1\"=[<C3><BC>]",
     .field = "\xC3\x9C", .encoding = "latin-1"},
    {"csv: a name that is no UTF-8", "csv", IN("id,\xDC\n1,\xFC\n"),
     FAILS(": no column \"text\" among its 2: id, ?; the header is no UTF-8: --encoding names what "
           "it is")},

    /* what is no text */
    {"xz", "txt",
     IN("\xFD"
        "7zXZ\0\0\4"),
     FAILS(": is xz, not text; unpack it: xz -dc FILE | vecmill embed -i - --input-format ...")},
    {"bzip2", "jsonl", IN("BZh91AY&SY\x0E\x01"),
     FAILS(": is bzip2, not text; unpack it: bzip2 -dc FILE | vecmill embed -i - --input-format "
           "...")},
    {"a spreadsheet", "csv", IN("PK\3\4\24\0\6\0"),
     FAILS(": is a ZIP archive, as .xlsx, .docx, .ods and .npz are, not text; unpack it, or save a "
           "sheet as CSV")},
    {"weights", "txt", IN("\x40\1\0\0\0\0\0\0{\"a\":{}}"),
     FAILS(": is a safetensors file, weights of a model, not text; it holds no documents")},
    {"words that begin as files do", "txt", IN("PAR1 is a form\nMZ, gr\xFC\xDF\nORC\n%PDF-1\n"),
     "[PAR1 is a form][MZ, gr<FC><DF>][ORC][%PDF-1]"},
    {"a Parquet file", "jsonl", IN("PAR1\x15\4\x15"),
     FAILS(": is a Parquet file, not text; write its column of texts as JSON Lines or CSV")},

    {"txt: NUL", "txt", IN("a\0b\n\0\n"), "[a<00>b][<00>]"},
    {"txt: invalid UTF-8 is the engine's to replace", "txt", IN("a\xFF\xC0\x80\n"),
     "[a<FF><C0><80>]"},
    {"txt: blank lines keep their blanks", "txt", IN(" \t\n  \n"), "[ <09>][  ]"},
    {"txt: a line of the most bytes", "txt", IN("12345678\n"), "[12345678]", .max_document = 8},
    {"txt: the most bytes and CRLF", "txt", IN("12345678\r\n"), "[12345678]", .max_document = 8},
    {"txt: one byte more", "txt", IN("a\n123456789\nb\n"),
     "[a]{the line holds 9 bytes, the maximum (--max-document) is 8}[b]", .max_document = 8},
    {"txt: many bytes more", "txt", IN("123456789012345678901234567890\r\nb"),
     "{the line holds 30 bytes, the maximum (--max-document) is 8}[b]", .max_document = 8},
    {"txt: too long without a newline", "txt", IN("b\n123456789"),
     "[b]{the line holds 9 bytes, the maximum (--max-document) is 8}", .max_document = 8},
    {"txt: a maximum of one", "txt", IN("a\n\nbc\n"),
     "[a][]{the line holds 2 bytes, the maximum (--max-document) is 1}", .max_document = 1},

    /* jsonl: documents */
    {"jsonl: nothing", "jsonl", IN(""), ""},
    {"jsonl: an object", "jsonl", IN("{\"text\":\"a\"}\n"), "[a]"},
    {"jsonl: a bare string", "jsonl", IN("\"a\"\n"), "[a]"},
    {"jsonl: both", "jsonl", IN("\"a\"\n{\"text\":\"b\"}\n"), "[a][b]"},
    {"jsonl: no final newline", "jsonl", IN("{\"text\":\"a\"}"), "[a]"},
    {"jsonl: CRLF", "jsonl", IN("\"a\"\r\n\"b\"\r\n"), "[a][b]"},
    {"jsonl: mark at the front", "jsonl", IN("\xEF\xBB\xBF\"a\""), "[a]"},
    {"jsonl: blank lines are no documents", "jsonl", IN("\n\"a\"\n \t\r\n\n\"b\"\n\n"), "[a][b]"},
    {"jsonl: only blank lines", "jsonl", IN("\n\n  \n"), ""},
    {"jsonl: an empty document", "jsonl", IN("{\"text\":\"\"}"), "[]"},
    {"jsonl: an empty bare string", "jsonl", IN("\"\""), "[]"},
    {"jsonl: spaces everywhere", "jsonl", IN(" { \"text\" : \"a\" , \"n\" : [ 1 , 2 ] } "), "[a]"},
    {"jsonl: others are passed over", "jsonl",
     IN("{\"a\":{\"text\":\"no\",\"id\":9},\"b\":[{\"text\":\"no\"}],\"text\":\"yes\"}"), "[yes]"},
    {"jsonl: another field", "jsonl", IN("{\"text\":\"a\",\"body\":\"b\"}"), "[b]",
     .field = "body"},
    {"jsonl: a field's name with a quote", "jsonl", IN("{\"a\\\"b\":\"c\"}"), "[c]",
     .field = "a\"b"},
    {"jsonl: a key written in escapes", "jsonl", IN("{\"t\\u0065xt\":\"a\"}"), "[a]"},
    {"jsonl: an empty key", "jsonl", IN("{\"\":\"a\"}"), "[a]", .field = ""},
    {"jsonl: a longer key is another", "jsonl", IN("{\"text2\":\"a\",\"tex\":\"b\"}"),
     "{the object has no \"text\"}"},
    {"jsonl: escapes", "jsonl", IN("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e4\\u20AC\""),
     "[\"\\/<08><0C><0A><0D><09>A<C3><A4><E2><82><AC>]"},
    {"jsonl: a pair of surrogates", "jsonl", IN("\"\\ud83d\\uDE00\""), "[<F0><9F><98><80>]"},
    {"jsonl: half a pair", "jsonl", IN("\"a\\ud83dz\""), "[a<EF><BF><BD>z]"},
    {"jsonl: the other half", "jsonl", IN("\"\\ude00\""), "[<EF><BF><BD>]"},
    {"jsonl: half a pair, then a letter in escapes", "jsonl", IN("\"\\ud83d\\u0041\""),
     "[<EF><BF><BD>A]"},
    {"jsonl: a first half twice", "jsonl", IN("\"\\ud83d\\ud83d\\ude00\""),
     "[<EF><BF><BD><F0><9F><98><80>]"},
    {"jsonl: NUL in escapes", "jsonl", IN("\"a\\u0000b\""), "[a<00>b]"},
    {"jsonl: invalid UTF-8 in a text", "jsonl", IN("{\"text\":\"a\xFF\"}"), "[a<FF>]"},
    {"jsonl: DEL is a character", "jsonl", IN("\"\x7F\""), "[<7F>]"},

    /* jsonl: ids */
    {"jsonl: id a string", "jsonl", IN("{\"id\":\"x\",\"text\":\"a\"}"), "\"x\"=[a]"},
    {"jsonl: id behind the text", "jsonl", IN("{\"text\":\"a long text\",\"id\":\"x\"}"),
     "\"x\"=[a long text]"},
    {"jsonl: id a number", "jsonl", IN("{\"id\":-12,\"text\":\"a\"}"), "-12=[a]"},
    {"jsonl: id keeps its digits", "jsonl",
     IN("{\"id\":123456789012345678901234567890.10e+2,\"text\":\"a\"}"),
     "123456789012345678901234567890.10e+2=[a]"},
    {"jsonl: id true and null", "jsonl",
     IN("{\"id\":true,\"text\":\"a\"}\n{\"id\":null,\"text\":\"b\"}"), "true=[a]null=[b]"},
    {"jsonl: id keeps its escapes", "jsonl", IN("{\"id\":\"a\\n\\u00e4\",\"text\":\"a\"}"),
     "\"a\\n\\u00e4\"=[a]"},
    {"jsonl: id with invalid UTF-8", "jsonl", IN("{\"id\":\"a\xFF\",\"text\":\"b\"}"),
     "\"a<EF><BF><BD>\"=[b]"},
    {"jsonl: id an object", "jsonl", IN("{\"id\":{},\"text\":\"a\"}"),
     "{the id \"id\" is an object, a string or number is needed}"},
    {"jsonl: id an array", "jsonl", IN("{\"id\":[1],\"text\":\"a\"}"),
     "{the id \"id\" is an array, a string or number is needed}"},
    {"jsonl: another id", "jsonl", IN("{\"id\":1,\"key\":2,\"text\":\"a\"}"), "2=[a]",
     .id_field = "key"},
    {"jsonl: ids twice are the reader's affair no more", "jsonl",
     IN("{\"id\":1,\"text\":\"a\"}\n{\"id\":1,\"text\":\"b\"}"), "1=[a]1=[b]"},
    {"jsonl: id and text are one", "jsonl", IN("{\"k\":\"a\"}"), "\"a\"=[a]", .field = "k",
     .id_field = "k"},

    /* jsonl: documents that fail */
    {"jsonl: no text", "jsonl", IN("{\"id\":7,\"body\":\"a\"}"), "7={the object has no \"text\"}"},
    {"jsonl: an empty object", "jsonl", IN("{}"), "{the object has no \"text\"}"},
    {"jsonl: text a number", "jsonl", IN("{\"text\":5}"),
     "{\"text\" is a number, a string is needed}"},
    {"jsonl: text null", "jsonl", IN("{\"text\":null,\"id\":1}"),
     "1={\"text\" is null, a string is needed}"},
    {"jsonl: text an array", "jsonl", IN("{\"text\":[\"a\"]}"),
     "{\"text\" is an array, a string is needed}"},
    {"jsonl: a bare number", "jsonl", IN("5\n\"a\""),
     "{the line is a number, an object or a string is needed}[a]"},
    {"jsonl: a bare array", "jsonl", IN("[\"a\"]"),
     FAILS(": is a JSON array, not a document a line; --input-format json reads it")},
    {"jsonl: an array behind a document", "jsonl", IN("\"a\"\n[\"b\"]"),
     "[a]{the line is an array, an object or a string is needed}"},
    {"jsonl: pretty-printed", "jsonl", IN("{\n  \"text\": \"a\"\n}\n"),
     FAILS(": is JSON over several lines, not a document a line; --input-format json reads it")},
    {"jsonl: wrapped by hand", "jsonl", IN("\n { \"id\": 1, \r\n\"text\": \"a\" }\n"),
     FAILS(": is JSON over several lines, not a document a line; --input-format json reads it")},
    {"jsonl: a first line that is cut off", "jsonl", IN("{\"text\":\"a,\n\"b\"\n"),
     "{bad JSON: it ends after 11 bytes, expected the closing quote of a string}[b]"},
    {"jsonl: text twice", "jsonl", IN("{\"text\":\"a\",\"text\":\"b\"}"),
     "{bad JSON: the key \"text\" occurs twice}"},
    {"jsonl: others twice do not matter", "jsonl", IN("{\"a\":1,\"a\":2,\"text\":\"b\"}"), "[b]"},
    {"jsonl: cut off", "jsonl", IN("{\"text\":\"a\n\"b\""),
     "{bad JSON: it ends after 10 bytes, expected the closing quote of a string}[b]"},
    {"jsonl: two values", "jsonl", IN("\"a\" \"b\""),
     "{bad JSON at byte 5: expected nothing behind the value}"},
    {"jsonl: a comma too many", "jsonl", IN("{\"text\":\"a\",}"),
     "{bad JSON at byte 13: expected a key in quotes}"},
    {"jsonl: a bare tab in a string", "jsonl", IN("\"a\tb\""),
     "{bad JSON at byte 3: expected no bare control character in a string}"},
    {"jsonl: a bare NUL in a string", "jsonl", IN("\"a\0b\""),
     "{bad JSON at byte 3: expected no bare control character in a string}"},
    {"jsonl: NUL as a line", "jsonl", IN("\0\n\"a\""), "{bad JSON at byte 1: expected a value}[a]"},
    {"jsonl: plain text", "jsonl", IN("hello\n"), "{bad JSON at byte 1: expected a value}"},
    {"jsonl: UTF-16 without a mark", "jsonl", IN("\"\0a\0\"\0"), "[a]"},
    {"jsonl: the id before the fault", "jsonl",
     IN("{\"id\":7,\"text\":\"a\n{\"id\":\"x\",\"text\":tru}\n{\"id\":8"),
     "7={bad JSON: it ends after 17 bytes, expected the closing quote of a string}"
     "\"x\"={bad JSON at byte 21: expected true, false or null}"
     "{bad JSON: it ends after 7 bytes, expected a comma or }}"},
    {"jsonl: of two ids neither", "jsonl", IN("{\"id\":7,\"id\":8,\"text\":\"a\"}"),
     "{bad JSON: the key \"id\" occurs twice}"},
    {"jsonl: NaN and the like where nobody asks", "jsonl",
     IN("{\"id\":1,\"text\":\"a\",\"s\":NaN}\n{\"s\":[-Infinity,{\"t\":Infinity}],\"text\":\"b\"}"),
     "1=[a][b]"},
    {"jsonl: NaN as text", "jsonl", IN("{\"id\":1,\"text\":NaN}\nInfinity\n"),
     "1={\"text\" is NaN or infinite, a string is needed}"
     "{the line is NaN or infinite, an object or a string is needed}"},
    {"jsonl: NaN as id", "jsonl", IN("{\"id\":-Infinity,\"text\":\"a\"}"),
     "{the id \"id\" is NaN or infinite, a string or number is needed}"},
    {"jsonl: almost NaN", "jsonl",
     IN("{\"s\":Nan,\"text\":\"a\"}\n{\"s\":-Inf,\"text\":\"a\"}\n{\"s\":+Infinity}"),
     "{bad JSON at byte 8: expected a value}{bad JSON at byte 10: expected a digit or Infinity}"
     "{bad JSON at byte 6: expected a value}"},
    {"jsonl: UTF-16 with one", "jsonl", IN("\xFF\xFE\"\0\"\0"), "[]"},
    {"jsonl: a line of the most bytes", "jsonl", IN("{\"text\":1234}\r\n\"a\""),
     "{\"text\" is a number, a string is needed}[a]", .max_document = 13},
    {"jsonl: too long a line", "jsonl", IN("{\"text\":\"aaaaaaaaaaaaaaa\"}\n\"a\""),
     "{the line holds 26 bytes, the maximum (--max-document) is 8}[a]", .max_document = 8},
    {"jsonl: too long a line whose id is read", "jsonl",
     IN("{\"id\":7,\"text\":\"aaaaaaaaaaaaaaa\"}\n{\"id\":77777777}"),
     "7={the line holds 33 bytes, the maximum (--max-document) is 8}"
     "{the line holds 15 bytes, the maximum (--max-document) is 8}",
     .max_document = 8},
    {"jsonl: too long a blank line", "jsonl", IN("             \n\"a\""),
     "{the line holds 13 bytes, the maximum (--max-document) is 8}[a]", .max_document = 8},

    /* csv: documents */
    {"csv: header and nothing", "csv", IN("id,text\n"), ""},
    {"csv: header without a newline", "csv", IN("id,text"), ""},
    {"csv: rows", "csv", IN("id,text\n1,a\n2,b\n"), "\"1\"=[a]\"2\"=[b]"},
    {"csv: no id column", "csv", IN("text,n\na,1\n"), "[a]"},
    {"csv: CRLF", "csv", IN("id,text\r\n1,a\r\n2,b\r\n"), "\"1\"=[a]\"2\"=[b]"},
    {"csv: no final newline", "csv", IN("text\na"), "[a]"},
    {"csv: a carriage return at the end", "csv", IN("text\na\r"), "[a]"},
    {"csv: a carriage return inside stays", "csv", IN("text\na\rb\r\r\n"), "[a<0D>b<0D>]"},
    {"csv: mark at the front", "csv", IN("\xEF\xBB\xBFtext\na"), "[a]"},
    {"csv: mark and quotes", "csv", IN("\xEF\xBB\xBF\"text\"\na"), "[a]"},
    {"csv: quotes", "csv", IN("text\n\"a, \"\"b\"\"\"\n"), "[a, \"b\"]"},
    {"csv: newlines in quotes", "csv", IN("text,id\n\"a\nb\r\nc\",1\n\"d\",2"),
     "\"1\"=[a<0A>b<0D><0A>c]\"2\"=[d]"},
    {"csv: an empty value", "csv", IN("id,text\n1,\n2,\"\"\n"), "\"1\"=[]\"2\"=[]"},
    {"csv: an empty value alone", "csv", IN("text\n\"\"\n"), "[]"},
    {"csv: empty lines are no records", "csv", IN("\n\r\ntext\n\na\n\r\n\nb\n"), "[a][b]"},
    {"csv: a blank is a value", "csv", IN("text\n \n"), "[ ]"},
    {"csv: a quote inside stands for itself", "csv", IN("text\n5\" wide\n"), "[5\" wide]"},
    {"csv: NUL", "csv", IN("text\na\0b\n"), "[a<00>b]"},
    {"csv: invalid UTF-8", "csv", IN("id,text\n\xFF,\xFE\n"), "\"<EF><BF><BD>\"=[<FE>]"},
    {"csv: id needs escapes", "csv", IN("id,text\n\"a\"\"\n\",b\n"), "\"a\\\"\\n\"=[b]"},
    {"csv: field by number", "csv", IN("a,b\nx,y\n"), "[y]", .field = "2"},
    {"csv: field by a name that is a number", "csv", IN("2,1\nx,y\n"), "[y]", .field = "1"},
    {"csv: id by number", "csv", IN("a,text\nx,y\n"), "\"x\"=[y]", .id_field = "1"},
    {"csv: quoted header", "csv", IN("\"a,b\",\"te\"\"xt\"\nx,y\n"), "[y]", .field = "te\"xt"},
    {"csv: id and text are one", "csv", IN("text\na\n"), "\"a\"=[a]", .id_field = "text"},

    /* csv: what fails */
    {"csv: too few columns", "csv", IN("id,text\n1\n2,b\n"),
     "\"1\"={the record has 1 columns, the header 2}\"2\"=[b]"},
    {"csv: too many columns", "csv", IN("text\na, b\nc\n"),
     "{the record has 2 columns, the header 1}[c]"},
    {"csv: text behind a closing quote", "csv", IN("id,text\n1,\"a\"b\n2,c\n"),
     "\"1\"={text behind the closing quote of column 2}\"2\"=[c]"},
    {"csv: too long a record", "csv", IN("id,text\n1,aaaaaaaaaaaaaaa\n2,b\n"),
     "\"1\"={the record holds 17 bytes, the maximum (--max-document) is 8}\"2\"=[b]",
     .max_document = 8},
    {"csv: where a comma moved the id it is nobody's", "csv", IN("n,id,text\nx, y,1,a\nz,2,b\n3\n"),
     "{the record has 4 columns, the header 3}\"2\"=[b]{the record has 1 columns, the header 3}"},
    {"csv: a record of the most bytes", "csv", IN("id,text\n1,aaaaaa\r\n"), "\"1\"=[aaaaaa]",
     .max_document = 8},
    {"csv: a quote that never closes", "csv", IN("text\na\n\"b\nc\n"),
     "[a]%s line 3: the quote that opens column 1 is never closed", VECMILL_E_INPUT},
    {"csv: a header that never closes", "csv", IN("\"text\na\n"),
     FAILS(" line 1: the quote that opens column 1 is never closed")},
    {"csv: empty", "csv", IN(""), FAILS(": is empty, a header row is needed")},
    {"csv: only newlines", "csv", IN("\n\r\n"), FAILS(": is empty, a header row is needed")},
    {"csv: no such column", "csv", IN("id,title\n1,a\n"),
     FAILS(": no column \"text\" among its 2: id, title")},
    {"csv: columns with control characters", "csv", IN("\"a\nb\",\0\x1B,\xC3\xA4\n"),
     FAILS(": no column \"text\" among its 3: a?b, ??, \xC3\xA4")},
    {"csv: no such number", "csv", IN("id,title\n1,a\n"),
     FAILS(": no column \"3\" among its 2: id, title"), .field = "3"},
    {"csv: number nought", "csv", IN("id,title\n1,a\n"),
     FAILS(": no column \"0\" among its 2: id, title"), .field = "0"},
    {"csv: no such id", "csv", IN("id,text\n1,a\n"),
     FAILS(": no column \"key\" among its 2: id, text"), .id_field = "key"},
    {"csv: two columns of the name", "csv", IN("text,a,text\n"),
     FAILS(": columns 1 and 3 are both named \"text\"; choose by number")},
    {"csv: text behind a quote in the header", "csv", IN("\"text\"x\n"),
     FAILS(" line 1: text behind the closing quote of column 1")},
    {"csv: UTF-16", "csv", IN("\xFE\xFF\0\x31\0\n\0t"), "[t]", .field = "1"},

    /* csv: other delimiters */
    {"csv: semicolons", "csv", IN("id;text\n1;a, b\n2;\"c;d\"\n"), "\"1\"=[a, b]\"2\"=[c;d]",
     .delimiter = ";"},
    {"csv: tabs by word", "csv", IN("id\ttext\n1\ta;b\n"), "\"1\"=[a;b]", .delimiter = "tab"},
    {"csv: tabs by escape", "csv", IN("id\ttext\n1\ta\n"), "\"1\"=[a]", .delimiter = "\\t"},
    {"tsv: by its name", "tsv", IN("id\ttext\n1\ta, b\n"), "\"1\"=[a, b]"},
    {"csv: semicolons where commas are looked for", "csv", IN("id;text\n1;a\n"),
     FAILS(
         ": is one column when it is cut by commas; the header has ';' 1 time: --delimiter ';' (or "
         "--delimiter , as it is)"),
     .field = "1"},
    {"csv: semicolons, asked for as they are", "csv", IN("id;text\n1;a\n"), "[1;a]", .field = "1",
     .delimiter = ","},
    {"csv: semicolons in quotes are no sign", "csv", IN("\"text;\"\na\n"), "[a]", .field = "1"},
    {"csv: bars and a comma", "csv", IN("id|te,xt|n\n"),
     FAILS(": no column \"text\" among its 2: id|te, xt|n; the header has '|' 2 times: --delimiter "
           "'|'")},
    {"csv: a line that says it", "csv", IN("sep=;\r\nid;text\n1;a, b\n"), "\"1\"=[a, b]"},

    /* json */
    {"json: nothing", "json", IN(" \n"), ""},
    {"json: an array", "json",
     IN("[{\"id\":1,\"text\":\"a\"},\n \"b\", {\"text\":\"c]}\\\"\"}\n]\n"), "1=[a][b][c]}\"]"},
    {"json: an empty array", "json", IN("[ ]"), ""},
    {"json: pretty-printed", "json",
     IN("{\n  \"id\": 1,\n  \"text\": \"a\"\n}\n{\"text\":\n\"b\"}"), "1=[a][b]"},
    {"json: one behind the other", "json",
     IN("{\"text\":\"a\"}{\"text\":\"b\"}\"c\"[\"d\"][]\n[\"e\"]"), "[a][b][c][d][e]"},
    {"json: marks and separators", "json", IN("\xEF\xBB\xBF[\"a\"]\n\xEF\xBB\xBF\x1E\"b\"\n"),
     "[a][b]"},
    {"json: values that are no documents", "json", IN("[1, null, [\"a\"], {}, \"b\", tru]"),
     "{the value is a number, an object or a string is needed}"
     "{the value is null, an object or a string is needed}"
     "{the value is an array, an object or a string is needed}"
     "{the object has no \"text\"}[b]{bad JSON: it ends after 3 bytes, expected true, false or "
     "null}"},
    {"json: bad inside its brackets", "json", IN("[{\"id\":1,\"text\":'a'},{\"text\":\"b\"}]"),
     "1={bad JSON at byte 16: expected a value}[b]"},
    {"json: NaN", "json", IN("[{\"text\":\"a\",\"s\":NaN},{\"s\":-Infinity,\"text\":\"b\"}]"),
     "[a][b]"},
    {"json: too long a value", "json", IN("[{\"id\":7,\"text\":\"aaaaaaaaaaaaaaa\"},\"b\"]"),
     "7={the value holds 33 bytes, the maximum (--max-document) is 8}[b]", .max_document = 8},
    {"json: the most bytes", "json", IN("[\"123456\"]"), "[123456]", .max_document = 8},
    {"json: an array that is cut off", "json", IN("[\"a\",\n\"b\"\n"),
     "[a][b]%s line 3: bad JSON: expected a comma or ], found the end", VECMILL_E_INPUT},
    {"json: a value that is cut off", "json", IN("\"a\"\n{\"text\":\"b"),
     "[a]%s line 2: the JSON value that begins here is never closed", VECMILL_E_INPUT},
    {"json: no comma", "json", IN("[\"a\" \"b\"]"),
     "[a]%s line 1: bad JSON: expected a comma or ], found \"", VECMILL_E_INPUT},
    {"json: a comma too many", "json", IN("[\"a\",]"),
     "[a]%s line 1: bad JSON: expected a value, found ]", VECMILL_E_INPUT},
    {"json: commas at the top", "json", IN("\"a\",\"b\""),
     "[a]%s line 1: bad JSON: expected a value, found ,", VECMILL_E_INPUT},
    {"json: UTF-16", "json", IN("\xFF\xFE[\0\"\0a\0\"\0]\0"), "[a]"},
};

static void read_case(const struct job_case *c, const char *path)
{
    const struct job_options options = {.input = path,
                                        .field = c->field,
                                        .id_field = c->id_field,
                                        .encoding = c->encoding,
                                        .delimiter = c->delimiter,
                                        .max_document = c->max_document};
    struct seen seen = {.used = 0};
    vecmill_err err = {.message = ""};
    const vecmill_status status = job_each(&options, on_document, &seen, &err);
    char *inside = strstr(err.message, " inside gzip");
    if (inside != NULL) memmove(inside, inside + 12, strlen(inside + 12) + 1);
    char expected[1024], got[sizeof seen.text + sizeof err.message];
    snprintf(expected, sizeof expected, "%s", c->seen);
    char *name = strstr(expected, "%s");
    if (name != NULL)
        snprintf(name, sizeof expected - (size_t)(name - expected), "%s%s", path,
                 c->seen + (name - expected) + 2);
    snprintf(got, sizeof got, "%s%s", seen.text, status != VECMILL_OK ? err.message : "");
    if (strcmp(got, expected) != 0 || status != c->status)
        fail_msg("%s (%s): status %d, expected %d\n  got      %s\n  expected %s", c->name, path,
                 (int)status, (int)c->status, got, expected);
}

static void cases_plain_and_in_pieces(void **state)
{
    (void)state;
    const size_t n = sizeof cases / sizeof *cases;
    for (size_t i = 0; i < n; i++) {
        const struct job_case *c = &cases[i];
        char name[32];
        snprintf(name, sizeof name, "a.%s", c->format);
        kit_write(kit_path(name), c->data, c->bytes);
        read_case(c, kit_path(name));
        snprintf(name, sizeof name, "a.%s.gz", c->format);
        kit_write_gzip(kit_path(name), c->data, c->bytes, 1);
        read_case(c, kit_path(name));
        kit_write_gzip(kit_path(name), c->data, c->bytes, 3);
        read_case(c, kit_path(name));
    }
    print_message("%zu cases, each read in 3 ways\n", n);
}

static vecmill_status read_all(const struct job_options *options, struct seen *seen,
                               vecmill_err *err)
{
    *seen = (struct seen){.used = 0};
    return job_each(options, on_document, seen, err);
}

static void assert_fails(const struct job_options *options, vecmill_status status,
                         const char *message)
{
    static struct seen seen;
    vecmill_err err = {.message = ""};
    if (read_all(options, &seen, &err) != status)
        fail_msg("got %d \"%s\", expected %d \"%s\"", (int)err.status, err.message, (int)status,
                 message);
    if (strstr(err.message, message) == NULL)
        fail_msg("got \"%s\", expected \"%s\"", err.message, message);
}

static void nested_as_deep_as_allowed(void **state)
{
    (void)state;
    char line[512];
    for (int deep = 63; deep <= 65; deep++) {
        size_t used = (size_t)snprintf(line, sizeof line, "{\"text\":\"a\",\"x\":");
        memset(line + used, '[', (size_t)deep - 1);
        used += (size_t)deep - 1;
        memset(line + used, ']', (size_t)deep - 1);
        used += (size_t)deep - 1;
        line[used++] = '}';
        kit_write(kit_path("deep.jsonl"), line, used);
        struct seen seen;
        const struct job_options options = {.input = kit_path("deep.jsonl")};
        assert_int_equal(read_all(&options, &seen, NULL), VECMILL_OK);
        assert_string_equal(seen.text, deep <= 64 ? "[a]"
                                                  : "{JSON at byte 80 is nested deeper than 64 "
                                                    "(JSON_DEPTH_MAX)}");
    }
}

static void ids_as_long_as_allowed(void **state)
{
    (void)state;
    static char line[16384];
    for (size_t bytes = JOB_ID_BYTES_MAX - 1; bytes <= JOB_ID_BYTES_MAX + 1; bytes++) {
        for (int csv = 0; csv <= 1; csv++) {
            const char *front = csv ? "id,text\n" : "{\"text\":\"a\",\"id\":\"";
            size_t used = strlen(front);
            memcpy(line, front, used);
            memset(line + used, 'x', bytes - 2);
            used += bytes - 2;
            used += (size_t)snprintf(line + used, sizeof line - used, csv ? ",a\n" : "\"}\n");
            const char *path = kit_path(csv ? "ids.csv" : "ids.jsonl");
            kit_write(path, line, used);
            struct seen seen;
            assert_int_equal(read_all(&(struct job_options){.input = path}, &seen, NULL),
                             VECMILL_OK);
            const bool fits = bytes <= JOB_ID_BYTES_MAX;
            const char *end = seen.text + seen.used - (fits ? 4 : 0);
            assert_string_equal(fits ? end : seen.text,
                                fits ? "=[a]"
                                     : "{the id \"id\" holds 4097 bytes, the maximum is 4096 "
                                       "(JOB_ID_BYTES_MAX)}");
        }
    }
    /* Bytes that grow when they are quoted count as they are written. */
    memcpy(line, "id,text\n", 8);
    memset(line + 8, 1, 1000);
    memcpy(line + 1008, ",a\n", 3);
    kit_write(kit_path("ids.csv"), line, 1011);
    struct seen seen;
    const struct job_options control = {.input = kit_path("ids.csv"), .encoding = "utf-8"};
    assert_int_equal(read_all(&control, &seen, NULL), VECMILL_OK);
    assert_string_equal(seen.text,
                        "{the id \"id\" holds 6002 bytes, the maximum is 4096 (JOB_ID_BYTES_MAX)}");
}

static void headers_as_large_as_allowed(void **state)
{
    (void)state;
    static char header[70000];
    size_t used = 4;
    memcpy(header, "text", 4);
    memset(header + used, ',', 4095);
    used += 4095;
    header[used] = '\n';
    kit_write(kit_path("wide.csv"), header, used + 1);
    struct seen seen;
    const struct job_options wide = {.input = kit_path("wide.csv")};
    assert_int_equal(read_all(&wide, &seen, NULL), VECMILL_OK);
    header[used++] = ',';
    kit_write(kit_path("wide.csv"), header, used);
    assert_fails(&wide, VECMILL_E_INPUT,
                 "wide.csv: the header has 4097 columns, the maximum is 4096 (CSV_COLUMNS_MAX)");
    memset(header, 'x', sizeof header);
    memcpy(header, "text,", 5);
    kit_write(kit_path("wide.csv"), header, 65536 + 2);
    assert_fails(&wide, VECMILL_E_INPUT,
                 "wide.csv: the header holds 65537 bytes, the maximum is 65536 (CSV_HEADER_MAX)");
    kit_write(kit_path("wide.csv"), header, 65536 + 1);
    assert_int_equal(read_all(&wide, &seen, NULL), VECMILL_OK);
    /* A list of columns that is too long ends in dots. */
    header[4] = 'y';
    kit_write(kit_path("wide.csv"), header, 200);
    assert_fails(&wide, VECMILL_E_INPUT, "no column \"text\" among its 1: ...");
}

static void gzip_that_lies(void **state)
{
    (void)state;
    static const char text[] = "one\ntwo\nthree\nfour and a few more words to be compressed\n";
    const char *path = kit_path("lies.txt.gz");
    const struct job_options options = {.input = path};
    struct seen seen;
    size_t whole;
    kit_write_gzip(path, text, sizeof text - 1, 20);
    char *gzip = kit_read(path, &whole);
    static char copy[4096];

    /* Cut anywhere but between members: an error that names the place. */
    size_t n_cut = 0;
    for (size_t cut = 0; cut < whole; cut++) {
        kit_write(path, gzip, cut);
        vecmill_err err;
        const vecmill_status status = read_all(&options, &seen, &err);
        if (status == VECMILL_OK) continue;
        n_cut++;
        assert_int_equal(status, VECMILL_E_INPUT);
        char place[64];
        snprintf(place, sizeof place, "ends at byte %zu inside a gzip member", cut);
        assert_non_null(strstr(err.message, cut == 0 ? "is empty, not a gzip file" : place));
    }
    assert_int_equal(n_cut, whole - 2); /* three members, two places between them */

    /* A flipped bit is seen, by the checksum at the latest; the time, the flags and the system of
     * a header mean nothing, nor do the bits that fill up the last byte of the data. */
    size_t n_seen = 0;
    for (size_t at = 0; at < whole; at++) {
        memcpy(copy, gzip, whole);
        copy[at] ^= 0x10;
        kit_write(path, copy, whole);
        const vecmill_status status = read_all(&options, &seen, NULL);
        assert_true(status == VECMILL_OK || status == VECMILL_E_INPUT);
        n_seen += status != VECMILL_OK;
    }
    assert_true(n_seen >= whole - 3 * 7 - 2 * 2); /* nor is a member known without its magic */

    memcpy(copy, gzip, whole);
    memset(copy + whole, 0, 64);
    kit_write(path, copy, whole + 64);
    assert_int_equal(read_all(&options, &seen, NULL), VECMILL_OK); /* padding */
    memcpy(copy + whole, "tail", 4); /* as zcat: what was packed is there */
    kit_write(path, copy, whole + 4);
    assert_int_equal(read_all(&options, &seen, NULL), VECMILL_OK);
    assert_int_equal(seen.n, 4);
    memcpy(copy + whole, "\x1F\x8B", 2); /* one that was cut off is more than rest */
    kit_write(path, copy, whole + 2);
    assert_fails(&options, VECMILL_E_INPUT, "inside a gzip member");
    kit_write(path, "plain text\n", 11);
    assert_fails(&options, VECMILL_E_INPUT, "lies.txt.gz: is not gzip, as its name");
    kit_write_gzip(kit_path("twice.gz"), gzip, whole, whole);
    assert_fails(&(struct job_options){.input = kit_path("twice.gz"), .input_format = "txt"},
                 VECMILL_E_INPUT, "twice.gz: is gzip inside gzip, not text; unpack it");
    free(gzip);
}

/* How often U+1F600 is in the text, and its bytes. */
static vecmill_status count_letters(void *context, uint64_t index, const char *id, vecmill_doc doc,
                                    const char *reason, vecmill_err *err)
{
    (void)err;
    size_t *counts = context;
    assert_true(index == 0 && id == NULL && reason == NULL);
    counts[1] = doc.bytes;
    const char *at = doc.text;
    while ((at = memmem(at, (size_t)(doc.text + doc.bytes - at), "\xF0\x9F\x98\x80", 4)) != NULL) {
        counts[0]++;
        at += 4;
    }
    return VECMILL_OK;
}

/* What no magic names is no text either: noise, and what zlib makes of a text without saying so. */
static void noise_is_no_text(void **state)
{
    (void)state;
    static char noise[8192];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
    noise[0] = 'T';
    struct job_options o = {.input = kit_path("noise.txt")};
    kit_write(o.input, noise, sizeof noise);
    assert_fails(&o, VECMILL_E_INPUT, "noise.txt: is no text: of its first 4096 bytes ");
    memset(noise, 0, sizeof noise);
    kit_write(o.input, noise, sizeof noise);
    assert_fails(&o, VECMILL_E_INPUT, "of its first 4096 bytes 100% are");
    struct seen seen;
    o.encoding = "utf-8";
    assert_int_equal(read_all(&o, &seen, NULL), VECMILL_OK);
    /* Text in an encoding that nobody named is text. */
    o.encoding = NULL;
    memset(noise, 0xE4, sizeof noise);
    kit_write(o.input, noise, sizeof noise);
    assert_int_equal(read_all(&o, &seen, NULL), VECMILL_OK);
}

/* Lines longer than any buffer, in every encoding, so that letters are cut at every place. */
static void long_lines_in_every_encoding(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t n;
        const char *letter;
    } encodings[] = {{"utf-16le", 4, "\x3D\xD8\x00\xDE"},
                     {"utf-16be", 4, "\xD8\x3D\xDE\x00"},
                     {"utf-32le", 4, "\x00\xF6\x01\x00"},
                     {"utf-8", 4, "\xF0\x9F\x98\x80"},
                     {"gb18030", 4, "\x94\x39\xFC\x36"}};
    enum { LETTERS = 300000 };
    static char text[LETTERS * 4 + 64];
    for (size_t e = 0; e < sizeof encodings / sizeof *encodings; e++) {
        size_t used = 0;
        const bool is_wide = strncmp(encodings[e].name, "utf-16", 6) == 0;
        if (is_wide) { /* so that pairs do not lie even */
            memcpy(text, encodings[e].name[6] == 'l' ? "a\0" : "\0a", 2);
            used = 2;
        }
        for (size_t i = 0; i < LETTERS; i++) {
            memcpy(text + used, encodings[e].letter, encodings[e].n);
            used += encodings[e].n;
        }
        for (int packed = 0; packed < 2; packed++) {
            const struct job_options o = {.input = kit_path(packed ? "long.txt.gz" : "long.txt"),
                                          .encoding = encodings[e].name};
            if (packed)
                kit_write_gzip(o.input, text, used, 100003);
            else
                kit_write(o.input, text, used);
            size_t bytes[2] = {0, 0};
            assert_int_equal(job_each(&o, count_letters, bytes, NULL), VECMILL_OK);
            assert_int_equal(bytes[0], LETTERS);
            assert_int_equal(bytes[1], LETTERS * 4 + (is_wide ? 1 : 0));
        }
    }
}

static void names_and_formats(void **state)
{
    (void)state;
    struct seen seen;
    kit_write(kit_path("x.dat"), "\"a\"\n", 4);
    kit_write(kit_path("x.TXT"), "b\n", 2);
    kit_write_gzip(kit_path("x.gz"), "c\n", 2, 9);
    struct job_options o = {.input = kit_path("x.dat")};
    assert_fails(&o, VECMILL_E_USAGE, "x.dat: ends in none of .txt .jsonl .ndjson .json .csv .tsv");
    o.input_format = "jsonl";
    assert_int_equal(read_all(&o, &seen, NULL), VECMILL_OK);
    assert_string_equal(seen.text, "[a]");
    o.input_format = "xml";
    assert_fails(&o, VECMILL_E_USAGE, "input format \"xml\" is unknown");
    o = (struct job_options){.input = kit_path("x.TXT")};
    assert_int_equal(read_all(&o, &seen, NULL), VECMILL_OK);
    assert_string_equal(seen.text, "[b]");
    o = (struct job_options){.input = kit_path("x.gz"), .input_format = "txt"};
    assert_int_equal(read_all(&o, &seen, NULL), VECMILL_OK);
    assert_string_equal(seen.text, "[c]");
    /* What it is named says nothing of how it is packed, but where it says that it is. */
    o = (struct job_options){.input = kit_path("x.TXT"), .input_format = "txt.gz"};
    assert_fails(&o, VECMILL_E_INPUT, "x.TXT: is not gzip, as its name or --input-format says");
    kit_write_gzip(kit_path("x.txt"), "d\n", 2, 9);
    o = (struct job_options){.input = kit_path("x.txt")};
    assert_int_equal(read_all(&o, &seen, NULL), VECMILL_OK);
    assert_string_equal(seen.text, "[d]");
    kit_write(kit_path("x.ndjson"), "\"e\"\n", 4);
    o.input = kit_path("x.ndjson");
    assert_int_equal(read_all(&o, &seen, NULL), VECMILL_OK);
    assert_string_equal(seen.text, "[e]");
    kit_write(kit_path("x.csv.bz2"), "BZh91AY&SY\x0E\x01", 12);
    o.input = kit_path("x.csv.bz2");
    assert_fails(&o, VECMILL_E_INPUT, "x.csv.bz2: is bzip2");
    o.delimiter = "ab";
    assert_fails(&o, VECMILL_E_USAGE, "--delimiter ab is not one character of ASCII");
    o.delimiter = "\"";
    assert_fails(&o, VECMILL_E_USAGE, "other than a quote");
    o = (struct job_options){.input = kit_path("x.txt"), .delimiter = ";"};
    assert_fails(&o, VECMILL_E_USAGE, "--delimiter is for CSV");
    static const char *const unknown[] = {"utf-9", "", "latin-1//TRANSLIT", "utf-8,x", "klingon"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        o = (struct job_options){.input = kit_path("x.txt"), .encoding = unknown[i]};
        assert_fails(&o, VECMILL_E_USAGE,
                     "is unknown; utf-8, utf-16, latin-1, cp1252 and what iconv");
    }
    o = (struct job_options){0};
    o.input = kit_path("missing.txt");
    assert_fails(&o, VECMILL_E_INPUT, "missing.txt: cannot be opened: No such file");
    o.max_document = (uint64_t)JOB_MAX_DOCUMENT_MOST + 1;
    assert_fails(&o, VECMILL_E_USAGE, "(JOB_MAX_DOCUMENT_MOST)");
    o = (struct job_options){.input = kit_path(""), .input_format = "txt"};
    assert_fails(&o, VECMILL_E_INPUT, "is a directory");
}

static vecmill_status stop_at_two(void *context, uint64_t index, const char *id, vecmill_doc doc,
                                  const char *reason, vecmill_err *err)
{
    (void)id;
    (void)doc;
    (void)reason;
    ++*(int *)context;
    return index == 1 ? err_set(err, VECMILL_E_LIMIT, "enough") : VECMILL_OK;
}

static void a_callback_ends_the_reading(void **state)
{
    (void)state;
    kit_write(kit_path("many.txt"), "a\nb\nc\nd\n", 8);
    const struct job_options o = {.input = kit_path("many.txt")};
    int calls = 0;
    vecmill_err err;
    assert_int_equal(job_each(&o, stop_at_two, &calls, &err), VECMILL_E_LIMIT);
    assert_int_equal(calls, 2);
    assert_string_equal(err.message, "enough");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases_plain_and_in_pieces),
        cmocka_unit_test(nested_as_deep_as_allowed),
        cmocka_unit_test(ids_as_long_as_allowed),
        cmocka_unit_test(headers_as_large_as_allowed),
        cmocka_unit_test(gzip_that_lies),
        cmocka_unit_test(noise_is_no_text),
        cmocka_unit_test(long_lines_in_every_encoding),
        cmocka_unit_test(names_and_formats),
        cmocka_unit_test(a_callback_ends_the_reading),
    };
    const int n = sizeof tests / sizeof *tests;
    const int failed = cmocka_run_group_tests(tests, kit_init, kit_done);
    printf("job-read: %d passed, %d failed\n", n - failed, failed);
    return failed;
}
