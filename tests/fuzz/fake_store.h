/* A store without a memory. The last byte of an id decides what becomes of its item, and of the
 * whole operation where the byte says so. */
#ifndef TRIGGERS_TESTS_FUZZ_FAKE_STORE_H
#define TRIGGERS_TESTS_FUZZ_FAKE_STORE_H

#include "store/store.h"

extern struct store fake_store;

#endif
