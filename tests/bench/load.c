/* The load generator of the benchmark for the binary protocol, on nothing but the public header of
 * libtriggers and the messages of subscriptions. Closed loop: every answer starts the next call.
 * With --rate: calls start on a schedule, and their latency counts from when they were due. Prints
 * one line of JSON. */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "triggers/v1/subscriptions.pb-c.h"
#include <triggers.h>

#define MAX_CLIENTS 1024
#define FOLLOWED 1024          /* creates at most that have not been followed */
#define MAX_SAMPLES (1u << 23) /* latencies kept; calls beyond are counted only */

struct load;

/* One call after another. */
struct lane {
    struct load *load;
    triggers_client *client;
    int64_t due_us;
    char created[TRIGGERS_ID_SIZE]; /* churn: what is acknowledged next; empty: nothing */
    triggers_reply *pulled;         /* consume: what is acknowledged next; NULL: nothing */
    char event_type[32];            /* of what it creates */
    char subscription[80];          /* from which it pulls */
    struct lane *next_free;
};

struct load {
    /* what to do */
    const char *url;
    const char *key; /* NULL: none */
    const char *op;
    void (*start)(struct lane *lane);
    long in_flight;
    long clients;
    long batch;
    long rate;  /* calls a second; 0: as many as are answered */
    long count; /* calls in all; 0: no limit */
    double seconds;
    char *payload;
    const char *source; /* of what is listed; NULL: any */
    const char *subscription;
    const char *begin; /* where the subscription begins, if it is new */
    long kinds;        /* of events; with several each has a subscription of its own */
    long wait_ms;      /* of a pull */
    bool handed;       /* who follows pulls from the subscription */
    char **ids;        /* for get and ack */
    size_t id_count;
    triggers_new_event *events; /* of one batch */
    const char *reader;         /* URL of the core at which is followed; NULL: of the same */
    triggers_client *follower;
    pthread_t following;
    int64_t position; /* it has followed up to here, at first the end of the log */
    atomic_int_fast64_t followed_due_us[FOLLOWED]; /* by sequence */
    int64_t last_sequence;                         /* of the creates */
    atomic_bool over;
    /* what happened */
    atomic_size_t started;
    atomic_size_t answered; /* before the end of the measurement */
    atomic_size_t items;    /* events that those calls created, settled or were about */
    atomic_size_t failed;
    atomic_size_t samples;
    uint32_t *latency_us;
    int64_t start_us;
    int64_t end_us;
    char first_error[256];
    /* under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    long busy;
    struct lane *free;
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void on_reply(triggers_reply *reply, void *data);

static void die(const char *what);

/* ---- operations ---- */

static triggers_new_event new_event(const struct load *load)
{
    return (triggers_new_event){
        .source = "billing",
        .event_type = "invoice.paid",
        .payload = load->payload,
        .payload_size = strlen(load->payload),
    };
}

/* Of the next kind. */
static void name_event(struct lane *lane, triggers_new_event *event)
{
    static atomic_long created;
    long kind = atomic_fetch_add(&created, 1) % lane->load->kinds;
    snprintf(lane->event_type, sizeof(lane->event_type), "kind.%ld", kind);
    event->event_type = lane->event_type;
}

static void start_create(struct lane *lane)
{
    triggers_new_event event = new_event(lane->load);
    if (lane->load->kinds > 1)
        name_event(lane, &event);
    triggers_create_async(lane->client, &event, NULL, on_reply, lane);
}

static void start_batch(struct lane *lane)
{
    triggers_create_batch_async(lane->client, lane->load->events, (size_t)lane->load->batch, NULL,
                                on_reply, lane);
}

/* The ids in order, and again from the first. */
static const char *next_id(struct load *load)
{
    static atomic_size_t taken;
    return load->ids[atomic_fetch_add(&taken, 1) % load->id_count];
}

static void start_get(struct lane *lane)
{
    triggers_get_async(lane->client, next_id(lane->load), NULL, on_reply, lane);
}

static void start_ack(struct lane *lane)
{
    triggers_ack_async(lane->client, next_id(lane->load), NULL, on_reply, lane);
}

static void list(struct lane *lane, int oldest_first)
{
    const struct load *load = lane->load;
    triggers_list_request request = {.oldest_first = oldest_first};
    request.filter.sources = &load->source;
    request.filter.source_count = load->source ? 1 : 0;
    triggers_list_async(lane->client, &request, NULL, on_reply, lane);
}

static void start_list(struct lane *lane)
{
    list(lane, 0);
}

static void start_oldest(struct lane *lane)
{
    list(lane, 1);
}

static void start_health(struct lane *lane)
{
    triggers_health_async(lane->client, NULL, on_reply, lane);
}

/* Creates an event, then acknowledges it. */
static void start_churn(struct lane *lane)
{
    if (!*lane->created)
        start_create(lane);
    else
        triggers_ack_async(lane->client, lane->created, NULL, on_reply, lane);
}

static void note_churned(struct lane *lane, const triggers_reply *reply)
{
    bool created = !*lane->created && reply->code == TRIGGERS_OK && reply->item_count == 1;
    snprintf(lane->created, sizeof(lane->created), "%s",
             created ? reply->items[0].event.event_id : "");
}

/* Creates events, one after the other, whose latency is that until one who waits for it has it. */
static void start_follow(struct lane *lane)
{
    struct load *load = lane->load;
    atomic_store(&load->followed_due_us[++load->last_sequence % FOLLOWED], lane->due_us);
    start_create(lane);
}

/* ---- subscriptions ---- */

static void start_pull(const struct load *load, const char *subscription, triggers_client *client,
                       triggers_callback *callback, void *data)
{
    Triggers__V1__PullRequest pull = TRIGGERS__V1__PULL_REQUEST__INIT;
    pull.name = (char *)subscription;
    pull.max_events = (uint32_t)load->batch;
    pull.wait_ms = (uint32_t)load->wait_ms;
    triggers_call_async(client, "triggers.v1.SubscriptionService/Pull", &pull.base, NULL, callback,
                        data);
}

static const Triggers__V1__PullResponse *pulled(const triggers_reply *reply)
{
    return (const Triggers__V1__PullResponse *)reply->message;
}

static void start_settle(const char *subscription, triggers_client *client,
                         const triggers_reply *reply, triggers_callback *callback, void *data)
{
    const Triggers__V1__PullResponse *response = pulled(reply);
    Triggers__V1__AckRequest ack = TRIGGERS__V1__ACK_REQUEST__INIT;
    char *ids[TRIGGERS_MAX_BATCH];
    ack.name = (char *)subscription;
    for (size_t i = 0; i < response->n_deliveries; i++)
        ids[i] = response->deliveries[i]->ack_id;
    ack.ack_ids = ids;
    ack.n_ack_ids = response->n_deliveries;
    triggers_call_async(client, "triggers.v1.SubscriptionService/Ack", &ack.base, NULL, callback,
                        data);
}

/* Pulls, then acknowledges what it has got. */
static void start_consume(struct lane *lane)
{
    if (!lane->pulled)
        start_pull(lane->load, lane->subscription, lane->client, on_reply, lane);
    else
        start_settle(lane->subscription, lane->client, lane->pulled, on_reply, lane);
}

/* Takes the reply of one of the two. */
static void note_consumed(struct lane *lane, triggers_reply *reply)
{
    bool good = reply->code == TRIGGERS_OK;
    if (lane->pulled) {
        if (good && now_us() <= lane->load->end_us)
            atomic_fetch_add(&lane->load->items, pulled(lane->pulled)->n_deliveries);
        triggers_reply_free(lane->pulled);
        lane->pulled = NULL;
    } else if (good && pulled(reply)->n_deliveries > 0) {
        lane->pulled = reply;
        return;
    }
    triggers_reply_free(reply);
}

static const struct {
    const char *name;
    void (*start)(struct lane *lane);
} OPERATIONS[] = {
    {"create", start_create},   {"batch", start_batch},   {"get", start_get},
    {"ack", start_ack},         {"list", start_list},     {"health", start_health},
    {"churn", start_churn},     {"oldest", start_oldest}, {"follow", start_follow},
    {"consume", start_consume}, {"handed", start_follow},
};

/* ---- the loop ---- */

static bool all_settled(const triggers_reply *reply, const triggers_error **error)
{
    static const triggers_error unsettled = {.reason = "UNSETTLED"};
    const Triggers__V1__AckResponse *response = (const Triggers__V1__AckResponse *)reply->message;
    *error = &unsettled;
    for (size_t i = 0; i < response->n_results; i++) {
        if (response->results[i]->error)
            return false;
    }
    return true;
}

static bool reply_is_good(const struct lane *lane, const triggers_reply *reply,
                          const triggers_error **error)
{
    *error = &reply->error;
    if (reply->code != TRIGGERS_OK)
        return false;
    if (lane->pulled)
        return all_settled(reply, error);
    for (size_t i = 0; i < reply->item_count; i++) {
        *error = &reply->items[i].error;
        if ((*error)->code != TRIGGERS_OK)
            return false;
    }
    return true;
}

static void add_sample(struct load *load, int64_t latency_us)
{
    size_t sample = atomic_fetch_add(&load->samples, 1);
    if (sample < MAX_SAMPLES)
        load->latency_us[sample] = (uint32_t)latency_us;
}

static void count_reply(struct load *load, const struct lane *lane, const triggers_reply *reply)
{
    const triggers_error *error;
    int64_t now = now_us();
    if (!reply_is_good(lane, reply, &error)) {
        if (atomic_fetch_add(&load->failed, 1) == 0)
            snprintf(load->first_error, sizeof(load->first_error), "%s", error->reason);
        return;
    }
    if (now > load->end_us)
        return;
    atomic_fetch_add(&load->answered, 1);
    if (load->start != start_consume)
        atomic_fetch_add(&load->items, load->start == start_batch ? (size_t)load->batch : 1);
    if (load->start != start_follow)
        add_sample(load, now - lane->due_us);
}

/* Reads what is there, or waits for a second. False: there was nothing. */
static bool follow_on(struct load *load, uint32_t wait_ms)
{
    triggers_log_request request = {.after_sequence = load->position, .wait_ms = wait_ms};
    triggers_reply *reply = triggers_list_events(load->follower, &request, NULL);
    int64_t now = now_us();
    size_t count = reply->item_count;
    if (reply->code != TRIGGERS_OK)
        die(reply->error.message);
    load->position = reply->next_after;
    for (size_t i = 0; i < count && wait_ms > 0; i++) {
        int64_t sequence = reply->items[i].event.sequence;
        add_sample(load, now - atomic_load(&load->followed_due_us[sequence % FOLLOWED]));
    }
    triggers_reply_free(reply);
    return count > 0;
}

/* The reply of one call, for who waits for it. */
struct mailbox {
    struct load *load;
    triggers_reply *reply;
    pthread_cond_t arrived;
};

#define MAILBOX_INIT(load)                                                                         \
    {                                                                                              \
        load, NULL, PTHREAD_COND_INITIALIZER                                                       \
    }

static void on_mail(triggers_reply *reply, void *data)
{
    struct mailbox *mailbox = data;
    struct load *load = mailbox->load;
    pthread_mutex_lock(&load->lock);
    mailbox->reply = reply;
    pthread_cond_signal(&mailbox->arrived);
    pthread_mutex_unlock(&load->lock);
}

static triggers_reply *await(struct mailbox *mailbox)
{
    struct load *load = mailbox->load;
    pthread_mutex_lock(&load->lock);
    while (!mailbox->reply)
        pthread_cond_wait(&mailbox->arrived, &load->lock);
    pthread_mutex_unlock(&load->lock);
    if (mailbox->reply->code != TRIGGERS_OK)
        die(mailbox->reply->error.message);
    return mailbox->reply;
}

/* As follow_on, but pulls from the subscription. */
static bool pull_on(struct load *load)
{
    struct mailbox mailbox = MAILBOX_INIT(load);
    struct mailbox settled = MAILBOX_INIT(load);
    start_pull(load, load->subscription, load->follower, on_mail, &mailbox);
    triggers_reply *reply = await(&mailbox);
    int64_t now = now_us();
    size_t count = pulled(reply)->n_deliveries;
    for (size_t i = 0; i < count; i++) {
        int64_t sequence = pulled(reply)->deliveries[i]->event->sequence;
        add_sample(load, now - atomic_load(&load->followed_due_us[sequence % FOLLOWED]));
    }
    if (count > 0) {
        start_settle(load->subscription, load->follower, reply, on_mail, &settled);
        triggers_reply_free(await(&settled));
    }
    triggers_reply_free(reply);
    return count > 0;
}

static void *follow(void *argument)
{
    struct load *load = argument;
    while ((load->handed ? pull_on(load) : follow_on(load, 1000)) || !atomic_load(&load->over))
        ;
    return NULL;
}

/* Of one kind of event if there are several, else of all. */
static void make_subscription(struct load *load, triggers_client *client, const char *name,
                              long kind)
{
    struct mailbox mailbox = MAILBOX_INIT(load);
    Triggers__V1__PutSubscriptionRequest put = TRIGGERS__V1__PUT_SUBSCRIPTION_REQUEST__INIT;
    Triggers__V1__SubscriptionFilter filter = TRIGGERS__V1__SUBSCRIPTION_FILTER__INIT;
    char event_type[32];
    char *event_types[] = {event_type};
    snprintf(event_type, sizeof(event_type), "kind.%ld", kind);
    filter.event_types = event_types;
    filter.n_event_types = 1;
    put.name = (char *)name;
    put.start = (char *)load->begin;
    put.filter = load->kinds > 1 ? &filter : NULL;
    triggers_call_async(client, "triggers.v1.SubscriptionService/PutSubscription", &put.base, NULL,
                        on_mail, &mailbox);
    triggers_reply_free(await(&mailbox));
}

static void make_subscriptions(struct load *load, struct lane *lanes)
{
    for (long i = 0; i < load->in_flight; i++) {
        const char *form = load->kinds > 1 ? "%s-%ld" : "%s";
        snprintf(lanes[i].subscription, sizeof(lanes[i].subscription), form, load->subscription,
                 i % load->kinds);
        if (i < load->kinds)
            make_subscription(load, lanes[i].client, lanes[i].subscription, i);
    }
}

static bool may_start(struct load *load)
{
    return now_us() < load->end_us &&
           (load->count == 0 || atomic_fetch_add(&load->started, 1) < (size_t)load->count);
}

static void park(struct lane *lane)
{
    struct load *load = lane->load;
    pthread_mutex_lock(&load->lock);
    lane->next_free = load->free;
    load->free = lane;
    load->busy--;
    pthread_cond_signal(&load->changed);
    pthread_mutex_unlock(&load->lock);
}

static void on_reply(triggers_reply *reply, void *data)
{
    struct lane *lane = data;
    struct load *load = lane->load;
    count_reply(load, lane, reply);
    if (load->start == start_churn)
        note_churned(lane, reply);
    if (load->start == start_consume)
        note_consumed(lane, reply);
    else
        triggers_reply_free(reply);
    if (load->rate > 0 || !may_start(load)) {
        park(lane);
        return;
    }
    lane->due_us = now_us();
    load->start(lane);
}

/* Waits for a lane that is not busy; it is busy from now on. */
static struct lane *take_lane(struct load *load)
{
    pthread_mutex_lock(&load->lock);
    while (!load->free)
        pthread_cond_wait(&load->changed, &load->lock);
    struct lane *lane = load->free;
    load->free = lane->next_free;
    load->busy++;
    pthread_mutex_unlock(&load->lock);
    return lane;
}

static void run_closed(struct load *load)
{
    for (long i = 0; i < load->in_flight && may_start(load); i++) {
        struct lane *lane = take_lane(load);
        lane->due_us = now_us();
        load->start(lane);
    }
}

static void run_on_schedule(struct load *load)
{
    for (int64_t call = 0;; call++) {
        int64_t due_us = load->start_us + call * 1000000 / load->rate;
        int64_t wait_us;
        if (due_us >= load->end_us)
            return;
        while ((wait_us = due_us - now_us()) > 0)
            nanosleep(&(struct timespec){.tv_nsec = wait_us < 500 ? wait_us * 1000 : 500000}, NULL);
        struct lane *lane = take_lane(load);
        lane->due_us = due_us;
        load->start(lane);
    }
}

static void wait_for_answers(struct load *load)
{
    pthread_mutex_lock(&load->lock);
    while (load->busy > 0)
        pthread_cond_wait(&load->changed, &load->lock);
    pthread_mutex_unlock(&load->lock);
}

/* ---- setting up and reporting ---- */

static void die(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(2);
}

static void *must(void *memory)
{
    if (!memory)
        die("out of memory");
    return memory;
}

/* One id a line. */
static void read_ids(struct load *load, const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file)
        die(strerror(errno));
    char id[TRIGGERS_ID_SIZE];
    size_t room = 0;
    while (fscanf(file, "%30s", id) == 1) {
        if (load->id_count == room) {
            room = room ? room * 2 : 1024;
            load->ids = must(realloc(load->ids, room * sizeof(*load->ids)));
        }
        load->ids[load->id_count++] = must(strdup(id));
    }
    fclose(file);
}

