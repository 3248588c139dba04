/* What is kept of a pull, and its release. */
#include "pulls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "core_call.h"
#include "triggers/v1/subscriptions.pb-c.h"

#define RELEASE "triggers.v1.SubscriptionService/Release"
#define ID_SIZE (2 * 2 * sizeof(uint64_t) + 1)

struct request_pull {
    bool made; /* the id is ours */
    const char *id;
    char texts[]; /* the name, and the id behind it */
};

static struct request_pull *keep(const char *name, const char *id)
{
    size_t name_size = strlen(name) + 1;
    size_t id_size = strlen(id) + 1;
    struct request_pull *pull = calloc(1, sizeof(*pull) + name_size + id_size);
    if (!pull)
        return NULL;
    memcpy(pull->texts, name, name_size);
    memcpy(pull->texts + name_size, id, id_size);
    pull->id = pull->texts + name_size;
    return pull;
}

static void make_id(char id[ID_SIZE])
{
    uint64_t number[2];
    random_fill(number, sizeof(number));
    snprintf(id, ID_SIZE, "%016llx%016llx", (unsigned long long)number[0],
             (unsigned long long)number[1]);
}

bool pulls_note(struct request *request, ProtobufCMessage *message)
{
    if (message->descriptor != &triggers__v1__pull_request__descriptor)
        return true;
    Triggers__V1__PullRequest *asked = (Triggers__V1__PullRequest *)message;
    if (!request->pull) {
        char id[ID_SIZE];
        bool made = asked->pull_id[0] == '\0';
        make_id(id);
        request->pull = keep(asked->name, made ? id : asked->pull_id);
        if (!request->pull)
            return false;
        request->pull->made = made;
    }
    asked->pull_id = (char *)request->pull->id;
    return true;
}

/* Nobody waits for it: when it is lost too, the events come again after their lease. */
static void on_released(triggers_reply *reply, void *user_data)
{
    (void)user_data;
    triggers_reply_free(reply);
}

static void release(const struct request *request)
{
    struct bridge *bridge = request->bridge;
    const struct request_pull *pull = request->pull;
    triggers_call_options options = {0};
    Triggers__V1__ReleaseRequest message = TRIGGERS__V1__RELEASE_REQUEST__INIT;
    message.name = (char *)pull->texts;
    message.pull_id = (char *)pull->id;
    core_call_identify(request, &options);
    /* The client cannot be closed as long as this is a start. */
    bridge_enter(&bridge->starting);
    if (!atomic_load(&bridge->client_closed))
        triggers_call_async(bridge->client, RELEASE, &message.base, &options, on_released, NULL);
    bridge_leave(bridge, &bridge->starting);
}

void pulls_end(struct request *request, bool answered)
{
    const struct request_pull *pull = request->pull;
    if (!pull)
        return;
    bool got = answered && request->answer.status == 200;
    if (pull->made ? !got : request->ended == LOOP_HUNG_UP)
        release(request);
    free(request->pull);
    request->pull = NULL;
}
