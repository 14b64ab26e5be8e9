/* The rules of the small JSON files, one fault at a time. */
#include "model/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SHOWN "folder/the.json"

/* The config.json that the cases below differ from. */
#define SIZES                                                                                      \
    "\"num_hidden_layers\":2,\"hidden_size\":32,\"num_attention_heads\":4,"                        \
    "\"intermediate_size\":64,\"vocab_size\":160,\"max_position_embeddings\":64"
#define BERT "{\"model_type\":\"bert\"," SIZES

struct config_case {
    enum config_file file;
    const char *name, *json;
    const char *says; /* what the message must hold besides the file's name; NULL: accepted */
};

#define MODULE(idx, path, type)                                                                    \
    "{\"idx\":" idx ",\"name\":\"" idx "\",\"path\":\"" path "\",\"type\":\"" type "\"}"
#define ST            "sentence_transformers.models."
#define FIRST         MODULE("0", "", ST "Transformer")
#define SECOND        MODULE("1", "1_Pooling", ST "Pooling")
#define THIRD         MODULE("2", "2_Normalize", ST "Normalize")
#define ANY_NORMALIZE "{\"path\":\"\",\"type\":\"" ST "Normalize\"}"
#define SEVEN                                                                                      \
    "," ANY_NORMALIZE "," ANY_NORMALIZE "," ANY_NORMALIZE "," ANY_NORMALIZE "," ANY_NORMALIZE      \
    "," ANY_NORMALIZE "," ANY_NORMALIZE
#define MOST SEVEN SEVEN
#define DIM  "{\"word_embedding_dimension\":32"

/* The modules after Pooling that the cases of files have: one of each kind, of 32 floats. */
#define DENSE      CONFIG_STEPS
#define LAYER_NORM ((enum config_file)(CONFIG_STEPS + 1))
#define NORMALIZE  ((enum config_file)(CONFIG_STEPS + 2))
static const struct model_ending three_steps = {
    .n_poolings = 1,
    .poolings = {MODEL_POOL_MEAN},
    .n_steps = 3,
    .steps = {{.kind = MODEL_STEP_DENSE, .width = 32},
              {.kind = MODEL_STEP_LAYER_NORM, .width = 32},
              {.kind = MODEL_STEP_NORMALIZE, .width = 32}},
};
#define WIDTHS "{\"in_features\":32,\"out_features\":48"
#define TORCH  "torch.nn.modules.activation."

