/* Read from the kernel: /proc, limits and clocks. */
#include "base/process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static metric_cell resident_cell, cpu_cell, files_cell, max_files_cell, start_cell, dropped_cell;

static struct metric process_resident = {.name = "process_resident_memory_bytes",
                                         .help = "Memory of the process that is in RAM.",
                                         .kind = METRIC_GAUGE,
                                         .cells = &resident_cell};
static struct metric process_cpu = {.name = "process_cpu_seconds_total",
                                    .help = "Processor time used, of user and system.",
                                    .kind = METRIC_COUNTER,
                                    .unit = 1e-6,
                                    .cells = &cpu_cell};
static struct metric process_files = {.name = "process_open_fds",
                                      .help = "Open file descriptors.",
                                      .kind = METRIC_GAUGE,
                                      .cells = &files_cell};
static struct metric process_max_files = {.name = "process_max_fds",
                                          .help = "The most file descriptors that may be open.",
                                          .kind = METRIC_GAUGE,
                                          .cells = &max_files_cell};
static struct metric process_start = {.name = "process_start_time_seconds",
                                      .help = "When the process started, in seconds since 1970.",
                                      .kind = METRIC_GAUGE,
                                      .unit = 1e-6,
                                      .cells = &start_cell};
static struct metric log_dropped = {.name = "log_lines_dropped_total",
                                    .help =
                                        "Log lines dropped because stdout took them too slowly.",
                                    .kind = METRIC_COUNTER,
                                    .cells = &dropped_cell};
static struct metric *const METRICS[] = {
    &process_resident, &process_cpu, &process_files, &process_max_files, &process_start,
    &log_dropped,      NULL};

static int64_t resident_bytes(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return METRIC_UNKNOWN;
    int found = fscanf(file, "%*d %lld", &pages);
    fclose(file);
    return found == 1 ? pages * sysconf(_SC_PAGESIZE) : METRIC_UNKNOWN;
}

static int64_t count_files(void)
{
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return METRIC_UNKNOWN;
    int64_t count = -3; /* ".", ".." and the folder itself */
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static int64_t cpu_us(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

/* Field 22 of the process's line is its start, in ticks since the machine's start. */
static int64_t start_us(void)
{
    char line[1024] = "";
    unsigned long long ticks = 0;
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return METRIC_UNKNOWN;
    bool read = fgets(line, sizeof(line), file) != NULL;
    fclose(file);
    const char *field = read ? strrchr(line, ')') : NULL; /* after the name, which is field 2 */
    for (int i = 2; field && i < 22; i++)
        field = strchr(field + 1, ' ');
    struct timespec up;
    if (!field || sscanf(field, "%llu", &ticks) != 1 || clock_gettime(CLOCK_BOOTTIME, &up) != 0)
        return METRIC_UNKNOWN;
    int64_t age_us = (int64_t)up.tv_sec * 1000000 + up.tv_nsec / 1000 -
                     (int64_t)(ticks * 1000000 / (unsigned long long)sysconf(_SC_CLK_TCK));
    return clock_now_us() - age_us;
}

struct metric *const *process_metrics(void)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    metric_set(&process_resident, 0, resident_bytes());
    metric_set(&process_cpu, 0, cpu_us());
    metric_set(&process_files, 0, count_files());
    metric_set(&process_max_files, 0, (int64_t)limit.rlim_cur);
    metric_set(&log_dropped, 0, (int64_t)log_dropped_lines());
    if (atomic_load(&start_cell) == 0) /* once: later clock steps would move it */
        metric_set(&process_start, 0, start_us());
    return METRICS;
}

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
