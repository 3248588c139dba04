/* What the commands that deal with subscriptions share. */
#ifndef TRIGGERS_CLI_SUBSCRIPTION_CALLS_H
#define TRIGGERS_CLI_SUBSCRIPTION_CALLS_H

#include <protobuf-c/protobuf-c.h>

#include "cli.h"
#include "triggers/v1/subscriptions.pb-c.h"

/* Makes a call of the service by its name, such as "Seek". Returns its reply, or NULL after saying
 * why it failed; *code is the exit code. */
triggers_reply *subscription_call(triggers_client *client, const char *name,
                                  const ProtobufCMessage *request, int *code);

/* A position as the core takes it: times as people write them become those of RFC 3339, in `room`;
 * what is no time is returned as it is. */
#define POSITION_ROOM 32
const char *subscription_position(const char *text, char room[POSITION_ROOM]);
#define POSITION_ACCEPTED                                                                          \
    "latest, earliest, a sequence, a time such as 2026-01-31T12:00:00Z, or how long ago: 2h"

/* Microseconds since 1970; 0 for NULL. */
int64_t subscription_time_us(const Google__Protobuf__Timestamp *time);

#endif
