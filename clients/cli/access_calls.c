#include "access_calls.h"

#include <stdio.h>
#include <string.h>

#include "message_json.h"
#include "print.h"

triggers_reply *access_call(triggers_client *client, const char *name,
                            const ProtobufCMessage *request, int *code)
{
    char method[80];
    snprintf(method, sizeof(method), "triggers.v1.AccessService/%s", name);
    triggers_reply *reply = triggers_call(client, method, request, NULL);
    *code = EXIT_DONE;
    if (reply->code == TRIGGERS_OK)
        return reply;
    *code = cli_fail(&reply->error, NULL);
    triggers_reply_free(reply);
    return NULL;
}

static void name_actions(const struct access_action *actions, char *out, size_t size)
{
    out[0] = '\0';
    for (size_t used = 0; actions->name && used < size; actions++)
        used += (size_t)snprintf(out + used, size - used, "%s%s",
                                 used == 0             ? ""
                                 : (actions + 1)->name ? ", "
                                                       : " and ",
                                 actions->name);
}

const struct access_action *access_find_action(const char *command,
                                               const struct access_action *actions, int count,
                                               char **words)
{
    const struct access_action *action = actions;
    char accepted[160];
    if (count == 0)
        return action;
    while (action->name && strcmp(action->name, words[0]) != 0)
        action++;
    if (!action->name) {
        name_actions(actions, accepted, sizeof(accepted));
        cli_usage("%s does not know '%s'; accepted: %s", command, words[0], accepted);
        return NULL;
    }
    if (count == 1 + action->words)
        return action;
    cli_usage(action->words == 0 ? "%s %s takes no further words" : "%s %s takes one name or id",
              command, action->name);
    return NULL;
}

void access_print_json(const ProtobufCMessage *message)
{
    print_message_json(message);
    putchar('\n');
}

void access_print_part(const char *name, const char *text)
{
    print_part(name, text, strlen(text));
}

static void format_time(const Google__Protobuf__Timestamp *time, char text[PRINT_TIME_SIZE])
{
    print_format_time(time->seconds * 1000000, text);
    char *point = strchr(text, '.');
    if (point)
        memcpy(point, "Z", 2);
}

void access_print_time(const char *name, const Google__Protobuf__Timestamp *time)
{
    char text[PRINT_TIME_SIZE];
    if (!time)
        return;
    format_time(time, text);
    access_print_part(name, text);
}

void access_print_time_cell(const Google__Protobuf__Timestamp *time)
{
    char text[PRINT_TIME_SIZE] = "-";
    if (time)
        format_time(time, text);
    print_cell(text, ACCESS_TIME_WIDTH);
}