static const struct config_case cases[] = {
    /* config.json: accepted */
    {CONFIG_MODEL, "the least", BERT "}", NULL},
    {CONFIG_MODEL, "known architectures",
     BERT ",\"architectures\":[\"BertModel\",\"BertForMaskedLM\"]}", NULL},
    {CONFIG_MODEL, "architectures of null", BERT ",\"architectures\":null}", NULL},
    {CONFIG_MODEL, "gelu and absolute",
     BERT ",\"hidden_act\":\"gelu\",\"position_embedding_type\":\"absolute\"}", NULL},
    {CONFIG_MODEL, "gelu_new", BERT ",\"hidden_act\":\"gelu_new\"}", NULL},
    {CONFIG_MODEL, "relu", BERT ",\"hidden_act\":\"relu\"}", NULL},
    {CONFIG_MODEL, "silu", BERT ",\"hidden_act\":\"silu\"}", NULL},
    {CONFIG_MODEL, "gelu_pytorch_tanh", BERT ",\"hidden_act\":\"gelu_pytorch_tanh\"}", NULL},
    {CONFIG_MODEL, "unknown members", BERT ",\"use_cache\":true,\"torch_dtype\":\"float32\"}",
     NULL},
    {CONFIG_MODEL, "switched off", BERT ",\"is_decoder\":false,\"pruned_heads\":{}}", NULL},

    {CONFIG_MODEL, "a table of tokens", "{\"model_type\":\"model2vec\"}", NULL},
    {CONFIG_MODEL, "a table of tokens, no maximum",
     "{\"model_type\":\"model2vec\",\"max_length\":null,\"normalize\":true,"
     "\"hidden_dim\":256,\"architectures\":[\"StaticModel\"]}",
     NULL},

    /* config.json: refused */
    {CONFIG_MODEL, "a table, and no token of it", "{\"model_type\":\"model2vec\",\"max_length\":0}",
     "\"max_length\" is neither"},
    {CONFIG_MODEL, "a table, and a length in words",
     "{\"model_type\":\"model2vec\",\"max_length\":\"512\"}", "\"max_length\" is neither"},
    {CONFIG_MODEL, "a table of another class",
     "{\"model_type\":\"model2vec\",\"architectures\":[\"BertModel\"]}", "\"BertModel\""},
    {CONFIG_MODEL, "empty file", "", "not valid JSON"},
    {CONFIG_MODEL, "an array", "[]", "not a JSON object"},
    {CONFIG_MODEL, "a number", "7", "not a JSON object"},
    {CONFIG_MODEL, "cut short", BERT, "line 1"},
    {CONFIG_MODEL, "an error in line 3", "{\n\"model_type\":\"bert\",\n oops}", "line 3"},
    {CONFIG_MODEL, "duplicate key", BERT ",\"vocab_size\":161}", "duplicate"},
    {CONFIG_MODEL, "invalid UTF-8", "{\"a\":\"\xFF\"}", "not valid JSON"},
    {CONFIG_MODEL, "no model_type", "{" SIZES "}", "\"model_type\" is missing"},
    {CONFIG_MODEL, "another model_type", "{\"model_type\":\"gpt2\"," SIZES "}", "\"gpt2\""},
    {CONFIG_MODEL, "model_type is a number", "{\"model_type\":3," SIZES "}", "model_type"},
    {CONFIG_MODEL, "another architecture", BERT ",\"architectures\":[\"RobertaModel\"]}",
     "\"RobertaModel\""},
    {CONFIG_MODEL, "one of two architectures",
     BERT ",\"architectures\":[\"BertModel\",\"JinaBertForMaskedLM\"]}", "\"JinaBertForMaskedLM\""},
    {CONFIG_MODEL, "architectures is a string", BERT ",\"architectures\":\"BertModel\"}",
     "architectures"},
    {CONFIG_MODEL, "architectures holds a number", BERT ",\"architectures\":[1]}", "architectures"},
    {CONFIG_MODEL, "gelu_10", BERT ",\"hidden_act\":\"gelu_10\"}", "\"gelu_10\""},
    {CONFIG_MODEL, "mish", BERT ",\"hidden_act\":\"mish\"}", "\"mish\""},
    {CONFIG_MODEL, "hidden_act is a list", BERT ",\"hidden_act\":[\"gelu\"]}", "hidden_act"},
    {CONFIG_MODEL, "relative positions", BERT ",\"position_embedding_type\":\"relative_key\"}",
     "\"relative_key\""},
    {CONFIG_MODEL, "alibi", BERT ",\"position_embedding_type\":\"alibi\"}",
     "\"feed_forward_type\" is missing"},
    {CONFIG_MODEL, "a decoder", BERT ",\"is_decoder\":true}", "is_decoder"},
    {CONFIG_MODEL, "cross attention", BERT ",\"add_cross_attention\":true}", "add_cross_attention"},
    {CONFIG_MODEL, "its own code", BERT ",\"auto_map\":{\"AutoModel\":\"x.y\"}}", "auto_map"},
    {CONFIG_MODEL, "pruned heads", BERT ",\"pruned_heads\":{\"0\":[1]}}", "pruned_heads"},
    {CONFIG_MODEL, "quantized", BERT ",\"quantization_config\":{\"bits\":4}}",
     "quantization_config"},
    {CONFIG_MODEL, "no types", BERT ",\"type_vocab_size\":0}", "type_vocab_size"},
    {CONFIG_MODEL, "types past the maximum", BERT ",\"type_vocab_size\":1025}", "CONFIG_TYPES_MAX"},
    {CONFIG_MODEL, "eps of zero", BERT ",\"layer_norm_eps\":0}", "layer_norm_eps"},
    {CONFIG_MODEL, "eps below zero", BERT ",\"layer_norm_eps\":-1e-12}", "layer_norm_eps"},
    {CONFIG_MODEL, "eps of 2", BERT ",\"layer_norm_eps\":2}", "layer_norm_eps"},
    {CONFIG_MODEL, "eps in words", BERT ",\"layer_norm_eps\":\"1e-12\"}", "layer_norm_eps"},

    /* modules.json */
    {CONFIG_MODULES, "all three", "[" FIRST "," SECOND "," THIRD "]", NULL},
    {CONFIG_MODULES, "no normalisation", "[" FIRST "," SECOND "]", NULL},
    {CONFIG_MODULES, "names of later versions",
     "[" MODULE("0", "", "sentence_transformers.base.modules.transformer.Transformer") "," MODULE(
         "1", "1_Pooling",
         "sentence_transformers.sentence_transformer.modules.pooling.Pooling") "]",
     NULL},
    {CONFIG_MODULES, "another folder", "[" FIRST "," MODULE("1", "7_Pooling", ST "Pooling") "]",
     NULL},
    {CONFIG_MODULES, "an object", "{}", "not an array"},
    {CONFIG_MODULES, "no module", "[]", "0 modules"},
    {CONFIG_MODULES, "no pooling", "[" FIRST "]", "1 modules"},
    {CONFIG_MODULES, "normalised twice",
     "[" FIRST "," SECOND "," THIRD "," MODULE("3", "3_Normalize", ST "Normalize") "]", NULL},
    {CONFIG_MODULES, "every class",
     "[" FIRST "," SECOND "," MODULE("2", "2_Dense", ST "Dense") "," MODULE(
         "3", "3_Dense_1024",
         "sentence_transformers.base.modules.dense.Dense") "," MODULE("4", "4_LayerNorm",
                                                                      ST
                                                                      "LayerNorm") "," MODULE("5",
                                                                                              "",
                                                                                              ST
                                                                                              "Norm"
                                                                                              "aliz"
                                                                                              "e") "]",
     NULL},
    {CONFIG_MODULES, "as many as can be", "[" FIRST "," SECOND MOST "]", NULL},
    {CONFIG_MODULES, "one too many", "[" FIRST "," SECOND MOST "," ANY_NORMALIZE "]",
     "MODEL_STEPS_MAX is 14"},
    {CONFIG_MODULES, "its own transformer",
     "[" MODULE("0", "", "custom_st.Transformer") "," SECOND "]", NULL},
    {CONFIG_MODULES, "a module is a string", "[\"a\",\"b\"]", "module 0"},
    {CONFIG_MODULES, "no type", "[{\"idx\":0,\"path\":\"\"}," SECOND "]", "\"type\" is missing"},
    {CONFIG_MODULES, "a Dense of each token", "[" FIRST "," MODULE("1", "1_Dense", ST "Dense") "]",
     "module 1 is Dense"},
    {CONFIG_MODULES, "a Dense of each token, of pylate",
     "[" FIRST "," MODULE("1", "1_Dense", "pylate.models.Dense.Dense") "]", NULL},
    {CONFIG_MODULES, "a module of pylate after Pooling",
     "[" FIRST "," SECOND "," MODULE("2", "2_Dense", "pylate.models.Dense.Dense") "]", NULL},
    {CONFIG_MODULES, "a mask after a Dense of each token",
     "[" FIRST
     "," MODULE("1", "1_Dense", ST "Dense") "," MODULE("2", "2_Mask", ST "MultiVectorMask") "]",
     NULL},
    {CONFIG_MODULES, "two masks",
     "[" FIRST "," MODULE("1", "1_Mask", ST "MultiVectorMask") "," MODULE("2", "2_Mask",
                                                                          ST "MultiVectorMask") "]",
     "module 2 is a second MultiVectorMask"},
    {CONFIG_MODULES, "a mask after Pooling",
     "[" FIRST "," SECOND "," MODULE("2", "2_Mask", ST "MultiVectorMask") "]",
     "module 1 is Pooling where Dense"},
    {CONFIG_SENTENCE, "an expansion that is a number", "{\"query_expansion\":32}", "not an object"},
    {CONFIG_SENTENCE, "an expansion of no length", "{\"query_expansion\":{\"strategy\":\"min\"}}",
     "\"length\" is missing"},
    {CONFIG_SENTENCE, "an expansion of another strategy",
     "{\"query_expansion\":{\"strategy\":\"most\",\"length\":3}}", "fixed or min"},
    {CONFIG_SENTENCE, "an unknown key of an expansion",
     "{\"query_expansion\":{\"strategy\":\"min\",\"length\":3,\"width\":3}}", "\"width\""},
    {CONFIG_SENTENCE, "lengths of late interaction",
     "{\"query_length\":32,\"document_length\":null,\"query_expansion\":{\"strategy\":\"fixed\","
     "\"length\":32,\"attend\":true,\"token\":\"[MASK]\"}}",
     NULL},
    {CONFIG_MODULES, "a Dense without a folder",
     "[" FIRST "," SECOND "," MODULE("2", "", ST "Dense") "]", "module 2 is \"\""},
    {CONFIG_MODULES, "a LayerNorm without a folder",
     "[" FIRST "," SECOND "," MODULE("2", "", ST "LayerNorm") "]", "module 2 is \"\""},
    {CONFIG_MODULES, "a Normalize upwards",
     "[" FIRST "," SECOND "," MODULE("2", "..", ST "Normalize") "]", "module 2 is \"..\""},
    {CONFIG_MODULES, "a CNN", "[" FIRST "," SECOND "," MODULE("2", "2_CNN", ST "CNN") "]",
     "module 2 is a \"CNN\""},
    {CONFIG_MODULES, "a WeightedLayerPooling",
     "[" FIRST "," MODULE("1", "1_W", ST "WeightedLayerPooling") "]", "\"WeightedLayerPooling\""},
    {CONFIG_MODULES, "a Router", "[" MODULE("0", "", ST "Router") "," SECOND "]", "\"Router\""},
    {CONFIG_MODULES, "an MLMTransformer",
     "[" MODULE("0", "", "sentence_transformers.sparse_encoder.models.MLMTransformer") "," SECOND
                                                                                       "]",
     "no SpladePooling"},
    {CONFIG_MODULES, "a module after SpladePooling",
     "[" FIRST "," MODULE(
         "1", "1_SpladePooling",
         "sentence_transformers.sparse_encoder.models.SpladePooling") "," MODULE("2", "",
                                                                                 ST
                                                                                 "Normalize") "]",
     "module 2 is Normalize"},
    {CONFIG_MODULES, "a table", "[" MODULE("0", "0_StaticEmbedding", ST "StaticEmbedding") "]",
     NULL},
    {CONFIG_MODULES, "a table in the folder itself",
     "[" MODULE("0", ".",
                "sentence_transformers.sentence_transformer.modules.static_embedding"
                ".StaticEmbedding") "," MODULE("1", "1_Normalize", ST "Normalize") "]",
     NULL},
    {CONFIG_MODULES, "a table and as many as can be",
     "[" MODULE("0", "", ST "StaticEmbedding") MOST "]", NULL},
    {CONFIG_MODULES, "a table and one too many",
     "[" MODULE("0", "", ST "StaticEmbedding") MOST "," ANY_NORMALIZE "]", "MODEL_STEPS_MAX is 14"},
    {CONFIG_MODULES, "a table and Pooling",
     "[" MODULE("0", "", ST "StaticEmbedding") "," SECOND "]", "module 1 is Pooling where Dense"},
    {CONFIG_MODULES, "a table after the first",
     "[" FIRST "," MODULE("1", "", ST "StaticEmbedding") "]",
     "module 1 is StaticEmbedding where Pooling"},
    {CONFIG_MODULES, "WordEmbeddings", "[" MODULE("0", "", ST "WordEmbeddings") "," SECOND "]",
     "\"WordEmbeddings\""},
    {CONFIG_MODULES, "someone else's module",
     "[" MODULE("0", "", "custom.Transformer") "," SECOND "]", "\"custom.Transformer\""},
    {CONFIG_MODULES, "pooling first",
     "[" MODULE("0", "1_Pooling", ST "Pooling") "," MODULE("1", "", ST "Transformer") "]",
     "module 0 is Pooling"},
    {CONFIG_MODULES, "normalised before pooling",
     "[" FIRST "," MODULE("1", "", ST "Normalize") "," MODULE("2", "1_Pooling", ST "Pooling") "]",
     "module 1 is Normalize"},
    {CONFIG_MODULES, "pooled twice",
     "[" FIRST "," SECOND "," MODULE("2", "2_Pooling", ST "Pooling") "]", "module 2 is Pooling"},
    {CONFIG_MODULES, "an idx out of order",
     "[" FIRST "," MODULE("2", "1_Pooling", ST "Pooling") "]", "\"idx\" 2"},
    {CONFIG_MODULES, "a transformer in its own folder",
     "[" MODULE("0", "0_Transformer", ST "Transformer") "," SECOND "]", NULL},
    {CONFIG_MODULES, "folders of any name",
     "[" MODULE("0", "enc/body/", ST "Transformer") "," MODULE("1", "pool", ST "Pooling") "]",
     NULL},
    {CONFIG_MODULES, "a transformer upwards",
     "[" MODULE("0", "0_Transformer/../..", ST "Transformer") "," SECOND "]",
     "\"0_Transformer/../..\""},
    {CONFIG_MODULES, "pooling without a folder", "[" FIRST "," MODULE("1", "", ST "Pooling") "]",
     "module 1 is \"\""},
    {CONFIG_MODULES, "a path past the maximum",
     "[" FIRST "," MODULE("1", "0123456789012345678901234567890123456789012345678901234567890123",
                          ST "Pooling") "]",
     "module 1"},
    {CONFIG_MODULES, "a path upwards", "[" FIRST "," MODULE("1", "../1_Pooling", ST "Pooling") "]",
     "\"../1_Pooling\""},
    {CONFIG_MODULES, "a path to the root", "[" FIRST "," MODULE("1", "/etc", ST "Pooling") "]",
     "\"/etc\""},
    {CONFIG_MODULES, "kwargs",
     "[" FIRST ",{\"type\":\"" ST "Pooling\",\"path\":\"1_Pooling\",\"kwargs\":[\"task\"]}]",
     "kwargs"},

    /* N_Pooling/config.json */
    {CONFIG_POOLING, "mean", DIM ",\"pooling_mode_mean_tokens\":true}", NULL},
    {CONFIG_POOLING, "nothing said", DIM "}", NULL},
    {CONFIG_POOLING, "cls",
     DIM ",\"pooling_mode_mean_tokens\":false,\"pooling_mode_cls_token\":true}", NULL},
    {CONFIG_POOLING, "by name", "{\"embedding_dimension\":32,\"pooling_mode\":\"cls\"}", NULL},
    {CONFIG_POOLING, "include_prompt", DIM ",\"include_prompt\":true}", NULL},
    {CONFIG_POOLING, "a prompt that is left out", DIM ",\"include_prompt\":false}", NULL},
    {CONFIG_POOLING, "include_prompt in words", DIM ",\"include_prompt\":\"no\"}",
     "\"include_prompt\""},
    {CONFIG_POOLING, "no mode", DIM ",\"pooling_mode_mean_tokens\":false}", "no pooling mode"},
    {CONFIG_POOLING, "another by name", DIM ",\"pooling_mode\":\"attention\"}", "\"attention\""},
    {CONFIG_POOLING, "another of several", DIM ",\"pooling_mode\":[\"mean\",\"min\"]}", "\"min\""},
    {CONFIG_POOLING, "one twice", DIM ",\"pooling_mode\":[\"mean\",\"cls\",\"mean\"]}",
     "\"mean\" twice"},
    {CONFIG_POOLING, "none of several", DIM ",\"pooling_mode\":[]}", "is empty"},
    {CONFIG_POOLING, "a mode of null", DIM ",\"pooling_mode\":null}", "pooling_mode"},
    {CONFIG_POOLING, "modes inside each other", DIM ",\"pooling_mode\":[[\"mean\"]]}",
     "pooling_mode"},
    {CONFIG_POOLING, "a flag of 1", DIM ",\"pooling_mode_cls_token\":1}", "pooling_mode_cls_token"},
    {CONFIG_POOLING, "an unknown mode", DIM ",\"pooling_mode_attention\":false}",
     "pooling_mode_attention"},
    {CONFIG_POOLING, "another dimension", "{\"word_embedding_dimension\":33}", "is 33"},
    {CONFIG_POOLING, "dimensions that disagree", DIM ",\"embedding_dimension\":64}", "is 64"},
    {CONFIG_POOLING, "no dimension", "{\"pooling_mode_mean_tokens\":true}", "is missing"},
    {CONFIG_POOLING, "a dimension of null", "{\"word_embedding_dimension\":null}", "is missing"},
    {CONFIG_POOLING, "an array", "[32]", "not a JSON object"},

    /* N_Dense/config.json */
    {DENSE, "the least", WIDTHS "}", NULL},
    {DENSE, "all of it",
     WIDTHS ",\"bias\":false,\"activation_function\":\"" TORCH
            "Tanh\",\"module_input_name\":\"sentence_embedding\",\"module_output_name\":"
            "\"sentence_embedding\",\"use_residual\":false}",
     NULL},
    {DENSE, "no output name", WIDTHS ",\"module_output_name\":null}", NULL},
    {DENSE, "no in_features", "{\"out_features\":48}", "\"in_features\" is missing"},
    {DENSE, "no out_features", "{\"in_features\":32}", "\"out_features\" is missing"},
    {DENSE, "other in_features", "{\"in_features\":31,\"out_features\":48}",
     "is 31, the module before it makes 32"},
    {DENSE, "no output", "{\"in_features\":32,\"out_features\":0}", "\"out_features\" is 0"},
    {DENSE, "too much output", "{\"in_features\":32,\"out_features\":16001}", "MODEL_DIM_MAX"},
    {DENSE, "another activation", WIDTHS ",\"activation_function\":\"" TORCH "Mish\"}",
     TORCH "Mish"},
    {DENSE, "an activation of another package", WIDTHS ",\"activation_function\":\"custom.Tanh\"}",
     "custom.Tanh"},
    {DENSE, "an activation of null", WIDTHS ",\"activation_function\":null}",
     "activation_function"},
    {DENSE, "a bias of 1", WIDTHS ",\"bias\":1}", "\"bias\""},
    {DENSE, "of each token", WIDTHS ",\"module_input_name\":\"token_embeddings\"}",
     "token_embeddings"},
    {DENSE, "to another name", WIDTHS ",\"module_output_name\":\"projected\"}", "projected"},
    {DENSE, "a residual", WIDTHS ",\"use_residual\":true}", "use_residual"},
    {DENSE, "an unknown member", WIDTHS ",\"dropout\":0.1}", "\"dropout\""},
    {DENSE, "an array", "[32]", "not a JSON object"},

    /* N_LayerNorm/config.json, N_Normalize/config.json */
    {LAYER_NORM, "a width", "{\"dimension\":32}", NULL},
    {LAYER_NORM, "no width", "{}", "\"dimension\" is missing"},
    {LAYER_NORM, "another width", "{\"dimension\":48}", "is 48, the module before it makes 32"},
    {LAYER_NORM, "another epsilon", "{\"dimension\":32,\"eps\":1e-12}", "\"eps\""},
    {NORMALIZE, "nothing", "{}", NULL},
    {NORMALIZE, "the names", "{\"module_input_name\":\"sentence_embedding\"}", NULL},
    {NORMALIZE, "another input", "{\"module_input_name\":\"token_embeddings\"}",
     "token_embeddings"},
    {NORMALIZE, "an unknown member", "{\"p\":1}", "\"p\""},

    /* sentence_bert_config.json */
    {CONFIG_SENTENCE, "a length", "{\"max_seq_length\":48,\"do_lower_case\":false}", NULL},
    {CONFIG_SENTENCE, "a length of null", "{\"max_seq_length\":null}", NULL},
    {CONFIG_SENTENCE, "empty", "{}", NULL},
    {CONFIG_SENTENCE, "later members",
     "{\"transformer_task\":\"feature-extraction\",\"module_output_name\":\"token_embeddings\"}",
     NULL},
    {CONFIG_SENTENCE, "a length of zero", "{\"max_seq_length\":0}", "max_seq_length"},
    {CONFIG_SENTENCE, "a length below zero", "{\"max_seq_length\":-1}", "max_seq_length"},
    {CONFIG_SENTENCE, "a length of two", "{\"max_seq_length\":2}", "max_seq_length"},
    {CONFIG_SENTENCE, "a length in words", "{\"max_seq_length\":\"256\"}", "max_seq_length"},
    {CONFIG_SENTENCE, "a fractional length", "{\"max_seq_length\":256.5}", "max_seq_length"},
    {CONFIG_SENTENCE, "an unknown member", "{\"max_seq_len\":256}", "max_seq_len"},
    {CONFIG_SENTENCE, "another task", "{\"transformer_task\":\"text-generation\"}",
     "\"text-generation\""},
    {CONFIG_SENTENCE, "another output", "{\"module_output_name\":\"logits\"}", "\"logits\""},

    /* tokenizer_config.json */
    {CONFIG_TOKENIZER, "a length", "{\"model_max_length\":512}", NULL},
    {CONFIG_TOKENIZER, "no length", "{}", NULL},
    {CONFIG_TOKENIZER, "a length in words", "{\"model_max_length\":\"512\"}", NULL},
    {CONFIG_TOKENIZER, "do_lower_case in words", "{\"do_lower_case\":\"yes\"}", "do_lower_case"},
    {CONFIG_TOKENIZER, "cut short", "{\"model_max_length\":", "line 1"},
    {CONFIG_TOKENIZER, "duplicate", "{\"a\":1,\"a\":2}", "duplicate"},

    /* config_sentence_transformers.json */
    {CONFIG_PROMPTS, "versions", "{\"__version__\":{\"pytorch\":\"2\"}}", NULL},
    {CONFIG_PROMPTS, "prompts, none by default",
     "{\"prompts\":{\"query\":\"query: \"},\"default_prompt_name\":null}", NULL},
    {CONFIG_PROMPTS, "an empty default prompt",
     "{\"prompts\":{\"document\":\"\"},\"default_prompt_name\":\"document\"}", NULL},
    {CONFIG_PROMPTS, "a default prompt",
     "{\"prompts\":{\"query\":\"query: \"},\"default_prompt_name\":\"query\"}", NULL},
    {CONFIG_PROMPTS, "a default prompt by the last of two keys",
     "{\"prompts\":{\"d\":3,\"d\":\"passage: \"},\"default_prompt_name\":\"d\"}", NULL},
    {CONFIG_PROMPTS, "a default prompt of null",
     "{\"prompts\":{\"d\":null},\"default_prompt_name\":\"d\"}", NULL},
    {CONFIG_PROMPTS, "a default prompt that is always there", "{\"default_prompt_name\":\"query\"}",
     NULL},
    {CONFIG_PROMPTS, "a default prompt that is missing",
     "{\"prompts\":{\"query\":\"\"},\"default_prompt_name\":\"passage\"}",
     "\"passage\" is missing"},
    {CONFIG_PROMPTS, "a default prompt that is a number",
     "{\"prompts\":{\"d\":3},\"default_prompt_name\":\"d\"}", "\"d\" is not a string"},
    {CONFIG_PROMPTS, "a default prompt with a NUL",
     "{\"prompts\":{\"d\":\"a\\u0000\"},\"default_prompt_name\":\"d\"}", "MODEL_PROMPT_MAX"},
    {CONFIG_PROMPTS, "components to keep", "{\"truncate_dim\":128}", NULL},
    {CONFIG_PROMPTS, "components to keep, all", "{\"truncate_dim\":null}", NULL},
    {CONFIG_PROMPTS, "no component to keep", "{\"truncate_dim\":0}", "\"truncate_dim\""},
    {CONFIG_PROMPTS, "components in words", "{\"truncate_dim\":\"all\"}", "\"truncate_dim\""},
    {CONFIG_PROMPTS, "another kind of model", "{\"model_type\":\"CrossEncoder\"}",
     "\"CrossEncoder\""},
};