static void choose_operation(struct load *load)
{
    for (size_t i = 0; i < sizeof(OPERATIONS) / sizeof(OPERATIONS[0]); i++) {
        if (strcmp(OPERATIONS[i].name, load->op) == 0)
            load->start = OPERATIONS[i].start;
    }
    if (!load->start)
        die("--op must be create, batch, get, ack, list, oldest, health, churn, follow, consume or "
            "handed");
    if (load->id_count == 0 && (load->start == start_get || load->start == start_ack))
        die("get and ack need --ids FILE");
    if (load->start == start_follow && (load->rate == 0 || load->in_flight != 1))
        die("follow and handed need --rate, and --in-flight 1");
    load->handed = strcmp(load->op, "handed") == 0;
}

static void parse(struct load *load, int argc, char **argv)
{
    static const struct option options[] = {
        {"url", required_argument, NULL, 'u'},          {"op", required_argument, NULL, 'o'},
        {"in-flight", required_argument, NULL, 'f'},    {"clients", required_argument, NULL, 'c'},
        {"batch", required_argument, NULL, 'b'},        {"rate", required_argument, NULL, 'r'},
        {"count", required_argument, NULL, 'n'},        {"seconds", required_argument, NULL, 's'},
        {"payload", required_argument, NULL, 'p'},      {"ids", required_argument, NULL, 'i'},
        {"source", required_argument, NULL, 'S'},       {"reader", required_argument, NULL, 'R'},
        {"subscription", required_argument, NULL, 'N'}, {"start", required_argument, NULL, 'P'},
        {"kinds", required_argument, NULL, 'K'},        {"wait", required_argument, NULL, 'w'},
        {"key", required_argument, NULL, 'k'},          {0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'u': load->url = optarg; break;
        case 'o': load->op = optarg; break;
        case 'f': load->in_flight = atol(optarg); break;
        case 'c': load->clients = atol(optarg); break;
        case 'b': load->batch = atol(optarg); break;
        case 'r': load->rate = atol(optarg); break;
        case 'n': load->count = atol(optarg); break;
        case 's': load->seconds = atof(optarg); break;
        case 'p': load->payload = optarg; break;
        case 'i': read_ids(load, optarg); break;
        case 'S': load->source = optarg; break;
        case 'R': load->reader = optarg; break;
        case 'N': load->subscription = optarg; break;
        case 'P': load->begin = optarg; break;
        case 'K': load->kinds = atol(optarg); break;
        case 'w': load->wait_ms = atol(optarg); break;
        case 'k': load->key = optarg; break;
        default: exit(2);
        }
    }
    if (load->clients < 1 || load->clients > MAX_CLIENTS || load->in_flight < load->clients ||
        load->kinds < 1 || load->batch < 1 || load->batch > TRIGGERS_MAX_BATCH)
        die("--kinds at least 1, --clients 1 to 1024, --in-flight at least as many, --batch 1 to "
            "1000");
    choose_operation(load);
}

