/* Connections that died in silence. nng does not notice a peer that vanished without closing, and
 * sends call after call into the void. But a core answers every call by its deadline, be it with an
 * error: a connection on which nothing comes back is dead. */
#include "base/clock.h"
#include "client.h"

/* Silence of this length, with a call that got no answer, is death. */
#define SILENCE_MS 1000

void peers_add(triggers_client *client, nng_pipe pipe)
{
    client->gave_up = false;
    if (client->peer_count < ADDRESS_MAX)
        client->peers[client->peer_count++] = (struct peer){.pipe = pipe};
}

void peers_remove(triggers_client *client, nng_pipe pipe)
{
    for (size_t i = 0; i < client->peer_count; i++) {
        if (nng_pipe_id(client->peers[i].pipe) != nng_pipe_id(pipe))
            continue;
        client->peers[i] = client->peers[--client->peer_count];
        return;
    }
}

void peers_note_sent(triggers_client *client)
{
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(&client->mutex);
    /* nng does not tell on which of them it leaves. */
    for (size_t i = 0; i < client->peer_count; i++) {
        if (client->peers[i].waiting_since_ms == 0)
            client->peers[i].waiting_since_ms = now_ms;
    }
    pthread_mutex_unlock(&client->mutex);
}

void peers_note_heard(triggers_client *client, nng_pipe pipe)
{
    pthread_mutex_lock(&client->mutex);
    for (size_t i = 0; i < client->peer_count; i++) {
        if (nng_pipe_id(client->peers[i].pipe) == nng_pipe_id(pipe))
            client->peers[i].waiting_since_ms = 0;
    }
    pthread_mutex_unlock(&client->mutex);
}

void peers_close_silent(triggers_client *client)
{
    nng_pipe silent[ADDRESS_MAX];
    size_t count = 0;
    int64_t limit_ms = clock_monotonic_ms() - SILENCE_MS;
    pthread_mutex_lock(&client->mutex);
    for (size_t i = 0; i < client->peer_count; i++) {
        const struct peer *peer = &client->peers[i];
        if (peer->waiting_since_ms != 0 && peer->waiting_since_ms <= limit_ms)
            silent[count++] = peer->pipe;
    }
    client->gave_up = client->gave_up || count > 0;
    pthread_mutex_unlock(&client->mutex);
    for (size_t i = 0; i < count; i++)
        nng_pipe_close(silent[i]);
}
