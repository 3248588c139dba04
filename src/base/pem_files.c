/* Files are compared by what stat(2) tells, so nothing is read while nothing changes. */
#include "base/pem_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_SIZE (1u << 20)
#define NS_PER_S 1000000000

static int64_t to_ns(struct timespec time)
{
    return (int64_t)time.tv_sec * NS_PER_S + time.tv_nsec;
}

static void read_stamps(const struct pem_files *files, struct pem_file_stamp stamps[PEM_FILES_MAX])
{
    memset(stamps, 0, PEM_FILES_MAX * sizeof(*stamps));
    for (size_t i = 0; i < PEM_FILES_MAX; i++) {
        struct stat found;
        if (!files->paths[i] || stat(files->paths[i], &found) != 0)
            continue;
        stamps[i] = (struct pem_file_stamp){.device = found.st_dev,
                                            .inode = found.st_ino,
                                            .size = (uint64_t)found.st_size,
                                            .changed_ns = to_ns(found.st_mtim),
                                            .touched_ns = to_ns(found.st_ctim)};
    }
}

void pem_files_note(struct pem_files *files)
{
    read_stamps(files, files->stamps);
    files->changing = false;
}

bool pem_files_have_changed(struct pem_files *files)
{
    struct pem_file_stamp now[PEM_FILES_MAX];
    read_stamps(files, now);
    bool same = memcmp(now, files->stamps, sizeof(now)) == 0;
    bool settled = same && files->changing;
    memcpy(files->stamps, now, sizeof(now));
    files->changing = !same;
    return settled;
}

char *pem_file_read(const char *path, struct status *status)
{
    FILE *file = fopen(path, "re");
    char *text = file ? malloc(MAX_SIZE + 1) : NULL;
    size_t size = text ? fread(text, 1, MAX_SIZE, file) : 0;
    bool failed = !text || ferror(file) || size == MAX_SIZE;
    int error = size == MAX_SIZE ? EFBIG : errno;
    if (file)
        fclose(file);
    if (!failed) {
        text[size] = '\0';
        return text;
    }
    free(text);
    status_fail(status, STATUS_INVALID_ARGUMENT, "TLS_FILE", "cannot read %s: %s", path,
                strerror(error));
    return NULL;
}

void pem_text_free(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}
