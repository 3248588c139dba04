/* The settings of triggers-import, from environment and flags. */
#ifndef TRIGGERS_IMPORT_SETTINGS_H
#define TRIGGERS_IMPORT_SETTINGS_H

#include "base/config.h"
#include "base/log.h"
#include "events/store_settings.h"

struct import_settings {
    const char *import_from; /* NULL: not given */
    struct store_settings store;
    enum log_level log_level;
    enum log_format log_format;
    int core_dumps; /* 0: off */
};

/* See config_load. */
enum config_result import_settings_load(struct import_settings *settings, int argc, char **argv);

#endif