static void config_lies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const struct config_case *c = &cases[i];
        struct config config, before;
        vecmill_err err = {0};
        config_init(&config);
        config.model.hidden = 32;
        if (c->file >= CONFIG_STEPS) config.model.ending = three_steps;
        before = config;
        vecmill_status status =
            config_parse(c->file, c->json, strlen(c->json), SHOWN, &config, &err);
        if (!c->says) {
            if (status != VECMILL_OK) fail_msg("%s: refused: %s", c->name, err.message);
            continue;
        }
        if (status != VECMILL_E_MODEL || err.status != VECMILL_E_MODEL) {
            fail_msg("%s: status %d, expected E_MODEL", c->name, (int)status);
        }
        if (!strstr(err.message, SHOWN) || !strstr(err.message, c->says)) {
            fail_msg("%s: the message does not say \"%s\": %s", c->name, c->says, err.message);
        }
        assert_memory_equal(&config, &before, sizeof(config));
    }
}

/* Every count of config.json with every bad value. */
static void count_lies(void **state)
{
    (void)state;
    static const char *const keys[] = {"num_hidden_layers",   "hidden_size",
                                       "num_attention_heads", "intermediate_size",
                                       "vocab_size",          "max_position_embeddings"};
    static const char *const values[] = {"0",      "-1",         "-9223372036854775808",
                                         "2.5",    "1e3",        "null",
                                         "\"12\"", "4294967295", "[1]",
                                         "true",   "4294967296"};
    enum { KEYS = sizeof(keys) / sizeof(*keys), VALUES = sizeof(values) / sizeof(*values) };
    for (int key = 0; key < KEYS; key++) {
        for (int value = -1; value < VALUES; value++) { /* -1: the key is left out */
            char json[1024], *at = json + sprintf(json, "{\"model_type\":\"bert\"");
            for (int k = 0; k < KEYS; k++) {
                if (k == key && value < 0) continue;
                at += sprintf(at, ",\"%s\":%s", keys[k], k == key ? values[value] : "4");
            }
            *at++ = '}';
            struct config config;
            vecmill_err err = {0};
            config_init(&config);
            vecmill_status status =
                config_parse(CONFIG_MODEL, json, (size_t)(at - json), SHOWN, &config, &err);
            if (status != VECMILL_E_MODEL || !strstr(err.message, keys[key])) {
                fail_msg("%.*s: status %d, message \"%s\"", (int)(at - json), json, (int)status,
                         err.message);
            }
        }
    }
}

