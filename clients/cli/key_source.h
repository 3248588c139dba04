/* Who calls: the key that the environment has, or says where to find. It is never an argument, as
 * those are shown to every user of the machine. */
#ifndef TRIGGERS_CLI_KEY_SOURCE_H
#define TRIGGERS_CLI_KEY_SOURCE_H

#include <stdbool.h>

#include "triggers.h"

#define KEY_SOURCE_SETTINGS                                                                        \
    "TRIGGERS_API_KEY, TRIGGERS_API_KEY_FILE or TRIGGERS_API_KEY_COMMAND, a command that prints "  \
    "it"

/* Sets the key of the options, or where it comes from, as the environment says; without any of the
 * settings there is none. False after saying on stderr what is wrong with them. */
bool key_source_fill(triggers_client_options *options);

/* The setting that is used, such as "TRIGGERS_API_KEY_FILE"; NULL: none. */
const char *key_source_setting(void);

#endif
