/* Requests at a rate, whatever becomes of them, over connections from addresses of one's choice:
 * HTTP or the binary protocol, with keys that may be wrong. It does as little as it can for each,
 * as it shares the processors with what it measures. What is due while every connection has as many
 * requests under way as it may waits, and after a second is left out. Prints one line of JSON. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 4096
#define MAX_KEYS 1024
#define MAX_DEPTH 64
#define MAX_REQUEST 4096
#define MAX_ANSWER 65536
#define MAX_SAMPLES (1u << 21)
#define GREETING 8
#define LATE_US 1000000

struct request {
    size_t size;
    char bytes[MAX_REQUEST];
};

struct connection {
    int socket;
    struct sockaddr_in from;
    bool connected;
    bool greeted; /* of the binary protocol */
    unsigned first, count;
    int64_t due_us[MAX_DEPTH]; /* of those under way, a ring from `first` on */
    char out[MAX_REQUEST];     /* the rest of a request that did not fit into the socket */
    size_t out_size;
    char in[MAX_ANSWER];
    size_t in_size;
};

static struct connection *connections;
static long connection_count = 64, address_count = 1, depth = 1, rate = 1000;
static double seconds = 5;
static struct sockaddr_in server, first_address;
static bool http;
static const char *op = "create", *payload = "{}";
static char *keys[MAX_KEYS];
static size_t key_count;
static struct request *requests;
static size_t request_count;
static int events;
static uint32_t *latency_us;
static size_t sent, answered, good, left_out, lost, samples;

static void die(const char *what)
{
    fprintf(stderr, "flood: %s\n", what);
    exit(2);
}

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- requests ---- */

static void append(struct request *request, const void *bytes, size_t size)
{
    if (request->size + size > sizeof(request->bytes))
        die("the request is too long");
    memcpy(request->bytes + request->size, bytes, size);
    request->size += size;
}

/* A field of protobuf with bytes. */
static void append_field(struct request *request, int number, const void *bytes, size_t size)
{
    uint8_t head[4] = {(uint8_t)(number << 3 | 2), (uint8_t)(size & 0x7F), (uint8_t)(size >> 7)};
    size_t head_size = 2;
    if (size >> 14)
        die("a field is too long");
    if (size > 0x7F) {
        head[1] |= 0x80;
        head_size = 3;
    }
    append(request, head, head_size);
    append(request, bytes, size);
}

static void append_text(struct request *request, int number, const char *text)
{
    append_field(request, number, text, strlen(text));
}

/* An envelope as a message of SP's REQ, in a frame of tcp. */
static void make_binary(struct request *request, const char *key)
{
    bool creates = strcmp(op, "create") == 0;
    struct request envelope = {0}, entry = {0}, create = {0};
    append_text(&envelope, 1,
                creates                   ? "triggers.v1.EventService/CreateEvent"
                : strcmp(op, "list") == 0 ? "triggers.v1.EventService/ListInbox"
                                          : "triggers.health.v1.Health/Check");
    if (key) {
        char authorization[256];
        snprintf(authorization, sizeof(authorization), "Bearer %s", key);
        append_text(&entry, 1, "authorization");
        append_text(&entry, 2, authorization);
        append_field(&envelope, 3, entry.bytes, entry.size);
    }
    if (creates) {
        append_text(&create, 2, "billing");
        append_text(&create, 3, "invoice.paid");
        append_text(&create, 4, payload);
        append_field(&envelope, 4, create.bytes, create.size);
    }
    uint64_t length = 4 + envelope.size;
    for (int shift = 56; shift >= 0; shift -= 8)
        append(request, &(uint8_t){(uint8_t)(length >> shift)}, 1);
    append(request, "\x80\0\0\1", 4);
    append(request, envelope.bytes, envelope.size);
}

static void make_http(struct request *request, const char *key)
{
    char authorization[256] = "";
    if (key)
        snprintf(authorization, sizeof(authorization), "Authorization: Bearer %s\r\n", key);
    char body[MAX_REQUEST];
    int size = snprintf(body, sizeof(body),
                        "{\"source\":\"billing\",\"event_type\":\"invoice.paid\",\"payload\":%s}",
                        payload);
    if (strcmp(op, "create") == 0)
        size = snprintf(request->bytes, sizeof(request->bytes),
                        "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\n%s"
                        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                        authorization, size, body);
    else
        size = snprintf(
            request->bytes, sizeof(request->bytes), "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
            strcmp(op, "list") == 0 ? "/api/v1/inbox?limit=50" : "/health", authorization);
    request->size = (size_t)size;
}