static void parse_text(enum config_file file, const char *json, struct config *config)
{
    vecmill_err err;
    if (config_parse(file, json, strlen(json), SHOWN, config, &err) != VECMILL_OK) {
        fail_msg("%s: %s", json, err.message);
    }
}

static void expect_poolings(const struct config *config, const char *poolings)
{
    char text[MODEL_POOLING_TEXT];
    model_pooling_text(&config->model, text);
    assert_string_equal(text, poolings);
}

static void heads_must_divide(void **state)
{
    (void)state;
    static const char json[] =
        "{\"model_type\":\"bert\",\"num_hidden_layers\":1,\"hidden_size\":32,"
        "\"num_attention_heads\":5,\"intermediate_size\":4,\"vocab_size\":4,"
        "\"max_position_embeddings\":4}";
    struct config config;
    vecmill_err err;
    config_init(&config);
    assert_int_equal(config_parse(CONFIG_MODEL, json, strlen(json), SHOWN, &config, &err),
                     VECMILL_E_MODEL);
    assert_non_null(strstr(err.message, "32"));
    assert_non_null(strstr(err.message, "5"));
}

static void values_are_read(void **state)
{
    (void)state;
    struct config c;
    config_init(&c);
    expect_poolings(&c, "mean");
    assert_false(model_normalizes(&c.model));
    parse_text(CONFIG_MODEL, BERT ",\"layer_norm_eps\":1e-5}", &c);
    assert_int_equal(c.model.n_layers, 2);
    assert_int_equal(c.model.hidden, 32);
    assert_int_equal(c.model.n_heads, 4);
    assert_int_equal(c.model.intermediate, 64);
    assert_int_equal(c.model.vocab, 160);
    assert_int_equal(c.model.max_positions, 64);
    assert_int_equal(c.model.types, 2);
    assert_string_equal(c.model.family, "bert");
    assert_int_equal(c.model.act, GEMM_GELU_ERF); /* transformers' default, where no key has it */
    assert_int_equal(c.model.head_dim, 8);
    assert_int_equal(c.model.n_kv_heads, 4);
    assert_true(c.model.eps == 1e-5f);
    parse_text(CONFIG_MODULES, "[" FIRST "," MODULE("1", "3_Pooling", ST "Pooling") "," THIRD "]",
               &c);
    assert_true(c.has_pooling_file);
    assert_string_equal(c.pooling, "3_Pooling");
    assert_string_equal(c.transformer, "");
    assert_true(model_normalizes(&c.model));
    assert_string_equal(c.steps[0], "2_Normalize");
    char name[CONFIG_NAME_BYTES];
    config_name(&c, CONFIG_POOLING, name);
    assert_string_equal(name, "3_Pooling/config.json");
    parse_text(
        CONFIG_MODULES,
        "[" MODULE("0", "a/body/", ST "Transformer") "," MODULE("1", "b//", ST "Pooling") "]", &c);
    assert_false(model_normalizes(&c.model));
    static const char *const names[] = {"modules.json",
                                        "a/body/config.json",
                                        "b/config.json",
                                        "a/body/sentence_bert_config.json",
                                        "a/body/tokenizer_config.json",
                                        "config_sentence_transformers.json"};
    for (int i = 0; i < CONFIG_STEPS; i++) {
        config_name(&c, (enum config_file)i, name);
        assert_string_equal(name, names[i]);
    }
}

