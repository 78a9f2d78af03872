// Embeds the demo model with C23's #embed; the compiler copies the files, no script runs in the build.
//
// Owned by this target alone. Invariant: one constant array per file, 64-byte aligned, in the order of
// the table, and nothing is read from disk at run time.
#include "CSwiftletDemoModel.h"

#include <string.h>

#define EMBEDDED static const _Alignas(64) unsigned char

EMBEDDED config[] = {
#embed "model/config.json"
};
EMBEDDED generation_config[] = {
#embed "model/generation_config.json"
};
#ifndef SWIFTLET_WITHOUT_DEMO_MODEL
EMBEDDED weights[] = {
#embed "model/model.safetensors"
};
#endif
EMBEDDED tokenizer[] = {
#embed "model/tokenizer.json"
};
EMBEDDED tokenizer_config[] = {
#embed "model/tokenizer_config.json"
};

static const struct {
    const char *name;
    const unsigned char *bytes;
    size_t size;
} files[] = {
    {"config.json", config, sizeof config},
    {"generation_config.json", generation_config, sizeof generation_config},
#ifndef SWIFTLET_WITHOUT_DEMO_MODEL
    {"model.safetensors", weights, sizeof weights},
#endif
    {"tokenizer.json", tokenizer, sizeof tokenizer},
    {"tokenizer_config.json", tokenizer_config, sizeof tokenizer_config},
};

const void *swiftlet_demo_file(const char *name, size_t *size) {
    for (size_t index = 0; index < sizeof files / sizeof files[0]; index++) {
        if (strcmp(files[index].name, name) == 0) {
            if (size) *size = files[index].size;
            return files[index].bytes;
        }
    }
    if (size) *size = 0;
    return NULL;
}
