/* The thread and what it has to tell. It waits in the store, for notices of others or for the event
 * descriptor that says that there is something to tell. */
#include "events/notices.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/wait.h"

#define GATHER_MS 10      /* between two things told */
#define ATTENTIVE_MS 1000 /* how soon it sees that others need its session */
#define FIRST_BACKOFF_MS 100
#define MAX_BACKOFF_MS 10000
#define MAX_NOTICES 64  /* of different tenants, told or heard at once */
#define MAX_UNTOLD 1024 /* that wait to be told; others are left out */

struct notices {
    struct store *store;
    notices_heard *heard;
    void *context;
    pthread_t thread;
    int wake; /* an eventfd: there is something to tell, or the end has come */
    pthread_mutex_t lock;
    pthread_cond_t stop;
    bool stopping;
    struct store_notice untold[MAX_UNTOLD];
    size_t untold_count;
    /* The thread's. */
    struct store_session *session;
    int64_t backoff_ms;
    int64_t next_ms; /* when it may tell again */
    bool complained; /* that there is no session, since there was one */
};

bool notices_are_possible(const struct store *store)
{
    return store->driver->notice_open != NULL;
}

/* ---- what is to be told ---- */

static void wake(const struct notices *notices)
{
    uint64_t one = 1;
    ssize_t written = write(notices->wake, &one, sizeof(one));
    (void)written; /* it is readable already */
}

void notices_tell(struct notices *notices, int64_t tenant, int64_t last)
{
    size_t i = 0;
    pthread_mutex_lock(&notices->lock);
    bool first = notices->untold_count == 0;
    while (i < notices->untold_count && notices->untold[i].tenant != tenant)
        i++;
    if (i == notices->untold_count && i < MAX_UNTOLD)
        notices->untold[notices->untold_count++] = (struct store_notice){tenant, last};
    else if (i < MAX_UNTOLD && notices->untold[i].last < last)
        notices->untold[i].last = last;
    pthread_mutex_unlock(&notices->lock);
    if (first)
        wake(notices);
}

/* Takes what is untold, when it is time to tell it; else says in `wait_ms` how long to wait. */
static size_t take_untold(struct notices *notices, struct store_notice told[MAX_NOTICES],
                          int64_t *wait_ms)
{
    size_t count = 0;
    int64_t now_ms = clock_monotonic_ms();
    uint64_t ignored;
    *wait_ms = ATTENTIVE_MS;
    pthread_mutex_lock(&notices->lock);
    ssize_t taken = read(notices->wake, &ignored, sizeof(ignored));
    (void)taken;
    if (notices->untold_count > 0 && now_ms < notices->next_ms)
        *wait_ms = notices->next_ms - now_ms;
    else
        count = notices->untold_count < MAX_NOTICES ? notices->untold_count : MAX_NOTICES;
    memcpy(told, notices->untold, count * sizeof(*told));
    if (count > 0) {
        notices->untold_count -= count;
        memmove(notices->untold, notices->untold + count,
                notices->untold_count * sizeof(*notices->untold));
        notices->next_ms = now_ms + GATHER_MS;
    }
    if (count > 0 && notices->untold_count > 0)
        *wait_ms = GATHER_MS; /* for the rest of them */
    pthread_mutex_unlock(&notices->lock);
    return count;
}

/* ---- the session ---- */

static void disconnect(struct notices *notices)
{
    if (notices->session)
        notices->store->driver->session_close(notices->session);
    notices->session = NULL;
}

static void back_off(struct notices *notices)
{
    uint8_t random;
    random_fill(&random, 1);
    int64_t delay_ms = notices->backoff_ms / 2 + notices->backoff_ms * random / 512;
    int64_t until_ms = clock_monotonic_ms() + delay_ms;
    notices->backoff_ms =
        notices->backoff_ms * 2 < MAX_BACKOFF_MS ? notices->backoff_ms * 2 : MAX_BACKOFF_MS;
    pthread_mutex_lock(&notices->lock);
    while (!notices->stopping && clock_monotonic_ms() < until_ms)
        wait_until(&notices->stop, &notices->lock, until_ms);
    pthread_mutex_unlock(&notices->lock);
}