/* Spellings of a Pooling, and what sentence-transformers 6.2 makes of them. */
static void poolings_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *members, *poolings;
    } files[] = {
        {"", "mean"},
        {",\"pooling_mode\":\"cls\"", "cls"},
        {",\"pooling_mode\":\"max\"", "max"},
        {",\"pooling_mode\":\"mean_sqrt_len_tokens\"", "mean_sqrt_len_tokens"},
        {",\"pooling_mode\":\"weightedmean\"", "weightedmean"},
        {",\"pooling_mode\":\"lasttoken\"", "lasttoken"},
        {",\"pooling_mode\":[\"mean\"]", "mean"},
        /* an array is in its own order */
        {",\"pooling_mode\":[\"mean\",\"lasttoken\",\"cls\"]", "mean+lasttoken+cls"},
        /* flags count only without it */
        {",\"pooling_mode\":\"max\",\"pooling_mode_cls_token\":true", "max"},
        {",\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":false", "cls"},
        {",\"pooling_mode_max_tokens\":true", "max"},
        {",\"pooling_mode_mean_sqrt_len_tokens\":true", "mean_sqrt_len_tokens"},
        {",\"pooling_mode_weightedmean_tokens\":true", "weightedmean"},
        {",\"pooling_mode_lasttoken\":true,\"pooling_mode_mean_tokens\":true", "mean+lasttoken"},
        /* flags are in sentence-transformers' order */
        {",\"pooling_mode_lasttoken\":true,\"pooling_mode_weightedmean_tokens\":true,"
         "\"pooling_mode_mean_sqrt_len_tokens\":true,\"pooling_mode_mean_tokens\":true,"
         "\"pooling_mode_max_tokens\":true,\"pooling_mode_cls_token\":true",
         "cls+max+mean+mean_sqrt_len_tokens+weightedmean+lasttoken"},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        struct config c;
        char json[512];
        config_init(&c);
        c.model.hidden = 32;
        snprintf(json, sizeof json, DIM "%s}", files[i].members);
        parse_text(CONFIG_POOLING, json, &c);
        expect_poolings(&c, files[i].poolings);
    }
}

