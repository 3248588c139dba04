/* Plain sockets: a failure to listen is explained here. */
#include "http_listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/check.h"
#include "tls.h"

#define PROBE_TIMEOUT_S 2

/* The addresses of the host. For "*" and "": all of the machine if they are for listening, else
 * those of its loopback interface. */
static struct addrinfo *resolve(const struct http_address *address, bool passive,
                                struct status *status)
{
    const char *host = address->host;
    char service[16];
    char name[NI_MAXHOST];
    size_t length = strlen(host);
    bool bracket = host[0] == '[' && host[length - 1] == ']';
    snprintf(service, sizeof(service), "%ld", address->port);
    snprintf(name, sizeof(name), "%.*s", (int)(length - 2 * bracket), host + bracket);
    bool all = strcmp(name, "*") == 0 || name[0] == '\0';
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0)};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(all ? NULL : name, service, &hints, &found);
    if (error == 0)
        return found;
    status_fail(status, STATUS_INVALID_ARGUMENT, "HOST_INVALID",
                "%s_HOST \"%s\" is not an address of this machine: %s", address->setting, host,
                gai_strerror(error));
    return NULL;
}

/* Some hosts files list a name twice. */
static bool came_before(const struct addrinfo *first, const struct addrinfo *address)
{
    for (; first != address; first = first->ai_next) {
        if (first->ai_addrlen == address->ai_addrlen &&
            memcmp(first->ai_addr, address->ai_addr, address->ai_addrlen) == 0)
            return true;
    }
    return false;
}

/* A listening socket, or -1 with errno. If it is `alone`, a socket for "::" takes IPv4 too. */
static int listen_on(const struct addrinfo *address, bool alone)
{
    int on = 1;
    int only_v6 = !alone;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    bool v6 = address->ai_family == AF_INET6;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (!v6 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6)) == 0) &&
        bind(fd, address->ai_addr, address->ai_addrlen) == 0 &&
        listen(fd, HTTP_LISTEN_BACKLOG) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

/* Listens on all addresses except those that this machine does not have; fails if it has none of
 * them. */
static size_t listen_on_all(const struct addrinfo *first, int *listeners, size_t max, int *error)
{
    size_t count = 0;
    for (const struct addrinfo *address = first; address && count < max;
         address = address->ai_next) {
        if (came_before(first, address))
            continue;
        int fd = listen_on(address, !first->ai_next);
        if (fd >= 0) {
            listeners[count++] = fd;
            continue;
        }
        *error = errno;
        if (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT)
            continue;
        while (count > 0)
            close(listeners[--count]);
        break;
    }
    return count;
}

size_t http_listen_open(const struct http_address *address, int *listeners, size_t max,
                        struct status *status)
{
    CHECK(max > 0 && address->port >= 0 && address->port <= UINT16_MAX);
    struct addrinfo *addresses = resolve(address, true, status);
    if (!addresses)
        return 0;
    int error = 0;
    size_t count = listen_on_all(addresses, listeners, max, &error);
    freeaddrinfo(addresses);
    if (count == 0)
        status_fail(status, STATUS_UNAVAILABLE, "LISTEN_FAILED",
                    "cannot listen on %s port %ld: %s%s%s%s", address->host, address->port,
                    strerror(error), error == EADDRINUSE ? "; set " : "",
                    error == EADDRINUSE ? address->setting : "",
                    error == EADDRINUSE ? "_PORT to another port" : "");
    return count;
}

static bool ask_plain(int fd, const char *request, char *answer, size_t size)
{
    size_t length = 0;
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request))
        return false;
    while (length < size) {
        ssize_t got = recv(fd, answer + length, size - length, 0);
        if (got <= 0)
            return false;
        length += (size_t)got;
    }
    return true;
}

static bool probe_socket(int fd, enum probe_kind kind)
{
    static const char request[] =
        "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    static const char expected[] = "HTTP/1.1 200 ";
    char answer[sizeof(expected) - 1];
    if (kind == PROBE_TLS)
        return tls_is_spoken(fd);
    bool answered = kind == PROBE_HTTPS ? tls_ask(fd, request, answer, sizeof(answer))
                                        : ask_plain(fd, request, answer, sizeof(answer));
    return answered && memcmp(answer, expected, sizeof(answer)) == 0;
}

static bool probe_address(const struct addrinfo *address, enum probe_kind kind)
{
    struct timeval timeout = {.tv_sec = PROBE_TIMEOUT_S};
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool well = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
                setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
                connect(fd, address->ai_addr, address->ai_addrlen) == 0 && probe_socket(fd, kind);
    close(fd);
    return well;
}

bool http_listen_probe(const struct http_address *address, enum probe_kind kind,
                       struct status *status)
{
    struct http_address asked = *address;
    if (strcmp(asked.host, "0.0.0.0") == 0)
        asked.host = "127.0.0.1";
    else if (strcmp(asked.host, "::") == 0 || strcmp(asked.host, "[::]") == 0)
        asked.host = "::1";
    struct addrinfo *addresses = resolve(&asked, false, status);
    if (!addresses)
        return false;
    bool well = false;
    for (struct addrinfo *each = addresses; each && !well; each = each->ai_next)
        well = probe_address(each, kind);
    freeaddrinfo(addresses);
    return well || status_fail(status, STATUS_UNAVAILABLE, "UNHEALTHY",
                               "no healthy bridge answers on %s port %ld", asked.host, asked.port);
}
