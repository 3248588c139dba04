/* The state of one subscription: where it is in the log, and what it has out. It is what its
 * ledger's entries say (store.h), applied one after the other; whoever has applied the same entries
 * has the same state. Plain data, without threads, clocks or a store: entries are made here
 * (ledger_make_…), appended by the caller, and applied when they are written.
 *
 * Entries are decided by one who has applied all settlements before. Takes and settlements are
 * appended side by side, so their order among each other is not known; it does not matter: a take
 * gives out events that were not out, a settlement is about events that were, and carries the
 * number of the last take that its writer had seen, which is to be applied before it, and the
 * epoch, the number of the last seek (a seek is a take: it moves the position), after which it
 * counts for nothing.
 *
 * The position may pass events that are to be given out later:
 *
 * - One with a deliver_at d and the sequence s waits while (d, s) is after the *time position*. A
 *   take that moves the position over s gives it out if (d, s) is not after the time position that
 *   the take leaves. A take that moves the time position over (d, s) gives it out if s is after
 *   `begin` and not after the position from before the take. As takes have one order, each is given
 *   out once. The time position does not go back with the store's clock: after such a step, events
 *   whose time is before it do not wait.
 * - One of an ordering key, in a subscription by key, while its key is *busy*: there is a lease of
 *   the key, or a *mark*, which says which event of it was passed first. A mark is ready, and its
 *   event given out, when there is no lease of its key. Whoever decides this has seen the
 *   settlement that freed the key, so no two of a key are out, but for this: a redriven dead letter
 *   whose key went on without it may be given out by one core in the moment when another one gives
 *   out the key's next event; so they may overtake each other.
 *
 * Marks, the time position and what belongs to it are changed by takes alone. A take that moves the
 * time position or gives out passed events is to be durable: after one that is lost nobody could
 * tell those from events that are settled. Who has read over events of marked keys without writing
 * a take knows nothing about them any more when a take of somebody else is applied.
 *
 * Times are microseconds since 1970 by the store's clock (store_entry.at_us). When that is set
 * back, leases would last longer by as much, and ledger_turn_back sees to it that they do not. When
 * it is set forward they end early, which is as if their holder had been too slow. */
#ifndef TRIGGERS_SUBSCRIPTIONS_LEDGER_H
#define TRIGGERS_SUBSCRIPTIONS_LEDGER_H

#include "base/buffer.h"
#include "store/store.h"
#include "subscriptions/lease.h"

#define LEDGER_MAX_AHEAD 10000 /* then nobody claims more; one settlement may add as many more */
#define LEDGER_PULL_US (60 * 1000000LL) /* so long the answer of a pull can be asked for again */
#define LEASE_MAX_US (12 * 3600 * 1000000LL) /* of one lease with all its extensions */

struct ledger;

/* At the beginning of a new subscription: nothing is out, events after `position` are new, and the
 * time position is `now_us`. NULL without memory. `settings` is borrowed, for `next`. */
struct ledger *ledger_open(int64_t position, int64_t now_us, ledger_next *next,
                           const void *settings);
void ledger_close(struct ledger *ledger); /* NULL is allowed */

/* The settings have changed: orders the leases anew. */
void ledger_reorder(struct ledger *ledger, const void *settings);

/* The store's clock was set back by `by_us`, 0 when that is not known, and is at `now_us` at most:
 * leases that seem to have begun later than that begin then, and what waits does so no longer than
 * it was to. So no lease ends before its time by its holder's own clock, and none lasts longer from
 * now on than it was given for. This is not in the ledger: other cores see to it themselves. */
void ledger_turn_back(struct ledger *ledger, int64_t now_us, int64_t by_us);

/* ---- what it is ---- */

