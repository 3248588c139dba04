/* The payload is in a file without a name, so a command need not read it, and nobody waits for
 * that.
 */
#include "event_command.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/status.h"
#include "print.h"

/* A command that runs; on the stack of who waits for it. */
struct running {
    const triggers_delivery *delivery;
    pid_t pid;
    struct running *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct running *all_running; /* none of them is reaped */

/* ---- environment ---- */

#define VARIABLES 9

struct environment {
    char **variables; /* ends with NULL; the first `made` are ours */
    size_t made;
};

static void set_variable(struct environment *to, const char *format, ...) PRINTF_LIKE(2, 3);

static void set_variable(struct environment *to, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (to->variables && vasprintf(&to->variables[to->made], format, args) >= 0)
        to->made++;
    va_end(args);
}

static void environment_fini(struct environment *environment)
{
    for (size_t i = 0; i < environment->made; i++)
        free(environment->variables[i]);
    free(environment->variables);
}

/* Ours come first, which is where getenv and shells look. False without memory. */
static bool environment_init(struct environment *to, const char *subscription,
                             const triggers_delivery *delivery)
{
    const triggers_event *event = &delivery->event;
    char created[PRINT_TIME_SIZE];
    char expires[PRINT_TIME_SIZE];
    size_t count = 0;
    while (environ[count])
        count++;
    *to = (struct environment){calloc(count + VARIABLES + 1, sizeof(*to->variables)), 0};
    print_format_time(event->created_at_us, created);
    print_format_time(delivery->lease_expires_at_us, expires);
    set_variable(to, "TRIGGERS_EVENT_ID=%s", event->event_id);
    set_variable(to, "TRIGGERS_EVENT_SEQUENCE=%" PRId64, event->sequence);
    set_variable(to, "TRIGGERS_EVENT_SOURCE=%s", event->source);
    set_variable(to, "TRIGGERS_EVENT_TYPE=%s", event->event_type);
    set_variable(to, "TRIGGERS_EVENT_CREATED_AT=%s", created);
    set_variable(to, "TRIGGERS_SUBSCRIPTION=%s", subscription);
    set_variable(to, "TRIGGERS_ACK_ID=%s", delivery->ack_id);
    set_variable(to, "TRIGGERS_DELIVERY_ATTEMPT=%" PRIu32, delivery->attempt);
    set_variable(to, "TRIGGERS_LEASE_EXPIRES_AT=%s", expires);
    if (to->made < VARIABLES) {
        environment_fini(to);
        return false;
    }
    memcpy(to->variables + VARIABLES, environ, count * sizeof(*environ));
    return true;
}

/* ---- the process ---- */

/* A file with the payload, to be read from its beginning; negative with errno. */
static int open_payload(const triggers_event *event)
{
    int file = memfd_create("payload", MFD_CLOEXEC);
    size_t written = 0;
    while (file >= 0 && written < event->payload_size) {
        ssize_t result = write(file, event->payload + written, event->payload_size - written);
        if (result > 0) {
            written += (size_t)result;
        } else if (result == 0 || errno != EINTR) {
            close(file);
            return -1;
        }
    }
    if (file >= 0)
        lseek(file, 0, SEEK_SET);
    return file;
}

static int spawn(const char *command, int input, char **variables, pid_t *pid)
{
    char *words[] = {"sh", "-c", (char *)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    int error = posix_spawn(pid, "/bin/sh", &actions, &attributes, words, variables);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error;
}

static int start_command(const char *command, const char *subscription, struct running *running)
{
    struct environment environment;
    if (!environment_init(&environment, subscription, running->delivery))
        return ENOMEM;
    int input = open_payload(&running->delivery->event);
    int error = input < 0 ? errno : 0;
    if (!error) {
        pthread_mutex_lock(&lock);
        error = spawn(command, input, environment.variables, &running->pid);
        if (!error) {
            running->next = all_running;
            all_running = running;
            if (triggers_delivery_lost(running->delivery)) /* before it could be ended */
                kill(-running->pid, SIGTERM);
        }
        pthread_mutex_unlock(&lock);
        close(input);
    }
    environment_fini(&environment);
    return error;
}

/* Its wait status. It is reaped when nobody can send it a signal any more. */
static int await_end(struct running *running)
{
    siginfo_t info;
    int status = 0;
    while (waitid(P_PID, (id_t)running->pid, &info, WEXITED | WNOWAIT) != 0 && errno == EINTR) {
    }
    pthread_mutex_lock(&lock);
    struct running **at = &all_running;
    while (*at != running)
        at = &(*at)->next;
    *at = running->next;
    pthread_mutex_unlock(&lock);
    while (waitpid(running->pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

static void fail(triggers_outcome *outcome, const char *format, ...) PRINTF_LIKE(2, 3);

static void fail(triggers_outcome *outcome, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    outcome->kind = TRIGGERS_OUTCOME_NACK;
    vsnprintf(outcome->reason, sizeof(outcome->reason), format, args);
    va_end(args);
}

void event_command_run(const char *command, const char *subscription,
                       const triggers_delivery *delivery, triggers_outcome *outcome)
{
    struct running running = {.delivery = delivery};
    int error = start_command(command, subscription, &running);
    if (error) {
        fail(outcome, "cannot start the command: %s", strerror(error));
        return;
    }
    int status = await_end(&running);
    if (WIFSIGNALED(status))
        fail(outcome, "killed by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        fail(outcome, "exit status %d", WEXITSTATUS(status));
}

void event_command_end(const triggers_delivery *delivery)
{
    pthread_mutex_lock(&lock);
    for (struct running *running = all_running; running; running = running->next) {
        if (running->delivery == delivery)
            kill(-running->pid, SIGTERM);
    }
    pthread_mutex_unlock(&lock);
}
