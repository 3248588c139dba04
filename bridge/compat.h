/* Answers that the service which this one replaces, made with FastAPI and pydantic 2, gave
 * differently, for clients generated from its description: with API_COMPATIBILITY=fastapi. */
#ifndef TRIGGERS_BRIDGE_COMPAT_H
#define TRIGGERS_BRIDGE_COMPAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "request.h"

/* Answers {"detail": [{"loc": …, "msg": …, "type": …}]} with 422, in pydantic's words where it has
 * some. False, without an answer, when the problem is not wrong input. */
bool compat_answer_problem(struct request *request, const struct problem *problem);

/* A time in UTC; with `fastapi` without the Z that says so, which Python before 3.11 cannot read.
 */
void compat_append_time(struct buffer *buffer, int64_t time_us, bool fastapi);

#endif
