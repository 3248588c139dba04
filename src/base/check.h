/* Checks of what must hold, where it is relied on, in release builds too: preconditions of a
 * contract, invariants of lists and counts, moves between states. Never of input from callers or
 * peers: wrong input gets an error. */
#ifndef TRIGGERS_BASE_CHECK_H
#define TRIGGERS_BASE_CHECK_H

/* Ends the program with SIGABRT unless `expression` holds, saying file, line and expression on
 * stderr in one line. Any thread, with any lock held. */
#define CHECK(expression)                                                                          \
    (__builtin_expect(!(expression), 0) ? check_failed(__FILE__, __LINE__, #expression) : (void)0)

void check_failed(const char *file, int line, const char *expression)
    __attribute__((noreturn, cold));

#endif
