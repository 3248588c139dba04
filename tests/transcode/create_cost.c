/* What the JSON of a create costs the bridge: by hand (hand_made.h), as it is, and through the
 * transcoder. Both ways take turns: a body becomes the packed request, and the packed response the
 * answer. Prints their fastest rounds. For a release build; it judges nothing. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "hand_made.h"
#include "transcode.h"
#include "triggers/v1/events.pb-c.h"

#define ROUNDS 200
#define CREATES 2000 /* of a round */
#define TEXT_CAP (1u << 20)

typedef Triggers__V1__CreateEventRequest Request;
typedef Triggers__V1__CreateEventResponse Response;

/* As many bytes of payload as the benchmark's events have. */
static const char BODY[] =
    "{\"source\": \"billing\", \"event_type\": \"invoice.paid\", \"payload\": {\"invoice\": "
    "\"in_1P8sYk2eZvKYlo2C\", \"customer\": {\"name\": \"Ada Lovelace\", \"email\": "
    "\"ada@example.com\", \"country\": \"GB\"}, \"amount\": 129900, \"currency\": \"gbp\", "
    "\"paid\": true, \"lines\": [{\"sku\": \"A-1\", \"quantity\": 3}, {\"sku\": \"B-2\", "
    "\"quantity\": 1}], \"note\": null}}";

static uint8_t response[256];
static size_t response_size;

static size_t pack(const Request *request)
{
    static uint8_t packed[4096];
    CHECK(triggers__v1__create_event_request__get_packed_size(request) <= sizeof(packed));
    return triggers__v1__create_event_request__pack(request, packed);
}

static void read_by_hand(const struct json_value *value, struct arena *arena)
{
    Request request = TRIGGERS__V1__CREATE_EVENT_REQUEST__INIT;
    struct hand_made_errors errors;
    triggers_new_event event;
    CHECK(hand_made_read_event(value, arena, false, &event, &errors) == HAND_MADE_OK);
    request.source = (char *)event.source;
    request.event_type = (char *)event.event_type;
    request.payload = (ProtobufCBinaryData){event.payload_size, (uint8_t *)event.payload};
    CHECK(pack(&request) > 0);
}

static void write_by_hand(const Response *message, struct buffer *text)
{
    static const struct bridge_settings settings;
    triggers_event event = {
        .event_id = message->event_id,
        .created_at_us = message->created_at->seconds * 1000000 + message->created_at->nanos / 1000,
    };
    hand_made_write_created(text, &event, "Event successfully ingested", &settings);
}

static void read_transcoded(const struct json_value *value, struct arena *arena)
{
    struct transcode_errors errors = {.count = 0};
    Request *request = arena_calloc(arena, 1, sizeof(*request));
    CHECK(request);
    triggers__v1__create_event_request__init(request);
    CHECK(transcode_read(value, "*", &request->base, arena, &errors) == TRANSCODE_OK);
    CHECK(pack(request) > 0);
}

static void write_transcoded(const Response *message, struct buffer *text)
{
    transcode_write(text, &message->base, true);
}

struct way {
    const char *name;
    void (*read)(const struct json_value *value, struct arena *arena);
    void (*write)(const Response *message, struct buffer *text);
    double fastest_ns; /* a create of its fastest round */
};

static void create(const struct way *way, struct arena *arena)
{
    struct json_value value;
    struct json_error error;
    struct buffer text;
    CHECK(json_check(BODY, strlen(BODY), &value, &error));
    way->read(&value, arena);
    Response *message = triggers__v1__create_event_response__unpack(NULL, response_size, response);
    CHECK(message);
    buffer_init(&text, TEXT_CAP);
    way->write(message, &text);
    CHECK(!text.failed);
    buffer_fini(&text);
    triggers__v1__create_event_response__free_unpacked(message, NULL);
    arena_reset(arena);
}

static double run_round(const struct way *way, struct arena *arena)
{
    int64_t start_us = clock_monotonic_us();
    for (int i = 0; i < CREATES; i++)
        create(way, arena);
    return (double)(clock_monotonic_us() - start_us) * 1000 / CREATES;
}

static void pack_response(void)
{
    Google__Protobuf__Timestamp time = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Response message = TRIGGERS__V1__CREATE_EVENT_RESPONSE__INIT;
    time.seconds = 1769903999;
    time.nanos = 123456000;
    message.event_id = (char *)"evt_01m850a1gkeqks3c6cjtrzbswk";
    message.created_at = &time;
    response_size = triggers__v1__create_event_response__pack(&message, response);
}

int main(void)
{
    struct way ways[] = {{"by hand", read_by_hand, write_by_hand, 1e9},
                         {"transcoded", read_transcoded, write_transcoded, 1e9}};
    struct arena arena;
    arena_init(&arena, TEXT_CAP);
    pack_response();
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < 2; i++) {
            double ns = run_round(&ways[i], &arena);
            ways[i].fastest_ns = ns < ways[i].fastest_ns ? ns : ways[i].fastest_ns;
        }
    }
    arena_fini(&arena);
    for (size_t i = 0; i < 2; i++)
        printf("a create's JSON %s: %.0f ns\n", ways[i].name, ways[i].fastest_ns);
    printf("transcoded, it takes %.2f times as long\n", ways[1].fastest_ns / ways[0].fastest_ns);
    return 0;
}
