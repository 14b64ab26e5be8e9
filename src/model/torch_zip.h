/* torch_zip: the directory of a zip archive as torch.save writes it.
 *
 * Layout (PKWARE APPNOTE 6.3): entries, each a local header and its bytes; the central directory,
 * which has every name, size and place; an end record. Archives of more than 65,535 entries or 4 GiB
 * have zip64's end record and locator as well; torch always writes them. All names begin with one
 * folder, the archive's own ("pytorch_model/data.pkl").
 *
 * Entries are stored, never compressed, so that a tensor is a range of the file. Checked before
 * anything is handed out: both end records agree; the directory ends where they begin and has the
 * entries they state; every name is relative, below the one folder, and there once; every local
 * header says the same; no two entries share a byte. Checksums are not compared: that would read
 * all weights. */
#ifndef MODEL_TORCH_ZIP_H
#define MODEL_TORCH_ZIP_H

#include "base/base.h"

#define TORCH_ENTRIES_MAX   4352u      /* MODEL_TENSORS_MAX, and 256 that are no tensors */
#define TORCH_DIRECTORY_MAX (2u << 20) /* bytes */
#define TORCH_NAME_MAX      256u       /* bytes of an entry's name */

struct torch_entry {
    uint64_t header, at, bytes; /* where its local header and its bytes begin in the file */
    const char *name;           /* in the directory, no NUL after it */
    uint32_t name_bytes;
};

struct torch_zip {
    char *directory;
    uint64_t directory_at, directory_bytes;
    struct torch_entry *entries; /* by name */
    uint32_t n;
    uint32_t folder_bytes; /* of the archive's folder in every name, with its slash */
};

/* Reads the directory and every local header. E_MODEL. Memory: directory_bytes, and n entries. Pair:
 * torch_zip_close, also after a failure. The caller provides *zip. */
vecmill_status torch_zip_open(int fd, uint64_t file_bytes, const char *path, struct torch_zip *zip,
                              vecmill_err *err);
void torch_zip_close(struct torch_zip *zip);

/* The entry of this name below the archive's folder ("data/17"), or NULL. */
const struct torch_entry *torch_zip_find(const struct torch_zip *zip, const char *name);

#endif
