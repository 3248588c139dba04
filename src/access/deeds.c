/* What goes on record, and of what is refused how often. */
#include <string.h>

#include "access/access_state.h"
#include "access/managing.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

/* The methods that change access or remove something. */
static const char *const RECORDED[] = {
    "PutTenant", "SuspendTenant",      "ResumeTenant", "DeleteTenant",
    "CreateKey", "RotateKey",          "RevokeKey",    "PutSubscription",
    "Seek",      "DeleteSubscription", "EraseEvent",   "DeleteDeadLetters",
};
#define RECORDED_COUNT (sizeof(RECORDED) / sizeof(RECORDED[0]))
_Static_assert(RECORDED_COUNT <= QUOTA_REFUSAL_KINDS, "a key notes them in so many bits");

/* RECORDED_COUNT: it is none of them. */
static unsigned find_recorded(const char *action)
{
    unsigned at = 0;
    while (at < RECORDED_COUNT && strcmp(RECORDED[at], action) != 0)
        at++;
    return at;
}

/* Of somebody without a key the same is kept as of a key. */
static bool is_first_refusal(struct access *access, const struct pass *pass, unsigned recorded)
{
    const struct known_key *key = (const struct known_key *)pass;
    struct quota *own = key ? key->quota : access->without_key;
    struct quota *of_tenant = key ? key->of_tenant : keyring_default_quota(access->keyring);
    int64_t now_us = clock_monotonic_us();
    return quota_note_refusal(own, recorded, now_us) && quota_count_refusal(of_tenant, now_us);
}

void access_record(struct access *access, const struct access_deed *deed)
{
    if (access->mode == ACCESS_OFF)
        return;
    unsigned recorded = find_recorded(deed->action);
    bool refused = deed->result == STATUS_PERMISSION_DENIED;
    CHECK(refused || recorded < RECORDED_COUNT);
    if (refused && (recorded == RECORDED_COUNT || !is_first_refusal(access, deed->pass, recorded)))
        return;
    if (!recorder_add(&access->recorder, deed))
        log_warning_limited(
            deed->action, "an audit record is left out, as too many wait for the store",
            {"action", deed->action}, {"key_id", deed->pass ? deed->pass->key_id : ""});
    upkeep_write_records(access);
}