struct ledger_figures {
    int64_t position; /* events up to here were given out, wait for their time or their key, or are
                         not the subscription's */
    int64_t begin;    /* the position when it was made or last sought */
    int64_t epoch;    /* the number of the last seek; 0: none */
    int64_t delayed_us, delayed_sequence; /* the time position */
    int64_t next_delayed_us; /* no event waits whose time comes before; INT64_MAX: none waits */
    size_t out;              /* somebody has them */
    size_t waiting;          /* they will be given out again */
    size_t blocked;          /* dead letters that block their key: held as well as the others */
    size_t marks;            /* keys that wait */
    /* At most so many dead letters: an event that was sought back and becomes a dead letter once
     * more is counted twice, but there once. When none is left, add_buried takes away the rest. */
    int64_t dead;
    struct store_entry_before take, settlement; /* the last ones applied */
    size_t since;                               /* entries since the last checkpoint */
    size_t since_bytes;
    size_t checkpoint_bytes; /* about how large one would be now */
};
struct ledger_figures ledger_figures_of(const struct ledger *ledger);

/* NULL: not out, nor waiting. Valid until something is applied. */
const struct lease *ledger_find(const struct ledger *ledger, int64_t sequence);

/* The lowest sequence that is out or waits, also for its key; 0: none. It looks at them all, but
 * not at dead letters, nor at those that wait for their time. */
int64_t ledger_oldest(const struct ledger *ledger);

/* Whether there is a lease of the key, or a mark; 0 is never busy. O(1), as the next one. */
bool ledger_key_is_busy(const struct ledger *ledger, uint64_t key);
bool ledger_key_is_marked(const struct ledger *ledger, uint64_t key);

/* Keys whose next event may be given out, at most `max`, the lowest `from` first. */
size_t ledger_ready(const struct ledger *ledger, struct ledger_key *keys, size_t max);

/* Dead letters that block their key, at most `max`, in no particular order. It looks at all leases
 * unless there are none. */
size_t ledger_blocked(const struct ledger *ledger, int64_t *sequences, size_t max);

/* Whether a sequence after the position was settled before it was given out (LEASE_AHEAD). */
bool ledger_is_ahead(const struct ledger *ledger, int64_t sequence);

/* The leases whose next time has come, at most `max`, in the order of those times. */
size_t ledger_due(const struct ledger *ledger, int64_t now_us, const struct lease **leases,
                  size_t max);
/* The earliest next time; INT64_MAX: none. */
int64_t ledger_next_us(const struct ledger *ledger);

/* The leases that the pull with this hash, not 0, got within the last minute and that it still has,
 * in time, by sequence; 0 also for a pull that is not known. */
size_t ledger_pulled(const struct ledger *ledger, uint64_t pull, int64_t now_us,
                     const struct lease **leases, size_t max);

/* ---- what may be done with a lease, by one who shows its id ---- */

enum lease_claim {
    LEASE_HELD,  /* it is his, in time */
    LEASE_LATE,  /* its time is over, or it was given back, but nobody else got the event */
    LEASE_AHEAD, /* the take was lost with the database's last moments, and the event not given out
                    again: late as well. If its key is busy when the position passes it anew, that
                    it was settled is forgotten, and it is given out again */
    LEASE_SETTLED, /* the event is settled, or dead, also when it blocks its key */
    LEASE_LOST,    /* somebody else got it, or the subscription was sought back */
};
/* `epoch` as it was when the lease was given. */
enum lease_claim ledger_claim(const struct ledger *ledger, int64_t sequence, struct lease_id id,
                              int64_t epoch, int64_t now_us);

/* ---- making entries: bodies, appended to a buffer ---- */

/* What one pull gets, or what several without a hash of the same lease time get. */
struct ledger_grant {
    uint64_t pull;            /* hash of the pull's id; 0: none */
    uint32_t lease_ms;        /* 1 to LEASE_MAX_US / 1000 */
    const int64_t *sequences; /* ascending, as new events of a take; else in any order */
    size_t count;
    /* Of a take: beside the sequences, store_key_of of each in a subscription by key, else 0; NULL:
     * none has one. A settlement does not look at it: leases keep their keys. */
    const uint64_t *keys;
};

