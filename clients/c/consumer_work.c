/* Lists of deliveries, and the pages that hold their texts. */
#include "consumer_work.h"

#include <stdlib.h>

#include "base/check.h"
#include "reply.h"
#include "triggers/v1/subscriptions.pb-c.h"

static void unlink_work(struct workload *load, struct work *work)
{
    struct work_list *list = &load->lists[work->state];
    *(work->previous ? &work->previous->next : &list->first) = work->next;
    *(work->next ? &work->next->previous : &list->last) = work->previous;
    list->count--;
}

static void link_work(struct workload *load, struct work *work, enum work_state state)
{
    struct work_list *list = &load->lists[state];
    work->state = state;
    work->next = NULL;
    work->previous = list->last;
    *(list->last ? &list->last->next : &list->first) = work;
    list->last = work;
    list->count++;
}

void work_move(struct workload *load, struct work *work, enum work_state state)
{
    unlink_work(load, work);
    link_work(load, work, state);
}

size_t workload_count(const struct workload *load, enum work_state state)
{
    return load->lists[state].count;
}

void work_set_lease(struct workload *load, struct work *work, int64_t from_ms)
{
    int64_t lease_ms = (int64_t)load->lease_s * 1000;
    work->lease_end_ms = from_ms + lease_ms;
    work->extend_at_ms = from_ms + lease_ms / 3;
    if (work->extend_at_ms < load->extend_due_ms)
        load->extend_due_ms = work->extend_at_ms;
}

static void drop_page(struct pulled_page *page)
{
    if (--page->held > 0)
        return;
    triggers_reply_free(page->reply);
    free(page);
}

static struct work *read_delivery(const Triggers__V1__Delivery *from, struct pulled_page *page)
{
    struct work *work = from->event ? calloc(1, sizeof(*work)) : NULL;
    if (!work)
        return NULL;
    triggers_event_read(&from->event->base, &work->delivery.event);
    work->delivery.ack_id = from->ack_id;
    work->delivery.attempt = from->delivery_attempt;
    work->delivery.lease_expires_at_us = reply_time_us(from->lease_expires_at);
    work->page = page;
    page->held++;
    return work;
}

void workload_hold(struct workload *load, triggers_reply *reply, int64_t since_ms)
{
    const Triggers__V1__PullResponse *response = (const Triggers__V1__PullResponse *)reply->message;
    struct pulled_page *page = calloc(1, sizeof(*page));
    if (!page) {
        triggers_reply_free(reply);
        return;
    }
    page->reply = reply;
    page->held = 1; /* by us, for now */
    for (size_t i = 0; i < response->n_deliveries; i++) {
        struct work *work = read_delivery(response->deliveries[i], page);
        if (!work)
            continue;
        link_work(load, work, WORK_WAITING);
        work_set_lease(load, work, since_ms);
    }
    drop_page(page);
}

void work_free(struct workload *load, struct work *work)
{
    CHECK(!work->extending && work->state != WORK_RUNNING);
    unlink_work(load, work);
    drop_page(work->page);
    free(work);
}

int triggers_delivery_lost(const triggers_delivery *delivery)
{
    return ((const struct work *)delivery)->lost;
}

void work_lose(struct workload *load, struct work *work)
{
    work->lost = true;
    if (work->state == WORK_RUNNING || work->state == WORK_SETTLING || work->extending)
        return;
    if (work->state == WORK_DONE && work->outcome.kind < TRIGGERS_OUTCOME_RELEASE)
        load->counts.lost++;
    work_free(load, work);
}

void workload_lose_all(struct workload *load)
{
    for (int state = 0; state < WORK_STATES; state++) {
        struct work *next;
        for (struct work *work = load->lists[state].first; work; work = next) {
            next = work->next;
            work_lose(load, work);
        }
    }
}
