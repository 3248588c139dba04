/* The keeper: one thread a client. It ends or goes on with calls when their time has come, and
 * frees links, for which it may have to wait. It sleeps until something is due. */
#include <signal.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/wait.h"
#include "client.h"

static void *keep(void *data)
{
    triggers_client *client = data;
    pthread_mutex_lock(&client->mutex);
    while (!client->keeper_stopping) {
        int64_t next_ms;
        struct flight *due = flights_take_due(client, clock_monotonic_ms(), &next_ms);
        struct peer *unused = peers_find_unused(client);
        if (!due && !unused) {
            client->keeper_ms = next_ms;
            wait_until(&client->work, &client->mutex, next_ms);
            continue;
        }
        pthread_mutex_unlock(&client->mutex);
        flights_serve_due(due);
        if (unused)
            peer_free_link(unused);
        pthread_mutex_lock(&client->mutex);
    }
    pthread_mutex_unlock(&client->mutex);
    return NULL;
}

/* Signals are for the program's own threads. */
bool keeper_start(triggers_client *client)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int result = pthread_create(&client->keeper, NULL, keep, client);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return result == 0;
}

void keeper_stop(triggers_client *client)
{
    pthread_mutex_lock(&client->mutex);
    CHECK(!client->keeper_stopping && client->in_flight == 0);
    client->keeper_stopping = true;
    pthread_cond_signal(&client->work);
    pthread_mutex_unlock(&client->mutex);
    pthread_join(client->keeper, NULL);
}

void keeper_look_at(triggers_client *client, int64_t when_ms)
{
    if (when_ms >= client->keeper_ms)
        return;
    client->keeper_ms = when_ms;
    pthread_cond_signal(&client->work);
}
