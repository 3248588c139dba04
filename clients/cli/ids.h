/* Event ids that a command takes as arguments or, one per line, from stdin. */
#ifndef TRIGGERS_CLI_IDS_H
#define TRIGGERS_CLI_IDS_H

#include <stdbool.h>

#define ID_MAX_SIZE 64 /* with the NUL; longer words are not ids, as the core would say too */

/* Takes one id, which is valid until it returns. False: no more. */
typedef bool ids_take(void *data, const char *id);

/* Hands ids to `take` until there are no more or it returns false: the command's words or, when
 * there are none or the only one is "-", the lines of stdin, without blanks around them and without
 * empty ones. Says on stderr what cannot be an id. Returns EXIT_CALL_FAILED if there was such or
 * stdin could not be read, else EXIT_DONE. */
int ids_read(int count, char **words, ids_take *take, void *data);

#endif
