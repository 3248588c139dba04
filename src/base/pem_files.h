/* The files of certificates and keys: reading them, and noticing that they were replaced. */
#ifndef TRIGGERS_BASE_PEM_FILES_H
#define TRIGGERS_BASE_PEM_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PEM_FILES_MAX 3

/* What tells one state of a file from another; zeroed: there is no file. */
struct pem_file_stamp {
    uint64_t device;
    uint64_t inode;
    uint64_t size;
    int64_t changed_ns; /* of its bytes */
    int64_t touched_ns; /* of its inode */
};

struct pem_files {
    const char *paths[PEM_FILES_MAX]; /* set by the owner, and outlive it; NULL: none */
    struct pem_file_stamp stamps[PEM_FILES_MAX];
    bool changing; /* the last look found them changed */
};

/* Notes how the files are. Call it before they are read. */
void pem_files_note(struct pem_files *files);

/* Whether the files have changed since they were noted, and have not since the last look: a
 * certificate and its key are replaced one after the other. They are noted then. Call it about once
 * a second, on one thread. */
bool pem_files_have_changed(struct pem_files *files);

/* The whole of a file of at most 1 MiB, with a zero at its end; pem_text_free frees it. NULL with
 * INVALID_ARGUMENT and a text that names the file. */
char *pem_file_read(const char *path, struct status *status);

/* Wipes the text, which may be NULL, from memory. */
void pem_text_free(char *text);

#endif
