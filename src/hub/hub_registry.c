/* hub_registry: the table of known models, and names taken apart.
 *
 * Promises that a name that comes out of hub_ref_parse is safe as a part of a path and of a URL.
 * Does not know where models lie. */
#include "hub_inner.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct hub_model models[] = {
#define X(...) {__VA_ARGS__}, /* in the order of struct hub_model */
#include "registry.def"
#undef X
};

#define N_MODELS    (sizeof models / sizeof models[0])
#define OFFERED_MAX 3

const struct hub_model *hub_models(size_t *n)
{
    *n = N_MODELS;
    return models;
}

/* How far a model is from what was typed; 0 when one is contained in the other. */
static unsigned model_distance(const char *text, const struct hub_model *m)
{
    if (strlen(text) >= 3 && strcasestr(m->name, text)) return 0;
    unsigned full = near_distance(text, m->name), alias = near_distance(text, m->alias);
    return full < alias ? full : alias;
}

/* " (near: a, b, c)" for the nearest models, or "". */
static void near_names(const char *text, char *out, size_t size)
{
    const struct hub_model *best[OFFERED_MAX];
    unsigned score[OFFERED_MAX];
    size_t n = 0;
    for (size_t i = 0; i < N_MODELS; i++) {
        unsigned d = model_distance(text, &models[i]);
        if (!near_is_slip(d, text) || models[i].refused) continue;
        size_t at = n;
        while (at > 0 && score[at - 1] > d)
            at--;
        if (at == OFFERED_MAX) continue;
        if (n < OFFERED_MAX) n++;
        for (size_t j = n - 1; j > at; j--) {
            best[j] = best[j - 1];
            score[j] = score[j - 1];
        }
        best[at] = &models[i];
        score[at] = d;
    }
    out[0] = '\0';
    size_t used = 0;
    for (size_t i = 0; i < n && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%s%s",
                                 i ? ", " : " (near: ", best[i]->alias, i + 1 == n ? ")" : "");
    }
}

bool hub_is_hex(const char *text, size_t n)
{
    return strspn(text, "0123456789abcdef") == n && text[n] == '\0';
}

void hub_printable(const char *text, size_t bytes, char *out, size_t size)
{
    size_t n = num_min(bytes, size - 1);
    for (size_t i = 0; i < n; i++) {
        out[i] = '?';
        if (text[i] >= ' ' && text[i] <= '~') out[i] = text[i];
    }
    out[n] = '\0';
}

/* The hub's rule for each half of a name: letters, digits, '-', '_' and '.', no '-' or '.' at its
 * ends, neither twice in a row. "--" also keeps `org--name` unambiguous as a folder. */
static bool valid_part(const char *text, size_t bytes)
{
    if (bytes == 0 || bytes > 96) return false;
    bool joint = true; /* the byte before was '-' or '.', or there was none */
    for (size_t i = 0; i < bytes; i++) {
        char c = text[i];
        bool plain =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        if (!plain && ((c != '-' && c != '.') || joint)) return false;
        joint = !plain;
    }
    return !joint;
}

static const struct hub_model *find_model(const char *text)
{
    for (size_t i = 0; i < N_MODELS; i++) {
        if (strcasecmp(text, models[i].name) == 0 || strcasecmp(text, models[i].alias) == 0) {
            return &models[i];
        }
    }
    return NULL;
}

vecmill_status hub_ref_parse(const char *text, struct hub_ref *ref, vecmill_err *err)
{
    struct hub_ref r = {.model = NULL};
    char shown[64], near[160], name[HUB_NAME_MAX];
    const char *at = strchr(text, '@');
    size_t n = at ? (size_t)(at - text) : strlen(text);
    hub_printable(text, strlen(text), shown, sizeof shown);
    if (n == 0) return err_set(err, VECMILL_E_NOTFOUND, "the model's name is empty");
    if (n >= HUB_NAME_MAX) {
        return err_set(err, VECMILL_E_NOTFOUND,
                       "the model's name '%s...' has %zu bytes, at most %d are possible", shown, n,
                       HUB_NAME_MAX - 1);
    }
    memcpy(name, text, n);
    name[n] = '\0';
    if (at) {
        if (!hub_is_hex(at + 1, HUB_COMMIT_BYTES)) {
            return err_set(err, VECMILL_E_NOTFOUND,
                           "%s: a revision is a full commit, %d lower-case hex digits after '@'",
                           shown, HUB_COMMIT_BYTES);
        }
        memcpy(r.commit, at + 1, HUB_COMMIT_BYTES + 1);
    }

    r.model = find_model(name);
    if (r.model && r.model->refused) {
        return err_set(err, VECMILL_E_MODEL, "%s cannot be used: %s", r.model->name,
                       r.model->refused);
    }
    if (r.model && r.model->source == HUB_PYPI && r.commit[0]) {
        return err_set(err, VECMILL_E_NOTFOUND,
                       "%s comes from one pinned package, so no revision can be chosen with '@'",
                       r.model->name);
    }
    const char *full = r.model ? r.model->name : name;
    const char *slash = strchr(full, '/');
    if (!slash) {
        near_names(name, near, sizeof near);
        return err_set(err, VECMILL_E_NOTFOUND,
                       "no model is called '%s'%s; give a name of `vecmill models`, org/name or a "
                       "folder",
                       shown, near);
    }
    int n_org = (int)(slash - full);
    if (!valid_part(full, (size_t)n_org) || !valid_part(slash + 1, strlen(slash + 1))) {
        return err_set(err, VECMILL_E_NOTFOUND,
                       "'%s' is neither a folder on this machine nor an org/name", shown);
    }
    snprintf(r.name, sizeof r.name, "%s", full);
    snprintf(r.folder, sizeof r.folder, "%.*s--%s", n_org, full, slash + 1);
    *ref = r;
    return VECMILL_OK;
}

