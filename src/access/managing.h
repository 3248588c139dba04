/* The calls that manage tenants, keys and audit records, beside what messages and errors have to do
 * with a transport. What changes something is written with the record of it, all or nothing. */
#ifndef TRIGGERS_ACCESS_MANAGING_H
#define TRIGGERS_ACCESS_MANAGING_H

#include "access/access.h"
#include "base/caller.h"

/* A call of AccessService. It is its caller's and lives until `done`, which is called exactly once,
 * from any thread, perhaps before access_manage returns, without a lock held. */
struct access_request {
    /* In. */
    const ProtobufCMessage *asked; /* the method's request, which says which method it is */
    struct scope scope;            /* the caller's, who has the right that the method asks for */
    const struct pass *pass;       /* of his key; NULL: he may give out every right */
    struct caller caller;
    int64_t deadline_ms;    /* monotonic */
    const char *request_id; /* "": none, as the next one */
    const char *address;
    int64_t after;       /* of a list: `next` of the page before; 0: the first page */
    uint32_t limit;      /* of a list: 1 to 1000 */
    struct arena *arena; /* for `answer` */
    void (*done)(struct access_request *request);
    /* Out. */
    struct status status;
    const char *field;        /* of `asked`, when one is at fault; NULL: none. Static */
    const char *description;  /* of what is wrong with it, as in a field_violation */
    ProtobufCMessage *answer; /* the method's response, of lists without the token; when OK */
    int64_t next;             /* of a list: where the next page starts; 0: this one is the last */
};

/* Never blocks. FAILED_PRECONDITION, AUTH_OFF, with ACCESS_OFF. */
void access_manage(struct access *access, struct access_request *request);

/* What somebody did, or tried to, besides these calls: for the record. Texts are copied. */
struct access_deed {
    struct scope scope;      /* his; the record is the tenant's */
    const struct pass *pass; /* of his key; NULL: he has none */
    const char *action;      /* the method, such as "DeleteSubscription" */
    struct slice target;     /* what it was done to, cut after 255 bytes */
    enum status_code result;
    const char *request_id;
    const char *address;
};

/* Writes the record soon; never blocks, any thread. While the store is unavailable, some 1000 wait,
 * and what comes then is left out. Of what was refused, PERMISSION_DENIED, only methods are
 * recorded that change access or remove something, each once a minute for a key, and at most 60 a
 * minute for a tenant, so that nobody fills the record by asking again. Nothing with ACCESS_OFF. */
void access_record(struct access *access, const struct access_deed *deed);

#endif
