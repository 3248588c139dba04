/* Signals are taken by sigwait, so no handler runs in the middle of anything. */
#include "base/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

/* One request to stop may come as two signals: from `timeout`, and from shells that pass Ctrl-C on
 * to a program that the terminal has already told. A signal so soon does not count as a second one.
 */
#define REPEAT_MS 500

#define NANOSECONDS_PER_MS 1000000

/* They would end the program, and come from terminals, timers and people who mean another program.
 * SIGPIPE and SIGXFSZ (a file over its limit) are errors of the write that causes them. SIGXCPU is
 * not here: a program over its limit of processor time must end. */
static const int IGNORED[] = {SIGUSR1,   SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF,
                              SIGSTKFLT, SIGIO,   SIGPWR,  SIGPIPE,   SIGXFSZ};

static void stop_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGQUIT);
}

static void reload_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGHUP);
}

void signals_block(void)
{
    sigset_t set;
    stop_set(&set);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    reload_set(&set);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    signal(SIGHUP, SIG_DFL); /* nohup ignores it, and what is ignored is not kept for us */
    for (size_t i = 0; i < sizeof(IGNORED) / sizeof(IGNORED[0]); i++)
        signal(IGNORED[i], SIG_IGN);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        signal(number, SIG_IGN);
}

static void *end_by_force(void *grace_seconds)
{
    sigset_t set;
    stop_set(&set);
    int64_t begun_ms = clock_monotonic_ms();
    int64_t grace_ms = 1000 * (int64_t)(uintptr_t)grace_seconds;
    int64_t passed_ms = 0;
    int signal = -1;
    while (passed_ms < grace_ms && (signal < 0 || passed_ms < REPEAT_MS)) {
        int64_t left_ms = grace_ms - passed_ms;
        signal = sigtimedwait(
            &set, NULL, &(struct timespec){left_ms / 1000, left_ms % 1000 * NANOSECONDS_PER_MS});
        passed_ms = clock_monotonic_ms() - begun_ms;
    }
    if (signal < 0)
        log_error("stopping took too long, ending now");
    else
        log_warning("second signal, ending now");
    log_flush();
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

bool signals_ask_reload(void)
{
    sigset_t set;
    reload_set(&set);
    return sigtimedwait(&set, NULL, &(struct timespec){0}) == SIGHUP;
}