bool hub_is_fetchable(const char *name)
{
    struct hub_ref ref;
    return hub_ref_parse(name, &ref, NULL) == VECMILL_OK;
}

static size_t count_digits(const char *text, size_t bytes)
{
    size_t n = 0;
    while (n < bytes && text[n] >= '0' && text[n] <= '9')
        n++;
    return n;
}

/* Bytes of "1_Pooling/" or "2_Dense_1024/", the folder of a module in modules.json; 0: there is
 * none. A width follows the class where a model has several of one place. */
static size_t module_folder(const char *name, size_t bytes)
{
    size_t at = count_digits(name, bytes), letters = 0;
    if (at < 1 || at > 2 || at == bytes || name[at++] != '_') return 0;
    while (at < bytes &&
           ((name[at] >= 'A' && name[at] <= 'Z') || (name[at] >= 'a' && name[at] <= 'z'))) {
        at++;
        letters++;
    }
    if (letters < 1 || letters > 20) return 0;
    if (at < bytes && name[at] == '_') {
        const size_t digits = count_digits(name + at + 1, bytes - at - 1);
        if (digits < 1 || digits > 5) return 0;
        at += 1 + digits;
    }
    return at < bytes && name[at] == '/' ? at + 1 : 0;
}

const struct hub_weights hub_weights[HUB_WEIGHTS_KINDS] = {
    {"model.safetensors", "model.safetensors.index.json", "model-#####-of-#####.safetensors"},
    {"pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-#####-of-#####.bin"},
};

/* Of a form in which # is a digit */
static bool has_form(const char *name, const char *form)
{
    const size_t bytes = strlen(name);
    if (bytes != strlen(form)) return false;
    for (size_t i = 0; i < bytes; i++) {
        const bool digit = name[i] >= '0' && name[i] <= '9';
        if (form[i] == '#' ? !digit : name[i] != form[i]) return false;
    }
    return true;
}

size_t hub_folder_bytes(const char *name)
{
    const char *slash = strrchr(name, '/');
    return slash ? (size_t)(slash - name) + 1 : 0;
}

unsigned hub_weights_rank(const char *name)
{
    name += hub_folder_bytes(name);
    for (unsigned i = 0; i < HUB_WEIGHTS_KINDS; i++) {
        const struct hub_weights *kind = &hub_weights[i];
        if (strcmp(name, kind->file) == 0) return 2 * i;
        if (strcmp(name, kind->index) == 0 || has_form(name, kind->shard)) return 2 * i + 1;
    }
    return HUB_NO_WEIGHTS;
}

bool hub_file_wanted(const char *name, size_t bytes, uint64_t *most)
{
    static const char *const small[] = {
        "config.json",
        "tokenizer.json",
        "vocab.txt",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "modules.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "artifact.metadata",
        "colbert_linear.pt",
        "colbert_linear.safetensors",
        "sparse_linear.pt",
        "sparse_linear.safetensors",
    };
    const size_t folder = module_folder(name, bytes);
    name += folder;
    bytes -= folder;
    if (!memchr(name, '/', bytes) && hub_weights_rank(name) != HUB_NO_WEIGHTS) {
        const char *tail = strrchr(name, '.');
        *most = strcmp(tail, ".json") == 0 ? HUB_SMALL_MAX : HUB_WEIGHTS_MAX;
        return true;
    }
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++) {
        if (strlen(small[i]) != bytes || memcmp(name, small[i], bytes) != 0) continue;
        *most = HUB_SMALL_MAX;
        return true;
    }
    return false;
}
