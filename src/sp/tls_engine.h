/* A TLS engine for nng, over mbed TLS. */
#ifndef TRIGGERS_SP_TLS_ENGINE_H
#define TRIGGERS_SP_TLS_ENGINE_H

#include <nng/nng.h>

/* What nng_tls_config_own_cert returns when the key does not belong to the certificate. */
#define TLS_ENGINE_KEY_MISMATCH NNG_EAMBIGUOUS

/* From now on nng makes its TLS configurations with this engine. Returns 0 or an nng error. Any
 * thread, any number of times. */
int tls_engine_use(void);

#endif