static void steps_are_read(void **state)
{
    (void)state;
    static const char *const acts[MODEL_ACTS] = {"linear.Identity", "activation.Tanh",
                                                 "activation.ReLU", "activation.GELU",
                                                 "activation.SiLU", "activation.Sigmoid"};
    struct config c;
    char json[256];
    config_init(&c);
    c.model.hidden = 32;
    c.model.ending = three_steps;
    struct model_step *dense = &c.model.ending.steps[0];
    for (uint32_t act = 0; act < MODEL_ACTS; act++) {
        snprintf(json, sizeof json, WIDTHS ",\"activation_function\":\"torch.nn.modules.%s\"}",
                 acts[act]);
        parse_text(DENSE, json, &c);
        assert_int_equal(dense->act, act);
    }
    parse_text(DENSE, WIDTHS "}", &c);
    assert_int_equal(dense->act, MODEL_ACT_TANH);
    assert_int_equal(dense->width, 48);
    assert_int_equal(dense->has_bias, 1);
    parse_text(DENSE, WIDTHS ",\"bias\":false}", &c);
    assert_int_equal(dense->has_bias, 0);
    parse_text(LAYER_NORM, "{\"dimension\":48}", &c);
    assert_int_equal(c.model.ending.steps[1].width, 48);
}