static void complain(struct notices *notices, const struct status *status)
{
    if (!notices->complained)
        log_warning("no notices from other cores: their events are looked for once a second",
                    {"store", notices->store->description}, {"error", status->message});
    notices->complained = true;
}

/* No lane may be without a session while this has one. */
static bool is_wanted(const struct notices *notices)
{
    return atomic_load(&notices->store->wanting) > 0;
}

/* What others told while there was no session is lost. */
static enum store_result connect_to_others(struct notices *notices)
{
    struct status status = STATUS_INIT;
    if (is_wanted(notices))
        return STORE_UNAVAILABLE;
    enum store_result result =
        notices->store->driver->notice_open(notices->store, &notices->session, &status);
    if (result != STORE_OK) {
        notices->session = NULL;
        complain(notices, &status);
        return result;
    }
    notices->complained = false;
    notices->backoff_ms = FIRST_BACKOFF_MS;
    notices->heard(notices->context, NULL);
    return STORE_OK;
}

/* ---- the thread ---- */

/* Tells what it is time to tell; says how long to wait then. False: the session is lost. */
static bool tell_others(struct notices *notices, int64_t *wait_ms)
{
    struct store_notice told[MAX_NOTICES];
    struct status status = STATUS_INIT;
    size_t count = take_untold(notices, told, wait_ms);
    return count == 0 ||
           notices->store->driver->notice_send(notices->session, told, count, &status) == STORE_OK;
}

/* Tells, waits for others, and passes on what they tell. False: the session is lost. */
static bool talk(struct notices *notices)
{
    const struct store_driver *driver = notices->store->driver;
    struct store_notice heard[MAX_NOTICES];
    struct status status = STATUS_INIT;
    size_t heard_count = MAX_NOTICES;
    int64_t wait_ms;
    if (!tell_others(notices, &wait_ms))
        return false;
    if (driver->notice_await(notices->session, notices->wake, wait_ms, heard, &heard_count,
                             &status) != STORE_OK)
        return false;
    for (size_t i = 0; i < heard_count; i++)
        notices->heard(notices->context, &heard[i]);
    return true;
}

/* Tells of the last commits, and releases the session. */
static void leave_others(struct notices *notices)
{
    int64_t ignored;
    notices->next_ms = 0;
    if (notices->session)
        tell_others(notices, &ignored);
    disconnect(notices);
}

static bool is_stopping(struct notices *notices)
{
    pthread_mutex_lock(&notices->lock);
    bool stopping = notices->stopping;
    pthread_mutex_unlock(&notices->lock);
    return stopping;
}

static void *notices_main(void *argument)
{
    struct notices *notices = argument;
    enum store_result result = STORE_OK; /* of the last try to connect */
    prctl(PR_SET_NAME, "notices");
    while (!is_stopping(notices) && result != STORE_FATAL) {
        if (!notices->session)
            result = connect_to_others(notices);
        if (!notices->session)
            back_off(notices);
        else if (is_wanted(notices))
            leave_others(notices);
        else if (!talk(notices))
            disconnect(notices);
    }
    leave_others(notices);
    return NULL;
}

struct notices *notices_open(struct store *store, notices_heard *heard, void *context)
{
    struct notices *notices = calloc(1, sizeof(*notices));
    if (!notices)
        return NULL;
    notices->store = store;
    notices->heard = heard;
    notices->context = context;
    notices->backoff_ms = FIRST_BACKOFF_MS;
    notices->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&notices->lock, NULL);
    wait_init(&notices->stop);
    if (notices->wake >= 0 && pthread_create(&notices->thread, NULL, notices_main, notices) == 0)
        return notices;
    if (notices->wake >= 0)
        close(notices->wake);
    pthread_cond_destroy(&notices->stop);
    pthread_mutex_destroy(&notices->lock);
    free(notices);
    return NULL;
}

void notices_close(struct notices *notices)
{
    if (!notices)
        return;
    pthread_mutex_lock(&notices->lock);
    notices->stopping = true;
    pthread_cond_broadcast(&notices->stop);
    pthread_mutex_unlock(&notices->lock);
    wake(notices);
    pthread_join(notices->thread, NULL);
    close(notices->wake);
    pthread_cond_destroy(&notices->stop);
    pthread_mutex_destroy(&notices->lock);
    free(notices);
}
