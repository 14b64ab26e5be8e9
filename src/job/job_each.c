/* job_each: the parts of a job that need no session: what can be checked before there is one, and
 * reading alone. Apart from job.c, so that who only reads need not link an engine. */
#include "job.h"

#include "paths.h"
#include "reader.h"

vecmill_status job_check(const struct job_options *options, vecmill_err *err)
{
    VM_TRY(reader_check(options, err));
    struct paths paths;
    return paths_check(options, &paths, err);
}

vecmill_status job_each(const struct job_options *options, job_each_fn each, void *context,
                        vecmill_err *err)
{
    struct reader reader;
    struct area area = {.capacity = reader_room(options)};
    void *memory = NULL;
    VM_TRY(reader_open(&reader, options, NULL, err));
    vecmill_status status = mem_map(area.capacity, "a document", &memory, err);
    if (status != VECMILL_OK) goto done;
    area.data = memory;
    for (uint64_t index = 0;; index++) {
        struct record record;
        bool end;
        area.used = 0;
        status = reader_next(&reader, &area, &record, &end, err);
        if (status != VECMILL_OK || end) break;
        const vecmill_doc doc = {.text = record.text, .bytes = record.bytes};
        status = each(context, index, record.id, doc, record.reason, err);
        if (status != VECMILL_OK) break;
    }
done:
    if (memory != NULL) mem_unmap(memory, area.capacity);
    reader_close(&reader);
    return status;
}
