/* triggers.v1.SubscriptionService: requests to what the subscriptions do, their outcomes to
 * responses. */
#ifndef TRIGGERS_SERVICE_SUBSCRIPTION_SERVICE_H
#define TRIGGERS_SERVICE_SUBSCRIPTION_SERVICE_H

#include "access/access.h"
#include "rpc/call.h"
#include "subscriptions/subscriptions.h"
#include "triggers/v1/subscriptions.pb-c.h"

struct subscription_service {
    Triggers__V1__SubscriptionService_Service base; /* first: what the dispatcher holds */
    struct subscriptions *subscriptions;
    struct access *access; /* NULL: what is changed is not recorded */
};

/* The handlers answer from any thread; the subscriptions and access must outlive the last answer.
 */
void subscription_service_init(struct subscription_service *service,
                               struct subscriptions *subscriptions, struct access *access);

/* The handlers, named by the generated initialiser: pull and what follows it in deliveries.c, dead
 * letters in dead_letter_calls.c, all else in subscription_service.c. `call` is the struct call to
 * answer; the closures are not used. */
#define SUBSCRIPTION_HANDLER(name, Message)                                                        \
    void subscription_service_##name(Triggers__V1__SubscriptionService_Service *service,           \
                                     const Triggers__V1__##Message##Request *request,              \
                                     Triggers__V1__##Message##Response_Closure closure,            \
                                     void *call)
SUBSCRIPTION_HANDLER(put_subscription, PutSubscription);
SUBSCRIPTION_HANDLER(get_subscription, GetSubscription);
SUBSCRIPTION_HANDLER(list_subscriptions, ListSubscriptions);
SUBSCRIPTION_HANDLER(delete_subscription, DeleteSubscription);
SUBSCRIPTION_HANDLER(pull, Pull);
SUBSCRIPTION_HANDLER(ack, Ack);
SUBSCRIPTION_HANDLER(nack, Nack);
SUBSCRIPTION_HANDLER(extend, Extend);
SUBSCRIPTION_HANDLER(release, Release);
SUBSCRIPTION_HANDLER(seek, Seek);
SUBSCRIPTION_HANDLER(list_dead_letters, ListDeadLetters);
SUBSCRIPTION_HANDLER(redrive_dead_letters, RedriveDeadLetters);
SUBSCRIPTION_HANDLER(delete_dead_letters, DeleteDeadLetters);

/* What the handlers share: the parts of the service, and what all requests to the subscriptions
 * begin with. `name` lives as long as the call. */
struct subscriptions *subscriptions_of(Triggers__V1__SubscriptionService_Service *service);
struct access *subscription_access_of(Triggers__V1__SubscriptionService_Service *service);
struct subscription_request
subscription_request_of(struct call *call, const char *name,
                        void (*done)(struct subscription_request *request));

/* Whether the call may use the subscription; for one that may not, there is none of this name:
 * false, after having answered so. A method that is recorded is, as what it is: refused. */
bool subscription_is_allowed(Triggers__V1__SubscriptionService_Service *service, struct call *call,
                             const char *name);

#endif
