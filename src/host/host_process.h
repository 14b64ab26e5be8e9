/* host_process: what the files of one process's folder say; host.h's functions call these for
 * /proc/PID. */
#ifndef HOST_PROCESS_H
#define HOST_PROCESS_H

#include "host.h"

/* host_process_memory from smaps_rollup and status in `folder`, which ends with a slash. */
bool host_process_use(const char *folder, struct host_use *use);

/* host_process_maps from a file in the format of smaps. */
bool host_process_smaps(const char *path, void (*each)(void *context, const struct host_map *map),
                        void *context);

#endif
