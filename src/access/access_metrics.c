#include "access/access_metrics.h"

static const char *const REASONS[] = {[REFUSED_MISSING] = "reason=\"missing\"",
                                      [REFUSED_INVALID] = "reason=\"invalid\"",
                                      [REFUSED_TOO_MANY] = "reason=\"too_many\"",
                                      [REFUSED_SUSPENDED] = "reason=\"tenant_suspended\"",
                                      [REFUSED_UNKNOWN] = "reason=\"keys_not_read\"",
                                      [REFUSED_RATE] = "reason=\"rate_limited\"",
                                      [REFUSAL_COUNT] = NULL};

static metric_cell refusal_cells[REFUSAL_COUNT], tenant_cell, key_cell, expiring_cell;

struct metric access_refusals = {
    .name = "access_refusals_total",
    .help =
        "Calls refused for their key: none was given; it is unknown, wrong, expired or revoked; "
        "there were too many such from the address; its tenant is suspended; the keys were not "
        "read yet; it, or its tenant, is beyond its limits.",
    .kind = METRIC_COUNTER,
    .columns = REASONS,
    .cells = refusal_cells};
struct metric access_tenants = {.name = "tenants",
                                .help = "Tenants there are, those that are being deleted included.",
                                .kind = METRIC_GAUGE,
                                .cells = &tenant_cell};
struct metric access_keys = {.name = "keys",
                             .help = "Keys there are, with those of the last 30 days that were "
                                     "revoked or have expired.",
                             .kind = METRIC_GAUGE,
                             .cells = &key_cell};
struct metric access_keys_expiring = {
    .name = "keys_expiring",
    .help = "Keys that expire within 14 days and have not been rotated.",
    .kind = METRIC_GAUGE,
    .cells = &expiring_cell};
