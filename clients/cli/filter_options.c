/* Where the options that say which events are listed leave their values. */
#include "filter_options.h"

struct word_list filter_sources;
struct word_list filter_event_types;
int64_t filter_since_us;
int64_t filter_until_us;

triggers_filter filter_asked(void)
{
    return (triggers_filter){
        .sources = filter_sources.words,
        .source_count = filter_sources.count,
        .event_types = filter_event_types.words,
        .event_type_count = filter_event_types.count,
        .from_us = filter_since_us,
        .until_us = filter_until_us,
    };
}
