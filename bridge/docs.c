/* The description of the interface and the page that shows it, both built into the program. */
#include "docs.h"

#include "routes.h"

static bool answer_file(struct request *request, const char *content_type,
                        const unsigned char *bytes, size_t size)
{
    request->answer.status = 200;
    request->answer.content_type = content_type;
    request->answer.file = bytes;
    request->answer.file_size = size;
    return true;
}

bool docs_openapi(struct request *request)
{
    return answer_file(request, "application/json", docs_openapi_json, docs_openapi_json_size);
}

bool docs_page(struct request *request)
{
    return answer_file(request, "text/html; charset=utf-8", docs_page_html, docs_page_html_size);
}
