/* How calls wait for something to report: for how long, and what they are told when they cannot. */
#ifndef TRIGGERS_SERVICE_PARKING_H
#define TRIGGERS_SERVICE_PARKING_H

#include "rpc/call.h"

/* Until when (monotonic milliseconds) a call waits that may wait for so long: at most 20 seconds,
 * and not so long that its answer would come after its deadline. */
int64_t parking_until_ms(const struct call *call, uint32_t wait_ms);

/* Answers a call that could not be parked because too many are. */
void parking_refuse(struct call *call);

#endif
