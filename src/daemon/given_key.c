/* One operation at a time, which the main thread begins and waits for at the start alone. */
#include "daemon/given_key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/wait.h"

#define DEADLINE_MS 10000
#define KEY_NAME "given by the settings"
#define MAX_FILE 1024 /* bytes; a key with blanks around it */

/* ---- the settings ---- */

/* Into `text`, which ends with a NUL. */
static bool read_key_file(const char *path, char text[MAX_FILE + 1], struct status *status)
{
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(text, 1, MAX_FILE, file) : 0;
    int error = !file || ferror(file) ? errno : 0;
    if (file)
        fclose(file);
    text[size] = '\0';
    return error == 0 ||
           status_fail(status, STATUS_INVALID_ARGUMENT, "OPERATOR_KEY_FILE",
                       "cannot read TRIGGERS_OPERATOR_KEY_FILE, %s: %s", path, strerror(error));
}

/* Without the white space that files and shells add. */
static bool take_key(struct given_key *key, const char *text, struct status *status)
{
    static const char blanks[] = " \t\r\n";
    text += strspn(text, blanks);
    size_t size = strlen(text);
    while (size > 0 && strchr(blanks, text[size - 1]))
        size--;
    if (!key_text_is_valid(text, size))
        return status_fail(status, STATUS_INVALID_ARGUMENT, "OPERATOR_KEY",
                           "TRIGGERS_OPERATOR_KEY or the file of TRIGGERS_OPERATOR_KEY_FILE has no "
                           "key; one is made with: triggers keys generate");
    memcpy(key->text, text, size);
    key->text[size] = '\0';
    key->state = GIVEN_WAITS;
    return true;
}

bool given_key_read(struct given_key *key, const char *text, const char *file,
                    struct status *status)
{
    char read[MAX_FILE + 1];
    *key = (struct given_key){.state = GIVEN_NONE};
    pthread_mutex_init(&key->lock, NULL);
    wait_init(&key->answered);
    if (!text && !file)
        return true;
    if (text && file)
        return status_fail(status, STATUS_INVALID_ARGUMENT, "OPERATOR_KEY",
                           "both TRIGGERS_OPERATOR_KEY and TRIGGERS_OPERATOR_KEY_FILE are set; set "
                           "one of them");
    bool taken = text ? take_key(key, text, status)
                      : read_key_file(file, read, status) && take_key(key, read, status);
    explicit_bzero(read, sizeof(read));
    return taken;
}

/* ---- the store ---- */

static enum store_result run_add(struct ask_op *op, struct store_session *session,
                                 struct status *status)
{
    struct given_key *key = (struct given_key *)op;
    key->status = STATUS_INIT;
    enum store_result result = operator_key_put(session, (struct slice){key->text, KEY_TEXT_LENGTH},
                                                KEY_NAME, &key->found, &key->status);
    *status = key->status;
    return result;
}

static void log_added(enum operator_key found)
{
    static const char *const over[] = {[OPERATOR_KEY_REVOKED] = "it is revoked",
                                       [OPERATOR_KEY_EXPIRED] = "it has expired",
                                       [OPERATOR_KEY_ROTATED] = "it was rotated"};
    if (found == OPERATOR_KEY_MADE)
        log_info("added the operator's key of the settings");
    else if (found != OPERATOR_KEY_THERE)
        log_warning("the operator's key of the settings is good no more: take it out, or give the "
                    "one that replaces it",
                    {"because", over[found]});
}

/* `status` of the operation is OK when the store has answered; what is wrong with the key for good
 * is in the key's own. */
static void on_added(struct op *op)
{
    struct given_key *key = (struct given_key *)op;
    bool over = op->status.code == STATUS_OK;
    if (!over)
        log_warning_limited("", "the operator's key of the settings is not added yet",
                            {"because", op->status.message});
    else if (key->status.code != STATUS_OK)
        log_error("the operator's key of the settings cannot be added",
                  {"because", key->status.message});
    else
        log_added(key->found);
    pthread_mutex_lock(&key->lock);
    key->state = over ? GIVEN_NONE : GIVEN_WAITS;
    if (over)
        explicit_bzero(key->text, sizeof(key->text));
    pthread_cond_signal(&key->answered);
    pthread_mutex_unlock(&key->lock);
}

void given_key_look(struct given_key *key, struct asks *asks)
{
    struct status status;
    pthread_mutex_lock(&key->lock);
    bool begins = key->state == GIVEN_WAITS;
    if (begins)
        key->state = GIVEN_ASKED;
    pthread_mutex_unlock(&key->lock);
    if (!begins)
        return;
    key->op = (struct ask_op){
        .op = {.scope = SCOPE_DEFAULT,
               .deadline_ms = clock_monotonic_ms() + DEADLINE_MS,
               .bytes = sizeof(*key),
               .done = on_added},
        .run = run_add,
    };
    if (asks_submit(asks, &key->op, &status))
        return;
    pthread_mutex_lock(&key->lock);
    key->state = GIVEN_WAITS;
    pthread_mutex_unlock(&key->lock);
}

bool given_key_add(struct given_key *key, struct asks *asks, struct status *status)
{
    *status = STATUS_INIT;
    if (key->state == GIVEN_NONE)
        return true;
    given_key_look(key, asks);
    pthread_mutex_lock(&key->lock);
    while (key->state == GIVEN_ASKED)
        pthread_cond_wait(&key->answered, &key->lock);
    bool wrong = key->state == GIVEN_NONE && key->status.code != STATUS_OK;
    if (wrong)
        *status = key->status;
    pthread_mutex_unlock(&key->lock);
    return !wrong;
}
