// The demo model that travels inside the binary: five files in Hugging Face's layout, read-only.
//
// Made by Tools/demo-model, described in Docs/DemoModel.md. Invariant: the bytes live as long as the
// process and start at a multiple of 64, so tensors of model.safetensors can be used in place.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The bytes of the embedded file with this name ("config.json", "generation_config.json",
/// "model.safetensors", "tokenizer.json" or "tokenizer_config.json") and, in `size`, how many there are.
/// NULL, and a size of 0, for any other name, and for the weights where the package's trait WithoutDemoModel left them
/// out. `size` may be NULL.
const void *_Nullable swiftlet_demo_file(const char *_Nonnull name, size_t *_Nullable size);

#ifdef __cplusplus
}
#endif
