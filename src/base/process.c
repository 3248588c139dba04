/* The limits that the kernel sets a process. */
#include "base/process.h"

#include <sys/prctl.h>
#include <sys/resource.h>

void process_hide_memory(void)
{
    prctl(PR_SET_DUMPABLE, 0);
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
}

size_t process_raise_files(size_t wanted)
{
    struct rlimit limit = {.rlim_cur = 1024};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        struct rlimit raised = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
        if (wanted < raised.rlim_cur)
            raised.rlim_cur = wanted;
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    return limit.rlim_cur < wanted ? limit.rlim_cur : wanted;
}