/* Without modules.json. */
static void default_poolings(void **state)
{
    (void)state;
    static const struct {
        const char *members, *poolings;
    } files[] = {
        {"", "mean"},
        {",\"architectures\":[\"BertForMaskedLM\"]", "mean"},
        {",\"architectures\":[\"BertForCausalLM\"]", "lasttoken"},
        {",\"architectures\":[\"BertForCausalLM\"],\"is_causal\":true", "lasttoken"},
        {",\"architectures\":[\"BertForCausalLM\"],\"is_causal\":false", "mean"},
        {",\"architectures\":[\"BertModel\",\"BertForCausalLM\"]", "mean"},
        {",\"architectures\":[]", "mean"},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        struct config c;
        char json[512];
        config_init(&c);
        snprintf(json, sizeof json, BERT "%s}", files[i].members);
        parse_text(CONFIG_MODEL, json, &c);
        expect_poolings(&c, files[i].poolings);
    }
}

/* sentence_bert_config.json, else the smallest usable of tokenizer_config.json, else the table. */
static void default_length(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *tokenizer;
        uint32_t want; /* of a table of 512; 0: refused */
    } lengths[] = {
        {"{\"max_seq_length\":256}", "{\"model_max_length\":128}", 256},
        {"{\"max_seq_length\":null}", "{\"model_max_length\":128}", 128},
        {"{}", "{\"model_max_length\":384,\"max_length\":128}", 128},
        {"{}", "{\"model_max_length\":128,\"max_length\":384}", 128},
        {"{}", "{\"model_max_length\":128,\"max_length\":null}", 128},
        {"{}", "{\"model_max_length\":1000000000000000019884624838656}", 512},
        {"{}", "{\"model_max_length\":1e30,\"max_length\":200}", 200},
        {"{}", "{\"model_max_length\":-1,\"max_length\":0}", 512},
        {"{}", "{\"model_max_length\":2147483648}", 512},
        {"{}", "{\"model_max_length\":300.5}", 512},
        {"{}", "{\"model_max_length\":1024}", 512},
        {"{}", "{}", 512},
        {"{\"max_seq_length\":512}", "{}", 512},
        {"{\"max_seq_length\":513}", "{}", 0},
    };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        struct config c;
        uint32_t length = 7;
        vecmill_err err;
        config_init(&c);
        parse_text(CONFIG_SENTENCE, lengths[i].sentence, &c);
        parse_text(CONFIG_TOKENIZER, lengths[i].tokenizer, &c);
        vecmill_status status = config_max_length(&c, 512, &length, &err);
        if (lengths[i].want) {
            assert_int_equal(status, VECMILL_OK);
            assert_int_equal(length, lengths[i].want);
        } else {
            assert_int_equal(status, VECMILL_E_MODEL);
            assert_int_equal(length, 7);
            assert_non_null(strstr(err.message, "513"));
            assert_non_null(strstr(err.message, "512"));
        }
    }
}

