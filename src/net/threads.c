/* Fewer threads for nng, compiled into our programs. nng 1.5 starts two threads for each processor
 * that sysconf counts and has no setting for it. It hands every step of a message to one of them,
 * which must be woken; on few processors they spend more time on each other than on messages. So
 * half the processors are counted; nothing else in our programs counts them this way. */
#include <dlfcn.h>
#include <unistd.h>

/* Takes the place of libc's, in the shared libraries too. The thread sanitizer calls it before it
 * can watch anything. */
__attribute__((visibility("default"), no_sanitize("thread"))) long sysconf(int name)
{
    long (*libc_sysconf)(int);
    *(void **)&libc_sysconf = dlsym(RTLD_NEXT, "sysconf");
    long value = libc_sysconf(name);
    return name == _SC_NPROCESSORS_ONLN && value > 1 ? value / 2 : value;
}
