/* What the commands that deal with tenants, keys and audit records share. */
#ifndef TRIGGERS_CLI_ACCESS_CALLS_H
#define TRIGGERS_CLI_ACCESS_CALLS_H

#include <protobuf-c/protobuf-c.h>

#include "cli.h"
#include "triggers/v1/access.pb-c.h"

/* The tenant that there always is, for which a command works unless it is told another. */
#define TENANT_DEFAULT "default"

/* Makes a call of the service by its name, such as "CreateKey". Returns its reply, or NULL after
 * saying why it failed; *code is the exit code. */
triggers_reply *access_call(triggers_client *client, const char *name,
                            const ProtobufCMessage *request, int *code);

/* One of the first words of a command. */
struct access_action {
    const char *name;
    int (*run)(triggers_client *client, char **words);
    int words;     /* after its name */
    unsigned with; /* options that go with it: bits that the command chooses */
};

/* Finds the action of the first word; `actions` ends with a zeroed entry. Without words it is the
 * first one. NULL after saying what is wrong with the words. */
const struct access_action *access_find_action(const char *command,
                                               const struct access_action *actions, int count,
                                               char **words);

/* Prints a message: one line of JSON. */
void access_print_json(const ProtobufCMessage *message);

/* A line of a thing's details. */
void access_print_part(const char *name, const char *text);
/* The same with a time; nothing for NULL. */
void access_print_time(const char *name, const Google__Protobuf__Timestamp *time);

/* A cell with a time, or "-" for NULL, to the second; its width. */
#define ACCESS_TIME_WIDTH 20
void access_print_time_cell(const Google__Protobuf__Timestamp *time);

#endif
