/* embed: the program's main work. */
#include "app.h"

vecmill_status cmd_embed(struct app *app, vecmill_err *err)
{
    return app_job_run(app->options, err);
}