/* A take: gives out events, and moves the position. */
struct ledger_take {
    int64_t position; /* at least the current one */
    /* New events: the sequences of all grants together ascend, lie after the current position and
     * not after `position`, and are not ahead. */
    const struct ledger_grant *grants;
    size_t grant_count;
    /* Events after `begin` and up to the current position, of which there are no leases: their time
     * has come, or their key is ready. */
    const struct ledger_grant *passed;
    size_t passed_count;
    /* Marks to set, move or remove (`from` 0), each key once. A new one is from an event after the
     * current position and not after `position` on; one that is moved from a later event on than
     * before. */
    const struct ledger_key *keys;
    size_t key_count;
    int64_t delayed_us, delayed_sequence; /* the time position; not before the current one */
    int64_t next_delayed_us;              /* at least delayed_us; INT64_MAX: none */
};
/* One that changes nothing. */
struct ledger_take ledger_take_of(const struct ledger *ledger);
void ledger_make_take(struct buffer *body, const struct ledger *ledger,
                      const struct ledger_take *take);
/* A take that moves the position anywhere, begins there, and moves the time position to the
 * entry's time unless it is later; nothing is out or waits or is ahead after it. Dead letters stay.
 */
void ledger_make_seek(struct buffer *body, int64_t position);

/* A settlement begins with the epoch, and goes on with any number of the others. */
void ledger_make_settlement(struct buffer *body, const struct ledger *ledger);
/* They are done. Also for those that are LEASE_AHEAD. Here and below: what is said about sequences
 * that are neither out nor wait is passed over; only dead letters that block are revived or
 * unblocked. */
void ledger_add_settled(struct buffer *body, const int64_t *sequences, size_t count);
/* They wait until `due_us`; with `uncounted` the attempt of those that were out does not count. */
void ledger_add_back(struct buffer *body, const int64_t *sequences, size_t count, int64_t due_us,
                     bool uncounted);
/* The leases of those that are out end at `until_us`. */
void ledger_add_extended(struct buffer *body, const int64_t *sequences, size_t count,
                         int64_t until_us);
/* They are given out again: this settlement is their lease. */
void ledger_add_again(struct buffer *body, const struct ledger_grant *grant);
/* They have become dead letters: each counts, whatever else becomes of this settlement. With
 * `blocks` those that have a key keep it busy until they are revived or unblocked. */
void ledger_add_dead(struct buffer *body, const int64_t *sequences, size_t count, bool blocks);
/* Dead letters are given out again from `due_us` on, with no attempts behind them. Those that are
 * out or wait already, since a seek, and those after the position or from the mark of their key on,
 * which come again by themselves, are only no dead letters any more. Each counts, as above. `keys`
 * are beside the sequences, as in a grant, and have to be right: an event that is given out by its
 * mark must not have a lease. */
void ledger_add_revived(struct buffer *body, const struct ledger *ledger, const int64_t *sequences,
                        const uint64_t *keys, size_t count, int64_t due_us);
/* Those of them that are dead letters that block do so no more. */
void ledger_add_unblocked(struct buffer *body, const int64_t *sequences, size_t count);
/* So many dead letters were removed; at most as many as there are. */
void ledger_add_buried(struct buffer *body, size_t count);
/* A whole settlement: the state as it is. Whoever has applied the same entries makes the same. */
void ledger_make_checkpoint(struct buffer *body, const struct ledger *ledger);

/* ---- applying ---- */

/* Applies the take or settlement that follows the last one of its kind, or a checkpoint to a ledger
 * that has just been opened; to others a checkpoint brings nothing new. A settlement of an
 * earlier epoch is passed over, but for its number and its dead letters. False, and the ledger is
 * of no use any more, when the body is not one of ours or of a newer version, does not fit (too
 * many leases), or there is no memory; *no_memory says which. Bodies come from the store, which may
 * be damaged: nothing is taken on trust. */
bool ledger_apply_take(struct ledger *ledger, const struct store_entry *entry, bool *no_memory);
bool ledger_apply_settlement(struct ledger *ledger, const struct store_entry *entry,
                             bool *no_memory);

/* Applies all that was read (store_ledger), but for what is known: each settlement after the takes
 * that its writer had seen, and before the others, as there are never so many leases that way as
 * with all takes first. */
bool ledger_apply_read(struct ledger *ledger, const struct store_entry *takes, size_t take_count,
                       const struct store_entry *settlements, size_t settlement_count,
                       bool *no_memory);

#endif
