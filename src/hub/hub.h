/* hub: model names to files: registry, cache, download, checksums.
 *
 * A name is resolved in this order: a folder (it has a slash and exists, or holds config.json), a name
 * or alias of the registry (case does not count), `org/name`; the last two may end in `@` and a full
 * commit id. Models live in CACHE/models/<org>--<name>/<revision>/ with a file `vecmill.json` next to
 * the model's own files that records source, revision and each file's size and digest; the folder
 * appears by rename when everything in it is whole and checked. A file `current` next to the revisions
 * names the one in use.
 *
 * Downloading is a program of its own, `vecmill-pull`, that hub_pull starts: libcurl, libzip, libcrypto
 * and what they load cost every other start 7 ms and 6 MB (docs/HUB.md), and what talks to the network
 * is then a process that shares nothing with its caller but a pipe.
 *
 * Promises: nothing downloaded is executed; every byte is checked against a digest before the folder
 * appears; a cut transfer goes on where it stopped; every wait has a deadline; what grows has a
 * maximum. Does not know: what is inside a model. */
#ifndef HUB_H
#define HUB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

enum hub_source { HUB_PYPI, HUB_HF };

/* One entry of the registry (registry.def). */
struct hub_model {
    const char *name;  /* "sentence-transformers/all-MiniLM-L6-v2" */
    const char *alias; /* "all-MiniLM-L6-v2": the part after the slash */
    enum hub_source source;
    uint32_t dim, max_length;
    const char *pooling; /* "mean", "cls", "last" */
    bool normalize;
    const char *tokenizer; /* "WordPiece", "Unigram", "BPE" */
    const char *prompts;   /* what its card puts before texts, for people; NULL: nothing */
    uint64_t bytes;        /* of the weights, about; 0: unknown */
    const char *licence;
    const char *refused; /* NULL: works; else why not ("it is published as ONNX alone") */
};

/* The registry, in order of its file; static storage. */
const struct hub_model *hub_models(size_t *n);

/* The folder of a model that is on this machine already, into dir[IO_PATH_MAX]: in our cache, else in one of
 * Hugging Face's libraries. E_NOTFOUND: not here, or damaged (the message says `vecmill pull NAME`, where it
 * looked, and what of which file is wrong), or no such name (the message offers near names).
 * E_UNSUPPORTED becomes E_MODEL: a registry entry that is refused, by its reason. */
vecmill_status hub_find(const char *cache, const char *name, char *dir, vecmill_err *err);

/* True when hub_pull would try to fetch it: a name of the registry that is not refused, or
 * org/name[@commit]. Looks at nothing but the name. */
bool hub_is_fetchable(const char *name);

/* Progress of a download; total 0: not known. Called from the calling thread, often. */
typedef void (*hub_progress)(void *context, const char *file, uint64_t bytes, uint64_t total);

/* Environment of a pull, so that tests can set it; hub_env_read fills it from HF_ENDPOINT, HF_TOKEN,
 * HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE (1, TRUE, YES, ON) and VECMILL_PYTHON, the defaults elsewhere. */
struct hub_env {
    const char *endpoint; /* "https://huggingface.co" */
    const char *token;    /* NULL: none */
    bool offline;
    const char *offline_by; /* the variable that says so; NULL: none */
    unsigned connect_s;     /* deadline for a connection; 15 */
    unsigned stall_s;       /* no byte for this long ends an attempt; 30 */
    unsigned attempts;      /* for each file, with back-off; 5 */
    unsigned backoff_ms;    /* before the second attempt, doubled for each further one; 500 */
    const char *python;     /* the interpreter that runs pip; "python3" */
    const char *program;    /* vecmill-pull; NULL: by child_find */
    const atomic_int *stop; /* nonzero: end the pull, E_STOPPED; may be NULL */
};
/* Borrows from the environment. */
void hub_env_read(struct hub_env *env);

/* Makes a model present: finds it, or downloads it. dir as in hub_find. With `@commit` that revision
 * becomes the current one; without, a model that is here is left as it is. E_NOTFOUND: unknown, offline,
 * refused by the server, a digest that does not fit, or a cache that cannot be written; E_STOPPED.
 * Interrupted, it leaves only parts that the next pull continues from. The calling thread lives until
 * it returns: the kernel ends vecmill-pull with the thread that started it. */
vecmill_status hub_pull(const char *cache, const char *name, const struct hub_env *env,
                        hub_progress progress, void *context, char *dir, vecmill_err *err);

#endif
