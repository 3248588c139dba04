/* TRIGGERS_LISTEN: any list of URLs is accepted or refused with a reason; nothing is opened. */
#include <string.h>
#include <unistr.h>

#include "fuzz.h"
#include "net/listen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    bool tls = input_byte(&input) & 1;
    char *list = input_text(&input);
    struct listen_config config = {
        .urls = list, .tls_cert = tls ? "cert.pem" : NULL, .tls_key = tls ? "key.pem" : NULL};
    struct status status = STATUS_INIT;
    if (listen_check(&config, &status)) {
        MUST(strstr(list, "://"));
    } else {
        MUST(status.code == STATUS_INVALID_ARGUMENT);
        MUST(status.message[0] && status.reason[0]);
    }
    free(list);
    return 0;
}
