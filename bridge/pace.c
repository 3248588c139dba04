/* Reads the kernel's counts now and then: a request that is in time costs nothing. */
#include "pace.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/check.h"

#define PHASE 3u /* bits */

/* A rate is known after this long. */
#define RATE_MS 1000

void pace_init(struct pace *pace, int64_t now_ms)
{
    *pace = (struct pace){.since_ms = now_ms, .rate = PACE_UNKNOWN};
}

void pace_begin(struct pace *pace, enum pace_phase phase)
{
    CHECK(phase <= PHASE);
    unsigned turn = atomic_load_explicit(&pace->turn, memory_order_relaxed);
    atomic_store_explicit(&pace->turn, (turn & ~PHASE) + (PHASE + 1) + phase, memory_order_relaxed);
}

static enum pace_phase phase_of(unsigned turn)
{
    return (enum pace_phase)(turn & PHASE);
}

/* Bytes that the peer has sent, or taken, since it connected. */
static bool count_bytes(int socket, enum pace_phase phase, uint64_t *bytes)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);
    memset(&info, 0, sizeof(info));
    if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return false;
    *bytes = phase == PACE_ANSWER ? info.tcpi_bytes_acked : info.tcpi_bytes_received;
    return true;
}

uint64_t pace_bytes_read(int socket)
{
    uint64_t received;
    int unread;
    /* In this order: what arrives in between counts as unread. */
    if (!count_bytes(socket, PACE_BODY, &received) || ioctl(socket, SIOCINQ, &unread) != 0)
        return 0;
    return received > (uint64_t)unread ? received - (uint64_t)unread : 0;
}

/* Whether we have read all that the peer sent, or it has not yet taken all that we sent. */
static bool is_waited_for(int socket, enum pace_phase phase)
{
    int bytes = 0;
    if (phase == PACE_ANSWER)
        return ioctl(socket, SIOCOUTQ, &bytes) == 0 && bytes > 0;
    return ioctl(socket, SIOCINQ, &bytes) == 0 && bytes == 0;
}

bool pace_is_too_slow(uint64_t bytes, int64_t elapsed_ms, int64_t patience_ms)
{
    return elapsed_ms > patience_ms &&
           bytes / PACE_LOWEST < (uint64_t)(elapsed_ms - patience_ms) / 1000;
}

bool pace_is_late(struct pace *pace, int socket, int64_t now_ms, int64_t patience_ms)
{
    unsigned turn = atomic_load_explicit(&pace->turn, memory_order_relaxed);
    enum pace_phase phase = phase_of(turn);
    uint64_t bytes;
    CHECK(socket >= 0 && patience_ms > 0);
    pace->rate = PACE_UNKNOWN;
    if (phase == PACE_OURS || !count_bytes(socket, phase, &bytes))
        return false;
    if (turn != pace->seen || (phase == PACE_IDLE && bytes == pace->at_since)) {
        pace->seen = turn;
        pace->since_ms = now_ms;
        pace->at_since = bytes;
        return false;
    }
    int64_t elapsed_ms = now_ms - pace->since_ms;
    CHECK(elapsed_ms >= 0 && bytes >= pace->at_since);
    if (!is_waited_for(socket, phase))
        return false;
    if (phase == PACE_IDLE)
        return elapsed_ms > patience_ms;
    bytes -= pace->at_since;
    if (elapsed_ms >= RATE_MS)
        pace->rate = bytes * 1000 / (uint64_t)elapsed_ms;
    return pace_is_too_slow(bytes, elapsed_ms, patience_ms);
}

uint64_t pace_rate(const struct pace *pace)
{
    unsigned turn = atomic_load_explicit(&pace->turn, memory_order_relaxed);
    return turn == pace->seen ? pace->rate : PACE_UNKNOWN;
}

#define HEAD(status, more)                                                                         \
    "HTTP/1.1 " status "\r\nContent-Type: application/problem+json\r\n"                            \
    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n" more     \
    "\r\n"

const char *pace_last_words(const struct pace *pace, bool late)
{
    static const char timeout[] = HEAD(
        "408 Request Timeout",
        "Content-Length: 130\r\n") "{\"type\":\"about:blank\",\"title\":\"Request "
                                   "Timeout\",\"status\":408,\"detail\":\"The "
                                   "request did not come in time\",\"code\":\"REQUEST_TIMEOUT\"}";
    static const char overloaded[] =
        HEAD("503 Service Unavailable",
             "Retry-After: 1\r\nContent-Length: 139\r\n") "{\"type\":\"about:blank\",\"title\":"
                                                          "\"Service "
                                                          "Unavailable\",\"status\":503,\"detail\":"
                                                          "\"Too "
                                                          "many large requests at once, try "
                                                          "again\",\"code\":\"OVERLOADED\"}";
    enum pace_phase phase = phase_of(pace->seen);
    if (phase != PACE_IDLE && phase != PACE_BODY)
        return NULL;
    return late ? timeout : overloaded;
}
