/* Plain sockets: a failure to listen is explained here. */
#include "listen.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PROBE_TIMEOUT_S 2

static struct addrinfo *resolve(const char *host, long port, struct status *status)
{
    char service[16];
    snprintf(service, sizeof(service), "%ld", port);
    struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host, service, &hints, &found);
    if (error == 0)
        return found;
    status_fail(status, STATUS_INVALID_ARGUMENT, "HOST_INVALID",
                "API_HOST \"%s\" is no address of this machine: %s", host, gai_strerror(error));
    return NULL;
}

static bool bind_and_listen(int fd, const struct addrinfo *address)
{
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
           bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0;
}

int listen_open(const char *host, long port, struct status *status)
{
    struct addrinfo *addresses = resolve(host, port, status);
    if (!addresses)
        return -1;
    int error = 0;
    int fd = -1;
    for (struct addrinfo *address = addresses; address && fd < 0; address = address->ai_next) {
        fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && bind_and_listen(fd, address))
            break;
        error = errno;
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(addresses);
    if (fd < 0)
        status_fail(status, STATUS_UNAVAILABLE, "LISTEN_FAILED",
                    "cannot listen on %s port %ld: %s%s", host, port, strerror(error),
                    error == EADDRINUSE ? "; set API_PORT to another port" : "");
    return fd;
}

static bool exchange(int fd)
{
    static const char request[] =
        "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    static const char expected[] = "HTTP/1.1 200 ";
    char answer[sizeof(expected) - 1];
    size_t length = 0;
    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
        return false;
    while (length < sizeof(answer)) {
        ssize_t got = recv(fd, answer + length, sizeof(answer) - length, 0);
        if (got <= 0)
            return false;
        length += (size_t)got;
    }
    return memcmp(answer, expected, sizeof(answer)) == 0;
}

static bool probe_address(const struct addrinfo *address)
{
    struct timeval timeout = {.tv_sec = PROBE_TIMEOUT_S};
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool well = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
                setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) == 0 &&
                connect(fd, address->ai_addr, address->ai_addrlen) == 0 && exchange(fd);
    close(fd);
    return well;
}

bool listen_probe(const char *host, long port, struct status *status)
{
    if (strcmp(host, "0.0.0.0") == 0)
        host = "127.0.0.1";
    else if (strcmp(host, "::") == 0)
        host = "::1";
    struct addrinfo *addresses = resolve(host, port, status);
    if (!addresses)
        return false;
    bool well = false;
    for (struct addrinfo *address = addresses; address && !well; address = address->ai_next)
        well = probe_address(address);
    freeaddrinfo(addresses);
    return well || status_fail(status, STATUS_UNAVAILABLE, "UNHEALTHY",
                               "no healthy bridge answers on %s port %ld", host, port);
}
