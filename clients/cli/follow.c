/* The last page has no token to continue from. So each look reads the newest two pages again, and
 * does not print what was in them at the previous look: an event that is there now and was not then
 * is new, because events only leave. Two pages instead of one, because concurrent commits may
 * appear slightly out of order. */
#include "follow.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"

#define PAGE 200
#define IDS_MAX (4 * PAGE) /* two pages; twice as many after a look that failed half-way */

typedef char event_id[TRIGGERS_ID_SIZE];

struct id_set {
    event_id ids[IDS_MAX];
    size_t count;
};

struct follower {
    triggers_client *client;
    triggers_status status;
    void (*print)(const triggers_event *event);
    long left;            /* events to print; negative: any number */
    char *token;          /* where the window starts; NULL: at the oldest event */
    struct id_set seen;   /* those of the window at the previous look */
    struct id_set window; /* now */
    bool answered;        /* the core has answered once */
    bool away;            /* the core is unavailable, which was reported */
};

static int compare_ids(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Whether `id` is one of the first `count` ids, which are sorted. */
static bool contains(const struct id_set *set, size_t count, const char *id)
{
    return bsearch(id, set->ids, count, sizeof(event_id), compare_ids);
}

static void follow_page(struct follower *follower, const triggers_reply *page)
{
    for (size_t i = 0; i < page->item_count && follower->left != 0; i++) {
        const triggers_event *event = &page->items[i].event;
        struct id_set *window = &follower->window;
        if (window->count < IDS_MAX)
            snprintf(window->ids[window->count++], sizeof(event_id), "%s", event->event_id);
        if (contains(&follower->seen, follower->seen.count, event->event_id))
            continue;
        follower->print(event);
        if (follower->left > 0)
            follower->left--;
    }
}

static triggers_reply *ask(struct follower *follower, const char *token)
{
    triggers_list_request request = {
        .status = follower->status, .page_size = PAGE, .page_token = token, .oldest_first = 1};
    return triggers_list(follower->client, &request, NULL);
}

/* Reads the window's two pages once. On success `*more` says whether there is a third page; then
 * the window has moved by one. Returns the last reply. */
static triggers_reply *look(struct follower *follower, bool *more)
{
    *more = false;
    follower->window.count = 0;
    triggers_reply *first = ask(follower, follower->token);
    if (first->code != TRIGGERS_OK)
        return first;
    follow_page(follower, first);
    if (*first->next_page_token == '\0' || follower->left == 0)
        return first;
    triggers_reply *second = ask(follower, first->next_page_token);
    if (second->code == TRIGGERS_OK) {
        follow_page(follower, second);
        *more = *second->next_page_token != '\0';
    }
    char *moved = *more ? strdup(first->next_page_token) : NULL;
    if (moved) {
        free(follower->token);
        follower->token = moved;
    }
    *more = moved;
    triggers_reply_free(first);
    return second;
}

/* Notes the ids of this look as seen; after one that failed half-way, those of the previous look
 * stay too. */
static void remember(struct follower *follower, bool whole)
{
    struct id_set *seen = &follower->seen;
    const struct id_set *window = &follower->window;
    if (whole)
        seen->count = 0;
    size_t known = seen->count;
    for (size_t i = 0; i < window->count && seen->count < IDS_MAX; i++) {
        if (!contains(seen, known, window->ids[i]))
            memcpy(seen->ids[seen->count++], window->ids[i], sizeof(event_id));
    }
    qsort(seen->ids, seen->count, sizeof(event_id), compare_ids);
}

static void rest(void)
{
    struct timespec second = {.tv_sec = 1};
    nanosleep(&second, NULL);
}

/* One look and its consequences. Returns an exit code, or -1 to go on. */
static int step(struct follower *follower)
{
    bool more;
    triggers_reply *reply = look(follower, &more);
    bool ok = reply->code == TRIGGERS_OK;
    int code = ok ? EXIT_DONE : (int)cli_exit_code(reply->code);
    if (!ok && !follower->away)
        cli_fail(&reply->error, NULL);
    triggers_reply_free(reply);
    follower->away = !ok;
    follower->answered = follower->answered || ok;
    if (!ok && (code != EXIT_TRY_LATER || !follower->answered))
        return code;
    remember(follower, ok);
    fflush(stdout);
    if (follower->left == 0 || ferror(stdout))
        return EXIT_DONE;
    if (!more)
        rest();
    return -1;
}

int follow_inbox(triggers_client *client, triggers_status status, long limit,
                 void (*print)(const triggers_event *event))
{
    struct follower *follower = calloc(1, sizeof(*follower));
    if (!follower) {
        cli_complain("out of memory");
        return EXIT_CALL_FAILED;
    }
    follower->client = client;
    follower->status = status;
    follower->print = print;
    follower->left = limit > 0 ? limit : -1;
    int code;
    do {
        code = step(follower);
    } while (code < 0);
    free(follower->token);
    free(follower);
    return code;
}
