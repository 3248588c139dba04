/* One decoder for paths and query values; libmicrohttpd handles the plus sign. */
#include "url.h"

#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/hex.h"

static bool decode(const char *text, const char *refused, char *out, size_t size)
{
    size_t length = 0;
    for (; *text; text++) {
        char c = *text;
        if (c == '%') {
            int high = hex_digit(text[1]);
            int low = high < 0 ? -1 : hex_digit(text[2]);
            if (low < 0)
                return false;
            c = (char)(high << 4 | low);
            if (c == '\0' || strchr(refused, c))
                return false;
            text += 2;
        }
        if (length + 1 >= size)
            return false;
        out[length++] = c;
    }
    if (size == 0)
        return false;
    out[length] = '\0';
    return true;
}

bool url_decode(const char *text, char *out, size_t size)
{
    return decode(text, "", out, size);
}

bool url_decode_path(const char *text, char *out, size_t size)
{
    return decode(text, "/", out, size);
}

bool url_split(const char *target, char host[URL_HOST_SIZE], const char **path)
{
    size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                    : strncasecmp(target, "https://", 8) == 0 ? 8
                                                              : 0;
    *path = target;
    if (scheme == 0)
        return false;
    size_t length = strcspn(target + scheme, "/");
    bool fits = length < URL_HOST_SIZE;
    memcpy(host, target + scheme, fits ? length : 0);
    host[fits ? length : 0] = '\0';
    *path = target[scheme + length] ? target + scheme + length : "/";
    return true;
}

bool url_target_path(const char *target, char path[URL_PATH_SIZE])
{
    char host[URL_HOST_SIZE];
    url_split(target, host, &target);
    if (!url_decode_path(target, path, URL_PATH_SIZE))
        return false;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    return true;
}

bool url_match(const char *pattern, const char *path, url_take *take, void *user_data)
{
    while (*pattern) {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        size_t name = strcspn(++pattern, "}");
        CHECK(pattern[name] == '}');
        size_t segment = strcspn(path, "/");
        if (segment == 0)
            return false;
        if (take)
            take(user_data, pattern, name, path, segment);
        pattern += name + 1;
        path += segment;
    }
    return *path == '\0';
}
