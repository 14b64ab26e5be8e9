/* stage_kinds: what the rows of STAGE_KINDS point to, kind by kind. Only text_stage.c and the files
 * of the kinds open it, and text_json.c, whose BERT pipeline has the same normalizer. */
#ifndef TEXT_STAGE_KINDS_H
#define TEXT_STAGE_KINDS_H

#include "text_stage.h"

#define STAGE_STRING_MAX 1024u /* bytes of a string or pattern in a stage */

/* The string `key` of a part as blob a or b. */
vecmill_status stage_keep_string(struct spec *s, struct spec_stage *stage, bool second,
                                 const struct json_value *value, const char *where, const char *key,
                                 vecmill_err *err);

/* A kind without members. */
vecmill_status stage_read_plain(struct spec *s, struct spec_stage *stage,
                                const struct json_value *part, const char *where, vecmill_err *err);
bool stage_check_plain(const struct stage *stage);
bool stage_is_local(const struct stage *stage);

#define STAGE_READ(name)                                                                           \
    vecmill_status name(struct spec *s, struct spec_stage *stage, const struct json_value *part,   \
                        const char *where, vecmill_err *err)
#define STAGE_RUN(name)                                                                            \
    void name(const struct stage *stage, const struct stage_text *in, struct stage_text *out,      \
              struct stage_context *context)

STAGE_READ(norm_basic_read);
bool norm_basic_check(const struct stage *stage);
STAGE_RUN(norm_basic_run);

STAGE_RUN(norm_nfc_run);
STAGE_RUN(norm_nfd_run);
STAGE_RUN(norm_nfkc_run);
STAGE_RUN(norm_nfkd_run);
STAGE_RUN(norm_lowercase_run);
STAGE_RUN(norm_accents_run);
STAGE_RUN(norm_bytes_run);

STAGE_READ(norm_strip_read);
bool norm_strip_check(const struct stage *stage);
STAGE_RUN(norm_strip_run);

STAGE_READ(norm_replace_read);
bool norm_replace_check(const struct stage *stage);
bool norm_replace_is_local(const struct stage *stage);
STAGE_RUN(norm_replace_run);

STAGE_READ(norm_prepend_read);
bool norm_prepend_check(const struct stage *stage);
STAGE_RUN(norm_prepend_run);

STAGE_READ(norm_precompiled_read);
bool norm_precompiled_check(const struct stage *stage);
STAGE_RUN(norm_precompiled_run);

STAGE_RUN(pre_basic_run);
STAGE_RUN(pre_whitespace_run);
STAGE_RUN(pre_whitespace_split_run);

STAGE_READ(pre_metaspace_read);
bool pre_metaspace_check(const struct stage *stage);
bool pre_metaspace_is_local(const struct stage *stage);
STAGE_RUN(pre_metaspace_run);

STAGE_READ(pre_bytes_read);
bool pre_bytes_check(const struct stage *stage);
STAGE_RUN(pre_bytes_run);

STAGE_READ(pre_split_read);
bool pre_split_check(const struct stage *stage);
bool pre_split_is_local(const struct stage *stage);
STAGE_RUN(pre_split_run);

STAGE_READ(pre_digits_read);
bool pre_digits_check(const struct stage *stage);
STAGE_RUN(pre_digits_run);

STAGE_READ(pre_punctuation_read);
bool pre_punctuation_check(const struct stage *stage);
STAGE_RUN(pre_punctuation_run);

#endif
