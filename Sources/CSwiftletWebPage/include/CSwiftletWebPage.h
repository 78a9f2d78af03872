// The chat page that the server shows at "/": the files of page/, inside of the binary and read-only.
//
// Invariant: the bytes live as long as the process.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A file of the page.
struct swiftlet_page_file {
    /// Its name in page/, without a folder.
    const char *_Nonnull name;
    const unsigned char *_Nonnull bytes;
    size_t size;
};

/// The files of the page, `count` of them.
const struct swiftlet_page_file *_Nonnull swiftlet_page_files(size_t *_Nonnull count);

#ifdef __cplusplus
}
#endif