/* Every file, cut after each byte: refused or accepted, never read beyond. */
static void cut_anywhere(void **state)
{
    (void)state;
    static const char *const whole[CONFIG_FILES] = {
        [CONFIG_MODEL] = BERT ",\"hidden_act\":\"gelu\"}",
        [CONFIG_MODULES] = "[" FIRST "," SECOND "," THIRD "]",
        [CONFIG_POOLING] = DIM ",\"pooling_mode_mean_tokens\":true}",
        [CONFIG_SENTENCE] = "{\"max_seq_length\":48}",
        [CONFIG_TOKENIZER] = "{\"model_max_length\":512}",
        [CONFIG_PROMPTS] = "{\"default_prompt_name\":null}",
        [DENSE] = WIDTHS ",\"activation_function\":\"" TORCH "ReLU\"}",
        [LAYER_NORM] = "{\"dimension\":32}",
        [NORMALIZE] = "{\"module_input_name\":\"sentence_embedding\"}",
    };
    for (int file = 0; file < CONFIG_FILES; file++) {
        for (size_t bytes = 0; whole[file] && bytes < strlen(whole[file]); bytes++) {
            struct config c;
            vecmill_err err = {0};
            char *copy = (char *)malloc(bytes + 1); /* exact, so that ASan sees a read beyond */
            assert_non_null(copy);
            memcpy(copy, whole[file], bytes);
            config_init(&c);
            c.model.hidden = 32;
            c.model.ending = three_steps;
            assert_int_equal(config_parse((enum config_file)file, copy, bytes, SHOWN, &c, &err),
                             VECMILL_E_MODEL);
            assert_non_null(strstr(err.message, SHOWN));
            free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poolings_are_read), cmocka_unit_test(steps_are_read),
        cmocka_unit_test(default_poolings),  cmocka_unit_test(config_lies),
        cmocka_unit_test(count_lies),        cmocka_unit_test(heads_must_divide),
        cmocka_unit_test(values_are_read),   cmocka_unit_test(default_length),
        cmocka_unit_test(cut_anywhere),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    printf("model-config: %d named cases, and 72 counts\n", (int)(sizeof(cases) / sizeof(*cases)));
    printf("model-config: %d passed, %d failed\n", (int)(sizeof(tests) / sizeof(*tests)) - failed,
           failed);
    return failed;
}
