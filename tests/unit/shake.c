/* For LD_PRELOAD: threads lose their turn, or sleep a little, where they lock and unlock. Races
 * that need an hour to be met are met in a second. The numbers drawn differ from run to run. */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <time.h>

#define SLEEP_ONE_IN 64
#define YIELD_ONE_IN 8
#define SLEEP_MAX_NS 300000

/* In place of libc's. */
#define EXPORTED __attribute__((visibility("default")))

typedef int mutex_function(pthread_mutex_t *mutex);

/* A linear congruential generator for each thread, seeded by the time. */
static uint32_t draw(void)
{
    static _Thread_local uint32_t state;
    if (state == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        state = (uint32_t)now.tv_nsec | 1;
    }
    state = state * 1103515245u + 12345u;
    return state >> 16;
}

static void shake(void)
{
    uint32_t drawn = draw();
    if (drawn % SLEEP_ONE_IN == 0) {
        struct timespec time = {.tv_nsec = draw() * (SLEEP_MAX_NS / 65536)};
        nanosleep(&time, NULL);
    } else if (drawn % YIELD_ONE_IN == 0) {
        sched_yield();
    }
}

EXPORTED int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    mutex_function *lock = (mutex_function *)dlsym(RTLD_NEXT, "pthread_mutex_lock");
    shake();
    return lock(mutex);
}

EXPORTED int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    mutex_function *unlock = (mutex_function *)dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    int error = unlock(mutex);
    shake();
    return error;
}
