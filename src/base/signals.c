/* Signals are taken by sigwait, so no handler runs in the middle of anything. */
#include "base/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

static void stop_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

void signals_block(void)
{
    sigset_t set;
    stop_set(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file over its limit is an error of that write, not the end */
}

/* One request to stop may come as two signals: `timeout`, and shells that pass Ctrl-C on to what
 * the terminal has told already. What comes within half a second is no second one. */
static void skip_repeats(const sigset_t *set)
{
    nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
    while (sigtimedwait(set, NULL, &(struct timespec){0}) > 0) {
    }
}

static void *end_by_force(void *grace_seconds)
{
    sigset_t set;
    stop_set(&set);
    skip_repeats(&set);
    struct timespec grace = {.tv_sec = (time_t)(uintptr_t)grace_seconds};
    int signal;
    do {
        signal = sigtimedwait(&set, NULL, &grace);
    } while (signal < 0 && errno == EINTR);
    if (signal < 0)
        log_error("stopping took too long, ending now");
    else
        log_warning("second signal, ending now");
    _exit(1);
}

bool signals_wait(unsigned grace_seconds, unsigned seconds)
{
    sigset_t set;
    stop_set(&set);
    struct timespec time = {.tv_sec = (time_t)seconds};
    if (sigtimedwait(&set, NULL, &time) < 0)
        return false;
    pthread_t thread;
    if (pthread_create(&thread, NULL, end_by_force, (void *)(uintptr_t)grace_seconds) == 0)
        pthread_detach(thread);
    return true;
}
