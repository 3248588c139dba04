/* The load generator of the benchmark for the binary protocol, on nothing but the public header of
 * libtriggers. Closed loop: every answer starts the next call. With --rate: calls start on a
 * schedule, and their latency counts from when they were due. Prints one line of JSON. */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <triggers.h>

#define MAX_CLIENTS 1024
#define MAX_SAMPLES (1u << 23) /* latencies kept; calls beyond are counted only */

struct load;

/* One call after another. */
struct lane {
    struct load *load;
    triggers_client *client;
    int64_t due_us;
    char created[TRIGGERS_ID_SIZE]; /* churn: what is acknowledged next; empty: nothing */
    struct lane *next_free;
};

struct load {
    /* what to do */
    const char *url;
    const char *op;
    void (*start)(struct lane *lane);
    long in_flight;
    long clients;
    long batch;
    long rate;  /* calls a second; 0: as many as are answered */
    long count; /* calls in all; 0: no limit */
    double seconds;
    char *payload;
    char **ids; /* for get and ack */
    size_t id_count;
    triggers_new_event *events; /* of one batch */
    /* what happened */
    atomic_size_t started;
    atomic_size_t answered; /* before the end of the measurement */
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

static void start_create(struct lane *lane)
{
    triggers_new_event event = new_event(lane->load);
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

static void start_list(struct lane *lane)
{
    triggers_list_async(lane->client, NULL, NULL, on_reply, lane);
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

static const struct {
    const char *name;
    void (*start)(struct lane *lane);
} OPERATIONS[] = {
    {"create", start_create}, {"batch", start_batch},   {"get", start_get},     {"ack", start_ack},
    {"list", start_list},     {"health", start_health}, {"churn", start_churn},
};

/* ---- the loop ---- */

static bool reply_is_good(const triggers_reply *reply, const triggers_error **error)
{
    *error = &reply->error;
    if (reply->code != TRIGGERS_OK)
        return false;
    for (size_t i = 0; i < reply->item_count; i++) {
        *error = &reply->items[i].error;
        if ((*error)->code != TRIGGERS_OK)
            return false;
    }
    return true;
}

static void count_reply(struct load *load, const struct lane *lane, const triggers_reply *reply)
{
    const triggers_error *error;
    int64_t now = now_us();
    if (!reply_is_good(reply, &error)) {
        if (atomic_fetch_add(&load->failed, 1) == 0)
            snprintf(load->first_error, sizeof(load->first_error), "%s", error->reason);
        return;
    }
    if (now > load->end_us)
        return;
    atomic_fetch_add(&load->answered, 1);
    size_t sample = atomic_fetch_add(&load->samples, 1);
    if (sample < MAX_SAMPLES)
        load->latency_us[sample] = (uint32_t)(now - lane->due_us);
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
        die("--op must be create, batch, get, ack, list, health or churn");
    if (load->id_count == 0 && (load->start == start_get || load->start == start_ack))
        die("get and ack need --ids FILE");
}

static void parse(struct load *load, int argc, char **argv)
{
    static const struct option options[] = {
        {"url", required_argument, NULL, 'u'},
        {"op", required_argument, NULL, 'o'},
        {"in-flight", required_argument, NULL, 'f'},
        {"clients", required_argument, NULL, 'c'},
        {"batch", required_argument, NULL, 'b'},
        {"rate", required_argument, NULL, 'r'},
        {"count", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'},
        {"payload", required_argument, NULL, 'p'},
        {"ids", required_argument, NULL, 'i'},
        {0},
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
        default: exit(2);
        }
    }
    if (load->clients < 1 || load->clients > MAX_CLIENTS || load->in_flight < load->clients ||
        load->batch < 1 || load->batch > TRIGGERS_MAX_BATCH)
        die("--clients 1 to 1024, --in-flight at least as many, --batch 1 to 1000");
    choose_operation(load);
}

static triggers_client *open_client(const struct load *load)
{
    triggers_client *client;
    char error[256];
    triggers_client_options options = {.url = load->url, .name = "bench"};
    options.max_in_flight = (uint32_t)load->in_flight;
    if (triggers_client_open(&client, &options, error, sizeof(error)) != TRIGGERS_OK)
        die(error);
    triggers_reply *reply = triggers_health(client, NULL);
    if (reply->code != TRIGGERS_OK)
        die(reply->error.message);
    triggers_reply_free(reply);
    return client;
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
    size_t items = load->answered * (load->start == start_batch ? (size_t)load->batch : 1);
    printf("{\"calls\": %zu, \"per_second\": %.1f, \"failed\": %zu, \"first_error\": \"%s\", "
           "\"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u}\n",
           load->answered, (double)items / seconds, load->failed, load->first_error,
           percentile(load, samples, 0.50), percentile(load, samples, 0.99),
           percentile(load, samples, 1));
}

int main(int argc, char **argv)
{
    static struct load load = {.op = "create", .in_flight = 64, .clients = 1, .batch = 500};
    load.seconds = 5;
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
        clients[i] = open_client(&load);
    struct lane *lanes = must(calloc((size_t)load.in_flight, sizeof(*lanes)));
    for (long i = 0; i < load.in_flight; i++) {
        lanes[i] = (struct lane){
            .load = &load, .client = clients[i % load.clients], .next_free = load.free};
        load.free = &lanes[i];
    }
    load.start_us = now_us();
    load.end_us = load.start_us + (int64_t)(load.seconds * 1e6);
    if (load.rate > 0)
        run_on_schedule(&load);
    else
        run_closed(&load);
    wait_for_answers(&load);
    int64_t stopped_us = now_us() < load.end_us ? now_us() : load.end_us;
    for (long i = 0; i < load.clients; i++)
        triggers_client_close(clients[i]);
    report(&load, (double)(stopped_us - load.start_us) / 1e6);
    return load.failed > 0;
}
