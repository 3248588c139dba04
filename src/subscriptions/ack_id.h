/* The ack id: what a caller shows to settle one delivery. Opaque to him: base64url without padding
 * of a version, the subscription's id, the epoch, the lease's id and the event's sequence
 * (varints), and eight bytes of SipHash-2-4 (Aumasson and Bernstein, 2012) under the subscription's
 * key, so that nobody makes one up. */
#ifndef TRIGGERS_SUBSCRIPTIONS_ACK_ID_H
#define TRIGGERS_SUBSCRIPTIONS_ACK_ID_H

#include "subscriptions/ledger.h"

#define ACK_ID_SIZE 96 /* characters with the NUL, at most */

struct ack_id {
    int64_t subscription;
    int64_t epoch;
    struct lease_id lease;
    int64_t sequence;
};

void ack_id_format(const struct ack_id *id, const uint8_t key[16], char text[ACK_ID_SIZE]);

enum ack_id_fault {
    ACK_ID_RIGHT,
    ACK_ID_MALFORMED, /* not one of ours: cut, lengthened, altered, or made up */
    ACK_ID_FOREIGN,   /* of another subscription */
};
/* `text` is any NUL-terminated text. */
enum ack_id_fault ack_id_parse(const char *text, int64_t subscription, const uint8_t key[16],
                               struct ack_id *id);

#endif
