/* The copy is the packed envelope. Its timeout is replaced by appending the field once more: of a
 * field that comes twice, every protobuf parser takes the last. */
#include "retry.h"

#include "base/clock.h"

#define FIRST_MS 50
#define MOST_MS 2000

#define TIMEOUT_TAG (2 << 3) /* triggers.rpc.v1.Request.timeout_ms, a varint */
#define MAX_FIELD 6          /* the tag and 32 bits in groups of 7 */

bool retry_init(struct retry *retry, const nng_msg *request)
{
    retry->most_ms = FIRST_MS;
    retry->request = NULL;
    return nng_msg_dup(&retry->request, request) == 0;
}

void retry_fini(struct retry *retry)
{
    if (retry->request)
        nng_msg_free(retry->request);
    retry->request = NULL;
}

uint32_t retry_next_wait_ms(struct retry *retry, uint32_t delay_ms)
{
    uint32_t half = retry->most_ms / 2;
    uint32_t chance;
    random_fill(&chance, sizeof(chance));
    uint32_t wait = half + chance % (half + 1);
    retry->most_ms = retry->most_ms * 2 < MOST_MS ? retry->most_ms * 2 : MOST_MS;
    return wait > delay_ms ? wait : delay_ms;
}

nng_msg *retry_request(const struct retry *retry, uint32_t timeout_ms)
{
    uint8_t field[MAX_FIELD] = {TIMEOUT_TAG};
    size_t size = 1;
    for (; timeout_ms >= 0x80; timeout_ms >>= 7)
        field[size++] = (uint8_t)(timeout_ms | 0x80);
    field[size++] = (uint8_t)timeout_ms;
    nng_msg *request;
    if (nng_msg_dup(&request, retry->request) != 0)
        return NULL;
    if (nng_msg_append(request, field, size) == 0)
        return request;
    nng_msg_free(request);
    return NULL;
}