static triggers_client *open_client(const struct load *load, const char *url)
{
    triggers_client *client;
    char error[256];
    triggers_client_options options = {.url = url, .name = "bench", .api_key = load->key};
    options.max_in_flight = (uint32_t)load->in_flight;
    if (triggers_client_open(&client, &options, error, sizeof(error)) != TRIGGERS_OK)
        die(error);
    triggers_reply *reply = triggers_health(client, NULL);
    if (reply->code != TRIGGERS_OK)
        die(reply->error.message);
    triggers_reply_free(reply);
    return client;
}

static void start_following(struct load *load)
{
    load->follower = open_client(load, load->reader ? load->reader : load->url);
    while (follow_on(load, 0))
        ;
    load->last_sequence = load->position;
    if (pthread_create(&load->following, NULL, follow, load) != 0)
        die("no thread");
}

static void stop_following(struct load *load)
{
    atomic_store(&load->over, true);
    pthread_join(load->following, NULL);
    triggers_client_close(load->follower);
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static uint32_t percentile(const struct load *load, size_t samples, double share)
{
    return samples ? load->latency_us[(size_t)((double)(samples - 1) * share)] : 0;
}

static void report(struct load *load, double seconds)
{
    size_t samples = load->samples < MAX_SAMPLES ? load->samples : MAX_SAMPLES;
    qsort(load->latency_us, samples, sizeof(*load->latency_us), compare);
    printf("{\"calls\": %zu, \"per_second\": %.1f, \"failed\": %zu, \"first_error\": \"%s\", "
           "\"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u}\n",
           load->answered, (double)load->items / seconds, load->failed, load->first_error,
           percentile(load, samples, 0.50), percentile(load, samples, 0.99),
           percentile(load, samples, 1));
}

int main(int argc, char **argv)
{
    static struct load load = {.op = "create", .in_flight = 64, .clients = 1, .batch = 500};
    load.seconds = 5;
    load.subscription = "bench";
    load.begin = "latest";
    load.kinds = 1;
    load.wait_ms = 2000;
    load.payload = (char *)"{}";
    parse(&load, argc, argv);
    pthread_mutex_init(&load.lock, NULL);
    pthread_cond_init(&load.changed, NULL);
    load.latency_us = must(calloc(MAX_SAMPLES, sizeof(*load.latency_us)));
    load.events = must(calloc((size_t)load.batch, sizeof(*load.events)));
    for (long i = 0; i < load.batch; i++)
        load.events[i] = new_event(&load);
    triggers_client *clients[MAX_CLIENTS];
    for (long i = 0; i < load.clients; i++)
        clients[i] = open_client(&load, load.url);
    struct lane *lanes = must(calloc((size_t)load.in_flight, sizeof(*lanes)));
    for (long i = 0; i < load.in_flight; i++) {
        lanes[i] = (struct lane){
            .load = &load, .client = clients[i % load.clients], .next_free = load.free};
        load.free = &lanes[i];
    }
    if (load.start == start_consume || load.handed)
        make_subscriptions(&load, lanes);
    if (load.start == start_follow)
        start_following(&load);
    load.start_us = now_us();
    load.end_us = load.start_us + (int64_t)(load.seconds * 1e6);
    if (load.rate > 0)
        run_on_schedule(&load);
    else
        run_closed(&load);
    wait_for_answers(&load);
    if (load.start == start_follow)
        stop_following(&load);
    int64_t stopped_us = now_us() < load.end_us ? now_us() : load.end_us;
    for (long i = 0; i < load.clients; i++)
        triggers_client_close(clients[i]);
    report(&load, (double)(stopped_us - load.start_us) / 1e6);
    return load.failed > 0;
}
