/* HTTP requests to the bridge, from the headers that libmicrohttpd has taken apart to the answer.
 * The input looks like a request: "METHOD /path?query VERSION", headers, an empty line, the body.
 * The bridge's client is closed, so that what is fit for the core gets 503. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "bridge.h"
#include "fake_microhttpd.h"
#include "fuzz.h"
#include "http.h"

#include "base/json.h"

#define MAX_PAYLOAD 262144
#define MAX_MEMORY (64 << 20)

static struct bridge bridge;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    char why[256];
    struct status status = STATUS_INIT;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    MUST(null >= 0 && dup2(null, STDOUT_FILENO) >= 0); /* log lines */
    close(null);
    log_init("fuzz", LOG_DEBUG, LOG_JSON);
    bridge.settings.max_payload = MAX_PAYLOAD;
    bridge.settings.max_memory = MAX_MEMORY;
    bridge.settings.max_calls = 1;
    bridge.settings.threads = 1;
    bridge_init(&bridge);
    MUST(origins_parse(&bridge.settings.cors, "https://*.example.com,*", why, sizeof(why)));
    MUST(hosts_parse(&bridge.settings.hosts, "h,*.example.com", why, sizeof(why)));
    MUST(address_ranges_parse(&bridge.settings.proxies, "10.0.0.0/8", why, sizeof(why)));
    bridge.settings.docs = GUARD_OPEN;
    bridge_close_client(&bridge);
    MUST(!http_start(&bridge, &status)); /* there is no libmicrohttpd: fake_microhttpd.h */
    return 0;
}

/* Cuts `text` at the first `separator`; what follows, or NULL when there is none. */
static char *cut(char *text, const char *separator)
{
    char *found = strstr(text, separator);
    if (!found)
        return NULL;
    *found = '\0';
    return found + strlen(separator);
}

static void add(struct http_fields *fields, char *name, char *value)
{
    if (fields->count < HTTP_MAX_FIELDS)
        fields->list[fields->count++] = (struct http_field){name, value};
}

static void read_query(struct http_fields *query, char *text)
{
    while (text) {
        char *rest = cut(text, "&");
        char *value = cut(text, "=");
        add(query, text, value);
        text = rest;
    }
}

/* `line` lives as long as the connection. */
static void read_request_line(struct MHD_Connection *connection, char *line)
{
    char *target = cut(line, " ");
    char *version = target ? cut(target, " ") : NULL;
    connection->method = line;
    connection->path = target && target[0] == '/' ? target : "/";
    connection->version = version ? version : MHD_HTTP_VERSION_1_1;
    if (target)
        read_query(&connection->query, cut(target, "?"));
}

static bool read_header(struct MHD_Connection *connection, char *line)
{
    if (!line[0])
        return false;
    char *value = cut(line, ":");
    if (value)
        add(&connection->headers, line, value + strspn(value, " \t"));
    return true;
}

static bool is_one_line(const char *text)
{
    return !strpbrk(text, "\r\n");
}

static void check_problem(const struct MHD_Connection *connection)
{
    const struct MHD_Response *response = connection->response;
    const char *type = http_field(&response->headers, "Content-Type");
    MUST(type && strcmp(type, "application/problem+json") == 0);
    MUST(connection->status != 500);
    if (connection->status == 503 || connection->status == 429)
        MUST(http_field(&response->headers, "Retry-After"));
    if (connection->status == 401)
        MUST(http_field(&response->headers, "WWW-Authenticate"));
    if (connection->status == 405)
        MUST(http_field(&response->headers, "Allow"));
}

static void check_answer(const struct MHD_Connection *connection)
{
    const struct MHD_Response *response = connection->response;
    const char *type = http_field(&response->headers, "Content-Type");
    MUST(connection->status >= 200 && connection->status < 600);
    for (size_t i = 0; i < response->headers.count; i++)
        MUST(is_one_line(response->headers.list[i].value));
    MUST(http_field(&response->headers, "X-Request-ID"));
    if (connection->status >= 400)
        check_problem(connection);
    struct json_value value;
    struct json_error error;
    if (type && strstr(type, "json") && !response->read_body)
        MUST(json_check(response->body, response->body_size, &value, &error) &&
             value.type == JSON_OBJECT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct MHD_Connection connection = {0};
    char *lines[HTTP_MAX_FIELDS + 1];
    size_t count = 0;
    lines[count] = input_text(&input);
    read_request_line(&connection, lines[count++]);
    while (count < HTTP_MAX_FIELDS) {
        lines[count] = input_text(&input);
        if (!read_header(&connection, lines[count++]))
            break;
    }
    connection.body = (const char *)input.next;
    connection.body_size = input.left;
    connection_serve(&connection);
    check_answer(&connection);
    MUST(atomic_load(&bridge.memory.budget.held) == 0 && atomic_load(&bridge.requests) == 0);
    MUST(atomic_load(&bridge.calls) == 0);
    connection_fini(&connection);
    while (count > 0)
        free(lines[--count]);
    return 0;
}
