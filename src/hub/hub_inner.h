/* hub_inner: what the files of this room share: names, places in the cache, the listing of a model.
 *
 * Everything here is in lib_hub and opens no socket. hub_fetch.h is the other half: what only
 * vecmill-pull links. */
#ifndef HUB_INNER_H
#define HUB_INNER_H

#include "hub.h"

#define HUB_NAME_MAX     200 /* bytes of `org/name` with the NUL; the hub's own limit is 96 a part */
#define HUB_COMMIT_BYTES 40  /* hex digits of a git commit */
#define HUB_FILES_MAX    160 /* files we ever take of one model: 128 shards and the small ones */
#define HUB_FILE_MAX     64  /* bytes of a file's name in it, with the NUL */
#define HUB_MANIFEST     "vecmill.json"
#define HUB_MANIFEST_MAX 65536
#define HUB_CURRENT      "current"

/* The largest answer of the hub's API we read: 10,000 files at about 200 bytes. It bounds the parser's
 * memory too: 160 MB when the answer is 2 MiB of "{}," (measured). */
#define HUB_API_MAX ((size_t)2 << 20)

/* The largest files we take: weights, and everything else (a tokenizer.json is 0.5 to 17 MB). */
#define HUB_WEIGHTS_MAX ((uint64_t)16 << 30)
#define HUB_SMALL_MAX   ((uint64_t)64 << 20)

/* A model's name, taken apart. */
struct hub_ref {
    char name[HUB_NAME_MAX];           /* "org/name" */
    char folder[HUB_NAME_MAX + 1];     /* "org--name" */
    char commit[HUB_COMMIT_BYTES + 1]; /* "": any */
    const struct hub_model *model;     /* NULL: not in the registry */
};

/* Takes text apart. E_NOTFOUND when it is no model's name (the message offers near ones), E_MODEL when
 * the registry refuses it. */
vecmill_status hub_ref_parse(const char *text, struct hub_ref *ref, vecmill_err *err);

/* CACHE/models/<org>--<name> into home[IO_PATH_MAX]. */
vecmill_status hub_home(const char *cache, const struct hub_ref *ref, char *home, vecmill_err *err);

/* hub_find in our own cache, for a name that is taken apart already; the message is "" when there
 * is no such folder, else what is damaged. */
vecmill_status hub_find_ref(const char *cache, const struct hub_ref *ref, char *dir,
                            vecmill_err *err);

/* hub_find; forbids: NULL, or the variable that forbids to fetch what is missing, for the message. */
vecmill_status hub_find_or_say(const char *cache, const char *name, const char *forbids, char *dir,
                               vecmill_err *err);

/* hub_find in the caches of Hugging Face's libraries (docs/HUB.md). false: there is no whole
 * snapshot; where was looked, and what was lacking there, is in looked[size], ", PLACE" for each,
 * cut where it is too long. */
bool hub_shared_find(const struct hub_ref *ref, char *dir, char *looked, size_t size);

/* The i-th folder that is looked into, root[IO_PATH_MAX], "" where it is not set; false: there are
 * no more. */
bool hub_shared_root(unsigned i, char *root);

/* Bytes of a JSON file that is read there: an index of weights has some 100 a tensor. */
#define HUB_SMALL_JSON_MAX ((size_t)4 << 20)

/* A JSON file's text into an initialised buf, and its value, borrowed from there. E_NOTFOUND. */
vecmill_status hub_read_json(const char *path, struct buf *text, struct json_value *root,
                             vecmill_err *err);

/* True when the file `current` next to a revision's folder names it. */
bool hub_is_current(const char *dir);

/* A revision's folder is whole: its manifest can be read, and every file it lists is there with the
 * size it states. Reads no file but the manifest. */
vecmill_status hub_check_folder(const char *dir, vecmill_err *err);

/* Exactly n lower-case hex digits and then NUL. */
bool hub_is_hex(const char *text, size_t n);

/* Copies at most size - 1 bytes for a message: what is not printable ASCII becomes '?'. */
void hub_printable(const char *text, size_t bytes, char *out, size_t size);

/* The kinds of weights, the preferred one first: one file, or an index and shards. */
enum { HUB_WEIGHTS_KINDS = 2 };
struct hub_weights {
    const char *file, *index;
    const char *shard; /* the form of its name, # for a digit */
};
extern const struct hub_weights hub_weights[HUB_WEIGHTS_KINDS];

/* How much a file is preferred among the weights of its folder: 0 for model.safetensors, then its
 * index and shards, then those of the next kind; HUB_NO_WEIGHTS for any other file. */
enum { HUB_NO_WEIGHTS = 2 * HUB_WEIGHTS_KINDS };
unsigned hub_weights_rank(const char *name);

/* The folder of a file within the model with its slash: bytes of the name. */
size_t hub_folder_bytes(const char *name);

/* True for the files of a model that we take; *most is the largest size for it. Exact names from a fixed
 * list, and shards of weights by their form; alone or in the folder of a module ("0_Transformer/"), so that
 * no other name from outside becomes a path. */
bool hub_file_wanted(const char *name, size_t bytes, uint64_t *most);

enum hub_digest { HUB_SHA256, HUB_GIT };

struct hub_file {
    char name[HUB_FILE_MAX]; /* one of the wanted names, so safe as a path below a folder */
    uint64_t bytes;
    enum hub_digest kind; /* HUB_GIT: SHA-1 of "blob <bytes>\0" and the data */
    char digest[65];      /* lower-case hex, 64 or 40 digits */
};

/* What the hub says about one revision of a model: the files of it that we take. */
struct hub_listing {
    char commit[HUB_COMMIT_BYTES + 1];
    size_t n_files;
    struct hub_file files[HUB_FILES_MAX];
};

/* Reads the answer to GET /api/models/NAME/revision/REV?blobs=true: hostile bytes. E_NOTFOUND with
 * what is wrong: JSON, types, a name that leads out of the folder, sizes, digests, weights missing. */
vecmill_status hub_api_parse(const void *data, size_t bytes, const char *name,
                             struct hub_listing *listing, vecmill_err *err);

#endif
