/* The description of the interface and the pages that show it, built into the program. */
#include "docs.h"

#include "base/check.h"
#include "routes.h"

static bool answer_file(struct request *request, const struct docs_file *file)
{
    CHECK(!request->answer.status && file->size > 0);
    request->answer.status = 200;
    request->answer.content_type = file->content_type;
    request->answer.policy = file->policy;
    request->answer.file = file->bytes;
    request->answer.file_size = file->size;
    return true;
}

bool docs_openapi(struct request *request)
{
    return answer_file(request, &DOCS_OPENAPI);
}

bool docs_page(struct request *request)
{
    return answer_file(request, &DOCS_PAGE);
}

bool docs_reference(struct request *request)
{
    return answer_file(request, &DOCS_REFERENCE);
}