static void make_requests(void)
{
    request_count = key_count ? key_count : 1;
    requests = calloc(request_count, sizeof(*requests));
    if (!requests)
        die("out of memory");
    for (size_t i = 0; i < request_count; i++)
        (http ? make_http : make_binary)(&requests[i], keys[i]);
}

/* ---- connections ---- */

static void watch(struct connection *connection, int how, uint32_t what)
{
    struct epoll_event event = {.events = what, .data.ptr = connection};
    if (epoll_ctl(events, how, connection->socket, &event) != 0)
        die(strerror(errno));
}

static void open_connection(struct connection *connection)
{
    int on = 1;
    connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connection->socket < 0)
        die(strerror(errno));
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(connection->socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(connection->socket, (struct sockaddr *)&connection->from, sizeof(connection->from)) !=
        0)
        die(strerror(errno));
    connection->connected = connection->greeted = false;
    connection->first = connection->count = 0;
    connection->out_size = connection->in_size = 0;
    if (connect(connection->socket, (struct sockaddr *)&server, sizeof(server)) != 0 &&
        errno != EINPROGRESS)
        die(strerror(errno));
    watch(connection, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void lose(struct connection *connection)
{
    lost++;
    close(connection->socket);
    open_connection(connection);
}

/* Sends, or keeps what does not fit. */
static void put(struct connection *connection, const char *bytes, size_t size)
{
    ssize_t done = send(connection->socket, bytes, size, MSG_NOSIGNAL);
    size_t rest = done < 0 ? size : size - (size_t)done;
    if (rest == 0)
        return;
    memcpy(connection->out, bytes + size - rest, rest);
    connection->out_size = rest;
    watch(connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void on_writable(struct connection *connection)
{
    char rest[MAX_REQUEST];
    size_t size = connection->out_size;
    if (!connection->connected) {
        connection->connected = true;
        if (!http) {
            memcpy(connection->out, "\0SP\0\0\x30\0\0", GREETING);
            size = GREETING;
        }
    }
    watch(connection, EPOLL_CTL_MOD, EPOLLIN);
    memcpy(rest, connection->out, size);
    connection->out_size = 0;
    if (size > 0)
        put(connection, rest, size);
}

static void note_answer(struct connection *connection, bool ok)
{
    if (connection->count == 0)
        die("an answer to nothing");
    int64_t took_us = now_us() - connection->due_us[connection->first];
    connection->first = (connection->first + 1) % MAX_DEPTH;
    connection->count--;
    answered++;
    good += ok;
    if (samples < MAX_SAMPLES)
        latency_us[samples++] = (uint32_t)took_us;
}

/* The size of the first answer; 0: it is not complete. */
static size_t take_http(struct connection *connection, char *in, size_t size)
{
    char *end = memmem(in, size, "\r\n\r\n", 4);
    if (!end || size < 12)
        return 0;
    *end = '\0';
    const char *length = strcasestr(in, "\r\ncontent-length:");
    *end = '\r';
    size_t whole = (size_t)(end - in) + 4 + (length ? strtoul(length + 17, NULL, 10) : 0);
    if (whole > size)
        return 0;
    note_answer(connection, in[9] == '2');
    return whole;
}

static size_t take_binary(struct connection *connection, const uint8_t *in, size_t size)
{
    if (!connection->greeted) {
        connection->greeted = size >= GREETING;
        return connection->greeted ? GREETING : 0;
    }
    size_t whole = size < 8 ? 0 : 8 + ((size_t)in[6] << 8 | in[7]);
    if (whole == 0 || whole > size)
        return 0;
    note_answer(connection, whole < 13 || in[12] != 1 << 3); /* a code other than OK comes first */
    return whole;
}

static void on_readable(struct connection *connection)
{
    ssize_t size = recv(connection->socket, connection->in + connection->in_size,
                        sizeof(connection->in) - connection->in_size, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0) {
        lose(connection);
        return;
    }
    connection->in_size += (size_t)size;
    size_t at = 0, taken;
    do {
        char *in = connection->in + at;
        size_t left = connection->in_size - at;
        taken = http ? take_http(connection, in, left)
                     : take_binary(connection, (const uint8_t *)in, left);
        at += taken;
    } while (taken > 0);
    memmove(connection->in, connection->in + at, connection->in_size - at);
    connection->in_size -= at;
}

static void handle_events(int wait_ms)
{
    struct epoll_event ready[256];
    int count = epoll_wait(events, ready, 256, wait_ms);
    for (int i = 0; i < count; i++) {
        struct connection *connection = ready[i].data.ptr;
        if (ready[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
            on_readable(connection);
        else if (ready[i].events & EPOLLOUT)
            on_writable(connection);
    }
}

/* ---- the schedule ---- */

/* The next one that may have another request; NULL: none. */
static struct connection *find_free(void)
{
    static long last;
    for (long i = 0; i < connection_count; i++) {
        struct connection *connection = &connections[last = (last + 1) % connection_count];
        if (connection->connected && connection->out_size == 0 &&
            connection->count < (unsigned)depth)
            return connection;
    }
    return NULL;
}

static void send_request(struct connection *connection, int64_t due_us)
{
    const struct request *request = &requests[sent++ % request_count];
    connection->due_us[(connection->first + connection->count++) % MAX_DEPTH] = due_us;
    put(connection, request->bytes, request->size);
}

static void run(void)
{
    int64_t start_us = now_us(), end_us = start_us + (int64_t)(seconds * 1e6), now;
    int64_t next = 0;
    while ((now = now_us()) < end_us) {
        int64_t due_us;
        while ((due_us = start_us + next * 1000000 / rate) <= now) {
            struct connection *connection = find_free();
            if (!connection && now - due_us < LATE_US)
                break;
            if (connection)
                send_request(connection, due_us);
            else
                left_out++;
            next++;
        }
        handle_events(1);
    }
}

/* ---- setting up and reporting ---- */

static void parse_url(const char *url)
{
    char host[64];
    unsigned port;
    http = strncmp(url, "http://", 7) == 0;
    if (sscanf(url, "%*[a-z]://%63[0-9.]:%u", host, &port) != 2 ||
        (!http && strncmp(url, "tcp://", 6) != 0))
        die("--url is tcp:// or http://, an IPv4 address and a port");
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &server.sin_addr);
}

static void read_keys(const char *path)
{
    FILE *file = fopen(path, "re");
    char key[200];
    if (!file)
        die(strerror(errno));
    while (key_count < MAX_KEYS && fscanf(file, "%199s", key) == 1)
        keys[key_count++] = strdup(key);
    fclose(file);
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"url", required_argument, NULL, 'u'},
        {"op", required_argument, NULL, 'o'},
        {"rate", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'},
        {"connections", required_argument, NULL, 'c'},
        {"depth", required_argument, NULL, 'd'},
        {"from", required_argument, NULL, 'f'},
        {"addresses", required_argument, NULL, 'a'},
        {"keys", required_argument, NULL, 'k'},
        {"payload", required_argument, NULL, 'p'},
        {0},
    };
    const char *from = "127.0.0.1";
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'u': parse_url(optarg); break;
        case 'o': op = optarg; break;
        case 'r': rate = atol(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'c': connection_count = atol(optarg); break;
        case 'd': depth = atol(optarg); break;
        case 'f': from = optarg; break;
        case 'a': address_count = atol(optarg); break;
        case 'k': read_keys(optarg); break;
        case 'p': payload = optarg; break;
        default: exit(2);
        }
    }
    if (!server.sin_port || rate < 1 || depth < 1 || depth > MAX_DEPTH || connection_count < 1 ||
        connection_count > MAX_CONNECTIONS || address_count < 1)
        die("--url, --rate at least 1, --depth 1 to 64, --connections 1 to 4096, --addresses at "
            "least 1");
    first_address = (struct sockaddr_in){.sin_family = AF_INET};
    if (inet_pton(AF_INET, from, &first_address.sin_addr) != 1)
        die("--from is an IPv4 address");
}

static void open_connections(void)
{
    connections = calloc((size_t)connection_count, sizeof(*connections));
    latency_us = calloc(MAX_SAMPLES, sizeof(*latency_us));
    events = epoll_create1(0);
    if (!connections || !latency_us || events < 0)
        die("out of memory");
    for (long i = 0; i < connection_count; i++) {
        uint32_t address = ntohl(first_address.sin_addr.s_addr) + (uint32_t)(i % address_count);
        connections[i].from = first_address;
        connections[i].from.sin_addr.s_addr = htonl(address);
        open_connection(&connections[i]);
    }
    for (int i = 0; i < 100; i++)
        handle_events(1);
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static uint32_t percentile(double share)
{
    return samples ? latency_us[(size_t)((double)(samples - 1) * share)] : 0;
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    if (strcmp(op, "create") != 0 && strcmp(op, "list") != 0 && strcmp(op, "health") != 0)
        die("--op is create, list or health");
    make_requests();
    open_connections();
    run();
    qsort(latency_us, samples, sizeof(*latency_us), compare);
    printf("{\"sent\": %zu, \"answered\": %zu, \"good\": %zu, \"left_out\": %zu, \"lost\": %zu, "
           "\"per_second\": %.1f, \"p50_us\": %u, \"p99_us\": %u}\n",
           sent, answered, good, left_out, lost, (double)answered / seconds, percentile(0.50),
           percentile(0.99));
    return 0;
}
