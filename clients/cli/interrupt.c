/* Replies and signals both post one semaphore, so that neither is missed. */
#include "interrupt.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

static sem_t happened;
static atomic_bool came; /* any thread may get the signal */

static void on_signal(int number)
{
    (void)number;
    int error = errno;
    came = true;
    sem_post(&happened);
    errno = error;
}

static void catch_signal(int number)
{
    struct sigaction before;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(number, NULL, &before);
    if (before.sa_handler != SIG_IGN) /* as in the background of a script */
        sigaction(number, &action, NULL);
}

void interrupt_catch(void)
{
    sem_init(&happened, 0, 0);
    catch_signal(SIGINT);
    catch_signal(SIGTERM);
}

bool interrupt_came(void)
{
    return came;
}

void interrupt_on_reply(triggers_reply *reply, void *user_data)
{
    struct interruptible *call = user_data;
    atomic_store(&call->reply, reply);
    sem_post(&happened); /* the last use of `call` is before */
}

triggers_reply *interrupt_await(triggers_client *client, struct interruptible *call)
{
    bool cancelled = false;
    triggers_reply *reply;
    while (!(reply = atomic_load(&call->reply))) {
        if (came && !cancelled) {
            triggers_cancel(client, call);
            cancelled = true;
        }
        sem_wait(&happened); /* EINTR: looks once more */
    }
    return reply;
}

void interrupt_wake(void)
{
    sem_post(&happened);
}

void interrupt_wait(const atomic_bool *until)
{
    while (!came && !atomic_load(until))
        sem_wait(&happened); /* EINTR: looks once more */
}

/* A signal that comes just before the sleep, or to another thread, is noticed after it. */
void interrupt_rest(void)
{
    struct timespec second = {.tv_sec = 1};
    if (!came)
        nanosleep(&second, NULL);
}
