/* A file is read for each call. A command is run once a minute, and when the core refuses what it
 * said. When there is nothing to be had, as while a file is written anew, the key before stays. */
#include "key_source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "complain.h"

#define SETTING "TRIGGERS_API_KEY"
#define FILE_SETTING "TRIGGERS_API_KEY_FILE"
#define COMMAND_SETTING "TRIGGERS_API_KEY_COMMAND"

/* People may have to say a password first. */
#define COMMAND_MAX_MS 60000

#define COMMAND_KEEP_MS 60000
#define REFUSED_KEEP_MS 1000

/* What is read at most: a key, and white space around it. */
#define TEXT_SIZE 1024

/* ---- the text of a key ---- */

static bool is_white(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Copies what is between white space. False after saying why it is no key; it is not shown. */
static bool take_key(const char *setting, const char *text, size_t size,
                     char key[TRIGGERS_KEY_SIZE])
{
    size_t start = 0;
    while (start < size && is_white(text[start]))
        start++;
    while (size > start && is_white(text[size - 1]))
        size--;
    for (size_t i = start; i < size; i++) {
        if (text[i] < '!' || text[i] > '~' || i - start == TRIGGERS_KEY_SIZE - 1) {
            cli_complain("%s: that is no key: keys are one word, such as trg_…", setting);
            return false;
        }
    }
    if (start == size) {
        cli_complain("%s: there is no key, only an empty text", setting);
        return false;
    }
    memcpy(key, text + start, size - start);
    key[size - start] = '\0';
    return true;
}

/* What can be read until the end, or until the buffer is full. Negative, with errno, after an error
 * or when the time is over. */
static ssize_t read_text(int file, char text[TEXT_SIZE], int64_t until_ms)
{
    size_t size = 0;
    while (size < TEXT_SIZE) {
        struct pollfd wait = {.fd = file, .events = POLLIN};
        int64_t left = until_ms - clock_monotonic_ms();
        int ready = left > 0 ? poll(&wait, 1, (int)left) : 0;
        if (ready == 0)
            errno = ETIMEDOUT;
        ssize_t result = ready > 0 ? read(file, text + size, TEXT_SIZE - size) : -1;
        if (result == 0)
            return (ssize_t)size;
        if (result < 0 && errno != EINTR)
            return -1;
        size += result > 0 ? (size_t)result : 0;
    }
    return (ssize_t)size;
}

/* ---- files ---- */

static bool read_key_file(const char *path, char key[TRIGGERS_KEY_SIZE])
{
    char text[TEXT_SIZE];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read_text(file, text, clock_monotonic_ms() + COMMAND_MAX_MS);
    if (size < 0)
        cli_complain(FILE_SETTING ": cannot read %s: %s", path, strerror(errno));
    if (file >= 0)
        close(file);
    bool taken = size >= 0 && take_key(FILE_SETTING, text, (size_t)size, key);
    explicit_bzero(text, sizeof(text));
    return taken;
}

/* ---- commands ---- */

/* Its output goes to the pipe, its input is empty, and it may ask people on their terminal. The
 * library's threads block all signals, which it is not to inherit. */
static int start_key_command(const char *command, int output, pid_t *pid)
{
    char *words[] = {"sh", "-c", (char *)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int error = posix_spawn(pid, "/bin/sh", &actions, &attributes, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error;
}

/* The command's wait status, after its output has been read. */
static int end_key_command(pid_t pid, bool at_once)
{
    int status = 0;
    if (at_once)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

static bool run_key_command(const char *command, char key[TRIGGERS_KEY_SIZE])
{
    char text[TEXT_SIZE];
    int ends[2];
    pid_t pid;
    int error = pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno;
    if (!error) {
        error = start_key_command(command, ends[1], &pid);
        close(ends[1]);
        if (error)
            close(ends[0]);
    }
    if (error) {
        cli_complain(COMMAND_SETTING ": cannot start the command: %s", strerror(error));
        return false;
    }
    ssize_t size = read_text(ends[0], text, clock_monotonic_ms() + COMMAND_MAX_MS);
    error = size < 0 ? errno : 0;
    close(ends[0]);
    int status = end_key_command(pid, size < 0 || size == TEXT_SIZE);
    bool taken = false;
    if (error)
        cli_complain(COMMAND_SETTING ": cannot read what the command prints: %s", strerror(error));
    else if (size < TEXT_SIZE && status != 0)
        cli_complain(COMMAND_SETTING ": the command failed (%s %d)",
                     WIFEXITED(status) ? "exit status" : "signal",
                     WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    else
        taken = take_key(COMMAND_SETTING, text, (size_t)size, key);
    explicit_bzero(text, sizeof(text));
    return taken;
}

/* ---- what libtriggers asks ---- */

/* Of the process, which has one key for all its clients. */
static struct {
    pthread_mutex_t mutex;
    bool (*find)(const char *where, char key[TRIGGERS_KEY_SIZE]);
    const char *where;
    bool is_command;
    int64_t found_ms;
    int64_t refused_ms;          /* when it was run because of a refusal */
    char key[TRIGGERS_KEY_SIZE]; /* that was found; "": none yet */
} source = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* Many calls may be refused at once: a command is not run for each of them. */
static bool is_due(const char *refused, int64_t now_ms)
{
    if (!source.is_command || !*source.key || now_ms >= source.found_ms + COMMAND_KEEP_MS)
        return true;
    if (strcmp(source.key, refused) != 0 || now_ms < source.refused_ms + REFUSED_KEEP_MS)
        return false;
    source.refused_ms = now_ms;
    return true;
}

static bool look(const char *refused)
{
    int64_t now_ms = clock_monotonic_ms();
    if (!is_due(refused, now_ms))
        return true;
    char key[TRIGGERS_KEY_SIZE];
    if (source.find(source.where, key))
        memcpy(source.key, key, sizeof(key));
    source.found_ms = now_ms;
    explicit_bzero(key, sizeof(key));
    return *source.key;
}

static int give(char key[TRIGGERS_KEY_SIZE], void *unused)
{
    (void)unused;
    pthread_mutex_lock(&source.mutex);
    bool found = look(key);
    memcpy(key, source.key, sizeof(source.key));
    pthread_mutex_unlock(&source.mutex);
    return found;
}

/* ---- the settings ---- */

/* NULL: it is not set, or empty. */
static char *value_of(const char *setting)
{
    char *value = getenv(setting);
    return value && *value ? value : NULL;
}

const char *key_source_setting(void)
{
    static const char *const settings[] = {SETTING, FILE_SETTING, COMMAND_SETTING};
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (value_of(settings[i]))
            return settings[i];
    }
    return NULL;
}

bool key_source_fill(triggers_client_options *options)
{
    static char key[TRIGGERS_KEY_SIZE]; /* until the client has copied it, and as the environment */
    const char *text = value_of(SETTING);
    char *path = value_of(FILE_SETTING);
    char *command = value_of(COMMAND_SETTING);
    if ((text && path) || (text && command) || (path && command)) {
        cli_complain("of " SETTING ", " FILE_SETTING " and " COMMAND_SETTING " set one only");
        return false;
    }
    options->api_key = text ? key : NULL;
    if (text)
        return take_key(SETTING, text, strlen(text), key);
    if (!path && !command)
        return true;
    source.find = path ? read_key_file : run_key_command;
    source.where = path ? path : command;
    source.is_command = command;
    options->api_key_source = give;
    return look("");
}
